//! `@name argument` → an operator.

use super::{Files, pcre, target};
use crate::{
    operator::{Comparison, Operator, Pattern, Phrases, Relation, network, validate},
    rule::Test,
    text::Names,
};

/// What an operator's argument may refer to.
pub(super) struct Context<'a> {
    pub(super) names: &'a mut Names,
    pub(super) files: &'a dyn Files,
    /// The file that names the operator's files.
    pub(super) source: &'a str,
    /// The rule reads what its groups matched.
    pub(super) capture: bool,
}

pub(super) fn test(text: &str, context: &mut Context<'_>) -> Result<Test, String> {
    let text = text.trim_start();
    let (negated, text) = match text.strip_prefix('!') {
        Some(text) => (true, text.trim_start()),
        None => (false, text),
    };
    let (name, argument) = match text.strip_prefix('@') {
        Some(text) => text.split_once(char::is_whitespace).unwrap_or((text, "")),
        None => ("rx", text),
    };
    Ok(Test {
        operator: operator(name, argument, context)?,
        negated,
    })
}

fn operator(name: &str, argument: &str, context: &mut Context<'_>) -> Result<Operator, String> {
    let trimmed = argument.trim();
    Ok(match name.to_ascii_lowercase().as_str() {
        "rx" => pattern(argument, context.capture)?,
        "pm" => phrases(trimmed.split_whitespace().map(str::to_owned).collect())?,
        "pmfromfile" | "pmf" => phrases(lines(trimmed, context)?)?,
        "streq" => compare(Relation::Equals, argument, context)?,
        "contains" | "strmatch" => compare(Relation::Contains, argument, context)?,
        "containsword" => compare(Relation::ContainsWord, argument, context)?,
        "beginswith" => compare(Relation::StartsWith, argument, context)?,
        "endswith" => compare(Relation::EndsWith, argument, context)?,
        "within" => compare(Relation::Within, argument, context)?,
        "eq" => compare(Relation::Eq, trimmed, context)?,
        "ne" => compare(Relation::Ne, trimmed, context)?,
        "ge" => compare(Relation::Ge, trimmed, context)?,
        "gt" => compare(Relation::Gt, trimmed, context)?,
        "le" => compare(Relation::Le, trimmed, context)?,
        "lt" => compare(Relation::Lt, trimmed, context)?,
        "ipmatch" => networks(trimmed.split(','))?,
        "ipmatchfromfile" | "ipmatchf" => {
            networks(lines(trimmed, context)?.iter().map(String::as_str))?
        }
        "detectsqli" => Operator::Sqli,
        "detectxss" => Operator::Xss,
        "validatebyterange" => validate::byte_ranges(trimmed)
            .map(Operator::BytesOutside)
            .ok_or_else(|| format!("`{trimmed}` is no list of byte ranges"))?,
        "validateurlencoding" => Operator::BadUrlEncoding,
        "validateutf8encoding" => Operator::BadUtf8,
        "unconditionalmatch" => Operator::Always,
        "nomatch" => Operator::Never,
        _ => return Err(format!("the operator @{name} is not supported")),
    })
}

fn pattern(argument: &str, capture: bool) -> Result<Operator, String> {
    if argument.contains("%{") {
        return Err("a macro inside @rx is not supported".to_owned());
    }
    let translated = pcre::translate(argument);
    let made = if capture {
        Pattern::with_groups(&translated)
    } else {
        Pattern::new(&translated)
    };
    made.map(|pattern| Operator::Pattern(Box::new(pattern)))
}

fn phrases(words: Vec<String>) -> Result<Operator, String> {
    if words.is_empty() {
        return Err("a list of phrases is empty".to_owned());
    }
    Phrases::new(&words)
        .map(|phrases| Operator::Phrases(Box::new(phrases)))
        .map_err(|error| error.to_string())
}

fn compare(
    relation: Relation,
    argument: &str,
    context: &mut Context<'_>,
) -> Result<Operator, String> {
    let operand = target::text(argument, context.names)?;
    Ok(Operator::Compare(Comparison { relation, operand }))
}

fn networks<'a>(items: impl Iterator<Item = &'a str>) -> Result<Operator, String> {
    items
        .map(|item| {
            network::parse(item.trim())
                .ok_or_else(|| format!("`{item}` is neither an address nor a network"))
        })
        .collect::<Result<_, _>>()
        .map(Operator::IpIn)
}

/// The lines of one or more files, without comments.
fn lines(paths: &str, context: &Context<'_>) -> Result<Vec<String>, String> {
    let mut all = Vec::new();
    for path in paths.split_whitespace() {
        let text = context.files.read(context.source, path)?;
        let kept = text
            .lines()
            .map(str::trim)
            .filter(|line| !line.is_empty() && !line.starts_with('#'));
        all.extend(kept.map(str::to_owned));
    }
    Ok(all)
}

//! `@name argument` → an operator.

use super::{Files, target};
use crate::{
    operator::{
        Checksum, Comparison, Operator, Pattern, Phrases, Relation, made::Made, network, validate,
    },
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
    /// What works otherwise than its author may expect.
    pub(super) warnings: &'a mut Vec<String>,
}

/// Operators that there cannot be here, and why.
const REFUSED: &[(&str, &str)] = &[
    (
        "validatedtd",
        "no document may bring or name a DTD: bodies with one are refused",
    ),
    ("validateschema", "schemas are the application's"),
    ("inspectfile", "rules run no programs"),
    ("fuzzyhash", "there is no store of fuzzy hashes"),
    ("gsblookup", "rules ask nobody on the network"),
    (
        "rsub",
        "rules do not change what passes: see the check `response_headers` and `pii`",
    ),
    ("validatehash", "links are not signed"),
    ("pmfromdataset", "lists are read from files: @pmFromFile"),
    (
        "ipmatchfromdataset",
        "lists are read from files: @ipMatchFromFile",
    ),
    ("restpath", "say it as a pattern: @rx"),
    (
        "validatenid",
        "only cards, CPF, SSN and SVNR have their operators",
    ),
];

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
        "rx" => pattern(argument, context)?,
        "rxglobal" => Operator::Pattern(Box::new(Pattern::every(argument)?)),
        "verifycc" => number(argument, Checksum::Card)?,
        "verifycpf" => number(argument, Checksum::Cpf)?,
        "verifyssn" => number(argument, Checksum::Ssn)?,
        "verifysvnr" => number(argument, Checksum::Svnr)?,
        "geolookup" => Operator::GeoLookup,
        "rbl" => {
            let why = "@rbl never matches: rules ask no name server (an `ip` check reads lists)";
            context.warnings.push(why.to_owned());
            Operator::Never
        }
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
        lower => {
            let known = REFUSED.iter().find(|(known, _)| *known == lower);
            let why = known.map_or_else(String::new, |(_, why)| format!(": {why}"));
            return Err(format!("the operator @{name} is not supported{why}"));
        }
    })
}

fn pattern(argument: &str, context: &mut Context<'_>) -> Result<Operator, String> {
    if target::has_macro(argument, context.names) {
        let text = target::text(argument, context.names)?;
        return Ok(Operator::Made(Made { text }));
    }
    Pattern::pcre(argument, context.capture).map(|pattern| Operator::Pattern(Box::new(pattern)))
}

fn number(argument: &str, checksum: Checksum) -> Result<Operator, String> {
    let pattern = Pattern::pcre(argument, false)?;
    if !pattern.is_plain() {
        return Err("look-around and back references are not supported here".to_owned());
    }
    Ok(Operator::Number(Box::new(pattern), checksum))
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

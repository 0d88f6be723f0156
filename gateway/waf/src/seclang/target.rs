//! The variables of a rule and the macros in its texts → targets.

use super::xpath;
use crate::{
    operator::{pattern, pcre},
    text::{Names, Own, Part, Text},
    variable::{
        DYNAMIC, SECLANG, SECLANG_MEMBERS, SECLANG_REFUSED, Selector, Target, Variable, Variables,
        WRITTEN,
    },
};

/// Included and excluded targets.
pub(super) fn targets(text: &str, names: &mut Names) -> Result<(Vec<Target>, Vec<Target>), String> {
    let (mut include, mut except) = (Vec::new(), Vec::new());
    for item in split(text) {
        match item.strip_prefix('!') {
            Some(item) => except.push(target(item, names)?),
            None => include.push(target(item, names)?),
        }
    }
    Ok((include, except))
}

/// Splits at `|`, except inside `/patterns/`.
fn split(text: &str) -> Vec<&str> {
    let mut items = Vec::new();
    let mut rest = text.trim().trim_matches('\'');
    while !rest.is_empty() {
        let pattern = rest.find(":/").filter(|at| {
            !rest.get(..*at).is_some_and(|name| {
                name.contains('|') || name.trim_start_matches(['!', '&']) == "XML"
            })
        });
        let end = match pattern {
            Some(at) => rest.get(at + 2..).and_then(closing).map(|end| at + 3 + end),
            None => rest.find('|'),
        };
        let (item, after) =
            rest.split_at(end.filter(|end| *end <= rest.len()).unwrap_or(rest.len()));
        items.push(item.trim());
        rest = after.strip_prefix('|').unwrap_or(after);
    }
    items
}

/// The `/` that ends a pattern: unescaped and followed by `|` or nothing.
fn closing(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    (0..bytes.len()).find(|&at| {
        bytes.get(at) == Some(&b'/')
            && matches!(bytes.get(at + 1), None | Some(b'|' | b'\''))
            && at.checked_sub(1).and_then(|before| bytes.get(before)) != Some(&b'\\')
    })
}

/// One target: `ARGS`, `&TX:x`, `REQUEST_HEADERS:User-Agent`, `ARGS:/^x/`, `XML:/*`.
pub(super) fn target(text: &str, names: &mut Names) -> Result<Target, String> {
    let (count, text) = match text.strip_prefix('&') {
        Some(text) => (true, text),
        None => (false, text),
    };
    let (name, member) = match text.split_once([':', '.']) {
        Some((name, member)) => (name, Some(member.trim_matches('\''))),
        None => (text, None),
    };
    let name = name.trim().to_ascii_uppercase();
    if let Some((label, variable, member)) =
        SECLANG_MEMBERS.iter().find(|(known, ..)| *known == name)
    {
        return Ok(Target {
            variables: Variables::of(&[*variable]),
            selector: Selector::Name(member.as_bytes().into()),
            count,
            label,
            slot: None,
            slots: Box::default(),
        });
    }
    let Some((label, variables)) = SECLANG.iter().find(|(known, _)| *known == name) else {
        return Err(
            match SECLANG_REFUSED.iter().find(|(known, _)| *known == name) {
                Some((_, why)) => format!("the variable {name} is not supported: {why}"),
                None => format!("unknown variable {name}"),
            },
        );
    };
    if name == "XML" {
        let (variable, selector) = xpath::read(member.unwrap_or_default())?;
        return Ok(Target {
            variables: Variables::of(&[variable]),
            selector,
            count,
            label,
            slot: None,
            slots: Box::default(),
        });
    }
    let selector = selector(member)?;
    let slot = match (&selector, written(*variables)) {
        (Selector::Name(name), Some(scope)) => Some(names.slot(scope, name)),
        _ => None,
    };
    Ok(Target {
        variables: *variables,
        selector,
        count,
        label,
        slot,
        slots: Box::default(),
    })
}

/// The collection, when rules write it.
fn written(variables: Variables) -> Option<Variable> {
    variables.iter().find(|variable| WRITTEN.has(*variable))
}

/// A collection that rules write, by its name.
pub(super) fn collection(name: &str) -> Option<Variable> {
    let name = name.trim().to_ascii_uppercase();
    let (_, variables) = SECLANG.iter().find(|(known, _)| *known == name)?;
    written(*variables)
}

fn selector(member: Option<&str>) -> Result<Selector, String> {
    Ok(match member {
        None | Some("") => Selector::All,
        Some(member) => match member
            .strip_prefix('/')
            .and_then(|rest| rest.strip_suffix('/'))
        {
            Some(text) => Selector::Pattern(Box::new(pattern::selector(&pcre::translate(text))?)),
            None => Selector::Name(member.to_ascii_lowercase().into_bytes().into()),
        },
    })
}

/// A text with its macros found.
pub(super) fn text(text: &str, names: &mut Names) -> Result<Text, String> {
    let mut parts = Vec::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("%{") {
        if !before.is_empty() {
            parts.push(Part::Literal(before.as_bytes().into()));
        }
        let Some((name, beyond)) = after.split_once('}') else {
            return Err(format!("a macro is not closed: {text}"));
        };
        parts.push(part(name, names)?);
        rest = beyond;
    }
    if !rest.is_empty() {
        parts.push(Part::Literal(rest.as_bytes().into()));
    }
    Ok(Text::new(parts))
}

/// Whether a text holds a macro, and no more than something that looks like one.
pub(super) fn has_macro(text: &str, names: &mut Names) -> bool {
    let mut rest = text;
    while let Some((_, after)) = rest.split_once("%{") {
        let Some((name, beyond)) = after.split_once('}') else {
            return false;
        };
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-:".contains(&byte);
        if name.bytes().all(plain) && part(name, names).is_ok() {
            return true;
        }
        rest = beyond;
    }
    false
}

fn part(name: &str, names: &mut Names) -> Result<Part, String> {
    let upper = name.to_ascii_uppercase();
    Ok(match upper.as_str() {
        "MATCHED_VAR" => Part::MatchedVar,
        "MATCHED_VAR_NAME" => Part::MatchedVarName,
        _ => match upper.strip_prefix("RULE.").and_then(Own::of) {
            Some(own) => Part::Own(own),
            None => {
                let target = target(name, names)?;
                match target.slot {
                    Some(slot) => Part::Tx(slot),
                    None if target.variables.intersects(DYNAMIC) => Part::Dynamic(Box::new(target)),
                    None => Part::Value(Box::new(target)),
                }
            }
        },
    })
}

//! The action `ctl`: what a match changes about the rest of the evaluation.

use super::{Engine, engine, rule::id_range, target, which};
use crate::{
    body::Kind,
    rule::{Action, Which},
    text::Names,
};

/// Accepted without effect: the audit and debug logs, and limits that the policy sets.
const SILENT: &[&str] = &[
    "auditengine",
    "auditlogparts",
    "debugloglevel",
    "requestbodylimit",
    "responsebodylimit",
    "argumentslimit",
];

pub(super) fn read(text: &str, names: &mut Names) -> Result<Option<Action>, String> {
    let (name, value) = text.split_once('=').unwrap_or((text, ""));
    let (name, value) = (name.trim().to_ascii_lowercase(), value.trim());
    let (first, second) = value.split_once(';').unwrap_or((value, ""));
    let mut without = |which| Ok(Some(Action::RemoveTarget(which, removed(second, names)?)));
    Ok(Some(match name.as_str() {
        "ruleremovebyid" => Action::Remove(Which::Ids(vec![id_range(value)?])),
        "ruleremovebytag" => Action::Remove(Which::Tag(which(value)?)),
        "ruleremovebymsg" => Action::Remove(Which::Msg(which(value)?)),
        "ruleremovetargetbyid" => return without(Which::Ids(vec![id_range(first)?])),
        "ruleremovetargetbytag" => return without(Which::Tag(which(first)?)),
        "ruleremovetargetbymsg" => return without(Which::Msg(which(first)?)),
        // The old name; it could also add targets, which rules under way cannot.
        "ruleupdatetargetbyid" | "ruleupdatetargetbytag" | "ruleupdatetargetbymsg" => {
            let Some(target) = second.trim().strip_prefix('!') else {
                return Err(format!("ctl:{name} takes targets away only: `!ARGS:x`"));
            };
            let which = match name.as_str() {
                "ruleupdatetargetbyid" => Which::Ids(vec![id_range(first)?]),
                "ruleupdatetargetbytag" => Which::Tag(which(first)?),
                _ => Which::Msg(which(first)?),
            };
            Action::RemoveTarget(which, removed(target, names)?)
        }
        "requestbodyprocessor" => {
            Action::BodyProcessor(match value.to_ascii_uppercase().as_str() {
                "URLENCODED" => Some(Kind::Form),
                "JSON" => Some(Kind::Json),
                "XML" => Some(Kind::Xml),
                "MULTIPART" => Some(Kind::Multipart),
                _ => return Err(format!("unknown body processor {value}")),
            })
        }
        "ruleengine" => match engine(value)? {
            // As one removal of all rules, so that what follows is known to be dead.
            Engine::Off => Action::Remove(Which::Ids(vec![(0, u32::MAX)])),
            engine => Action::Engine(engine),
        },
        "forcerequestbodyvariable" => Action::ForceBody(switch(value)?),
        "requestbodyaccess" => Action::ReadBody(switch(value)?),
        "responsebodyaccess" => Action::ReadResponse(switch(value)?),
        other if SILENT.contains(&other) => return Ok(None),
        "hashengine" | "hashenforcement" => {
            return Err(format!("ctl:{name} is not supported: links are not signed"));
        }
        "responsebodyprocessor" => {
            let why = "answers are read as text, whatever their type";
            return Err(format!("ctl:{name} is not supported: {why}"));
        }
        other => return Err(format!("ctl:{other} is not supported")),
    }))
}

fn removed(text: &str, names: &mut Names) -> Result<crate::variable::Target, String> {
    target::target(text.trim(), names)
}

fn switch(text: &str) -> Result<bool, String> {
    match text.to_ascii_lowercase().as_str() {
        "on" => Ok(true),
        "off" => Ok(false),
        _ => Err(format!("On or Off, not `{text}`")),
    }
}

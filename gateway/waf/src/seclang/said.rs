//! What the action list of one SecRule says, before defaults: each action by its name, what it takes, what is refused.

use std::sync::Arc;

use super::{actions::Item, ctl, target};
use crate::{
    rule::{Action, Change, Name, Phase, Reply, Severity},
    text::Names,
    transform::Transform,
    variable::Variable,
};

/// The disruptive action as written.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Disruption {
    Pass,
    Block,
    Deny,
    Allow,
    AllowPhase,
    AllowRequest,
}

/// Where a match goes on.
#[derive(Clone)]
pub(super) enum Skip {
    After(String),
    /// Past so many rules of the same phase.
    Rules(usize),
}

#[derive(Default)]
pub(super) struct Said {
    pub(super) id: Option<u32>,
    pub(super) phase: Option<Phase>,
    pub(super) msg: Option<String>,
    pub(super) data: Option<String>,
    pub(super) rev: String,
    pub(super) severity: Option<(Severity, u8)>,
    pub(super) tags: Vec<Arc<str>>,
    pub(super) pipeline: Vec<Transform>,
    /// `t:none` was said: the default pipeline does not come first.
    pub(super) bare: bool,
    pub(super) multi: bool,
    pub(super) capture: bool,
    pub(super) chain: bool,
    pub(super) log: Option<bool>,
    pub(super) disruption: Option<Disruption>,
    pub(super) reply: Option<Box<Reply>>,
    pub(super) skip: Option<Skip>,
    pub(super) actions: Vec<Action>,
}

/// Accepted without effect: descriptions; the audit log, in whose place there are events, which mask every value;
/// prefixes of XML, whose paths are compared without them.
const SILENT: &[&str] = &[
    "ver",
    "maturity",
    "accuracy",
    "auditlog",
    "noauditlog",
    "sanitisematched",
    "sanitisematchedbytes",
    "sanitisearg",
    "sanitiserequestheader",
    "sanitiseresponseheader",
    "sanitizematched",
    "sanitizematchedbytes",
    "sanitizearg",
    "sanitizerequestheader",
    "sanitizeresponseheader",
    "xmlns",
];

/// Actions that there cannot be here, and why.
const REFUSED: &[(&str, &str)] = &[
    ("exec", "rules run no programs"),
    ("proxy", "where a request goes is the route's business"),
    (
        "pause",
        "a connection that waits costs the gateway, not the attacker: see the check `rate_limit`",
    ),
    ("append", "bodies are not changed"),
    ("prepend", "bodies are not changed"),
];

impl Said {
    pub(super) fn take(&mut self, item: &Item<'_>, names: &mut Names) -> Result<(), String> {
        let value = item.value.as_ref();
        match item.name.as_str() {
            "id" => self.id = Some(value.parse().map_err(|_| format!("`{value}` is no id"))?),
            "phase" => self.phase = Some(phase(value)?),
            "msg" => self.msg = Some(value.to_owned()),
            "logdata" => self.data = Some(value.to_owned()),
            "rev" => value.clone_into(&mut self.rev),
            "severity" => self.severity = Some(severity(value)?),
            "tag" => self.tags.push(value.into()),
            "t" => self.transform(value)?,
            "multimatch" => self.multi = true,
            "capture" => self.capture = true,
            "chain" => self.chain = true,
            "log" => self.log = Some(true),
            "nolog" => self.log = Some(false),
            "skipafter" => self.skip = Some(Skip::After(value.to_owned())),
            "skip" => {
                let count = value.parse().ok().filter(|count| *count > 0);
                self.skip =
                    Some(Skip::Rules(count.ok_or_else(|| {
                        format!("skip takes a number, not `{value}`")
                    })?));
            }
            "pass" | "block" | "deny" | "drop" | "redirect" | "allow" | "status" => {
                self.disrupt(&item.name, value, names)?;
            }
            "ctl" => self.actions.extend(ctl::read(value, names)?),
            other if SILENT.contains(&other) => {}
            other => match action(other, value, names)? {
                Some(action) => self.actions.push(action),
                None => {
                    let known = REFUSED.iter().find(|(known, _)| *known == other);
                    let why = known.map_or_else(String::new, |(_, why)| format!(": {why}"));
                    return Err(format!("the action {other} is not supported{why}"));
                }
            },
        }
        Ok(())
    }

    fn disrupt(&mut self, name: &str, value: &str, names: &mut Names) -> Result<(), String> {
        let disruption = match name {
            "pass" => Disruption::Pass,
            "block" => Disruption::Block,
            "deny" => Disruption::Deny,
            "drop" => {
                self.reply.get_or_insert_default().drop = true;
                Disruption::Deny
            }
            "redirect" => {
                self.reply.get_or_insert_default().redirect = Some(target::text(value, names)?);
                Disruption::Deny
            }
            "status" => {
                let status = value
                    .parse()
                    .ok()
                    .filter(|status| (100..600).contains(status));
                let status = status.ok_or_else(|| format!("`{value}` is no status"))?;
                self.reply.get_or_insert_default().status = Some(status);
                return Ok(());
            }
            _ => match value.to_ascii_lowercase().as_str() {
                "" => Disruption::Allow,
                "phase" => Disruption::AllowPhase,
                "request" => Disruption::AllowRequest,
                _ => return Err(format!("allow takes phase or request, not `{value}`")),
            },
        };
        self.disruption = Some(disruption);
        Ok(())
    }

    fn transform(&mut self, name: &str) -> Result<(), String> {
        match Transform::from_name(name.trim()) {
            Some(Transform::None) => {
                self.pipeline.clear();
                self.bare = true;
            }
            Some(transform) => self.pipeline.push(transform),
            None => return Err(format!("unknown transformation {name}")),
        }
        Ok(())
    }
}

/// Actions that change what rules remember; nothing for other names.
fn action(name: &str, value: &str, names: &mut Names) -> Result<Option<Action>, String> {
    Ok(Some(match name {
        "setvar" => setvar(value, names)?,
        "setenv" => {
            let text = value
                .strip_prefix('!')
                .map_or_else(|| format!("ENV.{value}"), |rest| format!("!ENV.{rest}"));
            setvar(&text, names)?
        }
        "expirevar" => {
            let (variable, after) = value
                .split_once('=')
                .ok_or("expirevar takes a variable and seconds")?;
            Action::Expire(variable_name(variable, names)?, target::text(after, names)?)
        }
        "deprecatevar" => {
            let (variable, by) = value
                .split_once('=')
                .ok_or("deprecatevar takes a variable and amount/seconds")?;
            if !by.contains('/') {
                return Err(format!("deprecatevar takes amount/seconds, not `{by}`"));
            }
            Action::Deprecate(variable_name(variable, names)?, target::text(by, names)?)
        }
        "initcol" => {
            let (collection, key) = value
                .split_once('=')
                .ok_or("initcol takes a collection and a key")?;
            let scope = target::collection(collection).filter(|scope| kept(*scope));
            let scope = scope.ok_or_else(|| {
                format!("initcol knows IP, GLOBAL, SESSION, USER and RESOURCE, not {collection}")
            })?;
            Action::Keep(scope, target::text(key, names)?)
        }
        "setsid" => Action::Keep(Variable::Session, target::text(value, names)?),
        "setuid" => Action::Keep(Variable::User, target::text(value, names)?),
        "setrsc" => Action::Keep(Variable::Resource, target::text(value, names)?),
        _ => return Ok(None),
    }))
}

/// Collections that outlive a request.
const fn kept(scope: Variable) -> bool {
    matches!(
        scope,
        Variable::Ip | Variable::Global | Variable::Session | Variable::User | Variable::Resource
    )
}

fn setvar(text: &str, names: &mut Names) -> Result<Action, String> {
    let (unset, text) = match text.strip_prefix('!') {
        Some(text) => (true, text),
        None => (false, text),
    };
    let (variable, value) = text.split_once('=').unwrap_or((text, "1"));
    let name = variable_name(variable, names)?;
    let change = match value.split_at_checked(1) {
        _ if unset => Change::Unset,
        Some(("+", by)) => Change::Add(target::text(by, names)?),
        Some(("-", by)) => Change::Subtract(target::text(by, names)?),
        _ => Change::Assign(target::text(value, names)?),
    };
    Ok(Action::Set(name, change))
}

/// `tx.score`, `ip.%{…}`.
fn variable_name(text: &str, names: &mut Names) -> Result<Name, String> {
    let Some((collection, name)) = text.trim().split_once(['.', ':']) else {
        return Err(format!("name a collection and a variable, not `{text}`"));
    };
    let scope = target::collection(collection).filter(|scope| *scope != Variable::Geo);
    let scope = scope.ok_or_else(|| format!("rules cannot write {collection}"))?;
    Ok(if name.contains("%{") {
        Name::Made(scope, target::text(name, names)?)
    } else {
        Name::Slot(names.slot(scope, name.as_bytes()))
    })
}

fn phase(text: &str) -> Result<Phase, String> {
    Ok(match text.trim().to_ascii_lowercase().as_str() {
        "1" => Phase::RequestHeaders,
        "2" | "request" => Phase::RequestBody,
        "3" => Phase::ResponseHeaders,
        "4" | "response" => Phase::ResponseBody,
        "5" | "logging" => Phase::Logging,
        _ => return Err(format!("unknown phase {text}")),
    })
}

/// SecLang's eight levels, and ours: what is worse than critical is critical, what is milder than a notice is a notice.
fn severity(text: &str) -> Result<(Severity, u8), String> {
    const NAMES: [&str; 8] = [
        "EMERGENCY",
        "ALERT",
        "CRITICAL",
        "ERROR",
        "WARNING",
        "NOTICE",
        "INFO",
        "DEBUG",
    ];
    let text = text.trim().to_ascii_uppercase();
    let level = (0..)
        .zip(NAMES)
        .find(|(level, name)| *name == text || text.parse() == Ok(*level));
    let (level, _) = level.ok_or_else(|| format!("unknown severity {text}"))?;
    let severity = match level {
        0..=2 => Severity::Critical,
        3 => Severity::Error,
        4 => Severity::Warning,
        _ => Severity::Notice,
    };
    Ok((severity, level))
}

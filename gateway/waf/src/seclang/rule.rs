//! One SecRule or SecAction → a rule, or a link of the chain that is open. What the actions mean is here.

use std::sync::Arc;

use super::{
    Defaults, Files,
    actions::{self, Item},
    operator::{self, Context},
    target,
};
use crate::{
    body::Kind,
    rule::{Action, Change, Effect, Link, Name, Origin, Phase, Rule, Severity, Test, Which},
    text::Names,
    transform::Transform,
    variable::Target,
};

/// A rule as read, and what only the whole ruleset can settle.
pub(super) struct Read {
    pub(super) rule: Rule,
    pub(super) skip_after: Option<String>,
    /// The next SecRule is another link of this one.
    pub(super) chain: bool,
}

/// Everything a rule is read with.
pub(super) struct Reader<'a> {
    pub(super) names: &'a mut Names,
    pub(super) files: &'a dyn Files,
    pub(super) defaults: &'a [Defaults; 5],
    pub(super) source: &'a str,
}

/// The disruptive action as written.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Disruption {
    Pass,
    Block,
    Deny,
    Allow,
    AllowPhase,
}

/// What the action list says, before defaults.
#[derive(Default)]
struct Said {
    id: Option<u32>,
    phase: Option<Phase>,
    msg: String,
    severity: Option<Severity>,
    tags: Vec<Arc<str>>,
    pipeline: Vec<Transform>,
    /// `t:none` was said: the default pipeline does not come first.
    bare: bool,
    multi: bool,
    capture: bool,
    chain: bool,
    log: Option<bool>,
    disruption: Option<Disruption>,
    skip_after: Option<String>,
    actions: Vec<Action>,
}

impl Reader<'_> {
    /// `variables` and `operator` are absent for SecAction.
    pub(super) fn first(
        &mut self,
        origin: Origin,
        condition: Option<(&str, &str)>,
        actions: &str,
    ) -> Result<Read, String> {
        let said = self.said(actions)?;
        let phase = said.phase.unwrap_or(Phase::RequestBody);
        let defaults = self
            .defaults
            .get(phase as usize)
            .cloned()
            .unwrap_or_default();
        let Some(id) = said.id else {
            return Err("a rule needs an id".to_owned());
        };
        let effect = match said.disruption {
            None | Some(Disruption::Block) => defaults.effect,
            Some(Disruption::Pass) => Effect::Pass,
            Some(Disruption::Deny) => Effect::Deny,
            Some(Disruption::Allow) => Effect::Allow,
            Some(Disruption::AllowPhase) => Effect::AllowPhase,
        };
        let message = if said.msg.contains("%{") {
            Some(target::text(&said.msg, self.names)?)
        } else {
            None
        };
        let rule = Rule {
            id,
            phase: Some(phase),
            origin,
            msg: said.msg.as_str().into(),
            message,
            severity: said.severity,
            tags: said.tags.clone().into(),
            effect,
            log: said.log.unwrap_or(defaults.log),
            links: Vec::new(),
            skip_to: None,
        };
        let mut read = Read {
            rule,
            skip_after: said.skip_after.clone(),
            chain: said.chain,
        };
        read.rule.links.push(self.link(condition, said, &defaults)?);
        Ok(read)
    }

    /// A further link.
    pub(super) fn further(
        &mut self,
        read: &mut Read,
        condition: (&str, &str),
        actions: &str,
    ) -> Result<(), String> {
        let said = self.said(actions)?;
        let phase = read.rule.phase.unwrap_or(Phase::RequestBody);
        let defaults = self
            .defaults
            .get(phase as usize)
            .cloned()
            .unwrap_or_default();
        read.chain = said.chain;
        if said.skip_after.is_some() {
            read.skip_after.clone_from(&said.skip_after);
        }
        read.rule
            .links
            .push(self.link(Some(condition), said, &defaults)?);
        Ok(())
    }

    fn link(
        &mut self,
        condition: Option<(&str, &str)>,
        said: Said,
        defaults: &Defaults,
    ) -> Result<Link, String> {
        let (mut targets, mut except, mut tests) =
            (Vec::<Target>::new(), Vec::new(), Vec::<Test>::new());
        if let Some((variables, text)) = condition {
            (targets, except) = target::targets(variables, self.names)?;
            if targets.is_empty() {
                return Err("a rule looks at something: name at least one variable".to_owned());
            }
            let mut context = Context {
                names: self.names,
                files: self.files,
                source: self.source,
                capture: said.capture,
            };
            tests.push(operator::test(text, &mut context)?);
        }
        let mut pipeline = if said.bare {
            Vec::new()
        } else {
            defaults.pipeline.clone()
        };
        pipeline.extend(said.pipeline);
        Ok(Link {
            targets,
            except,
            pipeline,
            tests,
            all: false,
            multi: said.multi,
            capture: said.capture,
            actions: said.actions,
        })
    }

    fn said(&mut self, text: &str) -> Result<Said, String> {
        let mut said = Said::default();
        for item in actions::split(text)? {
            self.item(&item, &mut said)?;
        }
        Ok(said)
    }

    fn item(&mut self, item: &Item<'_>, said: &mut Said) -> Result<(), String> {
        let value = item.value.as_ref();
        match item.name.as_str() {
            "id" => said.id = Some(value.parse().map_err(|_| format!("`{value}` is no id"))?),
            "phase" => said.phase = Some(phase(value)?),
            "msg" => value.clone_into(&mut said.msg),
            "severity" => said.severity = Some(severity(value)?),
            "tag" => said.tags.push(value.into()),
            "t" => transform(value, said)?,
            "multimatch" => said.multi = true,
            "capture" => said.capture = true,
            "chain" => said.chain = true,
            "log" => said.log = Some(true),
            "nolog" => said.log = Some(false),
            "pass" => said.disruption = Some(Disruption::Pass),
            "block" => said.disruption = Some(Disruption::Block),
            // A gateway has one way to refuse: redirects and dropped connections are refusals.
            "deny" | "drop" | "redirect" => said.disruption = Some(Disruption::Deny),
            "allow" if value.eq_ignore_ascii_case("phase") => {
                said.disruption = Some(Disruption::AllowPhase)
            }
            "allow" => said.disruption = Some(Disruption::Allow),
            "skipafter" => said.skip_after = Some(value.to_owned()),
            "setvar" => said.actions.push(self.setvar(value)?),
            "ctl" => said.actions.extend(self.ctl(value)?),
            // Descriptions, the audit log, and collections that live as long as the request here.
            "logdata"
            | "ver"
            | "rev"
            | "maturity"
            | "accuracy"
            | "auditlog"
            | "noauditlog"
            | "status"
            | "initcol"
            | "setsid"
            | "setuid"
            | "sanitisematched"
            | "sanitisearg"
            | "sanitisematchedbytes" => {}
            other => return Err(format!("the action {other} is not supported")),
        }
        Ok(())
    }

    fn setvar(&mut self, text: &str) -> Result<Action, String> {
        let (unset, text) = match text.strip_prefix('!') {
            Some(text) => (true, text),
            None => (false, text),
        };
        let (variable, value) = text.split_once('=').unwrap_or((text, "1"));
        let Some((collection, name)) = variable.trim().split_once(['.', ':']) else {
            return Err(format!("setvar names a collection and a variable: {text}"));
        };
        let name = if collection.eq_ignore_ascii_case("tx") {
            name.to_owned()
        } else {
            format!("{collection}.{name}")
        };
        let name = if name.contains("%{") {
            Name::Made(target::text(&name, self.names)?)
        } else {
            Name::Slot(self.names.slot(name.as_bytes()))
        };
        let change = match value.split_at_checked(1) {
            _ if unset => Change::Unset,
            Some(("+", by)) => Change::Add(target::text(by, self.names)?),
            Some(("-", by)) => Change::Subtract(target::text(by, self.names)?),
            _ => Change::Assign(target::text(value, self.names)?),
        };
        Ok(Action::Set(name, change))
    }

    fn ctl(&mut self, text: &str) -> Result<Option<Action>, String> {
        let (name, value) = text.split_once('=').unwrap_or((text, ""));
        let (which, what) = value.split_once(';').unwrap_or((value, ""));
        let mut remove_target = |which| {
            Ok(Some(Action::RemoveTarget(
                which,
                target::target(what.trim(), self.names)?,
            )))
        };
        match name.trim().to_ascii_lowercase().as_str() {
            "ruleremovebyid" => Ok(Some(Action::Remove(Which::Ids(vec![id_range(value)?])))),
            "ruleremovebytag" => Ok(Some(Action::Remove(Which::Tag(value.into())))),
            "ruleremovebymsg" => Ok(Some(Action::Remove(Which::Msg(value.into())))),
            "ruleremovetargetbyid" => remove_target(Which::Ids(vec![id_range(which)?])),
            "ruleremovetargetbytag" => remove_target(Which::Tag(which.into())),
            "ruleremovetargetbymsg" => remove_target(Which::Msg(which.into())),
            "requestbodyprocessor" => Ok(Some(Action::BodyProcessor(
                match value.to_ascii_uppercase().as_str() {
                    "URLENCODED" => Some(Kind::Form),
                    "JSON" => Some(Kind::Json),
                    "XML" => Some(Kind::Xml),
                    "MULTIPART" => Some(Kind::Multipart),
                    _ => return Err(format!("unknown body processor {value}")),
                },
            ))),
            "ruleengine" if value.eq_ignore_ascii_case("off") => {
                Ok(Some(Action::Remove(Which::Ids(vec![(0, u32::MAX)]))))
            }
            // Bodies are read wherever a rule asks, and there is no audit log.
            "auditengine"
            | "auditlogparts"
            | "forcerequestbodyvariable"
            | "requestbodyaccess"
            | "responsebodyaccess"
            | "debugloglevel" => Ok(None),
            other => Err(format!("ctl:{other} is not supported")),
        }
    }
}

/// The default actions of a phase.
pub(super) fn defaults(text: &str) -> Result<(Phase, Defaults), String> {
    let mut defaults = Defaults::default();
    let mut at = Phase::RequestBody;
    let mut said = Said::default();
    for item in actions::split(text)? {
        match item.name.as_str() {
            "phase" => at = phase(&item.value)?,
            "deny" | "drop" | "redirect" => defaults.effect = Effect::Deny,
            "pass" => defaults.effect = Effect::Pass,
            "allow" => defaults.effect = Effect::Allow,
            "log" => defaults.log = true,
            "nolog" => defaults.log = false,
            "t" => transform(&item.value, &mut said)?,
            "auditlog" | "noauditlog" | "status" | "tag" => {}
            other => return Err(format!("{other} is no default action")),
        }
    }
    defaults.pipeline = said.pipeline;
    Ok((at, defaults))
}

fn transform(name: &str, said: &mut Said) -> Result<(), String> {
    match Transform::from_name(name.trim()) {
        Some(Transform::None) => {
            said.pipeline.clear();
            said.bare = true;
        }
        Some(transform) => said.pipeline.push(transform),
        None => return Err(format!("unknown transformation {name}")),
    }
    Ok(())
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

/// Eight levels become four: what is worse than critical is critical, what is milder than a notice is a notice.
fn severity(text: &str) -> Result<Severity, String> {
    Ok(match text.trim().to_ascii_uppercase().as_str() {
        "0" | "1" | "2" | "EMERGENCY" | "ALERT" | "CRITICAL" => Severity::Critical,
        "3" | "ERROR" => Severity::Error,
        "4" | "WARNING" => Severity::Warning,
        "5" | "6" | "7" | "NOTICE" | "INFO" | "DEBUG" => Severity::Notice,
        _ => return Err(format!("unknown severity {text}")),
    })
}

/// `942100` or `942000-942999`.
pub(super) fn id_range(text: &str) -> Result<(u32, u32), String> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let parse = |text: &str| {
        text.trim()
            .parse()
            .map_err(|_| format!("`{text}` is no id"))
    };
    Ok((parse(first)?, parse(last)?))
}

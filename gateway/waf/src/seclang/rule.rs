//! One SecRule or SecAction → a rule, or a link of the chain that is open.

use super::{
    Defaults, Files, actions,
    operator::{self, Context},
    said::{Disruption, Said, Skip},
    target,
};
use crate::{
    rule::{Effect, Link, Origin, Phase, Reply, Rule, Test},
    text::{Names, Text},
    variable::Target,
};

/// A rule as read, and what only the whole ruleset can settle.
pub(super) struct Read {
    pub(super) rule: Rule,
    pub(super) skip: Option<Skip>,
    /// The next SecRule is another link of this one.
    pub(super) chain: bool,
}

/// Everything a rule is read with.
pub(super) struct Reader<'a> {
    pub(super) names: &'a mut Names,
    pub(super) files: &'a dyn Files,
    pub(super) defaults: &'a [Defaults; 5],
    pub(super) source: &'a str,
    pub(super) warnings: &'a mut Vec<String>,
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
        let defaults = self.defaults_of(Some(phase));
        let Some(id) = said.id else {
            return Err("a rule needs an id".to_owned());
        };
        let rule = Rule {
            id,
            phase: Some(phase),
            origin,
            msg: said.msg.as_deref().unwrap_or_default().into(),
            message: self.message(&said)?,
            data: said
                .data
                .as_deref()
                .map(|text| target::text(text, self.names))
                .transpose()?,
            severity: said.severity.map(|(severity, _)| severity),
            level: said.severity.map(|(_, level)| level),
            rev: said.rev.as_str().into(),
            tags: said.tags.clone().into(),
            effect: effect(said.disruption, &defaults).unwrap_or(defaults.effect),
            reply: reply(&said, &defaults),
            log: said.log.unwrap_or(defaults.log),
            links: Vec::new(),
            skip_to: None,
        };
        let mut read = Read {
            rule,
            skip: said.skip.clone(),
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
        let defaults = self.defaults_of(read.rule.phase);
        read.chain = said.chain;
        if said.skip.is_some() {
            read.skip.clone_from(&said.skip);
        }
        let link = self.link(Some(condition), said, &defaults)?;
        read.rule.links.push(link);
        Ok(())
    }

    /// SecRuleUpdateActionById: what is said takes the place of what the rule said; actions and tags are added.
    pub(super) fn update(
        &mut self,
        rule: &mut Rule,
        link: usize,
        actions: &str,
    ) -> Result<(), String> {
        let said = self.said(actions)?;
        if said.id.is_some() || said.phase.is_some() || said.chain {
            return Err("id, phase and chain of a rule cannot be changed".to_owned());
        }
        if said.skip.is_some() {
            return Err("a rule cannot be made to skip others afterwards".to_owned());
        }
        let defaults = self.defaults_of(rule.phase);
        if let Some(effect) = effect(said.disruption, &defaults) {
            rule.effect = effect;
        }
        if said.reply.is_some() {
            rule.reply = reply(&said, &defaults);
        }
        if let Some(msg) = &said.msg {
            rule.msg = msg.as_str().into();
            rule.message = self.message(&said)?;
        }
        if let Some(data) = &said.data {
            rule.data = Some(target::text(data, self.names)?);
        }
        if let Some((severity, level)) = said.severity {
            (rule.severity, rule.level) = (Some(severity), Some(level));
        }
        rule.log = said.log.unwrap_or(rule.log);
        rule.tags = rule.tags.iter().cloned().chain(said.tags).collect();
        let own = rule.links.get_mut(link);
        let own = own.ok_or_else(|| format!("the rule has no link {link}"))?;
        if said.bare {
            own.pipeline.clear();
        }
        own.pipeline.extend(said.pipeline);
        own.actions.extend(said.actions);
        own.multi |= said.multi;
        Ok(())
    }

    fn defaults_of(&self, phase: Option<Phase>) -> Defaults {
        let phase = phase.unwrap_or(Phase::RequestBody);
        self.defaults
            .get(phase as usize)
            .cloned()
            .unwrap_or_default()
    }

    fn message(&mut self, said: &Said) -> Result<Option<Text>, String> {
        let text = said.msg.as_deref().filter(|text| text.contains("%{"));
        text.map(|text| target::text(text, self.names)).transpose()
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
                warnings: self.warnings,
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

    pub(super) fn said(&mut self, text: &str) -> Result<Said, String> {
        let mut said = Said::default();
        for item in actions::split(text)? {
            said.take(&item, self.names)?;
        }
        Ok(said)
    }
}

/// What the rule does, if it says so.
fn effect(said: Option<Disruption>, defaults: &Defaults) -> Option<Effect> {
    Some(match said? {
        Disruption::Block => defaults.effect,
        Disruption::Pass => Effect::Pass,
        Disruption::Deny => Effect::Deny,
        Disruption::Allow => Effect::Allow,
        Disruption::AllowPhase => Effect::AllowPhase,
        Disruption::AllowRequest => Effect::AllowRequest,
    })
}

/// A status of its own counts whoever refuses; where a redirect leads, only for the action that says so.
fn reply(said: &Said, defaults: &Defaults) -> Option<Box<Reply>> {
    let blocks = matches!(said.disruption, None | Some(Disruption::Block));
    let inherited = defaults.reply.as_ref().filter(|_| blocks);
    match (&said.reply, inherited) {
        (None, inherited) => inherited.cloned(),
        (Some(own), None) => Some(own.clone()),
        (Some(own), Some(inherited)) => Some(Box::new(Reply {
            status: own.status.or(inherited.status),
            redirect: own.redirect.clone().or_else(|| inherited.redirect.clone()),
            drop: own.drop || inherited.drop,
        })),
    }
}

/// The default actions of a phase.
pub(super) fn defaults(text: &str, names: &mut Names) -> Result<(Phase, Defaults), String> {
    let mut said = Said::default();
    for item in actions::split(text)? {
        match item.name.as_str() {
            "phase" | "deny" | "drop" | "redirect" | "pass" | "allow" | "log" | "nolog" | "t"
            | "auditlog" | "noauditlog" | "status" | "tag" => said.take(&item, names)?,
            other => return Err(format!("{other} is no default action")),
        }
    }
    let phase = said.phase.unwrap_or(Phase::RequestBody);
    let plain = Defaults::default();
    let defaults = Defaults {
        effect: effect(said.disruption, &plain).unwrap_or(plain.effect),
        log: said.log.unwrap_or(plain.log),
        pipeline: said.pipeline,
        reply: said.reply,
    };
    Ok((phase, defaults))
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

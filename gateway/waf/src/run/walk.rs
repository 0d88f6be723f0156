//! Rules in their order: what the scan found and what cannot be scanned ahead, chains, jumps, and what a match
//! changes for the rules after it.

use super::{
    collect::{Value, Values},
    dynamic::Members,
    scan::Found,
    state::{State, write_number},
};
use crate::{
    compile::Program,
    limits::Budget,
    operator::{
        Operator,
        injection::{self, Fingerprint},
        network,
    },
    outside::Outside,
    profile::Profile,
    rule::{Action, Effect, Link, Phase, Rule},
    seclang::Engine,
    tuning::Tuning,
    variable::{DYNAMIC, Selector, Target, Variable},
};

/// What a matching rule is reported with.
pub(crate) struct Report<'a> {
    pub(crate) rule: &'a Rule,
    pub(crate) target: String,
    pub(crate) content: &'a [u8],
}

/// Hears of every rule that matched as a whole; false ends the phase.
pub(crate) trait Judge {
    fn matched(&mut self, report: Report<'_>, state: &State, values: &Values) -> bool;
}

/// Scratch for rules that are asked directly.
#[derive(Default)]
pub(crate) struct Buffers {
    work: [Vec<u8>; 2],
    operand: Vec<u8>,
    value: Vec<u8>,
    pub(super) members: Members,
}

pub(crate) struct Walk<'a> {
    pub(crate) program: &'a Program,
    pub(crate) outside: &'a Outside,
    pub(crate) tuning: &'a Tuning,
    pub(crate) values: &'a Values,
    pub(crate) state: &'a mut State,
    pub(crate) buffers: &'a mut Buffers,
    pub(crate) budget: &'a mut Budget,
    pub(crate) profile: Option<&'a mut Profile>,
}

impl Walk<'_> {
    /// `found` is sorted by rule and value.
    pub(crate) fn run(
        &mut self,
        phase: Phase,
        found: &[Found],
        contents: &[u8],
        judge: &mut impl Judge,
    ) {
        let program = self.program;
        self.state.frozen &= phase != Phase::Logging;
        let lists = if self.tuning.plain {
            &program.all
        } else {
            &program.direct
        };
        let mut direct = lists
            .get(phase as usize)
            .map_or(&[] as &[u32], Vec::as_slice);
        let mut found = found;
        loop {
            let next = match (direct.first(), found.first()) {
                (None, None) => return,
                (Some(&rule), None) => rule,
                (None, Some(found)) => found.rule,
                (Some(&rule), Some(found)) => rule.min(found.rule),
            };
            let count = found.iter().take_while(|found| found.rule == next).count();
            let (own, rest) = found.split_at(count);
            found = rest;
            direct = direct.strip_prefix(&[next]).unwrap_or(direct);
            let Some(rule) = program.rules.get(next as usize) else {
                return;
            };
            if self.state.engine == Some(Engine::Off) {
                return;
            }
            if let Some(Some(settled)) = program.settled.get(next as usize)
                && !self.tuning.plain
            {
                self.state.settle(settled);
                continue;
            }
            if self.tuning.is_disabled(next)
                || self.is_removed(rule)
                || !self.matches_timed(next, rule, own, contents)
            {
                continue;
            }
            self.matched(rule);
            if !self.report(rule, own, contents, judge) {
                return;
            }
            if let Some(to) = rule.skip_to {
                direct = direct
                    .get(direct.partition_point(|&rule| rule < to)..)
                    .unwrap_or_default();
                found = found
                    .get(found.partition_point(|found| found.rule < to)..)
                    .unwrap_or_default();
            }
            if self.budget.is_spent() {
                return;
            }
        }
    }

    /// What a match of any rule leaves.
    fn matched(&mut self, rule: &Rule) {
        if let Some(level) = rule.level {
            let worst = self.state.highest.unwrap_or(level);
            self.state.highest = Some(worst.min(level));
        }
        // ModSecurity asks no further rule of this phase. Here the rest adds to the report, but what it would keep between
        // requests is not kept: a refused client must not prolong its own block.
        self.state.frozen |= rule.effect == Effect::Deny && self.state.engine.is_none();
    }

    fn report(
        &mut self,
        rule: &Rule,
        own: &[Found],
        contents: &[u8],
        judge: &mut impl Judge,
    ) -> bool {
        // Most of these set something for other rules, on every request: what nobody hears of is not put into words.
        if !rule.log && rule.effect == Effect::Pass {
            return true;
        }
        let first = own
            .first()
            .and_then(|found| Some((found, self.values.list().get(found.value)?)));
        let (target, content) = match first {
            // A chain or a removal may have made another value the one that matched; the name says which was last.
            Some((found, value)) if rule.links.len() == 1 => (
                self.target(value),
                contents.get(found.content()).unwrap_or_default(),
            ),
            _ => (
                String::from_utf8_lossy(&self.state.name).into_owned(),
                self.state.var.as_slice(),
            ),
        };
        judge.matched(
            Report {
                rule,
                target,
                content,
            },
            self.state,
            self.values,
        )
    }

    fn target(&self, value: &Value) -> String {
        let prefix = value.variable.report();
        match self.values.bytes(value.name) {
            [] => prefix.to_owned(),
            name => format!("{prefix}:{}", String::from_utf8_lossy(name)),
        }
    }

    fn matches_timed(&mut self, number: u32, rule: &Rule, own: &[Found], contents: &[u8]) -> bool {
        let Some(since) = self.profile.as_deref().map(Profile::now) else {
            return self.matches(number, rule, own, contents);
        };
        let matches = self.matches(number, rule, own, contents);
        if let Some(profile) = &mut self.profile {
            profile.add(number, since, matches);
        }
        matches
    }

    /// Every link of the chain; the first by what was found, if it could be scanned.
    fn matches(&mut self, number: u32, rule: &Rule, own: &[Found], contents: &[u8]) -> bool {
        self.state.matched = 0;
        self.state.listing = self
            .program
            .lists
            .get(number as usize)
            .is_none_or(|lists| *lists);
        rule.links.iter().enumerate().all(|(at, link)| {
            if at == 0 && !own.is_empty() {
                self.scanned(number, rule, link, own, contents)
            } else {
                self.ask_all(number, rule, at, link)
            }
        })
    }

    fn scanned(
        &mut self,
        number: u32,
        rule: &Rule,
        link: &Link,
        own: &[Found],
        contents: &[u8],
    ) -> bool {
        let mut any = false;
        let mut last = None;
        for found in own {
            let Some(value) = self.values.list().get(found.value) else {
                continue;
            };
            let name = self.values.bytes(value.name);
            if last == Some(found.value) || self.is_target_removed(rule, value.variable, name) {
                continue;
            }
            last = Some(found.value);
            any = true;
            if link.is_silent() && rule.links.len() == 1 && rule.has_fixed_words() {
                continue;
            }
            let content = contents.get(found.content()).unwrap_or_default();
            let label = link
                .targets
                .iter()
                .find(|target| target.covers(value.variable, name))
                .map_or("", |t| t.label);
            self.state.note(label, name, content);
            self.capture(link, content, &[]);
            self.act(number, 0, link);
        }
        any
    }

    /// Puts every value of the link's targets to its tests.
    fn ask_all(&mut self, number: u32, rule: &Rule, at: usize, link: &Link) -> bool {
        if link.targets.is_empty() {
            self.act(number, at, link);
            return true;
        }
        let mut buffer = std::mem::take(&mut self.buffers.operand);
        let text = link.tests.first().and_then(|test| test.operator.operand());
        let operand = match text.map(|text| (text, text.as_fixed())) {
            None => &[],
            Some((_, Some(fixed))) => fixed,
            Some((text, None)) => {
                buffer.clear();
                self.state.expand(self.values, text, &mut buffer);
                buffer.as_slice()
            }
        };
        let asked = Asked {
            number,
            rule,
            at,
            link,
            operand,
        };
        let mut any = false;
        for target in &link.targets {
            any |= if target.count {
                self.ask_count(&asked, target)
            } else {
                self.ask_values(&asked, target)
            };
        }
        self.buffers.operand = buffer;
        any
    }

    fn ask_count(&mut self, asked: &Asked<'_>, target: &Target) -> bool {
        let rule = asked.rule;
        let counts = |value: &&Value| {
            let name = self.values.bytes(value.name);
            target.selector.takes(name)
                && !self.tuning.excludes(asked.number, value.variable, name)
                && !self.is_target_removed(rule, value.variable, name)
        };
        let count = if target.variables.intersects(DYNAMIC) {
            self.count_dynamic(asked, target)
        } else {
            self.values.of(target.variables).filter(counts).count()
        };
        let mut text = std::mem::take(&mut self.buffers.value);
        write_number(&mut text, i64::try_from(count).unwrap_or(i64::MAX));
        let name = match &target.selector {
            Selector::Name(name) => name,
            Selector::All | Selector::Pattern(_) => &[] as &[u8],
        };
        let matched = self.ask(asked, target.label, name, &text);
        self.buffers.value = text;
        matched
    }

    fn ask_values(&mut self, asked: &Asked<'_>, target: &Target) -> bool {
        if target.variables.intersects(DYNAMIC) {
            return self.ask_dynamic(asked, target);
        }
        let values = self.values;
        let mut any = false;
        for value in values.of(target.variables) {
            let name = values.bytes(value.name);
            if target.selector.takes(name) && !self.is_excluded(asked, value.variable, name) {
                any |= self.ask(asked, target.label, name, values.bytes(value.text));
            }
        }
        any
    }

    /// One value: its pipeline, the tests, and what a match changes.
    pub(super) fn ask(&mut self, asked: &Asked<'_>, label: &str, name: &[u8], text: &[u8]) -> bool {
        if asked.link.pipeline.is_empty() {
            let matched = self.test(asked, text);
            if matched {
                self.hold(asked, label, name, text);
            }
            return matched;
        }
        let [mut one, mut two] = std::mem::take(&mut self.buffers.work);
        one.clear();
        one.extend_from_slice(text);
        let mut matched = asked.link.multi && self.test(asked, &one);
        for (at, transform) in asked.link.pipeline.iter().enumerate() {
            if matched {
                break;
            }
            self.budget.charge(one.len());
            if transform.apply(&one, &mut two) {
                std::mem::swap(&mut one, &mut two);
            }
            matched =
                asked.link.multi && at + 1 < asked.link.pipeline.len() && self.test(asked, &one);
        }
        matched = matched || self.test(asked, &one);
        if matched {
            self.hold(asked, label, name, &one);
        }
        self.buffers.work = [one, two];
        matched
    }

    /// What one value that matched leaves.
    fn hold(&mut self, asked: &Asked<'_>, label: &str, name: &[u8], content: &[u8]) {
        self.state.note(label, name, content);
        self.capture(asked.link, content, asked.operand);
        self.act(asked.number, asked.at, asked.link);
    }

    fn test(&mut self, asked: &Asked<'_>, content: &[u8]) -> bool {
        if let [test] = asked.link.tests.as_slice()
            && matches!(test.operator, Operator::GeoLookup)
        {
            return self.locate(content) != test.negated;
        }
        let mut ask = |test: &crate::rule::Test| {
            self.budget
                .charge_weighted(content.len(), test.operator.weight());
            test.holds(content, asked.operand, self.budget)
        };
        if asked.link.all {
            asked.link.tests.iter().all(&mut ask)
        } else {
            asked.link.tests.iter().any(&mut ask)
        }
    }

    /// SecLang's `geoLookup`: what is known of the address stands in GEO afterwards.
    fn locate(&mut self, content: &[u8]) -> bool {
        let names = &self.program.names;
        self.state.tx.clear(names, Variable::Geo);
        let place = network::address(content)
            .and_then(|address| self.outside.geography.as_ref()?.place(address));
        let Some(place) = place else { return false };
        for (name, text) in place.members() {
            if !text.is_empty() {
                let tx = &mut self.state.tx;
                tx.put_named(names, Variable::Geo, name, text.as_bytes());
            }
        }
        true
    }

    fn capture(&mut self, link: &Link, content: &[u8], operand: &[u8]) {
        if !link.capture {
            return;
        }
        let tx = &mut self.state.tx;
        tx.clear_captures();
        for test in link.tests.iter().filter(|test| !test.negated) {
            let take = |group, text: &[u8]| tx.put(group, text);
            match &test.operator {
                Operator::Pattern(pattern) => pattern.captures(content, self.budget, take),
                Operator::Made(made) => made.captures(content, operand, self.budget, take),
                Operator::Phrases(phrases) => tx.put(0, phrases.find(content).unwrap_or_default()),
                Operator::Sqli => {
                    let found = injection::fingerprint(content, self.budget);
                    tx.put(0, found.as_ref().map_or(content, Fingerprint::as_bytes));
                }
                _ => tx.put(0, content),
            }
        }
    }

    fn act(&mut self, number: u32, at: usize, link: &Link) {
        let with = (self.program, self.outside);
        let (state, values) = (&mut *self.state, self.values);
        for (place, action) in link.actions.iter().enumerate() {
            match action {
                Action::Set(name, change) => state.set(with, values, name, change),
                Action::Expire(name, after) => state.expire(with, values, name, after),
                Action::Deprecate(name, by) => state.deprecate(with, values, name, by),
                Action::Keep(scope, key) => state.keep(with, values, *scope, key),
                Action::Remove(_) | Action::RemoveTarget(..) => {
                    state.removals.push((number, at, place));
                }
                Action::BodyProcessor(kind) => state.processor = Some(*kind),
                Action::Engine(engine) => state.engine = Some(*engine),
                Action::ForceBody(on) => state.force_body = *on,
                Action::ReadBody(on) => state.read_body = Some(*on),
                Action::ReadResponse(on) => state.read_response = Some(*on),
            }
        }
    }

    fn is_excluded(&self, asked: &Asked<'_>, variable: Variable, name: &[u8]) -> bool {
        asked
            .link
            .except
            .iter()
            .any(|target| target.covers(variable, name))
            || self.tuning.excludes(asked.number, variable, name)
            || self.is_target_removed(asked.rule, variable, name)
    }

    fn is_removed(&self, rule: &Rule) -> bool {
        self.removals()
            .any(|action| matches!(action, Action::Remove(which) if which.takes(rule)))
    }

    pub(super) fn is_target_removed(&self, rule: &Rule, variable: Variable, name: &[u8]) -> bool {
        self.removals().any(|action| match action {
            Action::RemoveTarget(which, target) => {
                target.covers(variable, name) && which.takes(rule)
            }
            _ => false,
        })
    }

    fn removals(&self) -> impl Iterator<Item = &Action> {
        self.state
            .removals
            .iter()
            .filter_map(|(rule, link, action)| {
                self.program
                    .rules
                    .get(*rule as usize)?
                    .links
                    .get(*link)?
                    .actions
                    .get(*action)
            })
    }
}

/// A link being asked.
pub(super) struct Asked<'a> {
    number: u32,
    pub(super) rule: &'a Rule,
    at: usize,
    pub(super) link: &'a Link,
    operand: &'a [u8],
}

impl Link {
    /// A match changes nothing that a later rule could see but its own report.
    fn is_silent(&self) -> bool {
        !self.capture && self.actions.is_empty()
    }
}

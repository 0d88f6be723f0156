//! Targets whose values change while rules run: what rules wrote, what matched, what the rule says of itself. A match
//! adds to the very lists that are walked, so the members are taken down before the first is asked.

use std::ops::Range;

use super::walk::{Asked, Walk};
use crate::{
    rule::Rule,
    text::Own,
    variable::{Selector, Target, Variable, WRITTEN},
};

/// Names and values, taken down.
#[derive(Default)]
pub(super) struct Members {
    bytes: Vec<u8>,
    list: Vec<(Range<usize>, Range<usize>)>,
}

impl Members {
    fn clear(&mut self) {
        self.bytes.clear();
        self.list.clear();
    }

    fn push(&mut self, name: &[u8], value: &[u8]) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(name);
        let middle = self.bytes.len();
        self.bytes.extend_from_slice(value);
        self.list.push((start..middle, middle..self.bytes.len()));
    }

    fn text(&self, range: &Range<usize>) -> &[u8] {
        self.bytes.get(range.clone()).unwrap_or_default()
    }
}

impl Walk<'_> {
    pub(super) fn count_dynamic(&mut self, asked: &Asked<'_>, target: &Target) -> usize {
        let mut members = std::mem::take(&mut self.buffers.members);
        self.note(asked, target, &mut members);
        let count = members.list.len();
        self.buffers.members = members;
        count
    }

    pub(super) fn ask_dynamic(&mut self, asked: &Asked<'_>, target: &Target) -> bool {
        let mut members = std::mem::take(&mut self.buffers.members);
        self.note(asked, target, &mut members);
        let mut any = false;
        for (name, value) in &members.list {
            any |= self.ask(asked, target.label, members.text(name), members.text(value));
        }
        self.buffers.members = members;
        any
    }

    /// Takes down what the target stands for now.
    fn note(&self, asked: &Asked<'_>, target: &Target, members: &mut Members) {
        members.clear();
        for variable in target.variables.iter() {
            let mut push = |name: &[u8], value: &[u8]| {
                let excluded = asked
                    .link
                    .except
                    .iter()
                    .any(|own| own.covers(variable, name))
                    || self.is_target_removed(asked.rule, variable, name);
                if !excluded {
                    members.push(name, value);
                }
            };
            let takes = |name: &[u8]| target.selector.takes(name);
            let state = &self.state;
            let matched = || state.list.get(..state.matched).unwrap_or_default().iter();
            match variable {
                _ if WRITTEN.has(variable) => self.written(variable, target, push),
                Variable::MatchedVars => {
                    matched()
                        .filter(|(name, _)| takes(name))
                        .for_each(|(name, value)| push(name, value));
                }
                Variable::MatchedVarNames => {
                    matched()
                        .filter(|(name, _)| takes(name))
                        .for_each(|(name, _)| push(name, name));
                }
                Variable::RuleOwn => own_words(asked.rule, |name, value| {
                    if takes(name) {
                        push(name, value);
                    }
                }),
                _ => {
                    let mut value = Vec::new();
                    if state.alone(variable, &mut value) {
                        push(&[], &value);
                    }
                }
            }
        }
    }
}

impl Walk<'_> {
    /// What rules wrote, of one collection.
    fn written<'a>(
        &'a self,
        scope: Variable,
        target: &'a Target,
        mut push: impl FnMut(&'a [u8], &'a [u8]),
    ) {
        let (tx, names) = (&self.state.tx, &self.program.names);
        let takes = |(name, _): &(&[u8], &[u8])| target.selector.takes(name);
        match (&target.selector, target.slot) {
            (Selector::Name(own), Some(slot)) => {
                if let Some(value) = tx.slot(slot) {
                    push(own, value);
                }
            }
            (Selector::Pattern(_), _) => {
                for slot in &target.slots {
                    let named = names.of_slot(*slot).filter(|(own, _)| *own == scope);
                    if let (Some((_, name)), Some(value)) = (named, tx.slot(*slot)) {
                        push(name, value);
                    }
                }
                let others = tx.others(scope).filter(takes);
                others.for_each(|(name, value)| push(name, value));
            }
            _ => {
                let members = tx.members(names, scope).filter(takes);
                members.for_each(|(name, value)| push(name, value));
            }
        }
    }
}

fn own_words(rule: &Rule, mut take: impl FnMut(&[u8], &[u8])) {
    for (name, own) in [
        ("id", Own::Id),
        ("msg", Own::Msg),
        ("severity", Own::Severity),
        ("logdata", Own::Data),
        ("rev", Own::Rev),
    ] {
        take(
            name.as_bytes(),
            rule.words(own).as_fixed().unwrap_or_default(),
        );
    }
}

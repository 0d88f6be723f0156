//! What rules remember while they run: transaction variables, the last match, what `ctl` took away. Emptied, not
//! freed, between requests.

use crate::{
    body,
    compile::Program,
    operator::compare::number,
    rule::{Change, Name},
    run::collect::Values,
    text::{Part, Text},
};

#[derive(Default)]
pub(crate) struct State {
    pub(crate) tx: Tx,
    /// What the last match saw, and where.
    pub(crate) var: Vec<u8>,
    pub(crate) name: Vec<u8>,
    /// All matches of the rule at hand; the first `matched` of the list are in use.
    pub(crate) list: Vec<(Vec<u8>, Vec<u8>)>,
    pub(crate) matched: usize,
    /// Actions that took something away: rule, link, action.
    pub(crate) removals: Vec<(u32, usize, usize)>,
    /// How a rule wants the body read.
    pub(crate) processor: Option<Option<body::Kind>>,
    made: Vec<u8>,
    change: Vec<u8>,
}

impl State {
    pub(crate) fn reset(&mut self, program: &Program) {
        self.tx.reset(program.names.len());
        self.removals.clear();
        self.processor = None;
        self.matched = 0;
    }

    /// Notes a match of the rule at hand.
    pub(crate) fn note(&mut self, label: &str, name: &[u8], content: &[u8]) {
        self.var.clear();
        self.var.extend_from_slice(content);
        self.name.clear();
        self.name.extend_from_slice(label.as_bytes());
        if !name.is_empty() {
            self.name.push(b':');
            self.name.extend_from_slice(name);
        }
        if self.list.len() <= self.matched {
            self.list.push(Default::default());
        }
        if let Some((name, value)) = self.list.get_mut(self.matched) {
            name.clone_from(&self.name);
            value.clone_from(&self.var);
        }
        self.matched += 1;
    }

    pub(crate) fn set(&mut self, program: &Program, values: &Values, name: &Name, change: &Change) {
        let mut made = std::mem::take(&mut self.made);
        let mut text = std::mem::take(&mut self.change);
        made.clear();
        text.clear();
        if let Name::Made(parts) = name {
            self.expand(values, parts, &mut made);
            made.make_ascii_lowercase();
        }
        let (Change::Assign(by) | Change::Add(by) | Change::Subtract(by)) = change else {
            self.tx.unset(program, name, &made);
            (self.made, self.change) = (made, text);
            return;
        };
        self.expand(values, by, &mut text);
        let sign = match change {
            Change::Assign(_) | Change::Unset => 0,
            Change::Add(_) => 1,
            Change::Subtract(_) => -1,
        };
        let place = self.tx.place(program, name, &made);
        if sign == 0 {
            place.clone_from(&text);
        } else {
            let sum = number(place).saturating_add(number(&text).saturating_mul(sign));
            write_number(place, sum);
        }
        (self.made, self.change) = (made, text);
    }

    /// Appends the text with its macros resolved.
    pub(crate) fn expand(&self, values: &Values, text: &Text, out: &mut Vec<u8>) {
        for part in text.parts() {
            match part {
                Part::Literal(literal) => out.extend_from_slice(literal),
                Part::Tx(slot) => out.extend_from_slice(self.tx.slot(*slot).unwrap_or_default()),
                Part::MatchedVar => out.extend_from_slice(&self.var),
                Part::MatchedVarName => out.extend_from_slice(&self.name),
                Part::Value(target) => {
                    let first = values
                        .list()
                        .iter()
                        .find(|value| target.covers(value.variable, values.bytes(value.name)));
                    out.extend_from_slice(first.map_or(&[], |value| values.bytes(value.text)));
                }
            }
        }
    }
}

pub(crate) fn write_number(out: &mut Vec<u8>, number: i64) {
    use std::io::Write;
    out.clear();
    // Writing to a Vec cannot fail.
    let _ = write!(out, "{number}");
}

/// Transaction variables. Those that rules name are slots; names made at run time that no rule names are a list.
#[derive(Default)]
pub(crate) struct Tx {
    slots: Vec<Vec<u8>>,
    set: Vec<bool>,
    others: Vec<(Vec<u8>, Vec<u8>)>,
    /// Takes what has no place.
    sink: Vec<u8>,
}

impl Tx {
    fn reset(&mut self, count: usize) {
        self.slots
            .resize_with(count.max(self.slots.len()), Vec::new);
        self.set.clear();
        self.set.resize(self.slots.len(), false);
        self.others.clear();
    }

    pub(crate) fn slot(&self, slot: u16) -> Option<&[u8]> {
        let at = usize::from(slot);
        let set = self.set.get(at).is_some_and(|set| *set);
        self.slots.get(at).filter(|_| set).map(Vec::as_slice)
    }

    pub(crate) fn others(&self) -> &[(Vec<u8>, Vec<u8>)] {
        &self.others
    }

    pub(crate) fn put(&mut self, slot: u16, value: &[u8]) {
        let place = self.slot_mut(slot);
        place.clear();
        place.extend_from_slice(value);
    }

    pub(crate) fn clear_captures(&mut self) {
        self.set.iter_mut().take(10).for_each(|set| *set = false);
    }

    fn slot_mut(&mut self, slot: u16) -> &mut Vec<u8> {
        let at = usize::from(slot);
        if at >= self.slots.len() {
            self.slots.resize_with(at + 1, Vec::new);
            self.set.resize(at + 1, false);
        }
        if let Some(set) = self.set.get_mut(at) {
            if !*set && let Some(place) = self.slots.get_mut(at) {
                place.clear();
            }
            *set = true;
        }
        self.slots.get_mut(at).unwrap_or(&mut self.sink)
    }

    fn other_mut(&mut self, name: &[u8]) -> &mut Vec<u8> {
        let known = self.others.iter().position(|(own, _)| own == name);
        if known.is_none() && self.others.len() < MAX_OTHERS {
            self.others.push((name.to_vec(), Vec::new()));
        }
        let at = known.unwrap_or_else(|| self.others.len().saturating_sub(1));
        let place = self.others.get_mut(at);
        place
            .filter(|(own, _)| own == name)
            .map_or(&mut self.sink, |(_, value)| value)
    }

    fn place(&mut self, program: &Program, name: &Name, made: &[u8]) -> &mut Vec<u8> {
        match name {
            Name::Slot(slot) => self.slot_mut(*slot),
            Name::Made(_) => match program.names.known(made) {
                Some(slot) => self.slot_mut(slot),
                None => self.other_mut(made),
            },
        }
    }

    fn unset(&mut self, program: &Program, name: &Name, made: &[u8]) {
        let slot = match name {
            Name::Slot(slot) => Some(*slot),
            Name::Made(_) => program.names.known(made),
        };
        match slot {
            Some(slot) => {
                if let Some(set) = self.set.get_mut(usize::from(slot)) {
                    *set = false;
                }
            }
            None => self.others.retain(|(name, _)| name != made),
        }
    }
}

/// More made-up names than this have no place: a client chooses them.
const MAX_OTHERS: usize = 1000;

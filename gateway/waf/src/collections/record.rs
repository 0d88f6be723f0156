//! One record of a store: its variables, what it says of itself, and how both change. Knows no other record.

use super::{Clock, Millis, Update, seconds_of};
use crate::operator::compare::number;

/// Of one record; names and values come from rules, but macros in them from clients.
const MAX_VARIABLES: usize = 256;
const MAX_NAME: usize = 256;
pub(super) const MAX_VALUE: usize = 4 << 10;
/// What a record and a variable take beside their texts, roughly.
const RECORD_BYTES: usize = 192;
const VARIABLE_BYTES: usize = 64;

pub(super) struct Record {
    pub(super) created: Millis,
    pub(super) updated: Millis,
    /// `None`: the ruleset's.
    pub(super) timeout: Option<Millis>,
    pub(super) counter: u64,
    pub(super) place: u64,
    pub(super) bytes: usize,
    pub(super) variables: Vec<Variable>,
}

pub(super) struct Variable {
    pub(super) name: Box<[u8]>,
    pub(super) value: Vec<u8>,
    pub(super) expires: Millis,
}

impl Record {
    pub(super) const fn new(now: Millis, place: u64) -> Self {
        Self {
            created: now,
            updated: now,
            timeout: None,
            counter: 0,
            place,
            bytes: 0,
            variables: Vec::new(),
        }
    }

    pub(super) fn change(
        &mut self,
        name: &[u8],
        update: Update<'_>,
        clock: Clock,
    ) -> Option<Vec<u8>> {
        let name = name.get(..MAX_NAME).unwrap_or(name);
        match name {
            b"timeout" => {
                if let Update::Assign(seconds) = update {
                    self.timeout = Some(seconds_of(seconds));
                }
                return Some(
                    (self.timeout.unwrap_or(clock.timeout) / 1000)
                        .to_string()
                        .into_bytes(),
                );
            }
            b"is_new" | b"key" | b"create_time" | b"last_update_time" | b"update_counter"
            | b"update_rate" => {
                return None;
            }
            _ => {}
        }
        self.variables.retain(|own| own.expires > clock.now);
        let at = self.variables.iter().position(|own| *own.name == *name);
        if let (Some(at), Update::Unset) = (at, update) {
            self.variables.swap_remove(at);
            return None;
        }
        if at.is_none() && !matches!(update, Update::Assign(_) | Update::Add(_)) || self.is_full(at)
        {
            return None;
        }
        let at = at.unwrap_or_else(|| {
            self.variables.push(Variable {
                name: name.into(),
                value: Vec::new(),
                expires: Millis::MAX,
            });
            self.variables.len() - 1
        });
        let updated = self.updated;
        let own = self.variables.get_mut(at)?;
        own.change(update, clock, updated);
        Some(own.value.clone())
    }

    /// What it takes, as it is counted against the limit.
    pub(super) fn takes(&self, key: usize) -> usize {
        RECORD_BYTES + 2 * key + self.variables.iter().map(Variable::bytes).sum::<usize>()
    }

    const fn is_full(&self, known: Option<usize>) -> bool {
        known.is_none() && self.variables.len() >= MAX_VARIABLES
    }
}

impl Variable {
    const fn bytes(&self) -> usize {
        VARIABLE_BYTES + self.name.len() + self.value.len()
    }

    fn change(&mut self, update: Update<'_>, clock: Clock, updated: Millis) {
        let sum = match update {
            Update::Assign(text) => {
                self.value.clear();
                self.value
                    .extend_from_slice(text.get(..MAX_VALUE).unwrap_or(text));
                return;
            }
            Update::Expire(after) => {
                self.expires = clock.now.saturating_add(after);
                return;
            }
            Update::Unset => return,
            Update::Add(by) => number(&self.value).saturating_add(by),
            Update::Deprecate(by, period) => {
                let periods = clock.now.saturating_sub(updated) / period.max(1);
                let down = by.saturating_mul(i64::try_from(periods).unwrap_or(i64::MAX));
                number(&self.value).saturating_sub(down).max(0)
            }
        };
        self.value = sum.to_string().into_bytes();
    }
}

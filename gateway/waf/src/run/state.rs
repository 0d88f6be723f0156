//! What rules remember while they run: transaction variables, collections kept between requests, the last match, what
//! `ctl` changed. Emptied, not freed, between requests.

use std::time::Duration;

use super::tx::Tx;
use crate::{
    body,
    collections::{Clock, Update, seconds_of},
    compile::{Program, fold::Settled},
    operator::compare::number,
    outside::Outside,
    rule::{Change, Name},
    run::collect::Values,
    seclang::Engine,
    text::{Part, Text},
    variable::{Selector, Target, Variable},
};

#[derive(Default)]
pub(crate) struct State {
    pub(crate) tx: Tx,
    /// What the last match saw, and where.
    pub(crate) var: Vec<u8>,
    pub(crate) name: Vec<u8>,
    /// All matches of the rule at hand, where it asks for them; the first `matched` of the list are in use.
    pub(crate) list: Vec<(Vec<u8>, Vec<u8>)>,
    pub(crate) matched: usize,
    pub(crate) listing: bool,
    /// Actions that took something away: rule, link, action.
    pub(crate) removals: Vec<(u32, usize, usize)>,
    /// How a rule wants the body read.
    pub(crate) processor: Option<Option<body::Kind>>,
    pub(crate) force_body: bool,
    /// Whether bodies are looked at, where a rule said so.
    pub(crate) read_body: Option<bool>,
    pub(crate) read_response: Option<bool>,
    /// What a rule made of SecRuleEngine.
    pub(crate) engine: Option<Engine>,
    /// The request is refused: collections stay as they are until the logging phase.
    pub(crate) frozen: bool,
    /// The worst level of any rule that matched.
    pub(crate) highest: Option<u8>,
    now: Duration,
    elapsed: Duration,
    /// The key of each collection that a rule opened, by its variable.
    keys: Vec<(Variable, Vec<u8>)>,
    made: Vec<u8>,
    change: Vec<u8>,
}

impl State {
    pub(crate) fn reset(&mut self, program: &Program) {
        self.tx.reset(program.names.len());
        self.removals.clear();
        self.keys.clear();
        self.processor = None;
        self.force_body = false;
        self.frozen = false;
        (self.read_body, self.read_response) = (None, None);
        (self.engine, self.highest) = (None, None);
        (self.now, self.elapsed) = (Duration::ZERO, Duration::ZERO);
        self.matched = 0;
    }

    pub(crate) const fn begin(&mut self, now: Duration, elapsed: Duration) {
        self.now = now;
        self.elapsed = elapsed;
    }

    /// Later during the same request.
    pub(crate) fn advance(&mut self, elapsed: Duration) {
        let since = elapsed.saturating_sub(self.elapsed);
        self.elapsed = self.elapsed.saturating_add(since);
        if !self.now.is_zero() {
            self.now = self.now.saturating_add(since);
        }
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
            if matches!(label, "REQUEST_HEADERS" | "RESPONSE_HEADERS") {
                as_usually_written(self.name.get_mut(label.len() + 1..).unwrap_or_default());
            }
        }
        if !self.listing {
            return;
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

    /// What rules leave that need not be asked.
    pub(crate) fn settle(&mut self, settled: &Settled) {
        for (slot, value) in &settled.slots {
            match value {
                Some(value) => self.tx.put(*slot, value),
                None => self.tx.update(*slot, Update::Unset),
            }
        }
        if let Some(last) = &settled.last {
            self.matched = 0;
            self.listing = false;
            self.note(last.label, &last.name, &last.content);
        }
    }

    pub(crate) fn set(
        &mut self,
        (program, outside): (&Program, &Outside),
        values: &Values,
        name: &Name,
        change: &Change,
    ) {
        if let Name::Slot(slot) = name
            && program.names.is_own(*slot)
            && self.set_plainly(*slot, change)
        {
            return;
        }
        let mut made = std::mem::take(&mut self.made);
        let mut text = std::mem::take(&mut self.change);
        text.clear();
        if let Change::Assign(by) | Change::Add(by) | Change::Subtract(by) = change {
            self.expand(values, by, &mut text);
        }
        let by = || number(&text);
        let update = match change {
            Change::Assign(_) => Update::Assign(&text),
            Change::Add(_) => Update::Add(by()),
            Change::Subtract(_) => Update::Add(by().saturating_neg()),
            Change::Unset => Update::Unset,
        };
        match name {
            Name::Slot(slot) if program.names.is_own(*slot) => self.tx.update(*slot, update),
            _ => {
                let scope = self.name_of(program, values, name, &mut made);
                self.update(program, outside, scope, &made, update);
            }
        }
        (self.made, self.change) = (made, text);
    }

    /// Nearly every change: hundreds per request under the Core Rule Set. False when more must be known for it.
    fn set_plainly(&mut self, slot: u16, change: &Change) -> bool {
        let by = |state: &Self, text: &Text| match text.parts() {
            [Part::Literal(literal)] => Some(number(literal)),
            [Part::Tx(from)] => Some(number(state.tx.slot(*from).unwrap_or_default())),
            _ => None,
        };
        match change {
            Change::Unset => self.tx.update(slot, Update::Unset),
            Change::Assign(text) => match text.as_fixed() {
                Some(fixed) => self.tx.put(slot, fixed),
                None => return false,
            },
            Change::Add(text) | Change::Subtract(text) => {
                let Some(by) = by(self, text) else {
                    return false;
                };
                let by = if matches!(change, Change::Add(_)) {
                    by
                } else {
                    by.saturating_neg()
                };
                self.tx.update(slot, Update::Add(by));
            }
        }
        true
    }

    /// SecLang's `expirevar`. Variables of the request itself do not outlive it.
    pub(crate) fn expire(
        &mut self,
        (program, outside): (&Program, &Outside),
        values: &Values,
        name: &Name,
        after: &Text,
    ) {
        let mut made = std::mem::take(&mut self.made);
        let scope = self.name_of(program, values, name, &mut made);
        let mut text = Vec::new();
        self.expand(values, after, &mut text);
        if let Some(key) = self.open_key(scope) {
            let update = Update::Expire(seconds_of(&text));
            outside
                .collections()
                .change(key, &made, update, self.clock(outside));
        }
        self.made = made;
    }

    /// SecLang's `deprecatevar`: `60/300` is down by 60 every 300 seconds.
    pub(crate) fn deprecate(
        &mut self,
        (program, outside): (&Program, &Outside),
        values: &Values,
        name: &Name,
        by: &Text,
    ) {
        let mut made = std::mem::take(&mut self.made);
        let scope = self.name_of(program, values, name, &mut made);
        let mut text = Vec::new();
        self.expand(values, by, &mut text);
        let mut halves = text.splitn(2, |&byte| byte == b'/');
        let by = number(halves.next().unwrap_or_default());
        let period = seconds_of(halves.next().unwrap_or_default());
        if scope != Variable::Tx && period > 0 {
            self.update(
                program,
                outside,
                scope,
                &made,
                Update::Deprecate(by, period),
            );
        }
        self.made = made;
    }

    /// SecLang's `initcol`, `setsid`, `setuid`, `setrsc`: what the collection holds from here on is what is kept under
    /// this key. A key that comes out empty opens nothing.
    pub(crate) fn keep(
        &mut self,
        (program, outside): (&Program, &Outside),
        values: &Values,
        scope: Variable,
        key: &Text,
    ) {
        let mut own = vec![scope as u8];
        own.extend_from_slice(outside.settings.application.as_bytes());
        own.push(0);
        let start = own.len();
        self.expand(values, key, &mut own);
        if own.len() == start {
            return;
        }
        self.tx.clear(&program.names, scope);
        let clock = self.clock(outside);
        let tx = &mut self.tx;
        outside.collections().read(&own, clock, |name, value| {
            tx.put_named(&program.names, scope, name, value);
        });
        tx.put_named(
            &program.names,
            scope,
            b"key",
            own.get(start..).unwrap_or_default(),
        );
        self.keys.retain(|(known, _)| *known != scope);
        self.keys.push((scope, own));
    }

    fn update(
        &mut self,
        program: &Program,
        outside: &Outside,
        scope: Variable,
        name: &[u8],
        update: Update<'_>,
    ) {
        if !matches!(scope, Variable::Tx | Variable::Env | Variable::Geo) {
            let Some(key) = self.open_key(scope) else {
                return;
            };
            let clock = self.clock(outside);
            match outside.collections().change(key, name, update, clock) {
                Some(value) => self.tx.put_named(&program.names, scope, name, &value),
                None => self.tx.unset(&program.names, scope, name),
            }
            return;
        }
        match (program.names.known(scope, name), update) {
            (Some(slot), update) => self.tx.update(slot, update),
            (None, Update::Unset) => self.tx.unset(&program.names, scope, name),
            (None, Update::Assign(_) | Update::Add(_)) => {
                apply(self.tx.other_mut(scope, name), update);
            }
            (None, Update::Expire(_) | Update::Deprecate(..)) => {}
        }
    }

    fn clock(&self, outside: &Outside) -> Clock {
        Clock {
            now: u64::try_from(self.now.as_millis()).unwrap_or(u64::MAX),
            timeout: outside.settings.timeout,
        }
    }

    /// The key of a collection that may be written.
    fn open_key(&self, scope: Variable) -> Option<&[u8]> {
        self.key(scope).filter(|_| !self.frozen)
    }

    fn key(&self, scope: Variable) -> Option<&[u8]> {
        let known = self.keys.iter().find(|(known, _)| *known == scope);
        known.map(|(_, key)| key.as_slice())
    }

    /// Whose name it is; the name, in lower case, in `made`.
    fn name_of(
        &self,
        program: &Program,
        values: &Values,
        name: &Name,
        made: &mut Vec<u8>,
    ) -> Variable {
        made.clear();
        match name {
            Name::Slot(slot) => match program.names.of_slot(*slot) {
                Some((scope, name)) => {
                    made.extend_from_slice(name);
                    scope
                }
                None => Variable::Tx,
            },
            Name::Made(scope, parts) => {
                self.expand(values, parts, made);
                made.make_ascii_lowercase();
                *scope
            }
        }
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
                        .of(target.variables)
                        .find(|value| target.selector.takes(values.bytes(value.name)));
                    out.extend_from_slice(first.map_or(&[], |value| values.bytes(value.text)));
                }
                Part::Dynamic(target) => self.expand_dynamic(target, out),
                // Put in its place when the rules were read.
                Part::Own(_) => {}
            }
        }
    }

    fn expand_dynamic(&self, target: &Target, out: &mut Vec<u8>) {
        let matched = || self.list.get(..self.matched).unwrap_or_default().iter();
        let named = |name: &[u8]| match &target.selector {
            Selector::All => true,
            Selector::Name(own) => own.eq_ignore_ascii_case(name),
            Selector::Pattern(pattern) => pattern.is_match(name),
        };
        for variable in target.variables.iter() {
            match variable {
                Variable::MatchedVars => {
                    let first = matched().find(|(name, _)| named(name));
                    out.extend_from_slice(first.map_or(&[], |(_, value)| value));
                }
                Variable::MatchedVarNames => {
                    let first = matched().find(|(name, _)| named(name));
                    out.extend_from_slice(first.map_or(&[], |(name, _)| name));
                }
                _ => {
                    self.alone(variable, out);
                }
            }
        }
    }

    /// Appends what stands alone and changes while rules run; false when it has no value.
    pub(crate) fn alone(&self, variable: Variable, out: &mut Vec<u8>) -> bool {
        let id = |scope| {
            self.key(scope)
                .and_then(|key| key.splitn(2, |&byte| byte == 0).nth(1))
        };
        match variable {
            Variable::MatchedVar => out.extend_from_slice(&self.var),
            Variable::MatchedVarName => out.extend_from_slice(&self.name),
            // 255 says that nothing with a severity has matched.
            Variable::HighestSeverity => append(out, u128::from(self.highest.unwrap_or(255))),
            Variable::Duration => append(out, self.elapsed.as_micros()),
            Variable::SessionId | Variable::UserId => {
                let scope = if variable == Variable::UserId {
                    Variable::User
                } else {
                    Variable::Session
                };
                let Some(id) = id(scope) else { return false };
                out.extend_from_slice(id);
            }
            _ => return false,
        }
        true
    }
}

/// What an update makes of a value of the request itself.
pub(super) fn apply(place: &mut Vec<u8>, update: Update<'_>) {
    match update {
        Update::Assign(text) => {
            place.clear();
            place.extend_from_slice(text);
        }
        Update::Add(by) => {
            let sum = number(place).saturating_add(by);
            write_number(place, sum);
        }
        Update::Unset | Update::Expire(_) | Update::Deprecate(..) => {}
    }
}

fn append(out: &mut Vec<u8>, number: u128) {
    use std::io::Write;
    // Writing to a Vec cannot fail.
    let _ = write!(out, "{number}");
}

pub(crate) fn write_number(out: &mut Vec<u8>, number: i64) {
    out.clear();
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}
/// `user-agent` as `User-Agent`: the caller's names of fields are in lower case, logs and rules show them as they are
/// sent.
fn as_usually_written(name: &mut [u8]) {
    let mut first = true;
    for byte in name {
        if first {
            byte.make_ascii_uppercase();
        }
        first = *byte == b'-';
    }
}

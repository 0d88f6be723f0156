//! Control flow that no request can change, settled when the rules are compiled: a rule behind a jump that is always
//! taken, or whose condition on transaction variables can never hold, is neither scanned for nor visited. This is what
//! keeps a paranoia level free of the cost of the higher ones.
//!
//! One forward pass per phase over what is known of each variable; where paths meet, what differs is unknown. Anything
//! not understood counts as "may or may not": the result can only keep too much.

mod pass;

use std::collections::HashMap;

use pass::Pass;

use crate::{
    limits::Budget,
    operator::{Operator, compare::number},
    rule::{Action, Change, Effect, Link, Name, Phase, Rule, Which},
    text::{Names, Part, Text},
    transform::Transform,
    variable::{DYNAMIC, Selector, Target, Variable, Variables},
};

/// What is known of a variable. One that is in no map was never set.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Known {
    Value(Vec<u8>),
    Unset,
    No,
}

type State = HashMap<u16, Known>;

/// Whether a condition holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Holds {
    Always,
    Never,
    Maybe,
}

/// What became of the rules.
#[derive(Debug, Default)]
pub(crate) struct Folded {
    /// Never matches, or is never reached.
    pub(crate) dead: Vec<bool>,
    /// Matches always, and others were settled by what it sets.
    pub(crate) fixed: Vec<bool>,
    /// What a rule that matches always, and nobody hears of, leaves behind.
    pub(crate) settled: Vec<Option<Settled>>,
}

/// What rules leave behind whatever the request: put in its place without asking them.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Settled {
    /// What variables come to hold; nothing: they are taken away.
    pub(crate) slots: Vec<(u16, Option<Vec<u8>>)>,
    /// MATCHED_VAR and what its name is made of.
    pub(crate) last: Option<Last>,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Last {
    pub(crate) label: &'static str,
    pub(crate) name: Box<[u8]>,
    pub(crate) content: Vec<u8>,
}

impl Settled {
    /// Of a rule that matches, by what is known before and after it.
    fn of(rule: &Rule, last: Option<Last>, names: &Names, after: &State) -> Option<Self> {
        let [link] = rule.links.as_slice() else {
            return None;
        };
        let heard = rule.log || rule.effect != Effect::Pass || rule.level.is_some();
        if heard || rule.skip_to.is_some() || link.capture {
            return None;
        }
        let slot = |action: &Action| match action {
            Action::Set(Name::Slot(slot), _) if names.is_own(*slot) => match after.get(slot)? {
                Known::Value(value) => Some((*slot, Some(value.clone()))),
                Known::Unset => Some((*slot, None)),
                Known::No => None,
            },
            _ => None,
        };
        let slots = link.actions.iter().map(slot).collect::<Option<_>>()?;
        Some(Self { slots, last })
    }

    /// Adds what the next rule leaves.
    pub(crate) fn then(&mut self, next: Self) {
        let overwritten = |slot: u16| next.slots.iter().any(|(own, _)| *own == slot);
        self.slots.retain(|(slot, _)| !overwritten(*slot));
        self.slots.extend(next.slots);
        self.last = next.last.or_else(|| self.last.take());
    }
}

/// What a rule that is sure to match matches.
fn matched(rule: &Rule, state: &State) -> Option<Last> {
    let target = rule.links.first()?.targets.first()?;
    let pipeline = &rule.links.first()?.pipeline;
    let mut content = known_values(target, state)?.pop()?;
    transform_all(pipeline, &mut content);
    let name = match &target.selector {
        Selector::Name(name) => name.clone(),
        Selector::All | Selector::Pattern(_) => Box::default(),
    };
    Some(Last {
        label: target.label,
        name,
        content,
    })
}

fn transform_all(pipeline: &[Transform], value: &mut Vec<u8>) {
    let mut out = Vec::new();
    for transform in pipeline {
        if transform.apply(value, &mut out) {
            std::mem::swap(value, &mut out);
        }
    }
}

pub(super) const PHASES: [Phase; 5] = [
    Phase::RequestHeaders,
    Phase::RequestBody,
    Phase::ResponseHeaders,
    Phase::ResponseBody,
    Phase::Logging,
];

pub(crate) fn fold(rules: &[Rule], names: &Names) -> Folded {
    let mut folded = Folded {
        dead: vec![false; rules.len()],
        fixed: vec![false; rules.len()],
        settled: rules.iter().map(|_| None).collect(),
    };
    // A caller may leave phases out: a refused request goes straight to logging, many answers are not looked at. Only
    // the body's phase is sure to follow the first.
    let removers = Removers::of(rules);
    // What earlier requests or the world outside left is not known.
    let mut state: State = (0..u16::try_from(names.len()).unwrap_or(u16::MAX))
        .filter(|slot| !names.is_own(*slot))
        .map(|slot| (slot, Known::No))
        .collect();
    let mut ever: Option<State> = None;
    for phase in PHASES {
        let begin = match (&ever, phase) {
            (None, _) | (_, Phase::RequestBody) => state,
            (Some(ever), _) => ever.clone(),
        };
        state = pass(rules, names, &removers, phase, begin, &mut folded);
        ever = Some(match ever {
            Some(ever) => meet(ever, &state),
            None => state.clone(),
        });
    }
    folded
}

/// One phase; returns what is known at its end.
fn pass(
    rules: &[Rule],
    names: &Names,
    removers: &Removers<'_>,
    phase: Phase,
    state: State,
    folded: &mut Folded,
) -> State {
    let mut pass = Pass {
        live: Some(state),
        ..Pass::default()
    };
    for (at, rule) in rules
        .iter()
        .enumerate()
        .filter(|(_, rule)| rule.phase == Some(phase))
    {
        pass.land(at);
        let takers = removers.before(at, rule);
        // Inside a shadow a rule is asked only sometimes.
        let certain = takers == Some(0) && pass.shadows.is_empty();
        let Some(now) = pass.reached(takers) else {
            mark(&mut folded.dead, at);
            continue;
        };
        let asked = condition(rule, now);
        let holds = if asked == Holds::Always && !certain {
            Holds::Maybe
        } else {
            asked
        };
        match holds {
            Holds::Never => {
                mark(&mut folded.dead, at);
                continue;
            }
            Holds::Always => mark(&mut folded.fixed, at),
            Holds::Maybe => {}
        }
        let last = matched(rule, now).filter(|_| holds == Holds::Always);
        act(rule, names, holds, now);
        if let Some(settled) = folded.settled.get_mut(at)
            && holds == Holds::Always
        {
            *settled = Settled::of(rule, last, names, now);
        }
        let now = now.clone();
        if matches!(rule.effect, Effect::Allow | Effect::AllowPhase) {
            pass.jumps.push((usize::MAX, now.clone()));
        }
        if let Some(to) = rule.skip_to
            && pass.jump(to as usize, now, holds, asked, takers)
        {
            mark(&mut folded.fixed, at);
        }
    }
    pass.end()
}

/// What a rule that matches, or may match, changes. A link's actions are done even when a later link does not match.
fn act(rule: &Rule, names: &Names, holds: Holds, state: &mut State) {
    for link in &rule.links {
        apply(link, names, holds, state);
    }
}

fn mark(list: &mut [bool], at: usize) {
    if let Some(place) = list.get_mut(at) {
        *place = true;
    }
}

/// What holds on both paths.
fn meet(mut one: State, other: &State) -> State {
    for (slot, known) in &mut one {
        if other.get(slot).unwrap_or(&Known::Unset) != known {
            *known = Known::No;
        }
    }
    for (slot, known) in other {
        let own = one.entry(*slot).or_insert(Known::Unset);
        if own != known {
            *own = Known::No;
        }
    }
    one
}

/// Whether the rule matches as long as it is asked.
fn condition(rule: &Rule, state: &State) -> Holds {
    let mut all = if rule.links.is_empty() {
        Holds::Never
    } else {
        Holds::Always
    };
    for link in &rule.links {
        // What an earlier link sets may decide a later one: past the first, only a firm no counts for the whole.
        match link_holds(link, state) {
            Holds::Never if all == Holds::Always => return Holds::Never,
            Holds::Always if rule.links.len() == 1 => {}
            _ => all = Holds::Maybe,
        }
    }
    all
}

/// The `ctl` actions that take rules away, in order of phase and place.
struct Removers<'a>(Vec<(Phase, usize, &'a Which)>);

impl<'a> Removers<'a> {
    fn of(rules: &'a [Rule]) -> Self {
        let mut list = Vec::new();
        for (at, rule) in rules.iter().enumerate() {
            let Some(phase) = rule.phase else { continue };
            for action in rule.links.iter().flat_map(|link| &link.actions) {
                match action {
                    Action::Remove(which) => list.push((phase, at, which)),
                    // Taking a transaction variable away is as good as taking the rule.
                    Action::RemoveTarget(which, target) if target.variables.intersects(DYNAMIC) => {
                        list.push((phase, at, which));
                    }
                    Action::RemoveTarget(..)
                    | Action::Set(..)
                    | Action::BodyProcessor(_)
                    | Action::Expire(..)
                    | Action::Deprecate(..)
                    | Action::Keep(..)
                    | Action::Engine(_)
                    | Action::ForceBody(_)
                    | Action::ReadBody(_)
                    | Action::ReadResponse(_) => {}
                }
            }
        }
        Self(list)
    }

    /// Those that could have taken this rule away before it is asked, as bits. `None`: too many to tell apart.
    fn before(&self, at: usize, rule: &Rule) -> Option<u64> {
        let phase = rule.phase?;
        let earlier = |other: &(Phase, usize, &Which)| {
            (other.0, other.1) < (phase, at) && other.2.takes(rule)
        };
        if self.0.len() > 64 {
            return (!self.0.iter().any(earlier)).then_some(0);
        }
        let bits = self
            .0
            .iter()
            .enumerate()
            .filter(|(_, other)| earlier(other));
        Some(bits.fold(0, |all, (bit, _)| all | 1 << bit))
    }
}

fn link_holds(link: &Link, state: &State) -> Holds {
    if link.targets.is_empty() {
        return Holds::Always;
    }
    let [target] = link.targets.as_slice() else {
        return Holds::Maybe;
    };
    let ([test], true) = (link.tests.as_slice(), link.except.is_empty() && !link.multi) else {
        return Holds::Maybe;
    };
    // Asks the world outside.
    if matches!(test.operator, Operator::GeoLookup) {
        return Holds::Maybe;
    }
    let operand = match test.operator.operand() {
        Some(text) => known_text(text, state),
        None => Some(Vec::new()),
    };
    let (Some(operand), Some(values)) = (operand, known_values(target, state)) else {
        return Holds::Maybe;
    };
    let holds = values.into_iter().any(|mut value| {
        transform_all(&link.pipeline, &mut value);
        test.holds(&value, &operand, &mut Budget::new(u64::MAX))
    });
    if holds { Holds::Always } else { Holds::Never }
}

/// The values a target stands for, if they are known.
fn known_values(target: &Target, state: &State) -> Option<Vec<Vec<u8>>> {
    let slot = target
        .slot
        .filter(|_| target.variables.without(DYNAMIC) == Variables::NONE)?;
    Some(
        match (state.get(&slot).unwrap_or(&Known::Unset), target.count) {
            (Known::No, _) => return None,
            (Known::Unset, true) => vec![b"0".to_vec()],
            (Known::Value(_), true) => vec![b"1".to_vec()],
            (Known::Unset, false) => Vec::new(),
            (Known::Value(value), false) => vec![value.clone()],
        },
    )
}

fn known_text(text: &Text, state: &State) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    for part in text.parts() {
        match part {
            Part::Literal(literal) => out.extend_from_slice(literal),
            Part::Tx(slot) => match state.get(slot).unwrap_or(&Known::Unset) {
                Known::Value(value) => out.extend_from_slice(value),
                Known::Unset => {}
                Known::No => return None,
            },
            Part::Value(_)
            | Part::Dynamic(_)
            | Part::MatchedVar
            | Part::MatchedVarName
            | Part::Own(_) => return None,
        }
    }
    Some(out)
}

fn apply(link: &Link, names: &Names, holds: Holds, state: &mut State) {
    if link.capture {
        state.extend((0..10).map(|slot| (slot, Known::No)));
    }
    for action in &link.actions {
        let Action::Set(name, change) = action else {
            continue;
        };
        match name {
            Name::Slot(slot) => {
                let after = if holds == Holds::Always && names.is_own(*slot) {
                    changed(*slot, change, state)
                } else {
                    Known::No
                };
                state.insert(*slot, after);
            }
            Name::Made(Variable::Tx, text) => forget_made(text, names, state),
            // Never known in the first place.
            Name::Made(..) => {}
        }
    }
}

/// A name made at run time may be any that begins as the text does.
fn forget_made(text: &Text, names: &Names, state: &mut State) {
    let start = match text.parts().first() {
        Some(Part::Literal(literal)) => literal.to_ascii_lowercase(),
        _ => Vec::new(),
    };
    let could_be = names
        .iter(Variable::Tx)
        .filter(|(name, _)| name.starts_with(&start));
    state.extend(could_be.map(|(_, slot)| (slot, Known::No)));
}

fn changed(slot: u16, change: &Change, state: &State) -> Known {
    let (by, sign) = match change {
        Change::Unset => return Known::Unset,
        Change::Assign(by) => (by, 0),
        Change::Add(by) => (by, 1),
        Change::Subtract(by) => (by, -1),
    };
    let Some(by) = known_text(by, state) else {
        return Known::No;
    };
    if sign == 0 {
        return Known::Value(by);
    }
    let before = match state.get(&slot).unwrap_or(&Known::Unset) {
        Known::No => return Known::No,
        Known::Unset => 0,
        Known::Value(value) => number(value),
    };
    Known::Value(
        before
            .saturating_add(number(&by).saturating_mul(sign))
            .to_string()
            .into_bytes(),
    )
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests;

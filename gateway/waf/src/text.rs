//! Texts that may hold macros (`%{TX.score}`), and the names of transaction variables behind numbers: at run time a
//! variable is an index, whatever it is called.

use std::collections::HashMap;

use ahash::RandomState;

use crate::variable::{Target, Variable};

/// Numbers for the names of what rules write, per collection. Names are blind to case.
#[derive(Debug)]
pub(crate) struct Names {
    /// By collection, in the order of `place`.
    of: [HashMap<Box<[u8]>, u16, RandomState>; 8],
    /// The collection and the name of each slot.
    slots: Vec<(Variable, Box<[u8]>)>,
}

impl Default for Names {
    /// The captures come first: `TX.0` to `TX.9` are slots 0 to 9.
    fn default() -> Self {
        let mut names = Self {
            of: Default::default(),
            slots: Vec::new(),
        };
        for slot in 0..10_u16 {
            names.slot(Variable::Tx, slot.to_string().as_bytes());
        }
        names
    }
}

impl Names {
    pub(crate) fn slot(&mut self, scope: Variable, name: &[u8]) -> u16 {
        let next = u16::try_from(self.slots.len()).unwrap_or(u16::MAX);
        let name: Box<[u8]> = name.to_ascii_lowercase().into();
        let Some(own) = self.of.get_mut(place(scope)) else {
            return next;
        };
        let slot = *own.entry(name.clone()).or_insert(next);
        if slot == next {
            self.slots.push((scope, name));
        }
        slot
    }

    /// The slot of a name put together at run time; `lower` is in lower case.
    pub(crate) fn known(&self, scope: Variable, lower: &[u8]) -> Option<u16> {
        self.of.get(place(scope))?.get(lower).copied()
    }

    pub(crate) const fn len(&self) -> usize {
        self.slots.len()
    }

    /// The collection and the name of a slot.
    pub(crate) fn of_slot(&self, slot: u16) -> Option<(Variable, &[u8])> {
        let (scope, name) = self.slots.get(usize::from(slot))?;
        Some((*scope, name))
    }

    /// Whether only rules write a slot, and only during one request.
    pub(crate) fn is_own(&self, slot: u16) -> bool {
        self.of_slot(slot)
            .is_some_and(|(scope, _)| scope == Variable::Tx)
    }

    /// The names of a collection and the slots behind them.
    pub(crate) fn iter(&self, scope: Variable) -> impl Iterator<Item = (&[u8], u16)> {
        self.of
            .get(place(scope))
            .into_iter()
            .flatten()
            .map(|(name, slot)| (&**name, *slot))
    }
}

/// Among the collections that rules write.
const fn place(scope: Variable) -> usize {
    match scope {
        Variable::Ip => 1,
        Variable::Global => 2,
        Variable::Session => 3,
        Variable::User => 4,
        Variable::Resource => 5,
        Variable::Geo => 6,
        Variable::Env => 7,
        _ => 0,
    }
}

/// What `%{RULE.…}` says of the rule at hand.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Own {
    Id,
    Msg,
    Severity,
    Data,
    Rev,
}

impl Own {
    pub(crate) fn of(name: &str) -> Option<Self> {
        Some(match name.to_ascii_lowercase().as_str() {
            "id" => Self::Id,
            "msg" => Self::Msg,
            "severity" => Self::Severity,
            "logdata" => Self::Data,
            "rev" => Self::Rev,
            _ => return None,
        })
    }
}

/// A piece of a text.
#[derive(Clone, Debug)]
pub(crate) enum Part {
    Literal(Box<[u8]>),
    /// What a rule wrote, by slot.
    Tx(u16),
    /// The first member of a collection, or a variable that stands alone.
    Value(Box<Target>),
    /// The same for what changes while rules run.
    Dynamic(Box<Target>),
    MatchedVar,
    MatchedVarName,
    /// Until the rule is read whole; then its own words stand here.
    Own(Own),
}

/// A text, expanded when it is used.
#[derive(Clone, Debug, Default)]
pub(crate) struct Text(Vec<Part>);

impl Text {
    pub(crate) fn new(parts: Vec<Part>) -> Self {
        Self(parts)
    }

    pub(crate) fn fixed(text: &[u8]) -> Self {
        Self(vec![Part::Literal(text.into())])
    }

    pub(crate) fn parts(&self) -> &[Part] {
        &self.0
    }

    /// Puts what `words` says in the place of what the rule says of itself.
    pub(crate) fn settle(&mut self, words: impl Fn(Own) -> Self) {
        if self.0.iter().any(|part| matches!(part, Part::Own(_))) {
            let parts = std::mem::take(&mut self.0).into_iter();
            self.0 = parts
                .flat_map(|part| match part {
                    Part::Own(own) => words(own).0,
                    part => vec![part],
                })
                // A message that names itself.
                .filter(|part| !matches!(part, Part::Own(_)))
                .collect();
        }
    }

    /// The text when it holds no macro.
    pub(crate) fn as_fixed(&self) -> Option<&[u8]> {
        match self.0.as_slice() {
            [] => Some(&[]),
            [Part::Literal(text)] => Some(text),
            _ => None,
        }
    }
}

//! Texts that may hold macros (`%{TX.score}`), and the names of transaction variables behind numbers: at run time a
//! variable is an index, whatever it is called.

use std::collections::HashMap;

use crate::variable::Target;

/// Numbers for the names of transaction variables. Names are blind to case.
#[derive(Debug)]
pub(crate) struct Names(HashMap<Box<[u8]>, u16>);

impl Default for Names {
    /// The captures come first: `TX.0` to `TX.9` are slots 0 to 9.
    fn default() -> Self {
        Self(
            (0..10_u16)
                .map(|slot| (slot.to_string().into_bytes().into(), slot))
                .collect(),
        )
    }
}

impl Names {
    pub(crate) fn slot(&mut self, name: &[u8]) -> u16 {
        let next = u16::try_from(self.0.len()).unwrap_or(u16::MAX);
        *self
            .0
            .entry(name.to_ascii_lowercase().into())
            .or_insert(next)
    }

    /// The slot of a name put together at run time; `lower` is in lower case.
    pub(crate) fn known(&self, lower: &[u8]) -> Option<u16> {
        self.0.get(lower).copied()
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// The name behind each slot that a pattern takes.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&[u8], u16)> {
        self.0.iter().map(|(name, slot)| (&**name, *slot))
    }
}

/// A piece of a text.
#[derive(Clone, Debug)]
pub(crate) enum Part {
    Literal(Box<[u8]>),
    /// A transaction variable by slot.
    Tx(u16),
    /// The first member of a collection, or a variable that stands alone.
    Value(Box<Target>),
    MatchedVar,
    MatchedVarName,
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

    /// The text when it holds no macro.
    pub(crate) fn as_fixed(&self) -> Option<&[u8]> {
        match self.0.as_slice() {
            [] => Some(&[]),
            [Part::Literal(text)] => Some(text),
            _ => None,
        }
    }
}

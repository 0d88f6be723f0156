//! What one request may cost. Every limit has a default; beyond it the request is refused with a reason of its own.

/// Limits on what a request may contain and on the work spent on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Arguments of query and body together. Default 1000.
    pub args: usize,
    /// Bytes of one argument's or cookie's name. Default 8192: clients post JSON as a form, which makes all of it one
    /// name.
    pub name: usize,
    /// Bytes of one value. Default 1 MiB.
    pub value: usize,
    /// Nested objects and lists of JSON, elements of XML. Default 64.
    pub depth: usize,
    /// Units of work: bytes, counted once per transformation, automaton and pattern asked, for a pattern several times.
    /// The dearest texts that the example `hostile` finds take about a nanosecond a unit, ordinary ones less. Default
    /// 40 Mi: some 40 ms.
    pub work: u64,
    /// Matches reported; the score counts all. Default 64.
    pub matches: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            args: 1000,
            name: 8 << 10,
            value: 1 << 20,
            depth: 64,
            work: 40 << 20,
            matches: 64,
        }
    }
}

/// What is left of the work.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Budget(u64);

impl Budget {
    pub(crate) const fn new(work: u64) -> Self {
        Self(work)
    }

    pub(crate) const fn charge(&mut self, bytes: usize) {
        self.charge_weighted(bytes, 1);
    }

    /// Even an empty value costs something: ten thousand of them are work.
    pub(crate) const fn charge_weighted(&mut self, bytes: usize, weight: u64) {
        self.0 = self
            .0
            .saturating_sub((bytes as u64 + 16).saturating_mul(weight));
    }

    pub(crate) const fn left(self) -> u64 {
        self.0
    }

    /// A question had no answer within bounds.
    pub(crate) const fn exhaust(&mut self) {
        self.0 = 0;
    }

    pub(crate) const fn is_spent(self) -> bool {
        self.0 == 0
    }
}

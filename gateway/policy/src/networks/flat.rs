//! Disjoint ranges over one address family, made of entries that may overlap in every way.

use std::collections::BinaryHeap;

use super::sorted::{Halves, Sorted, Tree};

/// An entry without an end. Ends are Unix seconds.
pub(super) const FOREVER: u32 = u32::MAX;

/// One entry: both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span<A> {
    pub(super) first: A,
    pub(super) last: A,
    pub(super) until: u32,
}

/// What the two address families have in common.
pub(super) trait Address: Copy + Ord {
    type Starts: Sorted<Self>;

    fn next(self) -> Option<Self>;
}

impl Address for u32 {
    type Starts = Tree<Self>;

    fn next(self) -> Option<Self> {
        self.checked_add(1)
    }
}

impl Address for u128 {
    type Starts = Halves;

    fn next(self) -> Option<Self> {
        self.checked_add(1)
    }
}

/// Range `i` begins at key `i`, ends before the next one and holds until `ends[i]` (zero: it is a gap).
#[derive(Debug, Default)]
pub(super) struct Flat<A: Address> {
    starts: A::Starts,
    /// Empty when no entry has an end: ranges and gaps alternate then, beginning with a range.
    ends: Vec<u32>,
}

impl<A: Address> Flat<A> {
    pub(super) fn new(mut spans: Vec<Span<A>>) -> Self {
        spans.sort_unstable_by_key(|span| span.first);
        let mut ranges = Ranges {
            starts: Vec::with_capacity(spans.len() + spans.len() / 2),
            ends: Vec::with_capacity(spans.len() + spans.len() / 2),
        };
        let mut open = BinaryHeap::new();
        for span in spans {
            ranges.close(&mut open, Some(span.first));
            open.push((span.until, span.last));
            let until = open.peek().map_or(0, |&(until, _)| until);
            ranges.emit(span.first, until);
        }
        ranges.close(&mut open, None);
        let Ranges { starts, mut ends } = ranges;
        if ends.iter().all(|&end| matches!(end, 0 | FOREVER)) {
            ends = Vec::new();
        }
        ends.shrink_to_fit();
        Self {
            starts: A::Starts::new(starts),
            ends,
        }
    }

    /// Until when the address is covered; zero: not at all.
    pub(super) fn end(&self, address: A) -> u32 {
        match self.starts.position(address) {
            None => 0,
            Some(range) if !self.ends.is_empty() => self.ends.get(range).copied().unwrap_or(0),
            Some(range) if range.is_multiple_of(2) => FOREVER,
            Some(_) => 0,
        }
    }

    pub(super) fn bytes(&self) -> usize {
        self.starts.bytes() + self.ends.capacity() * 4
    }
}

/// Ranges while they are found, from low addresses to high ones.
struct Ranges<A> {
    starts: Vec<A>,
    ends: Vec<u32>,
}

impl<A: Address> Ranges<A> {
    /// Ends the ranges that end before `before` (all of them without one). Entries that are covered by a later end
    /// stay in the heap until they come up.
    fn close(&mut self, open: &mut BinaryHeap<(u32, A)>, before: Option<A>) {
        while let Some(&(_, last)) = open.peek()
            && before.is_none_or(|before| last < before)
        {
            while open.peek().is_some_and(|&(_, other)| other <= last) {
                open.pop();
            }
            if let Some(next) = last.next() {
                self.emit(next, open.peek().map_or(0, |&(until, _)| until));
            }
        }
    }

    fn emit(&mut self, start: A, until: u32) {
        if self.starts.last() == Some(&start) {
            self.starts.pop();
            self.ends.pop();
        }
        if self.ends.last().copied().unwrap_or(0) != until {
            self.starts.push(start);
            self.ends.push(until);
        }
    }
}

//! Which probes of a plan could match a value over one alphabet: first by the bytes it holds, a machine word for 64
//! probes at a time, then by the literals found in it.

use super::{literals::Collector, plan::MAX_NODES, requirement::Requirement};
use crate::bytes::{ByteSet, bits};

/// What one entry asks of a value before its test is put to it.
#[derive(Debug, Default)]
struct Gate {
    min_len: usize,
    /// One of its literals must be found.
    literal: bool,
    /// Beyond the set that the index is made of: the next one, and those that few have.
    set: Option<ByteSet>,
    others: Box<[ByteSet]>,
}

/// The entries of a plan, for values over one alphabet.
#[derive(Debug, Default)]
pub(crate) struct Index {
    /// Words of one set of entries.
    words: usize,
    /// Entries that need no particular byte.
    any: Vec<u64>,
    /// Bytes that some entry needs one of.
    needed: ByteSet,
    /// By byte: entries that it is enough for.
    by_byte: Vec<u64>,
    /// By node: entries that sit there.
    at_node: Vec<u64>,
    gates: Vec<Gate>,
    /// `entries_of[starts[n]..starts[n + 1]]` wait for literal `n`.
    starts: Vec<u32>,
    entries_of: Vec<u32>,
}

impl Index {
    /// Leaves in `possible` the entries that a content of these bytes could match, and says whether any of them waits
    /// for a literal. Only those at `nodes` are asked of this content at all.
    pub(crate) fn possible(
        &self,
        bytes: ByteSet,
        length: usize,
        nodes: u64,
        possible: &mut Vec<u64>,
    ) -> bool {
        possible.clear();
        possible.extend_from_slice(&self.any);
        for byte in bytes.and(self.needed).iter() {
            let from = usize::from(byte) * self.words;
            let more = self.by_byte.get(from..from + self.words);
            for (all, more) in possible.iter_mut().zip(more.unwrap_or_default()) {
                *all |= more;
            }
        }
        let mut waiting = false;
        for (at, word) in possible
            .iter_mut()
            .enumerate()
            .filter(|(_, word)| **word != 0)
        {
            *word &= bits(nodes).fold(0, |all, node| {
                let place = usize::from(node) * self.words + at;
                all | self.at_node.get(place).copied().unwrap_or_default()
            });
            for bit in bits(*word) {
                let entry = at * 64 + usize::from(bit);
                let gate = self.gates.get(entry).filter(|gate| {
                    length >= gate.min_len
                        && gate.set.is_none_or(|set| set.intersects(bytes))
                        && gate.others.iter().all(|set| set.intersects(bytes))
                });
                match gate {
                    Some(gate) => waiting |= gate.literal,
                    None => *word &= !(1 << bit),
                }
            }
        }
        waiting
    }

    /// Whether an entry waits for a literal.
    pub(crate) fn waits(&self, entry: usize) -> bool {
        self.gates.get(entry).is_some_and(|gate| gate.literal)
    }

    pub(crate) fn of_literal(&self, literal: u32) -> &[u32] {
        let at = literal as usize;
        let bounds = self.starts.get(at).zip(self.starts.get(at + 1));
        bounds
            .and_then(|(&from, &to)| self.entries_of.get(from as usize..to as usize))
            .unwrap_or_default()
    }
}

/// Builds one; literals get their numbers on the way.
#[derive(Default)]
pub(super) struct Builder {
    entries: Vec<(ByteSet, bool)>,
    gates: Vec<Gate>,
    waiting: Vec<(u32, u32)>,
}

impl Builder {
    /// `None` never matches, but keeps its place.
    pub(super) fn add(&mut self, requirement: Option<&Requirement>, literals: &mut Collector) {
        let number = u32::try_from(self.gates.len()).unwrap_or(u32::MAX);
        let Some(requirement) = requirement else {
            self.entries.push((ByteSet::EMPTY, false));
            self.gates.push(Gate::default());
            return;
        };
        let mut sets = requirement.all_sets().into_iter();
        let first = sets.next();
        self.entries
            .push((first.unwrap_or_default(), first.is_none()));
        self.gates.push(Gate {
            min_len: requirement.min_len,
            literal: !requirement.literals.is_empty(),
            set: sets.next(),
            others: sets.collect(),
        });
        for literal in &requirement.literals {
            self.waiting.push((literals.number(literal), number));
        }
    }

    /// `literals` is the number of literals in the whole ruleset, `nodes` has the node of each entry.
    pub(super) fn build(mut self, literals: usize, nodes: &[u8]) -> Index {
        self.waiting.sort_unstable();
        self.waiting.dedup();
        let mut index = Index {
            words: self.gates.len().div_ceil(64),
            starts: starts(&self.waiting, literals),
            entries_of: self.waiting.into_iter().map(|(_, entry)| entry).collect(),
            gates: self.gates,
            ..Index::default()
        };
        index.any.resize(index.words, 0);
        index.by_byte.resize(index.words * 256, 0);
        index.at_node.resize(index.words * MAX_NODES, 0);
        for (at, node) in nodes.iter().enumerate() {
            let place = usize::from(*node) * index.words + at / 64;
            if let Some(word) = index.at_node.get_mut(place) {
                *word |= 1 << (at % 64);
            }
        }
        for (at, (set, any)) in self.entries.into_iter().enumerate() {
            let bit = 1 << (at % 64);
            if let Some(word) = index.any.get_mut(at / 64).filter(|_| any) {
                *word |= bit;
            }
            index.needed = index.needed.union(set);
            for byte in set.iter() {
                let place = usize::from(byte) * index.words + at / 64;
                if let Some(word) = index.by_byte.get_mut(place) {
                    *word |= bit;
                }
            }
        }
        index
    }
}

fn starts(waiting: &[(u32, u32)], literals: usize) -> Vec<u32> {
    let mut starts = Vec::with_capacity(literals + 1);
    let mut at = 0;
    for literal in 0..=literals {
        while waiting
            .get(at)
            .is_some_and(|(number, _)| (*number as usize) < literal)
        {
            at += 1;
        }
        starts.push(u32::try_from(at).unwrap_or(u32::MAX));
    }
    starts
}

//! Which probes of a plan could match a value over one alphabet: first by the bytes it holds and its length, 128
//! probes at a time, then by the literals found in it.

use super::{literals::Collector, plan::MAX_NODES, requirement::Requirement};
use crate::bytes::{ByteSet, bits};

/// Entries as bits.
pub(crate) type Word = u128;
const BITS: usize = Word::BITS as usize;

/// Of longer contents the length tells nothing: no pattern asks for more than a little longer.
const LENGTHS: usize = 40;

/// What one entry asks of a value before its test is put to it, beyond one byte of a set and a length.
#[derive(Debug, Default)]
struct Gate {
    min_len: usize,
    /// Each shares a byte with the value.
    sets: Box<[ByteSet]>,
    /// One of its literals must be found.
    literal: bool,
}

impl Gate {
    fn admits(&self, bytes: ByteSet, length: usize) -> bool {
        length >= self.min_len && self.sets.iter().all(|set| set.intersects(bytes))
    }
}

/// As many entries as one word tells apart.
#[derive(Debug)]
struct Block {
    /// Entries that need no particular byte.
    any: Word,
    /// By length: entries with matches that short.
    by_length: [Word; LENGTHS],
    /// By node: entries that sit there.
    at_node: Box<[Word; MAX_NODES]>,
    /// Entries whose gates ask more than what is told above.
    gated: Word,
    /// Entries that wait for a literal.
    waiting: Word,
    /// Nodes at which some entry sits.
    nodes: u64,
}

impl Default for Block {
    fn default() -> Self {
        Self {
            any: 0,
            by_length: [0; LENGTHS],
            at_node: Box::new([0; MAX_NODES]),
            gated: 0,
            waiting: 0,
            nodes: 0,
        }
    }
}

impl Block {
    /// Entries that a content of this length could match.
    fn short(&self, length: usize) -> Word {
        let short = self.by_length.get(length.min(LENGTHS - 1));
        short.copied().unwrap_or_default()
    }

    /// Entries at these nodes. Nearly all of them or hardly any: what is less is walked.
    fn at(&self, nodes: u64) -> Word {
        let at = |nodes: u64| {
            let row = |node: u8| self.at_node.get(usize::from(node)).copied();
            bits(nodes).fold(0, |all, node| all | row(node).unwrap_or_default())
        };
        let (own, others) = (self.nodes & nodes, self.nodes & !nodes);
        if own.count_ones() > others.count_ones() {
            !at(others)
        } else {
            at(own)
        }
    }
}

/// The entries of a plan, for values over one alphabet.
#[derive(Debug, Default)]
pub(crate) struct Index {
    blocks: Vec<Block>,
    /// By byte, then by block: entries that it is enough for. What one byte tells lies together.
    by_byte: Vec<Word>,
    /// Bytes that some entry needs one of.
    needed: ByteSet,
    gates: Vec<Gate>,
    /// `entries_of[starts[n]..starts[n + 1]]` wait for literal `n`.
    starts: Vec<u32>,
    entries_of: Vec<u32>,
}

impl Index {
    /// Leaves in `possible` the entries that a content of these bytes could match. Only those at `nodes` are asked of this
    /// content at all.
    pub(crate) fn possible(
        &self,
        bytes: ByteSet,
        length: usize,
        nodes: u64,
        possible: &mut Vec<Word>,
    ) {
        possible.clear();
        possible.extend(self.blocks.iter().map(|block| block.any));
        let width = self.blocks.len();
        for byte in bytes.and(self.needed).iter() {
            let row = self.by_byte.get(usize::from(byte) * width..);
            for (word, own) in possible.iter_mut().zip(row.unwrap_or_default()) {
                *word |= own;
            }
        }
        let blocks = self.blocks.iter().zip(self.gates.chunks(BITS));
        for (word, (block, gates)) in possible.iter_mut().zip(blocks) {
            *word &= block.short(length) & block.at(nodes);
            for bit in ones(*word & block.gated) {
                let gate = gates.get(bit);
                if !gate.is_some_and(|gate| gate.admits(bytes, length)) {
                    *word &= !(1 << bit);
                }
            }
        }
    }

    /// Of what is possible leaves the entries at `nodes`.
    pub(crate) fn narrow(&self, nodes: u64, possible: &mut [Word]) {
        for (word, block) in possible.iter_mut().zip(&self.blocks) {
            *word &= block.at(nodes);
        }
    }

    /// Moves those that wait for no literal into `entries`; true when others are left.
    pub(crate) fn release(&self, possible: &mut [Word], entries: &mut Vec<u32>) -> bool {
        let mut waiting = 0;
        for ((block, word), at) in self.blocks.iter().zip(possible).zip(0_usize..) {
            let free = ones(*word & !block.waiting).map(|bit| at * BITS + bit);
            entries.extend(free.filter_map(|entry| u32::try_from(entry).ok()));
            *word &= block.waiting;
            waiting |= *word;
        }
        waiting != 0
    }

    /// Moves those that waited for this literal.
    pub(crate) fn found(&self, literal: u32, possible: &mut [Word], entries: &mut Vec<u32>) {
        for &entry in self.of_literal(literal) {
            let word = possible.get_mut(entry as usize / BITS);
            let bit = 1 << (entry as usize % BITS);
            if let Some(word) = word.filter(|word| **word & bit != 0) {
                *word &= !bit;
                entries.push(entry);
            }
        }
    }

    fn of_literal(&self, literal: u32) -> &[u32] {
        let at = literal as usize;
        let bounds = self.starts.get(at).zip(self.starts.get(at + 1));
        bounds
            .and_then(|(&from, &to)| self.entries_of.get(from as usize..to as usize))
            .unwrap_or_default()
    }
}

/// The numbers of the entries of a set.
pub(crate) fn numbers(possible: &[Word]) -> impl Iterator<Item = usize> {
    let words = possible.iter().zip(0_usize..);
    words.flat_map(|(word, at)| ones(*word).map(move |bit| at * BITS + bit))
}

fn ones(mut word: Word) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        let bit = word.trailing_zeros() as usize;
        word &= word.wrapping_sub(1);
        (bit < BITS).then_some(bit)
    })
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
            sets: sets.collect(),
            literal: !requirement.literals.is_empty(),
        });
        for literal in &requirement.literals {
            self.waiting.push((literals.number(literal), number));
        }
    }

    /// `literals` is the number of literals in the whole ruleset, `nodes` has the node of each entry.
    pub(super) fn build(mut self, literals: usize, nodes: &[u8]) -> Index {
        self.waiting.sort_unstable();
        self.waiting.dedup();
        let needed = self
            .entries
            .iter()
            .fold(ByteSet::EMPTY, |all, (set, _)| all.union(*set));
        let blocks = self
            .gates
            .chunks(BITS)
            .zip(self.entries.chunks(BITS))
            .zip(nodes.chunks(BITS));
        let width = self.entries.len().div_ceil(BITS);
        let mut by_byte = vec![0; 256 * width];
        for (at, (set, _)) in self.entries.iter().enumerate() {
            for byte in set.iter() {
                if let Some(word) = by_byte.get_mut(usize::from(byte) * width + at / BITS) {
                    *word |= 1 << (at % BITS);
                }
            }
        }
        Index {
            by_byte,
            blocks: blocks
                .map(|((gates, entries), nodes)| block(gates, entries, nodes))
                .collect(),
            needed,
            starts: starts(&self.waiting, literals),
            entries_of: self.waiting.into_iter().map(|(_, entry)| entry).collect(),
            gates: self.gates,
        }
    }
}

fn block(gates: &[Gate], entries: &[(ByteSet, bool)], nodes: &[u8]) -> Block {
    let mut block = Block::default();
    for (at, ((gate, (_, any)), node)) in gates.iter().zip(entries).zip(nodes).enumerate() {
        let bit = 1 << at;
        if *any {
            block.any |= bit;
        }
        for row in block.by_length.iter_mut().skip(gate.min_len) {
            *row |= bit;
        }
        let long = gate.min_len >= LENGTHS;
        if let Some(row) = block.by_length.last_mut().filter(|_| long) {
            *row |= bit;
        }
        if let Some(row) = block.at_node.get_mut(usize::from(*node)) {
            *row |= bit;
        }
        block.nodes |= 1 << node;
        if long || !gate.sets.is_empty() {
            block.gated |= bit;
        }
        if gate.literal {
            block.waiting |= bit;
        }
    }
    block
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

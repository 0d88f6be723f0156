//! Which probes of a plan could match a value over one alphabet: first by the bytes it holds and its length, 128
//! probes at a time, then by the literals found in it.

use super::{literals::Collector, plan::MAX_NODES, requirement::Requirement};
use crate::bytes::{ByteSet, bits};

/// Entries as bits.
pub(crate) type Word = u128;
/// Entries of which something is enough for their first set of bytes, and for their second.
type Row = [Word; 2];
const BITS: usize = Word::BITS as usize;

/// Of longer contents the length tells nothing: no pattern asks for more than a little longer.
const LENGTHS: usize = 40;

/// What one entry asks of a value before its test is put to it, beyond a byte of each of two sets and a length: where its
/// further sets are, each of which shares a byte with the value.
#[derive(Clone, Copy, Debug, Default)]
struct Gate {
    min_len: u32,
    from: u32,
    to: u32,
}

/// As many entries as one word tells apart.
#[derive(Debug)]
struct Block {
    /// Entries that need no particular byte, and no second one.
    any: Row,
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
            any: [0; 2],
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

/// The entries of a plan that can match a value over one alphabet.
#[derive(Debug, Default)]
pub(crate) struct Index {
    blocks: Vec<Block>,
    /// By byte, then by block: entries that it is enough for.
    by_byte: Vec<Row>,
    /// Bytes that some entry needs one of.
    needed: ByteSet,
    gates: Vec<Gate>,
    sets: Vec<ByteSet>,
    /// By place here: the entry of the plan, and its node.
    entries: Vec<(u32, u8)>,
    /// `places_of[starts[n]..starts[n + 1]]` wait for literal `n`.
    starts: Vec<u32>,
    places_of: Vec<u32>,
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
        possible.resize(self.blocks.len(), 0);
        self.meet(bytes, possible);
        let blocks = self.blocks.iter().zip(self.gates.chunks(BITS));
        for (word, (block, gates)) in possible.iter_mut().zip(blocks) {
            *word &= block.short(length) & block.at(nodes);
            let gated = ones(*word & block.gated);
            let out = gated.filter(|bit| {
                let gate = gates.get(*bit);
                !gate.is_some_and(|gate| self.admits(*gate, bytes, length))
            });
            *word &= !out.fold(0, |out, bit| out | 1 << bit);
        }
    }

    /// Entries of whose first two sets each shares a byte with these.
    fn meet(&self, bytes: ByteSet, possible: &mut [Word]) {
        let bytes = bytes.and(self.needed);
        let width = self.blocks.len();
        for ((word, block), at) in possible.iter_mut().zip(&self.blocks).zip(0_usize..) {
            let all = bytes.iter().fold(block.any, |[one, two], byte| {
                let row = self.by_byte.get(usize::from(byte) * width + at);
                let [first, second] = row.copied().unwrap_or_default();
                [one | first, two | second]
            });
            *word = all[0] & all[1];
        }
    }

    fn admits(&self, gate: Gate, bytes: ByteSet, length: usize) -> bool {
        let sets = self.sets.get(gate.from as usize..gate.to as usize);
        length >= gate.min_len as usize
            && sets.is_some_and(|sets| sets.iter().all(|set| set.intersects(bytes)))
    }

    /// The nodes of what is possible.
    pub(crate) fn nodes(&self, possible: &[Word]) -> u64 {
        let words = possible.iter().zip(0_usize..);
        let places = words.flat_map(|(word, at)| ones(*word).map(move |bit| at * BITS + bit));
        let node = |place: usize| self.entries.get(place).map_or(0, |(_, node)| 1 << node);
        places.fold(0, |all, place| all | node(place))
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
            let own = free.filter_map(|place| self.entries.get(place));
            own.for_each(|(entry, _)| entries.push(*entry));
            *word &= block.waiting;
            waiting |= *word;
        }
        waiting != 0
    }

    /// Moves those that waited for this literal.
    pub(crate) fn found(&self, literal: u32, possible: &mut [Word], entries: &mut Vec<u32>) {
        for &place in self.of_literal(literal) {
            let word = possible.get_mut(place as usize / BITS);
            let bit = 1 << (place as usize % BITS);
            if let Some(word) = word.filter(|word| **word & bit != 0) {
                *word &= !bit;
                entries.extend(self.entries.get(place as usize).map(|(entry, _)| *entry));
            }
        }
    }

    fn of_literal(&self, literal: u32) -> &[u32] {
        let at = literal as usize;
        let bounds = self.starts.get(at).zip(self.starts.get(at + 1));
        bounds
            .and_then(|(&from, &to)| self.places_of.get(from as usize..to as usize))
            .unwrap_or_default()
    }
}

/// The places of the ones: of two halves, each a register wide.
fn ones(word: Word) -> impl Iterator<Item = usize> {
    let (low, high) = (word as u64, (word >> 64) as u64);
    let high = bits(high).map(|bit| usize::from(bit) + BITS / 2);
    bits(low).map(usize::from).chain(high)
}

/// Builds one; literals get their numbers on the way.
#[derive(Default)]
pub(super) struct Builder {
    asked: Vec<Asked>,
    waiting: Vec<(u32, u32)>,
}

/// An entry on its way into an index.
struct Asked {
    entry: u32,
    node: u8,
    min_len: usize,
    /// Rarest bytes first.
    sets: Vec<ByteSet>,
    /// One of its literals must be found.
    literal: bool,
}

impl Builder {
    /// An entry of the plan at that node.
    pub(super) fn add(
        &mut self,
        (entry, node): (u32, u8),
        requirement: &Requirement,
        literals: &mut Collector,
    ) {
        let place = u32::try_from(self.asked.len()).unwrap_or(u32::MAX);
        self.asked.push(Asked {
            entry,
            node,
            min_len: requirement.min_len,
            sets: requirement.all_sets(),
            literal: !requirement.literals.is_empty(),
        });
        for literal in &requirement.literals {
            self.waiting.push((literals.number(literal), place));
        }
    }

    /// `literals` is the number of literals in the whole ruleset.
    pub(super) fn build(mut self, literals: usize) -> Index {
        self.waiting.sort_unstable();
        self.waiting.dedup();
        let width = self.asked.len().div_ceil(BITS);
        let mut index = Index {
            blocks: self.asked.chunks(BITS).map(block).collect(),
            by_byte: vec![[0; 2]; 256 * width],
            starts: starts(&self.waiting, literals),
            places_of: self.waiting.into_iter().map(|(_, place)| place).collect(),
            ..Index::default()
        };
        for (at, asked) in self.asked.iter().enumerate() {
            let mut sets = asked.sets.iter();
            for (which, set) in sets.by_ref().take(2).enumerate() {
                index.needed = index.needed.union(*set);
                for byte in set.iter() {
                    let row = index.by_byte.get_mut(usize::from(byte) * width + at / BITS);
                    if let Some(word) = row.and_then(|row| row.get_mut(which)) {
                        *word |= 1 << (at % BITS);
                    }
                }
            }
            let from = u32::try_from(index.sets.len()).unwrap_or(u32::MAX);
            index.sets.extend(sets);
            index.gates.push(Gate {
                min_len: u32::try_from(asked.min_len).unwrap_or(u32::MAX),
                from,
                to: u32::try_from(index.sets.len()).unwrap_or(u32::MAX),
            });
            index.entries.push((asked.entry, asked.node));
        }
        index
    }
}

fn block(asked: &[Asked]) -> Block {
    let mut block = Block::default();
    for (at, asked) in asked.iter().enumerate() {
        let bit = 1 << at;
        for (which, any) in block.any.iter_mut().enumerate() {
            if asked.sets.len() <= which {
                *any |= bit;
            }
        }
        for row in block.by_length.iter_mut().skip(asked.min_len) {
            *row |= bit;
        }
        let long = asked.min_len >= LENGTHS;
        if let Some(row) = block.by_length.last_mut().filter(|_| long) {
            *row |= bit;
        }
        if let Some(row) = block.at_node.get_mut(usize::from(asked.node)) {
            *row |= bit;
        }
        block.nodes |= 1 << asked.node;
        if long || asked.sets.len() > 2 {
            block.gated |= bit;
        }
        if asked.literal {
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

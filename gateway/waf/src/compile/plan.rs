//! What is done with one value: a trie of transformations shared by all rules that read it, and for every rule at
//! its place in the trie what the value must hold before the rule is asked.

use std::collections::HashMap;

use super::{
    alphabet,
    index::{self, Index, Word},
    literals::Collector,
    requirement::Requirement,
    triggers::{added, only_moves, triggers},
};
use crate::{
    bytes::{ByteSet, bits},
    transform::Transform,
};

/// A set of nodes is one machine word; a value whose rules need more gets a second plan.
pub(crate) const MAX_NODES: usize = 64;

/// By alphabet: what a value over it must hold; `None` when it cannot match.
pub(crate) type Requirements = [Option<Requirement>; alphabet::COUNT];

/// One test of one rule, wherever it is asked.
#[derive(Clone, Debug)]
pub(crate) struct Probe {
    pub(crate) rule: u32,
    /// Which test; `None` when all tests of the link must hold together.
    pub(crate) test: Option<u16>,
    pub(crate) pipeline: Vec<Transform>,
    pub(crate) requirements: Requirements,
}

/// One transformation at its place in the trie. Node 0 is the value itself; step `n` makes node `n + 1`.
#[derive(Debug)]
pub(crate) struct Step {
    pub(crate) transform: Transform,
    pub(crate) parent: u8,
    /// Without one of these bytes the transformation changes nothing.
    pub(crate) triggers: ByteSet,
    /// Only the case of letters changes: the scan, blind to case, need not be repeated.
    pub(crate) case_only: bool,
    /// From a shorter input nothing long enough for any rule comes out, here or further on.
    pub(crate) least: usize,
    /// The same of what comes out here.
    pub(crate) need: usize,
}

/// A probe at a node.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) probe: u32,
    pub(crate) node: u8,
    /// The rule looks at several nodes: contents that are the same are asked once.
    pub(crate) multi: bool,
}

/// See [`Plan::live`].
pub(crate) struct Live {
    pub(crate) nodes: u64,
    /// What was found possible is so of the value itself, and not of what steps may add to it.
    pub(crate) exact: bool,
}

#[derive(Debug, Default)]
pub(crate) struct Plan {
    pub(crate) steps: Vec<Step>,
    pub(crate) entries: Vec<Entry>,
    /// Nodes at which some entry sits.
    pub(crate) occupied: u64,
    /// All nodes.
    pub(crate) nodes: u64,
    /// By node: those that are made from it.
    pub(crate) children: Vec<u64>,
    /// Bytes that some step acts on, but for the steps that act on all.
    pub(crate) acted_on: ByteSet,
    /// By byte: nodes whose step acts on it. Empty when no step does.
    pub(crate) by_byte: Vec<u64>,
    /// Nodes whose step acts on every byte.
    pub(crate) always: u64,
    /// By alphabet.
    pub(crate) indexes: Vec<Index>,
    /// By node: itself and those on the way to it.
    above: Vec<u64>,
    /// Bytes that make some step add a byte, and which, in an order in which one may follow from another.
    adds: Vec<(ByteSet, ByteSet)>,
    /// Nodes of which a value's bytes tell nothing if a step decodes one of these bytes on the way.
    decoded: Vec<(ByteSet, u64)>,
}

impl Plan {
    /// Nodes at which some rule could match this value, with those on the way to them. Steps that only move or remove
    /// bytes make nothing of them that the value does not hold already: where its bytes and its length are not enough for
    /// any rule, they need not be taken.
    pub(crate) fn live(
        &self,
        alphabets: &[ByteSet],
        bytes: ByteSet,
        length: usize,
        possible: &mut Vec<Word>,
    ) -> Live {
        let mut all = bytes;
        for (by, more) in &self.adds {
            if by.intersects(all) {
                all = all.union(*more);
            }
        }
        let exact = all == bytes;
        let bytes = all.lowercase();
        let all = all.union(bytes);
        let acting = self.decoded.iter().filter(|(by, _)| by.intersects(all));
        let decoded = acting.fold(0, |all, (_, nodes)| all | nodes) & self.occupied;
        let Some(index) = self.index(alphabets, bytes) else {
            return Live {
                nodes: self.nodes,
                exact: false,
            };
        };
        index.possible(bytes, length, self.nodes, possible);
        let sitting = decoded | index.nodes(possible);
        let above = |node: u8| self.above.get(usize::from(node)).copied();
        let nodes = bits(sitting).fold(0, |all, node| all | above(node).unwrap_or_default());
        Live { nodes, exact }
    }

    /// What is asked of contents of these bytes.
    pub(crate) fn index(&self, alphabets: &[ByteSet], bytes: ByteSet) -> Option<&Index> {
        let mut smallest = alphabets.iter().zip(&self.indexes);
        let found = smallest.find(|(alphabet, _)| bytes.is_within(**alphabet));
        found.map(|(_, index)| index)
    }
}

impl Plan {
    /// What `live` needs to know of the steps.
    fn look_ahead(&mut self) {
        self.above = vec![1];
        for (at, step) in self.steps.iter().enumerate() {
            let parent = self.above.get(usize::from(step.parent));
            self.above
                .push(parent.copied().unwrap_or_default() | 2 << at);
        }
        for (at, step) in self.steps.iter().enumerate() {
            let bit: u64 = 2 << at;
            if only_moves(step.transform) {
                self.adds.extend(added(step.transform));
                continue;
            }
            let below = self.above.iter().zip(0_u32..);
            let below = below.filter(|(above, _)| **above & bit != 0);
            let below = below.fold(0, |all, (_, node)| all | 1 << node);
            match self.decoded.iter_mut().find(|(by, _)| *by == step.triggers) {
                Some((_, nodes)) => *nodes |= below,
                None => self.decoded.push((step.triggers, below)),
            }
        }
        // The slash that stands for a backslash may begin a comment, which becomes a space.
        self.adds
            .sort_unstable_by_key(|(_, more)| std::cmp::Reverse(more.iter().next()));
        self.adds.dedup();
    }
}

/// Builds one plan; literals get their numbers on the way.
#[derive(Default)]
pub(crate) struct Builder {
    steps: Vec<Step>,
    nodes: HashMap<(u8, Transform), u8>,
    entries: Vec<Entry>,
    /// By entry: the shortest match.
    lengths: Vec<usize>,
    occupied: u64,
    indexes: [index::Builder; alphabet::COUNT],
}

impl Builder {
    /// False when the trie is full: the probe goes into the next plan.
    pub(crate) fn add(&mut self, number: u32, probe: &Probe, literals: &mut Collector) -> bool {
        let Some(node) = self.node(&probe.pipeline) else {
            return false;
        };
        let entry = u32::try_from(self.entries.len()).unwrap_or(u32::MAX);
        self.entries.push(Entry {
            probe: number,
            node,
            multi: false,
        });
        let [.., whole] = &probe.requirements;
        let length = whole
            .as_ref()
            .map_or(usize::MAX, |requirement| requirement.min_len);
        self.lengths.push(length);
        self.occupied |= 1 << node;
        for (index, requirement) in self.indexes.iter_mut().zip(&probe.requirements) {
            if let Some(requirement) = requirement {
                index.add((entry, node), requirement, literals);
            }
        }
        true
    }

    fn node(&mut self, pipeline: &[Transform]) -> Option<u8> {
        let mut at = 0;
        for &transform in pipeline {
            at = match self.nodes.get(&(at, transform)) {
                Some(&known) => known,
                None => self.grow(at, transform)?,
            };
        }
        Some(at)
    }

    fn grow(&mut self, parent: u8, transform: Transform) -> Option<u8> {
        let number = u8::try_from(self.steps.len() + 1)
            .ok()
            .filter(|&n| usize::from(n) < MAX_NODES)?;
        self.steps.push(Step {
            transform,
            parent,
            triggers: triggers(transform),
            case_only: transform == Transform::Lowercase,
            least: usize::MAX,
            need: usize::MAX,
        });
        self.nodes.insert((parent, transform), number);
        Some(number)
    }

    /// `literals` is the number of literals in the whole ruleset.
    pub(crate) fn build(mut self, literals: usize, probes: &[Probe]) -> Plan {
        self.set_least();
        self.mark_multi(probes);
        let mut plan = Plan {
            nodes: u64::MAX >> (MAX_NODES - 1 - self.steps.len()),
            children: vec![0; self.steps.len() + 1],
            occupied: self.occupied,
            indexes: self.indexes.map(|index| index.build(literals)).into(),
            entries: self.entries,
            ..Plan::default()
        };
        for (at, step) in self.steps.iter().enumerate() {
            let bit = 2 << at;
            if let Some(children) = plan.children.get_mut(usize::from(step.parent)) {
                *children |= bit;
            }
            if step.triggers == ByteSet::ALL {
                plan.always |= bit;
                continue;
            }
            plan.acted_on = plan.acted_on.union(step.triggers);
            plan.by_byte.resize(256, 0);
            for byte in step.triggers.iter() {
                if let Some(nodes) = plan.by_byte.get_mut(usize::from(byte)) {
                    *nodes |= bit;
                }
            }
        }
        plan.steps = self.steps;
        plan.look_ahead();
        plan
    }

    /// From the leaves to the root: a step's input must be long enough for its own entries or for a later step.
    fn set_least(&mut self) {
        let mut needs = vec![usize::MAX; self.steps.len() + 1];
        for (entry, &length) in self.entries.iter().zip(&self.lengths) {
            if let Some(need) = needs.get_mut(usize::from(entry.node)) {
                *need = length.min(*need);
            }
        }
        for (at, step) in self.steps.iter_mut().enumerate().rev() {
            let need = needs.get(at + 1).copied().unwrap_or_default();
            step.need = need;
            step.least = shortest_input(step.transform, need);
            if let Some(above) = needs.get_mut(usize::from(step.parent)) {
                *above = step.least.min(*above);
            }
        }
    }

    fn mark_multi(&mut self, probes: &[Probe]) {
        let key = |entry: &Entry| {
            let probe = probes.get(entry.probe as usize);
            probe.map(|probe| (probe.rule, probe.test))
        };
        let mut seen = HashMap::new();
        for entry in &self.entries {
            *seen.entry(key(entry)).or_insert(0) += 1;
        }
        for entry in &mut self.entries {
            entry.multi = seen.get(&key(entry)).is_some_and(|&count| count > 1);
        }
    }
}

/// The shortest input that `transform` could make `need` bytes of.
fn shortest_input(transform: Transform, need: usize) -> usize {
    if need == usize::MAX {
        return need;
    }
    // No transformation is bounded by less than its input but those that write a number or a digest.
    (0..=need)
        .find(|&length| transform.bound(length) >= need)
        .unwrap_or(usize::MAX)
}

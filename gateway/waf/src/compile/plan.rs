//! What is done with one value: a trie of transformations shared by all rules that read it, and for every rule at
//! its place in the trie what the value must hold before the rule is asked.

use std::collections::HashMap;

use super::{literals::Collector, requirement::Requirement, triggers::triggers};
use crate::{bytes::ByteSet, transform::Transform};

/// A set of nodes is one machine word; a value whose rules need more gets a second plan.
pub(crate) const MAX_NODES: usize = 64;

/// One test of one rule, wherever it is asked.
#[derive(Clone, Debug)]
pub(crate) struct Probe {
    pub(crate) rule: u32,
    /// Which test; `None` when all tests of the link must hold together.
    pub(crate) test: Option<u16>,
    pub(crate) pipeline: Vec<Transform>,
    pub(crate) requirement: Requirement,
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
}

/// A probe at a node.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) probe: u32,
    pub(crate) node: u8,
    pub(crate) min_len: usize,
    pub(crate) sets: Box<[ByteSet]>,
}

#[derive(Debug, Default)]
pub(crate) struct Plan {
    pub(crate) steps: Vec<Step>,
    pub(crate) entries: Vec<Entry>,
    /// Entries that require no literal: decided by length and bytes alone.
    pub(crate) without_literal: Vec<u32>,
    /// Nodes at which some entry sits.
    pub(crate) occupied: u64,
    /// `entries_of[starts[n]..starts[n + 1]]` wait for literal `n`.
    starts: Vec<u32>,
    entries_of: Vec<u32>,
}

impl Plan {
    pub(crate) fn of_literal(&self, literal: u32) -> &[u32] {
        let at = literal as usize;
        let bounds = self.starts.get(at).zip(self.starts.get(at + 1));
        bounds
            .and_then(|(&from, &to)| self.entries_of.get(from as usize..to as usize))
            .unwrap_or_default()
    }
}

/// Builds one plan; literals get their numbers on the way.
#[derive(Default)]
pub(crate) struct Builder {
    steps: Vec<Step>,
    nodes: HashMap<(u8, Transform), u8>,
    entries: Vec<Entry>,
    without_literal: Vec<u32>,
    waiting: Vec<(u32, u32)>,
    occupied: u64,
}

impl Builder {
    /// False when the trie is full: the probe goes into the next plan.
    pub(crate) fn add(&mut self, number: u32, probe: &Probe, literals: &mut Collector) -> bool {
        let Some(node) = self.node(&probe.pipeline) else {
            return false;
        };
        let entry = u32::try_from(self.entries.len()).unwrap_or(u32::MAX);
        let requirement = &probe.requirement;
        self.entries.push(Entry {
            probe: number,
            node,
            min_len: requirement.min_len,
            sets: requirement.sets.clone().into_boxed_slice(),
        });
        self.occupied |= 1 << node;
        if requirement.literals.is_empty() {
            self.without_literal.push(entry);
        }
        for literal in &requirement.literals {
            self.waiting.push((literals.number(literal), entry));
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
        });
        self.nodes.insert((parent, transform), number);
        Some(number)
    }

    /// `literals` is the number of literals in the whole ruleset.
    pub(crate) fn build(mut self, literals: usize) -> Plan {
        self.waiting.sort_unstable();
        self.waiting.dedup();
        let mut starts = Vec::with_capacity(literals + 1);
        let mut at = 0;
        for literal in 0..=literals {
            while self
                .waiting
                .get(at)
                .is_some_and(|(number, _)| (*number as usize) < literal)
            {
                at += 1;
            }
            starts.push(u32::try_from(at).unwrap_or(u32::MAX));
        }
        Plan {
            steps: self.steps,
            entries: self.entries,
            without_literal: self.without_literal,
            occupied: self.occupied,
            starts,
            entries_of: self.waiting.into_iter().map(|(_, entry)| entry).collect(),
        }
    }
}

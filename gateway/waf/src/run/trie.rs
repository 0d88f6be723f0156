//! A value on its way through a plan's trie of transformations. Most nodes hold the value itself: only steps that have
//! something to act on are taken, and nodes are grouped by what they came to hold.

use crate::{
    bytes::{ByteSet, bits},
    compile::plan::Plan,
    limits::Budget,
};

/// Buffers larger than this are given back after the request that needed them.
const KEPT_BYTES: usize = 64 << 10;

/// A node that does not hold the value itself.
#[derive(Clone, Copy, Default)]
struct Node {
    /// 0 is the value itself, `n + 1` is buffer `n`.
    content: usize,
    /// Nodes of one class hold the same bytes but for case.
    class: usize,
    bytes: ByteSet,
}

/// One distinct content.
#[derive(Clone, Copy, Default)]
pub(super) struct Class {
    pub(super) content: usize,
    pub(super) nodes: u64,
    /// Lower-case, as requirements are.
    pub(super) bytes: ByteSet,
}

/// Reused for every value.
#[derive(Default)]
pub(super) struct Trie {
    buffers: Vec<Vec<u8>>,
    nodes: Vec<Node>,
    /// Which of `nodes` are in use; the others are the value itself.
    changed: u64,
    /// Nodes that no rule could match at.
    dead: u64,
    pub(super) classes: Vec<Class>,
}

impl Trie {
    /// Only `live` nodes, of which each has those on the way to it among them.
    pub(super) fn grow(
        &mut self,
        plan: &Plan,
        live: u64,
        value: &[u8],
        bytes: ByteSet,
        budget: &mut Budget,
    ) {
        self.changed = 0;
        self.dead = 0;
        self.classes.clear();
        self.classes.push(Class {
            content: 0,
            nodes: plan.nodes & live,
            bytes: bytes.lowercase(),
        });
        if self.buffers.len() < plan.steps.len() {
            self.buffers.resize_with(plan.steps.len(), Vec::new);
            self.nodes.resize(plan.steps.len() + 1, Node::default());
        }
        let acting = bytes.and(plan.acted_on).iter();
        let mut pending = acting.fold(plan.always, |all, byte| {
            all | plan.by_byte.get(usize::from(byte)).unwrap_or(&0)
        }) & live;
        // Children have higher numbers than their parents.
        while let Some(node) = bits(pending).next() {
            pending &= pending - 1;
            if self.step(plan, node, value, bytes, budget) {
                pending |= plan.children.get(usize::from(node)).unwrap_or(&0) & live;
            }
        }
    }

    /// What a node came to hold.
    pub(super) fn content_of(&self, node: u8) -> usize {
        if self.changed & (1 << node) == 0 {
            return 0;
        }
        self.nodes
            .get(usize::from(node))
            .map_or(0, |node| node.content)
    }

    pub(super) fn content<'a>(&'a self, content: usize, value: &'a [u8]) -> &'a [u8] {
        content_at(content, value, &self.buffers)
    }

    /// Gives back what an unusually large request made grow.
    pub(super) fn shrink(&mut self) {
        for buffer in &mut self.buffers {
            if buffer.capacity() > KEPT_BYTES {
                *buffer = Vec::new();
            }
        }
    }

    /// True when the node came to hold something else than the value, or nothing: its children must be looked at.
    fn step(
        &mut self,
        plan: &Plan,
        number: u8,
        value: &[u8],
        bytes: ByteSet,
        budget: &mut Budget,
    ) -> bool {
        let bit = 1 << number;
        let at = usize::from(number) - 1;
        let Some(step) = plan.steps.get(at) else {
            return false;
        };
        let parent = self.node(step.parent, bytes);
        let input = content_at(parent.content, value, &self.buffers);
        if self.dead & (1 << step.parent) != 0 || input.len() < step.least {
            self.dead |= bit;
            self.leave_value(bit);
            return true;
        }
        let mut node = parent;
        if step.triggers.intersects(parent.bytes) {
            budget.charge(input.len());
            let (before, rest) = self.buffers.split_at_mut(at);
            let Some(out) = rest.first_mut() else {
                return false;
            };
            let input = content_at(parent.content, value, before);
            if step.transform.apply(input, out) {
                if out.len() < step.need {
                    self.dead |= bit;
                    self.leave_value(bit);
                    return true;
                }
                node.content = at + 1;
                node.bytes = ByteSet::of(out);
                if !step.case_only {
                    node.class = self.classes.len();
                    self.classes.push(Class {
                        content: node.content,
                        nodes: 0,
                        bytes: node.bytes.lowercase(),
                    });
                }
            }
        }
        if node.content == 0 {
            return false;
        }
        self.changed |= bit;
        self.leave_value(bit);
        if let Some(class) = self.classes.get_mut(node.class) {
            class.nodes |= bit;
        }
        if let Some(place) = self.nodes.get_mut(usize::from(number)) {
            *place = node;
        }
        true
    }

    fn node(&self, number: u8, bytes: ByteSet) -> Node {
        let changed = self.changed & (1 << number) != 0;
        let node = self.nodes.get(usize::from(number)).filter(|_| changed);
        node.copied().unwrap_or(Node {
            content: 0,
            class: 0,
            bytes,
        })
    }

    fn leave_value(&mut self, bit: u64) {
        if let Some(root) = self.classes.first_mut() {
            root.nodes &= !bit;
        }
    }
}

fn content_at<'a>(content: usize, value: &'a [u8], buffers: &'a [Vec<u8>]) -> &'a [u8] {
    match content.checked_sub(1) {
        None => value,
        // A missing buffer cannot happen; were it so, an empty value would hide an attack, the raw one does not.
        Some(at) => buffers.get(at).map_or(value, Vec::as_slice),
    }
}

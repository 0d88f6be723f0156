//! One value against one plan: transform what must be transformed, read each distinct content once, ask only the
//! tests whose requirements hold. Reports every match; what a match means is the walk's business.

use crate::{
    bytes::ByteSet,
    compile::{
        Program,
        plan::{Entry, Plan, Probe},
    },
    limits::Budget,
    run::memo::Memo,
};

/// Buffers larger than this are given back after the request that needed them.
const KEPT_BYTES: usize = 64 << 10;

/// A match: which probe, and the content it matched.
pub(crate) struct Hit<'a> {
    pub(crate) probe: &'a Probe,
    pub(crate) content: &'a [u8],
}

/// A match that no exclusion covers, noted for the walk.
#[derive(Clone, Copy)]
pub(crate) struct Found {
    pub(crate) rule: u32,
    pub(crate) value: usize,
    pub(crate) from: usize,
    pub(crate) to: usize,
}

impl Found {
    pub(crate) const fn content(self) -> std::ops::Range<usize> {
        self.from..self.to
    }
}

/// Who is told of matches.
pub(crate) trait Audience {
    /// Whether a rule is to be asked at all.
    fn wants(&self, rule: u32) -> bool;
    fn take(&mut self, hit: Hit<'_>);
}

/// The state of one node of the trie for the value at hand.
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
struct Class {
    content: usize,
    nodes: u64,
    /// Lower-case, as requirements are.
    bytes: ByteSet,
}

/// Scratch for scanning; reused for every value.
#[derive(Default)]
pub(crate) struct Scanner {
    buffers: Vec<Vec<u8>>,
    nodes: Vec<Node>,
    classes: Vec<Class>,
    literals: Marks,
    entries: Marks,
    memo: Memo,
}

/// A set of small numbers that is cheap to empty.
#[derive(Default)]
struct Marks {
    words: Vec<u64>,
    list: Vec<u32>,
}

impl Marks {
    fn fit(&mut self, count: usize) {
        let words = count.div_ceil(64);
        if self.words.len() < words {
            self.words.resize(words, 0);
            self.list.reserve(count.min(256));
        }
    }

    /// True when `number` was not in the set yet.
    fn insert(&mut self, number: u32) -> bool {
        let Some(word) = self.words.get_mut(number as usize / 64) else {
            return false;
        };
        let bit = 1 << (number % 64);
        if *word & bit != 0 {
            return false;
        }
        *word |= bit;
        self.list.push(number);
        true
    }

    fn clear(&mut self) {
        for number in self.list.drain(..) {
            if let Some(word) = self.words.get_mut(number as usize / 64) {
                *word = 0;
            }
        }
    }
}

impl Scanner {
    pub(crate) fn inspect(
        &mut self,
        program: &Program,
        number: u32,
        value: &[u8],
        budget: &mut Budget,
        audience: &mut impl Audience,
    ) {
        let Some(plan) = program.plans.get(number as usize) else {
            return;
        };
        if self.memo.knows(program.serial, number, value) {
            return;
        }
        let mut clean = true;
        self.transform(plan, value, budget);
        for class in 0..self.classes.len() {
            let Some(&class) = self.classes.get(class) else {
                break;
            };
            if class.nodes & plan.occupied == 0 || budget.is_spent() {
                continue;
            }
            self.candidates(program, plan, value, class, budget);
            for &entry in &self.entries.list {
                let Some(entry) = plan.entries.get(entry as usize) else {
                    continue;
                };
                let Some(probe) = program.probes.get(entry.probe as usize) else {
                    continue;
                };
                if !audience.wants(probe.rule) {
                    clean = false;
                    continue;
                }
                let content = self.content_of(entry, value);
                if holds(program, probe, content, budget) {
                    clean = false;
                    audience.take(Hit { probe, content });
                }
            }
        }
        if clean && !budget.is_spent() {
            self.memo.note(program.serial, number, value);
        }
    }

    /// Gives back what an unusually large request made grow.
    pub(crate) fn shrink(&mut self) {
        for buffer in &mut self.buffers {
            if buffer.capacity() > KEPT_BYTES {
                *buffer = Vec::new();
            }
        }
    }

    fn content_of<'a>(&'a self, entry: &Entry, value: &'a [u8]) -> &'a [u8] {
        let content = self
            .nodes
            .get(usize::from(entry.node))
            .map_or(0, |node| node.content);
        content_at(content, value, &self.buffers)
    }

    /// Walks the trie, and groups the nodes by what they came to hold.
    fn transform(&mut self, plan: &Plan, value: &[u8], budget: &mut Budget) {
        self.nodes.clear();
        self.classes.clear();
        let bytes = ByteSet::of(value);
        self.nodes.push(Node {
            content: 0,
            class: 0,
            bytes,
        });
        self.classes.push(Class {
            content: 0,
            nodes: 1,
            bytes: bytes.lowercase(),
        });
        if self.buffers.len() < plan.steps.len() {
            self.buffers.resize_with(plan.steps.len(), Vec::new);
        }
        for (at, step) in plan.steps.iter().enumerate() {
            let Some(&parent) = self.nodes.get(usize::from(step.parent)) else {
                break;
            };
            let mut node = parent;
            if step.triggers.intersects(parent.bytes) {
                let (before, rest) = self.buffers.split_at_mut(at);
                let Some(out) = rest.first_mut() else { break };
                let input = content_at(parent.content, value, before);
                budget.charge(input.len());
                if step.transform.apply(input, out) {
                    node = Node {
                        content: at + 1,
                        class: parent.class,
                        bytes: ByteSet::of(out),
                    };
                    if !step.case_only {
                        node.class = self.classes.len();
                        let bytes = node.bytes.lowercase();
                        self.classes.push(Class {
                            content: node.content,
                            nodes: 0,
                            bytes,
                        });
                    }
                }
            }
            if let Some(class) = self.classes.get_mut(node.class) {
                class.nodes |= 2 << at;
            }
            self.nodes.push(node);
        }
    }

    /// Leaves in `entries` those whose requirements this content meets.
    fn candidates(
        &mut self,
        program: &Program,
        plan: &Plan,
        value: &[u8],
        class: Class,
        budget: &mut Budget,
    ) {
        let content = content_at(class.content, value, &self.buffers);
        self.literals.fit(program.literals.count());
        self.entries.fit(plan.entries.len());
        self.entries.clear();
        let entries = &mut self.entries;
        let mut consider = |number: u32| {
            let possible = plan.entries.get(number as usize).is_some_and(|entry| {
                class.nodes & (1 << entry.node) != 0
                    && content.len() >= entry.min_len
                    && entry.sets.iter().all(|set| set.intersects(class.bytes))
            });
            if possible {
                entries.insert(number);
            }
        };
        budget.charge(content.len());
        let literals = &mut self.literals;
        program.literals.scan(content, |literal| {
            literals.insert(literal);
        });
        for &literal in &literals.list {
            plan.of_literal(literal)
                .iter()
                .copied()
                .for_each(&mut consider);
        }
        plan.without_literal.iter().copied().for_each(consider);
        literals.clear();
    }
}

fn content_at<'a>(content: usize, value: &'a [u8], buffers: &'a [Vec<u8>]) -> &'a [u8] {
    match content.checked_sub(1) {
        None => value,
        // A missing buffer cannot happen; were it so, an empty value would hide an attack, the raw one does not.
        Some(at) => buffers.get(at).map_or(value, Vec::as_slice),
    }
}

fn holds(program: &Program, probe: &Probe, content: &[u8], budget: &mut Budget) -> bool {
    let link = program
        .rules
        .get(probe.rule as usize)
        .and_then(|rule| rule.links.first());
    let Some(link) = link else { return false };
    let mut ask = |test: &crate::rule::Test| {
        budget.charge_weighted(content.len(), test.operator.weight());
        test.holds(content, test.fixed().unwrap_or_default())
    };
    match probe.test {
        Some(at) => link.tests.get(usize::from(at)).is_some_and(ask),
        None => link.tests.iter().all(&mut ask),
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;
    use crate::{Ruleset, native};

    struct Ids(BTreeSet<(u32, Option<u16>)>);

    impl Audience for Ids {
        fn wants(&self, _rule: u32) -> bool {
            true
        }

        fn take(&mut self, hit: Hit<'_>) {
            self.0.insert((hit.probe.rule, hit.probe.test));
        }
    }

    fn naive(program: &Program, plan: &Plan, value: &[u8]) -> BTreeSet<(u32, Option<u16>)> {
        let entries = plan
            .entries
            .iter()
            .filter_map(|entry| program.probes.get(entry.probe as usize));
        let holds = |probe: &&Probe| {
            let mut content = value.to_vec();
            for transform in &probe.pipeline {
                let mut out = Vec::new();
                if transform.apply(&content, &mut out) {
                    content = out;
                }
            }
            let tests = &program.rules[probe.rule as usize].links[0].tests;
            match probe.test {
                Some(at) => {
                    tests[usize::from(at)].holds(&content, tests[usize::from(at)].fixed().unwrap())
                }
                None => tests
                    .iter()
                    .all(|test| test.holds(&content, test.fixed().unwrap())),
            }
        };
        entries
            .filter(holds)
            .map(|probe| (probe.rule, probe.test))
            .collect()
    }

    const PIECES: &[&str] = &[
        "union",
        " ",
        "+",
        "select",
        "%20",
        "SELECT",
        "from",
        "<script>",
        "&lt;",
        "%3Cscript%3e",
        "../",
        "%2e%2e/",
        "/etc/passwd",
        "\\x61",
        "'",
        "\"",
        " or 1=1",
        "onerror=",
        "javascript:",
        ";cat ",
        "$(",
        "{{7*7}}",
        "${jndi:",
        "\0",
        "\u{e9}",
        "%u0061",
        "&#x6a;",
        "a",
        "Z",
        "0",
        "=",
        "(",
        ")",
        "--",
        "/*",
        "*/",
        "sleep(",
        "[$ne]",
        "\r\n",
        "set-cookie:",
        "c:\\windows",
        "__class__",
        "169.254.169.254",
        "phpinfo(",
        "rO0ABx",
        "\\",
        "^",
        "%",
        "&",
    ];

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(400))]

        /// Shared pipelines, classes, requirements and the one automaton decide as asking each rule by itself does.
        #[test]
        fn finds_what_asking_each_rule_finds(
            pieces in proptest::collection::vec(proptest::sample::select(PIECES), 0..12),
            noise in proptest::collection::vec(any::<u8>(), 0..8),
        ) {
            static RULES: std::sync::LazyLock<Ruleset> = std::sync::LazyLock::new(|| {
                let text = include_str!("../../tests/data/rules.json");
                let file: native::File = serde_json::from_str(text).unwrap();
                Ruleset::compile(&[native::Source { name: "rules.json", file: &file }]).unwrap()
            });
            let program = &RULES.program;
            let value = [pieces.concat().into_bytes(), noise].concat();
            let mut scanner = Scanner::default();
            for (number, plan) in (0..).zip(&program.plans) {
                // The second time, what is clean is known.
                for _ in 0..2 {
                    let mut ids = Ids(BTreeSet::new());
                    let mut budget = Budget::new(u64::MAX);
                    scanner.inspect(program, number, &value, &mut budget, &mut ids);
                    prop_assert_eq!(&ids.0, &naive(program, plan, &value));
                }
            }
        }
    }
}

//! One value against one plan: transform what must be transformed, read each distinct content once, ask only the
//! tests whose requirements hold. Reports every match; what a match means is the walk's business.

use super::{
    memo::{Key, Memo},
    trie::{Class, Trie},
};
use crate::{
    bytes::ByteSet,
    compile::{
        Program, alphabet,
        index::Word,
        plan::{Plan, Probe},
    },
    limits::Budget,
};

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
    /// A rule that was wanted has been asked.
    fn asked(&mut self, _held: bool) {}
}

/// Scratch for scanning; reused for every value.
#[derive(Default)]
pub(crate) struct Scanner {
    trie: Trie,
    literals: Marks,
    /// Entries that the content at hand could match, as bits.
    possible: Vec<Word>,
    /// Those to be asked.
    entries: Vec<u32>,
    /// What rules that look at several nodes were asked already: rule, test, content.
    asked: Vec<(u32, Option<u16>, usize)>,
    /// Probes that matched the value at hand, and the content.
    finds: Vec<(u32, usize)>,
    alphabets: Option<[ByteSet; alphabet::COUNT]>,
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
        budget.charge(value.len());
        let key = Key::new(program.serial, number, value);
        if let Some(finds) = self.memo.known(key, value) {
            for (probe, content) in finds {
                recall(program, probe, content, audience);
            }
            return;
        }
        let bytes = ByteSet::of(value);
        let alphabets = self.alphabets.get_or_insert_with(alphabet::all);
        let live = plan.live(alphabets, bytes, value.len(), &mut self.possible);
        self.finds.clear();
        let mut whole = true;
        if live.nodes != 0 {
            self.trie.grow(plan, live.nodes, value, bytes, budget);
            self.asked.clear();
            // What is possible was found out for the value itself.
            let mut narrowed = live.exact;
            for class in 0..self.trie.classes.len() {
                let Some(&class) = self.trie.classes.get(class) else {
                    break;
                };
                if class.nodes & plan.occupied != 0 && !budget.is_spent() {
                    self.candidates(program, plan, value, class, narrowed, budget);
                    whole &= self.ask(program, plan, value, budget, audience);
                }
                narrowed = false;
            }
        }
        if whole && !budget.is_spent() {
            let trie = &self.trie;
            let content = |&(probe, content): &(u32, usize)| (probe, trie.content(content, value));
            self.memo.note(key, value, self.finds.iter().map(content));
        }
    }

    /// Gives back what an unusually large request made grow.
    pub(crate) fn shrink(&mut self) {
        self.trie.shrink();
    }

    /// Puts the candidates to their tests; false when some were left out.
    fn ask(
        &mut self,
        program: &Program,
        plan: &Plan,
        value: &[u8],
        budget: &mut Budget,
        audience: &mut impl Audience,
    ) -> bool {
        let mut whole = true;
        for &entry in &self.entries {
            let Some(entry) = plan.entries.get(entry as usize) else {
                continue;
            };
            let Some(probe) = program.probes.get(entry.probe as usize) else {
                continue;
            };
            if !audience.wants(probe.rule) {
                whole = false;
                continue;
            }
            let node = self.trie.content_of(entry.node);
            if entry.multi {
                let key = (probe.rule, probe.test, node);
                if self.asked.contains(&key) {
                    continue;
                }
                self.asked.push(key);
            }
            let content = self.trie.content(node, value);
            let held = holds(program, probe, content, budget);
            audience.asked(held);
            if held {
                self.finds.push((entry.probe, node));
                audience.take(Hit { probe, content });
            }
        }
        whole
    }

    /// Leaves in `entries` those whose requirements this content meets. `narrowed`: `possible` holds what of the whole plan
    /// is.
    fn candidates(
        &mut self,
        program: &Program,
        plan: &Plan,
        value: &[u8],
        class: Class,
        narrowed: bool,
        budget: &mut Budget,
    ) {
        self.entries.clear();
        let alphabets = self.alphabets.get_or_insert_with(alphabet::all);
        let content = self.trie.content(class.content, value);
        let Some(index) = plan.index(alphabets, class.bytes) else {
            return;
        };
        let (entries, possible) = (&mut self.entries, &mut self.possible);
        if narrowed {
            index.narrow(class.nodes, possible);
        } else {
            index.possible(class.bytes, content.len(), class.nodes, possible);
        }
        if !index.release(possible, entries) {
            return;
        }
        budget.charge(content.len());
        self.literals.fit(program.literals.count());
        let literals = &mut self.literals;
        program.literals.scan(content, |literal| {
            literals.insert(literal);
        });
        for &literal in &literals.list {
            index.found(literal, possible, entries);
        }
        literals.clear();
        // What is found first does not depend on where in the content a literal stands.
        entries.sort_unstable();
    }
}

/// What is known to match.
fn recall(program: &Program, probe: u32, content: &[u8], audience: &mut impl Audience) {
    let Some(probe) = program.probes.get(probe as usize) else {
        return;
    };
    if audience.wants(probe.rule) {
        audience.asked(true);
        audience.take(Hit { probe, content });
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
        test.holds(content, test.fixed().unwrap_or_default(), budget)
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
                    let test = &tests[usize::from(at)];
                    test.holds(&content, test.fixed().unwrap(), &mut Budget::new(u64::MAX))
                }
                None => tests.iter().all(|test| {
                    test.holds(&content, test.fixed().unwrap(), &mut Budget::new(u64::MAX))
                }),
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
                // The third time, it is known.
                for _ in 0..3 {
                    let mut ids = Ids(BTreeSet::new());
                    let mut budget = Budget::new(u64::MAX);
                    scanner.inspect(program, number, &value, &mut budget, &mut ids);
                    prop_assert_eq!(&ids.0, &naive(program, plan, &value));
                }
            }
        }
    }
}

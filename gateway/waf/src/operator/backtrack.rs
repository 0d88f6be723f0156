//! Patterns that no finite automaton can express: look-around, atomic groups, possessive repetition, back references.
//! Backtracking with a hard bound on steps, behind an automaton that accepts everything the pattern could match: only
//! a value that passes it costs steps at all. (A general crate was looked at: its bound counts returns, each of which
//! may scan the rest of the value, and it reads text, not bytes.)

mod class;
mod code;
mod parse;
mod run;

use code::Program;
use parse::{Kind, Look, Node};
use regex_syntax::hir::{self, Class, ClassBytes, ClassBytesRange, Hir};
pub(crate) use run::Exhausted;
use run::Runner;

use crate::bytes::ByteSet;

/// Steps that one question may take, beside some for every byte: ten milliseconds.
const MAX_STEPS: u64 = 1 << 20;
/// Ordinary text, however long, takes a few for each of its bytes.
const STEPS_PER_BYTE: u64 = 16;

/// Steps that a question about a value of so many bytes may take.
pub(crate) const fn allowance(bytes: usize) -> u64 {
    MAX_STEPS + STEPS_PER_BYTE * bytes as u64
}

/// A compiled pattern.
#[derive(Debug)]
pub(crate) struct Backtracker {
    program: Program,
    /// What a match can begin with.
    starts: Option<ByteSet>,
}

/// A pattern that needs this, and the automaton before it; `None` when an automaton alone can do it.
pub(crate) fn read(pattern: &str) -> Result<Option<(Backtracker, Hir)>, String> {
    let parsed = parse::parse(pattern)?;
    if !parsed.special {
        return Ok(None);
    }
    let program = code::compile(&parsed)?;
    let starts = starts(&parsed.node).whole();
    Ok(Some((
        Backtracker { program, starts },
        weaker(&parsed.node),
    )))
}

impl Backtracker {
    /// Whether the value matches within `steps`, which are used up; hands out the groups of the match.
    pub(crate) fn run(
        &self,
        value: &[u8],
        steps: &mut u64,
        mut take: impl FnMut(u16, &[u8]),
    ) -> Result<bool, Exhausted> {
        let mut runner = Runner::new(&self.program, value, *steps);
        let found = runner.search(self.starts);
        *steps = runner.steps;
        if found == Ok(true) {
            for group in 0..self.program.groups.min(10) {
                if let Some(text) = runner.group(usize::from(group)) {
                    take(group, text);
                }
            }
        }
        found
    }
}

/// Accepts at least what the pattern accepts: look-around holds, possessive is greedy, a group's repetition is any text.
fn weaker(node: &Node) -> Hir {
    match node {
        Node::Empty | Node::Around(..) => Hir::empty(),
        Node::Set(set) => {
            let ranges = set.iter().map(|byte| ClassBytesRange::new(byte, byte));
            Hir::class(Class::Bytes(ClassBytes::new(ranges)))
        }
        Node::Look(look) => match look {
            Look::Start => Hir::look(hir::Look::Start),
            Look::End => Hir::look(hir::Look::End),
            Look::LineStart => Hir::look(hir::Look::StartLF),
            Look::LineEnd => Hir::look(hir::Look::EndLF),
            Look::Word => Hir::look(hir::Look::WordAscii),
            Look::NotWord => Hir::look(hir::Look::WordAsciiNegate),
            Look::EndOrLast => Hir::empty(),
        },
        Node::Group(inside, _) | Node::Atomic(inside) => weaker(inside),
        Node::Cat(parts) => Hir::concat(parts.iter().map(weaker).collect()),
        Node::Alt(branches) => Hir::alternation(branches.iter().map(weaker).collect()),
        Node::Repeat(inside, least, most, kind) => Hir::repetition(hir::Repetition {
            min: *least,
            max: *most,
            greedy: *kind != Kind::Lazy,
            sub: Box::new(weaker(inside)),
        }),
        Node::Back(..) => Hir::repetition(hir::Repetition {
            min: 0,
            max: None,
            greedy: true,
            sub: Box::new(Hir::dot(hir::Dot::AnyByte)),
        }),
    }
}

/// What a part can begin with, and whether it can be empty.
struct Starts {
    set: ByteSet,
    empty: bool,
}

impl Starts {
    fn whole(self) -> Option<ByteSet> {
        (!self.empty).then_some(self.set)
    }
}

fn starts(node: &Node) -> Starts {
    let nothing = || Starts {
        set: ByteSet::EMPTY,
        empty: true,
    };
    match node {
        Node::Empty | Node::Look(_) | Node::Around(..) => nothing(),
        Node::Back(..) => Starts {
            set: ByteSet::ALL,
            empty: true,
        },
        Node::Set(set) => Starts {
            set: *set,
            empty: false,
        },
        Node::Group(inside, _) | Node::Atomic(inside) => starts(inside),
        Node::Cat(parts) => {
            let mut all = nothing();
            for part in parts {
                let own = starts(part);
                all.set = all.set.union(own.set);
                if !own.empty {
                    all.empty = false;
                    break;
                }
            }
            all
        }
        Node::Alt(branches) => branches.iter().map(starts).fold(
            Starts {
                set: ByteSet::EMPTY,
                empty: false,
            },
            |all, own| Starts {
                set: all.set.union(own.set),
                empty: all.empty || own.empty,
            },
        ),
        Node::Repeat(inside, least, ..) => {
            let own = starts(inside);
            Starts {
                empty: own.empty || *least == 0,
                ..own
            }
        }
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{limits::Budget, operator::Pattern};

    /// Whatever the pattern, by backtracking.
    fn backtracker(pattern: &str) -> Backtracker {
        let parsed = parse::parse(pattern).unwrap();
        Backtracker {
            program: code::compile(&parsed).unwrap(),
            starts: starts(&parsed.node).whole(),
        }
    }

    fn groups(pattern: &str, text: &[u8]) -> Option<Vec<(u16, Vec<u8>)>> {
        let mut found = Vec::new();
        let mut steps = 10_000_000;
        let matched = backtracker(pattern).run(text, &mut steps, |group, text| {
            found.push((group, text.to_vec()))
        });
        matched.unwrap().then_some(found)
    }

    #[test]
    fn does_what_automata_cannot() {
        for (pattern, yes, no) in [
            (r"<\?(?!xml)", "<?php", "<?xml"),
            (r"(?<!a|bc)d", "xd", "bcd ad"),
            (r"(?<=ab)c(?=d)", "abcd", "abce"),
            (r#"^"[^"]++"$"#, "\"abc\"", "\"abc"),
            (r"^(?>a+)b", "aaab", "aaac"),
            (r"^[ab]++c", "abc", "abd"),
            (r"^a{2}{3}(?!a)", "aaaaaa", "aaaaa"),
            (r"^(?:a|ab)++c$", "ac", "abc"),
            (r"\b(\w+)\b=\b\1\b", "x=1 or 7=7", "1=2"),
            (r"(?i)(ab)-\1", "Ab-aB", "ab-ac"),
            (r"(?P<q>['\x22]).*?(?P=q)", "'a'", "'a\""),
            (r"(a)?b(?!\1)", "ba", "c"),
            (r"(?=(a+))a*b\1", "aabaa", "aacaa"),
            (r"^(?!.*(?:foo|bar)).*$", "baz", "a foo"),
            (r"(?<![\w&])amp;", ";amp;", "&amp;"),
            (r"(?s-i:a.b)(?!c)", "a\nbd", "a\nbc"),
            (r"^(?:(?=a)a|b)*+$", "abab", "abc"),
        ] {
            assert!(groups(pattern, yes.as_bytes()).is_some(), "{pattern} {yes}");
            assert!(groups(pattern, no.as_bytes()).is_none(), "{pattern} {no}");
            let whole = Pattern::pcre(pattern, false).unwrap();
            let mut budget = Budget::new(1 << 30);
            assert!(
                whole.is_match(yes.as_bytes(), &mut budget),
                "{pattern} {yes}"
            );
            assert!(
                !whole.is_match(no.as_bytes(), &mut budget),
                "{pattern} {no}"
            );
        }
    }

    #[test]
    fn groups_are_those_of_the_way_taken() {
        let found = groups(r"(?=(\w+))(a|ab)(?!c)", b"xabc ab").unwrap();
        assert_eq!(
            found,
            [(0, b"a".to_vec()), (1, b"abc".to_vec()), (2, b"a".to_vec())]
        );
        let found = groups(r"^(?:(a)|b)*+(?<=b)", b"aab").unwrap();
        assert_eq!(found, [(0, b"aab".to_vec()), (1, b"a".to_vec())]);
    }

    /// Texts that take a backtracker without bounds till the end of the universe.
    #[test]
    fn hostile_text_ends_when_the_steps_do() {
        for (pattern, text) in [
            (r"^(?:a+)+(?!b)$", "a".repeat(200) + "b"),
            (r"^(?:a|a)*(?!b)c", "a".repeat(100_000)),
            (r"(?:.*)*(?<=x)y", "x".repeat(2000)),
            (r"(\w+)\s*=\s*(\w+)(?!\1)\b;;", "ab ".repeat(40_000)),
            (r"^(?:(?:a{0,99}){0,99}){0,2}(?!a)b", "a".repeat(1000)),
        ] {
            let mut steps = MAX_STEPS;
            let found = backtracker(pattern).run(text.as_bytes(), &mut steps, |_, _| {});
            assert_eq!(found, Err(Exhausted), "{pattern}");
            assert!(
                steps <= MAX_STEPS / 2,
                "{pattern}: ended early with {steps} left"
            );
        }
    }

    #[test]
    fn a_pattern_without_an_answer_uses_the_budget_up() {
        let pattern = Pattern::pcre(r"^(?:a+)+(?!b)c|x$", false).unwrap();
        let text = "a".repeat(200) + "x";
        let mut budget = Budget::new(64 << 20);
        pattern.is_match(text.as_bytes(), &mut budget);
        assert!(budget.is_spent());
    }

    /// A few bytes of pattern that would be compiled for hours.
    #[test]
    fn hostile_patterns_are_refused_at_once() {
        for pattern in [
            "(?:(?:(?:(?:){9999}){9999}){9999}){9999}(?!a)".to_owned(),
            "(?:(?:(?:a{9}b){9999}){9999}){9999}(?!a)".to_owned(),
            "(?:(?:(?:a?b){0,9999}){0,9999}){0,9999}(?!a)".to_owned(),
            format!("{}(?!a){}", "(".repeat(5000), ")".repeat(5000)),
            format!("a{}(?!a)", "{2}".repeat(5000)),
            format!("(?<={}a)", "(?=".repeat(100)),
        ] {
            let began = std::time::Instant::now();
            let _ = Pattern::pcre(&pattern, true);
            // Generous: a busy machine must not fail this; the unbounded way takes years.
            assert!(began.elapsed().as_secs() < 30, "{pattern}");
        }
    }

    #[test]
    fn what_is_not_supported_is_said() {
        for pattern in [
            "(?<=a*)b", "(?R)", r"a\Kb", "(?(1)a)", "a(*FAIL)", r"\2(a)", "(a", "a)", "[a", "(?<x",
            r"\g{x}",
        ] {
            let read = parse::parse(pattern).and_then(|parsed| code::compile(&parsed));
            assert!(read.is_err(), "{pattern}");
        }
    }

    /// Patterns of the syntax that both engines share.
    fn shared() -> impl Strategy<Value = String> {
        let leaf = prop_oneof![
            Just("a".to_owned()),
            Just("b".to_owned()),
            Just("[ab]".to_owned()),
            Just("[^a]".to_owned()),
            Just(".".to_owned()),
            Just(r"\w".to_owned()),
            Just(r"\b".to_owned()),
            Just("^".to_owned()),
            Just("$".to_owned()),
            Just(r"\s".to_owned()),
            Just("(?i:B)".to_owned()),
        ];
        leaf.prop_recursive(4, 24, 3, |inner| {
            let some = proptest::collection::vec(inner.clone(), 1..4);
            prop_oneof![
                some.clone().prop_map(|parts| parts.concat()),
                some.prop_map(|parts| format!("(?:{})", parts.join("|"))),
                (inner.clone(), "[*+?]|\\{1,2\\}|\\{2\\}", "\\??")
                    .prop_map(|(own, times, lazy)| format!("(?:{own}){times}{lazy}")),
                inner.prop_map(|own| format!("({own})")),
            ]
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn agrees_with_the_automata_where_both_can(pattern in shared(), text in "[abB \n]{0,12}") {
            let automaton = Pattern::new(&pattern).unwrap();
            let mut budget = Budget::new(u64::MAX);
            let expected = automaton.is_match(text.as_bytes(), &mut budget);
            let mut steps = 1 << 22;
            if let Ok(found) = backtracker(&pattern).run(text.as_bytes(), &mut steps, |_, _| {}) {
                prop_assert_eq!(found, expected, "{} {:?}", pattern, text);
            }
        }

        #[test]
        fn never_panics_whatever_the_pattern(pattern in r"[ab(\[\])?*+{},!=<>:|^$.\\dwsQEPkg1-3'-]{0,24}", text in "[ab(){}1-3'-]{0,16}") {
            let compiled = parse::parse(&pattern).and_then(|parsed| code::compile(&parsed));
            if let Ok(program) = compiled {
                let mut steps = 10_000;
                let own = Backtracker { program, starts: None };
                let _ = own.run(text.as_bytes(), &mut steps, |_, _| {});
            }
        }
    }
}

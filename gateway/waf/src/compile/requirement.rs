//! What a value must hold before an operator could match it: a length, one of some literals, bytes. Always weaker
//! than the operator, so a value that fails it is never a match. Everything here is lower-case: the scan that asks
//! ignores case, which lets pipelines that differ only in `lowercase` share one scan.

use regex_syntax::hir::{Class, Hir, HirKind};

use super::alphabet::restrict;
use crate::bytes::ByteSet;

/// More strings than this are no longer tracked exactly through a concatenation.
const MAX_CROSS: usize = 48;
/// Alternations of plain words may be longer: they cost automaton states, not time.
const MAX_UNION: usize = 4096;
/// Longer literals are cut: the tail adds states and hardly any selectivity.
const MAX_LITERAL: usize = 10;
/// Byte sets kept per pattern, rarest first.
const MAX_SETS: usize = 4;
/// A set that this much of ordinary text meets filters nothing.
const COMMON: u32 = 220;

/// A necessary condition for a match.
#[derive(Clone, Default, PartialEq, Debug)]
pub(crate) struct Requirement {
    pub(crate) min_len: usize,
    /// One of these must occur; empty when no literal is required.
    pub(crate) literals: Vec<Vec<u8>>,
    /// Each of these must share a byte with the value.
    pub(crate) sets: Vec<ByteSet>,
}

impl Requirement {
    /// Nothing can be said: every value is a candidate.
    pub(crate) fn none() -> Self {
        Self::default()
    }

    /// A byte of `set` occurs. Upper-case letters may be among them: they count as their lower-case ones.
    pub(crate) fn only(set: ByteSet) -> Self {
        Self {
            min_len: 1,
            literals: Vec::new(),
            sets: vec![set.lowercase()],
        }
    }

    /// One of `words` occurs in the value.
    pub(crate) fn any_of<'a>(words: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let words: Vec<Vec<u8>> = words.into_iter().map(lower).collect();
        let min_len = words.iter().map(Vec::len).min().unwrap_or(0);
        if min_len == 0 {
            return Self::none();
        }
        let mut info = Info::exact(words);
        info.flush();
        info.into_requirement(min_len)
    }

    pub(crate) fn of_hir(hir: &Hir) -> Self {
        let mut info = Info::of(hir);
        info.flush();
        info.into_requirement(hir.properties().minimum_len().unwrap_or(0))
    }

    /// The same of a value over `alphabet`; nothing when there is no such match.
    pub(crate) fn within(mut self, alphabet: ByteSet) -> Option<Self> {
        let required = !self.literals.is_empty();
        self.literals
            .retain(|literal| ByteSet::of(literal).is_within(alphabet));
        for set in &mut self.sets {
            *set = set.and(alphabet);
        }
        let lost = required && self.literals.is_empty() || self.sets.contains(&ByteSet::EMPTY);
        (!lost).then_some(self)
    }

    /// As [`Self::of_hir`], of a value over `alphabet`.
    pub(crate) fn of_hir_within(hir: &Hir, alphabet: ByteSet) -> Option<Self> {
        restrict(hir, alphabet).map(|hir| Self::of_hir(&hir))
    }

    /// A byte of each literal, beside the sets: what can be asked before the literals are looked for.
    pub(crate) fn all_sets(&self) -> Vec<ByteSet> {
        let mut sets = self.sets.clone();
        if !self.literals.is_empty() {
            sets.push(rare_bytes(&self.literals));
        }
        sets.sort_by_key(|set| commonness(*set));
        sets
    }

    /// Both hold: for tests that must all match.
    pub(crate) fn and(mut self, mut other: Self) -> Self {
        if rank(&other.literals) > rank(&self.literals) {
            std::mem::swap(&mut self.literals, &mut other.literals);
        }
        self.sets.extend(other.sets);
        self.sets.sort_by_key(|set| commonness(*set));
        self.sets.dedup();
        self.sets.truncate(MAX_SETS);
        self.min_len = self.min_len.max(other.min_len);
        self
    }
}

/// What is known of one part of a pattern.
#[derive(Default)]
struct Info {
    /// Every string the part can match, while they are few.
    exact: Option<Vec<Vec<u8>>>,
    /// Sets of literals of which one must occur.
    any: Vec<Vec<Vec<u8>>>,
    sets: Vec<ByteSet>,
    /// `exact` speaks of the end of a concatenation only.
    tail: bool,
}

impl Info {
    fn of(hir: &Hir) -> Self {
        match hir.kind() {
            HirKind::Empty | HirKind::Look(_) => Self::exact(vec![Vec::new()]),
            HirKind::Literal(literal) => Self::exact(vec![lower(&literal.0)]),
            HirKind::Class(class) => Self::class(class),
            HirKind::Capture(capture) => Self::of(&capture.sub),
            HirKind::Repetition(repetition) => {
                Self::repeat(Self::of(&repetition.sub), repetition.min, repetition.max)
            }
            HirKind::Concat(parts) => parts
                .iter()
                .fold(Self::exact(vec![Vec::new()]), |whole, part| {
                    whole.then(Self::of(part))
                })
                .closed(),
            HirKind::Alternation(parts) => Self::either(parts.iter().map(Self::of).collect()),
        }
    }

    fn exact(mut strings: Vec<Vec<u8>>) -> Self {
        strings.sort();
        strings.dedup();
        Self {
            exact: Some(strings),
            ..Self::default()
        }
    }

    fn class(class: &Class) -> Self {
        let mut set = ByteSet::EMPTY;
        match class {
            Class::Bytes(class) => {
                for range in class.ranges() {
                    set.insert_range(range.start(), range.end());
                }
            }
            // Only seen when Unicode mode is on, which our patterns never are: nothing is claimed.
            Class::Unicode(_) => return Self::default(),
        }
        let set = set.lowercase();
        let singles: Vec<Vec<u8>> = set.iter().map(|byte| vec![byte]).take(11).collect();
        if singles.len() <= 10 {
            Self::exact(singles)
        } else {
            Self {
                sets: vec![set],
                ..Self::default()
            }
        }
    }

    fn repeat(mut self, min: u32, max: Option<u32>) -> Self {
        match (min, max) {
            (0, Some(1)) => match self.exact.take() {
                Some(mut strings) if strings.len() < MAX_CROSS => {
                    strings.push(Vec::new());
                    Self::exact(strings)
                }
                _ => Self::default(),
            },
            (0, _) => Self::default(),
            (1, Some(1)) => self,
            _ => {
                let once = self.exact.clone();
                if let Some(strings) = once {
                    for _ in 1..min.min(4) {
                        self = self.then(Self::exact(strings.clone()));
                    }
                }
                self.flush();
                self
            }
        }
    }

    /// Once whole: a tail is not what the whole part matches.
    fn closed(mut self) -> Self {
        if self.tail {
            self.flush();
            self.tail = false;
        }
        self
    }

    fn then(mut self, next: Self) -> Self {
        let Some(right) = next.exact else {
            self.flush();
            self.any.extend(next.any);
            self.sets.extend(next.sets);
            // What follows a part of unknown length starts afresh, beside what is already required.
            self.exact = Some(vec![Vec::new()]);
            self.tail = true;
            return self;
        };
        let fits = self.exact.as_ref().is_some_and(|left| {
            left.len() * right.len() <= MAX_CROSS
                && left.iter().map(Vec::len).max().unwrap_or(0) < MAX_LITERAL
        });
        if !fits {
            self.flush();
            self.exact = Some(right);
            self.tail = true;
            return self;
        }
        let left = self.exact.take().unwrap_or_default();
        let crossed = left
            .iter()
            .flat_map(|l| right.iter().map(move |r| [l.as_slice(), r].concat()));
        self.exact = Some(crossed.collect());
        self
    }

    fn either(parts: Vec<Self>) -> Self {
        let total: usize = parts
            .iter()
            .filter_map(|p| p.exact.as_ref().map(Vec::len))
            .sum();
        let pure = |p: &Self| p.exact.is_some() && p.any.is_empty() && p.sets.is_empty();
        if total <= MAX_CROSS && parts.iter().all(pure) {
            return Self::exact(
                parts
                    .into_iter()
                    .filter_map(|p| p.exact)
                    .flatten()
                    .collect(),
            );
        }
        let mut literals = Some(Vec::new());
        let mut set = Some(ByteSet::EMPTY);
        for mut part in parts {
            part.flush();
            let rarest = part.rarest_set();
            set = set.zip(rarest).map(|(a, b)| a.union(b));
            literals = literals.zip(part.best_literals()).map(|(mut all, more)| {
                all.extend(more);
                all
            });
        }
        Self {
            exact: None,
            any: literals
                .filter(|all| all.len() <= MAX_UNION)
                .into_iter()
                .collect(),
            sets: set.into_iter().collect(),
            tail: false,
        }
    }

    /// Turns the exact strings so far into a requirement.
    fn flush(&mut self) {
        let Some(strings) = self.exact.take() else {
            return;
        };
        if strings.is_empty() || strings.iter().any(Vec::is_empty) {
            return;
        }
        self.any.push(strings);
    }

    fn best_literals(&mut self) -> Option<Vec<Vec<u8>>> {
        let best = (0..self.any.len()).max_by_key(|&at| self.any.get(at).map(|set| rank(set)))?;
        Some(self.any.swap_remove(best))
    }

    /// The byte set, or one byte of each literal of a set, that ordinary text meets least.
    fn rarest_set(&self) -> Option<ByteSet> {
        let from_literals = self.any.iter().map(|set| rare_bytes(set));
        self.sets
            .iter()
            .copied()
            .chain(from_literals)
            .min_by_key(|set| commonness(*set))
    }

    fn into_requirement(mut self, min_len: usize) -> Requirement {
        let best = self.best_literals().unwrap_or_default();
        let mut sets = std::mem::take(&mut self.sets);
        sets.extend(self.any.iter().map(|set| rare_bytes(set)));
        let literals = if rank(&best) >= MIN_RANK {
            cut(&best)
        } else {
            // Too weak for the automaton, the literals still say which bytes occur.
            sets.extend((!best.is_empty()).then(|| rare_bytes(&best)));
            Vec::new()
        };
        sets.retain(|set| commonness(*set) < COMMON);
        sets.sort_by_key(|set| commonness(*set));
        sets.dedup();
        sets.truncate(MAX_SETS);
        Requirement {
            min_len,
            literals,
            sets,
        }
    }
}

/// Literals below this rank hit ordinary text too often to be worth asking for.
const MIN_RANK: u32 = 12;

fn lower(text: &[u8]) -> Vec<u8> {
    text.to_ascii_lowercase()
}

fn cut(set: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let mut set: Vec<Vec<u8>> = set
        .iter()
        .map(|l| l.get(..MAX_LITERAL).unwrap_or(l).to_vec())
        .collect();
    set.sort();
    set.dedup();
    set
}

/// How selective a set of literals is: its weakest member decides.
fn rank(set: &[Vec<u8>]) -> u32 {
    let of = |literal: &Vec<u8>| {
        literal
            .iter()
            .take(8)
            .map(|&byte| rarity(byte))
            .sum::<u32>()
    };
    set.iter().map(of).min().unwrap_or(0)
}

const fn rarity(byte: u8) -> u32 {
    match byte {
        b'a'..=b'z' => 5,
        b'0'..=b'9' | b' ' | b'.' | b'/' | b'-' | b'_' | b',' | b';' | b'=' | b':' => 4,
        _ => 10,
    }
}

/// One byte of each literal: the rarest.
fn rare_bytes(set: &[Vec<u8>]) -> ByteSet {
    set.iter().fold(ByteSet::EMPTY, |mut all, literal| {
        if let Some(&byte) = literal.iter().min_by_key(|&&byte| weight(byte)) {
            all.insert(byte);
        }
        all
    })
}

/// How often, roughly, a byte turns up in headers and parameters.
const fn weight(byte: u8) -> u32 {
    match byte {
        b'e' | b't' | b'a' | b'o' | b'i' | b'n' | b's' | b'r' => 60,
        b'z' | b'q' | b'j' | b'x' | b'k' | b'v' => 20,
        b'a'..=b'z' => 40,
        b'0'..=b'9' => 25,
        b' ' | b'-' | b'.' | b'/' | b'_' | b'=' | b',' | b';' | b'(' | b')' | b':' => 30,
        b'+' | b'*' | b'"' | b'%' | b'&' | b'?' => 8,
        0x80..=0xFF => 1,
        _ => 2,
    }
}

fn commonness(set: ByteSet) -> u32 {
    set.iter().map(weight).sum()
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use proptest::{prelude::*, string::bytes_regex};
    use regex_automata::util::syntax;

    use super::*;

    /// Shapes that rule sets use: nested alternations, optional parts, counted classes, inline flags.
    const PATTERNS: &[&str] = &[
        r"(?i)union[\s(]+(all[\s(]+)?select",
        r"(?i)\b(?:and|or)\b\s+\d+\s*=\s*\d+",
        r"<script[^>]*>[\s\S]*?",
        r"(?:\.\./|\.\.\\){2,4}(etc|proc)/",
        r"a*b+c?d{2,3}(?:e|f(gh|ij)?)k",
        r"^(?:ht|f)tps?://[0-9]{1,3}\.",
        r"[\x00-\x08]|%00",
        r"(x|yy|zzz)(1|22)?(foo|bar|)w",
        r"(?:(?:(?:ab)+c)+|d.*e)f",
        r"\$\{jndi:(ldaps?|rmi)",
        r"[^a-z]",
        r"",
        r"(?:;|\||`|&&)\s*(?:cat|ls|id)\b",
    ];

    fn hir(pattern: &str) -> Hir {
        let syntax = syntax::Config::new()
            .unicode(false)
            .utf8(false)
            .dot_matches_new_line(true);
        syntax::parse_with(pattern, &syntax).unwrap()
    }

    fn admits(requirement: &Requirement, text: &[u8]) -> bool {
        let text = text.to_ascii_lowercase();
        let has = |literal: &Vec<u8>| memchr::memmem::find(&text, literal).is_some();
        text.len() >= requirement.min_len
            && (requirement.literals.is_empty() || requirement.literals.iter().any(has))
            && requirement
                .sets
                .iter()
                .all(|set| set.intersects(ByteSet::of(&text)))
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(300))]

        #[test]
        fn never_dismisses_what_the_pattern_matches(
            (pattern, text) in proptest::sample::select(PATTERNS).prop_flat_map(|pattern| {
                // The generator knows no look-around; what it makes without them is checked against the regex.
                let plain = pattern.replace("\\b", "").replace('^', "");
                let plain = if pattern.starts_with("[^") { pattern.to_owned() } else { plain };
                (Just(pattern), bytes_regex(&format!("(?s-u){plain}")).unwrap())
            }),
            before in proptest::collection::vec(any::<u8>(), 0..5),
            after in proptest::collection::vec(any::<u8>(), 0..5),
        ) {
            let hir = hir(pattern);
            let regex = regex_automata::meta::Regex::builder().build_from_hir(&hir).unwrap();
            let requirement = Requirement::of_hir(&hir);
            for text in [text.clone(), [before, text, after].concat()] {
                prop_assert!(!regex.is_match(&text) || admits(&requirement, &text), "{pattern} {text:?} {requirement:?}");
            }
        }
    }

    #[test]
    fn finds_the_words_inside_a_pattern() {
        let requirement = Requirement::of_hir(&hir(r"(?i)\bunion[\s(]+(?:all\s+)?select\b"));
        assert_eq!(requirement.literals, [b"select".to_vec()]);
        assert!(
            requirement
                .sets
                .iter()
                .any(|set| set.contains(b' ') && !set.contains(b'x'))
        );
        assert_eq!(requirement.min_len, 12);
        let requirement = Requirement::of_hir(&hir(r"(?:cat|less)\s|(?i:type)=x.+end"));
        assert_eq!(requirement.literals.len(), 13, "{requirement:?}");
    }

    #[test]
    fn ordinary_letters_are_not_worth_asking_for() {
        let requirement = Requirement::of_hir(&hir("[a-z]+or[0-9a-f]+"));
        assert!(requirement.literals.is_empty());
        assert_eq!(requirement.min_len, 4);
    }

    #[test]
    fn conjunction_keeps_the_stronger_literals() {
        let weak = Requirement::any_of([b"abc".as_slice()]);
        let strong = Requirement::any_of([b"<script".as_slice()]);
        assert_eq!(weak.clone().and(strong.clone()).literals, strong.literals);
        assert_eq!(strong.clone().and(weak).literals, strong.literals);
    }
}

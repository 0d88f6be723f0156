//! Regular expressions over bytes: no Unicode, a dot matches every byte, as CRS expects. Linear in the value
//! whatever the pattern.

use regex_automata::{
    Input, meta,
    nfa::thompson::{NFA, WhichCaptures},
    util::syntax,
};
use regex_syntax::hir::{Class, Hir, HirKind, Look};

use super::{
    backtrack::{self, Backtracker},
    pcre,
};
use crate::{bytes::ByteSet, compile::requirement::Requirement, limits::Budget};

/// Matches of one value whose groups are read.
const MAX_MATCHES: usize = 1000;

/// Work of one step of backtracking in units of bytes scanned: eight nanoseconds were measured, against two thirds of one.
const STEP_WEIGHT: u64 = 12;

/// A compiled pattern larger than this is refused when it is loaded.
const MAX_NFA_BYTES: usize = 8 << 20;
/// Up to this many NFA states a pattern becomes a full DFA: no cache that hostile text could thrash.
const MAX_DFA_STATES: usize = 160;
const MAX_DFA_BYTES: usize = 512 << 10;
/// Per thread and pattern, for those that are too large for a full DFA; filled only as text asks for states.
const LAZY_CACHE_BYTES: usize = 256 << 10;
const MAX_LAZY_CACHE_BYTES: usize = 2 << 20;
/// A state of a lazy DFA lists states of the pattern: room for a hundred and more of the longest lists.
const CACHE_BYTES_PER_STATE: usize = 512;

#[derive(Debug)]
pub(crate) struct Pattern {
    regex: meta::Regex,
    hir: Hir,
    weight: u64,
    /// Asked where `regex`, which then accepts more than it should, accepts.
    exact: Option<Backtracker>,
    /// Groups are those of every match, a later one in the place of an earlier.
    every: bool,
    /// Any value matches, from its first byte to its last.
    whole: bool,
}

impl Pattern {
    /// From PCRE's syntax. What only backtracking can do is done by backtracking.
    pub(crate) fn pcre(pattern: &str, groups: bool) -> Result<Self, String> {
        let special = backtrack::read(pattern);
        if let Ok(Some((exact, hir))) = special {
            let mut made = Self::of_hir(hir, WhichCaptures::Implicit)?;
            made.exact = Some(exact);
            return Ok(made);
        }
        let groups = if groups {
            WhichCaptures::All
        } else {
            WhichCaptures::Implicit
        };
        // Where both refuse, the parser that knows all of PCRE says why; its messages are the shorter ones, too.
        Self::build(&pcre::translate(pattern), groups)
            .map_err(|error| special.err().unwrap_or(error))
    }

    /// SecLang's `@rxGlobal`.
    pub(crate) fn every(pattern: &str) -> Result<Self, String> {
        let mut made = Self::pcre(pattern, true)?;
        if made.exact.is_some() {
            return Err(
                "look-around and back references are not supported in @rxGlobal".to_owned(),
            );
        }
        made.every = true;
        Ok(made)
    }

    /// The message names the position inside the pattern.
    pub(crate) fn new(pattern: &str) -> Result<Self, String> {
        Self::build(pattern, WhichCaptures::Implicit)
    }

    fn build(pattern: &str, groups: WhichCaptures) -> Result<Self, String> {
        let syntax = syntax::Config::new()
            .unicode(false)
            .utf8(false)
            .dot_matches_new_line(true);
        let hir = syntax::parse_with(pattern, &syntax).map_err(|error| error.to_string())?;
        Self::of_hir(hir, groups)
    }

    fn of_hir(hir: Hir, groups: WhichCaptures) -> Result<Self, String> {
        let states = states(&hir)?;
        let config = config()
            .which_captures(groups)
            .hybrid_cache_capacity(cache_bytes(states));
        let regex = meta::Regex::builder()
            .configure(config)
            .build_from_hir(&hir)
            .map_err(|error| error.to_string())?;
        let weight = weight(&hir, states);
        Ok(Self {
            regex,
            weight,
            whole: is_whole(&hir),
            hir,
            exact: None,
            every: false,
        })
    }

    pub(crate) fn is_match(&self, value: &[u8], budget: &mut Budget) -> bool {
        (self.whole || self.regex.is_match(value))
            && match &self.exact {
                None => true,
                Some(exact) => backtracked(exact, value, budget, |_, _| {}),
            }
    }

    /// An automaton alone decides.
    pub(crate) const fn is_plain(&self) -> bool {
        self.exact.is_none()
    }

    /// Where the first match from a place on lies, of a pattern that an automaton can do.
    pub(crate) fn find(&self, value: &[u8], from: usize) -> Option<std::ops::Range<usize>> {
        if from > value.len() {
            return None;
        }
        let input = Input::new(value).range(from..);
        self.regex.find(input).map(|found| found.range())
    }

    /// Hands out the groups of the first match; group 0 is all of it.
    pub(crate) fn captures(
        &self,
        value: &[u8],
        budget: &mut Budget,
        mut take: impl FnMut(u16, &[u8]),
    ) {
        if let Some(exact) = &self.exact {
            backtracked(exact, value, budget, take);
            return;
        }
        if self.whole {
            take(0, value);
            return;
        }
        if self.regex.captures_len() == 1 && !self.every {
            if let Some(text) = self
                .regex
                .find(value)
                .and_then(|found| value.get(found.range()))
            {
                take(0, text);
            }
            return;
        }
        let most = if self.every { MAX_MATCHES } else { 1 };
        for found in self.regex.captures_iter(value).take(most) {
            for (span, group) in found.iter().zip(0..10_u16) {
                if let Some(text) = span.and_then(|span| value.get(span.range())) {
                    take(group, text);
                }
            }
        }
    }

    pub(super) fn requirement(&self, alphabet: ByteSet) -> Option<Requirement> {
        Requirement::of_hir_within(&self.hir, alphabet)
    }

    pub(super) const fn weight(&self) -> u64 {
        self.weight
    }
}

/// Without an answer the budget is gone and the request cannot be judged.
fn backtracked(
    exact: &Backtracker,
    value: &[u8],
    budget: &mut Budget,
    take: impl FnMut(u16, &[u8]),
) -> bool {
    let allowed = backtrack::allowance(value.len()).min(budget.left() / STEP_WEIGHT);
    let mut left = allowed;
    let found = exact.run(value, &mut left, take);
    let used = usize::try_from(allowed - left).unwrap_or(usize::MAX);
    budget.charge_weighted(used, STEP_WEIGHT);
    found.unwrap_or_else(|_| {
        budget.exhaust();
        false
    })
}

/// `^.*$`, which the Core Rule Set captures names with.
fn is_whole(hir: &Hir) -> bool {
    let HirKind::Concat(parts) = hir.kind() else {
        return false;
    };
    let [first, middle, last] = parts.as_slice() else {
        return false;
    };
    let all = |hir: &Hir| match hir.kind() {
        HirKind::Class(Class::Bytes(class)) => {
            matches!(class.ranges(), [range] if (range.start(), range.end()) == (0, u8::MAX))
        }
        _ => false,
    };
    matches!(first.kind(), HirKind::Look(Look::Start))
        && matches!(last.kind(), HirKind::Look(Look::End))
        && matches!(middle.kind(), HirKind::Repetition(any) if any.min == 0 && any.max.is_none() && any.greedy && all(&any.sub))
}

fn cache_bytes(states: usize) -> usize {
    (states * CACHE_BYTES_PER_STATE).clamp(LAZY_CACHE_BYTES, MAX_LAZY_CACHE_BYTES)
}

fn config() -> meta::Config {
    meta::Config::new()
        .utf8_empty(false)
        .nfa_size_limit(Some(MAX_NFA_BYTES))
        .dfa_size_limit(Some(MAX_DFA_BYTES))
        .dfa_state_limit(Some(MAX_DFA_STATES))
        .hybrid_cache_capacity(LAZY_CACHE_BYTES)
        .which_captures(WhichCaptures::Implicit)
}

/// A case-blind selector over names (`args:/^csrf/`).
#[derive(Clone, Debug)]
pub(crate) struct NamePattern {
    /// As written: rules that select alike share one reading of the value.
    text: Box<str>,
    regex: meta::Regex,
    /// The pattern is this beginning and nothing else: the usual way to name what rules themselves made up.
    start: Option<Box<[u8]>>,
}

impl NamePattern {
    pub(crate) fn is_match(&self, name: &[u8]) -> bool {
        match &self.start {
            Some(start) => name
                .get(..start.len())
                .is_some_and(|begin| begin.eq_ignore_ascii_case(start)),
            None => self.regex.is_match(name),
        }
    }
}

/// What every match begins with, where that is all a pattern asks. Read blind to case.
fn start(hir: &Hir) -> Option<Box<[u8]>> {
    let HirKind::Concat(parts) = hir.kind() else {
        return None;
    };
    let (first, rest) = parts.split_first()?;
    let mut start = Vec::new();
    for part in rest {
        match part.kind() {
            HirKind::Literal(literal) => start.extend_from_slice(&literal.0),
            HirKind::Class(Class::Bytes(class)) => {
                let mut bytes = class
                    .ranges()
                    .iter()
                    .flat_map(|range| range.start()..=range.end());
                let byte = bytes.next()?;
                if bytes.any(|other| !other.eq_ignore_ascii_case(&byte)) {
                    return None;
                }
                start.push(byte);
            }
            _ => return None,
        }
    }
    matches!(first.kind(), HirKind::Look(Look::Start)).then(|| start.into())
}

impl PartialEq for NamePattern {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

/// Compiles a selector.
pub(crate) fn selector(pattern: &str) -> Result<NamePattern, String> {
    let syntax = syntax::Config::new()
        .unicode(false)
        .utf8(false)
        .dot_matches_new_line(true);
    let hir = syntax::parse_with(pattern, &syntax.case_insensitive(true))
        .map_err(|error| error.to_string())?;
    let regex = meta::Regex::builder()
        .configure(config())
        .build_from_hir(&hir)
        .map_err(|error| error.to_string())?;
    Ok(NamePattern {
        text: pattern.into(),
        regex,
        start: start(&hir),
    })
}

/// What a byte costs. A lazy automaton that has to build its states anew for hostile text, or gives up, takes time in
/// proportion to the pattern's own states: `hostile`, the example, found up to 30 ns a byte where a large pattern counted
/// as a small one.
fn weight(hir: &Hir, states: usize) -> u64 {
    let literal_ish = hir.properties().is_literal() || hir.properties().is_alternation_literal();
    if literal_ish {
        1
    } else {
        4 + states as u64 / STATES_PER_UNIT
    }
}

/// States of a pattern that count as much as one more byte.
const STATES_PER_UNIT: u64 = 256;

/// States of the pattern's automaton as written.
fn states(hir: &Hir) -> Result<usize, String> {
    let config = NFA::config()
        .utf8(false)
        .which_captures(WhichCaptures::None)
        .nfa_size_limit(Some(MAX_NFA_BYTES));
    let nfa = NFA::compiler().configure(config).build_from_hir(hir);
    Ok(nfa.map_err(|error| error.to_string())?.states().len())
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn a_selector_that_is_a_beginning_takes_what_its_pattern_takes() {
        for (pattern, plain) in [
            ("^header_name_1_", true),
            ("^a", true),
            ("^ab$", false),
            ("^a[bc]", false),
            ("a", false),
            ("^a?b", false),
            ("^a|b", false),
        ] {
            let selector = selector(pattern).unwrap();
            assert_eq!(selector.start.is_some(), plain, "{pattern}");
            for name in [
                "",
                "a",
                "A",
                "ab",
                "aB_",
                "xa",
                "HEADER_name_1_x",
                "b",
                "header_name_1",
            ] {
                let asked = selector.regex.is_match(name.as_bytes());
                assert_eq!(
                    selector.is_match(name.as_bytes()),
                    asked,
                    "{pattern} {name}"
                );
            }
        }
    }
}

//! libinjection: SQL injection by token fingerprints, cross-site scripting by an HTML tokeniser. The crate that does the
//! latter is a port that indexes its input; should it ever panic on hostile text, that text counts as an injection.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::LazyLock,
};

use libinjectionrs::detect_xss;
use regex::bytes::{Captures, Regex};

pub(crate) use super::sqli::Fingerprint;
use super::{prose::is_prose, sqli};
use crate::{bytes::ByteSet, compile::requirement::Requirement, limits::Budget};

/// Work of one token, read and folded, in units of bytes scanned.
const TOKEN_WORK: usize = 32;

pub(super) fn is_sqli(value: &[u8], budget: &mut Budget) -> bool {
    fingerprint(value, budget).is_some()
}

/// What tells that a value is an injection of SQL, if it is.
pub(crate) fn fingerprint(value: &[u8], budget: &mut Budget) -> Option<Fingerprint> {
    if is_prose(value) {
        return None;
    }
    let mut find = |text: &[u8]| {
        let mut read = 0;
        let found = sqli::fingerprint(text, &mut read);
        budget.charge(read.saturating_mul(TOKEN_WORK));
        found
    };
    find(value).or_else(|| find(&respelled(value)?))
}

/// A piece of SQL as it was read: its kind, the letter it has in a fingerprint, and its text, of a string or
/// variable with the quotes it has.
pub type Piece = (char, Vec<u8>);

/// What the engine reads in `text` as SQL, piece by piece; to be held against libinjection's published vectors.
#[must_use]
pub fn pieces(text: &[u8]) -> Vec<Piece> {
    sqli::pieces(text)
}

/// What is left of the pieces once those that tell nothing are folded away.
#[must_use]
pub fn folded(text: &[u8]) -> Vec<Piece> {
    sqli::folded(text)
}

/// Phrases that the C original knows and the port misses: it compares INTO in capitals only, and does not go on from
/// two words that mean nothing yet to the three that do. A word of the same kind stands in for them.
fn respelled(value: &[u8]) -> Option<Vec<u8>> {
    static PHRASES: LazyLock<Option<Regex>> = LazyLock::new(|| {
        let phrases = r"(?i-u)\b(?:(into)\s+(?:out|dump)file|(in\s+boolean\s+mode|lock\s+in\s+share\s+mode)|create\s+or\s+replace)\b";
        Regex::new(phrases).ok()
    });
    let phrases = PHRASES.as_ref().filter(|_| may_hold_phrase(value))?;
    phrases.is_match(value).then(|| {
        let replace = |found: &Captures<'_>| -> &'static [u8] {
            match (found.get(1), found.get(2)) {
                (Some(_), _) => b"INTO OUTFILE",
                (_, Some(_)) => b"MERGE",
                _ => b"DECLARE",
            }
        };
        phrases.replace_all(value, replace).into_owned()
    })
}

pub(super) fn is_xss(value: &[u8]) -> bool {
    guarded(|| detect_xss(value).is_injection())
}

/// Each of the phrases has a word with an `o` by which it is told at once.
fn may_hold_phrase(value: &[u8]) -> bool {
    memchr::memchr2_iter(b'o', b'O', value).any(|at| {
        let around = |from: usize, to: usize, word: &[u8]| {
            let text = value.get(from..to);
            text.is_some_and(|text| text.eq_ignore_ascii_case(word))
        };
        at.checked_sub(3)
            .is_some_and(|from| around(from, at + 1, b"into"))
            || at
                .checked_sub(1)
                .is_some_and(|from| around(from, at + 3, b"mode"))
            || around(at, at + 2, b"or")
                && value.get(at + 2).is_some_and(|byte| is_blank(*byte))
                && at
                    .checked_sub(1)
                    .and_then(|before| value.get(before))
                    .is_some_and(|byte| is_blank(*byte))
    })
}

/// White space to the phrases.
const fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t'..=b'\r')
}

fn guarded(detect: impl FnOnce() -> bool) -> bool {
    catch_unwind(AssertUnwindSafe(detect)).unwrap_or(true)
}

/// A single word or number is never an injection; the tests below hold the crate to it.
pub(super) fn sqli_requirement() -> Requirement {
    Requirement {
        min_len: 2,
        literals: Vec::new(),
        sets: vec![super::other_than_word()],
    }
}

/// Every context needs a tag, an attribute value or a grave accent.
pub(super) fn xss_requirement() -> Requirement {
    Requirement {
        min_len: 3,
        literals: Vec::new(),
        sets: vec![ByteSet::of(b"<=`")],
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn is_sqli(value: &[u8]) -> bool {
        super::is_sqli(value, &mut Budget::new(1 << 40))
    }

    #[test]
    fn every_token_is_charged() {
        let left = |value: &[u8]| {
            let mut budget = Budget::new(50 << 20);
            super::is_sqli(value, &mut budget);
            budget.left()
        };
        assert!(left(&b"1+".repeat(100_000)) < left(&b"11111".repeat(40_000)));
    }

    #[test]
    fn a_phrase_is_never_overlooked() {
        for phrase in [
            "x INTO  OUTFILE y",
            "in Boolean\x0bmODe",
            "lock in share mode",
            "Create\nor\treplace",
        ] {
            assert!(
                may_hold_phrase(phrase.as_bytes()) && respelled(phrase.as_bytes()).is_some(),
                "{phrase}"
            );
        }
        for prose in ["some of those", "for rent", "a modest proposal", "or"] {
            assert_eq!(respelled(prose.as_bytes()), None, "{prose}");
        }
    }

    #[test]
    fn recognises_the_textbook_cases() {
        for sql in [
            "1' OR '1'='1",
            "1 UNION SELECT password FROM users",
            "admin'--",
            "1 into outfile '/tmp/a'",
            "1' in boolean mode) union all select null--",
            "-1 lock in share mode union select a from b",
            "';create or replace function a(text) returns void as 'b'",
        ] {
            assert!(is_sqli(sql.as_bytes()), "{sql}");
        }
        for html in [
            "<script>alert(1)</script>",
            "<img src=x onerror=alert(1)>",
            "\" onload=\"x",
        ] {
            assert!(is_xss(html.as_bytes()), "{html}");
        }
        for benign in ["laptop", "O'Brien", "select your size", "a < b", "1+1"] {
            assert!(
                !is_sqli(benign.as_bytes()) && !is_xss(benign.as_bytes()),
                "{benign}"
            );
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(20_000))]

        #[test]
        fn a_word_is_never_an_sql_injection(text in "[0-9a-zA-Z_]{0,12}(select|union|or|and|x|0x|e|null|like|user)?[0-9a-zA-Z_]{0,12}") {
            prop_assert!(!is_sqli(text.as_bytes()), "{}", text);
        }

        #[test]
        fn no_markup_without_its_characters(text in "([^<=`]|style|onload|href|javascript:|--|>|\"|'|/| ){0,12}") {
            prop_assert!(!is_xss(text.as_bytes()), "{}", text);
        }

        #[test]
        fn never_unwinds(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            is_sqli(&bytes);
            is_xss(&bytes);
        }
    }
}

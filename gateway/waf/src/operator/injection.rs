//! libinjection: SQL injection by token fingerprints, cross-site scripting by an HTML tokeniser. The crate is a
//! port that indexes its input; should it ever panic on hostile text, that text counts as an injection.

use std::panic::{AssertUnwindSafe, catch_unwind};

use libinjectionrs::{SqliFlags, SqliState, detect_xss};

use crate::{bytes::ByteSet, compile::requirement::Requirement};

/// Injections are short; looking at more only lets a client buy time.
const MAX_LOOK: usize = 16 << 10;

pub(super) fn is_sqli(value: &[u8]) -> bool {
    let value = value.get(..MAX_LOOK).unwrap_or(value);
    !value.is_empty() && guarded(|| SqliState::new(value, SqliFlags::FLAG_NONE).detect())
}

pub(super) fn is_xss(value: &[u8]) -> bool {
    let value = value.get(..MAX_LOOK).unwrap_or(value);
    guarded(|| detect_xss(value).is_injection())
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

    #[test]
    fn recognises_the_textbook_cases() {
        for sql in [
            "1' OR '1'='1",
            "1 UNION SELECT password FROM users",
            "admin'--",
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

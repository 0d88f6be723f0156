//! libinjection: SQL injection by token fingerprints, cross-site scripting by an HTML tokeniser. The crate is a
//! port that indexes its input; should it ever panic on hostile text, that text counts as an injection.

use std::{
    collections::HashSet,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::LazyLock,
};

use libinjectionrs::{SqliFlags, SqliState, detect_xss, sqli::sqli_data::SQL_KEYWORDS};

use crate::{bytes::ByteSet, compile::requirement::Requirement};

pub(super) fn is_sqli(value: &[u8]) -> bool {
    !is_prose(value) && guarded(|| SqliState::new(value, SqliFlags::FLAG_NONE).detect())
}

pub(super) fn is_xss(value: &[u8]) -> bool {
    guarded(|| detect_xss(value).is_injection())
}

/// Ordinary text: words, numbers and light punctuation, without a word that could make a fingerprint. Words are
/// barewords, functions and operators to libinjection, and no fingerprint consists of these, numbers, commas, colons
/// and dots alone. Spares most of what people type a tokeniser that allocates for every word.
fn is_prose(value: &[u8]) -> bool {
    const BREAKS: &[u8] = b" ,:-/=.\n\xA0";
    !value.windows(2).any(|pair| pair == b"--")
        && value.split(|byte| BREAKS.contains(byte)).all(|word| {
            word.iter()
                .all(|&byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 0x80)
                && (word.iter().all(u8::is_ascii_digit) || is_harmless(word))
        })
}

/// A number may end anywhere inside a word that begins with a digit: each rest counts.
fn is_harmless(word: &[u8]) -> bool {
    match word.first() {
        Some(first) if first.is_ascii_digit() => {
            word.len() <= 8
                && (1..word.len()).all(|at| !is_weighty(word.get(at..).unwrap_or_default()))
        }
        _ => !is_weighty(word),
    }
}

fn is_weighty(word: &[u8]) -> bool {
    let mut upper = [0; MAX_WORD];
    let Some(upper) = upper.get_mut(..word.len()) else {
        return false;
    };
    upper.copy_from_slice(word);
    upper.make_ascii_uppercase();
    WEIGHTY.contains(&*upper)
}

/// libinjection compares no longer words than this.
const MAX_WORD: usize = 32;

/// Words without which no fingerprint of words comes about. Of a key word of several words one is enough: the
/// longest, but not the VALUE of NEXT VALUE FOR.
static WEIGHTY: LazyLock<HashSet<&'static [u8]>> = LazyLock::new(|| {
    // Barewords, functions and operators; fingerprints themselves (`F`) are not words.
    let words = SQL_KEYWORDS
        .iter()
        .filter(|keyword| !b"nfoF".contains(&keyword.token_type));
    let longest = |word: &'static str| {
        let parts = word.as_bytes().split(|byte| b" .-/:,=".contains(byte));
        parts
            .max_by_key(|part| (*part != b"VALUE", part.len()))
            .unwrap_or_default()
    };
    words.map(|keyword| longest(keyword.word)).collect()
});

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

    fn asked(value: &[u8]) -> bool {
        SqliState::new(value, SqliFlags::FLAG_NONE).detect()
    }

    #[test]
    fn prose_has_no_weighty_word_of_sql() {
        for prose in [
            "red running shoes 42",
            "laptop",
            "a  b ",
            "2nd-hand, like new: 3.50",
            "json.user.name",
            "caf\u{e9}",
        ] {
            assert!(is_prose(prose.as_bytes()), "{prose}");
        }
        for other in [
            "1 union x",
            "x and y",
            "it's",
            "a--b",
            "a/*b",
            "(",
            "1or 1",
            "a;b",
        ] {
            assert!(!is_prose(other.as_bytes()), "{other}");
        }
    }

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
            prop_assert!(!asked(text.as_bytes()), "{}", text);
        }

        #[test]
        fn prose_is_never_an_sql_injection(
            parts in proptest::collection::vec((any::<proptest::sample::Index>(), 0..7_u8, 0..8_u8), 0..9),
        ) {
            let mut text = Vec::new();
            for (index, kind, between) in parts {
                match kind {
                    0 => text.extend_from_slice(format!("{}", index.index(300)).as_bytes()),
                    1 => text.extend_from_slice(b"word"),
                    2 => text.extend_from_slice(format!("{}x", index.index(12)).as_bytes()),
                    3 => text.extend_from_slice("\u{e9}\u{4e2d}\u{a0}".as_bytes()),
                    _ => text.extend_from_slice(index.get(SQL_KEYWORDS).word.as_bytes()),
                }
                text.extend_from_slice([" ", " ", " ", ",", ".", ":", "-", "="].get(usize::from(between)).copied().unwrap_or(" ").as_bytes());
            }
            prop_assert!(!is_prose(&text) || !asked(&text), "{}", String::from_utf8_lossy(&text));
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

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

/// Words and numbers between spaces, none of them a word of SQL: no fingerprint consists of barewords and numbers
/// alone. Spares most of ordinary text a tokeniser that allocates for every word.
fn is_prose(value: &[u8]) -> bool {
    value.split(|&byte| byte == b' ').all(|word| {
        word.iter().all(u8::is_ascii_digit)
            || (!word.first().is_some_and(u8::is_ascii_digit)
                && word
                    .iter()
                    .all(|&byte| byte.is_ascii_alphanumeric() || byte == b'_')
                && !is_sql_word(word))
    })
}

fn is_sql_word(word: &[u8]) -> bool {
    let mut upper = [0; MAX_WORD];
    let Some(upper) = upper.get_mut(..word.len()) else {
        return false;
    };
    upper.copy_from_slice(word);
    upper.make_ascii_uppercase();
    SQL_WORDS.contains(&*upper)
}

/// libinjection compares no longer words than this.
const MAX_WORD: usize = 32;

/// Every word of libinjection's key words, those of several words taken apart.
static SQL_WORDS: LazyLock<HashSet<&'static [u8]>> = LazyLock::new(|| {
    let words = SQL_KEYWORDS
        .iter()
        .filter(|keyword| keyword.token_type != b'F');
    words
        .flat_map(|keyword| keyword.word.as_bytes().split(|&byte| byte == b' '))
        .collect()
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
    fn prose_has_no_word_of_sql() {
        assert!(is_prose(b"red running shoes 42") && is_prose(b"laptop") && is_prose(b"a  b "));
        for other in [
            "1 union x",
            "GROUP",
            "it's",
            "2nd",
            "a-b",
            "a,b",
            "(",
            "caf\u{e9}",
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
        fn prose_is_never_an_sql_injection(text in "((select|union|where|group|by|in|order|like|[a-z]{1,8}|[0-9]{1,4}|x[0-9]|_a)? ?){0,8}") {
            prop_assert!(!is_prose(text.as_bytes()) || !asked(text.as_bytes()), "{}", text);
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

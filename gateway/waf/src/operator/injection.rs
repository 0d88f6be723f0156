//! libinjection: SQL injection by token fingerprints, cross-site scripting by an HTML tokeniser. The crate is a
//! port that indexes its input; should it ever panic on hostile text, that text counts as an injection.

use std::{
    collections::HashSet,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::LazyLock,
};

use libinjectionrs::{SqliFlags, SqliState, detect_xss, sqli::sqli_data::SQL_KEYWORDS};
use regex::bytes::{Captures, Regex};

use crate::{bytes::ByteSet, compile::requirement::Requirement, limits::Budget};

pub(super) fn is_sqli(value: &[u8], budget: &mut Budget) -> bool {
    let found = |text: &[u8]| guarded(|| SqliState::new(text, SqliFlags::FLAG_NONE).detect());
    if opens_with_prose(value) || is_prose(value) {
        return false;
    }
    budget.charge(prefixes(value) / PREFIX_BYTES_PER_WORK);
    // What is left decides, not the clock: a value that costs too much is refused unjudged.
    !budget.is_spent() && (found(value) || respelled(value).is_some_and(|text| found(&text)))
}

/// Bytes of prefixes that cost one unit of work: 128 KiB of `a.` behind a quote, 4.3 billion of them, took 0.26 s.
const PREFIX_BYTES_PER_WORK: usize = 8;

/// The port looks up every part of a word that ends before a dot or a grave accent, from the word's beginning and
/// however long it is: quadratic in a client's hands.
fn prefixes(value: &[u8]) -> usize {
    let mut word = 0;
    let mut bytes = 0_usize;
    for (at, &byte) in value.iter().enumerate() {
        match byte {
            b'.' | b'`' => bytes = bytes.saturating_add(at - word),
            _ if ends_word(byte) => word = at + 1,
            _ => {}
        }
    }
    bytes
}

/// Where the port's words end.
fn ends_word(byte: u8) -> bool {
    matches!(
        byte,
        0 | b'\t'..=b'\r' | b' '..=b'#' | b'%'..=b'-' | b'/' | b':'..=b'@' | b'[' | b'\\' | b']' | b'^' | b'{'..=b'~' | 0xA0
    )
}

/// Phrases that the C original knows and the port misses: it compares INTO in capitals only, and does not go on from
/// two words that mean nothing yet to the three that do. A word of the same kind stands in for them.
fn respelled(value: &[u8]) -> Option<Vec<u8>> {
    static PHRASES: LazyLock<Option<Regex>> = LazyLock::new(|| {
        let phrases = r"(?i-u)\b(?:(into)\s+(?:out|dump)file|(in\s+boolean\s+mode|lock\s+in\s+share\s+mode)|create\s+or\s+replace)\b";
        Regex::new(phrases).ok()
    });
    let phrases = PHRASES.as_ref()?;
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

/// What a byte is to the readers below.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Digit,
    /// Part of a word. Of bytes above ASCII libinjection takes the no-break space alone for anything else.
    Letter,
    /// Between words, and harmless itself.
    Break,
    /// Strings, comments that hide code, braces: may turn everything before them into something else.
    Turn,
    Other,
}

static KINDS: [Kind; 256] = kinds();

const fn kinds() -> [Kind; 256] {
    let mut kinds = [Kind::Other; 256];
    let mut rest: &mut [Kind] = &mut kinds;
    let mut byte = 0_u8;
    while let [kind, tail @ ..] = rest {
        *kind = match byte {
            b'0'..=b'9' => Kind::Digit,
            b' ' | b',' | b':' | b'-' | b'/' | b'=' | b'.' | b'\n' | 0xA0 => Kind::Break,
            b'a'..=b'z' | b'A'..=b'Z' | b'_' | 0x80..=0xFF => Kind::Letter,
            b'\'' | b'"' | b'`' | b'{' | b'*' | b'\\' => Kind::Turn,
            _ => Kind::Other,
        };
        byte = byte.wrapping_add(1);
        rest = tail;
    }
    kinds
}

fn kind(byte: u8) -> Kind {
    KINDS.get(usize::from(byte)).copied().unwrap_or(Kind::Other)
}

/// Two barewords to begin with, which nothing that follows can fold into anything else: the fingerprint begins with
/// `nn`, and none that is known does. Most of what people write is dismissed after two words.
fn opens_with_prose(value: &[u8]) -> bool {
    let word = |text: &[u8]| -> Option<usize> {
        let end = text
            .iter()
            .position(|&byte| !matches!(kind(byte), Kind::Letter | Kind::Digit));
        let word = text.get(..end.unwrap_or(text.len()))?;
        let plain = word
            .first()
            .is_some_and(|&first| kind(first) == Kind::Letter);
        (plain && !NOTABLE.holds(word)).then_some(word.len())
    };
    let after_first = || {
        let rest = value.get(word(value)?..)?;
        let second = rest.trim_ascii_start();
        let spaced = rest.first() == Some(&b' ');
        let rest = second.get(word(second).filter(|_| spaced)?..)?;
        // A dot or a dollar sign would belong to the word, and a parenthesis may make a function of it.
        (!matches!(rest.first(), Some(b'.' | b'$'))).then_some(rest)
    };
    after_first().is_some_and(|rest| rest.trim_ascii_start().first() != Some(&b'('))
        && !value.iter().any(|&byte| kind(byte) == Kind::Turn)
}

/// Ordinary text: words, numbers and light punctuation, without a word that could make a fingerprint. Words are
/// barewords, functions and operators to libinjection, and no fingerprint consists of these, numbers, commas, colons
/// and dots alone. Spares most of what people type a tokeniser that allocates for every word.
fn is_prose(value: &[u8]) -> bool {
    let mut word = 0;
    for (at, &byte) in value.iter().enumerate() {
        match kind(byte) {
            Kind::Digit | Kind::Letter => continue,
            Kind::Break if byte != b'-' || value.get(at + 1) != Some(&b'-') => {}
            _ => return false,
        }
        if !is_harmless(value.get(word..at).unwrap_or_default()) {
            return false;
        }
        word = at + 1;
    }
    is_harmless(value.get(word..).unwrap_or_default())
}

/// A number may end anywhere inside a word that begins with a digit: each rest counts.
fn is_harmless(word: &[u8]) -> bool {
    match word.first() {
        Some(first) if first.is_ascii_digit() => {
            word.iter().all(u8::is_ascii_digit)
                || word.len() <= 8
                    && (1..word.len()).all(|at| !WEIGHTY.holds(word.get(at..).unwrap_or_default()))
        }
        _ => !WEIGHTY.holds(word),
    }
}

/// libinjection compares no longer words than this.
const MAX_WORD: usize = 32;

/// Key words in upper case, behind a filter that most other words do not pass.
struct Words {
    filter: [u64; 64],
    words: HashSet<&'static [u8]>,
}

impl Words {
    fn new(words: impl Iterator<Item = &'static [u8]>) -> Self {
        let words: HashSet<&'static [u8]> = words.collect();
        let mut filter = [0; 64];
        for word in &words {
            let (place, bit) = Self::place(word);
            if let Some(bits) = filter.get_mut(place) {
                *bits |= bit;
            }
        }
        Self { filter, words }
    }

    fn holds(&self, word: &[u8]) -> bool {
        let (place, bit) = Self::place(word);
        if self.filter.get(place).is_none_or(|bits| bits & bit == 0) {
            return false;
        }
        let mut upper = [0; MAX_WORD];
        let Some(upper) = upper.get_mut(..word.len()) else {
            return false;
        };
        upper.copy_from_slice(word);
        upper.make_ascii_uppercase();
        self.words.contains(&*upper)
    }

    /// By first, second and last letter, blind to case, and length.
    fn place(word: &[u8]) -> (usize, u64) {
        let letter = |at: usize| u32::from(word.get(at).copied().unwrap_or_default() & 0x1F);
        let mixed = letter(0)
            .wrapping_mul(0x9E37)
            .wrapping_add(letter(1).wrapping_mul(0x85EB))
            .wrapping_add(letter(word.len().wrapping_sub(1)).wrapping_mul(0xC2B3))
            .wrapping_add(
                u32::try_from(word.len())
                    .unwrap_or_default()
                    .wrapping_mul(0x27D5),
            );
        let place = mixed.wrapping_mul(0x9E37_79B1) >> 20;
        ((place >> 6) as usize, 1 << (place & 63))
    }
}

/// Words without which no fingerprint of words comes about. Of a key word of several words one is enough: the
/// longest, but not the VALUE of NEXT VALUE FOR.
static WEIGHTY: LazyLock<Words> = LazyLock::new(|| {
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
    Words::new(words.map(|keyword| longest(keyword.word)))
});

/// Words that are something else than barewords, by themselves or with the word after them.
static NOTABLE: LazyLock<Words> = LazyLock::new(|| {
    let words = SQL_KEYWORDS
        .iter()
        .filter(|keyword| keyword.token_type != b'F');
    let first = |word: &'static str| {
        let parts = word
            .as_bytes()
            .split(|byte| !matches!(kind(*byte), Kind::Letter | Kind::Digit));
        parts.take(1)
    };
    Words::new(words.flat_map(move |keyword| first(keyword.word)))
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

    fn is_sqli(value: &[u8]) -> bool {
        super::is_sqli(value, &mut Budget::new(1 << 40))
    }

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
    fn two_words_to_begin_with_are_prose() {
        for prose in [
            "red words; drop table x --",
            "red  running shoes (2)",
            "caf\u{e9} au lait and more",
        ] {
            assert!(opens_with_prose(prose.as_bytes()), "{prose}");
        }
        for other in [
            "group by x",
            "word user(1)",
            "x union select 1",
            "it's a word",
            "some.word other",
            "a /* b",
            "1 word",
        ] {
            assert!(!opens_with_prose(other.as_bytes()), "{other}");
        }
    }

    #[test]
    fn dots_without_end_are_not_judged() {
        let mut budget = Budget::new(50 << 20);
        let hostile = [&b"1'"[..], &b"a.".repeat(64 << 10)].concat();
        assert!(!super::is_sqli(&hostile, &mut budget));
        assert!(budget.is_spent());
        let mut budget = Budget::new(50 << 20);
        let token = format!("1' OR {0}.{0}.{0} = '1", "x".repeat(4000));
        assert!(super::is_sqli(token.as_bytes(), &mut budget));
        assert!(!budget.is_spent());
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

        /// The library itself is the judge, whatever follows the words.
        #[test]
        fn what_opens_with_prose_is_never_an_sql_injection(
            words in proptest::collection::vec((any::<proptest::sample::Index>(), 0..6_u8), 2..4),
            parts in proptest::collection::vec((any::<proptest::sample::Index>(), 0..6_u8), 0..9),
        ) {
            const MARKS: &[&str] = &[
                " ", "(", ")", ";", "--", "-- ", "#", "+", "=", "||", "&&", "<", ">", "::", "@", "@@x", "}", "[x]", "$1", "1", "0x1f",
                ",", "!", "~", "%", "|", ":=", "\n", "\t", "/", ".", "\0", "?", "^", "<=>", "1.e(", "e1",
            ];
            let mut text = Vec::new();
            for (index, kind) in words {
                let word = if kind == 0 { index.get(SQL_KEYWORDS).word } else { ["some", "word", "b", "x", "n", "user", "a1", "q_", "in"].get(index.index(9)).copied().unwrap_or("w") };
                text.extend_from_slice(word.as_bytes());
                text.extend_from_slice(if kind == 5 { b"  " } else { b" " });
            }
            for (index, kind) in parts {
                let part = if kind < 2 { index.get(SQL_KEYWORDS).word } else { index.get(MARKS) };
                text.extend_from_slice(part.as_bytes());
                if kind % 2 == 0 {
                    text.push(b' ');
                }
            }
            prop_assert!(!opens_with_prose(&text) || !asked(&text), "{}", String::from_utf8_lossy(&text));
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

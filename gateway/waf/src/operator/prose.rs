//! Text in which libinjection finds no SQL whatever it does: told by one look at its words. A filter before `sqli`, and
//! only that: what it does not dismiss is read in full.

use std::{collections::HashSet, sync::LazyLock};

use libinjectionrs::sqli::sqli_data::SQL_KEYWORDS;

/// What a byte is here.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Digit,
    /// Part of a word. Of bytes above ASCII libinjection takes the no-break space alone for anything else.
    Letter,
    /// Between words, and harmless itself.
    Break,
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

/// Ordinary text: words, numbers and light punctuation, without a word that could make a fingerprint. Words are
/// barewords, functions and operators to libinjection, and no fingerprint consists of these, numbers, commas, colons
/// and dots alone. One pass over most of what people and programs write, where the
/// tokeniser makes five.
pub(super) fn is_prose(value: &[u8]) -> bool {
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

#[cfg(test)]
mod tests {
    use libinjectionrs::{SqliFlags, SqliState};
    use proptest::prelude::*;

    use super::*;

    /// The library itself is the judge.
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

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(20_000))]

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
    }
}

//! The words that libinjection knows and what each is, and the fingerprints it holds for injections. Read from the
//! crate once, and laid out for looking up: every word of every value is asked for.

use std::{collections::HashSet, sync::LazyLock};

use libinjectionrs::sqli::sqli_data::SQL_KEYWORDS;

/// A word that is none of them.
pub(super) const BAREWORD: u8 = b'n';

const PLACES: usize = 1 << 12;

/// A word and what it is.
type Known = (&'static [u8], u8);

/// Open addressing: a place that is taken leads to the next.
struct Table {
    places: Box<[Option<Known>]>,
    longest: usize,
}

static WORDS: LazyLock<Table> = LazyLock::new(|| {
    let mut table = Table {
        places: vec![None; PLACES].into(),
        longest: 0,
    };
    for keyword in SQL_KEYWORDS.iter().filter(|word| word.token_type != b'F') {
        let word = keyword.word.as_bytes();
        let mut at = place(word);
        while table.places.get(at).is_some_and(Option::is_some) {
            at = (at + 1) % PLACES;
        }
        if let Some(free) = table.places.get_mut(at) {
            *free = Some((word, keyword.token_type));
        }
        table.longest = table.longest.max(word.len());
    }
    table
});

/// A filter of a bit for each place, and what is looked for in full behind it.
type Heads = (Box<[u64]>, HashSet<Vec<u8>>);

/// What words of several words begin with.
static HEADS: LazyLock<Heads> = LazyLock::new(|| {
    let mut filter = vec![0_u64; PLACES / 64];
    let mut heads = HashSet::new();
    for keyword in SQL_KEYWORDS {
        let word = keyword.word.as_bytes();
        for (end, _) in word.iter().enumerate().filter(|(_, byte)| **byte == b' ') {
            let head = word.get(..end).unwrap_or_default();
            if let Some(bits) = filter.get_mut(place(head) / 64) {
                *bits |= 1 << (place(head) % 64);
            }
            heads.insert(head.to_vec());
        }
    }
    (filter.into(), heads)
});

/// Whether a word of the list begins with this one and a space.
pub(super) fn is_head(word: &[u8]) -> bool {
    let (filter, heads) = &*HEADS;
    let at = place(word);
    let told = filter
        .get(at / 64)
        .is_some_and(|bits| bits >> (at % 64) & 1 != 0);
    told && heads.contains(&word.to_ascii_uppercase())
}

static FINGERPRINTS: LazyLock<Vec<u64>> = LazyLock::new(|| {
    let known = SQL_KEYWORDS.iter().filter(|word| word.token_type == b'F');
    let mut list: Vec<u64> = known
        .map(|word| packed(word.word.as_bytes().iter().skip(1).copied()))
        .collect();
    list.sort_unstable();
    list
});

/// What a word is, in any case.
pub(super) fn kind_of(word: &[u8]) -> u8 {
    if word.is_empty() || word.len() > WORDS.longest {
        return BAREWORD;
    }
    let mut at = place(word);
    while let Some(Some((known, kind))) = WORDS.places.get(at) {
        if known.eq_ignore_ascii_case(word) {
            let usual = b"kfUETto&v1AB".contains(kind);
            return if usual { *kind } else { BAREWORD };
        }
        at = (at + 1) % PLACES;
    }
    BAREWORD
}

/// Whether these kinds of tokens, in this order, are an injection.
pub(super) fn is_known(fingerprint: &[u8]) -> bool {
    let kinds = fingerprint.iter().map(u8::to_ascii_uppercase);
    FINGERPRINTS.binary_search(&packed(kinds)).is_ok()
}

fn packed(bytes: impl Iterator<Item = u8>) -> u64 {
    bytes.fold(0, |all, byte| all << 8 | u64::from(byte))
}

/// Blind to the case of letters.
fn place(word: &[u8]) -> usize {
    let mixed = word.iter().fold(word.len() as u32, |all, byte| {
        (all.rotate_left(5) ^ u32::from(byte & !0x20)).wrapping_mul(0x9E37_79B1)
    });
    (mixed >> 20) as usize
}

//! Values made of few kinds of bytes, and what a pattern can still match in them. Rules against evasions allow quotes,
//! backslashes and variables between any two letters; in a value that has none, all of that falls away and the bare
//! words are left, which the scan for literals finds. What cannot match at all is not even asked.

use regex_syntax::hir::{Class, ClassBytes, ClassBytesRange, Hir, HirKind, Repetition};

use crate::bytes::ByteSet;

/// Smallest first. Each holds letters of both cases, or none: contents that differ in case belong to one alphabet.
pub(crate) const COUNT: usize = 4;

/// Identifiers, numbers, words; prose and paths; queries and most headers; everything.
pub(crate) fn all() -> [ByteSet; COUNT] {
    let mut words = ByteSet::of(b"_-.");
    words.insert_range(b'0', b'9');
    words.insert_range(b'a', b'z');
    words.insert_range(b'A', b'Z');
    words.insert_range(0x80, 0xFF);
    let prose = words.union(ByteSet::of(b" ,:/@+!"));
    let queries = prose.union(ByteSet::of(b"=?&%;()*'"));
    [words, prose, queries, ByteSet::ALL]
}

/// A pattern that matches what `hir` matches in texts over `alphabet`; nothing when there is no such text.
pub(super) fn restrict(hir: &Hir, alphabet: ByteSet) -> Option<Hir> {
    if alphabet == ByteSet::ALL {
        return Some(hir.clone());
    }
    match hir.kind() {
        HirKind::Empty | HirKind::Look(_) => Some(hir.clone()),
        HirKind::Literal(literal) => ByteSet::of(&literal.0)
            .is_within(alphabet)
            .then(|| hir.clone()),
        HirKind::Class(Class::Bytes(class)) => class_of(class, alphabet),
        // Only in Unicode mode, in which our patterns never are: left as it is, which can only keep too much.
        HirKind::Class(Class::Unicode(_)) => Some(hir.clone()),
        HirKind::Capture(capture) => restrict(&capture.sub, alphabet),
        HirKind::Repetition(repetition) => match restrict(&repetition.sub, alphabet) {
            Some(sub) => Some(Hir::repetition(Repetition {
                min: repetition.min,
                max: repetition.max,
                greedy: repetition.greedy,
                sub: Box::new(sub),
            })),
            None if repetition.min == 0 => Some(Hir::empty()),
            None => None,
        },
        HirKind::Concat(parts) => {
            let parts: Option<Vec<Hir>> =
                parts.iter().map(|part| restrict(part, alphabet)).collect();
            parts.map(Hir::concat)
        }
        HirKind::Alternation(parts) => {
            let parts: Vec<Hir> = parts
                .iter()
                .filter_map(|part| restrict(part, alphabet))
                .collect();
            (!parts.is_empty()).then(|| Hir::alternation(parts))
        }
    }
}

fn class_of(class: &ClassBytes, alphabet: ByteSet) -> Option<Hir> {
    let mut set = ByteSet::EMPTY;
    for range in class.ranges() {
        set.insert_range(range.start(), range.end());
    }
    let kept = set.and(alphabet);
    let ranges = kept.iter().map(|byte| ClassBytesRange::new(byte, byte));
    (!kept.is_empty()).then(|| Hir::class(Class::Bytes(ClassBytes::new(ranges))))
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use proptest::prelude::*;
    use regex_automata::{meta, util::syntax};

    use super::*;

    const PATTERNS: &[&str] = &[
        r"(?i)u['\\]*n['\\]*i['\\]*on[\s(]+(all[\s(]+)?se['\\]?lect",
        r"(?i)(?:^|[;|&`])\s*(?:c[\\']*a[\\']*t|l[\\']*s)\b",
        r"[^a-z]{2}x|(?:y<)*z",
        r"(a|b\$|\x80)+[.@]",
        r"(?-i)Ab|\bC\B",
        r"",
    ];

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(3000))]

        #[test]
        fn matches_alike_within_the_alphabet(
            pattern in proptest::sample::select(PATTERNS),
            text in proptest::collection::vec(proptest::sample::select(&b"unioalsectuUSxyzAbCb .@;'\\\x80()<$"[..]), 0..14),
        ) {
            let config = syntax::Config::new().unicode(false).utf8(false).dot_matches_new_line(true);
            let hir = syntax::parse_with(pattern, &config).unwrap();
            let regex = |hir: &Hir| meta::Regex::builder().build_from_hir(hir).unwrap();
            let whole = regex(&hir).is_match(&text);
            for alphabet in all() {
                if ByteSet::of(&text).is_within(alphabet) {
                    let restricted = restrict(&hir, alphabet).is_some_and(|hir| regex(&hir).is_match(&text));
                    prop_assert_eq!(whole, restricted, "{} {:?}", pattern, text);
                }
            }
        }
    }
}

//! Personal data that rides in paths and matched values becomes `[EMAIL]`, `[CREDIT_CARD]`, `[MY_NUMBER]`, `[PHONE]`
//! before it is kept. Boundaries are ASCII: a Unicode one does not match in `電話は090-1234-5678です`. No checksum gates
//! a match: a mistyped card number is still somebody's.

use std::borrow::Cow;
use std::sync::LazyLock;

use regex::{Captures, Regex};

/// In order of preference where several begin at the same place.
const KINDS: &[(&str, &str)] = &[
    (
        "[EMAIL]",
        r"[A-Za-z0-9._%+\-]{1,64}(?:@|%40)[A-Za-z0-9\-]{1,63}(?:\.[A-Za-z0-9\-]{1,63})*\.[A-Za-z]{2,24}",
    ),
    // 13 to 19 digits in groups, or together with a card network's first digits: a timestamp is no card.
    (
        "[CREDIT_CARD]",
        r"\b(?:\d{4}[ \-]\d{4}[ \-]\d{4}[ \-]\d{1,7}|\d{4}[ \-]\d{6}[ \-]\d{4,5}|(?:4|5[1-5]|2[2-7]|3[4-9]|6[0245])\d{11,17})\b",
    ),
    // Japanese My Number (12 digits) and Korean resident number (6-7).
    (
        "[MY_NUMBER]",
        r"\b(?:\d{4}[ \-]?\d{4}[ \-]?\d{4}|\d{6}-[1-8]\d{6})\b",
    ),
    (
        "[PHONE]",
        r"(?:\+|%2[Bb])\d{1,3}[ \-]?(?:\d[ \-]?){6,11}\d\b|\b0\d{1,4}-\d{1,4}-\d{3,4}\b|\b0[5789]0\d{8}\b|\b01[016789]\d{7,8}\b",
    ),
];

static ANY: LazyLock<Option<Regex>> = LazyLock::new(|| {
    let kinds: Vec<String> = KINDS
        .iter()
        .map(|(_, shape)| format!("({shape})"))
        .collect();
    Regex::new(&format!("(?-u){}", kinds.join("|"))).ok()
});

/// `text` without personal data; borrowed when nothing looked like any.
pub(super) fn personal(text: &str) -> Cow<'_, str> {
    if !worth_a_look(text.as_bytes()) {
        return Cow::Borrowed(text);
    }
    // A pattern that does not compile must not let the text through.
    ANY.as_ref().map_or(Cow::Borrowed("[MASKED]"), |any| {
        any.replace_all(text, |found: &Captures<'_>| {
            let group = (1..found.len()).find(|&group| found.get(group).is_some());
            let kind = group.and_then(|group| KINDS.get(group - 1));
            kind.map_or("[MASKED]", |(word, _)| word)
        })
    })
}

/// An at sign, or at least nine digits: most paths have neither, and cost one pass.
fn worth_a_look(bytes: &[u8]) -> bool {
    let mut digits = 0u32;
    let mut previous = 0;
    for &byte in bytes {
        digits += u32::from(byte.is_ascii_digit());
        if byte == b'@' || (previous == b'%' && byte == b'4') {
            return true;
        }
        previous = byte;
    }
    digits >= 9
}

#[cfg(test)]
mod tests {
    use super::personal;

    #[test]
    fn masks_what_names_a_person() {
        for (text, masked) in [
            ("/users/mia.lee%40example.com/edit", "/users/[EMAIL]/edit"),
            ("/users/mia@example.co.jp", "/users/[EMAIL]"),
            ("pay 4111 1111 1111 1111 now", "pay [CREDIT_CARD] now"),
            ("pay 4111111111111112", "pay [CREDIT_CARD]"),
            ("電話は090-1234-5678です", "電話は[PHONE]です"),
            ("call +82 10-1234-5678", "call [PHONE]"),
            ("番号1234-5678-9012", "番号[MY_NUMBER]"),
            ("900101-1234567", "[MY_NUMBER]"),
        ] {
            assert_eq!(personal(text), masked);
        }
    }

    #[test]
    fn leaves_ordinary_paths_alone() {
        for text in [
            "/t/1732148400123/x",
            "/t/1732148400123456789",
            "/8c6f5a1e-2f0b-4d4a-9f53-0d4c1f4e7a10",
            "/2026/11/21/index.html",
            "/@scope/package",
            "/v1/orders/12345678",
        ] {
            assert_eq!(personal(text), text);
        }
    }
}

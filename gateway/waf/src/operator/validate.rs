//! ModSecurity's validations. They match when the value is *not* valid.

use crate::bytes::ByteSet;

/// A byte outside the allowed ones.
pub(super) fn outside(allowed: ByteSet, value: &[u8]) -> bool {
    value.iter().any(|&byte| !allowed.contains(byte))
}

/// `32-126,9,10`
pub(crate) fn byte_ranges(text: &str) -> Option<ByteSet> {
    let mut set = ByteSet::EMPTY;
    for piece in text.split(',') {
        let (first, last) = piece.split_once('-').unwrap_or((piece, piece));
        set.insert_range(first.trim().parse().ok()?, last.trim().parse().ok()?);
    }
    Some(set)
}

/// A `%` without two hexadecimal digits.
pub(crate) fn bad_url_encoding(value: &[u8]) -> bool {
    let mut rest = value;
    while let Some(at) = memchr::memchr(b'%', rest) {
        let digits = rest.get(at + 1..at + 3);
        if !digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit)) {
            return true;
        }
        rest = rest.get(at + 3..).unwrap_or_default();
    }
    false
}

/// Not UTF-8: overlong forms, surrogates and cut sequences included.
pub(super) fn bad_utf8(value: &[u8]) -> bool {
    std::str::from_utf8(value).is_err()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn byte_ranges_are_inclusive() {
        let allowed = byte_ranges("9,10,13,32-126").unwrap_or_default();
        assert!(
            !outside(allowed, b"plain ~text\r\n")
                && outside(allowed, b"a\0")
                && outside(allowed, b"\x7f")
        );
        assert!(byte_ranges("1-x").is_none() && byte_ranges("300").is_none());
    }

    #[test]
    fn percent_signs_need_two_digits() {
        assert!(
            !bad_url_encoding(b"a%20b%2F") && bad_url_encoding(b"100%") && bad_url_encoding(b"%zz")
        );
        assert!(bad_utf8(b"\xc0\xaf") && !bad_utf8("é".as_bytes()));
    }
}

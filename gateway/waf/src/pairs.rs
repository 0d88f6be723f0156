//! Query strings and cookies as pairs. Borrowed as they were sent; decoding is the reader's choice and costs nothing
//! where there is nothing to decode.

use crate::transform::Transform;

/// A pair as it was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pair<'a> {
    /// Before the first `=`; the whole when there is none.
    pub name: &'a [u8],
    /// After the first `=`.
    pub value: &'a [u8],
}

/// The pairs of a query or form: `&` separates and `;` does not. Empty pieces are skipped, a piece without `=` is a
/// name with an empty value.
pub fn query(text: &[u8]) -> impl Iterator<Item = Pair<'_>> {
    split(text, b'&')
}

/// The same with another separator.
pub fn split(text: &[u8], separator: u8) -> impl Iterator<Item = Pair<'_>> {
    text.split(move |b| *b == separator)
        .filter(|piece| !piece.is_empty())
        .map(pair)
}

/// The pairs of a Cookie header (RFC 6265, section 5.4, read leniently as servers do): `;` separates, white space
/// around a piece goes, quotes stay.
pub fn cookies(header: &[u8]) -> impl Iterator<Item = Pair<'_>> {
    let pieces = header.split(|b| *b == b';').map(<[u8]>::trim_ascii);
    pieces.filter(|piece| !piece.is_empty()).map(pair)
}

/// `%XX` and `+` decoded once: `raw` itself when nothing is to be decoded, else `scratch`.
pub fn decode<'a>(raw: &'a [u8], scratch: &'a mut Vec<u8>) -> &'a [u8] {
    if Transform::UrlDecode.apply(raw, scratch) {
        scratch
    } else {
        raw
    }
}

fn pair(piece: &[u8]) -> Pair<'_> {
    let at = memchr::memchr(b'=', piece).unwrap_or(piece.len());
    let (name, value) = piece.split_at(at);
    Pair {
        name,
        value: value.get(1..).unwrap_or_default(),
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn query_splits_at_ampersands_only() {
        let found: Vec<_> = query(b"a=1&b=2;c=3&&d&=e&f=g=h").collect();
        let expected: [(&[u8], &[u8]); 5] = [
            (b"a", b"1"),
            (b"b", b"2;c=3"),
            (b"d", b""),
            (b"", b"e"),
            (b"f", b"g=h"),
        ];
        assert_eq!(found, expected.map(|(name, value)| Pair { name, value }));
    }

    #[test]
    fn cookies_lose_white_space_around_them() {
        let found: Vec<_> = cookies(b" sid=abc;theme=\"dark\" ; flag ;;").collect();
        let expected: [(&[u8], &[u8]); 3] =
            [(b"sid", b"abc"), (b"theme", b"\"dark\""), (b"flag", b"")];
        assert_eq!(found, expected.map(|(name, value)| Pair { name, value }));
    }

    #[test]
    fn decoding_borrows_what_needs_none() {
        let mut scratch = Vec::new();
        assert_eq!(decode(b"plain", &mut scratch), b"plain");
        assert_eq!(scratch.capacity(), 0);
        let pair = query(b"q=%3Cb%3E+x").next().unwrap();
        assert_eq!(decode(pair.value, &mut scratch), b"<b> x");
    }
}

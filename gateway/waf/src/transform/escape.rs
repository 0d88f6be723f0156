//! escapeSeqDecode: ANSI C escapes. Unlike jsDecode it takes `\X41`, wraps an octal value and knows no `\u`.

use memchr::memchr;

use super::{byte_of, control, octal};

pub(super) fn decode(input: &[u8], out: &mut Vec<u8>) -> bool {
    let mut rest = input;
    while let Some(at) = memchr(b'\\', rest) {
        let (before, after) = rest.split_at(at);
        let [_, escape @ ..] = after else { break };
        if escape.is_empty() {
            break;
        }
        out.extend_from_slice(before);
        let (byte, used) = unescape(escape);
        out.push(byte);
        rest = escape.get(used..).unwrap_or_default();
    }
    if rest.len() == input.len() {
        return false;
    }
    out.extend_from_slice(rest);
    true
}

fn unescape(escape: &[u8]) -> (u8, usize) {
    if let [b'x' | b'X', a, b, ..] = escape
        && let Some(byte) = byte_of(*a, *b)
    {
        return (byte, 3);
    }
    if let Some((value, used)) = octal(escape) {
        return (value.to_le_bytes()[0], used);
    }
    // An unknown escape only loses its backslash.
    let letter = escape.first().copied().unwrap_or(b'\\');
    (control(letter).unwrap_or(letter), 1)
}

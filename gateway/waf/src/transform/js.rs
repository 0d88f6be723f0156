//! jsDecode: `\uHHHH`, `\xHH`, octal and the one-letter escapes of a JavaScript string.

use memchr::memchr;

use super::{byte_of, control, low_byte, octal};

pub(super) fn decode(input: &[u8], out: &mut Vec<u8>) -> bool {
    let mut rest = input;
    while let Some(at) = memchr(b'\\', rest) {
        let (before, after) = rest.split_at(at);
        // A backslash at the very end stays.
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

/// The byte that an escape stands for and how much of it was used, the backslash not counted.
fn unescape(escape: &[u8]) -> (u8, usize) {
    if let [b'u', a, b, c, d, ..] = escape
        && let (Some(high), Some(low)) = (byte_of(*a, *b), byte_of(*c, *d))
    {
        return (low_byte(u16::from_be_bytes([high, low])), 5);
    }
    if let [b'x', a, b, ..] = escape
        && let Some(byte) = byte_of(*a, *b)
    {
        return (byte, 3);
    }
    if let Some((value, used)) = octal(escape) {
        // Three digits only when they fit a byte.
        return u8::try_from(value).map_or_else(|_| ((value >> 3) as u8, 2), |byte| (byte, used));
    }
    let letter = escape.first().copied().unwrap_or(b'\\');
    (control(letter).unwrap_or(letter), 1)
}

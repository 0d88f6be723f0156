//! unicodeEscapeDecode, which is ours: `\uHHHH` and `\u{H…}`, as JSON and most languages write characters in ASCII, become
//! UTF-8; two halves of a pair become one character, and a full-width form of ASCII becomes that. Other escapes stay: a
//! backslash alone is text, a path or a pattern.

use memchr::memchr;

use super::nibble;

/// Digits between braces; there may be any number of zeros before those that count.
const LONGEST: usize = 256;

pub(super) fn decode(input: &[u8], out: &mut Vec<u8>) -> bool {
    let mut rest = input;
    let mut changed = false;
    while let Some(at) = memchr(b'\\', rest) {
        let (before, after) = rest.split_at(at);
        out.extend_from_slice(before);
        let (character, used) = match escaped(after) {
            Some((code, used)) => (char::from_u32(code), used),
            None => (None, 1),
        };
        let (taken, left) = after.split_at_checked(used).unwrap_or((after, &[]));
        match character {
            Some(character) => {
                out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
                changed = true;
            }
            None => out.extend_from_slice(taken),
        }
        rest = left;
    }
    out.extend_from_slice(rest);
    changed
}

/// The code point that an escape at the start of `text` names, and its length.
fn escaped(text: &[u8]) -> Option<(u32, usize)> {
    if let Some(braced) = text.strip_prefix(b"\\u{") {
        let length = braced.iter().take(LONGEST).position(|b| *b == b'}')?;
        return Some((number(braced.get(..length)?)?, length + 4));
    }
    let first = unit(text)?;
    if (0xd800..0xdc00).contains(&first)
        && let Some(second) = text.get(6..).and_then(unit)
        && (0xdc00..0xe000).contains(&second)
    {
        return Some((0x1_0000 + ((first - 0xd800) << 10) + (second - 0xdc00), 12));
    }
    Some((first, 6))
}

/// `\uHHHH`
fn unit(text: &[u8]) -> Option<u32> {
    match text {
        [b'\\', b'u', a, b, c, d, ..] => number(&[*a, *b, *c, *d]),
        _ => None,
    }
}

fn number(digits: &[u8]) -> Option<u32> {
    if digits.is_empty() {
        return None;
    }
    let code = digits.iter().try_fold(0_u32, |number, digit| {
        number
            .checked_mul(16)?
            .checked_add(u32::from(nibble(*digit)?))
    })?;
    Some(match code {
        0xff01..=0xff5e => code - 0xfee0,
        _ => code,
    })
}

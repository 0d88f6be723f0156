//! cssDecode: a backslash and one to six hexadecimal digits, CSS 2 syntax.

use memchr::memchr;

use super::{is_space, low_byte, nibble};

pub(super) fn decode(input: &[u8], out: &mut Vec<u8>) -> bool {
    let mut rest = input;
    while let Some(at) = memchr(b'\\', rest) {
        let (before, after) = rest.split_at(at);
        let escape = after.get(1..).unwrap_or_default();
        out.extend_from_slice(before);
        rest = unescape(escape, out);
    }
    if rest.len() == input.len() {
        return false;
    }
    out.extend_from_slice(rest);
    true
}

/// Decodes what follows a backslash and returns the rest. Nothing after it, or a newline: both vanish.
fn unescape<'a>(escape: &'a [u8], out: &mut Vec<u8>) -> &'a [u8] {
    let digits = escape.iter().take(6).map_while(|b| nibble(*b));
    let (code, count) = digits.fold((0_u32, 0_usize), |(code, n), d| {
        (code << 4 | u32::from(d), n + 1)
    });
    if count > 0 {
        out.push(byte(code, count));
        let after = escape.get(count..).unwrap_or_default();
        // One white space ends the escape and belongs to it.
        return match after {
            [space, tail @ ..] if is_space(*space) => tail,
            _ => after,
        };
    }
    match escape {
        [b'\n', tail @ ..] => tail,
        [plain, tail @ ..] => {
            out.push(*plain);
            tail
        }
        [] => escape,
    }
}

/// The low byte; four digits and more are folded from full width when the code is within U+FFFF.
fn byte(code: u32, digits: usize) -> u8 {
    match u16::try_from(code) {
        Ok(code) if digits >= 4 => low_byte(code),
        _ => code.to_le_bytes()[0],
    }
}

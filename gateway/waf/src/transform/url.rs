//! urlDecode, urlDecodeUni, urlEncode. What is not a valid escape stays as it is and costs nothing.

use memchr::memchr2;

use super::hex;
use super::unicode::best_fit;
use super::{byte_of, nibble};

pub(super) fn decode(input: &[u8], out: &mut Vec<u8>) -> bool {
    unescape(input, out, percent)
}

/// Knows `%uXXXX` too, which IIS and the page's own `escape()` write.
pub(super) fn decode_uni(input: &[u8], out: &mut Vec<u8>) -> bool {
    unescape(input, out, |after| {
        percent_u(after).or_else(|| percent(after))
    })
}

/// `escape` sees what follows a percent sign and answers the byte and how much it used.
fn unescape(
    input: &[u8],
    out: &mut Vec<u8>,
    escape: impl Fn(&[u8]) -> Option<(u8, usize)>,
) -> bool {
    let mut rest = input;
    let mut changed = false;
    while let Some(at) = memchr2(b'%', b'+', rest) {
        let (before, after) = rest.split_at(at);
        let [sign, tail @ ..] = after else { break };
        let found = if *sign == b'+' {
            Some((b' ', 0))
        } else {
            escape(tail)
        };
        out.extend_from_slice(before);
        let (byte, used) = found.unwrap_or((b'%', 0));
        out.push(byte);
        changed |= found.is_some();
        rest = tail.get(used..).unwrap_or_default();
    }
    if changed {
        out.extend_from_slice(rest);
    }
    changed
}

fn percent(after: &[u8]) -> Option<(u8, usize)> {
    let [high, low, ..] = after else { return None };
    Some((byte_of(*high, *low)?, 2))
}

fn percent_u(after: &[u8]) -> Option<(u8, usize)> {
    let [b'u' | b'U', digits @ ..] = after else {
        return None;
    };
    let digits: &[u8; 4] = digits.first_chunk()?;
    let code = digits
        .iter()
        .try_fold(0_u16, |code, d| Some(code << 4 | u16::from(nibble(*d)?)))?;
    Some((best_fit(code), 5))
}

pub(super) fn encode(input: &[u8], out: &mut Vec<u8>) -> bool {
    for byte in input {
        match byte {
            b' ' => out.push(b'+'),
            b'*' | b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' => out.push(*byte),
            _ => {
                out.push(b'%');
                out.extend(hex::digits(*byte));
            }
        }
    }
    out != input
}

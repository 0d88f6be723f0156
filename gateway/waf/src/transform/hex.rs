//! hexEncode, hexDecode and sqlHexDecode.

use memchr::memchr2;

use super::byte_of;

const DIGITS: &[u8; 16] = b"0123456789abcdef";

/// The two lower-case digits of a byte.
pub(super) fn digits(byte: u8) -> [u8; 2] {
    [byte >> 4, byte & 0x0f].map(|n| DIGITS.get(usize::from(n)).copied().unwrap_or(b'0'))
}

pub(super) fn encode(input: &[u8], out: &mut Vec<u8>) -> bool {
    out.extend(input.iter().flat_map(|b| digits(*b)));
    !input.is_empty()
}

/// Takes any two bytes as digits, as ModSecurity does; an odd last byte is dropped.
pub(super) fn decode(input: &[u8], out: &mut Vec<u8>) -> bool {
    let (pairs, _) = input.as_chunks::<2>();
    out.extend(
        pairs
            .iter()
            .map(|[high, low]| digit(*high).wrapping_mul(16).wrapping_add(digit(*low))),
    );
    !input.is_empty()
}

const fn digit(byte: u8) -> u8 {
    if byte >= b'A' {
        (byte & 0xdf).wrapping_sub(b'A').wrapping_add(10)
    } else {
        byte.wrapping_sub(b'0')
    }
}

/// `0x414243` in the middle of a value becomes `ABC`: how MySQL writes a string without quotes.
pub(super) fn decode_sql(input: &[u8], out: &mut Vec<u8>) -> bool {
    let mut rest = input;
    let mut changed = false;
    while let Some(at) = memchr2(b'x', b'X', rest) {
        let (before, after) = rest.split_at(at);
        let [_, digits @ ..] = after else { break };
        let used = match before {
            [kept @ .., b'0'] => literal(kept, digits, out),
            _ => 0,
        };
        if used == 0 {
            out.extend_from_slice(before);
            out.extend(after.first());
        }
        changed |= used > 0;
        rest = digits.get(used..).unwrap_or_default();
    }
    if changed {
        out.extend_from_slice(rest);
    }
    changed
}

/// Writes `kept` and the bytes of a literal whose digits follow; how many digits it took, 0 when it is none.
fn literal(kept: &[u8], digits: &[u8], out: &mut Vec<u8>) -> usize {
    let (pairs, _) = digits.as_chunks::<2>();
    let mut bytes = pairs.iter().map_while(|[high, low]| byte_of(*high, *low));
    let Some(first) = bytes.next() else { return 0 };
    out.extend_from_slice(kept);
    let start = out.len();
    out.push(first);
    out.extend(bytes);
    (out.len() - start) * 2
}

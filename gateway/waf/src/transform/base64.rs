//! base64Decode, base64DecodeExt, base64Encode. Written out because no base64 crate decodes as far as the value goes.

/// Stops at the first byte outside the alphabet and keeps what it has; line breaks and blanks are skipped, an
/// incomplete last group gives the bytes it holds. ModSecurity 3 on mbedTLS gives nothing at all for a value with one
/// bad byte, which an attacker can add at will.
pub(super) fn decode(input: &[u8], out: &mut Vec<u8>) -> bool {
    let mut read = 0;
    for group in input.as_chunks::<4>().0 {
        let Some(bytes) = three(*group) else { break };
        out.extend_from_slice(&bytes);
        read += group.len();
    }
    let skipped = |b: &u8| !matches!(b, b'\r' | b'\n' | b' ');
    let rest = input.get(read..).unwrap_or_default().iter();
    sextets(rest.filter(|b| skipped(b)).map_while(|b| value(*b)), out);
    out != input
}

/// What four digits of the standard alphabet stand for.
fn three(group: [u8; 4]) -> Option<[u8; 3]> {
    let digit = |byte: u8| VALUES.get(usize::from(byte)).copied().unwrap_or(NO_DIGIT);
    let [a, b, c, d] = group.map(digit);
    if (a | b | c | d) & 0x80 != 0 {
        return None;
    }
    let bits = [a, b, c, d]
        .iter()
        .fold(0, |bits, six| bits << 6 | u32::from(*six));
    let [_, x, y, z] = bits.to_be_bytes();
    Some([x, y, z])
}

/// In `VALUES`, of a byte that is no digit: no six bits have its highest bit.
const NO_DIGIT: u8 = 0xFF;

/// By byte.
static VALUES: [u8; 256] = {
    let mut values = [NO_DIGIT; 256];
    let mut rest: &mut [u8] = &mut values;
    let mut byte = 0_u8;
    while let [first, tail @ ..] = rest {
        if let Some(six) = value(byte) {
            *first = six;
        }
        byte = byte.wrapping_add(1);
        rest = tail;
    }
    values
};

/// Skips every byte outside the alphabet, and reads base64url's `-` and `_` too.
pub(super) fn decode_ext(input: &[u8], out: &mut Vec<u8>) -> bool {
    let value = |b: &u8| match b {
        b'-' => Some(62),
        b'_' => Some(63),
        _ => value(*b),
    };
    sextets(input.iter().filter_map(value), out);
    out != input
}

fn sextets(values: impl Iterator<Item = u8>, out: &mut Vec<u8>) {
    let (mut held, mut bits) = (0_u32, 0_u32);
    for six in values {
        held = held << 6 | u32::from(six);
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            out.push((held >> bits).to_le_bytes()[0]);
        }
    }
}

/// The six bits of a digit of the standard alphabet.
pub(super) const fn value(byte: u8) -> Option<u8> {
    Some(match byte {
        b'A'..=b'Z' => byte - b'A',
        b'a'..=b'z' => byte - b'a' + 26,
        b'0'..=b'9' => byte - b'0' + 52,
        b'+' => 62,
        b'/' => 63,
        _ => return None,
    })
}

pub(super) fn encode(input: &[u8], out: &mut Vec<u8>) -> bool {
    for group in input.chunks(3) {
        let bits = group
            .iter()
            .chain([0; 3].iter())
            .take(3)
            .fold(0_u32, |bits, b| bits << 8 | u32::from(*b));
        let digits = group.len() + 1;
        out.extend((0..4).map(|at| {
            if at < digits {
                digit(bits >> (18 - 6 * at))
            } else {
                b'='
            }
        }));
    }
    !input.is_empty()
}

const fn digit(bits: u32) -> u8 {
    let six = bits.to_le_bytes()[0] & 0x3f;
    match six {
        0..=25 => b'A' + six,
        26..=51 => b'a' + (six - 26),
        52..=61 => b'0' + (six - 52),
        62 => b'+',
        _ => b'/',
    }
}

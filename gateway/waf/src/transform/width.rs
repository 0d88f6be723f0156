//! foldWidth, which is ours: the look-alikes of ASCII that decoders, databases and resolvers fold to it (Unicode's
//! compatibility forms, NFKC) become ASCII: ｆｕｌｌ ｗｉｄｔｈ, small forms, ⓒⓘⓡⓒⓛⓔⓓ and mathematical letters, division slashes and
//! leader dots. Applications that normalise text after a filter has read it read the attack, the filter does not.
//!
//! Characters of ordinary Chinese, Japanese and Korean text are among them: rules that fold ask for more than
//! punctuation.

use super::from_first;

pub(super) fn fold(input: &[u8], out: &mut Vec<u8>) -> bool {
    // All of them begin with one of these.
    let Some(mut rest) = from_first(input, out, |byte| matches!(byte, 0xca | 0xe2..=0xef | 0xf0))
    else {
        return false;
    };
    let mut changed = false;
    while let Some((&first, after)) = rest.split_first() {
        let folded = (first >= 0x80).then(|| look_alike(rest)).flatten();
        if let Some((byte, length)) = folded {
            out.push(byte);
            changed = true;
            rest = rest.get(length..).unwrap_or_default();
        } else {
            out.push(first);
            rest = after;
        }
    }
    changed
}

/// The ASCII character that the first character of `bytes` folds to, and how many bytes that one takes.
fn look_alike(bytes: &[u8]) -> Option<(u8, usize)> {
    let (code, length) = match *bytes {
        [a @ 0xc2..=0xdf, b, ..] => (bits(&[a & 0x1f, b & 0x3f]), 2),
        [a @ 0xe0..=0xef, b, c, ..] => (bits(&[a & 0x0f, b & 0x3f, c & 0x3f]), 3),
        [a @ 0xf0..=0xf4, b, c, d, ..] => (bits(&[a & 0x07, b & 0x3f, c & 0x3f, d & 0x3f]), 4),
        _ => return None,
    };
    let continued = bytes.get(1..length)?.iter().all(|b| b & 0xc0 == 0x80);
    let byte = continued.then(|| ascii(code)).flatten()?;
    Some((byte, length))
}

fn bits(groups: &[u8]) -> u32 {
    groups
        .iter()
        .fold(0, |code, six| code << 6 | u32::from(*six))
}

fn ascii(code: u32) -> Option<u8> {
    let offset = |from: u32, to: u8| u8::try_from(code - from).ok().map(|step| to + step);
    match code {
        0xff01..=0xff5e => offset(0xff01, b'!'),
        0x3000 => Some(b' '),
        0x02bc | 0x2032 => Some(b'\''),
        0x2024 | 0xfe52 => Some(b'.'),
        0x2044 | 0x2215 | 0x29f8 => Some(b'/'),
        0x2216 | 0xfe68 | 0x29f5 => Some(b'\\'),
        0xfe64 => Some(b'<'),
        0xfe65 => Some(b'>'),
        0xfe66 => Some(b'='),
        0x2460..=0x2468 => offset(0x2460, b'1'),
        0x24ea => Some(b'0'),
        0x24b6..=0x24cf => offset(0x24b6, b'A'),
        0x24d0..=0x24e9 => offset(0x24d0, b'a'),
        // Thirteen alphabets of 52 letters, then digits. Dotless and Greek letters lie between and stay.
        0x1d400..=0x1d6a3 => {
            let letter = u8::try_from((code - 0x1d400) % 52).ok()?;
            Some(if letter < 26 {
                b'A' + letter
            } else {
                b'a' + letter - 26
            })
        }
        0x1d7ce..=0x1d7ff => Some(b'0' + u8::try_from((code - 0x1d7ce) % 10).ok()?),
        _ => None,
    }
}

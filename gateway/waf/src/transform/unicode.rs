//! utf8toUnicode, and the best-fit table by which `%uXXXX` becomes one byte.

use std::io::Write;

use super::low_byte;

/// UTF-8 beyond ASCII becomes `%uxxxx`. A lead byte without its continuation vanishes, a stray continuation stays, an
/// overlong form or a surrogate is followed by its first byte: all as ModSecurity, whose rules look for the remains.
pub(super) fn encode(input: &[u8], out: &mut Vec<u8>) -> bool {
    let Some(mut rest) = super::from_first(input, out, |b| b >= 0x80 || b == 0) else {
        return false;
    };
    while let [first, tail @ ..] = rest {
        rest = match first {
            0 if !tail.is_empty() => tail,
            0..=0x7f | 0x80..=0xbf | 0xf8.. => {
                out.push(*first);
                tail
            }
            0xc0..=0xdf => sequence::<1>(*first & 0x1f, *first, tail, out),
            0xe0..=0xef => sequence::<2>(*first & 0x0f, *first, tail, out),
            0xf0..=0xf7 => {
                if *first >= 0xf5 {
                    out.push(*first);
                }
                sequence::<3>(*first & 0x07, *first, tail, out)
            }
        };
    }
    out != input
}

/// Decodes a sequence with `N` continuation bytes and returns what follows it.
fn sequence<'a, const N: usize>(
    start: u8,
    lead: u8,
    tail: &'a [u8],
    out: &mut Vec<u8>,
) -> &'a [u8] {
    let Some((following, after)) = tail.split_first_chunk::<N>() else {
        return tail;
    };
    if following.iter().any(|b| b & 0xc0 != 0x80) {
        return tail;
    }
    let code = following
        .iter()
        .fold(u32::from(start), |code, b| code << 6 | u32::from(b & 0x3f));
    // Writing to a Vec cannot fail.
    let _ = write!(out, "%u{code:04x}");
    let overlong = code < [0x80, 0x800, 0x1_0000].get(N - 1).copied().unwrap_or(0);
    if overlong || (0xd800..=0xdfff).contains(&code) {
        out.push(lead);
    }
    after
}

/// Best-fit bytes of U+00A0–U+00FF and U+0100–U+017F in code page 20127 (US-ASCII); a dot where there is none.
const LATIN: &[u8; 224] = b" !c.$Y|..Ca<.-R...23....,1o>....\
AAAAAAACEEEEIIIIDNOOOOO.OUUUUY..aaaaaaaceeeeiiii.nooooo.ouuuuy.y\
AaAaAaCcCcCcCcDdDdEeEeEeEeEeGgGgGgGgHhHhIiIiIiIiIi..JjKk.LlLlLl..LlNnNnNn...OoOoOoOoRrRrRrSsSsSsSsTtTtTtUuUuUuUuUuUuWwYyYZ.ZzZz.";

/// The byte that a US-ASCII application makes of a code point: Windows' best fit first, else as `low_byte`.
pub(super) fn best_fit(code: u16) -> u8 {
    let latin = || {
        code.checked_sub(0xa0)
            .and_then(|at| LATIN.get(usize::from(at)).copied())
    };
    match code {
        0xb7 => b'.',
        0xa0..=0x17f => latin()
            .filter(|b| *b != b'.')
            .unwrap_or_else(|| low_byte(code)),
        0x180..=0x261 => latin_extended(code).unwrap_or_else(|| low_byte(code)),
        _ => punctuation(code).unwrap_or_else(|| low_byte(code)),
    }
}

const fn latin_extended(code: u16) -> Option<u8> {
    Some(match code {
        0x180 => b'b',
        0x189 => b'D',
        0x191 => b'F',
        0x192 => b'f',
        0x197 | 0x1cf => b'I',
        0x1d0 => b'i',
        0x19a => b'l',
        0x19f | 0x1a0 | 0x1d1 | 0x1ea | 0x1ec => b'O',
        0x1a1 | 0x1d2 | 0x1eb | 0x1ed => b'o',
        0x1ab => b't',
        0x1ae => b'T',
        0x1af | 0x1d3 | 0x1d5 | 0x1d7 | 0x1d9 | 0x1db => b'U',
        0x1b0 | 0x1d4 | 0x1d6 | 0x1d8 | 0x1da | 0x1dc => b'u',
        0x1b6 => b'z',
        0x1cd | 0x1de => b'A',
        0x1ce | 0x1df => b'a',
        0x1e4 | 0x1e6 => b'G',
        0x1e5 | 0x1e7 | 0x261 => b'g',
        0x1e8 => b'K',
        0x1e9 => b'k',
        0x1f0 => b'j',
        _ => return None,
    })
}

/// Quotes, dashes, spaces and angle brackets: the ones that attacks use.
const fn punctuation(code: u16) -> Option<u8> {
    Some(match code {
        0x2b9 | 0x2bc | 0x2c8 | 0x2018 | 0x2019 | 0x2032 => b'\'',
        0x2ba | 0x30e | 0x201c..=0x201e => b'"',
        0x2c4 | 0x2c6 | 0x302 => b'^',
        0x2cb | 0x300 | 0x2035 => b'`',
        0x2cd | 0x331 | 0x332 => b'_',
        0x2dc | 0x303 => b'~',
        0x2000..=0x2006 => b' ',
        0x2010 | 0x2011 | 0x2013 | 0x2014 => b'-',
        0x201a => b',',
        0x2022 | 0x2026 => b'.',
        0x2039 => b'<',
        0x203a => b'>',
        0x2122 => b'T',
        _ => return None,
    })
}

//! removeWhitespace and compressWhitespace.

use super::{from_first, is_space};

/// Also drops 0xA0 and 0xC2, the bytes of a no-break space, wherever they stand. That is what ModSecurity does, and it
/// damages other UTF-8 text, so our own rules prefer `compress`.
pub(super) fn remove(input: &[u8], out: &mut Vec<u8>) -> bool {
    let gone = |b: u8| is_space(b) || b == 0xa0 || b == 0xc2;
    let Some(rest) = from_first(input, out, gone) else {
        return false;
    };
    out.extend(rest.iter().filter(|b| !gone(**b)));
    true
}

pub(super) fn compress(input: &[u8], out: &mut Vec<u8>) -> bool {
    let Some(rest) = from_first(input, out, is_space) else {
        return false;
    };
    let mut inside = false;
    for byte in rest {
        let space = is_space(*byte);
        match (space, inside) {
            (true, true) => {}
            (true, false) => out.push(b' '),
            (false, _) => out.push(*byte),
        }
        inside = space;
    }
    out != input
}

//! replaceComments, removeComments, removeCommentsChar: what stands between `/*` and `*/`, HTML comments, `--`, `#`.

use memchr::{memchr3, memmem};

use super::from_first;

/// Each `/* … */` becomes one space, an unfinished one too. `*/` alone stays.
pub(super) fn replace(input: &[u8], out: &mut Vec<u8>) -> bool {
    let mut rest = input;
    while let Some(at) = memmem::find(rest, b"/*") {
        let (before, comment) = rest.split_at(at);
        out.extend_from_slice(before);
        out.push(b' ');
        let inside = comment.get(2..).unwrap_or_default();
        let end = memmem::find(inside, b"*/").map_or(inside.len(), |end| end + 2);
        rest = inside.get(end..).unwrap_or_default();
    }
    if rest.len() == input.len() {
        return false;
    }
    out.extend_from_slice(rest);
    true
}

/// Comments vanish; `--` and `#` cut the rest off. The byte after a closing mark is copied without a look, even past
/// the end, where ModSecurity copies its terminator: rules written for it expect that NUL.
pub(super) fn remove(input: &[u8], out: &mut Vec<u8>) -> bool {
    if memchr3(b'/', b'-', b'#', input).is_none() {
        return false;
    }
    let mut rest = input;
    let mut inside = false;
    loop {
        rest = match (inside, rest) {
            (false, [b'/', b'*', tail @ ..] | [b'<', b'!', b'-', b'-', tail @ ..]) => {
                inside = true;
                tail
            }
            (true, [b'*', b'/', tail @ ..] | [b'-', b'-', b'>', tail @ ..]) => {
                inside = false;
                out.push(tail.first().copied().unwrap_or(0));
                tail.get(1..).unwrap_or_default()
            }
            (false, [b'-', b'-', ..] | [b'#', ..]) | (_, []) => break,
            (true, [_, tail @ ..]) => tail,
            (false, [byte, tail @ ..]) => {
                out.push(*byte);
                tail
            }
        };
    }
    if inside {
        out.push(b' ');
    }
    out != input
}

/// Only the marks vanish; what stands between them stays.
pub(super) fn remove_marks(input: &[u8], out: &mut Vec<u8>) -> bool {
    let mark = |b: u8| matches!(b, b'/' | b'*' | b'<' | b'-' | b'#');
    let Some(mut rest) = from_first(input, out, mark) else {
        return false;
    };
    loop {
        rest = match rest {
            [b'<', b'!', b'-', b'-', tail @ ..]
            | [b'-', b'-', b'>', tail @ ..]
            | [b'/', b'*', tail @ ..]
            | [b'*', b'/', tail @ ..]
            | [b'-', b'-', tail @ ..]
            | [b'#', tail @ ..] => tail,
            [byte, tail @ ..] => {
                out.push(*byte);
                tail
            }
            [] => break,
        };
    }
    out.len() != input.len()
}

//! cmdLine: what a shell ignores goes, so that `c^at   /etc` and `"cat" /etc` are the same.

use super::from_first;

pub(super) fn apply(input: &[u8], out: &mut Vec<u8>) -> bool {
    let matters =
        |b: u8| b.is_ascii_uppercase() || matches!(b, b'"' | b'\'' | b'\\' | b'^') || blank(b);
    let Some(rest) = from_first(input, out, matters) else {
        return false;
    };
    let mut after_blank = false;
    for byte in rest {
        match byte {
            // Left out without an end to a run of blanks.
            b'"' | b'\'' | b'\\' | b'^' => continue,
            b if blank(*b) => {
                if !after_blank {
                    out.push(b' ');
                }
                after_blank = true;
                continue;
            }
            // No blank before a slash or a bracket.
            b'/' | b'(' if after_blank => {
                out.pop();
                out.push(*byte);
            }
            _ => out.push(byte.to_ascii_lowercase()),
        }
        after_blank = false;
    }
    out != input
}

const fn blank(byte: u8) -> bool {
    matches!(byte, b' ' | b',' | b';' | b'\t' | b'\r' | b'\n')
}

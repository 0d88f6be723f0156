//! lowercase and uppercase, ASCII only as in ModSecurity: UTF-8 text keeps its other letters.

pub(super) fn lower(input: &[u8], out: &mut Vec<u8>) -> bool {
    if !any(input, |b| b.is_ascii_uppercase()) {
        return false;
    }
    out.extend_from_slice(input);
    out.make_ascii_lowercase();
    true
}

pub(super) fn upper(input: &[u8], out: &mut Vec<u8>) -> bool {
    if !any(input, |b| b.is_ascii_lowercase()) {
        return false;
    }
    out.extend_from_slice(input);
    out.make_ascii_uppercase();
    true
}

/// Without an early exit inside a block the compiler can use vector instructions.
fn any(input: &[u8], hit: impl Fn(u8) -> bool) -> bool {
    input
        .chunks(64)
        .any(|block| block.iter().fold(false, |found, b| found | hit(*b)))
}

//! trim, trimLeft, trimRight: C's white space at the ends.

use super::is_space;

pub(super) fn both(input: &[u8], out: &mut Vec<u8>) -> bool {
    keep(input, head(tail(input)), out)
}

pub(super) fn left(input: &[u8], out: &mut Vec<u8>) -> bool {
    keep(input, head(input), out)
}

pub(super) fn right(input: &[u8], out: &mut Vec<u8>) -> bool {
    keep(input, tail(input), out)
}

fn keep(input: &[u8], kept: &[u8], out: &mut Vec<u8>) -> bool {
    if kept.len() == input.len() {
        return false;
    }
    out.extend_from_slice(kept);
    true
}

fn head(mut value: &[u8]) -> &[u8] {
    while let [first, rest @ ..] = value
        && is_space(*first)
    {
        value = rest;
    }
    value
}

fn tail(mut value: &[u8]) -> &[u8] {
    while let [rest @ .., last] = value
        && is_space(*last)
    {
        value = rest;
    }
    value
}

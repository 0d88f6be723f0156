//! removeNulls and replaceNulls.

use memchr::memchr;

pub(super) fn remove(input: &[u8], out: &mut Vec<u8>) -> bool {
    if memchr(0, input).is_none() {
        return false;
    }
    out.extend(input.iter().filter(|b| **b != 0));
    true
}

pub(super) fn replace(input: &[u8], out: &mut Vec<u8>) -> bool {
    if memchr(0, input).is_none() {
        return false;
    }
    out.extend(input.iter().map(|b| if *b == 0 { b' ' } else { *b }));
    true
}

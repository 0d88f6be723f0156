//! application/x-www-form-urlencoded: each name and value decoded once.

use memchr::memchr_iter;

use super::{Counted, Flaw, Scratch, Sink, Stop};
use crate::pairs;

pub(super) fn parse(
    scratch: &mut Scratch,
    bytes: &[u8],
    out: &mut Counted<'_, impl Sink>,
) -> Result<(), Stop> {
    if memchr_iter(b'%', bytes).any(|at| !escaped(bytes, at)) {
        out.flaw(Flaw::BadEscape)?;
    }
    // Unset: the usual one.
    let separator = match scratch.separator {
        0 => b'&',
        other => other,
    };
    for pair in pairs::split(bytes, separator) {
        let name = pairs::decode(pair.name, &mut scratch.name);
        let value = pairs::decode(pair.value, &mut scratch.value);
        out.pair(name, value, pair.value)?;
    }
    Ok(())
}

fn escaped(bytes: &[u8], at: usize) -> bool {
    bytes
        .get(at + 1..at + 3)
        .is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
}

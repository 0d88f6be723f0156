//! htmlEntityDecode: numeric entities with or without a semicolon, and quot, amp, lt, gt, nbsp.

use memchr::memchr;

/// A named entity is known by its beginning (`&ltx;` is `<`), and numbers may have any length: leading zeroes once hid
/// a character from ModSecurity (CVE-2025-27110). Only the low byte of a code point is kept.
pub(super) fn decode(input: &[u8], out: &mut Vec<u8>) -> bool {
    let mut rest = input;
    let mut changed = false;
    while let Some(at) = memchr(b'&', rest) {
        let (before, after) = rest.split_at(at);
        let entity = after.get(1..).unwrap_or_default();
        out.extend_from_slice(before);
        rest = match entity_of(entity) {
            Some((byte, used)) => {
                changed = true;
                out.push(byte);
                let after = entity.get(used..).unwrap_or_default();
                after.strip_prefix(b";").unwrap_or(after)
            }
            None => {
                out.push(b'&');
                entity
            }
        };
    }
    if changed {
        out.extend_from_slice(rest);
    }
    changed
}

/// The byte that an entity stands for and its length without ampersand and semicolon.
fn entity_of(entity: &[u8]) -> Option<(u8, usize)> {
    match entity {
        [b'#', b'x' | b'X', digits @ ..] => number(digits, 16).map(|(byte, used)| (byte, used + 2)),
        [b'#', digits @ ..] => number(digits, 10).map(|(byte, used)| (byte, used + 1)),
        _ => named(entity),
    }
}

fn number(digits: &[u8], radix: u32) -> Option<(u8, usize)> {
    let run = digits.iter().map_while(|b| char::from(*b).to_digit(radix));
    let (value, count) = run.fold((0_u64, 0), |(value, n), d| {
        (
            value.saturating_mul(radix.into()).saturating_add(d.into()),
            n + 1,
        )
    });
    (count > 0).then_some((value.to_le_bytes()[0], count))
}

fn named(entity: &[u8]) -> Option<(u8, usize)> {
    const KNOWN: [(&[u8], u8); 5] = [
        (b"quot", b'"'),
        (b"amp", b'&'),
        (b"lt", b'<'),
        (b"gt", b'>'),
        (b"nbsp", 0xa0),
    ];
    let starts = |name: &[u8]| {
        entity
            .get(..name.len())
            .is_some_and(|head| head.eq_ignore_ascii_case(name))
    };
    let (_, byte) = KNOWN.iter().find(|(name, _)| starts(name))?;
    let run = entity
        .iter()
        .take_while(|b| b.is_ascii_alphanumeric())
        .count();
    Some((*byte, run))
}

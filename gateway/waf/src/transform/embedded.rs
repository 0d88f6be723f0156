//! base64Embedded, which is ours: finds base64 inside of a value, so that a rule sees `{"id":"' or 1=1"}` where
//! `{"id":"JyBvciAxPTE="}` was sent. A run counts only when all of it decodes to text. Words and identifiers do not:
//! eight letters do once in some four hundred times, and what comes out is no attack. Base64 of text has capital
//! letters wherever a byte below `h` starts a group of three; a run without any is left alone.

use super::base64::value;

/// Shorter runs are words, and no attack fits in five bytes.
const SHORTEST: usize = 8;

pub(super) fn decode(input: &[u8], out: &mut Vec<u8>) -> bool {
    let mut copied = 0;
    let mut at = 0;
    let mut changed = false;
    while let Some(rest) = input.get(at..).filter(|rest| !rest.is_empty()) {
        let length = rest.iter().take_while(|b| digit(**b).is_some()).count();
        let (run, after) = rest.split_at(length);
        if length < SHORTEST || !run.iter().any(u8::is_ascii_uppercase) {
            at += length + 1;
            continue;
        }
        let padding = after.iter().take(2).take_while(|b| **b == b'=').count();
        let before = out.len();
        out.extend_from_slice(input.get(copied..at).unwrap_or_default());
        if text(run, out) || segments(run, out) {
            changed = true;
            copied = at + length + padding;
        } else {
            out.truncate(before);
        }
        at += length + padding;
    }
    if changed {
        out.extend_from_slice(input.get(copied..).unwrap_or_default());
    }
    changed
}

/// A path: base64 has the slash as a digit, so segments are tried one by one. Writes all of them if any decodes.
fn segments(run: &[u8], out: &mut Vec<u8>) -> bool {
    if !run.contains(&b'/') {
        return false;
    }
    let before = out.len();
    let mut changed = false;
    for (at, segment) in run.split(|b| *b == b'/').enumerate() {
        if at > 0 {
            out.push(b'/');
        }
        if segment.len() >= SHORTEST && text(segment, out) {
            changed = true;
        } else {
            out.extend_from_slice(segment);
        }
    }
    if !changed {
        out.truncate(before);
    }
    changed
}

/// Appends what `run` decodes to if that is text; leaves `out` as it was otherwise. Gives up at the first control byte.
fn text(run: &[u8], out: &mut Vec<u8>) -> bool {
    let before = out.len();
    let (mut held, mut bits) = (0_u32, 0_u32);
    for six in run.iter().filter_map(|b| digit(*b)) {
        held = held << 6 | u32::from(six);
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            let byte = (held >> bits).to_le_bytes()[0];
            if byte == 0x7f || (byte < b' ' && !matches!(byte, b'\t' | b'\r' | b'\n')) {
                out.truncate(before);
                return false;
            }
            out.push(byte);
        }
    }
    let decoded = out.get(before..).unwrap_or_default();
    let good = run.len() % 4 != 1 && std::str::from_utf8(decoded).is_ok();
    if !good {
        out.truncate(before);
    }
    good
}

const fn digit(byte: u8) -> Option<u8> {
    match byte {
        b'-' => Some(62),
        b'_' => Some(63),
        _ => value(byte),
    }
}

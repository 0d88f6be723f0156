//! length (decimal digits) and sha1 (twenty raw bytes; rules hex-encode it themselves). Not for secrets: CRS only
//! derives collection keys from it.

use std::io::Write;

use sha1::{Digest, Sha1};

pub(super) fn length(input: &[u8], out: &mut Vec<u8>) -> bool {
    // Writing to a Vec cannot fail.
    let _ = write!(out, "{}", input.len());
    out != input
}

pub(super) fn sha1(input: &[u8], out: &mut Vec<u8>) -> bool {
    out.extend_from_slice(&Sha1::digest(input));
    out != input
}

//! length (decimal digits), md5 and sha1 (raw bytes; rules hex-encode them themselves). Not for secrets: rules only
//! derive collection keys from them.

use std::io::Write;

use md5::Md5;
use sha1::{Digest, Sha1};

pub(super) fn length(input: &[u8], out: &mut Vec<u8>) -> bool {
    // Writing to a Vec cannot fail.
    let _ = write!(out, "{}", input.len());
    out != input
}

pub(super) fn md5(input: &[u8], out: &mut Vec<u8>) -> bool {
    out.extend_from_slice(&Md5::digest(input));
    out != input
}

pub(super) fn sha1(input: &[u8], out: &mut Vec<u8>) -> bool {
    out.extend_from_slice(&Sha1::digest(input));
    out != input
}

//! Where the body ends: Content-Length and Transfer-Encoding in the one form that nobody reads differently.

use http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};
use http::{HeaderValue, Version};

use super::{Head, Refusal, refuse};
use crate::decision::Reason;
use crate::request::Framing;

/// The announced body.
pub(super) fn framing(head: &Head<'_>) -> Result<Framing, Refusal> {
    let length = content_length(head)?;
    let chunked = transfer_encoding(head)?;
    match (length, chunked) {
        (Some(_), true) => refuse(Reason::Smuggling, "Content-Length beside Transfer-Encoding"),
        (Some(length), false) => Ok(Framing::Length(length)),
        (None, true) => Ok(Framing::Unknown),
        // Without a length an HTTP/2 stream may go on; whether it does, only the stream knows.
        (None, false) if head.version >= Version::HTTP_2 => Ok(Framing::Unknown),
        (None, false) => Ok(Framing::None),
    }
}

fn content_length(head: &Head<'_>) -> Result<Option<u64>, Refusal> {
    let mut values = head.headers.get_all(CONTENT_LENGTH).iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    if values.next().is_some() {
        return refuse(Reason::Smuggling, "repeated Content-Length");
    }
    match digits(value) {
        Some(length) => Ok(Some(length)),
        None => refuse(Reason::Smuggling, "Content-Length is not a plain number"),
    }
}

/// Digits alone: no sign, no list, no hexadecimal, no leading zero, and within 2^63.
fn digits(value: &HeaderValue) -> Option<u64> {
    let digits = value.as_bytes();
    let plain = match digits {
        b"0" => true,
        [b'1'..=b'9', rest @ ..] => rest.len() < 19 && rest.iter().all(u8::is_ascii_digit),
        _ => false,
    };
    if !plain {
        return None;
    }
    let length: u64 = std::str::from_utf8(digits).ok()?.parse().ok()?;
    i64::try_from(length).ok().map(i64::unsigned_abs)
}

fn transfer_encoding(head: &Head<'_>) -> Result<bool, Refusal> {
    let mut values = head.headers.get_all(TRANSFER_ENCODING).iter();
    let Some(value) = values.next() else {
        return Ok(false);
    };
    if head.version != Version::HTTP_11 {
        return refuse(Reason::Smuggling, "Transfer-Encoding outside HTTP/1.1");
    }
    if values.next().is_some() {
        return refuse(Reason::Smuggling, "repeated Transfer-Encoding");
    }
    if !value.as_bytes().eq_ignore_ascii_case(b"chunked") {
        return refuse(
            Reason::Smuggling,
            "Transfer-Encoding is not exactly chunked",
        );
    }
    Ok(true)
}

//! Request bodies that are compressed: opened for the rules, refused, or left unread. The upstream always gets what the
//! client sent.

use bytes::Bytes;
use http::HeaderMap;
use serde::Deserialize;

use crate::codec::{self, Bounds, Codings, Fault, Opened};
use crate::decision::Reason;

/// Bytes of an opened body per byte on the wire, above 64 KiB. Logs and generated JSON reach 40, bombs 1000.
const RATIO: usize = 100;

/// Request bodies that are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum EncodedBody {
    /// Opened for the rules; refused with 415 when the coding is unknown or a third one, with 413 when it is a bomb.
    #[default]
    Open,
    /// Refused with 415.
    Deny,
    /// Passed on unread.
    Allow,
}

impl EncodedBody {
    /// How to open the body; `None`: it stays unread.
    pub(super) fn codings(self, headers: &HeaderMap) -> Result<Option<Codings>, Reason> {
        match (Codings::of(headers), self) {
            (Ok(codings), _) if codings.is_empty() => Ok(Some(codings)),
            (_, Self::Allow) => Ok(None),
            (Ok(codings), Self::Open) => Ok(Some(codings)),
            (Err(_), Self::Open) | (_, Self::Deny) => Err(Reason::BodyEncoding),
        }
    }
}

/// The body as the application will read it, at most `max` bytes. Lives only while the rules look at it, which no other
/// request of this thread waits through: it needs no share of the memory for held bodies.
pub(super) fn open(codings: &Codings, body: Bytes, max: u64) -> Result<Bytes, Reason> {
    if codings.is_empty() {
        return Ok(body);
    }
    let output = usize::try_from(max).unwrap_or(usize::MAX);
    let bounds = Bounds { output, ratio: RATIO };
    let mut out = Vec::new();
    match codec::open(codings, &body, bounds, &mut out) {
        Ok(Opened::Whole) => Ok(out.into()),
        Ok(Opened::Full) => Err(Reason::BodyTooLarge),
        Ok(Opened::Cut) | Err(Fault::Corrupt) => Err(Reason::BodyUnparsable),
        Err(Fault::Expansion) => Err(Reason::BodyExpansion),
    }
}

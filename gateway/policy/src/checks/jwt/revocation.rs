//! Which tokens were called back. A token's entry is its `jti`; a subject's entry says since when: every token that was
//! issued until then. The admin side writes with these keys and values, checks read with them.

use bytes::Bytes;
use serde_json::Value;

use super::token::Parts;
use crate::io::Key;
use crate::key::{Keys, stable};

/// The key of one token, by its `jti`. Any value revokes; it needs to live no longer than the token.
#[must_use]
pub fn token_key(keys: Keys, jti: &str) -> Key {
    keys.start(stable("revocation/token")).part(0, jti.as_bytes()).finish()
}

/// The key of a subject (the claim that `user:` names, `sub` by default); its value is made by [`since`].
#[must_use]
pub fn subject_key(keys: Keys, user: &str) -> Key {
    keys.start(stable("revocation/subject")).part(0, user.as_bytes()).finish()
}

/// What a token says of itself, for an operator who wants it revoked. Not verified: whoever holds it may have it refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    /// Its own name.
    pub jti: Option<String>,
    /// Its subject.
    pub user: Option<String>,
    /// When it ends, Unix milliseconds.
    pub expires: Option<u64>,
}

/// Reads that; `None` when it is no signed token.
#[must_use]
pub fn named(token: &str) -> Option<Named> {
    let claims = Parts::of(token)?.claims()?;
    let text = |name: &str| claims.get(name).and_then(Value::as_str).map(str::to_owned);
    Some(Named {
        jti: text("jti"),
        user: text("sub"),
        expires: claims.get("exp").and_then(super::claims::millis),
    })
}

/// Revokes what was issued up to this moment (Unix milliseconds). It needs to live as long as the longest token.
#[must_use]
pub fn since(unix_ms: u64) -> Bytes {
    Bytes::copy_from_slice(&unix_ms.to_be_bytes())
}

/// Whether a subject's entry covers a token issued then (Unix milliseconds, whole seconds in practice). A token that
/// does not say when it was issued is covered, and so is one of the very second. `None`: the entry makes no sense.
pub(super) fn covers(entry: &[u8], issued: Option<u64>) -> Option<bool> {
    let since = u64::from_be_bytes(entry.try_into().ok()?);
    Some(issued.is_none_or(|issued| issued <= since))
}

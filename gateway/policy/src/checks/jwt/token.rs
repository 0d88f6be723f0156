//! From a token's bytes to its claims: size, shape, header, signature, in this order. Nothing in a token is believed
//! before its signature is, and nothing that it names is fetched: `jku`, `x5u`, `jwk` and `x5c` are not read at all.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::Algorithm;
use serde_json::{Map, Value};

use super::keys::KeySet;
use super::strict;
use crate::decision::Reason;

/// Longer tokens are refused before anything else is done with them, in bytes.
pub(super) const LONGEST: usize = 8 * 1024;
/// Longer key names are nobody's.
const LONGEST_KID: usize = 256;

/// The claims of a token that a configured key signed.
///
/// # Errors
/// [`Reason::TokenInvalid`].
pub(super) fn claims(token: &str, keys: &KeySet, typ: Option<&str>) -> Result<Map<String, Value>, Reason> {
    read(token, keys, typ).ok_or(Reason::TokenInvalid)
}

fn read(token: &str, keys: &KeySet, typ: Option<&str>) -> Option<Map<String, Value>> {
    if token.len() > LONGEST {
        return None;
    }
    let (message, signature) = token.rsplit_once('.')?;
    let (header, payload) = message.split_once('.')?;
    if payload.contains('.') || signature.is_empty() {
        return None;
    }
    let header = strict::object(&decode(header)?)?;
    // Extensions that must be understood (RFC 7515, 4.1.11): we understand none. `b64` and encryption change what the
    // other parts mean.
    if ["crit", "b64", "enc", "zip"].iter().any(|name| header.contains_key(*name)) {
        return None;
    }
    let algorithm: Algorithm = header.get("alg")?.as_str()?.parse().ok()?;
    let kid = match header.get("kid") {
        Some(Value::String(kid)) if kid.len() <= LONGEST_KID => Some(kid.as_str()),
        Some(_) => return None,
        None => None,
    };
    if let Some(typ) = typ {
        let given = media_type(header.get("typ")?.as_str()?);
        if !given.eq_ignore_ascii_case(media_type(typ)) {
            return None;
        }
    }
    if !keys.verifies(algorithm, kid, message.as_bytes(), signature) {
        return None;
    }
    strict::object(&decode(payload)?)
}

/// `application/` may be left out (RFC 7515, 4.1.9).
fn media_type(typ: &str) -> &str {
    match typ.split_at_checked(12) {
        Some((prefix, rest)) if prefix.eq_ignore_ascii_case("application/") => rest,
        Some(_) | None => typ,
    }
}

/// No padding, no other alphabet, no stray bits: one spelling per value.
fn decode(part: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(part).ok()
}

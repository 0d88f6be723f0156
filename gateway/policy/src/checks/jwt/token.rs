//! From a token's bytes to its claims: size, shape, header, signature, in this order. Nothing in a token is believed
//! before its signature is, and nothing that it names is fetched: `jku`, `x5u`, `jwk` and `x5c` are not read at all.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::Algorithm;
use serde_json::{Map, Value};

use super::keys::KeySet;
use super::strict;

/// Longer tokens are refused before anything else is done with them, in bytes.
pub(super) const LONGEST: usize = 8 * 1024;
/// Longer key names are nobody's.
const LONGEST_KID: usize = 256;

/// A token whose shape and header are in order, and whose signature is still to be checked.
#[derive(Debug)]
pub(in crate::checks) struct Parts<'t> {
    message: &'t str,
    payload: &'t str,
    signature: &'t str,
    pub(in crate::checks) header: Map<String, Value>,
    pub(in crate::checks) algorithm: Algorithm,
    pub(super) kid: Option<String>,
}

impl<'t> Parts<'t> {
    /// `None` when it is no signed token, or wants something understood that we do not.
    pub(in crate::checks) fn of(token: &'t str) -> Option<Self> {
        if token.len() > LONGEST {
            return None;
        }
        let (message, signature) = token.rsplit_once('.')?;
        let (header, payload) = message.split_once('.')?;
        if payload.contains('.') || signature.is_empty() {
            return None;
        }
        let header = strict::object(&decode(header)?)?;
        // Extensions that must be understood (RFC 7515, 4.1.11): we understand none. `b64` and encryption change what
        // the other parts mean.
        if ["crit", "b64", "enc", "zip"].iter().any(|name| header.contains_key(*name)) {
            return None;
        }
        let algorithm = header.get("alg")?.as_str()?.parse().ok()?;
        let kid = match header.get("kid") {
            Some(Value::String(kid)) if kid.len() <= LONGEST_KID => Some(kid.clone()),
            Some(_) => return None,
            None => None,
        };
        Some(Self {
            message,
            payload,
            signature,
            header,
            algorithm,
            kid,
        })
    }

    /// What the header says of the token's type; `None` asks for nothing.
    pub(in crate::checks) fn is_of_type(&self, wanted: Option<&str>) -> bool {
        let Some(wanted) = wanted else { return true };
        let given = self.header.get("typ").and_then(Value::as_str);
        given.is_some_and(|given| media_type(given).eq_ignore_ascii_case(media_type(wanted)))
    }

    /// Whether one of these keys signed it.
    pub(in crate::checks) fn signed_by(&self, keys: &KeySet) -> bool {
        keys.verifies(self.algorithm, self.kid.as_deref(), self.message.as_bytes(), self.signature)
    }

    /// What it claims. To be believed only once somebody signed it.
    pub(in crate::checks) fn claims(&self) -> Option<Map<String, Value>> {
        strict::object(&decode(self.payload)?)
    }
}

/// Whether it looks like a signed token at all, rather than an opaque one.
pub(super) fn is_signed(token: &str) -> bool {
    token.bytes().filter(|byte| *byte == b'.').count() == 2
}

/// `application/` may be left out (RFC 7515, 4.1.9).
fn media_type(typ: &str) -> &str {
    match typ.split_at_checked(12) {
        Some((prefix, rest)) if prefix.eq_ignore_ascii_case("application/") => rest,
        Some(_) | None => typ,
    }
}

/// No padding, no other alphabet, no stray bits: one spelling per value.
pub(super) fn decode(part: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(part).ok()
}

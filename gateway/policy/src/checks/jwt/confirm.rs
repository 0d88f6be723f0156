//! Tokens that are bound to a key of their holder: to a client certificate (RFC 8705) or by proofs of possession (DPoP,
//! RFC 9449). Stolen ones are worth nothing without that key.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use http::HeaderName;
use jsonwebtoken::Algorithm;
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use super::keys::KeySet;
use super::token::{self, Parts};
use crate::decision::Reason;
use crate::io::{Io, Space};
use crate::key::{Keys, stable};
use crate::request::Request;

const DPOP: HeaderName = HeaderName::from_static("dpop");
/// How far a proof's time may be from ours, in seconds.
const PROOF_LIFE: u64 = 60;
/// How long a proof is remembered: longer than it can be used.
const REMEMBERED: Duration = Duration::from_secs(2 * PROOF_LIFE + 30);
/// Longest `jti` of a proof, bytes.
const LONGEST_ID: usize = 256;
/// What proofs may be signed with. Secrets prove nothing here.
const PROOFS: [Algorithm; 5] =
    [Algorithm::ES256, Algorithm::ES384, Algorithm::EdDSA, Algorithm::RS256, Algorithm::PS256];

/// What a token's `cnf` asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Confirm {
    /// A client certificate with this SHA-256.
    Certificate([u8; 32]),
    /// A proof by the key with this thumbprint (RFC 7638).
    Key(String),
}

impl Confirm {
    /// What `cnf` says.
    ///
    /// # Errors
    /// [`Reason::TokenClaims`] when it asks for something that cannot be checked here.
    pub(super) fn of(claims: &Map<String, Value>) -> Result<Option<Self>, Reason> {
        let Some(confirm) = claims.get("cnf") else { return Ok(None) };
        let fields = confirm.as_object().ok_or(Reason::TokenClaims)?;
        let text = |name: &str| fields.get(name).and_then(Value::as_str);
        match (text("x5t#S256"), text("jkt"), fields.len()) {
            (Some(print), None, 1) => {
                let print = token::decode(print).and_then(|print| print.try_into().ok());
                print.map(|print| Some(Self::Certificate(print))).ok_or(Reason::TokenClaims)
            }
            (None, Some(print), 1) => Ok(Some(Self::Key(print.to_owned()))),
            _ => Err(Reason::TokenClaims),
        }
    }

    /// Whether the request comes from the holder.
    pub(super) async fn holds<I: Io>(
        &self,
        token: &str,
        request: &Request<'_>,
        keys: Keys,
        io: &mut I,
    ) -> Result<(), Reason> {
        match self {
            Self::Certificate(wanted) => {
                let shown = request.tls.and_then(|tls| tls.client_fingerprint.as_deref()).and_then(unhex);
                let same = shown.is_some_and(|shown| bool::from(shown.ct_eq(wanted)));
                same.then_some(()).ok_or(Reason::TokenClaims)
            }
            Self::Key(thumbprint) => {
                let now = io.now().unix / 1000;
                let proof = one_proof(request).ok_or(Reason::TokenClaims)?;
                let id = proven(proof, thumbprint, token, request, now).ok_or(Reason::TokenClaims)?;
                let place = keys.start(stable("dpop")).part(0, thumbprint.as_bytes()).part(1, id.as_bytes()).finish();
                let first = io.swap(Space::Once, place, None, Some(Bytes::from_static(b"1")), REMEMBERED).await;
                match first {
                    Ok(true) => Ok(()),
                    Ok(false) => Err(Reason::TokenClaims),
                    Err(_) => Err(Reason::StoreUnavailable),
                }
            }
        }
    }
}

fn one_proof<'r>(request: &Request<'r>) -> Option<&'r str> {
    let mut proofs = request.headers.get_all(DPOP).iter();
    let proof = proofs.next()?.to_str().ok()?;
    proofs.next().is_none().then_some(proof)
}

/// The proof's own name, when it is one of this key, for this request and this token (RFC 9449, 4.3).
fn proven(proof: &str, thumbprint: &str, token: &str, request: &Request<'_>, now: u64) -> Option<String> {
    let parts = Parts::of(proof)?;
    if !parts.is_of_type(Some("dpop+jwt")) || !PROOFS.contains(&parts.algorithm) {
        return None;
    }
    let jwk = parts.header.get("jwk")?.as_object()?;
    if jwk.contains_key("d") || self::thumbprint(jwk)? != thumbprint {
        return None;
    }
    let mut keys = KeySet::new(PROOFS.to_vec());
    keys.add_jwk(jwk).ok()?;
    if !parts.signed_by(&keys) {
        return None;
    }
    let claims = parts.claims()?;
    let text = |name: &str| claims.get(name).and_then(Value::as_str);
    let issued = claims.get("iat").and_then(Value::as_f64)?;
    let hash = URL_SAFE_NO_PAD.encode(Sha256::digest(token));
    let fits = text("htm")? == request.method.as_str()
        && is_here(text("htu")?, request)
        && text("ath")? == hash
        && (issued - now as f64).abs() <= PROOF_LIFE as f64;
    let id = text("jti").filter(|id| !id.is_empty() && id.len() <= LONGEST_ID)?;
    fits.then(|| id.to_owned())
}

/// Without query and fragment; the port is the listener's and may be another outside.
fn is_here(uri: &str, request: &Request<'_>) -> bool {
    let Ok(uri) = uri.parse::<http::Uri>() else { return false };
    let target = request.target.split(['?', '#']).next().unwrap_or_default();
    let here = target.parse::<http::Uri>();
    let path = here.as_ref().map_or(target, |here| here.path());
    uri.scheme_str() == Some(request.scheme)
        && uri.host().is_some_and(|host| host.eq_ignore_ascii_case(request.host))
        && uri.path() == path
}

/// RFC 7638: the members that make the key, in order, without spaces.
fn thumbprint(jwk: &Map<String, Value>) -> Option<String> {
    let names: &[&str] = match jwk.get("kty")?.as_str()? {
        "EC" => &["crv", "kty", "x", "y"],
        "OKP" => &["crv", "kty", "x"],
        "RSA" => &["e", "kty", "n"],
        _ => return None,
    };
    let mut members = Vec::with_capacity(names.len());
    for name in names {
        let value = jwk.get(*name)?.as_str()?;
        members.push(format!("\"{name}\":{}", Value::from(value)));
    }
    Some(URL_SAFE_NO_PAD.encode(Sha256::digest(format!("{{{}}}", members.join(",")))))
}

fn unhex(text: &str) -> Option<[u8; 32]> {
    let digits: Vec<u32> = text.chars().filter(|letter| *letter != ':').map(|letter| letter.to_digit(16)).collect::<Option<_>>()?;
    let (pairs, rest) = digits.as_chunks::<2>();
    let bytes: Vec<u8> = pairs.iter().filter_map(|[high, low]| u8::try_from(high * 16 + low).ok()).collect();
    if rest.is_empty() { bytes.try_into().ok() } else { None }
}

//! A client that proves itself by a signature (OpenID Connect Core, 9: `private_key_jwt`).

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, crypto};
use serde_json::json;

/// How long an assertion is good, in seconds.
const GOOD: u64 = 60;

/// The key that signs. `Debug` shows nothing.
pub(super) struct Assertion {
    key: EncodingKey,
    algorithm: Algorithm,
    id: Option<String>,
}

impl std::fmt::Debug for Assertion {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Assertion({:?})", self.algorithm)
    }
}

impl Assertion {
    /// From a private key in PEM: RSA, P-256, P-384 or Ed25519.
    pub(super) fn new(pem: &[u8], id: Option<String>) -> Option<Self> {
        let tried = [
            (EncodingKey::from_rsa_pem(pem), Algorithm::RS256),
            (EncodingKey::from_ec_pem(pem), Algorithm::ES256),
            (EncodingKey::from_ec_pem(pem), Algorithm::ES384),
            (EncodingKey::from_ed_pem(pem), Algorithm::EdDSA),
        ];
        let made = tried.into_iter().filter_map(|(key, algorithm)| Some((key.ok()?, algorithm)));
        // A curve's length is only told by what it signs.
        let mut working = made.filter(|(key, algorithm)| crypto::sign(b"", key, *algorithm).is_ok());
        working.next().map(|(key, algorithm)| Self { key, algorithm, id })
    }

    /// What shows this provider, once, that the client asks.
    pub(super) fn made(&self, client: &str, url: &str, random: [u8; 32], now: u64) -> Option<String> {
        let mut header = json!({"alg": self.algorithm, "typ": "JWT"});
        if let (Some(id), Some(fields)) = (&self.id, header.as_object_mut()) {
            fields.insert("kid".to_owned(), id.clone().into());
        }
        let jti = URL_SAFE_NO_PAD.encode(random);
        let claims = json!({"iss": client, "sub": client, "aud": url, "jti": jti, "iat": now, "exp": now + GOOD});
        let encode = |part: serde_json::Value| URL_SAFE_NO_PAD.encode(part.to_string());
        let message = format!("{}.{}", encode(header), encode(claims));
        let signature = crypto::sign(message.as_bytes(), &self.key, self.algorithm).ok()?;
        Some(format!("{message}.{signature}"))
    }
}

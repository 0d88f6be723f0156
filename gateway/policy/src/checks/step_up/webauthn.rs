//! What a browser brings from a security key, judged (WebAuthn Level 2, 7.1 and 7.2): no I/O, no user.
//!
//! Written here: `webauthn-rs` needs OpenSSL, which the gateway does not link, and what is left once no attestation is
//! asked for is a signature over two hashes. The signatures are aws-lc's.

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ED25519, RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents, UnparsedPublicKey,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use super::cbor::{self, Item};

/// Algorithms that are offered, best first (COSE numbers).
pub(super) const ALGORITHMS: [i64; 3] = [-8, -7, -257];

const PRESENT: u8 = 1;
const VERIFIED: u8 = 1 << 2;
const ATTESTED: u8 = 1 << 6;
/// Longest identifier of a credential (WebAuthn, 5.8.3), in bytes.
const LONGEST_ID: usize = 1023;

/// A public key, its parts in base64url.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "alg")]
pub(super) enum PublicKey {
    /// An uncompressed point of P-256.
    #[serde(rename = "ES256")]
    Es256 { point: String },
    #[serde(rename = "EdDSA")]
    EdDsa { point: String },
    #[serde(rename = "RS256")]
    Rs256 { modulus: String, exponent: String },
}

/// What we expect of the other side.
#[derive(Debug, Clone, Copy)]
pub(super) struct Expected<'e> {
    /// The question that was asked, base64url.
    pub(super) challenge: &'e str,
    pub(super) relying_party: &'e str,
    /// Host that the page is on.
    pub(super) host: &'e str,
    /// What the browser said of the form, where it did.
    pub(super) origin: Option<&'e str>,
    pub(super) verify_user: bool,
}

/// What the script put into the form; everything in base64url.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Brought {
    pub(super) id: String,
    client: String,
    #[serde(default)]
    attestation: String,
    #[serde(default)]
    authenticator: String,
    #[serde(default)]
    signature: String,
}

/// The same as browsers write it themselves (WebAuthn 3, 5.1: `toJSON`).
#[derive(Deserialize)]
struct Credential {
    id: String,
    response: Response,
}

#[derive(Deserialize)]
struct Response {
    #[serde(rename = "clientDataJSON")]
    client: String,
    #[serde(default, rename = "attestationObject")]
    attestation: String,
    #[serde(default, rename = "authenticatorData")]
    authenticator: String,
    #[serde(default)]
    signature: String,
}

impl Brought {
    /// In either form.
    pub(super) fn read(text: &str) -> Option<Self> {
        let plain = serde_json::from_str(text).ok();
        plain.or_else(|| {
            let Credential { id, response } = serde_json::from_str(text).ok()?;
            let Response { client, attestation, authenticator, signature } = response;
            Some(Self { id, client, attestation, authenticator, signature })
        })
    }
}

/// A key that was made.
#[derive(Debug, PartialEq)]
pub(super) struct Made {
    pub(super) id: String,
    pub(super) public: PublicKey,
    pub(super) counter: u32,
    /// Whether it checked its user's PIN or finger.
    pub(super) verified: bool,
}

/// A key that answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Answered {
    pub(super) counter: u32,
    /// Whether it checked its user's PIN or finger.
    pub(super) verified: bool,
}

#[derive(Deserialize)]
struct ClientData {
    r#type: String,
    challenge: String,
    origin: String,
    #[serde(default, rename = "crossOrigin")]
    cross_origin: bool,
}

/// The part that the authenticator itself wrote.
struct Authenticator<'a> {
    counter: u32,
    verified: bool,
    /// Identifier and public key, where a key was made.
    attested: Option<(&'a [u8], Item<'a>)>,
}

/// A new key, if everything about it is as expected.
pub(super) fn registered(brought: &Brought, expected: Expected<'_>) -> Option<Made> {
    let client = decoded(&brought.client)?;
    fits(&client, "webauthn.create", expected)?;
    let attestation = decoded(&brought.attestation)?;
    let attestation = cbor::only(&attestation)?;
    let data = attestation.named("authData")?.bytes()?;
    let authenticator = authenticator(data, expected)?;
    let (id, key) = authenticator.attested?;
    let public = PublicKey::of(&key)?;
    let statement = attestation.named("attStmt")?;
    match attestation.named("fmt")? {
        Item::Text("none") => (*statement == Item::Map(Vec::new())).then_some(())?,
        // What a key says of itself is let through where browsers do not take it out; it must be true then.
        Item::Text("packed") if statement.named("x5c").is_none() => {
            let signature = statement.named("sig")?.bytes()?;
            public.signed(data, &client, signature).then_some(())?;
        }
        _ => return None,
    }
    let id = URL_SAFE_NO_PAD.encode(id);
    let Authenticator { counter, verified, .. } = authenticator;
    (id == brought.id).then_some(Made { id, public, counter, verified })
}

/// What the authenticator says, if a key that we know answered the question.
pub(super) fn asserted(brought: &Brought, public: &PublicKey, expected: Expected<'_>) -> Option<Answered> {
    let client = decoded(&brought.client)?;
    fits(&client, "webauthn.get", expected)?;
    let data = decoded(&brought.authenticator)?;
    let authenticator = authenticator(&data, expected)?;
    let signature = decoded(&brought.signature)?;
    let Authenticator { counter, verified, .. } = authenticator;
    public.signed(&data, &client, &signature).then_some(Answered { counter, verified })
}

fn decoded(text: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text).ok()
}

/// What the browser says it was asked, by whom.
fn fits(client: &[u8], kind: &str, expected: Expected<'_>) -> Option<()> {
    let data: ClientData = serde_json::from_slice(client).ok()?;
    let same: bool = data.challenge.as_bytes().ct_eq(expected.challenge.as_bytes()).into();
    let as_sent = expected.origin.is_none_or(|origin| origin == data.origin);
    let fits = data.r#type == kind && same && !data.cross_origin && as_sent && ours(&data.origin, expected.host);
    fits.then_some(())
}

/// `https://HOST`, whatever the port; without TLS only where browsers call that secure.
fn ours(origin: &str, host: &str) -> bool {
    let Some((scheme, authority)) = origin.split_once("://") else { return false };
    let name = match authority.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => authority,
    };
    let local = name == "localhost" || name.ends_with(".localhost");
    (scheme == "https" || (scheme == "http" && local)) && name.eq_ignore_ascii_case(host)
}

fn authenticator<'a>(data: &'a [u8], expected: Expected<'_>) -> Option<Authenticator<'a>> {
    let (party, rest) = data.split_at_checked(32)?;
    let (flags, rest) = rest.split_first()?;
    let (counter, mut rest) = rest.split_first_chunk::<4>()?;
    let wanted = if expected.verify_user { PRESENT | VERIFIED } else { PRESENT };
    let same = party == Sha256::digest(expected.relying_party).as_slice();
    (same && flags & wanted == wanted).then_some(())?;
    let mut attested = None;
    if flags & ATTESTED != 0 {
        let (_, after) = rest.split_first_chunk::<16>()?;
        let (length, after) = after.split_first_chunk::<2>()?;
        let length = usize::from(u16::from_be_bytes(*length));
        let (id, after) = after.split_at_checked(length).filter(|_| (1..=LONGEST_ID).contains(&length))?;
        let (key, after) = cbor::first(after)?;
        (attested, rest) = (Some((id, key)), after);
    }
    // What is left are extensions, one map of them; none was asked for.
    (rest.is_empty() || matches!(cbor::only(rest), Some(Item::Map(_)))).then_some(())?;
    let verified = flags & VERIFIED != 0;
    Some(Authenticator { counter: u32::from_be_bytes(*counter), verified, attested })
}

impl PublicKey {
    /// Reads a COSE key (RFC 9053) of an algorithm that was offered.
    fn of(key: &Item<'_>) -> Option<Self> {
        let number = |at| match key.numbered(at) {
            Some(Item::Number(number)) => Some(*number),
            _ => None,
        };
        let bytes = |at, length: usize| key.numbered(at)?.bytes().filter(|bytes| bytes.len() == length);
        match (number(1)?, number(3)?) {
            (2, -7) if number(-1)? == 1 => {
                let point = [&[4], bytes(-2, 32)?, bytes(-3, 32)?].concat();
                Some(Self::Es256 { point: URL_SAFE_NO_PAD.encode(point) })
            }
            (1, -8) if number(-1)? == 6 => Some(Self::EdDsa { point: URL_SAFE_NO_PAD.encode(bytes(-2, 32)?) }),
            (3, -257) => {
                let part = |at| key.numbered(at)?.bytes().map(|bytes| URL_SAFE_NO_PAD.encode(bytes));
                Some(Self::Rs256 { modulus: part(-1)?, exponent: part(-2)? })
            }
            _ => None,
        }
    }

    /// Whether this key signed what the authenticator and the browser say.
    fn signed(&self, data: &[u8], client: &[u8], signature: &[u8]) -> bool {
        let message = [data, &Sha256::digest(client)].concat();
        let verified = match self {
            Self::Es256 { point } => {
                decoded(point).map(|point| UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, point).verify(&message, signature))
            }
            Self::EdDsa { point } => {
                decoded(point).map(|point| UnparsedPublicKey::new(&ED25519, point).verify(&message, signature))
            }
            Self::Rs256 { modulus, exponent } => decoded(modulus).zip(decoded(exponent)).map(|(n, e)| {
                RsaPublicKeyComponents { n, e }.verify(&RSA_PKCS1_2048_8192_SHA256, &message, signature)
            }),
        };
        matches!(verified, Some(Ok(())))
    }
}

#[cfg(test)]
pub(super) mod tests;

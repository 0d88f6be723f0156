//! The session is the application's own token in a cookie: read with `jwt`'s code, prolonged with the secret that both
//! know. Only a token that holds is prolonged; what it says, and since when, stays as it is.

use std::borrow::Cow;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use http::HeaderValue;
use http::header::SET_COOKIE;
use jsonwebtoken::{Algorithm, EncodingKey, crypto};
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use super::counted::Brought;
use super::keeper::{Keeper, millis};
use super::record::Names;
use super::{Established, Outcome};
use crate::checks::jwt::{self, revocation};
use crate::checks::{Hearing, Turn};
use crate::cookie::{self, SameSite};
use crate::decision::{Reason, Told};
use crate::io::{Io, Key, Space};
use crate::key::Keys;
use crate::request::{Identity, Request, Session};

/// How long one request has to bring the prolonged token home before another is given one.
const AGAIN: Duration = Duration::from_secs(10);

/// Ready to be asked.
#[derive(Debug)]
pub(super) struct Token {
    pub(super) inner: jwt::Check,
    pub(super) keys: Keys,
    pub(super) names: Names,
    pub(super) cookie: String,
    pub(super) domain: Option<String>,
    pub(super) secure: bool,
    pub(super) same_site: SameSite,
    pub(super) absolute: Duration,
    /// Counts sessions, where they are limited.
    pub(super) keeper: Option<Keeper>,
    pub(super) renewal: Option<Renewal>,
    /// Whether single tokens can be called back.
    pub(super) revocable: bool,
}

/// How tokens are prolonged.
pub(super) struct Renewal {
    /// What the current value of the secret signs.
    pub(super) secret: Zeroizing<Vec<u8>>,
    /// How long a prolonged token holds.
    pub(super) ttl: Duration,
    /// One that holds for less is prolonged.
    pub(super) below: Duration,
}

impl std::fmt::Debug for Renewal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Renewal({:?} below {:?})", self.ttl, self.below)
    }
}

impl Token {
    pub(super) async fn establish<I: Io>(&self, turn: &mut Turn<'_, '_, I>) -> Outcome {
        let verified = self.inner.establish(turn).await?.ok_or(Reason::TokenMissing)?;
        let session = self.stands(turn, &verified.identity.claims).await?;
        let identity = verified.identity.clone();
        if let Some(keeper) = &self.keeper {
            let brought = Brought {
                key: self.names.of_token(session.binding, &identity.user),
                binding: session.binding,
                user: &identity.user,
                until: self.until(&identity),
            };
            let happened = keeper.admit(turn.io, turn.request, &brought).await?;
            let told = happened.into_iter().map(|(event, user, detail)| Told { event, check: turn.id, user, detail });
            turn.effects.told.extend(told);
        }
        Ok(Established { identity, session })
    }

    /// Where the record of the request's session is.
    pub(super) fn kept(&self, request: &Request<'_>, identity: &Identity) -> Option<Key> {
        let binding = self.binding(self.sent(request)?, &identity.claims);
        Some(self.names.of_token(binding, &identity.user))
    }

    /// What belongs to the session is bound to this.
    fn binding(&self, token: &str, claims: &Map<String, Value>) -> Key {
        self.names.key("session/token", name(token, claims).as_bytes())
    }

    /// Unix milliseconds from which on neither this token nor one that prolongs it holds.
    fn until(&self, identity: &Identity) -> u64 {
        let expires = identity.expires.unwrap_or(0).saturating_mul(1000);
        match self.renewal {
            Some(_) => began(&identity.claims).unwrap_or(0).saturating_add(millis(self.absolute)).max(expires),
            None => expires,
        }
    }

    /// Whether it would still be accepted, for what goes on.
    pub(super) async fn still<I: Io>(&self, turn: &mut Turn<'_, '_, I>) -> Result<(), Reason> {
        let verified = self.inner.still(turn).await?;
        let session = self.stands(turn, &verified.identity.claims).await?;
        let kept = self.names.of_token(session.binding, &verified.identity.user);
        match &self.keeper {
            Some(keeper) if keeper.is_buried(turn.io, kept).await? => Err(Reason::SessionEnded),
            Some(_) | None => Ok(()),
        }
    }

    /// What a session is held to beyond its token.
    async fn stands<I: Io>(&self, turn: &mut Turn<'_, '_, I>, claims: &Map<String, Value>) -> Result<Session, Reason> {
        let token = self.sent(turn.request).ok_or(Reason::TokenInvalid)?;
        let now = turn.io.now().unix;
        // A token that does not say when it began has no limit but its own exp, and is never prolonged.
        let started = began(claims);
        if started.is_some_and(|started| now >= started.saturating_add(millis(self.absolute))) {
            return Err(Reason::SessionExpired);
        }
        if self.revocable && !claims.contains_key("jti") {
            match turn.io.get(Space::Revocation, self.called_back(token, claims)).await {
                Ok(None) => {}
                Ok(Some(_)) => return Err(Reason::TokenRevoked),
                Err(_) => return Err(Reason::StoreUnavailable),
            }
        }
        Ok(Session {
            binding: self.binding(token, claims),
            started: started.unwrap_or(0) / 1000,
        })
    }

    fn sent<'r>(&self, request: &Request<'r>) -> Option<&'r str> {
        cookie::value(request.headers, &self.cookie).ok().flatten()
    }

    /// Where it would stand that this token was called back.
    fn called_back(&self, token: &str, claims: &Map<String, Value>) -> Key {
        let jti = claims.get("jti").and_then(Value::as_str);
        revocation::token_key(self.keys, &jti.map_or_else(|| digest(token), str::to_owned))
    }

    /// Whether a token with these claims is to be prolonged.
    pub(super) fn is_due(&self, claims: &Map<String, Value>, now: u64) -> bool {
        let Some(renewal) = &self.renewal else { return false };
        let Some(expires) = date(claims, "exp") else { return false };
        // One that has expired is accepted for as long as clocks may differ, and never prolonged.
        expires > now && expires - now < millis(renewal.below) && self.later(claims, renewal, now) > expires
    }

    /// When a token that is prolonged now expires: never beyond the absolute limit.
    fn later(&self, claims: &Map<String, Value>, renewal: &Renewal, now: u64) -> u64 {
        let end = began(claims).unwrap_or(0).saturating_add(millis(self.absolute));
        now.saturating_add(millis(renewal.ttl)).min(end) / 1000 * 1000
    }

    /// Prolongs the token with the answer, unless the application says something of the cookie itself, or another of
    /// several parallel requests has done it.
    pub(super) async fn renew<I: Io>(&self, hearing: &mut Hearing<'_, '_, I>) -> Option<HeaderValue> {
        let (renewal, token) = (self.renewal.as_ref()?, self.sent(hearing.request)?);
        let identity = hearing.awaited.identity.clone()?;
        let now = hearing.io.now().unix;
        if self.set_by(hearing.headers) || !self.is_due(&identity.claims, now) {
            return None;
        }
        let once = self.names.key("session/renewal", digest(token).as_bytes());
        let first = hearing.io.swap(Space::Once, once, None, Some(Bytes::from_static(b"1")), AGAIN).await;
        if first != Ok(true) {
            return None;
        }
        let mut claims = identity.claims.clone();
        let later = self.later(&claims, renewal, now) / 1000;
        claims.insert("exp".to_owned(), later.into());
        // Calling back either of them calls back both.
        claims.entry("jti").or_insert_with(|| digest(token).into());
        let renewed = sign(token, &claims, &renewal.secret)?;
        self.set(&renewed, Duration::from_secs(later.saturating_sub(now / 1000)))
    }

    fn set_by(&self, headers: &http::HeaderMap) -> bool {
        let named = |value: &HeaderValue| {
            let rest = value.as_bytes().strip_prefix(self.cookie.as_bytes());
            rest.is_some_and(|rest| rest.trim_ascii_start().starts_with(b"="))
        };
        headers.get_all(SET_COOKIE).iter().any(named)
    }

    /// The cookie that takes the token away.
    pub(super) fn unset(&self) -> Option<HeaderValue> {
        self.set("", Duration::ZERO)
    }

    fn set(&self, value: &str, age: Duration) -> Option<HeaderValue> {
        let set = cookie::Set {
            name: &self.cookie,
            value,
            age: Some(age),
            same_site: self.same_site,
            script: false,
            secure: self.secure,
        };
        let header = set.header()?;
        match &self.domain {
            None => Some(header),
            Some(domain) => {
                HeaderValue::try_from(format!("{}; Domain={domain}", header.to_str().ok()?)).ok()
            }
        }
    }

    /// Calls the token back for as long as it, or one that prolongs it, could hold; gives its user.
    pub(super) async fn end<I: Io>(&self, hearing: &mut Hearing<'_, '_, I>) -> Option<String> {
        let token = self.sent(hearing.request)?;
        let identity = hearing.awaited.identity.clone()?;
        let now = hearing.io.now().unix;
        let left = Duration::from_millis(self.until(&identity).saturating_sub(now)).max(Duration::from_secs(1));
        let key = self.called_back(token, &identity.claims);
        let put = hearing.io.put(Space::Revocation, key, Bytes::from_static(b"logout"), left).await;
        if let (Some(keeper), Some(kept)) = (&self.keeper, self.kept(hearing.request, &identity)) {
            keeper.end(hearing.io, &identity.user, |one| one.key == Some(kept)).await.ok()?;
        }
        put.ok().map(|()| identity.user.clone())
    }
}

/// What tells a session from others, for as long as it is prolonged: its own name, or the token's.
fn name<'c>(token: &str, claims: &'c Map<String, Value>) -> Cow<'c, str> {
    let text = |name: &str| claims.get(name).and_then(Value::as_str);
    match (text("sid").or_else(|| text("jti")), claims.get("jti")) {
        (Some(name), _) => name.into(),
        (None, Some(Value::Number(jti))) => jti.to_string().into(),
        (None, _) => digest(token).into(),
    }
}

/// Of what was signed, without the signature: whoever holds one by ECDSA can make another that is as good (r, n − s), and
/// would have a token that nobody called back.
fn digest(token: &str) -> String {
    let signed = token.rsplit_once('.').map_or(token, |(signed, _)| signed);
    URL_SAFE_NO_PAD.encode(Sha256::digest(signed))
}

/// Unix milliseconds of the log-in, as far as the token tells.
fn began(claims: &Map<String, Value>) -> Option<u64> {
    date(claims, "auth_time").or_else(|| date(claims, "iat"))
}

fn date(claims: &Map<String, Value>, name: &str) -> Option<u64> {
    let seconds = claims.get(name)?.as_f64().filter(|seconds| (0.0..=9e12).contains(seconds))?;
    Some((seconds * 1000.0) as u64)
}

/// The same header over other claims. `None` unless a secret signed the token.
fn sign(token: &str, claims: &Map<String, Value>, secret: &[u8]) -> Option<String> {
    let (header, _) = token.split_once('.')?;
    let written: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(header).ok()?).ok()?;
    let algorithm = match written.get("alg")?.as_str()? {
        "HS256" => Algorithm::HS256,
        "HS384" => Algorithm::HS384,
        "HS512" => Algorithm::HS512,
        _ => return None,
    };
    let claims = URL_SAFE_NO_PAD.encode(serde_json::to_vec(claims).ok()?);
    let message = format!("{header}.{claims}");
    let signature = crypto::sign(message.as_bytes(), &EncodingKey::from_secret(secret), algorithm).ok()?;
    Some(format!("{message}.{signature}"))
}

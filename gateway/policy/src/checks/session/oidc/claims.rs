//! What an ID token must say (OpenID Connect Core, 3.1.3.7), and a log-out token (Back-Channel Logout, 2.6). Works on
//! claims whose signature was verified; asks nobody.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::Algorithm;
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256, Sha384, Sha512};
use subtle::ConstantTimeEq as _;

use crate::checks::authorize::ClaimPath;
use crate::checks::jwt::{Wanted, millis};

/// Longest name of a user, in bytes.
const LONGEST: usize = 256;
/// All claims that a session keeps together, as JSON.
const MOST: usize = 16 << 10;
const LOGOUT_EVENT: &str = "http://schemas.openid.net/event/backchannel-logout";
/// What is about the token, or about this one log-in: no application and no rule has a use for it afterwards.
const OWN: [&str; 11] =
    ["aud", "exp", "iat", "nbf", "nonce", "azp", "at_hash", "c_hash", "s_hash", "jti", "rat"];

/// What the policy wants of them.
#[derive(Debug)]
pub(super) struct Rules {
    pub(super) issuer: String,
    pub(super) client: String,
    /// Others that a token may be for besides.
    pub(super) audiences: Vec<String>,
    pub(super) leeway: u64,
    pub(super) require: BTreeMap<String, Wanted>,
    pub(super) user: String,
    pub(super) roles: Option<ClaimPath>,
    /// Those that the session keeps; empty: all.
    pub(super) kept: Vec<String>,
}

/// What one log-in expects.
#[derive(Debug)]
pub(super) struct Expected<'e> {
    pub(super) nonce: &'e str,
    pub(super) access_token: &'e str,
    pub(super) algorithm: Algorithm,
    /// The user must have proven who they are at this second or later.
    pub(super) proven: Option<u64>,
    /// Unix seconds.
    pub(super) now: u64,
}

/// Whose log-out a provider reports.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Gone {
    pub(super) sid: Option<String>,
    pub(super) sub: Option<String>,
    pub(super) jti: String,
    /// Unix seconds until which the token could come again.
    pub(super) until: u64,
}

type Judged<T> = Result<T, &'static str>;

pub(super) fn text<'c>(claims: &'c Map<String, Value>, name: &str) -> Option<&'c str> {
    claims.get(name).and_then(Value::as_str).filter(|text| !text.is_empty())
}

impl Rules {
    /// Whether this ID token is the answer to this log-in.
    pub(super) fn judge(&self, claims: &Map<String, Value>, expected: &Expected<'_>) -> Judged<()> {
        self.addressed(claims)?;
        self.lives(claims, expected.now)?;
        let nonce = text(claims, "nonce").ok_or("the ID token has no nonce")?;
        if !bool::from(nonce.as_bytes().ct_eq(expected.nonce.as_bytes())) {
            return Err("the ID token is for another log-in (nonce)");
        }
        if claims.get("at_hash").is_some_and(|hash| !is_hash(hash, expected)) {
            return Err("the ID token is for another access token (at_hash)");
        }
        let sub = text(claims, "sub").ok_or("the ID token names nobody (sub)")?;
        if sub.len() > LONGEST {
            return Err("the ID token's sub is longer than 256 bytes");
        }
        if let Some(proven) = expected.proven {
            let at = claims.get("auth_time").and_then(millis).ok_or("the provider does not say when the user logged in")?;
            if at / 1000 + self.leeway < proven {
                return Err("the user's log-in at the provider is too old");
            }
        }
        for (name, wanted) in &self.require {
            if !claims.get(name).is_some_and(|value| wanted.is_met_by(value)) {
                return Err("a claim that the policy requires is missing, or says something else");
            }
        }
        Ok(())
    }

    /// Issuer, audience and authorised party.
    fn addressed(&self, claims: &Map<String, Value>) -> Judged<()> {
        if text(claims, "iss") != Some(&self.issuer) {
            return Err("the token is another issuer's (iss)");
        }
        let client = |value: &Value| value.as_str() == Some(&self.client);
        let trusted = |value: &Value| {
            client(value) || value.as_str().is_some_and(|name| self.audiences.iter().any(|own| own == name))
        };
        let (ours, others) = match claims.get("aud") {
            Some(Value::Array(all)) => (all.iter().any(client) && all.iter().all(trusted), all.len() > 1),
            Some(one) => (client(one), false),
            None => (false, false),
        };
        if !ours {
            return Err("the token is for somebody else (aud)");
        }
        match claims.get("azp") {
            Some(party) if !client(party) => Err("the token was given to somebody else (azp)"),
            None if others => Err("the token is for several and does not say whom it was given to (azp)"),
            Some(_) | None => Ok(()),
        }
    }

    fn lives(&self, claims: &Map<String, Value>, now: u64) -> Judged<u64> {
        let date = |name: &str| claims.get(name).map(|date| millis(date).ok_or("a date of the token is none")).transpose();
        let (ends, issued) = (date("exp")?, date("iat")?);
        let ends = ends.ok_or("the token has no end (exp)")?.saturating_add(self.leeway * 1000);
        let begins = issued.ok_or("the token does not say when it was issued (iat)")?.max(date("nbf")?.unwrap_or(0));
        if now * 1000 >= ends {
            return Err("the token has expired");
        }
        if begins > (now + self.leeway) * 1000 {
            return Err("the token is from the future");
        }
        Ok(ends / 1000)
    }

    /// What the session keeps.
    pub(super) fn kept(&self, claims: Map<String, Value>) -> Judged<Map<String, Value>> {
        let roles = self.roles.as_ref().and_then(|path| path.find(&claims)).cloned();
        let mut kept: Map<String, Value> = claims
            .into_iter()
            .filter(|(name, _)| !OWN.contains(&name.as_str()))
            .filter(|(name, _)| self.kept.is_empty() || self.kept.contains(name))
            .collect();
        // Only the policy says which claim holds the roles that the application is told.
        kept.remove("role");
        kept.extend(roles.map(|roles| ("role".to_owned(), roles)));
        let length = serde_json::to_vec(&kept).map_or(usize::MAX, |json| json.len());
        if length > MOST {
            return Err("the claims are longer than 16 KiB: keep fewer of them (`claims`)");
        }
        Ok(kept)
    }

    /// Who it is to the checks behind. An address is its owner's only once somebody has verified that.
    pub(super) fn user(&self, claims: &Map<String, Value>) -> Judged<String> {
        let user = match claims.get(&self.user) {
            Some(Value::String(user)) => user.clone(),
            Some(Value::Number(user)) => user.to_string(),
            Some(_) | None => return Err("the claim that names the user is missing"),
        };
        if self.user == "email" && claims.get("email_verified") != Some(&Value::Bool(true)) {
            return Err("the provider has not verified the user's address (email_verified)");
        }
        let plain = user.trim() == user && !user.chars().any(char::is_control);
        if user.is_empty() || user.len() > LONGEST || !plain {
            return Err("the claim that names the user holds what no name can");
        }
        Ok(user)
    }

    /// What a log-out token reports.
    pub(super) fn gone(&self, claims: &Map<String, Value>, now: u64) -> Judged<Gone> {
        self.addressed(claims)?;
        let until = self.lives(claims, now)?;
        let event = claims.get("events").and_then(|events| events.get(LOGOUT_EVENT));
        if !event.is_some_and(Value::is_object) {
            return Err("the token reports no log-out (events)");
        }
        // So that no ID token passes for one.
        if claims.contains_key("nonce") {
            return Err("a log-out token has no nonce");
        }
        let owned = |name: &str| text(claims, name).map(str::to_owned);
        let gone = Gone {
            sid: owned("sid"),
            sub: owned("sub"),
            jti: owned("jti").ok_or("the token has no name of its own (jti)")?,
            until,
        };
        match (&gone.sid, &gone.sub) {
            (None, None) => Err("the token says neither who nor which session (sub, sid)"),
            _ => Ok(gone),
        }
    }
}

/// The left half of the hash that goes with the signature (Core, 3.1.3.6).
fn is_hash(hash: &Value, expected: &Expected<'_>) -> bool {
    let token = expected.access_token.as_bytes();
    let digest = match expected.algorithm {
        Algorithm::RS256 | Algorithm::PS256 | Algorithm::ES256 | Algorithm::HS256 => Sha256::digest(token).to_vec(),
        Algorithm::RS384 | Algorithm::PS384 | Algorithm::ES384 | Algorithm::HS384 => Sha384::digest(token).to_vec(),
        Algorithm::RS512 | Algorithm::PS512 | Algorithm::HS512 | Algorithm::EdDSA => Sha512::digest(token).to_vec(),
        // What is not known cannot be compared.
        _ => return false,
    };
    let half = digest.get(..digest.len() / 2).unwrap_or_default();
    let wanted = URL_SAFE_NO_PAD.encode(half);
    hash.as_str().is_some_and(|hash| hash.as_bytes().ct_eq(wanted.as_bytes()).into())
}

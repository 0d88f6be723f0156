//! Who may issue tokens: one issuer, or several whose keys, algorithms and rules are kept apart. A token that names one
//! is checked with that one's keys and by its rules, never with another's.

use super::claims::Rules;
use super::keys::KeySet;
use super::published::{Published, UNKNOWN_EVERY};
use super::token::Parts;
use crate::decision::Reason;
use crate::io::Io;

/// An issuer, or all that a policy does not tell apart.
#[derive(Debug)]
pub(super) struct Party {
    pub(super) keys: KeySet,
    pub(super) published: Option<Published>,
    pub(super) typ: Option<String>,
    pub(super) rules: Rules,
}

/// All of them.
#[derive(Debug)]
pub(super) struct Parties {
    pub(super) all: Vec<Party>,
    /// Whether `iss` chooses.
    pub(super) several: bool,
}

impl Parties {
    /// Whose token it says it is; that alone proves nothing, its signature must be by that one's keys.
    pub(super) fn of(&self, parts: &Parts<'_>) -> Result<usize, Reason> {
        if !self.several {
            return if self.all.is_empty() { Err(Reason::TokenInvalid) } else { Ok(0) };
        }
        let claims = parts.claims().ok_or(Reason::TokenInvalid)?;
        let issuer = claims.get("iss").and_then(serde_json::Value::as_str);
        let named = |party: &Party| issuer.is_some_and(|issuer| party.rules.issuers.iter().any(|name| name == issuer));
        self.all.iter().position(named).ok_or(Reason::TokenClaims)
    }
}

impl Party {
    /// Whether a key of this party signed it; the version of the published keys that it was checked with, 0 for those of
    /// the policy.
    pub(super) async fn verify<I: Io>(&self, parts: &Parts<'_>, io: &mut I) -> Result<u64, Reason> {
        if !parts.is_of_type(self.typ.as_deref()) {
            return Err(Reason::TokenInvalid);
        }
        if parts.signed_by(&self.keys) {
            return Ok(0);
        }
        match &self.published {
            Some(published) => published.signed(parts, UNKNOWN_EVERY, io).await,
            None => Err(Reason::TokenInvalid),
        }
    }
}

//! `jwt`: who asks, by a signed token. This file orders the steps, each of which is a module.

use std::sync::Arc;

use http::header::WWW_AUTHENTICATE;
use http::{HeaderName, HeaderValue};
use serde_json::Value;

use super::{Gives, Needs, ResponseWork, Turn};
use crate::decision::{Answer, Reason};
use crate::io::{Io, Space};
use crate::request::Request;

mod cache;
mod claims;
mod keys;
pub mod revocation;
mod source;
mod spec;
pub(crate) mod strict;
#[cfg(test)]
mod tests;
mod token;

pub use claims::Wanted;
pub(in crate::checks) use spec::upstream_header;
pub use spec::{Signature, Spec};

use cache::Cache;
use claims::{Rules, Verified};
use keys::KeySet;
use source::Source;

/// Ready to be asked.
#[derive(Debug)]
pub struct Check {
    source: Source,
    keys: KeySet,
    typ: Option<String>,
    rules: Rules,
    bind: Vec<(String, HeaderName)>,
    owned: Vec<HeaderName>,
    cache: Cache,
    revocation: bool,
    open_without_store: bool,
    optional: bool,
}

impl super::Beyond for Check {}

impl Check {
    pub(super) fn needs(&self) -> Needs {
        Needs::default()
    }

    pub(super) fn gives(&self) -> Gives {
        Gives {
            identity: true,
            anonymous: self.optional,
            ..Gives::default()
        }
    }

    pub(super) fn response_work(&self) -> ResponseWork {
        ResponseWork::default()
    }

    pub(super) fn owned_headers(&self) -> &[HeaderName] {
        &self.owned
    }

    pub(super) async fn ask<I: Io>(&self, turn: &mut Turn<'_, '_, I>) -> Answer {
        match self.establish(turn).await {
            Ok(Some(verified)) => {
                turn.facts.identity = Some(Arc::clone(&verified.identity));
                Answer::Pass
            }
            Ok(None) => Answer::Pass,
            Err(reason) => {
                if let Some(challenge) = challenge(reason) {
                    turn.effects.response.push((WWW_AUTHENTICATE, HeaderValue::from_static(challenge)));
                }
                Answer::deny(reason)
            }
        }
    }

    pub(in crate::checks) async fn establish<I: Io>(&self, turn: &mut Turn<'_, '_, I>) -> Result<Option<Arc<Verified>>, Reason> {
        let now = turn.io.now().unix;
        let Some(token) = self.source.token(turn.request)? else {
            return if self.optional { Ok(None) } else { Err(Reason::TokenMissing) };
        };
        let verified = self.verified(token, now)?;
        self.bound(&verified, turn.request)?;
        if self.revocation {
            self.not_revoked(&verified, turn).await?;
        }
        Ok(Some(verified))
    }

    /// From the cache, or by its signature. What time decides is asked again for both.
    fn verified(&self, token: &str, now: u64) -> Result<Arc<Verified>, Reason> {
        if token.len() > token::LONGEST {
            return Err(Reason::TokenInvalid);
        }
        if let Some(known) = self.cache.get(token) {
            known.holds(now)?;
            return Ok(known);
        }
        let claims = token::claims(token, &self.keys, self.typ.as_deref())?;
        let verified = Arc::new(self.rules.judge(claims)?);
        verified.holds(now)?;
        self.cache.put(token, Arc::clone(&verified), now);
        Ok(verified)
    }

    /// A token that names its device is good there only.
    fn bound(&self, verified: &Verified, request: &Request<'_>) -> Result<(), Reason> {
        for (claim, name) in &self.bind {
            let Some(value) = verified.identity.claims.get(claim) else { continue };
            let mut sent = request.headers.get_all(name).iter();
            let same = match (value, sent.next(), sent.next()) {
                (Value::String(text), Some(only), None) => only.as_bytes() == text.as_bytes(),
                _ => false,
            };
            if !same {
                return Err(Reason::TokenClaims);
            }
        }
        Ok(())
    }

    async fn not_revoked<I: Io>(&self, verified: &Verified, turn: &mut Turn<'_, '_, I>) -> Result<(), Reason> {
        let without_store = if self.open_without_store { Ok(()) } else { Err(Reason::StoreUnavailable) };
        if let Some(key) = verified.token_key {
            match turn.io.get(Space::Revocation, key).await {
                Ok(Some(_)) => return Err(Reason::TokenRevoked),
                Ok(None) => {}
                Err(_) => return without_store,
            }
        }
        match turn.io.get(Space::Revocation, verified.subject_key).await {
            Ok(None) => Ok(()),
            Ok(Some(entry)) => match revocation::covers(&entry, verified.issued) {
                Some(false) => Ok(()),
                Some(true) => Err(Reason::TokenRevoked),
                None => Err(Reason::StoreUnavailable),
            },
            Err(_) => without_store,
        }
    }
}

/// RFC 6750, 3: no error code when there was no token.
fn challenge(reason: Reason) -> Option<&'static str> {
    const CHALLENGES: [(Reason, &str); 6] = [
        (Reason::TokenMissing, "Bearer"),
        (Reason::TokenInvalid, r#"Bearer error="invalid_token", error_description="malformed or not signed by us""#),
        (Reason::TokenExpired, r#"Bearer error="invalid_token", error_description="expired""#),
        (Reason::TokenNotYet, r#"Bearer error="invalid_token", error_description="not valid yet""#),
        (Reason::TokenClaims, r#"Bearer error="invalid_token", error_description="not sufficient here""#),
        (Reason::TokenRevoked, r#"Bearer error="invalid_token", error_description="revoked""#),
    ];
    let mut all = CHALLENGES.into_iter();
    all.find_map(|(of, text)| (of == reason).then_some(text))
}

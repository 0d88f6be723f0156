//! `jwt`: who asks, by a token. This file orders the steps, each of which is a module.

use std::sync::Arc;

use http::header::{SEC_WEBSOCKET_PROTOCOL, WWW_AUTHENTICATE};
use http::{HeaderName, HeaderValue, StatusCode};
use serde_json::Value;

use super::{Gives, Hearing, Needs, ResponseWork, Turn};
use crate::decision::{Answer, Reason};
use crate::io::{Io, Space};
use crate::request::{Await, Request};

mod active;
mod cache;
mod claims;
mod confirm;
mod introspection;
mod keys;
mod party;
mod published;
pub mod revocation;
mod source;
mod spec;
pub(crate) mod strict;
#[cfg(test)]
mod tests;
mod token;

pub use claims::Wanted;
pub(in crate::checks) use claims::millis;
pub(in crate::checks) use published::{Metadata, Place, Published, UNKNOWN_EVERY};
pub(in crate::checks) use spec::{basic, bearer, upstream_header, url};
pub(in crate::checks) use token::Parts;
pub use spec::{Introspect, Issuer, Signature, Spec, Standing};

use cache::Cache;
use claims::{Proof, Verified};
use introspection::Introspection;
use party::Parties;
use source::Source;

/// Ready to be asked.
#[derive(Debug)]
pub struct Check {
    source: Source,
    parties: Parties,
    introspection: Option<Introspection>,
    bind: Vec<(String, HeaderName)>,
    owned: Vec<HeaderName>,
    cache: Cache,
    keys: crate::key::Keys,
    revocation: bool,
    open_without_store: bool,
    optional: bool,
}

impl super::Beyond for Check {
    /// A browser gives up a WebSocket whose answer chooses none of the protocols that it offered: where the token was the
    /// only one, it is what is chosen.
    async fn heard<I: Io>(&self, hearing: &mut Hearing<'_, '_, I>) {
        let chosen = hearing.headers.contains_key(SEC_WEBSOCKET_PROTOCOL);
        if hearing.status != StatusCode::SWITCHING_PROTOCOLS.as_u16() || chosen {
            return;
        }
        let offered = self.source.offered(hearing.request);
        if let Some(value) = offered.and_then(|(_, token)| HeaderValue::try_from(token).ok()) {
            hearing.effects.response.push((SEC_WEBSOCKET_PROTOCOL, value));
        }
    }

    async fn holds<I: Io>(&self, turn: &mut Turn<'_, '_, I>) -> Result<(), Reason> {
        self.still(turn).await.map(drop)
    }
}

impl Check {
    pub(super) fn needs(&self) -> Needs {
        Needs::default()
    }

    pub(super) fn gives(&self) -> Gives {
        Gives {
            identity: true,
            anonymous: self.optional,
            session: true,
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
        if self.source.websocket.is_some() {
            self.hide(turn);
        }
        match self.establish(turn).await {
            Ok(Some(verified)) => {
                turn.facts.identity = Some(Arc::clone(&verified.identity));
                turn.facts.session = turn.facts.session.or(verified.session);
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

    /// Keeps a token among a WebSocket's protocols from the application.
    fn hide<I>(&self, turn: &mut Turn<'_, '_, I>) {
        let Some((others, _)) = self.source.offered(turn.request) else { return };
        if others.is_none() {
            turn.facts.awaits.push(Await {
                check: turn.id,
                mode: turn.mode,
                body: 0,
                whom: None,
                identity: None,
            });
        }
        turn.effects.upstream.push((SEC_WEBSOCKET_PROTOCOL, others));
    }

    pub(in crate::checks) async fn establish<I: Io>(&self, turn: &mut Turn<'_, '_, I>) -> Result<Option<Arc<Verified>>, Reason> {
        let Some(token) = self.source.token(turn.request)? else {
            return if self.optional { Ok(None) } else { Err(Reason::TokenMissing) };
        };
        let verified = self.verified(token, turn.io).await?;
        self.bound(&verified, turn.request)?;
        // What is rare is not a part of every request's future.
        if let Some(confirm) = &verified.confirm {
            Box::pin(confirm.holds(token, turn.request, self.keys, turn.io)).await?;
        }
        if self.revocation {
            self.not_revoked(&verified, turn).await?;
        }
        if verified.active.is_some() {
            Box::pin(self.active(&verified, turn.io)).await?;
        }
        Ok(Some(verified))
    }

    /// A token that was accepted, by what may have changed since: time, revocation, its user's standing. Not whose key its
    /// holder showed, which was for that moment.
    pub(in crate::checks) async fn still<I: Io>(&self, turn: &mut Turn<'_, '_, I>) -> Result<Arc<Verified>, Reason> {
        let token = self.source.token(turn.request)?.ok_or(Reason::TokenMissing)?;
        let verified = self.verified(token, turn.io).await?;
        if self.revocation {
            self.not_revoked(&verified, turn).await?;
        }
        if verified.active.is_some() {
            Box::pin(self.active(&verified, turn.io)).await?;
        }
        Ok(verified)
    }

    /// From the cache, or by its signature. What time decides is asked again for both.
    async fn verified<I: Io>(&self, token: &str, io: &mut I) -> Result<Arc<Verified>, Reason> {
        if token.len() > token::LONGEST {
            return Err(Reason::TokenInvalid);
        }
        let known = self.cache.get(token);
        if let Some(known) = &known {
            let now = io.now().unix;
            known.holds(now)?;
            if self.stands(known, now) {
                return Ok(Arc::clone(known));
            }
        }
        Box::pin(self.verify(token, known, io)).await
    }

    /// Whether what verified this token was in use a moment ago.
    fn stands(&self, known: &Verified, now: u64) -> bool {
        match known.proof {
            Proof::Signed { version: 0, .. } => true,
            Proof::Signed { party, version } => {
                let published = self.parties.all.get(party).and_then(|party| party.published.as_ref());
                published.is_some_and(|published| published.stands(version, now))
            }
            Proof::Introspected { .. } => false,
        }
    }

    async fn verify<I: Io>(&self, token: &str, known: Option<Arc<Verified>>, io: &mut I) -> Result<Arc<Verified>, Reason> {
        let asked = self.introspection.as_ref();
        let verified = match asked.filter(|asked| asked.always || !token::is_signed(token)) {
            Some(asked) => {
                let answer = asked.ask(token, io).await?;
                let proof = Proof::Introspected { version: answer.version };
                if let Some(known) = known.filter(|known| known.proof == proof) {
                    return Ok(known);
                }
                asked.rules.judge(asked.claims(&answer, io.now().unix)?, proof)?
            }
            None => {
                if let Some(known) = self.confirmed(known, io).await? {
                    return Ok(known);
                }
                self.signed(token, io).await?
            }
        };
        let now = io.now().unix;
        verified.holds(now)?;
        let verified = Arc::new(verified);
        self.cache.put(token, Arc::clone(&verified), now);
        Ok(verified)
    }

    /// A token that was verified before, when its issuer's keys are still those.
    async fn confirmed<I: Io>(&self, known: Option<Arc<Verified>>, io: &mut I) -> Result<Option<Arc<Verified>>, Reason> {
        let Some(known) = known else { return Ok(None) };
        let Proof::Signed { party, version } = known.proof else { return Ok(None) };
        let party = self.parties.all.get(party).and_then(|party| party.published.as_ref());
        let Some(published) = party else { return Ok(None) };
        let same = published.keys(io).await?.version == version;
        Ok(same.then_some(known))
    }

    async fn signed<I: Io>(&self, token: &str, io: &mut I) -> Result<Verified, Reason> {
        let parts = Parts::of(token).ok_or(Reason::TokenInvalid)?;
        let index = self.parties.of(&parts)?;
        let party = self.parties.all.get(index).ok_or(Reason::Internal)?;
        let version = party.verify(&parts, io).await?;
        let claims = parts.claims().ok_or(Reason::TokenInvalid)?;
        party.rules.judge(claims, Proof::Signed { party: index, version })
    }

    async fn active<I: Io>(&self, verified: &Verified, io: &mut I) -> Result<(), Reason> {
        let rules = match verified.proof {
            Proof::Signed { party, .. } => self.parties.all.get(party).map(|party| &party.rules),
            Proof::Introspected { .. } => self.introspection.as_ref().map(|asked| &asked.rules),
        };
        match (rules.and_then(|rules| rules.active.as_ref()), &verified.active) {
            (Some(active), Some(call)) => active.holds(call, io).await,
            _ => Err(Reason::Internal),
        }
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

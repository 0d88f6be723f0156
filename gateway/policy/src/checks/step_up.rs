//! `step_up`: a second factor, asked for where a route wants one. This file says when; what a user enrolled is in `record`,
//! how it is proven in `proof`, and the pages where that happens in `page`, `enrol` and `key`.

use http::header::{REFERER, WWW_AUTHENTICATE};
use http::{HeaderName, HeaderValue};

use super::authorize::{self, ClaimPath};
use super::{Gives, Needs, ResponseWork, Turn};
use crate::asker::{self, Asker};
use crate::decision::{Answer, Reason, Reply};
use crate::io::{Io, Space, StoreFault};
use crate::key::Keys;
use crate::limit::Limit;
use crate::pages::form::{Guard, Secret};
use crate::pages::mfa::with_return;
use crate::request::{Identity, Request};
use crate::stored;

mod cbor;
mod codes;
mod enrol;
mod json;
mod key;
pub mod operator;
mod page;
mod proof;
mod record;
mod shown;
mod spec;
#[cfg(test)]
mod tests;
mod totp;
mod webauthn;

pub use spec::{Method, Required, Spec};
pub use totp::Algorithm;

use record::{Factors, Proof, proof_key, user_key};

const HX_REDIRECT: HeaderName = HeaderName::from_static("hx-redirect");
const HX_CURRENT_URL: HeaderName = HeaderName::from_static("hx-current-url");
/// Where a client that follows no redirect can send its user.
const PAGE: HeaderName = HeaderName::from_static("x-second-factor");

/// Ready to be asked.
#[derive(Debug)]
pub struct Check {
    keys: Keys,
    guard: Guard,
    pepper: Secret,
    /// Path of the gateway's own pages.
    pages: String,
    methods: Vec<Method>,
    /// Seconds that a proof holds.
    fresh: u64,
    required: Required,
    role_from: Vec<ClaimPath>,
    offer: bool,
    issuer: Option<String>,
    /// Of a session, then of a user.
    limits: [Vec<Limit>; 2],
    /// How often a user may have backup codes made: each time costs a hundred thousand rounds of hashing.
    making: Limit,
    set_up: std::time::Duration,
    algorithm: Algorithm,
    digits: u8,
    relying_party: Option<String>,
    verify_user: bool,
    open_without_store: bool,
}

/// Where a user must go first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    Verify,
    Enrol,
}

impl super::Beyond for Check {
    fn pages(&self) -> &'static [&'static str] {
        &["mfa"]
    }

    async fn page<I: Io>(&self, turn: &mut Turn<'_, '_, I>, rest: &str) -> Answer {
        self.serve(turn, rest).await
    }
}

impl Check {
    pub(super) fn needs(&self) -> Needs {
        Needs { identity: true, session: true, ..Needs::default() }
    }

    pub(super) fn gives(&self) -> Gives {
        Gives::default()
    }

    pub(super) fn response_work(&self) -> ResponseWork {
        ResponseWork::default()
    }

    pub(super) fn owned_headers(&self) -> &[HeaderName] {
        &[]
    }

    pub(super) async fn ask<I: Io>(&self, turn: &mut Turn<'_, '_, I>) -> Answer {
        match self.next(turn).await {
            Ok(None) => Answer::Pass,
            Ok(Some(next)) => self.send(turn, next),
            Err(_) if self.open_without_store => Answer::Pass,
            Err(_) => Answer::deny(Reason::StoreUnavailable),
        }
    }

    /// Where the user must go before this request; nowhere when a factor was proven a short while ago, or none is wanted.
    async fn next<I: Io>(&self, turn: &mut Turn<'_, '_, I>) -> Result<Option<Next>, StoreFault> {
        // Who has no session has nothing that a proof could be bound to.
        let (Some(identity), Some(session)) = (&turn.facts.identity, turn.facts.session) else {
            return Ok(Some(Next::Verify));
        };
        let required = self.requires(identity);
        if !required && !self.offer {
            return Ok(None);
        }
        let user = user_key(self.keys, &identity.user);
        let now = turn.io.now().unix / 1000;
        let proven = proof_key(self.keys, &identity.user, session.binding);
        let proof: Option<Proof> = stored::get(turn.io, Space::Once, proven).await?;
        if let Some(proof) = proof.filter(|proof| proof.is_fresh(self.counts(), self.fresh, now)) {
            // An operator or another session may have taken the factor away since.
            let stored = turn.io.get(Space::Factor, user).await?;
            if stored.is_some_and(|stored| record::epoch(&stored) == Some(proof.epoch)) {
                return Ok(None);
            }
        }
        let factors: Option<Factors> = stored::get(turn.io, Space::Factor, user).await?;
        let factors = factors.filter(Factors::any);
        Ok(match factors {
            None if required => Some(Next::Enrol),
            None => None,
            // Enrolled by other methods than those that count here.
            Some(factors) if !self.methods.iter().any(|method| factors.has(*method)) => Some(Next::Enrol),
            Some(_) => Some(Next::Verify),
        })
    }

    /// A claim that this check reads roles from and we, who require a factor by role, do not.
    pub(crate) fn unread_role(&self, other: &authorize::Check) -> Option<String> {
        let read = other.roles_read().iter().find(|claim| !self.role_from.contains(claim));
        read.filter(|_| self.required.by_role()).map(ToString::to_string)
    }

    /// Whether this user must have a second factor.
    fn requires(&self, identity: &Identity) -> bool {
        self.required.holds(identity, &self.role_from)
    }

    fn send<I: Io>(&self, turn: &mut Turn<'_, '_, I>, next: Next) -> Answer {
        let request = turn.request;
        let asker = Asker::of(request.headers);
        let back = match asker {
            Asker::Page | Asker::Htmx => came_from(request, asker).unwrap_or_default(),
            Asker::Api => String::new(),
        };
        let (reason, to) = match next {
            Next::Verify => (Reason::SecondFactorRequired, ""),
            Next::Enrol if self.methods.contains(&Method::Totp) => (Reason::SecondFactorMissing, "/enrol"),
            Next::Enrol => (Reason::SecondFactorMissing, "/key"),
        };
        let page = with_return(&self.pages, to, &back);
        if asker == Asker::Page {
            return Answer::Reply(Reply::see_other(reason, &page));
        }
        let name = if asker == Asker::Htmx { HX_REDIRECT } else { PAGE };
        turn.effects.response.extend(HeaderValue::try_from(page).ok().map(|page| (name, page)));
        // RFC 9470.
        let challenge = format!("Bearer error=\"insufficient_user_authentication\", max_age=\"{}\"", self.fresh);
        let challenge = HeaderValue::try_from(challenge).ok();
        turn.effects.response.extend(challenge.map(|challenge| (WWW_AUTHENTICATE, challenge)));
        Answer::deny(reason)
    }
}

/// Where the user goes on afterwards: the same address, or the page that the request was made from.
fn came_from(request: &Request<'_>, asker: Asker) -> Option<String> {
    let shown = match asker {
        Asker::Page => return asker::here(request).or_else(|| local(request, &REFERER)),
        Asker::Htmx => HX_CURRENT_URL,
        Asker::Api => return None,
    };
    local(request, &shown)
}

/// The local part of an address of this host in a header field.
fn local(request: &Request<'_>, name: &HeaderName) -> Option<String> {
    let address = request.headers.get(name)?.to_str().ok()?;
    let (_, rest) = address.split_once("://")?;
    let (authority, _) = rest.split_once('/')?;
    let path = rest.get(authority.len()..)?;
    let path = path.split('#').next().unwrap_or(path);
    let host = match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
        _ => authority,
    };
    (host.eq_ignore_ascii_case(request.host) && asker::is_local(path)).then(|| path.to_owned())
}

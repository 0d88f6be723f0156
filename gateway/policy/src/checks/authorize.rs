//! `authorize`: whether who asks may do this, by the policy's roles and by what was established about them. Establishes
//! nobody, waits for nothing.

use std::collections::HashMap;

use serde_json::{Map, Value};

use super::{Gives, Needs, ResponseWork, Turn};
use crate::answered::glob;
use crate::decision::{Answer, Reason};
use crate::io::Io;
use crate::request::Tls;

mod needed;
mod path;
mod spec;
#[cfg(test)]
mod tests;

pub use needed::Needed;
pub use spec::{Certificate, Spec};

use super::jwt::Wanted;
use needed::Want;
pub(in crate::checks) use path::ClaimPath;

/// Ready to be asked. What is needed are bits; what a role brings of them is settled when the policy is loaded.
#[derive(Debug)]
pub struct Check {
    role_from: Vec<ClaimPath>,
    permission_from: Vec<ClaimPath>,
    scope_from: Vec<ClaimPath>,
    group_from: Vec<ClaimPath>,
    anonymous: Option<String>,
    grants: HashMap<String, Grant, ahash::RandomState>,
    need: Option<Want>,
    role: Option<Want>,
    scope: Option<Want>,
    group: Option<Want>,
    claims: Vec<(ClaimPath, Wanted)>,
    certificate: Option<Shown>,
}

/// What a role of the policy brings of what is needed here.
#[derive(Debug, Clone, Copy, Default)]
struct Grant {
    permissions: u64,
    roles: u64,
}

/// What a client certificate must show.
#[derive(Debug)]
struct Shown {
    /// With `*` for anything.
    subjects: Vec<String>,
    fingerprints: Vec<String>,
}

/// What somebody brings of what is needed.
#[derive(Debug, Default)]
struct Held {
    /// Some role that the policy knows.
    known: bool,
    permissions: u64,
    roles: u64,
    scopes: u64,
    groups: u64,
}

impl super::Beyond for Check {}

impl Check {
    /// The claims that it reads roles from; none where it asks for something else alone.
    pub(super) fn roles_read(&self) -> &[ClaimPath] {
        let roles = self.need.is_some() || self.role.is_some() || self.asks_for_any_role();
        if roles { &self.role_from } else { &[] }
    }

    /// Whether who does not say who they are may have a role.
    pub(crate) fn lets_strangers(&self) -> bool {
        self.anonymous.is_some()
    }

    pub(super) fn needs(&self) -> Needs {
        Needs {
            identity: self.about_somebody(),
            ..Needs::default()
        }
    }

    pub(super) fn gives(&self) -> Gives {
        Gives::default()
    }

    pub(super) fn response_work(&self) -> ResponseWork {
        ResponseWork::default()
    }

    pub(super) fn owned_headers(&self) -> &[http::HeaderName] {
        &[]
    }

    /// Whether anything but the connection's certificate is asked for.
    fn about_somebody(&self) -> bool {
        let wants = [&self.need, &self.role, &self.scope, &self.group];
        self.certificate.is_none()
            || wants.into_iter().any(Option::is_some)
            || !self.claims.is_empty()
    }

    pub(super) async fn ask<I: Io>(&self, turn: &mut Turn<'_, '_, I>) -> Answer {
        let identity = turn.facts.identity.as_deref();
        let claims = identity.map(|identity| &identity.claims);
        let held = self.held(claims);
        if self.suffices(&held, claims, turn.request.tls) {
            return Answer::Pass;
        }
        let note = self.note(&held, claims, turn.request.tls);
        turn.facts.notes.push((turn.id, note));
        Answer::deny(Reason::Forbidden)
    }

    fn held(&self, claims: Option<&Map<String, Value>>) -> Held {
        let mut held = Held::default();
        let Some(claims) = claims else {
            if let Some(role) = &self.anonymous {
                self.take(role, &mut held);
            }
            return held;
        };
        each(&self.role_from, claims, |role| self.take(role, &mut held));
        if let Some(need) = &self.need {
            each(&self.permission_from, claims, |one| {
                held.permissions |= need.bit(one);
            });
        }
        if let Some(scope) = &self.scope {
            each(&self.scope_from, claims, |text| {
                // RFC 8693, 4.2: one text, with spaces between.
                for one in text.split(' ') {
                    held.scopes |= scope.bit(one);
                }
            });
        }
        if let Some(group) = &self.group {
            each(&self.group_from, claims, |one| {
                held.groups |= group.bit(one);
            });
        }
        held
    }

    /// A role that the policy does not know brings nothing.
    fn take(&self, role: &str, held: &mut Held) {
        if let Some(grant) = self.grants.get(role) {
            held.known = true;
            held.permissions |= grant.permissions;
            held.roles |= grant.roles;
        }
    }

    fn suffices(
        &self,
        held: &Held,
        claims: Option<&Map<String, Value>>,
        tls: Option<&Tls>,
    ) -> bool {
        let somebody = claims.is_some() || held.known || !self.about_somebody();
        let met = |want: &Option<Want>, held| want.as_ref().is_none_or(|want| want.is_met_by(held));
        somebody
            && (held.known || !self.asks_for_any_role())
            && met(&self.need, held.permissions)
            && met(&self.role, held.roles)
            && met(&self.scope, held.scopes)
            && met(&self.group, held.groups)
            && self.unmet(claims).next().is_none()
            && self.certificate.as_ref().is_none_or(|shown| shown.by(tls))
    }

    /// Without any other demand: some role of the policy.
    fn asks_for_any_role(&self) -> bool {
        let wants = [&self.need, &self.role, &self.scope, &self.group];
        wants.into_iter().all(Option::is_none)
            && self.claims.is_empty()
            && self.certificate.is_none()
    }

    fn unmet<'s>(
        &'s self,
        claims: Option<&'s Map<String, Value>>,
    ) -> impl Iterator<Item = &'s ClaimPath> {
        let met = move |(path, wanted): &&'s (ClaimPath, Wanted)| {
            let value = claims.and_then(|claims| path.find(claims));
            !value.is_some_and(|value| wanted.is_met_by(value))
        };
        self.claims.iter().filter(met).map(|(path, _)| path)
    }

    /// What is missing, and what is there instead: for the event.
    fn note(&self, held: &Held, claims: Option<&Map<String, Value>>, tls: Option<&Tls>) -> String {
        let mut missing = Vec::new();
        let mut lacks = |what: &str, want: &Option<Want>, held: u64| {
            let want = want.as_ref().filter(|want| !want.is_met_by(held));
            missing.extend(want.map(|want| format!("{what} {}", want.missing(held))));
        };
        lacks("permission", &self.need, held.permissions);
        lacks("role", &self.role, held.roles);
        lacks("scope", &self.scope, held.scopes);
        lacks("group", &self.group, held.groups);
        missing.extend(self.unmet(claims).map(|path| format!("claim {path}")));
        if self.asks_for_any_role() && !held.known {
            missing.push("a role of the policy".to_owned());
        }
        if self
            .certificate
            .as_ref()
            .is_some_and(|shown| !shown.by(tls))
        {
            let shown = tls.and_then(|tls| tls.client_subject.as_deref());
            let shown = shown.map_or_else(|| "none".to_owned(), clipped);
            missing.push(format!("client certificate (shown: {shown})"));
        }
        let who = match (claims, &self.anonymous) {
            (Some(claims), _) => self.roles_of(claims),
            (None, Some(role)) => format!("nobody signed in, as {role}"),
            (None, None) => "nobody signed in".to_owned(),
        };
        format!("missing: {}; {who}", missing.join(", "))
    }

    fn roles_of(&self, claims: &Map<String, Value>) -> String {
        let mut roles = Vec::new();
        each(&self.role_from, claims, |role| {
            let unknown = if self.grants.contains_key(role) {
                ""
            } else {
                " (unknown)"
            };
            roles.push(format!("{}{unknown}", clipped(role)));
        });
        roles.truncate(8);
        match roles.is_empty() {
            true => "no role".to_owned(),
            false => format!("has {}", roles.join(", ")),
        }
    }
}

impl Shown {
    fn by(&self, tls: Option<&Tls>) -> bool {
        let Some(fingerprint) = tls.and_then(|tls| tls.client_fingerprint.as_deref()) else {
            return false;
        };
        let subject = tls
            .and_then(|tls| tls.client_subject.as_deref())
            .unwrap_or_default();
        let listed = self.fingerprints.iter().any(|one| one == fingerprint);
        let named = self.subjects.iter().any(|one| glob(one.as_bytes(), subject.as_bytes()));
        (self.fingerprints.is_empty() && self.subjects.is_empty()) || listed || named
    }
}

/// Every text that one of these claims is, or holds in a list.
fn each(paths: &[ClaimPath], claims: &Map<String, Value>, mut take: impl FnMut(&str)) {
    for value in paths.iter().filter_map(|path| path.find(claims)) {
        match value {
            Value::String(text) => take(text),
            Value::Array(items) => items.iter().filter_map(Value::as_str).for_each(&mut take),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => {}
        }
    }
}

/// What a token says may be of any length.
fn clipped(text: &str) -> String {
    text.chars().take(80).collect()
}

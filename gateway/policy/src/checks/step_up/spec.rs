//! `step_up` as operators write it, its defaults and its bounds.

use std::collections::BTreeMap;
use std::time;

use serde::Deserialize;

use super::totp::Algorithm;
use super::Check;
use crate::checks::authorize::ClaimPath;
use crate::checks::jwt::Wanted;
use crate::checks::OnError;
use crate::context::Context;
use crate::key;
use crate::limit::{self, Limit};
use crate::pages::form::{Guard, Secret};
use crate::request::Identity;
use crate::scalar::{Duration, Rate, Texts};
use crate::yaml::suggest;

const DAY: time::Duration = time::Duration::from_secs(86_400);

/// A way to prove a second factor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Method {
    /// Codes of an authenticator app (RFC 6238).
    Totp,
    /// Security keys and passkeys.
    Webauthn,
    /// Codes that were handed out at the set-up, for lost devices.
    BackupCode,
}

/// Who must have a second factor.
#[derive(Debug, Clone, Default, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Required {
    /// Everybody.
    #[serde(default)]
    all: bool,
    /// Users with one of these roles, or with one that includes it.
    #[serde(default)]
    roles: Texts,
    /// Users one of whose claims has this value (or one of these), such as {department: finance}.
    #[serde(default)]
    claims: BTreeMap<String, Wanted>,
}

/// Asks for a second factor: codes of an authenticator app, security keys and passkeys, backup codes. Users enrol on pages
/// of the gateway's own, which a route with `serve: [NAME]` shows; that route uses the session's check, and not this one.
///
/// `on_store_error: deny` (default) or `allow`.
#[derive(Debug, Clone, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    /// What counts: totp, webauthn, backup_code. Default: all of them.
    #[serde(default = "every_method")]
    methods: Vec<Method>,
    /// How long a proof holds, for the session that gave it. Default 15m, 1s to 24h.
    fresh: Option<Duration>,
    /// Users who must have a second factor; without one they are sent to enrol. Default: nobody.
    #[serde(default)]
    required: Required,
    /// Claims that hold the user's roles; a dotted path reaches into objects. Where a role is `required`, all that an
    /// `authorize` check of the same route reads roles from. Default role and roles.
    #[serde(default)]
    role_from: Texts,
    /// Users who need not have a second factor may enrol one, and are asked for it then. Default true.
    #[serde(default = "yes")]
    offer: bool,
    /// What apps call the account's owner. Default: the host.
    issuer: Option<String>,
    /// Wrong codes in a row, of one user and of one session: rates that all hold. Default 5/5m and 50/1d.
    #[serde(default)]
    attempts: Vec<Rate>,
    /// How long a set-up may take. Default 10m, 1s to 1h.
    set_up: Option<Duration>,
    /// How new apps make codes: SHA1 (the default, the only one that every app knows), SHA256, SHA512.
    #[serde(default)]
    algorithm: Algorithm,
    /// Digits of new apps' codes: 6 (the default) to 8.
    digits: Option<u8>,
    /// Domain that security keys are registered for. Default: the host. A parent domain makes them good for all below it.
    relying_party: Option<String>,
    /// Security keys must check their user's PIN or finger. Default false: touching them is enough.
    #[serde(default)]
    verify_user: bool,
}

fn every_method() -> Vec<Method> {
    vec![Method::Totp, Method::Webauthn, Method::BackupCode]
}

fn yes() -> bool {
    true
}

impl Required {
    fn nobody(&self) -> bool {
        !self.all && self.roles.0.is_empty() && self.claims.is_empty()
    }

    pub(super) fn by_role(&self) -> bool {
        !self.all && !self.roles.0.is_empty()
    }

    pub(super) fn holds(&self, identity: &Identity, role_from: &[ClaimPath]) -> bool {
        let is = |role: &serde_json::Value| role.as_str().is_some_and(|role| self.roles.0.iter().any(|known| known == role));
        let has_role = |claim: &ClaimPath| match claim.find(&identity.claims) {
            Some(serde_json::Value::Array(roles)) => roles.iter().any(is),
            Some(role) => is(role),
            None => false,
        };
        let says = |(claim, wanted): (&String, &Wanted)| {
            identity.claims.get(claim).is_some_and(|value| wanted.is_met_by(value))
        };
        self.all || role_from.iter().any(has_role) || self.claims.iter().any(says)
    }
}

impl Spec {
    pub(in crate::checks) fn compile(self, context: &mut Context<'_>) -> Option<Check> {
        let errors = context.errors();
        self.judge(context);
        let fresh = within(context, "fresh", self.fresh, time::Duration::from_secs(900), DAY);
        let hour = time::Duration::from_secs(3600);
        let set_up = within(context, "set_up", self.set_up, time::Duration::from_secs(600), hour);
        let role_from = if self.role_from.0.is_empty() {
            Texts(vec!["role".to_owned(), "roles".to_owned()])
        } else {
            self.role_from
        };
        (context.errors() == errors).then_some(())?;
        let mut required = self.required;
        let roles = context.roles;
        // Who may do more than an admin is one.
        let above = roles.names().filter(|name| required.roles.0.iter().any(|role| roles.is(name, role)));
        let above: Vec<String> = above.map(str::to_owned).collect();
        required.roles.0.extend(above);
        Some(Check {
            keys: context.keys,
            guard: Guard::new(context.keys),
            pepper: Secret::derived(context.keys, "backup codes"),
            pages: context.pages.to_owned(),
            methods: self.methods,
            fresh: fresh.as_secs(),
            required,
            role_from: role_from.0.iter().map(|path| ClaimPath::new(path)).collect(),
            offer: self.offer,
            issuer: self.issuer,
            limits: ["session", "user"].map(|whose| limits(whose, &self.attempts)),
            making: making(),
            set_up,
            algorithm: self.algorithm,
            digits: self.digits.unwrap_or(6),
            relying_party: self.relying_party.map(|domain| domain.to_ascii_lowercase()),
            verify_user: self.verify_user,
            open_without_store: context.on_store_error == Some(OnError::Allow),
        })
    }

    fn judge(&self, context: &mut Context<'_>) {
        if !self.methods.iter().any(|method| *method != Method::BackupCode) {
            let at = context.at.key("methods");
            context.error(at, "totp, webauthn or both: backup codes alone are no factor");
        }
        if self.required.nobody() && !self.offer {
            let at = context.at.key("offer");
            context.error(at, "nobody is required and nobody may: this check would ask no one");
        }
        let roles = context.roles;
        for (index, role) in self.required.roles.0.iter().enumerate() {
            if !roles.is_empty() && !roles.names().any(|name| name == role) {
                let hint = suggest::hint(role, roles.names());
                let at = context.at.key("required").key("roles").index(index);
                context.error(at, format!("there is no role `{role}`{hint}"));
            }
        }
        if !matches!(self.digits, None | Some(6..=8)) {
            let at = context.at.key("digits");
            context.error(at, "6, 7 or 8");
        }
        if self.attempts.iter().any(|rate| rate.max > 100 || rate.window > 31 * DAY) {
            let at = context.at.key("attempts");
            context.error(at, "at most 100 in at most 31d: codes must not be guessed");
        }
        if self.issuer.as_ref().is_some_and(|issuer| issuer.trim().is_empty() || issuer.len() > 64) {
            let at = context.at.key("issuer");
            context.error(at, "1 to 64 bytes");
        }
        let letters = |byte: u8| byte.is_ascii_alphanumeric() || b"-.".contains(&byte);
        if self.relying_party.as_ref().is_some_and(|domain| domain.is_empty() || !domain.bytes().all(letters)) {
            let at = context.at.key("relying_party");
            context.error(at, "a domain, such as example.com");
        }
        if context.on_store_error == Some(OnError::Local) {
            let at = context.at.key("on_store_error");
            context.error(at, "a second factor has no local share: write deny or allow");
        }
    }
}

/// The length of time, or the default; from a second to the most.
fn within(
    context: &mut Context<'_>,
    name: &str,
    given: Option<Duration>,
    default: time::Duration,
    most: time::Duration,
) -> time::Duration {
    let time = given.map_or(default, |given| given.0);
    if time < time::Duration::from_secs(1) || time > most {
        let at = context.at.key(name);
        context.error(at, format!("1s to {}", Duration(most)));
    }
    time
}

/// Backup codes anew: for people, five times an hour are plenty.
fn making() -> Limit {
    Limit {
        id: key::stable("backup-codes-made"),
        algorithm: limit::Algorithm::Window,
        max: 5,
        window: time::Duration::from_secs(3600),
        count_refused: false,
    }
}

/// The same for every check of this kind: users have their factors whichever route they come by.
fn limits(whose: &str, rates: &[Rate]) -> Vec<Limit> {
    let defaults = [(5, time::Duration::from_secs(300)), (50, DAY)];
    let given = rates.iter().map(|rate| (rate.max, rate.window));
    let rates: Vec<_> = if rates.is_empty() { defaults.to_vec() } else { given.collect() };
    let made = rates.into_iter().zip(0..).map(|((max, window), number)| Limit {
        id: key::stable(&format!("factor-attempts/{whose}/{number}")),
        algorithm: limit::Algorithm::Window,
        max,
        window,
        count_refused: false,
    });
    made.collect()
}

//! What operators write for `jwt`, and how it becomes a check. Every fault is reported, warnings too.

use std::collections::BTreeMap;

use http::HeaderName;
use http::header::AUTHORIZATION;
use jsonwebtoken::Algorithm;
use serde::Deserialize;

use super::cache::Cache;
use super::claims::{Rules, Wanted};
use super::keys::KeySet;
use super::source::Source;
use super::Check;
use crate::checks::OnError;
use crate::context::Context;
use crate::fault::Path;
use crate::scalar::{Duration, Texts};

const LEEWAY_MS: u64 = 30_000;
const MOST_LEEWAY_MS: u64 = 300_000;
const MOST_CACHED: u32 = 1_000_000;

/// Signature algorithms. `none` is not among them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, schemars::JsonSchema)]
#[expect(missing_docs, reason = "the names of RFC 7518 and RFC 8037")]
pub enum Signature {
    HS256,
    HS384,
    HS512,
    RS256,
    RS384,
    RS512,
    PS256,
    PS384,
    PS512,
    ES256,
    ES384,
    EdDSA,
}

/// Establishes who asks from a signed token (RFC 7519), or refuses.
#[derive(Debug, Clone, Default, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    /// Name of the secret that HS256, HS384 or HS512 tokens are signed with. Previous values are accepted as long as
    /// the secret says.
    pub(in crate::checks) secret: Option<String>,
    /// Public keys in PEM, in the policy itself.
    #[serde(default)]
    pub(in crate::checks) pem: Texts,
    /// Files of public keys or certificates in PEM.
    #[serde(default)]
    pub(in crate::checks) pem_files: Texts,
    /// Files with JSON Web Key Sets (RFC 7517).
    #[serde(default)]
    pub(in crate::checks) jwks: Texts,
    /// Algorithms that may be used, each by the keys it fits. Default: what a JWK says, else HS256 for a secret, RS256
    /// for RSA, ES256 or ES384 by curve, EdDSA.
    #[serde(default)]
    pub(in crate::checks) algorithms: Vec<Signature>,
    /// Accepted values of iss. Default: any.
    #[serde(default)]
    pub(in crate::checks) issuer: Texts,
    /// Accepted values of aud, one of which the token must name. Default: any.
    #[serde(default)]
    pub(in crate::checks) audience: Texts,
    /// How far clocks may be apart. Default 30s, at most 5m.
    pub(in crate::checks) leeway: Option<Duration>,
    /// Oldest accepted token, by iat, whatever its exp says.
    max_age: Option<Duration>,
    /// Claims that must have this value (or one of these), such as {token_type: access}. A token that calls itself a
    /// refresh token is refused even when nothing is required.
    #[serde(default)]
    pub(in crate::checks) require: BTreeMap<String, Wanted>,
    /// What the header's typ must say, such as at+jwt. Default: anything.
    pub(in crate::checks) typ: Option<String>,
    /// Header that holds the token. Default Authorization (Bearer), unless cookie or query are given.
    header: Option<String>,
    /// Cookie that holds the token.
    pub(in crate::checks) cookie: Option<String>,
    /// Query parameter that holds the token.
    query: Option<String>,
    /// Claim that names the user, for keys of limits and for events. Default sub.
    pub(in crate::checks) user: Option<String>,
    /// Claims that are sent upstream as headers, such as {sub: X-User-Id}. Clients cannot send these headers.
    #[serde(default)]
    pub(in crate::checks) forward: BTreeMap<String, String>,
    /// Claims that must be equal to a request header, such as {device_id: X-Device-Id}, where a token has them.
    #[serde(default)]
    bind: BTreeMap<String, String>,
    /// Look up whether the token (by jti) or its user was revoked. Without a store: deny, unless on_store_error says
    /// allow.
    #[serde(default)]
    pub(in crate::checks) revocation: bool,
    /// Let requests without a token pass as nobody. A wrong token is still refused.
    #[serde(default)]
    optional: bool,
    /// How many verified tokens are remembered, 0 to 1000000. Default 10000.
    cache: Option<u32>,
}

impl Spec {
    /// What another check writes in place of an operator.
    pub(in crate::checks) fn made(write: impl FnOnce(&mut Self)) -> Self {
        let mut spec = Self::default();
        write(&mut spec);
        spec
    }

    pub(in crate::checks) fn compile(self, context: &mut Context<'_>) -> Option<Check> {
        let faults = context.errors();
        let keys = self.keys(context);
        let source = self.source(context);
        let leeway_ms = self.leeway.map_or(LEEWAY_MS, Duration::millis);
        if leeway_ms > MOST_LEEWAY_MS {
            let at = context.at.key("leeway");
            context.error(at, "at most 5m: clocks that are further apart need repair, not leeway");
        }
        let cached = self.cache.unwrap_or(10_000);
        if cached > MOST_CACHED {
            let at = context.at.key("cache");
            context.error(at, format!("at most {MOST_CACHED}"));
        }
        if context.on_store_error == Some(OnError::Local) {
            let at = context.at.key("on_store_error");
            context.error(at, "a revocation has no local share: write deny or allow");
        }
        let forward = pairs(context, "forward", &self.forward, upstream_may_read);
        let bind = pairs(context, "bind", &self.bind, |_| true);
        (context.errors() == faults).then_some(())?;
        Some(Check {
            source,
            keys,
            typ: self.typ,
            owned: forward.iter().map(|(_, name)| name.clone()).collect(),
            rules: Rules {
                keys: context.keys,
                issuers: self.issuer.0,
                audiences: self.audience.0,
                leeway_ms,
                max_age_ms: self.max_age.map(Duration::millis),
                require: self.require,
                user: self.user.unwrap_or_else(|| "sub".to_owned()),
                forward,
                revocable: self.revocation,
            },
            bind,
            cache: Cache::new(cached as usize),
            revocation: self.revocation,
            open_without_store: context.on_store_error == Some(OnError::Allow),
            optional: self.optional,
        })
    }

    fn keys(&self, context: &mut Context<'_>) -> KeySet {
        let mut keys = KeySet::new(self.algorithms.iter().map(|one| one.algorithm()).collect());
        if let Some(name) = &self.secret {
            let at = context.at.key("secret");
            for value in context.secret(at.clone(), name).unwrap_or_default() {
                report(context, &at, keys.add_secret(&value));
                if value.len() < 32 {
                    let why = "shorter than 32 bytes: such a secret can be guessed from one token (RFC 8725, 3.5)";
                    context.warning(at.clone(), why);
                }
            }
        }
        for (index, text) in self.pem.0.iter().enumerate() {
            let at = context.at.key("pem").index(index);
            report(context, &at, keys.add_pem(text));
        }
        for (index, file) in self.pem_files.0.iter().enumerate() {
            let at = context.at.key("pem_files").index(index);
            let Some(bytes) = context.read(at.clone(), file) else { continue };
            let text = std::str::from_utf8(&bytes).map_err(|_| "is no text".to_owned());
            report(context, &at, text.and_then(|text| keys.add_pem(text)));
        }
        for (index, file) in self.jwks.0.iter().enumerate() {
            let at = context.at.key("jwks").index(index);
            let Some(bytes) = context.read(at.clone(), file) else { continue };
            match keys.add_jwks(&bytes) {
                Ok(left_out) => left_out.into_iter().for_each(|why| context.warning(at.clone(), why)),
                Err(why) => context.error(at, format!("{file} {why}")),
            }
        }
        self.judge_keys(context, &keys);
        keys
    }

    fn judge_keys(&self, context: &mut Context<'_>, keys: &KeySet) {
        if keys.is_empty() {
            let at = context.at.clone();
            context.error(at, "no usable key: give `secret`, `pem`, `pem_files` or `jwks`");
            return;
        }
        for algorithm in keys.unserved() {
            let at = context.at.key("algorithms");
            context.warning(at, format!("no key is for {algorithm:?}"));
        }
    }

    fn source(&self, context: &mut Context<'_>) -> Source {
        let header = match &self.header {
            Some(name) => header_name(context, context.at.key("header"), name),
            None if self.cookie.is_none() && self.query.is_none() => Some(AUTHORIZATION),
            None => None,
        };
        Source {
            header,
            cookie: self.cookie.clone(),
            query: self.query.clone(),
        }
    }
}

impl Signature {
    fn algorithm(self) -> Algorithm {
        match self {
            Self::HS256 => Algorithm::HS256,
            Self::HS384 => Algorithm::HS384,
            Self::HS512 => Algorithm::HS512,
            Self::RS256 => Algorithm::RS256,
            Self::RS384 => Algorithm::RS384,
            Self::RS512 => Algorithm::RS512,
            Self::PS256 => Algorithm::PS256,
            Self::PS384 => Algorithm::PS384,
            Self::PS512 => Algorithm::PS512,
            Self::ES256 => Algorithm::ES256,
            Self::ES384 => Algorithm::ES384,
            Self::EdDSA => Algorithm::EdDSA,
        }
    }
}

fn report(context: &mut Context<'_>, at: &Path, done: Result<(), String>) {
    if let Err(why) = done {
        context.error(at.clone(), why);
    }
}

fn header_name(context: &mut Context<'_>, at: Path, name: &str) -> Option<HeaderName> {
    let found = HeaderName::from_bytes(name.as_bytes()).ok();
    if found.is_none() {
        context.error(at, format!("`{name}` is not a header name"));
    }
    found
}

fn pairs(
    context: &mut Context<'_>,
    key: &str,
    of: &BTreeMap<String, String>,
    may: impl Fn(&HeaderName) -> bool,
) -> Vec<(String, HeaderName)> {
    let mut pairs = Vec::new();
    for (claim, name) in of {
        let at = context.at.key(key).key(claim);
        match header_name(context, at.clone(), name) {
            Some(found) if may(&found) => pairs.push((claim.clone(), found)),
            Some(found) => context.error(at, format!("`{found}` has a meaning of its own: choose another name")),
            None => {}
        }
    }
    pairs
}

/// A header that may tell the application about who asks, by its name in the policy.
pub(in crate::checks) fn upstream_header(context: &mut Context<'_>, key: &str, what: &str, name: &str) -> Option<HeaderName> {
    let of = BTreeMap::from([(what.to_owned(), name.to_owned())]);
    let found = pairs(context, key, &of, upstream_may_read);
    found.into_iter().next().map(|(_, name)| name)
}

/// Headers that carry a message or a connection carry no claims.
fn upstream_may_read(name: &HeaderName) -> bool {
    const NOT: [&str; 14] = [
        "host", "connection", "content-length", "transfer-encoding", "te", "trailer", "upgrade", "keep-alive",
        "content-type", "content-encoding", "expect", "cookie", "proxy-connection", "proxy-authorization",
    ];
    !NOT.contains(&name.as_str())
}

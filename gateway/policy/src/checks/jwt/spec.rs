//! What operators write for `jwt`, and how it becomes a check. Every fault is reported, warnings too.

use std::collections::BTreeMap;
use std::time;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::AUTHORIZATION;
use http::{HeaderName, HeaderValue};
use jsonwebtoken::Algorithm;
use serde::Deserialize;
use zeroize::Zeroizing;

use super::cache::Cache;
use super::claims::{Rules, Wanted};
use super::party::{Parties, Party};
use super::source::Source;
use super::Check;
use crate::checks::OnError;
use crate::context::Context;
use crate::fault::Path;
use crate::scalar::{Duration, Texts};

mod asked;
mod keyring;

pub(in crate::checks) use keyring::url;

use keyring::Keyring;

const LEEWAY_MS: u64 = 30_000;
const MOST_LEEWAY_MS: u64 = 300_000;
const MOST_CACHED: u32 = 1_000_000;
/// How long keys from a URL are used before newer ones are asked for, and without any answer. Seconds.
const REFRESH: u64 = 300;
const KEEP: u64 = 86_400;

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

/// Establishes who asks from a token (RFC 7519), or refuses.
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
    /// URL of a JSON Web Key Set. Kept and renewed ahead of time; a key that is not known asks again, every 30 seconds at
    /// most.
    jwks_url: Option<String>,
    /// URL of an issuer whose metadata (OpenID Connect Discovery) say where its keys are. It is the accepted iss as well.
    issuer_url: Option<String>,
    /// How long keys from a URL are used before newer ones are asked for. Default 5m, from 1s to 24h.
    jwks_refresh: Option<Duration>,
    /// How long the last good keys are used while their URL gives none. Default 24h, at most 30d.
    jwks_keep: Option<Duration>,
    /// Several issuers, each with its own keys, algorithms and audience, in place of those here: a token is checked with
    /// the keys of the issuer that it names, never with another's.
    #[serde(default)]
    issuers: Vec<Issuer>,
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
    /// Ask the issuer what a token is worth (RFC 7662): opaque ones, and all of them where there are no keys.
    introspection: Option<Introspect>,
    /// Ask somebody whether the user still counts.
    active: Option<Standing>,
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
    /// What precedes the token in the protocols that a WebSocket's client offers, such as `bearer.`: browsers can set no
    /// header there. The application does not see it.
    websocket_protocol: Option<String>,
    /// Claim that names the user, for keys of limits and for events. Default sub.
    pub(in crate::checks) user: Option<String>,
    /// Claims that are sent upstream as headers, such as {sub: X-User-Id}. Clients cannot send these headers.
    #[serde(default)]
    pub(in crate::checks) forward: BTreeMap<String, String>,
    /// Claims that must be equal to a request header, such as {device_id: X-Device-Id}, where a token has them.
    #[serde(default)]
    bind: BTreeMap<String, String>,
    /// Whether a token that is bound to a client certificate (RFC 8705) or to a key (DPoP, RFC 9449) by its cnf is good
    /// for the holder of that alone. Default true.
    confirm: Option<bool>,
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

/// One of several issuers.
#[derive(Debug, Clone, Default, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Issuer {
    /// Values of iss that are this issuer. Default: issuer_url.
    #[serde(default)]
    issuer: Texts,
    /// Name of the secret that its tokens are signed with.
    secret: Option<String>,
    /// Its public keys in PEM.
    #[serde(default)]
    pem: Texts,
    /// Files of its public keys or certificates in PEM.
    #[serde(default)]
    pem_files: Texts,
    /// Files with its JSON Web Key Sets.
    #[serde(default)]
    jwks: Texts,
    /// URL of its JSON Web Key Set.
    jwks_url: Option<String>,
    /// Its own URL, where its metadata say where its keys are.
    issuer_url: Option<String>,
    /// Algorithms that its tokens may use.
    #[serde(default)]
    algorithms: Vec<Signature>,
    /// Accepted values of aud. Default: any.
    #[serde(default)]
    audience: Texts,
    /// What the header's typ must say. Default: as the check says.
    typ: Option<String>,
}

/// Whom to ask what a token is worth (RFC 7662).
#[derive(Debug, Clone, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Introspect {
    /// URL of the introspection endpoint.
    url: String,
    /// Name that the gateway has there (`client_id`), for HTTP Basic with `secret`.
    client: Option<String>,
    /// Name of the secret that goes with `client`; without one it is a bearer token.
    secret: Option<String>,
    /// How long an answer is used, a good one at most until the token's exp. Default 30s, at most 1h.
    cache: Option<Duration>,
    /// For one question. Default 2s, at most 30s.
    timeout: Option<Duration>,
    /// Ask about signed tokens as well, in place of checking their signature here. Default: where there are no keys.
    always: Option<bool>,
}

/// Whom to ask whether a user still counts. Status 200 says yes, unless the answer is a JSON object with `active: false`;
/// 404 and 410 say no.
#[derive(Debug, Clone, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Standing {
    /// URL with `{user}` where the user's name goes.
    url: String,
    /// Name of the secret that is shown there as a bearer token.
    secret: Option<String>,
    /// How long an answer is used. Default 60s, at most 1h.
    cache: Option<Duration>,
    /// For one question. Default 2s, at most 30s.
    timeout: Option<Duration>,
    /// What to do when nobody answers. Default deny.
    on_error: Option<OnError>,
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
        let rules = Rules {
            keys: context.keys,
            issuers: self.issuer.0.iter().chain(&self.issuer_url).cloned().collect(),
            audiences: self.audience.0.clone(),
            leeway_ms,
            max_age_ms: self.max_age.map(Duration::millis),
            require: self.require.clone(),
            user: self.user.clone().unwrap_or_else(|| "sub".to_owned()),
            forward,
            revocable: self.revocation,
            active: self.active(context),
            confirm: self.confirm.unwrap_or(true),
        };
        let parties = self.parties(context, &rules);
        let introspection = self.introspection(context, &rules, parties.all.is_empty());
        (context.errors() == faults).then_some(())?;
        Some(Check {
            source,
            parties,
            introspection,
            owned: rules.forward.iter().map(|(_, name)| name.clone()).collect(),
            bind,
            keys: context.keys,
            cache: Cache::new(cached as usize),
            revocation: self.revocation,
            open_without_store: context.on_store_error == Some(OnError::Allow),
            optional: self.optional,
        })
    }

    fn parties(&self, context: &mut Context<'_>, rules: &Rules) -> Parties {
        let at = context.at.clone();
        if self.issuers.is_empty() {
            let ring = self.keyring(context);
            let (keys, published) = ring.keys(context, &at);
            let none = keys.is_empty() && published.is_none();
            if none && self.introspection.is_none() {
                context.error(at, "no usable key: give `secret`, `pem`, `pem_files`, `jwks`, `jwks_url` or `issuer_url`");
            }
            let party = Party {
                keys,
                published,
                typ: self.typ.clone(),
                rules: rules.clone(),
            };
            return Parties {
                all: (!none).then_some(party).into_iter().collect(),
                several: false,
            };
        }
        let own = self.keyring(context);
        if own.some() || !self.issuer.0.is_empty() || !self.audience.0.is_empty() || !self.algorithms.is_empty() {
            let why = "with `issuers` each has its own keys, `issuer`, `audience` and `algorithms`: none belong beside it";
            context.error(at.key("issuers"), why);
        }
        let all = self.issuers.iter().enumerate();
        let parties = all.map(|(index, one)| one.party(context, &at.key("issuers").index(index), self, rules));
        let parties: Vec<Party> = parties.collect();
        for (index, party) in parties.iter().enumerate() {
            let twice = |name: &&String| parties.iter().take(index).any(|other| other.rules.issuers.contains(name));
            if let Some(name) = party.rules.issuers.iter().find(twice) {
                context.error(at.key("issuers").index(index), format!("{name} stands here twice: whose keys are its own?"));
            }
        }
        Parties {
            all: parties,
            several: true,
        }
    }

    fn keyring(&self, context: &mut Context<'_>) -> Keyring<'_> {
        Keyring {
            secret: self.secret.as_ref(),
            pem: &self.pem.0,
            pem_files: &self.pem_files.0,
            jwks: &self.jwks.0,
            jwks_url: self.jwks_url.as_ref(),
            issuer_url: self.issuer_url.as_ref(),
            algorithms: self.algorithms.iter().map(|one| one.algorithm()).collect(),
            keep: self.keep(context),
        }
    }

    fn keep(&self, context: &mut Context<'_>) -> (time::Duration, time::Duration) {
        let refresh = context.bounded("jwks_refresh", self.jwks_refresh, (REFRESH, [1, 86_400]));
        let keep = context.bounded("jwks_keep", self.jwks_keep, (KEEP, [10, 30 * 86_400]));
        (refresh, keep.max(refresh))
    }

    fn source(&self, context: &mut Context<'_>) -> Source {
        let elsewhere = self.cookie.is_some() || self.query.is_some();
        let header = match &self.header {
            Some(name) => header_name(context, context.at.key("header"), name),
            None if !elsewhere => Some(AUTHORIZATION),
            None => None,
        };
        if self.websocket_protocol.as_ref().is_some_and(|prefix| !prefix.ends_with('.')) {
            let at = context.at.key("websocket_protocol");
            context.error(at, "what precedes the token ends with a dot, such as `bearer.`");
        }
        Source {
            header,
            cookie: self.cookie.clone(),
            query: self.query.clone(),
            websocket: self.websocket_protocol.clone(),
        }
    }
}

impl Issuer {
    fn party(&self, context: &mut Context<'_>, at: &Path, check: &Spec, rules: &Rules) -> Party {
        let ring = Keyring {
            secret: self.secret.as_ref(),
            pem: &self.pem.0,
            pem_files: &self.pem_files.0,
            jwks: &self.jwks.0,
            jwks_url: self.jwks_url.as_ref(),
            issuer_url: self.issuer_url.as_ref(),
            algorithms: self.algorithms.iter().map(|one| one.algorithm()).collect(),
            keep: check.keep(context),
        };
        let (keys, published) = ring.keys(context, at);
        if keys.is_empty() && published.is_none() {
            context.error(at.clone(), "no usable key for this issuer");
        }
        let issuers: Vec<String> = self.issuer.0.iter().chain(&self.issuer_url).cloned().collect();
        if issuers.is_empty() {
            context.error(at.key("issuer"), "which iss is it?");
        }
        Party {
            keys,
            published,
            typ: self.typ.clone().or_else(|| check.typ.clone()),
            rules: Rules {
                issuers,
                audiences: self.audience.0.clone(),
                ..rules.clone()
            },
        }
    }
}

/// RFC 6749, 2.3.1: both are form-encoded before they are joined.
pub(in crate::checks) fn basic(client: &str, secret: &[u8]) -> Option<HeaderValue> {
    let encoded = |bytes: &[u8]| form_urlencoded::byte_serialize(bytes).collect::<String>();
    let joined = Zeroizing::new(format!("{}:{}", encoded(client.as_bytes()), encoded(secret)));
    sensitive(&format!("Basic {}", STANDARD.encode(joined.as_bytes())))
}

pub(in crate::checks) fn bearer(token: &[u8]) -> Option<HeaderValue> {
    sensitive(&format!("Bearer {}", std::str::from_utf8(token).ok()?))
}

fn sensitive(text: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::try_from(text).ok()?;
    value.set_sensitive(true);
    Some(value)
}

impl Signature {
    pub(in crate::checks) fn algorithm(self) -> Algorithm {
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

//! The policy document as operators write it. Doc comments are the descriptions of the JSON Schema. It knows shapes;
//! what values mean together is `compile`'s business.

pub(crate) mod case;
pub(crate) mod gateway;
pub(crate) mod route;
pub(crate) mod secret;
pub(crate) mod upstream;
pub(crate) mod value;

use schemars::JsonSchema;
use serde::Deserialize;

use crate::checks::OnError;
pub(crate) use secret::{Secret, Source};
use value::{Entries, Moment, OneOrMany, Percent, Raw};

/// A Palisade policy: who may come in, what is checked, where it goes.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "Palisade policy")]
pub(crate) struct Document {
    /// Version of this language: 1.
    #[schemars(required)]
    pub(crate) version: Option<u32>,
    /// Other files of this policy, relative to this one; globs are read in order of name. Lists are joined, maps are
    /// joined key by key, and the same name twice is a fault.
    #[serde(default)]
    #[expect(dead_code, reason = "read with the text; here for the schema")]
    include: OneOrMany<String>,
    /// Where clients come in. Listeners that change need a restart.
    #[serde(default)]
    #[schemars(with = "Vec<gateway::Listen>")]
    #[expect(
        dead_code,
        reason = "read one by one: a broken one must not shift the others' places"
    )]
    listen: Raw,
    /// Metrics, health and the policy itself, for operators. Without it there is no such listener.
    pub(crate) admin: Option<gateway::Admin>,
    /// Where events go: one JSON line per request.
    #[serde(default)]
    pub(crate) events: gateway::Events,
    /// Proxies in front of the gateway whose forwarded headers are believed: the client is the rightmost address
    /// that is none of these.
    #[serde(default)]
    pub(crate) trusted_proxies: Vec<String>,
    /// Caps and deadlines that hold before any check is asked. All have defaults.
    #[serde(default)]
    pub(crate) limits: gateway::Limits,
    /// Answer header that carries the policy's hash, such as `X-Policy-Version`. Without it there is none.
    pub(crate) policy_header: Option<String>,
    /// The gateway's own pages: logging in, second factors, sessions. A route serves them: `serve: [second-factor]`.
    #[serde(default)]
    pub(crate) pages: gateway::Pages,
    /// How the gateway asks others: issuers of tokens, introspection, providers of secrets.
    #[serde(default)]
    pub(crate) remote: gateway::Remote,
    /// What the applications make of unusual paths.
    #[serde(default)]
    pub(crate) paths: crate::path::Rules,
    /// Groups of servers that requests go to, by name.
    #[serde(default)]
    #[schemars(with = "Entries<upstream::Upstream>")]
    #[expect(dead_code, reason = "read one by one")]
    upstreams: Raw,
    /// Where counters, leases, bans and revocations live.
    #[serde(default)]
    pub(crate) state: gateway::State,
    /// Secrets by name: references, never values.
    #[serde(default)]
    pub(crate) secrets: Entries<Secret>,
    /// What each role may do.
    #[serde(default)]
    pub(crate) roles: Entries<Role>,
    /// Checks by name, to be used by chains and routes.
    #[serde(default)]
    #[expect(dead_code, reason = "read one by one, by the word after `check:`")]
    checks: Raw,
    /// Named lists of checks and other chains.
    #[serde(default)]
    pub(crate) chains: Entries<Chain>,
    /// What is served. In order, the first match wins, and a request that matches none is refused.
    #[serde(default)]
    #[schemars(with = "Vec<route::Route>")]
    #[expect(dead_code, reason = "read one by one")]
    routes: Raw,
    /// Requests with the decision they must get: `palisade test`.
    #[serde(default)]
    #[schemars(with = "Vec<case::Case>")]
    #[expect(dead_code, reason = "read one by one")]
    tests: Raw,
    /// For every check that nothing nearer says it of: the check itself, its chain, its route.
    pub(crate) mode: Option<ModeWord>,
    /// Enforce on this share of clients, observe the rest. A client is always in or out.
    pub(crate) sample: Option<Percent>,
    /// When `mode` or `sample` ends and everything is enforced: a date (its first moment, UTC) or a time.
    pub(crate) until: Option<Moment>,
}

/// Whether refusals refuse.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ModeWord {
    /// Refusals refuse.
    Enforce,
    /// Everything is evaluated and reported as `would`; counters advance; nothing is refused.
    Observe,
    /// Not asked at all.
    Disabled,
}

/// What a role may do.
#[derive(Debug)]
pub(crate) struct Role {
    /// Roles whose permissions it has as well.
    pub(crate) includes: Vec<String>,
    /// Its own permissions.
    pub(crate) allow: Vec<String>,
}

/// A named list of checks.
#[derive(Debug)]
pub(crate) struct Chain {
    pub(crate) list: Vec<String>,
    pub(crate) mode: Option<ModeWord>,
    pub(crate) sample: Option<Percent>,
    pub(crate) until: Option<Moment>,
}

/// A role written as a map.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename = "Role")]
pub(crate) struct RoleMap {
    /// Roles whose permissions it has as well.
    #[serde(default)]
    includes: Vec<String>,
    /// Its own permissions; `*` is all of them.
    #[serde(default)]
    allow: Vec<String>,
}

/// A chain written as a map.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename = "Chain")]
pub(crate) struct ChainMap {
    /// Checks and chains, in the order they are asked.
    #[serde(rename = "use")]
    list: Vec<String>,
    /// For the checks of this chain that say nothing themselves.
    mode: Option<ModeWord>,
    /// Enforce on this share of clients, observe the rest.
    sample: Option<Percent>,
    /// When `mode` or `sample` ends: a date (its first moment, UTC) or a time.
    until: Option<Moment>,
}

value::list_or_map! { Role, RoleMap;
    |list| Self { includes: Vec::new(), allow: list },
    |map| Self { includes: map.includes, allow: map.allow }
}

value::list_or_map! { Chain, ChainMap;
    |list| Self { list, mode: None, sample: None, until: None },
    |map| Self { list: map.list, mode: map.mode, sample: map.sample, until: map.until }
}

/// Keys that every check has, whatever its kind.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Generic {
    /// Kind of check.
    #[expect(
        dead_code,
        reason = "read from the tree, where a wrong one is reported with suggestions"
    )]
    check: Option<String>,
    /// Whether refusals refuse; nearer than the chain's, the route's and the policy's.
    pub(crate) mode: Option<ModeWord>,
    /// Enforce on this share of clients, observe the rest.
    pub(crate) sample: Option<Percent>,
    /// When `mode` or `sample` ends: a date (its first moment, UTC) or a time.
    pub(crate) until: Option<Moment>,
    /// No route may change, skip or relax it. Default: false.
    #[serde(default)]
    pub(crate) locked: bool,
    /// What happens when the check itself fails: `deny`, `allow` or `local`. Default: each kind's own.
    pub(crate) on_error: Option<OnError>,
    /// What happens when a store gives no answer: `deny`, `allow` or `local`. Default: `on_error`, else each kind's own.
    pub(crate) on_store_error: Option<OnError>,
}

/// The keys of [`Generic`].
pub(crate) const GENERIC_KEYS: &[&str] = &[
    "check",
    "mode",
    "sample",
    "until",
    "locked",
    "on_error",
    "on_store_error",
];

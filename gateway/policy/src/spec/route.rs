//! Routes, as operators write them.

use schemars::JsonSchema;
use serde::Deserialize;

use super::ModeWord;
use super::value::{Entries, Moment, OneOrMany, Percent, Raw};
use crate::scalar::{Duration, Size};

/// What is served, what is asked first, and where it goes.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Route {
    /// Name in events and metrics; unique.
    #[schemars(required)]
    pub(crate) name: Option<String>,
    /// Which requests it is for; everything that is named must fit. Default: all of them.
    #[serde(default, rename = "match")]
    pub(crate) matches: Match,
    /// Upstream group that permitted requests go to. Every route has either this or `serve`.
    pub(crate) to: Option<String>,
    /// Checks whose own pages this route serves in place of an application: `serve: [second-factor]`. Its `match` is the
    /// path of all pages, `/.palisade/*` unless `pages.path` says otherwise.
    #[serde(default)]
    pub(crate) serve: OneOrMany<String>,
    /// Checks and chains, in the order they are asked.
    #[serde(default, rename = "use")]
    pub(crate) list: Vec<String>,
    /// Keys of a check that are different for this route, by the check's name: `{per-ip: {limit: 5/1m}}`.
    #[serde(default)]
    #[expect(dead_code, reason = "laid over the check's own keys in the tree")]
    with: Entries<Raw>,
    /// Checks of its chains that this route leaves out, each with the reason: `{csrf: "the API has no cookies"}`.
    #[serde(default)]
    pub(crate) skip: Entries<String>,
    /// For the checks of this route that nothing nearer says it of: the check itself, its chain.
    pub(crate) mode: Option<ModeWord>,
    /// Enforce on this share of clients, observe the rest.
    pub(crate) sample: Option<Percent>,
    /// When `mode` or `sample` ends: a date (its first moment, UTC) or a time.
    pub(crate) until: Option<Moment>,
    /// Why nobody has to say who they are. Needed when no check of the route establishes it.
    pub(crate) public: Option<String>,
    /// Largest body. Default: `limits.max_body`.
    pub(crate) max_body: Option<Size>,
    /// Bodies may stay open without end, as gRPC streams do: no body deadline, no minimum rate. Default: false.
    #[serde(default)]
    pub(crate) stream: bool,
    /// How often open WebSockets and streams are asked whether what let them in still holds; 0s: they are left. Default:
    /// `limits.recheck`.
    pub(crate) recheck: Option<Duration>,
}

/// Which requests a route is for.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Match {
    /// `shop.example.com` or `*.example.com`; without a port. Default: any.
    #[serde(default)]
    pub(crate) host: OneOrMany<String>,
    /// Methods, in capitals; GET is HEAD as well. Default: any.
    #[serde(default)]
    pub(crate) method: OneOrMany<String>,
    /// `/healthz` exactly, `/api/*` for it and everything below, `{id}` for one segment. Default: any.
    #[serde(default)]
    pub(crate) path: OneOrMany<String>,
    /// Header fields that must be there: the value, `prefix*`, or `*` for any.
    #[serde(default)]
    pub(crate) headers: Entries<String>,
}

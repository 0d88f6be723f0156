//! Requests with the decision they must get, as operators write them under `tests:`.

use schemars::JsonSchema;
use serde::Deserialize;

use super::value::{Entries, OneOrMany};
use crate::scalar::Duration;

/// A request and the decision it must get.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Case {
    /// What it claims.
    pub(crate) name: String,
    /// What is sent.
    pub(crate) request: CaseRequest,
    /// Who asks, as if the route's checks had established it: its token or session checks are not asked.
    #[serde(rename = "as")]
    pub(crate) identity: Option<CaseIdentity>,
    /// How often it is sent; the last decision counts. Default: 1, at most 100000.
    pub(crate) times: Option<u32>,
    /// Time that passes before it is sent.
    pub(crate) after: Option<Duration>,
    /// Whether counters go on from the test before. Default: false, every test begins afresh.
    #[serde(default)]
    pub(crate) follows: bool,
    /// Whether it stays open, so that the places it took (`concurrency`) are not given back. Default: false.
    #[serde(default)]
    pub(crate) hold: bool,
    /// The decision.
    pub(crate) expect: Expect,
}

/// A request to be decided.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CaseRequest {
    /// Default: GET.
    pub(crate) method: Option<String>,
    /// Path and query as a client sends them. Default: /.
    pub(crate) path: Option<String>,
    /// Default: localhost.
    pub(crate) host: Option<String>,
    /// Client address. Default: 192.0.2.1.
    pub(crate) client: Option<String>,
    /// `http` or `https`. Default: https.
    pub(crate) scheme: Option<String>,
    /// Header fields.
    #[serde(default)]
    pub(crate) headers: Entries<OneOrMany<String>>,
    /// Body, as text.
    pub(crate) body: Option<String>,
    /// Whether it asks for a WebSocket. Default: false.
    #[serde(default)]
    pub(crate) websocket: bool,
}

/// Who asks.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CaseIdentity {
    /// Subject. Default: test.
    pub(crate) user: Option<String>,
    /// The claim `role`.
    pub(crate) role: Option<String>,
    /// Further claims.
    #[serde(default)]
    pub(crate) claims: serde_json::Map<String, serde_json::Value>,
}

/// The decision that must come out. What is not named is not compared.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Expect {
    /// `allow`, `deny` or `challenge`.
    pub(crate) action: Option<ActionWord>,
    /// Status of the refusal or of the gateway's own answer; 200 stands for a permitted request.
    pub(crate) status: Option<u16>,
    /// Check that decided.
    pub(crate) by: Option<String>,
    /// Its reason, as in events.
    pub(crate) reason: Option<String>,
    /// Route that matched.
    pub(crate) route: Option<String>,
    /// Checks that would have refused, had they not only observed.
    pub(crate) would: Option<OneOrMany<String>>,
    /// Header fields that the gateway sets on the answer.
    #[serde(default)]
    pub(crate) headers: Entries<String>,
    /// Header fields that the gateway sets on the request to the upstream.
    #[serde(default)]
    pub(crate) forwarded: Entries<String>,
}

/// What is done with a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ActionWord {
    /// Sent upstream, or answered as the policy allows.
    Allow,
    /// Refused.
    Deny,
    /// Asked for more.
    Challenge,
}

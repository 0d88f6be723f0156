//! The gateway itself, as operators write it: listeners, admin, events, limits, state.

use schemars::JsonSchema;
use serde::Deserialize;

use super::value::OneOrMany;
use crate::scalar::{Duration, Size};

/// Where clients come in.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Listen {
    /// Address and port, such as `0.0.0.0:8443` or `[::]:8443`, or `unix:/path/to/socket`.
    pub(crate) address: String,
    /// TLS ends here.
    pub(crate) tls: Option<ListenTls>,
    /// Accept HTTP/2 with prior knowledge on a plain listener. Default: false.
    #[serde(default)]
    pub(crate) h2c: bool,
    /// Every connection starts with a PROXY protocol header, version 1 or 2. Default: false.
    #[serde(default)]
    pub(crate) proxy_protocol: bool,
}

/// TLS of a listener.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ListenTls {
    /// Certificates; the first serves clients that name no server or an unknown one. Replaced files are picked up.
    pub(crate) certificates: Vec<Certificate>,
    /// Oldest version accepted. Default: "1.2".
    #[serde(default)]
    pub(crate) min: Min,
    /// Client certificates.
    pub(crate) client_auth: Option<ClientAuth>,
    /// Protocols offered, most wanted first. Default: [h2, http/1.1].
    pub(crate) alpn: Option<Vec<AlpnWord>>,
}

/// A certificate chain and its key.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Certificate {
    /// PEM file of the chain, leaf first.
    pub(crate) cert: String,
    /// PEM file of the private key.
    pub(crate) key: String,
    /// Server names it serves, `*.example.com` allowed. Default: those in the certificate.
    #[serde(default)]
    pub(crate) names: OneOrMany<String>,
}

/// TLS versions.
#[derive(Debug, Clone, Copy, Default, Deserialize, JsonSchema)]
pub(crate) enum Min {
    /// TLS 1.2.
    #[default]
    #[serde(rename = "1.2")]
    V1_2,
    /// TLS 1.3.
    #[serde(rename = "1.3")]
    V1_3,
}

/// Protocols of ALPN.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
pub(crate) enum AlpnWord {
    /// HTTP/2.
    #[serde(rename = "h2")]
    H2,
    /// HTTP/1.1.
    #[serde(rename = "http/1.1")]
    Http1,
}

/// Client certificates.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ClientAuth {
    /// PEM file of the authorities that may have signed.
    pub(crate) ca: String,
    /// Refuse clients that show none. Default: true.
    #[serde(default = "yes")]
    pub(crate) require: bool,
}

pub(super) fn yes() -> bool {
    true
}

/// The admin listener.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Admin {
    /// Address and port, or `unix:/path/to/socket`, which only the gateway's own user can open. Without `token` an
    /// address answers `/metrics`, `/healthz` and `/readyz` alone, and must be one of this machine. Default:
    /// 127.0.0.1:9900.
    #[serde(default = "admin_address")]
    pub(crate) address: String,
    /// Path of a Unix socket beside `address`, for commands: only the gateway's own user can open it (mode 0600), so it asks
    /// for no token where `token` names none. From the policy's folder.
    pub(crate) socket: Option<String>,
    /// Name of the secret that is asked for as a bearer token, by `address` and by `socket`.
    pub(crate) token: Option<String>,
}

fn admin_address() -> String {
    "127.0.0.1:9900".to_owned()
}

/// Where events go.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Events {
    /// A file, reopened on SIGUSR1. Default: standard output.
    pub(crate) file: Option<String>,
    /// Whether events hold the query, which may be personal data. Default: false.
    #[serde(default)]
    pub(crate) query: bool,
    /// Whether events hold what a rule saw where it matched, and its log data, with personal data masked: passwords and
    /// the like stay readable. Default: false.
    #[serde(default)]
    pub(crate) values: bool,
    /// What a request does when events cannot be written fast enough: `wait` for the disk, or go on and `drop` the
    /// line, which is counted. Default: wait.
    #[serde(default)]
    pub(crate) when_full: crate::settings::WhenFull,
}

/// How the gateway asks others: issuers of tokens, introspection, providers of secrets.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Remote {
    /// PEM file of the authorities that their certificates are believed by. Default: the system's.
    pub(crate) ca: Option<String>,
}

/// Where the gateway's own pages are.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Pages {
    /// Path that all of them are below; the application must have nothing there. Default: /.palisade.
    pub(crate) path: Option<String>,
}

/// Caps and deadlines before any check.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Limits {
    /// From a request's first byte to the end of its header. Default: 10s, at most 5m.
    pub(crate) header_deadline: Option<Duration>,
    /// Request line and header fields together. Default: 32KiB, at most 1MiB.
    pub(crate) header_bytes: Option<Size>,
    /// Header fields of a request. Default: 100, at most 256.
    pub(crate) header_count: Option<u64>,
    /// Length of the request target. Default: 8KiB, at most 64KiB.
    pub(crate) uri_length: Option<Size>,
    /// From the end of the header to the end of the body. Default: 5m, at most 24h.
    pub(crate) body_deadline: Option<Duration>,
    /// Bytes a second that a body must reach after its first ten seconds. Default: 256B, at most 1GiB; 0B: any.
    pub(crate) min_body_rate: Option<Size>,
    /// Largest body of a route that says nothing itself. Default: 10MiB, at most 64GiB.
    pub(crate) max_body: Option<Size>,
    /// Bodies held back until they are checked, all together. Default: 256MiB, at most 64GiB.
    pub(crate) held_body_total: Option<Size>,
    /// Answers held back until they are checked, all together. Default: 256MiB, at most 64GiB.
    pub(crate) held_response_total: Option<Size>,
    /// Connections in total. Default: 20000, at most 1000000.
    pub(crate) connections: Option<u64>,
    /// Connections of one client, an IPv4 address or an IPv6 /64. Default: 1000, at most 1000000.
    pub(crate) connections_per_client: Option<u64>,
    /// Requests on one connection. Default: 1000, at most 1000000.
    pub(crate) keepalive_requests: Option<u64>,
    /// How long an HTTP/1 request may have waited for the gateway itself when more comes than it can judge: beyond that it is
    /// refused at once (503 with Retry-After), and the others are served in time. Twice what a request takes on a quiet day
    /// is tight, the patience of the clients is loose. Default: 5s, 20ms to 1m; 0s: never refused
    /// for that.
    pub(crate) queue: Option<Duration>,
    /// How long a connection may wait for its next request. Default: 60s, at most 1h.
    pub(crate) idle_timeout: Option<Duration>,
    /// How long requests in flight may go on after SIGTERM. Default: 30s, at most 1h.
    pub(crate) drain: Option<Duration>,
    /// How often an open WebSocket, server-sent events or another stream is asked whether what let it in still holds: its
    /// session, token or key, and that neither client nor user is banned. One that would be refused by now is cut. Default:
    /// 5s, at most 1h; 0s: never.
    pub(crate) recheck: Option<Duration>,
}

/// Where counters, leases and values (bans, sessions, enrolments) live. A change needs a restart.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct State {
    /// memory (the default): a restart empties it. file: values outlive a restart, even kill -9. redis: shared by every
    /// gateway that uses the same Redis or Valkey.
    #[serde(default)]
    pub(crate) kind: StateKind,
    /// Most keys kept in each store of this node; when full, the oldest counters go first, new values are refused.
    /// Default: 1000000, at most 100000000.
    pub(crate) max_keys: Option<u64>,
    /// file: where it is. Made with mode 0600; one gateway at a time uses it.
    pub(crate) path: Option<String>,
    /// redis: `redis://host:6379/0`, `rediss://` over TLS, `redis+sentinel://a:26379,b:26379/name`,
    /// `redis+cluster://a:6379,b:6379`, `unix:/run/redis.sock`. Several are nodes of one cluster. No passwords here.
    #[serde(default)]
    pub(crate) urls: OneOrMany<String>,
    /// redis: user of its access lists (ACL). Default: the server's default user.
    pub(crate) user: Option<String>,
    /// redis: name of the secret that is its password.
    pub(crate) password: Option<String>,
    /// redis: name of the secret that is the password of the sentinels. Default: they ask for none.
    pub(crate) sentinel_password: Option<String>,
    /// redis over TLS: PEM file of the authorities that sign its certificate. Default: the machine's.
    pub(crate) ca: Option<String>,
    /// redis: every key begins with it, so that two deployments can share a server. Default: palisade.
    pub(crate) prefix: Option<String>,
    /// Name of the secret that sessions, enrolments, users, keys and networks are sealed with (AES-256-GCM), at least 32
    /// bytes. Its `previous` still opens. Default: not sealed, and said so.
    pub(crate) seal: Option<String>,
    /// redis: longest that one operation may take. Default: 100ms, from 5ms to 5s.
    pub(crate) timeout: Option<Duration>,
    /// redis: how often the list of bans is fetched for new connections. Default: 200ms, from 50ms to 1m.
    pub(crate) sync: Option<Duration>,
    /// redis: after how long places of a gateway that crashed come free. Default: 30s, from 1s to 10m.
    pub(crate) lease: Option<Duration>,
}

/// Kinds of store.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum StateKind {
    /// In this process.
    #[default]
    Memory,
    /// Values in a file.
    File,
    /// In Redis or Valkey.
    Redis,
}

//! What a policy says about the gateway itself: listeners, upstream groups, hardening limits. Compiled and checked;
//! the server builds sockets and peers from it. Paths are as written: relative ones start at the policy's folder.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::HeaderName;
use zeroize::Zeroizing;

use crate::networks::Networks;

pub mod secret;
mod state;

pub use state::{Reach, Redis, State, StateKind};

/// Everything about the gateway that is not a route.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// Where clients come in.
    pub listeners: Vec<Listener>,
    /// The admin listener; `None` when the policy names none.
    pub admin: Option<Admin>,
    /// Where events go.
    pub events: Events,
    /// Hops whose forwarded headers are believed.
    pub trusted_proxies: Arc<Networks>,
    /// What unusual paths mean.
    pub paths: crate::path::Rules,
    /// Caps and deadlines that hold before any policy.
    pub limits: Hardening,
    /// Upstream groups, by [`crate::decision::UpstreamId`].
    pub upstreams: Vec<Upstream>,
    /// Where counters, leases, bans and revocations live.
    pub state: State,
    /// How others are asked.
    pub remote: Remote,
    /// The gateway's own pages.
    pub pages: Pages,
    /// Answer header that carries the policy's hash, when asked for.
    pub policy_header: Option<HeaderName>,
}

/// How others are asked: issuers of tokens, introspection, providers of secrets.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Remote {
    /// Authorities (PEM) that their certificates are believed by; `None`: the system's.
    pub ca: Option<Bytes>,
}

/// Where the gateway's own pages are: logging in, second factors, sessions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pages {
    /// Path that all of them are below, without a slash at its end.
    pub path: String,
}

impl Default for Pages {
    fn default() -> Self {
        Self {
            path: "/.palisade".to_owned(),
        }
    }
}

/// Where clients come in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listener {
    /// Address or socket path.
    pub address: ListenAddress,
    /// TLS, when it ends here.
    pub tls: Option<ListenerTls>,
    /// Whether plain connections may speak HTTP/2 with prior knowledge.
    pub h2c: bool,
    /// Whether every connection starts with a PROXY protocol header (v1 or v2).
    pub proxy_protocol: bool,
}

/// What to bind.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum ListenAddress {
    /// Address and port.
    Tcp(SocketAddr),
    /// Unix socket.
    Unix(String),
}

impl ListenAddress {
    /// Whether only this machine reaches it.
    #[must_use]
    pub fn is_local(&self) -> bool {
        match self {
            Self::Tcp(address) => address.ip().is_loopback(),
            Self::Unix(_) => true,
        }
    }
}

impl std::str::FromStr for ListenAddress {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.strip_prefix("unix:") {
            Some("") => Err("`unix:` needs a path: unix:/run/palisade.sock".to_owned()),
            Some(path) => Ok(Self::Unix(path.to_owned())),
            None => socket(text).map(Self::Tcp),
        }
    }
}

fn socket(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| {
        let hint = match text.rsplit_once(':') {
            Some(("" | "*", port)) => format!(": write 0.0.0.0:{port}"),
            Some(("localhost", port)) => format!(": write 127.0.0.1:{port}"),
            _ => ": write one like 0.0.0.0:8080 or [::]:8080".to_owned(),
        };
        format!("`{text}` is not an address and a port{hint}")
    })
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix:{path}"),
        }
    }
}

/// TLS of a listener.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListenerTls {
    /// At least one; the first serves clients that name no server, or an unknown one.
    pub certificates: Vec<Certificate>,
    /// Oldest version that is accepted.
    pub min: TlsVersion,
    /// Whether clients must show a certificate.
    pub client_auth: Option<ClientAuth>,
    /// Protocols offered by ALPN, in order of preference.
    pub alpn: Vec<Alpn>,
}

/// A certificate chain and its key, PEM files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate {
    /// Chain, leaf first.
    pub cert: String,
    /// Private key.
    pub key: String,
    /// Server names it serves; empty: those in the certificate.
    pub names: Vec<String>,
}

/// TLS versions that exist here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum TlsVersion {
    /// TLS 1.2.
    V1_2,
    /// TLS 1.3.
    V1_3,
}

/// Protocols of ALPN.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Alpn {
    /// `h2`.
    H2,
    /// `http/1.1`.
    Http1,
}

/// Client certificates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientAuth {
    /// PEM file of the authorities that may have signed.
    pub ca: String,
    /// Whether a client without a certificate is refused.
    pub require: bool,
}

/// The admin listener.
#[derive(Debug, Clone)]
pub struct Admin {
    /// A Unix socket, loopback, or any address when `token` is set.
    pub address: ListenAddress,
    /// A Unix socket beside it.
    pub socket: Option<ListenAddress>,
    /// Bearer tokens that are accepted: current first, then previous ones. Empty: a socket asks for none, an address
    /// answers metrics and probes alone (never beyond this machine).
    pub tokens: Vec<Secret>,
}

/// A secret that prints as dots.
#[derive(Clone)]
pub struct Secret(pub Zeroizing<Vec<u8>>);

/// Bytes of a secret that does not become a shorter one while the gateway runs.
const STRONG: usize = 32;

impl Secret {
    /// Whether it may take the place of `before`.
    ///
    /// # Errors
    /// A sentence, where it is a short one in the place of a long one: a value that is being written, or a slip.
    pub fn replaces(&self, before: &Self) -> Result<(), String> {
        if before.0.len() >= STRONG && self.0.len() < STRONG {
            return Err(format!(
                "the new value is shorter than {STRONG} bytes, the one in service is not"
            ));
        }
        Ok(())
    }
}

/// Whether a reload changed something: no client has a say in what is compared.
impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        *self.0 == *other.0
    }
}

impl Eq for Secret {}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("•••")
    }
}

/// Where events go.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Events {
    /// A file, reopened on SIGUSR1; `None`: stdout.
    pub file: Option<String>,
    /// Whether the query is part of an event: it may hold personal data.
    pub query: bool,
    /// Whether what a rule saw is part of an event: it may hold anything that clients send.
    pub values: bool,
    /// What a request does when events cannot be written fast enough.
    pub when_full: WhenFull,
}

/// What a request does when events cannot be written fast enough.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum WhenFull {
    /// Waits: nothing is lost, and a stuck disk is felt.
    #[default]
    Wait,
    /// Goes on: the line is lost and counted, and a later event says how many were.
    Drop,
}

/// Caps and deadlines that hold before any policy is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hardening {
    /// From the first byte of a request (or of the connection) to the end of its header.
    pub header_deadline: Duration,
    /// Request line and header fields together, bytes.
    pub header_bytes: usize,
    /// Header fields.
    pub header_count: usize,
    /// Request target, bytes.
    pub uri_length: usize,
    /// From the end of the header to the end of the body.
    pub body_deadline: Duration,
    /// Bytes per second that a body must reach on average after its first ten seconds; zero: any rate.
    pub min_body_rate: u64,
    /// Largest body of a route that says nothing itself, bytes.
    pub max_body: u64,
    /// Bytes of bodies held back at the same time, over all requests.
    pub held_body_total: u64,
    /// Bytes of answers held back at the same time, over all requests.
    pub held_response_total: u64,
    /// Connections, in total.
    pub connections: usize,
    /// Connections per client (an IPv4 address or an IPv6 /64).
    pub connections_per_client: usize,
    /// Requests on one connection.
    pub keepalive_requests: u32,
    /// How long a request may have waited for the gateway before it is refused; zero: for ever.
    pub queue: Duration,
    /// How long a connection may wait for its next request.
    pub idle_timeout: Duration,
    /// How long requests in flight may go on after SIGTERM.
    pub drain: Duration,
    /// How often a WebSocket or a stream that is open is asked whether what let it in still holds; zero: never.
    pub recheck: Duration,
}

impl Default for Hardening {
    fn default() -> Self {
        Self {
            header_deadline: Duration::from_secs(10),
            header_bytes: 32 << 10,
            header_count: 100,
            uri_length: 8 << 10,
            body_deadline: Duration::from_secs(300),
            min_body_rate: 256,
            max_body: 10 << 20,
            held_body_total: 256 << 20,
            held_response_total: 256 << 20,
            connections: 20_000,
            connections_per_client: 1_000,
            keepalive_requests: 1_000,
            queue: Duration::from_secs(5),
            idle_timeout: Duration::from_secs(60),
            drain: Duration::from_secs(30),
            recheck: Duration::from_secs(5),
        }
    }
}

/// A group of servers that serve the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upstream {
    /// Name in the policy.
    pub name: String,
    /// At least one.
    pub servers: Vec<Server>,
    /// Who is next.
    pub balance: Balance,
    /// Active health checks.
    pub health: Option<Health>,
    /// Timeouts; every one has a default.
    pub timeouts: Timeouts,
    /// TLS towards the servers.
    pub tls: Option<UpstreamTls>,
    /// What is spoken.
    pub protocol: Protocol,
    /// How often a request that no server has seen yet is tried again elsewhere.
    pub retries: u32,
    /// Idle connections kept per server.
    pub keepalive: usize,
}

/// One server of a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    /// Where it listens.
    pub address: ServerAddress,
    /// Share of requests against the others, 1 to 1000.
    pub weight: u16,
}

/// Where a server listens.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum ServerAddress {
    /// Host name (resolved by the server crate) or address, without brackets, and port.
    Tcp(String, u16),
    /// Unix socket.
    Unix(String),
}

impl fmt::Display for ServerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(host, port) if host.contains(':') => write!(f, "[{host}]:{port}"),
            Self::Tcp(host, port) => write!(f, "{host}:{port}"),
            Self::Unix(path) => write!(f, "unix:{path}"),
        }
    }
}

/// Who is next. All of them honour weights.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Balance {
    /// In turn.
    RoundRobin,
    /// By chance.
    Random,
    /// The same key goes to the same server as long as it is healthy (ketama).
    ConsistentHash(HashKey),
}

/// What a consistent hash hashes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HashKey {
    /// The client's address.
    Client,
    /// The canonical path.
    Path,
    /// The authenticated user; the client's address without one.
    User,
    /// A header's value.
    Header(HeaderName),
    /// A cookie's value.
    Cookie(String),
}

/// Active health checks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Health {
    /// Path of the probe.
    pub path: String,
    /// Host header of the probe; `None`: the server's own address.
    pub host: Option<String>,
    /// Time between probes.
    pub every: Duration,
    /// Time for an answer.
    pub timeout: Duration,
    /// Good answers in a row until a server counts as healthy again.
    pub healthy_after: u32,
    /// Bad ones in a row until it does not.
    pub unhealthy_after: u32,
    /// Status ranges that count as good, both ends included.
    pub expect: Vec<(u16, u16)>,
}

/// Timeouts towards an upstream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timeouts {
    /// For a connection, TLS included.
    pub connect: Duration,
    /// Between two reads.
    pub read: Duration,
    /// For a write.
    pub write: Duration,
    /// How long an idle connection is kept.
    pub idle: Duration,
}

/// TLS towards an upstream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpstreamTls {
    /// Server name to ask for and to verify; `None`: the server's host.
    pub sni: Option<String>,
    /// Whether the certificate is verified.
    pub verify: bool,
    /// PEM file of authorities; `None`: the system's.
    pub ca: Option<String>,
    /// Certificate that the gateway shows.
    pub client: Option<Certificate>,
}

/// What is spoken to an upstream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/1.1.
    Http1,
    /// HTTP/2 over TLS (ALPN `h2`).
    Http2,
    /// HTTP/2 in plain text with prior knowledge: gRPC.
    H2c,
}

//! What is known about a request when it is over, and who wants to know. Filled by the traffic side exactly once per
//! request, whatever happened; events and metrics are made from it. Knows no format.

use std::net::IpAddr;
use std::time::Duration;

use policy::decision::{Action, Decision, Reason, RouteId};
use policy::io::FetchFault;

use crate::snapshot::Snapshot;

/// One request, over. Borrowed: an observer copies what it keeps.
#[derive(Debug, Clone, Copy)]
pub struct Record<'r> {
    /// The snapshot that decided; names of routes and checks come from its policy.
    pub snapshot: &'r Snapshot,
    /// Request id, as replies and the upstream saw it.
    pub id: &'r str,
    /// The client, behind trusted proxies.
    pub client: IpAddr,
    /// The other end of the connection.
    pub peer: IpAddr,
    /// Method; empty when the request line was not readable.
    pub method: &'r str,
    /// Canonical host; empty when unknown.
    pub host: &'r str,
    /// Canonical path; as sent when it has no canonical form, empty when unknown.
    pub path: &'r str,
    /// Raw query.
    pub query: Option<&'r str>,
    /// Protocol version, such as `HTTP/1.1`.
    pub version: http::Version,
    /// Whether the connection was TLS.
    pub secure: bool,
    /// The route, when one matched.
    pub route: Option<RouteId>,
    /// The decision, when one was made: its check, `would`, facts and WAF verdict.
    pub decision: Option<&'r Decision>,
    /// What was done. `Allow` with another reason than `Ok`: permitted, but the upstream or the client failed.
    pub action: Action,
    /// Why, over all: what the reply and the metric carry.
    pub reason: Reason,
    /// What exactly, where the reason does not say it; for operators only.
    pub detail: &'r str,
    /// Status of the answer; 499 when the client was gone before one.
    pub status: u16,
    /// Server that answered, or was asked last.
    pub upstream: Option<&'r str>,
    /// Body bytes from the client.
    pub bytes_in: u64,
    /// Body bytes to the client.
    pub bytes_out: u64,
    /// From the end of the header (or the refusal) to the end of the answer.
    pub duration: Duration,
    /// Time spent deciding, waiting for the body not counted.
    pub gateway: Duration,
    /// From the moment that the upstream was chosen to its answer's header.
    pub upstream_time: Option<Duration>,
    /// Whether it became a WebSocket.
    pub upgraded: bool,
}

/// Why a connection ended before it carried a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Refused {
    /// All places are taken.
    Total,
    /// This client's places are taken.
    PerClient,
    /// The TLS handshake failed.
    Handshake,
    /// The TLS handshake, or the PROXY header, did not end in time.
    Slow,
    /// No readable PROXY header where one is due.
    ProxyHeader,
    /// Denied or banned, by a check that drops such clients.
    Denied,
}

impl Refused {
    /// All of them, so that a metric can start each at zero.
    pub const ALL: [Self; 6] = [
        Self::Total,
        Self::PerClient,
        Self::Handshake,
        Self::Slow,
        Self::ProxyHeader,
        Self::Denied,
    ];

    /// The word in metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Total => "total",
            Self::PerClient => "per_client",
            Self::Handshake => "handshake",
            Self::Slow => "slow",
            Self::ProxyHeader => "proxy_header",
            Self::Denied => "denied",
        }
    }
}

/// Somebody else was asked, for a check.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    /// Host and port, from the policy.
    pub host: &'a str,
    /// Status, or why there was none.
    pub outcome: Result<u16, FetchFault>,
    /// Waiting for a place included.
    pub took: Duration,
    /// Whether the server works now, when it did not before, or the other way round.
    pub changed: Option<bool>,
    /// What went wrong, for operators.
    pub detail: &'a str,
}

/// Who wants to know. Called on the request's own task: must not wait.
pub trait Observer: Send + Sync {
    /// A request is over. Exactly once per request, malformed ones included.
    fn request(&self, record: &Record<'_>);

    /// A connection was accepted and has a place.
    fn connection_opened(&self);

    /// It ended.
    fn connection_closed(&self);

    /// A connection was dropped before it carried a request.
    fn connection_refused(&self, why: Refused);

    /// A server of an upstream group became healthy, or no longer is.
    fn server_health(&self, group: &str, server: &str, healthy: bool);

    /// Somebody else was asked, for a check.
    fn asked(&self, asked: &Asked<'_>);

    /// The shared store was reached or lost, or is not fit for what is kept there.
    fn store(&self, event: &'static str, detail: &str);
}

/// Wants to know nothing: tests, benches.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Observer for Silent {
    fn request(&self, _: &Record<'_>) {}
    fn connection_opened(&self) {}
    fn connection_closed(&self) {}
    fn connection_refused(&self, _: Refused) {}
    fn server_health(&self, _: &str, _: &str, _: bool) {}
    fn asked(&self, _: &Asked<'_>) {}
    fn store(&self, _: &'static str, _: &str) {}
}

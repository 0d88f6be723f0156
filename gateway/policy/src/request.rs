//! The borrowed view of a request that routing and checks see, and the facts that checks find out on the way.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, Method, Version};
use smallvec::SmallVec;

use crate::decision::{CheckId, Would};
use crate::io::Key;
use crate::run::Mode;

/// How much body a request announces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// No body at all.
    None,
    /// Content-Length, in bytes.
    Length(u64),
    /// Chunked, or an HTTP/2 stream without a length.
    Unknown,
}

/// What the TLS handshake showed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tls {
    /// Protocol version, such as `TLSv1.3`.
    pub version: String,
    /// Server name that the client asked for, lower-case.
    pub sni: Option<String>,
    /// Subject of a verified client certificate.
    pub client_subject: Option<String>,
    /// SHA-256 of a verified client certificate, hex.
    pub client_fingerprint: Option<String>,
}

/// A request whose framing, host and path have already been made canonical: what is routed is what is limited,
/// scanned and sent upstream.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// The request id that events, replies and the upstream see.
    pub id: &'a str,
    /// The client: rightmost hop that is not a trusted proxy, IPv4-mapped addresses unmapped.
    pub client: IpAddr,
    /// The client's port; 0 where an intermediary named the client, which tells no port.
    pub client_port: u16,
    /// The other end of the connection.
    pub peer: IpAddr,
    /// The address that took the connection; `None` where it has none, as with a Unix socket.
    pub server: Option<SocketAddr>,
    /// Method as sent.
    pub method: &'a Method,
    /// `http` or `https`, as the client sees it.
    pub scheme: &'static str,
    /// Host: lower-case, no port, no trailing dot.
    pub host: &'a str,
    /// Canonical path, percent-decoded where that is safe (see `path::canonical`).
    pub path: &'a str,
    /// The path as routes and keys of limits compare it (see `path::compared`).
    pub compared: &'a str,
    /// Raw query without the question mark.
    pub query: Option<&'a str>,
    /// Raw request target as received.
    pub target: &'a str,
    /// Protocol version.
    pub version: Version,
    /// Header fields as received, after the strict framing checks.
    pub headers: &'a HeaderMap,
    /// TLS facts where TLS ends here.
    pub tls: Option<&'a Tls>,
    /// What body is announced.
    pub framing: Framing,
    /// Whether this asks for a WebSocket.
    pub websocket: bool,
}

/// Who is asking, once a check has established it.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Identity {
    /// Subject (`sub`, API key owner, session user).
    pub user: String,
    /// Every claim or attribute, for `authorize`, limit keys and forwarded headers.
    pub claims: serde_json::Map<String, serde_json::Value>,
    /// Headers that only the gateway may set, with their values, ready for the upstream.
    pub forward: Vec<(http::HeaderName, http::HeaderValue)>,
    /// Unix seconds after which this identity no longer holds.
    pub expires: Option<u64>,
}

/// Where the client is, once a `geo` check has looked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Place {
    /// ISO 3166-1 alpha-2 code.
    pub country: Option<[u8; 2]>,
    /// Two-letter continent code.
    pub continent: Option<[u8; 2]>,
    /// Autonomous system number.
    pub asn: Option<u32>,
}

/// What earlier checks found out; later checks, the event and the upstream request use it.
#[derive(Debug, Default)]
pub struct Facts {
    /// Who is asking.
    pub identity: Option<Arc<Identity>>,
    /// The checks that found it out, in their order.
    pub established: SmallVec<[CheckId; 2]>,
    /// The session that this is a part of.
    pub session: Option<Session>,
    /// Names of checks that are not asked: a token for emergencies lets them pass.
    pub passes: Option<Arc<[String]>>,
    /// Where the client is.
    pub place: Place,
    /// What the WAF found, when anything matched; of the answer as well, once it was judged.
    pub waf: Option<Box<waf::Verdict>>,
    /// Whose findings these are: how many of `waf`'s matches, in their order, each check found.
    pub found: SmallVec<[(CheckId, usize); 2]>,
    /// Evaluations that wait for the answer.
    pub suspended: SmallVec<[Suspended; 1]>,
    /// Checks that want to hear how the application answers.
    pub awaits: SmallVec<[Await; 1]>,
    /// What observing checks would have done with the answer.
    pub would: SmallVec<[Would; 1]>,
    /// Why a check refused, in words: for events and `explain`, never for the client.
    pub notes: SmallVec<[(CheckId, String); 1]>,
}

/// A session, whoever keeps it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Session {
    /// The same for the whole session, another one after every log-in, and not to be guessed: what belongs to a session
    /// (a CSRF token, a fresh second factor) is bound to it.
    pub binding: Key,
    /// Unix seconds of the log-in.
    pub started: u64,
}

/// A check that wants to hear how the application answers this request.
#[derive(Debug, Clone, PartialEq)]
pub struct Await {
    /// The check.
    pub check: CheckId,
    /// Whether what it does counts.
    pub mode: Mode,
    /// Bytes of the answer's body that it reads; 0: status and header, and it may still add to the header;
    /// [`Await::AFTER`]: status and header, but only once the answer has gone.
    pub body: usize,
    /// Whom the request was about, as far as the check found out.
    pub whom: Option<String>,
    /// Who asks, as this check found out: a later one may have found somebody else.
    pub identity: Option<Arc<Identity>>,
}

impl Await {
    /// For `body`: nothing of it is read, and the answer need not wait for what the check does with it.
    pub const AFTER: usize = 1;
}

impl Facts {
    /// Why this check refused, if it said so.
    #[must_use]
    pub fn note(&self, check: CheckId) -> Option<&str> {
        let mut own = self.notes.iter().filter(|(of, _)| *of == check);
        own.next().map(|(_, note)| note.as_str())
    }

    /// What rules found, each with its check.
    pub fn findings(&self) -> impl Iterator<Item = (CheckId, &waf::Match)> {
        let checks = self
            .found
            .iter()
            .flat_map(|(check, count)| std::iter::repeat_n(*check, *count));
        checks.zip(self.waf.iter().flat_map(|verdict| &verdict.matches))
    }

    /// Says how long the request has taken by now, to the evaluations that wait for its answer.
    pub fn advance(&mut self, elapsed: Duration) {
        for waiting in &mut self.suspended {
            if let Some(evaluation) = &mut waiting.evaluation {
                evaluation.advance(elapsed);
            }
        }
    }
}

/// A check's evaluation that waits for the answer.
#[derive(Debug)]
pub struct Suspended {
    /// The check.
    pub check: CheckId,
    /// Whether its refusals count, settled with the request.
    pub mode: Mode,
    /// It refused already, and only observes.
    pub denied: bool,
    /// What it goes on with; `None` once it has ended.
    pub evaluation: Option<waf::Suspended>,
}

//! An invented gateway: one store, one clock that only moves when told, requests as a client would send them. It runs
//! the code that production runs; `palisade test`, `palisade explain` and the case files stand on it.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, Version};

use crate::client;
use crate::decision::{Answer, Decision, Denial, Outcome, Reason};
use crate::host;
use crate::invented::{Invented, ready};
use crate::io::Now;
use crate::path;
use crate::policy::Policy;
use crate::request::{Framing, Identity, Request};
use crate::run::Watch;

/// A request as a client sends it.
#[derive(Debug, Clone)]
pub struct Sent {
    /// Method.
    pub method: Method,
    /// Path and query, raw.
    pub target: String,
    /// Host header or authority.
    pub host: String,
    /// The other end of the connection.
    pub peer: IpAddr,
    /// Whether it comes over TLS.
    pub tls: bool,
    /// Header fields.
    pub headers: HeaderMap,
    /// Body; `None`: none is announced.
    pub body: Option<Bytes>,
    /// Whether it asks for a WebSocket.
    pub websocket: bool,
}

impl Default for Sent {
    fn default() -> Self {
        Self {
            method: Method::GET,
            target: "/".to_owned(),
            host: "localhost".to_owned(),
            peer: IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)),
            tls: true,
            headers: HeaderMap::new(),
            body: None,
            websocket: false,
        }
    }
}

/// The store and the clock.
#[derive(Debug)]
pub struct Stage {
    io: Invented,
}

impl Stage {
    /// An empty store at a moment.
    #[must_use]
    pub fn new(now_unix_ms: u64) -> Self {
        // A steady clock that starts at zero would hide faults of windows that reach before it.
        let mut io = Invented::default();
        io.now = Now {
            unix: now_unix_ms,
            steady: 3_600_000,
        };
        Self { io }
    }

    /// Time passes.
    pub fn wait(&mut self, time: Duration) {
        self.io.advance(time);
    }

    /// What the gateway decides. `identity` stands in for what identity checks would have found out. With `hold` the
    /// request stays open: the places that it took are not given back.
    pub fn send(
        &mut self,
        policy: &Policy,
        sent: &Sent,
        identity: Option<&Arc<Identity>>,
        watch: &mut impl Watch,
        hold: bool,
    ) -> Decision {
        let (raw, query) = match sent.target.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (sent.target.as_str(), None),
        };
        let (mut path, mut host) = (String::new(), String::new());
        let settings = policy.settings();
        let Ok(path) = path::canonical_with(raw, settings.paths, &mut path) else {
            return refused(Reason::BadPath);
        };
        let Ok(host) = host::canonical(&sent.host, &mut host) else {
            return refused(Reason::BadHost);
        };
        let mut compared = String::new();
        let compared = path::compared(path, settings.paths, &mut compared);
        let framing = match &sent.body {
            None => Framing::None,
            Some(body) => Framing::Length(body.len() as u64),
        };
        let request = Request {
            id: "00000000-0000-4000-8000-000000000000",
            client: client::address(sent.peer, &sent.headers, &settings.trusted_proxies),
            client_port: 0,
            peer: sent.peer,
            server: None,
            method: &sent.method,
            scheme: client::scheme(
                sent.peer,
                &sent.headers,
                &settings.trusted_proxies,
                sent.tls,
            ),
            host: host.name,
            path,
            compared,
            query,
            target: &sent.target,
            version: Version::HTTP_11,
            headers: &sent.headers,
            tls: None,
            framing,
            websocket: sent.websocket,
        };
        self.decide(policy, &request, sent.body.clone(), identity, watch, hold)
    }

    fn decide(
        &mut self,
        policy: &Policy,
        request: &Request<'_>,
        body: Option<Bytes>,
        identity: Option<&Arc<Identity>>,
        watch: &mut impl Watch,
        hold: bool,
    ) -> Decision {
        let Some(route) = policy.route(request) else {
            return refused(Reason::NoRoute);
        };
        if body
            .as_ref()
            .is_some_and(|body| body.len() as u64 > policy.max_body(route))
        {
            return Decision {
                route: Some(route),
                ..refused(Reason::BodyTooLarge)
            };
        }
        self.io.body = Ok(body.unwrap_or_default());
        let decision = ready(policy.decide_as(route, request, &mut self.io, watch, identity));
        let decision = decision.unwrap_or_else(Decision::internal);
        if hold && matches!(decision.outcome, Outcome::Permit(_)) {
            self.io.keep();
        } else {
            self.io.end();
        }
        decision
    }
}

fn refused(reason: Reason) -> Decision {
    let denial = match Answer::deny(reason) {
        Answer::Deny(denial) => denial,
        Answer::Pass | Answer::Reply(_) => Denial {
            reason,
            status: reason.status(),
            retry_after: None,
        },
    };
    Decision {
        outcome: Outcome::Deny(denial),
        ..Decision::internal()
    }
}

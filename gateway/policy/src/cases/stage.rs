//! An invented gateway: one store, one clock that only moves when told, requests as a client would send them. It runs
//! the code that production runs; `palisade test`, `palisade explain` and the case files stand on it.

use std::future::Future;
use std::net::{IpAddr, Ipv4Addr};
use std::pin::pin;
use std::sync::Arc;
use std::task;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, Version};

use crate::client;
use crate::decision::{Answer, Decision, Denial, Outcome, Reason};
use crate::host;
use crate::io::{BodyFault, Io, Key, Now, Space, StoreFault};
use crate::limit::{Lease, Limit, Standing};
use crate::memory::Memory;
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
    memory: Memory,
    now: Now,
    held: Vec<(Lease, Key)>,
}

impl Stage {
    /// An empty store at a moment.
    #[must_use]
    pub fn new(now_unix_ms: u64) -> Self {
        // A steady clock that starts at zero would hide faults of windows that reach before it.
        Self {
            memory: Memory::default(),
            now: Now {
                unix: now_unix_ms,
                steady: 3_600_000,
            },
            held: Vec::new(),
        }
    }

    /// Time passes.
    pub fn wait(&mut self, time: Duration) {
        let ms = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        self.now.unix = self.now.unix.saturating_add(ms);
        self.now.steady = self.now.steady.saturating_add(ms);
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
        let framing = match &sent.body {
            None => Framing::None,
            Some(body) => Framing::Length(body.len() as u64),
        };
        let request = Request {
            id: "00000000-0000-4000-8000-000000000000",
            client: client::address(sent.peer, &sent.headers, &settings.trusted_proxies),
            peer: sent.peer,
            method: &sent.method,
            scheme: client::scheme(
                sent.peer,
                &sent.headers,
                &settings.trusted_proxies,
                sent.tls,
            ),
            host: host.name,
            path,
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
        let mut io = Invented {
            stage: self,
            body,
            taken: Vec::new(),
        };
        let decision = ready(policy.decide_as(route, request, &mut io, watch, identity));
        let taken = io.taken;
        if hold && matches!(decision.outcome, Outcome::Permit(_)) {
            self.held.extend(taken);
        } else {
            for (lease, key) in taken {
                self.memory.release(&lease, key);
            }
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

/// The output of a future that never waits; nothing here ever does.
fn ready(future: impl Future<Output = Decision>) -> Decision {
    let mut context = task::Context::from_waker(task::Waker::noop());
    match pin!(future).poll(&mut context) {
        task::Poll::Ready(decision) => decision,
        task::Poll::Pending => Decision::internal(),
    }
}

struct Invented<'s> {
    stage: &'s Stage,
    body: Option<Bytes>,
    taken: Vec<(Lease, Key)>,
}

impl Io for Invented<'_> {
    fn now(&self) -> Now {
        self.stage.now
    }

    async fn count(&mut self, limit: &Limit, key: Key, cost: u32) -> Result<Standing, StoreFault> {
        Ok(self.stage.memory.count(limit, key, cost, self.stage.now))
    }

    async fn lease(&mut self, lease: &Lease, key: Key) -> Result<bool, StoreFault> {
        let taken = self.stage.memory.lease(lease, key);
        if taken {
            self.taken.push((lease.clone(), key));
        }
        Ok(taken)
    }

    async fn get(&mut self, space: Space, key: Key) -> Result<Option<Bytes>, StoreFault> {
        Ok(self.stage.memory.get(space, key, self.stage.now))
    }

    async fn put(
        &mut self,
        space: Space,
        key: Key,
        value: Bytes,
        ttl: Duration,
    ) -> Result<(), StoreFault> {
        self.stage
            .memory
            .put(space, key, value, ttl, self.stage.now)
    }

    async fn remove(&mut self, space: Space, key: Key) -> Result<(), StoreFault> {
        self.stage.memory.remove(space, key);
        Ok(())
    }

    async fn body(&mut self, max: u64) -> Result<Bytes, BodyFault> {
        match &self.body {
            Some(body) if body.len() as u64 > max => Err(BodyFault::TooLarge),
            Some(body) => Ok(body.clone()),
            None => Ok(Bytes::new()),
        }
    }
}

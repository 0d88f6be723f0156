//! One request on its way through Pingora's hooks, and its record at the end.

use std::sync::Arc;
use std::time::{Duration, Instant};

use pingora_proxy::Session;
use policy::decision::{Action, Decision, Reason, RouteId};

use crate::downstream::connection::Connection;
use crate::facts::{self, Facts};
use crate::gated::Tie;
use crate::heard::Listening;
use crate::lasting::Lasting;
use crate::leases::Leases;
use crate::record::Record;
use crate::snapshot::{Shared, Snapshot};
use crate::upstream::Choice;
use crate::withheld::Withheld;

/// See the module.
pub(crate) struct Ctx {
    pub snapshot: Arc<Snapshot>,
    pub began: Instant,
    pub connection: Option<Arc<Connection>>,
    pub facts: Facts,
    pub route: Option<RouteId>,
    pub decision: Option<Decision>,
    pub action: Action,
    pub reason: Reason,
    pub status: u16,
    pub leases: Leases,
    pub waited: Duration,
    pub gateway: Duration,
    /// The moment of the decision, until the first server is asked: then it is that moment, too.
    pub decided: Option<Instant>,
    pub choice: Option<Choice>,
    pub asked: Option<Instant>,
    pub upstream_time: Option<Duration>,
    pub sent: u64,
    /// Length of a body that is held: it has one, whatever the client declared.
    pub held: Option<usize>,
    /// To the session, when it is one of ours.
    pub tie: Option<Arc<Tie>>,
    /// Asks whether what goes on may go on.
    pub lasting: Option<Lasting>,
    /// The answer, when it waits for its verdict.
    pub withheld: Option<Arc<Withheld>>,
    /// The answer, when a check wants to read some of it.
    pub listening: Option<Box<Listening>>,
    /// The application's answer was replaced by one of ours, completely: the connection may go on.
    pub replaced: bool,
    /// The client had some of the answer when it was refused.
    pub cut: bool,
}

impl Ctx {
    pub(crate) fn new(shared: &Shared) -> Self {
        Self {
            snapshot: shared.load(),
            began: Instant::now(),
            connection: None,
            facts: Facts::unknown(std::net::Ipv4Addr::UNSPECIFIED.into()),
            route: None,
            decision: None,
            action: Action::Deny,
            reason: Reason::Internal,
            status: 0,
            leases: Leases::default(),
            waited: Duration::ZERO,
            gateway: Duration::ZERO,
            decided: None,
            choice: None,
            asked: None,
            upstream_time: None,
            sent: 0,
            held: None,
            tie: None,
            lasting: None,
            withheld: None,
            listening: None,
            replaced: false,
            cut: false,
        }
    }

    /// What became of the answer is part of the decision from here on.
    pub(crate) fn conclude(&mut self) {
        let Some(decision) = &mut self.decision else {
            return;
        };
        if let Some(withheld) = self.withheld.take() {
            let result = withheld.conclude();
            decision.facts = result.facts;
            self.gateway += result.spent;
            if let Some(check) = result.refused_by {
                decision.check = Some(check);
                self.action = Action::Deny;
            }
        }
        if self.cut && self.facts.detail.is_empty() {
            self.facts.detail = "response_cut";
        }
        if !decision.facts.suspended.is_empty() {
            decision.facts.advance(self.began.elapsed());
        }
        self.snapshot.policy.abandon_response(&mut decision.facts);
    }

    /// Tells the observer how it ended. Called once, by `logging`.
    pub(crate) fn finish(&mut self, shared: &Shared, session: &Session) {
        if let Some(decision) = &mut self.decision {
            if self.cut && self.facts.detail.is_empty() {
                self.facts.detail = "response_cut";
            }
            self.snapshot.policy.abandon_response(&mut decision.facts);
        }
        let header = session.req_header();
        let target = std::str::from_utf8(header.raw_path()).unwrap_or_default();
        let peer = self
            .connection
            .as_ref()
            .map_or(self.facts.client, |connection| connection.peer.ip());
        let written = session
            .response_written()
            .map_or(0, |header| header.status.as_u16());
        let bytes = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
        shared.observer().request(&Record {
            snapshot: &self.snapshot,
            id: self.facts.id.as_str(),
            client: self.facts.client,
            peer,
            method: header.method.as_str(),
            host: &self.facts.host,
            path: &self.facts.path,
            query: facts::split(target).1,
            version: header.version,
            secure: self.facts.scheme == "https",
            route: self.route,
            decision: self.decision.as_ref(),
            action: self.action,
            reason: self.reason,
            detail: self.facts.detail,
            status: if written >= 101 { written } else { self.status },
            upstream: self.choice.as_ref().map(Choice::name),
            bytes_in: bytes(session.body_bytes_read()),
            bytes_out: bytes(session.body_bytes_sent()),
            duration: self.began.elapsed(),
            gateway: self.gateway,
            upstream_time: self.upstream_time,
            upgraded: session.was_upgraded(),
        });
        if let Some(tie) = &self.tie {
            tie.end();
        }
    }
}

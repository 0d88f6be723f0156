//! An application's answer that waits for its verdict: its header and up to `hold` bytes of body are kept back, then its
//! end follows at that distance until as much as is inspected was judged. Where checks only observe, nothing is kept back
//! and room that is missing refuses nothing. Knows pieces of an answer; who writes them is
//! the session, what is wrong with them the policy's to say.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use parking_lot::Mutex;
use pingora_core::Result;
use pingora_core::protocols::http::HttpTask;
use policy::codec::{self, Bounds, Codings, Opened};
use policy::decision::{CheckId, Reason, RouteId};
use policy::request::Facts;
use policy::response::{BodyNeed, ResponseStep, Unread};
use policy::run::{Mode, Unwatched};

use crate::gated::fault;
use crate::held::{Budget, Hold};
use crate::snapshot::Snapshot;

/// What goes to a client at once: a deadline per write must not depend on how much was held.
const PIECE: usize = 64 << 10;

/// See the module.
pub(crate) struct Withheld {
    snapshot: Arc<Snapshot>,
    route: RouteId,
    hold: usize,
    /// Some check may refuse.
    enforced: bool,
    inspect: usize,
    codings: Codings,
    /// When the request began.
    pub began: Instant,
    /// Body bytes that the header announces, as far as they are read.
    announced: usize,
    state: Mutex<State>,
}

struct State {
    facts: Facts,
    head: Option<HttpTask>,
    body: Collected,
    /// How much of `body` has gone to the client.
    sent: usize,
    judged: bool,
    /// This answer's share of the memory for all, until what was held has been written: clients may read slowly.
    share: Option<Hold>,
    spent: Duration,
    refused_by: Option<CheckId>,
}

/// What became of it.
pub(crate) struct Concluded {
    /// Back to the decision they came from.
    pub facts: Facts,
    /// Time spent judging.
    pub spent: Duration,
    /// The check that refused.
    pub refused_by: Option<CheckId>,
}

impl Withheld {
    /// `announced`: what the header says of the body's length.
    pub(crate) fn new(
        snapshot: &Arc<Snapshot>,
        route: RouteId,
        need: &BodyNeed,
        codings: Codings,
        announced: u64,
        facts: Facts,
        budget: &Arc<Budget>,
    ) -> Self {
        let enforced = facts
            .suspended
            .iter()
            .any(|waiting| waiting.mode == Mode::Enforce);
        let size = |bytes: u64| usize::try_from(bytes).unwrap_or(usize::MAX);
        Self {
            snapshot: Arc::clone(snapshot),
            route,
            hold: if enforced { size(need.hold) } else { 0 },
            enforced,
            inspect: size(need.inspect),
            codings,
            began: Instant::now(),
            announced: size(announced.min(need.inspect)),
            state: Mutex::new(State {
                facts,
                head: None,
                body: Collected::default(),
                sent: 0,
                judged: false,
                share: Some(Hold::new(budget)),
                spent: Duration::ZERO,
                refused_by: None,
            }),
        }
    }

    /// Takes what came, gives what may go on. An error means that nothing more of the answer may reach the client.
    pub(crate) fn take(&self, tasks: Vec<HttpTask>) -> Result<Vec<HttpTask>> {
        let mut state = self.state.lock();
        if state.judged {
            return Ok(tasks);
        }
        let mut ready = Vec::with_capacity(tasks.len() + 1);
        for task in tasks {
            self.feed(&mut state, task, &mut ready)?;
        }
        Ok(ready)
    }

    /// What `take` gave has been written.
    pub(crate) fn written(&self) {
        let mut state = self.state.lock();
        if state.judged {
            state.share = None;
        }
    }

    fn feed(&self, state: &mut State, task: HttpTask, ready: &mut Vec<HttpTask>) -> Result<()> {
        if state.judged {
            ready.push(task);
            return Ok(());
        }
        match task {
            HttpTask::Header(head, end) if head.status.is_informational() => {
                ready.push(HttpTask::Header(head, end));
            }
            HttpTask::Header(head, end) => {
                state.head = Some(HttpTask::Header(head, end));
                if end {
                    self.judge(state, true)?;
                    state.release(ready, false);
                } else if self.hold == 0 {
                    ready.extend(state.head.take());
                }
            }
            HttpTask::Body(piece, end) => {
                let piece = piece.unwrap_or_default();
                if !self.has_room(state, &piece) {
                    if self.enforced {
                        return fault(Reason::Overload);
                    }
                    self.judge(state, false)?;
                    state.release(ready, false);
                    ready.push(HttpTask::Body(Some(piece), end));
                    return Ok(());
                }
                state.body.push(piece, self.announced);
                if end || state.body.bytes().len() > self.inspect {
                    self.judge(state, end)?;
                    state.release(ready, end);
                } else {
                    state.overflow(ready, self.hold);
                }
            }
            HttpTask::Failed(error) => return Err(error),
            end @ (HttpTask::UpgradedBody(..) | HttpTask::Trailer(_) | HttpTask::Done) => {
                self.judge(state, true)?;
                state.release(ready, false);
                ready.push(end);
            }
        }
        Ok(())
    }

    fn has_room(&self, state: &mut State, piece: &Bytes) -> bool {
        let max = self.snapshot.policy.settings().limits.held_response_total;
        let share = state.share.as_mut();
        share.is_some_and(|share| share.grow(piece.len(), max))
    }

    /// `whole`: nothing comes after what is here.
    fn judge(&self, state: &mut State, whole: bool) -> Result<()> {
        let began = Instant::now();
        state.facts.advance(self.began.elapsed());
        let step = self.verdict(&mut state.facts, state.body.bytes(), whole);
        state.spent += began.elapsed();
        state.judged = true;
        match step {
            ResponseStep::Pass => Ok(()),
            ResponseStep::Deny { check, reason } => {
                state.refused_by = Some(check);
                state.body = Collected::default();
                fault(reason)
            }
        }
    }

    fn verdict(&self, facts: &mut Facts, wire: &[u8], whole: bool) -> ResponseStep {
        let policy = &self.snapshot.policy;
        let mut opened = Vec::new();
        let (seen, unread) = if self.codings.is_empty() {
            let long = !whole || wire.len() > self.inspect;
            let seen = wire.get(..self.inspect).unwrap_or(wire);
            (seen, long.then_some(Unread::Long))
        } else {
            let unread = self.open(wire, whole, &mut opened);
            (opened.as_slice(), unread)
        };
        if let Some(unread) = unread {
            let step = policy.judge_unread(self.route, facts, unread, &mut Unwatched);
            if step != ResponseStep::Pass {
                return step;
            }
        }
        policy.judge_response_body(self.route, facts, seen, &mut Unwatched)
    }

    /// No limit to the ratio: `inspect` bounds the work, and the application is no attacker.
    fn open(&self, wire: &[u8], whole: bool, out: &mut Vec<u8>) -> Option<Unread> {
        let bounds = Bounds {
            output: self.inspect,
            ratio: usize::MAX,
        };
        match codec::open(&self.codings, wire, bounds, out) {
            Ok(Opened::Whole) if whole => None,
            Ok(Opened::Whole | Opened::Full) => Some(Unread::Long),
            Ok(Opened::Cut) if !whole => Some(Unread::Long),
            Ok(Opened::Cut) | Err(_) => Some(Unread::Broken),
        }
    }

    /// Gives back what it was made with, and what was found.
    pub(crate) fn conclude(&self) -> Concluded {
        let mut state = self.state.lock();
        state.body = Collected::default();
        state.share = None;
        Concluded {
            facts: std::mem::take(&mut state.facts),
            spent: state.spent,
            refused_by: state.refused_by,
        }
    }
}

impl State {
    /// Lets everything go.
    fn release(&mut self, ready: &mut Vec<HttpTask>, end: bool) {
        ready.extend(self.head.take());
        let mut rest = self.body.give().split_off(self.sent);
        while rest.len() > PIECE {
            ready.push(HttpTask::Body(Some(rest.split_to(PIECE)), false));
        }
        if !rest.is_empty() || end {
            ready.push(HttpTask::Body(Some(rest), end));
        }
    }

    /// Lets go what is more than may be held.
    fn overflow(&mut self, ready: &mut Vec<HttpTask>, hold: usize) {
        let end = self.body.bytes().len().saturating_sub(hold);
        if let Some(over) = self.body.bytes().get(self.sent..end)
            && !over.is_empty()
        {
            ready.extend(self.head.take());
            ready.push(HttpTask::Body(Some(Bytes::copy_from_slice(over)), false));
            self.sent = end;
        }
    }
}

/// Pieces of a body; most answers are one.
#[derive(Default)]
struct Collected {
    first: Bytes,
    more: BytesMut,
}

impl Collected {
    fn push(&mut self, piece: Bytes, announced: usize) {
        if self.bytes().is_empty() {
            self.first = piece;
            return;
        }
        if self.more.is_empty() {
            let least = self.first.len() + piece.len();
            self.more.reserve(announced.max(least));
            self.more.extend_from_slice(&self.first);
            self.first = Bytes::new();
        }
        self.more.extend_from_slice(&piece);
    }

    fn bytes(&self) -> &[u8] {
        if self.more.is_empty() {
            &self.first
        } else {
            &self.more
        }
    }

    fn give(&mut self) -> Bytes {
        if self.more.is_empty() {
            std::mem::take(&mut self.first)
        } else {
            std::mem::take(&mut self.more).freeze()
        }
    }
}

//! `waf`: asks the rule engine about a request and turns its verdict into an answer. It knows when a body is needed and
//! what cannot be judged; what a rule is, and what it finds, is the engine's business.

use std::cell::RefCell;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode, Version, header};
use waf::seclang::Engine;
use waf::{Refusal, Ruleset, Scratch, Step, Surroundings, Transaction, Tuning, Verdict};

use super::{Gives, Needs, ResponseWork, Turn};
use crate::decision::{Action, Answer, CheckId, Denial, Reason, Reply};
use crate::io::Io;
use crate::request::{Facts, Framing, Request, Suspended};
use crate::run::Mode;

mod answers;
mod disk;
mod encoded;
mod ids;
mod kept;
mod levels;
mod rules;
#[cfg(test)]
mod seclang_tests;
mod share;
mod spec;
#[cfg(test)]
mod tests;

use share::Share;

pub use encoded::EncodedBody;
pub(crate) use kept::{Known, Rulesets};
pub use spec::Spec;

/// What the engine works with, that each thread keeps: one, and another while a request asks several rule sets.
const KEPT: usize = 2;

/// Ready to be asked.
#[derive(Debug)]
pub struct Check {
    rules: Arc<Ruleset>,
    tuning: Tuning,
    /// Some rule asks for the time, or how long the request has taken.
    timed: bool,
    /// What of bodies is held; `None`: no rule reads them.
    body: Option<Held>,
    encoded_body: EncodedBody,
    /// What of answers its rules read; `None`: nothing.
    response: Option<answers::Reads>,
    /// Of the requests, those that are judged; `None`: all.
    share: Option<Share>,
}

/// Longest bodies that are held, in bytes.
#[derive(Debug, Clone, Copy)]
struct Held {
    /// Of any body.
    max: u64,
    /// Of one without files.
    plain: u64,
}

impl super::Beyond for Check {}

impl Check {
    /// Its rules, and how they are used.
    pub(crate) fn engine(&self) -> (&Ruleset, &Tuning) {
        (&*self.rules, &self.tuning)
    }

    /// What the rule files say about the check as a whole.
    pub(crate) fn said(&self) -> Engine {
        self.rules.engine()
    }

    pub(super) fn needs(&self) -> Needs {
        Needs { body: self.body.map(|held| held.max), ..Needs::default() }
    }

    pub(super) fn gives(&self) -> Gives {
        Gives::default()
    }

    pub(super) fn response_work(&self) -> ResponseWork {
        let reads = self.response.as_ref().map(answers::Reads::need);
        ResponseWork { reads, ..ResponseWork::default() }
    }

    pub(super) fn owned_headers(&self) -> &[http::HeaderName] {
        &[]
    }

    pub(super) async fn ask<I: Io>(&self, turn: &mut Turn<'_, '_, I>) -> Answer {
        if self.share.as_ref().is_some_and(|share| !share.takes_next()) {
            return Answer::Pass;
        }
        let mut transaction = self.rules.transaction(&self.tuning, take());
        // A body is not waited for when the header alone decides.
        if evaluate_head(&mut transaction, turn.request, self.around(turn)) != Step::Continue {
            return self.conclude(transaction, None, turn);
        }
        if self.body.is_none() || !announced(turn.request.framing) {
            self.evaluate_body(&mut transaction, turn, &[]);
            return self.conclude(transaction, None, turn);
        }
        // Others work with the scratch while this one waits.
        let (suspended, scratch) = transaction.suspend();
        give_back(scratch);
        let body = self.body(turn).await;
        let mut transaction = self.rules.resume(&self.tuning, suspended, take());
        match body {
            Ok(body) => {
                self.evaluate_body(&mut transaction, turn, &body);
                self.conclude(transaction, None, turn)
            }
            Err(reason) => self.conclude(transaction, Some(reason), turn),
        }
    }

    fn evaluate_body<I: Io>(
        &self,
        transaction: &mut Transaction<'_>,
        turn: &Turn<'_, '_, I>,
        body: &[u8],
    ) {
        if self.timed {
            transaction.advance(turn.io.elapsed());
        }
        let content_type = turn.request.headers.get(header::CONTENT_TYPE);
        transaction.evaluate_body(content_type.map_or(&b""[..], |value| value.as_bytes()), body);
    }

    /// What rules may ask beside the request.
    fn around<'t, I: Io>(&self, turn: &'t Turn<'_, '_, I>) -> Surroundings<'t> {
        let user = turn.facts.identity.as_ref().map_or("", |identity| identity.user.as_str());
        Surroundings {
            now: Duration::from_millis(turn.io.now().unix),
            id: turn.request.id.as_bytes(),
            user: user.as_bytes(),
            elapsed: if self.timed { turn.io.elapsed() } else { Duration::ZERO },
            client_port: turn.request.client_port,
            server: turn.request.server.map(|server| server.ip()),
            server_port: turn.request.server.map_or(0, |server| server.port()),
        }
    }

    /// The answer; an evaluation that some rule goes on with waits for the application's.
    fn conclude<I: Io>(
        &self,
        mut transaction: Transaction<'_>,
        failed: Option<Reason>,
        turn: &mut Turn<'_, '_, I>,
    ) -> Answer {
        let denies = failed.is_some() || transaction.blocks();
        let ends = self.response.is_none() || (denies && turn.mode == Mode::Enforce);
        let verdict = if ends {
            let (verdict, scratch) = transaction.finish();
            give_back(scratch);
            verdict
        } else {
            let verdict = transaction.verdict();
            let (suspended, scratch) = transaction.suspend();
            give_back(scratch);
            turn.facts.suspended.push(Suspended {
                check: turn.id,
                mode: turn.mode,
                denied: denies,
                evaluation: Some(suspended),
            });
            verdict
        };
        let answer = match failed {
            Some(reason) => Answer::deny(reason),
            None => answer(&verdict, turn.mode),
        };
        keep(turn.facts, turn.id, verdict);
        answer
    }

    /// The body that the rules read; empty when there is none, or none that they could read.
    async fn body<I: Io>(&self, turn: &mut Turn<'_, '_, I>) -> Result<Bytes, Reason> {
        let Some(held) = self.body else {
            return Ok(Bytes::new());
        };
        let max = if has_files(turn.request.headers) { held.max } else { held.plain };
        let Some(codings) = self.encoded_body.codings(turn.request.headers)? else {
            return Ok(Bytes::new());
        };
        let body = turn.io.body(max).await?;
        encoded::open(&codings, body, max)
    }
}

/// Whether the body may bring files along.
fn has_files(headers: &HeaderMap) -> bool {
    const MULTIPART: &[u8] = b"multipart/";
    let kind = headers.get(header::CONTENT_TYPE).map_or(&b""[..], |value| value.as_bytes());
    kind.trim_ascii_start().get(..MULTIPART.len()).is_some_and(|start| start.eq_ignore_ascii_case(MULTIPART))
}

fn announced(framing: Framing) -> bool {
    match framing {
        Framing::None | Framing::Length(0) => false,
        Framing::Length(_) | Framing::Unknown => true,
    }
}

fn evaluate_head(
    transaction: &mut Transaction<'_>,
    request: &Request<'_>,
    around: Surroundings<'_>,
) -> Step {
    transaction.evaluate_headers(&waf::Request {
        method: request.method.as_str().as_bytes(),
        target: request.target.as_bytes(),
        path: request.path.as_bytes(),
        query: request.query.unwrap_or_default().as_bytes(),
        protocol: match request.version {
            Version::HTTP_10 => b"HTTP/1.0",
            Version::HTTP_2 => b"HTTP/2.0",
            Version::HTTP_3 => b"HTTP/3.0",
            _ => b"HTTP/1.1",
        },
        headers: &Lines(request.headers),
        client: request.client,
        around,
    })
}

struct Lines<'h>(&'h HeaderMap);

impl waf::Headers for Lines<'_> {
    fn each(&self, sink: &mut dyn FnMut(&[u8], &[u8])) {
        for (name, value) in self.0 {
            sink(name.as_str().as_bytes(), value.as_bytes().trim_ascii());
        }
    }
}

fn answer(verdict: &Verdict, mode: Mode) -> Answer {
    match verdict.refusal {
        _ if !verdict.block => Answer::Pass,
        None => blocked(verdict.reply.as_ref(), mode),
        // What matched before judging ended says more than that it ended.
        Some(_) if verdict.score > 0 => Answer::deny(Reason::WafBlocked),
        Some(Refusal::Body(_) | Refusal::Ambiguous(_)) => Answer::deny(Reason::BodyUnparsable),
        Some(
            Refusal::TooManyArgs
            | Refusal::NameTooLong
            | Refusal::ValueTooLong
            | Refusal::TooMuchWork,
        ) => Answer::deny(Reason::WafBudget),
    }
}

/// A rule may choose the status, or send the client elsewhere. Its `drop` is a refusal like any other: by now the
/// client has been let in, and an answer tells an honest one more than a closed connection.
fn blocked(reply: Option<&waf::Reply>, mode: Mode) -> Answer {
    let reason = Reason::WafBlocked;
    let status = reply.and_then(|reply| StatusCode::from_u16(reply.status?).ok());
    let target = reply.and_then(|reply| HeaderValue::from_str(reply.redirect.as_ref()?).ok());
    // A check that observes sends nobody anywhere.
    if let (Some(target), Mode::Enforce) = (target, mode) {
        return Answer::Reply(Reply {
            reason,
            status: status.filter(StatusCode::is_redirection).unwrap_or(StatusCode::FOUND),
            headers: vec![(header::LOCATION, target)],
            body: Bytes::new(),
            action: Action::Deny,
        });
    }
    let status = status.filter(|status| status.is_client_error() || status.is_server_error());
    Answer::Deny(Denial { reason, status: status.unwrap_or_else(|| reason.status()), retry_after: None })
}

/// What is worth an event. A route may ask several rule sets; their findings stand in one list.
fn keep(facts: &mut Facts, check: CheckId, verdict: Verdict) {
    if !verdict.matches.is_empty() {
        facts.found.push((check, verdict.matches.len()));
    }
    if verdict.matches.is_empty() && verdict.refusal.is_none() && !verdict.block {
        return;
    }
    match &mut facts.waf {
        None => facts.waf = Some(Box::new(verdict)),
        Some(all) => {
            all.block |= verdict.block;
            all.score = all.score.saturating_add(verdict.score);
            all.outbound = all.outbound.saturating_add(verdict.outbound);
            all.matches.extend(verdict.matches);
            all.refusal = all.refusal.or(verdict.refusal);
        }
    }
}

thread_local! {
    /// The engine's buffers, of whatever rule set.
    static SCRATCH: RefCell<Vec<Scratch>> = const { RefCell::new(Vec::new()) };
}

fn take() -> Scratch {
    SCRATCH.with(|kept| kept.borrow_mut().pop()).unwrap_or_default()
}

fn give_back(scratch: Scratch) {
    SCRATCH.with(|kept| {
        let mut kept = kept.borrow_mut();
        if kept.len() < KEPT {
            kept.push(scratch);
        }
    });
}

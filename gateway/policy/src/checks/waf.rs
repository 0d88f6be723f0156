//! `waf`: asks the rule engine about a request and turns its verdict into an answer. It knows when a body is needed and
//! what cannot be judged; what a rule is, and what it finds, is the engine's business.

use std::cell::RefCell;

use bytes::Bytes;
use http::{HeaderMap, Version, header};
use serde::Deserialize;
use waf::{Refusal, Ruleset, Scratch, Step, Transaction, Tuning, Verdict};

use super::{Gives, Needs, OnError, ResponseWork, Turn};
use crate::context::Context;
use crate::decision::{Answer, Reason};
use crate::io::{BodyFault, Io};
use crate::request::{Facts, Framing, Request};
use crate::scalar::Size;

mod encoded;
mod rules;
#[cfg(test)]
mod tests;

pub use encoded::EncodedBody;

/// A single value that is scanned at all, unless the policy says otherwise.
const INSPECT: u64 = 1 << 20;
/// Header fields are values as well, and long ones are no attack.
const LEAST_INSPECT: u64 = 8 << 10;
/// A body that is held for the rules, unless the policy says otherwise.
const BODY: u64 = 10 << 20;
/// Holding more than this per request is a denial of service waiting to happen.
const MOST_BODY: u64 = 256 << 20;
/// A threshold above what every rule together could score refuses nothing.
const MOST_THRESHOLD: u32 = 10_000;
/// Buffers of the engine that each thread keeps.
const KEPT: usize = 8;

/// Rules against attacks in path, query, header fields, cookies and body. What cannot be judged (a body that is not what its
/// type says, more arguments or more work than the limits) is refused unless `on_error: allow`.
#[derive(Debug, Clone, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    /// Files of rules, in order; globs are allowed. `.yaml` is Palisade's own format.
    rules: Vec<String>,
    /// A request whose matches score this much is refused. Default 5, one critical match; at most 10000.
    #[serde(default)]
    threshold: Option<u32>,
    /// Reserved for rule sets with paranoia levels; only 1 for now.
    #[serde(default)]
    paranoia: Option<u8>,
    /// How much of a body is held and scanned.
    #[serde(default)]
    body: Body,
    /// Rules that are not asked, by id.
    #[serde(default)]
    disable: Vec<u32>,
    /// Rules that are not asked, by tag.
    #[serde(default)]
    disable_tags: Vec<String>,
    /// What rules must not look at.
    #[serde(default)]
    exclude: Vec<Exclusion>,
    /// Request bodies with a Content-Encoding other than `identity`: `open` (default) for the rules, within `body.max`
    /// and a hundredfold expansion, `deny` (415), or `allow`, which leaves them unread.
    #[serde(default)]
    encoded_body: EncodedBody,
}

/// How much of a body is held and scanned.
#[derive(Debug, Clone, Copy, Default, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Body {
    /// Longest single value (a field, a text of JSON, a body without a known type); a request with a longer one is
    /// refused. Contents of uploaded files do not count. Default `1MiB`, from
    /// `8KiB` to `256MiB`.
    #[serde(default)]
    inspect: Option<Size>,
    /// Longest body; a longer one is refused with 413. Default `10MiB`, at most `256MiB`.
    #[serde(default)]
    max: Option<Size>,
}

/// A value that rules must not look at.
#[derive(Debug, Clone, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Exclusion {
    /// The rule; every rule when it is left out.
    #[serde(default)]
    rule: Option<u32>,
    /// As events name it: `args:comment`, `cookie:/^pref_/`.
    target: String,
    /// Why this is not an attack.
    reason: String,
}

/// Ready to be asked.
#[derive(Debug)]
pub struct Check {
    rules: Ruleset,
    tuning: Tuning,
    /// Longest body to hold; `None`: no rule reads bodies.
    body: Option<u64>,
    encoded_body: EncodedBody,
}

impl Spec {
    pub(super) fn compile(self, context: &mut Context<'_>) -> Option<Check> {
        let before = context.faults.len();
        let max = self.limits(context);
        let options = self.options(context);
        let rules = rules::load(context, &self.rules)?;
        let tuning = rules::tune(context, &rules, &options)?;
        if rules.needs().response {
            let message = "some of these rules look at answers, which are not scanned yet";
            context.warning(context.at.key("rules"), message);
        }
        let body = rules.needs().body.then_some(max);
        let check = Check { rules, tuning, body, encoded_body: self.encoded_body };
        (!context.failed_since(before)).then_some(check)
    }

    /// Checks what is bounded; the longest body.
    fn limits(&self, context: &mut Context<'_>) -> u64 {
        let at = context.at.clone();
        if self.threshold.is_some_and(|threshold| threshold == 0 || threshold > MOST_THRESHOLD) {
            context.error(at.key("threshold"), format!("from 1 to {MOST_THRESHOLD}"));
        }
        if self.paranoia.is_some_and(|level| level != 1) {
            context.error(at.key("paranoia"), "only 1: rule sets with paranoia levels are not supported yet");
        }
        if context.on_error == Some(OnError::Local) {
            context.error(at.key("on_error"), "there is no local answer: write `deny` or `allow`");
        }
        let max = self.body.max.map_or(BODY, |size| size.0);
        if max > MOST_BODY {
            context.error(at.key("body").key("max"), "at most 256MiB: bodies are held in memory");
        }
        if self.body.inspect.is_some_and(|size| !(LEAST_INSPECT..=MOST_BODY).contains(&size.0)) {
            context.error(at.key("body").key("inspect"), "from 8KiB, which header fields may need, to 256MiB");
        }
        max
    }

    fn options(&self, context: &mut Context<'_>) -> waf::Options {
        for (index, exclusion) in self.exclude.iter().enumerate() {
            if exclusion.reason.trim().is_empty() {
                let at = context.at.key("exclude").index(index).key("reason");
                context.error(at, "say why: an exclusion outlives whoever knew");
            }
        }
        let exclusion = |own: &Exclusion| waf::Exclusion { rule: own.rule, target: own.target.clone() };
        let defaults = waf::Options::default();
        let inspect = self.body.inspect.map_or(INSPECT, |size| size.0);
        waf::Options {
            threshold: self.threshold.unwrap_or(defaults.threshold),
            disabled: self.disable.clone(),
            disabled_tags: self.disable_tags.clone(),
            exclusions: self.exclude.iter().map(exclusion).collect(),
            refuse_unjudged: context.on_error != Some(OnError::Allow),
            limits: waf::Limits { value: usize::try_from(inspect).unwrap_or(usize::MAX), ..defaults.limits },
        }
    }
}

impl Check {
    pub(super) fn needs(&self) -> Needs {
        Needs { body: self.body, ..Needs::default() }
    }

    pub(super) fn gives(&self) -> Gives {
        Gives::default()
    }

    pub(super) fn response_work(&self) -> ResponseWork {
        ResponseWork::default()
    }

    pub(super) fn owned_headers(&self) -> &[http::HeaderName] {
        &[]
    }

    pub(super) async fn ask<I: Io>(&self, turn: &mut Turn<'_, '_, I>) -> Answer {
        let mut transaction = self.rules.transaction(&self.tuning, take());
        let step = evaluate_head(&mut transaction, turn.request);
        let mut failed = None;
        // A body is not waited for when the header alone decides.
        if step == Step::Continue {
            match self.body(turn).await {
                Ok(body) => {
                    let content_type = turn.request.headers.get(header::CONTENT_TYPE);
                    let content_type = content_type.map_or(&b""[..], |value| value.as_bytes());
                    transaction.evaluate_body(content_type, &body);
                }
                Err(reason) => failed = Some(reason),
            }
        }
        let (verdict, scratch) = transaction.finish();
        give_back(scratch);
        let answer = match failed {
            Some(reason) => Answer::deny(reason),
            None => answer(&verdict),
        };
        keep(turn.facts, verdict);
        answer
    }

    /// The body that the rules read; empty when there is none, or none that they could read.
    async fn body<I: Io>(&self, turn: &mut Turn<'_, '_, I>) -> Result<Bytes, Reason> {
        let (Some(max), true) = (self.body, announced(turn.request.framing)) else {
            return Ok(Bytes::new());
        };
        let Some(codings) = self.encoded_body.codings(turn.request.headers)? else {
            return Ok(Bytes::new());
        };
        let body = turn.io.body(max).await.map_err(|fault| match fault {
            BodyFault::TooLarge => Reason::BodyTooLarge,
            BodyFault::TooSlow => Reason::BodyTimeout,
            BodyFault::NoRoom => Reason::Overload,
            BodyFault::Broken => Reason::BodyBroken,
        })?;
        encoded::open(&codings, body, max)
    }
}

fn announced(framing: Framing) -> bool {
    match framing {
        Framing::None | Framing::Length(0) => false,
        Framing::Length(_) | Framing::Unknown => true,
    }
}

fn evaluate_head(transaction: &mut Transaction<'_>, request: &Request<'_>) -> Step {
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

fn answer(verdict: &Verdict) -> Answer {
    match verdict.refusal {
        _ if !verdict.block => Answer::Pass,
        None => Answer::deny(Reason::WafBlocked),
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

/// What is worth an event. A route may ask several rule sets; their findings stand in one list.
fn keep(facts: &mut Facts, verdict: Verdict) {
    if verdict.matches.is_empty() && verdict.refusal.is_none() && !verdict.block {
        return;
    }
    match &mut facts.waf {
        None => facts.waf = Some(Box::new(verdict)),
        Some(all) => {
            all.block |= verdict.block;
            all.score = all.score.saturating_add(verdict.score);
            all.matches.extend(verdict.matches);
            all.refusal = all.refusal.or(verdict.refusal);
        }
    }
}

thread_local! {
    /// The engine's buffers, of whatever rule set; several when requests wait for their bodies.
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

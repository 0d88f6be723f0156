//! `waf` on the application's answers: what of them is read, and what an evaluation that waited for one says.

use http::{HeaderMap, header};
use serde::Deserialize;
use waf::seclang::Bodies;
use waf::{Needs, Transaction, Verdict};

use super::{Check, Lines, give_back, keep, take};
use crate::context::Context;
use crate::decision::{Answer, CheckId, Reason};
use crate::request::{Facts, Suspended};
use crate::response::{BodyNeed, MediaType, Over, ResponseNeed, Unread};
use crate::scalar::Size;

/// Held and read unless the policy says otherwise.
const READ: u64 = 512 << 10;
/// Every answer under way may hold as much.
const MOST_READ: u64 = 64 << 20;
/// Text that people or programs read; pictures and downloads hold nothing that rules know.
const TYPES: [&str; 5] = ["text/plain", "text/html", "text/xml", "application/json", "application/xml"];

/// What is read of answers. What is not said here is as the rule files have it (`SecResponseBodyAccess`,
/// `SecResponseBodyLimit`, `SecResponseBodyLimitAction`, `SecResponseBodyMimeType`), else the default.
#[derive(Debug, Clone, Default, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Response {
    /// Bytes held back before any goes to the client: within them a match withholds the answer, past them it cuts the
    /// connection. Default `512KiB`, at most `64MiB`.
    #[serde(default)]
    hold: Option<Size>,
    /// Bytes of a body that rules read, decoded. Default `512KiB`, at most `64MiB`.
    #[serde(default)]
    inspect: Option<Size>,
    /// What becomes of a longer body: `partial` (default) judges the part, `deny` refuses with 502.
    #[serde(default)]
    over: Option<Over>,
    /// Media types that are read, such as `text/html` or `text/*`. Default: text/plain, text/html, text/xml,
    /// application/json, application/xml. Server-sent events and WebSockets are never read.
    #[serde(default)]
    types: Option<Vec<String>>,
    /// A body in a coding that the gateway cannot open, or that is not what its coding says: `deny` (default, 502) or
    /// `allow`, which leaves it unread.
    #[serde(default)]
    encoded: EncodedAnswer,
    /// Parts of a body (206) of a type that is read, which a client may cut so that no part shows what the whole does:
    /// `deny` (default) refuses them with 502, `strip` does not pass `Range` on, so that the application sends the whole,
    /// `allow` judges each part by itself.
    #[serde(default)]
    ranges: Ranges,
}

/// Requests for parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Ranges {
    /// Passed on; a part of what is read is refused with 502.
    #[default]
    Deny,
    /// Not passed on; a part that comes all the same is refused.
    Strip,
    /// Passed on; each part is judged by itself.
    Allow,
}

/// Answers that cannot be decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum EncodedAnswer {
    /// Refused with 502.
    #[default]
    Deny,
    /// Passed on unread.
    Allow,
}

/// What of answers some rule reads.
#[derive(Debug)]
pub(super) struct Reads {
    body: Option<BodyNeed>,
    over: Over,
    encoded: EncodedAnswer,
    ranges: Ranges,
}

impl Response {
    /// Checks what is bounded.
    pub(super) fn limits(&self, context: &mut Context<'_>) {
        let at = context.at.key("response");
        for (key, size) in [("hold", self.hold), ("inspect", self.inspect)] {
            if size.is_some_and(|size| !(1..=MOST_READ).contains(&size.0)) {
                context.error(at.key(key), "from 1 byte to 64MiB: it is held in memory for every answer under way");
            }
        }
        for (index, text) in self.types.iter().flatten().enumerate() {
            if let Err(why) = MediaType::parse(text) {
                context.error(at.key("types").index(index), why);
            }
        }
    }

    /// What is read, where the policy says nothing as the rule files have it.
    fn reads(&self, said: &Bodies) -> BodyNeed {
        let limit = said.response_limit.map(|limit| limit.min(MOST_READ));
        let inspect = self.inspect.map(|size| size.0).or(limit).unwrap_or(READ);
        let hold = self.hold.map_or(READ, |size| size.0);
        let own = |texts: &[String]| texts.iter().flat_map(|text| MediaType::parse(text)).collect();
        let types = match self.types.as_ref().or(said.response_types.as_ref()) {
            Some(texts) => own(texts),
            None => TYPES.iter().flat_map(|text| MediaType::parse(text)).collect(),
        };
        BodyNeed::new(hold, inspect, types).stripping(self.ranges == Ranges::Strip)
    }

    /// The policy says something about bodies itself.
    fn speaks(&self) -> bool {
        self.hold.is_some() || self.inspect.is_some() || self.over.is_some() || self.types.is_some()
    }
}

impl Reads {
    /// Only what rules look at; `None` when none looks at answers.
    pub(super) fn new(needs: Needs, spec: &Response, said: &Bodies) -> Option<Self> {
        if !(needs.response || needs.response_body) {
            return None;
        }
        let off = said.response == Some(false) && !spec.speaks();
        let refused = said.response_refused.map(|refused| if refused { Over::Deny } else { Over::Partial });
        Some(Self {
            body: (needs.response_body && !off).then(|| spec.reads(said)),
            over: spec.over.or(refused).unwrap_or_default(),
            encoded: spec.encoded,
            ranges: spec.ranges,
        })
    }

    pub(super) fn need(&self) -> ResponseNeed {
        ResponseNeed { body: self.body.clone() }
    }
}

impl Check {
    /// Status and header. The evaluation ends here unless the body is read as well.
    pub(crate) fn judge_head(
        &self,
        suspended: &mut Suspended,
        facts: &mut Facts,
        status: u16,
        headers: &HeaderMap,
    ) -> Answer {
        let Some(mut transaction) = self.resumed(suspended) else {
            return Answer::Pass;
        };
        transaction.evaluate_response(status, &Lines(headers));
        let body = self.response.as_ref().and_then(|reads| reads.body.as_ref());
        let kind = headers.get(header::CONTENT_TYPE);
        let goes_on = body.is_some_and(|need| need.reads(kind) || need.reads_part(status, kind));
        self.settle(transaction, suspended, facts, goes_on)
    }

    /// The body, or as much of it as is read.
    pub(crate) fn judge_body(
        &self,
        suspended: &mut Suspended,
        facts: &mut Facts,
        body: &[u8],
    ) -> Answer {
        let Some(mut transaction) = self.resumed(suspended) else {
            return Answer::Pass;
        };
        let reads = self.response.as_ref().and_then(|reads| reads.body.as_ref());
        let most = reads.map_or(0, |need| usize::try_from(need.inspect).unwrap_or(usize::MAX));
        if body.len() > most {
            transaction.cut_response();
        }
        transaction.evaluate_response_body(body.get(..most).unwrap_or(body));
        self.settle(transaction, suspended, facts, false)
    }

    /// What this check says of a body that cannot be read, or not to its end: then its rules know that, too.
    pub(crate) fn judge_unread(&self, suspended: &mut Suspended, unread: Unread) -> Answer {
        let Some(reads) = self.response.as_ref().filter(|_| suspended.evaluation.is_some()) else {
            return Answer::Pass;
        };
        if let (Unread::Long, Some(evaluation)) = (unread, &mut suspended.evaluation) {
            evaluation.cut_response();
        }
        match (unread, reads.over, reads.encoded) {
            (Unread::Part, ..) if reads.ranges == Ranges::Allow => Answer::Pass,
            (Unread::Part, ..) | (Unread::Long, Over::Deny, _) => Answer::deny(Reason::ResponseUnread),
            (Unread::Coding | Unread::Broken, _, EncodedAnswer::Deny) => Answer::deny(Reason::ResponseEncoding),
            (Unread::Long, Over::Partial, _) | (Unread::Coding | Unread::Broken, _, EncodedAnswer::Allow) => Answer::Pass,
        }
    }

    /// Nothing more comes: the logging phase.
    pub(crate) fn end(&self, suspended: &mut Suspended, facts: &mut Facts) {
        if let Some(transaction) = self.resumed(suspended) {
            finish(transaction, suspended.check, facts);
        }
    }

    fn resumed(&self, suspended: &mut Suspended) -> Option<Transaction<'_>> {
        let evaluation = suspended.evaluation.take()?;
        Some(self.rules.resume(&self.tuning, evaluation, take()))
    }

    fn settle(
        &self,
        mut transaction: Transaction<'_>,
        suspended: &mut Suspended,
        facts: &mut Facts,
        goes_on: bool,
    ) -> Answer {
        if !goes_on {
            return answer(&finish(transaction, suspended.check, facts));
        }
        let verdict = transaction.verdict();
        let answer = answer(&verdict);
        keep(facts, suspended.check, verdict);
        let (evaluation, scratch) = transaction.suspend();
        give_back(scratch);
        suspended.evaluation = Some(evaluation);
        answer
    }
}

/// The last verdict, without what was kept.
fn finish(transaction: Transaction<'_>, check: CheckId, facts: &mut Facts) -> Verdict {
    let (verdict, scratch) = transaction.finish();
    give_back(scratch);
    let rest = Verdict { block: verdict.block, refusal: verdict.refusal, ..Verdict::default() };
    keep(facts, check, verdict);
    rest
}

fn answer(verdict: &Verdict) -> Answer {
    if verdict.block { Answer::deny(Reason::WafResponse) } else { Answer::Pass }
}

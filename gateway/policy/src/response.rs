//! Answers under judgement: what of them some check reads, and what the checks say. It knows no connection: who holds
//! bytes back, opens encodings and cuts is the server.

use std::sync::Arc;

use http::{HeaderMap, HeaderValue};
use serde::Deserialize;

use crate::checks::Check;
use crate::decision::{Answer, CheckId, Reason, RouteId, Would};
use crate::policy::Policy;
use crate::request::{Facts, Suspended};
use crate::run::{Mode, Watch};

/// What a route's checks read of its answers: status and header in any case.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ResponseNeed {
    /// What they read of bodies; `None`: no body.
    pub body: Option<BodyNeed>,
}

/// What is read of an answer's body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BodyNeed {
    /// Bytes, as they came, that are held back before any goes to the client.
    pub hold: u64,
    /// Decoded bytes that are read at most.
    pub inspect: u64,
    /// Applications are not asked for parts of bodies.
    pub strips_ranges: bool,
    /// Media types that are read.
    types: Arc<[MediaType]>,
}

/// A media type, or all of one kind: `text/html`, `text/*`, `*/*`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MediaType(Box<str>);

/// What to do with an answer that is not read to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Over {
    /// The part that was read decides.
    #[default]
    Partial,
    /// Refused.
    Deny,
}

/// Why an answer's body cannot be read, or not to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unread {
    /// Longer than is inspected.
    Long,
    /// A part of a body, or several: what they say together is not seen.
    Part,
    /// In a coding that the gateway does not know.
    Coding,
    /// Not what its coding says, or larger inside than the gateway opens.
    Broken,
}

/// What the checks say of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResponseStep {
    /// Nothing against it, as far as it is known.
    Pass,
    /// It must not reach the client.
    Deny {
        /// The check that refuses.
        check: CheckId,
        /// Why.
        reason: Reason,
    },
}

impl MediaType {
    /// In lower case, without parameters.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim().to_ascii_lowercase();
        let token = |part: &str| {
            let plain = |c: char| c.is_ascii_alphanumeric() || "!#$&-^_.+".contains(c);
            !part.is_empty() && (part == "*" || part.chars().all(plain))
        };
        match text.split_once('/') {
            Some(("*", "*")) => Ok(Self(text.into())),
            Some((kind, name)) if kind != "*" && token(kind) && token(name) => {
                Ok(Self(text.into()))
            }
            _ => Err(format!(
                "`{text}` is not a media type, such as text/html or text/*"
            )),
        }
    }

    fn takes(&self, essence: &[u8]) -> bool {
        match self.0.strip_suffix('*') {
            Some("*/") => true,
            Some(kind) => essence
                .get(..kind.len())
                .is_some_and(|own| own.eq_ignore_ascii_case(kind.as_bytes())),
            None => essence.eq_ignore_ascii_case(self.0.as_bytes()),
        }
    }
}

impl BodyNeed {
    pub(crate) fn new(hold: u64, inspect: u64, types: Vec<MediaType>) -> Self {
        Self {
            hold,
            inspect,
            strips_ranges: false,
            types: types.into(),
        }
    }

    pub(crate) fn stripping(self, strips_ranges: bool) -> Self {
        Self {
            strips_ranges,
            ..self
        }
    }

    /// Whether this is a part, or several, of a body that is read. What several are parts of is not told.
    #[must_use]
    pub fn reads_part(&self, status: u16, content_type: Option<&HeaderValue>) -> bool {
        const SEVERAL: &[u8] = b"multipart/byteranges";
        let several = |value: &HeaderValue| {
            let start = value.as_bytes().trim_ascii_start().get(..SEVERAL.len());
            start.is_some_and(|start| start.eq_ignore_ascii_case(SEVERAL))
        };
        status == 206 && (self.reads(content_type) || content_type.is_some_and(several))
    }

    /// Whether answers of this type are read. A body without a type is: browsers guess one.
    #[must_use]
    pub fn reads(&self, content_type: Option<&HeaderValue>) -> bool {
        let Some(value) = content_type else {
            return true;
        };
        let mut parts = value.as_bytes().split(|byte| *byte == b';');
        let essence = parts.next().unwrap_or_default().trim_ascii();
        essence.is_empty() || self.types.iter().any(|own| own.takes(essence))
    }

    /// What two checks read together.
    fn union(&self, other: &Self) -> Self {
        let both = self.types.iter().chain(&*other.types).cloned();
        Self {
            hold: self.hold.max(other.hold),
            inspect: self.inspect.max(other.inspect),
            strips_ranges: self.strips_ranges || other.strips_ranges,
            types: both.collect(),
        }
    }
}

impl ResponseNeed {
    /// What two checks read together.
    pub(crate) fn union(&self, other: &Self) -> Self {
        let body = match (&self.body, &other.body) {
            (Some(one), Some(other)) => Some(one.union(other)),
            (one, other) => one.clone().or_else(|| other.clone()),
        };
        Self { body }
    }
}

impl Policy {
    /// What the route's checks read of its answers; `None`: nothing, and the answer costs nothing. Settled when the
    /// policy is compiled.
    #[must_use]
    pub fn response_need(&self, route: RouteId) -> Option<ResponseNeed> {
        self.at(route).and_then(|found| found.response_need.clone())
    }

    /// Judges status and header of the application's answer. A refusal ends every evaluation.
    pub fn judge_response(
        &self,
        route: RouteId,
        facts: &mut Facts,
        status: u16,
        headers: &HeaderMap,
        watch: &mut impl Watch,
    ) -> ResponseStep {
        self.judge(route, facts, watch, |check, suspended, facts| {
            check.judge_head(suspended, facts, status, headers)
        })
    }

    /// Judges the body, decoded: whole, or as much as is inspected. Called once, and it ends every evaluation.
    pub fn judge_response_body(
        &self,
        route: RouteId,
        facts: &mut Facts,
        body: &[u8],
        watch: &mut impl Watch,
    ) -> ResponseStep {
        let step = self.judge(route, facts, watch, |check, suspended, facts| {
            check.judge_body(suspended, facts, body)
        });
        self.abandon_response(facts);
        step
    }

    /// What checks say of a body that cannot be read, or not to its end. After a pass, what could be read is judged
    /// by [`Policy::judge_response_body`].
    pub fn judge_unread(
        &self,
        route: RouteId,
        facts: &mut Facts,
        unread: Unread,
        watch: &mut impl Watch,
    ) -> ResponseStep {
        self.judge(route, facts, watch, |check, suspended, _| {
            check.judge_unread(suspended, unread)
        })
    }

    /// There is no more of the answer to judge: runs what is left to run, and gives buffers back. Facts without an
    /// evaluation under way are left as they are.
    pub fn abandon_response(&self, facts: &mut Facts) {
        for mut suspended in std::mem::take(&mut facts.suspended) {
            if let Some(Check::Waf(check)) = self.check(suspended.check) {
                check.end(&mut suspended, facts);
            }
        }
    }

    /// Asks every check whose evaluation waits. Observed refusals become `would`, once per check.
    fn judge(
        &self,
        route: RouteId,
        facts: &mut Facts,
        watch: &mut impl Watch,
        mut ask: impl FnMut(&crate::checks::waf::Check, &mut Suspended, &mut Facts) -> Answer,
    ) -> ResponseStep {
        if self
            .at(route)
            .is_none_or(|route| route.response_need.is_none())
        {
            return ResponseStep::Pass;
        }
        let mut waiting = std::mem::take(&mut facts.suspended);
        let mut step = ResponseStep::Pass;
        for suspended in &mut waiting {
            let (check, mode) = (suspended.check, suspended.mode);
            let answer = match self.check(check) {
                Some(Check::Waf(found)) => ask(found, suspended, facts),
                _ => Answer::deny(Reason::Internal),
            };
            watch.asked(check, &answer, mode);
            let Answer::Deny(denial) = answer else {
                continue;
            };
            let reason = denial.reason;
            if mode == Mode::Enforce {
                step = ResponseStep::Deny { check, reason };
                break;
            }
            if !std::mem::replace(&mut suspended.denied, true) {
                facts.would.push(Would { check, reason });
            }
        }
        waiting.retain(|suspended| suspended.evaluation.is_some());
        facts.suspended = waiting;
        if step != ResponseStep::Pass {
            self.abandon_response(facts);
        }
        step
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn need(types: &[&str]) -> BodyNeed {
        let types = types.iter().map(|text| MediaType::parse(text).unwrap());
        BodyNeed::new(1, 1, types.collect())
    }

    fn reads(need: &BodyNeed, text: &'static str) -> bool {
        need.reads(Some(&HeaderValue::from_static(text)))
    }

    #[test]
    fn media_types_are_read_without_case_and_parameters() {
        let need = need(&["text/HTML", "image/*"]);
        assert!(reads(&need, "text/html"));
        assert!(reads(&need, " Text/Html ; charset=utf-8"));
        assert!(reads(&need, "image/svg+xml"));
        assert!(!reads(&need, "text/plain"));
        assert!(!reads(&need, "text/htmlx"));
        assert!(!reads(&need, "imagery/png"));
        assert!(need.reads(None) && reads(&need, ""));
    }

    #[test]
    fn what_is_no_media_type_is_refused() {
        assert!(MediaType::parse("*/*").is_ok());
        for text in [
            "html",
            "*/html",
            "text/",
            "/html",
            "text/html; q=1",
            "a/b/c",
            "t*/x",
        ] {
            assert!(MediaType::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn two_checks_read_what_either_reads() {
        let one = ResponseNeed {
            body: Some(need(&["text/html"])),
        };
        let other = ResponseNeed {
            body: Some(need(&["application/json"])),
        };
        let both = one.union(&other).body.unwrap();
        assert!(reads(&both, "text/html") && reads(&both, "application/json"));
        assert_eq!(ResponseNeed::default().union(&one), one);
    }
}

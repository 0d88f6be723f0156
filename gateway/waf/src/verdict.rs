//! What came of a request: the decision, the score, and every match that counts.

use std::{fmt, sync::Arc};

use crate::{body, rule::Severity};

/// Whether there is a reason to go on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Step {
    /// Nothing decided yet.
    Continue,
    /// The request would be refused; evaluating on only adds matches.
    Block,
    /// A rule let the request pass; nothing further is asked.
    Allow,
}

/// The outcome for one request.
#[derive(Clone, Debug, Default)]
pub struct Verdict {
    /// Refuse the request.
    pub block: bool,
    /// The sum over all rules that matched in the request; of the Core Rule Set its inbound anomaly score.
    pub score: u32,
    /// The same for the application's answer.
    pub outbound: u32,
    /// In the order found, at most [`crate::Limits::matches`].
    pub matches: Vec<Match>,
    /// Why the request could not be judged, if it could not; it is refused then.
    pub refusal: Option<Refusal>,
    /// How the rule that blocks wants it done. `None`: the caller's own answer.
    pub reply: Option<Reply>,
}

/// How a rule wants a request refused (SecLang's `status`, `redirect`, `drop`). Only of a verdict that blocks.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Reply {
    /// The status of the answer; 3xx only with `redirect`.
    pub status: Option<u16>,
    /// Where the client is sent instead. Macros are resolved: the text may hold what the client sent, so the caller
    /// must refuse it as a header's value if it holds control characters.
    pub redirect: Option<String>,
    /// Close the connection without an answer.
    pub drop: bool,
}

/// One rule and one value it matched.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Match {
    /// The rule.
    pub id: u32,
    /// Its message.
    pub msg: Arc<str>,
    /// Its severity, where it has one.
    pub severity: Option<Severity>,
    /// Its tags.
    pub tags: Arc<[Arc<str>]>,
    /// What it added to the score.
    pub score: u32,
    /// Where: `args:q`, `header:user-agent`, `path`. Can be pasted into an exclusion.
    pub target: String,
    /// What the rule saw, after its transformations, cut to 200 bytes.
    pub value: String,
    /// SecLang's `logdata`, macros resolved, cut to 800 bytes; empty without one. Like `value` it holds what the client
    /// sent: mask it.
    pub data: String,
}

/// Why a request cannot be judged.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Refusal {
    /// More arguments than the limit.
    TooManyArgs,
    /// An argument's name is longer than the limit.
    NameTooLong,
    /// A value is longer than the limit.
    ValueTooLong,
    /// Judging the request would cost more than the limit.
    TooMuchWork,
    /// The body is not what its type says.
    Body(body::Fault),
    /// The body is well-formed, but parsers are known to read it differently.
    Ambiguous(body::Flaw),
}

impl Refusal {
    /// A stable code for events and metrics.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::TooManyArgs => "too_many_args",
            Self::NameTooLong => "name_too_long",
            Self::ValueTooLong => "value_too_long",
            Self::TooMuchWork => "too_much_work",
            Self::Body(_) => "unparsable_body",
            Self::Ambiguous(_) => "ambiguous_body",
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooManyArgs => f.write_str("more arguments than the limit"),
            Self::NameTooLong => f.write_str("an argument's name is longer than the limit"),
            Self::ValueTooLong => f.write_str("a value is longer than the limit"),
            Self::TooMuchWork => f.write_str("judging the request costs more than the limit"),
            Self::Body(fault) => write!(f, "the body cannot be parsed: {fault}"),
            Self::Ambiguous(flaw) => write!(f, "the body can be read in two ways: {}", flaw.code()),
        }
    }
}

//! The one rule model. SecLang and our YAML rules both become this; nothing behind it knows which it was.

use std::sync::Arc;

use crate::{
    body,
    fault::Fault,
    operator::Operator,
    text::Text,
    transform::Transform,
    variable::{DYNAMIC, Target},
};

/// When a rule is asked. The numbers are SecLang's.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) enum Phase {
    RequestHeaders = 0,
    RequestBody = 1,
    ResponseHeaders = 2,
    ResponseBody = 3,
    Logging = 4,
}

/// How bad a match is. The number is its default score.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Score 2.
    Notice,
    /// Score 3.
    Warning,
    /// Score 4.
    Error,
    /// Score 5.
    Critical,
}

impl Severity {
    /// What a match adds to the score unless the rule says otherwise.
    #[must_use]
    pub const fn score(self) -> u32 {
        match self {
            Self::Notice => 2,
            Self::Warning => 3,
            Self::Error => 4,
            Self::Critical => 5,
        }
    }

    /// The name used in rules and events.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Notice => "notice",
            Self::Warning => "warning",
            Self::Error => "error",
            Self::Critical => "critical",
        }
    }
}

/// One rule: a chain of links that must all match, and what follows when they do.
#[derive(Debug)]
pub(crate) struct Rule {
    pub(crate) id: u32,
    /// `None`: each value is looked at as soon as it is known, so that a request can be refused before its body.
    pub(crate) phase: Option<Phase>,
    pub(crate) origin: Origin,
    pub(crate) msg: Arc<str>,
    /// The same when it holds macros.
    pub(crate) message: Option<Text>,
    pub(crate) severity: Option<Severity>,
    pub(crate) tags: Arc<[Arc<str>]>,
    pub(crate) effect: Effect,
    /// A match is reported.
    pub(crate) log: bool,
    /// Never empty: front ends refuse a rule without a condition.
    pub(crate) links: Vec<Link>,
    /// A match goes on with the rule at this place.
    pub(crate) skip_to: Option<u32>,
}

impl Rule {
    /// A match changes what later rules see, or which are asked.
    pub(crate) fn sets_anything(&self) -> bool {
        self.skip_to.is_some() || self.links.iter().any(|link| !link.actions.is_empty())
    }
}

/// Where a rule was written.
#[derive(Clone, Debug)]
pub(crate) struct Origin {
    pub(crate) source: Arc<str>,
    pub(crate) line: Option<u32>,
    pub(crate) path: String,
}

/// What a match does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Effect {
    /// Nothing beyond being reported.
    Pass,
    /// Adds to the request's score, once per request however many values match.
    Score(u32),
    /// Refuses whatever the score.
    Deny,
    /// Ends the evaluation: the request passes.
    Allow,
    /// Ends this phase.
    AllowPhase,
}

/// One condition: some values, made plain by a pipeline, put to tests.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) targets: Vec<Target>,
    pub(crate) except: Vec<Target>,
    pub(crate) pipeline: Vec<Transform>,
    pub(crate) tests: Vec<Test>,
    /// All tests must hold for the same value; otherwise one is enough. SecLang has exactly one test.
    pub(crate) all: bool,
    /// Every intermediate result of the pipeline is tested.
    pub(crate) multi: bool,
    /// A match leaves what it matched in `TX.0` to `TX.9`.
    pub(crate) capture: bool,
    /// Done for every value that matches, even when a later link does not.
    pub(crate) actions: Vec<Action>,
}

/// What a match changes for the rest of the transaction.
#[derive(Debug)]
pub(crate) enum Action {
    Set(Name, Change),
    /// Rules that are no longer asked.
    Remove(Which),
    /// Values that some rules no longer look at.
    RemoveTarget(Which, Target),
    /// How the body is to be read.
    BodyProcessor(Option<body::Kind>),
}

/// Whose value changes.
#[derive(Debug)]
pub(crate) enum Name {
    Slot(u16),
    /// Put together from macros when the rule matches.
    Made(Text),
}

/// How it changes.
#[derive(Debug)]
pub(crate) enum Change {
    Assign(Text),
    Add(Text),
    Subtract(Text),
    Unset,
}

/// Rules named by `ctl`.
#[derive(Debug)]
pub(crate) enum Which {
    /// Inclusive ranges.
    Ids(Vec<(u32, u32)>),
    Tag(Box<str>),
    Msg(Box<str>),
}

impl Which {
    pub(crate) fn takes(&self, rule: &Rule) -> bool {
        match self {
            Self::Ids(ranges) => ranges
                .iter()
                .any(|(first, last)| (*first..=*last).contains(&rule.id)),
            Self::Tag(tag) => rule.tags.iter().any(|own| **own == **tag),
            Self::Msg(msg) => *rule.msg == **msg,
        }
    }
}

/// One operator and whether its answer is turned round.
#[derive(Debug)]
pub(crate) struct Test {
    pub(crate) operator: Operator,
    pub(crate) negated: bool,
}

impl Test {
    /// `operand` is the operator's text, expanded.
    pub(crate) fn holds(&self, value: &[u8], operand: &[u8]) -> bool {
        self.operator.matches(value, operand) != self.negated
    }

    /// The operand when it holds no macro.
    pub(crate) fn fixed(&self) -> Option<&[u8]> {
        self.operator.operand().map_or(Some(&[]), Text::as_fixed)
    }
}

impl Link {
    /// Whether the values can be scanned ahead, whatever other rules do meanwhile.
    pub(crate) fn is_scannable(&self) -> bool {
        let seen = |target: &Target| !target.count && !target.variables.intersects(DYNAMIC);
        let plain = |test: &Test| {
            !test.negated && test.fixed().is_some() && !matches!(test.operator, Operator::Always)
        };
        !self.targets.is_empty() && self.targets.iter().all(seen) && self.tests.iter().all(plain)
    }
}

impl Origin {
    pub(crate) fn fault(&self, rule: u32, path: &str, message: String) -> Fault {
        let dot = if path.is_empty() || self.path.is_empty() {
            ""
        } else {
            "."
        };
        Fault {
            source: self.source.to_string(),
            line: self.line,
            rule: Some(rule),
            path: format!("{}{dot}{path}", self.path),
            message,
        }
    }
}

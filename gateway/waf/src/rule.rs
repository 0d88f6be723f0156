//! The one rule model. SecLang and our YAML rules both become this; nothing behind it knows which it was.

use std::sync::Arc;

use crate::{
    body,
    fault::Fault,
    limits::Budget,
    operator::{Operator, pattern::NamePattern},
    seclang::Engine,
    text::{Own, Text},
    transform::Transform,
    variable::{DYNAMIC, Target, Variable},
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
    /// Reported beside the message; may hold macros.
    pub(crate) data: Option<Text>,
    pub(crate) severity: Option<Severity>,
    /// SecLang's own eight levels, 0 the worst.
    pub(crate) level: Option<u8>,
    pub(crate) rev: Arc<str>,
    pub(crate) tags: Arc<[Arc<str>]>,
    pub(crate) effect: Effect,
    /// What a refusal by this rule says; nothing: the gateway's own answer.
    pub(crate) reply: Option<Box<Reply>>,
    /// A match is reported.
    pub(crate) log: bool,
    /// Never empty: front ends refuse a rule without a condition.
    pub(crate) links: Vec<Link>,
    /// A match goes on with the rule at this place.
    pub(crate) skip_to: Option<u32>,
}

impl Rule {
    /// What `RULE` says of this rule. The end of a chain speaks as its beginning.
    pub(crate) fn words(&self, own: Own) -> Text {
        let fixed = |text: &str| Text::fixed(text.as_bytes());
        match own {
            Own::Id => fixed(&self.id.to_string()),
            Own::Msg => self.message.clone().unwrap_or_else(|| fixed(&self.msg)),
            Own::Severity => self
                .level
                .map_or_else(|| fixed(""), |level| fixed(&level.to_string())),
            Own::Data => self.data.clone().unwrap_or_default(),
            Own::Rev => fixed(&self.rev),
        }
    }

    /// What is reported does not depend on what matched.
    pub(crate) fn has_fixed_words(&self) -> bool {
        let reply = self
            .reply
            .as_ref()
            .and_then(|reply| reply.redirect.as_ref());
        self.message.is_none()
            && [self.data.as_ref(), reply]
                .into_iter()
                .flatten()
                .all(|text| text.as_fixed().is_some())
    }

    /// Every text with macros.
    pub(crate) fn texts_mut(&mut self) -> impl Iterator<Item = &mut Text> {
        let reply = self
            .reply
            .iter_mut()
            .filter_map(|reply| reply.redirect.as_mut());
        let links = self.links.iter_mut().flat_map(Link::texts_mut);
        self.message
            .iter_mut()
            .chain(self.data.iter_mut())
            .chain(reply)
            .chain(links)
    }

    /// A match changes what later rules see, or which are asked.
    pub(crate) fn sets_anything(&self) -> bool {
        self.skip_to.is_some() || self.sets_in_links()
    }

    pub(crate) fn sets_in_links(&self) -> bool {
        self.links.iter().any(|link| !link.actions.is_empty())
    }
}

/// How a rule wants a request refused.
#[derive(Clone, Debug, Default)]
pub(crate) struct Reply {
    pub(crate) status: Option<u16>,
    pub(crate) redirect: Option<Text>,
    /// The connection is closed without an answer.
    pub(crate) drop: bool,
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
    /// Ends the phases of the request; its answer is looked at.
    AllowRequest,
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
    /// The variable goes away after so many seconds.
    Expire(Name, Text),
    /// The variable falls by so much in so many seconds.
    Deprecate(Name, Text),
    /// The collection is the one of this key from here on.
    Keep(Variable, Text),
    /// From here on rules refuse, only report, or are not asked.
    Engine(Engine),
    /// REQUEST_BODY holds the body whatever its type.
    ForceBody(bool),
    /// The body of the request, or of the answer, is looked at.
    ReadBody(bool),
    ReadResponse(bool),
}

impl Action {
    fn texts_mut(&mut self) -> impl Iterator<Item = &mut Text> {
        let (one, two) = match self {
            Self::Set(name, change) => (name.text_mut(), change.text_mut()),
            Self::Expire(name, text) | Self::Deprecate(name, text) => (name.text_mut(), Some(text)),
            Self::Keep(_, text) => (None, Some(text)),
            Self::Remove(_)
            | Self::RemoveTarget(..)
            | Self::BodyProcessor(_)
            | Self::Engine(_)
            | Self::ForceBody(_)
            | Self::ReadBody(_)
            | Self::ReadResponse(_) => (None, None),
        };
        one.into_iter().chain(two)
    }
}

/// Whose value changes.
#[derive(Debug)]
pub(crate) enum Name {
    Slot(u16),
    /// Put together from macros when the rule matches.
    Made(Variable, Text),
}

impl Name {
    const fn text_mut(&mut self) -> Option<&mut Text> {
        match self {
            Self::Slot(_) => None,
            Self::Made(_, text) => Some(text),
        }
    }
}

/// How it changes.
#[derive(Debug)]
pub(crate) enum Change {
    Assign(Text),
    Add(Text),
    Subtract(Text),
    Unset,
}

impl Change {
    const fn text_mut(&mut self) -> Option<&mut Text> {
        match self {
            Self::Assign(text) | Self::Add(text) | Self::Subtract(text) => Some(text),
            Self::Unset => None,
        }
    }
}

/// Rules named by `ctl`.
#[derive(Debug)]
pub(crate) enum Which {
    /// Inclusive ranges.
    Ids(Vec<(u32, u32)>),
    Tag(Words),
    Msg(Words),
}

/// A text, or a pattern where it looks like one.
#[derive(Debug)]
pub(crate) enum Words {
    Exact(Box<str>),
    Pattern(Box<NamePattern>),
}

impl Words {
    fn takes(&self, text: &str) -> bool {
        match self {
            Self::Exact(own) => **own == *text,
            Self::Pattern(pattern) => pattern.is_match(text.as_bytes()),
        }
    }
}

impl Which {
    pub(crate) fn takes(&self, rule: &Rule) -> bool {
        match self {
            Self::Ids(ranges) => ranges
                .iter()
                .any(|(first, last)| (*first..=*last).contains(&rule.id)),
            Self::Tag(tag) => rule.tags.iter().any(|own| tag.takes(own)),
            Self::Msg(msg) => msg.takes(&rule.msg),
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
    /// `operand` is the operator's text, expanded. What cannot be answered within the budget uses it up.
    pub(crate) fn holds(&self, value: &[u8], operand: &[u8], budget: &mut Budget) -> bool {
        self.operator.matches(value, operand, budget) != self.negated
    }

    /// The operand when it holds no macro.
    pub(crate) fn fixed(&self) -> Option<&[u8]> {
        self.operator.operand().map_or(Some(&[]), Text::as_fixed)
    }
}

impl Link {
    fn texts_mut(&mut self) -> impl Iterator<Item = &mut Text> {
        let operands = self
            .tests
            .iter_mut()
            .filter_map(|test| test.operator.operand_mut());
        let actions = self.actions.iter_mut().flat_map(Action::texts_mut);
        operands.chain(actions)
    }

    /// Whether the values can be scanned ahead, whatever other rules do meanwhile.
    pub(crate) fn is_scannable(&self) -> bool {
        let seen = |target: &Target| !target.count && !target.variables.intersects(DYNAMIC);
        let plain = |test: &Test| {
            let acts = matches!(test.operator, Operator::Always | Operator::GeoLookup);
            !test.negated && test.fixed().is_some() && !acts
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

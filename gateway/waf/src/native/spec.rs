//! The shape of a file of our own rules. Unknown keys are refused; what the values mean is checked when compiled.

use serde::Deserialize;

use crate::rule::Severity;

/// A named document of rules.
#[derive(Clone, Copy, Debug)]
pub struct Source<'a> {
    /// Named in faults: usually a file.
    pub name: &'a str,
    /// What it holds.
    pub file: &'a File,
}

/// A file of rules.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct File {
    /// In the order in which they act.
    pub rules: Vec<Spec>,
}

/// One rule.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    /// Unique over all files; named in events and exclusions.
    pub id: u32,
    /// What a match means.
    pub msg: String,
    /// Decides the score unless that is given. Default critical.
    #[serde(default = "critical")]
    pub severity: Severity,
    /// What a match adds, once per request.
    #[serde(default)]
    pub score: Option<u32>,
    /// For switching families of rules off, and for metrics.
    #[serde(default)]
    pub tags: Vec<String>,
    /// What the rule looks at: `args`, `header:user-agent`, `cookie:/^sid/`.
    pub targets: Vec<String>,
    /// What it must not look at, in the same notation.
    #[serde(default)]
    pub except: Vec<String>,
    /// Transformations, first to last.
    #[serde(default)]
    pub transform: Vec<String>,
    /// One of these tests must hold.
    #[serde(default)]
    pub any: Option<Vec<Test>>,
    /// All of these tests must hold, for the same value.
    #[serde(default)]
    pub all: Option<Vec<Test>>,
    /// What a match does.
    #[serde(default)]
    pub action: Action,
}

const fn critical() -> Severity {
    Severity::Critical
}

/// What a match does.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Adds to the score of the request.
    #[default]
    Score,
    /// Refuses at once.
    Deny,
    /// Lets the request pass and asks nothing further.
    Allow,
    /// Is reported, nothing else.
    Log,
}

/// One test of a value: a mapping with one key.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Test {
    /// A regular expression over bytes, anywhere in the value.
    Regex(String),
    /// One of these texts, in any case, anywhere in the value.
    Phrases(Vec<String>),
    /// libinjection's opinion.
    Libinjection(Injection),
    /// Exactly this.
    Equals(String),
    /// This text somewhere.
    Contains(String),
    /// This text at the start.
    StartsWith(String),
    /// This text at the end.
    EndsWith(String),
    /// The value is an address in one of these networks.
    IpIn(Vec<String>),
    /// More bytes than this.
    LongerThan(usize),
}

/// What libinjection looks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Injection {
    /// SQL.
    Sqli,
    /// HTML and script.
    Xss,
}

impl Test {
    /// The key as written.
    pub(super) const fn key(&self) -> &'static str {
        match self {
            Self::Regex(_) => "regex",
            Self::Phrases(_) => "phrases",
            Self::Libinjection(_) => "libinjection",
            Self::Equals(_) => "equals",
            Self::Contains(_) => "contains",
            Self::StartsWith(_) => "starts_with",
            Self::EndsWith(_) => "ends_with",
            Self::IpIn(_) => "ip_in",
            Self::LongerThan(_) => "longer_than",
        }
    }
}

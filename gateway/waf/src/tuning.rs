//! How one use of a ruleset differs from the rules as written: threshold, rules left out, exclusions, limits. What a
//! use names must exist.

use crate::{
    compile::Program,
    fault::Fault,
    limits::Limits,
    native,
    rule::Rule,
    seclang,
    variable::{Target, Variable},
};

/// How one use of a ruleset differs from the rules as written.
#[derive(Clone, Debug)]
pub struct Options {
    /// A request with at least this score is refused. Default 5: one critical match.
    pub threshold: u32,
    /// An answer with at least this score is refused. Default 4: what leaks is at least an error.
    pub response_threshold: u32,
    /// Ids of rules that are not asked, as ranges with both ends.
    pub disabled: Vec<(u32, u32)>,
    /// Rules with one of these tags are not asked.
    pub disabled_tags: Vec<String>,
    /// What a rule must not look at.
    pub exclusions: Vec<Exclusion>,
    /// A request that cannot be judged is refused. Default true.
    pub refuse_unjudged: bool,
    /// What one request may cost.
    pub limits: Limits,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            threshold: 5,
            response_threshold: 4,
            disabled: Vec::new(),
            disabled_tags: Vec::new(),
            exclusions: Vec::new(),
            refuse_unjudged: true,
            limits: Limits::default(),
        }
    }
}

/// A value that rules must not look at.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Exclusion {
    /// The rules.
    pub rules: Chosen,
    /// A target as rules name them, or as SecLang does: `args:comment`, `cookie:/^pref_/`, `REQUEST_COOKIES:/^pref_/`.
    pub target: String,
}

/// Some rules of a ruleset.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Chosen {
    /// All of them.
    Every,
    /// Ids, both ends of a range.
    Ids(u32, u32),
    /// Those with a tag.
    Tagged(String),
}

impl Chosen {
    fn takes(&self, rule: &Rule) -> bool {
        match self {
            Self::Every => true,
            Self::Ids(first, last) => (*first..=*last).contains(&rule.id),
            Self::Tagged(tag) => rule.tags.iter().any(|own| **own == **tag),
        }
    }

    fn missing(&self) -> String {
        match self {
            Self::Every => "there is no rule".to_owned(),
            Self::Ids(first, last) if first == last => format!("there is no rule {first}"),
            Self::Ids(first, last) => format!("there is no rule from {first} to {last}"),
            Self::Tagged(tag) => format!("no rule has the tag {tag}"),
        }
    }
}

/// [`Options`] resolved against a ruleset.
#[derive(Debug)]
pub struct Tuning {
    pub(crate) threshold: u32,
    pub(crate) response_threshold: u32,
    pub(crate) refuse_unjudged: bool,
    pub(crate) limits: Limits,
    pub(crate) plain: bool,
    disabled: Vec<bool>,
    exclusions: Vec<Excluded>,
}

/// A target and the places of the rules that must not look at it; `None`: all.
type Excluded = (Option<Box<[u32]>>, Target);

impl Tuning {
    pub(crate) fn new(program: &Program, options: &Options) -> Result<Self, Vec<Fault>> {
        let mut faults = Vec::new();
        let disabled = disabled(program, options, &mut faults);
        let exclusions = exclusions(&program.rules, options, &mut faults);
        if !faults.is_empty() {
            return Err(faults);
        }
        Ok(Self {
            threshold: options.threshold.max(1),
            response_threshold: options.response_threshold.max(1),
            refuse_unjudged: options.refuse_unjudged,
            limits: options.limits.clone(),
            plain: false,
            disabled,
            exclusions,
        })
    }

    /// The same, but every rule is asked by itself, without anything that was compiled: slow, and right if anything is.
    /// For holding the engine against itself. Only rules with a phase: ours, which have none, are asked as always.
    #[must_use]
    pub fn plain(mut self) -> Self {
        self.plain = true;
        self
    }

    pub(crate) fn is_disabled(&self, rule: u32) -> bool {
        self.disabled.get(rule as usize).is_some_and(|off| *off)
    }

    pub(crate) fn excludes(&self, rule: u32, variable: Variable, name: &[u8]) -> bool {
        let applies = |own: &Option<Box<[u32]>>| {
            own.as_ref()
                .is_none_or(|own| own.binary_search(&rule).is_ok())
        };
        self.exclusions
            .iter()
            .any(|(own, target)| applies(own) && target.covers(variable, name))
    }
}

fn fault(path: String, message: String) -> Fault {
    Fault {
        source: String::new(),
        line: None,
        rule: None,
        path,
        message,
    }
}

/// By rule: whether it is not asked. A range or a tag leaves those in that only prepare what other rules rest on; one
/// such rule by its id is a fault.
fn disabled(program: &Program, options: &Options, faults: &mut Vec<Fault>) -> Vec<bool> {
    let rules = &program.rules;
    let settled = |(rule, fixed): (&Rule, &bool)| *fixed && rule.sets_anything();
    let prepares: Vec<bool> = rules
        .iter()
        .zip(&program.folded.fixed)
        .map(settled)
        .collect();
    let mut disabled = vec![false; rules.len()];
    let ids = options.disabled.iter().enumerate();
    let ids = ids.map(|(at, (from, to))| (format!("disabled[{at}]"), Chosen::Ids(*from, *to)));
    let tags = options.disabled_tags.iter().enumerate();
    let tags = tags.map(|(at, tag)| (format!("disabled_tags[{at}]"), Chosen::Tagged(tag.clone())));
    for (path, chosen) in ids.chain(tags) {
        let one = matches!(chosen, Chosen::Ids(first, last) if first == last);
        let mut any = false;
        for ((rule, prepares), off) in rules.iter().zip(&prepares).zip(&mut disabled) {
            if !chosen.takes(rule) {
                continue;
            }
            any = true;
            *off |= !prepares;
            if one && *prepares {
                let id = rule.id;
                let message =
                    format!("rule {id} prepares what other rules rest on: use SecRuleRemoveById");
                faults.push(fault(path.clone(), message));
            }
        }
        if !any {
            faults.push(fault(path, chosen.missing()));
        }
    }
    disabled
}

fn exclusions(rules: &[Rule], options: &Options, faults: &mut Vec<Fault>) -> Vec<Excluded> {
    let mut exclusions = Vec::new();
    for (at, exclusion) in options.exclusions.iter().enumerate() {
        let chosen = &exclusion.rules;
        let takers = rules
            .iter()
            .zip(0_u32..)
            .filter(|(rule, _)| chosen.takes(rule));
        let takers: Box<[u32]> = takers.map(|(_, number)| number).collect();
        if takers.is_empty() {
            let key = if matches!(chosen, Chosen::Tagged(_)) {
                "tag"
            } else {
                "rule"
            };
            faults.push(fault(format!("exclusions[{at}].{key}"), chosen.missing()));
        }
        match target(&exclusion.target) {
            Ok(target) => exclusions.push(((*chosen != Chosen::Every).then_some(takers), target)),
            Err(message) => faults.push(fault(format!("exclusions[{at}].target"), message)),
        }
    }
    exclusions
}

/// Our own names first: `args` is more than `ARGS`, which has no XML.
fn target(text: &str) -> Result<Target, String> {
    native::target(text).or_else(|why| seclang::exclusion(text).ok_or(why))
}

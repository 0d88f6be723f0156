//! How one use of a ruleset differs from the rules as written: threshold, rules left out, exclusions, limits. What a
//! use names must exist.

use crate::{
    compile::Program,
    fault::Fault,
    limits::Limits,
    native,
    rule::Rule,
    variable::{Target, Variable},
};

/// How one use of a ruleset differs from the rules as written.
#[derive(Clone, Debug)]
pub struct Options {
    /// A request with at least this score is refused. Default 5: one critical match.
    pub threshold: u32,
    /// Ids of rules that are not asked.
    pub disabled: Vec<u32>,
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
            disabled: Vec::new(),
            disabled_tags: Vec::new(),
            exclusions: Vec::new(),
            refuse_unjudged: true,
            limits: Limits::default(),
        }
    }
}

/// A value that a rule must not look at.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Exclusion {
    /// The rule; `None` means every rule.
    pub rule: Option<u32>,
    /// A target as rules name them: `args:comment`, `cookie:/^pref_/`.
    pub target: String,
}

/// [`Options`] resolved against a ruleset.
#[derive(Debug)]
pub struct Tuning {
    pub(crate) threshold: u32,
    pub(crate) refuse_unjudged: bool,
    pub(crate) limits: Limits,
    disabled: Vec<bool>,
    exclusions: Vec<(Option<u32>, Target)>,
}

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
            refuse_unjudged: options.refuse_unjudged,
            limits: options.limits.clone(),
            disabled,
            exclusions,
        })
    }

    pub(crate) fn is_disabled(&self, rule: u32) -> bool {
        self.disabled.get(rule as usize).is_some_and(|off| *off)
    }

    pub(crate) fn excludes(&self, rule: u32, variable: Variable, name: &[u8]) -> bool {
        let applies = |own: &Option<u32>| own.is_none_or(|own| own == rule);
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

/// By rule: whether it is not asked.
fn disabled(program: &Program, options: &Options, faults: &mut Vec<Fault>) -> Vec<bool> {
    let rules = &program.rules;
    let mut disabled = vec![false; rules.len()];
    let mut leave_out = |which: &dyn Fn(&Rule) -> bool| {
        let chosen = rules
            .iter()
            .zip(&mut disabled)
            .filter(|(rule, _)| which(rule));
        chosen.map(|(_, off)| *off = true).count() > 0
    };
    for (at, id) in options.disabled.iter().enumerate() {
        if !leave_out(&|rule| rule.id == *id) {
            faults.push(fault(
                format!("disabled[{at}]"),
                format!("there is no rule {id}"),
            ));
        }
    }
    for (at, tag) in options.disabled_tags.iter().enumerate() {
        if !leave_out(&|rule| rule.tags.iter().any(|own| **own == **tag)) {
            faults.push(fault(
                format!("disabled_tags[{at}]"),
                format!("no rule has the tag {tag}"),
            ));
        }
    }
    let settled = rules.iter().zip(disabled.iter().zip(&program.folded.fixed));
    for (rule, _) in settled.filter(|(rule, (off, fixed))| **off && **fixed && rule.sets_anything())
    {
        let message = format!(
            "rule {} prepares what other rules rest on: use SecRuleRemoveById",
            rule.id
        );
        faults.push(fault("disabled".to_owned(), message));
    }
    disabled
}

fn exclusions(
    rules: &[Rule],
    options: &Options,
    faults: &mut Vec<Fault>,
) -> Vec<(Option<u32>, Target)> {
    let mut exclusions = Vec::new();
    for (at, exclusion) in options.exclusions.iter().enumerate() {
        let number = exclusion
            .rule
            .map(|id| (id, rules.iter().position(|rule| rule.id == id)));
        if let Some((id, None)) = number {
            faults.push(fault(
                format!("exclusions[{at}].rule"),
                format!("there is no rule {id}"),
            ));
        }
        match native::target(&exclusion.target) {
            Ok(target) => {
                let rule = number
                    .and_then(|(_, at)| at)
                    .and_then(|at| u32::try_from(at).ok());
                exclusions.push((rule, target));
            }
            Err(message) => faults.push(fault(format!("exclusions[{at}].target"), message)),
        }
    }
    exclusions
}

//! A compiled set of rules, shared by every request, and how one use of it is tuned: threshold, rules left out,
//! exclusions. Knows nothing of requests.

use std::collections::HashSet;

use crate::{
    compile::Program,
    fault::Fault,
    limits::Limits,
    native,
    rule::Rule,
    seclang::{self, Engine, Files, Loader},
    transaction::{Scratch, Transaction},
    variable::{FROM_BODY, FROM_RESPONSE, Target, Variable},
};

/// Rules, compiled. Immutable: share it by `Arc`.
#[derive(Debug)]
pub struct Ruleset {
    pub(crate) program: Program,
    engine: Engine,
}

/// One source of rules.
#[derive(Clone, Copy, Debug)]
pub enum Source<'a> {
    /// Our own rules.
    Native(native::Source<'a>),
    /// SecLang.
    SecLang(seclang::Source<'a>),
}

/// Which parts of an exchange any rule reads. What is not needed need not be held or even read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Needs {
    /// The request's body.
    pub body: bool,
    /// The answer's status or headers.
    pub response: bool,
    /// The answer's body.
    pub response_body: bool,
}

impl Ruleset {
    /// Compiles files of our own rules, in order. Rule ids are unique over all of them.
    ///
    /// # Errors
    /// Every fault in every source.
    pub fn compile(sources: &[native::Source<'_>]) -> Result<Self, Vec<Fault>> {
        let sources: Vec<Source<'_>> = sources.iter().copied().map(Source::Native).collect();
        Self::load(&sources, &seclang::NoFiles)
    }

    /// Compiles sources of both kinds, in order.
    ///
    /// # Errors
    /// Every fault in every source.
    pub fn load(sources: &[Source<'_>], files: &dyn Files) -> Result<Self, Vec<Fault>> {
        let mut faults = Vec::new();
        let mut rules = Vec::new();
        let mut loader = Loader::new(files);
        for source in sources {
            match source {
                Source::Native(source) => native::read(source, &mut rules, &mut faults),
                Source::SecLang(source) => loader.read(source, &mut rules, &mut faults),
            }
        }
        loader.finish(&mut rules, &mut faults);
        refuse_duplicates(&rules, &mut faults);
        if !faults.is_empty() {
            return Err(faults);
        }
        let whole = |message| {
            vec![Fault {
                source: String::new(),
                line: None,
                rule: None,
                path: String::new(),
                message,
            }]
        };
        Ok(Self {
            program: Program::new(rules, loader.names).map_err(whole)?,
            engine: loader.engine,
        })
    }

    /// What SecRuleEngine says; [`Engine::On`] without SecLang. To heed it is the caller's business.
    #[must_use]
    pub const fn engine(&self) -> Engine {
        self.engine
    }

    /// What any rule reads.
    #[must_use]
    pub const fn needs(&self) -> Needs {
        let reads = self.program.reads;
        Needs {
            body: reads.intersects(FROM_BODY),
            response: reads.intersects(FROM_RESPONSE),
            response_body: reads.has(Variable::ResponseBody),
        }
    }

    /// How many rules there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.program.rules.len()
    }

    /// Whether there is no rule.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.program.rules.is_empty()
    }

    /// Bytes that the shared automaton takes.
    #[must_use]
    pub fn memory(&self) -> usize {
        self.program.memory()
    }

    /// Resolves `options` against these rules.
    ///
    /// # Errors
    /// Every rule id, tag or target that names nothing.
    pub fn tune(&self, options: &Options) -> Result<Tuning, Vec<Fault>> {
        Tuning::new(self, options)
    }

    /// Begins one request. `scratch` is reused: take it back from [`Transaction::finish`].
    #[must_use]
    pub fn transaction<'r>(&'r self, tuning: &'r Tuning, scratch: Scratch) -> Transaction<'r> {
        Transaction::new(self, tuning, scratch)
    }
}

fn refuse_duplicates(rules: &[Rule], faults: &mut Vec<Fault>) {
    let mut seen = HashSet::new();
    for rule in rules {
        if !seen.insert(rule.id) {
            faults.push(
                rule.origin
                    .fault(rule.id, "", "another rule has this id".to_owned()),
            );
        }
    }
}

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
    fn new(ruleset: &Ruleset, options: &Options) -> Result<Self, Vec<Fault>> {
        let mut faults = Vec::new();
        let mut fault = |path: String, message: String| {
            faults.push(Fault {
                source: String::new(),
                line: None,
                rule: None,
                path,
                message,
            });
        };
        let rules = &ruleset.program.rules;
        let mut disabled = vec![false; rules.len()];
        let mut leave_out = |which: &dyn Fn(&Rule) -> bool| {
            let mut known = false;
            for (rule, off) in rules
                .iter()
                .zip(&mut disabled)
                .filter(|(rule, _)| which(rule))
            {
                let _ = rule;
                *off = true;
                known = true;
            }
            known
        };
        for (at, id) in options.disabled.iter().enumerate() {
            if !leave_out(&|rule| rule.id == *id) {
                fault(format!("disabled[{at}]"), format!("there is no rule {id}"));
            }
        }
        for (at, tag) in options.disabled_tags.iter().enumerate() {
            if !leave_out(&|rule| rule.tags.iter().any(|own| **own == **tag)) {
                fault(
                    format!("disabled_tags[{at}]"),
                    format!("no rule has the tag {tag}"),
                );
            }
        }
        for (rule, (off, fixed)) in rules
            .iter()
            .zip(disabled.iter().zip(&ruleset.program.folded.fixed))
        {
            if *off && *fixed && rule.sets_anything() {
                fault(
                    "disabled".to_owned(),
                    format!(
                        "rule {} prepares what other rules rest on: use SecRuleRemoveById",
                        rule.id
                    ),
                );
            }
        }
        let mut exclusions = Vec::new();
        for (at, exclusion) in options.exclusions.iter().enumerate() {
            let number = exclusion
                .rule
                .map(|id| (id, rules.iter().position(|rule| rule.id == id)));
            if let Some((id, None)) = number {
                fault(
                    format!("exclusions[{at}].rule"),
                    format!("there is no rule {id}"),
                );
            }
            match native::target(&exclusion.target) {
                Ok(target) => {
                    let rule = number
                        .and_then(|(_, at)| at)
                        .and_then(|at| u32::try_from(at).ok());
                    exclusions.push((rule, target));
                }
                Err(message) => fault(format!("exclusions[{at}].target"), message),
            }
        }
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

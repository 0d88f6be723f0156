//! A compiled set of rules, shared by every request. Knows nothing of requests.

use std::{collections::HashSet, sync::Arc};

use crate::{
    collections::Collections,
    compile::Program,
    fault::Fault,
    native,
    operator::Operator,
    outside::{Geography, Outside},
    pins::{self, Pin},
    rule::{Action, Effect, Link, Phase, Rule, Test},
    seclang::{self, Bodies, Engine, Files, Loader},
    transaction::{Scratch, Suspended, Transaction},
    tuning::{Options, Tuning},
    variable::{FROM_BODY, FROM_RESPONSE, TIMED, Variable},
};

/// Rules, compiled. Immutable: share it by `Arc`.
#[derive(Debug)]
pub struct Ruleset {
    pub(crate) program: Program,
    pub(crate) outside: Outside,
    engine: Engine,
    bodies: Bodies,
    warnings: Vec<Fault>,
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
    /// The time ([`crate::Surroundings::now`]).
    pub time: bool,
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
        Self::load_with(sources, files, &[])
    }

    /// The same, with transaction variables that are set before any rule is asked and that no rule changes.
    ///
    /// # Errors
    /// Every fault in every source.
    pub fn load_with(
        sources: &[Source<'_>],
        files: &dyn Files,
        pins: &[Pin<'_>],
    ) -> Result<Self, Vec<Fault>> {
        let mut faults = Vec::new();
        let mut rules = Vec::new();
        let mut loader = Loader::new(files);
        if !pins.is_empty() {
            let source = seclang::Source {
                name: "",
                text: &pins::text(pins),
            };
            loader.read(&source, &mut rules, &mut faults);
        }
        for source in sources {
            match source {
                Source::Native(source) => native::read(source, &mut rules, &mut faults),
                Source::SecLang(source) => loader.read(source, &mut rules, &mut faults),
            }
        }
        loader.finish(&mut rules, &mut faults);
        pins::hold(pins, &loader.names, &mut rules);
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
            outside: Outside {
                settings: loader.settings,
                ..Outside::default()
            },
            bodies: loader.bodies,
            warnings: loader.warnings,
        })
    }

    /// What was read but does not do what its author may expect here, each with its file and line: look-ups that need
    /// what a gateway does not have. Worth showing wherever rules are loaded.
    #[must_use]
    pub fn warnings(&self) -> Vec<Fault> {
        let mut warnings = self.warnings.clone();
        if self.outside.geography.is_none() {
            let asks = |rule: &&Rule| {
                let mut tests = rule.links.iter().flat_map(|link| &link.tests);
                tests.any(|test| matches!(test.operator, Operator::GeoLookup))
            };
            let message = "@geoLookup never matches: no database of places is given";
            let rules = self.program.rules.iter().filter(asks);
            warnings.extend(rules.map(|rule| rule.origin.fault(rule.id, "", message.to_owned())));
        }
        warnings
    }

    /// What rules keep between requests. Give it to the ruleset that takes this one's place ([`Self::adopt`]), so that a
    /// reload forgets neither counters nor blocks.
    #[must_use]
    pub fn collections(&self) -> &Arc<Collections> {
        self.outside.collections()
    }

    /// Keeps what rules keep in this store. False when there is one already: call it before the first request.
    pub fn adopt(&self, collections: Arc<Collections>) -> bool {
        self.outside.collections.set(collections).is_ok()
    }

    /// Whether any rule keeps anything between requests.
    #[must_use]
    pub fn keeps(&self) -> bool {
        let keeps = |action: &Action| matches!(action, Action::Keep(..));
        self.links().any(|link| link.actions.iter().any(keeps))
    }

    /// Whether any rule asks where an address is.
    #[must_use]
    pub fn locates(&self) -> bool {
        let asks = |test: &Test| matches!(test.operator, Operator::GeoLookup);
        self.links().any(|link| link.tests.iter().any(asks))
    }

    fn links(&self) -> impl Iterator<Item = &Link> {
        self.program.rules.iter().flat_map(|rule| &rule.links)
    }

    /// Answers `@geoLookup` from here on.
    pub fn set_geography(&mut self, geography: Arc<dyn Geography>) {
        self.outside.geography = Some(geography);
    }

    /// What SecRuleEngine says; [`Engine::On`] without SecLang. To heed it is the caller's business.
    #[must_use]
    pub const fn engine(&self) -> Engine {
        self.engine
    }

    /// What SecLang says about bodies and their limits. To heed it is the caller's business.
    #[must_use]
    pub const fn bodies(&self) -> &Bodies {
        &self.bodies
    }

    /// Rules that refuse every request, whatever it is: the Core Rule Set has one for when its settings are missing.
    pub fn always_refuses(&self) -> impl Iterator<Item = Fault> {
        let rules = self.program.rules.iter().zip(&self.program.folded.fixed);
        let refuses = rules.filter(|(rule, fixed)| **fixed && rule.effect == Effect::Deny);
        refuses.map(|(rule, _)| {
            let message = format!("this rule refuses every request: {}", rule.msg);
            rule.origin.fault(rule.id, "", message)
        })
    }

    /// What any rule reads.
    #[must_use]
    pub fn needs(&self) -> Needs {
        let reads = self.program.reads;
        Needs {
            body: reads.intersects(FROM_BODY),
            response: reads.intersects(FROM_RESPONSE) || self.answers(),
            response_body: reads.has(Variable::ResponseBody),
            time: self.keeps() || reads.intersects(TIMED),
        }
    }

    /// Whether any rule waits for the answer, whatever it reads then.
    fn answers(&self) -> bool {
        let answer = [Some(Phase::ResponseHeaders), Some(Phase::ResponseBody)];
        self.program
            .rules
            .iter()
            .any(|rule| answer.contains(&rule.phase))
    }

    /// Whether any rule asks for this transaction variable.
    #[must_use]
    pub fn reads(&self, variable: &str) -> bool {
        pins::is_read(variable, &self.program.names, &self.program.rules)
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
        Tuning::new(&self.program, options)
    }

    /// Begins one request. `scratch` is reused: take it back from [`Transaction::finish`].
    #[must_use]
    pub fn transaction<'r>(&'r self, tuning: &'r Tuning, scratch: Scratch) -> Transaction<'r> {
        Transaction::new(self, tuning, scratch)
    }

    /// Goes on with a suspended request, with the tuning that it was begun with and any scratch.
    #[must_use]
    pub fn resume<'r>(
        &'r self,
        tuning: &'r Tuning,
        suspended: Suspended,
        scratch: Scratch,
    ) -> Transaction<'r> {
        Transaction::resume(self, tuning, suspended, scratch)
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

//! One request from its first byte to the verdict. Values are scanned as they become known; what a match means is
//! decided here.

use std::{fmt, time::Duration};

use crate::{
    body,
    compile::Program,
    limits::Budget,
    outcome::{Outcome, REPORTED_BYTES},
    profile::{Profile, Timed},
    request::{Headers, Request},
    rule::Phase,
    ruleset::Ruleset,
    run::{
        body::Reading,
        collect::{Into, Value, Values},
        scan::{Audience, Found, Hit, Scanner},
        state::State,
        walk::{Buffers, Walk},
    },
    seclang::Engine,
    tuning::Tuning,
    verdict::{Refusal, Step, Verdict},
};

/// Of a value whose content later links, captures or macros may read.
const KEPT_BYTES: usize = 16 << 10;
/// Of all such values together: a client chooses how many match.
const MOST_KEPT_BYTES: usize = 4 << 20;

/// Evaluations whose buffers are kept for later ones: as many as wait for their bodies or answers at a time.
const SPARE: usize = 64;

/// What a thread works with, and buffers of evaluations that are over. After a few requests nothing in here grows any
/// more. Requests that wait leave it for others: it is warm where it is used most.
#[derive(Default)]
pub struct Scratch(Option<Box<Tools>>);

impl Scratch {
    pub(crate) fn tools(&mut self) -> &mut Tools {
        self.0.get_or_insert_default()
    }
}

/// Nothing of a request is in here between its phases.
#[derive(Default)]
pub(crate) struct Tools {
    body: body::Scratch,
    scanner: Scanner,
    found: Vec<Found>,
    contents: Vec<u8>,
    buffers: Buffers,
    #[expect(
        clippy::vec_box,
        reason = "evaluations move between here and where they wait"
    )]
    spare: Vec<Box<Known>>,
    pub(crate) profile: Option<Box<Profile>>,
}

/// What is known of one request. Behind a pointer: evaluations move, into the future that asks and out to where they
/// wait for an answer.
#[derive(Default)]
struct Known {
    values: Values,
    fired: Vec<bool>,
    state: State,
}

/// An evaluation between its request and the answer: it borrows nothing. [`Ruleset::resume`] goes on with it.
pub struct Suspended {
    /// Of the rules it was begun with.
    program: u64,
    known: Box<Known>,
    budget: Budget,
    outcome: Outcome,
}

impl Suspended {
    /// See [`Transaction::advance`].
    pub fn advance(&mut self, elapsed: Duration) {
        self.known.state.advance(elapsed);
    }
}

impl Suspended {
    /// Says that the answer's body which follows is only its beginning.
    pub const fn cut_response(&mut self) {
        self.known.values.cut_response();
    }
}

impl fmt::Debug for Suspended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Suspended").finish_non_exhaustive()
    }
}

/// One request's evaluation.
pub struct Transaction<'r> {
    ruleset: &'r Ruleset,
    tuning: &'r Tuning,
    tools: Box<Tools>,
    known: Box<Known>,
    budget: Budget,
    outcome: Outcome,
}

impl<'r> Transaction<'r> {
    pub(crate) fn new(ruleset: &'r Ruleset, tuning: &'r Tuning, scratch: Scratch) -> Self {
        let mut tools = scratch.0.unwrap_or_default();
        let mut known = tools.spare.pop().unwrap_or_default();
        known.values.reset();
        known.state.reset(&ruleset.program);
        known.fired.clear();
        known.fired.resize(ruleset.program.rules.len(), false);
        Self {
            ruleset,
            tuning,
            tools,
            known,
            budget: Budget::new(tuning.limits.work),
            outcome: Outcome::new(tuning.limits.matches, ruleset.program.scores),
        }
    }

    /// Judges everything that is known before the body.
    pub fn evaluate_headers(&mut self, request: &Request<'_>) -> Step {
        let around = &request.around;
        self.known.state.begin(around.now, around.elapsed);
        let mut into = Into::new(
            &mut self.known.values,
            self.ruleset.program.reads,
            &self.tuning.limits,
        );
        into.head(request, &self.ruleset.outside.settings);
        self.phase(Phase::RequestHeaders)
    }

    /// Says how long the request has taken by now ([`crate::Surroundings::elapsed`]): what comes next may ask.
    pub fn advance(&mut self, elapsed: Duration) {
        self.known.state.advance(elapsed);
    }

    /// Says that the body which follows is only the beginning of what the client sent.
    pub const fn cut_body(&mut self) {
        self.known.values.cut_body();
    }

    /// Says that the answer's body which follows is only its beginning.
    pub const fn cut_response(&mut self) {
        self.known.values.cut_response();
    }

    /// Judges the body, whole and without transfer or content codings. Call it with nothing when there is no body.
    pub fn evaluate_body(&mut self, content_type: &[u8], bytes: &[u8]) -> Step {
        let mut into = Into::new(
            &mut self.known.values,
            self.ruleset.program.reads,
            &self.tuning.limits,
        );
        let state = &self.known.state;
        let how = Reading {
            processor: state.processor.flatten(),
            force: state.force_body,
            separator: self.ruleset.outside.settings.separator,
        };
        let bytes = match state.read_body {
            Some(false) => &[],
            _ => bytes,
        };
        into.body(&mut self.tools.body, how, content_type, bytes);
        self.phase(Phase::RequestBody)
    }

    /// Judges the answer's status and headers.
    pub fn evaluate_response(&mut self, status: u16, headers: &dyn Headers) -> Step {
        let mut into = Into::new(
            &mut self.known.values,
            self.ruleset.program.reads,
            &self.tuning.limits,
        );
        into.response(status, headers);
        self.phase(Phase::ResponseHeaders)
    }

    /// Judges the answer's body, whole or the part that is inspected.
    pub fn evaluate_response_body(&mut self, bytes: &[u8]) -> Step {
        let mut into = Into::new(
            &mut self.known.values,
            self.ruleset.program.reads,
            &self.tuning.limits,
        );
        if self.known.state.read_response != Some(false) {
            into.response_body(bytes);
        }
        self.phase(Phase::ResponseBody)
    }

    /// Whether the request, or its answer, would be refused as things stand.
    #[must_use]
    pub fn blocks(&self) -> bool {
        self.step() == Step::Block
    }

    /// What is known so far. Matches and score are what came since the last verdict: several add up.
    pub fn verdict(&mut self) -> Verdict {
        let (block, refusal) = (self.blocks(), self.refusal());
        let ([score, outbound], matches) = self.outcome.tell(&self.known.state);
        Verdict {
            block,
            score,
            outbound,
            matches,
            refusal,
            reply: if block {
                self.outcome.reply.clone()
            } else {
                None
            },
        }
    }

    /// The last verdict, and the scratch for the next request.
    #[must_use]
    pub fn finish(mut self) -> (Verdict, Scratch) {
        self.phase(Phase::Logging);
        let verdict = self.verdict();
        self.tools.scanner.shrink();
        if self.tools.spare.len() < SPARE {
            self.known.values.reset();
            self.tools.spare.push(self.known);
        }
        (verdict, Scratch(Some(self.tools)))
    }

    /// Lets go of the request until its body or its answer is there, and of the scratch for others.
    #[must_use]
    pub fn suspend(self) -> (Suspended, Scratch) {
        let suspended = Suspended {
            program: self.ruleset.program.serial,
            known: self.known,
            budget: self.budget,
            outcome: self.outcome,
        };
        (suspended, Scratch(Some(self.tools)))
    }

    /// Goes on. With other rules than it was begun with nothing of it holds: a new evaluation begins.
    pub(crate) fn resume(
        ruleset: &'r Ruleset,
        tuning: &'r Tuning,
        suspended: Suspended,
        scratch: Scratch,
    ) -> Self {
        if suspended.program != ruleset.program.serial {
            return Self::new(ruleset, tuning, scratch);
        }
        Self {
            ruleset,
            tuning,
            tools: scratch.0.unwrap_or_default(),
            known: suspended.known,
            budget: suspended.budget,
            outcome: suspended.outcome,
        }
    }

    /// What is known now.
    fn step(&self) -> Step {
        // A rule may have turned refusing off (`ctl:ruleEngine`).
        let reports = matches!(
            self.known.state.engine,
            Some(Engine::DetectionOnly | Engine::Off)
        );
        match self.outcome.step {
            Some(step) => step,
            None if reports => Step::Continue,
            None if self.outcome.score >= self.tuning.threshold => Step::Block,
            None if self.outcome.outbound >= self.tuning.response_threshold => Step::Block,
            None if self.tuning.refuse_unjudged && self.refusal().is_some() => Step::Block,
            None => Step::Continue,
        }
    }

    /// Units of work spent so far, see [`crate::Limits::work`].
    #[must_use]
    pub const fn work(&self) -> u64 {
        self.tuning.limits.work - self.budget.left()
    }

    fn refusal(&self) -> Option<Refusal> {
        let spent = self.budget.is_spent().then_some(Refusal::TooMuchWork);
        self.known.values.refusal().copied().or(spent)
    }

    fn phase(&mut self, phase: Phase) -> Step {
        // The logging phase refuses nothing; whatever let the request pass, it keeps its count.
        self.outcome.enter(phase, &self.known.state);
        let passed = self.outcome.step == Some(Step::Allow)
            || self.outcome.request_passed
                && matches!(phase, Phase::RequestHeaders | Phase::RequestBody);
        let off = self.known.state.engine == Some(Engine::Off);
        if !off && (!passed || phase == Phase::Logging) {
            self.scan(phase);
            self.conclude(phase);
        }
        self.step()
    }

    fn scan(&mut self, phase: Phase) {
        let program = &self.ruleset.program;
        let Some(readings) = program.phases.get(phase as usize) else {
            return;
        };
        let Known { values, fired, .. } = &mut *self.known;
        let Tools {
            scanner,
            found,
            contents,
            profile,
            ..
        } = &mut *self.tools;
        for (number, value) in values.list().iter().enumerate() {
            let Some(reading) = readings.get(value.variable as usize) else {
                continue;
            };
            if reading.is_empty() {
                continue;
            }
            let name = values.bytes(value.name);
            let text = values.bytes(value.text);
            let budget = &mut self.budget;
            let mut finder = Finder {
                program,
                tuning: self.tuning,
                number,
                value,
                name,
                fired,
                found,
                contents,
            };
            let mut run = |plans: &[u32]| {
                for &plan in plans {
                    match profile.as_deref_mut() {
                        None => scanner.inspect(program, plan, text, budget, &mut finder),
                        Some(profile) => {
                            let mut timed = Timed::new(&mut finder, profile);
                            scanner.inspect(program, plan, text, budget, &mut timed);
                        }
                    }
                }
            };
            run(reading.plans(name));
            for (_, plans) in reading
                .patterns
                .iter()
                .filter(|(regex, _)| regex.is_match(name))
            {
                run(plans);
            }
            if self.budget.is_spent() {
                break;
            }
        }
    }

    /// Acts on what the scan found and on what cannot be scanned, in the order of the rules.
    fn conclude(&mut self, phase: Phase) {
        let mut found = std::mem::take(&mut self.tools.found);
        found.sort_unstable_by_key(|found| (found.rule, found.value, found.from));
        let Known { values, state, .. } = &mut *self.known;
        let Tools {
            buffers,
            contents,
            profile,
            ..
        } = &mut *self.tools;
        let mut walk = Walk {
            program: &self.ruleset.program,
            outside: &self.ruleset.outside,
            tuning: self.tuning,
            values,
            state,
            buffers,
            budget: &mut self.budget,
            profile: profile.as_deref_mut(),
        };
        walk.run(phase, &found, contents, &mut self.outcome);
        found.clear();
        self.tools.found = found;
        self.tools.contents.clear();
    }
}

/// Takes down matches of one value.
struct Finder<'a> {
    program: &'a Program,
    tuning: &'a Tuning,
    number: usize,
    value: &'a Value,
    name: &'a [u8],
    fired: &'a mut Vec<bool>,
    found: &'a mut Vec<Found>,
    contents: &'a mut Vec<u8>,
}

impl Audience for Finder<'_> {
    fn wants(&self, rule: u32) -> bool {
        let has_phase = |rule: &crate::rule::Rule| rule.phase.is_some();
        if self.tuning.plain && self.program.rules.get(rule as usize).is_some_and(has_phase) {
            return false;
        }
        !self.fired.get(rule as usize).is_none_or(|fired| *fired) && !self.tuning.is_disabled(rule)
    }

    fn take(&mut self, hit: Hit<'_>) {
        let number = hit.probe.rule;
        let rule = self.program.rules.get(number as usize);
        let link = rule.and_then(|rule| rule.links.first());
        let excluded = link.is_none_or(|link| {
            link.except
                .iter()
                .any(|t| t.covers(self.value.variable, self.name))
        }) || self.tuning.excludes(number, self.value.variable, self.name);
        if excluded {
            return;
        }
        let once = rule.is_none_or(|rule| rule.phase.is_none());
        if once && let Some(fired) = self.fired.get_mut(number as usize) {
            *fired = true;
        }
        let full = once || self.contents.len() > MOST_KEPT_BYTES;
        let kept = if full { REPORTED_BYTES } else { KEPT_BYTES };
        let from = self.contents.len();
        self.contents
            .extend_from_slice(hit.content.get(..kept).unwrap_or(hit.content));
        self.found.push(Found {
            rule: number,
            value: self.number,
            from,
            to: self.contents.len(),
        });
    }
}

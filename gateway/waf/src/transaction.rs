//! One request from its first byte to the verdict. Values are scanned as they become known; what a match means is
//! decided here.

use std::sync::Arc;

use crate::{
    body,
    compile::Program,
    limits::Budget,
    request::{Headers, Request},
    rule::{Effect, Phase, Rule},
    ruleset::Ruleset,
    run::{
        collect::{Into, Value, Values},
        scan::{Audience, Found, Hit, Scanner},
        state::State,
        walk::{Buffers, Judge, Report, Walk},
    },
    tuning::Tuning,
    variable::Variable,
    verdict::{Match, Refusal, Step, Verdict},
};

/// Bytes of a matched value that are kept for the report.
const REPORTED_BYTES: usize = 200;

/// Of a value whose content later links, captures or macros may read.
const KEPT_BYTES: usize = 16 << 10;
/// Of all such values together: a client chooses how many match.
const MOST_KEPT_BYTES: usize = 4 << 20;

/// Buffers of one request. After a few requests nothing in here grows any more.
#[derive(Default)]
pub struct Scratch {
    values: Values,
    body: body::Scratch,
    scanner: Scanner,
    fired: Vec<bool>,
    found: Vec<Found>,
    contents: Vec<u8>,
    state: State,
    buffers: Buffers,
}

/// One request's evaluation.
pub struct Transaction<'r> {
    ruleset: &'r Ruleset,
    tuning: &'r Tuning,
    scratch: Scratch,
    budget: Budget,
    outcome: Outcome,
}

impl<'r> Transaction<'r> {
    pub(crate) fn new(ruleset: &'r Ruleset, tuning: &'r Tuning, mut scratch: Scratch) -> Self {
        scratch.values.reset();
        scratch.state.reset(&ruleset.program);
        scratch.fired.clear();
        scratch.fired.resize(ruleset.program.rules.len(), false);
        Self {
            ruleset,
            tuning,
            scratch,
            budget: Budget::new(tuning.limits.work),
            outcome: Outcome {
                score: 0,
                matches: Vec::new(),
                most: tuning.limits.matches,
                step: None,
            },
        }
    }

    /// Judges everything that is known before the body.
    pub fn evaluate_headers(&mut self, request: &Request<'_>) -> Step {
        self.scratch
            .values
            .head(request, self.ruleset.program.reads, &self.tuning.limits);
        self.phase(Phase::RequestHeaders)
    }

    /// Judges the body, whole and without transfer or content codings. Call it with nothing when there is no body.
    pub fn evaluate_body(&mut self, content_type: &[u8], bytes: &[u8]) -> Step {
        let mut into = Into::new(
            &mut self.scratch.values,
            self.ruleset.program.reads,
            &self.tuning.limits,
        );
        let processor = self.scratch.state.processor.flatten();
        into.body(&mut self.scratch.body, processor, content_type, bytes);
        self.phase(Phase::RequestBody)
    }

    /// Judges the answer's status and headers.
    pub fn evaluate_response(&mut self, status: u16, headers: &dyn Headers) -> Step {
        let reads = self.ruleset.program.reads;
        self.scratch
            .values
            .response(status, headers, reads, &self.tuning.limits);
        self.phase(Phase::ResponseHeaders)
    }

    /// Judges the answer's body, whole or the part that is inspected.
    pub fn evaluate_response_body(&mut self, bytes: &[u8]) -> Step {
        let mut into = Into::new(
            &mut self.scratch.values,
            self.ruleset.program.reads,
            &self.tuning.limits,
        );
        into.alone(Variable::ResponseBody, bytes);
        self.phase(Phase::ResponseBody)
    }

    /// The verdict, and the scratch for the next request.
    #[must_use]
    pub fn finish(mut self) -> (Verdict, Scratch) {
        self.phase(Phase::Logging);
        let refusal = self.refusal();
        let allowed = self.outcome.step == Some(Step::Allow);
        let unjudged = refusal.is_some() && self.tuning.refuse_unjudged;
        let block = !allowed && (self.step() == Step::Block || unjudged);
        self.scratch.scanner.shrink();
        let verdict = Verdict {
            block,
            score: self.outcome.score,
            matches: self.outcome.matches,
            refusal,
        };
        (verdict, self.scratch)
    }

    /// What is known now.
    fn step(&self) -> Step {
        match self.outcome.step {
            Some(step) => step,
            None if self.outcome.score >= self.tuning.threshold => Step::Block,
            None if self.tuning.refuse_unjudged && self.refusal().is_some() => Step::Block,
            None => Step::Continue,
        }
    }

    fn refusal(&self) -> Option<Refusal> {
        let spent = self.budget.is_spent().then_some(Refusal::TooMuchWork);
        self.scratch.values.refusal().copied().or(spent)
    }

    fn phase(&mut self, phase: Phase) -> Step {
        if self.outcome.step != Some(Step::Allow) {
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
        let Scratch {
            values,
            scanner,
            fired,
            found,
            contents,
            ..
        } = &mut self.scratch;
        for (number, value) in values.list().iter().enumerate() {
            let Some(reading) = readings.get(value.variable as usize) else {
                continue;
            };
            if reading.is_empty() {
                continue;
            }
            let name = values.bytes(value.name);
            let text = values.bytes(value.text);
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
                    scanner.inspect(program, plan, text, &mut self.budget, &mut finder);
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
        let mut found = std::mem::take(&mut self.scratch.found);
        found.sort_unstable_by_key(|found| (found.rule, found.value));
        let Scratch {
            values,
            state,
            buffers,
            contents,
            ..
        } = &mut self.scratch;
        let mut walk = Walk {
            program: &self.ruleset.program,
            tuning: self.tuning,
            values,
            state,
            buffers,
            budget: &mut self.budget,
        };
        walk.run(phase, &found, contents, &mut self.outcome);
        found.clear();
        self.scratch.found = found;
        self.scratch.contents.clear();
    }
}

/// What the matches so far come to.
struct Outcome {
    score: u32,
    matches: Vec<Match>,
    most: usize,
    step: Option<Step>,
}

impl Judge for Outcome {
    fn matched(&mut self, report: Report<'_>, state: &State, values: &Values) -> bool {
        let rule = report.rule;
        let mut added = 0;
        let mut go_on = true;
        match rule.effect {
            Effect::Score(score) => added = score,
            Effect::Pass => {}
            Effect::Deny => self.step = Some(Step::Block),
            Effect::AllowPhase => go_on = false,
            Effect::Allow => {
                self.step = Some(Step::Allow);
                go_on = false;
            }
        }
        self.score = self.score.saturating_add(added);
        if rule.log && self.matches.len() < self.most {
            let content = report
                .content
                .get(..REPORTED_BYTES)
                .unwrap_or(report.content);
            self.matches.push(Match {
                id: rule.id,
                msg: message(rule, state, values),
                severity: rule.severity,
                tags: Arc::clone(&rule.tags),
                score: added,
                target: report.target,
                value: String::from_utf8_lossy(content).into_owned(),
            });
        }
        go_on
    }
}

fn message(rule: &Rule, state: &State, values: &Values) -> Arc<str> {
    let Some(text) = &rule.message else {
        return Arc::clone(&rule.msg);
    };
    let mut expanded = Vec::new();
    state.expand(values, text, &mut expanded);
    expanded.truncate(4 * REPORTED_BYTES);
    String::from_utf8_lossy(&expanded).into()
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

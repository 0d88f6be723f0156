//! What the matches of one request come to: score, decision, reports.

use std::sync::Arc;

use crate::{
    rule::{Effect, Rule},
    run::{
        collect::Values,
        state::State,
        walk::{Judge, Report},
    },
    verdict::{Match, Step},
};

/// Bytes of a matched value that are kept for the report.
pub(crate) const REPORTED_BYTES: usize = 200;

/// What the matches so far come to.
pub(crate) struct Outcome {
    pub(crate) score: u32,
    pub(crate) step: Option<Step>,
    matches: Vec<Match>,
    /// Reports that may still be made.
    left: usize,
    /// Of the score, what a verdict said already.
    told: u32,
}

impl Outcome {
    pub(crate) fn new(most: usize) -> Self {
        Self {
            score: 0,
            step: None,
            matches: Vec::new(),
            left: most,
            told: 0,
        }
    }

    /// Score and matches that were not told yet.
    pub(crate) fn tell(&mut self) -> (u32, Vec<Match>) {
        let score = self.score.saturating_sub(self.told);
        self.told = self.score;
        (score, std::mem::take(&mut self.matches))
    }
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
        if rule.log && self.left > 0 {
            self.left -= 1;
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

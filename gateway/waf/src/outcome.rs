//! What the matches of one request come to: score, decision, reports.

use std::sync::Arc;

use crate::{
    rule::{Effect, Phase, Rule},
    run::{
        collect::Values,
        state::State,
        walk::{Judge, Report},
    },
    scores::Scores,
    seclang::Engine,
    text::Text,
    verdict::{Match, Reply, Step},
};

/// Bytes of a matched value that are kept for the report.
pub(crate) const REPORTED_BYTES: usize = 200;

/// What the matches so far come to.
pub(crate) struct Outcome {
    /// Of the request, and of its answer: what rules with a score of their own added.
    pub(crate) score: u32,
    pub(crate) outbound: u32,
    /// What is under way.
    phase: Phase,
    scores: Scores,
    /// What the counting variables held when the last match was reported.
    counted: [u32; 2],
    /// What the request came to, once its answer is judged: CRS 3 adds the answer's score to it.
    settled: Option<u32>,
    pub(crate) step: Option<Step>,
    /// A rule let the request pass, not yet its answer.
    pub(crate) request_passed: bool,
    /// How the first rule that refused wants it done.
    pub(crate) reply: Option<Reply>,
    matches: Vec<Match>,
    /// Reports that may still be made.
    left: usize,
    /// Of the scores, what a verdict said already.
    told: [u32; 2],
}

impl Outcome {
    pub(crate) fn new(most: usize, scores: Scores) -> Self {
        Self {
            score: 0,
            outbound: 0,
            phase: Phase::RequestHeaders,
            scores,
            counted: [0; 2],
            settled: None,
            step: None,
            request_passed: false,
            reply: None,
            matches: Vec::new(),
            left: most,
            told: [0; 2],
        }
    }

    /// What comes next.
    pub(crate) fn enter(&mut self, phase: Phase, state: &State) {
        self.phase = phase;
        if self.answers() && self.settled.is_none() {
            self.settled = Some(self.scores.inbound(state));
        }
    }

    const fn answers(&self) -> bool {
        matches!(
            self.phase,
            Phase::ResponseHeaders | Phase::ResponseBody | Phase::Logging
        )
    }

    /// The scores of request and answer, and the matches, that were not told yet.
    pub(crate) fn tell(&mut self, state: &State) -> ([u32; 2], Vec<Match>) {
        let inbound = self.settled.unwrap_or_else(|| self.scores.inbound(state));
        let now = [
            self.score.saturating_add(inbound),
            self.outbound.saturating_add(self.scores.outbound(state)),
        ];
        let [inbound, outbound] = self.told;
        self.told = now;
        let [in_now, out_now] = now;
        let fresh = [
            in_now.saturating_sub(inbound),
            out_now.saturating_sub(outbound),
        ];
        (fresh, std::mem::take(&mut self.matches))
    }

    /// What a rule that matched adds to the score, and whether its phase goes on.
    fn decide(&mut self, rule: &Rule, state: &State, values: &Values) -> (u32, bool) {
        let mut added = 0;
        let mut go_on = true;
        match rule.effect {
            Effect::Score(score) => added = score,
            Effect::Pass => {}
            // A rule may have turned refusing off.
            Effect::Deny if state.engine == Some(Engine::DetectionOnly) => {}
            Effect::Deny => {
                if self.step != Some(Step::Block) {
                    self.reply = reply(rule, state, values);
                }
                self.step = Some(Step::Block);
            }
            Effect::AllowPhase => go_on = false,
            Effect::AllowRequest => {
                self.request_passed = true;
                go_on = false;
            }
            Effect::Allow => {
                self.step = Some(Step::Allow);
                go_on = false;
            }
        }
        (added, go_on)
    }
}

impl Judge for Outcome {
    fn matched(&mut self, report: Report<'_>, state: &State, values: &Values) -> bool {
        let rule = report.rule;
        let (mut added, go_on) = self.decide(rule, state, values);
        let own = if self.answers() {
            &mut self.outbound
        } else {
            &mut self.score
        };
        *own = own.saturating_add(added);
        let counted = self.scores.added(state);
        // A rule of CRS 3 that judges an answer adds the same to both.
        let grown = counted.iter().zip(self.counted);
        let grown = grown.map(|(now, before)| now.saturating_sub(before)).max();
        added = added.saturating_add(grown.unwrap_or(0));
        self.counted = counted;
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
                data: rule
                    .data
                    .as_ref()
                    .map(|text| expanded(text, state, values, 4 * REPORTED_BYTES))
                    .unwrap_or_default(),
            });
        }
        go_on
    }
}

fn message(rule: &Rule, state: &State, values: &Values) -> Arc<str> {
    let Some(text) = &rule.message else {
        return Arc::clone(&rule.msg);
    };
    expanded(text, state, values, 4 * REPORTED_BYTES).into()
}

fn reply(rule: &Rule, state: &State, values: &Values) -> Option<Reply> {
    let own = rule.reply.as_ref()?;
    let redirect = own.redirect.as_ref();
    Some(Reply {
        status: own.status,
        redirect: redirect.map(|text| expanded(text, state, values, MAX_REDIRECT)),
        drop: own.drop,
    })
}

/// A longer target of a redirect is cut: what a macro put into it is the client's.
const MAX_REDIRECT: usize = 4 << 10;

fn expanded(text: &Text, state: &State, values: &Values, most: usize) -> String {
    let mut expanded = Vec::new();
    state.expand(values, text, &mut expanded);
    expanded.truncate(most);
    String::from_utf8_lossy(&expanded).into_owned()
}

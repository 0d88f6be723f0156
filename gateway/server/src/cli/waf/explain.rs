//! `palisade waf explain`: which rules match a request and its answer, what each saw, and what that comes to.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;

use http::{HeaderMap, HeaderName, HeaderValue};
use policy::Policy;
use policy::cases::Stage;
use policy::decision::{Answer, CheckId, Decision, Outcome};
use policy::response::ResponseStep;
use policy::run::{Mode, Watch};
use serde_json::{Value, json};
use waf::{About, Match};

use super::super::paint::{Paint, Tone};
use super::super::{Exit, PolicyArgument, load, request, say};
use crate::events::unix_ms;

/// Largest answer that is read, in bytes.
const LARGEST: u64 = 64 << 20;

/// What it takes.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Every `waf` check of the route judges the request, in order, until one refuses. For each rule that matches: where, what
it saw after which transformations, what it added to the score. With --response the answer is judged as well: a file
with status line, header fields, an empty line and the body. Nothing is sent.

Examples:
  palisade waf explain policy.yaml \"GET /?q=<script>\"
  palisade waf explain policy.yaml \"POST /login\" --header \"Content-Type: application/json\" --body @login.json
  palisade waf explain policy.yaml \"GET /report\" --response answer.txt --json

Exit codes: 0 explained, whatever the decision; 1 the policy has faults, or no rules; 2 usage.")]
pub(in crate::cli) struct Arguments {
    #[command(flatten)]
    policy: PolicyArgument,
    #[command(flatten)]
    request: request::RequestArguments,
    /// The application's answer.
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    response: Option<PathBuf>,
    /// Print one JSON object instead of text.
    #[arg(long)]
    json: bool,
}

pub(in crate::cli) fn run(arguments: &Arguments) -> Exit {
    let read = arguments.request.read();
    let answer = arguments.response.as_deref().map(answer).transpose();
    let ((sent, identity), answer) = match read.and_then(|read| Ok((read, answer?))) {
        Ok(all) => all,
        Err(why) => {
            eprintln!("palisade: {why}");
            return Exit::Usage;
        }
    };
    let policy = match load(&arguments.policy) {
        Ok(loaded) => loaded.policy,
        Err(exit) => return exit,
    };
    if policy.rulesets().next().is_none() {
        eprintln!("palisade: no check of this policy has rules");
        return Exit::Faults;
    }
    let mut stage = Stage::new(unix_ms());
    let mut asked = Asked::default();
    let mut decision = stage.send(&policy, &sent, identity.as_ref(), &mut asked, false);
    let stopped = answer.and_then(|answer| answer.judge(&policy, &mut decision, &mut asked));
    let told = Told {
        policy: &policy,
        decision: &decision,
        asked: &asked.0,
        stopped,
    };
    if arguments.json {
        say(format_args!("{:#}\n", told.json()));
    } else {
        say(told.text(Paint::stdout()));
    }
    Exit::Ok
}

/// Every check that was asked, in order; about answers again.
#[derive(Debug, Default)]
struct Asked(Vec<(CheckId, Answer, Mode)>);

impl Watch for Asked {
    fn asked(&mut self, check: CheckId, answer: &Answer, mode: Mode) {
        self.0.push((check, answer.clone(), mode));
    }
}

/// The application's answer.
struct Reply {
    status: u16,
    headers: HeaderMap,
    body: Vec<u8>,
}

fn answer(file: &std::path::Path) -> Result<Reply, String> {
    let failed = |why: std::io::Error| format!("{}: {why}", file.display());
    if fs::metadata(file).map_err(failed)?.len() > LARGEST {
        return Err(format!("{} is larger than 64 MiB", file.display()));
    }
    Reply::read(&fs::read(file).map_err(failed)?)
        .map_err(|why| format!("{}: {why}", file.display()))
}

impl Reply {
    fn read(text: &[u8]) -> Result<Self, String> {
        let mut rest = text;
        let mut line = || {
            let end = memchr::memchr(b'\n', rest)?;
            let (line, after) = rest.split_at(end);
            rest = after.get(1..).unwrap_or_default();
            std::str::from_utf8(line)
                .ok()
                .map(|line| line.trim_end_matches('\r'))
        };
        let first = line().ok_or("no status line such as HTTP/1.1 200 OK")?;
        let status = first
            .strip_prefix("HTTP/")
            .and_then(|rest| rest.split(' ').nth(1)?.parse().ok());
        let status = status.ok_or_else(|| format!("`{first}` is no status line"))?;
        let mut headers = HeaderMap::new();
        loop {
            match line() {
                Some("") => break,
                None => return Err("no empty line after the header fields".to_owned()),
                Some(field) => {
                    let bad = || format!("`{field}` is no header field");
                    let (name, value) = field.split_once(':').ok_or_else(bad)?;
                    let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| bad())?;
                    let value = HeaderValue::from_str(value.trim()).map_err(|_| bad())?;
                    headers.append(name, value);
                }
            }
        }
        Ok(Self {
            status,
            headers,
            body: rest.to_vec(),
        })
    }

    /// The check that stops the answer, if any does; a request that is refused has none.
    fn judge(
        &self,
        policy: &Policy,
        decision: &mut Decision,
        asked: &mut Asked,
    ) -> Option<ResponseStep> {
        let route = decision
            .route
            .filter(|_| matches!(decision.outcome, Outcome::Permit(_)))?;
        let facts = &mut decision.facts;
        let step = policy.judge_response(route, facts, self.status, &self.headers, asked);
        if !matches!(step, ResponseStep::Pass) {
            return Some(step);
        }
        let need = policy.response_need(route).and_then(|need| need.body);
        let kind = self.headers.get(http::header::CONTENT_TYPE);
        if !need.is_some_and(|need| need.reads(kind)) {
            policy.abandon_response(facts);
            return Some(step);
        }
        Some(policy.judge_response_body(route, facts, &self.body, asked))
    }
}

struct Told<'t> {
    policy: &'t Policy,
    decision: &'t Decision,
    asked: &'t [(CheckId, Answer, Mode)],
    /// What became of the answer, where there was one.
    stopped: Option<ResponseStep>,
}

impl<'t> Told<'t> {
    /// The `waf` checks that were asked, each once, with its first refusal.
    fn checks(&self) -> Vec<(CheckId, Mode, Option<&'static str>)> {
        let mut checks: Vec<(CheckId, Mode, Option<&'static str>)> = Vec::new();
        for (id, answer, mode) in self.asked {
            if self.policy.check_kind(*id) != "waf" {
                continue;
            }
            let reason = match answer {
                Answer::Deny(denial) => Some(denial.reason.code()),
                Answer::Pass | Answer::Reply(_) => None,
            };
            match checks.iter_mut().find(|(known, ..)| known == id) {
                Some((.., known)) => *known = known.or(reason),
                None => checks.push((*id, *mode, reason)),
            }
        }
        checks
    }

    fn rules(&self, check: CheckId) -> HashMap<u32, About<'t>> {
        let sets = self.policy.rulesets().filter(|(id, ..)| *id == check);
        let rules = sets.flat_map(|(_, rules, _)| rules.about());
        rules.map(|rule| (rule.id, rule)).collect()
    }

    fn found(&self, check: CheckId) -> impl Iterator<Item = &Match> {
        let own = self
            .decision
            .facts
            .findings()
            .filter(move |(id, _)| *id == check);
        own.map(|(_, found)| found)
    }

    /// Score and threshold of requests and of answers. Several checks' scores stand in one sum: then what each rule
    /// added is put together again.
    fn scores(&self, check: CheckId) -> [(u32, u32); 2] {
        let [request, answer] = self.thresholds(check);
        let sums = match &self.decision.facts.waf {
            Some(verdict) if self.checks().len() == 1 => [verdict.score, verdict.outbound],
            _ => self.added(check),
        };
        let [of_request, of_answer] = sums;
        [(of_request, request), (of_answer, answer)]
    }

    fn added(&self, check: CheckId) -> [u32; 2] {
        let rules = self.rules(check);
        let mut sums = [0, 0];
        for found in self.found(check) {
            let rule = rules.get(&found.id);
            let [request, answer] = &mut sums;
            let answers = rule.is_some_and(|rule| matches!(rule.phase, 3 | 4));
            *(if answers { answer } else { request }) += found.score;
        }
        sums
    }

    fn thresholds(&self, check: CheckId) -> [u32; 2] {
        let mut sets = self.policy.rulesets().filter(|(id, ..)| *id == check);
        sets.next()
            .map_or([0; 2], |(_, rules, tuning)| rules.thresholds(tuning))
    }

    fn text(&self, paint: Paint) -> String {
        let route = self
            .decision
            .route
            .map_or("none matches", |route| self.policy.route_name(route));
        let mut out = format!("route {}\n", paint.tone(Tone::Name, route));
        for (check, mode, reason) in self.checks() {
            let word = match (reason, mode) {
                (None, _) => paint.tone(Tone::Good, "pass".to_owned()),
                (Some(reason), Mode::Observe) => {
                    paint.tone(Tone::Notice, format!("would deny {reason}"))
                }
                (Some(reason), _) => paint.tone(Tone::Bad, format!("deny {reason}")),
            };
            let name = self.policy.check_name(check);
            let [(score, threshold), (answer, answers)] = self.scores(check);
            let _ = write!(
                out,
                "check {}: {word}, score {score} of {threshold}",
                paint.tone(Tone::Name, name)
            );
            if self.stopped.is_some() {
                let _ = write!(out, ", answer {answer} of {answers}");
            }
            out.push('\n');
            let rules = self.rules(check);
            for found in self.found(check) {
                rule_text(&mut out, found, rules.get(&found.id), paint);
            }
        }
        let _ = writeln!(out, "{}", self.end());
        out
    }

    /// The decision, on one line.
    fn end(&self) -> String {
        let action = self.decision.action().as_str();
        let reason = self.decision.reason();
        let by = self
            .decision
            .check
            .map(|check| format!(" by {}", self.policy.check_name(check)));
        let mut line = format!(
            "{action}{}: {} ({})",
            by.unwrap_or_default(),
            reason.title(),
            reason.code()
        );
        match &self.stopped {
            Some(ResponseStep::Pass) => line.push_str("; the answer passes"),
            Some(ResponseStep::Deny { check, reason }) => {
                let name = self.policy.check_name(*check);
                let _ = write!(
                    line,
                    "; the answer is stopped by {name} ({})",
                    reason.code()
                );
            }
            None => {}
        }
        line
    }

    fn json(&self) -> Value {
        let checks = self.checks().into_iter().map(|(check, mode, reason)| {
            let rules = self.rules(check);
            let [(score, threshold), (answer, answers)] = self.scores(check);
            let found = self.found(check).map(|found| rule_json(found, rules.get(&found.id)));
            json!({
                "check": self.policy.check_name(check), "observed": mode == Mode::Observe, "reason": reason,
                "score": score, "threshold": threshold, "answer_score": answer, "answer_threshold": answers,
                "rules": found.collect::<Vec<_>>(),
            })
        });
        let stopped = match &self.stopped {
            Some(ResponseStep::Deny { reason, .. }) => Some(reason.code()),
            Some(ResponseStep::Pass) | None => None,
        };
        json!({
            "route": self.decision.route.map(|route| self.policy.route_name(route)),
            "checks": checks.collect::<Vec<_>>(),
            "decision": {"action": self.decision.action().as_str(), "reason": self.decision.reason().code()},
            "answer_stopped": stopped,
        })
    }
}

fn rule_text(out: &mut String, found: &Match, rule: Option<&About<'_>>, paint: Paint) {
    let id = paint.tone(Tone::Name, found.id);
    let _ = writeln!(out, "  {id} {}", found.msg);
    let _ = write!(out, "    at {}: {:?}", found.target, found.value);
    if let Some(rule) = rule.filter(|rule| !rule.transformations.is_empty()) {
        let _ = write!(out, " after {}", rule.transformations.join(", "));
    }
    out.push('\n');
    let mut parts = Vec::new();
    parts.extend(found.severity.map(|severity| severity.name().to_owned()));
    parts.extend((found.score > 0).then(|| format!("score {}", found.score)));
    if let Some(rule) = rule {
        parts.extend(rule.paranoia.map(|level| format!("paranoia {level}")));
        parts.extend((rule.phase > 0).then(|| format!("phase {}", rule.phase)));
        let line = rule.line.map(|line| format!(":{line}")).unwrap_or_default();
        parts.push(format!("{}{line}", rule.source));
    }
    let _ = writeln!(out, "    {}", paint.tone(Tone::Faint, parts.join(", ")));
}

fn rule_json(found: &Match, rule: Option<&About<'_>>) -> Value {
    let tags: Vec<&str> = found.tags.iter().map(|tag| &**tag).collect();
    json!({
        "id": found.id, "msg": &*found.msg, "target": found.target, "value": found.value, "data": found.data,
        "severity": found.severity.map(waf::Severity::name), "score": found.score, "tags": tags,
        "transformations": rule.map(|rule| &rule.transformations),
        "paranoia": rule.and_then(|rule| rule.paranoia), "phase": rule.map(|rule| rule.phase),
        "source": rule.map(|rule| rule.source), "line": rule.and_then(|rule| rule.line),
    })
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::Reply;

    #[test]
    fn reads_an_answer_as_it_is_on_the_wire() {
        let reply =
            Reply::read(b"HTTP/1.1 500 Oops\r\nContent-Type: text/html\r\n\r\n<b>\r\n").unwrap();
        assert_eq!(
            (reply.status, reply.body.as_slice()),
            (500, &b"<b>\r\n"[..])
        );
        assert_eq!(reply.headers.get("content-type").unwrap(), "text/html");
        assert!(Reply::read(b"HTTP/1.1 200 OK\n\n").is_ok());
        for text in [
            &b""[..],
            b"hello\n\n",
            b"HTTP/1.1 200 OK\nno colon\n\n",
            b"HTTP/1.1 200 OK\nA: b\n",
        ] {
            assert!(Reply::read(text).is_err(), "{}", text.escape_ascii());
        }
    }
}

//! `palisade explain`: what would be decided about a request, and why, without sending it. Runs the code that serves,
//! over an empty store.

use std::collections::BTreeMap;

use policy::Policy;
use policy::cases::Stage;
use policy::decision::{Answer, CheckId, Decision, Outcome, Reason};
use policy::request::Facts;
use policy::run::{Mode, Watch};
use serde_json::{Map, Value, json};

use super::paint::{Paint, Tone};
use super::{Exit, PolicyArgument, load, request, say};
use crate::events::unix_ms;

/// What it takes.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Every check of the route is asked in order, until one refuses; counters begin empty. Nothing is sent.

Examples:
  palisade explain policy.yaml \"GET /search?q=<script>\"
  palisade explain policy.yaml \"POST /login\" --header \"Content-Type: application/json\" --body @login.json
  palisade explain policy.yaml \"GET /admin\" --client 203.0.113.9 --as role=viewer
  palisade explain policy.yaml https://shop.example.com/ --json | jq .decision

Exit codes: 0 explained, whatever the decision; 1 the policy has faults; 2 usage.")]
pub(super) struct Arguments {
    #[command(flatten)]
    policy: PolicyArgument,
    #[command(flatten)]
    request: request::RequestArguments,
    /// Send it this often; the last time is explained.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    times: u32,
    /// Print one JSON object instead of text.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: &Arguments) -> Exit {
    let (sent, identity) = match arguments.request.read() {
        Ok(request) => request,
        Err(why) => {
            eprintln!("palisade: {why}");
            return Exit::Usage;
        }
    };
    let policy = match load(&arguments.policy) {
        Ok(loaded) => loaded.policy,
        Err(exit) => return exit,
    };
    let mut stage = Stage::new(unix_ms());
    let (mut asked, mut decision) = (Asked::default(), Decision::internal());
    for _ in 0..arguments.times {
        asked.0.clear();
        decision = stage.send(&policy, &sent, identity.as_ref(), &mut asked, false);
    }
    let told = Told {
        policy: &policy,
        decision: &decision,
        asked: &asked.0,
    };
    if arguments.json {
        say(format_args!("{:#}\n", told.json()));
    } else {
        let first = format!("{} {} from {}", sent.method, sent.target, sent.peer);
        let shown: String = first
            .chars()
            .map(|c| if c.is_control() { '\u{FFFD}' } else { c })
            .collect();
        say(format_args!("{shown}\n{}", told.text(Paint::stdout())));
    }
    Exit::Ok
}

/// Every check that was asked, in order.
#[derive(Debug, Default)]
struct Asked(Vec<(CheckId, Answer, Mode)>);

impl Watch for Asked {
    fn asked(&mut self, check: CheckId, answer: &Answer, mode: Mode) {
        self.0.push((check, answer.clone(), mode));
    }
}

struct Told<'t> {
    policy: &'t Policy,
    decision: &'t Decision,
    asked: &'t [(CheckId, Answer, Mode)],
}

/// One line about a check.
struct Line<'t> {
    check: &'t str,
    kind: &'static str,
    mode: &'static str,
    answer: &'static str,
    reason: Option<&'static str>,
    status: Option<u16>,
    would: bool,
    notes: Vec<String>,
}

impl Told<'_> {
    fn lines(&self) -> Vec<Line<'_>> {
        let one = |(id, answer, mode): &(CheckId, Answer, Mode)| {
            let (word, reason, status) = match answer {
                Answer::Pass => ("pass", None, None),
                Answer::Deny(denial) => (
                    "deny",
                    Some(denial.reason.code()),
                    Some(denial.status.as_u16()),
                ),
                Answer::Reply(reply) => (
                    "reply",
                    Some(reply.reason.code()),
                    Some(reply.status.as_u16()),
                ),
            };
            Line {
                check: self.policy.check_name(*id),
                kind: self.policy.check_kind(*id),
                mode: mode_word(*mode),
                answer: word,
                reason,
                status,
                would: matches!(answer, Answer::Deny(_)) && *mode == Mode::Observe,
                notes: self.notes(*id),
            }
        };
        self.asked.iter().map(one).collect()
    }

    /// What a check found out that the answer alone does not tell.
    fn notes(&self, id: CheckId) -> Vec<String> {
        let facts = &self.decision.facts;
        let limits = self.decision.effects.limits.iter();
        let mut notes: Vec<String> = limits
            .filter(|(of, _)| *of == id)
            .map(|(_, standing)| {
                format!(
                    "{} of {} left in {} s",
                    standing.remaining, standing.max, standing.window_s
                )
            })
            .collect();
        notes.extend(facts.note(id).map(str::to_owned));
        let passes = self.policy.passes(id);
        if !passes.is_empty() {
            notes.push(format!("a token may let pass {}", passes.join(", ")));
        }
        match self.policy.check_kind(id) {
            "waf" => notes.extend(found(facts, id)),
            "jwt" | "session" => notes.extend(facts.identity.as_ref().map(|identity| {
                let role = identity.claims.get("role").and_then(Value::as_str);
                let role = role.map_or_else(String::new, |role| format!(", role {role}"));
                format!("user {}{role}", identity.user)
            })),
            "geo" => notes.extend(
                facts
                    .place
                    .country
                    .map(|code| format!("country {}", String::from_utf8_lossy(&code))),
            ),
            _ => {}
        }
        notes
    }

    fn route(&self) -> Option<&str> {
        self.decision
            .route
            .map(|route| self.policy.route_name(route))
    }

    fn status(&self) -> Option<u16> {
        match &self.decision.outcome {
            Outcome::Permit(_) => None,
            Outcome::Deny(denial) => Some(denial.status.as_u16()),
            Outcome::Reply(reply) => Some(reply.status.as_u16()),
        }
    }

    fn upstream(&self) -> Option<&str> {
        match &self.decision.outcome {
            Outcome::Permit(permit) => {
                let group = self.policy.upstream(permit.upstream());
                group.map(|group| group.name.as_str())
            }
            Outcome::Deny(_) | Outcome::Reply(_) => None,
        }
    }

    /// What the routes are for, where none of them matches.
    fn compared(&self) -> Vec<(String, String)> {
        if self.decision.reason() != Reason::NoRoute {
            return Vec::new();
        }
        let routes = self.policy.coverage().into_iter();
        routes
            .map(|route| (route.route, route.matches.join(", ")))
            .collect()
    }

    /// Checks of the route that come after the one that ended the run.
    fn not_asked(&self) -> Vec<String> {
        let covered = self.policy.coverage();
        let route = self
            .decision
            .route
            .and_then(|route| covered.into_iter().nth(usize::from(route.0)));
        let checks = route.map(|route| route.checks).unwrap_or_default();
        let asked = |name: &str| {
            self.asked
                .iter()
                .any(|(id, ..)| self.policy.check_name(*id) == name)
        };
        let names = checks.into_iter().map(|check| match check.mode.as_str() {
            "disabled" => format!("{} (disabled)", check.check),
            _ => check.check,
        });
        names.filter(|name| !asked(name)).collect()
    }

    fn text(&self, paint: Paint) -> String {
        let mut out = String::new();
        let route = self.route().unwrap_or("none matches");
        out.push_str(&format!("route {}\n", paint.tone(Tone::Name, route)));
        let lines = self.lines();
        let width = lines
            .iter()
            .map(|line| line.check.chars().count())
            .max()
            .unwrap_or(0);
        for line in &lines {
            let (tone, word) = match (line.answer, line.would) {
                ("pass", _) => (Tone::Good, "pass"),
                (_, true) => (Tone::Notice, "would deny"),
                ("deny", false) => (Tone::Bad, "deny"),
                _ => (Tone::Good, line.answer),
            };
            let why = line
                .reason
                .map(|reason| format!(" {reason}"))
                .unwrap_or_default();
            let mode = if line.mode == "enforce" {
                String::new()
            } else {
                format!(" [{}]", line.mode)
            };
            out.push_str(&format!(
                "  {} {} {}{why}{}\n",
                paint.tone(Tone::Name, format_args!("{:width$}", line.check)),
                paint.tone(Tone::Faint, format_args!("{:16}", line.kind)),
                paint.tone(tone, word),
                paint.tone(Tone::Faint, mode),
            ));
            for note in &line.notes {
                let indent = width + 20;
                out.push_str(&format!(
                    "  {:indent$}{}\n",
                    "",
                    paint.tone(Tone::Faint, note)
                ));
            }
        }
        for (name, matches) in self.compared() {
            let line = format!("{name} is for {matches}");
            out.push_str(&format!("  {}\n", paint.tone(Tone::Faint, line)));
        }
        let rest = self.not_asked();
        if !rest.is_empty() {
            let rest = format!("not asked: {}", rest.join(", "));
            out.push_str(&format!("  {}\n", paint.tone(Tone::Faint, rest)));
        }
        out + &self.verdict(paint)
    }

    fn verdict(&self, paint: Paint) -> String {
        let action = self.decision.action().as_str();
        let reason = self.decision.reason();
        let tone = if action == "allow" {
            Tone::Good
        } else {
            Tone::Bad
        };
        let mut line = format!("{}", paint.tone(tone, action));
        if let Some(status) = self.status() {
            line.push_str(&format!(" {status}"));
        }
        if let Some(check) = self.decision.check {
            line.push_str(&format!(" by {}", self.policy.check_name(check)));
        }
        if let Some(upstream) = self.upstream() {
            line.push_str(&format!(" to {upstream}"));
        }
        line.push_str(&format!(": {} ({})\n", reason.title(), reason.code()));
        line
    }

    fn json(&self) -> Value {
        let decision = self.decision;
        let mut verdict = Map::new();
        verdict.insert("action".into(), decision.action().as_str().into());
        verdict.insert("reason".into(), decision.reason().code().into());
        let check = decision.check.map(|check| self.policy.check_name(check));
        for (name, value) in [
            ("status", self.status().map(Value::from)),
            ("check", check.map(Value::from)),
            ("upstream", self.upstream().map(Value::from)),
        ] {
            verdict.extend(value.map(|value| (name.to_owned(), value)));
        }
        if let Outcome::Permit(permit) = &decision.outcome {
            let fields = permit.forward().iter();
            let fields = fields.map(|(name, value)| {
                (
                    name.to_string(),
                    String::from_utf8_lossy(value.as_bytes()).into(),
                )
            });
            verdict.insert("forward".into(), Value::Object(fields.collect()));
        }
        let asked: Vec<Value> = self.lines().iter().map(Line::json).collect();
        json!({
            "route": self.route(),
            "checks": asked,
            "not_asked": self.not_asked(),
            "compared": self.compared().into_iter().collect::<BTreeMap<_, _>>(),
            "decision": verdict,
            "policy_hash": self.policy.hash(),
        })
    }
}

impl Line<'_> {
    fn json(&self) -> Value {
        let mut value = json!({
            "check": self.check,
            "kind": self.kind,
            "mode": self.mode,
            "answer": self.answer,
        });
        if let Value::Object(fields) = &mut value {
            fields.extend(
                self.reason
                    .map(|reason| ("reason".to_owned(), reason.into())),
            );
            fields.extend(
                self.status
                    .map(|status| ("status".to_owned(), status.into())),
            );
            fields.extend(self.would.then(|| ("would".to_owned(), "deny".into())));
            if !self.notes.is_empty() {
                fields.insert("notes".to_owned(), self.notes.clone().into());
            }
        }
        value
    }
}

fn mode_word(mode: Mode) -> &'static str {
    match mode {
        Mode::Enforce => "enforce",
        Mode::Observe => "observe",
        Mode::Sample(_) => "sample",
        Mode::Disabled => "disabled",
    }
}

/// What the rules of a check found: what each saw, decoded, and what it added to the score.
fn found(facts: &Facts, check: CheckId) -> Vec<String> {
    let Some(verdict) = &facts.waf else {
        return Vec::new();
    };
    let mut notes = vec![format!("score {}", verdict.score)];
    notes.extend((verdict.outbound > 0).then(|| format!("answer's score {}", verdict.outbound)));
    let own = facts.findings().filter(|(of, _)| *of == check);
    notes.extend(own.map(|(_, rule)| {
        let added = match rule.score {
            0 => String::new(),
            score => format!(", score {score}"),
        };
        let (id, target, msg) = (rule.id, &rule.target, &rule.msg);
        let seen = clipped(&rule.value);
        format!("rule {id} at {target}: {msg} ({seen}){added}")
    }));
    notes
}

/// What a rule saw, on one line.
fn clipped(value: &str) -> String {
    let mut text: String = value.escape_debug().take(60).collect();
    if text.len() < value.len() {
        text.push('…');
    }
    text
}

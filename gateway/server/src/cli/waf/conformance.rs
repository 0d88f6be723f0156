//! `palisade waf conformance`: runs the rule set's own tests through a gateway and prints what failed and why.

use std::fmt::Write as _;
use std::io::{IsTerminal as _, Write as _};
use std::path::PathBuf;

use serde_json::{Value, json};

use super::super::paint::{Paint, Tone};
use super::super::{Exit, say};
use crate::conformance::{self, Blocking, Crs, Mode, Outcome, Settings, Suite, Test, Verdict};

/// Bytes of a request that are shown.
const SHOWN: usize = 600;

/// What it takes.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Starts this very binary in front of a backend that answers as it is told, with the settings that the suite's own
continuous integration uses, sends every test's request byte for byte, and compares the rules that the events report.
The tests are the .yaml files below DIR/tests/regression/tests, in the format of go-ftw.

A request that the front end refuses before any rule (two parsers could read it differently) is listed apart: it is
neither a pass nor a failure.

Examples:
  palisade waf conformance --crs coreruleset
  palisade waf conformance --crs coreruleset --only 942100 --only 920100-8 --keep
  palisade waf conformance --crs coreruleset --mode blocking --paranoia 1 --out results.jsonl
  palisade waf conformance --crs /usr/share/modsecurity-crs --tests own-tests

Exit codes: 0 nothing failed, 1 tests failed or could not be read, 2 usage, 3 cannot start.")]
pub(in crate::cli) struct Arguments {
    /// The rule set's folder: rules/ is in it, crs-setup.conf or crs-setup.conf.example beside it.
    #[arg(long, value_name = "DIR", value_hint = clap::ValueHint::DirPath)]
    crs: PathBuf,
    /// Its settings, where they are elsewhere.
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    setup: Option<PathBuf>,
    /// The tests. Default: tests/regression/tests in the rule set's folder.
    #[arg(long, value_name = "DIR", value_hint = clap::ValueHint::DirPath)]
    tests: Option<PathBuf>,
    /// Paranoia level of the rules.
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u8).range(1..=4))]
    paranoia: u8,
    /// What a match does.
    #[arg(long, value_enum, default_value_t = Mode::Detection)]
    mode: Mode,
    /// Only tests of this rule, or this test (942100, 942100-3); can be repeated.
    #[arg(long, value_name = "RULE")]
    only: Vec<String>,
    /// Write one JSON object per test to this file.
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    out: Option<PathBuf>,
    /// Keep the gateway's folder: policy, events, errors.
    #[arg(long)]
    keep: bool,
    /// Threads that send.
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=64))]
    threads: u16,
}

pub(in crate::cli) fn run(arguments: &Arguments) -> Exit {
    match arguments.settings() {
        Ok((suite, settings)) => arguments.held(&suite, &settings),
        Err(why) => {
            eprintln!("palisade: {why}");
            Exit::Usage
        }
    }
}

impl Arguments {
    fn settings(&self) -> Result<(Suite, Settings), String> {
        let crs = Crs::find(&self.crs, self.setup.as_deref())?;
        let tests = self
            .tests
            .clone()
            .unwrap_or_else(|| crs.folder.join("tests/regression/tests"));
        let suite = Suite::read(&tests, &self.only)?;
        if suite.tests.is_empty() && suite.faults.is_empty() {
            return Err(format!("no such test below {}", tests.display()));
        }
        let settings = Settings {
            crs,
            mode: self.mode,
            paranoia: self.paranoia,
            keep: self.keep,
            threads: usize::from(self.threads),
        };
        Ok((suite, settings))
    }

    fn held(&self, suite: &Suite, settings: &Settings) -> Exit {
        eprintln!("{} tests in {} files", suite.tests.len(), suite.files);
        let terminal = std::io::stderr().is_terminal();
        let total = suite.tests.len();
        let progress = |done: usize| {
            if terminal && (done.is_multiple_of(50) || done == total) {
                eprint!("\r{done} of {total}");
            }
        };
        let outcome = conformance::backend::start()
            .and_then(|backend| conformance::run(suite, settings, backend, &progress));
        if terminal {
            eprintln!();
        }
        let outcome = match outcome {
            Ok(outcome) => outcome,
            Err(why) => {
                eprintln!("palisade: {why}");
                return Exit::CannotStart;
            }
        };
        if self.keep {
            eprintln!("kept in {}", outcome.folder.display());
        }
        if let Some(out) = &self.out
            && let Err(why) = write(out, suite, &outcome)
        {
            eprintln!("palisade: {}: {why}", out.display());
            return Exit::CannotStart;
        }
        let paint = Paint::stdout();
        let report = Report {
            suite,
            outcome: &outcome,
        };
        say(report.text(paint));
        if report.failed() == 0 {
            Exit::Ok
        } else {
            Exit::Faults
        }
    }
}

struct Report<'r> {
    suite: &'r Suite,
    outcome: &'r Outcome,
}

impl Report<'_> {
    fn each(&self) -> impl Iterator<Item = (&Test, &[conformance::Seen], &Verdict)> {
        let outcome = self.outcome;
        let pairs = self
            .suite
            .tests
            .iter()
            .zip(&outcome.seen)
            .zip(&outcome.verdicts);
        pairs.map(|((test, seen), verdict)| (test, seen.as_slice(), verdict))
    }

    fn failed(&self) -> usize {
        let detected = self
            .each()
            .filter(|(.., verdict)| matches!(verdict, Verdict::Failed(_)));
        let blocked = self.outcome.blocking.iter();
        let blocked = blocked.filter(|verdict| matches!(verdict, Blocking::Failed(_)));
        // What a test wants to see in detection mode is not what happens when matches refuse.
        let failures = match self.outcome.blocking.is_empty() {
            true => detected.count(),
            false => blocked.count(),
        };
        failures + self.suite.faults.len()
    }

    fn text(&self, paint: Paint) -> String {
        let mut out = String::new();
        for fault in &self.suite.faults {
            let _ = writeln!(out, "{} {fault}", paint.tone(Tone::Bad, "unread"));
        }
        if self.outcome.blocking.is_empty() {
            self.detected(&mut out, paint);
        } else {
            self.blocked(&mut out, paint);
        }
        out
    }

    fn detected(&self, out: &mut String, paint: Paint) {
        let (mut passed, mut refused) = (0, Vec::new());
        for (test, seen, verdict) in self.each() {
            match verdict {
                Verdict::Passed => passed += 1,
                Verdict::Refused(why) => refused.push((test, why)),
                Verdict::Failed(why) => out.push_str(&failure(test, seen, why, paint)),
            }
        }
        if !refused.is_empty() {
            let _ = writeln!(out, "refused by the front end, before any rule:");
        }
        for (test, why) in &refused {
            let _ = writeln!(out, "  {} {why}", paint.tone(Tone::Notice, &test.name));
        }
        let failed = self.failed();
        let tone = if failed == 0 { Tone::Good } else { Tone::Bad };
        let line = format!(
            "{passed} of {} passed, {} refused by the front end, {failed} failed",
            self.suite.tests.len() + self.suite.faults.len(),
            refused.len()
        );
        let _ = writeln!(out, "{}", paint.tone(tone, line));
    }

    fn blocked(&self, out: &mut String, paint: Paint) {
        let (mut attacks, mut benign, mut unweighed, mut refused) = (0, 0, 0, 0);
        let (mut others, mut missed, mut false_alarms) = (0, 0, 0);
        let verdicts = self.outcome.blocking.iter();
        for ((test, seen, _), verdict) in self.each().zip(verdicts) {
            match verdict {
                Blocking::Blocked => attacks += 1,
                Blocking::Passed => benign += 1,
                Blocking::Others(_) => others += 1,
                Blocking::Unweighed => unweighed += 1,
                Blocking::Refused(_) => refused += 1,
                Blocking::Failed(why) => {
                    let attack = test.stages.iter().any(|stage| stage.expect.wants_match());
                    *(if attack {
                        &mut missed
                    } else {
                        &mut false_alarms
                    }) += 1;
                    out.push_str(&failure(test, seen, std::slice::from_ref(why), paint));
                }
            }
        }
        let _ = writeln!(
            out,
            "{attacks} of {} attacks refused: tests that expect a rule of this level which reaches the threshold",
            attacks + missed
        );
        let _ = writeln!(
            out,
            "{benign} of {} others passed: tests that expect no rule, and nothing that matched weighs enough",
            benign + false_alarms
        );
        let _ = writeln!(
            out,
            "{others} that expect no rule were refused for rules that they do not speak of; {unweighed} expect rules of \
             other levels, or below the threshold; {refused} refused by the front end"
        );
        let failed = self.failed();
        let tone = if failed == 0 { Tone::Good } else { Tone::Bad };
        let _ = writeln!(out, "{}", paint.tone(tone, format!("{failed} failed")));
    }
}

fn failure(test: &Test, seen: &[conformance::Seen], why: &[String], paint: Paint) -> String {
    let mut out = format!(
        "{} {} ({})\n",
        paint.tone(Tone::Bad, "FAILED"),
        test.name,
        test.place
    );
    for line in why {
        let _ = writeln!(out, "  {line}");
    }
    for (stage, seen) in test.stages.iter().zip(seen) {
        let _ = writeln!(out, "  sent: {}", shown(&stage.sent));
        let _ = writeln!(out, "  expected: {}", stage.expect.text());
        let _ = writeln!(out, "  seen: {}", seen_text(seen));
    }
    out
}

fn seen_text(seen: &conformance::Seen) -> String {
    let status = seen.status.map_or_else(
        || "no answer".to_owned(),
        |status| format!("status {status}"),
    );
    let ids: Vec<String> = seen.ids().iter().map(ToString::to_string).collect();
    let word = |key| {
        seen.word(key)
            .map(|word| format!(", {key} {word}"))
            .unwrap_or_default()
    };
    format!(
        "{status}, rules [{}]{}{}",
        ids.join(", "),
        word("reason"),
        word("detail")
    )
}

/// A request on one line.
fn shown(sent: &[u8]) -> String {
    let cut = sent.get(..SHOWN).unwrap_or(sent);
    let mut text = cut.escape_ascii().to_string();
    if cut.len() < sent.len() {
        let _ = write!(text, "… ({} bytes)", sent.len());
    }
    text
}

fn write(file: &std::path::Path, suite: &Suite, outcome: &Outcome) -> std::io::Result<()> {
    let report = Report { suite, outcome };
    let mut out = std::io::BufWriter::new(std::fs::File::create(file)?);
    let mut blocking = outcome.blocking.iter();
    for (test, seen, verdict) in report.each() {
        let (word, why) = match (blocking.next(), verdict) {
            (None, Verdict::Passed) | (Some(Blocking::Passed), _) => ("passed", Value::Null),
            (None, Verdict::Refused(why)) | (Some(Blocking::Refused(why)), _) => {
                ("refused", json!(why))
            }
            (None, Verdict::Failed(why)) => ("failed", json!(why)),
            (Some(Blocking::Blocked), _) => ("blocked", Value::Null),
            (Some(Blocking::Others(rules)), _) => ("blocked for others", json!(rules)),
            (Some(Blocking::Unweighed), _) => ("not of this level", Value::Null),
            (Some(Blocking::Failed(why)), _) => ("failed", json!(why)),
        };
        let stages = test.stages.iter().zip(seen).map(|(stage, seen)| {
            json!({
                "sent": String::from_utf8_lossy(&stage.sent),
                "expected": stage.expect.text(),
                "status": seen.status,
                "rules": seen.ids(),
                "reason": seen.word("reason"),
                "error": seen.error,
            })
        });
        let line = json!({
            "test": test.name, "place": test.place, "result": word, "why": why, "stages": stages.collect::<Vec<_>>(),
        });
        writeln!(out, "{line}")?;
    }
    out.flush()
}

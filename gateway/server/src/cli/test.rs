//! `palisade test`: the requests under `tests:` of a policy, with the decisions they must get.

use policy::cases;
use serde_json::{Value, json};

use super::paint::{Paint, Tone};
use super::{Exit, PolicyArgument, load, say};
use crate::events::unix_ms;

/// What it takes.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Each test is a request, optionally somebody who asks (as:), and what must come of it:

  tests:
    - name: viewers cannot index
      request: {method: POST, path: /rag/index}
      as: {role: viewer}
      expect: {status: 403, by: roles}

Examples:
  palisade test policy.yaml
  palisade test policy.yaml --filter index --json

Exit codes: 0 all as expected, 1 faults or failures, 2 usage.")]
pub(super) struct Arguments {
    #[command(flatten)]
    policy: PolicyArgument,
    /// Only show tests whose name contains this.
    #[arg(long, value_name = "TEXT", default_value = "")]
    filter: String,
    /// Print one JSON object instead of text.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: &Arguments) -> Exit {
    let policy = match load(&arguments.policy) {
        Ok(loaded) => loaded.policy,
        Err(exit) => return exit,
    };
    // All of them run, since some go on from the one before; the filter hides the rest.
    let mut reports = cases::run(&policy, policy.cases(), unix_ms());
    reports.retain(|report| report.name.contains(&arguments.filter));
    let failed = reports
        .iter()
        .filter(|report| !report.differences.is_empty())
        .count();
    if arguments.json {
        let tests: Vec<Value> = reports
            .iter()
            .map(|report| json!({ "name": report.name, "ok": report.differences.is_empty(), "differences": report.differences }))
            .collect();
        say(format_args!(
            "{:#}\n",
            json!({ "ok": failed == 0, "tests": tests })
        ));
    } else {
        say(text(&reports, failed, Paint::stdout()));
    }
    if failed == 0 { Exit::Ok } else { Exit::Faults }
}

fn text(reports: &[cases::Report], failed: usize, paint: Paint) -> String {
    let mut out = String::new();
    for report in reports {
        let (tone, word) = if report.differences.is_empty() {
            (Tone::Good, "ok")
        } else {
            (Tone::Bad, "FAILED")
        };
        out.push_str(&format!("{} {}\n", paint.tone(tone, word), report.name));
        for difference in &report.differences {
            out.push_str(&format!("     {difference}\n"));
        }
    }
    let passed = reports.len() - failed;
    let tone = if failed == 0 { Tone::Good } else { Tone::Bad };
    let sum = match reports.len() {
        0 => "no tests".to_owned(),
        _ => format!("{passed} passed, {failed} failed"),
    };
    out + &format!("{}\n", paint.tone(tone, sum))
}

#[cfg(test)]
mod tests {
    use policy::cases::Report;

    use super::{Paint, text};

    #[test]
    fn shows_what_was_expected_and_what_came() {
        let reports = [
            Report {
                name: "good".into(),
                differences: Vec::new(),
            },
            Report {
                name: "bad".into(),
                differences: vec!["status: expected 403, got 200".into()],
            },
        ];
        assert_eq!(
            text(&reports, 1, Paint::plain()),
            "ok good\nFAILED bad\n     status: expected 403, got 200\n1 passed, 1 failed\n"
        );
    }
}

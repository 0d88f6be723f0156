//! `palisade waf profile`: how much time each rule takes over a corpus of requests, in the engine that serves.

mod corpus;

use std::path::PathBuf;
use std::sync::OnceLock;
use std::time::Instant;

use policy::Policy;
use serde_json::{Value, json};
use waf::{Profile, Ruleset, Scratch, Spent, Tuning};

use super::super::paint::{Paint, Tone};
use super::super::{Exit, PolicyArgument, load, say};
use corpus::Sample;

/// What it takes.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Puts every request of a corpus to the rules of a `waf` check, many times, and tells what each rule took. What rules
share (parsing, transformations, the search for what could match) is one line of its own; a rule's own time is what it
took once it was put to a value. Times are this machine's: compare shares, not microseconds.

CORPUS is a folder of files with one raw HTTP/1 request each, or a file with one JSON object a line: a request
({\"method\": \"POST\", \"target\": \"/x?y=1\", \"headers\": {\"Content-Type\": \"application/json\"}, \"body\": \"{}\"}),
or an event; events have no header fields and no bodies.

Examples:
  palisade waf profile policy.yaml requests/
  palisade waf profile policy.yaml requests.jsonl --times 100 --most 30
  palisade waf profile policy.yaml events.jsonl --check crs --json | jq '.rules[0]'

Exit codes: 0 measured; 1 the policy has faults or no rules, or the corpus cannot be read; 2 usage.")]
pub(in crate::cli) struct Arguments {
    #[command(flatten)]
    policy: PolicyArgument,
    /// Requests, or events.
    #[arg(value_name = "CORPUS", value_hint = clap::ValueHint::AnyPath)]
    corpus: PathBuf,
    /// The check whose rules are measured. Default: the first that has rules.
    #[arg(long, value_name = "NAME")]
    check: Option<String>,
    /// How often the whole corpus is judged.
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    times: u32,
    /// How many rules are shown.
    #[arg(long, value_name = "N", default_value_t = 20)]
    most: usize,
    /// Print one JSON object instead of text; it has every rule that was asked.
    #[arg(long)]
    json: bool,
}

pub(in crate::cli) fn run(arguments: &Arguments) -> Exit {
    let policy = match load(&arguments.policy) {
        Ok(loaded) => loaded.policy,
        Err(exit) => return exit,
    };
    match arguments.measure(&policy) {
        Ok(report) => {
            if arguments.json {
                say(format_args!("{:#}\n", report.json()));
            } else {
                say(report.text(arguments.most, Paint::stdout()));
            }
            Exit::Ok
        }
        Err(why) => {
            eprintln!("palisade: {why}");
            Exit::Faults
        }
    }
}

/// Nanoseconds since the first call.
fn clock() -> u64 {
    static START: OnceLock<Instant> = OnceLock::new();
    let since = START.get_or_init(Instant::now).elapsed();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

/// What asking the clock costs: every measured piece holds one reading of it.
fn reading() -> u64 {
    const READINGS: u64 = 100_000;
    let began = clock();
    for _ in 0..READINGS {
        std::hint::black_box(clock());
    }
    (clock() - began) / READINGS
}

impl Arguments {
    fn measure(&self, policy: &Policy) -> Result<Report, String> {
        let wanted = |check: &str| self.check.as_deref().is_none_or(|own| own == check);
        let mut sets = policy.rulesets();
        let found = sets.find(|(check, ..)| wanted(policy.check_name(*check)));
        let (check, rules, tuning) = found.ok_or_else(|| match &self.check {
            Some(name) => format!("no check `{name}` with rules"),
            None => "no check of this policy has rules".to_owned(),
        })?;
        let corpus = corpus::read(&self.corpus)?;
        let mut rows: Vec<Row> = rules.about().map(|rule| Row::new(&rule)).collect();
        // Once for whatever is only slow the first time.
        let _ = pass(rules, tuning, &corpus, None);
        let plain = (0..self.times)
            .map(|_| pass(rules, tuning, &corpus, None).0)
            .min()
            .unwrap_or_default();
        let (mut total, mut profile) = (0, None);
        for _ in 0..self.times {
            let (took, back) = pass(
                rules,
                tuning,
                &corpus,
                Some(profile.take().unwrap_or_else(|| Profile::new(clock))),
            );
            total += took;
            profile = back;
        }
        let reading = reading();
        for (row, spent) in rows.iter_mut().zip(profile.iter().flat_map(Profile::rules)) {
            row.spent = *spent;
            row.spent.time = spent.time.saturating_sub(spent.asked * reading);
        }
        // The clock itself takes two readings for each question.
        let asked: u64 = rows.iter().map(|row| row.spent.asked).sum();
        rows.retain(|row| row.spent.asked > 0);
        rows.sort_by_key(|row| std::cmp::Reverse(row.spent.time));
        Ok(Report {
            check: policy.check_name(check).to_owned(),
            rules: rules.len(),
            requests: corpus.len(),
            judged: corpus.len() as u64 * u64::from(self.times),
            plain,
            total: total.saturating_sub(2 * asked * reading),
            rows,
        })
    }
}

/// Every request once, in nanoseconds. The buffers are new, so that values are known from this pass alone.
fn pass(
    rules: &Ruleset,
    tuning: &Tuning,
    corpus: &[Sample],
    profile: Option<Profile>,
) -> (u64, Option<Profile>) {
    let mut scratch = Scratch::default();
    if let Some(profile) = profile {
        scratch.set_profile(profile);
    }
    let began = clock();
    for sample in corpus {
        scratch = sample.judge(rules, tuning, scratch);
    }
    (clock() - began, scratch.take_profile())
}

/// One rule.
struct Row {
    id: u32,
    msg: String,
    targets: String,
    spent: Spent,
}

impl Row {
    fn new(rule: &waf::About<'_>) -> Self {
        Self {
            id: rule.id,
            msg: rule.msg.to_owned(),
            targets: rule.targets.join(" "),
            spent: Spent::default(),
        }
    }
}

struct Report {
    check: String,
    rules: usize,
    requests: usize,
    /// Requests judged with the clock running.
    judged: u64,
    /// The fastest pass without the clock, nanoseconds.
    plain: u64,
    /// All passes with it.
    total: u64,
    rows: Vec<Row>,
}

impl Report {
    fn own(&self) -> u64 {
        self.rows.iter().map(|row| row.spent.time).sum()
    }

    /// Of all time, in tenths of a percent.
    fn share(&self, time: u64) -> String {
        let thousandths = u128::from(time) * 1000 / u128::from(self.total.max(1));
        format!("{}.{} %", thousandths / 10, thousandths % 10)
    }

    /// Microseconds for one request.
    fn each(&self, time: u64) -> String {
        let hundredths = time / 10 / self.judged.max(1);
        format!("{}.{:02}", hundredths / 100, hundredths % 100)
    }

    fn text(&self, most: usize, paint: Paint) -> String {
        let per = self.plain / 10 / (self.requests as u64).max(1);
        let mut out = format!(
            "check {}: {} rules, {} requests, {}.{:02} µs each without the clock\n",
            self.check,
            self.rules,
            self.requests,
            per / 100,
            per % 100
        );
        let shared = self.total.saturating_sub(self.own());
        let mut line = |share: String, each: String, asked: &str, held: &str, what: String| {
            out.push_str(&format!(
                "{share:>8} {each:>9} {asked:>9} {held:>7}  {what}\n"
            ));
        };
        line("share".into(), "µs".into(), "asked", "held", "rule".into());
        let what = "shared: parsing, transformations, the search for what could match";
        line(
            self.share(shared),
            self.each(shared),
            "",
            "",
            paint.tone(Tone::Faint, what).to_string(),
        );
        for row in self.rows.iter().take(most) {
            let spent = row.spent;
            let msg: String = row.msg.chars().take(72).collect();
            let what = format!("{} {msg} [{}]", paint.tone(Tone::Name, row.id), row.targets);
            line(
                self.share(spent.time),
                self.each(spent.time),
                &spent.asked.to_string(),
                &spent.held.to_string(),
                what,
            );
        }
        let rest: u64 = self.rows.iter().skip(most).map(|row| row.spent.time).sum();
        if self.rows.len() > most {
            let what = format!("{} more rules that were asked", self.rows.len() - most);
            line(self.share(rest), self.each(rest), "", "", what);
        }
        out
    }

    fn json(&self) -> Value {
        let nanos = |time: u64| time / self.judged.max(1);
        let rows = self.rows.iter().map(|row| {
            json!({
                "id": row.id, "msg": row.msg, "targets": row.targets, "asked": row.spent.asked, "held": row.spent.held,
                "ns_per_request": nanos(row.spent.time),
                "share": row.spent.time as f64 / self.total.max(1) as f64,
            })
        });
        json!({
            "check": self.check, "rules_in_all": self.rules, "requests": self.requests, "judged": self.judged,
            "ns_per_request": self.plain / (self.requests as u64).max(1),
            "shared_ns_per_request": nanos(self.total.saturating_sub(self.own())),
            "rules": rows.collect::<Vec<_>>(),
        })
    }
}

//! `palisade waf suggest`: exclusions that would silence false alarms, the smallest first, each with what it costs.

mod found;
mod incident;
mod known;
mod plan;

use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;

use serde_json::Value;

use super::super::paint::Paint;
use super::super::{Exit, PolicyArgument, load, say};
use found::Found;
use incident::{Filter, Incident};
use known::Known;

/// What it takes.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Reads the requests that rules refused, or would have refused while observed, and finds what rules would have to
overlook for them to pass: first a rule at one target, then a rule, then a tag. Each suggestion can be pasted into the
`waf` check. Whether they are false alarms is for you to say: choose them with --path, --route, --client. Requests that
set off rules of three families or more are taken for attacks and left out, unless --all; suggestions that would let
some of them pass say so.

With --policy it tells what each suggestion costs: what the rule is for, and how many rules still watch that target.

Examples:
  palisade waf suggest events.jsonl
  palisade waf suggest events.jsonl --policy policy.yaml --path /articles
  palisade waf suggest events.jsonl --client 203.0.113.9 --json | jq '.suggestions[0].exclude'

Exit codes: 0 read, whatever was found; 1 the events cannot be read or the policy has faults; 2 usage.")]
pub(in crate::cli) struct Arguments {
    /// The events: one JSON object a line.
    #[arg(value_name = "EVENTS", value_hint = clap::ValueHint::FilePath)]
    events: PathBuf,
    /// The policy with the rules.
    #[arg(long, value_name = "POLICY", value_hint = clap::ValueHint::FilePath)]
    policy: Option<PathBuf>,
    /// Only what this check refused.
    #[arg(long, value_name = "NAME")]
    check: Option<String>,
    /// Only requests of this route.
    #[arg(long, value_name = "NAME")]
    route: Option<String>,
    /// Only requests whose path begins so.
    #[arg(long, value_name = "PREFIX")]
    path: Option<String>,
    /// Only requests of this client.
    #[arg(long, value_name = "IP")]
    client: Option<String>,
    /// Score that refuses.
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    threshold: u32,
    /// Requests that look like attacks, too.
    #[arg(long)]
    all: bool,
    /// How many suggestions of each kind.
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u16).range(1..=1000))]
    most: u16,
    /// Print one JSON object instead of text.
    #[arg(long)]
    json: bool,
}

pub(in crate::cli) fn run(arguments: &Arguments) -> Exit {
    let policy = match &arguments.policy {
        None => None,
        Some(path) => match load(&PolicyArgument {
            policy: path.clone(),
        }) {
            Ok(loaded) => Some(loaded.policy),
            Err(exit) => return exit,
        },
    };
    let known = policy.as_ref().map(Known::new).unwrap_or_default();
    let incidents = match arguments.incidents(&known) {
        Ok(incidents) => incidents,
        Err(why) => {
            eprintln!("palisade: {}: {why}", arguments.events.display());
            return Exit::Faults;
        }
    };
    let found = Found::new(arguments, &incidents, &known);
    if arguments.json {
        say(format_args!("{:#}\n", found.json()));
    } else {
        say(found.text(Paint::stdout()));
    }
    Exit::Ok
}

impl Arguments {
    fn incidents(&self, known: &Known<'_>) -> Result<Vec<Incident>, String> {
        let filter = Filter {
            check: self.check.clone(),
            route: self.route.clone(),
            path: self.path.clone(),
            client: self.client.clone(),
        };
        let file = File::open(&self.events).map_err(|why| why.to_string())?;
        let mut incidents = Vec::new();
        for (number, line) in BufReader::new(file).split(b'\n').enumerate() {
            let line = line.map_err(|why| why.to_string())?;
            if line.trim_ascii().is_empty() {
                continue;
            }
            let event: Value = serde_json::from_slice(&line)
                .map_err(|why| format!("line {} is no event: {why}", number + 1))?;
            incidents.extend(Incident::read(&event, &filter, &|rule| known.score(rule)));
        }
        Ok(incidents)
    }
}

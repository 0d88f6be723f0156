//! `palisade waf`: commands about rules against attacks. Each is a file in `waf/`.

mod conformance;
mod explain;
mod profile;
mod suggest;

use super::Exit;

/// What it takes.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  palisade waf explain policy.yaml \"GET /?q=<script>\"               which rules match, and what each saw
  palisade waf suggest events.jsonl --policy policy.yaml           exclusions that silence false alarms, and their cost
  palisade waf profile policy.yaml requests/                       what each rule takes
  palisade waf conformance --crs coreruleset                       the rule set's own tests, over real sockets")]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Tell which rules match a request and its answer, what each saw, and what that comes to.
    Explain(explain::Arguments),
    /// Find the exclusions that would silence false alarms, and what each costs.
    Suggest(suggest::Arguments),
    /// Measure what each rule takes over a corpus of requests.
    Profile(profile::Arguments),
    /// Hold the OWASP Core Rule Set's regression tests against a gateway, over real sockets.
    Conformance(conformance::Arguments),
}

pub(super) fn run(arguments: &Arguments) -> Exit {
    match &arguments.command {
        Command::Explain(arguments) => explain::run(arguments),
        Command::Suggest(arguments) => suggest::run(arguments),
        Command::Profile(arguments) => profile::run(arguments),
        Command::Conformance(arguments) => conformance::run(arguments),
    }
}

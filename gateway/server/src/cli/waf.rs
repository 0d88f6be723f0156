//! `palisade waf`: commands about rules against attacks. Each is a file in `waf/`.

mod conformance;
mod suggest;

use super::Exit;

/// What it takes.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  palisade waf suggest events.jsonl --policy policy.yaml           exclusions that silence false alarms, and their cost
  palisade waf conformance --crs coreruleset                       the rule set's own tests, over real sockets")]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Find the exclusions that would silence false alarms, and what each costs.
    Suggest(suggest::Arguments),
    /// Hold the OWASP Core Rule Set's regression tests against a gateway, over real sockets.
    Conformance(conformance::Arguments),
}

pub(super) fn run(arguments: &Arguments) -> Exit {
    match &arguments.command {
        Command::Suggest(arguments) => suggest::run(arguments),
        Command::Conformance(arguments) => conformance::run(arguments),
    }
}

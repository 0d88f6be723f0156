//! `palisade waf`: commands about rules against attacks. Each is a file in `waf/`.

mod conformance;

use super::Exit;

/// What it takes.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  palisade waf conformance --crs /usr/share/modsecurity-crs --tests my-tests")]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Hold the OWASP Core Rule Set's regression tests against a gateway, over real sockets.
    Conformance(conformance::Arguments),
}

pub(super) fn run(arguments: &Arguments) -> Exit {
    match &arguments.command {
        Command::Conformance(arguments) => conformance::run(arguments),
    }
}

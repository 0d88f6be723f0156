//! `palisade schema`: the JSON Schema of policies, for editors.

use super::{Exit, say};

/// What it takes.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Editors complete and check a policy whose first line names the schema:

  # yaml-language-server: $schema=palisade.schema.json

Examples:
  palisade schema > palisade.schema.json

Exit codes: 0 printed, 2 usage.")]
pub(super) struct Arguments {}

pub(super) fn run(_: &Arguments) -> Exit {
    say(format!("{}\n", policy::schema()));
    Exit::Ok
}

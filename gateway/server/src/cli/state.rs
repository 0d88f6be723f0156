//! `palisade state`: what is done to a store while no gateway uses it.

use std::path::PathBuf;

use policy::settings::{Secret, StateKind};
use zeroize::Zeroizing;

use super::{Exit, PolicyArgument, say};
use crate::secrets::Providers;
use crate::store::reseal;

/// What it takes.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  palisade state reseal policy.yaml --was plain     the policy names a seal for the first time")]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Seal all of a state file as the policy says now. No gateway may use it meanwhile.
    #[command(after_help = "\
Whole or not at all: a file that cannot be opened as it was is unchanged.

Examples:
  palisade state reseal policy.yaml                   with the current key; then the previous one may go
  palisade state reseal policy.yaml --was plain       the policy names a seal for the first time
  palisade state reseal policy.yaml --was old.key     with another key, or with none any more

Exit codes: 0 done, 1 faults, 2 usage, 3 in use or damaged.")]
    Reseal {
        #[command(flatten)]
        policy: PolicyArgument,
        /// How it is sealed: `plain` (not at all), or a file with the secret. Default: as the policy says, its previous
        /// secrets included.
        #[arg(long, value_name = "plain|FILE")]
        was: Option<PathBuf>,
    },
}

pub(super) fn run(arguments: &Arguments) -> Exit {
    let Command::Reseal { policy, was } = &arguments.command;
    let file = match policy.find() {
        Ok(file) => file,
        Err(exit) => return exit,
    };
    // The seal may be a provider's, and this is about the real one.
    let file = match Providers::start() {
        Ok(providers) => file.asking(providers),
        Err(why) => return cannot(&format!("providers of secrets: {why}")),
    };
    let state = file.outline().and_then(|outline| outline.state);
    let Some(state) = state else {
        eprintln!(
            "palisade: the policy's `state` cannot be read: palisade check --fetch tells why"
        );
        return Exit::Faults;
    };
    let StateKind::File { path } = &state.kind else {
        eprintln!(
            "palisade: only a file is sealed anew in its place; a Redis is emptied, or each value waits for its next change"
        );
        return Exit::Faults;
    };
    let was = match was {
        None => state.seal.clone(),
        Some(word) if word.as_os_str() == "plain" => Vec::new(),
        Some(file) => match std::fs::read(file) {
            Ok(bytes) => vec![Secret(Zeroizing::new(trimmed(&bytes).to_vec()))],
            Err(why) => return cannot(&format!("{}: {why}", file.display())),
        },
    };
    match reseal(&file.folder().join(path), &was, &state.seal) {
        Ok(count) => {
            let how = if state.seal.is_empty() {
                "not sealed any more"
            } else {
                "sealed with the current key"
            };
            say(format_args!("{count} values are {how}\n"));
            Exit::Ok
        }
        Err(why) => cannot(&why),
    }
}

fn cannot(why: &str) -> Exit {
    eprintln!("palisade: {why}");
    Exit::CannotStart
}

fn trimmed(bytes: &[u8]) -> &[u8] {
    let bytes = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    bytes.strip_suffix(b"\r").unwrap_or(bytes)
}

//! `palisade check`: every fault of a policy at once.

use serde_json::json;

use super::paint::{Paint, Tone};
use super::{Exit, PolicyArgument, faults, say};
use crate::secrets::Providers;

/// What it takes.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Reads everything that the policy reads (lists, rules, databases, keys) and reports every fault at once, with
its place. Opens no port, and neither runs a program nor asks a server for secrets: all that depends on such a secret
is looked at with an invented value, and a warning says so. With --fetch they are asked.

Examples:
  palisade check policy.yaml
  palisade check /etc/palisade --warnings-are-errors
  palisade check /etc/palisade --fetch              as the gateway will see it
  palisade check policy.yaml --json | jq '.faults[].message'

Exit codes: 0 no faults, 1 faults, 2 usage.")]
pub(super) struct Arguments {
    #[command(flatten)]
    policy: PolicyArgument,
    /// Print one JSON object instead of text.
    #[arg(long)]
    json: bool,
    /// Ask the providers of secrets: run the programs, reach the servers that the policy names.
    #[arg(long)]
    fetch: bool,
    /// Exit with 1 for warnings, too.
    #[arg(long)]
    warnings_are_errors: bool,
}

pub(super) fn run(arguments: &Arguments) -> Exit {
    let mut file = match arguments.policy.find() {
        Ok(file) => file,
        Err(exit) => return exit,
    };
    if arguments.fetch {
        file = match Providers::start() {
            Ok(providers) => file.asking(providers),
            Err(why) => {
                eprintln!("palisade: providers of secrets: {why}");
                return Exit::Faults;
            }
        };
    }
    let (loaded, _) = file.load();
    let (hash, routes, found) = match &loaded {
        Ok(loaded) => {
            let policy = &loaded.policy;
            (
                policy.hash(),
                policy.route_count(),
                loaded.warnings.as_slice(),
            )
        }
        Err(faults) => ("", 0, faults.as_slice()),
    };
    let good = loaded.is_ok() && (found.is_empty() || !arguments.warnings_are_errors);
    if arguments.json {
        let value =
            json!({ "ok": good, "hash": hash, "routes": routes, "faults": faults::json(found) });
        say(format_args!("{value:#}\n"));
    } else {
        let paint = Paint::stderr();
        eprint!("{}", faults::text(found, paint));
        if !found.is_empty() {
            eprintln!("{}: {}", file.path().display(), faults::summary(found));
        }
        if loaded.is_ok() {
            let paint = Paint::stdout();
            let fine = paint.tone(Tone::Good, "ok");
            let path = file.path();
            say(format_args!(
                "{}: {fine}, {routes} routes, hash {hash}\n",
                path.display()
            ));
        }
    }
    if good { Exit::Ok } else { Exit::Faults }
}

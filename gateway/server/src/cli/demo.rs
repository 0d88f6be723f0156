//! `palisade demo`: see `crate::demo`.

use std::path::PathBuf;

use super::paint::Paint;
use super::{Exit, faults};
use crate::demo::{self, Failed, Ports};
use crate::gateway::{AdminAt, Options};

/// What it takes.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Starts a small shop on a loopback port and Palisade in front of it, with a policy, certificates and tokens made on
the spot, and prints what to try. Ctrl-C ends both and removes the files.

Examples:
  palisade demo
  palisade demo --port 18080 --folder ./demo      keeps the files in ./demo

Exit codes: 0 ended as asked, 2 usage, 3 cannot start.")]
pub(super) struct Arguments {
    /// Port for plain HTTP; another one is taken when it is in use.
    #[arg(long, value_name = "PORT", default_value_t = 8080)]
    port: u16,
    /// Port for TLS.
    #[arg(long, value_name = "PORT", default_value_t = 8443)]
    tls_port: u16,
    /// Port of the admin listener.
    #[arg(long, value_name = "PORT", default_value_t = 9900)]
    admin_port: u16,
    /// Where policy, certificates and events lie; they are kept then. Default: a temporary folder.
    #[arg(long, value_name = "FOLDER", value_hint = clap::ValueHint::DirPath)]
    folder: Option<PathBuf>,
}

pub(super) fn run(arguments: &Arguments) -> Exit {
    // Removed when it goes out of scope: after serving has ended.
    let temporary = match &arguments.folder {
        Some(_) => None,
        None => match tempfile::Builder::new().prefix("palisade-demo-").tempdir() {
            Ok(folder) => Some(folder),
            Err(why) => {
                eprintln!("palisade: no temporary folder: {why}");
                return Exit::CannotStart;
            }
        },
    };
    let folder = temporary.as_ref().map(|folder| folder.path().to_owned());
    let folder = folder
        .or_else(|| arguments.folder.clone())
        .unwrap_or_default();
    let ports = Ports {
        http: arguments.port,
        https: arguments.tls_port,
        admin: arguments.admin_port,
    };
    let options = Options {
        threads: None,
        events: None,
        when_full: None,
        admin: AdminAt::Policy,
        upgrade: false,
        upgrade_folder: None,
    };
    match demo::run(&folder, ports, options) {
        Ok(()) => Exit::Ok,
        Err(Failed::Policy(found)) => {
            eprint!("{}", faults::text(&found, Paint::stderr()));
            Exit::Faults
        }
        Err(Failed::Start(why)) => {
            eprintln!("palisade: cannot start: {why}");
            Exit::CannotStart
        }
    }
}

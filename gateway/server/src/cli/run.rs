//! `palisade run`: puts the parts together and serves until it is told to end.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use policy::settings::{ListenAddress, WhenFull};
use sha2::{Digest, Sha256};

use super::paint::Paint;
use super::{Exit, PolicyArgument, faults};
use crate::gateway::{AdminAt, Gateway, Options};
use crate::secrets::Providers;
use crate::store::Store;

/// What it takes.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The policy is read again when one of its files changes, on SIGHUP, and on POST /reload of the admin listener. A
policy with faults changes nothing: the one before it keeps serving.

Signals:
  SIGHUP            read the policy again
  SIGUSR1           open the events file again (after rotating it)
  SIGTERM, SIGINT   take no more connections, end the requests in flight, exit
  SIGQUIT           hand the listening sockets to a gateway started with --upgrade, then drain

Examples:
  palisade run policy.yaml
  palisade run /etc/palisade --events /var/log/palisade/events.jsonl
  palisade run policy.yaml --admin 127.0.0.1:9901 --threads 4
  palisade run policy.yaml --upgrade & kill -QUIT $OLD      replace a running gateway

Exit codes: 0 ended as asked, 1 the policy has faults, 2 usage, 3 cannot start (a port in use, a store or a provider of
secrets that gives no answer).")]
pub(super) struct Arguments {
    #[command(flatten)]
    policy: PolicyArgument,
    /// Threads that serve. Default: one per processor.
    #[arg(long, value_name = "N", env = "PALISADE_THREADS", value_parser = clap::value_parser!(u16).range(1..=1024))]
    threads: Option<u16>,
    /// Where events go: a file, or - for standard output. Default: what the policy says.
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    events: Option<PathBuf>,
    /// What a request does when events cannot be written fast enough: wait for the disk, or go on and have the lost
    /// lines counted. Default: what the policy says.
    #[arg(long, value_name = "WHAT")]
    events_when_full: Option<Full>,
    /// Address of the admin listener, unix:PATH, or off, in place of what the policy says (its socket as well).
    #[arg(long, value_name = "ADDRESS")]
    admin: Option<AdminAt>,
    /// Take the listening sockets of the gateway that runs now, instead of binding.
    #[arg(long)]
    upgrade: bool,
    /// Private folder (0700) through which sockets are handed over. Default: one for this policy below
    /// $RUNTIME_DIRECTORY, $XDG_RUNTIME_DIR or the temporary folder.
    #[arg(long, value_name = "FOLDER", value_hint = clap::ValueHint::DirPath)]
    upgrade_folder: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Full {
    /// Nothing is lost.
    Wait,
    /// Lines are lost, counted, and an event says how many.
    Drop,
}

impl std::str::FromStr for AdminAt {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match (text, text.parse()) {
            ("off", _) => Ok(Self::Off),
            // Relative to where the command is given, not to the policy.
            (_, Ok(ListenAddress::Unix(path))) => {
                let path = std::path::absolute(path).map_err(|why| why.to_string())?;
                let path = path.to_string_lossy().into_owned();
                Ok(Self::Address(ListenAddress::Unix(path)))
            }
            (_, Ok(address)) => Ok(Self::Address(address)),
            (_, Err(_)) => {
                Err("expected ADDRESS:PORT, such as 127.0.0.1:9900, unix:PATH, or off".to_owned())
            }
        }
    }
}

pub(super) fn run(arguments: Arguments) -> Exit {
    let file = match arguments.policy.find() {
        Ok(file) => file,
        Err(exit) => return exit,
    };
    let providers = match Providers::start() {
        Ok(providers) => providers,
        Err(why) => {
            eprintln!("palisade: cannot start: providers of secrets: {why}");
            return Exit::CannotStart;
        }
    };
    let file = file.asking(Arc::clone(&providers));
    // Before the policy, whose keyed names are made with a secret of the store; what is wrong with either is told below.
    let state = file.outline().and_then(|outline| outline.state);
    let state = state.unwrap_or_default();
    let store = match Store::open(&state, file.folder()) {
        Ok(store) => store,
        Err(why) => {
            eprintln!("palisade: cannot start: {why}");
            return Exit::CannotStart;
        }
    };
    let (loaded, seen) = file.load();
    let loaded = match loaded {
        Ok(loaded) => loaded,
        Err(found) => {
            eprint!("{}", faults::text(&found, Paint::stderr()));
            eprintln!(
                "palisade: {} is not served: {}",
                file.path().display(),
                faults::summary(&found)
            );
            // The policy may be as it should be, and its secrets out of reach for now: worth another try.
            return if providers.wanting() {
                Exit::CannotStart
            } else {
                Exit::Faults
            };
        }
    };
    eprint!("{}", faults::text(&loaded.warnings, Paint::stderr()));
    if loaded.policy.settings().state != state {
        eprintln!("palisade: cannot start: the policy's `state` changed while it was read");
        return Exit::CannotStart;
    }
    let options = arguments.options();
    let gateway = Gateway::prepare(file, (loaded, seen), store, &options);
    match gateway.and_then(|gateway| gateway.serve(options)) {
        Ok(()) => Exit::Ok,
        Err(why) => {
            eprintln!("palisade: cannot start: {why}");
            Exit::CannotStart
        }
    }
}

impl Arguments {
    fn options(self) -> Options {
        Options {
            threads: self.threads.map(usize::from),
            events: self.events,
            when_full: self.events_when_full.map(|full| match full {
                Full::Wait => WhenFull::Wait,
                Full::Drop => WhenFull::Drop,
            }),
            admin: self.admin.unwrap_or(AdminAt::Policy),
            upgrade: self.upgrade,
            upgrade_folder: self
                .upgrade_folder
                .or_else(|| meeting_folder(&self.policy.policy)),
        }
    }
}

/// A folder that only this user can enter, the same for every process that serves this policy. The traffic side makes
/// it and refuses one that somebody else made.
fn meeting_folder(policy: &Path) -> Option<PathBuf> {
    let mut hasher = Sha256::new();
    hasher.update(policy.canonicalize().ok()?.as_os_str().as_encoded_bytes());
    let digest = hasher.finalize();
    let name: String = digest
        .iter()
        .take(8)
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let own = ["RUNTIME_DIRECTORY", "XDG_RUNTIME_DIR"];
    let own = own.iter().find_map(std::env::var_os).map(PathBuf::from);
    Some(match own {
        Some(folder) => folder.join(format!("palisade-{name}")),
        None => {
            let user = std::fs::metadata("/proc/self").ok()?.uid();
            std::env::temp_dir().join(format!("palisade-{user}-{name}"))
        }
    })
}

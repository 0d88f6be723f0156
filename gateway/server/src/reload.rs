//! Puts another policy into service without touching a request in flight: built aside, swapped whole, and on any fault
//! the one before it keeps serving. Who asked (a file that changed, a signal, an operator) makes no difference.

mod files;
mod secrets;
mod watch;

use std::sync::Arc;

use parking_lot::Mutex;
use policy::Loaded;
use policy::fault::Weight;
use policy::settings::Settings;

use crate::events::{Event, Kind, unix_ms};
use crate::observe::Watch;
use crate::policy_file::PolicyFile;
use crate::snapshot::Shared;
use crate::sources::Seen;

use files::Files;
pub(crate) use secrets::Kept;
use secrets::Watched;
pub(crate) use watch::watch;

/// Who asked for a reload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trigger {
    /// A file changed.
    File,
    /// SIGHUP.
    Signal,
    /// `POST /reload`.
    Admin,
    /// Something in the policy ended by itself.
    Time,
    /// A provider has another value of a secret.
    Secret,
}

impl Trigger {
    fn as_str(self) -> &'static str {
        match self {
            Self::File => "a file changed",
            Self::Signal => "SIGHUP",
            Self::Admin => "admin listener",
            Self::Time => "something in it has ended",
            Self::Secret => "a secret has another value",
        }
    }
}

/// A policy in service.
#[derive(Debug, Clone, Default)]
pub(crate) struct Status {
    /// Unix milliseconds.
    pub(crate) loaded_at: u64,
    /// What deserves a look in it.
    pub(crate) warnings: Vec<String>,
    /// Settings that differ from those the process started with and wait for a restart.
    pub(crate) restart: Vec<&'static str>,
    /// Faults of the last attempt, when it failed.
    pub(crate) rejected: Vec<String>,
}

/// The one that swaps policies.
#[derive(Debug)]
pub(crate) struct Reloader {
    file: PolicyFile,
    shared: Arc<Shared>,
    watch: Arc<Watch>,
    started_with: Settings,
    // Held while a policy is built: one attempt at a time, and never on a thread that serves.
    attempt: Mutex<()>,
    status: Mutex<Status>,
    files: Mutex<Files>,
    secrets: Watched,
}

impl Reloader {
    /// Goes on from a policy that is in service already.
    pub(crate) fn new(
        file: PolicyFile,
        shared: Arc<Shared>,
        watch: Arc<Watch>,
        first: Status,
        seen: Seen,
    ) -> Self {
        let started_with = shared.load().policy.settings().clone();
        Self {
            file,
            shared,
            watch,
            started_with,
            attempt: Mutex::new(()),
            status: Mutex::new(first),
            files: Mutex::new(Files::new(seen)),
            secrets: Watched::default(),
        }
    }

    /// The policy in service, and the last attempt to replace it.
    pub(crate) fn status(&self) -> Status {
        self.status.lock().clone()
    }

    /// The files that a change of should be noticed, as they were when they were last read.
    pub(crate) fn files(&self) -> Files {
        self.files.lock().clone()
    }

    /// When something in the policy in service ends by itself and it must be loaded again.
    pub(crate) fn due(&self) -> Option<u64> {
        self.shared.load().policy.reload_at()
    }

    /// Loads the policy and swaps it in. Blocks for as long as that takes.
    ///
    /// # Errors
    /// Every fault, when the policy that served before goes on serving.
    pub(crate) fn reload(&self, trigger: Trigger) -> Result<Status, Vec<String>> {
        let _one = self.attempt.lock();
        if matches!(trigger, Trigger::Signal | Trigger::Admin) {
            self.ask_again();
        }
        // Taken before the load: what changes while it reads is noticed afterwards.
        let mut files = self.files();
        let changed = files.look();
        // Somebody else loaded that change while this one waited for its turn.
        let nothing = match trigger {
            Trigger::File => !changed,
            Trigger::Secret => !changed && !self.offers(),
            Trigger::Signal | Trigger::Admin | Trigger::Time => false,
        };
        if nothing {
            return Ok(self.status());
        }
        let serving = self.shared.load();
        let (loaded, seen) = self.file.load_after(Some(&serving.policy));
        self.look_at_secrets(loaded.as_ref().err());
        let outcome = match loaded {
            Ok(loaded) => self.swap(loaded, trigger).map_err(|why| vec![why]),
            Err(faults) => Err(faults
                .iter()
                .filter(|fault| fault.weight == Weight::Error)
                .map(ToString::to_string)
                .collect()),
        };
        files.follow(seen, outcome.is_ok());
        *self.files.lock() = files;
        outcome.inspect_err(|faults| self.rejected(faults, trigger))
    }

    fn swap(&self, loaded: Loaded, trigger: Trigger) -> Result<Status, String> {
        let settings = loaded.policy.settings();
        let status = Status {
            loaded_at: unix_ms(),
            warnings: loaded.warnings.iter().map(ToString::to_string).collect(),
            restart: needs_restart(&self.started_with, settings),
            rejected: Vec::new(),
        };
        let hash = loaded.policy.hash().to_owned();
        let next = self.shared.load().version.saturating_add(1);
        self.watch.expect(next, &loaded.policy);
        let version = self.shared.publish(loaded.policy)?;
        *self.status.lock() = status.clone();
        let metrics = &self.watch.metrics;
        metrics.policy_loaded(version, &hash, status.warnings.len(), true);
        let mut detail = trigger.as_str().to_owned();
        if !status.restart.is_empty() {
            let waiting = status.restart.join(", ");
            log::warn!("policy {version}: changes of {waiting} need a restart");
            detail = format!("{detail}; needs a restart: {waiting}");
        }
        log::info!("policy {version} ({hash}) in service: {detail}");
        self.watch.events.emit(&Event {
            time: unix_ms(),
            kind: Kind::PolicyLoaded,
            policy_version: Some(version),
            policy_hash: &hash,
            detail: &detail,
            faults: &status.warnings,
            ..Event::default()
        });
        Ok(status)
    }

    fn rejected(&self, faults: &[String], trigger: Trigger) {
        self.status.lock().rejected = faults.to_vec();
        self.watch.metrics.policy_rejected();
        let serving = self.shared.load();
        for fault in faults {
            log::error!("policy not loaded: {fault}");
        }
        let detail = format!("{}; the policy before it keeps serving", trigger.as_str());
        self.watch.events.emit(&Event {
            time: unix_ms(),
            kind: Kind::PolicyRejected,
            policy_version: Some(serving.version),
            policy_hash: serving.policy.hash(),
            detail: &detail,
            faults,
            ..Event::default()
        });
    }
}

/// What only a restart can change.
fn needs_restart(before: &Settings, now: &Settings) -> Vec<&'static str> {
    let admin = |settings: &Settings| {
        let admin = settings.admin.as_ref();
        admin.map(|admin| (admin.address.clone(), admin.socket.clone()))
    };
    [
        ("listen", before.listeners != now.listeners),
        ("admin", admin(before) != admin(now)),
        ("events", before.events != now.events),
        ("state", before.state != now.state),
    ]
    .into_iter()
    .filter_map(|(name, differs)| differs.then_some(name))
    .collect()
}

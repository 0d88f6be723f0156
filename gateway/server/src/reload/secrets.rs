//! How the secrets of the policy in service are: what operators see of them, and what they are told.

use std::collections::{BTreeMap, BTreeSet};

use crossbeam_channel::Sender;
use parking_lot::Mutex;
use policy::fault::{Fault, Step, Weight};
use policy::settings::secret::About;

use super::Reloader;
use crate::events::unix_ms;
use crate::secrets::tell;

/// What is remembered between looks.
#[derive(Debug, Default)]
pub(super) struct Watched {
    /// Secrets that the last load could not read, though the policy in service has them: since when, and why.
    unread: Mutex<BTreeMap<String, (u64, String)>>,
    /// Those whose age was told of, by when they were made.
    overdue: Mutex<BTreeSet<(String, u64)>>,
}

/// A secret of the policy in service. Never its value.
#[derive(Debug, Clone)]
pub(crate) struct Kept {
    /// What the policy says of it.
    pub(crate) about: About,
    /// When its provider last gave a value, Unix milliseconds.
    pub(crate) checked: Option<u64>,
    /// Since when something is wrong with it, and what.
    pub(crate) fault: Option<(u64, String)>,
}

impl Kept {
    /// How old the value is, milliseconds.
    pub(crate) fn age(&self, now: u64) -> u64 {
        now.saturating_sub(self.about.made)
    }

    /// Whether it should have been replaced by now.
    pub(crate) fn overdue(&self, now: u64) -> bool {
        let most = self.about.rotate_after.map(|most| most.as_millis());
        most.is_some_and(|most| u128::from(self.age(now)) > most)
    }
}

impl Reloader {
    /// Every secret of the policy in service.
    pub(crate) fn secrets(&self) -> Vec<Kept> {
        let snapshot = self.shared.load();
        let unread = self.secrets.unread.lock();
        let kept = |about: About| {
            let standing = self.file.providers();
            let standing = standing.and_then(|providers| providers.standing(&about.name));
            let standing = standing.filter(|_| about.fetched);
            let fault = standing.as_ref().and_then(|one| one.fault.clone());
            Kept {
                checked: standing.and_then(|one| one.checked),
                fault: fault.or_else(|| unread.get(&about.name).cloned()),
                about,
            }
        };
        snapshot.policy.secrets().into_iter().map(kept).collect()
    }

    /// News of providers are told from now on, and a value that waits wakes the thread that reloads.
    pub(super) fn serve_secrets(&self, hint: Sender<()>) {
        if let Some(providers) = self.file.providers() {
            // One that waits there already is as good.
            let wake = move || {
                let _ = hint.try_send(());
            };
            providers.serve(self.watch.clone(), Box::new(wake));
        }
    }

    /// Whether a provider has another value than the one in service.
    pub(super) fn offers(&self) -> bool {
        let providers = self.file.providers();
        providers.is_some_and(|providers| providers.offers())
    }

    /// An operator wants what is newest.
    pub(super) fn ask_again(&self) {
        if let Some(providers) = self.file.providers() {
            providers.refresh();
        }
    }

    /// Notes which secrets a load could not read.
    pub(super) fn look_at_secrets(&self, faults: Option<&Vec<Fault>>) {
        let serving = self.shared.load().policy.secrets();
        let served = |name: &str| serving.iter().any(|about| about.name == name);
        let faults = faults.into_iter().flatten();
        let unread = faults.filter(|fault| fault.weight == Weight::Error);
        let unread = unread.filter_map(|fault| Some((secret_of(fault)?, fault.message.clone())));
        let mut now: BTreeMap<String, String> = unread.collect();
        now.retain(|name, _| served(name));
        let mut known = self.secrets.unread.lock();
        let ended: Vec<String> = known
            .keys()
            .filter(|name| !now.contains_key(*name))
            .cloned()
            .collect();
        for name in ended {
            known.remove(&name);
            tell(&self.watch, "secret_recovered", &name);
        }
        for (name, why) in now {
            if let Some((_, old)) = known.get_mut(&name) {
                *old = why;
                continue;
            }
            tell(&self.watch, "secret_failed", &format!("{name}: {why}"));
            known.insert(name, (unix_ms(), why));
        }
    }

    /// Tells once of each secret that is older than it should become.
    pub(super) fn look_at_ages(&self) {
        let now = unix_ms();
        let mut told = self.secrets.overdue.lock();
        let old = self.secrets().into_iter().filter(|kept| kept.overdue(now));
        let old: Vec<Kept> = old.collect();
        told.retain(|(name, _)| old.iter().any(|kept| kept.about.name == *name));
        for kept in old {
            let about = &kept.about;
            if told.insert((about.name.clone(), about.made)) {
                let most = about.rotate_after.map(policy::scalar::Duration);
                let most = most.map(|most| most.to_string()).unwrap_or_default();
                let detail = format!("{} is older than {most}", about.name);
                tell(&self.watch, "secret_overdue", &detail);
            }
        }
    }
}

/// The secret whose place in the policy a fault names.
fn secret_of(fault: &Fault) -> Option<String> {
    match fault.path.0.as_slice() {
        [Step::Key(section), Step::Key(name), ..] if section == "secrets" => Some(name.clone()),
        _ => None,
    }
}

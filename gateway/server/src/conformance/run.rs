//! The whole run: gateway and backend up, every test sent by a few threads, events gathered, what failed and may be tried
//! again tried again, and everything judged.

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

use parking_lot::Mutex;

use super::client;
use super::expect::Seen;
use super::judge::{self, Blocking, Verdict, Weight};
use super::stand::{Crs, Mode, Stand};
use super::suite::{Suite, Test};
use crate::policy_file::PolicyFile;

/// What a run is about.
#[derive(Debug)]
pub(crate) struct Settings {
    /// The rules.
    pub(crate) crs: Crs,
    /// What a match does.
    pub(crate) mode: Mode,
    /// Paranoia level.
    pub(crate) paranoia: u8,
    /// Keeps the gateway's folder.
    pub(crate) keep: bool,
    /// Threads that send.
    pub(crate) threads: usize,
}

/// What came out, in the order of the tests.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// What was seen of each stage of each test.
    pub(crate) seen: Vec<Vec<Seen>>,
    /// Detection mode's verdict on each test.
    pub(crate) verdicts: Vec<Verdict>,
    /// Blocking mode's verdict on each test; empty in detection mode.
    pub(crate) blocking: Vec<Blocking>,
    /// Where the gateway's folder was.
    pub(crate) folder: std::path::PathBuf,
}

/// Runs every test. `progress` is told how many are done.
///
/// # Errors
/// A sentence when gateway or backend cannot start.
pub(crate) fn run(
    suite: &Suite,
    settings: &Settings,
    backend: SocketAddr,
    progress: &(dyn Fn(usize) + Sync),
) -> Result<Outcome, String> {
    let Settings {
        crs,
        mode,
        paranoia,
        keep,
        ..
    } = settings;
    let stand = Stand::start(crs, *mode, *paranoia, backend, *keep)?;
    let sender = Sender {
        stand: &stand,
        threads: settings.threads,
        next: AtomicU32::new(0),
    };
    let all: Vec<&Test> = suite.tests.iter().collect();
    let mut seen = sender.send(&all, progress);
    if *mode == Mode::Detection {
        sender.again(&all, &mut seen);
    }
    let pairs = all.iter().zip(&seen);
    let verdicts = pairs.map(|(test, seen)| judge::detection(test, seen));
    let verdicts = verdicts.collect();
    let blocking = match mode {
        Mode::Detection => Vec::new(),
        Mode::Blocking => {
            let weights = weights(&stand)?;
            let pairs = suite.tests.iter().zip(&seen);
            let judged = |(test, seen): (&Test, &Vec<Seen>)| {
                judge::blocking(test, seen, &weights, *paranoia)
            };
            pairs.map(judged).collect()
        }
    };
    Ok(Outcome {
        seen,
        verdicts,
        blocking,
        folder: stand.folder().to_owned(),
    })
}

/// Of the rules that the gateway serves.
fn weights(stand: &Stand) -> Result<HashMap<u32, Weight>, String> {
    let file = PolicyFile::find(&stand.folder().join("policy"))?;
    let loaded = file.load().0;
    let loaded = loaded.map_err(|faults| format!("{} faults in the policy", faults.len()))?;
    let rules = loaded
        .policy
        .rulesets()
        .flat_map(|(_, rules, _)| rules.about());
    Ok(judge::weights(rules))
}

struct Sender<'s> {
    stand: &'s Stand,
    threads: usize,
    /// Number of the next client: no two stages share one.
    next: AtomicU32,
}

impl Sender<'_> {
    /// Sends a second time what failed and says that it may.
    fn again(&self, tests: &[&Test], seen: &mut [Vec<Seen>]) {
        let open = |(at, test): (usize, &&Test)| {
            let may = test.stages.iter().any(|stage| stage.expect.retry);
            let verdict = judge::detection(test, seen.get(at)?);
            (may && matches!(verdict, Verdict::Failed(_))).then_some(at)
        };
        let places: Vec<usize> = tests.iter().enumerate().filter_map(open).collect();
        let failed = places.iter().filter_map(|at| tests.get(*at).copied());
        let second = self.send(&failed.collect::<Vec<_>>(), &|_| ());
        for (at, found) in places.into_iter().zip(second) {
            if let Some(own) = seen.get_mut(at) {
                *own = found;
            }
        }
    }

    /// Sends every stage of every test; what was seen of each.
    fn send(&self, tests: &[&Test], progress: &(dyn Fn(usize) + Sync)) -> Vec<Vec<Seen>> {
        let slots: Vec<Mutex<Vec<(Ipv4Addr, Seen)>>> =
            tests.iter().map(|_| Mutex::default()).collect();
        let (at, done) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let work = || {
            while let Some((test, slot)) = {
                let at = at.fetch_add(1, Ordering::Relaxed);
                tests.get(at).zip(slots.get(at))
            } {
                *slot.lock() = test
                    .stages
                    .iter()
                    .map(|stage| self.one(&stage.sent))
                    .collect();
                progress(done.fetch_add(1, Ordering::Relaxed) + 1);
            }
        };
        std::thread::scope(|scope| {
            for _ in 0..self.threads.clamp(1, tests.len().max(1)) {
                scope.spawn(work);
            }
        });
        let mut all: Vec<Vec<(Ipv4Addr, Seen)>> =
            slots.into_iter().map(Mutex::into_inner).collect();
        let clients: Vec<(Ipv4Addr, usize)> = all
            .iter()
            .flatten()
            .map(|(client, _)| (*client, 1))
            .collect();
        let mut events = self.stand.events(&clients);
        for (client, seen) in all.iter_mut().flatten() {
            seen.events = events.remove(client).unwrap_or_default();
        }
        let bare =
            |stages: Vec<(Ipv4Addr, Seen)>| stages.into_iter().map(|(_, seen)| seen).collect();
        all.into_iter().map(bare).collect()
    }

    fn one(&self, sent: &[u8]) -> (Ipv4Addr, Seen) {
        let client = client::address(self.next.fetch_add(1, Ordering::Relaxed));
        let mut seen = Seen::default();
        match client::exchange(client, self.stand.address, sent) {
            Ok(raw) => {
                seen.status = client::status(&raw);
                seen.error = seen
                    .status
                    .is_none()
                    .then(|| "the answer is no HTTP/1".to_owned());
                seen.raw = raw;
            }
            Err(why) => seen.error = Some(why),
        }
        (client, seen)
    }
}

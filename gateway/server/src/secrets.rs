//! Secrets that providers have: a program, a Vault, an Azure Key Vault. A thread of its own fetches them, ahead of their
//! age; a value in service stays while a provider is away, and a new one is offered to the next policy before it
//! counts. Knows nothing of what a secret is for.

mod azure;
mod command;
mod entry;
mod fetch;
mod question;

mod thread;
mod vault;

use std::sync::{Arc, OnceLock, mpsc};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use policy::io::Now;
use policy::settings::secret::{Provided, Wanted};
use policy::sources::Unprovided;
use tokio::sync::mpsc::UnboundedSender;

use crate::events::{Event, Kind, unix_ms};
use crate::observe::Watch;
use entry::{Entry, News};
use thread::Order;

/// A provider that failed a load is not asked by the next one for this long, in milliseconds: a policy is read more
/// than once at the start.
const FRESH: u64 = 5_000;

/// Beyond a provider's own timeout, until its answer is given up on.
const SLACK: Duration = Duration::from_secs(2);

/// Told when another value waits.
type Hint = Box<dyn Fn() + Send + Sync>;

/// See the module.
pub(crate) struct Providers {
    started: Instant,
    entries: Mutex<Vec<Entry>>,
    /// What the policy in service wants.
    serving: Mutex<Vec<Wanted>>,
    orders: UnboundedSender<Order>,
    hint: OnceLock<Hint>,
    watch: OnceLock<Arc<Watch>>,
}

impl std::fmt::Debug for Providers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Providers({:?})", self.entries.lock())
    }
}

/// One load of a policy: which waiting values it tries, and what it asked for.
#[derive(Debug, Default)]
pub(crate) struct Trial {
    offered: Vec<Offer>,
    asked: Vec<Wanted>,
}

/// A value that waits to be put into service.
#[derive(Debug, Clone)]
pub(crate) struct Offer {
    wanted: Wanted,
    value: Provided,
}

/// How a secret of a provider is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Standing {
    /// When the provider last gave a value, Unix milliseconds.
    pub(crate) checked: Option<u64>,
    /// Since when it fails, and why.
    pub(crate) fault: Option<(u64, String)>,
}

impl Providers {
    /// Starts the thread.
    ///
    /// # Errors
    /// When that is not possible.
    pub(crate) fn start() -> std::io::Result<Arc<Self>> {
        let (orders, taken) = tokio::sync::mpsc::unbounded_channel();
        let providers = Arc::new(Self {
            started: Instant::now(),
            entries: Mutex::default(),
            serving: Mutex::default(),
            orders,
            hint: OnceLock::new(),
            watch: OnceLock::new(),
        });
        thread::start(Arc::downgrade(&providers), taken)?;
        Ok(providers)
    }

    /// From now on news are told, and `hint` is called when another value waits.
    pub(crate) fn serve(&self, watch: Arc<Watch>, hint: Hint) {
        let _ = self.watch.set(watch);
        let _ = self.hint.set(hint);
    }

    /// Values for a load; those that are not known yet are fetched. Blocks: not for a thread that serves.
    pub(crate) fn provide(
        &self,
        wanted: &[Wanted],
        trial: &mut Trial,
    ) -> Vec<Result<Provided, Unprovided>> {
        trial.asked.extend(wanted.iter().cloned());
        let unknown = self.unknown(wanted);
        self.fetch(unknown);
        let entries = self.entries.lock();
        let value = |one: &Wanted| {
            let tried = trial.offered(one);
            let entry = entries.iter().find(|entry| entry.wanted.same_value(one));
            let good = entry.and_then(Entry::good);
            let why = || entry.and_then(|entry| Some(entry.fault.as_ref()?.1.clone()));
            tried.or(good).cloned().ok_or_else(|| {
                Unprovided::Failed(why().unwrap_or_else(|| "no answer in time".to_owned()))
            })
        };
        wanted.iter().map(value).collect()
    }

    /// Those that must be fetched first. One whose credential is another now is asked for again in the background.
    fn unknown(&self, wanted: &[Wanted]) -> Vec<Wanted> {
        let mut unknown = Vec::new();
        {
            let now = self.now();
            let mut entries = self.entries.lock();
            let missing = wanted.iter().filter(|one| !known(&mut entries, one, now));
            unknown.extend(missing.cloned());
        }
        let nothing = Order {
            wanted: Vec::new(),
            done: mpsc::channel().0,
        };
        // Wakes the thread; fails only when it has ended.
        let _ = self.orders.send(nothing);
        unknown
    }

    /// Asks everybody again, as after an operator's word, and waits.
    pub(crate) fn refresh(&self) {
        let all = {
            let entries = self.entries.lock();
            entries.iter().map(|entry| entry.wanted.clone()).collect()
        };
        self.fetch(all);
    }

    fn fetch(&self, wanted: Vec<Wanted>) {
        let Some(longest) = wanted.iter().map(|one| one.timeout).max() else {
            return;
        };
        let count = wanted.len();
        let (done, ends) = mpsc::channel();
        if self.orders.send(Order { wanted, done }).is_err() {
            return;
        }
        let end = Instant::now() + longest + SLACK;
        for _ in 0..count {
            let left = end.saturating_duration_since(Instant::now());
            if ends.recv_timeout(left).is_err() {
                return;
            }
        }
    }

    /// A load that tries every value that waits.
    pub(crate) fn trial(&self) -> Trial {
        let entries = self.entries.lock();
        let offered = |entry: &Entry| {
            Some(Offer {
                wanted: entry.wanted.clone(),
                value: entry.offered()?.clone(),
            })
        };
        Trial {
            offered: entries.iter().filter_map(offered).collect(),
            asked: Vec::new(),
        }
    }

    /// Whether a value waits that no load has tried.
    pub(crate) fn offers(&self) -> bool {
        self.entries.lock().iter().any(Entry::fresh)
    }

    /// The policy has faults whatever these are: they wait for another one.
    pub(crate) fn wait(&self, offers: &[Offer]) {
        for entry in self.entries.lock().iter_mut() {
            let offer = offers.iter().find(|offer| offer.is_of(entry));
            if let Some(offer) = offer {
                entry.tried(&offer.value);
            }
        }
    }

    /// That load made a policy, which will serve: what it used counts, what it did not ask for is forgotten.
    pub(crate) fn accept(&self, trial: &Trial) {
        let mut news = Vec::new();
        let mut entries = self.entries.lock();
        entries.retain(|entry| trial.asked.iter().any(|one| one.same_value(&entry.wanted)));
        for entry in entries.iter_mut() {
            let offer = trial.offered.iter().find(|offer| offer.is_of(entry));
            if let Some(offer) = offer {
                news.push((entry.wanted.clone(), entry.accept(&offer.value)));
            }
        }
        drop(entries);
        self.serving.lock().clone_from(&trial.asked);
        self.tell_all(news);
    }

    /// No policy came of it: what only it asked for is forgotten.
    pub(crate) fn give_up(&self) {
        let serving = self.serving.lock();
        if !serving.is_empty() {
            let mut entries = self.entries.lock();
            entries.retain(|entry| serving.iter().any(|one| one.same_value(&entry.wanted)));
        }
    }

    /// No policy can be made with that value.
    pub(crate) fn refuse(&self, offer: &Offer, why: &str) {
        let now = self.now();
        let mut entries = self.entries.lock();
        let found = entries.iter_mut().find(|entry| offer.is_of(entry));
        let news = found.map(|entry| {
            let why = format!("the new value was refused, the one before it serves on: {why}");
            let news = entry.unfit(&offer.value.value, &why, now);
            (entry.wanted.clone(), news)
        });
        drop(entries);
        self.tell_all(news);
    }

    /// How that secret is.
    pub(crate) fn standing(&self, name: &str) -> Option<Standing> {
        let entries = self.entries.lock();
        let entry = entries.iter().find(|entry| entry.wanted.name == name)?;
        Some(Standing {
            checked: entry.checked,
            fault: entry.fault.clone(),
        })
    }

    /// Whether some secret has never had a value: a start fails for that reason, not for the policy's.
    pub(crate) fn wanting(&self) -> bool {
        let entries = self.entries.lock();
        entries.iter().any(|entry| entry.good().is_none())
    }

    fn now(&self) -> Now {
        let steady = self.started.elapsed().as_millis();
        Now {
            unix: unix_ms(),
            steady: u64::try_from(steady).unwrap_or(u64::MAX),
        }
    }

    /// What came of asking.
    fn heard(&self, wanted: &Wanted, outcome: Result<Provided, String>) {
        let now = self.now();
        let mut entries = self.entries.lock();
        let found = entries.iter_mut();
        let found = found.filter(|entry| entry.wanted.same_value(wanted));
        let news: Vec<_> = found
            .map(|entry| (entry.wanted.clone(), entry.heard(outcome.clone(), now)))
            .collect();
        drop(entries);
        self.tell_all(news);
    }

    /// How long until somebody must be asked, and whom, when that is now.
    fn due(&self) -> (Option<Duration>, Vec<Wanted>) {
        let now = self.now();
        let mut entries = self.entries.lock();
        let due = entries.iter_mut().filter(|entry| entry.due <= now.steady);
        let due = due.map(|entry| {
            entry.asking(now);
            entry.wanted.clone()
        });
        let due = due.collect();
        let next = entries.iter().map(|entry| entry.due).min();
        let next = next.filter(|next| *next < u64::MAX);
        let wait = next.map(|next| Duration::from_millis(next.saturating_sub(now.steady)));
        (wait, due)
    }

    fn tell_all(&self, news: impl IntoIterator<Item = (Wanted, Option<News>)>) {
        for (wanted, news) in news {
            match news {
                Some(News::Failed(why)) => {
                    self.tell("secret_failed", &wanted, &format!(": {why}"));
                }
                Some(News::Recovered) => self.tell("secret_recovered", &wanted, ""),
                Some(News::Offered) => {
                    if let Some(hint) = self.hint.get() {
                        hint();
                    }
                }
                None => {}
            }
        }
    }

    fn tell(&self, event: &'static str, wanted: &Wanted, more: &str) {
        let (name, word, place) = (&wanted.name, wanted.provider.word(), &wanted.provider);
        let detail = format!("{name} ({word} {place}){more}");
        log::warn!("{event}: {detail}");
        if let Some(watch) = self.watch.get() {
            tell(watch, event, &detail);
        }
    }
}

/// A line and a count of something about a secret.
pub(crate) fn tell(watch: &Watch, event: &'static str, detail: &str) {
    watch.metrics.told(event, "");
    watch.events.emit(&Event {
        time: unix_ms(),
        kind: Kind::Told(event),
        detail,
        ..Event::default()
    });
}

/// Whether a load need not ask: there is a value, or there was none a moment ago. Credentials, and how often to ask, are
/// the newest ones'.
fn known(entries: &mut Vec<Entry>, wanted: &Wanted, now: Now) -> bool {
    let found = entries
        .iter_mut()
        .find(|entry| entry.wanted.same_value(wanted));
    let Some(entry) = found else {
        entries.push(Entry::new(wanted.clone()));
        return false;
    };
    if entry.wanted != *wanted {
        entry.wanted = wanted.clone();
        // A new credential is tried at once, while there is time to mend it.
        entry.due = now.steady;
        return entry.good().is_some();
    }
    entry.good().is_some() || entry.failed_within(FRESH, now).is_some()
}

impl Trial {
    /// The values that it tries.
    pub(crate) fn offers(&self) -> &[Offer] {
        &self.offered
    }

    /// A load that tries these alone.
    pub(crate) fn with(offered: Vec<Offer>) -> Self {
        Self {
            offered,
            asked: Vec::new(),
        }
    }

    fn offered(&self, wanted: &Wanted) -> Option<&Provided> {
        let offer = self
            .offered
            .iter()
            .find(|offer| offer.wanted.same_value(wanted))?;
        Some(&offer.value)
    }
}

impl Offer {
    fn is_of(&self, entry: &Entry) -> bool {
        self.wanted.same_value(&entry.wanted)
    }
}

#[cfg(test)]
mod tests;

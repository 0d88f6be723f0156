//! Answers that may be used again. Bounded in number and bytes; what was not asked for longest goes first. Asks nobody.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use parking_lot::{Mutex, RwLock};
use policy::io::{Cached, Call, FetchFault, Fetched};
use sha2::{Digest, Sha256};

const SHARDS: usize = 16;
/// Answers, over all.
const MOST: usize = 8192;
/// Their bodies together, bytes.
const MOST_BYTES: usize = 64 << 20;
/// A server that failed is left alone for a second, then two, at most this long.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

type Outcome = Result<Arc<Fetched>, FetchFault>;

/// What is known of one call.
#[derive(Debug, Default)]
pub(super) struct Entry {
    /// Held by whoever asks.
    pub(super) turn: Arc<tokio::sync::Mutex<()>>,
    state: Mutex<State>,
    used: AtomicU64,
}

#[derive(Debug, Default)]
struct State {
    /// The last good answer, and when it came.
    good: Option<(Arc<Fetched>, Instant)>,
    /// How asking ended last.
    last: Option<(Instant, Outcome)>,
    /// Attempts since the last good answer.
    failures: u32,
}

/// What to do about a call.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Judged {
    /// Use it.
    Good(Arc<Fetched>),
    /// Use it, and ask in the background.
    Ageing(Arc<Fetched>),
    /// It failed a moment ago.
    Failed(Outcome),
    /// Ask.
    Ask,
}

impl Entry {
    pub(super) fn judge(&self, cached: Cached, now: Instant) -> Judged {
        let state = self.state.lock();
        let paused = state.paused(now);
        if let Some((good, at)) = &state.good {
            let age = now.saturating_duration_since(*at);
            // An attempt counts, not only an answer: else a server that is down would be asked by everyone who wants
            // a newer one.
            let tried = state.since_last(now).unwrap_or(age);
            if cached.older_than.is_some_and(|most| tried.min(age) > most) {
                return Judged::Ask;
            }
            if age < cached.fresh / 5 * 4 || (age < cached.usable() && paused) {
                return Judged::Good(Arc::clone(good));
            }
            if age < cached.usable() {
                return Judged::Ageing(Arc::clone(good));
            }
        }
        match &state.last {
            Some((_, outcome)) if paused => Judged::Failed(outcome.clone()),
            Some(_) | None => Judged::Ask,
        }
    }

    /// How asking ended, if that was after `moment`.
    pub(super) fn outcome_since(&self, moment: Instant) -> Option<Outcome> {
        let state = self.state.lock();
        let (at, outcome) = state.last.as_ref()?;
        (*at >= moment).then(|| outcome.clone())
    }

    /// Notes how asking ended.
    pub(super) fn settle(
        &self,
        outcome: Result<(u16, Bytes), FetchFault>,
        now: Instant,
        version: impl FnOnce() -> u64,
    ) -> Outcome {
        let mut state = self.state.lock();
        let outcome = match outcome {
            Ok((200, body)) => {
                let same = state.good.as_ref().filter(|(good, _)| good.body == body);
                let answer = match same {
                    Some((good, _)) => Arc::clone(good),
                    None => answer(200, body, version()),
                };
                state.failures = 0;
                state.good = Some((Arc::clone(&answer), now));
                Ok(answer)
            }
            Ok((status, body)) => {
                state.failures = state.failures.saturating_add(1);
                // A server that is in trouble takes nothing back. One that answers something else does.
                if status < 500 && status != 429 {
                    state.good = None;
                }
                Ok(answer(status, body, version()))
            }
            Err(fault) => {
                state.failures = state.failures.saturating_add(1);
                Err(fault)
            }
        };
        state.last = Some((now, outcome.clone()));
        outcome
    }

    /// The outcome, or instead of a failure the last good answer while it may be used.
    pub(super) fn or_known(&self, cached: Cached, now: Instant, outcome: Outcome) -> Outcome {
        if matches!(&outcome, Ok(answer) if answer.status == 200) {
            return outcome;
        }
        let state = self.state.lock();
        match &state.good {
            Some((good, at)) if now.saturating_duration_since(*at) < cached.usable() => {
                Ok(Arc::clone(good))
            }
            Some(_) | None => outcome,
        }
    }

    fn bytes(&self) -> usize {
        let state = self.state.lock();
        state.good.as_ref().map_or(0, |(good, _)| good.body.len())
    }
}

impl State {
    fn since_last(&self, now: Instant) -> Option<Duration> {
        let (at, _) = self.last.as_ref()?;
        Some(now.saturating_duration_since(*at))
    }

    fn paused(&self, now: Instant) -> bool {
        let Some(doublings) = self.failures.checked_sub(1) else {
            return false;
        };
        let pause = Duration::from_secs(1 << doublings.min(3)).min(LONGEST_PAUSE);
        self.since_last(now).is_some_and(|since| since < pause)
    }
}

fn answer(status: u16, body: Bytes, version: u64) -> Arc<Fetched> {
    Arc::new(Fetched {
        status,
        body,
        version,
    })
}

/// How long an answer may be used, all in all.
trait Usable {
    fn usable(&self) -> Duration;
}

impl Usable for Cached {
    fn usable(&self) -> Duration {
        self.fresh.saturating_add(self.stale)
    }
}

type Shard = RwLock<HashMap<[u8; 32], Arc<Entry>>>;

/// Everything that is known.
#[derive(Debug)]
pub(super) struct Known {
    shards: [Shard; SHARDS],
    versions: AtomicU64,
    uses: AtomicU64,
}

impl Default for Known {
    fn default() -> Self {
        Self {
            shards: std::array::from_fn(|_| RwLock::default()),
            versions: AtomicU64::new(0),
            uses: AtomicU64::new(0),
        }
    }
}

impl Known {
    pub(super) fn next_version(&self) -> u64 {
        self.versions
            .fetch_add(1, Ordering::Relaxed)
            .saturating_add(1)
    }

    pub(super) fn entry(&self, call: &Call) -> Arc<Entry> {
        let key = key(call);
        let shard = self.shard(&key);
        let used = self.uses.fetch_add(1, Ordering::Relaxed);
        let known = shard.read().get(&key).cloned();
        let entry = known.unwrap_or_else(|| {
            let mut shard = shard.write();
            if shard.len() >= MOST / SHARDS {
                drop_oldest(&mut shard);
            }
            Arc::clone(shard.entry(key).or_default())
        });
        entry.used.store(used, Ordering::Relaxed);
        entry
    }

    /// Makes room after an answer to `call` came.
    pub(super) fn shrink(&self, call: &Call) {
        let mut shard = self.shard(&key(call)).write();
        while shard.len() > 1
            && shard.values().map(|entry| entry.bytes()).sum::<usize>() > MOST_BYTES / SHARDS
        {
            drop_oldest(&mut shard);
        }
    }

    fn shard(&self, key: &[u8; 32]) -> &Shard {
        let [first, ..] = key;
        let [shard, ..] = &self.shards;
        self.shards
            .get(usize::from(*first) % SHARDS)
            .unwrap_or(shard)
    }
}

fn drop_oldest(shard: &mut HashMap<[u8; 32], Arc<Entry>>) {
    let used = |entry: &Arc<Entry>| entry.used.load(Ordering::Relaxed);
    let oldest = shard.iter().min_by_key(|(_, entry)| used(entry));
    if let Some(key) = oldest.map(|(key, _)| *key) {
        shard.remove(&key);
    }
}

/// Clients have a say in what is asked (a token, a name): two calls must not be made to look alike.
fn key(call: &Call) -> [u8; 32] {
    let mut hash = Sha256::new();
    let mut note = |part: &[u8]| {
        hash.update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_le_bytes());
        hash.update(part);
    };
    note(call.method.as_str().as_bytes());
    note(call.url.as_bytes());
    note(&call.body);
    for (name, value) in &call.headers {
        note(name.as_str().as_bytes());
        note(value.as_bytes());
    }
    hash.finalize().into()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    const fn seconds(count: u64) -> Duration {
        Duration::from_secs(count)
    }

    fn cached(older_than: Option<Duration>) -> Cached {
        Cached {
            fresh: seconds(100),
            stale: seconds(1000),
            older_than,
        }
    }

    fn call(url: &str) -> Call {
        Call {
            method: http::Method::GET,
            url: url.to_owned(),
            headers: Vec::new(),
            body: Bytes::new(),
            timeout: seconds(1),
            max: 100,
            cache: None,
        }
    }

    fn good(entry: &Entry, body: &'static str, at: Instant) -> Arc<Fetched> {
        static VERSIONS: AtomicU64 = AtomicU64::new(1);
        let version = || VERSIONS.fetch_add(1, Ordering::Relaxed);
        let answer = entry.settle(Ok((200, Bytes::from_static(body.as_bytes()))), at, version);
        answer.unwrap()
    }

    #[test]
    fn ages_from_good_over_ageing_to_gone() {
        let (entry, start) = (Entry::default(), Instant::now());
        assert_eq!(entry.judge(cached(None), start), Judged::Ask);
        let answer = good(&entry, "a", start);
        let at = |age| entry.judge(cached(None), start + seconds(age));
        assert_eq!(at(79), Judged::Good(Arc::clone(&answer)));
        assert_eq!(
            at(81),
            Judged::Ageing(Arc::clone(&answer)),
            "ahead of its end"
        );
        assert_eq!(at(1099), Judged::Ageing(Arc::clone(&answer)));
        assert_eq!(at(1101), Judged::Ask);
        assert_eq!(
            good(&entry, "a", start + seconds(1)).version,
            answer.version
        );
        assert_ne!(
            good(&entry, "b", start + seconds(2)).version,
            answer.version
        );
    }

    #[test]
    fn a_newer_answer_is_asked_for_once_in_a_while() {
        let (entry, start) = (Entry::default(), Instant::now());
        let answer = good(&entry, "a", start);
        let newer = cached(Some(seconds(30)));
        let judge = |age| entry.judge(newer, start + seconds(age));
        assert_eq!(judge(29), Judged::Good(Arc::clone(&answer)));
        assert_eq!(judge(31), Judged::Ask);
        let failed = entry.settle(Err(FetchFault::Down), start + seconds(32), || 9);
        assert_eq!(
            judge(60),
            Judged::Good(Arc::clone(&answer)),
            "tried a moment ago"
        );
        assert_eq!(
            entry.or_known(newer, start + seconds(32), failed),
            Ok(answer)
        );
        assert_eq!(judge(63), Judged::Ask);
    }

    #[test]
    fn a_failure_is_not_repeated_at_once() {
        let (entry, start) = (Entry::default(), Instant::now());
        let fault = Err(FetchFault::Slow);
        entry
            .settle(Err(FetchFault::Slow), start, || 0)
            .unwrap_err();
        let judge = |ms| entry.judge(cached(None), start + Duration::from_millis(ms));
        assert_eq!(judge(900), Judged::Failed(fault.clone()));
        assert_eq!(judge(1100), Judged::Ask);
        for _ in 0..9 {
            entry
                .settle(Err(FetchFault::Slow), start, || 0)
                .unwrap_err();
        }
        assert_eq!(
            (judge(4900), judge(5100)),
            (Judged::Failed(fault), Judged::Ask)
        );
    }

    #[test]
    fn trouble_takes_nothing_back_and_another_answer_does() {
        let (entry, start) = (Entry::default(), Instant::now());
        let answer = good(&entry, "a", start);
        let busy = entry.settle(Ok((503, Bytes::new())), start, || 7);
        assert_eq!(entry.or_known(cached(None), start, busy), Ok(answer));
        let gone = entry.settle(Ok((404, Bytes::new())), start, || 8);
        assert_eq!(
            entry.or_known(cached(None), start, gone).unwrap().status,
            404
        );
    }

    #[test]
    fn stays_within_its_bounds_and_keeps_what_is_used() {
        let known = Known::default();
        let keys = call("https://issuer.example/keys");
        let entry = known.entry(&keys);
        for index in 0..2 * MOST {
            known.entry(&call(&format!("https://x.example/{index}")));
            assert!(Arc::ptr_eq(&entry, &known.entry(&keys)));
        }
        let held: usize = known.shards.iter().map(|shard| shard.read().len()).sum();
        assert!(held <= MOST, "{held}");
    }
}

//! What rules keep between requests: SecLang's IP, GLOBAL, SESSION, USER and RESOURCE. Bounded, in memory, the least
//! recently written goes first. Has no clock: every call says what time it is.

use std::{
    collections::{BTreeMap, HashMap, hash_map::RandomState},
    fmt,
    hash::BuildHasher as _,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use crate::operator::compare::number;

mod record;

use record::Record;

/// Parts with a lock each. A lock is held for one read or one change.
const SHARDS: usize = 16;

/// What a store may hold.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CollectionLimits {
    /// Records: one per client address, session, user, … Default 100,000.
    pub entries: usize,
    /// Bytes of all records. Default 64 MiB.
    pub bytes: usize,
}

impl Default for CollectionLimits {
    fn default() -> Self {
        Self {
            entries: 100_000,
            bytes: 64 << 20,
        }
    }
}

/// The store. Shared by all requests of a ruleset; hand it to the next ruleset so that a reload forgets nothing.
pub struct Collections {
    shards: [Mutex<Shard>; SHARDS],
    hasher: RandomState,
    limits: CollectionLimits,
    evicted: AtomicU64,
}

impl Default for Collections {
    fn default() -> Self {
        Self::new(CollectionLimits::default())
    }
}

impl fmt::Debug for Collections {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Collections")
            .field("limits", &self.limits)
            .field("entries", &self.entries())
            .finish_non_exhaustive()
    }
}

/// Milliseconds since the Unix epoch.
type Millis = u64;

/// When and for how long.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    pub(crate) now: Millis,
    /// Of records that say nothing else.
    pub(crate) timeout: Millis,
}

/// A change of one variable.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Update<'a> {
    Assign(&'a [u8]),
    Add(i64),
    Unset,
    /// After so many milliseconds the variable is gone.
    Expire(Millis),
    /// Down by so much for every such period since the record was last written, not below zero.
    Deprecate(i64, Millis),
}

#[derive(Default)]
struct Shard {
    records: HashMap<Arc<[u8]>, Record>,
    /// From the least recently written.
    order: BTreeMap<u64, Arc<[u8]>>,
    next: u64,
    bytes: usize,
}

impl Collections {
    /// An empty store.
    #[must_use]
    pub fn new(limits: CollectionLimits) -> Self {
        Self {
            shards: Default::default(),
            hasher: RandomState::new(),
            limits,
            evicted: AtomicU64::new(0),
        }
    }

    /// Records held.
    #[must_use]
    pub fn entries(&self) -> usize {
        self.shards
            .iter()
            .map(|shard| open(shard).records.len())
            .sum()
    }

    /// Bytes held, as they are counted against the limit.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.shards.iter().map(|shard| open(shard).bytes).sum()
    }

    /// Records that had to go before their time, since the store was made.
    #[must_use]
    pub fn evicted(&self) -> u64 {
        self.evicted.load(Relaxed)
    }

    /// Hands out what a record holds: its variables and what it says of itself. Creates nothing.
    pub(crate) fn read(&self, key: &[u8], clock: Clock, mut take: impl FnMut(&[u8], &[u8])) {
        let mut shard = self.shard(key);
        shard.forget_if_old(key, clock);
        let Some(record) = shard.records.get(key) else {
            take(b"is_new", b"1");
            return;
        };
        for variable in record
            .variables
            .iter()
            .filter(|own| own.expires > clock.now)
        {
            take(&variable.name, &variable.value);
        }
        let minutes = clock.now.saturating_sub(record.created) / 60_000;
        let mut say = |name: &[u8], number: u64| take(name, number.to_string().as_bytes());
        say(b"is_new", 0);
        say(b"create_time", record.created / 1000);
        say(b"last_update_time", record.updated / 1000);
        say(b"timeout", record.timeout.unwrap_or(clock.timeout) / 1000);
        say(b"update_counter", record.counter);
        say(b"update_rate", record.counter / minutes.max(1));
    }

    /// Changes one variable, whatever other requests do at the same time; the value it has then, if it has one.
    pub(crate) fn change(
        &self,
        key: &[u8],
        name: &[u8],
        update: Update<'_>,
        clock: Clock,
    ) -> Option<Vec<u8>> {
        let mut shard = self.shard(key);
        shard.forget_if_old(key, clock);
        if !shard.records.contains_key(key) && !matches!(update, Update::Assign(_) | Update::Add(_))
        {
            return None;
        }
        let value = shard.change(key, name, update, clock);
        let share = |limit: usize| (limit / SHARDS).max(1);
        let (entries, bytes) = (share(self.limits.entries), share(self.limits.bytes));
        while shard.records.len() > entries || shard.bytes > bytes && shard.records.len() > 1 {
            let Some((_, oldest)) = shard.order.pop_first() else {
                break;
            };
            shard.forget(&oldest);
            self.evicted.fetch_add(1, Relaxed);
        }
        value
    }

    fn shard(&self, key: &[u8]) -> MutexGuard<'_, Shard> {
        // Keyed at random: nobody can aim at one shard.
        let number = usize::try_from(self.hasher.hash_one(key) % SHARDS as u64).unwrap_or(0);
        let [first, ..] = &self.shards;
        open(self.shards.get(number).unwrap_or(first))
    }
}

/// What a panic elsewhere left behind is still a map of records.
fn open(shard: &Mutex<Shard>) -> MutexGuard<'_, Shard> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shard {
    fn forget(&mut self, key: &[u8]) {
        if let Some(record) = self.records.remove(key) {
            self.order.remove(&record.place);
            self.bytes = self.bytes.saturating_sub(record.bytes);
        }
    }

    fn forget_if_old(&mut self, key: &[u8], clock: Clock) {
        let old = self.records.get(key).is_some_and(|record| {
            let timeout = record.timeout.unwrap_or(clock.timeout);
            clock.now >= record.updated.saturating_add(timeout)
        });
        // Without a clock it is always the beginning of time.
        if old && clock.now > 0 {
            self.forget(key);
        }
    }

    fn change(
        &mut self,
        key: &[u8],
        name: &[u8],
        update: Update<'_>,
        clock: Clock,
    ) -> Option<Vec<u8>> {
        let key: Arc<[u8]> = match self.records.get_key_value(key) {
            Some((known, _)) => Arc::clone(known),
            None => key.into(),
        };
        let place = self.next;
        self.next += 1;
        let record = self
            .records
            .entry(Arc::clone(&key))
            .or_insert_with(|| Record::new(clock.now, place));
        self.order.remove(&record.place);
        self.order.insert(place, Arc::clone(&key));
        record.place = place;
        let value = record.change(name, update, clock);
        record.updated = record.updated.max(clock.now);
        record.counter += 1;
        let bytes = record.takes(key.len());
        self.bytes = self
            .bytes
            .saturating_sub(record.bytes)
            .saturating_add(bytes);
        record.bytes = bytes;
        value
    }
}

/// Seconds as text, in milliseconds; what is no number is none at all.
pub(crate) fn seconds_of(text: &[u8]) -> Millis {
    u64::try_from(number(text))
        .unwrap_or(0)
        .saturating_mul(1000)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use std::thread;

    use proptest::prelude::*;

    use super::{record::MAX_VALUE, *};

    const HOUR: Millis = 3_600_000;

    const fn at(now: Millis) -> Clock {
        Clock { now, timeout: HOUR }
    }

    fn value(store: &Collections, key: &[u8], name: &[u8], now: Millis) -> Option<String> {
        let mut found = None;
        store.read(key, at(now), |own, value| {
            if own == name {
                found = Some(String::from_utf8(value.to_vec()).unwrap());
            }
        });
        found
    }

    #[test]
    fn counters_lose_no_increment_however_many_count() {
        let store = Collections::default();
        thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..1000 {
                        store.change(b"k", b"n", Update::Add(1), at(1000));
                    }
                });
            }
        });
        assert_eq!(value(&store, b"k", b"n", 1000).as_deref(), Some("8000"));
        assert_eq!(
            value(&store, b"k", b"update_counter", 1000).as_deref(),
            Some("8000")
        );
    }

    #[test]
    fn variables_and_records_expire_each_in_their_time() {
        let store = Collections::default();
        store.change(b"k", b"block", Update::Assign(b"1"), at(1000));
        store.change(b"k", b"n", Update::Assign(b"7"), at(1000));
        store.change(b"k", b"block", Update::Expire(60_000), at(1000));
        assert_eq!(value(&store, b"k", b"block", 60_999).as_deref(), Some("1"));
        assert_eq!(value(&store, b"k", b"block", 61_000), None);
        assert_eq!(value(&store, b"k", b"n", 61_000).as_deref(), Some("7"));
        assert_eq!(value(&store, b"k", b"is_new", 61_000).as_deref(), Some("0"));
        assert_eq!(value(&store, b"k", b"n", 1000 + HOUR), None);
        assert_eq!(
            value(&store, b"k", b"is_new", 1000 + HOUR).as_deref(),
            Some("1")
        );
        assert_eq!((store.entries(), store.bytes()), (0, 0));
    }

    #[test]
    fn a_record_may_choose_its_own_timeout() {
        let store = Collections::default();
        store.change(b"k", b"timeout", Update::Assign(b"10"), at(1000));
        store.change(b"k", b"n", Update::Add(1), at(1000));
        assert_eq!(value(&store, b"k", b"n", 10_999).as_deref(), Some("1"));
        assert_eq!(value(&store, b"k", b"n", 11_000), None);
    }

    #[test]
    fn deprecation_counts_whole_periods_and_stops_at_zero() {
        let store = Collections::default();
        store.change(b"k", b"score", Update::Assign(b"100"), at(0));
        let after = |now| {
            store
                .change(b"k", b"score", Update::Deprecate(60, 300_000), at(now))
                .unwrap()
        };
        assert_eq!(after(299_999), b"100");
        assert_eq!(after(299_999 + 300_000), b"40");
        assert_eq!(after(299_999 + 600_000), b"0");
    }

    proptest! {
        #[test]
        fn the_store_stays_within_its_limits(
            writes in proptest::collection::vec((0..400_u16, 0..6_u8, 0..3_u8, 0..3000_usize), 1..600),
            entries in 1..200_usize,
        ) {
            let limits = CollectionLimits { entries, bytes: 256 << 10 };
            let store = Collections::new(limits);
            for (now, (key, name, kind, size)) in (1..).zip(&writes) {
                let text = vec![b'x'; *size];
                let update = match kind {
                    0 => Update::Add(1),
                    1 => Update::Assign(&text),
                    _ => Update::Unset,
                };
                store.change(&key.to_le_bytes(), &[b'a' + name], update, at(now));
                let counted: usize = store.shards.iter().map(|shard| {
                    let shard = open(shard);
                    assert_eq!(shard.records.len(), shard.order.len());
                    shard.records.values().map(|record| record.bytes).sum::<usize>()
                }).sum();
                prop_assert_eq!(counted, store.bytes());
            }
            prop_assert!(store.entries() <= entries.max(SHARDS));
            // One record that is larger than its share stays: it is the one just written.
            prop_assert!(store.bytes() <= limits.bytes + SHARDS * 6 * (MAX_VALUE + 100));
        }

        #[test]
        fn the_latest_write_is_what_is_read(key in any::<[u8; 3]>(), adds in proptest::collection::vec(-50..50_i64, 1..40)) {
            let store = Collections::default();
            for (now, by) in (1..).zip(&adds) {
                store.change(&key, b"n", Update::Add(*by), at(now));
            }
            let sum = adds.iter().sum::<i64>().to_string();
            prop_assert_eq!(value(&store, &key, b"n", 1000), Some(sum));
        }
    }
}

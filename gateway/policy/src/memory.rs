//! The memory store: counters, leases and values of one node. Synchronous, shared between threads, time is an
//! argument. Outlives every policy, so that a reload forgets nothing; knows no check.

use std::time::Duration;

use bytes::Bytes;

use crate::io::{Key, Now, Space, StoreFault};
use crate::limit::{Lease, Limit, Standing};

mod counters;
mod leases;
mod pace;
mod values;
mod window;

#[cfg(test)]
mod tests;

use counters::Counters;
use leases::Leases;
use values::Values;

/// How much a store may keep.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Counters in total. When full, the oldest of the limit that has most go first.
    pub keys: usize,
    /// Counters of one limit. When full, its own oldest go first.
    pub keys_per_limit: usize,
    /// Values with a lifetime (bans, revocations). When full of living ones, `put` fails: forgetting a ban would lift it.
    pub values: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            keys: 1_000_000,
            keys_per_limit: 1_000_000,
            values: 1_000_000,
        }
    }
}

impl Bounds {
    /// The same number for all.
    #[must_use]
    pub fn each(keys: usize) -> Self {
        Self {
            keys,
            keys_per_limit: keys,
            values: keys,
        }
    }
}

/// What a store holds and what it had to do to stay within its bounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Stats {
    /// Counters now.
    pub keys: usize,
    /// Counters that went although they still counted, because there was no room.
    pub dropped: u64,
    /// Counters that went because nothing of them counted any more.
    pub expired: u64,
    /// Keys that hold a lease now.
    pub leases: usize,
    /// Values now, expired ones among them until they are met.
    pub values: usize,
}

/// The store. Every operation locks one shard for well under a microsecond; none ever waits for all of them.
#[derive(Debug)]
pub struct Memory {
    counters: Counters,
    leases: Leases,
    values: Values,
}

impl Default for Memory {
    fn default() -> Self {
        Self::new(Bounds::default())
    }
}

impl Memory {
    /// An empty store.
    #[must_use]
    pub fn new(bounds: Bounds) -> Self {
        Self {
            counters: Counters::new(bounds.keys, bounds.keys_per_limit),
            leases: Leases::default(),
            values: Values::new(bounds.values),
        }
    }

    /// Counts `cost` against `limit`, unless that would pass it. Cost 0 counts nothing and tells how the key stands.
    /// Allocates only for a key that is new or has never held so many hits.
    pub fn count(&self, limit: &Limit, key: Key, cost: u32, now: Now) -> Standing {
        self.counters.count(limit, key, cost, now.steady)
    }

    /// Takes a place; `false` when all are taken.
    pub fn lease(&self, lease: &Lease, key: Key) -> bool {
        self.leases.take(lease, key)
    }

    /// Gives a place back. Once per place that was taken.
    pub fn release(&self, lease: &Lease, key: Key) {
        self.leases.release(lease.id, key);
    }

    /// A stored value that is still alive.
    #[must_use]
    pub fn get(&self, space: Space, key: Key, now: Now) -> Option<Bytes> {
        self.values.get(space, key, now.steady)
    }

    /// Stores a value for `ttl`, in place of an older one.
    ///
    /// # Errors
    /// [`StoreFault::Full`] when there is no room for another living value.
    pub fn put(
        &self,
        space: Space,
        key: Key,
        value: Bytes,
        ttl: Duration,
        now: Now,
    ) -> Result<(), StoreFault> {
        self.values.put(space, key, value, ttl, now.steady)
    }

    /// Puts `value` (`None`: nothing) where exactly `expected` (`None`: nothing living) was; `false`: something else was.
    ///
    /// # Errors
    /// [`StoreFault::Full`] when there is no room for another living value.
    pub fn swap(
        &self,
        space: Space,
        key: Key,
        expected: Option<&Bytes>,
        value: Option<Bytes>,
        ttl: Duration,
        now: Now,
    ) -> Result<bool, StoreFault> {
        let name = (space, key);
        self.values.swap(name, expected, value, ttl, now.steady)
    }

    /// A stored value that is still alive, and how long it still lives.
    #[must_use]
    pub fn look(&self, space: Space, key: Key, now: Now) -> Option<(Bytes, Duration)> {
        let (value, left) = self.values.look(space, key, now.steady)?;
        Some((value, Duration::from_millis(left)))
    }

    /// Up to `most` living values of a space, and how long each still lives, in no order. For operators: it looks at
    /// every value there is.
    #[must_use]
    pub fn list(&self, space: Space, most: usize, now: Now) -> Vec<(Key, Bytes, Duration)> {
        let found = self.values.list(space, most, now.steady);
        let one = |(key, value, left)| (key, value, Duration::from_millis(left));
        found.into_iter().map(one).collect()
    }

    /// Removes a value.
    pub fn remove(&self, space: Space, key: Key) {
        self.values.remove(space, key);
    }

    /// Forgets up to `most` expired things per shard and limit. Counting does a little of this by itself; calling it
    /// every second or so also frees the keys of limits that are no longer asked.
    pub fn sweep(&self, now: Now, most: usize) {
        self.counters.sweep(now.steady, most);
        self.values.sweep(now.steady, most);
    }

    /// What it holds.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let mut stats = self.counters.stats();
        stats.leases = self.leases.len();
        stats.values = self.values.len();
        stats
    }
}

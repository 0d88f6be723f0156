//! Where counters, leases and values live: one interface over every kind of store. Owns which kind that is; what keys
//! and values mean is the checks'.

use std::time::Duration;

use bytes::Bytes;
use policy::io::{Key, Now, Space, StoreFault};
use policy::limit::{Lease, Limit, Standing};
use policy::memory::{Bounds, Memory, Stats};
use policy::settings::State;

/// A place that was taken, to be given back once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ticket(u64);

/// A value as operators list it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Where it is.
    pub key: Key,
    /// What it is.
    pub value: Bytes,
    /// How long it still lives.
    pub left: Duration,
}

/// The store of a gateway. In memory nothing waits: the futures are ready when they are first asked.
#[derive(Debug)]
pub struct Store {
    memory: Memory,
}

impl Store {
    /// One that a restart empties.
    #[must_use]
    pub fn in_memory(state: &State) -> Self {
        Self {
            memory: Memory::new(Bounds::each(state.max_keys)),
        }
    }

    /// Counts `cost` against `limit` for `key`, unless that would pass it.
    ///
    /// # Errors
    /// When a store that is shared gives no answer; also for all that follow.
    pub async fn count(
        &self,
        limit: &Limit,
        key: Key,
        cost: u32,
        now: Now,
    ) -> Result<Standing, StoreFault> {
        Ok(self.memory.count(limit, key, cost, now))
    }

    /// Takes one of `lease.max` places, to be given back by [`Store::release`]; `None`: all are taken.
    ///
    /// # Errors
    /// As [`Store::count`].
    pub async fn lease(&self, lease: &Lease, key: Key) -> Result<Option<Ticket>, StoreFault> {
        Ok(self.memory.lease(lease, key).then_some(Ticket(0)))
    }

    /// Gives a place back. Never waits: a request may end anywhere.
    pub fn release(&self, lease: &Lease, key: Key, _: Ticket) {
        self.memory.release(lease, key);
    }

    /// A stored value that is still alive.
    ///
    /// # Errors
    /// As [`Store::count`].
    pub async fn get(&self, space: Space, key: Key, now: Now) -> Result<Option<Bytes>, StoreFault> {
        Ok(self.memory.get(space, key, now))
    }

    /// Stores a value for `ttl`, in place of an older one.
    ///
    /// # Errors
    /// As [`Store::count`], and [`StoreFault::Full`].
    pub async fn put(
        &self,
        space: Space,
        key: Key,
        value: Bytes,
        ttl: Duration,
        now: Now,
    ) -> Result<(), StoreFault> {
        self.memory.put(space, key, value, ttl, now)
    }

    /// Puts `value` (`None`: nothing) where exactly `expected` (`None`: nothing) was; `false`: something else was.
    ///
    /// # Errors
    /// As [`Store::put`].
    pub async fn swap(
        &self,
        (space, key): (Space, Key),
        expected: Option<&Bytes>,
        value: Option<Bytes>,
        ttl: Duration,
        now: Now,
    ) -> Result<bool, StoreFault> {
        self.memory.swap(space, key, expected, value, ttl, now)
    }

    /// Removes a value.
    ///
    /// # Errors
    /// As [`Store::count`].
    pub async fn remove(&self, space: Space, key: Key, _: Now) -> Result<(), StoreFault> {
        self.memory.remove(space, key);
        Ok(())
    }

    /// Up to `most` living values of a space, in no order. For operators: it looks at every value there is.
    ///
    /// # Errors
    /// As [`Store::count`].
    pub async fn list(
        &self,
        space: Space,
        most: usize,
        now: Now,
    ) -> Result<Vec<Listed>, StoreFault> {
        let found = self.memory.list(space, most, now);
        let one = |(key, value, left)| Listed { key, value, left };
        Ok(found.into_iter().map(one).collect())
    }

    /// Whether a client is banned, as far as this node knows without asking: what connections are dropped by.
    #[must_use]
    pub fn known_ban(&self, key: Key, now: Now) -> bool {
        self.memory.get(Space::Ban, key, now).is_some()
    }

    /// What this node holds.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.memory.stats()
    }

    /// Forgets some of what has expired; to be called now and then.
    pub fn sweep(&self, now: Now) {
        self.memory.sweep(now, 4096);
    }
}

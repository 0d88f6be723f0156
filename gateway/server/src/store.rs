//! Where counters, leases and values live: one interface over every kind of store. Owns which kind that is; what keys
//! and values mean is the checks'.

mod clock;
mod file;
mod meter;
mod own;
mod redis;
mod seal;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use policy::io::{Key, Now, Space, StoreFault};
use policy::key::Keys;
use policy::limit::{Lease, Limit, Standing};
use policy::memory::{Bounds, Memory, Stats};
use policy::settings::{Secret, State, StateKind};
use prometheus::core::Collector;

use self::redis::Redis;
use crate::record::Observer;
use clock::Clock;
use file::{Change, File};
use meter::Meter;
use seal::Seal;

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

/// The store of a gateway. In memory nothing waits: the futures are ready when they are first asked, and what others
/// would wait with is boxed, so that they cost memory nothing.
#[derive(Debug)]
pub struct Store {
    clock: Clock,
    /// Everything, or a copy of the values (file), or of the bans (redis).
    memory: Arc<Memory>,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Memory,
    File(File, Meter),
    Redis(Arc<Redis>),
}

impl Store {
    /// One that a restart empties.
    #[must_use]
    pub fn in_memory(state: &State) -> Self {
        Self {
            clock: Clock::start(),
            memory: Arc::new(Memory::new(Bounds::each(state.max_keys))),
            kind: Kind::Memory,
        }
    }

    /// The one that a policy asks for; relative paths start at `base`. Must come before the policy is loaded: names in a
    /// store that outlives the process are made with a secret that lies there.
    ///
    /// # Errors
    /// A sentence when it cannot be used.
    pub fn open(state: &State, base: &Path) -> Result<Self, String> {
        let (store, secret) = Self::opened(state, base)?;
        match secret.map(|secret| Keys::derived(&secret).install()) {
            None | Some(true) => Ok(store),
            Some(false) => Err("state: keyed names are in use already".to_owned()),
        }
    }

    /// With the secret of keyed names, where the store has one.
    fn opened(state: &State, base: &Path) -> Result<(Self, Option<Vec<u8>>), String> {
        let (clock, seal) = (Clock::start(), Seal::new(&state.seal));
        // The writer of a file counts itself; shards of the copy must never be what refuses.
        let values = state.max_keys.saturating_mul(2).max(4_096);
        let bounds = Bounds {
            values,
            ..Bounds::each(state.max_keys)
        };
        let memory = Arc::new(Memory::new(bounds));
        let (kind, secret) = match &state.kind {
            StateKind::Memory => return Ok((Self::in_memory(state), None)),
            StateKind::File { path } => {
                let (file, secret) = File::open(file::Opening {
                    path: &base.join(path),
                    seal,
                    memory: &memory,
                    clock,
                    most: state.max_keys,
                })?;
                (Kind::File(file, Meter::new()?), secret)
            }
            StateKind::Redis(settings) => {
                let opened = Redis::open(redis::Opening {
                    settings: (**settings).clone(),
                    base: base.to_owned(),
                    seal,
                    memory: Arc::clone(&memory),
                    clock,
                });
                let told = |why| format!("state at {}: {why}", settings.reach);
                let (redis, secret) = opened.map_err(told)?;
                (Kind::Redis(redis), secret)
            }
        };
        let store = Self {
            clock,
            memory,
            kind,
        };
        Ok((store, Some(secret)))
    }

    /// Begins what goes on in the background, in the runtime that this is called in.
    pub(crate) fn start(&self, observer: Arc<dyn Observer>) {
        match &self.kind {
            Kind::Memory | Kind::File(..) => {}
            Kind::Redis(redis) => redis.start(observer),
        }
    }

    /// Waits for a store that has to be reached, but not for ever: who asks it then is told that it is not there.
    pub(crate) async fn reached(&self) {
        match &self.kind {
            Kind::Memory | Kind::File(..) => {}
            Kind::Redis(redis) => redis.reached().await,
        }
    }

    /// Both clocks.
    #[must_use]
    pub fn now(&self) -> Now {
        self.clock.now()
    }

    /// Both clocks, of which one has just been read.
    pub(crate) fn at(&self, now: Instant) -> Now {
        self.clock.at(now)
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
        match &self.kind {
            Kind::Memory | Kind::File(..) => Ok(self.memory.count(limit, key, cost, now)),
            Kind::Redis(redis) => Box::pin(redis.count(limit, key, cost)).await,
        }
    }

    /// Takes one of `lease.max` places, to be given back by [`Store::release`]; `None`: all are taken.
    ///
    /// # Errors
    /// As [`Store::count`].
    pub async fn lease(&self, lease: &Lease, key: Key) -> Result<Option<Ticket>, StoreFault> {
        match &self.kind {
            Kind::Memory | Kind::File(..) => Ok(self.memory.lease(lease, key).then_some(Ticket(0))),
            Kind::Redis(redis) => {
                let taken = Box::pin(redis.lease(lease, key)).await?;
                Ok(taken.map(Ticket))
            }
        }
    }

    /// Gives a place back. Never waits: a request may end anywhere.
    pub fn release(&self, lease: &Lease, key: Key, ticket: Ticket) {
        match &self.kind {
            Kind::Memory | Kind::File(..) => self.memory.release(lease, key),
            Kind::Redis(redis) => redis.release(ticket.0),
        }
    }

    /// A stored value that is still alive.
    ///
    /// # Errors
    /// As [`Store::count`].
    pub async fn get(&self, space: Space, key: Key, now: Now) -> Result<Option<Bytes>, StoreFault> {
        match &self.kind {
            Kind::Memory | Kind::File(..) => Ok(self.memory.get(space, key, now)),
            Kind::Redis(redis) => Box::pin(redis.get(space, key)).await,
        }
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
        match &self.kind {
            Kind::Memory => self.memory.put(space, key, value, ttl, now),
            Kind::File(file, meter) => {
                let change = Change::Put(value, ttl);
                let written =
                    file.change((space, key), change, now, (meter, meter::Operation::Put));
                Box::pin(written).await.map(drop)
            }
            Kind::Redis(redis) => Box::pin(redis.put(space, key, &value, ttl)).await,
        }
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
        match &self.kind {
            Kind::Memory => self.memory.swap(space, key, expected, value, ttl, now),
            Kind::File(file, meter) => {
                let value = value.map(|value| (value, ttl));
                let change = Change::Swap(expected.cloned(), value);
                let metered = (meter, meter::Operation::Swap);
                Box::pin(file.change((space, key), change, now, metered)).await
            }
            Kind::Redis(redis) => {
                let name = (space, key);
                Box::pin(redis.swap(name, expected, value.as_ref(), ttl)).await
            }
        }
    }

    /// Removes a value.
    ///
    /// # Errors
    /// As [`Store::count`].
    pub async fn remove(&self, space: Space, key: Key, now: Now) -> Result<(), StoreFault> {
        match &self.kind {
            Kind::Memory => {
                self.memory.remove(space, key);
                Ok(())
            }
            Kind::File(file, meter) => {
                let metered = (meter, meter::Operation::Remove);
                let removed = file.change((space, key), Change::Remove, now, metered);
                Box::pin(removed).await.map(drop)
            }
            Kind::Redis(redis) => Box::pin(redis.remove(space, key)).await,
        }
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
        match &self.kind {
            Kind::Memory | Kind::File(..) => {
                let found = self.memory.list(space, most, now);
                let one = |(key, value, left)| Listed { key, value, left };
                Ok(found.into_iter().map(one).collect())
            }
            Kind::Redis(redis) => Box::pin(redis.list(space, most)).await,
        }
    }

    /// Whether a client is banned, as far as this node knows without asking: what connections are dropped by.
    #[must_use]
    pub fn known_ban(&self, key: Key, now: Now) -> bool {
        self.memory.get(Space::Ban, key, now).is_some()
    }

    /// What this node holds.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let mut stats = self.memory.stats();
        if let Kind::Redis(redis) = &self.kind {
            stats.leases = redis.held();
        }
        stats
    }

    /// How the store does, where it can fail.
    pub(crate) fn collectors(&self) -> Vec<Box<dyn Collector>> {
        match &self.kind {
            Kind::Memory => Vec::new(),
            Kind::File(_, meter) => meter.collectors(),
            Kind::Redis(redis) => redis.meter.collectors(),
        }
    }

    /// Forgets some of what has expired; to be called now and then.
    pub fn sweep(&self, now: Now) {
        self.memory.sweep(now, 4096);
    }
}

/// Seals all values of a state file anew; gives how many there are.
///
/// # Errors
/// A sentence when it is in use, damaged, or was not sealed so; it is unchanged then.
pub(crate) fn reseal(path: &Path, was: &[Secret], now: &[Secret]) -> Result<usize, String> {
    file::reseal(path, &Seal::new(was), &Seal::new(now))
}

#[cfg(test)]
mod tests;

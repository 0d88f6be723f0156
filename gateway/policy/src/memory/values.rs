//! Values with a lifetime: bans, revocations. Never dropped to make room, since forgetting one would lift it: a store
//! full of living values refuses new ones.

use std::collections::BTreeSet;
use std::time::Duration;

use bytes::Bytes;
use hashbrown::HashMap;
use parking_lot::RwLock;

use crate::io::{Key, Space, StoreFault};

const SHARDS: usize = 16;
/// Expired values that a `put` clears away on the way.
const A_FEW: usize = 4;

type Name = (Space, Key);

#[derive(Debug, Default)]
struct Shard {
    /// Value, and when it ends (milliseconds of the steady clock).
    values: HashMap<Name, (Bytes, u64), ahash::RandomState>,
    /// The same, by end.
    ends: BTreeSet<(u64, Name)>,
}

#[derive(Debug)]
pub(super) struct Values {
    shards: [RwLock<Shard>; SHARDS],
    most_per_shard: usize,
}

impl Values {
    pub(super) fn new(most: usize) -> Self {
        Self {
            shards: Default::default(),
            most_per_shard: most.div_ceil(SHARDS).max(1),
        }
    }

    pub(super) fn get(&self, space: Space, key: Key, now: u64) -> Option<Bytes> {
        let shard = self.shards.get(shard(key))?.read();
        let (value, end) = shard.values.get(&(space, key))?;
        (*end > now).then(|| value.clone())
    }

    pub(super) fn put(
        &self,
        space: Space,
        key: Key,
        value: Bytes,
        ttl: Duration,
        now: u64,
    ) -> Result<(), StoreFault> {
        let shard = self.shards.get(shard(key)).ok_or(StoreFault::Corrupt)?;
        shard
            .write()
            .put((space, key), value, ttl, now, self.most_per_shard)
    }

    /// Puts `value` where exactly `expected` lives; `None` is nothing, in both.
    pub(super) fn swap(
        &self,
        name: Name,
        expected: Option<&Bytes>,
        value: Option<Bytes>,
        ttl: Duration,
        now: u64,
    ) -> Result<bool, StoreFault> {
        let shard = self.shards.get(shard(name.1)).ok_or(StoreFault::Corrupt)?;
        let mut shard = shard.write();
        let living = shard.values.get(&name).filter(|(_, end)| *end > now);
        if living.map(|(value, _)| value) != expected {
            return Ok(false);
        }
        match value {
            Some(value) => shard.put(name, value, ttl, now, self.most_per_shard)?,
            None => shard.remove(name),
        }
        Ok(true)
    }

    pub(super) fn remove(&self, space: Space, key: Key) {
        if let Some(shard) = self.shards.get(shard(key)) {
            shard.write().remove((space, key));
        }
    }

    /// A living value and the milliseconds that it has left.
    pub(super) fn look(&self, space: Space, key: Key, now: u64) -> Option<(Bytes, u64)> {
        let shard = self.shards.get(shard(key))?.read();
        let (value, end) = shard.values.get(&(space, key))?;
        (*end > now).then(|| (value.clone(), end - now))
    }

    /// Up to `most` living values of a space, with the milliseconds that each has left, in no order.
    pub(super) fn list(&self, space: Space, most: usize, now: u64) -> Vec<(Key, Bytes, u64)> {
        let mut found = Vec::new();
        for shard in &self.shards {
            let shard = shard.read();
            let living = shard.values.iter();
            let living = living.filter(|((of, _), (_, end))| *of == space && *end > now);
            let room = most - found.len();
            found.extend(
                living
                    .take(room)
                    .map(|((_, key), (value, end))| (*key, value.clone(), end - now)),
            );
        }
        found
    }

    pub(super) fn sweep(&self, now: u64, most: usize) {
        for shard in &self.shards {
            shard.write().expire(now, most);
        }
    }

    pub(super) fn len(&self) -> usize {
        self.shards
            .iter()
            .map(|shard| shard.read().values.len())
            .sum()
    }
}

impl Shard {
    fn put(
        &mut self,
        name: Name,
        value: Bytes,
        ttl: Duration,
        now: u64,
        most: usize,
    ) -> Result<(), StoreFault> {
        self.expire(now, A_FEW);
        if !self.values.contains_key(&name) && self.values.len() >= most {
            self.expire(now, usize::MAX);
            if self.values.len() >= most {
                return Err(StoreFault::Full);
            }
        }
        let ttl = u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX);
        let end = now.saturating_add(ttl);
        if let Some((_, before)) = self.values.insert(name, (value, end)) {
            self.ends.remove(&(before, name));
        }
        self.ends.insert((end, name));
        Ok(())
    }

    fn remove(&mut self, name: Name) {
        if let Some((_, end)) = self.values.remove(&name) {
            self.ends.remove(&(end, name));
        }
    }

    fn expire(&mut self, now: u64, most: usize) {
        for _ in 0..most {
            match self.ends.first() {
                Some(&(end, name)) if end <= now => {
                    self.ends.pop_first();
                    self.values.remove(&name);
                }
                Some(_) | None => return,
            }
        }
    }
}

fn shard(key: Key) -> usize {
    key.0 as usize & (SHARDS - 1)
}

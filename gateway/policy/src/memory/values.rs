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
        let mut shard = self
            .shards
            .get(shard(key))
            .ok_or(StoreFault::Corrupt)?
            .write();
        let name = (space, key);
        shard.expire(now, A_FEW);
        if !shard.values.contains_key(&name) && shard.values.len() >= self.most_per_shard {
            shard.expire(now, usize::MAX);
            if shard.values.len() >= self.most_per_shard {
                return Err(StoreFault::Full);
            }
        }
        let ttl = u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX);
        let end = now.saturating_add(ttl);
        if let Some((_, before)) = shard.values.insert(name, (value, end)) {
            shard.ends.remove(&(before, name));
        }
        shard.ends.insert((end, name));
        Ok(())
    }

    pub(super) fn remove(&self, space: Space, key: Key) {
        let Some(shard) = self.shards.get(shard(key)) else {
            return;
        };
        let mut shard = shard.write();
        let name = (space, key);
        if let Some((_, end)) = shard.values.remove(&name) {
            shard.ends.remove(&(end, name));
        }
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

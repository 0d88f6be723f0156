//! Tokens that were verified before, by a keyed hash and the whole token. Bounded; a hit allocates nothing and takes a
//! shared lock. Only what a configured key signed gets in. Belongs to its check, so a reload starts with none.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use hashbrown::HashTable;
use parking_lot::RwLock;

use super::claims::Verified;

const SHARDS: usize = 16;

#[derive(Debug)]
struct Slot {
    hash: u64,
    token: Box<str>,
    verified: Arc<Verified>,
    /// Asked for since the hand last came by.
    used: AtomicBool,
}

#[derive(Debug, Default)]
struct Shard {
    table: HashTable<u32>,
    slots: Vec<Slot>,
    hand: usize,
}

#[derive(Debug)]
pub(super) struct Cache {
    hasher: ahash::RandomState,
    shards: Vec<RwLock<Shard>>,
    most_per_shard: usize,
}

impl Cache {
    /// For about `most` tokens; none for zero.
    pub(super) fn new(most: usize) -> Self {
        let shards = most.min(SHARDS);
        Self {
            hasher: ahash::RandomState::new(),
            shards: std::iter::repeat_with(RwLock::default).take(shards).collect(),
            most_per_shard: most.div_ceil(shards.max(1)),
        }
    }

    pub(super) fn get(&self, token: &str) -> Option<Arc<Verified>> {
        let hash = self.hasher.hash_one(token);
        let shard = self.shard(hash)?.read();
        let slot = shard.find(hash, token)?;
        slot.used.store(true, Ordering::Relaxed);
        Some(Arc::clone(&slot.verified))
    }

    pub(super) fn put(&self, token: &str, verified: Arc<Verified>, now: u64) {
        let hash = self.hasher.hash_one(token);
        let Some(shard) = self.shard(hash) else { return };
        let slot = Slot {
            hash,
            token: token.into(),
            verified,
            used: AtomicBool::new(false),
        };
        let mut shard = shard.write();
        // Two requests may have verified the same token at once, or it was verified anew with other keys.
        match shard.position(hash, token).and_then(|index| shard.slots.get_mut(index)) {
            Some(known) => known.verified = slot.verified,
            None => shard.insert(slot, self.most_per_shard, now),
        }
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.read().table.len()).sum()
    }

    fn shard(&self, hash: u64) -> Option<&RwLock<Shard>> {
        let index = usize::try_from(hash >> 32).unwrap_or(0).checked_rem(self.shards.len())?;
        self.shards.get(index)
    }
}

impl Shard {
    fn find(&self, hash: u64, token: &str) -> Option<&Slot> {
        self.slots.get(self.position(hash, token)?)
    }

    fn position(&self, hash: u64, token: &str) -> Option<usize> {
        let is_it = |index: &u32| {
            let slot = self.slots.get(*index as usize);
            slot.is_some_and(|slot| slot.hash == hash && *slot.token == *token)
        };
        self.table.find(hash, is_it).map(|index| *index as usize)
    }

    fn insert(&mut self, slot: Slot, most: usize, now: u64) {
        let hash = slot.hash;
        let index = if self.slots.len() < most {
            self.slots.push(slot);
            self.slots.len() - 1
        } else {
            let index = self.victim(now);
            let Some(place) = self.slots.get_mut(index) else { return };
            let gone = std::mem::replace(place, slot).hash;
            if let Ok(entry) = self.table.find_entry(gone, |other| *other as usize == index) {
                entry.remove();
            }
            index
        };
        let slots = &self.slots;
        let rehash = |index: &u32| slots.get(*index as usize).map_or(0, |slot| slot.hash);
        self.table.insert_unique(hash, index as u32, rehash);
    }

    /// The next that has expired or was not asked for since the hand last passed.
    fn victim(&mut self, now: u64) -> usize {
        for _ in 0..2 * self.slots.len() {
            let index = self.hand;
            self.hand = (self.hand + 1) % self.slots.len().max(1);
            let Some(slot) = self.slots.get(index) else { continue };
            if slot.verified.ends <= now || !slot.used.swap(false, Ordering::Relaxed) {
                return index;
            }
        }
        self.hand
    }
}

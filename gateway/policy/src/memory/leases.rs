//! Places taken at the same time, by key. An entry lives as long as something holds it, so what is open bounds them.

use hashbrown::HashMap;
use hashbrown::hash_map::Entry;
use parking_lot::Mutex;

use crate::io::Key;
use crate::limit::Lease;

const SHARDS: usize = 16;

/// Places taken, by lease and key.
type Held = HashMap<(u64, u128), u32, ahash::RandomState>;

#[derive(Debug, Default)]
pub(super) struct Leases {
    shards: [Mutex<Held>; SHARDS],
}

impl Leases {
    pub(super) fn take(&self, lease: &Lease, key: Key) -> bool {
        let Some(shard) = self.shards.get(shard(key)) else {
            return false;
        };
        let mut held = shard.lock();
        match held.entry((lease.id, key.0)) {
            Entry::Occupied(mut taken) if *taken.get() < lease.max => {
                *taken.get_mut() += 1;
                true
            }
            Entry::Vacant(none) if lease.max > 0 => {
                none.insert(1);
                true
            }
            Entry::Occupied(_) | Entry::Vacant(_) => false,
        }
    }

    pub(super) fn release(&self, lease: u64, key: Key) {
        let Some(shard) = self.shards.get(shard(key)) else {
            return;
        };
        let mut held = shard.lock();
        if let Entry::Occupied(mut taken) = held.entry((lease, key.0)) {
            if *taken.get() > 1 {
                *taken.get_mut() -= 1;
            } else {
                taken.remove();
            }
        }
    }

    pub(super) fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.lock().len()).sum()
    }
}

fn shard(key: Key) -> usize {
    key.0 as usize & (SHARDS - 1)
}

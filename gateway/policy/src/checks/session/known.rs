//! Records that were read before, by where they are and exactly what is stored there: the store is asked each time, only
//! the reading is spared. Belongs to its check, so a reload starts with none.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use parking_lot::RwLock;

use super::record::Record;
use crate::io::Key;
use crate::request::Identity;

const SHARDS: usize = 16;
/// In each of them.
const MOST: usize = 1024;

/// What is known of a session.
#[derive(Debug)]
pub(in crate::checks) struct Known {
    /// As it is stored.
    pub(super) stored: Bytes,
    /// The same, read.
    pub(super) record: Record,
    /// Who that is to the checks behind.
    pub(super) identity: OnceLock<Option<Arc<Identity>>>,
}

type Shard = RwLock<HashMap<Key, Arc<Known>, ahash::RandomState>>;

/// Bounded; a hit allocates nothing and takes a shared lock.
#[derive(Debug, Default)]
pub(in crate::checks) struct Cache {
    shards: [Shard; SHARDS],
}

impl Cache {
    /// What is stored there, read; `None` when it is no record.
    pub(super) fn of(&self, key: Key, stored: Bytes) -> Option<Arc<Known>> {
        let shard = self.shards.get(key.0 as usize % SHARDS)?;
        if let Some(known) = shard.read().get(&key).filter(|known| known.stored == stored) {
            return Some(Arc::clone(known));
        }
        let record = serde_json::from_slice(&stored).ok()?;
        let known = Arc::new(Known {
            stored,
            record,
            identity: OnceLock::new(),
        });
        let mut shard = shard.write();
        if shard.len() >= MOST {
            shard.clear();
        }
        shard.insert(key, Arc::clone(&known));
        Some(known)
    }
}

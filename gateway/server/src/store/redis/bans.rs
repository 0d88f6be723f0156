//! Bans as connections are judged by them: a list beside the bans themselves, copied to every gateway. It may be older
//! than the bans by `state.sync` and the time that one question takes; requests ask for the ban itself.

use std::collections::HashSet;
use std::time::Duration;

use bytes::Bytes;
use policy::io::{Key, Space, StoreFault};
use redis::Value;

use super::{Operation, Redis};

/// What this gateway knows of the list.
#[derive(Debug)]
pub(super) struct Known {
    version: Vec<u8>,
    keys: HashSet<Key, ahash::RandomState>,
}

impl Redis {
    /// What is known on a new connection: the list may be another by now, and what was taken over before is still in the
    /// copy. A ban that was lifted meanwhile must leave it.
    pub(super) fn known_bans(&self) -> Known {
        let held = self.memory.list(Space::Ban, usize::MAX, self.clock.now());
        Known {
            version: Vec::new(),
            keys: held.into_iter().map(|(key, ..)| key).collect(),
        }
    }

    fn list_of_bans(&self) -> [String; 2] {
        let prefix = &self.settings.prefix;
        [
            format!("{prefix}:{{bans}}:list"),
            format!("{prefix}:{{bans}}:version"),
        ]
    }

    /// Puts a change of a ban on the list, for `ttl` milliseconds. The ban itself is there already and is what requests
    /// are refused by: a list that lags costs a connection, not a decision.
    pub(super) async fn noted(&self, space: Space, key: Key, ttl: Option<u64>) {
        if space != Space::Ban {
            return;
        }
        let now = self.clock.now();
        match ttl {
            Some(ttl) => {
                let ttl = Duration::from_millis(ttl);
                // Full of bans: requests ask for the ban itself.
                let _ = self.memory.put(space, key, Bytes::new(), ttl, now);
            }
            None => self.memory.remove(space, key),
        }
        let [list, version] = self.list_of_bans();
        let lasting = ttl.and_then(|ttl| i64::try_from(ttl).ok()).unwrap_or(-1);
        let keys = [list.as_str(), version.as_str()];
        let script = &self.scripts.note;
        let asked = self.run(Operation::Ban, script, &keys, |command| {
            command.arg(format!("{:032x}", key.0)).arg(lasting);
        });
        if let Err(fault) = asked.await {
            log::warn!("state: a ban is not on the list of bans: {fault:?}");
        }
    }

    /// Takes over the list where it changed. Also how it is noticed that the server answers.
    pub(super) async fn follow_bans(&self, known: &mut Known) -> Result<(), StoreFault> {
        let [list, version] = self.list_of_bans();
        let keys = [list.as_str(), version.as_str()];
        let script = &self.scripts.noted;
        let asked = self.run(Operation::Ban, script, &keys, |command| {
            command.arg(&known.version);
        });
        let Value::Array(parts) = asked.await? else {
            return Err(StoreFault::Corrupt);
        };
        let mut parts = parts.into_iter();
        let Some(Value::BulkString(version)) = parts.next() else {
            return Err(StoreFault::Corrupt);
        };
        if version == known.version {
            return Ok(());
        }
        let now = self.clock.now();
        let mut keys = HashSet::default();
        while let (Some(key), Some(left)) = (parts.next(), parts.next()) {
            let (Some(key), Some(left)) = (number(&key, 16), number(&left, 10)) else {
                continue;
            };
            let left = Duration::from_millis(u64::try_from(left).unwrap_or(u64::MAX));
            let key = Key(key);
            let _ = self.memory.put(Space::Ban, key, Bytes::new(), left, now);
            keys.insert(key);
        }
        for lifted in known.keys.difference(&keys) {
            self.memory.remove(Space::Ban, *lifted);
        }
        *known = Known { version, keys };
        Ok(())
    }
}

fn number(value: &Value, radix: u32) -> Option<u128> {
    let Value::BulkString(text) = value else {
        return None;
    };
    u128::from_str_radix(std::str::from_utf8(text).ok()?, radix).ok()
}

//! Counters by key: shards of a hash table over a slab, with one list per limit from the latest asked to the oldest.
//! Owns who is forgotten when; knows nothing of how hits are counted.
//!
//! Bytes: 72 per entry and 5 to 10 of table, so a million clients with up to two distinct hit times take about 80 MB;
//! up to 1 KiB more for a key with 128 distinct times, 256 B for a limit above 128.

use hashbrown::HashTable;
use parking_lot::Mutex;

use super::Stats;
use super::pace::Pace;
use super::window::{Hits, millis};
use crate::io::Key;
use crate::limit::{Algorithm, Limit, Standing};

/// No entry.
const NIL: u32 = u32::MAX;
/// Shards of a large store. Locks are held for tens of nanoseconds; more shards than that make nothing faster.
const SHARDS: usize = 64;
/// Entries per shard below which another shard is not worth it: small stores stay exact about who is oldest.
const WORTH: usize = 1024;

/// All counters of a store.
#[derive(Debug)]
pub(super) struct Counters {
    shards: Box<[Mutex<Shard>]>,
}

impl Counters {
    /// At most `keys` in total and `per_limit` of one limit. Both are split over the shards, so that a full store
    /// begins to forget a few percent early.
    pub(super) fn new(keys: usize, per_limit: usize) -> Self {
        let keys = keys.clamp(1, u32::MAX as usize / 2);
        let shards = (keys / WORTH).clamp(1, SHARDS).next_power_of_two();
        let share = |of: usize| of.div_ceil(shards).max(1);
        let shard = || Mutex::new(Shard::new(share(keys), share(per_limit.min(keys))));
        Self {
            shards: std::iter::repeat_with(shard).take(shards).collect(),
        }
    }

    pub(super) fn count(&self, limit: &Limit, key: Key, cost: u32, now: u64) -> Standing {
        let slot = slot(limit, key);
        let index = (slot as usize) & (self.shards.len() - 1);
        match self.shards.get(index) {
            Some(shard) => shard.lock().count(limit, slot, cost, now),
            None => refused(limit),
        }
    }

    pub(super) fn sweep(&self, now: u64, most: usize) {
        for shard in &self.shards {
            shard.lock().sweep(now, most);
        }
    }

    pub(super) fn stats(&self) -> Stats {
        let mut stats = Stats::default();
        for shard in &self.shards {
            let shard = shard.lock();
            stats.keys += shard.table.len();
            stats.dropped += shard.dropped;
            stats.expired += shard.expired;
        }
        stats
    }
}

/// Limit, algorithm and key in one. The key is a keyed hash, so any mixing keeps it uniform; another algorithm under
/// the same id starts afresh, since one's state means nothing to the other.
fn slot(limit: &Limit, key: Key) -> u128 {
    const ODD: u128 = 0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835;
    let algorithm = match limit.algorithm {
        Algorithm::Window => 1,
        Algorithm::Pace { .. } => 2,
    };
    key.0 ^ ((u128::from(limit.id) << 2) | algorithm).wrapping_mul(ODD)
}

/// A broken invariant refuses.
fn refused(limit: &Limit) -> Standing {
    Standing {
        allowed: false,
        max: limit.max,
        remaining: 0,
        reset_ms: millis(limit),
        window_s: u32::try_from(millis(limit).div_ceil(1000)).unwrap_or(u32::MAX),
    }
}

#[derive(Debug)]
enum State {
    Window(Hits),
    Pace(Pace),
}

impl State {
    fn over(&self, window: u64) -> u64 {
        match self {
            Self::Window(hits) => hits.over(window),
            Self::Pace(pace) => pace.over(),
        }
    }
}

#[derive(Debug)]
pub(super) struct Entry {
    /// Halves of the slot: a `u128` would ask for 16-byte alignment.
    slot: [u64; 2],
    /// Asked after this one; in the free list, the next free entry.
    newer: u32,
    /// Asked before this one.
    older: u32,
    /// Whose list it is in.
    list: u16,
    state: State,
}

/// Entries of one limit, from the latest asked to the oldest.
#[derive(Debug)]
struct List {
    id: u64,
    /// The window that it was last asked with, which a reload may change.
    window: u64,
    newest: u32,
    oldest: u32,
    len: usize,
}

#[derive(Debug)]
struct Shard {
    table: HashTable<u32>,
    entries: Vec<Entry>,
    free: u32,
    lists: Vec<List>,
    /// The list whose oldest is looked at next.
    turn: usize,
    most: usize,
    most_per_limit: usize,
    /// The latest time it was asked at. Threads read the clock before they wait for the lock, and a clock may be
    /// wrong: time here never goes back, since what expired once would otherwise be let in again.
    latest: u64,
    dropped: u64,
    expired: u64,
}

impl Shard {
    fn new(most: usize, most_per_limit: usize) -> Self {
        Self {
            table: HashTable::new(),
            entries: Vec::new(),
            free: NIL,
            lists: Vec::new(),
            turn: 0,
            most,
            most_per_limit,
            latest: 0,
            dropped: 0,
            expired: 0,
        }
    }

    fn count(&mut self, limit: &Limit, slot: u128, cost: u32, now: u64) -> Standing {
        let now = self.latest.max(now);
        self.latest = now;
        let halves = halves(slot);
        let found = self
            .table
            .find(hash(halves), |&index| {
                self.entries
                    .get(index as usize)
                    .is_some_and(|entry| entry.slot == halves)
            })
            .copied();
        let index = match found {
            Some(index) => {
                self.touch(index, limit);
                index
            }
            // Asking how a stranger stands needs no entry.
            None if cost == 0 => return fresh(limit).count(limit, 0, now),
            None => self.insert(limit, halves, now),
        };
        match self.entries.get_mut(index as usize) {
            Some(entry) => entry.state.count(limit, cost, now),
            None => refused(limit),
        }
    }

    /// Moves an entry to the front of its list.
    fn touch(&mut self, index: u32, limit: &Limit) {
        let Some(list) = self.entries.get(index as usize).map(|entry| entry.list) else {
            return;
        };
        let Some(found) = self.lists.get_mut(usize::from(list)) else {
            return;
        };
        found.window = millis(limit);
        if found.newest != index {
            self.unlink(index);
            self.link(index, list);
        }
    }

    fn insert(&mut self, limit: &Limit, slot: [u64; 2], now: u64) -> u32 {
        let list = self.list(limit);
        self.make_room(list, now);
        let entry = Entry {
            slot,
            newer: NIL,
            older: NIL,
            list: list as u16,
            state: fresh(limit),
        };
        let index = self.store(entry);
        self.link(index, list as u16);
        let entries = &self.entries;
        self.table.insert_unique(hash(slot), index, |&other| {
            entries
                .get(other as usize)
                .map_or(0, |entry| hash(entry.slot))
        });
        index
    }

    fn store(&mut self, entry: Entry) -> u32 {
        if let Some(place) = self.entries.get_mut(self.free as usize) {
            let index = self.free;
            self.free = place.newer;
            *place = entry;
            return index;
        }
        if self.entries.len() == self.entries.capacity() {
            // A quarter more, not twice: a million keys leave little unused.
            let more = (self.entries.len() / 4).clamp(16, 8192);
            self.entries.reserve_exact(more);
        }
        self.entries.push(entry);
        (self.entries.len() - 1) as u32
    }

    /// The list of a limit; an empty one is taken over when the limit is new.
    fn list(&mut self, limit: &Limit) -> usize {
        let window = millis(limit);
        let list = List {
            id: limit.id,
            window,
            newest: NIL,
            oldest: NIL,
            len: 0,
        };
        for (index, known) in self.lists.iter_mut().enumerate() {
            if known.id == limit.id {
                known.window = window;
                return index;
            }
        }
        let empty = self.lists.iter().position(|list| list.len == 0);
        if let Some((index, place)) = empty.and_then(|at| Some((at, self.lists.get_mut(at)?))) {
            *place = list;
            return index;
        }
        // More living limits than a policy can have would share the last list.
        if self.lists.len() < usize::from(u16::MAX) {
            self.lists.push(list);
        }
        self.lists.len() - 1
    }

    /// What no longer counts goes first, a little of it at each new key; then, if there is still no room, the oldest.
    fn make_room(&mut self, list: usize, now: u64) {
        self.expire(list, now, 2);
        self.turn = (self.turn + 1) % self.lists.len().max(1);
        self.expire(self.turn, now, 1);
        let len = |list: usize| self.lists.get(list).map_or(0, |list| list.len);
        let crowded = if len(list) >= self.most_per_limit {
            list
        } else if self.table.len() >= self.most {
            // The limit that has most loses one: whoever floods one limit with keys forgets only that limit's.
            (0..self.lists.len())
                .max_by_key(|&list| len(list))
                .unwrap_or(list)
        } else {
            return;
        };
        let oldest = self.lists.get(crowded).map_or(NIL, |list| list.oldest);
        if self.forget(oldest) {
            self.dropped += 1;
        }
    }

    fn sweep(&mut self, now: u64, most: usize) {
        for list in 0..self.lists.len() {
            self.expire(list, now, most);
        }
    }

    /// Forgets up to `most` of a list's oldest entries that no longer count.
    fn expire(&mut self, list: usize, now: u64, most: usize) {
        for _ in 0..most {
            let Some(List { oldest, window, .. }) = self.lists.get(list) else {
                return;
            };
            let (oldest, window) = (*oldest, *window);
            match self.entries.get(oldest as usize) {
                Some(entry) if entry.state.over(window) <= now => {
                    self.forget(oldest);
                    self.expired += 1;
                }
                Some(_) | None => return,
            }
        }
    }

    /// Removes an entry; its place is used again, what it had on the heap goes.
    fn forget(&mut self, index: u32) -> bool {
        let Some(slot) = self.entries.get(index as usize).map(|entry| entry.slot) else {
            return false;
        };
        self.unlink(index);
        if let Ok(occupied) = self.table.find_entry(hash(slot), |&other| other == index) {
            occupied.remove();
        }
        if let Some(entry) = self.entries.get_mut(index as usize) {
            entry.state = State::Pace(Pace::default());
            entry.newer = self.free;
            self.free = index;
        }
        true
    }

    fn link(&mut self, index: u32, list: u16) {
        let Some(found) = self.lists.get_mut(usize::from(list)) else {
            return;
        };
        let before = std::mem::replace(&mut found.newest, index);
        if found.oldest == NIL {
            found.oldest = index;
        }
        found.len += 1;
        if let Some(entry) = self.entries.get_mut(index as usize) {
            entry.older = before;
            entry.newer = NIL;
        }
        if let Some(entry) = self.entries.get_mut(before as usize) {
            entry.newer = index;
        }
    }

    fn unlink(&mut self, index: u32) {
        let Some(entry) = self.entries.get(index as usize) else {
            return;
        };
        let (newer, older, list) = (entry.newer, entry.older, entry.list);
        if let Some(entry) = self.entries.get_mut(newer as usize) {
            entry.older = older;
        }
        if let Some(entry) = self.entries.get_mut(older as usize) {
            entry.newer = newer;
        }
        let Some(found) = self.lists.get_mut(usize::from(list)) else {
            return;
        };
        if found.newest == index {
            found.newest = older;
        }
        if found.oldest == index {
            found.oldest = newer;
        }
        found.len = found.len.saturating_sub(1);
    }
}

impl State {
    fn count(&mut self, limit: &Limit, cost: u32, now: u64) -> Standing {
        match (self, limit.algorithm) {
            (Self::Window(hits), Algorithm::Window) => hits.count(limit, cost, now),
            (Self::Pace(pace), Algorithm::Pace { burst }) => pace.count(limit, burst, cost, now),
            (Self::Window(_), Algorithm::Pace { .. }) | (Self::Pace(_), Algorithm::Window) => {
                refused(limit)
            }
        }
    }
}

fn fresh(limit: &Limit) -> State {
    match limit.algorithm {
        Algorithm::Window => State::Window(Hits::new()),
        Algorithm::Pace { .. } => State::Pace(Pace::default()),
    }
}

fn halves(slot: u128) -> [u64; 2] {
    [slot as u64, (slot >> 64) as u64]
}

/// The half that did not choose the shard.
fn hash([_, high]: [u64; 2]) -> u64 {
    high
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_takes_72_bytes() {
        assert_eq!(size_of::<Entry>(), 72);
    }
}

//! Sorted keys that answer one question fast: which is the last one not above an address?

/// Keys per node of a tree. A node is compared whole, not bisected: its cache lines are fetched at the same time, and
/// of a million networks only the lowest level is out of the caches.
const NODE: usize = 16;

/// Sorted, distinct keys.
pub(super) trait Sorted<A>: Default {
    fn new(keys: Vec<A>) -> Self;

    /// Position of the last key that is not above `address`.
    fn position(&self, address: A) -> Option<usize>;

    fn bytes(&self) -> usize;
}

/// A static search tree.
#[derive(Debug, Default)]
pub(super) struct Tree<K> {
    keys: Vec<K>,
    /// Each level holds every [`NODE`]th key of the one below it, the lowest first; the last is the root.
    levels: Vec<Vec<K>>,
}

impl<K: Copy + Ord + Default> Sorted<K> for Tree<K> {
    fn new(mut keys: Vec<K>) -> Self {
        keys.shrink_to_fit();
        let mut levels = Vec::<Vec<K>>::new();
        let mut below = &keys;
        while below.len() > NODE {
            let level = below.iter().step_by(NODE).copied().collect();
            levels.push(level);
            below = levels.last().unwrap_or(&keys);
        }
        Self { keys, levels }
    }

    fn position(&self, address: K) -> Option<usize> {
        let mut found = 0;
        let mut node = 0;
        for level in self.levels.iter().rev().chain([&self.keys]) {
            let keys = level.get(node..).unwrap_or_default();
            // The array's known length is what makes the compiler compare without branches.
            let smaller = match keys.first_chunk::<NODE>() {
                Some(keys) => keys.iter().filter(|&&key| key <= address).count(),
                None => keys.iter().filter(|&&key| key <= address).count(),
            };
            // Nothing at all is smaller only in the root: below it, a node's first key is in the level above.
            found = (node + smaller).checked_sub(1)?;
            node = found * NODE;
        }
        Some(found)
    }

    fn bytes(&self) -> usize {
        (self.keys.capacity() + self.levels.iter().map(Vec::capacity).sum::<usize>())
            * size_of::<K>()
    }
}

/// IPv6 keys by their upper half, where nearly all networks differ: half the memory to look at.
#[derive(Debug, Default)]
pub(super) struct Halves {
    /// Distinct upper halves.
    upper: Tree<u64>,
    /// The keys with upper half `i` are `lower[first[i]..first[i + 1]]`.
    first: Vec<u32>,
    lower: Vec<u64>,
}

impl Sorted<u128> for Halves {
    fn new(keys: Vec<u128>) -> Self {
        let mut upper = Vec::<u64>::new();
        let mut first = Vec::new();
        let mut lower = Vec::with_capacity(keys.len());
        for (position, key) in keys.into_iter().enumerate() {
            let (high, low) = halves(key);
            if upper.last() != Some(&high) {
                upper.push(high);
                // Four billion boundaries would be a 100 GB list.
                first.push(u32::try_from(position).unwrap_or(u32::MAX));
            }
            lower.push(low);
        }
        first.shrink_to_fit();
        Self {
            upper: Tree::new(upper),
            first,
            lower,
        }
    }

    fn position(&self, address: u128) -> Option<usize> {
        let (high, low) = halves(address);
        let group = self.upper.position(high)?;
        let start = *self.first.get(group)? as usize;
        let end = self
            .first
            .get(group + 1)
            .map_or(self.lower.len(), |&next| next as usize);
        if self.upper.keys.get(group) != Some(&high) {
            return end.checked_sub(1);
        }
        let smaller = self
            .lower
            .get(start..end)?
            .partition_point(|&key| key <= low);
        (start + smaller).checked_sub(1)
    }

    fn bytes(&self) -> usize {
        self.upper.bytes() + self.first.capacity() * 4 + self.lower.capacity() * 8
    }
}

fn halves(address: u128) -> (u64, u64) {
    ((address >> 64) as u64, address as u64)
}

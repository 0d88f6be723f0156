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

/// IPv6 keys by their upper half, where nearly all networks differ: less memory to look at.
#[derive(Debug, Default)]
pub(super) struct Halves {
    /// The first upper half of each leaf.
    index: Tree<u64>,
    leaves: Vec<Leaf>,
    lower: Vec<u64>,
}

/// Upper halves of one leaf; with [`Leaf`]'s other fields they fill two cache lines.
const LEAF: usize = 10;

/// Distinct upper halves, and where the keys of each begin. Both are found by one trip to memory.
#[derive(Debug, Clone)]
#[repr(align(128))]
struct Leaf {
    /// Those beyond `used` are `u64::MAX`.
    upper: [u64; LEAF],
    /// The keys with upper half `i` are `lower[first[i]..first[i + 1]]`.
    first: [u32; LEAF + 1],
    used: u16,
}

impl Sorted<u128> for Halves {
    fn new(keys: Vec<u128>) -> Self {
        let mut groups = Vec::<(u64, u32)>::new();
        let mut lower = Vec::with_capacity(keys.len());
        for (position, key) in keys.into_iter().enumerate() {
            let (high, low) = halves(key);
            if groups.last().is_none_or(|&(last, _)| last != high) {
                // Four billion boundaries would be a list of 100 GB.
                groups.push((high, u32::try_from(position).unwrap_or(u32::MAX)));
            }
            lower.push(low);
        }
        let end = u32::try_from(lower.len()).unwrap_or(u32::MAX);
        let mut leaves = Vec::with_capacity(groups.len().div_ceil(LEAF));
        let mut chunks = groups.chunks(LEAF).peekable();
        while let Some(chunk) = chunks.next() {
            let next = chunks
                .peek()
                .and_then(|next| next.first())
                .map_or(end, |next| next.1);
            leaves.push(Leaf::new(chunk, next));
        }
        let index = leaves.iter().map(|leaf| leaf.upper[0]).collect();
        Self {
            index: Tree::new(index),
            leaves,
            lower,
        }
    }

    fn position(&self, address: u128) -> Option<usize> {
        let (high, low) = halves(address);
        let leaf = self.leaves.get(self.index.position(high)?)?;
        let smaller = leaf.upper.iter().filter(|&&upper| upper <= high).count();
        let group = smaller.min(usize::from(leaf.used)).checked_sub(1)?;
        let start = *leaf.first.get(group)? as usize;
        let end = *leaf.first.get(group + 1)? as usize;
        if leaf.upper.get(group) != Some(&high) {
            return end.checked_sub(1);
        }
        let smaller = self
            .lower
            .get(start..end)?
            .partition_point(|&key| key <= low);
        (start + smaller).checked_sub(1)
    }

    fn bytes(&self) -> usize {
        self.index.bytes() + self.leaves.capacity() * size_of::<Leaf>() + self.lower.capacity() * 8
    }
}

impl Leaf {
    fn new(groups: &[(u64, u32)], end: u32) -> Self {
        let mut leaf = Self {
            upper: [u64::MAX; LEAF],
            first: [end; LEAF + 1],
            used: 0,
        };
        for ((upper, first), group) in leaf.upper.iter_mut().zip(&mut leaf.first).zip(groups) {
            (*upper, *first) = *group;
            leaf.used += 1;
        }
        leaf
    }
}

const _: () = assert!(size_of::<Leaf>() == 128);

fn halves(address: u128) -> (u64, u64) {
    ((address >> 64) as u64, address as u64)
}

//! Values that a plan has read before, and what it found in them. Browsers send the same headers with every request;
//! comparing bytes is far cheaper than reading them again. What is compared is the value itself, so no collision can hide
//! a match; what is kept is what every rule of the plan said, so a rule that was not asked keeps a value out.

use smallvec::SmallVec;

/// Longer ones do not repeat.
const LONGEST: usize = 512;
/// A browser has some fifteen values, read by some ten plans each. With `LONGEST` and `MOST_CONTENT` the bound of a memo's
/// memory: 1.2 MiB.
const SLOTS: usize = 1024;
/// Finds, and bytes of all they matched, that are kept. What finds more is read again.
pub(super) const MOST_FINDS: usize = 4;
const MOST_CONTENT: usize = 512;

/// What a plan of a program read.
#[derive(Clone, Copy)]
pub(super) struct Key {
    hash: u64,
    program: u64,
    plan: u32,
}

impl Key {
    pub(super) fn new(program: u64, plan: u32, value: &[u8]) -> Self {
        let hash = hash(plan, value);
        Self {
            hash,
            program,
            plan,
        }
    }

    const fn place(self) -> usize {
        (self.hash >> 32) as usize % SLOTS
    }

    /// Of the other half of the hash.
    const fn tag(self) -> u32 {
        self.hash as u32
    }
}

/// The probe that matched, and where what it matched ends in `bytes`.
type Find = (u32, usize);

#[derive(Default)]
struct Slot {
    /// Serial number of the program, 0 for none.
    program: u64,
    plan: u32,
    /// The value's length in `bytes`, which go on with what was matched.
    value: usize,
    bytes: Vec<u8>,
    finds: SmallVec<[Find; MOST_FINDS]>,
}

/// A small cache in which a newer value takes the place of an older one, but only when it has come twice: values that
/// never come again are not copied.
#[derive(Default)]
pub(super) struct Memo {
    slots: Vec<Slot>,
    tags: Vec<u32>,
}

impl Memo {
    /// What this plan of this program found in `value`, as far as it is known: the probe and what it matched.
    pub(super) fn known(
        &self,
        key: Key,
        value: &[u8],
    ) -> Option<impl Iterator<Item = (u32, &[u8])>> {
        if self.tags.get(key.place()) != Some(&key.tag()) {
            return None;
        }
        let slot = self.slots.get(key.place())?;
        let same = slot.program == key.program
            && slot.plan == key.plan
            && slot.bytes.get(..slot.value) == Some(value);
        let mut from = slot.value;
        let finds = slot.finds.iter().map(move |&(probe, to)| {
            let content = slot.bytes.get(from..to).unwrap_or_default();
            from = to;
            (probe, content)
        });
        same.then_some(finds)
    }

    /// Notes everything that it found.
    pub(super) fn note<'a>(
        &mut self,
        key: Key,
        value: &[u8],
        finds: impl Iterator<Item = (u32, &'a [u8])>,
    ) {
        if value.len() > LONGEST {
            return;
        }
        if self.slots.is_empty() {
            self.slots.resize_with(SLOTS, Slot::default);
            self.tags.resize(SLOTS, 0);
        }
        let Some(tag) = self.tags.get_mut(key.place()) else {
            return;
        };
        if *tag != key.tag() {
            *tag = key.tag();
            return;
        }
        let Some(slot) = self.slots.get_mut(key.place()) else {
            return;
        };
        slot.bytes.clear();
        slot.bytes.extend_from_slice(value);
        slot.finds.clear();
        (slot.program, slot.plan, slot.value) = (key.program, key.plan, value.len());
        for (probe, content) in finds {
            let full = slot.finds.len() == MOST_FINDS
                || slot.bytes.len() + content.len() > value.len() + MOST_CONTENT;
            if full {
                slot.program = 0;
                return;
            }
            slot.bytes.extend_from_slice(content);
            slot.finds.push((probe, slot.bytes.len()));
        }
    }
}

/// Spreads well enough: who aims at one slot only loses its use.
fn hash(plan: u32, value: &[u8]) -> u64 {
    const ODD: u64 = 0x9E37_79B9_7F4A_7C15;
    let mut hash = u64::from(plan) ^ ((value.len() as u64) << 32);
    let (words, rest) = value.as_chunks::<8>();
    for word in words {
        hash = (hash.rotate_left(5) ^ u64::from_le_bytes(*word)).wrapping_mul(ODD);
    }
    let last = rest.iter().fold(0, |all, &byte| all << 8 | u64::from(byte));
    hash = (hash.rotate_left(5) ^ last).wrapping_mul(ODD);
    hash ^ hash >> 29
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn note(memo: &mut Memo, program: u64, plan: u32, value: &[u8], finds: &[(u32, &[u8])]) {
        memo.note(Key::new(program, plan, value), value, finds.iter().copied());
    }

    fn known(memo: &Memo, program: u64, plan: u32, value: &[u8]) -> Option<Vec<(u32, Vec<u8>)>> {
        let finds = memo.known(Key::new(program, plan, value), value)?;
        Some(
            finds
                .map(|(probe, content)| (probe, content.to_vec()))
                .collect(),
        )
    }

    #[test]
    fn knows_what_came_twice_of_the_same_plan_and_program_only() {
        let mut memo = Memo::default();
        note(&mut memo, 1, 2, b"text/html,*/*", &[]);
        assert_eq!(known(&memo, 1, 2, b"text/html,*/*"), None);
        note(&mut memo, 1, 2, b"text/html,*/*", &[]);
        assert_eq!(known(&memo, 1, 2, b"text/html,*/*"), Some(vec![]));
        assert_eq!(known(&memo, 1, 3, b"text/html,*/*"), None);
        assert_eq!(known(&memo, 2, 2, b"text/html,*/*"), None);
        assert_eq!(known(&memo, 1, 2, b"text/html,*/+"), None);
        let long = [b'a'; LONGEST + 1];
        note(&mut memo, 1, 2, &long, &[]);
        note(&mut memo, 1, 2, &long, &[]);
        assert_eq!(known(&memo, 1, 2, &long), None);
    }

    #[test]
    fn tells_every_find_or_nothing() {
        let mut memo = Memo::default();
        let finds: [(u32, &[u8]); 3] = [(7, b"host"), (9, b""), (8, b"HOST")];
        for _ in 0..2 {
            note(&mut memo, 1, 0, b"Host", &finds);
        }
        let all = finds.map(|(probe, content)| (probe, content.to_vec()));
        assert_eq!(known(&memo, 1, 0, b"Host").unwrap(), all);
        for _ in 0..3 {
            note(&mut memo, 1, 0, b"many", &[(1, &b"x"[..]); MOST_FINDS + 1]);
            note(
                &mut memo,
                1,
                0,
                b"long",
                &[(1, &[b'x'; MOST_CONTENT + 1][..])],
            );
        }
        assert_eq!(known(&memo, 1, 0, b"many"), None);
        assert_eq!(known(&memo, 1, 0, b"long"), None);
    }

    #[test]
    fn a_newer_value_takes_the_place_of_an_older_one() {
        let mut memo = Memo::default();
        for number in 0..100_000_u32 {
            let value = format!("value {number}");
            note(&mut memo, 1, 0, value.as_bytes(), &[]);
            note(&mut memo, 1, 0, value.as_bytes(), &[]);
        }
        assert_eq!(memo.slots.len(), SLOTS);
        assert_eq!(known(&memo, 1, 0, b"value 99999"), Some(vec![]));
    }
}

//! Values that a plan has read and found nothing in. Browsers send the same headers with every request; comparing bytes
//! is far cheaper than reading them again. Only "nothing" is kept, so a memo can never hide a match, and what is
//! compared is the value itself, so no collision can either.

/// Shorter values cost less to read than to look up.
const SHORTEST: usize = 8;
/// Longer ones do not repeat.
const LONGEST: usize = 512;
/// A browser has some fifteen values, read by some ten plans each. With `LONGEST` the bound of a memo's memory: 512 KiB.
const SLOTS: usize = 1024;

#[derive(Debug, Default)]
struct Slot {
    /// Serial number of the program, 0 for none.
    program: u64,
    plan: u32,
    value: Vec<u8>,
}

/// A small cache in which a newer value takes the place of an older one.
#[derive(Debug, Default)]
pub(crate) struct Memo {
    slots: Vec<Slot>,
}

impl Memo {
    /// Whether this plan of this program is known to find nothing in `value`.
    pub(crate) fn knows(&self, program: u64, plan: u32, value: &[u8]) -> bool {
        (SHORTEST..=LONGEST).contains(&value.len())
            && self.slots.get(place(plan, value)).is_some_and(|slot| {
                slot.program == program && slot.plan == plan && slot.value == value
            })
    }

    /// Notes that it found nothing.
    pub(crate) fn note(&mut self, program: u64, plan: u32, value: &[u8]) {
        if !(SHORTEST..=LONGEST).contains(&value.len()) {
            return;
        }
        if self.slots.is_empty() {
            self.slots.resize_with(SLOTS, Slot::default);
        }
        if let Some(slot) = self.slots.get_mut(place(plan, value)) {
            slot.program = program;
            slot.plan = plan;
            slot.value.clear();
            slot.value.extend_from_slice(value);
        }
    }
}

/// Spreads well enough: who aims at one slot only loses its use.
fn place(plan: u32, value: &[u8]) -> usize {
    const ODD: u64 = 0x9E37_79B9_7F4A_7C15;
    let mut hash = u64::from(plan) ^ value.len() as u64;
    let (words, rest) = value.as_chunks::<8>();
    for word in words {
        hash = (hash.rotate_left(5) ^ u64::from_le_bytes(*word)).wrapping_mul(ODD);
    }
    for &byte in rest {
        hash = (hash.rotate_left(5) ^ u64::from(byte)).wrapping_mul(ODD);
    }
    (hash >> 32) as usize % SLOTS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_the_same_value_of_the_same_plan_and_program_only() {
        let mut memo = Memo::default();
        memo.note(1, 2, b"text/html,*/*");
        assert!(memo.knows(1, 2, b"text/html,*/*"));
        assert!(!memo.knows(1, 3, b"text/html,*/*"));
        assert!(!memo.knows(2, 2, b"text/html,*/*"));
        assert!(!memo.knows(1, 2, b"text/html,*/+"));
        let long = [b'a'; LONGEST + 1];
        memo.note(1, 2, &long);
        assert!(!memo.knows(1, 2, &long));
    }

    #[test]
    fn a_newer_value_takes_the_place_of_an_older_one() {
        let mut memo = Memo::default();
        for number in 0..100_000_u32 {
            memo.note(1, 0, format!("value {number}").as_bytes());
        }
        assert_eq!(memo.slots.len(), SLOTS);
        assert!(memo.knows(1, 0, b"value 99999"));
    }
}

//! Sets of byte values: what a value holds, what a pattern needs. Owns no text.

/// A set of byte values.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash, Debug)]
pub(crate) struct ByteSet([u64; 4]);

/// By byte: the set of it alone. Two loads a byte, where setting a bit in memory waits for the byte before: most bytes of
/// a value are letters, whose bits share a word.
static ALONE: [ByteSet; 256] = {
    let mut alone = [ByteSet::EMPTY; 256];
    let mut rest: &mut [ByteSet] = &mut alone;
    let mut byte = 0;
    while let [first, tail @ ..] = rest {
        *first = ByteSet::alone(byte);
        byte = byte.wrapping_add(1);
        rest = tail;
    }
    alone
};

impl ByteSet {
    pub(crate) const EMPTY: Self = Self([0; 4]);
    pub(crate) const ALL: Self = Self([u64::MAX; 4]);

    const fn alone(byte: u8) -> Self {
        let bit = 1 << (byte & 63);
        match byte >> 6 {
            0 => Self([bit, 0, 0, 0]),
            1 => Self([0, bit, 0, 0]),
            2 => Self([0, 0, bit, 0]),
            _ => Self([0, 0, 0, bit]),
        }
    }

    /// The distinct bytes of `text`.
    pub(crate) fn of(text: &[u8]) -> Self {
        let mut words = [0; 4];
        for &byte in text {
            // A byte is a place of the table, so the compiler drops the check.
            if let Some(Self(alone)) = ALONE.get(usize::from(byte)) {
                for (word, more) in words.iter_mut().zip(alone) {
                    *word |= more;
                }
            }
        }
        Self(words)
    }

    pub(crate) fn insert(&mut self, byte: u8) {
        *self = self.union(Self::of(&[byte]));
    }

    pub(crate) fn insert_range(&mut self, first: u8, last: u8) {
        for byte in first..=last {
            self.insert(byte);
        }
    }

    pub(crate) fn contains(self, byte: u8) -> bool {
        self.intersects(Self::of(&[byte]))
    }

    pub(crate) const fn union(self, other: Self) -> Self {
        let ([a, b, c, d], [e, f, g, h]) = (self.0, other.0);
        Self([a | e, b | f, c | g, d | h])
    }

    pub(crate) const fn complement(self) -> Self {
        let [a, b, c, d] = self.0;
        Self([!a, !b, !c, !d])
    }

    pub(crate) const fn intersects(self, other: Self) -> bool {
        let ([a, b, c, d], [e, f, g, h]) = (self.0, other.0);
        (a & e) | (b & f) | (c & g) | (d & h) != 0
    }

    pub(crate) const fn and(self, other: Self) -> Self {
        let ([a, b, c, d], [e, f, g, h]) = (self.0, other.0);
        Self([a & e, b & f, c & g, d & h])
    }

    pub(crate) const fn is_within(self, other: Self) -> bool {
        !self.intersects(other.complement())
    }

    pub(crate) const fn is_empty(self) -> bool {
        !self.intersects(Self::ALL)
    }

    /// The same set with every upper-case ASCII letter replaced by its lower-case one.
    pub(crate) const fn lowercase(self) -> Self {
        const UPPER: u64 = 0x07FF_FFFE;
        let [a, b, c, d] = self.0;
        Self([a, (b & !UPPER) | ((b & UPPER) << 32), c, d])
    }

    pub(crate) fn iter(self) -> impl Iterator<Item = u8> {
        let words = self.0.into_iter().zip([0_u8, 64, 128, 192]);
        words.flat_map(|(word, base)| bits(word).map(move |bit| base + bit))
    }
}

/// The places of the ones, lowest first.
pub(crate) fn bits(mut word: u64) -> impl Iterator<Item = u8> {
    std::iter::from_fn(move || {
        let bit = u8::try_from(word.trailing_zeros())
            .ok()
            .filter(|&bit| bit < 64)?;
        word &= word - 1;
        Some(bit)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lowercase_moves_letters_only() {
        let set = ByteSet::of(b"AZ@[x\x00\xff").lowercase();
        assert_eq!(
            set.iter().collect::<Vec<_>>(),
            [0, b'@', b'[', b'a', b'x', b'z', 255]
        );
    }

    #[test]
    fn ranges_and_intersections_agree_with_membership() {
        let mut set = ByteSet::EMPTY;
        set.insert_range(b'0', b'9');
        assert!(set.intersects(ByteSet::of(b"a5")) && !set.intersects(ByteSet::of(b"abc")));
        assert!(ByteSet::ALL.contains(0) && ByteSet::ALL.contains(255));
    }
}

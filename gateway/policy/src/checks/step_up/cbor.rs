//! As much of CBOR (RFC 8949) as authenticators write: whole numbers, byte and text strings, lists and maps of known length.
//! Bounded in depth and size; everything else is refused.

/// Deepest nesting: CTAP2 allows four levels.
const DEEPEST: u8 = 4;
/// Most members of a list or map.
const MOST: u64 = 64;

/// A value, borrowed from what was read.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Item<'b> {
    Number(i64),
    Bytes(&'b [u8]),
    Text(&'b str),
    List(Vec<Self>),
    Map(Vec<(Self, Self)>),
    Simple(u8),
}

/// The first value, and what follows it.
pub(super) fn first(bytes: &[u8]) -> Option<(Item<'_>, &[u8])> {
    let mut reader = Reader(bytes);
    let item = reader.item(0)?;
    Some((item, reader.0))
}

/// The only value.
pub(super) fn only(bytes: &[u8]) -> Option<Item<'_>> {
    first(bytes).filter(|(_, rest)| rest.is_empty()).map(|(item, _)| item)
}

impl<'b> Item<'b> {
    /// A map's value by a name.
    pub(super) fn named(&self, name: &str) -> Option<&Self> {
        self.found(|key| *key == Item::Text(name))
    }

    /// A map's value by a number, as COSE keys have them.
    pub(super) fn numbered(&self, number: i64) -> Option<&Self> {
        self.found(|key| *key == Item::Number(number))
    }

    pub(super) fn bytes(&self) -> Option<&'b [u8]> {
        match self {
            Self::Bytes(bytes) => Some(bytes),
            _ => None,
        }
    }

    /// The only value of that key: twice the same is two readings.
    fn found(&self, wanted: impl Fn(&Self) -> bool) -> Option<&Self> {
        let Self::Map(pairs) = self else { return None };
        let mut found = pairs.iter().filter(|(key, _)| wanted(key));
        let (_, value) = found.next()?;
        found.next().is_none().then_some(value)
    }
}

struct Reader<'b>(&'b [u8]);

impl<'b> Reader<'b> {
    fn take(&mut self, count: u64) -> Option<&'b [u8]> {
        let (taken, rest) = self.0.split_at_checked(usize::try_from(count).ok()?)?;
        self.0 = rest;
        Some(taken)
    }

    fn item(&mut self, depth: u8) -> Option<Item<'b>> {
        if depth > DEEPEST {
            return None;
        }
        let first = *self.take(1)?.first()?;
        let (major, argument) = (first >> 5, self.argument(first & 31)?);
        Some(match major {
            0 => Item::Number(i64::try_from(argument).ok()?),
            1 => Item::Number(-1 - i64::try_from(argument).ok()?),
            2 => Item::Bytes(self.take(argument)?),
            3 => Item::Text(std::str::from_utf8(self.take(argument)?).ok()?),
            4 if argument <= MOST => {
                let items = (0..argument).map(|_| self.item(depth + 1));
                Item::List(items.collect::<Option<_>>()?)
            }
            5 if argument <= MOST => {
                let pairs = (0..argument).map(|_| Some((self.item(depth + 1)?, self.item(depth + 1)?)));
                Item::Map(pairs.collect::<Option<_>>()?)
            }
            7 => Item::Simple(u8::try_from(argument).ok().filter(|_| first & 31 < 25)?),
            _ => return None,
        })
    }

    /// The number in a head: never an indefinite length.
    fn argument(&mut self, low: u8) -> Option<u64> {
        let width = match low {
            0..=23 => return Some(u64::from(low)),
            24 => 1,
            25 => 2,
            26 => 4,
            27 => 8,
            _ => return None,
        };
        let bytes = self.take(width)?;
        Some(bytes.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)))
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn reads_what_authenticators_write() {
        // {1: 2, 3: -7, "fmt": "none", -2: h'0102'}
        let bytes = b"\xa4\x01\x02\x03\x26\x63fmt\x64none\x21\x42\x01\x02rest";
        let (map, rest) = first(bytes).unwrap();
        assert_eq!(rest, b"rest");
        assert_eq!(map.numbered(3), Some(&Item::Number(-7)));
        assert_eq!(map.named("fmt"), Some(&Item::Text("none")));
        assert_eq!(map.numbered(-2).unwrap().bytes(), Some(&[1, 2][..]));
        assert_eq!(map.numbered(9), None);
        assert_eq!(only(b"\x82\x19\x01\x00\xf5"), Some(Item::List(vec![Item::Number(256), Item::Simple(21)])));
    }

    #[test]
    fn refuses_what_is_cut_off_endless_deep_or_huge() {
        for bad in [
            &b""[..],
            b"\x42\x01",
            b"\x5f\x41\x01\xff",
            b"\xbf\xff",
            b"\x81\x81\x81\x81\x81\x81\x01",
            b"\x9b\xff\xff\xff\xff\xff\xff\xff\xff",
            b"\x5b\xff\xff\xff\xff\xff\xff\xff\xff",
            b"\x1b\xff\xff\xff\xff\xff\xff\xff\xff",
            b"\xc0\x01",
            b"\xfb\x00\x00\x00\x00\x00\x00\x00\x00",
            b"\x62\xff\xff",
            b"\x01\x02",
        ] {
            assert_eq!(only(bad), None, "{bad:02x?}");
        }
        let twice = only(b"\xa2\x01\x02\x01\x03").unwrap();
        assert_eq!(twice.numbered(1), None);
    }
}

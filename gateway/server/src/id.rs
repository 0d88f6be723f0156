//! Request ids: taken from the client when they are harmless, made otherwise. They name a request, they prove nothing.

use std::cell::Cell;

use http::HeaderMap;
use smallvec::SmallVec;

use crate::reply::REQUEST_ID;

const MAX: usize = 128;

/// A request id; ASCII letters, digits and `-_.:/+=@` only, so that it can stand in a header, JSON and HTML as it is.
#[derive(Debug, Clone, Default)]
pub(crate) struct RequestId(SmallVec<[u8; 40]>);

impl RequestId {
    /// The client's, when it is one harmless value; else a fresh one.
    pub(crate) fn take_or_make(headers: &HeaderMap) -> Self {
        let mut values = headers.get_all(REQUEST_ID).iter();
        match (values.next(), values.next()) {
            (Some(value), None) if harmless(value.as_bytes()) => {
                Self(SmallVec::from_slice(value.as_bytes()))
            }
            _ => Self::make(),
        }
    }

    /// A fresh one, in the shape of a version 4 UUID.
    pub(crate) fn make() -> Self {
        let (high, low) = (random(), random());
        let value = (u128::from(high) << 64 | u128::from(low)) & !(0xf << 76) & !(0x3 << 62)
            | 0x4 << 76
            | 0x2 << 62;
        let mut digits = [0; 32];
        for (byte, [high, low]) in value.to_be_bytes().iter().zip(digits.as_chunks_mut().0) {
            (*high, *low) = (digit(byte >> 4), digit(byte & 0xf));
        }
        let mut text = [b'-'; 36];
        for (from, to) in [
            (0..8, 0),
            (8..12, 9),
            (12..16, 14),
            (16..20, 19),
            (20..32, 24),
        ] {
            let part = digits.get(from).unwrap_or_default();
            if let Some(place) = text.get_mut(to..to + part.len()) {
                place.copy_from_slice(part);
            }
        }
        Self(SmallVec::from_slice(&text))
    }

    pub(crate) fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

const fn digit(nibble: u8) -> u8 {
    if nibble < 10 {
        b'0' + nibble
    } else {
        b'a' + (nibble - 10)
    }
}

fn harmless(value: &[u8]) -> bool {
    (1..=MAX).contains(&value.len())
        && value
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_.:/+=@".contains(byte))
}

thread_local! {
    static STATE: Cell<u64> = Cell::new(seed());
}

fn seed() -> u64 {
    getrandom::u64().unwrap_or_else(|_| ahash::RandomState::new().hash_one(0))
}

/// splitmix64: unique enough for names, and no system call per request.
fn random() -> u64 {
    STATE.with(|state| {
        let next = state.get().wrapping_add(0x9e37_79b9_7f4a_7c15);
        state.set(next);
        let mixed = (next ^ (next >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    })
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn headers(value: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.append(REQUEST_ID, value.parse().unwrap());
        headers
    }

    #[test]
    fn takes_harmless_ids_and_replaces_the_rest() {
        for id in ["abc-12345", "7"] {
            assert_eq!(RequestId::take_or_make(&headers(id)).as_str(), id);
        }
        for odd in [
            "",
            "with space 123",
            "<script>alert(1)",
            "\"quoted-1234\"",
            &"a".repeat(129),
        ] {
            let made = RequestId::take_or_make(&headers(odd));
            assert_ne!(made.as_str(), odd);
            assert_eq!(made.as_str().len(), 36);
        }
    }

    #[test]
    fn makes_different_version_4_uuids() {
        let (one, two) = (RequestId::make(), RequestId::make());
        assert_ne!(one.as_str(), two.as_str());
        assert_eq!(one.as_str().as_bytes().get(14), Some(&b'4'));
        assert!(matches!(one.as_str().as_bytes().get(19), Some(b'8'..=b'b')));
    }
}

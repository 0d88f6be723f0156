//! Backup codes: eight hexadecimal digits each, shown once, kept as hashes, each good once.
//!
//! 32 bits are few: a plain hash of them is undone in seconds. So the hash is slow, salted for each user, and needs a
//! secret of the gateway's that is not in the record.

use std::num::NonZeroU32;

use aws_lc_rs::pbkdf2;
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq as _;

/// How many there are.
const COUNT: usize = 10;
const DIGITS: usize = 8;
/// Some milliseconds for one code; attempts are limited anyway.
const ROUNDS: NonZeroU32 = NonZeroU32::MIN.saturating_add(9_999);

/// The codes that are left, as hashes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Codes {
    salt: String,
    hashes: Vec<String>,
}

/// New codes: what is kept, and what is shown.
pub(super) fn make(pepper: &[u8; 32], random: [[u8; 32]; 3]) -> (Codes, Vec<String>) {
    let [salt, first, second] = random;
    let salt = hex(salt.get(..16).unwrap_or(&salt));
    let bytes: Vec<u8> = first.into_iter().chain(second).collect();
    let shown: Vec<String> = bytes.chunks_exact(DIGITS / 2).take(COUNT).map(hex).collect();
    let hashes = shown.iter().map(|code| hashed(pepper, &salt, code)).collect();
    (Codes { salt, hashes }, shown)
}

impl Codes {
    pub(super) fn left(&self) -> usize {
        self.hashes.len()
    }

    /// Whether this is one of them; it is none any more then.
    pub(super) fn take(&mut self, pepper: &[u8; 32], code: &str) -> bool {
        if !is_one(code) {
            return false;
        }
        let hash = hashed(pepper, &self.salt, code);
        let before = self.hashes.len();
        self.hashes.retain(|known| !bool::from(known.as_bytes().ct_eq(hash.as_bytes())));
        self.hashes.len() < before
    }
}

/// Whether it looks like one.
pub(super) fn is_one(code: &str) -> bool {
    code.len() == DIGITS && code.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

fn hashed(pepper: &[u8; 32], salt: &str, code: &str) -> String {
    let mut seed = pepper.to_vec();
    seed.extend_from_slice(salt.as_bytes());
    let mut out = [0; 16];
    pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, ROUNDS, &seed, code.as_bytes(), &mut out);
    hex(&out)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

    use super::*;

    #[test]
    fn ten_codes_of_eight_digits_each_good_once() {
        let pepper = [7; 32];
        let mut second = [0; 32];
        second.iter_mut().zip(40..).for_each(|(byte, number)| *byte = number);
        let mut first = [0; 32];
        first.iter_mut().zip(1..).for_each(|(byte, number)| *byte = number);
        let (mut codes, shown) = make(&pepper, [[9; 32], first, second]);
        assert_eq!((codes.left(), shown.len()), (10, 10));
        assert!(shown.iter().all(|code| is_one(code)));
        let kept = serde_json::to_string(&codes).unwrap();
        assert!(shown.iter().all(|code| !kept.contains(code.as_str())));
        assert!(!codes.clone().take(&[8; 32], &shown[3]));
        assert!(codes.take(&pepper, &shown[3]));
        assert!(!codes.take(&pepper, &shown[3]));
        assert!(codes.take(&pepper, &shown[9]));
        assert!(!codes.take(&pepper, "") && !codes.take(&pepper, &shown[0][..7]));
        assert_eq!(codes.left(), 8);
    }
}

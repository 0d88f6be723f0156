//! A key as its owner holds it: `pal_`, 8 characters to look it up by, `_`, 32 random bytes, a checksum. A typing error is
//! found, and a scanner for leaked keys finds real ones, without asking anybody.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

/// What every key starts with.
pub(super) const MARK: &str = "pal_";

/// Characters of the part that a key is looked up by.
pub const PREFIX: usize = 8;

/// Where the checksum begins: after mark, prefix, `_` and 43 characters of the secret.
const SUM: usize = 4 + PREFIX + 1 + 43;

/// Characters of a key.
pub const LENGTH: usize = SUM + 6;

const LETTERS: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";

/// The part that a key is looked up by; `None` when the text is no key.
#[must_use]
pub fn prefix(key: &str) -> Option<&str> {
    let (body, sum) = key.split_at_checked(SUM)?;
    let (prefix, secret) = body.strip_prefix(MARK)?.split_at_checked(PREFIX)?;
    let secret = secret.strip_prefix('_')?.as_bytes();
    let fine = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    let whole = is_prefix(prefix) && secret.iter().all(fine) && sum.as_bytes() == checksum(body);
    whole.then_some(prefix)
}

/// Whether this may be the part that a key is looked up by.
#[must_use]
pub fn is_prefix(text: &str) -> bool {
    text.len() == PREFIX && text.bytes().all(|byte| LETTERS.contains(&byte))
}

/// What is stored of a key. No salt: 256 random bits cannot be tried.
#[must_use]
pub fn hash(key: &str) -> [u8; 32] {
    let mut digest = Sha256::new();
    digest.update(b"palisade/api-key/1\0");
    digest.update(key);
    digest.finalize().into()
}

/// A letter for each random byte.
#[must_use]
pub fn make_prefix(random: [u8; PREFIX]) -> String {
    let letter = |byte: u8| LETTERS.get(usize::from(byte & 31)).copied().map_or('a', char::from);
    random.into_iter().map(letter).collect()
}

/// The key of that prefix and those random bytes.
#[must_use]
pub fn make(prefix: &str, random: &[u8; 32]) -> Zeroizing<String> {
    let mut key = Zeroizing::new(String::with_capacity(LENGTH));
    key.push_str(MARK);
    key.push_str(prefix);
    key.push('_');
    URL_SAFE_NO_PAD.encode_string(random, &mut key);
    let sum = checksum(&key);
    key.extend(sum.map(char::from));
    key
}

fn checksum(body: &str) -> [u8; 6] {
    let mut digest = Sha256::new();
    digest.update(b"palisade/api-key/sum/1\0");
    digest.update(body);
    let mut sum = [b'A'; 6];
    let whole: [u8; 32] = digest.finalize().into();
    if let Some((first, _)) = whole.split_first_chunk::<4>() {
        // Four bytes are six characters.
        let _ = URL_SAFE_NO_PAD.encode_slice(first, &mut sum);
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_found_by_its_prefix_and_no_character_can_be_changed() {
        let key = make(&make_prefix([0, 1, 2, 3, 31, 32, 255, 9]), &[7; 32]);
        assert_eq!(key.len(), LENGTH);
        assert_eq!(prefix(&key), Some("abcd7a7j"));
        for at in 0..key.len() {
            for other in ["A", "z", "_", " ", "\u{e9}"] {
                let mut changed = key.to_string();
                changed.replace_range(at..=at, other);
                assert!(changed == *key || prefix(&changed).is_none(), "{changed}");
            }
        }
        for wrong in ["", "pal_", &key[1..], &format!("{}A", *key), "sk_live_0123456789"] {
            assert_eq!(prefix(wrong), None, "{wrong}");
        }
    }
}

//! The token: 16 random bytes, when it ends, and an HMAC over both and the session that it is for. Knows nothing of
//! cookies and requests.

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use crate::io::Key;

/// Bytes of a token before they become text.
const LENGTH: usize = 16 + 8 + 32;

/// Characters of a token: base64url without padding.
pub(super) const CHARACTERS: usize = 75;

/// Characters of one that is masked.
pub(super) const MASKED: usize = 150;

/// The token as a page shows it: another text on every page, so that nobody who sees how long compressed pages are learns
/// it piece by piece (BREACH).
pub(super) fn masked(token: &str, random: [[u8; 32]; 2]) -> Option<String> {
    let bytes = URL_SAFE_NO_PAD.decode(token).ok().filter(|bytes| bytes.len() == LENGTH)?;
    let mask = random.as_flattened().get(..LENGTH)?;
    let hidden = bytes.iter().zip(mask).map(|(byte, mask)| byte ^ mask);
    let whole: Vec<u8> = mask.iter().copied().chain(hidden).collect();
    Some(URL_SAFE_NO_PAD.encode(whole))
}

/// The token that a page showed.
pub(super) fn unmasked(shown: &[u8]) -> Option<String> {
    let bytes = URL_SAFE_NO_PAD.decode(shown).ok()?;
    let (mask, hidden) = bytes.split_at_checked(LENGTH).filter(|(_, hidden)| hidden.len() == LENGTH)?;
    let token: Vec<u8> = mask.iter().zip(hidden).map(|(mask, byte)| mask ^ byte).collect();
    Some(URL_SAFE_NO_PAD.encode(token))
}

/// Why a token is not good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Flaw {
    /// Not one of ours, or changed, or of another session: which of them cannot be told apart.
    Unsigned,
    /// Older than it may be.
    Expired,
}

/// Signs with the first key, accepts all of them.
#[derive(Debug)]
pub(super) struct Signer(Vec<hmac::Key>);

impl Signer {
    pub(super) fn new(secrets: &[Zeroizing<Vec<u8>>]) -> Self {
        let keys = secrets.iter().map(|secret| hmac::Key::new(hmac::HMAC_SHA256, secret));
        Self(keys.collect())
    }

    /// A token for this session, or for nobody in particular, good until `ends` (Unix seconds).
    pub(super) fn make(&self, session: Option<Key>, random: [u8; 32], ends: u64) -> Option<String> {
        let (random, _) = random.split_first_chunk::<16>()?;
        let mut bytes = Vec::with_capacity(LENGTH);
        bytes.extend_from_slice(random);
        bytes.extend_from_slice(&ends.to_be_bytes());
        bytes.extend_from_slice(mac(self.0.first()?, session, random, ends).as_ref());
        Some(URL_SAFE_NO_PAD.encode(bytes))
    }

    /// When a good token ends, in Unix seconds.
    pub(super) fn verify(&self, token: &str, session: Option<Key>, now: u64) -> Result<u64, Flaw> {
        let mut bytes = [0; LENGTH + 4];
        if token.len() != CHARACTERS {
            return Err(Flaw::Unsigned);
        }
        let length = URL_SAFE_NO_PAD.decode_slice(token, &mut bytes).map_err(|_| Flaw::Unsigned)?;
        let bytes = bytes.get(..length).unwrap_or_default();
        let (random, rest) = bytes.split_first_chunk::<16>().ok_or(Flaw::Unsigned)?;
        let (ends, sent) = rest.split_first_chunk::<8>().ok_or(Flaw::Unsigned)?;
        let ends = u64::from_be_bytes(*ends);
        let signed = |key| bool::from(mac(key, session, random, ends).as_ref().ct_eq(sent));
        // Every key is tried whatever the one before said: time tells nothing.
        if !self.0.iter().fold(false, |good, key| signed(key) | good) {
            return Err(Flaw::Unsigned);
        }
        if now >= ends { Err(Flaw::Expired) } else { Ok(ends) }
    }
}

/// A token without a session never passes for one of a session, whatever the session's key.
fn mac(key: &hmac::Key, session: Option<Key>, random: &[u8; 16], ends: u64) -> hmac::Tag {
    let mut context = hmac::Context::with_key(key);
    context.update(b"palisade/csrf/1\0");
    context.update(&[u8::from(session.is_some())]);
    context.update(&session.map_or(0, |key| key.0).to_be_bytes());
    context.update(random);
    context.update(&ends.to_be_bytes());
    context.sign()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn signer(secrets: &[&str]) -> Signer {
        let secrets: Vec<_> = secrets.iter().map(|text| Zeroizing::new(text.as_bytes().to_vec())).collect();
        Signer::new(&secrets)
    }

    #[test]
    fn a_token_is_good_for_its_session_and_its_time() {
        let signer = signer(&["one"]);
        for session in [None, Some(Key(0)), Some(Key(7))] {
            let token = signer.make(session, [3; 32], 100).unwrap();
            assert_eq!(token.len(), CHARACTERS);
            for other in [None, Some(Key(0)), Some(Key(7))] {
                let expected = if other == session { Ok(100) } else { Err(Flaw::Unsigned) };
                assert_eq!(signer.verify(&token, other, 99), expected);
            }
            assert_eq!(signer.verify(&token, session, 100), Err(Flaw::Expired));
        }
    }

    #[test]
    fn no_character_of_a_token_can_be_changed() {
        let signer = signer(&["one"]);
        let token = signer.make(Some(Key(7)), [3; 32], 100).unwrap();
        for at in 0..token.len() {
            for other in ["A", "B", "_", "=", " ", "\u{e9}"] {
                let mut changed = token.clone();
                changed.replace_range(at..=at, other);
                if changed != token {
                    assert_eq!(signer.verify(&changed, Some(Key(7)), 1), Err(Flaw::Unsigned), "{changed}");
                }
            }
        }
        for text in ["", "A", &token[1..], &format!("{token}A")] {
            assert_eq!(signer.verify(text, Some(Key(7)), 1), Err(Flaw::Unsigned), "{text}");
        }
    }

    #[test]
    fn a_masked_token_is_another_on_every_page_and_the_same_within() {
        let token = signer(&["one"]).make(None, [3; 32], 100).unwrap();
        let (one, other) = (masked(&token, [[1; 32]; 2]).unwrap(), masked(&token, [[2; 32], [5; 32]]).unwrap());
        assert_ne!(one, other);
        assert_eq!((one.len(), other.len()), (MASKED, MASKED));
        for shown in [one, other] {
            assert_eq!(unmasked(shown.as_bytes()).unwrap(), token);
            assert!(!shown.contains(&token[..20]));
        }
        assert_eq!(masked("AAAA", [[1; 32]; 2]), None);
        for shown in ["", "AAAA", &token, &"A".repeat(151), &"!".repeat(150)] {
            assert_eq!(unmasked(shown.as_bytes()), None, "{shown}");
        }
    }

    #[test]
    fn a_rotated_secret_is_accepted_and_no_longer_used() {
        let (old, both, new) = (signer(&["one"]), signer(&["two", "one"]), signer(&["two"]));
        let before = old.make(None, [3; 32], 100).unwrap();
        assert_eq!(both.verify(&before, None, 1), Ok(100));
        assert_eq!(new.verify(&before, None, 1), Err(Flaw::Unsigned));
        let after = both.make(None, [3; 32], 100).unwrap();
        assert_eq!(new.verify(&after, None, 1), Ok(100));
        assert_eq!(old.verify(&after, None, 1), Err(Flaw::Unsigned));
    }
}

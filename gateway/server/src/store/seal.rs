//! Sealing of values that must be unreadable and unchangeable where they lie: AES-256-GCM, bound to their place. Owns the
//! form of a sealed value; which spaces are sealed is said here, once.
//!
//! A sealed value: version (1 byte), key id (4), mark (16), nonce (12), ciphertext and tag. The mark is a keyed hash of
//! place and plain value, so that a shared store can compare with an expected value without the key; it tells an
//! onlooker that a place holds what it held before, and nothing else.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::{digest, hmac};
use bytes::Bytes;
use policy::io::{Key, Space, StoreFault};
use policy::settings::Secret;

const VERSION: u8 = 1;
const ID: usize = 4;
const MARK: usize = 16;
/// Version, key id and mark: what an expected value is compared by.
const HEAD: usize = 1 + ID + MARK;

/// The first bytes of a sealed value.
pub(super) type Head = [u8; HEAD];

/// Where a value lies: no sealed value can be moved to another place.
pub(super) fn name(space: Space, key: Key) -> Vec<u8> {
    let mut name = Vec::with_capacity(32);
    name.extend_from_slice(space.as_str().as_bytes());
    name.push(0);
    name.extend_from_slice(&key.0.to_be_bytes());
    name
}

/// Keys to seal with, the current one first; none: nothing is sealed.
#[derive(Debug, Default)]
pub(super) struct Seal {
    keys: Vec<Sealer>,
}

struct Sealer {
    id: [u8; ID],
    aead: LessSafeKey,
    mac: hmac::Key,
}

impl std::fmt::Debug for Sealer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Sealer({:02x?})", self.id)
    }
}

impl Sealer {
    fn new(secret: &[u8]) -> Option<Self> {
        let derive = |what: &[u8]| {
            let mut context = digest::Context::new(&digest::SHA256);
            context.update(b"palisade/seal/1/");
            context.update(what);
            context.update(&[0]);
            context.update(secret);
            context.finish()
        };
        let mut id = [0; ID];
        id.iter_mut()
            .zip(derive(b"id").as_ref())
            .for_each(|(to, from)| *to = *from);
        let aead = UnboundKey::new(&AES_256_GCM, derive(b"aead").as_ref()).ok()?;
        Some(Self {
            id,
            aead: LessSafeKey::new(aead),
            mac: hmac::Key::new(hmac::HMAC_SHA256, derive(b"mark").as_ref()),
        })
    }

    fn head(&self, name: &[u8], plain: &[u8]) -> Head {
        let mut context = hmac::Context::with_key(&self.mac);
        context.update(&(name.len() as u64).to_le_bytes());
        context.update(name);
        context.update(plain);
        let mark = context.sign();
        let mut head = [VERSION; HEAD];
        let parts = self.id.iter().chain(mark.as_ref());
        head.iter_mut()
            .skip(1)
            .zip(parts)
            .for_each(|(to, from)| *to = *from);
        head
    }
}

impl Seal {
    /// What is new is sealed with the first secret; all of them open.
    pub(super) fn new(secrets: &[Secret]) -> Self {
        let keys = secrets.iter().filter_map(|secret| Sealer::new(&secret.0));
        Self {
            keys: keys.collect(),
        }
    }

    /// Whether values of a space are sealed.
    pub(super) fn covers(&self, space: Space) -> bool {
        !self.keys.is_empty()
            && match space {
                Space::Session
                | Space::User
                | Space::ApiKey
                | Space::Factor
                | Space::Once
                | Space::Emergency
                | Space::Networks => true,
                // Asked with every request, or hold no more than numbers.
                Space::Ban | Space::Failures | Space::Revocation | Space::Quota => false,
            }
    }

    /// Whether anything is sealed.
    pub(super) fn is_on(&self) -> bool {
        !self.keys.is_empty()
    }

    /// Seals with the current key.
    pub(super) fn seal(&self, name: &[u8], plain: &[u8]) -> Result<Bytes, StoreFault> {
        let key = self.keys.first().ok_or(StoreFault::Corrupt)?;
        let mut nonce = [0; NONCE_LEN];
        getrandom::fill(&mut nonce).map_err(|_| StoreFault::Down)?;
        let head = key.head(name, plain);
        let mut sealed = Vec::with_capacity(HEAD + NONCE_LEN + plain.len() + 16);
        sealed.extend_from_slice(&head);
        sealed.extend_from_slice(&nonce);
        let mut text = plain.to_vec();
        let bound = Aad::from(bound(name, &head));
        key.aead
            .seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), bound, &mut text)
            .map_err(|_| StoreFault::Corrupt)?;
        sealed.extend_from_slice(&text);
        Ok(sealed.into())
    }

    /// Opens what any of the keys sealed at this place.
    pub(super) fn open(&self, name: &[u8], sealed: &[u8]) -> Result<Bytes, StoreFault> {
        let (head, rest) = sealed.split_at_checked(HEAD).ok_or(StoreFault::Corrupt)?;
        let (nonce, text) = rest
            .split_at_checked(NONCE_LEN)
            .ok_or(StoreFault::Corrupt)?;
        let id = head.get(1..1 + ID).ok_or(StoreFault::Corrupt)?;
        let known = head.first() == Some(&VERSION);
        let key = self.keys.iter().find(|key| known && key.id == id);
        let key = key.ok_or(StoreFault::Corrupt)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| StoreFault::Corrupt)?;
        let mut text = text.to_vec();
        let bound = Aad::from(bound(name, head));
        let opened = key.aead.open_in_place(nonce, bound, &mut text);
        let length = opened.map_err(|_| StoreFault::Corrupt)?.len();
        text.truncate(length);
        Ok(text.into())
    }

    /// How a sealed `plain` begins at this place, under each of the keys.
    pub(super) fn heads(&self, name: &[u8], plain: &[u8]) -> Vec<Head> {
        self.keys.iter().map(|key| key.head(name, plain)).collect()
    }
}

/// What a sealed value is bound to.
fn bound(name: &[u8], head: &[u8]) -> Vec<u8> {
    [name, head].concat()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use policy::io::{Key, Space, StoreFault};
    use policy::settings::Secret;

    use super::{HEAD, Seal, name};

    fn seal(secrets: &[&str]) -> Seal {
        let secrets: Vec<_> = secrets
            .iter()
            .map(|text| Secret(text.as_bytes().to_vec().into()))
            .collect();
        Seal::new(&secrets)
    }

    #[test]
    fn opens_what_it_sealed_and_shows_nothing_of_it() {
        let seal = seal(&["one secret of some length"]);
        let name = name(Space::Factor, Key(7));
        let sealed = seal.seal(&name, b"otpauth-secret").unwrap();
        assert_eq!(seal.open(&name, &sealed).unwrap(), "otpauth-secret");
        assert!(memchr::memmem::find(&sealed, b"otpauth").is_none());
        // Twice the same is not twice the same text.
        assert_ne!(seal.seal(&name, b"otpauth-secret").unwrap(), sealed);
    }

    #[test]
    fn a_value_cannot_be_changed_or_moved() {
        let seal = seal(&["one secret of some length"]);
        let here = name(Space::Factor, Key(7));
        let sealed = seal.seal(&here, b"mine").unwrap();
        for there in [name(Space::Factor, Key(8)), name(Space::Session, Key(7))] {
            assert_eq!(seal.open(&there, &sealed), Err(StoreFault::Corrupt));
        }
        for at in 0..sealed.len() {
            let mut bad = sealed.to_vec();
            *bad.get_mut(at).unwrap() ^= 1;
            assert_eq!(seal.open(&here, &bad), Err(StoreFault::Corrupt), "{at}");
            let short = sealed.get(..at).unwrap();
            assert_eq!(seal.open(&here, short), Err(StoreFault::Corrupt), "{at}");
        }
        // What was never sealed is refused, too: else whoever writes to the store could write anything.
        assert_eq!(
            seal.open(&here, b"{\"user\": \"mia\"}"),
            Err(StoreFault::Corrupt)
        );
    }

    #[test]
    fn a_replaced_key_still_opens_and_compares() {
        let here = name(Space::User, Key(1));
        let before = seal(&["the secret before this one"])
            .seal(&here, b"x")
            .unwrap();
        let now = seal(&["another secret by now", "the secret before this one"]);
        assert_eq!(now.open(&here, &before).unwrap(), "x");
        let heads = now.heads(&here, b"x");
        assert!(heads.iter().any(|head| before.starts_with(head)));
        assert!(heads.iter().all(|head| head.len() == HEAD));
        let again = now.seal(&here, b"x").unwrap();
        assert!(again.starts_with(heads.first().unwrap()));
        let stranger = seal(&["a stranger's secret here"]);
        assert_eq!(stranger.open(&here, &before), Err(StoreFault::Corrupt));
        assert!(
            !stranger
                .heads(&here, b"x")
                .iter()
                .any(|head| before.starts_with(head))
        );
    }

    #[test]
    fn without_a_key_nothing_is_sealed() {
        let none = seal(&[]);
        assert!(Space::ALL.iter().all(|space| !none.covers(*space)));
        let some = seal(&["one secret of some length"]);
        assert!(some.covers(Space::Session) && !some.covers(Space::Ban));
    }
}

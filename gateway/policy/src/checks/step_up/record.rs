//! What a user enrolled, and what was proven in a session: the records, and where they are kept. Decides nothing.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::codes::Codes;
use super::key::Credential;
use super::totp::Totp;
use super::Method;
use crate::io::Key;
use crate::key::{self, Keys};

/// A factor that nobody used for so long is forgotten; every use begins it anew.
pub(super) const KEPT: Duration = Duration::from_secs(3650 * 86_400);

/// Everything that a user enrolled.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Factors {
    /// Another number after factors were taken away or replaced: what was proven before counts no more.
    pub(super) epoch: u64,
    /// Proofs so far. Attempts are counted apart after each, so that only wrong ones in a row add up.
    pub(super) proofs: u64,
    #[serde(default)]
    pub(super) totp: Option<Totp>,
    #[serde(default)]
    pub(super) keys: Vec<Credential>,
    #[serde(default)]
    pub(super) codes: Codes,
}

/// The epoch of stored [`Factors`], which is all that a request with a fresh proof needs of them. It stands first: reading
/// the whole record would need a heap.
pub(super) fn epoch(stored: &[u8]) -> Option<u64> {
    let rest = stored.strip_prefix(b"{\"epoch\":")?;
    let end = rest.iter().position(|byte| !byte.is_ascii_digit())?;
    std::str::from_utf8(rest.get(..end)?).ok()?.parse().ok()
}

/// What was proven in a session, and when: Unix seconds, 0 for never.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Proof {
    pub(super) epoch: u64,
    totp: u64,
    key: u64,
    /// By a key that checked its user's PIN or finger: what `verify_user` asks for.
    #[serde(default)]
    verified_key: u64,
    code: u64,
}

/// What was proven.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Proven {
    Totp,
    /// Whether the key checked its user as well.
    Key { verified: bool },
    Code,
}

/// A set-up that waits for its first code.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Pending {
    pub(super) totp: Totp,
}

impl Factors {
    /// Whether there is anything to ask for.
    pub(super) fn any(&self) -> bool {
        self.totp.is_some() || !self.keys.is_empty()
    }

    /// Whether the user can prove anything by this method.
    pub(super) fn has(&self, method: Method) -> bool {
        match method {
            Method::Totp => self.totp.is_some(),
            Method::Webauthn => !self.keys.is_empty(),
            Method::BackupCode => self.codes.left() > 0,
        }
    }
}

impl Proof {
    /// The same with one more thing proven just now; what was proven with other factors is forgotten.
    pub(super) fn with(before: Option<Self>, epoch: u64, proven: Proven, now: u64) -> Self {
        let mut proof = before.filter(|proof| proof.epoch == epoch).unwrap_or_default();
        proof.epoch = epoch;
        match proven {
            Proven::Totp => proof.totp = now,
            Proven::Key { verified } => {
                proof.key = now;
                if verified {
                    proof.verified_key = now;
                }
            }
            Proven::Code => proof.code = now,
        }
        proof
    }

    /// The same for the session that changed the user's factors itself: what others proved before is over.
    pub(super) fn carried(self, from: u64, to: u64) -> Option<Self> {
        (self.epoch == from).then_some(Self { epoch: to, ..self })
    }

    /// Whether one of the methods was proven within that time. A proof from the future is none: a clock went back.
    pub(super) fn is_fresh(&self, (methods, verify_user): (&[Method], bool), within: u64, now: u64) -> bool {
        methods.iter().any(|method| {
            let at = match method {
                Method::Totp => self.totp,
                Method::Webauthn if verify_user => self.verified_key,
                Method::Webauthn => self.key,
                Method::BackupCode => self.code,
            };
            at > 0 && at <= now && now - at < within
        })
    }
}

/// Where a user's factors are kept, in [`crate::io::Space::Factor`]. By the name to the letter, as the session says it: where
/// the application takes `Ann` for `ann`, so does the session (`fold`), or who holds the Shift key down is a user without
/// factors.
pub(super) fn user_key(keys: Keys, user: &str) -> Key {
    named(keys, "factors", user.as_bytes(), None)
}

/// Where a session's set-up waits, in [`crate::io::Space::Factor`].
pub(super) fn pending_key(keys: Keys, user: &str, session: Key) -> Key {
    named(keys, "factor-pending", user.as_bytes(), Some(session))
}

/// Where a session's proofs are kept, in [`crate::io::Space::Once`].
pub(super) fn proof_key(keys: Keys, user: &str, session: Key) -> Key {
    named(keys, "factor-proof", user.as_bytes(), Some(session))
}

/// Where a session's question to a security key waits for its answer, in [`crate::io::Space::Once`].
pub(super) fn challenge_key(keys: Keys, user: &str, session: Key) -> Key {
    named(keys, "factor-challenge", user.as_bytes(), Some(session))
}

/// What attempts are counted under: one user's, or one session's.
pub(super) fn attempt_key(keys: Keys, user: &str, session: Option<Key>, proofs: u64) -> Key {
    let session = session.map_or(0, |session| session.0);
    let start = keys.start(key::stable("factor-attempts")).part(0, user.as_bytes());
    start.part(1, &session.to_le_bytes()).part(2, &proofs.to_le_bytes()).finish()
}

fn named(keys: Keys, what: &str, user: &[u8], session: Option<Key>) -> Key {
    let start = keys.start(key::stable(what)).part(0, user);
    match session {
        Some(session) => start.part(1, &session.0.to_le_bytes()).finish(),
        None => start.finish(),
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn the_epoch_is_read_from_what_is_stored() {
        for number in [0, 1, u64::MAX] {
            let factors = Factors { epoch: number, ..Factors::default() };
            assert_eq!(epoch(&crate::stored::encode(&factors).unwrap()), Some(number));
        }
        for bad in [&b""[..], b"{}", b"{\"epoch\":", b"{\"epoch\":-1}", b"{\"epoch\":99999999999999999999}"] {
            assert_eq!(epoch(bad), None);
        }
    }
}

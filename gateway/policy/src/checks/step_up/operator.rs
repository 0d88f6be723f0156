//! A user's factors as operators see them: what there is, never a secret. Where they are kept, so that they can be removed.

use bytes::Bytes;
use serde::Serialize;

use super::record::{self, Factors, KEPT};
use crate::io::{Io, Key, Space, StoreFault};
use crate::key::Keys;
use crate::stored::{self, Change};

/// What a user enrolled.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Status {
    /// When an authenticator app was set up, Unix seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub totp: Option<u64>,
    /// Names of security keys, and when each was added.
    pub keys: Vec<(String, u64)>,
    /// Backup codes that are left.
    pub backup_codes: usize,
}

/// Where a user's factors are kept, in [`crate::io::Space::Factor`].
#[must_use]
pub fn user_key(keys: Keys, user: &str) -> Key {
    record::user_key(keys, user)
}

/// Wrong codes of a user so far count no more: attempts are counted apart from here on, as after a proof. `false`: the user
/// has no factors.
///
/// # Errors
/// When the store gives no answer.
pub async fn forget_attempts<I: Io>(io: &mut I, keys: Keys, user: &str) -> Result<bool, StoreFault> {
    let key = user_key(keys, user);
    stored::update(io, Space::Factor, key, |stored: Option<Factors>| match stored {
        Some(mut factors) => {
            factors.proofs = factors.proofs.wrapping_add(1);
            (Change::Put(factors, KEPT), true)
        }
        None => (Change::Keep, false),
    })
    .await
}

/// What is stored there.
///
/// # Errors
/// [`StoreFault::Corrupt`] when it is something else.
pub fn status(stored: &Bytes) -> Result<Status, StoreFault> {
    let factors: Factors = stored::decode(stored)?;
    Ok(Status {
        totp: factors.totp.as_ref().map(|totp| totp.since),
        keys: factors.keys.iter().map(|key| (key.name.clone(), key.since)).collect(),
        backup_codes: factors.codes.left(),
    })
}

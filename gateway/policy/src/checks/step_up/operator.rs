//! A user's factors as operators see them: what there is, never a secret. Where they are kept, so that they can be removed.

use bytes::Bytes;
use serde::Serialize;

use super::record::{self, Factors};
use crate::io::{Key, StoreFault};
use crate::key::Keys;
use crate::stored;

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

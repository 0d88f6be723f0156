//! What is stored of a key: never the key. Operators' commands write it, the check reads it.

use std::net::IpAddr;
use std::time::Duration;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::quota::Quota;
use super::text;
use crate::io::Key;
use crate::key::{Keys, stable};
use crate::scalar::Rate;

/// How long a key without an end is kept; each use puts that off.
const FOREVER: Duration = Duration::from_secs(3650 * 86_400);

/// How long a key is listed once it is over, in milliseconds.
const LISTED: u64 = 30 * 86_400_000;

/// A key's record, in [`crate::io::Space::ApiKey`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// What it is looked up by.
    pub prefix: String,
    /// Of the key, hex.
    pub hash: String,
    /// Of the key before, while that is accepted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<Previous>,
    /// Whose it is: the user of every request that brings it.
    pub owner: String,
    /// What it is for, in words.
    #[serde(default)]
    pub name: String,
    /// What it may do.
    #[serde(default)]
    pub permissions: Vec<String>,
    /// Its scopes.
    #[serde(default)]
    pub scopes: Vec<String>,
    /// Where it may be used; empty: everywhere.
    #[serde(default)]
    pub networks: Vec<String>,
    /// Unix milliseconds.
    pub created: u64,
    /// Unix milliseconds; `None`: never.
    #[serde(default)]
    pub expires: Option<u64>,
    /// Unix milliseconds of its end before its time.
    #[serde(default)]
    pub revoked: Option<u64>,
    /// Unix milliseconds of a use, at most an hour before the last one.
    #[serde(default)]
    pub used: Option<u64>,
    /// Its own rate, such as `100/1m`.
    #[serde(default)]
    pub rate: Option<String>,
    /// Its own quota, such as `1000/1d`.
    #[serde(default)]
    pub quota: Option<String>,
}

/// The key that was rotated away.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Previous {
    /// Of that key, hex.
    pub hash: String,
    /// Accepted until then, Unix milliseconds.
    pub until: u64,
}

/// Where the record of a prefix is.
#[must_use]
pub fn key(keys: Keys, prefix: &str) -> Key {
    keys.start(stable("api_key")).part(0, prefix.as_bytes()).finish()
}

impl Record {
    /// How long it has to be kept.
    #[must_use]
    pub fn ttl(&self, now: u64) -> Duration {
        match (self.revoked, self.expires) {
            (None, None) => FOREVER,
            (Some(at), _) | (None, Some(at)) => {
                Duration::from_millis(at.saturating_add(LISTED).saturating_sub(now).max(1))
            }
        }
    }

    /// Whether requests may bring it now, apart from where and how often.
    #[must_use]
    pub fn active(&self, now: u64) -> bool {
        self.revoked.is_none() && self.expires.is_none_or(|expires| now < expires)
    }

    /// A new key in place of this one, which is accepted for as long as `grace` says.
    pub fn rotate(&mut self, key: &str, now: u64, grace: Duration) {
        let grace = u64::try_from(grace.as_millis()).unwrap_or(u64::MAX);
        let old = std::mem::replace(&mut self.hash, hex(&text::hash(key)));
        let until = now.saturating_add(grace);
        self.previous = (grace > 0).then_some(Previous { hash: old, until });
    }

    /// What is wrong with it, before it is stored for the first time.
    ///
    /// # Errors
    /// A sentence.
    pub fn judge(&self) -> Result<(), String> {
        let plain = |text: &str| !text.is_empty() && text.len() <= 256 && !text.chars().any(char::is_control);
        if !plain(&self.owner) {
            return Err("owner: 1 to 256 characters, none of them a control character".to_owned());
        }
        if !self.name.is_empty() && !plain(&self.name) {
            return Err("name: at most 256 characters, none of them a control character".to_owned());
        }
        let words = self.permissions.iter().chain(&self.scopes);
        if let Some(word) = words.clone().find(|word| !plain(word) || word.contains([',', ' '])) {
            return Err(format!("`{word}` is not a permission or scope: no spaces, no commas"));
        }
        if words.count() + self.networks.len() > 1000 {
            return Err("at most 1000 permissions, scopes and networks".to_owned());
        }
        for network in &self.networks {
            parse_network(network)?;
        }
        if let Some(rate) = &self.rate {
            super::rate(rate.parse::<Rate>()?)?;
        }
        self.quota.as_ref().map_or(Ok(()), |quota| quota.parse::<Quota>().map(|_| ()))
    }
}

/// `10.0.0.0/8`, or one address.
pub(super) fn parse_network(text: &str) -> Result<IpNet, String> {
    let network = text.parse::<IpNet>().or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
    network.map_err(|_| format!("`{text}` is not a network"))
}

/// As records hold hashes.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    let mut text = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// The hash that a record holds.
pub(super) fn unhex(text: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    if text.len() != 64 || !text.is_ascii() {
        return None;
    }
    for (at, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(text.get(2 * at..2 * at + 2)?, 16).ok()?;
    }
    Some(bytes)
}

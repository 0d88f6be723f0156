//! A key's record, read: what every request that brings it asks of it. Kept for seconds, so that a busy key costs the
//! store little; that is how long a revocation may take to hold.

use std::net::IpAddr;
use std::sync::Arc;

use hashbrown::HashMap;
use http::HeaderValue;
use ipnet::IpNet;
use parking_lot::RwLock;
use serde_json::{Map, Value};
use subtle::ConstantTimeEq as _;

use super::quota::Quota;
use super::record::{Record, parse_network, unhex};
use super::{Check, Said, rate, text};
use crate::io::Key;
use crate::key::stable;
use crate::limit::{Algorithm, Limit};
use crate::request::Identity;

const SHARDS: usize = 16;
const MOST_PER_SHARD: usize = 1024;

/// See the module.
#[derive(Debug)]
pub(super) struct Known {
    hash: [u8; 32],
    /// Hash of the key before, and when it ends (Unix milliseconds).
    previous: Option<([u8; 32], u64)>,
    pub(super) revoked: bool,
    pub(super) expires: Option<u64>,
    networks: Vec<IpNet>,
    /// It brings every permission that the check asks for.
    pub(super) sufficient: bool,
    pub(super) identity: Arc<Identity>,
    /// For counting.
    pub(super) key: Key,
    pub(super) rate: Option<Limit>,
    pub(super) quota: Option<Quota>,
}

impl Known {
    /// `None` when the record makes no sense: it was not written by us.
    pub(super) fn read(record: &Record, check: &Check) -> Option<Self> {
        let previous = match &record.previous {
            Some(previous) => Some((unhex(&previous.hash)?, previous.until)),
            None => None,
        };
        let networks: Result<Vec<_>, _> = record.networks.iter().map(|network| parse_network(network)).collect();
        let own = match &record.rate {
            Some(text) => Some(rate(text.parse().ok()?).ok()?),
            None => check.rate,
        };
        let quota = match &record.quota {
            Some(text) => Some(text.parse().ok()?),
            None => check.quota,
        };
        let mut needed = check.permissions.iter();
        Some(Self {
            hash: unhex(&record.hash)?,
            previous,
            revoked: record.revoked.is_some(),
            expires: record.expires,
            networks: networks.ok()?,
            sufficient: needed.all(|one| record.permissions.contains(one)),
            identity: Arc::new(identity(record, check)?),
            key: super::record::key(check.keys, &record.prefix),
            rate: own.map(|rate| Limit {
                // Another rate is another counter.
                id: stable(&format!("api_key/rate {rate}")),
                algorithm: Algorithm::Window,
                max: rate.max,
                window: rate.window,
                count_refused: false,
            }),
            quota,
        })
    }

    /// Whether a key of this hash is the one, or the one before while that is accepted. Takes the same time whichever.
    pub(super) fn is(&self, hash: &[u8; 32], now: u64) -> bool {
        let before = self.previous.is_some_and(|(old, until)| now < until && bool::from(old.ct_eq(hash)));
        bool::from(self.hash.ct_eq(hash)) | before
    }

    /// Whether it may be used from there.
    pub(super) fn reaches(&self, client: IpAddr) -> bool {
        self.networks.is_empty() || self.networks.iter().any(|network| network.contains(&client))
    }
}

fn identity(record: &Record, check: &Check) -> Option<Identity> {
    let list = |words: &[String]| Value::Array(words.iter().cloned().map(Value::String).collect());
    let claims = [
        ("sub", Value::String(record.owner.clone())),
        ("key", Value::String(record.prefix.clone())),
        ("key_name", Value::String(record.name.clone())),
        ("permissions", list(&record.permissions)),
        ("scope", list(&record.scopes)),
    ];
    let mut forward = Vec::with_capacity(check.forward.len());
    for (said, name) in &check.forward {
        let text = match said {
            Said::User => record.owner.clone(),
            Said::Key => record.prefix.clone(),
            Said::Name => record.name.clone(),
            Said::Permissions => record.permissions.join(","),
            Said::Scopes => record.scopes.join(","),
        };
        forward.push((name.clone(), HeaderValue::from_bytes(text.as_bytes()).ok()?));
    }
    Some(Identity {
        user: record.owner.clone(),
        claims: claims.into_iter().map(|(name, value)| (name.to_owned(), value)).collect::<Map<_, _>>(),
        forward,
        expires: record.expires.map(|at| at / 1000),
    })
}

type Shard = HashMap<[u8; text::PREFIX], (Arc<Known>, u64), ahash::RandomState>;

/// Records by prefix, for a short time. A hit allocates nothing.
#[derive(Debug)]
pub(super) struct Cache {
    shards: [RwLock<Shard>; SHARDS],
    /// Milliseconds; 0: nothing is kept.
    keep: u64,
}

impl Cache {
    pub(super) fn new(keep: u64) -> Self {
        Self { shards: Default::default(), keep }
    }

    pub(super) fn get(&self, prefix: &str, now: u64) -> Option<Arc<Known>> {
        let prefix = prefix.as_bytes().try_into().ok()?;
        let shard = self.shard(prefix)?.read();
        let (known, until) = shard.get(&prefix)?;
        (now < *until).then(|| Arc::clone(known))
    }

    pub(super) fn put(&self, prefix: &str, known: &Arc<Known>, now: u64) {
        let Ok(prefix) = prefix.as_bytes().try_into() else { return };
        let Some(shard) = self.shard(prefix).filter(|_| self.keep > 0) else { return };
        let mut shard = shard.write();
        if shard.len() >= MOST_PER_SHARD {
            shard.retain(|_, (_, until)| now < *until);
        }
        if shard.len() < MOST_PER_SHARD {
            shard.insert(prefix, (Arc::clone(known), now.saturating_add(self.keep)));
        }
    }

    fn shard(&self, prefix: [u8; text::PREFIX]) -> Option<&RwLock<Shard>> {
        // The letters of a prefix are random; their low bits differ.
        self.shards.get(usize::from(prefix.first().copied()?) % SHARDS)
    }
}

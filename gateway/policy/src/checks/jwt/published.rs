//! The keys of an issuer that publishes them: asked for, kept, renewed ahead of time. Where they are is the policy's
//! word, or that of the issuer's own metadata; nothing that a token names is asked for.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use bytes::Bytes;
use http::header::{ACCEPT, HeaderValue};
use jsonwebtoken::Algorithm;
use serde_json::{Map, Value};

use super::keys::KeySet;
use super::strict;
use super::token::Parts;
use crate::decision::Reason;
use crate::io::{Cached, Call, Fetched, Io};

/// Largest key set and metadata, bytes: a hundred RSA keys with their certificates fit.
const LARGEST: usize = 256 << 10;
/// For each call.
const TIMEOUT: Duration = Duration::from_secs(5);
/// A token with a key that is not known asks for newer keys this often, over all such tokens: strangers must not be able
/// to make us hammer an issuer.
pub(in crate::checks) const UNKNOWN_EVERY: Duration = Duration::from_secs(30);
/// How long keys are used without even asking whether there are newer ones in the cache.
const LOOK_EVERY_MS: u64 = 1000;

/// Where keys are published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::checks) enum Place {
    /// A JSON Web Key Set.
    Keys(String),
    /// An issuer whose metadata (OpenID Connect Discovery 1.0) say where.
    Issuer(String),
}

/// Keys as they were read once.
#[derive(Debug)]
pub(in crate::checks) struct Held {
    /// Of the answer that they are from.
    pub(in crate::checks) version: u64,
    pub(in crate::checks) keys: KeySet,
    /// When the answer was last given, Unix milliseconds.
    at: AtomicU64,
}

/// An issuer's metadata, checked to be its own.
#[derive(Debug)]
pub(in crate::checks) struct Metadata {
    version: u64,
    fields: Map<String, Value>,
}

impl Metadata {
    /// What it says under this name.
    pub(in crate::checks) fn field(&self, name: &str) -> Option<&Value> {
        self.fields.get(name)
    }

    /// A URL among them; plain HTTP only where the issuer itself is asked so.
    pub(in crate::checks) fn url(&self, name: &str) -> Option<&str> {
        let url = self.fields.get(name).and_then(Value::as_str)?;
        let issuer = self.fields.get("issuer").and_then(Value::as_str)?;
        let secure = url.starts_with("https://");
        let plain = url.starts_with("http://") && issuer.starts_with("http://");
        (secure || plain).then_some(url)
    }
}

/// See the module.
#[derive(Debug)]
pub(in crate::checks) struct Published {
    place: Place,
    allowed: Vec<Algorithm>,
    refresh: Duration,
    keep: Duration,
    held: ArcSwapOption<Held>,
    metadata: ArcSwapOption<Metadata>,
    /// Unix milliseconds until which `held` is used as it is.
    good_until: AtomicU64,
    /// Version of an answer that is no key set.
    broken: AtomicU64,
}

impl Published {
    /// Keys are renewed after `refresh`, and used for `keep` while their issuer gives none.
    pub(in crate::checks) fn new(place: Place, allowed: Vec<Algorithm>, refresh: Duration, keep: Duration) -> Self {
        Self {
            place,
            allowed,
            refresh,
            keep,
            held: ArcSwapOption::empty(),
            metadata: ArcSwapOption::empty(),
            good_until: AtomicU64::new(0),
            broken: AtomicU64::new(0),
        }
    }

    /// Whether keys of this version were in use a moment ago. Allocates nothing.
    pub(super) fn stands(&self, version: u64, now: u64) -> bool {
        let until = self.good_until.load(Ordering::Relaxed);
        // A clock that went back must not make them good for long.
        let recent = now < until && until <= now.saturating_add(LOOK_EVERY_MS);
        recent && self.held.load().as_ref().is_some_and(|held| held.version == version)
    }

    /// The keys as they are known now.
    pub(in crate::checks) async fn keys<I: Io>(&self, io: &mut I) -> Result<Arc<Held>, Reason> {
        self.ask(io, None).await
    }


    /// Checks that one of them signed it; the version of the keys that it was. A key that is not known may be new: newer
    /// ones are asked for, if the last are older than `every`.
    pub(in crate::checks) async fn signed<I: Io>(&self, parts: &Parts<'_>, every: Duration, io: &mut I) -> Result<u64, Reason> {
        let mut held = self.keys(io).await?;
        if parts.kid.as_deref().is_some_and(|kid| !held.keys.knows(kid)) {
            held = self.ask(io, Some(every)).await?;
        }
        if parts.signed_by(&held.keys) { Ok(held.version) } else { Err(Reason::TokenInvalid) }
    }

    async fn ask<I: Io>(&self, io: &mut I, older_than: Option<Duration>) -> Result<Arc<Held>, Reason> {
        let now = io.now().unix;
        let url = match &self.place {
            Place::Keys(url) => Some(url.clone()),
            Place::Issuer(_) => {
                let metadata = self.metadata(io).await;
                metadata.and_then(|metadata| metadata.url("jwks_uri").map(str::to_owned))
            }
        };
        let answer = match url {
            Some(url) => io.fetch(&self.call(url, older_than)).await.ok(),
            None => None,
        };
        let good = answer.filter(|answer| answer.status == 200);
        match good.and_then(|answer| self.read(&answer, now)) {
            Some(held) => {
                self.good_until.store(now.saturating_add(LOOK_EVERY_MS), Ordering::Relaxed);
                Ok(held)
            }
            None => self.last(now).ok_or(Reason::RemoteUnavailable),
        }
    }

    /// Each version is parsed once.
    fn read(&self, answer: &Fetched, now: u64) -> Option<Arc<Held>> {
        if let Some(held) = self.held.load_full().filter(|held| held.version == answer.version) {
            held.at.store(now, Ordering::Relaxed);
            return Some(held);
        }
        if self.broken.load(Ordering::Relaxed) == answer.version {
            return None;
        }
        let mut keys = KeySet::published(self.allowed.clone());
        // Keys of other kinds (for encryption, on other curves) are left out: they are not for us.
        if keys.add_jwks(&answer.body).is_err() || keys.is_empty() {
            self.broken.store(answer.version, Ordering::Relaxed);
            return None;
        }
        let held = Arc::new(Held {
            version: answer.version,
            keys,
            at: AtomicU64::new(now),
        });
        self.held.store(Some(Arc::clone(&held)));
        Some(held)
    }

    /// The last good keys, while they may still be used.
    fn last(&self, now: u64) -> Option<Arc<Held>> {
        let keep = u64::try_from(self.keep.as_millis()).unwrap_or(u64::MAX);
        let young = |held: &Arc<Held>| now < held.at.load(Ordering::Relaxed).saturating_add(keep);
        self.held.load_full().filter(young)
    }

    /// The issuer's metadata, when they can be had and name this very issuer (Discovery, 4.3).
    pub(in crate::checks) async fn metadata<I: Io>(&self, io: &mut I) -> Option<Arc<Metadata>> {
        let Place::Issuer(issuer) = &self.place else { return None };
        let url = format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/'));
        let known = self.metadata.load_full();
        let answer = io.fetch(&self.call(url, None)).await.ok().filter(|answer| answer.status == 200);
        let Some(answer) = answer else { return known };
        if let Some(known) = known.as_ref().filter(|known| known.version == answer.version) {
            return Some(Arc::clone(known));
        }
        let fields = strict::object(&answer.body)?;
        if fields.get("issuer").and_then(Value::as_str) != Some(issuer) {
            return known;
        }
        let metadata = Arc::new(Metadata {
            version: answer.version,
            fields,
        });
        self.metadata.store(Some(Arc::clone(&metadata)));
        Some(metadata)
    }

    fn call(&self, url: String, older_than: Option<Duration>) -> Call {
        Call {
            method: http::Method::GET,
            url,
            headers: vec![(ACCEPT, HeaderValue::from_static("application/json"))],
            body: Bytes::new(),
            timeout: TIMEOUT,
            max: LARGEST,
            cache: Some(Cached {
                fresh: self.refresh,
                stale: self.keep.saturating_sub(self.refresh),
                older_than,
            }),
        }
    }
}

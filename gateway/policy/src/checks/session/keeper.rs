//! Sessions of the gateway's own: begun, found, prolonged, ended, listed. An identifier is only ever made here, at a
//! log-in, so none that a client brings along can become a session. Knows no log-in page and no answer.

use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::known::{Cache, Known};
use super::record::{Entry, Identifier, Names, Record, agent};
use crate::cookie::{self, SameSite};
use crate::decision::Reason;
use crate::io::{Io, Key, Now, Space, StoreFault};
use crate::key::client_network;
use crate::request::{Request, Session};
use crate::stored;


/// What to do when a user has as many sessions as allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum WhenFull {
    /// The oldest one ends.
    #[default]
    EndOldest,
    /// No other begins.
    RefuseNewest,
}

/// How long sessions live, and how many.
#[derive(Debug, Clone, Copy)]
pub(in crate::checks) struct Limits {
    /// Without a request.
    pub(in crate::checks) idle: Duration,
    /// From the log-in.
    pub(in crate::checks) absolute: Duration,
    /// How often at most it is written down that a session is in use.
    pub(in crate::checks) renew: Duration,
    /// Of one user at a time.
    pub(in crate::checks) most: usize,
    /// Beyond that.
    pub(in crate::checks) when_full: WhenFull,
}

/// The cookie that carries the identifier.
#[derive(Debug, Clone)]
pub(in crate::checks) struct Cookie {
    pub(in crate::checks) name: String,
    pub(in crate::checks) secure: bool,
    pub(in crate::checks) same_site: SameSite,
    /// Whether the browser keeps it when it is closed.
    pub(in crate::checks) persistent: bool,
}

/// What a session must be used from.
#[derive(Debug, Clone, Copy, Default)]
pub(in crate::checks) struct Bind {
    /// The client's network: an IPv4 address, an IPv6 /64.
    pub(in crate::checks) client: bool,
    /// What the client says that it is.
    pub(in crate::checks) agent: bool,
}

/// Keeps the sessions of one check.
#[derive(Debug)]
pub(in crate::checks) struct Keeper {
    pub(super) names: Names,
    pub(in crate::checks) cookie: Cookie,
    pub(in crate::checks) limits: Limits,
    pub(in crate::checks) bind: Bind,
    /// Where sessions are the application's tokens: what ended stays known as ended, or who holds one would begin it
    /// anew. One that was not seen for so long makes room for others.
    pub(super) quiet: Option<Duration>,
    pub(super) known: Cache,
}

/// A session that is open.
#[derive(Debug, Clone)]
pub(in crate::checks) struct Open {
    /// Where its record is.
    pub(super) key: Key,
    /// What belongs to it is bound to this.
    pub(in crate::checks) binding: Key,
    /// What is known of it.
    pub(super) known: Arc<Known>,
}

impl Open {
    /// Whose it is.
    pub(super) fn user(&self) -> &str {
        &self.known.record.user
    }

    /// The session, as others are told of it.
    pub(super) fn session(&self) -> Session {
        let record = &self.known.record;
        Session {
            binding: self.binding,
            started: record.proven.unwrap_or(record.started) / 1000,
        }
    }

    /// Whether it is this user's, began at this moment or later, and rests on a proof that is no older. Unix milliseconds.
    pub(super) fn is_of(&self, user: &str, since: u64, proven: u64) -> bool {
        let record = &self.known.record;
        record.user == user && record.started >= since && record.proven.unwrap_or(record.started) >= proven
    }
}

/// Who logged in.
#[derive(Debug)]
pub(in crate::checks) struct Whose<'w> {
    pub(in crate::checks) user: &'w str,
    /// What the log-in said about them.
    pub(in crate::checks) claims: Map<String, Value>,
    /// Unix milliseconds at which they proved who they are; `None`: now.
    pub(in crate::checks) proven: Option<u64>,
}

/// A session that has just begun.
#[derive(Debug)]
pub(in crate::checks) struct Begun {
    /// Where its record is.
    pub(super) key: Key,
    /// The cookie to be set.
    pub(in crate::checks) cookie: HeaderValue,
    /// What belongs to it is bound to this.
    pub(in crate::checks) binding: Key,
    /// What people call it.
    pub(in crate::checks) handle: String,
    /// Those that had to end for it.
    pub(in crate::checks) ended: Vec<String>,
}

/// Why none began.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::checks) enum NotBegun {
    /// The user has as many as allowed.
    Full,
    /// The store gave no answer.
    Store,
}

/// A session as its user and operators see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Listed {
    /// What it is called.
    pub id: String,
    /// Unix milliseconds of the log-in.
    pub started: u64,
    /// Unix milliseconds of the last use that was written down.
    pub seen: u64,
    /// Address of the client then.
    pub client: String,
    /// What the client said that it is, at the log-in.
    pub agent: String,
    #[serde(skip)]
    pub(super) key: Option<Key>,
}

impl Keeper {
    pub(super) fn new(names: Names, cookie: Cookie, limits: Limits, bind: Bind) -> Self {
        Self {
            names,
            cookie,
            limits,
            bind,
            quiet: None,
            known: Cache::default(),
        }
    }

    /// The session that a request belongs to.
    ///
    /// # Errors
    /// Why there is none.
    pub(in crate::checks) async fn find<I: Io>(&self, io: &mut I, request: &Request<'_>) -> Result<Open, Reason> {
        let sent = cookie::value(request.headers, &self.cookie.name);
        let sent = sent.map_err(|_| Reason::SessionEnded)?.ok_or(Reason::SessionMissing)?;
        let digest = Identifier::read(sent).ok_or(Reason::SessionEnded)?.digest();
        let key = self.names.session(digest);
        let stored = io.get(Space::Session, key).await;
        let stored = stored.map_err(|_| Reason::StoreUnavailable)?.ok_or(Reason::SessionEnded)?;
        let known = self.known.of(key, stored).ok_or(Reason::StoreUnavailable)?;
        let record = &known.record;
        if !record.is_of(digest) {
            return Err(Reason::SessionEnded);
        }
        if self.left(record, io.now()).is_none() {
            // The store forgets it by itself; sooner is better.
            let _ = io.remove(Space::Session, key).await;
            return Err(Reason::SessionExpired);
        }
        if self.elsewhere(record, request) {
            return Err(Reason::SessionElsewhere);
        }
        Ok(Open {
            key,
            binding: self.names.binding(digest),
            known,
        })
    }

    /// How long a session still lives without another request; `None`: it is over.
    pub(super) fn left(&self, record: &Record, now: Now) -> Option<Duration> {
        let end = |from: u64, limit: Duration| from.saturating_add(millis(limit));
        let ends = end(record.started, self.limits.absolute).min(end(record.seen, self.limits.idle));
        let ends = ends.min(record.until.unwrap_or(u64::MAX));
        let left = ends.checked_sub(now.unix).filter(|left| *left > 0)?;
        // A clock that was set back must not lengthen anything.
        Some(Duration::from_millis(left).min(self.limits.idle).min(self.limits.absolute))
    }

    fn elsewhere(&self, record: &Record, request: &Request<'_>) -> bool {
        let network = || client_network(request.client).to_string();
        (self.bind.client && record.network != network()) || (self.bind.agent && record.agent != agent(request))
    }

    /// Writes down that the session is in use, if that is due. Of parallel requests one does; the others, and whoever
    /// finds the store slow, go on with what was written before.
    pub(in crate::checks) async fn prolong<I: Io>(&self, io: &mut I, open: &Open, request: &Request<'_>) {
        let now = io.now();
        let record = &open.known.record;
        if now.unix.saturating_sub(record.seen) < millis(self.limits.renew) {
            return;
        }
        let later = Record {
            seen: now.unix,
            client: request.client.to_string(),
            ..record.clone()
        };
        let (Some(left), Ok(value)) = (self.left(&later, now), stored::encode(&later)) else {
            return;
        };
        // Where it ended meanwhile nothing is there to be replaced: it stays ended.
        let _ = io.swap(Space::Session, open.key, Some(&open.known.stored), Some(value), left).await;
    }

    /// Begins a session: another identifier than any before.
    ///
    /// # Errors
    /// Why none began; nothing is left behind then.
    pub(in crate::checks) async fn begin<I: Io>(
        &self,
        io: &mut I,
        request: &Request<'_>,
        Whose { user, claims, proven }: Whose<'_>,
    ) -> Result<Begun, NotBegun> {
        let identifier = Identifier::new(io.random());
        let handle: String = io.random().iter().take(6).map(|byte| format!("{byte:02x}")).collect();
        let now = io.now().unix;
        let record = Record {
            claims,
            proven,
            digest: identifier.digest().text(),
            handle: handle.clone(),
            user: user.to_owned(),
            ..Record::begun(request, now)
        };
        let key = self.names.session(identifier.digest());
        let cookie = self.set(&identifier.text(), self.cookie.persistent.then_some(self.limits.absolute));
        let (Ok(value), Some(cookie)) = (stored::encode(&record), cookie) else {
            return Err(NotBegun::Store);
        };
        let left = self.limits.idle.min(self.limits.absolute);
        let put = io.swap(Space::Session, key, None, Some(value), left).await;
        if put != Ok(true) {
            return Err(NotBegun::Store);
        }
        let entry = Entry::new(key, handle.clone(), now);
        match self.enter(io, user, entry).await {
            Ok(ended) => Ok(Begun {
                key,
                cookie,
                binding: self.names.binding(identifier.digest()),
                handle,
                ended,
            }),
            Err(why) => {
                let _ = io.remove(Space::Session, key).await;
                Err(why)
            }
        }
    }

    /// Ends the very session that a request belongs to, whatever else holds; gives user and name of it.
    ///
    /// # Errors
    /// The store's.
    pub(in crate::checks) async fn end_own<I: Io>(
        &self,
        io: &mut I,
        request: &Request<'_>,
    ) -> Result<Option<(String, String)>, StoreFault> {
        let sent = cookie::value(request.headers, &self.cookie.name).ok().flatten();
        let Some(digest) = sent.and_then(Identifier::read).map(Identifier::digest) else {
            return Ok(None);
        };
        let key = self.names.session(digest);
        let Some(record) = stored::get::<Record, _>(io, Space::Session, key).await? else {
            return Ok(None);
        };
        if !record.is_of(digest) {
            return Ok(None);
        }
        self.end(io, &record.user, |session| session.key == Some(key)).await?;
        // Also where its user's list did not know it.
        io.remove(Space::Session, key).await?;
        Ok(Some((record.user, record.handle)))
    }

    /// The cookie that takes the identifier away again.
    pub(in crate::checks) fn unset(&self) -> Option<HeaderValue> {
        self.set("", Some(Duration::ZERO))
    }

    fn set(&self, value: &str, age: Option<Duration>) -> Option<HeaderValue> {
        let set = cookie::Set {
            name: &self.cookie.name,
            value,
            age,
            same_site: self.cookie.same_site,
            script: false,
            secure: self.cookie.secure,
        };
        set.header()
    }
}

pub(in crate::checks) fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

//! `api_key`: who asks, by a long-lived key that an operator made. Only its hash is stored; how often it may be used is
//! part of it. Keys are made and ended by the admin interface, not here.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use http::header::{AUTHORIZATION, WWW_AUTHENTICATE};
use http::{HeaderName, HeaderValue, StatusCode};
use jiff::tz::TimeZone;
use serde::Deserialize;

use super::{Gives, Needs, OnError, ResponseWork, Turn};
use crate::context::Context;
use crate::decision::{Answer, Denial, Reason};
use crate::io::{Io, Space, StoreFault};
use crate::key::{Keys, stable};
use crate::limit::{Algorithm, Limit, Standing};
use crate::request::Request;
use crate::scalar::{self, Rate, Texts};
use crate::stored::{self, Change};

mod known;
mod quota;
pub mod record;
#[cfg(test)]
mod tests;
pub mod text;

pub use quota::{Period, Quota};

use known::{Cache, Known};
use record::Record;

/// Longest a revocation may take.
const LONGEST_CACHE: Duration = Duration::from_secs(60);

/// How exact the last use is, in milliseconds: one write an hour.
const USED: u64 = 3_600_000;

/// What of a key is sent upstream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Said {
    /// Its owner.
    User,
    /// Its prefix.
    Key,
    /// What it is for.
    Name,
    /// Its permissions, with commas between.
    Permissions,
    /// Its scopes, with commas between.
    Scopes,
}

/// Establishes who asks by an API key, or refuses. Keys are made by `palisade key create` (or the admin listener), shown
/// once, and stored as a hash. A key can have an end, networks, permissions (for `authorize`), a rate and a quota. What a
/// change says holds at once where the key is not in use, and within `cache` everywhere.
///
/// `on_store_error: deny` is the only choice: no key can be believed without the store.
#[derive(Debug, Clone, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    /// Headers that a key may come in, one key in one of them. Default X-API-Key; of Authorization the Bearer token is
    /// taken when it is a key of this gateway's form.
    #[serde(default)]
    header: Texts,
    /// Permissions that the key must have, all of them.
    #[serde(default)]
    permissions: Texts,
    /// How often a key may be used, such as 100/1m. A key's own rate takes its place.
    rate: Option<Rate>,
    /// How often in a day or month of the calendar, such as 1000/1d or 30000/month. A key's own quota takes its place.
    /// Counted for the key, whatever route it is used on.
    quota: Option<Quota>,
    /// Where a day begins, such as Europe/Berlin. Default UTC.
    time_zone: Option<String>,
    /// Wrong keys of one client, after which it is refused. Default 20/1m.
    wrong: Option<Rate>,
    /// What is sent upstream as headers, such as {user: X-User-Id, permissions: X-Permissions}. Clients cannot send these
    /// headers.
    #[serde(default)]
    forward: BTreeMap<Said, String>,
    /// Whether the application sees the key itself. Default false: its header is removed.
    #[serde(default)]
    forward_key: bool,
    /// How long a key that was looked up is believed: a revocation holds everywhere after it. Default 5s, at most 1m; 0s
    /// asks the store every time.
    cache: Option<scalar::Duration>,
    /// Let requests without a key pass as nobody. A wrong key is still refused.
    #[serde(default)]
    optional: bool,
}

/// Ready to be asked.
#[derive(Debug)]
pub struct Check {
    keys: Keys,
    headers: Vec<HeaderName>,
    permissions: Vec<String>,
    rate: Option<Rate>,
    quota: Option<Quota>,
    zone: TimeZone,
    wrong: Limit,
    forward: Vec<(Said, HeaderName)>,
    owned: Vec<HeaderName>,
    forward_key: bool,
    cache: Cache,
    optional: bool,
}

/// A rate that a store can count.
fn rate(rate: Rate) -> Result<Rate, String> {
    let fine = rate.window >= Duration::from_millis(100) && rate.window <= Duration::from_secs(31 * 86_400);
    if fine && rate.max <= 100_000_000 { Ok(rate) } else { Err(format!("`{rate}`: a rate has 100ms to 31d, and at most 100000000")) }
}

impl Spec {
    pub(super) fn compile(self, context: &mut Context<'_>) -> Option<Check> {
        let errors = context.errors();
        if !matches!(context.on_store_error, None | Some(OnError::Deny)) {
            context.error(context.at.key("on_store_error"), "no key can be believed without the store: only `deny`");
        }
        let mut headers = Vec::new();
        for (index, name) in self.header.0.iter().enumerate() {
            match HeaderName::from_bytes(name.as_bytes()) {
                Ok(name) => headers.push(name),
                Err(_) => context.error(context.at.key("header").index(index), format!("`{name}` is not a header name")),
            }
        }
        if headers.is_empty() {
            headers.push(HeaderName::from_static("x-api-key"));
        }
        let wrong = self.wrong.unwrap_or(Rate { max: 20, window: Duration::from_secs(60) });
        for (key, of) in [("rate", self.rate), ("wrong", Some(wrong))] {
            if let Some(Err(why)) = of.map(rate) {
                context.error(context.at.key(key), why);
            }
        }
        let cache = self.cache.map_or(Duration::from_secs(5), |cache| cache.0);
        if cache > LONGEST_CACHE {
            context.error(context.at.key("cache"), "at most 1m: so long a revoked key would still be believed");
        }
        let name = self.time_zone.as_deref().unwrap_or("UTC");
        let zone = TimeZone::get(name);
        if zone.is_err() {
            context.error(context.at.key("time_zone"), format!("no time zone is called `{name}`"));
        }
        let forward = forward(context, &self.forward);
        (context.errors() == errors).then_some(())?;
        Some(Check {
            keys: context.keys,
            headers,
            permissions: self.permissions.0,
            rate: self.rate,
            quota: self.quota,
            zone: zone.ok()?,
            wrong: Limit {
                id: stable("api_key/wrong"),
                algorithm: Algorithm::Window,
                max: wrong.max,
                window: wrong.window,
                count_refused: false,
            },
            owned: forward.iter().map(|(_, name)| name.clone()).collect(),
            forward,
            forward_key: self.forward_key,
            cache: Cache::new(u64::try_from(cache.as_millis()).unwrap_or(u64::MAX)),
            optional: self.optional,
        })
    }
}

/// Headers that carry a message or a connection tell of no key.
fn forward(context: &mut Context<'_>, of: &BTreeMap<Said, String>) -> Vec<(Said, HeaderName)> {
    const NOT: [&str; 15] = [
        "host", "connection", "content-length", "transfer-encoding", "te", "trailer", "upgrade", "keep-alive",
        "content-type", "content-encoding", "expect", "cookie", "authorization", "proxy-connection", "proxy-authorization",
    ];
    let mut pairs = Vec::new();
    for (said, name) in of {
        match HeaderName::from_bytes(name.as_bytes()) {
            Ok(found) if !NOT.contains(&found.as_str()) => pairs.push((*said, found)),
            Ok(_) | Err(_) => {
                context.error(context.at.key("forward"), format!("`{name}` is no header that can tell of a key"));
            }
        }
    }
    pairs
}

impl super::Beyond for Check {
    async fn holds<I: Io>(&self, turn: &mut Turn<'_, '_, I>) -> Result<(), Reason> {
        let found = self.found(turn.request).ok().flatten().ok_or(Reason::KeyMissing)?;
        let known = self.known(turn, found.1).await;
        known.map(drop).map_err(|refusal| refusal.denial.reason)
    }
}

impl Check {
    pub(super) fn needs(&self) -> Needs {
        Needs::default()
    }

    pub(super) fn gives(&self) -> Gives {
        Gives { identity: true, anonymous: self.optional, ..Gives::default() }
    }

    pub(super) fn response_work(&self) -> ResponseWork {
        ResponseWork::default()
    }

    pub(super) fn owned_headers(&self) -> &[HeaderName] {
        &self.owned
    }

    pub(super) async fn ask<I: Io>(&self, turn: &mut Turn<'_, '_, I>) -> Answer {
        let found = match self.found(turn.request) {
            Ok(Some(found)) => found,
            Ok(None) if self.optional => return Answer::Pass,
            Ok(None) => return self.refused(turn, Refusal::of(Reason::KeyMissing, "")),
            Err(why) => return self.refused(turn, Refusal::of(Reason::KeyInvalid, why)),
        };
        let (name, key) = found;
        match self.establish(turn, key).await {
            Ok(known) => {
                turn.facts.identity = Some(Arc::clone(&known.identity));
                if !self.forward_key {
                    turn.effects.upstream.push((name.clone(), None));
                }
                Answer::Pass
            }
            Err(refusal) => self.refused(turn, refusal),
        }
    }

    /// The key, and the header that it came in. Of two the application might read the other one.
    fn found<'r>(&self, request: &Request<'r>) -> Result<Option<(&HeaderName, &'r str)>, &'static str> {
        let mut found = None;
        for name in &self.headers {
            let bearer = *name == AUTHORIZATION;
            for value in request.headers.get_all(name) {
                let text = value.to_str().map_err(|_| "a key that is no text")?.trim_matches([' ', '\t']);
                let key = match text.split_once([' ', '\t']) {
                    Some((scheme, key)) if bearer && scheme.eq_ignore_ascii_case("bearer") => key.trim_start(),
                    // Credentials of another kind, for somebody else.
                    Some(_) | None if bearer => continue,
                    Some(_) | None => text,
                };
                if bearer && !key.starts_with(text::MARK) {
                    continue;
                }
                if found.replace((name, key)).is_some() {
                    return Err("more than one key");
                }
            }
        }
        Ok(found)
    }

    async fn establish<I: Io>(&self, turn: &mut Turn<'_, '_, I>, key: &str) -> Result<Arc<Known>, Refusal> {
        let (known, prefix, used) = self.known(turn, key).await?;
        self.within_rate(turn, &known).await?;
        self.within_quota(turn, &known, prefix).await?;
        if !used {
            self.note_use(turn, prefix).await;
        }
        Ok(known)
    }

    /// A key that may be used here, its prefix, and whether its last use is known well enough.
    async fn known<'k, I: Io>(
        &self,
        turn: &mut Turn<'_, '_, I>,
        key: &'k str,
    ) -> Result<(Arc<Known>, &'k str, bool), Refusal> {
        let prefix = text::prefix(key).ok_or_else(|| Refusal::of(Reason::KeyInvalid, "no key, or mistyped"))?;
        let (hash, now) = (text::hash(key), turn.io.now());
        // What is kept may be from before the key was rotated: the store knows better than to call the new one wrong.
        let kept = self.cache.get(prefix, now.steady).filter(|known| known.is(&hash, now.unix));
        let (known, used) = match kept {
            Some(known) => (known, true),
            None => self.look_up(turn, prefix).await?,
        };
        if !known.is(&hash, now.unix) {
            return Err(self.wrong(turn, "not the key of this prefix").await);
        }
        if known.revoked {
            return Err(Refusal::of(Reason::KeyInvalid, "revoked"));
        }
        if known.expires.is_some_and(|expires| now.unix >= expires) {
            return Err(Refusal::of(Reason::KeyExpired, ""));
        }
        if !known.reaches(turn.request.client) {
            return Err(Refusal::of(Reason::IpDenied, "not from the networks of this key"));
        }
        if !known.sufficient {
            return Err(Refusal::of(Reason::Forbidden, "the key lacks a permission that the check asks for"));
        }
        Ok((known, prefix, used))
    }

    /// From the store, and whether its last use is known well enough.
    async fn look_up<I: Io>(&self, turn: &mut Turn<'_, '_, I>, prefix: &str) -> Result<(Arc<Known>, bool), Refusal> {
        let client = self.client(turn.request);
        let standing = turn.io.count(&self.wrong, client, 0).await?;
        if standing.remaining == 0 {
            return Err(Refusal::limited(Reason::RateLimited, &standing, "too many wrong keys of this client"));
        }
        let at = record::key(self.keys, prefix);
        let Some(record) = stored::get::<Record, _>(turn.io, Space::ApiKey, at).await? else {
            return Err(self.wrong(turn, "no key of this prefix").await);
        };
        let now = turn.io.now();
        let known = Arc::new(Known::read(&record, self).ok_or(StoreFault::Corrupt)?);
        self.cache.put(prefix, &known, now.steady);
        Ok((known, record.used.is_some_and(|used| now.unix.saturating_sub(used) < USED)))
    }

    /// Counts a wrong key, so that nobody goes on trying.
    async fn wrong<I: Io>(&self, turn: &mut Turn<'_, '_, I>, why: &'static str) -> Refusal {
        let client = self.client(turn.request);
        match turn.io.count(&self.wrong, client, 1).await {
            Ok(standing) if !standing.allowed => {
                Refusal::limited(Reason::RateLimited, &standing, "too many wrong keys of this client")
            }
            Ok(_) => Refusal::of(Reason::KeyInvalid, why),
            Err(fault) => fault.into(),
        }
    }

    fn client(&self, request: &Request<'_>) -> crate::io::Key {
        self.keys.start(stable("api_key/wrong")).client(0, request.client).finish()
    }

    async fn within_rate<I: Io>(&self, turn: &mut Turn<'_, '_, I>, known: &Known) -> Result<(), Refusal> {
        let Some(limit) = &known.rate else { return Ok(()) };
        let standing = turn.io.count(limit, known.key, 1).await?;
        turn.effects.limits.push((turn.id, standing));
        if standing.allowed {
            return Ok(());
        }
        Err(Refusal::limited(Reason::RateLimited, &standing, "the rate of this key"))
    }

    /// Counts by compare and swap: of requests that come at once, no more than fit pass.
    async fn within_quota<I: Io>(&self, turn: &mut Turn<'_, '_, I>, known: &Known, prefix: &str) -> Result<(), Refusal> {
        let Some(quota) = known.quota else { return Ok(()) };
        let now = turn.io.now().unix;
        let Some((start, end)) = quota.around(now, &self.zone) else {
            return Err(Refusal::of(Reason::Internal, "no calendar for this moment"));
        };
        let key = self.keys.start(stable("api_key/quota")).part(0, prefix.as_bytes());
        let key = key.part(1, &start.to_le_bytes()).part(2, &end.to_le_bytes()).finish();
        let left = end.saturating_sub(now);
        // Longer than the period: a node whose clock is behind must not begin anew.
        let ttl = Duration::from_millis(left.saturating_add(USED));
        let count = |count: Option<u32>| match count.unwrap_or(0) {
            used if used < quota.max => (Change::Put(used + 1, ttl), Some(quota.max - used - 1)),
            _ => (Change::Keep, None),
        };
        let mut counted = Err(StoreFault::Slow);
        for _ in 0..8 {
            counted = stored::update(turn.io, Space::Quota, key, count).await;
            if counted != Err(StoreFault::Slow) {
                break;
            }
        }
        let remaining = counted?;
        let standing = Standing {
            allowed: remaining.is_some(),
            max: quota.max,
            remaining: remaining.unwrap_or(0),
            reset_ms: left,
            window_s: u32::try_from(end.saturating_sub(start) / 1000).unwrap_or(u32::MAX),
        };
        turn.effects.limits.push((turn.id, standing));
        if standing.allowed {
            return Ok(());
        }
        Err(Refusal::limited(Reason::KeyQuota, &standing, "the quota of this key"))
    }

    /// Writes when the key was used. Without that it is as good: a store that fails now says so to the next request.
    async fn note_use<I: Io>(&self, turn: &mut Turn<'_, '_, I>, prefix: &str) {
        let now = turn.io.now().unix;
        let at = record::key(self.keys, prefix);
        let note = |record: Option<Record>| match record {
            Some(mut record) if record.active(now) => {
                record.used = Some(now);
                let ttl = record.ttl(now);
                (Change::Put(record, ttl), ())
            }
            Some(_) | None => (Change::Keep, ()),
        };
        let _ = stored::update(turn.io, Space::ApiKey, at, note).await;
    }

    fn refused<I: Io>(&self, turn: &mut Turn<'_, '_, I>, refusal: Refusal) -> Answer {
        if !refusal.why.is_empty() {
            turn.facts.notes.push((turn.id, refusal.why.to_owned()));
        }
        if refusal.denial.status == StatusCode::UNAUTHORIZED {
            // RFC 9110, 15.5.2: a 401 names a way. There is no registered scheme for keys in headers of their own.
            let way = if self.headers.contains(&AUTHORIZATION) { "Bearer" } else { "ApiKey" };
            turn.effects.response.push((WWW_AUTHENTICATE, HeaderValue::from_static(way)));
        }
        Answer::Deny(refusal.denial)
    }
}

/// Why a key is not accepted: for the client, and in words for the event.
#[derive(Debug)]
struct Refusal {
    denial: Denial,
    why: &'static str,
}

impl Refusal {
    fn of(reason: Reason, why: &'static str) -> Self {
        let denial = Denial { reason, status: reason.status(), retry_after: None };
        Self { denial, why }
    }

    fn limited(reason: Reason, standing: &Standing, why: &'static str) -> Self {
        let retry_after = Some(standing.retry_after());
        let denial = Denial { reason, status: reason.status(), retry_after };
        Self { denial, why }
    }
}

impl From<StoreFault> for Refusal {
    fn from(_: StoreFault) -> Self {
        Self::of(Reason::StoreUnavailable, "")
    }
}

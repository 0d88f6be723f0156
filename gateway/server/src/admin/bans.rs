//! Bans made by operators: put into the store that the `bans` check looks into, and kept here as well, because the
//! store knows keyed hashes only and could not say who is banned.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use parking_lot::Mutex;
use policy::checks::bans::{client_key, user_key};
use policy::io::{Key, Space, StoreFault};
use policy::key::Keys;
use policy::scalar;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::Admin;
use crate::events::{Event, Kind, rfc3339};

/// Longest ban.
const LONGEST: Duration = Duration::from_secs(366 * 86_400);

/// Most bans that are listed here at a time; lists of networks are the `ip` check's.
const MOST: usize = 100_000;

/// Largest body of a request for a ban, in bytes.
const LARGEST: usize = 64 << 10;

/// Who is banned, by whom an operator named.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Whom {
    Client(IpAddr),
    User(String),
}

/// A ban that an operator made.
#[derive(Debug, Clone)]
struct Ban {
    /// Unix milliseconds.
    until: u64,
    reason: String,
}

/// Every ban that was made here.
#[derive(Debug, Default)]
pub(crate) struct Bans {
    all: Mutex<BTreeMap<Whom, Ban>>,
}

/// What is asked for.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Asked {
    client: Option<IpAddr>,
    user: Option<String>,
    #[serde(rename = "for")]
    time: scalar::Duration,
    #[serde(default)]
    reason: String,
}

/// A ban as it is listed.
#[derive(Debug, Serialize)]
struct Listed {
    #[serde(skip_serializing_if = "Option::is_none")]
    client: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<String>,
    until: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    reason: String,
}

impl Whom {
    fn key(&self) -> Key {
        match self {
            Self::Client(address) => client_key(Keys::process(), *address),
            Self::User(name) => user_key(Keys::process(), name),
        }
    }

    fn from(asked: &Asked) -> Option<Self> {
        match (asked.client, &asked.user) {
            (Some(client), None) => Some(Self::Client(client.to_canonical())),
            (None, Some(user)) if !user.is_empty() => Some(Self::User(user.clone())),
            _ => None,
        }
    }

    fn named(kind: &str, who: &str) -> Option<Self> {
        match kind {
            "client" => who
                .parse::<IpAddr>()
                .ok()
                .map(|address| Self::Client(address.to_canonical())),
            "user" => Some(Self::User(who.to_owned())),
            _ => None,
        }
    }

    fn listed(&self, ban: &Ban) -> Listed {
        Listed {
            client: match self {
                Self::Client(address) => Some(address.to_string()),
                Self::User(_) => None,
            },
            user: match self {
                Self::Client(_) => None,
                Self::User(name) => Some(name.clone()),
            },
            until: rfc3339(ban.until),
            reason: ban.reason.clone(),
        }
    }
}

/// `GET /bans`.
pub(super) async fn list(State(admin): State<Admin>) -> Response {
    let now = admin.shared.now().unix;
    let mut all = admin.bans.all.lock();
    all.retain(|_, ban| ban.until > now);
    let bans: Vec<_> = all.iter().map(|(whom, ban)| whom.listed(ban)).collect();
    Json(json!({ "bans": bans })).into_response()
}

/// `POST /bans` with `{"client": "192.0.2.1", "for": "15m", "reason": "…"}`, or `user` instead of `client`.
pub(super) async fn add(State(admin): State<Admin>, body: Bytes) -> Response {
    let refuse =
        |status: StatusCode, why: String| (status, Json(json!({ "error": why }))).into_response();
    if body.len() > LARGEST {
        return refuse(
            StatusCode::PAYLOAD_TOO_LARGE,
            format!("at most {LARGEST} bytes"),
        );
    }
    let asked: Asked = match serde_json::from_slice(&body) {
        Ok(asked) => asked,
        Err(why) => return refuse(StatusCode::BAD_REQUEST, why.to_string()),
    };
    let Some(whom) = Whom::from(&asked) else {
        return refuse(
            StatusCode::BAD_REQUEST,
            "name either a client or a user".to_owned(),
        );
    };
    if asked.time.0.is_zero() || asked.time.0 > LONGEST {
        return refuse(
            StatusCode::BAD_REQUEST,
            "for: more than nothing, at most 366d".to_owned(),
        );
    }
    match put(&admin, &whom, &asked).await {
        Ok(ban) => (StatusCode::CREATED, Json(whom.listed(&ban))).into_response(),
        Err(why) => refuse(StatusCode::INSUFFICIENT_STORAGE, why.to_owned()),
    }
}

/// `DELETE /bans/client/192.0.2.1`, `DELETE /bans/user/mia`.
pub(super) async fn remove(
    State(admin): State<Admin>,
    Path((kind, who)): Path<(String, String)>,
) -> StatusCode {
    let Some(whom) = Whom::named(&kind, &who) else {
        return StatusCode::BAD_REQUEST;
    };
    // The store is asked even where nothing is listed: a ban may have been made by a check.
    let (store, now) = (admin.shared.store(), admin.shared.now());
    let removed = async {
        let known = store.get(Space::Ban, whom.key(), now).await?.is_some();
        store.remove(Space::Ban, whom.key(), now).await?;
        Ok::<_, StoreFault>(known)
    };
    match removed.await {
        Ok(true) => {}
        Ok(false) => return StatusCode::NOT_FOUND,
        Err(_) => return StatusCode::SERVICE_UNAVAILABLE,
    }
    admin.bans.all.lock().remove(&whom);
    tell(&admin, Kind::Unbanned, &whom, "");
    StatusCode::NO_CONTENT
}

async fn put(admin: &Admin, whom: &Whom, asked: &Asked) -> Result<Ban, &'static str> {
    let now = admin.shared.now();
    let time = u64::try_from(asked.time.0.as_millis()).unwrap_or(u64::MAX);
    let ban = Ban {
        until: now.unix.saturating_add(time),
        reason: asked.reason.clone(),
    };
    {
        let mut all = admin.bans.all.lock();
        all.retain(|_, ban| ban.until > now.unix);
        if all.len() >= MOST && !all.contains_key(whom) {
            return Err("too many bans: deny networks with the `ip` check");
        }
    }
    let store = admin.shared.store();
    let value = Bytes::from_static(b"operator");
    let put = store.put(Space::Ban, whom.key(), value, asked.time.0, now);
    put.await.map_err(|fault| match fault {
        StoreFault::Full => "the store has no room for another ban",
        StoreFault::Slow | StoreFault::Down | StoreFault::Corrupt => "the store gives no answer",
    })?;
    admin.bans.all.lock().insert(whom.clone(), ban.clone());
    tell(admin, Kind::Banned, whom, &ban.reason);
    Ok(ban)
}

fn tell(admin: &Admin, kind: Kind, whom: &Whom, detail: &str) {
    let mut event = Event {
        time: admin.shared.now().unix,
        kind,
        detail,
        ..Event::default()
    };
    match whom {
        Whom::Client(address) => event.client = Some(*address),
        Whom::User(name) => event.user = name,
    }
    admin.watch.events.emit(&event);
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::{Asked, Whom};

    fn whom(json: &str) -> Option<Whom> {
        Whom::from(&serde_json::from_str::<Asked>(json).ok()?)
    }

    #[test]
    fn names_one_client_or_one_user() {
        let client = Whom::Client("192.0.2.1".parse().unwrap());
        assert_eq!(
            whom(r#"{"client": "::ffff:192.0.2.1", "for": "15m"}"#),
            Some(client)
        );
        assert!(whom(r#"{"user": "mia", "for": "15m", "reason": "x"}"#).is_some());
        for bad in [
            r#"{"for": "15m"}"#,
            r#"{"client": "192.0.2.1"}"#,
            r#"{"client": "192.0.2.1", "user": "mia", "for": "15m"}"#,
            r#"{"client": "192.0.2.0/24", "for": "15m"}"#,
            r#"{"user": "", "for": "15m"}"#,
            r#"{"user": "mia", "for": "15 minutes"}"#,
        ] {
            assert_eq!(whom(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_user_and_an_address_never_share_a_key() {
        let client = Whom::named("client", "192.0.2.1").unwrap();
        let user = Whom::named("user", "192.0.2.1").unwrap();
        assert_ne!(client.key(), user.key());
        assert!(Whom::named("client", "mia").is_none());
    }
}

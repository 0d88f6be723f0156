//! API keys, as operators make, list, rotate and revoke them. What a key may do is the `api_key` check's to say.

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use policy::checks::api_key::record::{self, Record};
use policy::checks::api_key::text;
use policy::io::{Io as _, Space, StoreFault};
use policy::key::Keys;
use policy::stored::{self, Change};
use policy::{io, scalar};
use serde::Deserialize;
use serde_json::{Value, json};
use std::time::Duration;

use super::{Admin, asked, operate, refuse, tell, unavailable};
use crate::events::rfc3339;
use crate::leases::Leases;

/// Most keys that are listed.
const MOST: usize = 100_000;

/// Longest life of a key that has an end.
const LONGEST: Duration = Duration::from_secs(3650 * 86_400);

/// How long a rotated key is accepted, unless it is said, and at most.
const GRACE: Duration = Duration::from_secs(86_400);
const LONGEST_GRACE: Duration = Duration::from_secs(30 * 86_400);

/// What is asked for.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    owner: String,
    #[serde(default)]
    name: String,
    #[serde(default)]
    permissions: Vec<String>,
    #[serde(default)]
    scopes: Vec<String>,
    #[serde(default)]
    networks: Vec<String>,
    /// How long it is good; left out: until it is revoked.
    #[serde(rename = "for")]
    time: Option<scalar::Duration>,
    rate: Option<String>,
    quota: Option<String>,
}

/// How it is rotated.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Rotation {
    grace: Option<scalar::Duration>,
}

fn shown(record: &Record, now: u64) -> Value {
    let state = match record.expires {
        _ if record.revoked.is_some() => "revoked",
        Some(expires) if now >= expires => "expired",
        Some(_) | None => "active",
    };
    let time = |at: Option<u64>| at.map(rfc3339);
    let previous = record.previous.as_ref().map(|previous| previous.until);
    json!({
        "prefix": record.prefix,
        "state": state,
        "owner": record.owner,
        "name": record.name,
        "permissions": record.permissions,
        "scopes": record.scopes,
        "networks": record.networks,
        "rate": record.rate,
        "quota": record.quota,
        "created": rfc3339(record.created),
        "expires": time(record.expires),
        "last_used": time(record.used),
        "previous_until": time(previous.filter(|until| now < *until)),
    })
}

/// With the key itself: the only answer in which it ever stands.
fn with_key(record: &Record, key: &str, now: u64) -> Value {
    let mut shown = shown(record, now);
    if let Some(shown) = shown.as_object_mut() {
        shown.insert("key".to_owned(), Value::String(key.to_owned()));
    }
    shown
}

fn told(admin: &Admin, event: &'static str, record: &Record) {
    let name = if record.name.is_empty() { "" } else { ", " };
    let detail = format!("key {}{name}{}", record.prefix, record.name);
    tell(admin, event, &record.owner, &detail);
}

/// `GET /keys`: every key that is known, but not the keys themselves.
pub(super) async fn list(State(admin): State<Admin>) -> Response {
    let now = admin.shared.now();
    match admin.shared.store().list(Space::ApiKey, MOST, now).await {
        Ok(found) => {
            let records = found
                .iter()
                .filter_map(|found| stored::decode::<Record>(&found.value).ok());
            let mut records: Vec<Record> = records.collect();
            records.sort_by(|one, other| {
                (&one.owner, one.created).cmp(&(&other.owner, other.created))
            });
            let keys: Vec<Value> = records
                .iter()
                .map(|record| shown(record, now.unix))
                .collect();
            Json(json!({ "keys": keys })).into_response()
        }
        Err(fault) => unavailable(fault),
    }
}

/// `POST /keys` with `{"owner": "mia", "name": "ci", "permissions": ["read"], "for": "90d", "quota": "1000/1d"}`.
pub(super) async fn create(State(admin): State<Admin>, body: Bytes) -> Response {
    let asked: Asked = match asked(&body) {
        Ok(asked) => asked,
        Err((status, why)) => return refuse(status, &why),
    };
    if asked
        .time
        .is_some_and(|time| time.0.is_zero() || time.0 > LONGEST)
    {
        return refuse(
            StatusCode::BAD_REQUEST,
            "for: more than nothing, at most 3650d",
        );
    }
    let now = admin.shared.now().unix;
    let mut record = Record {
        prefix: String::new(),
        hash: String::new(),
        previous: None,
        owner: asked.owner,
        name: asked.name,
        permissions: asked.permissions,
        scopes: asked.scopes,
        networks: asked.networks,
        created: now,
        expires: asked.time.map(|time| now.saturating_add(time.millis())),
        revoked: None,
        used: None,
        rate: asked.rate,
        quota: asked.quota,
    };
    if let Err(why) = record.judge() {
        return refuse(StatusCode::BAD_REQUEST, &why);
    }
    let mut leases = Leases::default();
    let mut io = operate(&admin, &mut leases);
    // A prefix that is taken is as good as never drawn: there are 2^40.
    for _ in 0..8 {
        let Some((first, _)) = io
            .random()
            .split_first_chunk()
            .map(|(first, rest)| (*first, rest.len()))
        else {
            break;
        };
        record.prefix = text::make_prefix(first);
        let key = text::make(&record.prefix, &io.random());
        record.hash = record::hex(&text::hash(&key));
        let at = record::key(Keys::process(), &record.prefix);
        let Ok(value) = stored::encode(&record) else {
            break;
        };
        match io
            .swap(Space::ApiKey, at, None, Some(value), record.ttl(now))
            .await
        {
            Ok(true) => {
                told(&admin, "key_created", &record);
                return (StatusCode::CREATED, Json(with_key(&record, &key, now))).into_response();
            }
            Ok(false) => {}
            Err(fault) => return unavailable(fault),
        }
    }
    unavailable(StoreFault::Corrupt)
}

/// `POST /keys/PREFIX/rotate` with `{"grace": "24h"}`, or nothing.
pub(super) async fn rotate(
    State(admin): State<Admin>,
    Path(prefix): Path<String>,
    body: Bytes,
) -> Response {
    let rotation: Rotation = match body.is_empty() {
        true => Rotation::default(),
        false => match asked(&body) {
            Ok(rotation) => rotation,
            Err((status, why)) => return refuse(status, &why),
        },
    };
    let grace = rotation.grace.map_or(GRACE, |grace| grace.0);
    if grace > LONGEST_GRACE {
        return refuse(StatusCode::BAD_REQUEST, "grace: at most 30d");
    }
    let now = admin.shared.now().unix;
    let mut leases = Leases::default();
    let key = text::make(&prefix, &operate(&admin, &mut leases).random());
    let changed = change(&admin, &prefix, |record| record.rotate(&key, now, grace)).await;
    match changed {
        Ok(record) => {
            told(&admin, "key_rotated", &record);
            Json(with_key(&record, &key, now)).into_response()
        }
        Err(refused) => refused,
    }
}

/// `DELETE /keys/PREFIX`.
pub(super) async fn revoke(State(admin): State<Admin>, Path(prefix): Path<String>) -> Response {
    let now = admin.shared.now().unix;
    match change(&admin, &prefix, |record| record.revoked = Some(now)).await {
        Ok(record) => {
            told(&admin, "key_revoked", &record);
            StatusCode::NO_CONTENT.into_response()
        }
        Err(refused) => refused,
    }
}

/// Changes a key that is active still.
async fn change(
    admin: &Admin,
    prefix: &str,
    mut by: impl FnMut(&mut Record) + Send,
) -> Result<Record, Response> {
    let mut leases = Leases::default();
    let mut io = operate(admin, &mut leases);
    let now = io::Io::now(&io).unix;
    let at = record::key(Keys::process(), prefix);
    let changed = stored::update(
        &mut io,
        Space::ApiKey,
        at,
        |record: Option<Record>| match record {
            Some(mut record) if record.active(now) => {
                by(&mut record);
                let ttl = record.ttl(now);
                (Change::Put(record.clone(), ttl), Some(record))
            }
            Some(_) | None => (Change::Keep, None),
        },
    );
    match changed.await {
        Ok(Some(record)) => Ok(record),
        Ok(None) => Err(refuse(
            StatusCode::NOT_FOUND,
            "no active key of this prefix",
        )),
        Err(fault) => Err(unavailable(fault)),
    }
}

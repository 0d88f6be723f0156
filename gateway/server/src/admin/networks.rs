//! Networks that users may come from, as operators see and change them. Which requests they hold for is the
//! `ip_allowlist` check's business.

use std::time::Duration;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use policy::checks::ip_allowlist::{self, Allowed, DEFAULT_LIFE, Entry, MOST};
use policy::io::Space;
use policy::key::Keys;
use policy::{scalar, stored};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Admin, asked, note, operate, refuse, tell, unavailable};
use crate::events::rfc3339;
use crate::leases::Leases;

/// Longest life of an entry that ends.
const LONGEST: Duration = Duration::from_secs(10 * 366 * 86_400);

/// Most users that are listed.
const MOST_USERS: usize = 100_000;

/// How long an entry holds.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Life {
    Time(scalar::Duration),
    Never(Never),
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Never {
    Never,
}

/// What is asked for.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    user: String,
    network: String,
    #[serde(rename = "for")]
    life: Option<Life>,
    #[serde(default)]
    reason: String,
}

/// Which one.
#[derive(Debug, Deserialize)]
pub(super) struct Which {
    network: Option<String>,
}

fn shown(allowed: &Allowed, now: u64) -> Value {
    let entry = |entry: &Entry| {
        json!({
            "network": entry.network.to_string(),
            "until": entry.until.map(rfc3339),
            "ended": !entry.holds(now),
            "reason": entry.reason,
            "added": rfc3339(entry.added),
            "last_used": entry.last_used.map(rfc3339),
        })
    };
    let networks: Vec<Value> = allowed.entries.iter().map(entry).collect();
    json!({ "user": allowed.user, "networks": networks })
}

/// `GET /networks`.
pub(super) async fn list(State(admin): State<Admin>) -> Response {
    listed(&admin, None).await
}

/// `GET /networks/mia`.
pub(super) async fn of_user(State(admin): State<Admin>, Path(user): Path<String>) -> Response {
    listed(&admin, Some(user)).await
}

async fn listed(admin: &Admin, user: Option<String>) -> Response {
    let (store, now) = (admin.shared.store(), admin.shared.now());
    let values = match user {
        Some(user) => {
            let key = ip_allowlist::key(Keys::process(), &user);
            let value = store.get(Space::Networks, key, now).await;
            value.map(|value| value.into_iter().collect::<Vec<_>>())
        }
        None => {
            let found = store.list(Space::Networks, MOST_USERS, now).await;
            found.map(|found| found.into_iter().map(|found| found.value).collect())
        }
    };
    match values {
        Ok(values) => {
            let users = values
                .iter()
                .filter_map(|value| stored::decode::<Allowed>(value).ok());
            let mut users: Vec<Allowed> = users.collect();
            users.sort_by(|one, other| one.user.cmp(&other.user));
            let users: Vec<Value> = users.iter().map(|user| shown(user, now.unix)).collect();
            Json(json!({ "users": users })).into_response()
        }
        Err(fault) => unavailable(fault),
    }
}

/// `POST /networks` with `{"user": "mia", "network": "192.0.2.0/24", "for": "90d", "reason": "…"}`; `"for": "never"` for
/// one without an end, 90 days unless it says so.
pub(super) async fn add(State(admin): State<Admin>, body: Bytes) -> Response {
    let asked: Asked = match asked(&body) {
        Ok(asked) => asked,
        Err((status, why)) => return refuse(status, &why),
    };
    let network = match ip_allowlist::network(&asked.network) {
        Ok(network) => network,
        Err(why) => return refuse(StatusCode::BAD_REQUEST, &why),
    };
    let life = match asked.life {
        None => Some(DEFAULT_LIFE),
        Some(Life::Never(Never::Never)) => None,
        Some(Life::Time(time)) => Some(time.0),
    };
    if asked.user.trim().is_empty() || life.is_some_and(|life| life.is_zero() || life > LONGEST) {
        return refuse(
            StatusCode::BAD_REQUEST,
            "name a user, and for: never, or at most 3660d",
        );
    }
    let now = admin.shared.now().unix;
    let millis = |life: Duration| u64::try_from(life.as_millis()).unwrap_or(u64::MAX);
    let entry = Entry {
        network,
        until: life.map(|life| now.saturating_add(millis(life))),
        reason: asked.reason,
        added: now,
        last_used: None,
    };
    let mut leases = Leases::default();
    let mut io = operate(&admin, &mut leases);
    match ip_allowlist::add(&mut io, Keys::process(), &asked.user, &entry).await {
        Ok(true) => {
            let until = entry.until.map_or_else(
                || "without end".to_owned(),
                |until| format!("until {}", rfc3339(until)),
            );
            tell(
                &admin,
                "network_allowed",
                &asked.user,
                &format!("{network} {until}: {}", entry.reason),
            );
            let allowed = Allowed {
                user: asked.user.clone(),
                entries: vec![entry],
            };
            let mut shown = shown(&allowed, now);
            if let (Some(note), Some(told)) = (note(&admin, &asked.user), shown.as_object_mut()) {
                told.insert("note".to_owned(), note.into());
            }
            (StatusCode::CREATED, Json(shown)).into_response()
        }
        Ok(false) => {
            let why = format!("{MOST} networks of one user are enough");
            refuse(StatusCode::CONFLICT, &why)
        }
        Err(fault) => unavailable(fault),
    }
}

/// `DELETE /networks/mia`, `DELETE /networks/mia?network=192.0.2.0/24`.
pub(super) async fn remove(
    State(admin): State<Admin>,
    Path(user): Path<String>,
    Query(which): Query<Which>,
) -> Response {
    let network = match which
        .network
        .map(|text| ip_allowlist::network(&text))
        .transpose()
    {
        Ok(network) => network,
        Err(why) => return refuse(StatusCode::BAD_REQUEST, &why),
    };
    let mut leases = Leases::default();
    let mut io = operate(&admin, &mut leases);
    match ip_allowlist::remove(&mut io, Keys::process(), &user, network).await {
        Ok(0) => refuse(StatusCode::NOT_FOUND, "no such network of this user"),
        Ok(gone) => {
            let what = network.map_or_else(|| format!("all {gone}"), |network| network.to_string());
            tell(&admin, "network_removed", &user, &what);
            StatusCode::NO_CONTENT.into_response()
        }
        Err(fault) => unavailable(fault),
    }
}

//! Bans, as operators see and change them: those that they made and those that checks started. All of them live in the
//! store; lifting one clears what led to it.

use std::net::IpAddr;
use std::time::Duration;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use policy::ban::{self, Ban, Whom};
use policy::io::{Space, StoreFault};
use policy::key::Keys;
use policy::{scalar, stored};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{Admin, asked, operate, refuse, unavailable};
use crate::events::{Event, Kind, rfc3339};
use crate::leases::Leases;

/// Longest ban.
const LONGEST: Duration = Duration::from_secs(366 * 86_400);

/// Most bans that are listed; lists of networks are the `ip` check's.
const MOST: usize = 100_000;

/// What is asked for.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
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
    client: Option<IpAddr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<String>,
    until: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    reason: String,
    by: String,
}

fn whom(client: Option<IpAddr>, user: Option<&str>) -> Option<Whom> {
    let user = user
        .map(str::to_owned)
        .filter(|user| !user.trim().is_empty());
    let whom = match (client, user) {
        (Some(client), None) => Whom::Client(client),
        (None, Some(user)) => Whom::User(user),
        (Some(client), Some(user)) => Whom::Pair(client, user),
        (None, None) => return None,
    };
    Some(whom.canonical())
}

fn listed(ban: &Ban) -> Listed {
    Listed {
        client: ban.whom.client(),
        user: ban.whom.user().map(str::to_owned),
        until: rfc3339(ban.until),
        reason: ban.reason.clone(),
        by: ban.by.clone().unwrap_or_else(|| "operator".to_owned()),
    }
}

/// `GET /bans`.
pub(super) async fn list(State(admin): State<Admin>) -> Response {
    let now = admin.shared.now();
    match admin.shared.store().list(Space::Ban, MOST, now).await {
        Ok(found) => {
            let bans = found
                .iter()
                .filter_map(|found| stored::decode::<Ban>(&found.value).ok());
            let mut bans: Vec<Ban> = bans.filter(|ban| ban.until > now.unix).collect();
            bans.sort_by(|one, other| one.whom.cmp(&other.whom));
            let bans: Vec<_> = bans.iter().map(listed).collect();
            Json(json!({ "bans": bans })).into_response()
        }
        Err(fault) => unavailable(fault),
    }
}

/// `POST /bans` with `{"client": "192.0.2.1", "for": "15m", "reason": "…"}`, or `user` instead of `client`; with both the
/// user is banned at that address.
pub(super) async fn add(State(admin): State<Admin>, body: Bytes) -> Response {
    let asked: Asked = match asked(&body) {
        Ok(asked) => asked,
        Err((status, why)) => return refuse(status, &why),
    };
    let Some(whom) = whom(asked.client, asked.user.as_deref()) else {
        return refuse(StatusCode::BAD_REQUEST, "name a client, a user or both");
    };
    if asked.time.0.is_zero() || asked.time.0 > LONGEST {
        return refuse(
            StatusCode::BAD_REQUEST,
            "for: more than nothing, at most 366d",
        );
    }
    let now = admin.shared.now();
    let until = now.unix.saturating_add(asked.time.millis());
    let ban = Ban {
        whom,
        until,
        by: None,
        reason: asked.reason,
    };
    let Ok(value) = stored::encode(&ban) else {
        return unavailable(StoreFault::Corrupt);
    };
    let key = ban.whom.key(Keys::process());
    let put = admin
        .shared
        .store()
        .put(Space::Ban, key, value, asked.time.0, now);
    match put.await {
        Ok(()) => {
            tell(&admin, Kind::Banned, &ban.whom, &ban.reason);
            (StatusCode::CREATED, Json(listed(&ban))).into_response()
        }
        Err(fault) => unavailable(fault),
    }
}

/// `DELETE /bans/nameless`: of all attempts that name nobody, or several.
pub(super) async fn remove_nameless(State(admin): State<Admin>) -> Response {
    lift(admin, Some(Whom::User(String::new()))).await
}

/// `DELETE /bans/nameless/192.0.2.1`: of those from there.
pub(super) async fn remove_nameless_at(
    State(admin): State<Admin>,
    Path(client): Path<IpAddr>,
) -> Response {
    lift(admin, Some(Whom::Pair(client, String::new()).canonical())).await
}

/// `DELETE /bans/client/192.0.2.1`, `DELETE /bans/user/mia`.
pub(super) async fn remove(
    State(admin): State<Admin>,
    Path((kind, who)): Path<(String, String)>,
) -> Response {
    let whom = match kind.as_str() {
        "client" => whom(who.parse().ok(), None),
        "user" => whom(None, Some(&who)),
        _ => None,
    };
    lift(admin, whom).await
}

/// `DELETE /bans/pair/192.0.2.1/mia`.
pub(super) async fn remove_pair(
    State(admin): State<Admin>,
    Path((client, user)): Path<(String, String)>,
) -> Response {
    let pair = client
        .parse()
        .ok()
        .and_then(|client| whom(Some(client), Some(&user)));
    lift(admin, pair).await
}

/// What was counted is cleared even where nobody is banned: the next failure would ban.
async fn lift(admin: Admin, whom: Option<Whom>) -> Response {
    let Some(whom) = whom else {
        return refuse(StatusCode::BAD_REQUEST, "name a client or a user");
    };
    let mut leases = Leases::default();
    let mut io = operate(&admin, &mut leases);
    match ban::lift(&mut io, Keys::process(), &whom).await {
        Ok(true) => {
            tell(&admin, Kind::Unbanned, &whom, "");
            StatusCode::NO_CONTENT.into_response()
        }
        Ok(false) => refuse(
            StatusCode::NOT_FOUND,
            "not banned; failures counted so far are forgotten",
        ),
        Err(fault) => unavailable(fault),
    }
}

fn tell(admin: &Admin, kind: Kind, whom: &Whom, detail: &str) {
    admin.watch.events.emit(&Event {
        time: admin.shared.now().unix,
        kind,
        detail,
        client: whom.client(),
        user: whom.user().unwrap_or_default(),
        ..Event::default()
    });
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use policy::ban::Whom;

    use super::{Asked, whom};

    fn asked(json: &str) -> Option<Whom> {
        let asked = serde_json::from_str::<Asked>(json).ok()?;
        whom(asked.client, asked.user.as_deref())
    }

    #[test]
    fn names_a_client_or_a_user_or_both() {
        let client = Whom::Client("192.0.2.1".parse().unwrap());
        assert_eq!(
            asked(r#"{"client": "::ffff:192.0.2.1", "for": "15m"}"#),
            Some(client)
        );
        let user = Whom::User("mia".to_owned());
        assert_eq!(
            asked(r#"{"user": "Mia ", "for": "15m", "reason": "x"}"#),
            Some(user)
        );
        assert!(asked(r#"{"client": "192.0.2.1", "user": "mia", "for": "15m"}"#).is_some());
        for bad in [
            r#"{"for": "15m"}"#,
            r#"{"client": "192.0.2.1"}"#,
            r#"{"client": "192.0.2.0/24", "for": "15m"}"#,
            r#"{"user": "", "for": "15m"}"#,
            r#"{"user": "mia", "for": "15 minutes"}"#,
        ] {
            assert_eq!(asked(bad), None, "{bad}");
        }
    }
}

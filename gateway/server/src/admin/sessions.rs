//! Sessions, as operators see and end them. Who keeps them, and under which keys, is the `session` check's business.

use std::time::{Duration, Instant};

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::{Admin, By, note};
use crate::events::{Event, Kind, rfc3339};
use crate::io::{Source, Waiting};
use crate::leases::Leases;

/// `GET /sessions/mia`: those of every check that keeps some.
pub(super) async fn list(State(admin): State<Admin>, Path(user): Path<String>) -> Response {
    let snapshot = admin.shared.load();
    let mut leases = Leases::default();
    let mut io = waiting(&admin, &mut leases);
    let mut all: Vec<Value> = Vec::new();
    for check in snapshot.policy.sessions() {
        let Ok(sessions) = check.list(&mut io, &user).await else {
            return unavailable();
        };
        all.extend(sessions.into_iter().map(|session| {
            json!({
                "check": check.name(),
                "id": session.id,
                "started": rfc3339(session.started),
                "seen": rfc3339(session.seen),
                "client": session.client,
                "agent": session.agent,
            })
        }));
    }
    Json(json!({ "user": user, "sessions": all, "note": note(&admin, &user) })).into_response()
}

/// `DELETE /sessions/mia`: all of them. `{"reason": "…"}` stands in the events.
pub(super) async fn end_all(
    State(admin): State<Admin>,
    Path(user): Path<String>,
    By(by): By,
) -> Response {
    end(&admin, &user, None, &by).await
}

/// `DELETE /sessions/mia/4f1c…`: this one.
pub(super) async fn end_one(
    State(admin): State<Admin>,
    Path((user, id)): Path<(String, String)>,
    By(by): By,
) -> Response {
    end(&admin, &user, Some(&id), &by).await
}

async fn end(admin: &Admin, user: &str, id: Option<&str>, by: &str) -> Response {
    let snapshot = admin.shared.load();
    let mut leases = Leases::default();
    let mut io = waiting(admin, &mut leases);
    let mut all = Vec::new();
    for check in snapshot.policy.sessions() {
        let Ok(ended) = check.end(&mut io, user, id).await else {
            return unavailable();
        };
        for id in &ended {
            admin.watch.events.emit(&Event {
                time: admin.shared.now().unix,
                kind: Kind::Told("session_ended"),
                check: check.name(),
                user,
                detail: &format!("{id}: {by}"),
                ..Event::default()
            });
        }
        all.extend(ended);
    }
    if all.is_empty() && id.is_some() {
        let why = json!({ "error": "this user has no such session" });
        return (StatusCode::NOT_FOUND, Json(why)).into_response();
    }
    Json(json!({ "user": user, "ended": all, "note": note(admin, user) })).into_response()
}

fn unavailable() -> Response {
    let why = json!({ "error": "the store gives no answer; some sessions may have ended" });
    (StatusCode::SERVICE_UNAVAILABLE, Json(why)).into_response()
}

/// What checks may wait for, where there is no request.
fn waiting<'w>(admin: &'w Admin, leases: &'w mut Leases) -> Waiting<'w> {
    Waiting {
        shared: &admin.shared,
        now: admin.shared.now(),
        began: Instant::now(),
        leases,
        body: Source::Empty,
        waited: Duration::ZERO,
    }
}

//! Second factors, for operators: what a user enrolled, and taking it away from somebody who lost everything. No secret is
//! shown, and nothing can be added here.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use policy::checks::step_up::operator::{status, user_key};
use policy::io::Space;
use policy::key::Keys;
use serde_json::json;

use super::Admin;
use crate::events::{Event, Kind};

fn refuse(status: StatusCode, why: &str) -> Response {
    (status, Json(json!({ "error": why }))).into_response()
}

/// `GET /factors/mia`.
pub(super) async fn show(State(admin): State<Admin>, Path(user): Path<String>) -> Response {
    let key = user_key(Keys::process(), &user);
    let now = admin.shared.now();
    match admin.shared.store().get(Space::Factor, key, now).await {
        Ok(Some(stored)) => match status(&stored) {
            Ok(status) => Json(json!({ "user": user, "factors": status })).into_response(),
            Err(_) => refuse(StatusCode::INTERNAL_SERVER_ERROR, "the record is broken"),
        },
        Ok(None) => refuse(StatusCode::NOT_FOUND, "no second factor"),
        Err(_) => refuse(StatusCode::SERVICE_UNAVAILABLE, "the store gives no answer"),
    }
}

/// `DELETE /factors/mia`: all of them, and with them every proof in every session.
pub(super) async fn reset(State(admin): State<Admin>, Path(user): Path<String>) -> Response {
    let key = user_key(Keys::process(), &user);
    let now = admin.shared.now();
    let store = admin.shared.store();
    match store.get(Space::Factor, key, now).await {
        Ok(Some(_)) => {}
        Ok(None) => return refuse(StatusCode::NOT_FOUND, "no second factor"),
        Err(_) => return refuse(StatusCode::SERVICE_UNAVAILABLE, "the store gives no answer"),
    }
    if store.remove(Space::Factor, key, now).await.is_err() {
        return refuse(StatusCode::SERVICE_UNAVAILABLE, "the store gives no answer");
    }
    admin.watch.events.emit(&Event {
        time: now.unix,
        kind: Kind::Told("factor_reset"),
        user: &user,
        detail: "by an operator",
        ..Event::default()
    });
    StatusCode::NO_CONTENT.into_response()
}

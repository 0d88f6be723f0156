//! Second factors, for operators: what a user enrolled, and taking it away from somebody who lost everything. No secret is
//! shown, and nothing can be added here.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use policy::checks::step_up::operator::{forget_attempts, status, user_key};
use policy::io::Space;
use policy::key::Keys;
use serde_json::json;

use super::{Admin, By, operate, refuse, tell, unavailable};
use crate::leases::Leases;

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
        Err(fault) => unavailable(fault),
    }
}

/// `DELETE /factors/mia`: all of them, and with them every proof in every session. `{"reason": "…"}` stands in the event.
pub(super) async fn reset(
    State(admin): State<Admin>,
    Path(user): Path<String>,
    By(detail): By,
) -> Response {
    let key = user_key(Keys::process(), &user);
    let now = admin.shared.now();
    let store = admin.shared.store();
    match store.get(Space::Factor, key, now).await {
        Ok(Some(_)) => {}
        Ok(None) => return refuse(StatusCode::NOT_FOUND, "no second factor"),
        Err(fault) => return unavailable(fault),
    }
    if let Err(fault) = store.remove(Space::Factor, key, now).await {
        return unavailable(fault);
    }
    tell(&admin, "factor_reset", &user, &detail);
    StatusCode::NO_CONTENT.into_response()
}

/// `POST /factors/mia/unlock`: wrong codes so far count no more; the factors stay.
pub(super) async fn unlock(
    State(admin): State<Admin>,
    Path(user): Path<String>,
    By(detail): By,
) -> Response {
    let mut leases = Leases::default();
    let mut io = operate(&admin, &mut leases);
    match forget_attempts(&mut io, Keys::process(), &user).await {
        Ok(true) => {
            tell(&admin, "factor_unlocked", &user, &detail);
            StatusCode::NO_CONTENT.into_response()
        }
        Ok(false) => refuse(StatusCode::NOT_FOUND, "no second factor"),
        Err(fault) => unavailable(fault),
    }
}

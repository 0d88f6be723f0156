//! Tokens for emergencies, as operators make, list and revoke them. What one lets pass is the `break_glass` check's to say.

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use policy::checks::break_glass::{self, Emergency, LONGEST, LONGEST_HOLD};
use policy::io::{Io as _, Space, StoreFault};
use policy::key::Keys;
use policy::{scalar, stored};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Admin, asked, operate, refuse, tell, unavailable};
use crate::events::rfc3339;
use crate::leases::Leases;

/// Most tokens that are listed.
const MOST: usize = 10_000;

/// What is asked for.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    passes: Vec<String>,
    #[serde(rename = "for")]
    time: scalar::Duration,
    hold: Option<scalar::Duration>,
    reason: String,
}

fn shown(token: &Emergency, now: u64) -> Value {
    let state = match token.used {
        Some(used) if now < used.at.saturating_add(token.hold) => "in use",
        Some(_) => "used",
        None if now >= token.until => "expired",
        None => "unused",
    };
    json!({
        "id": token.id,
        "state": state,
        "passes": token.passes,
        "until": rfc3339(token.until),
        "reason": token.reason,
        "used_at": token.used.map(|used| rfc3339(used.at)),
        "used_by": token.used.map(|used| used.client),
    })
}

/// `GET /emergencies`: every token that is known, but not the secrets themselves.
pub(super) async fn list(State(admin): State<Admin>) -> Response {
    let now = admin.shared.now();
    match admin.shared.store().list(Space::Emergency, MOST, now).await {
        Ok(found) => {
            let tokens = found
                .iter()
                .filter_map(|found| stored::decode::<Emergency>(&found.value).ok());
            let mut tokens: Vec<Emergency> = tokens.collect();
            tokens.sort_by_key(|token| token.until);
            let tokens: Vec<Value> = tokens.iter().map(|token| shown(token, now.unix)).collect();
            Json(json!({ "emergencies": tokens })).into_response()
        }
        Err(fault) => unavailable(fault),
    }
}

/// `POST /emergencies` with `{"passes": ["second-factor"], "for": "1h", "hold": "15m", "reason": "…"}`. The answer is the only
/// place where the token ever stands.
pub(super) async fn create(State(admin): State<Admin>, body: Bytes) -> Response {
    let asked: Asked = match asked(&body) {
        Ok(asked) => asked,
        Err((status, why)) => return refuse(status, &why),
    };
    let hold = asked.hold.unwrap_or_default();
    let bad = |why: &str| refuse(StatusCode::BAD_REQUEST, why);
    if asked.passes.is_empty() || asked.reason.trim().is_empty() {
        return bad("say which checks it lets pass, and the reason");
    }
    if asked.time.0.is_zero() || asked.time.0 > LONGEST || hold.0 > LONGEST_HOLD {
        return bad("for: more than nothing, at most 30d; hold: at most 12h");
    }
    if let Some(name) = unknown(&admin, &asked.passes) {
        return bad(&format!(
            "no `break_glass` check of the policy lets `{name}` pass"
        ));
    }
    let now = admin.shared.now();
    let mut leases = Leases::default();
    let mut io = operate(&admin, &mut leases);
    let secret = format!("pge_{}", URL_SAFE_NO_PAD.encode(io.random()));
    let id: String = URL_SAFE_NO_PAD
        .encode(io.random())
        .chars()
        .filter(char::is_ascii_alphanumeric)
        .take(8)
        .collect();
    let token = Emergency {
        id,
        passes: asked.passes,
        until: now.unix.saturating_add(asked.time.millis()),
        hold: hold.millis(),
        reason: asked.reason,
        used: None,
    };
    let Ok(value) = stored::encode(&token) else {
        return unavailable(StoreFault::Corrupt);
    };
    let key = break_glass::key(Keys::process(), &secret);
    match io
        .put(Space::Emergency, key, value, token.life(now.unix))
        .await
    {
        Ok(()) => {
            let detail = format!(
                "token {} lets pass {}: {}",
                token.id,
                token.passes.join(", "),
                token.reason
            );
            tell(&admin, "emergency_created", "", &detail);
            let mut shown = shown(&token, now.unix);
            if let Some(shown) = shown.as_object_mut() {
                shown.insert("token".to_owned(), Value::String(secret));
            }
            (StatusCode::CREATED, Json(shown)).into_response()
        }
        Err(fault) => unavailable(fault),
    }
}

/// A name that no check of the policy in service would heed: a token that turns out to be useless in an emergency is worse
/// than none.
fn unknown(admin: &Admin, passes: &[String]) -> Option<String> {
    let snapshot = admin.shared.load();
    let known: Vec<&str> = snapshot.policy.may_pass().collect();
    passes
        .iter()
        .find(|name| !known.contains(&name.as_str()))
        .cloned()
}

/// `DELETE /emergencies/ID`.
pub(super) async fn revoke(State(admin): State<Admin>, Path(id): Path<String>) -> Response {
    let (store, now) = (admin.shared.store(), admin.shared.now());
    let found = match store.list(Space::Emergency, MOST, now).await {
        Ok(found) => found,
        Err(fault) => return unavailable(fault),
    };
    let mut fitting = found.into_iter().filter(|found| {
        stored::decode::<Emergency>(&found.value).is_ok_and(|token| token.id == id)
    });
    let Some(token) = fitting.next() else {
        return refuse(StatusCode::NOT_FOUND, "no such token");
    };
    match store.remove(Space::Emergency, token.key, now).await {
        Ok(()) => {
            tell(&admin, "emergency_revoked", "", &format!("token {id}"));
            StatusCode::NO_CONTENT.into_response()
        }
        Err(fault) => unavailable(fault),
    }
}

//! How the secrets of the policy in service are. Their values come nowhere near.

use axum::Json;
use axum::extract::State;
use serde_json::{Value, json};

use super::Admin;
use crate::events::{rfc3339, unix_ms};
use crate::reload::Kept;

pub(super) async fn list(State(admin): State<Admin>) -> Json<Value> {
    let now = unix_ms();
    let secrets = admin.reloader.secrets();
    let secrets: Vec<Value> = secrets.iter().map(|kept| line(kept, now)).collect();
    Json(json!({ "secrets": secrets }))
}

fn line(kept: &Kept, now: u64) -> Value {
    let about = &kept.about;
    // One that is accepted for as long as the policy says so has no end.
    let ends = |until: &u64| match *until {
        u64::MAX => Value::Null,
        until => rfc3339(until).into(),
    };
    json!({
        "name": about.name,
        "provider": about.provider,
        "place": about.place,
        "made": rfc3339(about.made),
        "age_seconds": kept.age(now) / 1_000,
        "checked": kept.checked.map(rfc3339),
        "previous_until": about.accepted.iter().map(ends).collect::<Vec<_>>(),
        "overdue": kept.overdue(now),
        "failing_since": kept.fault.as_ref().map(|(since, _)| rfc3339(*since)),
        "fault": kept.fault.as_ref().map(|(_, why)| why),
    })
}

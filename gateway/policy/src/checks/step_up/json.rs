//! The same as the pages, for an application that draws its own: what comes of a visit, as JSON; what is refused, as
//! problem+json (RFC 9457) with the reasons that everything else has.

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderValue, StatusCode};
use serde_json::{Map, Value, json};

use super::page::Visit;
use super::proof::Outcome;
use super::record::Factors;
use super::shown::{Shown, To, Wrong, day};
use super::{Check, Method};
use crate::decision::{Action, Reason, Reply};
use crate::pages::qr;

impl Check {
    /// As JSON.
    pub(super) fn told(&self, id: &str, visit: &Visit, shown: Shown) -> Reply {
        let refused = |reason, more| problem(id, reason, more);
        match shown {
            Shown::Nothing => fine(&self.state(visit, None, true)),
            Shown::Home(factors) => fine(&self.state(visit, Some(&factors), true)),
            Shown::Ask { factors, keys, wrong: None | Some(Outcome::Proven) } => {
                let mut state = self.state(visit, Some(&factors), false);
                if let Some(state) = state.as_object_mut() {
                    state.insert("ask".to_owned(), self.choices(&factors, keys.as_deref()));
                }
                fine(&state)
            }
            Shown::Ask { factors, keys, wrong: Some(wrong) } => {
                failed(id, wrong, json!({"ask": self.choices(&factors, keys.as_deref())}))
            }
            Shown::SetUp { address, secret, digits, wrong: None } => fine(&json!({
                "address": address, "secret": secret, "digits": digits, "seconds": self.set_up.as_secs(),
                "qr": qr::svg(&address, visit.text.qr).map(|svg| svg.into_string()),
            })),
            Shown::SetUp { wrong: Some(Wrong::Code(outcome)), .. } | Shown::Off { wrong: Some(outcome), .. } => {
                failed(id, outcome, json!({}))
            }
            Shown::Wait(seconds) => failed(id, Outcome::Locked(seconds), json!({})),
            // Another secret waits by now: it is asked for anew.
            Shown::SetUp { wrong: Some(Wrong::Late), .. } => {
                refused(Reason::SecondFactorFailed, json!({"detail": "the set-up is over: begin again"}))
            }
            Shown::NewKey { failed: true, .. } => refused(Reason::SecondFactorFailed, json!({})),
            Shown::NewKey { options, failed: false } => fine(&json!({"publicKey": parsed(&options)})),
            Shown::Codes { done, codes } => {
                fine(&json!({"done": done.map_or("backup_codes", word), "backup_codes": codes}))
            }
            Shown::Enrolled(method) => fine(&json!({"done": word(method)})),
            Shown::Removed => fine(&json!({"done": "removed"})),
            Shown::Off { factors, wrong: None } => fine(&json!({"ask": self.choices(&factors, None)})),
            Shown::OffDone => fine(&json!({"done": "off"})),
            Shown::Stale => refused(Reason::FormStale, json!({})),
            Shown::Go(To::Onward) => fine(&json!({"done": "proven", "return": visit.back})),
            Shown::Go(To::Ask(_)) => refused(Reason::SecondFactorRequired, json!({})),
            Shown::Go(To::Enrol | To::Home) => refused(Reason::SecondFactorMissing, json!({})),
            Shown::Go(To::Off) => {
                refused(Reason::SecondFactorRequired, json!({"detail": "the last factor goes by mfa/off"}))
            }
        }
    }

    /// What is enrolled, and what may be.
    fn state(&self, visit: &Visit, factors: Option<&Factors>, settled: bool) -> Value {
        let methods = [Method::Totp, Method::Webauthn, Method::BackupCode];
        let methods: Vec<_> = methods.into_iter().filter(|method| self.allows(*method)).map(word).collect();
        let app = factors.and_then(|factors| factors.totp.as_ref());
        let keys = factors.map_or(&[][..], |factors| &factors.keys).iter();
        let keys: Vec<_> = keys.map(|key| json!({"id": key.id(), "name": key.name, "since": day(key.since)})).collect();
        json!({
            "required": visit.required,
            "methods": methods,
            "enrolled": {
                "totp": app.map(|app| json!({"since": day(app.since)})),
                "webauthn": keys,
                "backup_codes": factors.map_or(0, |factors| factors.codes.left()),
            },
            "proven": settled && factors.is_some(),
            // For programs that are no browser's.
            "token": visit.token,
        })
    }

    /// The ways in which this user can prove it now.
    fn choices(&self, factors: &Factors, keys: Option<&str>) -> Value {
        let ways = self.ways(factors);
        json!({
            "totp": ways.app.map(|digits| json!({"digits": digits})),
            "backup_code": ways.backup,
            "webauthn": keys.map(|options| json!({"publicKey": parsed(options)})),
        })
    }
}

fn word(method: Method) -> &'static str {
    match method {
        Method::Totp => "totp",
        Method::Webauthn => "webauthn",
        Method::BackupCode => "backup_code",
    }
}

fn parsed(json: &str) -> Value {
    serde_json::from_str(json).unwrap_or_default()
}

fn failed(id: &str, outcome: Outcome, more: Value) -> Reply {
    match outcome {
        Outcome::Locked(seconds) => {
            let mut reply = problem(id, Reason::SecondFactorLocked, more);
            reply.headers.push((RETRY_AFTER, HeaderValue::from(seconds)));
            reply
        }
        Outcome::Wrong | Outcome::Proven => problem(id, Reason::SecondFactorFailed, more),
    }
}

fn fine(value: &Value) -> Reply {
    written(value, Reason::Ok, StatusCode::OK, "application/json")
}

fn problem(id: &str, reason: Reason, more: Value) -> Reply {
    let mut value = json!({
        "type": "about:blank", "title": reason.title(), "status": reason.status().as_u16(), "reason": reason.code(),
        "request_id": id,
    });
    if let (Some(value), Value::Object(more)) = (value.as_object_mut(), more) {
        let more: Map<_, _> = more;
        value.extend(more);
    }
    written(&value, reason, reason.status(), "application/problem+json")
}

fn written(value: &Value, reason: Reason, status: StatusCode, kind: &'static str) -> Reply {
    let fixed = HeaderValue::from_static;
    Reply {
        reason,
        status,
        headers: vec![
            (CONTENT_TYPE, fixed(kind)),
            (CACHE_CONTROL, fixed("no-store")),
            (X_CONTENT_TYPE_OPTIONS, fixed("nosniff")),
        ],
        body: Bytes::from(value.to_string()),
        action: if reason == Reason::Ok { Action::Allow } else { Action::Deny },
    }
}

//! Tokens that operators call back: by name for the rest of their life, or all that a user was given until now. Put where
//! the `jwt` check looks with `revocation: true`.

use std::time::Duration;

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use policy::checks::jwt::revocation::{self, Named};
use policy::io::{Key, Space};
use policy::key::Keys;
use policy::scalar;
use serde::Deserialize;
use serde_json::json;

use super::Admin;
use crate::events::{Event, Kind, rfc3339};

/// Longest life of an entry.
const LONGEST: Duration = Duration::from_secs(366 * 86_400);

/// Where nobody says how long: as long as refresh tokens live.
const USUAL: Duration = Duration::from_secs(7 * 86_400);

/// Longer than any leeway that a policy may give to clocks.
const SLACK: Duration = Duration::from_secs(360);

/// Largest request, in bytes.
const LARGEST: usize = 64 << 10;

/// What is asked for.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    jti: Option<String>,
    user: Option<String>,
    token: Option<String>,
    #[serde(rename = "for")]
    time: Option<scalar::Duration>,
    #[serde(default)]
    reason: String,
}

/// An entry to be made.
#[derive(Debug, PartialEq, Eq)]
struct Entry {
    key: Key,
    value: Bytes,
    ttl: Duration,
    user: String,
    what: String,
}

/// `POST /tokens/revoke` with `{"token": "…"}`, `{"jti": "…", "for": "12h"}` or `{"user": "mia", "for": "7d"}`.
pub(super) async fn revoke(State(admin): State<Admin>, body: Bytes) -> Response {
    let refuse =
        |status: StatusCode, why: String| (status, Json(json!({ "error": why }))).into_response();
    if body.len() > LARGEST {
        let why = format!("at most {LARGEST} bytes");
        return refuse(StatusCode::PAYLOAD_TOO_LARGE, why);
    }
    let now = admin.shared.now();
    let asked = serde_json::from_slice::<Asked>(&body).map_err(|why| why.to_string());
    let entry = asked.and_then(|asked| {
        let prolonged = admin.shared.load().policy.prolongs_for();
        let entry = entry(&asked, now.unix, prolonged, Keys::process())?;
        Ok((entry, asked.reason))
    });
    let (entry, reason) = match entry {
        Ok(entry) => entry,
        Err(why) => return refuse(StatusCode::BAD_REQUEST, why),
    };
    let store = admin.shared.store();
    let put = store.put(Space::Revocation, entry.key, entry.value, entry.ttl, now);
    if put.await.is_err() {
        let why = "the store gives no answer, or has no room: nothing is revoked";
        return refuse(StatusCode::SERVICE_UNAVAILABLE, why.to_owned());
    }
    let detail = [entry.what.as_str(), reason.as_str()];
    let detail: Vec<&str> = detail.into_iter().filter(|part| !part.is_empty()).collect();
    let detail = detail.join(": ");
    admin.watch.events.emit(&Event {
        time: now.unix,
        kind: Kind::Revoked,
        user: &entry.user,
        detail: &detail,
        ..Event::default()
    });
    let until = now.unix.saturating_add(millis(entry.ttl));
    let answer = json!({ "revoked": entry.what, "user": entry.user, "until": rfc3339(until) });
    (StatusCode::CREATED, Json(answer)).into_response()
}

/// What is to be kept; a token that may have been `prolonged`, under its own name, holds longer than it says.
fn entry(
    asked: &Asked,
    now: u64,
    prolonged: Option<Duration>,
    keys: Keys,
) -> Result<Entry, String> {
    let time = asked.time.map(|time| time.0);
    if time.is_some_and(|time| time.is_zero() || time > LONGEST) {
        return Err("for: more than nothing, at most 366d".to_owned());
    }
    let by_name = |jti: &str, user: String, ttl: Duration| Entry {
        key: revocation::token_key(keys, jti),
        value: Bytes::from_static(b"operator"),
        ttl,
        user,
        what: format!("jti {jti}"),
    };
    let usual = time.unwrap_or(USUAL);
    match (&asked.jti, &asked.user, &asked.token) {
        (Some(jti), None, None) if !jti.is_empty() => Ok(by_name(jti, String::new(), usual)),
        (None, Some(user), None) if !user.is_empty() => Ok(Entry {
            key: revocation::subject_key(keys, user),
            value: revocation::since(now),
            ttl: usual,
            user: user.clone(),
            what: "all tokens until now".to_owned(),
        }),
        (None, None, Some(token)) => {
            let Named { jti, user, expires } =
                revocation::named(token.trim()).ok_or("that is no token")?;
            let jti = jti.ok_or("the token has no jti: revoke its user's")?;
            let left = expires.map(|expires| expires.saturating_sub(now));
            if left == Some(0) && prolonged.is_none() {
                return Err("the token has expired already".to_owned());
            }
            let rest = left.map(|left| Duration::from_millis(left) + SLACK);
            let copies = prolonged.map_or(Duration::ZERO, |longest| longest + SLACK);
            let rest = rest.map(|rest| rest.max(copies));
            let ttl = time.or(rest).unwrap_or(USUAL).min(LONGEST);
            Ok(by_name(&jti, user.unwrap_or_default(), ttl))
        }
        _ => Err("name one of jti, user and token".to_owned()),
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;

    use super::*;

    const NOW: u64 = 1_767_225_600_000;

    fn asked(json: &str) -> Result<Entry, String> {
        let asked = serde_json::from_str(json).map_err(|_| "shape".to_owned())?;
        entry(&asked, NOW, None, Keys::process())
    }

    fn token(claims: &str) -> String {
        let part = |text: &str| URL_SAFE_NO_PAD.encode(text);
        format!("{}.{}.c2ln", part(r#"{"alg":"HS256"}"#), part(claims))
    }

    #[test]
    fn a_token_is_revoked_for_the_rest_of_its_life() {
        let expires = NOW / 1000 + 3600;
        let text = token(&format!(r#"{{"jti":"j1","sub":"mia","exp":{expires}}}"#));
        let by_token = asked(&format!(r#"{{"token":"{text}"}}"#)).unwrap();
        assert_eq!(by_token.ttl, Duration::from_secs(3600) + SLACK);
        assert_eq!(by_token.user, "mia");
        let copied = entry(
            &serde_json::from_str(&format!(r#"{{"token":"{text}"}}"#)).unwrap(),
            NOW,
            Some(Duration::from_secs(43_200)),
            Keys::process(),
        );
        assert_eq!(copied.unwrap().ttl, Duration::from_secs(43_200) + SLACK);
        let by_name = asked(r#"{"jti":"j1","for":"12h"}"#).unwrap();
        assert_eq!(
            (by_name.key, by_name.ttl),
            (by_token.key, Duration::from_secs(43_200))
        );
    }

    #[test]
    fn says_what_cannot_be_revoked() {
        let expired = token(r#"{"jti":"j1","exp":1}"#);
        let nameless = token(r#"{"sub":"mia","exp":9999999999}"#);
        for (json, told) in [
            (r#"{}"#.to_owned(), "name one of"),
            (r#"{"jti":"a","user":"b"}"#.to_owned(), "name one of"),
            (r#"{"user":""}"#.to_owned(), "name one of"),
            (r#"{"jti":"a","for":"367d"}"#.to_owned(), "at most 366d"),
            (r#"{"token":"x"}"#.to_owned(), "no token"),
            (format!(r#"{{"token":"{expired}"}}"#), "expired already"),
            (format!(r#"{{"token":"{nameless}"}}"#), "no jti"),
        ] {
            let why = asked(&json).unwrap_err();
            assert!(why.contains(told), "{json}: {why}");
        }
    }
}

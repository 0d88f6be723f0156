//! The form into which somebody types an emergency token, for browsers, which send no header of their own. A token that
//! was used there goes on in a cookie, for as long as it holds and for its client only.

use std::time::Duration;

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY, SET_COOKIE};
use http::{HeaderName, HeaderValue, Method, StatusCode};

use super::{Check, Emergency, Found, key};
use crate::checks::Turn;
use crate::cookie::{self, SameSite};
use crate::decision::{Action, Answer, Reason, Reply};
use crate::io::{Io, Space};
use crate::request::Request;
use crate::stored;

/// Longest form, in bytes.
const FORM: u64 = 4 << 10;

const HEADERS: [(HeaderName, HeaderValue); 4] = [
    (CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8")),
    (CACHE_CONTROL, HeaderValue::from_static("no-store")),
    (
        CONTENT_SECURITY_POLICY,
        HeaderValue::from_static("default-src 'none'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"),
    ),
    (REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
];

/// With TLS and without: no browser takes a `__Host-` cookie over a plain connection.
pub(super) const COOKIES: [&str; 2] = ["__Host-palisade-emergency", "palisade-emergency"];

pub(super) fn cookie_name(request: &Request<'_>) -> &'static str {
    let [secure, plain] = COOKIES;
    if request.scheme == "https" { secure } else { plain }
}

/// Keeps the token for so long; zero: no longer.
pub(super) fn set_cookie(request: &Request<'_>, token: &str, age: Duration) -> Option<(HeaderName, HeaderValue)> {
    let set = cookie::Set {
        name: cookie_name(request),
        value: token,
        age: Some(age),
        same_site: SameSite::Strict,
        script: false,
        secure: request.scheme == "https",
    };
    Some((SET_COOKIE, set.header()?))
}

pub(super) async fn serve<I: Io>(check: &Check, turn: &mut Turn<'_, '_, I>) -> Answer {
    if turn.request.method != Method::POST {
        return form(StatusCode::OK, "");
    }
    let body = match turn.io.body(FORM).await {
        Ok(body) => body,
        Err(fault) => return Answer::deny(fault.into()),
    };
    let token = form_urlencoded::parse(&body).find(|(name, _)| name == "token");
    let token = token.map(|(_, value)| value.trim().to_owned()).unwrap_or_default();
    let known = stored::get::<Emergency, I>(turn.io, Space::Emergency, key(check.keys, &token)).await;
    if matches!(&known, Ok(Some(known)) if known.hold == 0) {
        // Used here it would be gone, and nothing would have passed.
        return form(StatusCode::BAD_REQUEST, "This token is for a single request: send it in the header.");
    }
    let Ok(found) = check.redeem(turn, &token).await else {
        return check.without_store.clone();
    };
    let hold = match &found {
        Found::First(token) | Found::Again(token) => Some(Duration::from_millis(token.hold)),
        Found::Refused(..) => None,
    };
    let denied = check.tell(turn, found);
    match hold.and_then(|hold| set_cookie(turn.request, &token, hold)) {
        Some(cookie) => {
            let mut reply = Reply::see_other(Reason::Ok, "/");
            reply.action = Action::Allow;
            reply.headers.push(cookie);
            Answer::Reply(reply)
        }
        None if denied == Answer::Pass => Answer::deny(Reason::Internal),
        None => form(StatusCode::FORBIDDEN, "This token is not accepted."),
    }
}

fn form(status: StatusCode, why: &'static str) -> Answer {
    let page = format!(
        "<!doctype html>\n<html lang=\"en\">\n<head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"><title>Emergency access</title></head>\n\
         <body><main><h1>Emergency access</h1>\n<p role=\"alert\">{why}</p>\n\
         <form method=\"post\"><p><label for=\"token\">Token</label> \
         <input id=\"token\" name=\"token\" type=\"password\" autocomplete=\"off\" required autofocus></p>\n\
         <p><button>Use it</button></p></form>\n<p>Every use is recorded and reported.</p></main></body>\n</html>\n"
    );
    let refused = status.is_client_error();
    Answer::Reply(Reply {
        reason: if refused { Reason::EmergencyRefused } else { Reason::Ok },
        status,
        headers: HEADERS.to_vec(),
        body: Bytes::from(page),
        action: if refused { Action::Deny } else { Action::Allow },
    })
}

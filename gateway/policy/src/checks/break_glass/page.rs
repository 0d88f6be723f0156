//! The form into which somebody types an emergency token, for browsers, which send no header of their own. A token that
//! was used there goes on in a cookie, for as long as it holds and for its client only.

use std::time::Duration;

use http::header::SET_COOKIE;
use http::{HeaderName, HeaderValue, Method, StatusCode};

use super::{Check, Emergency, Found, key};
use crate::checks::Turn;
use crate::cookie::{self, SameSite};
use crate::decision::{Action, Answer, Reason, Reply};
use crate::io::{Io, Space};
use crate::pages::text::{Text, filled};
use crate::pages::{self, emergency, language};
use crate::request::Request;
use crate::stored;

/// Longest form, in bytes.
const FORM: u64 = 4 << 10;

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
        return form(turn, StatusCode::OK, None);
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
        let [header] = &check.header;
        let why = |text: &Text| filled(text.emergency_header, "{header}", header.as_str());
        return form(turn, StatusCode::BAD_REQUEST, Some(&why));
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
        None => form(turn, StatusCode::FORBIDDEN, Some(&|text: &Text| text.emergency_unknown.to_owned())),
    }
}

fn form<I>(turn: &mut Turn<'_, '_, I>, status: StatusCode, why: Option<&dyn Fn(&Text) -> String>) -> Answer {
    let text = language::of(turn.request.headers);
    let reason = if why.is_some() { Reason::EmergencyRefused } else { Reason::Ok };
    let reply = emergency::form(text, why.map(|why| why(text)).as_deref()).reply(reason, status);
    pages::insist(&reply, turn.effects);
    Answer::Reply(reply)
}

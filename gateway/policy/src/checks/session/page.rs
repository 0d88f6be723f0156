//! The page on which users see their own sessions and end them. Works without script; its forms are bound to the session
//! that they were made for.

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName, LOCATION, SET_COOKIE};
use http::{HeaderMap, HeaderValue, Method, StatusCode};

use super::keeper::Listed;
use super::login::FORM;
use super::own::Own;
use super::refusal::Login;
use crate::checks::Turn;
use crate::decision::{Action, Answer, Reason, Reply, Told};
use crate::io::{BodyFault, Io, Key};

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Serves `sessions`.
pub(super) async fn serve<I: Io>(
    own: &Own,
    login: Option<&Login>,
    pages: &str,
    turn: &mut Turn<'_, '_, I>,
    rest: &str,
) -> Answer {
    let (Some(identity), Some(session)) = (turn.facts.identity.clone(), turn.facts.session) else {
        return Answer::deny(Reason::SessionMissing);
    };
    let open = match own.keeper.find(turn.io, turn.request).await {
        Ok(open) => open,
        Err(reason) => return Answer::deny(reason),
    };
    if rest != "sessions" {
        return Answer::deny(Reason::NoRoute);
    }
    let token = own.keeper.names.key("session/form", &session.binding.0.to_be_bytes());
    let token = format!("{:032x}", token.0);
    if *turn.request.method == Method::POST {
        return change(own, login, pages, turn, (&identity.user, open.key, &token)).await;
    }
    if *turn.request.method != Method::GET && *turn.request.method != Method::HEAD {
        return Answer::deny(Reason::BadMethod);
    }
    match own.keeper.list(turn.io, &identity.user).await {
        Ok(listed) => Answer::Reply(page(&identity.user, &listed, open.key, &token)),
        Err(_) => Answer::deny(Reason::StoreUnavailable),
    }
}

async fn change<I: Io>(
    own: &Own,
    login: Option<&Login>,
    pages: &str,
    turn: &mut Turn<'_, '_, I>,
    (user, current, token): (&str, Key, &str),
) -> Answer {
    let body = match turn.io.body(FORM).await {
        Ok(body) => body,
        Err(BodyFault::TooLarge) => return Answer::deny(Reason::BodyTooLarge),
        Err(_) => return Answer::deny(Reason::BodyBroken),
    };
    let field = |name: &str| {
        let mut values = form_urlencoded::parse(&body).filter(|(key, _)| key == name);
        values.next().map(|(_, value)| value.into_owned())
    };
    if !from_here(turn.request.headers) || field("token").as_deref() != Some(token) {
        return Answer::deny(Reason::Forbidden);
    }
    let wanted = field("end").unwrap_or_default();
    let which = |one: &Listed| match wanted.as_str() {
        "all" => true,
        "others" => one.key != Some(current),
        id => one.id == id,
    };
    let Ok(ended) = own.keeper.end(turn.io, user, which).await else {
        return Answer::deny(Reason::StoreUnavailable);
    };
    for id in ended {
        turn.effects.told.push(Told {
            event: "session_ended",
            check: turn.id,
            user: Some(user.to_owned()),
            detail: format!("{id}: by its user"),
        });
    }
    let mut reply = Reply::see_other(Reason::Ok, &format!("{pages}/sessions"));
    reply.action = Action::Allow;
    if own.keeper.find(turn.io, turn.request).await.is_err() {
        let away = login.map_or("/", Login::path);
        if let Ok(away) = HeaderValue::try_from(away) {
            reply.headers.retain(|(name, _)| name != LOCATION);
            reply.headers.push((LOCATION, away));
        }
        reply.headers.extend(own.keeper.unset().map(|cookie| (SET_COOKIE, cookie)));
    }
    Answer::Reply(reply)
}

/// Whether a browser says that the form is ours; one that says nothing shows it by the form's token.
fn from_here(headers: &HeaderMap) -> bool {
    headers.get(SEC_FETCH_SITE).is_none_or(|site| site.as_bytes() == b"same-origin")
}

fn page(user: &str, listed: &[Listed], current: Key, token: &str) -> Reply {
    let mut rows = String::new();
    for one in listed {
        let here = one.key == Some(current);
        let mark = if here { " <strong>(this one)</strong>" } else { "" };
        rows.push_str(&format!(
            "<tr><td>{}{mark}</td><td>{}</td><td><time>{}</time></td><td><time>{}</time></td><td>{}</td></tr>\n",
            escaped(&one.agent),
            escaped(&one.client),
            time(one.started),
            time(one.seen),
            button("End", &one.id, token),
        ));
    }
    let body = format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" \
         content=\"width=device-width\"><title>Sessions</title></head><body><main><h1>Sessions of {}</h1>\n<table>\
         <thead><tr><th scope=\"col\">Device</th><th scope=\"col\">Address</th><th scope=\"col\">Since</th>\
         <th scope=\"col\">Last used</th><th></th></tr></thead><tbody>\n{rows}</tbody></table>\n{} {}\n</main></body></html>\n",
        escaped(user),
        button("Log out everywhere else", "others", token),
        button("Log out everywhere", "all", token),
    );
    let fixed = HeaderValue::from_static;
    Reply {
        reason: Reason::Ok,
        status: StatusCode::OK,
        headers: vec![
            (CONTENT_TYPE, fixed("text/html; charset=utf-8")),
            (CACHE_CONTROL, fixed("no-store")),
            (
                CONTENT_SECURITY_POLICY,
                fixed("default-src 'none'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"),
            ),
        ],
        body: Bytes::from(body),
        action: Action::Allow,
    }
}

fn button(label: &str, end: &str, token: &str) -> String {
    format!(
        "<form method=\"post\"><input type=\"hidden\" name=\"token\" value=\"{token}\"><button name=\"end\" \
         value=\"{}\">{label}</button></form>",
        escaped(end)
    )
}

fn time(unix_ms: u64) -> String {
    let moment = i64::try_from(unix_ms / 1000).ok().and_then(|seconds| jiff::Timestamp::from_second(seconds).ok());
    moment.map_or_else(String::new, |moment| moment.to_string())
}

fn escaped(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}

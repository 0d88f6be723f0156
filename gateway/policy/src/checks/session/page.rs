//! Users see their own sessions on a page and end them. Its forms are bound to the session that they were made for.

use http::header::{HeaderName, LOCATION, SET_COOKIE};
use http::{HeaderMap, HeaderValue, Method, StatusCode};

use super::keeper::{Keeper, Listed};
use super::login::FORM;
use super::refusal::Login;
use crate::checks::Turn;
use crate::decision::{Action, Answer, Reason, Reply, Told};
use crate::io::{Io, Key};
use crate::pages::sessions::{self, Session};
use crate::pages::{self, language};

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Whose sessions they are, and who keeps them.
pub(super) struct Mine<'m> {
    pub(super) keeper: &'m Keeper,
    pub(super) login: Option<&'m Login>,
    pub(super) base: &'m str,
    /// The session that asks.
    pub(super) current: Key,
    /// The cookie that takes it away.
    pub(super) unset: Option<HeaderValue>,
}

/// Serves `sessions`.
pub(super) async fn serve<I: Io>(mine: &Mine<'_>, turn: &mut Turn<'_, '_, I>) -> Answer {
    let (Some(identity), Some(session)) = (turn.facts.identity.clone(), turn.facts.session) else {
        return Answer::deny(Reason::SessionMissing);
    };
    let token = mine.keeper.names.key("session/form", &session.binding.0.to_be_bytes());
    let token = format!("{:032x}", token.0);
    if *turn.request.method == Method::POST {
        return change(mine, turn, (&identity.user, &token)).await;
    }
    if *turn.request.method != Method::GET && *turn.request.method != Method::HEAD {
        return Answer::deny(Reason::BadMethod);
    }
    match mine.keeper.list(turn.io, &identity.user).await {
        Ok(listed) => {
            let reply = page(turn.request.headers, &identity.user, &listed, mine.current, &token);
            pages::insist(&reply, turn.effects);
            Answer::Reply(reply)
        }
        Err(_) => Answer::deny(Reason::StoreUnavailable),
    }
}

async fn change<I: Io>(mine: &Mine<'_>, turn: &mut Turn<'_, '_, I>, (user, token): (&str, &str)) -> Answer {
    let body = match turn.io.body(FORM).await {
        Ok(body) => body,
        Err(fault) => return Answer::deny(fault.into()),
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
        "others" => one.key != Some(mine.current),
        id => one.id == id,
    };
    let Ok(ended) = mine.keeper.end(turn.io, user, which).await else {
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
    let mut reply = Reply::see_other(Reason::Ok, &format!("{}/sessions", mine.base));
    reply.action = Action::Allow;
    if mine.keeper.is_open(turn.io, mine.current).await != Ok(true) {
        let away = mine.login.map_or("/", Login::path);
        if let Ok(away) = HeaderValue::try_from(away) {
            reply.headers.retain(|(name, _)| name != LOCATION);
            reply.headers.push((LOCATION, away));
        }
        reply.headers.extend(mine.unset.clone().map(|cookie| (SET_COOKIE, cookie)));
    }
    Answer::Reply(reply)
}

/// Whether a browser says that the form is ours; one that says nothing shows it by the form's token.
fn from_here(headers: &HeaderMap) -> bool {
    headers.get(SEC_FETCH_SITE).is_none_or(|site| site.as_bytes() == b"same-origin")
}

fn page(headers: &HeaderMap, user: &str, listed: &[Listed], current: Key, token: &str) -> Reply {
    let sessions = listed.iter().map(|one| Session {
        id: &one.id,
        agent: &one.agent,
        client: &one.client,
        started: one.started,
        seen: one.seen,
        here: one.key == Some(current),
    });
    let page = sessions::list(language::of(headers), user, sessions, token);
    page.reply(Reason::Ok, StatusCode::OK)
}

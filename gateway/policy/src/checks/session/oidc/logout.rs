//! Logging out: here, and at the provider where the policy wants that (OpenID Connect RP-Initiated Logout 1.0). A link of
//! the application that its user followed is enough; whatever else asks gets a page with a button.

use http::header::SET_COOKIE;
use http::{HeaderMap, HeaderName, Method, StatusCode};

use super::{Flaw, Oidc, go, reads, tell};
use crate::checks::Turn;
use crate::checks::session::keeper::Open;
use crate::checks::session::own::Own;
use crate::decision::{Answer, Reason, Reply};
use crate::io::{Io, Space};
use crate::pages::form::Form;
use crate::pages::{language, login as shown};

/// `GET logout`, `POST logout`.
pub(super) async fn serve<I: Io>(own: &Own, oidc: &Oidc, turn: &mut Turn<'_, '_, I>) -> Result<Reply, Flaw> {
    let posted = *turn.request.method == Method::POST;
    if !posted && !reads(turn.request.method) {
        return Err(Flaw::Deny(Reason::BadMethod));
    }
    let text = language::of(turn.request.headers);
    // Not what the check made of it: a session that is too old for something else is open all the same.
    let open = match own.keeper.find(turn.io, turn.request).await {
        Ok(open) => open,
        Err(Reason::StoreUnavailable) => return Err(Flaw::Store),
        Err(_) => {
            let again = format!("{}/login", oidc.pages);
            return Ok(shown::left(text, &again).reply(Reason::Ok, StatusCode::OK));
        }
    };
    let session = open.session();
    if posted {
        let form = Form::read(turn).await.map_err(|answer| match answer {
            Answer::Deny(denial) => Flaw::Deny(denial.reason),
            Answer::Pass | Answer::Reply(_) => Flaw::Deny(Reason::Internal),
        })?;
        if !oidc.guard.admits(turn.request, &session, form.value("token")) {
            return Err(Flaw::Deny(Reason::FormStale));
        }
        return leave(own, oidc, turn, &open).await;
    }
    if *turn.request.method == Method::GET && is_followed(turn.request.headers) {
        return leave(own, oidc, turn, &open).await;
    }
    let leads = oidc.end_session(turn).await.map(|url| origin(&url).to_owned());
    let (token, action) = (oidc.guard.token(&session), format!("{}/logout", oidc.pages));
    let page = shown::leave(text, open.user(), (&action, &token), leads);
    Ok(page.reply(Reason::Ok, StatusCode::OK))
}

/// A link on a page of this host that somebody clicked: browsers say so, and pages cannot make them.
fn is_followed(headers: &HeaderMap) -> bool {
    let says = |name: &'static str, value: &str| {
        headers.get(HeaderName::from_static(name)).is_some_and(|said| said.as_bytes() == value.as_bytes())
    };
    says("sec-fetch-site", "same-origin")
        && says("sec-fetch-mode", "navigate")
        && says("sec-fetch-dest", "document")
        && says("sec-fetch-user", "?1")
        && !headers.contains_key("sec-purpose")
}

async fn leave<I: Io>(own: &Own, oidc: &Oidc, turn: &mut Turn<'_, '_, I>, open: &Open) -> Result<Reply, Flaw> {
    let hint = match oidc.logout {
        true => {
            let key = own.keeper.names.hint(open.key);
            let hint = turn.io.get(Space::Session, key).await.ok().flatten();
            let _ = turn.io.remove(Space::Session, key).await;
            hint
        }
        false => None,
    };
    let ended = own.keeper.end_own(turn.io, turn.request).await.map_err(|_| Flaw::Store)?;
    if let Some((user, name)) = ended {
        tell(turn, "session_ended", Some(user), format!("{name}: log-out"));
    }
    let hint = hint.as_deref().and_then(|hint| std::str::from_utf8(hint).ok());
    let to = match (oidc.end_session(turn).await, oidc.host(turn.request)) {
        (Some(url), Some(host)) => {
            let mut query = form_urlencoded::Serializer::new(String::new());
            query.append_pair("client_id", &oidc.provider.client);
            query.append_pair("post_logout_redirect_uri", &format!("{}{}", host.url, oidc.after));
            if let Some(hint) = hint {
                query.append_pair("id_token_hint", hint);
            }
            let joint = if url.contains('?') { '&' } else { '?' };
            format!("{url}{joint}{}", query.finish())
        }
        _ => oidc.after.clone(),
    };
    let mut reply = go(&to);
    reply.headers.extend(own.keeper.unset().map(|cookie| (SET_COOKIE, cookie)));
    Ok(reply)
}

impl Oidc {
    /// Where people log out at the provider. One that gives no answer keeps nobody from logging out here.
    async fn end_session<I: Io>(&self, turn: &mut Turn<'_, '_, I>) -> Option<String> {
        if !self.logout {
            return None;
        }
        let metadata = self.provider.metadata(turn.io).await.ok()?;
        metadata.url("end_session_endpoint").map(str::to_owned)
    }
}

/// Scheme and host of a URL.
fn origin(url: &str) -> &str {
    let start = url.find("://").map_or(0, |at| at + 3);
    let end = url.get(start..).and_then(|rest| rest.find(['/', '?', '#']));
    end.and_then(|end| url.get(..start + end)).unwrap_or(url)
}

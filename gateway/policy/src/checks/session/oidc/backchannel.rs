//! Log-outs that the provider reports (OpenID Connect Back-Channel Logout 1.0): from server to server, proven by a token
//! that the provider signed. Which sessions those are was written down when they began.

use std::time::Duration;

use bytes::Bytes;
use http::{Method, StatusCode};
use serde::{Deserialize, Serialize};

use super::claims::Gone;
use super::{Flaw, Oidc, done, refused, tell};
use crate::checks::Turn;
use crate::checks::jwt::UNKNOWN_EVERY;
use crate::checks::session::keeper::millis;
use crate::checks::session::own::Own;
use crate::decision::{Answer, Denial, Reason};
use crate::io::{Io, Space, StoreFault};
use crate::pages::form::Form;
use crate::stored::{self, Change};

/// As many sessions as one user may have.
const MOST: usize = 1000;

/// A session of ours that goes with something of the provider's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Ours {
    user: String,
    handle: String,
    /// Unix milliseconds of the log-in.
    started: u64,
}

/// Writes down what the provider would call this session.
pub(super) async fn note<I: Io>(
    own: &Own,
    io: &mut I,
    (sid, sub): (Option<String>, Option<String>),
    (user, handle): (&str, &str),
) -> Result<(), StoreFault> {
    let names = [("session/oidc/sid", sid), ("session/oidc/sub", sub)];
    let (now, absolute) = (io.now().unix, own.keeper.limits.absolute);
    let oldest = now.saturating_sub(millis(absolute));
    for (kind, name) in names {
        let Some(name) = name else { continue };
        let ours = Ours {
            user: user.to_owned(),
            handle: handle.to_owned(),
            started: now,
        };
        let change = |known: Option<Vec<Ours>>| {
            let mut known = known.unwrap_or_default();
            known.retain(|one| one.started > oldest);
            let over = (known.len() + 1).saturating_sub(MOST);
            known.drain(..over.min(known.len()));
            known.push(ours.clone());
            (Change::Put(known, absolute), ())
        };
        stored::update(io, Space::User, own.keeper.names.key(kind, name.as_bytes()), change).await?;
    }
    Ok(())
}

/// `POST login/backchannel`.
pub(super) async fn serve<I: Io>(own: &Own, oidc: &Oidc, turn: &mut Turn<'_, '_, I>) -> Answer {
    if *turn.request.method != Method::POST {
        return Answer::deny(Reason::BadMethod);
    }
    let form = match Form::read(turn).await {
        Ok(form) => form,
        Err(answer) => return answer,
    };
    match ended(own, oidc, turn, form.value("logout_token")).await {
        Ok(()) => Answer::Reply(done(StatusCode::OK)),
        // What the specification wants a provider to be told.
        Err(Flaw::Refused(why)) => {
            turn.facts.notes.push((turn.id, why.clone()));
            tell(turn, "logout_refused", None, why);
            Answer::Deny(Denial {
                reason: Reason::LoginRefused,
                status: StatusCode::BAD_REQUEST,
                retry_after: None,
            })
        }
        Err(flaw) => match refused(oidc, turn, flaw) {
            Ok(reply) => Answer::deny(reply.reason),
            Err(answer) => answer,
        },
    }
}

async fn ended<I: Io>(own: &Own, oidc: &Oidc, turn: &mut Turn<'_, '_, I>, token: &str) -> Result<(), Flaw> {
    let parts = oidc.provider.signed(token, UNKNOWN_EVERY, turn.io).await?;
    let typed = ["logout+jwt", "JWT"].iter().any(|typ| parts.is_of_type(Some(typ)));
    if parts.header.contains_key("typ") && !typed {
        return Err(Flaw::refused("the log-out token is of another type (typ)"));
    }
    let claims = parts.claims().ok_or_else(|| Flaw::refused("the log-out token has two readings"))?;
    let now = turn.io.now().unix / 1000;
    let gone = oidc.rules.gone(&claims, now).map_err(Flaw::refused)?;
    let once = own.keeper.names.key("session/oidc/logout", gone.jti.as_bytes());
    if turn.io.get(Space::Once, once).await.map_err(|_| Flaw::Store)?.is_some() {
        return Err(Flaw::refused("the log-out token was used before"));
    }
    for (user, name) in sessions(own, turn.io, &gone).await.map_err(|_| Flaw::Store)? {
        tell(turn, "session_ended", Some(user), format!("{name}: log-out at the provider"));
    }
    // Afterwards: what could not be done is tried again with the same token.
    let left = Duration::from_secs(gone.until.saturating_sub(now) + 1);
    turn.io.put(Space::Once, once, Bytes::from_static(b"1"), left).await.map_err(|_| Flaw::Store)
}

/// Ends the sessions that this is about: those of one session there, or all of the user's.
async fn sessions<I: Io>(own: &Own, io: &mut I, gone: &Gone) -> Result<Vec<(String, String)>, StoreFault> {
    let (kind, name) = match (&gone.sid, &gone.sub) {
        (Some(sid), _) => ("session/oidc/sid", sid),
        (None, Some(sub)) => ("session/oidc/sub", sub),
        (None, None) => return Ok(Vec::new()),
    };
    let key = own.keeper.names.key(kind, name.as_bytes());
    let known: Option<Vec<Ours>> = stored::get(io, Space::User, key).await?;
    let mut all = Vec::new();
    for ours in known.into_iter().flatten() {
        let ended = own.keeper.end(io, &ours.user, |one| one.id == ours.handle).await?;
        all.extend(ended.into_iter().map(|name| (ours.user.clone(), name)));
    }
    io.remove(Space::User, key).await?;
    Ok(all)
}

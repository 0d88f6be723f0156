//! What a browser brings back from the provider: held against the log-in that it began, changed for tokens, and, where
//! everything fits, a session. The order is the defence: nobody is asked before the browser has shown that it began this.

use std::time::Duration;

use bytes::Bytes;
use http::header::{REFRESH, SET_COOKIE};
use http::{HeaderValue, Method, StatusCode};
use serde_json::{Map, Value};

use super::claims::{Expected, text};
use super::flow::{self, Flow};
use super::provider::{Tokens, plain};
use super::{Flaw, Oidc, go, only, proven, tell};
use crate::checks::Turn;
use crate::checks::jwt::Metadata;
use crate::checks::session::keeper::{NotBegun, Whose};
use crate::checks::session::own::Own;
use crate::cookie::SameSite;
use crate::decision::{Reason, Reply};
use crate::io::{Io, Space};
use crate::pages::{language, login as shown};

/// Longest code that is shown to the provider.
const LONGEST_CODE: usize = 4096;

/// What the provider says of somebody, all of it checked.
struct Known {
    user: String,
    claims: Map<String, Value>,
    proven: u64,
    id_token: String,
}

/// `GET login/callback`.
pub(super) async fn serve<I: Io>(own: &Own, oidc: &Oidc, turn: &mut Turn<'_, '_, I>) -> Result<Reply, Flaw> {
    // Not HEAD either: what looks ahead must not use a code up.
    if *turn.request.method != Method::GET {
        return Err(Flaw::Deny(Reason::BadMethod));
    }
    let query = turn.request.query;
    let value = |name| only(query, name).map_err(|()| Flaw::refused("a parameter is there twice"));
    let state = value("state")?.filter(|state| flow::is_state(state));
    let state = state.ok_or(Flaw::Stale("the address names no log-in (state)"))?;
    let flow = oidc.sealer.read(turn.request.headers, &state);
    let flow = flow.ok_or(Flaw::Stale("this browser began no such log-in"))?;
    if flow.is_late(turn.io.now().unix / 1000, oidc.within) {
        return Err(Flaw::Stale("the log-in took longer than it may"));
    }
    let metadata = oidc.provider.metadata(turn.io).await?;
    oidc.sent_by_it(&metadata, value("iss")?.as_deref())?;
    if let Some(error) = value("error")? {
        return Err(Flaw::Refused(format!("the provider answers {}", plain(&error))));
    }
    let code = value("code")?.filter(|code| !code.is_empty() && code.len() <= LONGEST_CODE);
    let code = code.ok_or_else(|| Flaw::refused("the provider sends no code"))?;
    let used = own.keeper.names.key("session/oidc/used", state.as_bytes());
    if turn.io.get(Space::Once, used).await.map_err(|_| Flaw::Store)?.is_some() {
        return Err(Flaw::Stale("the log-in was finished before"));
    }
    let known = oidc.counted(own, turn, &metadata, (&flow, &code)).await?;
    // Only now, and only for who is known: strangers cannot fill the store. Of two at once one gets through.
    let marked = turn.io.swap(Space::Once, used, None, Some(Bytes::from_static(b"1")), 2 * oidc.within).await;
    match marked {
        Ok(true) => {}
        Ok(false) => return Err(Flaw::Stale("the log-in was finished before")),
        Err(_) => return Err(Flaw::Store),
    }
    let cookie = session(own, oidc, turn, &flow, known).await?;
    let mut reply = on(own, turn, &flow);
    let gone = oidc.cookie(own, &oidc.sealer.name(&state), None);
    reply.headers.extend(cookie.into_iter().chain(gone).map(|cookie| (SET_COOKIE, cookie)));
    Ok(reply)
}

/// Begins the session, unless another log-in of this browser, by the same user and no older than this one, has done so: the
/// tabs that a browser opens again all log in at once.
async fn session<I: Io>(
    own: &Own,
    oidc: &Oidc,
    turn: &mut Turn<'_, '_, I>,
    flow: &Flow,
    known: Known,
) -> Result<Option<HeaderValue>, Flaw> {
    if let Ok(open) = own.keeper.find(turn.io, turn.request).await
        && open.is_of(&known.user, flow.began * 1000, known.proven)
        && !flow.fresh
    {
        return Ok(None);
    }
    let (sid, sub) = (text(&known.claims, "sid").map(str::to_owned), text(&known.claims, "sub").map(str::to_owned));
    let whose = Whose {
        user: &known.user,
        claims: oidc.rules.kept(known.claims).map_err(Flaw::refused)?,
        proven: Some(known.proven),
    };
    let (happened, begun) = own.replace(turn.io, turn.request, whose).await;
    for (event, user, detail) in happened {
        tell(turn, event, user, detail);
    }
    let begun = match begun {
        Ok(begun) => begun,
        Err(NotBegun::Full) => return Err(Flaw::Full),
        Err(NotBegun::Store) => return Err(Flaw::Store),
    };
    if oidc.logout {
        let (key, hint) = (own.keeper.names.hint(begun.key), Bytes::from(known.id_token));
        // Without it the provider asks who logs out.
        let _ = turn.io.put(Space::Session, key, hint, own.keeper.limits.absolute).await;
    }
    if oidc.back_channel {
        let noted = super::backchannel::note(own, turn.io, (sid, sub), (&known.user, &begun.handle)).await;
        if noted.is_err() {
            // A session that the provider could not end is none that the policy wants.
            let _ = own.keeper.end(turn.io, &known.user, |one| one.id == begun.handle).await;
            return Err(Flaw::Store);
        }
    }
    Ok(Some(begun.cookie))
}

/// Where the user goes on. A browser that comes from another site's page shows no strict cookie to wherever it is sent at
/// once: a page of ours sends it on then.
fn on<I>(own: &Own, turn: &Turn<'_, '_, I>, flow: &Flow) -> Reply {
    if own.keeper.cookie.same_site != SameSite::Strict {
        return go(&flow.back);
    }
    let text = language::of(turn.request.headers);
    let mut reply = shown::on(text, &flow.back).reply(Reason::Ok, StatusCode::OK);
    let refresh = HeaderValue::try_from(format!("0; url={}", flow.back));
    reply.headers.extend(refresh.ok().map(|refresh| (REFRESH, refresh)));
    reply
}

/// What is signed stands, and nothing that is said of one address is believed of another.
fn join(claims: &mut Map<String, Value>, mut more: Map<String, Value>) {
    if claims.get("email").is_some_and(|email| more.get("email") != Some(email)) {
        more.remove("email_verified");
    }
    for (name, value) in more {
        claims.entry(name).or_insert(value);
    }
}

impl Oidc {
    /// Who answers must be whom the browser was sent to (RFC 9207): else one provider's code goes to another.
    fn sent_by_it(&self, metadata: &Metadata, iss: Option<&str>) -> Result<(), Flaw> {
        let says = metadata.field("authorization_response_iss_parameter_supported") == Some(&Value::Bool(true));
        match iss {
            Some(iss) if iss == self.provider.issuer => Ok(()),
            Some(_) => Err(Flaw::refused("another issuer answers (iss)")),
            None if says => Err(Flaw::refused("the answer does not say whose it is (iss)")),
            None => Ok(()),
        }
    }

    /// Who it is, unless too many log-ins of this client failed: strangers must not make the gateway ask and ask.
    async fn counted<I: Io>(
        &self,
        own: &Own,
        turn: &mut Turn<'_, '_, I>,
        metadata: &Metadata,
        answer: (&Flow, &str),
    ) -> Result<Known, Flaw> {
        let client = own.keeper.names.client(turn.request.client);
        let standing = turn.io.count(&self.tries, client, 0).await.map_err(|_| Flaw::Store)?;
        if standing.remaining == 0 {
            return Err(Flaw::Limited(standing));
        }
        let known = self.known(turn, metadata, answer).await;
        if known.is_err() {
            turn.io.count(&self.tries, client, 1).await.map_err(|_| Flaw::Store)?;
        }
        known
    }

    async fn known<I: Io>(
        &self,
        turn: &mut Turn<'_, '_, I>,
        metadata: &Metadata,
        (flow, code): (&Flow, &str),
    ) -> Result<Known, Flaw> {
        let host = self.host(turn.request);
        let host = host.ok_or_else(|| Flaw::Refused(format!("{} is none of `url`", turn.request.host)))?;
        let verifier = flow.verifier();
        let shown = (self.redirect(host), verifier.as_str());
        let tokens = self.provider.exchange(turn.io, metadata, code, (&shown.0, shown.1)).await?;
        let mut claims = self.identified(turn, flow, &tokens).await?;
        if self.userinfo {
            let sub = text(&claims, "sub").unwrap_or_default().to_owned();
            let more = self.provider.userinfo(turn.io, metadata, &tokens.access, &sub).await?;
            join(&mut claims, more);
        }
        Ok(Known {
            user: self.rules.user(&claims).map_err(Flaw::refused)?,
            proven: proven(&claims),
            claims,
            id_token: tokens.id,
        })
    }

    async fn identified<I: Io>(
        &self,
        turn: &mut Turn<'_, '_, I>,
        flow: &Flow,
        tokens: &Tokens,
    ) -> Result<Map<String, Value>, Flaw> {
        // The provider gave it for a code just now: a key that nobody knows is new, and no stranger's invention.
        let parts = self.provider.signed(&tokens.id, Duration::ZERO, turn.io).await?;
        // A log-out token, or an access token, says otherwise.
        if parts.header.contains_key("typ") && !parts.is_of_type(Some("JWT")) {
            return Err(Flaw::refused("the ID token is of another type (typ)"));
        }
        let claims = parts.claims().ok_or_else(|| Flaw::refused("the ID token has two readings"))?;
        let now = turn.io.now().unix / 1000;
        let proven = match (flow.fresh, self.max_age) {
            (true, _) => Some(flow.began),
            (false, max_age) => max_age.map(|max_age| now.saturating_sub(max_age)),
        };
        let nonce = flow.nonce();
        let expected = Expected {
            nonce: &nonce,
            access_token: &tokens.access,
            algorithm: parts.algorithm,
            proven,
            now,
        };
        self.rules.judge(&claims, &expected).map_err(Flaw::refused)?;
        Ok(claims)
    }
}


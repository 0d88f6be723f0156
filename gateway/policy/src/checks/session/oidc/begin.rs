//! Sends a browser to the provider, with what only this browser can bring back.

use http::header::SET_COOKIE;

use super::flow::{Flow, state};
use super::provider::endpoint;
use super::{Flaw, Oidc, go, only, reads};
use crate::checks::Turn;
use crate::checks::session::own::Own;
use crate::decision::{Action, Reason, Reply};
use crate::io::Io;

/// Old enough to be asked for where `prompt=login` decides: it makes the provider say when the user logged in.
const SAID: u64 = 300;

/// `GET login`.
pub(super) async fn serve<I: Io>(own: &Own, oidc: &Oidc, turn: &mut Turn<'_, '_, I>) -> Result<Reply, Flaw> {
    if !reads(turn.request.method) {
        return Err(Flaw::Deny(Reason::BadMethod));
    }
    let host = oidc.host(turn.request);
    let host = host.ok_or_else(|| Flaw::Refused(format!("{} is none of `url`", turn.request.host)))?;
    let asked = only(turn.request.query, "return").ok().flatten();
    let fresh = only(turn.request.query, "fresh") == Ok(Some("1".to_owned()));
    let back = oidc.back(asked.as_deref());
    let metadata = oidc.provider.metadata(turn.io).await?;
    let endpoint = endpoint(&metadata, "authorization_endpoint")?;
    let now = turn.io.now().unix / 1000;
    let state = state(turn.io.random());
    let flow = Flow::new(turn.io.random(), now, fresh, back);
    let value = oidc.sealer.seal(&state, &flow).ok_or(Flaw::Deny(Reason::Internal))?;
    let cookie = oidc.cookie(own, &oidc.sealer.name(&state), Some(&value));
    let mut reply = Reply {
        action: Action::Challenge,
        ..go(&oidc.address(endpoint, &oidc.redirect(host), (&state, &flow)))
    };
    let gone = oidc.sealer.surplus(turn.request.headers);
    let gone = gone.iter().filter_map(|name| oidc.cookie(own, name, None));
    reply.headers.extend(gone.chain(cookie).map(|cookie| (SET_COOKIE, cookie)));
    Ok(reply)
}

impl Oidc {
    fn address(&self, endpoint: &str, redirect: &str, (state, flow): (&str, &Flow)) -> String {
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.append_pair("response_type", "code").append_pair("client_id", &self.provider.client);
        query.append_pair("redirect_uri", redirect).append_pair("scope", &self.scope);
        query.append_pair("state", state).append_pair("nonce", &flow.nonce());
        query.append_pair("code_challenge", &flow.challenge()).append_pair("code_challenge_method", "S256");
        let max_age = if flow.fresh { Some(self.max_age.unwrap_or(SAID)) } else { self.max_age };
        if let Some(max_age) = max_age {
            query.append_pair("max_age", &max_age.to_string());
        }
        for (name, value) in &self.parameters {
            if !(flow.fresh && name == "prompt") {
                query.append_pair(name, value);
            }
        }
        if flow.fresh {
            query.append_pair("prompt", "login");
        }
        let joint = if endpoint.contains('?') { '&' } else { '?' };
        format!("{endpoint}{joint}{}", query.finish())
    }
}

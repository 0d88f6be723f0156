//! A log-in at an OpenID provider, for applications that have none: Authorization Code with PKCE (OpenID Connect Core, 3.1),
//! on pages of the gateway's own. This file says what a log-in may end with; each step is a module. What begins in the
//! end is a session like any other.

use std::time::Duration;

use http::{HeaderValue, Method, StatusCode};
use serde_json::Value;

use super::own::Own;
use crate::asker::{self, Asker};
use crate::checks::Turn;
use crate::cookie::{SameSite, Set};
use crate::decision::{Action, Answer, Denial, Reason, Reply, Told};
use crate::io::Io;
use crate::limit::{Limit, Standing};
use crate::pages::form::Guard;
use crate::pages::{self, language, login as shown};
use crate::request::Request;

mod backchannel;
mod begin;
mod callback;
mod claims;
mod flow;
mod key;
mod logout;
mod provider;
mod spec;
#[cfg(test)]
mod tests;

pub(super) use spec::OidcSpec;

use claims::Rules;
use flow::Sealer;
use provider::Provider;

/// Longest address to come back to: it travels in a cookie.
const LONGEST_BACK: usize = 1024;

/// Ready to be asked.
#[derive(Debug)]
pub(super) struct Oidc {
    provider: Provider,
    rules: Rules,
    /// What browsers call this gateway: where a provider may send them back to.
    hosts: Vec<Host>,
    scope: String,
    parameters: Vec<(String, String)>,
    /// Seconds since the user proved who they are, at most.
    max_age: Option<u64>,
    userinfo: bool,
    /// How long a log-in may be under way.
    within: Duration,
    /// Log-ins of one client that fail.
    tries: Limit,
    /// Also at the provider.
    logout: bool,
    /// Path of this host where the provider sends people after a log-out.
    after: String,
    back_channel: bool,
    sealer: Sealer,
    guard: Guard,
    /// Path of the gateway's own pages.
    pages: String,
}

/// One of the gateway's own URLs, without a path.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Host {
    name: String,
    url: String,
}

/// Why no session began.
#[derive(Debug)]
enum Flaw {
    /// This browser has no such log-in under way, or none any more.
    Stale(&'static str),
    /// What came back is not what must come back.
    Refused(String),
    /// The provider gives no answer, or none that makes sense.
    Unavailable(String),
    /// The user has as many sessions as allowed; told already.
    Full,
    /// The store gave no answer.
    Store,
    /// Too many log-ins of this client failed.
    Limited(Standing),
    /// Not a request for this page.
    Deny(Reason),
}

impl Flaw {
    fn refused(why: &'static str) -> Self {
        Self::Refused(why.to_owned())
    }
}

impl Oidc {
    /// The pages that must be seen by whoever has no session.
    pub(super) fn is_page(&self, request: &Request<'_>) -> bool {
        let rest = request.path.strip_prefix(self.pages.as_str());
        matches!(rest, Some("/login" | "/login/callback" | "/login/backchannel" | "/logout"))
    }

    /// Whether a page below the gateway's own is one of these.
    pub(super) fn serves(rest: &str) -> bool {
        matches!(rest.split('/').next(), Some("login" | "logout"))
    }

    /// What browsers call this gateway, as far as the policy knows it.
    fn host(&self, request: &Request<'_>) -> Option<&Host> {
        self.hosts.iter().find(|host| host.name == request.host)
    }

    fn redirect(&self, host: &Host) -> String {
        format!("{}{}/login/callback", host.url, self.pages)
    }

    /// A page of this host to go on to, or the beginning of all of them: never one that leads back into a log-in.
    fn back(&self, asked: Option<&str>) -> String {
        let own = |path: &str| {
            let rest = path.strip_prefix(self.pages.as_str()).unwrap_or_default();
            rest.starts_with("/login") || rest.starts_with("/logout")
        };
        let fits = |back: &&str| asker::is_local(back) && back.len() <= LONGEST_BACK && !own(back);
        asked.filter(fits).unwrap_or("/").to_owned()
    }

    /// The cookie of a log-in under way; without a value it goes.
    fn cookie(&self, own: &Own, name: &str, value: Option<&str>) -> Option<HeaderValue> {
        let set = Set {
            name,
            value: value.unwrap_or_default(),
            age: Some(value.map_or(Duration::ZERO, |_| self.within)),
            // The provider's answer comes from another site, as a page that is shown.
            same_site: SameSite::Lax,
            script: false,
            secure: own.keeper.cookie.secure,
        };
        set.header()
    }

    /// The names of cookies of log-ins under way, as a pattern.
    pub(super) fn cookies(&self) -> &str {
        &self.sealer.all
    }
}

/// Serves `login` and `logout`.
pub(super) async fn serve<I: Io>(own: &Own, oidc: &Oidc, turn: &mut Turn<'_, '_, I>, rest: &str) -> Answer {
    let served = match rest {
        "login" => begin::serve(own, oidc, turn).await,
        "login/callback" => callback::serve(own, oidc, turn).await,
        "login/backchannel" if oidc.back_channel => return backchannel::serve(own, oidc, turn).await,
        "logout" => logout::serve(own, oidc, turn).await,
        _ => Err(Flaw::Deny(Reason::NoRoute)),
    };
    let reply = match served {
        Ok(reply) => reply,
        Err(flaw) => match refused(oidc, turn, flaw) {
            Ok(reply) => reply,
            Err(answer) => return answer,
        },
    };
    if !reply.body.is_empty() {
        pages::insist(&reply, turn.effects);
    }
    Answer::Reply(reply)
}

/// What whoever asks is told, and what operators are.
fn refused<I: Io>(oidc: &Oidc, turn: &mut Turn<'_, '_, I>, flaw: Flaw) -> Result<Reply, Answer> {
    let text = language::of(turn.request.headers);
    let (reason, words, told) = match flaw {
        Flaw::Stale(why) => (Reason::LoginStale, text.login_stale, Some(("login_refused", why.to_owned()))),
        Flaw::Refused(why) => (Reason::LoginRefused, text.login_refused, Some(("login_refused", why))),
        Flaw::Unavailable(why) => {
            (Reason::RemoteUnavailable, text.login_unavailable, Some(("login_unavailable", why)))
        }
        Flaw::Full => (Reason::LoginRefused, text.login_full, None),
        Flaw::Store => (Reason::StoreUnavailable, text.login_unavailable, None),
        Flaw::Limited(standing) => {
            return Err(Answer::Deny(Denial {
                reason: Reason::TooManyFailures,
                status: Reason::TooManyFailures.status(),
                retry_after: Some(standing.retry_after()),
            }));
        }
        Flaw::Deny(reason) => return Err(Answer::deny(reason)),
    };
    if let Some((event, why)) = told {
        turn.facts.notes.push((turn.id, why.clone()));
        tell(turn, event, None, why);
    }
    if Asker::of(turn.request.headers) == Asker::Api {
        return Err(Answer::deny(reason));
    }
    let again = format!("{}/login", oidc.pages);
    Ok(shown::trouble(text, words, &again).reply(reason, reason.status()))
}

fn tell<I>(turn: &mut Turn<'_, '_, I>, event: &'static str, user: Option<String>, detail: String) {
    let check = turn.id;
    turn.effects.told.push(Told { event, check, user, detail });
}

/// Whether it only wants to see.
fn reads(method: &Method) -> bool {
    *method == Method::GET || *method == Method::HEAD
}

/// The only value of a parameter; an error: it is there twice, and two readers could read it differently.
fn only(query: Option<&str>, name: &str) -> Result<Option<String>, ()> {
    let mut values = form_urlencoded::parse(query.unwrap_or_default().as_bytes()).filter(|(key, _)| key == name);
    match (values.next(), values.next()) {
        (Some(_), Some(_)) => Err(()),
        (value, _) => Ok(value.map(|(_, value)| value.into_owned())),
    }
}

/// Sends the browser on, as the gateway allows.
fn go(to: &str) -> Reply {
    Reply {
        action: Action::Allow,
        ..Reply::see_other(Reason::Ok, to)
    }
}

/// A plain answer to a program.
fn done(status: StatusCode) -> Reply {
    Reply {
        reason: Reason::Ok,
        status,
        headers: vec![(http::header::CACHE_CONTROL, HeaderValue::from_static("no-store"))],
        body: bytes::Bytes::new(),
        action: Action::Allow,
    }
}

/// When the user proved who they are, Unix milliseconds; 0: the provider does not say, and no route that asks for a recent
/// log-in believes it.
fn proven(claims: &serde_json::Map<String, Value>) -> u64 {
    claims.get("auth_time").and_then(crate::checks::jwt::millis).unwrap_or(0)
}

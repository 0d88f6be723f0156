//! `session`: who asks, by a session. Either one of the gateway's own, begun when the application's log-in goes well or an
//! OpenID provider says who it is, or the application's own token in a cookie. This file orders the steps, each of which
//! is a module.

use std::sync::Arc;
use std::time::Duration;

use http::header::{CACHE_CONTROL, SET_COOKIE};
use http::{HeaderName, HeaderValue};

use super::{Beyond, Edit, Gives, Hearing, Needs, ResponseWork, Turn, Unanswered};
use crate::decision::{Answer, Effects, Reason, Told};
use crate::io::{Io, Now, StoreFault};
use crate::request::{Await, Identity, Request, Session};

mod counted;
mod keeper;
mod known;
mod login;
mod oidc;
mod open;
mod own;
mod page;
mod record;
mod refusal;
mod spec;
#[cfg(test)]
mod tests;
mod token;

pub use keeper::{Listed, WhenFull};
pub use spec::Spec;

use keeper::Keeper;
use login::{Requests, Start};
use oidc::Oidc;
use own::{How, Own};
use page::Mine;
use refusal::Login;
use token::Token;

/// Ready to be asked.
#[derive(Debug)]
pub struct Check {
    name: String,
    kind: Kind,
    login: Option<Login>,
    end: Requests,
    /// How old a log-in may be.
    fresh: Option<Duration>,
    optional: bool,
    owned: Vec<HeaderName>,
    /// Where the gateway's own pages are.
    pages: String,
}

#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "a policy has a few, made once and borrowed ever after")]
enum Kind {
    Own(Own),
    Token(Token),
}

/// Who asks, and by which session.
struct Established {
    identity: Arc<Identity>,
    session: Session,
}

type Outcome = Result<Established, Reason>;

impl Check {
    pub(super) fn needs(&self) -> Needs {
        let reads = match &self.kind {
            Kind::Own(own) => own.start().is_some_and(Start::reads_body),
            Kind::Token(_) => false,
        };
        Needs {
            body: reads.then_some(login::FORM),
            ..Needs::default()
        }
    }

    pub(super) fn gives(&self) -> Gives {
        Gives {
            identity: true,
            session: true,
            anonymous: self.optional,
            ..Gives::default()
        }
    }

    pub(super) fn response_work(&self) -> ResponseWork {
        let mut work = ResponseWork::default();
        if let Kind::Own(own) = &self.kind {
            let private = own.start().into_iter().flat_map(Start::private);
            work.edits.extend(private.cloned().map(Edit::Remove));
        }
        work
    }

    pub(super) fn owned_headers(&self) -> &[HeaderName] {
        &self.owned
    }

    /// The path of the page that it sends people to.
    pub(crate) fn login(&self) -> Option<&str> {
        self.login.as_ref().map(Login::path)
    }

    /// Whether its own pages are where people log in.
    pub(crate) fn serves_login(&self) -> bool {
        matches!(&self.kind, Kind::Own(own) if own.oidc().is_some())
    }

    /// Whether its users' names are as they were typed, and nobody said what the application makes of their case.
    pub(crate) fn is_as_typed(&self) -> bool {
        match &self.kind {
            Kind::Own(own) => own.start().is_some_and(Start::is_as_typed),
            Kind::Token(_) => false,
        }
    }

    /// Requests that it must see: log-in, log-out.
    pub(crate) fn watches(&self) -> impl Iterator<Item = (&'static str, Option<&http::Method>, &str)> {
        let start = match &self.kind {
            Kind::Own(own) => own.start().map(|start| &start.requests),
            Kind::Token(_) => None,
        };
        let start = start.into_iter().flat_map(Requests::each).map(|one| ("start", one));
        let end = self.end.each().map(|one| ("end", one));
        start.chain(end).map(|(key, (method, path))| (key, method, path))
    }

    pub(super) async fn ask<I: Io>(&self, turn: &mut Turn<'_, '_, I>) -> Answer {
        let outcome = match &self.kind {
            Kind::Own(own) => own.establish(turn).await,
            Kind::Token(token) => token.establish(turn).await,
        };
        let outcome = outcome.and_then(|established| self.is_fresh(established, turn.io.now()));
        let identity = match outcome {
            Ok(established) => {
                turn.facts.identity = Some(Arc::clone(&established.identity));
                turn.facts.session = Some(established.session);
                Some(established.identity)
            }
            Err(reason) if self.may_pass(turn.request, reason) => None,
            Err(reason) => {
                self.forget(turn, reason);
                return refusal::refuse(self.login.as_ref(), turn.request, reason);
            }
        };
        match self.waits(turn, identity).await {
            Ok(()) => Answer::Pass,
            Err(reason) => Answer::deny(reason),
        }
    }

    /// Takes a token away that is over although it has not expired: an application that still takes it for a log-in would
    /// send its bearer back here, for ever.
    fn forget<I>(&self, turn: &mut Turn<'_, '_, I>, reason: Reason) {
        let over = matches!(reason, Reason::SessionEnded | Reason::TokenRevoked);
        if let Kind::Token(token) = &self.kind
            && over
        {
            turn.effects.response.extend(token.unset().map(|cookie| (SET_COOKIE, cookie)));
        }
    }

    fn is_fresh(&self, established: Established, now: Now) -> Outcome {
        let age = (now.unix / 1000).saturating_sub(established.session.started);
        match self.fresh {
            Some(fresh) if age >= fresh.as_secs() => Err(Reason::SessionStale),
            Some(_) | None => Ok(established),
        }
    }

    /// The log-in itself must be reached by whoever is not signed in, or nobody ever is.
    fn may_pass(&self, request: &Request<'_>, reason: Reason) -> bool {
        let starts = match &self.kind {
            Kind::Own(own) => own.starts(request) || own.oidc().is_some_and(|oidc| oidc.is_page(request)),
            Kind::Token(_) => false,
        };
        let nobody = matches!(
            reason,
            Reason::SessionMissing
                | Reason::SessionEnded
                | Reason::SessionExpired
                | Reason::SessionElsewhere
                | Reason::SessionStale
                | Reason::TokenMissing
                | Reason::TokenExpired
        );
        starts || self.login.as_ref().is_some_and(|login| login.is(request)) || (self.optional && nobody)
    }

    /// Asks to hear the answer, where something depends on it.
    async fn waits<I: Io>(&self, turn: &mut Turn<'_, '_, I>, identity: Option<Arc<Identity>>) -> Result<(), Reason> {
        let mut awaited = Await {
            check: turn.id,
            mode: turn.mode,
            body: 0,
            whom: None,
            identity,
        };
        let heard = match &self.kind {
            Kind::Own(Own { how: How::Watched(start), .. }) if start.requests.has(turn.request) => {
                awaited.whom = start.user(turn).await?;
                start.withhold(turn);
                true
            }
            Kind::Own(own) => self.end.has_like(turn.request) && own.is_named(turn.request),
            Kind::Token(token) => {
                let now = turn.io.now().unix;
                let identity = awaited.identity.as_ref();
                identity.is_some_and(|identity| self.end.has_like(turn.request) || token.is_due(&identity.claims, now))
            }
        };
        if heard {
            turn.facts.awaits.push(awaited);
        }
        Ok(())
    }

    /// What a request's user sees of their sessions.
    async fn mine<I: Io>(&self, turn: &mut Turn<'_, '_, I>) -> Result<Mine<'_>, Reason> {
        let (login, base) = (self.login.as_ref(), self.pages.as_str());
        match &self.kind {
            Kind::Own(own) => {
                let current = own.keeper.find(turn.io, turn.request).await?.key;
                Ok(Mine { keeper: &own.keeper, login, base, current, unset: own.keeper.unset() })
            }
            Kind::Token(token) => {
                let identity = turn.facts.identity.as_ref().ok_or(Reason::SessionMissing)?;
                let current = token.kept(turn.request, identity).ok_or(Reason::NoRoute)?;
                let keeper = token.keeper.as_ref().ok_or(Reason::NoRoute)?;
                Ok(Mine { keeper, login, base, current, unset: token.unset() })
            }
        }
    }

    async fn heard_token<I: Io>(&self, token: &Token, hearing: &mut Hearing<'_, '_, I>) {
        if self.end.has_like(hearing.request) {
            match token.end(hearing).await {
                Some(user) => {
                    let why = logged_out(hearing);
                    tell(hearing, "session_ended", Some(user), why);
                }
                None => tell(hearing, "session_not_ended", None, "the store gave no answer".to_owned()),
            }
        } else if hearing.unanswered.is_none()
            && let Some(cookie) = token.renew(hearing).await {
            set(hearing.effects, hearing.headers, cookie);
        }
    }
}

impl Beyond for Check {
    async fn heard<I: Io>(&self, hearing: &mut Hearing<'_, '_, I>) {
        match &self.kind {
            Kind::Own(own) if own.starts(hearing.request) => own.begin(hearing).await,
            Kind::Own(own) => own.end(hearing).await,
            Kind::Token(token) => self.heard_token(token, hearing).await,
        }
    }

    async fn holds<I: Io>(&self, turn: &mut Turn<'_, '_, I>) -> Result<(), Reason> {
        match &self.kind {
            Kind::Own(own) => own.keeper.find(turn.io, turn.request).await.map(drop),
            Kind::Token(token) => token.still(turn).await,
        }
    }

    fn pages(&self) -> &'static [&'static str] {
        match &self.kind {
            Kind::Own(own) if own.oidc().is_some() => &["sessions", "login", "logout"],
            Kind::Own(_) => &["sessions"],
            Kind::Token(token) if token.keeper.is_some() => &["sessions"],
            Kind::Token(_) => &[],
        }
    }

    async fn page<I: Io>(&self, turn: &mut Turn<'_, '_, I>, rest: &str) -> Answer {
        match &self.kind {
            Kind::Own(own) if Oidc::serves(rest) => match own.oidc() {
                // What is rare, and large, is not a part of every request's future.
                Some(oidc) => Box::pin(oidc::serve(own, oidc, turn, rest)).await,
                None => Answer::deny(Reason::NoRoute),
            },
            _ if rest != "sessions" => Answer::deny(Reason::NoRoute),
            _ => match self.mine(turn).await {
                Ok(mine) => page::serve(&mine, turn).await,
                Err(reason) => Answer::deny(reason),
            },
        }
    }

    fn cookies(&self) -> Vec<&str> {
        match &self.kind {
            Kind::Own(own) => std::iter::once(own.keeper.cookie.name.as_str()).chain(own.oidc().map(Oidc::cookies)).collect(),
            Kind::Token(_) => Vec::new(),
        }
    }
}

/// What operators may do.
impl Check {
    /// The check's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether its users' names are in lower case, however they are typed.
    #[must_use]
    pub fn folds(&self) -> bool {
        matches!(&self.kind, Kind::Own(own) if own.start().is_some_and(Start::folds))
    }

    /// Whether it keeps sessions that can be listed and ended.
    #[must_use]
    pub fn keeps(&self) -> bool {
        self.keeper().is_some()
    }

    fn keeper(&self) -> Option<&Keeper> {
        match &self.kind {
            Kind::Own(own) => Some(&own.keeper),
            Kind::Token(token) => token.keeper.as_ref(),
        }
    }

    /// How long after a log-in a token may still be prolonged, where it is: each copy of it has the same name.
    #[must_use]
    pub fn prolongs_for(&self) -> Option<Duration> {
        match &self.kind {
            Kind::Token(token) if token.renewal.is_some() => Some(token.absolute),
            Kind::Token(_) | Kind::Own(_) => None,
        }
    }

    /// A user's open sessions, newest first.
    ///
    /// # Errors
    /// The store's.
    pub async fn list<I: Io>(&self, io: &mut I, user: &str) -> Result<Vec<Listed>, StoreFault> {
        match self.keeper() {
            Some(keeper) => keeper.list(io, user).await,
            None => Ok(Vec::new()),
        }
    }

    /// Ends one of a user's sessions, or all of them; tells which ended.
    ///
    /// # Errors
    /// The store's.
    pub async fn end<I: Io>(&self, io: &mut I, user: &str, id: Option<&str>) -> Result<Vec<String>, StoreFault> {
        match self.keeper() {
            Some(keeper) => keeper.end(io, user, |one| id.is_none_or(|id| id == one.id)).await,
            None => Ok(Vec::new()),
        }
    }
}

/// Why a session ended at a log-out. It does so whatever became of the application: whoever logs out does not come back.
fn logged_out<I>(hearing: &Hearing<'_, '_, I>) -> String {
    match hearing.unanswered {
        None => "log-out",
        Some(Unanswered::Client) => "log-out, whose client left before the application answered",
        Some(Unanswered::Application) => "log-out, which the application did not answer: its own session may go on",
    }
    .to_owned()
}

/// Leaves an event behind.
fn tell<I>(hearing: &mut Hearing<'_, '_, I>, event: &'static str, user: Option<String>, detail: String) {
    let check = hearing.awaited.check;
    hearing.effects.told.push(Told {
        event,
        check,
        user,
        detail,
    });
}

/// Sets a cookie with an answer that the application gave, and keeps the answer out of shared caches: they would hand
/// the session to others.
fn set(effects: &mut Effects, headers: &http::HeaderMap, cookie: HeaderValue) {
    effects.response.push((SET_COOKIE, cookie));
    let kept = headers.get_all(CACHE_CONTROL).iter().find(|value| {
        let text = value.to_str().unwrap_or_default().to_ascii_lowercase();
        text.contains("no-store") || text.contains("private")
    });
    // Also where the application said so itself: a route's `response_headers` must not say otherwise.
    let kept = kept.cloned().unwrap_or_else(|| HeaderValue::from_static("no-store"));
    effects.response.push((CACHE_CONTROL, kept));
}

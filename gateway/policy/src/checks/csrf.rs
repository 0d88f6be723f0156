//! `csrf`: whether a request that changes something was made by a page of the application. Signed double submit, bound to
//! the session, and what browsers say of the page. Establishes no session.

use std::time::Duration;

use http::header::{COOKIE, SET_COOKIE, VARY};
use http::{HeaderName, HeaderValue, Method};
use serde::Deserialize;
use subtle::ConstantTimeEq as _;

use super::cors::origin::Origins;
use super::{Gives, Hearing, Needs, ResponseWork, Turn};
use crate::asker::Asker;
use crate::context::Context;
use crate::cookie::{self, SameSite};
use crate::decision::{Answer, Effects, Reason};
use crate::field::Field;
use crate::io::{BodyFault, Io, Key};
use crate::request::{Await, Facts, Request};
use crate::scalar;

mod inject;
mod script;
mod site;
#[cfg(test)]
mod tests;
mod token;

pub use inject::Inject;
pub(crate) use inject::escaped;

use inject::Injection;
use site::{Maker, Pages};
use token::{Flaw, Signer};

const SHORTEST: Duration = Duration::from_secs(60);
const LONGEST: Duration = Duration::from_secs(86_400);

/// Largest body that is read for a form's field, in bytes, unless the policy says otherwise.
const FORM: u64 = 1 << 20;
/// Holding more than this per request is a denial of service waiting to happen.
const MOST_FORM: u64 = 256 << 20;

/// Refuses requests that another site's page had a browser send. Answers to safe methods (GET, HEAD) set a cookie with a
/// signed token; every other method must send its value back, in a header or a field of a form. The token is bound to the
/// session where an earlier check established one: after a log-in the old one is worth nothing. Without a session it is
/// bound to nobody, and what `Origin`, `Sec-Fetch-Site` and `Referer` say is the real protection. WebSocket handshakes with
/// cookies must come from an allowed origin. The cookie goes on to the application, which may write it into its forms.
#[derive(Debug, Clone, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    /// Name of the secret that tokens are signed with. Previous values are accepted as long as the secret says.
    secret: String,
    /// How long a token is good. Default 1h; 1m to 24h. Pages get a new one from half of it on.
    max_age: Option<scalar::Duration>,
    /// Name of the cookie. Default csrf_token; one that starts with __Host- can be set by no other host.
    cookie: Option<String>,
    /// From which sites browsers send the cookie: lax (default), strict or none.
    #[serde(default)]
    same_site: SameSite,
    /// Whether the cookie goes over TLS only. Default true; false for a gateway without TLS in front, such as on a
    /// developer's machine.
    #[serde(default = "yes")]
    secure: bool,
    /// Header that carries the token. Default X-CSRF-Token.
    header: Option<String>,
    /// Field that carries it where the header does not, such as form.csrf_token: of urlencoded and multipart forms, or JSON.
    /// The body is held for it. Default form.csrf_token where `inject` fills forms.
    field: Option<Field>,
    /// Largest body that is held for the field; larger ones need the header. Default 1MiB, at most 256MiB.
    form_max: Option<scalar::Size>,
    /// Puts tokens into the application's pages: for one that knows nothing of them.
    inject: Option<Inject>,
    /// Refuse to load a route where nothing before this check establishes a session. Default true.
    #[serde(default = "yes")]
    bound: bool,
    /// Other origins whose pages may act, such as `https://admin.example.com` or `https://*.example.com`.
    #[serde(default)]
    origins: Vec<String>,
    /// Pages of other hosts of the same site (Sec-Fetch-Site: same-site): deny (default) or allow.
    #[serde(default)]
    siblings: Siblings,
    /// Requests that send no token: deny (default), or origin: they pass when the browser says that a page that may act
    /// made them. For applications that know nothing of tokens.
    #[serde(default)]
    tokenless: Tokenless,
}

/// Pages of the same site.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Siblings {
    /// They may not act.
    #[default]
    Deny,
    /// They may: each of them is trusted as the application is.
    Allow,
}

/// Requests without a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Tokenless {
    /// Refused.
    #[default]
    Deny,
    /// Judged by what the browser says of the page.
    Origin,
}

fn yes() -> bool {
    true
}

/// Ready to be asked.
#[derive(Debug)]
pub struct Check {
    signer: Signer,
    /// Seconds.
    age: u64,
    cookie: String,
    same_site: SameSite,
    secure: bool,
    header: HeaderName,
    field: Option<Field>,
    form_max: u64,
    inject: Option<Injection>,
    bound: bool,
    pages: Pages,
    tokenless: Tokenless,
}

impl Spec {
    pub(super) fn compile(self, context: &mut Context<'_>) -> Option<Check> {
        let errors = context.errors();
        let at = context.at.key("secret");
        let secrets = context.secret(at.clone(), &self.secret).unwrap_or_default();
        if secrets.iter().any(|secret| secret.len() < 32) {
            context.warning(at, "shorter than 32 bytes: such a secret can be guessed from one token");
        }
        let age = self.max_age.map_or(Duration::from_secs(3600), |age| age.0);
        if age < SHORTEST || age > LONGEST {
            context.error(context.at.key("max_age"), "from 1m to 24h");
        }
        let header = self.header.as_deref().unwrap_or("X-CSRF-Token");
        let header = HeaderName::from_bytes(header.as_bytes());
        if header.is_err() {
            context.error(context.at.key("header"), "not a header name");
        }
        let origins = (!self.origins.is_empty()).then(|| Origins::compile(context, &self.origins));
        if origins.as_ref().is_some_and(Origins::any) {
            context.error(context.at.key("origins"), "`*` would let every page act as its visitor: name the origins");
        }
        let cookie = self.cookie.unwrap_or_else(|| "csrf_token".to_owned());
        let form_max = self.form_max.map_or(FORM, |size| size.0);
        if form_max == 0 || form_max > MOST_FORM {
            context.error(context.at.key("form_max"), "from 1B to 256MiB");
        }
        let fills = self.inject.as_ref().is_some_and(Inject::fills_forms);
        let field = self.field.or_else(|| fills.then(|| Field::Form("csrf_token".to_owned())));
        let header = header.ok()?;
        let inject = self.inject.map(|inject| inject.compile(context, field.as_ref(), (&cookie, &header)));
        let check = Check {
            signer: Signer::new(&secrets),
            age: age.as_secs(),
            cookie,
            same_site: self.same_site,
            secure: self.secure,
            header,
            field,
            form_max,
            inject,
            bound: self.bound,
            pages: Pages { origins, siblings: self.siblings == Siblings::Allow },
            tokenless: self.tokenless,
        };
        if check.set("x").is_none() {
            context.error(context.at.key("cookie"), format!("`{}` is not a name of a cookie", check.cookie));
        }
        let prefixed = check.cookie.starts_with("__Host-") || check.cookie.starts_with("__Secure-");
        if !check.secure && (prefixed || check.same_site == SameSite::None) {
            context.error(context.at.key("secure"), "browsers refuse such a cookie unless it is secure");
        }
        (context.errors() == errors).then_some(check)
    }
}

impl super::Beyond for Check {
    async fn heard<I: Io>(&self, hearing: &mut Hearing<'_, '_, I>) {
        self.inject(hearing);
    }

    fn pages(&self) -> &'static [&'static str] {
        if self.inject.as_ref().is_some_and(Injection::has_script) { &["csrf.js"] } else { &[] }
    }

    async fn page<I: Io>(&self, turn: &mut Turn<'_, '_, I>, rest: &str) -> Answer {
        script::serve(turn.request, rest)
    }
}

impl Check {
    pub(super) fn needs(&self) -> Needs {
        let held = self.field.as_ref().filter(|field| field.in_body());
        Needs { session: self.bound, body: held.map(|_| self.form_max), ..Needs::default() }
    }

    pub(super) fn gives(&self) -> Gives {
        Gives::default()
    }

    pub(super) fn response_work(&self) -> ResponseWork {
        ResponseWork::default()
    }

    pub(super) fn owned_headers(&self) -> &[HeaderName] {
        &[]
    }

    pub(super) async fn ask<I: Io>(&self, turn: &mut Turn<'_, '_, I>) -> Answer {
        let request = turn.request;
        if self.inject.is_some() && !request.websocket {
            // Also where the request is refused, and only observed: its answer is a page like any other.
            turn.facts.awaits.push(Await { check: turn.id, mode: turn.mode, body: 0, whom: None, identity: None });
            Injection::prepare(turn);
        }
        let judged = if request.websocket {
            self.handshake(request)
        } else if safe(request.method) {
            self.hand_out(turn);
            Ok(())
        } else {
            self.submitted(turn).await
        };
        match judged {
            Ok(()) => Answer::Pass,
            Err(Refusal::Because(why)) => {
                turn.facts.notes.push((turn.id, why.to_owned()));
                Answer::deny(Reason::CsrfFailed)
            }
            Err(Refusal::Body(fault)) => Answer::deny(fault.into()),
        }
    }

    /// No token can come with a handshake, and scripts of every page may try one: the origin decides alone.
    fn handshake(&self, request: &Request<'_>) -> Result<(), Refusal> {
        let ours = self.pages.maker(request) == Maker::Ours;
        if ours || !request.headers.contains_key(COOKIE) {
            return Ok(());
        }
        Err(Refusal::Because("a WebSocket with cookies, and not of an allowed origin"))
    }

    /// Gives the browser a token where it has none that is good for long enough. Scripts get a new one later than pages:
    /// several at once would each set another, and what a page has read already would no longer be the cookie.
    fn hand_out<I: Io>(&self, turn: &mut Turn<'_, '_, I>) {
        let request = turn.request;
        if *request.method != Method::GET && *request.method != Method::HEAD {
            return;
        }
        let (session, now) = (session(turn.facts), turn.io.now().unix / 1000);
        if self.known(request, session, now).is_none() {
            let token = self.signer.make(session, turn.io.random(), now.saturating_add(self.age));
            self.give(token.as_deref(), turn.effects);
        }
    }

    /// The token that the browser has, where it is good for long enough.
    fn known<'r>(&self, request: &Request<'r>, session: Option<Key>, now: u64) -> Option<&'r str> {
        let token = cookie::value(request.headers, &self.cookie).ok().flatten()?;
        let ends = self.signer.verify(token, session, now).ok()?;
        let share = if Asker::of(request.headers) == Asker::Page { 2 } else { 4 };
        (ends.saturating_sub(now) >= self.age / share).then_some(token)
    }

    fn give(&self, token: Option<&str>, effects: &mut Effects) {
        let Some(set) = token.and_then(|token| self.set(token)) else { return };
        effects.response.push((SET_COOKIE, set));
        // A cache must not give one visitor's token to another.
        effects.response.push((VARY, HeaderValue::from_static("Cookie")));
    }

    /// The token for a page that the application sends: the one that the browser has by then. The session may be another one
    /// than when the page was asked for.
    fn token_for<I: Io>(&self, hearing: &mut Hearing<'_, '_, I>) -> Option<String> {
        let (session, now) = (session(hearing.facts), hearing.io.now().unix / 1000);
        let start = format!("{}=", self.cookie);
        let ours = |value: &HeaderValue| {
            let pair = value.to_str().ok()?.split(';').next()?;
            pair.strip_prefix(start.as_str()).map(str::to_owned)
        };
        let set = hearing.effects.response.iter().filter(|(name, _)| *name == SET_COOKIE);
        let given = set.filter_map(|(_, value)| ours(value)).next_back();
        if let Some(given) = given {
            if self.signer.verify(&given, session, now).is_ok() {
                return Some(given);
            }
            hearing.effects.response.retain(|(name, value)| *name != SET_COOKIE || ours(value).is_none());
        } else if let Some(known) = self.known(hearing.request, session, now) {
            return Some(known.to_owned());
        }
        let token = self.signer.make(session, hearing.io.random(), now.saturating_add(self.age));
        self.give(token.as_deref(), hearing.effects);
        token
    }

    fn set(&self, token: &str) -> Option<HeaderValue> {
        let set = cookie::Set {
            name: &self.cookie,
            value: token,
            age: Some(Duration::from_secs(self.age)),
            same_site: self.same_site,
            script: true,
            secure: self.secure,
        };
        set.header()
    }

    async fn submitted<I: Io>(&self, turn: &mut Turn<'_, '_, I>) -> Result<(), Refusal> {
        let request = turn.request;
        let maker = self.pages.maker(request);
        if maker == Maker::Foreign {
            return Err(Refusal::Because("made by a page of another origin"));
        }
        let mut sent = request.headers.get_all(&self.header).iter();
        let field;
        let token = match (sent.next(), sent.next()) {
            (Some(only), None) => Some(only.as_bytes()),
            (Some(_), Some(_)) => return Err(Refusal::Because("more than one token")),
            (None, _) => {
                field = self.in_field(turn).await?;
                field.as_deref().map(str::as_bytes)
            }
        };
        match token {
            Some(token) => self.good(turn, token),
            None if self.tokenless == Tokenless::Origin && maker == Maker::Ours => Ok(()),
            None => Err(Refusal::Because("no token")),
        }
    }

    async fn in_field<I: Io>(&self, turn: &mut Turn<'_, '_, I>) -> Result<Option<String>, Refusal> {
        let Some(field) = &self.field else { return Ok(None) };
        let body = match field.in_body() {
            true => turn.io.body(self.form_max).await.map_err(Refusal::Body)?,
            false => bytes::Bytes::new(),
        };
        Ok(field.read(turn.request, &body).or_else(|| field.part(turn.request, &body)))
    }

    fn good<I: Io>(&self, turn: &Turn<'_, '_, I>, token: &[u8]) -> Result<(), Refusal> {
        let cookie = match cookie::value(turn.request.headers, &self.cookie) {
            Ok(Some(cookie)) => cookie,
            Ok(None) => return Err(Refusal::Because("a token without its cookie")),
            // One of two was set by somebody else, and it cannot be told which.
            Err(cookie::Ambiguous) => return Err(Refusal::Because("the cookie is there twice")),
        };
        let shown = if token.len() == token::MASKED { token::unmasked(token) } else { None };
        let token = shown.as_deref().map_or(token, str::as_bytes);
        if !bool::from(cookie.as_bytes().ct_eq(token)) {
            return Err(Refusal::Because("token and cookie differ"));
        }
        match self.signer.verify(cookie, session(turn.facts), turn.io.now().unix / 1000) {
            Ok(_) => Ok(()),
            Err(Flaw::Expired) => Err(Refusal::Because("the token expired")),
            Err(Flaw::Unsigned) => Err(Refusal::Because("a token of another session, or not signed by us")),
        }
    }
}

/// Why it is not let through.
#[derive(Debug)]
enum Refusal {
    /// In words, for the event.
    Because(&'static str),
    /// The body could not be read.
    Body(BodyFault),
}

fn session(facts: &Facts) -> Option<Key> {
    facts.session.map(|session| session.binding)
}

/// RFC 9110, 9.2.1.
fn safe(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS | Method::TRACE)
}

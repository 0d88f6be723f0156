//! How the application's own log-in and log-out look: which requests they are, whom they are about, and which answer
//! means that it went well. Keeps nothing.

use std::collections::BTreeMap;

use http::{HeaderMap, HeaderName, Method};
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::answered::{self, Described, Heard};
use crate::checks::Turn;
use crate::context::Context;
use crate::cookie::Withheld;
use crate::decision::Reason;
use crate::fault::Path;
use crate::field::{Field, folded, form_of_attempt};
use crate::io::Io;
use crate::path;
use crate::request::Request;
use crate::spec::value::OneOrMany;

/// Longest body that a log-in is looked for in, in bytes.
pub(super) const FORM: u64 = 64 << 10;

/// The log-in.
#[derive(Debug, Clone, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "SessionStart")]
pub(super) struct StartSpec {
    /// Method and path of the log-in, such as `POST /login`.
    request: OneOrMany<String>,
    /// Where the user's name is: form.NAME, json.NAME.NAME, query.NAME, header.NAME, cookie.NAME or basic. What two readers
    /// could read differently names nobody, and no session begins.
    user: Option<Field>,
    /// Header of the application's answer that names the user, in place of `user`. Clients never see it.
    user_header: Option<String>,
    /// Whether `Ann` and `ann` are one user, as they are to most applications; the session is `ann`'s then. With true a
    /// name with accents (those of kana, too), wide or invisible letters (`änn`, `ａnn`) begins no session, since many
    /// databases take it for `ann`; `case`: it does, for applications that tell these apart. Default false: names to the
    /// letter. What belongs to a user (factors, networks, sessions) belongs to the name; where a policy has any and the
    /// name is what was typed, this must be said.
    fold: Option<Fold>,
    /// Cookies that the log-in does not bring to the application: those of its own session, or [] where it keeps none. An
    /// application that answers whoever is signed in already as if the log-in went well would have a session begin for
    /// the name that was typed. A form whose token lies in that session cannot do without it: there use `user_header`.
    withhold: Option<Withheld>,
    /// Answers that mean a success. Told by status and header fields: the cookie is set before there is a body.
    passed: answered::Spec,
    /// Claims of the session, from headers of the application's answer: {name: X-Login-Name}. Clients never see these.
    #[serde(default)]
    claims: BTreeMap<String, String>,
    /// Header of the application's answer with the user's roles, by comma. Clients never see it.
    roles_header: Option<String>,
}

/// What an application makes of names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fold {
    /// Nothing.
    No,
    /// `Ann` is `ann`, and perhaps `änn`, too.
    Yes,
    /// `Ann` is `ann`, and that is all.
    Case,
}

impl<'de> Deserialize<'de> for Fold {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Written {
            Truth(bool),
            Word(String),
        }
        match Written::deserialize(from)? {
            Written::Truth(false) => Ok(Self::No),
            Written::Truth(true) => Ok(Self::Yes),
            Written::Word(word) if word == "case" => Ok(Self::Case),
            Written::Word(word) => Err(serde::de::Error::custom(format!("true, false or case, not `{word}`"))),
        }
    }
}

impl schemars::JsonSchema for Fold {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Fold".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({"enum": [true, false, "case"]})
    }
}

/// The log-out.
#[derive(Debug, Clone, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "SessionEnd")]
pub(super) struct EndSpec {
    /// Method and path of the application's log-out, such as `POST /logout`. The session ends whatever the answer.
    request: OneOrMany<String>,
}

/// Requests by method and path.
#[derive(Debug, Default)]
pub(super) struct Requests(Vec<Known>);

#[derive(Debug)]
struct Known {
    method: Option<Method>,
    path: String,
    /// What [`path::loose`] makes of that.
    loose: String,
}

impl Known {
    fn takes(&self, method: &Method) -> bool {
        self.method.as_ref().is_none_or(|own| own == method)
    }
}

/// Ready to be held against requests and answers.
#[derive(Debug)]
pub(super) struct Start {
    pub(super) requests: Requests,
    user: Option<Field>,
    user_header: Option<HeaderName>,
    fold: Option<Fold>,
    withhold: Withheld,
    passed: Described,
    claims: Vec<(String, HeaderName)>,
    roles_header: Option<HeaderName>,
}

impl Requests {
    pub(super) fn compile(texts: &OneOrMany<String>, at: &Path, context: &mut Context<'_>) -> Self {
        let mut requests = Vec::new();
        for text in &texts.0 {
            match request(text) {
                Some(known) => requests.push(known),
                None => context.error(at.clone(), format!("`{text}` is no request: write `POST /login`, or a path alone")),
            }
        }
        if texts.0.is_empty() {
            context.error(at.clone(), "which request, such as `POST /login`");
        }
        Self(requests)
    }

    /// Whether it is one of them, to the letter: what follows opens a door.
    pub(super) fn has(&self, request: &Request<'_>) -> bool {
        self.0.iter().any(|own| own.takes(request.method) && own.path == request.path)
    }

    /// Whether it is one of them to some application, whatever the case and with a slash at the end: what follows closes
    /// a door.
    pub(super) fn has_like(&self, request: &Request<'_>) -> bool {
        let mut scratch = String::new();
        let asked = path::loose(request.path, &mut scratch);
        self.0.iter().any(|own| own.takes(request.method) && own.loose == asked)
    }

    /// Each, for the loader.
    pub(super) fn each(&self) -> impl Iterator<Item = (Option<&Method>, &str)> {
        self.0.iter().map(|own| (own.method.as_ref(), own.path.as_str()))
    }
}

fn request(text: &str) -> Option<Known> {
    let (method, path) = match text.split_once(' ') {
        Some((method, path)) => (Some(method), path.trim()),
        None => (None, text),
    };
    let method = match method {
        None => None,
        Some(method) if method.bytes().all(|byte| byte.is_ascii_uppercase()) => {
            Some(Method::from_bytes(method.as_bytes()).ok()?)
        }
        Some(_) => return None,
    };
    (path.starts_with('/') && !path.contains(['?', '#', '*', ' '])).then(|| Known {
        method,
        path: path.to_owned(),
        loose: path::loose(path, &mut String::new()).to_owned(),
    })
}

impl EndSpec {
    pub(super) fn compile(&self, context: &mut Context<'_>) -> Requests {
        let at = context.at.key("end").key("request");
        Requests::compile(&self.request, &at, context)
    }
}

impl StartSpec {
    pub(super) fn compile(self, context: &mut Context<'_>) -> Option<Start> {
        let at = context.at.key("start");
        let requests = Requests::compile(&self.request, &at.key("request"), context);
        if self.user.is_some() == self.user_header.is_some() {
            context.error(at.clone(), "whose session begins: either `user`, from the request, or `user_header`, from the answer");
        }
        if self.user.is_some() && self.withhold.is_none() {
            let why = "an application may answer so to whoever is signed in already, whatever was typed: name the cookie of \
                       its own session in `withhold`, or `[]` where it keeps none or its form cannot do without";
            context.warning(at.clone(), why);
        }
        let mut header = |name: &str, at: Path| {
            let parsed = HeaderName::try_from(name).ok();
            if parsed.is_none() {
                context.error(at, format!("`{name}` is not a header name"));
            }
            parsed
        };
        let named = |name: &Option<String>| name.clone();
        let user_header = named(&self.user_header).and_then(|name| header(&name, at.key("user_header")));
        let roles_header = named(&self.roles_header).and_then(|name| header(&name, at.key("roles_header")));
        let claims = self.claims.iter();
        let claims = claims
            .filter_map(|(claim, name)| Some((claim.clone(), header(name, at.key("claims").key(claim))?)))
            .collect();
        let passed = self.passed.compile(context, &at.key("passed"));
        if passed.as_ref().is_some_and(Described::reads_body) {
            let why = "a session begins with the answer's header: tell a success by status, location or header fields";
            context.error(at.key("passed"), why);
        }
        Some(Start {
            requests,
            user: self.user,
            user_header,
            fold: self.fold,
            withhold: self.withhold.unwrap_or_default(),
            passed: passed?,
            claims,
            roles_header,
        })
    }
}

impl Start {
    /// Whether the request's body must be had.
    pub(super) fn reads_body(&self) -> bool {
        self.user.is_some()
    }

    /// Whether the name is as it was typed, and nobody said what the application makes of its case.
    pub(super) fn is_as_typed(&self) -> bool {
        self.user.is_some() && self.fold.is_none()
    }

    /// Whether names are in lower case, however they are typed.
    pub(super) fn folds(&self) -> bool {
        matches!(self.fold, Some(Fold::Yes | Fold::Case))
    }

    /// Headers of answers that are for the gateway alone.
    pub(super) fn private(&self) -> impl Iterator<Item = &HeaderName> {
        let claims = self.claims.iter().map(|(_, name)| name);
        claims.chain(&self.user_header).chain(&self.roles_header)
    }

    /// Whom the log-in is about, as far as the request tells.
    ///
    /// # Errors
    /// Why the body could not be had.
    pub(super) async fn user<I: Io>(&self, turn: &mut Turn<'_, '_, I>) -> Result<Option<String>, Reason> {
        let Some(field) = &self.user else { return Ok(None) };
        let body = form_of_attempt(turn.request, turn.io, field.in_body(), FORM).await?;
        let user = field.exact(turn.request, &body);
        // As it was typed, and not what the application makes of it.
        let user = user.filter(|user| self.fold != Some(Fold::Yes) || folded(user) == user.to_ascii_lowercase());
        Ok(user.and_then(|user| self.folded(user)))
    }

    /// The log-in goes to the application as one of somebody who is not signed in.
    pub(super) fn withhold<I>(&self, turn: &mut Turn<'_, '_, I>) {
        self.withhold.keep(turn.effects, turn.request);
    }

    /// ASCII alone. Of other letters that have a case nobody knows whether they are two users to the application: such a
    /// name is nobody's, unless it is in lower case as it stands.
    fn folded(&self, user: String) -> Option<String> {
        if !self.folds() {
            return Some(user);
        }
        let plain = user.to_ascii_lowercase();
        (plain.to_uppercase().to_lowercase() == plain).then_some(plain)
    }

    /// Whether the application let them in.
    pub(super) fn passed(&self, status: u16, headers: &HeaderMap) -> bool {
        let heard = Heard {
            status,
            headers,
            body: None,
        };
        self.passed.holds(&heard) == Some(true)
    }

    /// Whom the log-in is about, by request and answer.
    pub(super) fn whom(&self, whom: Option<&str>, headers: &HeaderMap) -> Option<String> {
        let Some(name) = &self.user_header else {
            return whom.map(str::to_owned);
        };
        let user = only(headers, name).filter(|user| user.len() <= 256)?;
        self.folded(user.to_owned())
    }

    /// What the application says about them.
    pub(super) fn claims(&self, headers: &HeaderMap) -> Map<String, Value> {
        let texts = self.claims.iter().filter_map(|(claim, name)| Some((claim.clone(), only(headers, name)?.into())));
        let mut claims: Map<String, Value> = texts.collect();
        if let Some(roles) = self.roles_header.as_ref().and_then(|name| only(headers, name)) {
            let roles = roles.split(',').map(str::trim).filter(|role| !role.is_empty());
            claims.insert("role".to_owned(), roles.map(Value::from).collect());
        }
        claims
    }
}

/// The only value of that name, if it says something.
fn only<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Option<&'h str> {
    let mut values = headers.get_all(name).iter();
    let only = values.next().filter(|_| values.next().is_none())?;
    let text = std::str::from_utf8(only.as_bytes()).ok()?.trim();
    (!text.is_empty()).then_some(text)
}

//! `cors`: which foreign pages may read answers. Answers preflights itself and owns every `Access-Control-*` field of its
//! routes; it is no protection against requests being sent, and knows no sessions.

use http::header;
use http::{HeaderName, HeaderValue, Method, StatusCode};
use serde::Deserialize;

use super::{Edit, Gives, Needs, ResponseWork, Turn};
use crate::context::Context;
use crate::decision::{Action, Answer, Effects, Reason, Reply};
use crate::io::Io;
use crate::request::Request;
use crate::scalar::Duration;

pub(super) mod origin;

use origin::{Origins, is_own};

/// Browsers keep a preflight's answer no longer than this.
const LONGEST: u64 = 86_400;

/// Cross-origin resource sharing. Put it before checks that ask for a token: a preflight carries none. The application's own
/// `Access-Control-*` fields are replaced.
#[derive(Debug, Clone, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    /// Origins that may read answers: `https://app.example.com`, `https://*.example.com` (any subdomain, not the domain
    /// itself) or `*`. `*` cannot be combined with `credentials`.
    origins: Vec<String>,
    /// Methods beyond GET, HEAD and POST that foreign pages may use. Default: none.
    #[serde(default)]
    methods: Vec<String>,
    /// Request fields that foreign pages may send.
    #[serde(default)]
    headers: Vec<String>,
    /// Answer fields that foreign pages may read.
    #[serde(default)]
    expose: Vec<String>,
    /// Whether cookies and other credentials go along.
    #[serde(default)]
    credentials: bool,
    /// How long browsers may keep a preflight's answer. Default `5m`, at most `24h`.
    #[serde(default)]
    max_age: Option<Duration>,
    /// What happens to a request from another origin: `pass` (default) sends it on without permission to read the
    /// answer, `deny` refuses it with 403.
    #[serde(default)]
    others: Others,
}

/// What happens to other origins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Others {
    /// Sent on; the browser keeps the answer from the page. A preflight is answered without permission.
    #[default]
    Pass,
    /// Refused.
    Deny,
}

/// Ready to be asked.
#[derive(Debug)]
pub struct Check {
    origins: Origins,
    others: Others,
    /// On every answer to an allowed origin.
    allowed: Vec<(HeaderName, HeaderValue)>,
    /// On the answer to its preflight, besides.
    preflight: Vec<(HeaderName, HeaderValue)>,
}

static VARY_ORIGIN: HeaderValue = HeaderValue::from_static("Origin");
static VARY_PREFLIGHT: HeaderValue =
    HeaderValue::from_static("Origin, Access-Control-Request-Method, Access-Control-Request-Headers");

impl Spec {
    pub(super) fn compile(self, context: &mut Context<'_>) -> Option<Check> {
        let before = context.faults.len();
        let origins = Origins::compile(context, &self.origins);
        if self.credentials && origins.any() {
            let message = "`*` with credentials would let every page act as its visitor: name the origins";
            context.error(context.at.key("credentials"), message);
        }
        let mut methods = vec!["GET".to_owned(), "HEAD".to_owned(), "POST".to_owned()];
        for (index, name) in self.methods.iter().enumerate() {
            let fine = Method::from_bytes(name.as_bytes()).is_ok() && *name == name.to_ascii_uppercase();
            match fine && !matches!(name.as_str(), "CONNECT" | "TRACE" | "TRACK") {
                true if methods.contains(name) => {}
                true => methods.push(name.clone()),
                false => context.error(context.at.key("methods").index(index), format!("`{name}` is not a method that pages can use")),
            }
        }
        let headers = names(context, "headers", &self.headers);
        let expose = names(context, "expose", &self.expose);
        let age = self.max_age.map_or(300, |age| age.0.as_secs());
        if age > LONGEST {
            context.error(context.at.key("max_age"), "at most 24h: browsers keep it no longer");
        }
        if context.failed_since(before) {
            return None;
        }
        let mut allowed = fields([(header::ACCESS_CONTROL_EXPOSE_HEADERS, expose.join(", "))]);
        if self.credentials {
            allowed.push((header::ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true")));
        }
        let preflight = fields([
            (header::ACCESS_CONTROL_ALLOW_METHODS, methods.join(", ")),
            (header::ACCESS_CONTROL_ALLOW_HEADERS, headers.join(", ")),
            (header::ACCESS_CONTROL_MAX_AGE, age.to_string()),
        ]);
        Some(Check { origins, others: self.others, allowed, preflight })
    }
}

/// Header names, lower-case.
fn names(context: &mut Context<'_>, key: &str, texts: &[String]) -> Vec<String> {
    let mut names = Vec::new();
    for (index, text) in texts.iter().enumerate() {
        match HeaderName::from_bytes(text.as_bytes()) {
            Ok(name) if text != "*" => names.push(name.as_str().to_owned()),
            _ => context.error(context.at.key(key).index(index), format!("`{text}` is not a header name; name each one")),
        }
    }
    names
}

/// Fields that have something to say; every part was checked before.
fn fields<const N: usize>(fields: [(HeaderName, String); N]) -> Vec<(HeaderName, HeaderValue)> {
    let said = fields.into_iter().filter(|(_, text)| !text.is_empty());
    said.filter_map(|(name, text)| Some((name, HeaderValue::try_from(text).ok()?))).collect()
}

impl super::Beyond for Check {}

impl Check {
    pub(super) fn needs(&self) -> Needs {
        Needs::default()
    }

    pub(super) fn gives(&self) -> Gives {
        Gives::default()
    }

    /// The application's own permissions go: a page that this policy does not name must not read on its word.
    pub(super) fn response_work(&self) -> ResponseWork {
        let owned = [
            header::ACCESS_CONTROL_ALLOW_ORIGIN,
            header::ACCESS_CONTROL_ALLOW_CREDENTIALS,
            header::ACCESS_CONTROL_ALLOW_METHODS,
            header::ACCESS_CONTROL_ALLOW_HEADERS,
            header::ACCESS_CONTROL_EXPOSE_HEADERS,
            header::ACCESS_CONTROL_MAX_AGE,
        ];
        ResponseWork { edits: owned.into_iter().map(Edit::Remove).collect(), ..ResponseWork::default() }
    }

    pub(super) fn owned_headers(&self) -> &[HeaderName] {
        &[]
    }

    pub(super) async fn ask<I: Io>(&self, turn: &mut Turn<'_, '_, I>) -> Answer {
        let request = turn.request;
        let preflight = *request.method == Method::OPTIONS
            && request.headers.contains_key(header::ORIGIN)
            && request.headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
        let origin = request.headers.get(header::ORIGIN);
        let allowed = origin.and_then(|origin| self.origins.allow(origin));
        if origin.is_some() && allowed.is_none() && self.others == Others::Deny && !same_origin(request) {
            return Answer::deny(Reason::OriginDenied);
        }
        if preflight {
            return self.preflight(allowed, turn.effects);
        }
        if let Some(allowed) = allowed {
            turn.effects.response.push((header::ACCESS_CONTROL_ALLOW_ORIGIN, allowed));
            turn.effects.response.extend(self.allowed.iter().cloned());
        }
        // Also without an Origin: a cache must not give that answer to a page.
        if !self.origins.any() {
            turn.effects.response.push((header::VARY, VARY_ORIGIN.clone()));
        }
        Answer::Pass
    }

    /// By effects, not by fields of the reply: those are set before the route's edits remove what is not ours.
    fn preflight(&self, allowed: Option<HeaderValue>, effects: &mut Effects) -> Answer {
        effects
            .response
            .push((header::VARY, VARY_PREFLIGHT.clone()));
        if let Some(allowed) = allowed {
            let fields = &mut effects.response;
            fields.push((header::ACCESS_CONTROL_ALLOW_ORIGIN, allowed));
            // What pages may read of other answers does not belong here.
            let expose = header::ACCESS_CONTROL_EXPOSE_HEADERS;
            let also = self.allowed.iter().filter(|(name, _)| *name != expose);
            fields.extend(also.chain(&self.preflight).cloned());
        }
        Answer::Reply(Reply {
            reason: Reason::Preflight,
            status: StatusCode::NO_CONTENT,
            headers: Vec::new(),
            body: bytes::Bytes::new(),
            action: Action::Allow,
        })
    }
}

/// Browsers send Origin with a page's own POST as well.
fn same_origin(request: &Request<'_>) -> bool {
    let origin = request.headers.get(header::ORIGIN).and_then(|origin| origin.to_str().ok());
    origin.is_some_and(|origin| is_own(request, origin))
}

#[cfg(test)]
mod tests;

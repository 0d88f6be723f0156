//! Which requests are attempts to log in, in whose name, and what the application's answer says about them. Counts nothing.

use http::Method;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE, LOCATION, SET_COOKIE};
use http::{HeaderMap, HeaderValue};
use serde::Deserialize;

use crate::answered::{self, Described, Heard};
use crate::checks::{Hearing, Turn, Unanswered};
use crate::context::Context;
use crate::cookie::Withheld;
use crate::decision::Reason;
use crate::field::{Field, Named, folded, form_of_attempt};
use crate::io::Io;
use crate::path;
use crate::request::{Await, Request};
use crate::spec::value::OneOrMany;

/// Longest body that a log-in is looked for in, in bytes.
pub(super) const FORM: u64 = 64 << 10;

/// What an attempt is, and how it ends.
#[derive(Debug, Clone, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "WatchedLogin")]
pub(super) struct Spec {
    /// Method and path of an attempt, such as `POST /login`; without a method any; `*` in the path stands for anything.
    /// Upper case and a slash at the end make no other path of it.
    request: OneOrMany<String>,
    /// Where the user's name is: form.NAME, json.NAME.NAME, query.NAME, header.NAME, cookie.NAME or basic. Several: the one
    /// that is there. Attempts that name nobody, or several at once, count as those of one user without a name.
    #[serde(default)]
    user: OneOrMany<Field>,
    /// Answers that mean a failure. Default: all that are not `passed`, but for 5xx.
    failed: Option<answered::Spec>,
    /// Answers that mean a success. Default: what is not `failed` and leads away from the log-in with a cookie, or
    /// answers JSON with 2xx to JSON. What is neither `passed` nor `failed` changes nothing.
    passed: Option<answered::Spec>,
    /// Cookies that the log-in does not bring to the application: those of its own session. An application that answers
    /// whoever is signed in already as if the password were right would have wrong ones counted as right.
    #[serde(default)]
    withhold: Withheld,
}

/// A request that is an attempt.
#[derive(Debug)]
struct Attempt {
    method: Option<Method>,
    glob: String,
    /// The same for what [`path::loose`] makes of a path.
    loose: String,
}

/// Ready to be held against requests and answers.
#[derive(Debug)]
pub(super) struct Watch {
    requests: Vec<Attempt>,
    user: Vec<Field>,
    failed: Option<Described>,
    passed: Option<Described>,
    /// Bytes of an answer that are read.
    body: usize,
    /// Whether an attempt whose client left before the answer failed.
    abandoned: bool,
    withhold: Withheld,
}

/// What became of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    Passed,
    Failed,
    Neither,
}

impl Spec {
    pub(super) fn compile(self, context: &mut Context<'_>, body: usize, abandoned: bool) -> Option<Watch> {
        let at = context.at.key("watch");
        if self.failed.is_none() && self.passed.is_none() {
            context.error(at.clone(), "say how a failure looks (`failed`), a success (`passed`), or both");
        }
        if self.request.0.is_empty() {
            context.error(at.key("request"), "which request is an attempt to log in, such as `POST /login`");
        }
        let mut requests = Vec::new();
        for text in &self.request.0 {
            match request(text) {
                Ok(known) => requests.push(known),
                Err(why) => context.error(at.key("request"), why),
            }
        }
        let mut described = |spec: Option<answered::Spec>, key: &str| match spec {
            None => Some(None),
            Some(spec) => spec.compile(context, &at.key(key)).map(Some),
        };
        let (failed, passed) = (described(self.failed, "failed"), described(self.passed, "passed"));
        Some(Watch { requests, user: self.user.0, failed: failed?, passed: passed?, body, abandoned, withhold: self.withhold })
    }

    /// Whether attempts can be told apart by user.
    pub(super) fn names(&self) -> bool {
        !self.user.0.is_empty()
    }
}

fn request(text: &str) -> Result<Attempt, String> {
    let wrong = || format!("`{text}` is no request: write `POST /login`, or a path alone");
    let (method, path) = match text.split_once(' ') {
        Some((method, path)) => (Some(method), path.trim()),
        None => (None, text),
    };
    if !path.starts_with('/') || path.contains(['?', '#', ' ']) {
        return Err(wrong());
    }
    let upper = |method: &str| method.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'-');
    let method = match method {
        None => None,
        Some(method) if upper(method) => Some(Method::from_bytes(method.as_bytes()).map_err(|_| wrong())?),
        Some(_) => return Err(wrong()),
    };
    let path = if path.len() > 1 { path.trim_end_matches('/') } else { path };
    let loose = path::loose(path, &mut String::new()).to_owned();
    Ok(Attempt { method, glob: path.to_owned(), loose })
}

impl Watch {
    /// Whether this is an attempt.
    pub(super) fn is_attempt(&self, request: &Request<'_>) -> bool {
        let here = request.path.as_bytes();
        let short = request.path.trim_end_matches('/').as_bytes();
        let mut scratch = String::new();
        let loose = path::loose(request.path, &mut scratch).as_bytes();
        self.requests.iter().any(|own| {
            let glob = own.glob.as_bytes();
            own.method.as_ref().is_none_or(|method| method == request.method)
                && (answered::glob_folded(glob, here)
                    || answered::glob_folded(glob, short)
                    || answered::glob_folded(own.loose.as_bytes(), loose))
        })
    }

    /// The attempt goes to the application as one of somebody who is not signed in.
    pub(super) fn withhold<I>(&self, turn: &mut Turn<'_, '_, I>) {
        self.withhold.keep(turn.effects, turn.request);
    }

    /// In whose name, in lower case; empty when that cannot be told.
    pub(super) async fn user<I: Io>(&self, turn: &mut Turn<'_, '_, I>) -> Result<String, Reason> {
        let wanted = self.user.iter().any(Field::in_body);
        let body = form_of_attempt(turn.request, turn.io, wanted, FORM).await?;
        let mut found: Option<String> = None;
        for field in &self.user {
            let name = match field.named(turn.request, &body) {
                Named::One(name) => name.to_lowercase(),
                Named::Unclear => return Ok(String::new()),
                Named::Nobody => continue,
            };
            if found.as_ref().is_some_and(|known| folded(known) != folded(&name)) {
                return Ok(String::new());
            }
            found = Some(name);
        }
        Ok(found.unwrap_or_default())
    }

    /// How much of the answer's body is read; [`Await::AFTER`] where its header says it all.
    pub(super) fn reads(&self) -> usize {
        let mut described = self.failed.iter().chain(&self.passed);
        if described.any(Described::reads_body) { self.body } else { Await::AFTER }
    }

    /// What the answer says. A failure that cannot be told from a success, because the body is in a coding that nobody
    /// can open, is a failure.
    pub(super) fn outcome<I: Io>(&self, hearing: &Hearing<'_, '_, I>) -> Outcome {
        match hearing.unanswered {
            None => {}
            Some(Unanswered::Client) if self.abandoned => return Outcome::Failed,
            Some(Unanswered::Client | Unanswered::Application) => return Outcome::Neither,
        }
        let headers = hearing.headers;
        let unreadable = hearing.body.is_empty() && headers.contains_key(CONTENT_ENCODING);
        let heard =
            Heard { status: hearing.status, headers, body: (!unreadable).then_some(hearing.body) };
        let failed = self.failed.as_ref().map(|failed| failed.holds(&heard).unwrap_or(true));
        let passed = self.passed.as_ref().map(|passed| passed.holds(&heard) == Some(true));
        match (failed, passed) {
            (Some(true), _) => Outcome::Failed,
            (_, Some(true)) => Outcome::Passed,
            (None, Some(false)) if heard.status < 500 => Outcome::Failed,
            (Some(false), None) if self.looks_passed(hearing) => Outcome::Passed,
            (Some(false), _) | (None, _) => Outcome::Neither,
        }
    }

    /// Deliberately narrow: an attacker who gets a page for an attempt without a password must not have logged in.
    fn looks_passed<I: Io>(&self, hearing: &Hearing<'_, '_, I>) -> bool {
        let headers = hearing.headers;
        let cut = hearing.body.len() >= self.body;
        match hearing.status {
            _ if cut => false,
            300..=399 => {
                let location = headers.get(LOCATION).map(HeaderValue::as_bytes).unwrap_or_default();
                let path = answered::local(location).split(|byte| matches!(byte, b'?' | b'#')).next();
                let path = path.unwrap_or_default().trim_ascii_end();
                let here = hearing.request.path.trim_end_matches('/').as_bytes();
                let back = path.strip_suffix(b"/").unwrap_or(path).eq_ignore_ascii_case(here);
                path.starts_with(b"/") && !back && headers.contains_key(SET_COOKIE)
            }
            200..=299 => is_json(headers) && is_json(hearing.request.headers),
            _ => false,
        }
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    let kind = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    kind == "application/json" || kind.ends_with("+json")
}

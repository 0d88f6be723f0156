//! What somebody without a session gets: a page is sent to the log-in with an address to come back to, htmx is told to
//! go there, everything else gets a status. Knows no session.

use bytes::Bytes;
use http::header::{CACHE_CONTROL, HeaderName};
use http::{HeaderValue, StatusCode};

use crate::asker::{self, Asker};
use crate::decision::{Action, Answer, Reason, Reply};
use crate::request::Request;

const HX_REDIRECT: HeaderName = HeaderName::from_static("hx-redirect");
const HX_CURRENT_URL: HeaderName = HeaderName::from_static("hx-current-url");

/// Where to log in.
#[derive(Debug)]
pub(in crate::checks) struct Login {
    /// Path, perhaps with a query.
    address: String,
    /// Parameter that says where to come back to.
    back: Option<String>,
    /// Where a log-in that is too long ago is renewed, if not there: it takes `return`.
    renewal: Option<String>,
}

impl Login {
    pub(in crate::checks) fn new(address: String, back: Option<String>) -> Self {
        let renewal = None;
        Self { address, back, renewal }
    }

    /// With a page of the gateway's own, at which a provider is asked, for log-ins that are too long ago.
    pub(super) fn renewed_at(self, pages: &str) -> Self {
        let renewal = Some(format!("{pages}/login?fresh=1"));
        Self { renewal, ..self }
    }

    /// The page's path.
    pub(super) fn path(&self) -> &str {
        self.address.split(['?', '#']).next().unwrap_or_default()
    }

    /// Whether this is the page itself: it must be seen by whoever is not signed in.
    pub(super) fn is(&self, request: &Request<'_>) -> bool {
        let read = *request.method == http::Method::GET || *request.method == http::Method::HEAD;
        read && request.path == self.path()
    }

    fn with(&self, back: Option<String>, reason: Reason) -> String {
        let renewal = self.renewal.as_ref().filter(|_| reason == Reason::SessionStale);
        let (address, name) = match renewal {
            Some(address) => (address, Some("return")),
            None => (&self.address, self.back.as_deref()),
        };
        let (Some(name), Some(back)) = (name, back) else {
            return address.clone();
        };
        let joint = if address.contains('?') { '&' } else { '?' };
        let mut pair = form_urlencoded::Serializer::new(String::new());
        pair.append_pair(name, &back);
        format!("{address}{joint}{}", pair.finish())
    }
}

/// The refusal, in the form that whoever asks understands.
pub(in crate::checks) fn refuse(login: Option<&Login>, request: &Request<'_>, reason: Reason) -> Answer {
    let challenges = reason.status() == StatusCode::UNAUTHORIZED && !request.websocket;
    let Some(login) = login.filter(|_| challenges) else {
        return Answer::deny(reason);
    };
    match Asker::of(request.headers) {
        Asker::Page => Answer::Reply(Reply::see_other(reason, &login.with(asker::here(request), reason))),
        Asker::Htmx => {
            let Ok(location) = HeaderValue::try_from(login.with(page(request), reason)) else {
                return Answer::deny(reason);
            };
            Answer::Reply(Reply {
                reason,
                status: StatusCode::UNAUTHORIZED,
                headers: vec![
                    (HX_REDIRECT, location),
                    (CACHE_CONTROL, HeaderValue::from_static("no-store")),
                ],
                body: Bytes::new(),
                action: Action::Challenge,
            })
        }
        Asker::Api => Answer::deny(reason),
    }
}

/// The page that htmx asks from, if it is one of this host.
fn page(request: &Request<'_>) -> Option<String> {
    let url = request.headers.get(HX_CURRENT_URL)?.to_str().ok()?;
    let (_, rest) = url.split_once("://")?;
    let (authority, path) = rest.split_at(rest.find('/')?);
    let host = authority.rsplit_once(':').map_or(authority, |(host, _)| host);
    let path = path.split('#').next().unwrap_or_default();
    (host.eq_ignore_ascii_case(request.host) && asker::is_local(path)).then(|| path.to_owned())
}

//! The one writer of answers that the gateway makes itself, and of what every answer carries, whoever made it: request
//! id, security headers, limits. Decides nothing.

use std::fmt::Write;

use bytes::Bytes;
use http::header::{
    CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER, SET_COOKIE, VARY, WWW_AUTHENTICATE,
};
use http::{HeaderName, HeaderValue, StatusCode};
use pingora_core::Result;
use pingora_http::ResponseHeader;
use policy::checks::Edit;
use policy::decision::{Effects, Reason, RouteId};
use policy::pages::refused::Reader;

use crate::snapshot::Snapshot;

/// Name of the request id, in both directions.
pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static(REQUEST_ID_NAME);
/// The same for writing: Pingora keeps the spelling of every name, and copies all but static ones.
pub(crate) const REQUEST_ID_NAME: &str = "x-request-id";

/// An answer of the gateway's own.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Page<'p> {
    /// Status to answer with.
    pub status: StatusCode,
    /// Why.
    pub reason: Reason,
    /// Request id.
    pub id: &'p str,
    /// The person who reads it; a program where there is none.
    pub reader: Option<Reader>,
    /// Seconds for Retry-After.
    pub retry_after: Option<u32>,
}

/// What every answer to a request carries.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Dress<'d> {
    /// The policy that decided.
    pub snapshot: &'d Snapshot,
    /// The route, when one matched.
    pub route: Option<RouteId>,
    /// What checks left for the answer.
    pub effects: Option<&'d Effects>,
    /// Request id.
    pub id: &'d str,
}

impl Page<'_> {
    /// Header and body, without what [`Dress`] adds.
    pub(crate) fn render(&self) -> Result<(ResponseHeader, Bytes)> {
        let mut header = ResponseHeader::build(self.status, Some(16))?;
        let body = match self.reader {
            Some(reader) => {
                let shown = reader.shown(self.reason, self.status, self.id);
                for (name, value) in shown.headers {
                    header.insert_header(name, value)?;
                }
                shown.body
            }
            None => {
                let kind = HeaderValue::from_static("application/problem+json");
                header.insert_header(CONTENT_TYPE, kind)?;
                header.insert_header(CACHE_CONTROL, HeaderValue::from_static("no-store"))?;
                Bytes::from(self.problem())
            }
        };
        header.insert_header(CONTENT_LENGTH, HeaderValue::from(body.len()))?;
        if let Some(seconds) = self.retry_after.or_else(|| self.usual_wait()) {
            header.insert_header(RETRY_AFTER, HeaderValue::from(seconds))?;
        }
        if self.status == StatusCode::UNAUTHORIZED {
            header.insert_header(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"))?;
        }
        Ok((header, body))
    }

    fn usual_wait(&self) -> Option<u32> {
        (self.status == StatusCode::SERVICE_UNAVAILABLE).then_some(1)
    }

    /// RFC 9457.
    fn problem(&self) -> String {
        let mut out = String::with_capacity(192);
        // The id was validated: it needs no escaping. Writing to a String cannot fail.
        let _ = write!(
            out,
            r#"{{"type":"about:blank","title":"{}","status":{},"reason":"{}","request_id":"{}"}}"#,
            self.reason.title(),
            self.status.as_u16(),
            self.reason.code(),
            self.id
        );
        out
    }
}

impl Dress<'_> {
    /// Adds what belongs on every answer.
    pub(crate) fn put_on(&self, header: &mut ResponseHeader) -> Result<()> {
        for edit in self.snapshot.policy.edits(self.route) {
            apply(edit, header)?;
        }
        // After the edits: `cors` removes the application's permissions and sets its own.
        if let Some(effects) = self.effects {
            for (name, value) in &effects.response {
                if *name == VARY || *name == SET_COOKIE {
                    header.append_header(name.clone(), value.clone())?;
                } else {
                    header.insert_header(name.clone(), value.clone())?;
                }
            }
            self.limits(effects, header)?;
        }
        if let Some(name) = &self.snapshot.policy.settings().policy_header {
            header.insert_header(name.clone(), self.snapshot.policy.hash())?;
        }
        header.insert_header(REQUEST_ID_NAME, self.id)
    }

    /// RateLimit and RateLimit-Policy, one item per limit, named like its check.
    fn limits(&self, effects: &Effects, header: &mut ResponseHeader) -> Result<()> {
        let policy = &self.snapshot.policy;
        let limits = effects.limits.iter();
        let named = limits.map(|(check, standing)| (policy.check_name(*check), *standing));
        for (name, value) in policy::limit::headers(named).into_iter().flatten() {
            header.insert_header(name, value)?;
        }
        Ok(())
    }
}

fn apply(edit: &Edit, header: &mut ResponseHeader) -> Result<()> {
    match edit {
        Edit::Set(name, value) => header.insert_header(name.clone(), value.clone()),
        Edit::SetIfAbsent(name, _) if header.headers.contains_key(name) => Ok(()),
        Edit::SetIfAbsent(name, value) => header.insert_header(name.clone(), value.clone()),
        Edit::Remove(name) => {
            header.remove_header(name);
            Ok(())
        }
    }
}

//! Whether a user still counts: asked of somebody who knows, by a URL with the user's name in it. A token outlives the
//! dismissal of its owner; this does not.

use std::fmt::Write as _;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, HeaderValue};
use serde_json::Value;

use super::strict;
use crate::decision::Reason;
use crate::io::{Cached, Call, Fetched, Io};

/// Largest answer, bytes.
const LARGEST: usize = 64 << 10;
/// Where the user's name goes in the URL.
pub(super) const USER: &str = "{user}";

/// Whom to ask, and what to do when nobody answers.
#[derive(Debug, Clone)]
pub(super) struct Active {
    pub(super) url: String,
    pub(super) authorization: Option<HeaderValue>,
    pub(super) cache: Duration,
    pub(super) timeout: Duration,
    pub(super) open: bool,
}

impl Active {
    /// What will be asked of this user; `None` when the name cannot be a part of a path.
    pub(super) fn call(&self, user: &str) -> Option<Call> {
        // Steps in a path, however they are spelt, lead to somebody else.
        if user.is_empty() || user.bytes().all(|byte| byte == b'.') {
            return None;
        }
        let mut headers = vec![(ACCEPT, HeaderValue::from_static("application/json"))];
        headers.extend(self.authorization.clone().map(|value| (AUTHORIZATION, value)));
        Some(Call {
            method: http::Method::GET,
            url: self.url.replace(USER, &encoded(user)),
            headers,
            body: Bytes::new(),
            timeout: self.timeout,
            max: LARGEST,
            cache: Some(Cached {
                fresh: self.cache,
                stale: if self.open { self.cache } else { Duration::ZERO },
                older_than: None,
            }),
        })
    }

    /// Refuses who is not active.
    pub(super) async fn holds<I: Io>(&self, call: &Call, io: &mut I) -> Result<(), Reason> {
        match io.fetch(call).await {
            Ok(answer) if answer.status == 200 && active(&answer) => Ok(()),
            Ok(answer) if matches!(answer.status, 200 | 404 | 410) => Err(Reason::TokenRevoked),
            Ok(_) | Err(_) if self.open => Ok(()),
            Ok(_) | Err(_) => Err(Reason::RemoteUnavailable),
        }
    }
}

/// `{"active": false}` says no although the status says yes.
fn active(answer: &Fetched) -> bool {
    if !answer.body.starts_with(b"{") {
        return true;
    }
    let fields = strict::object(&answer.body);
    fields.is_some_and(|fields| fields.get("active").is_none_or(|active| *active == Value::Bool(true)))
}

fn encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => out.push(char::from(byte)),
            // Writing to a text never fails.
            other => drop(write!(out, "%{other:02X}")),
        }
    }
    out
}

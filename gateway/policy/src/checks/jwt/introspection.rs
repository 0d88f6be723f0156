//! Asking an issuer what a token is worth (RFC 7662): for opaque tokens, and for all of them where the policy has no
//! keys. What it answers goes through the same rules as signed claims.

use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderName, HeaderValue};
use serde_json::{Map, Value};

use super::claims::Rules;
use super::strict;
use crate::decision::Reason;
use crate::io::{Cached, Call, Fetched, Io};

/// Largest answer, bytes.
const LARGEST: usize = 64 << 10;

/// Whom to ask.
#[derive(Debug)]
pub(super) struct Introspection {
    pub(super) url: String,
    pub(super) authorization: Option<HeaderValue>,
    pub(super) cache: Duration,
    pub(super) timeout: Duration,
    /// Signed tokens as well.
    pub(super) always: bool,
    pub(super) rules: Rules,
}

impl Introspection {
    /// The issuer's answer, at most `cache` old.
    pub(super) async fn ask<I: Io>(&self, token: &str, io: &mut I) -> Result<std::sync::Arc<Fetched>, Reason> {
        let answer = io.fetch(&self.call(token)).await.map_err(|_| Reason::RemoteUnavailable)?;
        if answer.status == 200 { Ok(answer) } else { Err(Reason::RemoteUnavailable) }
    }

    /// What it says of the token. One that is not active is told apart from nothing else, as RFC 7662, 2.2 wants it.
    pub(super) fn claims(&self, answer: &Fetched, now: u64) -> Result<Map<String, Value>, Reason> {
        let mut claims = strict::object(&answer.body).ok_or(Reason::RemoteUnavailable)?;
        if claims.remove("active") != Some(Value::Bool(true)) {
            return Err(Reason::TokenInvalid);
        }
        // It may leave out when the token ends: then for as long as the answer may be used.
        if !claims.contains_key("exp") {
            let until = now.saturating_add(u64::try_from(self.cache.as_millis()).unwrap_or(u64::MAX));
            claims.insert("exp".to_owned(), Value::from(until / 1000 + 1));
        }
        Ok(claims)
    }

    fn call(&self, token: &str) -> Call {
        let mut form = form_urlencoded::Serializer::new(String::new());
        form.append_pair("token", token).append_pair("token_type_hint", "access_token");
        let form_type = HeaderValue::from_static("application/x-www-form-urlencoded");
        let mut headers: Vec<(HeaderName, HeaderValue)> = vec![
            (ACCEPT, HeaderValue::from_static("application/json")),
            (CONTENT_TYPE, form_type),
        ];
        headers.extend(self.authorization.clone().map(|value| (AUTHORIZATION, value)));
        Call {
            method: http::Method::POST,
            url: self.url.clone(),
            headers,
            body: Bytes::from(form.finish()),
            timeout: self.timeout,
            max: LARGEST,
            cache: Some(Cached {
                fresh: self.cache,
                stale: Duration::ZERO,
                older_than: None,
            }),
        }
    }
}

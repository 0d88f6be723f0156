//! What asking a server for a secret has in common: JSON answers that are wiped once read, headers that no log shows,
//! and failures that repeat nothing of what was answered.

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE};
use http::{HeaderName, HeaderValue, Method, Request};
use serde_json::Value;
use zeroize::{Zeroize, Zeroizing};

use crate::remote::Client;

/// Bytes of an answer.
const MOST: usize = 256 << 10;

/// A question; without a body it is a GET.
pub(super) struct Question<'q> {
    pub(super) url: &'q str,
    pub(super) headers: Vec<(HeaderName, HeaderValue)>,
    pub(super) body: Option<(&'static str, Zeroizing<Vec<u8>>)>,
}

/// An answer that is wiped when it is done with.
pub(super) struct Answer {
    pub(super) status: u16,
    body: Value,
}

impl Drop for Answer {
    fn drop(&mut self) {
        wipe(&mut self.body);
    }
}

impl Answer {
    /// A text in it.
    pub(super) fn text(&self, pointer: &str) -> Option<&str> {
        self.body.pointer(pointer).and_then(Value::as_str)
    }

    /// A number in it, also where it is written as text.
    pub(super) fn number(&self, pointer: &str) -> Option<u64> {
        let value = self.body.pointer(pointer)?;
        let text = || value.as_str().and_then(|text| text.parse().ok());
        value.as_u64().or_else(text)
    }

    /// Anything in it.
    pub(super) fn value(&self, pointer: &str) -> Option<&Value> {
        self.body.pointer(pointer)
    }

    /// For operators: what the status of a refusal most often means.
    pub(super) fn refusal(&self) -> String {
        let why = match self.status {
            301..=308 => "it names another server; name that one",
            400 => "the question or the credentials are not accepted",
            401 | 403 => "permission denied",
            404 => "no such secret, or its newest version is deleted",
            429 => "asked too often",
            503 => "sealed, or not ready",
            _ => "unexpected",
        };
        format!("status {}: {why}", self.status)
    }
}

fn wipe(value: &mut Value) {
    match value {
        Value::String(text) => text.zeroize(),
        Value::Array(list) => list.iter_mut().for_each(wipe),
        Value::Object(map) => map.values_mut().for_each(wipe),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// A body, with the values in it wiped.
pub(super) fn written(mut value: Value) -> Zeroizing<Vec<u8>> {
    let text = Zeroizing::new(value.to_string().into_bytes());
    wipe(&mut value);
    text
}

/// A header whose value no log shows.
pub(super) fn hidden(
    name: &'static str,
    value: &[u8],
) -> Result<(HeaderName, HeaderValue), String> {
    let mut value = HeaderValue::from_bytes(value)
        .map_err(|_| "the credential holds bytes that no header may hold".to_owned())?;
    value.set_sensitive(true);
    Ok((HeaderName::from_static(name), value))
}

/// Asks.
pub(super) async fn ask(client: &Client, question: Question<'_>) -> Result<Answer, String> {
    let method = if question.body.is_some() {
        Method::POST
    } else {
        Method::GET
    };
    let mut request = Request::builder()
        .method(method)
        .uri(question.url)
        .header(ACCEPT, "application/json");
    let body = match question.body {
        Some((kind, body)) => {
            request = request.header(CONTENT_TYPE, kind);
            Bytes::from_owner(body)
        }
        None => Bytes::new(),
    };
    let mut request = request.body(body).map_err(|_| "not a URL".to_owned())?;
    request.headers_mut().extend(question.headers);
    let (status, text) = client.secretly(request, MOST).await?;
    let body = match serde_json::from_slice(&text) {
        Ok(body) => body,
        // Proxies and load balancers refuse in HTML.
        Err(_) if status != 200 => Value::Null,
        Err(_) => return Err("the answer is no JSON".to_owned()),
    };
    Ok(Answer { status, body })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_answer_is_wiped_and_repeats_nothing() {
        let mut value = json!({"data": {"value": "hunter2", "list": ["hunter3", 7]}});
        wipe(&mut value);
        assert!(!value.to_string().contains("hunter"), "{value}");
        let answer = Answer {
            status: 403,
            body: json!({"errors": ["hunter2 is wrong"]}),
        };
        assert!(answer.refusal().contains("denied") && !answer.refusal().contains("hunter2"));
    }

    #[test]
    fn a_credential_is_no_way_to_write_headers() {
        assert!(hidden("x-vault-token", b"a\r\nX-Other: b").is_err());
        let (_, value) = hidden("x-vault-token", b"hunter2").unwrap_or_else(|why| panic!("{why}"));
        assert!(!format!("{value:?}").contains("hunter2"));
    }
}

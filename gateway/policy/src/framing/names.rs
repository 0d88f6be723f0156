//! Header names: which ones nobody may imitate, nominate or repeat, and which ones never go upstream.

use http::header::{CONNECTION, HeaderName};
use http::{HeaderMap, Version};

use super::{Head, Refusal, refuse};
use crate::client;
use crate::decision::Reason;

/// Fields that framing, identity or address depend on. Forwarding fields are in [`client::is_forwarding`].
const PROTECTED: [&str; 26] = [
    "accept-encoding",
    "authorization",
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "cookie",
    "expect",
    "forwarded",
    "host",
    "if-none-match",
    "keep-alive",
    "origin",
    "proxy",
    "proxy-authorization",
    "range",
    "referer",
    "sec-fetch-site",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "user-agent",
    "x-api-key",
    "x-csrf-token",
    "x-request-id",
];

/// Fields of which a second one makes two readers disagree. Host and the framing fields have their own refusals.
const SINGLE: [&str; 7] = [
    "authorization",
    "content-encoding",
    "content-type",
    "origin",
    "sec-websocket-key",
    "sec-websocket-version",
    "upgrade",
];

/// Options that `Connection` may name.
const HOP_BY_HOP: [&[u8]; 9] = [
    b"close",
    b"keep-alive",
    b"upgrade",
    b"te",
    b"trailer",
    b"trailers",
    b"http2-settings",
    b"proxy-connection",
    b"",
];

/// Fields that change the method behind the gateway.
const METHOD_OVERRIDES: [&str; 3] = [
    "x-http-method",
    "x-http-method-override",
    "x-method-override",
];

/// Fields that never go upstream as the client sent them: hop by hop, or read by some frameworks as another target. The
/// server sets `Connection` and `Upgrade` itself for a WebSocket, and forwarding fields through [`client::forwarded`].
const DROPPED: [&str; 12] = [
    "connection",
    "http2-settings",
    "keep-alive",
    "proxy",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "upgrade",
    "x-middleware-subrequest",
    "x-original-uri",
    "x-original-url",
    "x-rewrite-url",
];

/// Whether a field must not go upstream as it came. `te: trailers` is for the server to set again where it speaks gRPC.
#[must_use]
pub fn is_dropped(name: &HeaderName) -> bool {
    DROPPED.contains(&name.as_str()) || client::is_forwarding(name)
}

/// Whether something relies on this field: nobody may nominate or imitate it.
#[must_use]
pub fn is_protected(name: &str) -> bool {
    PROTECTED.contains(&name)
        || DROPPED.contains(&name)
        || METHOD_OVERRIDES.contains(&name)
        || client::forwards(name)
}

/// Names, repetitions and values of all fields.
pub(super) fn inspect(headers: &HeaderMap, owned: &[HeaderName]) -> Result<(), Refusal> {
    for (name, value) in headers {
        let text = name.as_str();
        // Here and below a look at every byte without a branch: the compiler makes it one at sixteen bytes.
        if text.bytes().fold(false, |any, byte| any | odd(byte)) && imitates(text, owned) {
            return refuse(Reason::Lookalike, "header name imitates a protected one");
        }
        if METHOD_OVERRIDES.contains(&text) {
            return refuse(Reason::BadMethod, "header overrides the method");
        }
        let bytes = value.as_bytes().iter();
        if bytes.fold(false, |any, &byte| any | control(byte)) {
            return refuse(Reason::Malformed, "control character in a header value");
        }
    }
    // Fewer names than fields: only then is one of them repeated.
    let repeated = headers.keys_len() < headers.len();
    if repeated
        && SINGLE
            .iter()
            .any(|name| headers.get_all(*name).iter().nth(1).is_some())
    {
        return refuse(
            Reason::Malformed,
            "repeated header field that must be single",
        );
    }
    Ok(())
}

/// Bytes that a server which turns names into variables replaces.
const fn odd(byte: u8) -> bool {
    !byte.is_ascii_alphanumeric() & (byte != b'-')
}

/// Bytes that no value may hold (RFC 9110, 5.5).
const fn control(byte: u8) -> bool {
    ((byte < 0x20) & (byte != b'\t')) | (byte == 0x7f)
}

fn imitates(name: &str, owned: &[HeaderName]) -> bool {
    let folded: String = name
        .chars()
        .map(|letter| {
            if letter.is_ascii_alphanumeric() {
                letter
            } else {
                '-'
            }
        })
        .collect();
    // The gateway's own header may be the one with the underscore.
    let is_owned = |text: &str| owned.iter().any(|name| name.as_str() == text);
    !is_owned(name) && (is_protected(&folded) || is_owned(&folded))
}

/// The options of all `Connection` fields.
pub(super) fn options(headers: &HeaderMap) -> impl Iterator<Item = &[u8]> {
    let values = headers.get_all(CONNECTION).iter();
    values.flat_map(|value| {
        value
            .as_bytes()
            .split(|&byte| byte == b',')
            .map(<[u8]>::trim_ascii)
    })
}

/// Hop by hop: HTTP/2 has none of it, and in HTTP/1 `Connection` names nothing that anybody relies on.
pub(super) fn connection(head: &Head<'_>, owned: &[HeaderName]) -> Result<(), Refusal> {
    let headers = head.headers;
    if head.version >= Version::HTTP_2 {
        let foreign = [
            "connection",
            "keep-alive",
            "proxy-connection",
            "transfer-encoding",
            "upgrade",
        ];
        if foreign.iter().any(|name| headers.contains_key(*name)) {
            return refuse(Reason::Smuggling, "connection field in HTTP/2");
        }
        if headers
            .get_all("te")
            .iter()
            .any(|value| value.as_bytes() != b"trailers")
        {
            return refuse(Reason::Smuggling, "TE other than trailers in HTTP/2");
        }
        return Ok(());
    }
    for option in options(headers) {
        if HOP_BY_HOP
            .iter()
            .any(|known| known.eq_ignore_ascii_case(option))
        {
            continue;
        }
        let Ok(name) = HeaderName::from_bytes(option) else {
            return refuse(Reason::Smuggling, "malformed Connection");
        };
        if headers.contains_key(&name) || is_protected(name.as_str()) || owned.contains(&name) {
            return refuse(Reason::Smuggling, "Connection names an end-to-end field");
        }
    }
    Ok(())
}

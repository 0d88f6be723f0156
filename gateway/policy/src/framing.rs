//! Strict inspection of a parsed header: whatever two servers could frame, route or trust differently is refused before
//! any policy is asked. It reads what the parser left; bare CR or LF, obs-fold and a space before the colon never get
//! here, the parser refuses them.
//!
//! Decisions that are not obvious:
//! - A name that turns into a protected one when a CGI-style server maps `_` (or `.`) to `-` is *refused*; other names
//!   with underscores pass.
//! - `Connection` may name only hop-by-hop fields: nominating one that is present, or a protected one, is refused,
//!   since the proxy would delete it after checks have read it.
//! - `Upgrade` other than to WebSocket is not refused (curl asks for `h2c` routinely) but never honoured:
//!   [`is_dropped`].
//! - Fields that override method or target behind the gateway: the method ones are refused (dropping one would turn a
//!   DELETE into a POST), the target ones dropped.

use http::{HeaderMap, HeaderName, Method, Version};

use crate::decision::Reason;
use crate::host::{self, Host};
use crate::request::Framing;

mod length;
mod names;

pub use names::{is_dropped, is_protected};

/// What is inspected.
#[derive(Debug, Clone, Copy)]
pub struct Head<'a> {
    /// Protocol version.
    pub version: Version,
    /// Method as sent.
    pub method: &'a Method,
    /// Request target as received: origin-form, absolute-form or `*`. For HTTP/2 the `:path`.
    pub target: &'a [u8],
    /// `:authority`, or the authority of an absolute-form target.
    pub authority: Option<&'a str>,
    /// Scheme of an absolute-form target, or `:scheme`.
    pub scheme: Option<&'a str>,
    /// Header fields.
    pub headers: &'a HeaderMap,
}

/// Caps on a header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Caps {
    /// Header fields.
    pub fields: usize,
    /// Request line and header fields together, in bytes as HTTP/1.1 would write them.
    pub bytes: usize,
    /// Request target, in bytes.
    pub target: usize,
}

impl From<&crate::settings::Hardening> for Caps {
    fn from(limits: &crate::settings::Hardening) -> Self {
        Self {
            fields: limits.header_count,
            bytes: limits.header_bytes,
            target: limits.uri_length,
        }
    }
}

/// Why a header is refused. All of these close the connection; a request that is turned away before anything is read of
/// it (`limits.queue`) is not looked at for them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refusal {
    /// The stable reason.
    pub reason: Reason,
    /// What exactly, for the event; never for the client.
    pub detail: &'static str,
}

/// What inspection found out on the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Inspected<'a> {
    /// The announced body.
    pub framing: Framing,
    /// The canonical host.
    pub host: Host<'a>,
    /// Whether this asks for a WebSocket, completely and correctly.
    pub websocket: bool,
}

/// Inspects one header. `owned` are the policy's [`crate::Policy::owned_headers`]; `scratch` holds the host's name when
/// it is not canonical as sent.
///
/// # Errors
/// The first thing that is ambiguous or over a cap.
pub fn inspect<'a>(
    head: &Head<'a>,
    caps: Caps,
    owned: &[HeaderName],
    scratch: &'a mut String,
) -> Result<Inspected<'a>, Refusal> {
    sizes(head, caps)?;
    method(head)?;
    names::inspect(head.headers, owned)?;
    names::connection(head, owned)?;
    let framing = length::framing(head)?;
    expect(head, framing)?;
    let websocket = websocket(head, framing)?;
    let host = host(head, scratch)?;
    Ok(Inspected {
        framing,
        host,
        websocket,
    })
}

fn refuse<T>(reason: Reason, detail: &'static str) -> Result<T, Refusal> {
    Err(Refusal { reason, detail })
}

fn sizes(head: &Head<'_>, caps: Caps) -> Result<(), Refusal> {
    if head.target.len() > caps.target {
        return refuse(Reason::UriTooLong, "request target too long");
    }
    if head.headers.len() > caps.fields {
        return refuse(Reason::HeaderTooLarge, "too many header fields");
    }
    // Method, two spaces, version and the empty line; then each field with `: ` and CRLF.
    let mut bytes = head.method.as_str().len() + head.target.len() + 14;
    for (name, value) in head.headers {
        bytes += name.as_str().len() + value.len() + 4;
    }
    if bytes > caps.bytes {
        return refuse(Reason::HeaderTooLarge, "header too large");
    }
    Ok(())
}

/// `CONNECT` makes a tunnel, `TRACE` and `TRACK` echo credentials, and `get` is `GET` to some servers only.
fn method(head: &Head<'_>) -> Result<(), Refusal> {
    const KNOWN: [&str; 11] = [
        "GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "CONNECT", "TRACE", "TRACK",
        "PRI",
    ];
    let method = head.method.as_str();
    if matches!(method, "CONNECT" | "TRACE" | "TRACK" | "PRI") {
        return refuse(Reason::BadMethod, "method never forwarded");
    }
    if KNOWN
        .iter()
        .any(|known| known.eq_ignore_ascii_case(method) && *known != method)
    {
        return refuse(Reason::BadMethod, "method in another case");
    }
    if head.target == b"*" && *head.method != Method::OPTIONS {
        return refuse(Reason::BadPath, "`*` is a target of OPTIONS only");
    }
    Ok(())
}

/// Only `100-continue`, once, and only where a body is announced to wait for.
fn expect(head: &Head<'_>, framing: Framing) -> Result<(), Refusal> {
    let mut values = head.headers.get_all(http::header::EXPECT).iter();
    let Some(value) = values.next() else {
        return Ok(());
    };
    if values.next().is_some() || !value.as_bytes().eq_ignore_ascii_case(b"100-continue") {
        return refuse(Reason::Smuggling, "odd Expect");
    }
    if framing == Framing::None && head.version <= Version::HTTP_11 {
        return refuse(Reason::Smuggling, "Expect without a body");
    }
    Ok(())
}

/// A WebSocket handshake is honoured only as RFC 6455 writes it, and never with a body.
fn websocket(head: &Head<'_>, framing: Framing) -> Result<bool, Refusal> {
    let headers = head.headers;
    let mut upgrades = headers.get_all(http::header::UPGRADE).iter();
    let Some(upgrade) = upgrades.next() else {
        return Ok(false);
    };
    if !matches!(framing, Framing::None | Framing::Length(0)) {
        return refuse(Reason::Smuggling, "Upgrade with a body");
    }
    let is = |name: HeaderName, want: &[u8]| {
        headers
            .get(name)
            .is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(want))
    };
    let asks = upgrades.next().is_none()
        && upgrade.as_bytes().eq_ignore_ascii_case(b"websocket")
        && names::options(headers).any(|option| option.eq_ignore_ascii_case(b"upgrade"));
    if !asks {
        return Ok(false);
    }
    let sound = *head.method == Method::GET
        && head.version == Version::HTTP_11
        && is(http::header::SEC_WEBSOCKET_VERSION, b"13")
        && headers
            .get_all(http::header::SEC_WEBSOCKET_KEY)
            .iter()
            .count()
            == 1;
    if !sound {
        return refuse(Reason::Malformed, "malformed WebSocket handshake");
    }
    Ok(true)
}

/// Exactly one host, and the same wherever it is named.
fn host<'a>(head: &Head<'a>, scratch: &'a mut String) -> Result<Host<'a>, Refusal> {
    let bad = |detail| Refusal {
        reason: Reason::BadHost,
        detail,
    };
    if head.scheme.is_some_and(|scheme| {
        !scheme.eq_ignore_ascii_case("http") && !scheme.eq_ignore_ascii_case("https")
    }) {
        return Err(bad("scheme is neither http nor https"));
    }
    let mut fields = head.headers.get_all(http::header::HOST).iter();
    let field = fields.next();
    if fields.next().is_some() {
        return Err(bad("repeated Host"));
    }
    let field = match field.map(http::HeaderValue::to_str) {
        Some(Ok(text)) => Some(text),
        Some(Err(_)) => return Err(bad("character not allowed in a host")),
        None => None,
    };
    // HTTP/1.1 demands the field even beside an absolute-form target.
    if field.is_none() && head.version <= Version::HTTP_11 {
        return Err(bad("no Host"));
    }
    if let (Some(authority), Some(field)) = (head.authority, field) {
        same(head, authority, field).map_err(bad)?;
    }
    let raw = head.authority.or(field).ok_or_else(|| bad("no Host"))?;
    host::canonical(raw, scratch).map_err(bad)
}

/// Equal text is the rule; the slow comparison allocates, for requests that are odd anyway.
fn same(head: &Head<'_>, authority: &str, field: &str) -> Result<(), &'static str> {
    if authority == field {
        return Ok(());
    }
    let (mut one, mut two) = (String::new(), String::new());
    let (one, two) = (
        host::canonical(authority, &mut one)?,
        host::canonical(field, &mut two)?,
    );
    let usual = match head.scheme {
        Some(scheme) if scheme.eq_ignore_ascii_case("https") => 443,
        Some(_) | None => 80,
    };
    if one.name == two.name && one.port.unwrap_or(usual) == two.port.unwrap_or(usual) {
        return Ok(());
    }
    Err("Host differs from the target's authority")
}

#[cfg(test)]
mod tests;

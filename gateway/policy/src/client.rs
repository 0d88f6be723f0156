//! Who the client is: the rightmost hop that is not a trusted proxy. And what the application is told about it. It
//! knows nothing of connections; `peer` is the other end, after a PROXY protocol header if there was one.
//!
//! Forwarded fields count only when the peer itself is trusted. `X-Forwarded-For` (all its lines, as one list) is read
//! when present, else `Forwarded`, else a single `X-Real-IP`: a trusted proxy that writes only one of the later ones
//! must remove the earlier ones. The walk goes from the right and stops at the first hop that is not trusted, or that is
//! no address: what stands left of either was written by somebody who could write anything.

use std::net::{IpAddr, SocketAddr};

use http::header::FORWARDED;
use http::{HeaderMap, HeaderName, HeaderValue};
use smallvec::SmallVec;

use crate::networks::Networks;

mod text;

pub use text::AddressText;

static X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
static X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
static X_REAL_IP: HeaderName = HeaderName::from_static("x-real-ip");

/// Names beyond `x-forwarded-*` by which applications learn an address: none goes upstream as the client sent it.
const FORWARDING: [&str; 18] = [
    "cf-connecting-ip",
    "cf-connecting-ipv6",
    "client-ip",
    "fastly-client-ip",
    "forwarded",
    "forwarded-for",
    "forwarded-for-ip",
    "true-client-ip",
    "via",
    "x-client-ip",
    "x-cluster-client-ip",
    "x-envoy-external-address",
    "x-forwarded",
    "x-host",
    "x-originating-ip",
    "x-real-ip",
    "x-remote-addr",
    "x-remote-ip",
];

/// Whether a field tells where a request came from.
#[must_use]
pub fn is_forwarding(name: &HeaderName) -> bool {
    forwards(name.as_str())
}

pub(crate) fn forwards(name: &str) -> bool {
    name.starts_with("x-forwarded-") || FORWARDING.contains(&name)
}

/// The client's address, IPv4-mapped IPv6 unmapped.
#[must_use]
pub fn address(peer: IpAddr, headers: &HeaderMap, trusted: &Networks) -> IpAddr {
    let peer = peer.to_canonical();
    if !trusts(trusted, peer) {
        return peer;
    }
    if headers.contains_key(&X_FORWARDED_FOR) {
        return walk(peer, hops(headers, &X_FORWARDED_FOR, hop), trusted);
    }
    if headers.contains_key(FORWARDED) {
        return walk(peer, hops(headers, &FORWARDED, forwarded_for), trusted);
    }
    let mut real = headers.get_all(&X_REAL_IP).iter();
    match (real.next(), real.next()) {
        (Some(value), None) => hop(value.as_bytes()).unwrap_or(peer),
        _ => peer,
    }
}

/// `https` or `http` as the client sees it: what a trusted peer says, else what this listener speaks.
#[must_use]
pub fn scheme(peer: IpAddr, headers: &HeaderMap, trusted: &Networks, tls: bool) -> &'static str {
    let own = if tls { "https" } else { "http" };
    if !trusts(trusted, peer.to_canonical()) {
        return own;
    }
    let said = headers.get_all(&X_FORWARDED_PROTO).iter().next_back();
    let last = said.and_then(|value| value.as_bytes().rsplit(|&byte| byte == b',').next());
    match last.map(<[u8]>::trim_ascii) {
        Some(word) if word.eq_ignore_ascii_case(b"https") => "https",
        Some(word) if word.eq_ignore_ascii_case(b"http") => "http",
        Some(_) | None => own,
    }
}

/// The fields that the upstream gets, each once: `X-Forwarded-For` and `X-Real-IP` hold the client alone, so that
/// applications which trust the leftmost hop and those which trust the rightmost agree. Everything that
/// [`is_forwarding`] must be removed first. `host` is the Host field as the client sent it.
#[must_use]
pub fn forwarded(
    client: IpAddr,
    scheme: &'static str,
    host: &HeaderValue,
) -> SmallVec<[(&'static str, HeaderValue); 4]> {
    let mut fields = SmallVec::new();
    if let Ok(address) = HeaderValue::from_str(AddressText::new(client.to_canonical()).as_str()) {
        fields.push(("x-forwarded-for", address.clone()));
        fields.push(("x-real-ip", address));
    }
    fields.push(("x-forwarded-proto", HeaderValue::from_static(scheme)));
    fields.push(("x-forwarded-host", host.clone()));
    fields
}

/// Trusted proxies have no expiry: any moment will do.
fn trusts(trusted: &Networks, address: IpAddr) -> bool {
    trusted.contains(address, 0)
}

fn walk(peer: IpAddr, hops: impl Iterator<Item = Option<IpAddr>>, trusted: &Networks) -> IpAddr {
    let mut client = peer;
    for hop in hops {
        let Some(address) = hop else {
            return client;
        };
        client = address;
        if !trusts(trusted, client) {
            return client;
        }
    }
    client
}

/// Hops from right to left; empty list elements do not count (RFC 9110, 5.6.1). Commas separate even within quotes: no
/// proxy writes one into an address, and a quote that a client leaves open must not swallow what proxies append.
fn hops<'a>(
    headers: &'a HeaderMap,
    name: &HeaderName,
    read: impl Fn(&[u8]) -> Option<IpAddr> + 'a,
) -> impl Iterator<Item = Option<IpAddr>> + 'a {
    let lines = headers.get_all(name).iter().rev();
    lines
        .flat_map(|line| line.as_bytes().rsplit(|&byte| byte == b','))
        .map(<[u8]>::trim_ascii)
        .filter(|text| !text.is_empty())
        .map(read)
}

/// `192.0.2.1`, `192.0.2.1:4711`, `2001:db8::1`, `[2001:db8::1]`, `[2001:db8::1]:4711`.
fn hop(text: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(text.trim_ascii()).ok()?;
    let bare = text
        .strip_prefix('[')
        .and_then(|text| text.strip_suffix(']'));
    let address = match (text.parse::<IpAddr>(), bare) {
        (Ok(address), _) => address,
        (Err(_), Some(bare)) => IpAddr::V6(bare.parse().ok()?),
        (Err(_), None) => text.parse::<SocketAddr>().ok()?.ip(),
    };
    Some(address.to_canonical())
}

/// The address in `for=…` of one element; obfuscated names (`_hidden`, `unknown`) are none.
fn forwarded_for(element: &[u8]) -> Option<IpAddr> {
    let mut found = None;
    for pair in element.split(|&byte| byte == b';') {
        let mut halves = pair.splitn(2, |&byte| byte == b'=');
        let name = halves.next().unwrap_or_default().trim_ascii();
        if !name.eq_ignore_ascii_case(b"for") {
            continue;
        }
        if found.is_some() {
            return None;
        }
        let value = halves.next()?.trim_ascii();
        let quoted = value
            .strip_prefix(b"\"")
            .and_then(|value| value.strip_suffix(b"\""));
        found = Some(hop(quoted.unwrap_or(value))?);
    }
    found
}

#[cfg(test)]
mod tests;

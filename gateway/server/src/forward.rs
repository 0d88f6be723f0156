//! The request as the upstream gets it: the canonical path, our own forwarding fields in place of the client's, the
//! headers that only the gateway may set. Runs after Pingora removed what `Connection` nominates.

use std::time::Instant;

use http::header::{
    ACCEPT_ENCODING, CONNECTION, CONTENT_LENGTH, COOKIE, EXPECT, HOST, HeaderName, IF_RANGE, RANGE,
    TE, UPGRADE,
};
use http::{HeaderValue, Version};
use pingora_core::upstreams::peer::HttpPeer;
use pingora_core::{Error, ErrorType, Result};
use pingora_http::RequestHeader;
use pingora_proxy::Session;
use policy::decision::{Outcome, Permit, Reason};
use policy::request::Await;
use policy::response::BodyNeed;
use policy::{Policy, client, codec, framing};
use smallvec::SmallVec;

use crate::ctx::Ctx;
use crate::facts;
use crate::gated;
use crate::reply::REQUEST_ID_NAME;

fn permit(ctx: &Ctx) -> Result<&Permit> {
    match ctx.decision.as_ref().map(|decision| &decision.outcome) {
        Some(Outcome::Permit(permit)) => Ok(permit),
        Some(Outcome::Deny(_) | Outcome::Reply(_)) | None => gated::fault(Reason::Internal),
    }
}

/// The server that is asked next.
pub(crate) fn peer(header: &RequestHeader, ctx: &mut Ctx) -> Result<Box<HttpPeer>> {
    let upstream = permit(ctx)?.upstream();
    let snapshot = &ctx.snapshot;
    let user = ctx
        .decision
        .as_ref()
        .and_then(|decision| decision.facts.identity.as_ref())
        .map(|identity| identity.user.as_str());
    let choice = snapshot.groups.choose(
        upstream,
        &ctx.facts,
        &header.headers,
        user,
        ctx.choice.as_ref(),
    );
    let Some((choice, mut peer)) = choice else {
        return Err(Error::explain(ErrorType::ConnectNoRoute, "no server").into_up());
    };
    let endless = ctx
        .route
        .is_some_and(|route| snapshot.policy.streams(route));
    if ctx.facts.websocket || endless {
        peer.options.read_timeout = Some(crate::gate::ENDLESS);
    }
    ctx.choice = Some(choice);
    ctx.asked = Some(ctx.decided.take().unwrap_or_else(Instant::now));
    Ok(peer)
}

/// A connection stands.
pub(crate) fn connected(ctx: &Ctx) {
    if let Some(choice) = &ctx.choice {
        choice.connected();
    }
}

/// Writes the request that goes upstream.
pub(crate) fn request(
    session: &mut Session,
    upstream: &mut RequestHeader,
    ctx: &Ctx,
) -> Result<()> {
    let permit = permit(ctx)?;
    let host = target(session.req_header(), upstream, ctx)?;
    drop_fields(upstream, ctx);
    for (name, value) in client::forwarded(ctx.facts.client, ctx.facts.scheme, &host) {
        upstream.insert_header(name, value)?;
    }
    for (name, value) in permit.forward() {
        upstream.insert_header(name.clone(), value.clone())?;
    }
    replaced(upstream, ctx)?;
    upstream.insert_header(REQUEST_ID_NAME, ctx.facts.id.as_str())?;
    own_cookies(upstream, ctx)?;
    if session.req_header().version == Version::HTTP_2 {
        // Cookies may come in crumbs (RFC 9113, 8.2.3) that HTTP/1.1 does not know.
        join_cookies(upstream)?;
        restore_te(session.req_header(), upstream)?;
    }
    if ctx.facts.websocket {
        // Hop by hop, and so removed above with whatever else `Connection` named.
        upstream.insert_header(CONNECTION, HeaderValue::from_static("Upgrade"))?;
        upstream.insert_header(UPGRADE, HeaderValue::from_static("websocket"))?;
    }
    if let Some(need) = reads_answer(ctx) {
        if let Some(codings) = codec::acceptable(&upstream.headers) {
            upstream.insert_header(ACCEPT_ENCODING, codings)?;
        }
        if need.strips_ranges {
            upstream.remove_header(&RANGE);
            upstream.remove_header(&IF_RANGE);
        }
    }
    if ctx
        .decision
        .as_ref()
        .is_some_and(|decision| Policy::hears(&decision.facts) > Await::AFTER)
    {
        upstream.insert_header(ACCEPT_ENCODING, HeaderValue::from_static("identity"))?;
    }
    if let Some(length) = ctx.held {
        upstream.insert_header(CONTENT_LENGTH, HeaderValue::from(length))?;
    }
    Ok(())
}

/// Fields that checks want another way, or not at all.
fn replaced(upstream: &mut RequestHeader, ctx: &Ctx) -> Result<()> {
    let effects = ctx.decision.iter().map(|decision| &decision.effects);
    for (name, value) in effects.flat_map(|effects| &effects.upstream) {
        match value {
            Some(value) => upstream.insert_header(name.clone(), value.clone())?,
            None => drop(upstream.remove_header(name)),
        }
    }
    Ok(())
}

/// Takes out the cookies that are between the client and the gateway: an application's log is no place for them.
fn own_cookies(upstream: &mut RequestHeader, ctx: &Ctx) -> Result<()> {
    let own = ctx.snapshot.policy.own_cookies();
    if own.is_empty() || !upstream.headers.contains_key(COOKIE) {
        return Ok(());
    }
    if let Some(left) = policy::cookie::without(&upstream.headers, own) {
        upstream.remove_header(&COOKIE);
        for line in left {
            upstream.append_header(COOKIE, line)?;
        }
    }
    Ok(())
}

/// What checks that wait for the answer read of its body.
fn reads_answer(ctx: &Ctx) -> Option<BodyNeed> {
    let decision = ctx.decision.as_ref()?;
    if decision.facts.suspended.is_empty() {
        return None;
    }
    ctx.snapshot.policy.response_need(ctx.route?)?.body
}

/// The canonical path and the raw query; the host that was judged, which it gives back.
fn target(header: &RequestHeader, upstream: &mut RequestHeader, ctx: &Ctx) -> Result<HeaderValue> {
    let raw = std::str::from_utf8(header.raw_path()).unwrap_or_default();
    let (sent, query) = facts::split(raw);
    let mut scratch = String::new();
    let path = policy::path::encode(&ctx.facts.path, &mut scratch);
    let authority = header.uri.authority();
    // Nearly always: in origin form, and canonical as it was sent.
    let same = raw.starts_with('/') && sent == path && authority.is_none();
    if !same {
        let mut text = String::with_capacity(path.len() + query.map_or(0, str::len) + 1);
        text.push_str(path);
        if let Some(query) = query {
            text.push('?');
            text.push_str(query);
        }
        let uri = http::Uri::try_from(text).map_err(|_| {
            Error::explain(ErrorType::Custom(Reason::BadPath.code()), "target").into_down()
        })?;
        upstream.set_uri(uri);
    }
    let named = authority.and_then(|name| HeaderValue::from_str(name.as_str()).ok());
    match (authority, named, header.headers.get(HOST)) {
        (Some(_), Some(host), _) => {
            upstream.insert_header(HOST, host.clone())?;
            Ok(host)
        }
        (None, _, Some(host)) => Ok(host.clone()),
        (Some(_), None, _) | (None, _, None) => gated::fault(Reason::Internal),
    }
}

/// Removes what tells of the client, and what only the gateway may set.
fn drop_fields(upstream: &mut RequestHeader, ctx: &Ctx) {
    let forwarding: SmallVec<[HeaderName; 8]> = upstream
        .headers
        .keys()
        .filter(|name| framing::is_dropped(name))
        // Pingora has already normalised the handshake of a WebSocket and removed any other upgrade.
        .filter(|name| !(ctx.facts.websocket && (**name == UPGRADE || **name == CONNECTION)))
        .cloned()
        .collect();
    for name in forwarding.iter().chain(ctx.snapshot.policy.owned_headers()) {
        upstream.remove_header(name);
    }
    upstream.remove_header(&EXPECT);
}

fn join_cookies(upstream: &mut RequestHeader) -> Result<()> {
    let crumbs: Vec<&[u8]> = upstream
        .headers
        .get_all(COOKIE)
        .iter()
        .map(HeaderValue::as_bytes)
        .collect();
    if crumbs.len() < 2 {
        return Ok(());
    }
    let joined = crumbs.join(&b"; "[..]);
    upstream.insert_header(COOKIE, joined)
}

/// gRPC servers insist on `TE: trailers`, which is hop by hop and was removed.
fn restore_te(header: &RequestHeader, upstream: &mut RequestHeader) -> Result<()> {
    let asked = header
        .headers
        .get(TE)
        .is_some_and(|te| te.as_bytes().eq_ignore_ascii_case(b"trailers"));
    if asked && upstream.version == Version::HTTP_2 && !upstream.headers.contains_key(CONNECTION) {
        upstream.insert_header(TE, HeaderValue::from_static("trailers"))?;
    }
    Ok(())
}

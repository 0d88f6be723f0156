//! The application's answer on its way to the client: what every answer carries, and the largest that a route allows.

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, HeaderName};
use pingora_core::Result;
use pingora_http::ResponseHeader;
use policy::decision::Reason;

use crate::ctx::Ctx;
use crate::gated::fault;
use crate::reply::Dress;

/// Fields that concern one hop only; Pingora sets those of the next hop itself.
const HOP: [HeaderName; 2] = [
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
];

/// Judges and dresses the header.
pub(crate) fn header(response: &mut ResponseHeader, ctx: &mut Ctx) -> Result<()> {
    if response.status.is_informational()
        && response.status != http::StatusCode::SWITCHING_PROTOCOLS
    {
        return Ok(());
    }
    ctx.upstream_time = ctx.asked.map(|asked| asked.elapsed());
    ctx.status = response.status.as_u16();
    let declared = response
        .headers
        .get(CONTENT_LENGTH)
        .and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    if let (Some(declared), Some(max)) = (declared, max(ctx))
        && declared > max
    {
        return fault(Reason::ResponseTooLarge);
    }
    for name in &HOP {
        response.remove_header(name);
    }
    let dress = Dress {
        snapshot: &ctx.snapshot,
        route: ctx.route,
        effects: ctx.decision.as_ref().map(|decision| &decision.effects),
        id: ctx.facts.id.as_str(),
    };
    dress.put_on(response)
}

/// Cuts an answer that grows past the maximum: the client sees that it is incomplete.
pub(crate) fn body(piece: Option<&Bytes>, ctx: &mut Ctx) -> Result<()> {
    let length = piece.map_or(0, Bytes::len);
    ctx.sent = ctx
        .sent
        .saturating_add(u64::try_from(length).unwrap_or(u64::MAX));
    match max(ctx) {
        Some(max) if ctx.sent > max => fault(Reason::ResponseTooLarge),
        _ => Ok(()),
    }
}

fn max(ctx: &Ctx) -> Option<u64> {
    ctx.route
        .filter(|_| !ctx.facts.websocket)
        .and_then(|route| ctx.snapshot.policy.max_response(route))
}

//! The application's answer on its way to the client: whether it must wait for a verdict, what every answer carries, and
//! the largest that a route allows.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderName};
use http::{HeaderMap, HeaderValue, Method, StatusCode, Version};
use pingora_http::ResponseHeader;
use pingora_proxy::Session;
use policy::codec::Codings;
use policy::decision::{Action, Decision, Reason, RouteId};
use policy::request::Facts;
use policy::response::{BodyNeed, ResponseStep, Unread};
use policy::run::Unwatched;

use crate::ctx::Ctx;
use crate::gated::{Body, Gated, Tie, fault};
use crate::given::{self, Giving};
use crate::lasting;
use crate::reply::Dress;
use crate::snapshot::{Shared, Snapshot};
use crate::withheld::Withheld;

/// Fields that concern one hop only; Pingora sets those of the next hop itself.
static HOP: [HeaderName; 2] = [
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
];

/// Whether this is the answer, and not a word on the way to it.
pub(crate) fn is_final(response: &ResponseHeader) -> bool {
    !response.status.is_informational() || response.status == StatusCode::SWITCHING_PROTOCOLS
}

/// Judges and dresses the header.
pub(crate) fn header(
    shared: &Arc<Shared>,
    session: &mut Session,
    response: &mut ResponseHeader,
    ctx: &mut Ctx,
) -> pingora_core::Result<()> {
    if !is_final(response) {
        return Ok(());
    }
    ctx.upstream_time = ctx.asked.map(|asked| asked.elapsed());
    ctx.status = response.status.as_u16();
    if let Some(max) = max(ctx)
        && declared(response).is_some_and(|declared| declared > max)
    {
        return fault(Reason::ResponseTooLarge);
    }
    judge(shared, session, response, ctx)?;
    lasting::begin(shared, session, response, ctx);
    for name in &HOP {
        response.remove_header(name);
    }
    let dress = Dress {
        snapshot: &ctx.snapshot,
        route: ctx.route,
        effects: ctx.decision.as_ref().map(|decision| &decision.effects),
        id: ctx.facts.id.as_str(),
    };
    dress.put_on(response)?;
    give(session, response, ctx)
}

/// From here on the session gives the page what a check left for it.
fn give(
    session: &mut Session,
    response: &mut ResponseHeader,
    ctx: &mut Ctx,
) -> pingora_core::Result<()> {
    let Some(decision) = &mut ctx.decision else {
        return Ok(());
    };
    let Some(mut markup) = decision.effects.markup.take() else {
        return Ok(());
    };
    if declared(response) == Some(0) {
        return Ok(());
    }
    let asked = session.req_header();
    let (method, version) = (asked.method.clone(), asked.version);
    given::header(response, &method, version)?;
    if version == Version::HTTP_10 {
        // Its end is that of the connection: the client knows no chunks.
        session.set_keepalive(None);
    }
    if !markup.settle(&response.headers) {
        ctx.facts.detail = "script_forbidden";
    }
    if method == Method::HEAD {
        return Ok(());
    }
    if tie(session, ctx)?.give(Giving::new(*markup)) {
        Ok(())
    } else {
        fault(Reason::Internal)
    }
}

/// To the session, made one of ours.
fn tie<'c>(session: &mut Session, ctx: &'c mut Ctx) -> pingora_core::Result<&'c Arc<Tie>> {
    let Some(connection) = &ctx.connection else {
        return fault(Reason::Internal);
    };
    let session = &mut session.downstream_session;
    Ok(ctx
        .tie
        .get_or_insert_with(|| Gated::install(session, Body::None, Arc::clone(connection))))
}

/// Cuts an answer that grows past the maximum: the client sees that it is incomplete.
pub(crate) fn body(piece: Option<&Bytes>, ctx: &mut Ctx) -> pingora_core::Result<()> {
    let length = piece.map_or(0, Bytes::len);
    if let (Some(listening), Some(piece)) = (&mut ctx.listening, piece) {
        listening.hear(piece);
    }
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

fn declared(response: &ResponseHeader) -> Option<u64> {
    let length = response.headers.get(CONTENT_LENGTH)?;
    length.to_str().ok()?.parse().ok()
}

/// Asks the checks that wait for the answer, as the application gave it: at once where the header is all that they
/// read; else the answer is withheld until its body was judged.
fn judge(
    shared: &Shared,
    session: &mut Session,
    response: &ResponseHeader,
    ctx: &mut Ctx,
) -> pingora_core::Result<()> {
    let (Some(route), Some(decision)) = (ctx.route, &mut ctx.decision) else {
        return Ok(());
    };
    if decision.facts.suspended.is_empty() {
        return Ok(());
    }
    let began = Instant::now();
    let answer = Answer {
        snapshot: &ctx.snapshot,
        route,
        method: &session.req_header().method,
        header: response,
    };
    decision.facts.advance(ctx.began.elapsed());
    let judged = answer.judge(&mut decision.facts);
    ctx.gateway += began.elapsed();
    match judged {
        Ok(None) => Ok(()),
        Err(step) => refuse(step, decision, &mut ctx.action),
        Ok(Some((need, codings))) => {
            let mut withheld = Withheld::new(
                &ctx.snapshot,
                route,
                &need,
                codings,
                declared(response).unwrap_or(0),
                std::mem::take(&mut decision.facts),
                shared.answers(),
            );
            withheld.began = ctx.began;
            withhold(session, ctx, Arc::new(withheld))
        }
    }
}

fn refuse(
    step: ResponseStep,
    decision: &mut Decision,
    action: &mut Action,
) -> pingora_core::Result<()> {
    let ResponseStep::Deny { check, reason } = step else {
        return Ok(());
    };
    decision.check = Some(check);
    *action = Action::Deny;
    fault(reason)
}

/// From here on the session asks `withheld` what may be written.
fn withhold(
    session: &mut Session,
    ctx: &mut Ctx,
    withheld: Arc<Withheld>,
) -> pingora_core::Result<()> {
    ctx.withheld = Some(Arc::clone(&withheld));
    if tie(session, ctx)?.withhold(withheld) {
        Ok(())
    } else {
        fault(Reason::Internal)
    }
}

/// An answer's header, and what it answers.
struct Answer<'a> {
    snapshot: &'a Snapshot,
    route: RouteId,
    method: &'a Method,
    header: &'a ResponseHeader,
}

impl Answer<'_> {
    /// What the header decides; how to read the body where that is open.
    fn judge(&self, facts: &mut Facts) -> Result<Option<(BodyNeed, Codings)>, ResponseStep> {
        let (policy, route) = (&self.snapshot.policy, self.route);
        let (status, headers) = (self.header.status.as_u16(), &self.header.headers);
        passed(policy.judge_response(route, facts, status, headers, &mut Unwatched))?;
        if facts.suspended.is_empty() {
            return Ok(None);
        }
        let need = policy.response_need(route).and_then(|need| need.body);
        let kind = headers.get(CONTENT_TYPE);
        if need
            .as_ref()
            .is_some_and(|need| need.reads_part(status, kind))
        {
            self.unread(facts, Unread::Part)?;
        }
        let Some(need) = need.filter(|need| self.carries(need)) else {
            return self.end(facts);
        };
        let Ok(codings) = Codings::of(headers) else {
            self.unread(facts, Unread::Coding)?;
            return self.end(facts);
        };
        if codings.is_empty() && declared(self.header).is_some_and(|length| length > need.inspect) {
            self.unread(facts, Unread::Long)?;
        }
        Ok(Some((need, codings)))
    }

    /// Rules of the last phase judge what those before them found, body or not.
    fn end(&self, facts: &mut Facts) -> Result<Option<(BodyNeed, Codings)>, ResponseStep> {
        let policy = &self.snapshot.policy;
        let step = policy.judge_response_body(self.route, facts, b"", &mut Unwatched);
        passed(step).map(|()| None)
    }

    fn unread(&self, facts: &mut Facts, unread: Unread) -> Result<(), ResponseStep> {
        let policy = &self.snapshot.policy;
        passed(policy.judge_unread(self.route, facts, unread, &mut Unwatched))
    }

    /// Whether there is a body to be read, and one that comes to an end: neither streams nor tunnels are held.
    fn carries(&self, need: &BodyNeed) -> bool {
        let status = self.header.status;
        let kind = self.header.headers.get(CONTENT_TYPE);
        let empty = *self.method == Method::HEAD
            || status.is_informational()
            || status == StatusCode::NO_CONTENT
            || status == StatusCode::NOT_MODIFIED
            || declared(self.header) == Some(0);
        let endless = is_endless(&self.header.headers) || self.snapshot.policy.streams(self.route);
        !empty && !endless && need.reads(kind)
    }
}

fn passed(step: ResponseStep) -> Result<(), ResponseStep> {
    match step {
        ResponseStep::Pass => Ok(()),
        ResponseStep::Deny { .. } => Err(step),
    }
}

/// Server-sent events, gRPC.
pub(crate) fn is_endless(headers: &HeaderMap) -> bool {
    let Some(kind) = headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes) else {
        return false;
    };
    [&b"text/event-stream"[..], b"application/grpc"]
        .iter()
        .any(|endless| {
            kind.get(..endless.len())
                .is_some_and(|start| start.eq_ignore_ascii_case(endless))
        })
}

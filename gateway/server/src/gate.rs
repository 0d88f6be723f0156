//! From a parsed request to a decision and its consequence: a view for the checks, the decision, then either a reply
//! or a body under control on its way upstream. Orders steps; what is allowed is the policy's to say.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY};
use pingora_core::Result;
use pingora_core::protocols::http::ServerSession;
use pingora_proxy::Session;
use policy::checks::Unanswered;
use policy::decision::{Decision, Outcome, Reason, RouteId};
use policy::io::BodyFault;
use policy::pages::refused::Reader;
use policy::request::Framing;
use policy::run::Unwatched;

use crate::ctx::Ctx;
use crate::downstream::connection::Connection;
use crate::facts::Facts;
use crate::gated::{Body, Gated, Pace};
use crate::heard;
use crate::held::Hold;
use crate::io::{Begun, Source, Upload, Waiting};
use crate::reply::{Dress, Page};
use crate::snapshot::Shared;

/// How long a tunnel or an endless stream may say nothing.
pub(crate) const ENDLESS: std::time::Duration = std::time::Duration::from_secs(3600);

/// How long a client may leave its HTTP/2 window closed.
const SLOW_READER: std::time::Duration = std::time::Duration::from_secs(30);

/// True: the request has been answered.
pub(crate) async fn ask(
    shared: &Arc<Shared>,
    session: &mut Session,
    ctx: &mut Ctx,
) -> Result<bool> {
    if session.is_http2() {
        // A stream whose window stays closed; over HTTP/1 the connection itself notices.
        session.set_write_timeout(Some(SLOW_READER));
    }
    let Some(connection) = session.digest().and_then(Connection::of).map(Arc::clone) else {
        return refuse(session, ctx, Reason::Internal).await;
    };
    let mut facts = Facts::unknown(connection.peer.ip());
    let policy = &ctx.snapshot.policy;
    let header = session.req_header();
    let read = facts.read(header, &connection, &ctx.snapshot);
    let route = read.map(|()| policy.route(&facts.view(header, &connection)));
    ctx.facts = facts;
    ctx.connection = Some(Arc::clone(&connection));
    let route = match route {
        Ok(Some(route)) => route,
        Ok(None) => return refuse(session, ctx, Reason::NoRoute).await,
        Err(reason) => return refuse(session, ctx, reason).await,
    };
    ctx.route = Some(route);
    if matches!(ctx.facts.framing, Framing::Length(length) if length > ctx.snapshot.policy.max_body(route))
    {
        return refuse(session, ctx, Reason::BodyTooLarge).await;
    }
    let (decision, held) = decide(
        shared,
        &mut session.downstream_session,
        ctx,
        &connection,
        route,
    )
    .await;
    let decided = Instant::now();
    ctx.gateway = decided.duration_since(ctx.began).saturating_sub(ctx.waited);
    ctx.decided = Some(decided);
    let held = match held {
        // Whoever asked for it only observed, or lets pass what cannot be read. There is nothing that could be sent on.
        Err(fault) if matches!(decision.outcome, Outcome::Permit(_)) => {
            ctx.decision = Some(decision);
            heard::unanswered(shared, session, Unanswered::Client, ctx).await;
            return refuse(session, ctx, Reason::from(fault)).await;
        }
        Err(_) => Held::Nothing,
        Ok(held) => held,
    };
    settle(session, ctx, decision, held, &connection).await
}

/// What the decision left of the body.
enum Held {
    /// None of it was read.
    Nothing,
    Whole(Bytes, Hold),
    Begun(Begun),
}

/// Asks the policy. Only a route that needs bodies copies the header, so that the body can be read beside the view.
async fn decide(
    shared: &Arc<Shared>,
    session: &mut ServerSession,
    ctx: &mut Ctx,
    connection: &Connection,
    route: RouteId,
) -> (Decision, std::result::Result<Held, BodyFault>) {
    let Ctx {
        snapshot,
        facts,
        leases,
        waited,
        began,
        ..
    } = ctx;
    let policy = &snapshot.policy;
    let needs = policy.body_need(route).is_some() && !session.is_body_empty();
    let copy = needs.then(|| session.req_header().clone());
    let expects = facts.expects;
    let (header, body) = match &copy {
        Some(copy) => {
            let limits = &policy.settings().limits;
            let (max, hold) = (policy.max_body(route), Hold::new(shared.budget()));
            let upload = Upload::new(session, limits, facts.framing, max, expects, hold);
            (copy, Source::Client(upload))
        }
        None => (session.req_header(), Source::Empty),
    };
    let mut io = Waiting {
        shared,
        now: shared.at(*began),
        began: *began,
        leases,
        body,
        waited: std::time::Duration::ZERO,
    };
    let request = facts.view(header, connection);
    let decision = policy
        .decide(route, &request, &mut io, &mut Unwatched)
        .await;
    *waited = io.waited;
    let held = match io.body {
        Source::Whole(bytes, hold) => Ok(Held::Whole(bytes, hold)),
        Source::Client(upload) => Ok(upload.begun().map_or(Held::Nothing, Held::Begun)),
        Source::Failed(fault) => Err(fault),
        Source::Empty => Ok(Held::Nothing),
    };
    (decision, held)
}

/// Does what was decided.
async fn settle(
    session: &mut Session,
    ctx: &mut Ctx,
    decision: Decision,
    held: Held,
    connection: &Arc<Connection>,
) -> Result<bool> {
    ctx.reason = decision.reason();
    ctx.action = decision.action();
    let decision = &*ctx.decision.insert(decision);
    match &decision.outcome {
        Outcome::Permit(_) => {
            admit(session, ctx, held, connection);
            Ok(false)
        }
        Outcome::Deny(denial) => {
            let (status, retry_after) = (denial.status, denial.retry_after);
            let page = Page {
                status,
                reason: denial.reason,
                id: ctx.facts.id.as_str(),
                reader: Reader::of(&session.req_header().headers),
                retry_after,
            };
            let (header, body) = page.render()?;
            answer(session, ctx, header, body).await
        }
        Outcome::Reply(given) => {
            let mut header =
                pingora_http::ResponseHeader::build(given.status, Some(8 + given.headers.len()))?;
            for (name, value) in &given.headers {
                header.append_header(name.clone(), value.clone())?;
            }
            if given.status != http::StatusCode::NO_CONTENT {
                header.insert_header(http::header::CONTENT_LENGTH, given.body.len())?;
            }
            let body = given.body.clone();
            answer(session, ctx, header, body).await
        }
    }
}

/// Puts the body under control; a request without one keeps Pingora's own session.
fn admit(session: &mut Session, ctx: &mut Ctx, held: Held, connection: &Arc<Connection>) {
    let policy = &ctx.snapshot.policy;
    let Some(route) = ctx.route else { return };
    if ctx.facts.websocket {
        session.set_read_timeout(Some(ENDLESS));
    }
    let body = match held {
        // Whatever its client sends is for the server to judge.
        _ if ctx.facts.websocket => {
            Body::Tunnel(Pace::new(&policy.settings().limits, u64::MAX, true), false)
        }
        Held::Begun(begun) => Body::Begun(begun),
        Held::Whole(bytes, hold) => {
            ctx.held = Some(bytes.len());
            Body::Held(bytes, hold)
        }
        Held::Nothing if session.is_body_empty() => return,
        Held::Nothing => {
            let limits = &policy.settings().limits;
            let pace = Pace::new(limits, policy.max_body(route), policy.streams(route));
            Body::Streamed(pace, ctx.facts.expects)
        }
    };
    let connection = Arc::clone(connection);
    ctx.tie = Some(Gated::install(
        &mut session.downstream_session,
        body,
        connection,
    ));
}

/// Refuses outside of any check.
pub(crate) async fn refuse(session: &mut Session, ctx: &mut Ctx, reason: Reason) -> Result<bool> {
    ctx.reason = reason;
    ctx.action = policy::decision::Action::Deny;
    let page = Page {
        status: reason.status(),
        reason,
        id: ctx.facts.id.as_str(),
        reader: Reader::of(&session.req_header().headers),
        retry_after: None,
    };
    let (header, body) = page.render()?;
    answer(session, ctx, header, body).await
}

/// Writes an answer of our own.
pub(crate) async fn answer(
    session: &mut Session,
    ctx: &mut Ctx,
    mut header: pingora_http::ResponseHeader,
    body: Bytes,
) -> Result<bool> {
    ctx.status = header.status.as_u16();
    let dress = Dress {
        snapshot: &ctx.snapshot,
        route: ctx.route,
        effects: ctx.decision.as_ref().map(|decision| &decision.effects),
        id: ctx.facts.id.as_str(),
    };
    // What is set for the application's answers must not have caches keep ours.
    // And the application's policy would forbid our pages' style.
    let own = [CACHE_CONTROL, CONTENT_SECURITY_POLICY]
        .map(|name| (header.headers.get(&name).cloned(), name));
    dress.put_on(&mut header)?;
    for (kept, name) in own {
        if let Some(kept) = kept {
            header.insert_header(name, kept)?;
        }
    }
    if !session.is_body_done() {
        // What is unread would be taken for the next request.
        session.set_keepalive(None);
    }
    let silent = session.req_header().method == http::Method::HEAD || body.is_empty();
    let downstream = &mut session.downstream_session;
    downstream.write_response_header(Box::new(header)).await?;
    if silent {
        downstream.finish_body().await?;
    } else {
        downstream.write_response_body(body, true).await?;
    }
    Ok(true)
}

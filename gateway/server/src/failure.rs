//! Pingora's errors become reasons: what the client is told, whether another server is tried, what the event says.

use std::sync::atomic::Ordering;

use pingora_core::protocols::http::ServerSession;
use pingora_core::{Error, ErrorSource, ErrorType};
use pingora_proxy::{FailToProxy, Session};
use policy::checks::Unanswered;
use policy::decision::{Action, Reason};
use policy::pages::refused::Reader;

use crate::ctx::Ctx;
use crate::gate;
use crate::lasting;
use crate::reply::Page;

/// Nothing was sent yet: another server may be tried, whatever the method.
pub(crate) fn connecting(mut error: Box<Error>, ctx: &mut Ctx) -> Box<Error> {
    if let Some(choice) = &ctx.choice {
        choice.failed();
    }
    error.set_retry(ctx.choice.as_ref().is_some_and(|choice| choice.may_retry()));
    error
}

/// A server was already asked: only an idempotent request whose body can be sent again is tried again, and only
/// because a kept connection turned out to be closed.
pub(crate) fn proxying(
    mut error: Box<Error>,
    session: &mut Session,
    ctx: &mut Ctx,
    reused: bool,
) -> Box<Error> {
    let downstream: &ServerSession = session.as_ref();
    let replayable = session.req_header().method.is_idempotent()
        && !downstream.retry_buffer_truncated()
        && ctx.upstream_time.is_none()
        && downstream.response_written().is_none();
    if replayable && ctx.choice.as_ref().is_some_and(|choice| choice.may_retry()) {
        error.retry.decide_reuse(reused);
    } else {
        error.set_retry(false);
    }
    if *error.esource() == ErrorSource::Upstream
        && !error.retry()
        && let Some(choice) = &ctx.choice
    {
        choice.failed();
    }
    error
}

/// Tells the client, where it can still be told.
pub(crate) async fn answer(session: &mut Session, error: &Error, ctx: &mut Ctx) -> FailToProxy {
    let reason = reason(error, ctx);
    ctx.reason = reason;
    ctx.status = reason.status().as_u16();
    // Nothing failed: the answer came, and must not go on as it is.
    let verdict = ctx.upstream_time.is_some() && matches!(error.etype(), ErrorType::Custom(_));
    if verdict && reason == Reason::Overload {
        ctx.action = Action::Deny;
    }
    let begun = session
        .response_written()
        .is_some_and(|header| !header.status.is_informational() || header.status == 101);
    if begun || reason == Reason::ClientGone {
        if verdict {
            ctx.cut = true;
            lasting::note(ctx);
            session.downstream_session.shutdown().await;
        }
        return FailToProxy {
            error_code: 0,
            can_reuse_downstream: false,
        };
    }
    let keep = verdict && session.is_body_done();
    if !keep {
        session.set_keepalive(None);
    }
    let page = Page {
        status: reason.status(),
        reason,
        id: ctx.facts.id.as_str(),
        reader: Reader::of(&session.req_header().headers),
        retry_after: None,
    };
    let sent = match page.render() {
        Ok((header, body)) => gate::answer(session, ctx, header, body).await,
        Err(error) => Err(error),
    };
    ctx.replaced = keep && sent.is_ok();
    if !keep && sent.is_ok() && session.stream().is_some() {
        // Lets a client that is still sending read the answer.
        session.downstream_session.shutdown().await;
    }
    FailToProxy {
        error_code: ctx.status,
        can_reuse_downstream: false,
    }
}

/// Because of whom there is no answer.
pub(crate) fn whose(error: &Error) -> Unanswered {
    match error.esource() {
        ErrorSource::Downstream => Unanswered::Client,
        ErrorSource::Upstream | ErrorSource::Internal | ErrorSource::Unset => {
            Unanswered::Application
        }
    }
}

fn reason(error: &Error, ctx: &Ctx) -> Reason {
    if let ErrorType::Custom(code) = error.etype() {
        let known = Reason::ALL.iter().find(|reason| reason.code() == *code);
        return known.copied().unwrap_or(Reason::Internal);
    }
    match error.esource() {
        ErrorSource::Upstream => upstream(error.etype()),
        ErrorSource::Downstream => downstream(error.etype(), ctx),
        ErrorSource::Internal | ErrorSource::Unset => Reason::Internal,
    }
}

fn upstream(kind: &ErrorType) -> Reason {
    match kind {
        ErrorType::ConnectTimedout
        | ErrorType::ReadTimedout
        | ErrorType::WriteTimedout
        | ErrorType::TLSHandshakeTimedout => Reason::UpstreamTimeout,
        ErrorType::ConnectRefused
        | ErrorType::ConnectNoRoute
        | ErrorType::ConnectError
        | ErrorType::ConnectProxyFailure
        | ErrorType::SocketError
        | ErrorType::BindError
        | ErrorType::TLSHandshakeFailure
        | ErrorType::InvalidCert
        | ErrorType::HandshakeError => Reason::UpstreamUnreachable,
        _ => Reason::UpstreamBroken,
    }
}

fn downstream(kind: &ErrorType, ctx: &Ctx) -> Reason {
    let broken = ctx
        .connection
        .as_ref()
        .and_then(|connection| connection.broken.lock().clone())
        .is_some_and(|broken| broken.load(Ordering::Relaxed));
    match kind {
        _ if broken => Reason::BodyBroken,
        ErrorType::ReadTimedout => Reason::BodyTimeout,
        ErrorType::InvalidHTTPHeader => Reason::Malformed,
        _ => Reason::ClientGone,
    }
}

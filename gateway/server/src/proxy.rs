//! Pingora's hooks. Each hands over to the file that owns the step; none decides anything, and without the decision's
//! `Permit` no upstream is reachable.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use pingora_core::modules::http::HttpModules;
use pingora_core::protocols::Digest;
use pingora_core::upstreams::peer::HttpPeer;
use pingora_core::{Error, Result};
use pingora_http::{RequestHeader, ResponseHeader};
use pingora_proxy::{FailToProxy, HttpProxy, ProxyHttp, ProxyWarnLogContext, Session};

use crate::ctx::Ctx;
use crate::downstream::connection::Connection;
use crate::snapshot::Shared;
use crate::{answer, failure, forward, gate, gated, heard};

/// What connections are served with.
pub(crate) type App = HttpProxy<Proxy>;

/// See the module.
pub(crate) struct Proxy {
    pub(crate) shared: Arc<Shared>,
}

#[async_trait]
impl ProxyHttp for Proxy {
    /// Boxed, because Pingora moves it from future to future, and the futures are as large as what is in them.
    type CTX = Box<Ctx>;

    fn new_ctx(&self) -> Box<Ctx> {
        Box::new(Ctx::new(&self.shared))
    }

    /// None: compression and the like are the application's.
    fn init_downstream_modules(&self, _: &mut HttpModules) {}

    async fn early_request_filter(&self, session: &mut Session, _: &mut Box<Ctx>) -> Result<()> {
        if let Some(connection) = session.digest().and_then(Connection::of) {
            connection.seen.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    }

    async fn request_filter(&self, session: &mut Session, ctx: &mut Box<Ctx>) -> Result<bool> {
        gate::ask(&self.shared, session, ctx).await
    }

    async fn upstream_peer(
        &self,
        session: &mut Session,
        ctx: &mut Box<Ctx>,
    ) -> Result<Box<HttpPeer>> {
        forward::peer(session.req_header(), ctx)
    }

    async fn connected_to_upstream(
        &self,
        _: &mut Session,
        _: bool,
        _: &HttpPeer,
        _: std::os::unix::io::RawFd,
        _: Option<&Digest>,
        ctx: &mut Box<Ctx>,
    ) -> Result<()> {
        forward::connected(ctx);
        Ok(())
    }

    async fn upstream_request_filter(
        &self,
        session: &mut Session,
        upstream: &mut RequestHeader,
        ctx: &mut Box<Ctx>,
    ) -> Result<()> {
        forward::request(session, upstream, ctx)
    }

    async fn response_filter(
        &self,
        session: &mut Session,
        response: &mut ResponseHeader,
        ctx: &mut Box<Ctx>,
    ) -> Result<()> {
        if answer::is_final(response) {
            heard::header(&self.shared, session, response, ctx).await;
        }
        answer::header(&self.shared, session, response, ctx)
    }

    fn response_body_filter(
        &self,
        _: &mut Session,
        body: &mut Option<Bytes>,
        _: bool,
        ctx: &mut Box<Ctx>,
    ) -> Result<Option<Duration>> {
        answer::body(body.as_ref(), ctx).map(|()| None)
    }

    fn fail_to_connect(
        &self,
        _: &mut Session,
        _: &HttpPeer,
        ctx: &mut Box<Ctx>,
        error: Box<Error>,
    ) -> Box<Error> {
        failure::connecting(error, ctx)
    }

    fn error_while_proxy(
        &self,
        _: &HttpPeer,
        session: &mut Session,
        error: Box<Error>,
        ctx: &mut Box<Ctx>,
        reused: bool,
    ) -> Box<Error> {
        failure::proxying(error, session, ctx, reused)
    }

    async fn fail_to_proxy(
        &self,
        session: &mut Session,
        error: &Error,
        ctx: &mut Box<Ctx>,
    ) -> FailToProxy {
        heard::unanswered(&self.shared, session, failure::whose(error), ctx).await;
        failure::answer(session, error, ctx).await
    }

    async fn logging(&self, session: &mut Session, _: Option<&Error>, ctx: &mut Box<Ctx>) {
        ctx.conclude();
        heard::end(&self.shared, session, ctx).await;
        ctx.finish(&self.shared, session);
        if let Some(connection) = ctx.connection.as_ref().filter(|_| ctx.replaced) {
            gated::park(&mut session.downstream_session, connection).await;
        }
    }

    /// Events say it already.
    fn suppress_error_log(&self, _: &Session, _: &Box<Ctx>, _: &Error) -> bool {
        true
    }

    fn suppress_proxy_warn_log(
        &self,
        _: &Session,
        _: &Box<Ctx>,
        _: &Error,
        _: ProxyWarnLogContext,
    ) -> bool {
        true
    }
}

//! An exchange under control, in the place of Pingora's own session. The request's body is either held whole (replayed
//! from memory as often as a retry asks, whatever its length and whether or not it was declared), or streamed under a
//! deadline, a minimum rate and a maximum. The answer may have to wait for its verdict. Rejected: Pingora's retry buffer,
//! which drops bodies over 64 KiB and then forwards nothing.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use http::HeaderMap;
use pingora_core::protocols::Digest;
use pingora_core::protocols::http::custom::CustomMessageWrite;
use pingora_core::protocols::http::custom::server::Session as CustomSession;
use pingora_core::protocols::http::{HttpTask, ServerSession};
use pingora_core::protocols::l4::socket::SocketAddr;
use pingora_core::{Error, ErrorType, Result};
use pingora_http::{RequestHeader, ResponseHeader};
use policy::decision::{CheckId, Reason};
use policy::settings::Hardening;

use crate::downstream::connection::Connection;
use crate::given::Giving;
use crate::held::Hold;
use crate::io::Begun;
use crate::lasting::Cut;
use crate::withheld::Withheld;

/// A slow start is not held against a client.
const GRACE: Duration = Duration::from_secs(10);

/// How fast a body must come. Only time spent waiting for the client counts, never time when the upstream is behind.
#[derive(Debug)]
pub(crate) struct Pace {
    deadline: Duration,
    rate: u64,
    max: u64,
    seen: u64,
    waited: Duration,
    since: Option<Instant>,
}

impl Pace {
    /// `endless`: no deadline and no rate, for streams that stay open.
    pub(crate) fn new(limits: &Hardening, max: u64, endless: bool) -> Self {
        Self {
            deadline: if endless {
                Duration::MAX
            } else {
                limits.body_deadline
            },
            rate: if endless { 0 } else { limits.min_body_rate },
            max,
            seen: 0,
            waited: Duration::ZERO,
            since: None,
        }
    }

    /// Reads the next piece under this pace. May be dropped and called again at any time.
    pub(crate) async fn read(&mut self, session: &mut ServerSession) -> Result<Option<Bytes>> {
        let since = *self.since.get_or_insert_with(Instant::now);
        let waited = self.waited.saturating_add(since.elapsed());
        let read = match self.allowed().checked_sub(waited) {
            None => return fault(Reason::BodyTimeout),
            Some(left) if left > Duration::from_secs(24 * 3600) => {
                session.read_request_body().await
            }
            Some(left) => match pingora_timeout::timeout(left, session.read_request_body()).await {
                Ok(read) => read,
                Err(_) => return fault(Reason::BodyTimeout),
            },
        };
        self.waited = self.waited.saturating_add(since.elapsed());
        self.since = None;
        let piece = read?;
        let length = piece.as_ref().map_or(0, Bytes::len);
        self.seen = self
            .seen
            .saturating_add(u64::try_from(length).unwrap_or(u64::MAX));
        if self.seen > self.max {
            return fault(Reason::BodyTooLarge);
        }
        Ok(piece)
    }

    /// Whether more came than may.
    pub(crate) fn is_over(&self) -> bool {
        self.seen > self.max
    }

    fn allowed(&self) -> Duration {
        let earned = self
            .seen
            .checked_div(self.rate)
            .map_or(Duration::MAX, Duration::from_secs);
        earned.max(GRACE).min(self.deadline)
    }
}

/// An error that the error mapping turns back into its reason.
pub(crate) fn fault<T>(reason: Reason) -> Result<T> {
    Err(Error::explain(ErrorType::Custom(reason.code()), reason.title()).into_down())
}

#[derive(Debug)]
pub(crate) enum Body {
    /// There is none.
    None,
    /// All of it is here.
    Held(
        Bytes,
        #[expect(dead_code, reason = "held until the body goes")] Hold,
    ),
    /// A part of it is here, for checks that could not have it whole; the rest comes as it comes.
    Begun(Begun),
    /// It comes as it comes; true: the client waits for `100 Continue` first.
    Streamed(Pace, bool),
    /// There is none until a WebSocket's handshake is done, and then no end. The header must not announce one, but once
    /// that is on its way (true) Pingora must not be told that there is none: the end that it sends after the header may be
    /// met after the server's 101, and is taken for the tunnel's.
    Tunnel(Pace, bool),
}

/// See the module.
pub(crate) struct Gated {
    inner: ServerSession,
    body: Body,
    connection: Arc<Connection>,
    tie: Arc<Tie>,
}

/// What the request's hooks tell the session that they no longer see.
#[derive(Default)]
pub(crate) struct Tie {
    /// Set once the request has been recorded. Pingora uses one call for the end of an answer and for the end of a
    /// session: only after the record it means the latter, and the stream may go back to its connection.
    over: AtomicBool,
    /// The answer, when it waits for its verdict.
    withheld: OnceLock<Arc<Withheld>>,
    /// The answer, when it is given something on its way.
    given: OnceLock<Giving>,
    /// What may end it while it goes on.
    cut: OnceLock<Arc<Cut>>,
}

impl Tie {
    pub(crate) fn end(&self) {
        self.over.store(true, Ordering::Relaxed);
    }

    /// From now on it ends when that says so.
    pub(crate) fn end_by(&self, cut: Arc<Cut>) {
        // A second one would be of the same request.
        let _ = self.cut.set(cut);
    }

    /// Who ended it, and why.
    pub(crate) fn ended_by(&self) -> Option<(CheckId, Reason)> {
        self.cut.get().and_then(|cut| cut.because())
    }

    /// Waits for the end, where there may be one.
    async fn ended(&self) -> Reason {
        match self.cut.get() {
            Some(cut) => cut.rung().await,
            None => std::future::pending().await,
        }
    }

    /// False: an answer is withheld already.
    pub(crate) fn withhold(&self, answer: Arc<Withheld>) -> bool {
        self.withheld.set(answer).is_ok()
    }

    /// False: the answer is given something already.
    pub(crate) fn give(&self, giving: Giving) -> bool {
        self.given.set(giving).is_ok()
    }
}

impl Gated {
    /// Puts itself in the place of `session`.
    pub(crate) fn install(
        session: &mut ServerSession,
        body: Body,
        connection: Arc<Connection>,
    ) -> Arc<Tie> {
        let tie = Arc::<Tie>::default();
        let inner = std::mem::replace(session, empty());
        *session = ServerSession::new_custom(Box::new(Self {
            inner,
            body,
            connection,
            tie: Arc::clone(&tie),
        }));
        tie
    }
}

/// Ends a session whose request has been recorded, although Pingora gives it up: the answer was ours and is complete, so
/// the connection may carry the next request.
pub(crate) async fn park(session: &mut ServerSession, connection: &Connection) {
    let custom = session.is_custom();
    let ended = std::mem::replace(session, empty()).finish().await;
    if !custom {
        *connection.parked.lock() = ended.ok().flatten();
    }
}

/// Stands in for a moment; nothing calls it.
fn empty() -> ServerSession {
    ServerSession::new_custom(Box::new(()))
}

/// Sends `100 Continue` without giving up the connection: Pingora would mark it for closing, since a response begins
/// before the body ends.
pub(crate) async fn invite(session: &mut ServerSession) -> Result<()> {
    session.set_close_on_response_before_downstream_finish(false);
    let sent = session.write_continue_response().await;
    session.set_close_on_response_before_downstream_finish(true);
    sent
}

#[async_trait]
impl CustomSession for Gated {
    fn req_header(&self) -> &RequestHeader {
        self.inner.req_header()
    }

    fn req_header_mut(&mut self) -> &mut RequestHeader {
        self.inner.req_header_mut()
    }

    async fn read_body_bytes(&mut self) -> Result<Option<Bytes>> {
        match &mut self.body {
            Body::None | Body::Held(..) => Ok(None),
            Body::Tunnel(pace, _) => pace.read(&mut self.inner).await,
            Body::Begun(begun) => {
                let piece = begun.pace.read(&mut self.inner).await?;
                if piece.is_some() {
                    begun.first = None;
                }
                Ok(piece)
            }
            Body::Streamed(pace, waiting) => {
                if std::mem::take(waiting) {
                    invite(&mut self.inner).await?;
                }
                pace.read(&mut self.inner).await
            }
        }
    }

    async fn drain_request_body(&mut self) -> Result<()> {
        self.inner.drain_request_body().await
    }

    async fn write_response_header(&mut self, resp: Box<ResponseHeader>, _end: bool) -> Result<()> {
        self.inner.write_response_header(resp).await
    }

    async fn write_response_header_ref(&mut self, resp: &ResponseHeader, _end: bool) -> Result<()> {
        self.inner.write_response_header_ref(resp).await
    }

    async fn write_body(&mut self, data: Bytes, end: bool) -> Result<()> {
        self.inner.write_response_body(data, end).await
    }

    async fn write_trailers(&mut self, trailers: HeaderMap) -> Result<()> {
        self.inner.write_response_trailers(trailers).await
    }

    async fn response_duplex_vec(&mut self, tasks: Vec<HttpTask>) -> Result<bool> {
        if let Some((_, reason)) = self.tie.ended_by() {
            return fault(reason);
        }
        let (withheld, given) = (self.tie.withheld.get(), self.tie.given.get());
        if withheld.is_none() && given.is_none() {
            return self.inner.response_duplex_vec(tasks).await;
        }
        let ready = match withheld {
            Some(withheld) => withheld.take(tasks)?,
            None => tasks,
        };
        // Rules judge what the application sent.
        let ready = match given {
            Some(given) => given.take(ready),
            None => ready,
        };
        if ready.is_empty() {
            return Ok(false);
        }
        let ended = self.inner.response_duplex_vec(ready).await;
        if let Some(withheld) = withheld {
            withheld.written();
        }
        ended
    }

    fn set_read_timeout(&mut self, timeout: Option<Duration>) {
        self.inner.set_read_timeout(timeout);
    }

    fn get_read_timeout(&self) -> Option<Duration> {
        self.inner.get_read_timeout()
    }

    fn set_write_timeout(&mut self, timeout: Option<Duration>) {
        self.inner.set_write_timeout(timeout);
    }

    fn get_write_timeout(&self) -> Option<Duration> {
        self.inner.get_write_timeout()
    }

    fn set_total_drain_timeout(&mut self, timeout: Option<Duration>) {
        self.inner.set_total_drain_timeout(timeout);
    }

    fn get_total_drain_timeout(&self) -> Option<Duration> {
        self.inner.get_total_drain_timeout()
    }

    fn request_summary(&self) -> String {
        self.inner.request_summary()
    }

    fn response_written(&self) -> Option<&ResponseHeader> {
        self.inner.response_written()
    }

    async fn shutdown(&mut self, _code: u32, _ctx: &str) {
        self.inner.shutdown().await;
    }

    fn is_body_done(&mut self) -> bool {
        matches!(self.body, Body::None | Body::Held(..)) || self.inner.is_body_done()
    }

    async fn finish(&mut self) -> Result<()> {
        if !self.tie.over.load(Ordering::Relaxed) {
            return self.inner.finish_body().await;
        }
        let inner = std::mem::replace(&mut self.inner, empty());
        let reusable = inner.finish().await?;
        *self.connection.parked.lock() = reusable;
        Ok(())
    }

    fn is_body_empty(&mut self) -> bool {
        match &mut self.body {
            Body::None => true,
            Body::Held(bytes, _) => bytes.is_empty(),
            Body::Begun(..) => false,
            Body::Streamed(..) => self.inner.is_body_empty(),
            Body::Tunnel(_, sent) => !std::mem::take(sent),
        }
    }

    async fn read_body_or_idle(&mut self, no_body_expected: bool) -> Result<Option<Bytes>> {
        let tie = Arc::clone(&self.tie);
        let idle = no_body_expected || self.is_body_done();
        let read = async {
            if idle {
                self.inner.read_body_or_idle(true).await
            } else {
                self.read_body_bytes().await
            }
        };
        tokio::select! {
            biased;
            reason = tie.ended() => fault(reason),
            read = read => read,
        }
    }

    fn is_upgrade_req(&self) -> bool {
        self.inner.is_upgrade_req()
    }

    fn was_upgraded(&self) -> bool {
        self.inner.was_upgraded()
    }

    fn body_bytes_sent(&self) -> usize {
        self.inner.body_bytes_sent()
    }

    fn body_bytes_read(&self) -> usize {
        self.inner.body_bytes_read()
    }

    fn digest(&self) -> Option<&Digest> {
        self.inner.digest()
    }

    fn digest_mut(&mut self) -> Option<&mut Digest> {
        self.inner.digest_mut()
    }

    fn client_addr(&self) -> Option<&SocketAddr> {
        self.inner.client_addr()
    }

    fn server_addr(&self) -> Option<&SocketAddr> {
        self.inner.server_addr()
    }

    fn pseudo_raw_h1_request_header(&self) -> Bytes {
        self.inner.to_h1_raw()
    }

    /// Called each time that a header is on its way.
    fn enable_retry_buffering(&mut self) {
        match &mut self.body {
            Body::None | Body::Held(..) | Body::Begun(..) => {}
            Body::Streamed(..) => self.inner.enable_retry_buffering(),
            Body::Tunnel(_, sent) => *sent = true,
        }
    }

    fn retry_buffer_truncated(&self) -> bool {
        match &self.body {
            Body::Begun(begun) => begun.first.is_none(),
            Body::Streamed(..) => self.inner.retry_buffer_truncated(),
            Body::None | Body::Held(..) | Body::Tunnel(..) => false,
        }
    }

    fn get_retry_buffer(&self) -> Option<Bytes> {
        match &self.body {
            Body::None | Body::Tunnel(..) => None,
            Body::Held(bytes, _) => Some(bytes.clone()).filter(|bytes| !bytes.is_empty()),
            Body::Begun(begun) => begun.first.as_ref().map(|(bytes, _)| bytes.clone()),
            Body::Streamed(..) => self.inner.get_retry_buffer(),
        }
    }

    async fn finish_custom(&mut self) -> Result<()> {
        Ok(())
    }

    fn take_custom_message_reader(
        &mut self,
    ) -> Option<Box<dyn futures_util::Stream<Item = Result<Bytes>> + Unpin + Send + Sync + 'static>>
    {
        None
    }

    fn restore_custom_message_reader(
        &mut self,
        _: Box<dyn futures_util::Stream<Item = Result<Bytes>> + Unpin + Send + Sync + 'static>,
    ) -> Result<()> {
        Ok(())
    }

    fn take_custom_message_writer(&mut self) -> Option<Box<dyn CustomMessageWrite>> {
        None
    }

    fn restore_custom_message_writer(&mut self, _: Box<dyn CustomMessageWrite>) -> Result<()> {
        Ok(())
    }
}

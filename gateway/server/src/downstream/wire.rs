//! A client's byte stream as Pingora reads and writes it: plain or TLS, TCP or Unix. Gathers small writes, ends writes
//! that stall, and lets a peer that is still sending read our last answer. Knows nothing of HTTP.

use std::fmt;
use std::future::Future;
use std::io;
use std::mem::MaybeUninit;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, RawFd};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use async_trait::async_trait;
use bytes::BytesMut;
use pingora_core::protocols::l4::ext::get_tcp_info;
use pingora_core::protocols::raw_connect::ProxyDigest;
use pingora_core::protocols::tls::ALPN;
use pingora_core::protocols::{
    GetProxyDigest, GetSocketDigest, GetTimingDigest, Peek, Shutdown, SocketDigest, Ssl,
    TimingDigest, UniqueID,
};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::{Instant, Sleep};
use tokio_rustls::server::TlsStream;

use super::fence::{BadChunk, Fence};

/// Writes up to this size wait for a flush, so that a header and a small body leave in one packet.
const GATHER: usize = 16 << 10;
/// A client that takes no byte for this long is gone.
const STALL: Duration = Duration::from_secs(30);
/// How long, and for how many bytes, a closing connection still listens: closing at once would answer a client that is
/// still sending with a reset, which can destroy the answer before it is read (RFC 9112, 9.6).
const LINGER: Duration = Duration::from_secs(1);
const LINGER_BYTES: usize = 256 << 10;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// An accepted socket.
#[derive(Debug)]
pub(crate) enum Socket {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Socket {
    /// The address that took the connection.
    pub(crate) fn local(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(socket) => socket.local_addr().ok(),
            Self::Unix(_) => None,
        }
    }

    /// Writes what fits at once; whether it arrives does not matter.
    pub(crate) fn tell(&self, words: &[u8]) {
        let _ = match self {
            Self::Tcp(socket) => socket.try_write(words),
            Self::Unix(socket) => socket.try_write(words),
        };
    }
}

impl AsRawFd for Socket {
    fn as_raw_fd(&self) -> RawFd {
        match self {
            Self::Tcp(socket) => socket.as_raw_fd(),
            Self::Unix(socket) => socket.as_raw_fd(),
        }
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(socket) => Pin::new(socket).poll_read(cx, buf),
            Self::Unix(socket) => Pin::new(socket).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(socket) => Pin::new(socket).poll_write(cx, buf),
            Self::Unix(socket) => Pin::new(socket).poll_write(cx, buf),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(socket) => Pin::new(socket).poll_flush(cx),
            Self::Unix(socket) => Pin::new(socket).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(socket) => Pin::new(socket).poll_shutdown(cx),
            Self::Unix(socket) => Pin::new(socket).poll_shutdown(cx),
        }
    }
}

#[derive(Debug)]
enum Transport {
    Plain(Socket),
    Tls(Box<TlsStream<Socket>>),
}

/// The stream that Pingora gets. It carries the connection's facts in its proxy digest, the one place of a digest that
/// takes data of ours for HTTP/1 and HTTP/2 alike.
pub(crate) struct Wire {
    transport: Transport,
    facts: Arc<ProxyDigest>,
    out: Vec<u8>,
    sent: usize,
    stall: Option<Pin<Box<Sleep>>>,
    h2: bool,
    fence: Fence,
    /// Bytes that were read but belong behind the fence, or to a head that is not whole yet.
    ahead: BytesMut,
    broken: Arc<AtomicBool>,
}

impl fmt::Debug for Wire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Wire(fd {})", self.id())
    }
}

impl Wire {
    pub(crate) fn plain(socket: Socket, facts: Arc<ProxyDigest>) -> Self {
        Self::new(Transport::Plain(socket), facts, false)
    }

    pub(crate) fn tls(stream: TlsStream<Socket>, facts: Arc<ProxyDigest>) -> Self {
        let h2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
        Self::new(Transport::Tls(Box::new(stream)), facts, h2)
    }

    fn new(transport: Transport, facts: Arc<ProxyDigest>, h2: bool) -> Self {
        Self {
            transport,
            facts,
            out: Vec::new(),
            sent: 0,
            stall: None,
            h2,
            fence: Fence::Open,
            ahead: BytesMut::new(),
            broken: Arc::new(AtomicBool::new(false)),
        }
    }

    /// How long the client has said nothing, to a few milliseconds; `None` where the kernel does not tell.
    pub(crate) fn silence(&self) -> Option<Duration> {
        let socket = match &self.transport {
            Transport::Plain(socket) => socket,
            Transport::Tls(stream) => stream.get_ref().0,
        };
        let Socket::Tcp(socket) = socket else {
            return None;
        };
        let known = get_tcp_info(socket.as_raw_fd()).ok()?;
        Some(Duration::from_millis(u64::from(known.tcpi_last_data_recv)))
    }

    /// Whether ALPN agreed on HTTP/2.
    pub(crate) fn speaks_h2(&self) -> bool {
        self.h2
    }

    /// Whether a plain connection begins as HTTP/2 does (RFC 9113, 3.4); what was read stays ahead.
    pub(crate) async fn begins_h2(&mut self, patience: Duration) -> bool {
        let read = async {
            while self.ahead.len() < PREFACE.len() && PREFACE.starts_with(&self.ahead) {
                self.ahead.reserve(PREFACE.len());
                if !matches!(self.read_ahead().await, Ok(1..)) {
                    return;
                }
            }
        };
        // A connection that says too little is HTTP/1's to time out.
        let _ = pingora_timeout::timeout(patience, read).await;
        self.ahead.starts_with(PREFACE)
    }

    /// Bytes of the next request that are here already.
    pub(crate) fn ahead(&mut self) -> &mut BytesMut {
        &mut self.ahead
    }

    /// Reads more of the next head, behind every fence. Zero: the client closed.
    pub(crate) async fn read_ahead(&mut self) -> io::Result<usize> {
        let Self {
            transport, ahead, ..
        } = self;
        match transport {
            Transport::Plain(socket) => socket.read_buf(ahead).await,
            Transport::Tls(stream) => stream.read_buf(ahead).await,
        }
    }

    /// Takes a whole head out of what is here and lets Pingora read as far as its body goes.
    pub(crate) fn begin(&mut self, head: usize, fence: Fence) -> BytesMut {
        self.fence = fence;
        if head >= self.ahead.len() {
            // Nothing else came with it: the buffer goes as it is, and need not be shared.
            return std::mem::take(&mut self.ahead);
        }
        self.ahead.split_to(head)
    }

    /// Set when a body's chunks were malformed, which Pingora can only report as a failed read.
    pub(crate) fn broken(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.broken)
    }

    fn poll_transport(
        &mut self,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match &mut self.transport {
            Transport::Plain(socket) => Pin::new(socket).poll_read(cx, buf),
            Transport::Tls(stream) => Pin::new(stream.as_mut()).poll_read(cx, buf),
        }
    }

    /// Behind the fence only the end of the connection is worth reporting; what else comes belongs to the next request.
    fn poll_fenced(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.ahead.is_empty() {
            return Poll::Pending;
        }
        let mut scratch = [MaybeUninit::uninit(); 512];
        let mut probe = ReadBuf::uninit(&mut scratch);
        ready!(self.poll_transport(cx, &mut probe))?;
        if probe.filled().is_empty() {
            return Poll::Ready(Ok(()));
        }
        self.ahead.extend_from_slice(probe.filled());
        Poll::Pending
    }

    fn fence(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.fence.pass(bytes).map_err(|BadChunk| {
            self.broken.store(true, Ordering::Relaxed);
            io::ErrorKind::InvalidData.into()
        })
    }

    fn poll_inner(
        &mut self,
        cx: &mut Context<'_>,
        direct: Option<&[u8]>,
    ) -> Poll<io::Result<usize>> {
        let pending = self.out.get(self.sent..).unwrap_or_default();
        let bytes = direct.unwrap_or(pending);
        let polled = match &mut self.transport {
            Transport::Plain(socket) => Pin::new(socket).poll_write(cx, bytes),
            Transport::Tls(stream) => Pin::new(stream.as_mut()).poll_write(cx, bytes),
        };
        self.guard(cx, polled)
    }

    /// Turns a write that makes no progress for too long into an error.
    fn guard<T>(
        &mut self,
        cx: &mut Context<'_>,
        polled: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if polled.is_ready() {
            self.stall = None;
            return polled;
        }
        let stall = self
            .stall
            .get_or_insert_with(|| Box::pin(tokio::time::sleep_until(Instant::now() + STALL)));
        match stall.as_mut().poll(cx) {
            Poll::Ready(()) => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
            Poll::Pending => Poll::Pending,
        }
    }

    fn poll_drain(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.sent < self.out.len() {
            match ready!(self.poll_inner(cx, None))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                written => self.sent += written,
            }
        }
        self.sent = 0;
        // An idle connection keeps no buffer.
        self.out = Vec::new();
        Poll::Ready(Ok(()))
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let wire = self.get_mut();
        if wire.fence.reached() {
            return wire.poll_fenced(cx);
        }
        if !wire.ahead.is_empty() {
            let offered = wire.ahead.len().min(buf.remaining());
            let bytes = wire.ahead.split_to(offered);
            let taken = wire.fence(&bytes)?;
            buf.put_slice(bytes.get(..taken).unwrap_or_default());
            if let Some(rest) = bytes.get(taken..).filter(|rest| !rest.is_empty()) {
                let mut back = BytesMut::from(rest);
                back.unsplit(std::mem::take(&mut wire.ahead));
                wire.ahead = back;
            }
            return Poll::Ready(Ok(()));
        }
        let before = buf.filled().len();
        ready!(wire.poll_transport(cx, buf))?;
        if matches!(wire.fence, Fence::Open) {
            return Poll::Ready(Ok(()));
        }
        let fresh = buf.filled().get(before..).unwrap_or_default();
        let taken = wire.fence(fresh)?;
        let rest = fresh.get(taken..).unwrap_or_default();
        wire.ahead.extend_from_slice(rest);
        buf.set_filled(before + taken);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Wire {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let wire = self.get_mut();
        if wire.out.len() + buf.len() > GATHER {
            ready!(wire.poll_drain(cx))?;
        }
        if buf.len() >= GATHER / 2 && wire.out.is_empty() {
            return wire.poll_inner(cx, Some(buf));
        }
        if wire.out.is_empty() {
            wire.out.reserve(buf.len().max(512));
        }
        wire.out.extend_from_slice(buf);
        Poll::Ready(Ok(buf.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let wire = self.get_mut();
        ready!(wire.poll_drain(cx))?;
        let polled = match &mut wire.transport {
            Transport::Plain(socket) => Pin::new(socket).poll_flush(cx),
            Transport::Tls(stream) => Pin::new(stream.as_mut()).poll_flush(cx),
        };
        wire.guard(cx, polled)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let wire = self.get_mut();
        ready!(wire.poll_drain(cx))?;
        let polled = match &mut wire.transport {
            Transport::Plain(socket) => Pin::new(socket).poll_shutdown(cx),
            Transport::Tls(stream) => Pin::new(stream.as_mut()).poll_shutdown(cx),
        };
        wire.guard(cx, polled)
    }
}

#[async_trait]
impl Shutdown for Wire {
    async fn shutdown(&mut self) {
        if AsyncWriteExt::shutdown(self).await.is_err() {
            return;
        }
        let mut scratch = [0; 2048];
        let mut left = LINGER_BYTES;
        let listen = async {
            self.fence = Fence::Open;
            self.ahead = BytesMut::new();
            while let Ok(read) = self.read(&mut scratch).await {
                left = left.saturating_sub(read);
                if read == 0 || left == 0 {
                    return;
                }
            }
        };
        // Nothing depends on how it ended.
        let _ = pingora_timeout::timeout(LINGER, listen).await;
    }
}

impl UniqueID for Wire {
    fn id(&self) -> RawFd {
        match &self.transport {
            Transport::Plain(socket) => socket.as_raw_fd(),
            Transport::Tls(stream) => stream.get_ref().0.as_raw_fd(),
        }
    }
}

impl Ssl for Wire {
    fn selected_alpn_proto(&self) -> Option<ALPN> {
        self.h2.then_some(ALPN::H2)
    }
}

impl GetTimingDigest for Wire {
    fn get_timing_digest(&self) -> Vec<Option<TimingDigest>> {
        Vec::new()
    }
}

impl GetProxyDigest for Wire {
    fn get_proxy_digest(&self) -> Option<Arc<ProxyDigest>> {
        Some(Arc::clone(&self.facts))
    }
}

impl GetSocketDigest for Wire {
    fn get_socket_digest(&self) -> Option<Arc<SocketDigest>> {
        None
    }
}

impl Peek for Wire {}

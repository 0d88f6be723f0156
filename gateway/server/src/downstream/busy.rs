//! Requests that waited too long for the gateway itself. When more comes than it can judge, everything waits ever longer and
//! in the end nothing is answered in time: those that have waited longer than `limits.queue` are told so, for a fraction
//! of what judging them costs, and the rest is served as quickly as ever. How long one has waited the kernel knows: since
//! when its last bytes are here. HTTP/1 only: over HTTP/2 the bytes of many streams come together.

use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::BytesMut;
use policy::decision::Reason;
use tokio::time::Instant;

use super::fence::Fence;
use super::head::Refusal;
use super::wire::Wire;

/// A body up to this size, if it is here already, is skipped to keep the connection. Otherwise it closes.
const SKIPPED: usize = 64 << 10;

/// Since when a connection is ready for a request.
pub(super) struct Waiting {
    since: Instant,
    first: bool,
}

impl Waiting {
    /// From now on.
    pub(super) fn begin(first: bool) -> Self {
        Self {
            since: Instant::now(),
            first,
        }
    }

    /// Whether the request that is ahead has been here for longer than `most`; zero is for ever. A request that came before
    /// the one ahead of it was answered waited for that one and not for the gateway, unless it is the first: what
    /// waits to be accepted waits for the gateway.
    pub(super) fn is_over(&self, wire: &Wire, most: Duration) -> bool {
        let ready = self.since.elapsed();
        if most.is_zero() || (!self.first && ready <= most) {
            return false;
        }
        wire.silence().is_some_and(|silence| silence > most)
    }
}

/// What is known of a request that is refused so.
pub(super) fn refusal(head: &[u8]) -> Refusal {
    let line = head.trim_ascii_start().split(|byte| *byte == b'\r').next();
    let line = String::from_utf8_lossy(line.unwrap_or_default());
    let mut words = line.split(' ').map(str::to_owned);
    Refusal {
        reason: Reason::Overload,
        detail: "waited longer than limits.queue",
        method: words.next().unwrap_or_default(),
        target: words.next().unwrap_or_default(),
    }
}

/// Skips a request that is here as a whole and whose connection may carry another; false where it is not.
pub(super) fn skip(wire: &mut Wire, head: usize, fence: &Fence) -> bool {
    let Fence::Length(body) = *fence else {
        return false;
    };
    let Some(body) = usize::try_from(body).ok().filter(|body| *body <= SKIPPED) else {
        return false;
    };
    if closes(wire.ahead().get(..head).unwrap_or_default()) {
        return false;
    }
    let whole = head + body;
    while wire.ahead().len() < whole {
        let missing = whole - wire.ahead().len();
        wire.ahead().reserve(missing);
        let mut here = Context::from_waker(Waker::noop());
        match pin!(wire.read_ahead()).poll(&mut here) {
            Poll::Ready(Ok(1..)) => {}
            Poll::Ready(_) | Poll::Pending => return false,
        }
    }
    let _ = wire.ahead().split_to(whole);
    if wire.ahead().is_empty() {
        // An idle connection keeps no buffer.
        *wire.ahead() = BytesMut::new();
    }
    true
}

/// Whether the client expects no further answer on this connection.
fn closes(head: &[u8]) -> bool {
    let mut lines = head.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
    let old = |line: &[u8]| line.ends_with(b" HTTP/1.0");
    let says = |line: &[u8]| {
        let (name, value) = line.split_at_checked(11)?;
        let own = name.eq_ignore_ascii_case(b"connection:");
        own.then(|| value.to_ascii_lowercase())
    };
    let close = |value: Vec<u8>| {
        value
            .split(|byte| *byte == b',')
            .any(|word| word.trim_ascii() == b"close")
    };
    lines.any(|line| old(line) || says(line).is_some_and(close))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_what_closes() {
        for head in [
            "GET / HTTP/1.0\r\nHost: x\r\n\r\n",
            "\r\nGET / HTTP/1.1\r\nHost: x\r\nconnection: Close\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: x\r\nConnection: te, close\r\n\r\n",
        ] {
            assert!(closes(head.as_bytes()), "{head}");
        }
        for head in [
            "GET / HTTP/1.1\r\nHost: x\r\n\r\n",
            "GET /close HTTP/1.1\r\nHost: close\r\nConnection: keep-alive\r\nX-Connection: close\r\n\r\n",
        ] {
            assert!(!closes(head.as_bytes()), "{head}");
        }
        let refusal = refusal(b"\r\nGET /a?b HTTP/1.1\r\nHost: x\r\n\r\n");
        assert_eq!((&*refusal.method, &*refusal.target), ("GET", "/a?b"));
    }
}

//! The requests of one HTTP/1 connection, one after the other: head, Pingora, the next. A request that Pingora would
//! refuse without a hook is answered and recorded here.

use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use pingora_core::apps::HttpServerApp;
use pingora_core::protocols::Stream;
use pingora_core::protocols::http::ServerSession;
use policy::settings::Hardening;
use tokio::io::AsyncWriteExt;

use super::alarm::Alarm;
use super::busy::{self, Waiting};
use super::connection::Connection;
use super::head::{self, Patience, Read, Refusal};
use super::wire::Wire;
use crate::early::{self, Connected};
use crate::id::RequestId;
use crate::serve::Running;

/// Serves a connection until it ends.
pub(crate) async fn serve(running: &Running, connection: &Arc<Connection>, wire: Wire) {
    *connection.broken.lock() = Some(wire.broken());
    let mut draining = running.draining.clone();
    // Asked for again and again, but told only once where to knock.
    let drained = pin!(async move {
        // Fails when the gateway is gone, which ends connections, too.
        let _ = draining.wait_for(|draining| *draining).await;
    });
    let mut between = Between {
        drained,
        alarm: Alarm::default(),
    };
    let mut next = Some(Box::new(wire));
    let mut served = 0;
    while let Some(mut wire) = next.take() {
        let snapshot = running.shared.load();
        let limits = &snapshot.policy.settings().limits;
        let waiting = Waiting::begin(served == 0);
        match between.await_head(&mut wire, limits, served).await {
            Read::Whole(head, fence) if waiting.is_over(&wire, limits.queue) => {
                let refusal = busy::refusal(wire.ahead().get(..head).unwrap_or_default());
                served += 1;
                let last = served >= limits.keepalive_requests;
                let ends = last || *running.draining.borrow();
                if ends || !busy::skip(&mut wire, head, &fence) {
                    return refuse(running, connection, *wire, &refusal).await;
                }
                if turn_away(running, connection, &mut wire, &refusal).await {
                    next = Some(wire);
                }
            }
            Read::Whole(head, fence) => {
                let prefix = head::tame(wire.begin(head, fence));
                served += 1;
                let last = served >= limits.keepalive_requests;
                let session = session(wire, prefix, last);
                drop(snapshot);
                next = exchange(running, connection, session).await;
            }
            Read::Closed => return,
            Read::Refused(refusal) => return refuse(running, connection, *wire, &refusal).await,
        }
    }
}

/// What ends a connection between two requests.
struct Between<'c, Drained> {
    drained: Pin<&'c mut Drained>,
    alarm: Alarm,
}

impl<Drained: Future<Output = ()>> Between<'_, Drained> {
    /// The next head; between requests a gateway that is draining closes.
    async fn await_head(&mut self, wire: &mut Wire, limits: &Hardening, served: u32) -> Read {
        let first = if served == 0 {
            limits.header_deadline
        } else {
            limits.idle_timeout
        };
        let patience = Patience {
            first,
            whole: limits.header_deadline,
        };
        tokio::select! {
            biased;
            read = head::read(wire, &mut self.alarm, patience, limits) => read,
            () = &mut self.drained => Read::Closed,
        }
    }
}

fn session(wire: Box<Wire>, prefix: bytes::BytesMut, last: bool) -> ServerSession {
    let stream: Stream = wire;
    let mut session = ServerSession::new_http1(stream);
    session.set_pipelined_prefix(prefix);
    session.set_keepalive_reuses_remaining(last.then_some(0));
    session
}

/// Lets Pingora serve one request; gives the stream back when another may follow.
async fn exchange(
    running: &Running,
    connection: &Arc<Connection>,
    session: ServerSession,
) -> Option<Box<Wire>> {
    let seen = connection.seen.load(Ordering::Relaxed);
    let reused = running
        .app
        .process_new_http(session, &running.draining)
        .await;
    if connection.seen.load(Ordering::Relaxed) == seen {
        // Pingora's parser is stricter somewhere than ours, and has answered 400.
        early::record(
            running,
            connection,
            &Refusal::malformed(),
            &RequestId::make(),
            400,
        );
        return None;
    }
    let stream = match reused {
        Some(reused) => reused.consume().0,
        None => connection.parked.lock().take()?.into_parts().0,
    };
    stream.into_any().downcast::<Wire>().ok()
}

/// Answers a request that waited too long; whether the connection goes on.
async fn turn_away(
    running: &Running,
    connection: &Arc<Connection>,
    wire: &mut Wire,
    refusal: &Refusal,
) -> bool {
    let (id, answer) = early::again(running, refusal);
    let sent = write(wire, &answer).await.is_ok();
    let status = if sent {
        refusal.reason.status().as_u16()
    } else {
        499
    };
    early::record(running, connection, refusal, &id, status);
    sent
}

async fn write(wire: &mut Wire, answer: &[u8]) -> std::io::Result<()> {
    wire.write_all(answer).await?;
    wire.flush().await
}

/// Answers a refused head and closes, in a way that lets the client read the answer.
async fn refuse(
    running: &Running,
    connection: &Arc<Connection>,
    mut wire: Wire,
    refusal: &Refusal,
) {
    let (id, answer) = early::answer(running, refusal, Connected::Closes);
    let sent = write(&mut wire, &answer).await;
    let status = sent.map_or(499, |()| refusal.reason.status().as_u16());
    early::record(running, connection, refusal, &id, status);
    pingora_core::protocols::Shutdown::shutdown(&mut wire).await;
}

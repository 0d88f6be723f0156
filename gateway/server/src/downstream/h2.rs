//! The streams of one HTTP/2 connection. Stream limits, resets and header floods are the h2 crate's; this file bounds
//! idle time and requests per connection, and records streams that Pingora refuses without a hook.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use pingora_core::apps::HttpServerApp;
use pingora_core::protocols::Digest;
use pingora_core::protocols::Stream;
use pingora_core::protocols::http::ServerSession;
use pingora_core::protocols::http::v2::server::{self, H2Accept, H2Options, HttpSession};
use policy::settings::Hardening;
use tokio::sync::Notify;

use super::connection::Connection;
use super::head::Refusal;
use super::wire::Wire;
use crate::early;
use crate::id::RequestId;
use crate::serve::Running;

/// Streams that Pingora refused before the connection is given up: as many as its own loop allows.
const MAX_REJECTED: u32 = 32;

#[derive(Debug, Default)]
struct Busy {
    streams: AtomicUsize,
    changed: Notify,
}

impl Busy {
    fn enter(self: &Arc<Self>) -> Stay {
        self.streams.fetch_add(1, Ordering::Relaxed);
        Stay(Arc::clone(self))
    }

    async fn idle_for(&self, patience: std::time::Duration) {
        loop {
            let changed = self.changed.notified();
            if self.streams.load(Ordering::Relaxed) == 0 {
                return pingora_timeout::sleep(patience).await;
            }
            changed.await;
        }
    }
}

struct Stay(Arc<Busy>);

impl Drop for Stay {
    fn drop(&mut self) {
        if self.0.streams.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.0.changed.notify_one();
        }
    }
}

fn options(limits: &Hardening) -> H2Options {
    let mut options = server::default_h2_options();
    // Twice the limit, so that what is a little too large is refused, and recorded, by the gate.
    let headers = u32::try_from(limits.header_bytes.saturating_mul(2)).unwrap_or(u32::MAX);
    options.max_header_list_size(headers);
    options.max_send_buffer_size(256 << 10);
    options
}

/// Serves a connection until it ends.
pub(crate) async fn serve(running: &Arc<Running>, connection: &Arc<Connection>, wire: Wire) {
    let limits = running.shared.load().policy.settings().limits.clone();
    let digest = Arc::new(Digest {
        proxy_digest: connection.digest(),
        ..Digest::default()
    });
    let stream: Stream = Box::new(wire);
    let handshake = server::handshake(stream, Some(options(&limits)));
    let Ok(Ok(mut h2)) = pingora_timeout::timeout(limits.header_deadline, handshake).await else {
        return;
    };
    let busy = Arc::new(Busy::default());
    let mut draining = running.draining.clone();
    let (mut served, mut rejected, mut closing) = (0_u32, 0_u32, false);
    loop {
        let accepted = tokio::select! {
            biased;
            accepted = HttpSession::from_h2_conn(&mut h2, Arc::clone(&digest)) => accepted,
            _ = draining.wait_for(|draining| *draining), if !closing => {
                closing = true;
                h2.graceful_shutdown();
                continue;
            }
            () = busy.idle_for(limits.idle_timeout) => return,
        };
        match accepted {
            Ok(Some(H2Accept::Session(session))) => {
                served = served.saturating_add(1);
                exchange(running, session, busy.enter());
            }
            Ok(Some(H2Accept::Rejected)) => {
                rejected += 1;
                early::record(
                    running,
                    connection,
                    &Refusal::malformed(),
                    &RequestId::make(),
                    400,
                );
            }
            Ok(None) | Err(_) => return,
        }
        if rejected >= MAX_REJECTED {
            return;
        }
        if served >= limits.keepalive_requests && !closing {
            closing = true;
            h2.graceful_shutdown();
        }
    }
}

fn exchange(running: &Arc<Running>, session: HttpSession, stay: Stay) {
    let running = Arc::clone(running);
    tokio::spawn(async move {
        let _stay = stay;
        let session = ServerSession::new_http2(session);
        // A stream carries one request: there is nothing to reuse.
        let _ = running
            .app
            .process_new_http(session, &running.draining)
            .await;
    });
}

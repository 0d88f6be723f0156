//! WebSockets and streams, which go on long after they were let in: asked now and then whether they still would be, and
//! cut when not. What ends and when is the policy's to say.

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use pingora_http::{RequestHeader, ResponseHeader};
use pingora_proxy::Session;
use policy::decision::{Action, CheckId, Reason, RouteId, Told};
use policy::standing::Standing;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use crate::ctx::Ctx;
use crate::downstream::connection::Connection;
use crate::facts::Facts;
use crate::gated::{Body, Gated};
use crate::io::{Source, Waiting};
use crate::leases::Leases;
use crate::snapshot::{Shared, Snapshot};

/// How long a store or an issuer may give no answer: else its failure would at once end everything that is open.
const PATIENCE: Duration = Duration::from_secs(60);

/// The end of an exchange, decided elsewhere.
#[derive(Debug, Default)]
pub(crate) struct Cut {
    because: OnceLock<(CheckId, Reason)>,
    bell: Notify,
}

impl Cut {
    /// Why it must end, if it must.
    pub(crate) fn because(&self) -> Option<(CheckId, Reason)> {
        self.because.get().copied()
    }

    /// Waits until it must.
    pub(crate) async fn rung(&self) -> Reason {
        loop {
            let rung = self.bell.notified();
            if let Some((_, reason)) = self.because() {
                return reason;
            }
            rung.await;
        }
    }

    fn ring(&self, check: CheckId, reason: Reason) {
        if self.because.set((check, reason)).is_ok() {
            // One waits at most; whoever comes later finds it rung.
            self.bell.notify_one();
        }
    }
}

/// Asks as long as it is there.
#[derive(Debug)]
pub(crate) struct Lasting(JoinHandle<()>);

impl Drop for Lasting {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// What is asked about.
struct Open {
    shared: Arc<Shared>,
    snapshot: Arc<Snapshot>,
    route: RouteId,
    facts: Facts,
    header: RequestHeader,
    connection: Arc<Connection>,
    standing: Standing,
    cut: Arc<Cut>,
}

/// Begins to ask about an answer that may go on without end.
pub(crate) fn begin(
    shared: &Arc<Shared>,
    session: &mut Session,
    response: &ResponseHeader,
    ctx: &mut Ctx,
) {
    let (Some(route), Some(connection)) = (ctx.route, ctx.connection.clone()) else {
        return;
    };
    let policy = &ctx.snapshot.policy;
    let tunnel = ctx.facts.websocket && response.status == http::StatusCode::SWITCHING_PROTOCOLS;
    let endless = tunnel || crate::answer::is_endless(&response.headers) || policy.streams(route);
    let every = policy.recheck(route).filter(|_| endless);
    let (Some(every), Some(decision)) = (every, &ctx.decision) else {
        return;
    };
    let open = Open {
        shared: Arc::clone(shared),
        snapshot: Arc::clone(&ctx.snapshot),
        route,
        facts: ctx.facts.clone(),
        header: session.req_header().clone(),
        connection: Arc::clone(&connection),
        standing: Standing::of(&decision.facts),
        cut: Arc::default(),
    };
    let downstream = &mut session.downstream_session;
    let tie = ctx
        .tie
        .get_or_insert_with(|| Gated::install(downstream, Body::None, connection));
    tie.end_by(Arc::clone(&open.cut));
    ctx.lasting = Some(Lasting(tokio::spawn(open.watched(every))));
}

/// The exchange was cut: its record says by whom.
pub(crate) fn note(ctx: &mut Ctx) {
    let cut = ctx.tie.as_ref().and_then(|tie| tie.ended_by());
    let (Some((check, reason)), Some(decision)) = (cut, &mut ctx.decision) else {
        return;
    };
    let user = Standing::of(&decision.facts).user().map(str::to_owned);
    decision.check = Some(check);
    ctx.action = Action::Deny;
    decision.effects.told.push(Told {
        event: "stream_cut",
        check,
        user,
        detail: format!(
            "{} after {} s",
            reason.code(),
            ctx.began.elapsed().as_secs()
        ),
    });
}

impl Open {
    async fn watched(self, every: Duration) {
        let mut answered = Instant::now();
        loop {
            tokio::time::sleep(every).await;
            match self.ask().await {
                Ok(()) => answered = Instant::now(),
                Err((_, Reason::StoreUnavailable | Reason::RemoteUnavailable))
                    if answered.elapsed() < PATIENCE => {}
                Err((check, reason)) => return self.cut.ring(check, reason),
            }
        }
    }

    async fn ask(&self) -> Result<(), (CheckId, Reason)> {
        let mut leases = Leases::default();
        let mut io = Waiting {
            shared: &self.shared,
            now: self.shared.now(),
            began: Instant::now(),
            leases: &mut leases,
            body: Source::Empty,
            waited: Duration::ZERO,
        };
        let request = self.facts.view(&self.header, &self.connection);
        let policy = &self.snapshot.policy;
        let asked = policy.holds(self.route, &request, &self.standing, &mut io);
        asked.await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_cut_is_heard_whether_it_came_before_or_while_somebody_waits() {
        let cut = Arc::new(Cut::default());
        let waits = tokio::spawn({
            let cut = Arc::clone(&cut);
            async move { cut.rung().await }
        });
        tokio::task::yield_now().await;
        cut.ring(CheckId(3), Reason::SessionEnded);
        cut.ring(CheckId(4), Reason::Banned);
        assert_eq!(waits.await.ok(), Some(Reason::SessionEnded));
        assert_eq!(cut.rung().await, Reason::SessionEnded);
        assert_eq!(cut.because(), Some((CheckId(3), Reason::SessionEnded)));
    }
}

//! Tells checks how the application answered: as soon as its header is there, and at the end with the beginning of its
//! body where one asked for that. Decides nothing; what checks leave for the answer is put on it by `reply`.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use pingora_http::ResponseHeader;
use pingora_proxy::Session;
use policy::Policy;
use policy::checks::Unanswered;
use policy::codec::{self, Bounds, Codings};
use policy::decision::Reason;

use crate::ctx::Ctx;
use crate::io::{Source, Waiting};
use crate::snapshot::Shared;

/// An answer whose body some check wants to read.
#[derive(Debug)]
pub(crate) struct Listening {
    status: u16,
    headers: HeaderMap,
    most: usize,
    body: Vec<u8>,
}

impl Listening {
    /// One more piece of the body.
    pub(crate) fn hear(&mut self, piece: &Bytes) {
        let room = self.most.saturating_sub(self.body.len()).min(piece.len());
        self.body
            .extend_from_slice(piece.get(..room).unwrap_or_default());
    }

    /// The beginning as the application wrote it: it was offered no coding, but may use one all the same. Nothing, where
    /// that cannot be opened.
    fn opened(&self) -> Cow<'_, [u8]> {
        let bounds = Bounds {
            output: self.most,
            ratio: usize::MAX,
        };
        match Codings::of(&self.headers) {
            Ok(codings) if codings.is_empty() => Cow::Borrowed(&self.body),
            Ok(codings) => {
                let mut opened = Vec::new();
                let read = codec::open(&codings, &self.body, bounds, &mut opened);
                opened.truncate(if read.is_ok() { self.most } else { 0 });
                Cow::Owned(opened)
            }
            Err(_) => Cow::Borrowed(&[]),
        }
    }
}

/// The header is there.
pub(crate) async fn header(
    shared: &Arc<Shared>,
    session: &Session,
    response: &ResponseHeader,
    ctx: &mut Ctx,
) {
    let waits = |ctx: &Ctx| {
        let decision = ctx.decision.as_ref();
        decision.is_some_and(|decision| !decision.facts.awaits.is_empty())
    };
    if !waits(ctx) {
        return;
    }
    let status = response.status.as_u16();
    tell(shared, session, ctx, Ok((status, &response.headers)), None).await;
    let most = ctx
        .decision
        .as_ref()
        .map_or(0, |decision| Policy::hears(&decision.facts));
    ctx.listening = waits(ctx).then(|| {
        Box::new(Listening {
            status,
            headers: response.headers.clone(),
            most,
            body: Vec::new(),
        })
    });
}

/// There will be no answer. Before one of ours takes its place: what checks leave for it is still put on.
pub(crate) async fn unanswered(
    shared: &Arc<Shared>,
    session: &Session,
    why: Unanswered,
    ctx: &mut Ctx,
) {
    let waits = ctx
        .decision
        .as_ref()
        .is_some_and(|decision| !decision.facts.awaits.is_empty());
    if waits && ctx.listening.is_none() {
        tell(shared, session, ctx, Err(why), Some(&[])).await;
    }
}

/// The answer is over, or broke off.
pub(crate) async fn end(shared: &Arc<Shared>, session: &Session, ctx: &mut Ctx) {
    let Some(listening) = ctx.listening.take() else {
        if ctx.reason == Reason::ClientGone {
            unanswered(shared, session, Unanswered::Client, ctx).await;
        }
        return;
    };
    let answer = Ok((listening.status, &listening.headers));
    tell(shared, session, ctx, answer, Some(&listening.opened())).await;
}

async fn tell(
    shared: &Arc<Shared>,
    session: &Session,
    ctx: &mut Ctx,
    answer: Result<(u16, &HeaderMap), Unanswered>,
    body: Option<&[u8]>,
) {
    let (Some(route), Some(connection)) = (ctx.route, ctx.connection.clone()) else {
        return;
    };
    let Some(decision) = &mut ctx.decision else {
        return;
    };
    let snapshot = Arc::clone(&ctx.snapshot);
    let request = ctx.facts.view(session.req_header(), &connection);
    let mut io = Waiting {
        shared,
        now: shared.now(),
        began: ctx.began,
        leases: &mut ctx.leases,
        body: Source::Empty,
        waited: Duration::ZERO,
    };
    let mine = (&mut decision.facts, &mut decision.effects);
    let heard = snapshot
        .policy
        .heard(route, &request, mine, answer, body, &mut io);
    // Rare, and large: not a part of every request's future.
    Box::pin(heard).await;
}

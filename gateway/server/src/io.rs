//! What checks may wait for, over the store and the request's body. One per decision.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use pingora_core::ErrorType;
use pingora_core::protocols::http::ServerSession;
use policy::io::{BodyFault, Call, FetchFault, Fetched, Io, Key, Now, Space, StoreFault};
use policy::limit::{Lease, Limit, Standing};
use policy::request::Framing;
use policy::settings::Hardening;

use crate::gated::{self, Pace};
use crate::held::Hold;
use crate::leases::Leases;
use crate::snapshot::Shared;

/// See the module.
pub(crate) struct Waiting<'w> {
    /// The store and the memory for bodies.
    pub shared: &'w Arc<Shared>,
    /// One moment for the whole decision.
    pub now: Now,
    /// When the request began.
    pub began: Instant,
    /// Places taken on the way; they go back when the request ends.
    pub leases: &'w mut Leases,
    /// The body, as far as anything may ask for it.
    pub body: Source<'w>,
    /// Time spent on the body, which is not the gateway's.
    pub waited: Duration,
}

/// Where a body comes from.
pub(crate) enum Source<'w> {
    /// There is none.
    Empty,
    /// The client has not sent it yet.
    Client(Upload<'w>),
    /// All of it is here.
    Whole(Bytes, Hold),
    /// It cannot be had; the answer stays the same however often it is asked for.
    Failed(BodyFault),
}

/// A body that is still to be read.
pub(crate) struct Upload<'w> {
    pub session: &'w mut ServerSession,
    pub limits: &'w Hardening,
    pub framing: Framing,
    /// The route's maximum.
    pub max: u64,
    /// The client waits for `100 Continue`.
    pub expects: bool,
}

impl Upload<'_> {
    async fn read(self, hold: &mut Hold, max: u64) -> Result<Bytes, BodyFault> {
        let max = max.min(self.max);
        let declared = match self.framing {
            Framing::Length(length) if length > max => return Err(BodyFault::TooLarge),
            Framing::Length(length) => usize::try_from(length).unwrap_or(0),
            Framing::None | Framing::Unknown => 0,
        };
        if self.expects {
            gated::invite(self.session)
                .await
                .map_err(|_| BodyFault::Broken)?;
        }
        let mut pace = Pace::new(self.limits, max, false);
        let mut first = None;
        let mut whole = BytesMut::new();
        while let Some(piece) = pace
            .read(self.session)
            .await
            .map_err(|error| fault(&error))?
        {
            if !hold.grow(piece.len(), self.limits.held_body_total) {
                return Err(BodyFault::NoRoom);
            }
            match first.take() {
                None if whole.is_empty() => first = Some(piece),
                Some(before) => {
                    let before: Bytes = before;
                    whole.reserve(declared.clamp(before.len() + piece.len(), 1 << 20));
                    whole.extend_from_slice(&before);
                    whole.extend_from_slice(&piece);
                }
                None => whole.extend_from_slice(&piece),
            }
        }
        let whole = first.unwrap_or_else(|| whole.freeze());
        let expected = matches!(self.framing, Framing::Length(length) if u64::try_from(whole.len()) != Ok(length));
        if expected {
            Err(BodyFault::Broken)
        } else {
            Ok(whole)
        }
    }
}

fn fault(error: &pingora_core::Error) -> BodyFault {
    match error.etype() {
        ErrorType::Custom("body_too_large") => BodyFault::TooLarge,
        ErrorType::Custom("body_timeout") | ErrorType::ReadTimedout => BodyFault::TooSlow,
        _ => BodyFault::Broken,
    }
}

impl Io for Waiting<'_> {
    fn now(&self) -> Now {
        self.now
    }

    fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }

    async fn count(&mut self, limit: &Limit, key: Key, cost: u32) -> Result<Standing, StoreFault> {
        self.shared.store().count(limit, key, cost, self.now).await
    }

    async fn lease(&mut self, lease: &Lease, key: Key) -> Result<bool, StoreFault> {
        self.leases.take(self.shared, lease, key).await
    }

    async fn get(&mut self, space: Space, key: Key) -> Result<Option<Bytes>, StoreFault> {
        self.shared.store().get(space, key, self.now).await
    }

    async fn put(
        &mut self,
        space: Space,
        key: Key,
        value: Bytes,
        ttl: Duration,
    ) -> Result<(), StoreFault> {
        let store = self.shared.store();
        store.put(space, key, value, ttl, self.now).await
    }

    async fn swap(
        &mut self,
        space: Space,
        key: Key,
        expected: Option<&Bytes>,
        value: Option<Bytes>,
        ttl: Duration,
    ) -> Result<bool, StoreFault> {
        let store = self.shared.store();
        let name = (space, key);
        store.swap(name, expected, value, ttl, self.now).await
    }

    async fn remove(&mut self, space: Space, key: Key) -> Result<(), StoreFault> {
        self.shared.store().remove(space, key, self.now).await
    }

    async fn fetch(&mut self, call: &Call) -> Result<Arc<Fetched>, FetchFault> {
        // Large, and not a part of every request's future.
        Box::pin(self.shared.remote().fetch(call)).await
    }

    fn random(&mut self) -> [u8; 32] {
        let mut bytes = [0; 32];
        // Without randomness nothing that depends on it may go on.
        if getrandom::fill(&mut bytes).is_err() {
            std::process::abort();
        }
        bytes
    }

    async fn body(&mut self, max: u64) -> Result<Bytes, BodyFault> {
        let began = Instant::now();
        self.body = match std::mem::replace(&mut self.body, Source::Failed(BodyFault::Broken)) {
            Source::Client(upload) => {
                let mut hold = Hold::new(self.shared.budget());
                match upload.read(&mut hold, max).await {
                    Ok(whole) => Source::Whole(whole, hold),
                    Err(fault) => Source::Failed(fault),
                }
            }
            known => known,
        };
        self.waited = self.waited.saturating_add(began.elapsed());
        match &self.body {
            Source::Empty => Ok(Bytes::new()),
            Source::Whole(whole, _)
                if u64::try_from(whole.len()).is_ok_and(|length| length <= max) =>
            {
                Ok(whole.clone())
            }
            Source::Whole(..) => Err(BodyFault::TooLarge),
            Source::Failed(fault) => Err(*fault),
            Source::Client(_) => Err(BodyFault::Broken),
        }
    }
}

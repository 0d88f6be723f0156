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
    /// The client has not sent it yet, or not all of it was asked for.
    Client(Upload<'w>),
    /// All of it is here.
    Whole(Bytes, Hold),
    /// It cannot be had; the answer stays the same however often it is asked for.
    Failed(BodyFault),
}

/// A body that is still to be read. What was read stays: a check that wanted less, and lets the request pass, takes nothing
/// from the next one, nor from the application.
pub(crate) struct Upload<'w> {
    session: &'w mut ServerSession,
    limits: &'w Hardening,
    framing: Framing,
    /// The client waits for `100 Continue`.
    expects: bool,
    /// Holds the route's maximum.
    pace: Pace,
    /// The only piece so far, uncopied.
    first: Option<Bytes>,
    pieces: BytesMut,
    hold: Hold,
}

/// What was read of a body whose rest goes on as it comes.
#[derive(Debug)]
pub(crate) struct Begun {
    /// Until it is sent; from then on the body cannot be sent again.
    pub first: Option<(Bytes, Hold)>,
    pub pace: Pace,
}

impl<'w> Upload<'w> {
    /// `max`: the route's. `expects`: the client waits for `100 Continue`.
    pub(crate) fn new(
        session: &'w mut ServerSession,
        limits: &'w Hardening,
        framing: Framing,
        max: u64,
        expects: bool,
        hold: Hold,
    ) -> Self {
        Self {
            session,
            limits,
            framing,
            expects,
            pace: Pace::new(limits, max, false),
            first: None,
            pieces: BytesMut::new(),
            hold,
        }
    }

    /// What was read, unless that is nothing.
    pub(crate) fn begun(self) -> Option<Begun> {
        let (bytes, hold, pace) = self.taken();
        (!bytes.is_empty()).then_some(Begun {
            first: Some((bytes, hold)),
            pace,
        })
    }

    fn taken(self) -> (Bytes, Hold, Pace) {
        let bytes = self.first.unwrap_or_else(|| self.pieces.freeze());
        (bytes, self.hold, self.pace)
    }

    fn length(&self) -> u64 {
        let length = self.first.as_ref().map_or(self.pieces.len(), Bytes::len);
        u64::try_from(length).unwrap_or(u64::MAX)
    }

    /// Reads on to the end.
    async fn read(&mut self, max: u64) -> Result<(), BodyFault> {
        let declared = match self.framing {
            Framing::Length(length) if length > max => return Err(BodyFault::TooLarge),
            Framing::Length(length) => usize::try_from(length).unwrap_or(0),
            Framing::None | Framing::Unknown => 0,
        };
        while self.length() <= max {
            let total = self.limits.held_body_total;
            // What is read is kept: without room nothing more is.
            if !self.hold.has_room(total) {
                return Err(BodyFault::NoRoom);
            }
            // Not before: a body of which nothing was asked for is invited when it goes on.
            if std::mem::take(&mut self.expects) {
                let invited = gated::invite(self.session).await;
                invited.map_err(|_| BodyFault::Broken)?;
            }
            let piece = self.pace.read(self.session).await;
            let Some(piece) = piece.map_err(|error| fault(&error))? else {
                let short =
                    matches!(self.framing, Framing::Length(length) if self.length() != length);
                return if short {
                    Err(BodyFault::Broken)
                } else {
                    Ok(())
                };
            };
            let room = self.hold.grow(piece.len(), total);
            self.keep(piece, declared);
            if !room {
                return Err(BodyFault::NoRoom);
            }
        }
        Err(BodyFault::TooLarge)
    }

    fn keep(&mut self, piece: Bytes, declared: usize) {
        match self.first.take() {
            None if self.pieces.is_empty() => self.first = Some(piece),
            Some(before) => {
                let least = before.len() + piece.len();
                self.pieces
                    .reserve(declared.clamp(least, least.max(1 << 20)));
                self.pieces.extend_from_slice(&before);
                self.pieces.extend_from_slice(&piece);
            }
            None => self.pieces.extend_from_slice(&piece),
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
        let read = match &mut self.body {
            Source::Client(upload) => Some(upload.read(max).await),
            Source::Empty | Source::Whole(..) | Source::Failed(_) => None,
        };
        self.waited = self.waited.saturating_add(began.elapsed());
        match read {
            Some(Ok(())) => self.body = std::mem::replace(&mut self.body, Source::Empty).whole(),
            // Another check may want more of it, and without any it may go on as it comes.
            Some(Err(fault @ (BodyFault::TooLarge | BodyFault::NoRoom))) if self.goes_on() => {
                return Err(fault);
            }
            Some(Err(fault)) => self.body = Source::Failed(fault),
            None => {}
        }
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

impl Source<'_> {
    /// After all of it was read.
    fn whole(self) -> Self {
        match self {
            Self::Client(upload) => {
                let (bytes, hold, _) = upload.taken();
                Self::Whole(bytes, hold)
            }
            known => known,
        }
    }
}

impl Waiting<'_> {
    /// Whether the body is within what the route takes.
    fn goes_on(&self) -> bool {
        matches!(&self.body, Source::Client(upload) if !upload.pace.is_over())
    }
}

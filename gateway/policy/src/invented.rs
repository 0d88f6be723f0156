//! An invented surrounding for decisions: the memory store, a clock that is set, a body that is given, store faults on
//! demand. Tests, `explain`, `test` and `replay` ask the very checks that production asks, through this.

use std::collections::HashMap;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use sha2::Digest as _;

use crate::io::{BodyFault, Call, FetchFault, Fetched, Io, Key, Now, Space, StoreFault};
use crate::limit::{Lease, Limit, Standing};
use crate::memory::Memory;

/// Everything a check may wait for, none of it real. Nothing ever waits: see [`ready`].
#[derive(Debug)]
pub struct Invented {
    /// Where counters, leases and values live.
    pub memory: Memory,
    /// The time; see [`Invented::advance`].
    pub now: Now,
    /// How long the request has taken.
    pub elapsed: Duration,
    /// What a check that asks for the body gets. Longer than it asks for: [`BodyFault::TooLarge`].
    pub body: Result<Bytes, BodyFault>,
    /// What other servers answer, by URL; those that are not here cannot be reached.
    pub answers: HashMap<String, Result<Fetched, FetchFault>>,
    /// What was asked of them.
    pub fetched: Vec<Call>,
    /// When set, every look-up and count fails with it.
    pub store_fault: Option<StoreFault>,
    held: Vec<(Lease, Key)>,
    /// How often something random was drawn: the same in every run.
    drawn: u64,
}

impl Default for Invented {
    /// An empty store, an empty body, midnight of 2026-01-01 UTC.
    fn default() -> Self {
        Self {
            memory: Memory::default(),
            now: Now {
                unix: 1_767_225_600_000,
                steady: 0,
            },
            elapsed: Duration::ZERO,
            body: Ok(Bytes::new()),
            answers: HashMap::new(),
            fetched: Vec::new(),
            store_fault: None,
            held: Vec::new(),
            drawn: 0,
        }
    }
}

impl Invented {
    /// Lets time pass.
    pub fn advance(&mut self, by: Duration) {
        let millis = u64::try_from(by.as_millis()).unwrap_or(u64::MAX);
        self.now.unix = self.now.unix.saturating_add(millis);
        self.now.steady = self.now.steady.saturating_add(millis);
    }

    /// Ends the request, or the WebSocket: what it leased is given back.
    pub fn end(&mut self) {
        for (lease, key) in self.held.drain(..) {
            self.memory.release(&lease, key);
        }
    }

    /// The request stays open for good: what it leased stays taken.
    pub fn keep(&mut self) {
        self.held.clear();
    }

    fn store(&self) -> Result<&Memory, StoreFault> {
        match self.store_fault {
            Some(fault) => Err(fault),
            None => Ok(&self.memory),
        }
    }
}

impl Io for Invented {
    fn now(&self) -> Now {
        self.now
    }

    fn elapsed(&self) -> Duration {
        self.elapsed
    }

    async fn count(&mut self, limit: &Limit, key: Key, cost: u32) -> Result<Standing, StoreFault> {
        Ok(self.store()?.count(limit, key, cost, self.now))
    }

    async fn lease(&mut self, lease: &Lease, key: Key) -> Result<bool, StoreFault> {
        let taken = self.store()?.lease(lease, key);
        if taken {
            self.held.push((lease.clone(), key));
        }
        Ok(taken)
    }

    async fn get(&mut self, space: Space, key: Key) -> Result<Option<Bytes>, StoreFault> {
        Ok(self.store()?.get(space, key, self.now))
    }

    async fn put(
        &mut self,
        space: Space,
        key: Key,
        value: Bytes,
        ttl: Duration,
    ) -> Result<(), StoreFault> {
        self.store()?.put(space, key, value, ttl, self.now)
    }

    async fn remove(&mut self, space: Space, key: Key) -> Result<(), StoreFault> {
        self.store()?.remove(space, key);
        Ok(())
    }

    async fn swap(
        &mut self,
        space: Space,
        key: Key,
        expected: Option<&Bytes>,
        value: Option<Bytes>,
        ttl: Duration,
    ) -> Result<bool, StoreFault> {
        self.store()?
            .swap(space, key, expected, value, ttl, self.now)
    }

    async fn fetch(&mut self, call: &Call) -> Result<Arc<Fetched>, FetchFault> {
        self.fetched.push(call.clone());
        let known = self.answers.get(&call.url).ok_or(FetchFault::Down)?;
        known.clone().map(Arc::new)
    }

    fn random(&mut self) -> [u8; 32] {
        self.drawn += 1;
        sha2::Sha256::digest(self.drawn.to_le_bytes()).into()
    }

    async fn body(&mut self, max: u64) -> Result<Bytes, BodyFault> {
        let body = self.body.clone()?;
        if u64::try_from(body.len()).is_ok_and(|length| length <= max) {
            Ok(body)
        } else {
            Err(BodyFault::TooLarge)
        }
    }
}

/// The result of a future that waits for nothing, as every decision over [`Invented`] is; `None` if it does wait.
pub fn ready<F: Future>(future: F) -> Option<F::Output> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => Some(output),
        Poll::Pending => None,
    }
}

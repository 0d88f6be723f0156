//! Places in the shared store. Each lives for a while only and is kept alive by the gateway that holds it, so that those
//! of a gateway that crashed come free by themselves.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use futures_util::StreamExt as _;
use parking_lot::Mutex;
use policy::io::{Key, StoreFault};
use policy::limit::Lease;
use redis::Value;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::{Operation, Redis};

/// Places that are renewed or given back at the same time.
const TOGETHER: usize = 64;

/// The places that this gateway holds.
pub(super) struct Leases {
    /// This process among all that share the store.
    node: String,
    next: AtomicU64,
    held: Mutex<HashMap<u64, String, ahash::RandomState>>,
    back: UnboundedSender<(u64, String)>,
    returned: Mutex<Option<UnboundedReceiver<(u64, String)>>>,
}

impl Leases {
    pub(super) fn new() -> Result<Self, String> {
        let mut node = [0; 8];
        getrandom::fill(&mut node).map_err(|why| why.to_string())?;
        let (back, returned) = unbounded_channel();
        Ok(Self {
            node: format!("{:016x}", u64::from_le_bytes(node)),
            next: AtomicU64::new(0),
            held: Mutex::default(),
            back,
            returned: Mutex::new(Some(returned)),
        })
    }

    fn member(&self, ticket: u64) -> String {
        format!("{}-{ticket:x}", self.node)
    }

    /// Gives a place back, from wherever a request ends.
    pub(super) fn release(&self, ticket: u64) {
        let held = self.held.lock().remove(&ticket);
        if let Some(place) = held {
            // Nobody is there any more only when the process ends: the place ends by itself then.
            let _ = self.back.send((ticket, place));
        }
    }

    fn all(&self) -> Vec<(u64, String)> {
        let held = self.held.lock();
        held.iter()
            .map(|(ticket, at)| (*ticket, at.clone()))
            .collect()
    }

    pub(super) fn len(&self) -> usize {
        self.held.lock().len()
    }
}

/// A place that may have been taken, until the answer says so: whoever stops waiting gives it back.
struct Perhaps<'r> {
    leases: &'r Leases,
    ticket: u64,
    taken: bool,
}

impl Drop for Perhaps<'_> {
    fn drop(&mut self) {
        if !self.taken {
            self.leases.release(self.ticket);
        }
    }
}

impl Redis {
    /// Takes a place; `None`: all are taken.
    pub(in crate::store) async fn lease(
        &self,
        lease: &Lease,
        key: Key,
    ) -> Result<Option<u64>, StoreFault> {
        let leases = &self.leases;
        let ticket = leases.next.fetch_add(1, Ordering::Relaxed);
        let prefix = &self.settings.prefix;
        let place = format!("{prefix}:l:{{{:016x}{:032x}}}", lease.id, key.0);
        leases.held.lock().insert(ticket, place.clone());
        let mut perhaps = Perhaps {
            leases,
            ticket,
            taken: false,
        };
        let time = self.settings.lease.as_millis();
        let time = u64::try_from(time).unwrap_or(u64::MAX);
        let script = &self.scripts.take;
        let keys = [place.as_str()];
        let asked = self.run(Operation::Lease, script, &keys, |command| {
            command.arg(lease.max).arg(time).arg(leases.member(ticket));
        });
        match asked.await? {
            Value::Int(1) => {
                perhaps.taken = true;
                Ok(Some(ticket))
            }
            Value::Int(_) => {
                leases.held.lock().remove(&ticket);
                Ok(None)
            }
            _ => Err(StoreFault::Corrupt),
        }
    }

    /// Gives a place back.
    pub(in crate::store) fn release(&self, ticket: u64) {
        self.leases.release(ticket);
    }

    /// Places that requests of this gateway hold.
    pub(in crate::store) fn held(&self) -> usize {
        self.leases.len()
    }
}

/// Tells the server of places that came free, until the process ends.
pub(super) async fn give_back(redis: Arc<Redis>) {
    let Some(mut returned) = redis.leases.returned.lock().take() else {
        return;
    };
    let mut some = Vec::new();
    while returned.recv_many(&mut some, TOGETHER).await > 0 {
        let all = some.drain(..).map(|(ticket, place)| {
            let redis = &redis;
            async move {
                let mut command = redis::cmd("ZREM");
                command.arg(place).arg(redis.leases.member(ticket));
                // What cannot be said now is known when the place ends by itself.
                let _ = redis.ask(Operation::Release, &command).await;
            }
        });
        futures_util::future::join_all(all).await;
    }
}

/// Keeps every place that is held, until the process ends.
pub(super) async fn renew(redis: Arc<Redis>) {
    let time = u64::try_from(redis.settings.lease.as_millis()).unwrap_or(u64::MAX);
    loop {
        tokio::time::sleep(redis.settings.lease / 3).await;
        let all = redis.leases.all();
        let keep = |(ticket, place): (u64, String)| {
            let redis = &redis;
            async move {
                // It may have been given back since.
                if !redis.leases.held.lock().contains_key(&ticket) {
                    return;
                }
                let script = &redis.scripts.keep;
                let member = redis.leases.member(ticket);
                let keys = [place.as_str()];
                let asked = redis.run(Operation::Keep, script, &keys, |command| {
                    command.arg(time).arg(&member);
                });
                let _ = asked.await;
            }
        };
        let renewing = futures_util::stream::iter(all.into_iter().map(keep));
        renewing
            .buffer_unordered(TOGETHER)
            .for_each(async |()| {})
            .await;
    }
}

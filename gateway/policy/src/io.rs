//! The few things a check may wait for. The server implements [`Io`] over stores and Pingora; `explain`, `test`,
//! `replay` and the unit tests over an invented store and clock, so they run the very code that production runs.

use std::future::Future;
use std::time::Duration;

use bytes::Bytes;

use crate::limit::{Lease, Limit, Standing};

/// A moment. Both count milliseconds; `unix` may jump, `steady` never goes back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Now {
    /// Milliseconds since 1970-01-01 UTC: what tokens and schedules compare with.
    pub unix: u64,
    /// Milliseconds of a clock that never goes back: what windows and leases count with.
    pub steady: u64,
}

/// The key of a counter, lease or ban: 128 bits of a keyed hash, so that no client's text is kept and hostile
/// collisions are out of reach.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key(pub u128);

/// Why the store gave no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoreFault {
    /// No answer within the timeout.
    Slow,
    /// Not reachable.
    Down,
    /// No room for another key.
    Full,
    /// The answer made no sense.
    Corrupt,
}

/// Why there is no whole body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyFault {
    /// Longer than the route's maximum, or than this check can hold: 413.
    TooLarge,
    /// The client was too slow, or stayed under the minimum rate: 408.
    TooSlow,
    /// All memory for held bodies is in use: 503.
    NoRoom,
    /// The client went away or broke the framing: 400.
    Broken,
}

/// Kinds of values that outlive a request; they separate key spaces in the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Space {
    /// Bans by client address or user.
    Ban,
    /// Revoked tokens and subjects.
    Revocation,
}

/// What a check may wait for.
pub trait Io: Send {
    /// The time. The same moment for one whole decision.
    fn now(&self) -> Now;

    /// Counts `cost` against `limit` for `key`, unless that would pass it. Cost 0 counts nothing and tells how the
    /// key stands.
    fn count(
        &mut self,
        limit: &Limit,
        key: Key,
        cost: u32,
    ) -> impl Future<Output = Result<Standing, StoreFault>> + Send;

    /// Takes one of `lease.max` places for `key`; the implementation gives it back when the request (or the
    /// WebSocket) ends. `false`: all places are taken.
    fn lease(
        &mut self,
        lease: &Lease,
        key: Key,
    ) -> impl Future<Output = Result<bool, StoreFault>> + Send;

    /// A stored value.
    fn get(
        &mut self,
        space: Space,
        key: Key,
    ) -> impl Future<Output = Result<Option<Bytes>, StoreFault>> + Send;

    /// Stores a value for `ttl`.
    fn put(
        &mut self,
        space: Space,
        key: Key,
        value: Bytes,
        ttl: Duration,
    ) -> impl Future<Output = Result<(), StoreFault>> + Send;

    /// Removes a value.
    fn remove(
        &mut self,
        space: Space,
        key: Key,
    ) -> impl Future<Output = Result<(), StoreFault>> + Send;

    /// The whole request body, held back from the upstream until the decision. At most `max` bytes.
    fn body(&mut self, max: u64) -> impl Future<Output = Result<Bytes, BodyFault>> + Send;
}

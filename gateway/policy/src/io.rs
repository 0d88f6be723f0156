//! The few things a check may wait for. The server implements [`Io`] over stores and Pingora; `explain`, `test`,
//! `replay` and the unit tests over an invented store and clock, so they run the very code that production runs.

use std::future::Future;
use std::time::Duration;

use bytes::Bytes;

use crate::decision::Reason;
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

impl From<BodyFault> for Reason {
    fn from(fault: BodyFault) -> Self {
        match fault {
            BodyFault::TooLarge => Self::BodyTooLarge,
            BodyFault::TooSlow => Self::BodyTimeout,
            BodyFault::NoRoom => Self::Overload,
            BodyFault::Broken => Self::BodyBroken,
        }
    }
}

macro_rules! spaces {
    ($($(#[doc = $doc:literal])* $name:ident = $word:literal;)*) => {
        /// Kinds of values that outlive a request; they separate key spaces in the store.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Space { $($(#[doc = $doc])* $name,)* }

        impl Space {
            /// Every space.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// Its stable name in shared stores.
            #[must_use]
            pub fn as_str(self) -> &'static str { match self { $(Self::$name => $word,)* } }
        }
    };
}

spaces! {
    /// Bans by client address or user.
    Ban = "ban";
    /// What failed log-ins led to beside bans: how often, and from where a user logged in before.
    Failures = "failures";
    /// Revoked tokens and subjects.
    Revocation = "revocation";
    /// Sessions of the gateway's own, by the hash of their identifier.
    Session = "session";
    /// What is known of a user over all sessions: which ones are open.
    User = "user";
    /// API keys, by the hash of the key.
    ApiKey = "key";
    /// Second factors that a user enrolled.
    Factor = "factor";
    /// Things that happen once, or wait for an end: used codes, log-ins under way, emergency tokens.
    Once = "once";
    /// Tokens for emergencies, by the hash of the token.
    Emergency = "emergency";
    /// Networks that a user may come from.
    Networks = "networks";
    /// Long counts, such as a calendar quota.
    Quota = "quota";
}

/// A request to somebody else that a check waits for: keys of an issuer, introspection, a user's standing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// Method.
    pub method: http::Method,
    /// Absolute `http` or `https` URL, from the policy or from an issuer's metadata, never from a client.
    pub url: String,
    /// Header fields.
    pub headers: Vec<(http::HeaderName, http::HeaderValue)>,
    /// Body.
    pub body: Bytes,
    /// For connecting, sending and receiving together.
    pub timeout: Duration,
    /// Longest answer, in bytes.
    pub max: usize,
    /// How long an answer may be used again; `None`: never.
    pub cache: Option<Cached>,
}

/// How long an answer of status 200 may be used again, by whoever makes the same call on this node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cached {
    /// Without asking again.
    pub fresh: Duration,
    /// While another is being fetched in the background, and when that fails.
    pub stale: Duration,
    /// Ask again although it is fresh, if it is older than this: a key that is not known yet may be new.
    pub older_than: Option<Duration>,
}

/// What came back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetched {
    /// Status.
    pub status: u16,
    /// Body.
    pub body: Bytes,
    /// Counts up with every answer that is not the one before, over all calls: what was derived from it stays good
    /// while this stays.
    pub version: u64,
}

/// Why nothing came back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FetchFault {
    /// Not within the timeout.
    Slow,
    /// No connection, or it broke.
    Down,
    /// Longer than allowed.
    TooLarge,
}

/// What a check may wait for.
pub trait Io: Send {
    /// The time. The same moment for one whole decision.
    fn now(&self) -> Now;

    /// Since the request began; unlike [`Io::now`] it goes on while a decision waits.
    fn elapsed(&self) -> Duration;

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

    /// Puts `value` (`None`: nothing) where exactly `expected` (`None`: nothing) was; `false`, and nothing is changed,
    /// when something else was there. What must happen once, or must not lose another's change, goes by this.
    fn swap(
        &mut self,
        space: Space,
        key: Key,
        expected: Option<&Bytes>,
        value: Option<Bytes>,
        ttl: Duration,
    ) -> impl Future<Output = Result<bool, StoreFault>> + Send;

    /// Removes a value.
    fn remove(
        &mut self,
        space: Space,
        key: Key,
    ) -> impl Future<Output = Result<(), StoreFault>> + Send;

    /// Asks somebody else, or takes the answer that is known.
    fn fetch(
        &mut self,
        call: &Call,
    ) -> impl Future<Output = Result<std::sync::Arc<Fetched>, FetchFault>> + Send;

    /// Bytes that nobody can guess.
    fn random(&mut self) -> [u8; 32];

    /// The whole request body, held back from the upstream until the decision. At most `max` bytes.
    fn body(&mut self, max: u64) -> impl Future<Output = Result<Bytes, BodyFault>> + Send;
}

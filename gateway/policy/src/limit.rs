//! What a limit is and how a key stands against it. The counting itself is in `memory` (pure, time is an argument)
//! and in the server's shared stores.

use std::time::Duration;

/// How a limit counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Algorithm {
    /// At most `max` in *any* window of the limit's length: exact ring up to 128, conservative sub-buckets above.
    Window,
    /// GCRA: smooth pacing with a burst. Never called a sliding window.
    Pace {
        /// How many may come at once.
        burst: u32,
    },
}

/// A limit, resolved when the policy is compiled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limit {
    /// Stable across reloads: made from the check's name (and the route's where `with:` changed it), so that counters
    /// survive a reload.
    pub id: u64,
    /// How it counts.
    pub algorithm: Algorithm,
    /// At most this many …
    pub max: u32,
    /// … in this time.
    pub window: Duration,
    /// Whether refused requests count as well. Default no: else a client that retries never recovers.
    pub count_refused: bool,
}

/// How a key stands after a request was counted, or was not because it would have passed the limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// Whether this request is within the limit.
    pub allowed: bool,
    /// The limit.
    pub max: u32,
    /// How many more may come now.
    pub remaining: u32,
    /// Milliseconds until at least one more may come when none is left, else until the window is empty again.
    pub reset_ms: u64,
    /// The window, in seconds, for RateLimit-Policy.
    pub window_s: u32,
}

/// A cap on things that happen at the same time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// Stable across reloads, as [`Limit::id`].
    pub id: u64,
    /// At most this many at once.
    pub max: u32,
}

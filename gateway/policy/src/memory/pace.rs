//! `pace`: GCRA as the governor crate does it, over one number per key and a time that is passed in.

use std::cell::Cell;
use std::num::NonZeroU32;
use std::time::Duration;

use governor::clock::Clock;
use governor::middleware::StateInformationMiddleware;
use governor::nanos::Nanos;
use governor::state::{NotKeyed, StateStore};
use governor::{Quota, RateLimiter};

use crate::limit::{Limit, Standing};

use super::window::millis;

const NANOS_PER_MS: u64 = 1_000_000;

/// The theoretical arrival time of one key, nanoseconds of the steady clock; zero: never asked.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Pace {
    arrival: u64,
}

/// Governor's state store over that one number.
struct Slot(Cell<u64>);

impl StateStore for Slot {
    type Key = NotKeyed;

    fn measure_and_replace<T, F, E>(&self, _: &NotKeyed, decide: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        let before = self.0.get();
        let (outcome, after) = decide((before != 0).then(|| before.into()))?;
        self.0.set(after.as_u64());
        Ok(outcome)
    }
}

/// Governor's clock over the time that was passed in. A limiter remembers the time it was made at as its zero, so it
/// is made at zero and set afterwards.
struct Moment(Cell<u64>);

impl Clock for Moment {
    type Instant = Nanos;

    fn now(&self) -> Nanos {
        self.0.get().into()
    }
}

type Limiter = RateLimiter<NotKeyed, Slot, Moment, StateInformationMiddleware>;

impl Pace {
    /// When the key is as good as new, milliseconds.
    pub(super) fn over(self) -> u64 {
        self.arrival.div_ceil(NANOS_PER_MS)
    }

    /// Counts `cost` unless that would pass the pace. Refused requests are never counted.
    pub(super) fn count(&mut self, limit: &Limit, burst: u32, cost: u32, now: u64) -> Standing {
        let interval = Duration::from_millis(millis(limit)) / limit.max.max(1);
        let burst = NonZeroU32::new(burst).unwrap_or(NonZeroU32::MIN);
        let quota = Quota::with_period(interval.max(Duration::from_nanos(1)))
            .unwrap_or_else(|| Quota::per_second(NonZeroU32::MIN))
            .allow_burst(burst);
        // A clock that went back gives nothing: governor measures from the arrival time, which stays.
        let now_ns = now.saturating_mul(NANOS_PER_MS);
        let asked = NonZeroU32::new(cost);
        let limiter: Limiter =
            RateLimiter::new(quota, Slot(Cell::new(self.arrival)), Moment(Cell::new(0)));
        limiter.clock().0.set(now_ns);
        let (allowed, remaining, wait) = match limiter.check_n(asked.unwrap_or(NonZeroU32::MIN)) {
            Ok(Ok(state)) => (true, state.remaining_burst_capacity(), Duration::ZERO),
            Ok(Err(not_yet)) => (
                false,
                self.left(interval, burst, now_ns),
                not_yet.wait_time_from(now_ns.into()),
            ),
            // More at once than the burst holds: never.
            Err(_) => (
                false,
                self.left(interval, burst, now_ns),
                Duration::from_millis(millis(limit)),
            ),
        };
        let remaining = if asked.is_some() {
            self.arrival = limiter.into_state_store().0.get();
            remaining
        } else {
            self.left(interval, burst, now_ns)
        };
        let wait_ms =
            u64::try_from(wait.as_nanos().div_ceil(u128::from(NANOS_PER_MS))).unwrap_or(u64::MAX);
        let reset_ms = match (allowed, remaining) {
            (false, _) => wait_ms,
            (true, 0) => ceil_ms(
                self.arrival
                    .saturating_sub(nanos(interval) * u64::from(burst.get() - 1)),
                now_ns,
            ),
            (true, _) => self.over().saturating_sub(now),
        };
        Standing {
            allowed,
            max: limit.max,
            remaining,
            reset_ms,
            window_s: u32::try_from(millis(limit).div_ceil(1000)).unwrap_or(u32::MAX),
        }
    }

    /// How many could come at once now.
    fn left(self, interval: Duration, burst: NonZeroU32, now: u64) -> u32 {
        let interval = nanos(interval);
        let ahead = self.arrival.saturating_sub(now);
        let used = u32::try_from(ahead.div_ceil(interval)).unwrap_or(u32::MAX);
        burst.get().saturating_sub(used)
    }
}

fn nanos(interval: Duration) -> u64 {
    u64::try_from(interval.as_nanos())
        .unwrap_or(u64::MAX)
        .max(1)
}

fn ceil_ms(at: u64, now: u64) -> u64 {
    at.saturating_sub(now).div_ceil(NANOS_PER_MS)
}

//! The window algorithm over one key's hits: at most L in any half-open window [t, t + W). Knows no key and no map.
//!
//! Hits are kept as runs of equal time. Up to L = 128 the time is exact to the millisecond. Above that it is rounded up
//! to the end of a sub-bucket of W/30, so a hit counts for at most 1.034 W and never for less than W: the worst case over
//! any window stays 1.00 L, where two weighted buckets or an interpolated fine window reach almost 2 L.

use crate::limit::{Limit, Standing};

/// Largest limit that is counted exactly.
const EXACT: u32 = 128;
/// Sub-buckets per window above that.
const BUCKETS: u64 = 30;
/// Most runs of one key: L exact ones, or the sub-buckets that touch a window.
const MOST_RUNS: usize = 128;

/// Hits at one time.
#[derive(Debug, Clone, Copy, Default)]
struct Run {
    /// Low 32 bits of the time in milliseconds; the distance to `Hits::newest` says the rest.
    at: u32,
    hits: u32,
}

/// A ring that starts inside its entry: most clients of most limits never need the heap.
#[derive(Debug)]
enum Runs {
    Few([Run; 2]),
    Many(Box<[Run]>),
}

/// The hits of one key that still count. 40 bytes, and 8 for each of 4, 8 … 128 runs once there are more than two.
#[derive(Debug)]
pub(super) struct Hits {
    /// When the latest of them happened, milliseconds; for sub-buckets, when the latest ends.
    newest: u64,
    total: u32,
    head: u8,
    len: u8,
    runs: Runs,
}

impl Hits {
    pub(super) fn new() -> Self {
        Self {
            newest: 0,
            total: 0,
            head: 0,
            len: 0,
            runs: Runs::Few([Run::default(); 2]),
        }
    }

    /// When nothing of them counts any more.
    pub(super) fn over(&self, window: u64) -> u64 {
        if self.total == 0 {
            0
        } else {
            self.newest.saturating_add(window)
        }
    }

    /// Counts `cost` unless that would pass the limit.
    pub(super) fn count(&mut self, limit: &Limit, cost: u32, now: u64) -> Standing {
        let window = millis(limit);
        self.forget(window, now);
        let allowed = u64::from(self.total) + u64::from(cost) <= u64::from(limit.max);
        if cost > 0 && (allowed || limit.count_refused) {
            self.push(quantised(limit, window, now), cost);
            // Only the newest L decide; what is beyond them would but grow.
            self.trim(self.total.saturating_sub(limit.max));
        }
        let remaining = limit.max.saturating_sub(self.total);
        let reset_ms = match (allowed, remaining) {
            (false, _) => {
                let over = u64::from(self.total) + u64::from(cost.max(1));
                self.freed(over.saturating_sub(u64::from(limit.max)), window, now)
            }
            (true, 0) => self.freed(1, window, now),
            (true, _) => self.over(window).saturating_sub(now),
        };
        Standing {
            allowed,
            max: limit.max,
            remaining,
            reset_ms,
            window_s: u32::try_from(window.div_ceil(1000)).unwrap_or(u32::MAX),
        }
    }

    /// Drops runs that lie a whole window back. A clock that went back makes nothing older.
    fn forget(&mut self, window: u64, now: u64) {
        while let Some(oldest) = self.run(0) {
            if self.age(oldest, now) < window {
                return;
            }
            self.total = self.total.saturating_sub(oldest.hits);
            self.drop_oldest();
        }
        self.total = 0;
    }

    /// Milliseconds between a run and now; zero for one that lies ahead.
    fn age(&self, run: Run, now: u64) -> u64 {
        let before_newest = u64::from((self.newest as u32).wrapping_sub(run.at));
        (now + before_newest).saturating_sub(self.newest)
    }

    /// Milliseconds until `units` of the hits no longer count; a whole window when there are not that many.
    fn freed(&self, units: u64, window: u64, now: u64) -> u64 {
        let mut free = 0;
        for position in 0..self.len {
            let Some(run) = self.run(position) else { break };
            free += u64::from(run.hits);
            if free >= units {
                let at = self.newest
                    - u64::from((self.newest as u32).wrapping_sub(run.at)).min(self.newest);
                return at.saturating_add(window).saturating_sub(now);
            }
        }
        window
    }

    /// Adds a run at `at`, or to the latest run when that is no earlier (equal times, a clock that went back).
    fn push(&mut self, at: u64, cost: u32) {
        self.total = self.total.saturating_add(cost);
        if self.len > 0 && at <= self.newest {
            if let Some(last) = self.run_mut(self.len - 1) {
                last.hits = last.hits.saturating_add(cost);
            }
            return;
        }
        if usize::from(self.len) == self.capacity() && !self.grow() {
            // No room left (a limit whose kind changed under it): the latest run moves ahead, which only counts longer.
            if let Some(last) = self.run_mut(self.len - 1) {
                *last = Run {
                    at: at as u32,
                    hits: last.hits.saturating_add(cost),
                };
            }
            self.newest = at;
            return;
        }
        self.newest = at;
        self.len += 1;
        if let Some(last) = self.run_mut(self.len - 1) {
            *last = Run {
                at: at as u32,
                hits: cost,
            };
        }
    }

    /// Drops the oldest `units`.
    fn trim(&mut self, mut units: u32) {
        self.total = self.total.saturating_sub(units);
        while units > 0 {
            let Some(oldest) = self.run_mut(0) else {
                return;
            };
            let gone = oldest.hits.min(units);
            oldest.hits -= gone;
            units -= gone;
            if oldest.hits == 0 {
                self.drop_oldest();
            }
        }
    }

    fn drop_oldest(&mut self) {
        self.head = self.index(1) as u8;
        self.len = self.len.saturating_sub(1);
    }

    fn capacity(&self) -> usize {
        match &self.runs {
            Runs::Few(runs) => runs.len(),
            Runs::Many(runs) => runs.len(),
        }
    }

    /// Capacities are powers of two.
    fn index(&self, position: u8) -> usize {
        (usize::from(self.head) + usize::from(position)) & (self.capacity() - 1)
    }

    fn run(&self, position: u8) -> Option<Run> {
        if position >= self.len {
            return None;
        }
        let index = self.index(position);
        match &self.runs {
            Runs::Few(runs) => runs.get(index),
            Runs::Many(runs) => runs.get(index),
        }
        .copied()
    }

    fn run_mut(&mut self, position: u8) -> Option<&mut Run> {
        let index = self.index(position);
        match &mut self.runs {
            Runs::Few(runs) => runs.get_mut(index),
            Runs::Many(runs) => runs.get_mut(index),
        }
    }

    /// Twice the room, in order from the start; `false` at the most.
    fn grow(&mut self) -> bool {
        let room = self.capacity() * 2;
        if room > MOST_RUNS {
            return false;
        }
        let mut runs = vec![Run::default(); room].into_boxed_slice();
        for (position, to) in (0..self.len).zip(runs.iter_mut()) {
            *to = self.run(position).unwrap_or_default();
        }
        self.runs = Runs::Many(runs);
        self.head = 0;
        true
    }
}

/// The limit's window in whole milliseconds, at least one. At most 31 days, which the policy enforces: the distances
/// between runs then fit 32 bits.
pub(super) fn millis(limit: &Limit) -> u64 {
    u64::try_from(limit.window.as_millis())
        .unwrap_or(u64::MAX)
        .clamp(1, 31 * 86_400_000)
}

/// The time that a hit at `now` is kept under: never earlier than `now`.
fn quantised(limit: &Limit, window: u64, now: u64) -> u64 {
    if limit.max <= EXACT {
        return now;
    }
    let bucket = window.div_ceil(BUCKETS);
    (now / bucket).saturating_add(1).saturating_mul(bucket) - 1
}

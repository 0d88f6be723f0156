//! A share of requests, by counting: a client can neither choose its request's place nor learn it.

use std::sync::atomic::{AtomicU64, Ordering};

/// Requests are told apart in steps of a millionth.
const WHOLE: u64 = 1_000_000;

/// Takes a share of what comes, evenly.
#[derive(Debug)]
pub(super) struct Share {
    millionths: u64,
    seen: AtomicU64,
}

impl Share {
    /// From 0.0 to 1.0.
    pub(super) fn new(share: f64) -> Self {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "from 0 to a million")]
        let millionths = (share.clamp(0.0, 1.0) * 1e6).round() as u64;
        Self { millionths, seen: AtomicU64::new(0) }
    }

    /// Whether the next one is taken.
    pub(super) fn takes_next(&self) -> bool {
        // So much was due before, so much is with this one: it is taken where a whole one falls in between.
        let before = self.seen.fetch_add(self.millionths, Ordering::Relaxed);
        before / WHOLE != before.wrapping_add(self.millionths) / WHOLE
    }
}

#[cfg(test)]
mod tests {
    use super::Share;

    #[test]
    fn the_share_is_exact_and_even() {
        for (share, taken) in [(0.0, 0), (0.1, 100), (0.25, 250), (1.0, 1000)] {
            let share = Share::new(share);
            assert_eq!((0..1000).filter(|_| share.takes_next()).count(), taken);
        }
        let tenth = Share::new(0.1);
        let first = (0..20).map(|_| tenth.takes_next()).position(|taken| taken);
        assert_eq!(first, Some(9));
    }
}

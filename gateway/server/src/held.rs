//! Memory for bodies and answers that are held back until a decision: a budget over all requests each, given back when
//! what is held goes.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Bytes in use.
#[derive(Debug, Default)]
pub(crate) struct Budget(AtomicU64);

impl Budget {
    pub(crate) fn used(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// One body's share.
#[derive(Debug)]
pub(crate) struct Hold {
    budget: Arc<Budget>,
    bytes: u64,
}

impl Hold {
    pub(crate) fn new(budget: &Arc<Budget>) -> Self {
        Self {
            budget: Arc::clone(budget),
            bytes: 0,
        }
    }

    /// Whether anything is left of `max` over all requests.
    pub(crate) fn has_room(&self, max: u64) -> bool {
        self.budget.used() < max
    }

    /// Takes `more` bytes unless that would pass `max` over all requests.
    pub(crate) fn grow(&mut self, more: usize, max: u64) -> bool {
        let more = u64::try_from(more).unwrap_or(u64::MAX);
        let before = self.budget.0.fetch_add(more, Ordering::Relaxed);
        if before.saturating_add(more) > max {
            self.budget.0.fetch_sub(more, Ordering::Relaxed);
            return false;
        }
        self.bytes += more;
        true
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.budget.0.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn never_passes_the_maximum_and_gives_everything_back() {
        let budget = Arc::new(Budget::default());
        let (mut one, mut two) = (Hold::new(&budget), Hold::new(&budget));
        assert!(one.grow(60, 100));
        assert!(!two.grow(60, 100));
        assert!(two.grow(40, 100));
        drop(one);
        assert_eq!(budget.used(), 40);
        drop(two);
        assert_eq!(budget.used(), 0);
    }
}

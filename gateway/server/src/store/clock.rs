//! Both clocks of a process: the steady one counts from when it was made.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use policy::io::Now;

/// See the module.
#[derive(Debug, Clone, Copy)]
pub(super) struct Clock {
    epoch: Instant,
}

impl Clock {
    pub(super) fn start() -> Self {
        Self {
            epoch: Instant::now(),
        }
    }

    pub(super) fn now(self) -> Now {
        self.at(Instant::now())
    }

    /// Both, of which the steady one has just been read.
    pub(super) fn at(self, now: Instant) -> Now {
        let unix = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        let steady = now.saturating_duration_since(self.epoch).as_millis();
        Now {
            unix: u64::try_from(unix.as_millis()).unwrap_or(u64::MAX),
            steady: u64::try_from(steady).unwrap_or(u64::MAX),
        }
    }
}

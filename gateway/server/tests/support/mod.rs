//! What the end-to-end tests stand on: the real binary, an origin that records what it received, raw sockets, and
//! the independent tools. Knows nothing of the gateway's code: everything is seen from outside.

pub(crate) mod certs;
pub(crate) mod gateway;
pub(crate) mod origin;
pub(crate) mod plan;
pub(crate) mod ports;
pub(crate) mod provider;
pub(crate) mod raw;
pub(crate) mod redis;
pub(crate) mod tools;
pub(crate) mod vault;

use std::time::{Duration, Instant};

pub(crate) use gateway::Gateway;
pub(crate) use origin::{Origin, Step};
pub(crate) use plan::Plan;
pub(crate) use raw::{Conn, Response, exchange};

/// How long anything that must happen may take on a loaded machine. Reached only when a test fails.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// Asks again until there is an answer; fails the test with `what` when none came.
#[track_caller]
pub(crate) fn until<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + PATIENCE;
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(
            Instant::now() < end,
            "still not so after {PATIENCE:?}: {what}"
        );
        std::thread::sleep(Duration::from_millis(10));
    }
}

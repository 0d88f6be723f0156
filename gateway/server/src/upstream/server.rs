//! One server: its addresses, whether its health checks pass, whether it failed in passing. Lives on across reloads.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use policy::settings::ServerAddress;

/// Failed connections in a row until a server is left alone, and for how long.
const FAILURES: u32 = 3;
const PAUSE: Duration = Duration::from_secs(10);

/// See the module.
#[derive(Debug)]
pub(crate) struct Server {
    address: ServerAddress,
    name: String,
    resolved: ArcSwap<Vec<SocketAddr>>,
    turn: AtomicUsize,
    healthy: AtomicBool,
    streak: AtomicU32,
    failures: AtomicU32,
    paused_until: AtomicU64,
}

/// Milliseconds since this process began to ask.
fn clock() -> u64 {
    static EPOCH: OnceLock<Instant> = OnceLock::new();
    let epoch = EPOCH.get_or_init(Instant::now);
    u64::try_from(epoch.elapsed().as_millis()).unwrap_or(u64::MAX)
}

impl Server {
    pub(super) fn new(address: &ServerAddress) -> Self {
        let literal = match address {
            ServerAddress::Tcp(host, port) => host
                .parse::<IpAddr>()
                .map(|ip| SocketAddr::new(ip, *port))
                .ok(),
            ServerAddress::Unix(_) => None,
        };
        Self {
            address: address.clone(),
            name: address.to_string(),
            resolved: ArcSwap::from_pointee(literal.into_iter().collect()),
            turn: AtomicUsize::new(0),
            healthy: AtomicBool::new(true),
            streak: AtomicU32::new(0),
            failures: AtomicU32::new(0),
            paused_until: AtomicU64::new(0),
        }
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn address(&self) -> &ServerAddress {
        &self.address
    }

    /// Has an address and passes its health checks, if it has any.
    pub(super) fn alive(&self) -> bool {
        let reachable =
            matches!(self.address, ServerAddress::Unix(_)) || !self.resolved.load().is_empty();
        reachable && self.healthy.load(Ordering::Relaxed)
    }

    /// Alive, and not left alone after failed connections.
    pub(super) fn good(&self) -> bool {
        self.alive()
            && (self.failures.load(Ordering::Relaxed) < FAILURES
                || clock() >= self.paused_until.load(Ordering::Relaxed))
    }

    pub(super) fn failed(&self) {
        if self.failures.fetch_add(1, Ordering::Relaxed) + 1 >= FAILURES {
            let until =
                clock().saturating_add(u64::try_from(PAUSE.as_millis()).unwrap_or(u64::MAX));
            self.paused_until.store(until, Ordering::Relaxed);
        }
    }

    pub(super) fn connected(&self) {
        if self.failures.load(Ordering::Relaxed) != 0 {
            self.failures.store(0, Ordering::Relaxed);
        }
    }

    /// The next of its addresses.
    pub(super) fn socket(&self) -> Option<SocketAddr> {
        let resolved = self.resolved.load();
        let turn = match resolved.len() {
            0 | 1 => 0,
            several => self.turn.fetch_add(1, Ordering::Relaxed) % several,
        };
        resolved.get(turn).copied()
    }

    /// The name to look up, where there is one.
    pub(super) fn lookup(&self) -> Option<(&str, u16)> {
        match &self.address {
            ServerAddress::Tcp(host, port) if host.parse::<IpAddr>().is_err() => {
                Some((host, *port))
            }
            ServerAddress::Tcp(..) | ServerAddress::Unix(_) => None,
        }
    }

    /// Takes what a look-up found; nothing found keeps what was known.
    pub(super) fn resolve(&self, mut found: Vec<SocketAddr>) {
        found.sort_unstable();
        found.dedup();
        if !found.is_empty() && **self.resolved.load() != found {
            self.resolved.store(Arc::new(found));
        }
    }

    pub(super) fn resolved(&self) -> bool {
        self.lookup().is_none() || !self.resolved.load().is_empty()
    }

    /// Takes the outcome of a probe; whether the server counts as healthy now.
    pub(super) fn probed(&self, good: bool, healthy_after: u32, unhealthy_after: u32) -> bool {
        let before = self.healthy.load(Ordering::Relaxed);
        if before == good {
            self.streak.store(0, Ordering::Relaxed);
            return before;
        }
        let needed = if good { healthy_after } else { unhealthy_after };
        if self.streak.fetch_add(1, Ordering::Relaxed) + 1 < needed {
            return before;
        }
        self.streak.store(0, Ordering::Relaxed);
        self.failures.store(0, Ordering::Relaxed);
        self.healthy.store(good, Ordering::Relaxed);
        good
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_its_health_only_after_enough_probes_in_a_row() {
        let server = Server::new(&ServerAddress::Tcp("127.0.0.1".to_owned(), 1));
        assert!(server.probed(false, 2, 2));
        assert!(server.probed(true, 2, 2));
        assert!(server.probed(false, 2, 2));
        assert!(!server.probed(false, 2, 2));
        assert!(!server.alive());
        assert!(!server.probed(true, 2, 2));
        assert!(server.probed(true, 2, 2));
        assert!(server.alive());
    }

    #[test]
    fn is_left_alone_after_failures_and_forgiven_by_a_connection() {
        let server = Server::new(&ServerAddress::Tcp("127.0.0.1".to_owned(), 1));
        for _ in 0..FAILURES {
            assert!(server.good());
            server.failed();
        }
        assert!(!server.good() && server.alive());
        server.connected();
        assert!(server.good());
    }

    #[test]
    fn a_name_without_an_address_is_not_alive() {
        let server = Server::new(&ServerAddress::Tcp("app.internal".to_owned(), 1));
        assert!(!server.alive());
        server.resolve(vec![SocketAddr::from(([127, 0, 0, 1], 1))]);
        assert!(server.alive());
        server.resolve(Vec::new());
        assert!(server.alive());
    }
}

//! The servers that are asked: how many calls each may have under way, and whether it works. Named by policies, so few.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use parking_lot::RwLock;
use policy::io::FetchFault;
use tokio::sync::Semaphore;

/// Calls under way at a time, to one server: one that hangs must leave places for the others.
const MOST_CALLS: usize = 64;
/// Servers told apart; policies that come and go must not fill the memory, or the metrics.
const MOST: usize = 256;

/// A server.
#[derive(Debug)]
pub(super) struct Host {
    /// Host and port, as in the URL.
    pub(super) name: String,
    pub(super) places: Semaphore,
    failing: AtomicBool,
}

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Hosts(RwLock<HashMap<String, Arc<Host>>>);

impl Hosts {
    pub(super) fn of(&self, url: &str) -> Arc<Host> {
        let name = authority(url);
        if let Some(known) = self.0.read().get(name) {
            return Arc::clone(known);
        }
        let mut all = self.0.write();
        let name = if all.len() < MOST { name } else { "other" };
        let host = all.entry(name.to_owned()).or_insert_with(|| {
            Arc::new(Host {
                name: name.to_owned(),
                places: Semaphore::new(MOST_CALLS),
                failing: AtomicBool::new(false),
            })
        });
        Arc::clone(host)
    }
}

impl Host {
    /// Notes how a call ended; whether the server works, when that is news.
    pub(super) fn turned(&self, outcome: &Result<(u16, Bytes), FetchFault>) -> Option<bool> {
        let works = matches!(outcome, Ok((status, _)) if *status < 500);
        let failed = self.failing.swap(!works, Ordering::Relaxed);
        (failed == works).then_some(works)
    }
}

/// Without user and password, should there be any.
fn authority(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let authority = rest.get(..end).unwrap_or(rest);
    authority
        .rsplit_once('@')
        .map_or(authority, |(_, host)| host)
}

#[cfg(test)]
mod tests {
    use super::{Hosts, authority};

    #[test]
    fn a_server_is_its_host_and_port() {
        assert_eq!(
            authority("https://id.example:8443/keys?x=/"),
            "id.example:8443"
        );
        assert_eq!(authority("http://user:word@[::1]:80"), "[::1]:80");
    }

    #[test]
    fn tells_of_a_failure_and_of_its_end_once() {
        use bytes::Bytes;
        use policy::io::FetchFault;
        let host = Hosts::default().of("http://a/");
        let fine = Ok((404, Bytes::new()));
        assert_eq!(host.turned(&fine), None);
        assert_eq!(host.turned(&Err(FetchFault::Down)), Some(false));
        assert_eq!(host.turned(&Ok((503, Bytes::new()))), None);
        assert_eq!(host.turned(&fine), Some(true));
    }
}

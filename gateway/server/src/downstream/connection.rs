//! What is known of a connection, and how many there may be: in total and per client. Knows nothing of requests.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use ahash::RandomState;
use hashbrown::HashMap;
use parking_lot::Mutex;
use pingora_core::protocols::http::server::ReusableHttpStream;
use pingora_core::protocols::raw_connect::ProxyDigest;
use pingora_http::ResponseHeader;
use policy::request::Tls;

use crate::record::Refused;

/// A connection's facts; every request on it sees them.
#[derive(Debug)]
pub(crate) struct Connection {
    /// The other end, or who a PROXY header says it is.
    pub peer: SocketAddr,
    /// The address that took the connection, or of which a PROXY header says that it did.
    pub server: Option<SocketAddr>,
    /// TLS facts where TLS ended here.
    pub tls: Option<Tls>,
    /// Requests that reached Pingora's hooks: when it does not advance, Pingora refused one on its own.
    pub seen: AtomicU32,
    /// A finished HTTP/1 stream of a held request, on its way back to the connection's loop.
    pub parked: Mutex<Option<ReusableHttpStream>>,
    /// Set when the chunks of the HTTP/1 request in flight are malformed.
    pub broken: Mutex<Option<Arc<AtomicBool>>>,
}

impl Connection {
    pub(crate) fn new(peer: SocketAddr, server: Option<SocketAddr>, tls: Option<Tls>) -> Arc<Self> {
        let canonical =
            |address: SocketAddr| SocketAddr::new(address.ip().to_canonical(), address.port());
        Arc::new(Self {
            peer: canonical(peer),
            server: server.map(canonical),
            tls,
            seen: AtomicU32::new(0),
            parked: Mutex::new(None),
            broken: Mutex::new(None),
        })
    }

    /// The port of a client that is this connection's other end; 0 of any other client.
    pub(crate) fn port_of(&self, client: IpAddr) -> u16 {
        if self.peer.ip() == client {
            self.peer.port()
        } else {
            0
        }
    }

    /// The facts in the form in which Pingora carries them along.
    pub(crate) fn digest(self: &Arc<Self>) -> Option<Arc<ProxyDigest>> {
        let header = ResponseHeader::build(200, Some(0)).ok()?;
        Some(Arc::new(ProxyDigest::new(
            Box::new(header),
            Some(Box::new(Arc::clone(self))),
        )))
    }

    /// The facts out of a digest.
    pub(crate) fn of(digest: &pingora_core::protocols::Digest) -> Option<&Arc<Self>> {
        digest
            .proxy_digest
            .as_ref()?
            .user_data
            .as_ref()?
            .downcast_ref::<Arc<Self>>()
    }
}

const SHARDS: usize = 16;

/// How many connections there are, by client: an IPv4 address or an IPv6 /64.
#[derive(Debug)]
pub(crate) struct Places {
    total: AtomicU64,
    shards: [Mutex<HashMap<IpAddr, u32, RandomState>>; SHARDS],
    hasher: RandomState,
}

impl Default for Places {
    fn default() -> Self {
        Self {
            total: AtomicU64::new(0),
            shards: std::array::from_fn(|_| Mutex::new(HashMap::with_hasher(RandomState::new()))),
            hasher: RandomState::new(),
        }
    }
}

impl Places {
    pub(crate) fn total(&self) -> u64 {
        self.total.load(Ordering::Acquire)
    }

    /// Takes a place among all connections.
    pub(crate) fn enter(self: &Arc<Self>, max: usize) -> Result<Place, Refused> {
        let taken = self.total.fetch_add(1, Ordering::Relaxed);
        if usize::try_from(taken).map_or(true, |taken| taken >= max) {
            self.total.fetch_sub(1, Ordering::Relaxed);
            return Err(Refused::Total);
        }
        Ok(Place {
            places: Arc::clone(self),
            client: None,
        })
    }

    fn leave(&self, client: IpAddr) {
        let Some(shard) = self.shard(client) else {
            return;
        };
        let mut shard = shard.lock();
        if let Some(count) = shard.get_mut(&client) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                shard.remove(&client);
            }
        }
    }

    fn shard(&self, client: IpAddr) -> Option<&Mutex<HashMap<IpAddr, u32, RandomState>>> {
        let index = usize::try_from(self.hasher.hash_one(client) % 16).unwrap_or(0);
        self.shards.get(index)
    }
}

/// A connection's place, given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    places: Arc<Places>,
    client: Option<IpAddr>,
}

impl Place {
    /// Counts the connection for its client, once that is known (behind a PROXY header, later than the accept).
    pub(crate) fn claim(&mut self, client: IpAddr, max: usize) -> Result<(), Refused> {
        let client = network(client);
        let Some(shard) = self.places.shard(client) else {
            return Err(Refused::PerClient);
        };
        let mut shard = shard.lock();
        let count = shard.entry(client).or_insert(0);
        if usize::try_from(*count).map_or(true, |count| count >= max) {
            return Err(Refused::PerClient);
        }
        *count += 1;
        self.client = Some(client);
        Ok(())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(client) = self.client {
            self.places.leave(client);
        }
        // Last: who sees the total go down may count on the client's place.
        self.places.total.fetch_sub(1, Ordering::Release);
    }
}

/// One client: an IPv6 subscriber has a /64, so that is what is counted.
fn network(client: IpAddr) -> IpAddr {
    match client.to_canonical() {
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
        v4 @ IpAddr::V4(_) => v4,
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn counts_addresses_of_one_v6_network_together_and_gives_places_back() {
        let places = Arc::new(Places::default());
        let mut first = places.enter(3).unwrap();
        first.claim("2001:db8::1".parse().unwrap(), 1).unwrap();
        let mut second = places.enter(3).unwrap();
        assert_eq!(
            second.claim("2001:db8::2".parse().unwrap(), 1),
            Err(Refused::PerClient)
        );
        drop(first);
        second.claim("2001:db8::2".parse().unwrap(), 1).unwrap();
        drop(second);
        assert_eq!(places.total(), 0);
        assert!(places.shards.iter().all(|shard| shard.lock().is_empty()));
    }

    #[test]
    fn refuses_past_the_total() {
        let places = Arc::new(Places::default());
        let _held = places.enter(1).unwrap();
        assert_eq!(places.enter(1).unwrap_err(), Refused::Total);
        assert_eq!(places.total(), 1);
    }
}

//! Who is next: in turn, by chance, or by a key. Knows positions, not servers.

use std::hash::{BuildHasher, Hasher};
use std::net::{Ipv6Addr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};

use ahash::RandomState;
use http::HeaderMap;
use http::header::COOKIE;
use pingora_ketama::{Bucket, Continuum};
use policy::settings::{HashKey, Server};

use crate::facts::Facts;

/// Longest cycle; weights are scaled down to fit.
const MAX_CYCLE: u32 = 4096;

/// Positions in a cycle in which each appears as often as its weight says, spread evenly (smooth weighted round robin,
/// as nginx does it).
#[derive(Debug)]
pub(super) struct Turns {
    cycle: Vec<usize>,
    at: AtomicUsize,
    chance: RandomState,
}

impl Turns {
    pub(super) fn new(servers: &[Server]) -> Self {
        Self {
            cycle: cycle(servers),
            at: AtomicUsize::new(0),
            chance: RandomState::new(),
        }
    }

    /// The next position that is allowed.
    pub(super) fn next(&self, allowed: &dyn Fn(&usize) -> bool) -> Option<usize> {
        self.from(self.at.fetch_add(1, Ordering::Relaxed), allowed)
    }

    /// Any position that is allowed.
    pub(super) fn random(&self, allowed: &dyn Fn(&usize) -> bool) -> Option<usize> {
        let count = self.at.fetch_add(1, Ordering::Relaxed);
        let drawn = usize::try_from(self.chance.hash_one(count) >> 1).unwrap_or(count);
        self.from(drawn, allowed)
    }

    fn from(&self, start: usize, allowed: &dyn Fn(&usize) -> bool) -> Option<usize> {
        let start = start.checked_rem(self.cycle.len())?;
        let (before, after) = self.cycle.split_at_checked(start)?;
        after
            .iter()
            .chain(before)
            .copied()
            .find(|index| allowed(index))
    }
}

fn cycle(servers: &[Server]) -> Vec<usize> {
    let divisor = servers
        .iter()
        .map(|server| u32::from(server.weight.max(1)))
        .fold(0, gcd)
        .max(1);
    let total: u32 = servers
        .iter()
        .map(|server| u32::from(server.weight.max(1)) / divisor)
        .sum();
    let scale = total.div_ceil(MAX_CYCLE).max(1);
    let weights: Vec<i64> = servers
        .iter()
        .map(|server| i64::from((u32::from(server.weight.max(1)) / divisor / scale).max(1)))
        .collect();
    let total: i64 = weights.iter().sum();
    let mut current = vec![0_i64; weights.len()];
    let mut cycle = Vec::new();
    for _ in 0..total {
        for (value, weight) in current.iter_mut().zip(&weights) {
            *value += weight;
        }
        let best = current
            .iter()
            .enumerate()
            .max_by_key(|(index, value)| (**value, usize::MAX - index));
        let Some((index, _)) = best else { break };
        if let Some(value) = current.get_mut(index) {
            *value -= total;
        }
        cycle.push(index);
    }
    cycle
}

fn gcd(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// A ketama ring. Servers stand on it by name, so that adding one moves few keys.
pub(super) struct Ring {
    ring: Continuum,
    nodes: Vec<SocketAddr>,
}

impl Ring {
    pub(super) fn new(servers: &[Server]) -> Self {
        let nodes: Vec<_> = servers
            .iter()
            .map(|server| node(&server.address.to_string()))
            .collect();
        let buckets: Vec<_> = nodes
            .iter()
            .zip(servers)
            .map(|(node, server)| Bucket::new(*node, u32::from(server.weight.max(1))))
            .collect();
        Self {
            ring: Continuum::new(&buckets),
            nodes,
        }
    }

    pub(super) fn pick(&self, key: &[u8], allowed: &dyn Fn(&usize) -> bool) -> Option<usize> {
        self.ring
            .node_iter(key)
            .filter_map(|node| self.nodes.iter().position(|other| other == node))
            .find(|index| allowed(index))
    }
}

/// Ketama knows addresses; a name or a socket path becomes one that nothing else depends on.
fn node(name: &str) -> SocketAddr {
    let mut halves = [0; 2];
    for (seed, half) in (1_u64..).zip(&mut halves) {
        let mut hasher = RandomState::with_seeds(seed, 2, 3, 4).build_hasher();
        hasher.write(name.as_bytes());
        *half = hasher.finish();
    }
    let [high, low] = halves;
    let bits = u128::from(high) << 64 | u128::from(low);
    SocketAddr::new(Ipv6Addr::from_bits(bits).into(), 1)
}

/// Calls `with` with the bytes to hash; without the thing that the policy names, the client's address.
pub(super) fn with_key<T>(
    key: &HashKey,
    facts: &Facts,
    headers: &HeaderMap,
    user: Option<&str>,
    with: impl FnOnce(&[u8]) -> T,
) -> T {
    let found = match key {
        HashKey::Client => None,
        HashKey::Path => Some(facts.path.as_bytes()),
        HashKey::User => user.map(str::as_bytes),
        HashKey::Header(name) => headers.get(name).map(http::HeaderValue::as_bytes),
        HashKey::Cookie(name) => cookie(headers, name.as_bytes()),
    };
    match (found, facts.client) {
        (Some(found), _) => with(found),
        (None, std::net::IpAddr::V4(address)) => with(&address.octets()),
        (None, std::net::IpAddr::V6(address)) => with(&address.octets()),
    }
}

fn cookie<'h>(headers: &'h HeaderMap, name: &[u8]) -> Option<&'h [u8]> {
    headers
        .get_all(COOKIE)
        .iter()
        .flat_map(|value| value.as_bytes().split(|byte| *byte == b';'))
        .find_map(|pair| {
            pair.trim_ascii_start()
                .strip_prefix(name)?
                .strip_prefix(b"=")
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use policy::settings::ServerAddress;

    fn servers(weights: &[u16]) -> Vec<Server> {
        (1_u16..)
            .zip(weights)
            .map(|(port, weight)| Server {
                address: ServerAddress::Tcp("127.0.0.1".to_owned(), port),
                weight: *weight,
            })
            .collect()
    }

    #[test]
    fn spreads_turns_by_weight() {
        assert_eq!(cycle(&servers(&[10, 10, 10])), [0, 1, 2]);
        assert_eq!(cycle(&servers(&[5, 1, 1])), [0, 0, 1, 0, 2, 0, 0]);
        assert!(cycle(&servers(&[1000, 999, 998, 997, 996, 995])).len() <= 4200);
    }

    #[test]
    fn skips_what_is_not_allowed() {
        let turns = Turns::new(&servers(&[1, 1, 1]));
        let picked: Vec<_> = (0..4)
            .filter_map(|_| turns.next(&|index| *index != 1))
            .collect();
        assert!(!picked.contains(&1) && picked.len() == 4);
        assert_eq!(turns.next(&|_| false), None);
        assert!(turns.random(&|index| *index == 2) == Some(2));
    }

    #[test]
    fn moves_few_keys_when_a_server_goes() {
        let all = Ring::new(&servers(&[1; 5]));
        let keys: Vec<_> = (0..1000).map(|key: u32| key.to_be_bytes()).collect();
        let moved = keys
            .iter()
            .filter(|key| {
                let before = all.pick(key.as_slice(), &|_| true);
                let after = all.pick(key.as_slice(), &|index| *index != 4);
                before != after && before != Some(4)
            })
            .count();
        assert_eq!(moved, 0);
        let mut counts = [0; 5];
        for key in &keys {
            if let Some(count) = all
                .pick(key, &|_| true)
                .and_then(|index| counts.get_mut(index))
            {
                *count += 1;
            }
        }
        assert!(
            counts.iter().all(|count| (100..330).contains(count)),
            "{counts:?}"
        );
    }
}

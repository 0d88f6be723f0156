//! Keys of counters, leases, bans and revocations: 128 bits of SipHash with a secret, over parts that cannot run into
//! each other. No client's text is kept, and nobody outside can make two clients share a key. Knows no store.

use std::hash::{BuildHasher as _, Hasher as _};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::OnceLock;

use http::HeaderName;
use sha2::{Digest as _, Sha256};
use siphasher::sip128::{Hasher128 as _, SipHasher13};

use crate::checks::Needs;
use crate::io::Key;
use crate::request::{Facts, Request};

mod part;

pub use part::Part;

/// The secret of a process's keys, or of all gateways that share a store. Copies are cheap; `Debug` shows nothing.
#[derive(Clone, Copy)]
pub struct Keys([u8; 16]);

static KEYS: OnceLock<Keys> = OnceLock::new();

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Keys(…)")
    }
}

impl Keys {
    /// From now on those of the process: a store that outlives it brings its own. Before any policy is loaded.
    ///
    /// # Errors
    /// `false` when others are in use already.
    #[must_use]
    pub fn install(self) -> bool {
        KEYS.set(self).is_ok()
    }

    /// Random unless installed, the same for the whole life of the process: counters survive a reload, and no restart
    /// repeats it.
    #[must_use]
    pub fn process() -> Self {
        *KEYS.get_or_init(|| {
            let (low, high) = (random(1).to_le_bytes(), random(2).to_le_bytes());
            let mut bytes = [0; 16];
            for (to, from) in bytes.iter_mut().zip(low.into_iter().chain(high)) {
                *to = from;
            }
            Self(bytes)
        })
    }

    /// The same on every gateway that holds the same secret, as a shared store needs it.
    #[must_use]
    pub fn derived(secret: &[u8]) -> Self {
        let mut digest = Sha256::new();
        digest.update(b"palisade/keys/1\0");
        digest.update(secret);
        let mut bytes = [0; 16];
        for (to, from) in bytes.iter_mut().zip(digest.finalize()) {
            *to = from;
        }
        Self(bytes)
    }

    /// Starts a key. Keys of different domains (a check's `stable_id`, a kind of revocation) never meet.
    #[must_use]
    pub fn start(&self, domain: u64) -> Builder {
        let mut hasher = SipHasher13::new_with_key(&self.0);
        hasher.write(&domain.to_le_bytes());
        Builder(hasher)
    }
}

/// The operating system's randomness, as std hands it out: SipHash under a random 128-bit key.
fn random(which: u64) -> u64 {
    std::hash::RandomState::new().hash_one(which)
}

/// A key in the making.
#[derive(Debug)]
pub struct Builder(SipHasher13);

impl Builder {
    /// Adds one part. Kind and length go first, so `("ab", "c")` and `("a", "bc")` differ, and a header never
    /// imitates a user.
    #[must_use]
    pub fn part(mut self, kind: u64, value: &[u8]) -> Self {
        self.0.write(&kind.to_le_bytes());
        self.0.write(&(value.len() as u64).to_le_bytes());
        self.0.write(value);
        self
    }

    /// Adds a client address: IPv4 whole, IPv6 by its /64, since one client owns at least that much.
    #[must_use]
    pub fn client(self, kind: u64, client: IpAddr) -> Self {
        match unmapped(client) {
            IpAddr::V4(address) => self.part(kind, &address.octets()),
            IpAddr::V6(address) => {
                let network = (u128::from(address) >> 64) as u64;
                self.part(kind, &network.to_le_bytes())
            }
        }
    }

    /// The key.
    #[must_use]
    pub fn finish(self) -> Key {
        Key(u128::from(self.0.finish128()))
    }
}

/// IPv4-mapped addresses are the IPv4 client that they are, whoever forgot to say so.
fn unmapped(client: IpAddr) -> IpAddr {
    match client {
        IpAddr::V6(address) => address.to_ipv4_mapped().map_or(client, IpAddr::V4),
        IpAddr::V4(_) => client,
    }
}

/// What a check's `key:` became: the parts, ready to be hashed without an allocation.
#[derive(Debug)]
pub struct Recipe {
    keys: Keys,
    domain: u64,
    parts: Vec<(u64, Part)>,
}

impl Recipe {
    /// Keys made of `parts`, in their order, apart from all other domains.
    #[must_use]
    pub fn new(keys: Keys, domain: u64, parts: Vec<Part>) -> Self {
        let parts = parts.into_iter().map(|part| (part.kind(), part)).collect();
        Self {
            keys,
            domain,
            parts,
        }
    }

    /// What must have been found out before.
    #[must_use]
    pub fn needs(&self) -> Needs {
        let mut needs = Needs::default();
        for (_, part) in &self.parts {
            needs.identity |= matches!(part, Part::User | Part::Claim(_));
            needs.place |= matches!(part, Part::Country);
        }
        needs
    }

    /// The key of this request. A part that the request lacks (no such header, nobody signed in) is replaced by the
    /// client address, under a kind of its own: whoever leaves a header out shares a bucket neither with an empty
    /// header nor with all others who left it out.
    #[must_use]
    pub fn key(&self, request: &Request<'_>, facts: &Facts, route: u64) -> Key {
        let mut builder = self.keys.start(self.domain);
        for (kind, part) in &self.parts {
            builder = part
                .add(*kind, builder, request, facts, route)
                .unwrap_or_else(|builder| builder.client(!*kind, request.client));
        }
        builder.finish()
    }
}

/// A hash that does not change between builds or processes: names of kinds and checks become numbers by it. Not
/// keyed, so only for text from policies.
#[must_use]
pub fn stable(text: &str) -> u64 {
    let mut hasher = siphasher::sip::SipHasher13::new();
    hasher.write(text.as_bytes());
    hasher.finish()
}

/// The /64 of an IPv6 address, the address itself for IPv4: what the gateway calls one client.
#[must_use]
pub fn client_network(client: IpAddr) -> IpAddr {
    match unmapped(client) {
        IpAddr::V6(address) => {
            let network = u128::from(address) >> 64 << 64;
            IpAddr::V6(Ipv6Addr::from(network))
        }
        v4 @ IpAddr::V4(_) => v4,
    }
}

/// For parts that name a header.
fn header_name(name: &str) -> Result<HeaderName, String> {
    HeaderName::from_bytes(name.as_bytes()).map_err(|_| format!("`{name}` is not a header name"))
}

#[cfg(test)]
mod tests;

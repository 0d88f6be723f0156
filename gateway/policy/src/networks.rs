//! Sets of networks: compact, immutable, looked up in well under 200 ns however many there are. It owns what an
//! entry of a list looks like ([`Builder`]); it knows nothing of allow and deny.
//!
//! Overlapping entries are flattened into disjoint ranges, each with the latest end among the entries that cover it:
//! an address is in the set at a moment exactly when some entry that covers it still holds then.

use std::net::IpAddr;

use ipnet::IpNet;

mod flat;
mod sorted;
mod text;

pub use text::{BadLine, Entry, entry};

use flat::Flat;

/// An immutable set of networks.
#[derive(Debug, Default)]
pub struct Networks {
    v4: Flat<u32>,
    v6: Flat<u128>,
    entries: usize,
}

impl Networks {
    /// Whether an entry covers the address now. IPv4-mapped IPv6 addresses count as IPv4.
    #[must_use]
    pub fn contains(&self, address: IpAddr, now_unix_ms: u64) -> bool {
        let end = match address.to_canonical() {
            IpAddr::V4(address) => self.v4.end(address.to_bits()),
            IpAddr::V6(address) => self.v6.end(address.to_bits()),
        };
        end == flat::FOREVER || u64::from(end) > now_unix_ms / 1000
    }

    /// How many entries it was made of.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries
    }

    /// Whether it covers nothing at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries == 0
    }

    /// Heap bytes in use.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.v4.bytes() + self.v6.bytes()
    }
}

impl FromIterator<IpNet> for Networks {
    fn from_iter<T: IntoIterator<Item = IpNet>>(networks: T) -> Self {
        let mut builder = Builder::default();
        for network in networks {
            builder.add(Entry::forever(network));
        }
        builder.build()
    }
}

/// Collects entries for [`Networks`].
#[derive(Debug, Default)]
pub struct Builder {
    v4: Vec<flat::Span<u32>>,
    v6: Vec<flat::Span<u128>>,
}

impl Builder {
    /// Adds one entry.
    pub fn add(&mut self, entry: Entry) {
        match entry {
            Entry::V4(span) => self.v4.push(span),
            Entry::V6(span) => self.v6.push(span),
        }
    }

    /// Adds every entry of a list: one per line, `#` and `;` begin a comment. Bad lines are returned, all of them up
    /// to `most`; the good ones are in.
    pub fn add_list(&mut self, list: &[u8], most: usize) -> Vec<BadLine> {
        text::add_list(self, list, most)
    }

    /// The set.
    #[must_use]
    pub fn build(self) -> Networks {
        Networks {
            entries: self.v4.len() + self.v6.len(),
            v4: Flat::new(self.v4),
            v6: Flat::new(self.v6),
        }
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use proptest::prelude::*;

    use super::*;

    fn set(lines: &str) -> Networks {
        let mut builder = Builder::default();
        assert_eq!(builder.add_list(lines.as_bytes(), 10), Vec::new());
        builder.build()
    }

    fn has(set: &Networks, address: &str) -> bool {
        set.contains(address.parse().unwrap(), 0)
    }

    #[test]
    fn covers_networks_addresses_and_ranges() {
        let set = set("10.0.0.0/8\n192.0.2.7\n198.51.100.10-198.51.100.20\n2001:db8::/32\n::1\n");
        for inside in [
            "10.0.0.0",
            "10.255.255.255",
            "192.0.2.7",
            "198.51.100.10",
            "198.51.100.20",
            "2001:db8::1",
            "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff",
            "::1",
            "::ffff:10.1.2.3",
        ] {
            assert!(has(&set, inside), "{inside}");
        }
        for outside in [
            "9.255.255.255",
            "11.0.0.0",
            "192.0.2.6",
            "192.0.2.8",
            "198.51.100.9",
            "198.51.100.21",
            "2001:db9::",
            "::2",
            "::",
            "0.0.0.1",
        ] {
            assert!(!has(&set, outside), "{outside}");
        }
        assert_eq!(set.len(), 5);
    }

    #[test]
    fn ends_of_the_address_space_hold() {
        let all = set("0.0.0.0/0\n::/0\n");
        let last = set("255.255.255.255\nffff::/16\n");
        for address in ["0.0.0.0", "255.255.255.255", "::", "ffff::ffff"] {
            assert!(has(&all, address));
        }
        assert!(has(&last, "255.255.255.255") && !has(&last, "255.255.255.254"));
        assert!(has(&last, "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"));
        assert!(!has(&set(""), "0.0.0.0") && !has(&Networks::default(), "::1"));
    }

    #[test]
    fn a_mapped_network_is_an_ipv4_network() {
        let set = set("::ffff:192.0.2.0/120\n");
        assert!(has(&set, "192.0.2.9") && has(&set, "::ffff:192.0.2.9"));
        assert!(!has(&set, "192.0.3.0"));
    }

    #[test]
    fn an_expired_entry_uncovers_the_wider_one() {
        let set = set("192.0.2.0/24 until 2026-01-01T00:00:00Z\n192.0.2.0/28\n\
             192.0.2.128/25 until 2027-01-01T00:00:00Z\n");
        let at = |address: &str, time: &str| {
            let time: jiff::Timestamp = time.parse().unwrap();
            set.contains(
                address.parse().unwrap(),
                time.as_millisecond().try_into().unwrap(),
            )
        };
        assert!(at("192.0.2.100", "2025-12-31T23:59:59Z"));
        assert!(!at("192.0.2.100", "2026-01-01T00:00:00Z"));
        assert!(at("192.0.2.5", "2040-01-01T00:00:00Z"));
        assert!(at("192.0.2.200", "2026-12-31T00:00:00Z"));
        assert!(!at("192.0.2.200", "2027-01-01T00:00:00Z"));
    }

    fn span() -> impl Strategy<Value = (u32, u32, u32)> {
        // A small space, so that entries overlap in every way; both ends of the address space in it.
        let point = prop_oneof![0u32..40, (u32::MAX - 39)..=u32::MAX, 65_530u32..65_560];
        (point, 0u32..30, prop_oneof![Just(flat::FOREVER), 1u32..5])
            .prop_map(|(start, length, end)| (start, start.saturating_add(length), end))
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(512))]

        #[test]
        fn agrees_with_asking_every_entry(spans in prop::collection::vec(span(), 0..24)) {
            let mut builder = Builder::default();
            for &(first, last, until) in &spans {
                builder.add(Entry::V4(flat::Span { first, last, until }));
                let wide = |value: u32| u128::from(value) << 64 | u128::from(value);
                builder.add(Entry::V6(flat::Span { first: wide(first), last: wide(last), until }));
            }
            let set = builder.build();
            for point in (0..80).chain((u32::MAX - 45)..=u32::MAX).chain(65_525..65_600) {
                for now in 0u32..6 {
                    let ms = u64::from(now) * 1000;
                    let want = spans.iter().any(|&(first, last, until)| {
                        (first..=last).contains(&point) && (until == flat::FOREVER || until > now)
                    });
                    prop_assert_eq!(set.contains(Ipv4Addr::from_bits(point).into(), ms), want);
                    let wide = u128::from(point) << 64 | u128::from(point);
                    let six = Ipv6Addr::from_bits(wide);
                    if six.to_ipv4_mapped().is_none() {
                        prop_assert_eq!(set.contains(six.into(), ms), want);
                    }
                }
            }
        }
    }
}

//! Addresses in networks. A value that is no address is in no network.

use std::net::IpAddr;

use ipnet::{IpNet, Ipv4Net};

pub(super) fn contains(networks: &[IpNet], value: &[u8]) -> bool {
    address(value).is_some_and(|address| networks.iter().any(|network| network.contains(&address)))
}

/// The address a value spells.
pub(crate) fn address(value: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(value).ok()?.trim();
    text.parse().ok().map(super::canonical)
}

/// A network or a single address.
pub(crate) fn parse(text: &str) -> Option<IpNet> {
    let network = text.parse::<IpNet>().ok();
    let network = network.or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from))?;
    Some(mapped(network).unwrap_or(network))
}

/// The IPv4 network that one of IPv4-mapped addresses means: values are compared in that form.
fn mapped(network: IpNet) -> Option<IpNet> {
    let IpNet::V6(six) = network else { return None };
    let address = six.addr().to_ipv4_mapped()?;
    let length = six.prefix_len().checked_sub(96)?;
    Some(Ipv4Net::new(address, length).ok()?.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_networks_addresses_and_mapped_addresses() {
        let networks: Vec<IpNet> = ["10.0.0.0/8", "2001:db8::1", "::ffff:198.51.100.0/120"]
            .iter()
            .filter_map(|text| parse(text))
            .collect();
        for inside in [
            "10.1.2.3",
            "::ffff:10.1.2.3",
            "2001:db8::1",
            "198.51.100.4",
            "::ffff:c633:6404",
        ] {
            assert!(contains(&networks, inside.as_bytes()), "{inside}");
        }
        for outside in ["11.0.0.1", "2001:db8::2", "", "ten", "10.0.0.1 or 1=1"] {
            assert!(!contains(&networks, outside.as_bytes()), "{outside}");
        }
    }
}

//! How entries are written: `192.0.2.0/24`, `192.0.2.7`, `192.0.2.1-192.0.2.9`, each with an optional
//! ` until 2026-12-31T00:00:00Z`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

use super::Builder;
use super::flat::{FOREVER, Span};

/// One entry of a set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Entry {
    /// IPv4, IPv4-mapped IPv6 included.
    V4(Span<u32>),
    /// IPv6.
    V6(Span<u128>),
}

impl Entry {
    /// A network without an end.
    #[must_use]
    pub fn forever(network: IpNet) -> Self {
        match network {
            IpNet::V4(network) => Self::v4(network.network(), network.broadcast()),
            IpNet::V6(network) => Self::v6(network.network(), network.broadcast()),
        }
    }

    fn v4(first: Ipv4Addr, last: Ipv4Addr) -> Self {
        Self::V4(Span {
            first: first.to_bits(),
            last: last.to_bits(),
            until: FOREVER,
        })
    }

    /// Mapped on both ends means IPv4: clients are compared unmapped.
    fn v6(first: Ipv6Addr, last: Ipv6Addr) -> Self {
        if let (Some(first), Some(last)) = (first.to_ipv4_mapped(), last.to_ipv4_mapped()) {
            return Self::v4(first, last);
        }
        Self::V6(Span {
            first: first.to_bits(),
            last: last.to_bits(),
            until: FOREVER,
        })
    }

    fn until(mut self, end: u32) -> Self {
        match &mut self {
            Self::V4(span) => span.until = end,
            Self::V6(span) => span.until = end,
        }
        self
    }
}

/// A line of a list that is not an entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadLine {
    /// From one.
    pub line: usize,
    /// What is wrong with it.
    pub message: String,
}

/// Adds a list; see [`Builder::add_list`].
pub(super) fn add_list(builder: &mut Builder, list: &[u8], most: usize) -> Vec<BadLine> {
    let mut bad = Vec::new();
    let list = list.strip_prefix(b"\xef\xbb\xbf").unwrap_or(list);
    for (index, line) in list.split(|&byte| byte == b'\n').enumerate() {
        let text = line
            .split(|&byte| byte == b'#' || byte == b';')
            .next()
            .unwrap_or_default()
            .trim_ascii();
        if text.is_empty() {
            continue;
        }
        let parsed = std::str::from_utf8(text)
            .map_err(|_| "not UTF-8".to_owned())
            .and_then(entry);
        match parsed {
            Ok(entry) => builder.add(entry),
            Err(message) if bad.len() < most => bad.push(BadLine {
                line: index + 1,
                message,
            }),
            Err(_) => break,
        }
    }
    bad
}

/// Reads one entry, without a comment.
///
/// # Errors
/// A sentence that quotes what is wrong.
pub fn entry(text: &str) -> Result<Entry, String> {
    let mut words = text.split_ascii_whitespace();
    let network = words.next().unwrap_or_default();
    let entry = network_entry(network).ok_or_else(|| {
        format!(
            "`{}` is not a network, an address or a range",
            quoted(network)
        )
    })?;
    match (words.next(), words.next(), words.next()) {
        (None, ..) => Ok(entry),
        (Some("until"), Some(time), None) => until(time).map(|end| entry.until(end)),
        (Some(word), ..) => Err(format!(
            "`{}` after the network; only `until` and a time such as 2026-12-31T00:00:00Z may follow",
            quoted(word)
        )),
    }
}

fn network_entry(text: &str) -> Option<Entry> {
    if let Some((first, last)) = text.split_once('-') {
        return match (address(first)?, address(last)?) {
            (IpAddr::V4(first), IpAddr::V4(last)) if first <= last => Some(Entry::v4(first, last)),
            (IpAddr::V6(first), IpAddr::V6(last)) if first <= last => Some(Entry::v6(first, last)),
            _ => None,
        };
    }
    if text.contains('/') {
        return text.parse().ok().map(Entry::forever);
    }
    Some(match address(text)? {
        IpAddr::V4(address) => Entry::v4(address, address),
        IpAddr::V6(address) => Entry::v6(address, address),
    })
}

fn address(text: &str) -> Option<IpAddr> {
    text.parse().ok()
}

/// Whole seconds, rounded up, so that an entry never ends early.
fn until(text: &str) -> Result<u32, String> {
    let time: jiff::Timestamp = text.parse().map_err(|_| {
        format!(
            "`{}` is not a time such as 2026-12-31T00:00:00Z",
            quoted(text)
        )
    })?;
    let seconds = (time.as_millisecond().saturating_add(999)) / 1000;
    // 2106 is as good as forever; a time before 1970 has passed.
    Ok(u32::try_from(seconds.max(1)).unwrap_or(FOREVER))
}

/// What goes into a message: the beginning, without control characters.
fn quoted(text: &str) -> String {
    text.chars()
        .take(60)
        .filter(|letter| !letter.is_control())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bad_line_is_named() {
        let mut builder = Builder::default();
        let list = "\u{feff}# ours\r\n10.0.0.0/8 ; SBL1\r\n10.0.0.0/33\n\n300.1.1.1\n1.2.3.4 forever\n\
                    1.2.3.4 until tomorrow\n2.0.0.9-2.0.0.1\n1.2.3.4-::1\n  2001:db8::1  # six\n1.2.3.4 until";
        let bad = builder.add_list(list.as_bytes(), 100);
        let lines: Vec<_> = bad.iter().map(|bad| bad.line).collect();
        assert_eq!(lines, [3, 5, 6, 7, 8, 9, 11]);
        assert_eq!(
            bad.first().map(|bad| bad.message.as_str()),
            Some("`10.0.0.0/33` is not a network, an address or a range")
        );
        assert_eq!(builder.build().len(), 2);
    }

    #[test]
    fn stops_at_the_most_bad_lines_asked_for() {
        let mut builder = Builder::default();
        assert_eq!(builder.add_list(&b"x\n".repeat(100), 5).len(), 5);
        assert_eq!(builder.add_list(b"\xff\xfe\n", 5).len(), 1);
    }
}

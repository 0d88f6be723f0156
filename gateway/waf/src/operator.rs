//! What a value is put to. One closed enum; each operator says what a value must hold before it could match, and
//! never looks at more than the value.

mod injection;
pub(crate) mod network;
pub(crate) mod pattern;
mod phrases;

use std::net::IpAddr;

use ipnet::IpNet;
pub(crate) use pattern::Pattern;
pub(crate) use phrases::Phrases;

use crate::{bytes::ByteSet, compile::requirement::Requirement};

/// A compiled operator with its argument.
#[derive(Debug)]
pub(crate) enum Operator {
    Pattern(Box<Pattern>),
    Phrases(Box<Phrases>),
    Equals(Box<[u8]>),
    Contains(Box<[u8]>),
    StartsWith(Box<[u8]>),
    EndsWith(Box<[u8]>),
    LongerThan(usize),
    IpIn(Vec<IpNet>),
    Sqli,
    Xss,
}

impl Operator {
    pub(crate) fn matches(&self, value: &[u8]) -> bool {
        match self {
            Self::Pattern(pattern) => pattern.is_match(value),
            Self::Phrases(phrases) => phrases.is_match(value),
            Self::Equals(own) => value == &**own,
            Self::Contains(own) => memchr::memmem::find(value, own).is_some(),
            Self::StartsWith(own) => value.starts_with(own),
            Self::EndsWith(own) => value.ends_with(own),
            Self::LongerThan(length) => value.len() > *length,
            Self::IpIn(networks) => network::contains(networks, value),
            Self::Sqli => injection::is_sqli(value),
            Self::Xss => injection::is_xss(value),
        }
    }

    /// What must hold of a value before this could match.
    pub(crate) fn requirement(&self) -> Requirement {
        match self {
            Self::Pattern(pattern) => pattern.requirement(),
            Self::Phrases(phrases) => phrases.requirement(),
            Self::Equals(own)
            | Self::Contains(own)
            | Self::StartsWith(own)
            | Self::EndsWith(own) => Requirement::any_of([&**own]),
            Self::LongerThan(length) => Requirement {
                min_len: length.saturating_add(1),
                ..Requirement::none()
            },
            Self::IpIn(_) => Requirement::none(),
            Self::Sqli => injection::sqli_requirement(),
            Self::Xss => injection::xss_requirement(),
        }
    }

    /// Work of one question in units of bytes scanned, relative to one pass of an automaton.
    pub(crate) const fn weight(&self) -> u64 {
        match self {
            Self::Pattern(pattern) => pattern.weight(),
            Self::Sqli | Self::Xss => 8,
            _ => 1,
        }
    }
}

/// A client address as rules compare it: IPv4 in IPv6 is IPv4.
pub(crate) fn canonical(address: IpAddr) -> IpAddr {
    address.to_canonical()
}

/// Bytes a value made of letters, digits and `_` does not have.
fn other_than_word() -> ByteSet {
    let mut set = ByteSet::EMPTY;
    for byte in 0..=u8::MAX {
        if !(byte.is_ascii_alphanumeric() || byte == b'_') {
            set.insert(byte);
        }
    }
    set
}

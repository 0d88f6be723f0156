//! What a value is put to. One closed enum; each operator says what a value must hold before it could match, and
//! never looks at more than the value.

mod backtrack;
pub(crate) mod checksum;
pub(crate) mod compare;
pub(crate) mod injection;
pub(crate) mod made;
pub(crate) mod network;
pub(crate) mod pattern;
pub(crate) mod pcre;
mod phrases;
mod prose;
mod sqli;
pub(crate) mod validate;

use std::net::IpAddr;

pub(crate) use checksum::Checksum;
pub(crate) use compare::{Comparison, Relation};
use ipnet::IpNet;
pub(crate) use pattern::Pattern;
pub(crate) use phrases::Phrases;

use crate::{bytes::ByteSet, compile::requirement::Requirement, limits::Budget, text::Text};

/// A compiled operator with its argument.
#[derive(Debug)]
pub(crate) enum Operator {
    Pattern(Box<Pattern>),
    Phrases(Box<Phrases>),
    Compare(Comparison),
    LongerThan(usize),
    IpIn(Vec<IpNet>),
    Sqli,
    Xss,
    /// A byte outside these.
    BytesOutside(ByteSet),
    BadUrlEncoding,
    BadUtf8,
    /// A pattern that holds macros: compiled when it is asked.
    Made(made::Made),
    /// A number that its pattern finds and whose check digits are right.
    Number(Box<Pattern>, Checksum),
    /// Knows where the address is. The walk asks it: it leaves what it found in GEO.
    GeoLookup,
    Always,
    Never,
}

impl Operator {
    /// `operand` is the operator's text, expanded; empty for operators without one.
    pub(crate) fn matches(&self, value: &[u8], operand: &[u8], budget: &mut Budget) -> bool {
        match self {
            Self::Pattern(pattern) => pattern.is_match(value, budget),
            Self::Phrases(phrases) => phrases.is_match(value),
            Self::Compare(comparison) => comparison.holds(value, operand),
            Self::LongerThan(length) => value.len() > *length,
            Self::IpIn(networks) => network::contains(networks, value),
            Self::Sqli => injection::is_sqli(value, budget),
            Self::Xss => injection::is_xss(value),
            Self::BytesOutside(allowed) => validate::outside(*allowed, value),
            Self::BadUrlEncoding => validate::bad_url_encoding(value),
            Self::BadUtf8 => validate::bad_utf8(value),
            Self::Made(made) => made.is_match(value, operand, budget),
            Self::Number(pattern, checksum) => checksum.occurs(pattern, value),
            Self::Always => true,
            Self::GeoLookup | Self::Never => false,
        }
    }

    /// The text that must be expanded before the operator is asked.
    pub(crate) const fn operand(&self) -> Option<&Text> {
        match self {
            Self::Compare(comparison) => Some(&comparison.operand),
            Self::Made(made) => Some(&made.text),
            _ => None,
        }
    }

    pub(crate) const fn operand_mut(&mut self) -> Option<&mut Text> {
        match self {
            Self::Compare(comparison) => Some(&mut comparison.operand),
            Self::Made(made) => Some(&mut made.text),
            _ => None,
        }
    }

    /// What must hold of a value over `alphabet` before this could match; nothing when none can.
    pub(crate) fn requirement(&self, alphabet: ByteSet) -> Option<Requirement> {
        match self {
            Self::Pattern(pattern) | Self::Number(pattern, _) => pattern.requirement(alphabet),
            Self::Never => None,
            _ => self.plain_requirement().within(alphabet),
        }
    }

    fn plain_requirement(&self) -> Requirement {
        match self {
            Self::Phrases(phrases) => phrases.requirement(),
            Self::Compare(comparison) => comparison.requirement(),
            Self::LongerThan(length) => Requirement {
                min_len: length.saturating_add(1),
                ..Requirement::none()
            },
            Self::Sqli => injection::sqli_requirement(),
            Self::Xss => injection::xss_requirement(),
            Self::BytesOutside(allowed) => Requirement::only(allowed.complement()),
            Self::BadUrlEncoding => Requirement::only(ByteSet::of(b"%")),
            Self::BadUtf8 => {
                let mut high = ByteSet::EMPTY;
                high.insert_range(0x80, 0xFF);
                Requirement::only(high)
            }
            Self::Pattern(_)
            | Self::Number(..)
            | Self::IpIn(_)
            | Self::Made(_)
            | Self::GeoLookup
            | Self::Always
            | Self::Never => Requirement::none(),
        }
    }

    /// Work of one question in units of bytes scanned, relative to one pass of an automaton.
    pub(crate) const fn weight(&self) -> u64 {
        match self {
            Self::Pattern(pattern) => pattern.weight(),
            Self::Xss | Self::Number(..) => 8,
            Self::Sqli => 2,
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

//! Looks at a whole database once: every network of the tree, every record that one points to, every value in it.
//!
//! `Reader::verify` does the same but refuses files whose description is empty, which the databases of ip-location-db
//! are; so its parts are put together here.

use std::collections::HashSet;
use std::fmt;

use bytes::Bytes;
use maxminddb::{Reader, WithinOptions};
use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

/// What is wrong with a database, if anything is.
pub(super) fn verify(reader: &Reader<Bytes>, bytes: &Bytes) -> Result<(), String> {
    let metadata = reader.metadata();
    let tree = metadata.node_count as usize * usize::from(metadata.record_size) / 4;
    let separator = bytes.get(tree..tree + 16).unwrap_or_default();
    if separator.len() < 16 || separator.iter().any(|&byte| byte != 0) {
        return Err("the search tree does not end where the metadata says".to_owned());
    }
    // A tree of n nodes has n + 1 leaves; far more of them is a cycle.
    let mut left = (metadata.node_count as usize).saturating_mul(3).saturating_add(2);
    let mut seen = HashSet::new();
    let everything = WithinOptions::default().include_networks_without_data();
    for network in reader.networks(everything).map_err(|why| why.to_string())? {
        let network = network.map_err(|why| why.to_string())?;
        left = left.checked_sub(1).ok_or("the search tree runs in a circle")?;
        if network.offset().is_some_and(|offset| seen.insert(offset)) {
            network.decode::<Whole>().map_err(|why| why.to_string())?;
        }
    }
    Ok(())
}

/// Reads a value to its last leaf and keeps nothing.
struct Whole;

impl<'de> Deserialize<'de> for Whole {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(Self)
    }
}

impl<'de> Visitor<'de> for Whole {
    type Value = Self;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_u128<E>(self, _: u128) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_str<E>(self, _: &str) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_bytes<E>(self, _: &[u8]) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self, A::Error> {
        while list.next_element::<Self>()?.is_some() {}
        Ok(self)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self, A::Error> {
        while map.next_entry::<&str, Self>()?.is_some() {}
        Ok(self)
    }
}

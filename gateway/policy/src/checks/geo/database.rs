//! One database in MaxMind's format, verified before it is used. A look-up decodes only what a place needs, out of
//! whichever of the common shapes the file has, and allocates nothing.
//!
//! | source | country | continent | system |
//! |---|---|---|---|
//! | MaxMind, DB-IP | `country: {iso_code}`, `registered_country` | `continent: {code}` | `autonomous_system_number` |
//! | ip-location-db | `country_code` | – | `autonomous_system_number` |
//! | IPinfo | `country`, `country_code` | `continent`, `continent_code` | `asn: "AS64496"` |

use std::collections::HashSet;
use std::fmt;
use std::net::IpAddr;

use bytes::Bytes;
use maxminddb::Reader;
use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};

use super::codes;
use crate::request::Place;

mod verify;

/// A verified database.
#[derive(Debug)]
pub(super) struct Database {
    reader: Reader<Bytes>,
}

impl Database {
    /// Some damage shows only on look-up, so everything is looked at once.
    pub(super) fn open(bytes: Bytes) -> Result<Self, String> {
        let reader = Reader::from_source(bytes.clone()).map_err(|why| why.to_string())?;
        verify::verify(&reader, &bytes)?;
        Ok(Self { reader })
    }

    /// What it knows about an address; nothing when it does not cover it.
    pub(super) fn place(&self, client: IpAddr) -> Place {
        // An error is an IPv6 address in a database of IPv4, or damage that `verify` cannot see: not known.
        let found = self.reader.lookup(client.to_canonical()).and_then(|found| found.decode::<Record>());
        found.ok().flatten().unwrap_or_default().place()
    }

    /// A record as the file has it, if it has that shape.
    pub(super) fn decode<T: serde::de::DeserializeOwned>(&self, client: IpAddr) -> Option<T> {
        self.reader.lookup(client.to_canonical()).ok()?.decode().ok().flatten()
    }

    /// Whether any record at all satisfies `wanted`. Slow when none does; only asked while a policy is compiled.
    pub(super) fn knows(&self, wanted: impl Fn(&Place) -> bool) -> bool {
        let Ok(networks) = self.reader.networks(Default::default()) else {
            return false;
        };
        let mut seen = HashSet::new();
        let new = networks.filter_map(Result::ok).filter(|found| found.offset().is_some_and(|at| seen.insert(at)));
        let mut records = new.filter_map(|found| found.decode::<Record>().ok()?);
        records.any(|record| wanted(&record.place()))
    }
}

/// The fields of all shapes.
#[derive(Debug, Default)]
struct Record {
    country: Option<[u8; 2]>,
    registered: Option<[u8; 2]>,
    continent: Option<[u8; 2]>,
    asn: Option<u32>,
}

impl Record {
    fn place(self) -> Place {
        let country = self.country.or(self.registered);
        let continent = self.continent.or_else(|| country.and_then(codes::continent));
        Place { country, continent, asn: self.asn }
    }
}

impl<'de> Deserialize<'de> for Record {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Fields;
        impl<'de> Visitor<'de> for Fields {
            type Value = Record;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a record")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Record, A::Error> {
                let mut record = Record::default();
                while let Some(key) = map.next_key::<&str>()? {
                    match key {
                        "country" | "country_code" => record.country = map.next_value::<Code>()?.0.or(record.country),
                        "registered_country" => record.registered = map.next_value::<Code>()?.0,
                        "continent" | "continent_code" => {
                            record.continent = map.next_value::<Code>()?.0.or(record.continent);
                        }
                        "autonomous_system_number" | "asn" | "as_number" => {
                            record.asn = map.next_value::<Number>()?.0.or(record.asn);
                        }
                        _ => {
                            map.next_value::<IgnoredAny>()?;
                        }
                    }
                }
                Ok(record)
            }
        }
        from.deserialize_map(Fields)
    }
}

/// A two-letter code: plain, or as `iso_code` or `code` of a map. Names of countries are no codes and no errors.
#[derive(Debug, Default)]
struct Code(Option<[u8; 2]>);

impl<'de> Deserialize<'de> for Code {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = Code;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a code")
            }

            fn visit_str<E>(self, text: &str) -> Result<Code, E> {
                Ok(Code(codes::code(text)))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Code, A::Error> {
                let mut code = Code::default();
                while let Some(key) = map.next_key::<&str>()? {
                    match key {
                        "iso_code" | "code" => code = map.next_value::<Code>()?,
                        _ => {
                            map.next_value::<IgnoredAny>()?;
                        }
                    }
                }
                Ok(code)
            }
        }
        from.deserialize_any(Either)
    }
}

/// A number, plain or as `AS64496`; IPinfo puts more fields beside it into a map.
#[derive(Debug)]
struct Number(Option<u32>);

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = Number;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the number of an autonomous system")
            }

            fn visit_u64<E>(self, number: u64) -> Result<Number, E> {
                Ok(Number(u32::try_from(number).ok()))
            }

            fn visit_str<E>(self, text: &str) -> Result<Number, E> {
                Ok(Number(codes::asn(text)))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Number, A::Error> {
                let mut number = Number(None);
                while let Some(key) = map.next_key::<&str>()? {
                    match key {
                        "asn" | "number" => number = map.next_value::<Number>()?,
                        _ => {
                            map.next_value::<IgnoredAny>()?;
                        }
                    }
                }
                Ok(number)
            }
        }
        from.deserialize_any(Either)
    }
}

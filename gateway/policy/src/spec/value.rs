//! Small shapes that the document uses everywhere: shares, dates, one-or-many, maps in written order.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::value::StrDeserializer;
use serde::de::{Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

/// A share: `10%`, `0.5%`. Held as 0.0 to 1.0.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Percent(pub(crate) f64);

/// A date (the moment it begins, UTC) or a time, as Unix milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Moment(pub(crate) u64);

/// One word, or a list of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct OneOrMany<T>(pub(crate) Vec<T>);

/// A map in the order it was written.
#[derive(Debug, Clone)]
pub(crate) struct Entries<T>(pub(crate) Vec<(String, T)>);

/// A part that is read later, from the tree.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Raw;

impl<T> Default for OneOrMany<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T> Default for Entries<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl FromStr for Percent {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let share = text
            .strip_suffix('%')
            .and_then(|number| number.parse::<f64>().ok());
        match share {
            Some(share) if (0.0..=100.0).contains(&share) => Ok(Self(share / 100.0)),
            Some(_) | None => Err(format!(
                "`{text}` is not a share: write one from 0% to 100%"
            )),
        }
    }
}

impl FromStr for Moment {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let moment = if let Ok(moment) = text.parse::<jiff::Timestamp>() {
            Some(moment)
        } else {
            let date = text.parse::<jiff::civil::Date>().ok();
            date.and_then(|date| date.to_zoned(jiff::tz::TimeZone::UTC).ok())
                .map(|zoned| zoned.timestamp())
        };
        moment
            .and_then(|moment| u64::try_from(moment.as_millisecond()).ok())
            .map(Self)
            .ok_or_else(|| {
                format!("`{text}` is not a date: write one like 2026-12-31 or 2026-12-31T18:00:00Z")
            })
    }
}

macro_rules! words {
    ($($type:ident, $pattern:literal, $what:literal;)*) => {$(
        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                struct Text;
                impl Visitor<'_> for Text {
                    type Value = $type;
                    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result { f.write_str($what) }
                    fn visit_str<E: Error>(self, text: &str) -> Result<$type, E> {
                        text.parse().map_err(E::custom)
                    }
                }
                from.deserialize_str(Text)
            }
        }

        impl JsonSchema for $type {
            fn schema_name() -> Cow<'static, str> { stringify!($type).into() }
            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({ "type": "string", "pattern": $pattern, "description": $what })
            }
        }
    )*};
}

words! {
    Percent, "^[0-9]+(\\.[0-9]+)?%$", "a share such as 10%";
    Moment, "^[0-9]{4}-[0-9]{2}-[0-9]{2}(T.+)?$", "a date such as 2026-12-31 (its first moment, UTC)";
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for OneOrMany<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Either<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Either<T> {
            type Value = OneOrMany<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a word or a list of words")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<OneOrMany<T>, E> {
                let one = T::deserialize(StrDeserializer::<E>::new(text))?;
                Ok(OneOrMany(vec![one]))
            }

            fn visit_u64<E: Error>(self, number: u64) -> Result<OneOrMany<T>, E> {
                self.visit_str(&number.to_string())
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<OneOrMany<T>, A::Error> {
                let mut all = Vec::new();
                while let Some(item) = items.next_element()? {
                    all.push(item);
                }
                Ok(OneOrMany(all))
            }
        }
        from.deserialize_any(Either(PhantomData))
    }
}

impl<T: JsonSchema> JsonSchema for OneOrMany<T> {
    fn schema_name() -> Cow<'static, str> {
        format!("OneOrMany_{}", T::schema_name()).into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let one = generator.subschema_for::<T>();
        json_schema!({ "anyOf": [one, { "type": "array", "items": one }] })
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Entries<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct InOrder<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for InOrder<T> {
            type Value = Entries<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Entries<T>, A::Error> {
                let mut all = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    all.push(entry);
                }
                Ok(Entries(all))
            }
        }
        from.deserialize_map(InOrder(PhantomData))
    }
}

impl<T: JsonSchema> JsonSchema for Entries<T> {
    fn schema_name() -> Cow<'static, str> {
        format!("Entries_{}", T::schema_name()).into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let value = generator.subschema_for::<T>();
        json_schema!({ "type": "object", "additionalProperties": value })
    }
}

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        IgnoredAny::deserialize(from).map(|_| Self)
    }
}

impl JsonSchema for Raw {
    fn schema_name() -> Cow<'static, str> {
        "Raw".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "object" })
    }
}

/// A shape that is written as a list of words, or as a map when there is more to say.
macro_rules! list_or_map {
    ($type:ident, $map:ident; |$list:ident| $from_list:expr, |$fields:ident| $from_map:expr) => {
        impl<'de> serde::Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                struct Either;
                impl<'de> serde::de::Visitor<'de> for Either {
                    type Value = $type;

                    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        f.write_str("a list or a map")
                    }

                    fn visit_seq<A: serde::de::SeqAccess<'de>>(self, items: A) -> Result<$type, A::Error> {
                        let from = serde::de::value::SeqAccessDeserializer::new(items);
                        Vec::<String>::deserialize(from).map($type::from_list)
                    }

                    fn visit_map<A: serde::de::MapAccess<'de>>(self, map: A) -> Result<$type, A::Error> {
                        let from = serde::de::value::MapAccessDeserializer::new(map);
                        $map::deserialize(from).map($type::from_map)
                    }
                }
                from.deserialize_any(Either)
            }
        }

        impl $type {
            fn from_list($list: Vec<String>) -> Self { $from_list }
            fn from_map($fields: $map) -> Self { $from_map }
        }

        impl schemars::JsonSchema for $type {
            fn schema_name() -> std::borrow::Cow<'static, str> { concat!(stringify!($type), "OrList").into() }
            fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
                let list = generator.subschema_for::<Vec<String>>();
                let map = generator.subschema_for::<$map>();
                schemars::json_schema!({ "anyOf": [list, map] })
            }
        }
    };
}
pub(crate) use list_or_map;

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::{Moment, Percent};

    #[test]
    fn reads_shares_and_dates() {
        assert!(("10%".parse::<Percent>().unwrap().0 - 0.1).abs() < 1e-12);
        assert_eq!("1970-01-02".parse::<Moment>().unwrap().0, 86_400_000);
        assert_eq!("1970-01-01T00:00:01Z".parse::<Moment>().unwrap().0, 1_000);
    }

    #[test]
    fn refuses_shares_and_dates_that_are_none() {
        for text in ["10", "101%", "-1%", "NaN%"] {
            assert!(text.parse::<Percent>().is_err(), "{text}");
        }
        for text in ["tomorrow", "2026-13-01", "31.12.2026"] {
            assert!(text.parse::<Moment>().is_err(), "{text}");
        }
    }
}

//! Scalars as operators write them: durations `30s`, sizes `64KiB`, rates `100/1m`. A unit is part of the value: a bare
//! number of seconds or minutes is the misunderstanding that limits die of. Bounds are each key's own business.

use std::fmt;
use std::time;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde::de::{self, Deserializer, SeqAccess, Visitor};

/// A length of time: `500ms 30s 5m 12h 90d`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Duration(pub time::Duration);

/// A number of bytes: `512B 64KiB 1MiB 2GiB`; a bare number is bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Size(pub u64);

/// So many in a length of time: `100/1m`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// At most this many, at least one …
    pub max: u32,
    /// … in this time, never zero.
    pub window: time::Duration,
}

/// One text or a list of them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Texts(pub Vec<String>);

const UNITS: [(&str, u64); 5] = [
    ("ms", 1),
    ("s", 1_000),
    ("m", 60_000),
    ("h", 3_600_000),
    ("d", 86_400_000),
];

const SIZES: [(&str, u64); 5] = [
    ("B", 1),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("TiB", 1 << 40),
];

impl Duration {
    /// Whole milliseconds; parsing keeps them within `u64`.
    #[must_use]
    pub fn millis(self) -> u64 {
        u64::try_from(self.0.as_millis()).unwrap_or(u64::MAX)
    }
}

impl std::str::FromStr for Duration {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let why = || format!("`{text}` is not a duration: write 500ms, 30s, 5m, 12h or 90d");
        let (digits, unit) = split(text);
        let number: u64 = digits.parse().map_err(|_| why())?;
        let (_, scale) = UNITS
            .iter()
            .find(|(name, _)| *name == unit)
            .ok_or_else(why)?;
        let millis = number.checked_mul(*scale).ok_or_else(why)?;
        Ok(Self(time::Duration::from_millis(millis)))
    }
}

impl std::str::FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let why = || format!("`{text}` is not a size: write 512B, 64KiB, 1MiB or 2GiB");
        let (digits, unit) = split(text);
        let number: u64 = digits.parse().map_err(|_| why())?;
        let unit = if unit.is_empty() { "B" } else { unit };
        let (_, scale) = SIZES
            .iter()
            .find(|(name, _)| *name == unit)
            .ok_or_else(why)?;
        number.checked_mul(*scale).map(Self).ok_or_else(why)
    }
}

impl std::str::FromStr for Rate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let why = || format!("`{text}` is not a rate: write a count and a time, such as 100/1m");
        let (count, window) = text.split_once('/').ok_or_else(why)?;
        let max: u32 = count.trim().parse().map_err(|_| why())?;
        let window = window.trim();
        // `100/m` reads as one minute; people write it that way.
        let window: Duration = match UNITS.iter().find(|(name, _)| *name == window) {
            Some((_, scale)) => Duration(time::Duration::from_millis(*scale)),
            None => window.parse().map_err(|_| why())?,
        };
        if max == 0 || window.0.is_zero() {
            return Err(why());
        }
        Ok(Self {
            max,
            window: window.0,
        })
    }
}

fn split(text: &str) -> (&str, &str) {
    let text = text.trim();
    let end = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (digits, unit) = text.split_at(end);
    (digits, unit.trim_start())
}

impl fmt::Display for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_scaled(f, self.millis(), &UNITS)
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_scaled(f, self.0, &SIZES)
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.max, Duration(self.window))
    }
}

/// In the largest unit that keeps it a whole number.
fn write_scaled(f: &mut fmt::Formatter<'_>, value: u64, units: &[(&str, u64)]) -> fmt::Result {
    let fits = |(_, scale): &&(&str, u64)| value > 0 && value.is_multiple_of(*scale);
    match units.iter().rev().find(fits).or_else(|| units.first()) {
        Some((unit, scale)) => write!(f, "{}{unit}", value / scale),
        None => write!(f, "{value}"),
    }
}

macro_rules! scalar {
    ($type:ident, $expects:literal, $pattern:literal, $number:expr) => {
        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                struct Text;
                impl Visitor<'_> for Text {
                    type Value = $type;

                    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                        f.write_str($expects)
                    }

                    fn visit_str<E: de::Error>(self, text: &str) -> Result<$type, E> {
                        text.parse().map_err(E::custom)
                    }

                    fn visit_u64<E: de::Error>(self, number: u64) -> Result<$type, E> {
                        let read: fn(u64) -> Result<$type, String> = $number;
                        read(number).map_err(E::custom)
                    }

                    fn visit_i64<E: de::Error>(self, number: i64) -> Result<$type, E> {
                        match u64::try_from(number) {
                            Ok(number) => self.visit_u64(number),
                            Err(_) => Err(E::custom(concat!("is negative; expected ", $expects))),
                        }
                    }
                }
                from.deserialize_any(Text)
            }
        }

        impl JsonSchema for $type {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($type).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({ "type": "string", "pattern": $pattern, "description": $expects })
            }
        }
    };
}

scalar!(
    Duration,
    "a duration such as 500ms, 30s, 5m, 12h or 90d",
    "^[0-9]+ ?(ms|s|m|h|d)$",
    |number| Err(format!(
        "`{number}` has no unit: write {number}s or {number}m"
    ))
);
scalar!(
    Rate,
    "a rate such as 100/1m",
    "^[0-9]+ ?/ ?[0-9]* ?(ms|s|m|h|d)$",
    |number| Err(format!(
        "`{number}` has no time: write {number}/1s or {number}/1m"
    ))
);

scalar!(
    Size,
    "a size such as 512B, 64KiB, 1MiB or 2GiB",
    "^[0-9]+ ?(B|KiB|MiB|GiB|TiB)?$",
    |number| Ok(Size(number))
);

impl<'de> Deserialize<'de> for Texts {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct OneOrMore;
        impl<'de> Visitor<'de> for OneOrMore {
            type Value = Texts;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text or a list of texts")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Texts, E> {
                Ok(Texts(vec![text.to_owned()]))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Texts, A::Error> {
                let mut texts = Vec::new();
                while let Some(text) = items.next_element()? {
                    texts.push(text);
                }
                Ok(Texts(texts))
            }
        }
        from.deserialize_any(OneOrMore)
    }
}

impl JsonSchema for Texts {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Texts".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "a text or a list of texts",
            "type": ["string", "array"],
            "items": {"type": "string"},
        })
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::{Duration, Rate, Size};
    use std::time;

    #[test]
    fn reads_every_unit() {
        for (text, millis) in [
            ("500ms", 500),
            ("30s", 30_000),
            ("5 m", 300_000),
            ("12h", 43_200_000),
            ("90d", 7_776_000_000),
        ] {
            assert_eq!(text.parse::<Duration>().unwrap().millis(), millis, "{text}");
        }
        for (text, bytes) in [
            ("512B", 512),
            ("64KiB", 65_536),
            ("1MiB", 1 << 20),
            ("2 GiB", 2 << 30),
            ("7", 7),
        ] {
            assert_eq!(text.parse::<Size>().unwrap().0, bytes, "{text}");
        }
        let rate: Rate = "100/1m".parse().unwrap();
        assert_eq!(
            (rate.max, rate.window),
            (100, time::Duration::from_secs(60))
        );
        assert_eq!(
            "5/s".parse::<Rate>().unwrap().window,
            time::Duration::from_secs(1)
        );
    }

    #[test]
    fn refuses_what_could_be_misread() {
        for text in [
            "30",
            "",
            "s",
            "-1s",
            "1.5s",
            "30S",
            "1month",
            "99999999999999999999d",
            "300000000000d",
        ] {
            assert!(text.parse::<Duration>().is_err(), "{text}");
        }
        for text in ["1KB", "1MB", "MiB", "-1", "99999999999TiB", "1e6"] {
            assert!(text.parse::<Size>().is_err(), "{text}");
        }
        for text in ["100", "0/1m", "100/0s", "/1m", "4294967296/1s", "1/1/1s"] {
            assert!(text.parse::<Rate>().is_err(), "{text}");
        }
    }

    #[test]
    fn deserializes_text_and_explains_bare_numbers() {
        assert_eq!(serde_json::from_str::<Size>("1024").unwrap(), Size(1024));
        assert_eq!(
            serde_json::from_str::<Duration>("\"2m\"")
                .unwrap()
                .to_string(),
            "2m"
        );
        let why = serde_json::from_str::<Duration>("30")
            .unwrap_err()
            .to_string();
        assert!(why.contains("has no unit: write 30s or 30m"), "{why}");
        let why = serde_json::from_str::<Size>("-1").unwrap_err().to_string();
        assert!(why.contains("negative"), "{why}");
    }

    #[test]
    fn writes_what_it_reads() {
        for text in ["500ms", "90s", "5m", "12h", "90d", "0ms"] {
            assert_eq!(text.parse::<Duration>().unwrap().to_string(), text);
        }
        for text in ["512B", "64KiB", "3MiB", "0B"] {
            assert_eq!(text.parse::<Size>().unwrap().to_string(), text);
        }
        assert_eq!("60/1m".parse::<Rate>().unwrap().to_string(), "60/1m");
    }
}

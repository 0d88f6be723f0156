//! Rule ids as operators write them: one, or a range.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Deserialize, Deserializer, Error, Visitor};

/// Both ends of a range.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ids(pub(super) u32, pub(super) u32);

const EXPECTS: &str = "a rule's id, or a range such as 942000-942999";

impl FromStr for Ids {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        match (first.trim().parse(), last.trim().parse()) {
            (Ok(first), Ok(last)) if first <= last => Ok(Self(first, last)),
            _ => Err(format!("`{text}` is not {EXPECTS}")),
        }
    }
}

impl<'de> Deserialize<'de> for Ids {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Text;
        impl Visitor<'_> for Text {
            type Value = Ids;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(EXPECTS)
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Ids, E> {
                text.parse().map_err(E::custom)
            }

            fn visit_u64<E: Error>(self, number: u64) -> Result<Ids, E> {
                let id = u32::try_from(number).map_err(|_| E::custom(format!("{number} is not {EXPECTS}")))?;
                Ok(Ids(id, id))
            }
        }
        from.deserialize_any(Text)
    }
}

impl JsonSchema for Ids {
    fn schema_name() -> Cow<'static, str> {
        "RuleIds".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "anyOf": [{"type": "integer", "minimum": 0}, {"type": "string", "pattern": "^[0-9]+(-[0-9]+)?$"}],
            "description": EXPECTS,
        })
    }
}

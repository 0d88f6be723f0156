//! What a route asks for: one word, several that must all be there, or several of which one is enough.

use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{self, Deserializer, MapAccess, SeqAccess, Visitor};

/// Words as a policy writes them: `x`, `[x, y]` or `{all: [x, y]}` for all of them, `{any: [x, y]}` for one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Needed {
    pub(super) words: Vec<String>,
    pub(super) any: bool,
}

/// The same with a bit for each word.
#[derive(Debug)]
pub(super) struct Want {
    words: Vec<String>,
    any: bool,
    all: u64,
}

/// There is a bit for each.
pub(super) const MOST: usize = 64;

impl Want {
    /// `None` when there are more than [`MOST`], or none.
    pub(super) fn new(needed: Needed) -> Option<Self> {
        let count = u32::try_from(needed.words.len()).ok()?;
        let all = u64::MAX.checked_shr(64_u32.checked_sub(count)?)?;
        Some(Self {
            words: needed.words,
            any: needed.any,
            all,
        })
    }

    /// The bits of the words that `has` agrees to.
    pub(super) fn bits(&self, has: impl Fn(&str) -> bool) -> u64 {
        let bits = self.words.iter().enumerate();
        let bits = bits.filter(|(_, word)| has(word));
        bits.fold(0, |all, (bit, _)| all | 1 << bit)
    }

    /// The bit of this word, if it is one of them.
    pub(super) fn bit(&self, word: &str) -> u64 {
        self.bits(|known| known == word)
    }

    pub(super) fn is_met_by(&self, held: u64) -> bool {
        if self.any {
            held & self.all != 0
        } else {
            held & self.all == self.all
        }
    }

    /// What is not there, in words.
    pub(super) fn missing(&self, held: u64) -> String {
        let words = self.words.iter().enumerate();
        let lacking: Vec<_> = words
            .filter(|(bit, _)| held & (1 << bit) == 0)
            .map(|(_, word)| word.as_str())
            .collect();
        lacking.join(if self.any { " or " } else { " and " })
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "snake_case")]
enum Quantified {
    All(Vec<String>),
    Any(Vec<String>),
}

impl<'de> Deserialize<'de> for Needed {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Shape;
        impl<'de> Visitor<'de> for Shape {
            type Value = Needed;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a word, a list of words, {all: […]} or {any: […]}")
            }

            fn visit_str<E>(self, text: &str) -> Result<Needed, E> {
                Ok(Needed {
                    words: vec![text.to_owned()],
                    any: false,
                })
            }

            fn visit_seq<A: SeqAccess<'de>>(self, items: A) -> Result<Needed, A::Error> {
                let words = Vec::deserialize(SeqAccessDeserializer::new(items))?;
                sound(words, false)
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Needed, A::Error> {
                match Quantified::deserialize(MapAccessDeserializer::new(map))? {
                    Quantified::All(words) => sound(words, false),
                    Quantified::Any(words) => sound(words, true),
                }
            }
        }
        from.deserialize_any(Shape)
    }
}

fn sound<E: de::Error>(words: Vec<String>, any: bool) -> Result<Needed, E> {
    if words.is_empty() {
        return Err(E::custom("an empty list asks for nothing"));
    }
    if words.len() > MOST {
        return Err(E::custom(format!("at most {MOST} of them")));
    }
    Ok(Needed { words, any })
}

impl JsonSchema for Needed {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Needed".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let words = json_schema!({"type": "array", "items": {"type": "string"}, "minItems": 1, "maxItems": MOST});
        json_schema!({
            "description": "A word, a list of which all are needed, {all: […]} or {any: […]}.",
            "anyOf": [
                {"type": "string"},
                words,
                {"type": "object", "additionalProperties": false, "minProperties": 1, "maxProperties": 1,
                 "patternProperties": {"^(all|any)$": words}},
            ],
        })
    }
}

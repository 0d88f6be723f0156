//! Text with `*` for whatever comes there, as policies write addresses and names. Knows no separators.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer};

/// A pattern: the pieces between its stars, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Glob(Vec<String>);

impl Glob {
    /// Reads a pattern; without a `*` it matches itself alone.
    #[must_use]
    pub fn new(pattern: &str) -> Self {
        Self(pattern.split('*').map(str::to_owned).collect())
    }

    /// Whether the whole text fits. Takes the first place for each piece, which is right for every star but the last.
    #[must_use]
    pub fn matches(&self, text: &str) -> bool {
        let Some((first, pieces)) = self.0.split_first() else {
            return false;
        };
        let Some((last, middle)) = pieces.split_last() else {
            return first == text;
        };
        let Some(mut rest) = text.strip_prefix(first.as_str()) else {
            return false;
        };
        for piece in middle {
            let Some((_, after)) = rest.split_once(piece.as_str()) else {
                return false;
            };
            rest = after;
        }
        rest.ends_with(last.as_str())
    }
}

impl<'de> Deserialize<'de> for Glob {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        String::deserialize(from).map(|text| Self::new(&text))
    }
}

impl JsonSchema for Glob {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Glob".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "description": "Text in which `*` stands for anything."})
    }
}

#[cfg(test)]
mod tests {
    use super::Glob;

    #[test]
    fn a_star_stands_for_anything_and_nothing_else_does() {
        for (pattern, text, fits) in [
            ("/home*", "/home", true),
            ("/home*", "/home?x=1", true),
            ("/home*", "/hom", false),
            ("/home", "/home/", false),
            ("*", "", true),
            ("", "", true),
            ("", "x", false),
            ("*/login?*error*", "https://x/login?a&error=1", true),
            ("*/login?*error*", "/login?", false),
            ("a*a", "a", false),
            ("a*a", "aa", true),
            ("a*b*c", "abbc", true),
            ("a*b*c", "acb", false),
            ("/h.me", "/home", false),
        ] {
            assert_eq!(Glob::new(pattern).matches(text), fits, "{pattern} {text}");
        }
    }
}

//! How reading a value fails: a message, a missing key, or silence about something reported before. Serde's own
//! sentences are turned into ones for operators.

use std::fmt;

use serde::de::{Error, Expected, Unexpected};

use super::suggest;

/// Why a value could not be read.
#[derive(Debug)]
pub(crate) struct Fail {
    pub(super) kind: Kind,
    /// Whether the node that failed has been noted already.
    pub(super) noted: bool,
}

#[derive(Debug)]
pub(super) enum Kind {
    Message(String),
    /// A key is missing.
    Missing(String),
    /// Follows from a fault that was reported before.
    Silent,
}

impl Fail {
    pub(super) fn message(message: impl Into<String>) -> Self {
        Self {
            kind: Kind::Message(message.into()),
            noted: false,
        }
    }

    pub(crate) fn silent() -> Self {
        Self {
            kind: Kind::Silent,
            noted: false,
        }
    }
}

impl fmt::Display for Fail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            Kind::Message(message) => f.write_str(message),
            Kind::Missing(key) => write!(f, "`{key}` is missing"),
            Kind::Silent => Ok(()),
        }
    }
}

impl std::error::Error for Fail {}

impl Error for Fail {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::message(message.to_string())
    }

    fn invalid_type(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::message(format!(
            "expected {}, found {}",
            wanted(expected),
            seen(&found)
        ))
    }

    fn invalid_value(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::invalid_type(found, expected)
    }

    fn unknown_variant(variant: &str, expected: &'static [&'static str]) -> Self {
        Self::message(unknown_word(variant, expected))
    }

    fn unknown_field(field: &str, expected: &'static [&'static str]) -> Self {
        Self::message(unknown_key(field, expected))
    }

    fn missing_field(field: &'static str) -> Self {
        Self {
            kind: Kind::Missing(field.to_owned()),
            noted: false,
        }
    }
}

/// A word that is none of those expected.
pub(crate) fn unknown_word(word: &str, expected: &[&str]) -> String {
    let hint = suggest::hint(word, expected.iter().copied());
    if hint.is_empty() {
        format!("`{word}` is not known here; one of {}", listed(expected))
    } else {
        format!("`{word}` is not known here{hint}")
    }
}

/// A key that is none of those expected.
pub(crate) fn unknown_key(key: &str, expected: &[&str]) -> String {
    let hint = suggest::hint(key, expected.iter().copied());
    if hint.is_empty() {
        format!("unknown key `{key}`; known are {}", listed(expected))
    } else {
        format!("unknown key `{key}`{hint}")
    }
}

fn listed(words: &[&str]) -> String {
    let quoted: Vec<_> = words.iter().map(|word| format!("`{word}`")).collect();
    quoted.join(", ")
}

fn seen(found: &Unexpected<'_>) -> String {
    match found {
        Unexpected::Str(text) => format!("`{text}`"),
        Unexpected::Bool(value) => format!("`{value}`"),
        Unexpected::Unsigned(value) => format!("`{value}`"),
        Unexpected::Signed(value) => format!("`{value}`"),
        Unexpected::Float(value) => format!("`{value}`"),
        Unexpected::Seq => "a list".to_owned(),
        Unexpected::Map => "a map".to_owned(),
        other => other.to_string(),
    }
}

/// Rust's type names mean nothing to operators.
fn wanted(expected: &dyn Expected) -> String {
    let text = expected.to_string();
    match text.as_str() {
        "u8" => "a whole number from 0 to 255".to_owned(),
        "u16" => "a whole number from 0 to 65535".to_owned(),
        "u32" => "a whole number from 0 to 4294967295".to_owned(),
        "u64" | "usize" => "a whole number".to_owned(),
        "i8" | "i16" | "i32" | "i64" | "isize" => "a whole number in range".to_owned(),
        "f32" | "f64" => "a number".to_owned(),
        "a boolean" => "true or false".to_owned(),
        "a string" => "text".to_owned(),
        "a sequence" => "a list".to_owned(),
        _ if text.starts_with("struct ") => "a map".to_owned(),
        _ => text,
    }
}

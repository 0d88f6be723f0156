//! Files of our own rules, read without the crate that reads policies: YAML events → JSON → [`native::File`].

#![allow(
    dead_code,
    reason = "shared by tests and an example that each use a part"
)]

use std::{collections::HashMap, fs, path::Path};

use saphyr_parser::{Event, Parser, ScalarStyle, StrInput};
use serde_json::{Map, Value};
use waf::{Ruleset, native};

type Failure = Box<dyn std::error::Error>;

/// The rules of the repository.
pub(crate) fn built_in() -> Result<Ruleset, Failure> {
    folder(concat!(env!("CARGO_MANIFEST_DIR"), "/../../policies/waf"))
}

/// Every `.yaml` of `folder`, sorted by name.
pub(crate) fn folder(folder: impl AsRef<Path>) -> Result<Ruleset, Failure> {
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|end| end == "yaml") {
            paths.push(path);
        }
    }
    paths.sort();
    let mut files = Vec::new();
    for path in paths {
        let file: native::File = serde_json::from_value(yaml(&fs::read_to_string(&path)?)?)?;
        files.push((path.to_string_lossy().into_owned(), file));
    }
    let sources: Vec<_> = files
        .iter()
        .map(|(name, file)| native::Source { name, file })
        .collect();
    Ruleset::compile(&sources).map_err(|faults| {
        let lines: Vec<_> = faults.iter().map(ToString::to_string).collect();
        lines.join("\n").into()
    })
}

/// The first document of `text`. No tags; anchors only on scalars.
pub(crate) fn yaml(text: &str) -> Result<Value, Failure> {
    let mut composer = Composer {
        parser: Parser::new_from_str(text),
        anchors: HashMap::new(),
    };
    loop {
        match composer.next()? {
            Event::DocumentStart(_) => {
                let first = composer.next()?;
                return composer.value(first);
            }
            Event::StreamEnd => return Err("no document".into()),
            _ => {}
        }
    }
}

struct Composer<'t> {
    parser: Parser<'t, StrInput<'t>>,
    anchors: HashMap<usize, Value>,
}

impl<'t> Composer<'t> {
    fn next(&mut self) -> Result<Event<'t>, Failure> {
        Ok(self.parser.next().ok_or("an end too early")??.0)
    }

    fn value(&mut self, event: Event<'t>) -> Result<Value, Failure> {
        match event {
            Event::Scalar(text, style, anchor, _) => {
                let plain = style == ScalarStyle::Plain;
                let read = plain.then(|| serde_json::from_str(&text).ok()).flatten();
                let value = read.unwrap_or_else(|| Value::String(text.into_owned()));
                self.anchors.insert(anchor, value.clone());
                Ok(value)
            }
            Event::Alias(anchor) => {
                let value = self.anchors.get(&anchor);
                Ok(value
                    .ok_or("an alias for something else than a scalar")?
                    .clone())
            }
            Event::SequenceStart(..) => {
                let mut list = Vec::new();
                loop {
                    match self.next()? {
                        Event::SequenceEnd => return Ok(Value::Array(list)),
                        item => list.push(self.value(item)?),
                    }
                }
            }
            Event::MappingStart(..) => {
                let mut map = Map::new();
                loop {
                    let name = match self.next()? {
                        Event::MappingEnd => return Ok(Value::Object(map)),
                        Event::Scalar(text, ..) => text.into_owned(),
                        other => return Err(format!("{other:?} for a key").into()),
                    };
                    let item = self.next()?;
                    map.insert(name, self.value(item)?);
                }
            }
            other => Err(format!("{other:?} is not used in rules").into()),
        }
    }
}

//! One file's text → documents of located nodes. Bounded in size, depth and alias expansion.

use std::collections::HashMap;

use saphyr_parser::{Event, Parser, ScalarStyle, ScanError, Span, StrInput, Tag};

use super::{Entry, Found, Limits, Node, Place, Value, scalar};
use crate::fault::{Path, Step};

/// Every document of a text, and the faults found on the way. A syntax error ends reading; duplicate keys do not.
pub(crate) fn documents(bytes: &[u8], file: usize, limits: Limits) -> (Vec<Node>, Vec<Found>) {
    let mut faults = Vec::new();
    let text = match decode(bytes, file, limits) {
        Ok(text) => text,
        Err(fault) => return (Vec::new(), vec![fault]),
    };
    let mut composer = Composer {
        parser: Parser::new_from_str(text).keep_tags(false),
        file,
        limits,
        anchors: HashMap::new(),
        expanded: 0,
        path: Path::default(),
        faults: &mut faults,
    };
    let mut documents = Vec::new();
    if let Err(stop) = composer.stream(&mut documents) {
        faults.push(stop);
        documents.clear();
    }
    (documents, faults)
}

fn decode(bytes: &[u8], file: usize, limits: Limits) -> Result<&str, Found> {
    let start = Place {
        file,
        line: 1,
        column: 1,
    };
    if bytes.len() > limits.bytes {
        let message = format!(
            "{} bytes is too large: at most {}",
            bytes.len(),
            limits.bytes
        );
        return Err(found(start, message));
    }
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    std::str::from_utf8(bytes).map_err(|error| {
        let good = bytes.get(..error.valid_up_to()).unwrap_or_default();
        let line = 1 + good.iter().filter(|byte| **byte == b'\n').count();
        let last = good
            .rsplit(|byte| *byte == b'\n')
            .next()
            .unwrap_or_default();
        let column = 1 + String::from_utf8_lossy(last).chars().count();
        found(Place { file, line, column }, "not UTF-8".to_owned())
    })
}

fn found(place: Place, message: String) -> Found {
    Found {
        path: Path::default(),
        place,
        message,
    }
}

struct Composer<'t, 'f> {
    parser: Parser<'t, StrInput<'t>>,
    file: usize,
    limits: Limits,
    /// Anchored values; those still open are absent, so a value cannot contain itself.
    anchors: HashMap<usize, (Node, usize)>,
    expanded: usize,
    /// Where reading is, for faults.
    path: Path,
    faults: &'f mut Vec<Found>,
}

impl<'t> Composer<'t, '_> {
    fn stream(&mut self, documents: &mut Vec<Node>) -> Result<(), Found> {
        while let Some((event, span)) = self.next()? {
            match event {
                Event::DocumentStart(_) => self.anchors.clear(),
                Event::StreamStart | Event::DocumentEnd | Event::Nothing => {}
                Event::StreamEnd => break,
                event => documents.push(self.node(event, span, 0)?),
            }
        }
        Ok(())
    }

    fn next(&mut self) -> Result<Option<(Event<'t>, Span)>, Found> {
        match self.parser.next_event() {
            None => Ok(None),
            Some(Ok(event)) => Ok(Some(event)),
            Some(Err(error)) => Err(self.syntax(&error)),
        }
    }

    fn syntax(&self, error: &ScanError) -> Found {
        let mark = error.marker();
        let place = Place {
            file: self.file,
            line: mark.line(),
            column: mark.col() + 1,
        };
        found(place, format!("not YAML: {}", error.info()))
    }

    fn fault(&mut self, place: Place, message: String) {
        self.faults.push(Found {
            path: self.path.clone(),
            place,
            message,
        });
    }

    fn place(&self, span: Span) -> Place {
        Place {
            file: self.file,
            line: span.start.line(),
            column: span.start.col() + 1,
        }
    }

    fn node(&mut self, event: Event<'t>, span: Span, depth: usize) -> Result<Node, Found> {
        let place = self.place(span);
        if depth >= self.limits.depth {
            let message = format!("nested more than {} deep", self.limits.depth);
            return Err(found(place, message));
        }
        let (value, anchor, tag) = match event {
            Event::Alias(id) => return self.alias(id, place),
            Event::Scalar(text, style, anchor, tag) => {
                let plain = style == ScalarStyle::Plain && tag.is_none();
                (
                    Value::Scalar {
                        text: text.into(),
                        plain,
                    },
                    anchor,
                    tag,
                )
            }
            Event::SequenceStart(anchor, tag) => (self.list(depth)?, anchor, tag),
            Event::MappingStart(anchor, tag) => (self.map(depth)?, anchor, tag),
            _ => return Err(found(place, "not YAML: unexpected end".to_owned())),
        };
        if tag.is_some_and(|tag| !is_string_tag(&tag)) {
            self.fault(place, "tags (`!…`) are not read: remove it".to_owned());
        }
        let node = Node { value, place };
        if anchor > 0 {
            self.anchors.insert(anchor, (node.clone(), node.count()));
        }
        Ok(node)
    }

    fn alias(&mut self, id: usize, place: Place) -> Result<Node, Found> {
        let Some((node, count)) = self.anchors.get(&id) else {
            return Err(found(
                place,
                "this alias names no finished anchor".to_owned(),
            ));
        };
        self.expanded = self.expanded.saturating_add(*count);
        if self.expanded > self.limits.alias_nodes {
            let message = format!(
                "aliases expand to more than {} values",
                self.limits.alias_nodes
            );
            return Err(found(place, message));
        }
        Ok(node.clone())
    }

    fn list(&mut self, depth: usize) -> Result<Value, Found> {
        let mut items = Vec::new();
        while let Some((event, span)) = self.next()? {
            if event == Event::SequenceEnd {
                break;
            }
            self.path.0.push(Step::Index(items.len()));
            items.push(self.node(event, span, depth + 1)?);
            self.path.0.pop();
        }
        Ok(Value::List(items))
    }

    fn map(&mut self, depth: usize) -> Result<Value, Found> {
        let mut entries: Vec<Entry> = Vec::new();
        let mut known: HashMap<Box<str>, Place> = HashMap::new();
        let mut merges = Vec::new();
        while let Some((event, span)) = self.next()? {
            if event == Event::MappingEnd {
                break;
            }
            let place = self.place(span);
            let key = self.node(event, span, depth + 1)?;
            let Some((event, span)) = self.next()? else {
                break;
            };
            let step = key.text().unwrap_or_default().to_owned();
            self.path.0.push(Step::Key(step));
            let value = self.node(event, span, depth + 1)?;
            match key.value {
                Value::Scalar { text, plain: true } if &*text == "<<" => merges.push(value),
                Value::Scalar { text, plain } => match known.get(&text) {
                    Some(first) => {
                        let line = first.line;
                        let message =
                            format!("`{text}` stands here a second time; first on line {line}");
                        self.fault(place, message);
                    }
                    None => {
                        known.insert(text.clone(), place);
                        entries.push(Entry {
                            key: text,
                            key_plain: plain,
                            place,
                            value,
                        });
                    }
                },
                Value::List(_) | Value::Map(_) => {
                    self.fault(
                        place,
                        "a key must be a plain word, not a list or a map".to_owned(),
                    );
                }
            }
            self.path.0.pop();
        }
        for merge in merges {
            self.merge(merge, &mut entries);
        }
        Ok(Value::Map(entries))
    }

    /// `<<`: keys of the map itself win, then those of earlier merged maps.
    fn merge(&mut self, from: Node, into: &mut Vec<Entry>) {
        match from.value {
            Value::Map(entries) => {
                for entry in entries {
                    if into.iter().all(|known| known.key != entry.key) {
                        into.push(entry);
                    }
                }
            }
            Value::List(items) => items.into_iter().for_each(|item| self.merge(item, into)),
            Value::Scalar { .. } => {
                let message = "`<<` takes a map or a list of maps".to_owned();
                self.fault(from.place, message);
            }
        }
    }
}

fn is_string_tag(tag: &Tag) -> bool {
    tag.is_yaml_core_schema() && tag.suffix == "str"
}

/// What is wrong with a bare word that readers disagree about.
pub(crate) fn doubtful(entry: &Entry) -> Option<String> {
    let key = &entry.key;
    let doubtful = scalar::doubtful_boolean(key).is_some()
        || scalar::boolean(key).is_some()
        || scalar::is_null(key);
    let bad = entry.key_plain && doubtful;
    bad.then(|| {
        format!("the key `{key}` is no text to some YAML readers: write \"{key}\" in quotes")
    })
}

//! YAML text → a tree in which every key and value knows its file, line and column. It knows YAML and nothing of
//! policies. What two readers could understand differently (duplicate keys, tags, bare `on`) is refused.

pub(crate) mod de;
pub(crate) mod error;
pub(crate) mod include;
pub(crate) mod parse;
pub(crate) mod scalar;
pub(crate) mod suggest;

use crate::fault::{Path, Step};

/// Caps on one document: a policy comes from its operator, but a broken template must not take the gateway's memory.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// Bytes of one file.
    pub(crate) bytes: usize,
    /// Nesting of lists and maps.
    pub(crate) depth: usize,
    /// Values that aliases may add to one file: stops "billion laughs" bombs.
    pub(crate) alias_nodes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            bytes: 8 << 20,
            depth: 64,
            alias_nodes: 100_000,
        }
    }
}

/// Where something stands. Lines and columns count from one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    /// Position in the loader's list of files.
    pub(crate) file: usize,
    pub(crate) line: usize,
    pub(crate) column: usize,
}

/// A value and its place.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    pub(crate) value: Value,
    pub(crate) place: Place,
}

#[derive(Debug, Clone)]
pub(crate) enum Value {
    /// Text; `plain` when it was written without quotes.
    Scalar {
        text: Box<str>,
        plain: bool,
    },
    List(Vec<Node>),
    Map(Vec<Entry>),
}

/// A key with its value.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) key: Box<str>,
    pub(crate) key_plain: bool,
    pub(crate) place: Place,
    pub(crate) value: Node,
}

/// A fault of the text itself, or of what was read from it.
#[derive(Debug, Clone)]
pub(crate) struct Found {
    pub(crate) path: Path,
    pub(crate) place: Place,
    pub(crate) message: String,
}

impl Node {
    pub(crate) fn entries(&self) -> &[Entry] {
        match &self.value {
            Value::Map(entries) => entries,
            Value::Scalar { .. } | Value::List(_) => &[],
        }
    }

    pub(crate) fn items(&self) -> &[Self] {
        match &self.value {
            Value::List(items) => items,
            Value::Scalar { .. } | Value::Map(_) => &[],
        }
    }

    pub(crate) fn entry(&self, key: &str) -> Option<&Entry> {
        self.entries().iter().find(|entry| &*entry.key == key)
    }

    pub(crate) fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Scalar { text, .. } => Some(text),
            Value::List(_) | Value::Map(_) => None,
        }
    }

    /// What stands there, in words of a message.
    pub(crate) fn describe(&self) -> String {
        match &self.value {
            Value::Scalar { text, plain: true } if scalar::is_null(text) => {
                "an empty value".to_owned()
            }
            Value::Scalar { text, .. } => format!("`{text}`"),
            Value::List(_) => "a list".to_owned(),
            Value::Map(_) => "a map".to_owned(),
        }
    }

    /// How many values this is, itself included.
    fn count(&self) -> usize {
        1 + match &self.value {
            Value::Scalar { .. } => 0,
            Value::List(items) => items.iter().map(Self::count).sum(),
            Value::Map(entries) => entries.iter().map(|entry| entry.value.count()).sum(),
        }
    }

    /// The deepest place on `path` that exists, and how many steps lead to it.
    pub(crate) fn locate(&self, path: &Path) -> (Place, usize) {
        let (mut node, mut place) = (self, self.place);
        for (depth, step) in path.0.iter().enumerate() {
            let next = match step {
                Step::Key(key) => node.entry(key).map(|entry| (&entry.value, entry.place)),
                Step::Index(index) => node.items().get(*index).map(|item| (item, item.place)),
            };
            let Some((deeper, at)) = next else {
                return (place, depth);
            };
            node = deeper;
            place = at;
        }
        // A leaf's own place says more than its key's.
        if matches!(node.value, Value::Scalar { .. }) {
            place = node.place;
        }
        (place, path.0.len())
    }

    /// `over` laid on this: maps merge key by key, everything else is replaced.
    pub(crate) fn overlaid(&self, over: &Self) -> Self {
        let (Value::Map(base), Value::Map(changes)) = (&self.value, &over.value) else {
            return over.clone();
        };
        let mut merged = base.clone();
        for change in changes {
            match merged.iter_mut().find(|entry| entry.key == change.key) {
                Some(entry) => {
                    let value = entry.value.overlaid(&change.value);
                    *entry = Entry {
                        value,
                        ..change.clone()
                    };
                }
                None => merged.push(change.clone()),
            }
        }
        Self {
            value: Value::Map(merged),
            place: over.place,
        }
    }
}

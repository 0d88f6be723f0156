//! One policy from several files: `include:` is read where it stands, top-down. Lists are joined, maps are joined
//! key by key; the same name twice is a fault that names both places. Positions keep their own file.

use super::parse::documents;
use super::{Entry, Found, Limits, Node, Place, Value};
use crate::fault::Path;
use crate::sources::Sources;

/// Includes inside includes.
const MOST_DEPTH: usize = 16;
/// Files of one policy.
const MOST_FILES: usize = 1_000;

/// A merged document and the files that it came from.
#[derive(Debug)]
pub(crate) struct Tree {
    pub(crate) root: Node,
    pub(crate) files: Vec<String>,
}

/// Reads a file and everything it includes. The tree is there whenever the root file is a map, faults or not.
pub(crate) fn load(file: &str, sources: &mut dyn Sources) -> (Tree, Vec<Found>) {
    let mut loader = Loader {
        sources,
        files: Vec::new(),
        open: Vec::new(),
        faults: Vec::new(),
    };
    let entries = loader.file(file, None);
    let root = Node {
        place: Place {
            file: 0,
            line: usize::from(!entries.is_empty()),
            column: 1,
        },
        value: Value::Map(entries),
    };
    (
        Tree {
            root,
            files: loader.files,
        },
        loader.faults,
    )
}

struct Loader<'s> {
    sources: &'s mut dyn Sources,
    files: Vec<String>,
    /// The chain of files being read, to find circles.
    open: Vec<String>,
    faults: Vec<Found>,
}

impl Loader<'_> {
    /// The merged entries of a file; `from` is where it was named.
    fn file(&mut self, name: &str, from: Option<Place>) -> Vec<Entry> {
        let index = self.files.len();
        self.files.push(name.to_owned());
        let here = from.unwrap_or(Place {
            file: index,
            line: 0,
            column: 0,
        });
        let bytes = match self.sources.read(name) {
            Ok(bytes) => bytes,
            Err(why) => {
                self.fault(here, format!("cannot read {name}: {why}"));
                return Vec::new();
            }
        };
        let (mut documents, faults) = documents(&bytes, index, Limits::default());
        let broken = !faults.is_empty() && documents.is_empty();
        self.faults.extend(faults);
        if let Some(second) = documents.get(1) {
            let place = second.place;
            self.fault(
                place,
                "a policy is one document: remove the `---`".to_owned(),
            );
        }
        if documents.is_empty() {
            if !broken {
                self.fault(here, format!("{name} is empty"));
            }
            return Vec::new();
        }
        let root = documents.swap_remove(0);
        let Value::Map(entries) = root.value else {
            self.fault(
                root.place,
                "a policy is a map: `version: 1`, `routes: …`".to_owned(),
            );
            return Vec::new();
        };
        self.open.push(name.to_owned());
        let merged = self.expand(name, entries);
        self.open.pop();
        merged
    }

    fn expand(&mut self, name: &str, entries: Vec<Entry>) -> Vec<Entry> {
        let mut merged = Vec::with_capacity(entries.len());
        for entry in entries {
            if &*entry.key == "include" {
                self.include(name, &entry.value, &mut merged);
            } else {
                self.merge(entry, &mut merged);
            }
        }
        merged
    }

    fn include(&mut self, name: &str, node: &Node, merged: &mut Vec<Entry>) {
        let patterns = match &node.value {
            Value::Scalar { .. } => std::slice::from_ref(node),
            Value::List(items) => items.as_slice(),
            Value::Map(_) => {
                self.fault(
                    node.place,
                    "expected a file, a glob or a list of them".to_owned(),
                );
                return;
            }
        };
        for pattern in patterns {
            let Some(text) = pattern.text().filter(|text| !text.is_empty()) else {
                self.fault(pattern.place, "expected the name of a file".to_owned());
                continue;
            };
            for file in self.files_of(&joined(name, text), pattern.place) {
                if self.open.contains(&file) {
                    let circle = self.open.join(" → ");
                    self.fault(
                        pattern.place,
                        format!("{file} includes itself: {circle} → {file}"),
                    );
                } else if self.open.len() >= MOST_DEPTH || self.files.len() >= MOST_FILES {
                    let message =
                        format!("at most {MOST_DEPTH} files deep and {MOST_FILES} in all");
                    self.fault(pattern.place, message);
                } else {
                    for entry in self.file(&file, Some(pattern.place)) {
                        self.merge(entry, merged);
                    }
                }
            }
        }
    }

    fn files_of(&mut self, pattern: &str, place: Place) -> Vec<String> {
        if !pattern.contains(['*', '?', '[']) {
            return vec![pattern.to_owned()];
        }
        match self.sources.glob(pattern) {
            Ok(files) => files,
            Err(why) => {
                self.fault(place, format!("cannot list {pattern}: {why}"));
                Vec::new()
            }
        }
    }

    fn merge(&mut self, entry: Entry, into: &mut Vec<Entry>) {
        let Some(position) = into.iter().position(|known| known.key == entry.key) else {
            into.push(entry);
            return;
        };
        let Some(known) = into.get_mut(position) else {
            return;
        };
        match (&mut known.value.value, entry.value.value) {
            (Value::List(items), Value::List(more)) => items.extend(more),
            (Value::Map(entries), Value::Map(more)) => {
                let section = Path::default().key(&entry.key);
                for entry in more {
                    match entries.iter().find(|known| known.key == entry.key) {
                        None => entries.push(entry),
                        Some(first) => {
                            let fault = twice(&section, &entry, first.place, &self.files);
                            self.faults.push(fault);
                        }
                    }
                }
            }
            // Every file may say which version it is written for.
            (Value::Scalar { text, .. }, Value::Scalar { text: again, .. })
                if &*entry.key == "version" && *text == again => {}
            (_, value) => {
                let first = known.place;
                let again = Node {
                    value,
                    place: entry.value.place,
                };
                let again = Entry {
                    value: again,
                    ..entry
                };
                self.faults
                    .push(twice(&Path::default(), &again, first, &self.files));
            }
        }
    }

    fn fault(&mut self, place: Place, message: String) {
        self.faults.push(Found {
            path: Path::default(),
            place,
            message,
        });
    }
}

fn twice(section: &Path, again: &Entry, first: Place, files: &[String]) -> Found {
    let file = files.get(first.file).map_or("", String::as_str);
    let key = &again.key;
    Found {
        path: section.key(key),
        place: again.place,
        message: format!(
            "`{key}` is defined twice: here and at {file}:{}:{}",
            first.line, first.column
        ),
    }
}

/// `path` as seen from the folder of `file`, without `.` and `..` where that is possible.
pub(crate) fn joined(file: &str, path: &str) -> String {
    let folder = file.rsplit_once('/').map_or("", |(folder, _)| folder);
    let absolute = path.starts_with('/') || file.starts_with('/');
    let mut parts: Vec<&str> = Vec::new();
    let whole = if path.starts_with('/') {
        String::new()
    } else {
        folder.to_owned()
    };
    for part in whole.split('/').chain(path.split('/')) {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|last| *last != "..") => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    format!("{}{}", if absolute { "/" } else { "" }, parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::joined;

    #[test]
    fn includes_start_at_the_including_file() {
        assert_eq!(joined("policy.yaml", "checks.yaml"), "checks.yaml");
        assert_eq!(
            joined("/etc/p/policy.yaml", "conf.d/*.yaml"),
            "/etc/p/conf.d/*.yaml"
        );
        assert_eq!(joined("a/b.yaml", "../c.yaml"), "c.yaml");
        assert_eq!(joined("a/b.yaml", "/c.yaml"), "/c.yaml");
        assert_eq!(joined("b.yaml", "../c.yaml"), "../c.yaml");
    }
}

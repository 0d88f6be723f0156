//! Where faults collect while a policy is compiled, and how a path becomes a file, a line and a column.

use std::collections::HashSet;

use crate::context::Pending;
use crate::fault::{Fault, Path, Step, Weight};
use crate::yaml::include::Tree;
use crate::yaml::{Found, Place};

/// Every fault so far.
#[derive(Debug, Default)]
pub(super) struct Faults {
    /// Known by path.
    pub(super) pending: Vec<Pending>,
    /// Known by place.
    pub(super) found: Vec<Found>,
    /// Where `with:` stands, and the check that it changes: what is not under the one is under the other.
    pub(super) aliases: Vec<(Path, Path)>,
}

impl Faults {
    pub(super) fn error(&mut self, path: Path, message: impl Into<String>) {
        self.push(path, Weight::Error, message.into());
    }

    pub(super) fn warning(&mut self, path: Path, message: impl Into<String>) {
        self.push(path, Weight::Warning, message.into());
    }

    fn push(&mut self, path: Path, weight: Weight, message: String) {
        self.pending.push(Pending {
            path,
            weight,
            message,
        });
    }

    /// How many errors there are; more afterwards means that something in between failed.
    pub(super) fn errors(&self) -> usize {
        let pending = self
            .pending
            .iter()
            .filter(|fault| fault.weight == Weight::Error);
        self.found.len() + pending.count()
    }

    /// The value when there is one, else a fault at `path`.
    pub(super) fn take<T>(&mut self, path: &Path, result: Result<T, String>) -> Option<T> {
        match result {
            Ok(value) => Some(value),
            Err(message) => {
                self.error(path.clone(), message);
                None
            }
        }
    }

    /// Located, in the order of the files, each once.
    pub(super) fn into_faults(self, tree: &Tree) -> Vec<Fault> {
        let aliases = self.aliases;
        let located = self.pending.into_iter().map(|fault| {
            let (path, place) = located(tree, &aliases, fault.path);
            (place, path, fault.weight, fault.message)
        });
        let found = self
            .found
            .into_iter()
            .map(|fault| (fault.place, fault.path, Weight::Error, fault.message));
        let mut all: Vec<_> = found.chain(located).collect();
        all.sort_by_key(|(place, ..)| (place.file, place.line, place.column));
        let mut seen = HashSet::new();
        all.retain(|(place, _, _, message)| {
            seen.insert((place.file, place.line, place.column, message.clone()))
        });
        let fault = |(place, path, weight, message): (Place, Path, Weight, String)| Fault {
            weight,
            file: tree.files.get(place.file).cloned().unwrap_or_default(),
            line: place.line,
            column: if place.line == 0 { 0 } else { place.column },
            path,
            message,
        };
        all.into_iter().map(fault).collect()
    }
}

fn located(tree: &Tree, aliases: &[(Path, Path)], path: Path) -> (Path, Place) {
    let (place, depth) = tree.root.locate(&path);
    let alias = aliases.iter().find(|(with, _)| path.0.starts_with(&with.0));
    let Some((with, check)) = alias.filter(|(with, _)| depth <= with.0.len()) else {
        return (path, place);
    };
    let rest = path.0.get(with.0.len()..).unwrap_or_default();
    if rest.is_empty() {
        return (path, place);
    }
    let steps: Vec<Step> = check.0.iter().chain(rest).cloned().collect();
    let other = Path(steps);
    let (place, _) = tree.root.locate(&other);
    (other, place)
}

//! Chains: from names to the flat list of checks that a route asks.

use super::Build;
use super::mode::{self, Setting};
use crate::fault::Path;
use crate::yaml::suggest;

/// Chains inside chains.
const MOST_DEPTH: usize = 16;

/// One check of a route's list.
#[derive(Debug, Clone)]
pub(super) struct Use {
    /// Position among the definitions.
    pub(super) check: usize,
    /// Of the innermost chain that says one.
    pub(super) setting: Option<Setting>,
    /// The route's own entry that brought it.
    pub(super) at: Path,
    /// The outermost chain that brought it.
    pub(super) chain: Option<String>,
}

/// A chain, ready to be unfolded.
#[derive(Debug)]
pub(super) struct Chain {
    name: String,
    list: Vec<String>,
    setting: Option<Setting>,
    used: bool,
}

/// Checks every chain, used or not.
pub(super) fn define(build: &mut Build<'_, '_>, specs: Vec<(String, crate::spec::Chain)>) {
    let section = Path::default().key("chains");
    for (name, spec) in specs {
        let at = section.key(&name);
        if let Err(why) = super::name(&name) {
            build.faults.error(at.clone(), why);
        }
        if build.checks.by_name.contains_key(name.as_str()) {
            build.faults.error(
                at.clone(),
                format!("`{name}` is a check already: a chain needs another name"),
            );
        }
        let setting = mode::setting(
            &at,
            spec.mode,
            spec.sample,
            spec.until,
            build.now,
            &mut build.faults,
        );
        build.chains.push(Chain {
            name,
            list: spec.list,
            setting,
            used: false,
        });
    }
    for index in 0..build.chains.len() {
        let Some(chain) = build.chains.get(index) else {
            break;
        };
        let (at, list) = (section.key(&chain.name), chain.list.clone());
        if list.is_empty() {
            build
                .faults
                .warning(at.clone(), "an empty chain checks nothing");
        }
        let at = match build.tree.root.locate(&at.key("use")) {
            (_, 3) => at.key("use"),
            _ => at,
        };
        for (position, name) in list.iter().enumerate() {
            let at = at.index(position);
            if build.known(name, &at) && circular(&build.chains, name, index) {
                build
                    .faults
                    .error(at, format!("`{name}` leads back to this chain: a circle"));
            }
        }
    }
}

/// Whether the chain `from` reaches the chain at `to`.
fn circular(chains: &[Chain], from: &str, to: usize) -> bool {
    let mut open = vec![from];
    let mut seen: Vec<&str> = Vec::new();
    while let Some(name) = open.pop() {
        let Some(position) = chains.iter().position(|chain| chain.name == name) else {
            continue;
        };
        if position == to {
            return true;
        }
        if !seen.contains(&name) {
            seen.push(name);
            open.extend(
                chains
                    .get(position)
                    .into_iter()
                    .flat_map(|chain| chain.list.iter().map(String::as_str)),
            );
        }
    }
    false
}

impl Build<'_, '_> {
    /// Whether a check or a chain has this name, also when it is faulty; reports it when not.
    fn known(&mut self, name: &str, at: &Path) -> bool {
        let written = |section| {
            self.tree
                .root
                .entry(section)
                .map_or(&[][..], |entry| entry.value.entries())
        };
        let names = || {
            written("checks")
                .iter()
                .chain(written("chains"))
                .map(|entry| &*entry.key)
        };
        if names().any(|known| known == name) {
            return true;
        }
        let hint = suggest::hint(name, names());
        self.faults.error(
            at.clone(),
            format!("there is no check or chain `{name}`{hint}"),
        );
        false
    }

    /// A route's list, unfolded; false when some name in it has no meaning.
    pub(super) fn unfold(&mut self, list: &[String], at: &Path, into: &mut Vec<Use>) -> bool {
        let mut whole = true;
        for (index, name) in list.iter().enumerate() {
            let at = at.index(index);
            let seed = Use {
                check: 0,
                setting: None,
                at,
                chain: None,
            };
            whole &= self.unfold_one(name, &seed, 0, into);
        }
        whole
    }

    fn unfold_one(&mut self, name: &str, from: &Use, depth: usize, into: &mut Vec<Use>) -> bool {
        if let Some(check) = self.checks.by_name.get(name).copied() {
            match into.iter().find(|known| known.check == check) {
                None => into.push(Use {
                    check,
                    ..from.clone()
                }),
                Some(known) => {
                    let by = known
                        .chain
                        .as_ref()
                        .map_or_else(String::new, |chain| format!(" by `{chain}`"));
                    let message = format!(
                        "`{name}` is asked already{by}: it is asked once, at the first place"
                    );
                    self.faults.warning(from.at.clone(), message);
                }
            }
            return true;
        }
        let Some(chain) = self.chains.iter_mut().find(|chain| chain.name == name) else {
            // Inside a chain it was reported there.
            if depth == 0 {
                self.known(name, &from.at);
            }
            return false;
        };
        if depth >= MOST_DEPTH {
            return false;
        }
        chain.used = true;
        let (list, own) = (chain.list.clone(), chain.setting);
        let from = Use {
            setting: own.or(from.setting),
            chain: from.chain.clone().or_else(|| Some(name.to_owned())),
            ..from.clone()
        };
        let mut whole = true;
        for inner in &list {
            whole &= self.unfold_one(inner, &from, depth + 1, into);
        }
        whole
    }

    /// Chains that no route uses.
    pub(super) fn unused_chains(&self) -> Vec<String> {
        self.chains
            .iter()
            .filter(|chain| !chain.used)
            .map(|chain| chain.name.clone())
            .collect()
    }
}

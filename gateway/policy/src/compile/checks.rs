//! Checks: from named maps to instances. A route's `with:` makes an instance of its own under the same name.

use std::collections::HashMap;
use std::sync::Arc;

use super::Build;
use super::mode::{self, Setting};
use crate::checks::waf::{Known, Rulesets};
use crate::checks::{Check, KINDS, Spec};
use crate::context::Context;
use crate::decision::CheckId;
use crate::fault::Path;
use crate::key::{self, Keys};
use crate::policy::Named;
use crate::spec::{GENERIC_KEYS, Generic};
use crate::yaml::{Entry, Node, Value, de, error};

/// A check as it was named and written.
#[derive(Debug)]
pub(super) struct Definition<'t> {
    pub(super) name: &'t str,
    pub(super) at: Path,
    node: &'t Node,
    kind: Option<&'t str>,
    pub(super) locked: bool,
    pub(super) setting: Option<Setting>,
}

/// All checks of a policy.
#[derive(Debug, Default)]
pub(super) struct Checks<'t> {
    pub(super) definitions: Vec<Definition<'t>>,
    pub(super) by_name: HashMap<&'t str, usize>,
    /// By definition, and the route that changed it.
    made: HashMap<(usize, Option<usize>), Option<CheckId>>,
    pub(super) named: Vec<Named>,
    /// Made by `waf` checks, for those that want the same.
    rulesets: Rulesets,
}

impl Checks<'_> {
    /// In place of a policy with these rule sets.
    pub(super) fn after(rulesets: Arc<Known>) -> Self {
        Self {
            rulesets: Rulesets::after(rulesets),
            ..Self::default()
        }
    }

    /// Its rule sets, for the policy that comes after.
    pub(super) fn known_rulesets(&mut self) -> Known {
        std::mem::take(&mut self.rulesets).known()
    }
}

/// What a route changes.
#[derive(Debug, Clone, Copy)]
pub(super) struct With<'t> {
    pub(super) route: usize,
    pub(super) route_name: &'t str,
    pub(super) node: &'t Node,
}

/// Reads every definition; the instances come when routes ask.
pub(super) fn define<'t>(build: &mut Build<'t, '_>) {
    let section = Path::default().key("checks");
    if let Some(entry) = build.tree.root.entry("checks")
        && !matches!(entry.value.value, Value::Map(_))
    {
        let message = format!("expected a map, found {}", entry.value.describe());
        build.faults.error(section.clone(), message);
    }
    let entries = build
        .tree
        .root
        .entry("checks")
        .map_or(&[][..], |entry| entry.value.entries());
    for entry in entries {
        let at = section.key(&entry.key);
        if let Err(why) = super::key(entry) {
            build.faults.error(at.clone(), why);
        }
        let definition = definition(build, entry, at);
        build
            .checks
            .by_name
            .insert(&entry.key, build.checks.definitions.len());
        build.checks.definitions.push(definition);
    }
}

fn definition<'t>(build: &mut Build<'t, '_>, entry: &'t Entry, at: Path) -> Definition<'t> {
    let node = &entry.value;
    let faults = &mut build.faults;
    if !matches!(node.value, Value::Map(_)) {
        faults.error(
            at.clone(),
            format!(
                "expected a map with `check: KIND`, found {}",
                node.describe()
            ),
        );
    }
    let generic = generic(node, &at, faults);
    let word = node.entry("check").map(|entry| &entry.value);
    let kind = word
        .and_then(Node::text)
        .filter(|word| KINDS.contains(word));
    match word.and_then(Node::text) {
        None if matches!(node.value, Value::Map(_)) && word.is_none() => {
            faults.error(
                at.clone(),
                "`check` is missing: the kind of check, such as `check: ip`",
            );
        }
        Some(word) if kind.is_none() => {
            faults.error(at.key("check"), error::unknown_word(word, KINDS))
        }
        Some(_) | None => {}
    }
    let setting = mode::setting(
        &at,
        generic.mode,
        generic.sample,
        generic.until,
        build.now,
        faults,
    );
    Definition {
        name: &entry.key,
        at,
        node,
        kind,
        locked: generic.locked,
        setting,
    }
}

fn generic(node: &Node, at: &Path, faults: &mut super::faults::Faults) -> Generic {
    let own = part(node, true);
    de::read(&own, at, &mut faults.found, &[], |reader| {
        serde::Deserialize::deserialize(reader)
    })
    .unwrap_or_default()
}

/// The keys that every check has, or the others.
fn part(node: &Node, generic: bool) -> Node {
    let keep = |entry: &&Entry| GENERIC_KEYS.contains(&&*entry.key) == generic;
    let entries = node.entries().iter().filter(keep).cloned().collect();
    Node {
        value: Value::Map(entries),
        place: node.place,
    }
}

impl<'t> Build<'t, '_> {
    /// The instance of a check, made when it is first asked for; `None` when it is faulty.
    pub(super) fn instance(
        &mut self,
        definition: usize,
        with: Option<With<'t>>,
    ) -> Option<CheckId> {
        let key = (definition, with.map(|with| with.route));
        if let Some(made) = self.checks.made.get(&key) {
            return *made;
        }
        let made = self.make(definition, with);
        self.checks.made.insert(key, made);
        made
    }

    /// Whether a definition became an instance for some route.
    pub(super) fn was_made(&self, definition: usize) -> bool {
        self.checks.made.keys().any(|(made, _)| *made == definition)
    }

    pub(super) fn make(&mut self, definition: usize, with: Option<With<'t>>) -> Option<CheckId> {
        let definition = self.checks.definitions.get(definition)?;
        let (name, kind) = (definition.name, definition.kind?);
        let (node, at) = match with {
            None => (definition.node.clone(), definition.at.clone()),
            Some(with) => {
                let at = Path::default()
                    .key("routes")
                    .index(with.route)
                    .key("with")
                    .key(name);
                self.faults
                    .aliases
                    .push((at.clone(), definition.at.clone()));
                (definition.node.overlaid(with.node), at)
            }
        };
        // The definition's own generic keys were reported with it.
        let generic = match with {
            None => generic(&node, &at, &mut super::faults::Faults::default()),
            Some(_) => generic(&node, &at, &mut self.faults),
        };
        let errors = self.faults.errors();
        let spec = spec(kind, &node, &at, &mut self.faults)?;
        let mut context = Context {
            name,
            stable_id: stable_id(name, with.map(|with| with.route_name)),
            keys: Keys::process(),
            at,
            on_store_error: generic.on_store_error.or(generic.on_error),
            on_error: generic.on_error,
            pages: &self.pages.path,
            roles: &self.roles,
            now: self.now,
            sources: &mut self.sources,
            secrets: &mut self.keeper,
            rulesets: &mut self.checks.rulesets,
            faults: &mut self.faults.pending,
        };
        let check = spec.compile(&mut context);
        if self.faults.errors() > errors {
            return None;
        }
        self.named(name, check?, with.is_some())
    }

    fn named(&mut self, name: &str, check: Check, changed: bool) -> Option<CheckId> {
        let id = u16::try_from(self.checks.named.len()).ok();
        if id.is_none() {
            self.faults.error(
                Path::default().key("checks"),
                "more than 65535 checks, counting those changed by `with`",
            );
        }
        self.checks.named.push(Named {
            name: name.to_owned(),
            check,
            changed,
        });
        id.map(CheckId)
    }
}

fn spec(kind: &str, node: &Node, at: &Path, faults: &mut super::faults::Faults) -> Option<Spec> {
    let own = part(node, false);
    let errors = faults.errors();
    let spec = de::read(&own, at, &mut faults.found, GENERIC_KEYS, |reader| {
        Spec::deserialize(kind, reader).unwrap_or_else(|| Err(error::Fail::silent()))
    });
    // A check with a key left out is another check: what it would report may not be true.
    spec.filter(|_| faults.errors() == errors)
}

/// The same in every process and after every reload, so that counters survive. No name holds a line end.
fn stable_id(name: &str, route: Option<&str>) -> u64 {
    match route {
        None => key::stable(name),
        Some(route) => key::stable(&format!("{name}\n{route}")),
    }
}

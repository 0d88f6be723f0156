//! Variables that rules write, of the request and, as far as it has opened them, of the collections. Those that rules
//! name are slots; names made at run time that no rule names are a list.

use super::state::apply;
use crate::{collections::Update, text::Names, variable::Variable};

/// More made-up names than this have no place: a client chooses them.
const MAX_OTHERS: usize = 1000;

#[derive(Default)]
pub(crate) struct Tx {
    slots: Vec<Vec<u8>>,
    set: Vec<bool>,
    others: Vec<Other>,
    /// Takes what has no place.
    sink: Vec<u8>,
}

struct Other {
    scope: Variable,
    name: Vec<u8>,
    value: Vec<u8>,
}

impl Tx {
    pub(crate) fn reset(&mut self, count: usize) {
        self.slots
            .resize_with(count.max(self.slots.len()), Vec::new);
        self.set.clear();
        self.set.resize(self.slots.len(), false);
        self.others.clear();
    }

    pub(crate) fn slot(&self, slot: u16) -> Option<&[u8]> {
        let at = usize::from(slot);
        let set = self.set.get(at).is_some_and(|set| *set);
        self.slots.get(at).filter(|_| set).map(Vec::as_slice)
    }

    /// Every variable of a collection.
    pub(crate) fn members<'a>(
        &'a self,
        names: &'a Names,
        scope: Variable,
    ) -> impl Iterator<Item = (&'a [u8], &'a [u8])> {
        // Few of the known names are set at any time: those are walked, in the order of the rules.
        let set = self.set.iter().zip(0_u16..).filter(|(set, _)| **set);
        let named = set.filter_map(move |(_, slot)| {
            let (own, name) = names.of_slot(slot)?;
            Some((name, self.slot(slot)?)).filter(|_| own == scope)
        });
        let others = self.others.iter().filter(move |own| own.scope == scope);
        named.chain(others.map(|own| (own.name.as_slice(), own.value.as_slice())))
    }

    pub(crate) fn put(&mut self, slot: u16, value: &[u8]) {
        let place = self.slot_mut(slot);
        place.clear();
        place.extend_from_slice(value);
    }

    pub(crate) fn update(&mut self, slot: u16, update: Update<'_>) {
        match update {
            Update::Unset => {
                if let Some(set) = self.set.get_mut(usize::from(slot)) {
                    *set = false;
                }
            }
            Update::Assign(_) | Update::Add(_) => apply(self.slot_mut(slot), update),
            // Nothing here outlives the request.
            Update::Expire(_) | Update::Deprecate(..) => {}
        }
    }

    pub(crate) fn put_named(&mut self, names: &Names, scope: Variable, name: &[u8], value: &[u8]) {
        let place = self.place(names, scope, name);
        place.clear();
        place.extend_from_slice(value);
    }

    pub(crate) fn clear_captures(&mut self) {
        self.set.iter_mut().take(10).for_each(|set| *set = false);
    }

    /// Empties a collection.
    pub(crate) fn clear(&mut self, names: &Names, scope: Variable) {
        for (_, slot) in names.iter(scope) {
            if let Some(set) = self.set.get_mut(usize::from(slot)) {
                *set = false;
            }
        }
        self.others.retain(|own| own.scope != scope);
    }

    pub(crate) fn place(&mut self, names: &Names, scope: Variable, name: &[u8]) -> &mut Vec<u8> {
        match names.known(scope, name) {
            Some(slot) => self.slot_mut(slot),
            None => self.other_mut(scope, name),
        }
    }

    pub(crate) fn unset(&mut self, names: &Names, scope: Variable, name: &[u8]) {
        match names.known(scope, name) {
            Some(slot) => {
                if let Some(set) = self.set.get_mut(usize::from(slot)) {
                    *set = false;
                }
            }
            None => self
                .others
                .retain(|own| own.scope != scope || own.name != name),
        }
    }

    fn slot_mut(&mut self, slot: u16) -> &mut Vec<u8> {
        let at = usize::from(slot);
        if at >= self.slots.len() {
            self.slots.resize_with(at + 1, Vec::new);
            self.set.resize(at + 1, false);
        }
        if let Some(set) = self.set.get_mut(at) {
            if !*set && let Some(place) = self.slots.get_mut(at) {
                place.clear();
            }
            *set = true;
        }
        self.slots.get_mut(at).unwrap_or(&mut self.sink)
    }

    fn other_mut(&mut self, scope: Variable, name: &[u8]) -> &mut Vec<u8> {
        let known = self
            .others
            .iter()
            .position(|own| own.scope == scope && own.name == name);
        if known.is_none() && self.others.len() < MAX_OTHERS {
            self.others.push(Other {
                scope,
                name: name.to_vec(),
                value: Vec::new(),
            });
        }
        let at = known.unwrap_or_else(|| self.others.len().saturating_sub(1));
        let place = self.others.get_mut(at);
        place
            .filter(|own| own.scope == scope && own.name == name)
            .map_or(&mut self.sink, |own| &mut own.value)
    }
}

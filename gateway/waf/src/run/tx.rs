//! Variables that rules write, of the request and, as far as it has opened them, of the collections. Those that rules
//! name are slots; names made at run time that no rule names are a list.

use super::state::apply;
use crate::{bytes::bits, collections::Update, text::Names, variable::Variable};

/// More made-up names than this have no place: a client chooses them.
const MAX_OTHERS: usize = 1000;

#[derive(Default)]
pub(crate) struct Tx {
    slots: Vec<Vec<u8>>,
    /// Slots that hold something, as bits.
    set: Vec<u64>,
    /// The first `used` are in use.
    others: Vec<Other>,
    used: usize,
    /// Takes what has no place.
    sink: Vec<u8>,
}

#[derive(Default)]
struct Other {
    scope: Option<Variable>,
    name: Vec<u8>,
    value: Vec<u8>,
}

impl Tx {
    pub(crate) fn reset(&mut self, count: usize) {
        self.slots
            .resize_with(count.max(self.slots.len()), Vec::new);
        self.set.clear();
        self.set.resize(self.slots.len().div_ceil(64), 0);
        self.used = 0;
    }

    fn is_set(&self, slot: usize) -> bool {
        self.set
            .get(slot / 64)
            .is_some_and(|word| word & (1 << (slot % 64)) != 0)
    }

    fn forget(&mut self, slot: u16) {
        if let Some(word) = self.set.get_mut(usize::from(slot) / 64) {
            *word &= !(1 << (slot % 64));
        }
    }

    /// Variables of a collection that no rule names.
    pub(super) fn others(&self, scope: Variable) -> impl Iterator<Item = (&[u8], &[u8])> {
        let used = self.others.iter().take(self.used);
        let own = used.filter(move |own| own.scope == Some(scope));
        own.map(|own| (own.name.as_slice(), own.value.as_slice()))
    }

    pub(crate) fn slot(&self, slot: u16) -> Option<&[u8]> {
        let at = usize::from(slot);
        self.slots
            .get(at)
            .filter(|_| self.is_set(at))
            .map(Vec::as_slice)
    }

    /// Every variable of a collection.
    pub(crate) fn members<'a>(
        &'a self,
        names: &'a Names,
        scope: Variable,
    ) -> impl Iterator<Item = (&'a [u8], &'a [u8])> {
        // Few of the known names are set at any time: those are walked, in the order of the rules.
        let words = self.set.iter().zip(0_u16..);
        let set = words.flat_map(|(word, at)| bits(*word).map(move |bit| at * 64 + u16::from(bit)));
        let named = set.filter_map(move |slot| {
            let (own, name) = names.of_slot(slot)?;
            Some((name, self.slots.get(usize::from(slot))?.as_slice())).filter(|_| own == scope)
        });
        named.chain(self.others(scope))
    }

    pub(crate) fn put(&mut self, slot: u16, value: &[u8]) {
        let place = self.slot_mut(slot);
        place.clear();
        place.extend_from_slice(value);
    }

    pub(crate) fn update(&mut self, slot: u16, update: Update<'_>) {
        match update {
            Update::Unset => self.forget(slot),
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
        const CAPTURES: u64 = 0x3FF;
        if let Some(word) = self.set.first_mut() {
            *word &= !CAPTURES;
        }
    }

    /// Empties a collection.
    pub(crate) fn clear(&mut self, names: &Names, scope: Variable) {
        for (_, slot) in names.iter(scope) {
            self.forget(slot);
        }
        self.retain(|own| own.scope != Some(scope));
    }

    pub(crate) fn place(&mut self, names: &Names, scope: Variable, name: &[u8]) -> &mut Vec<u8> {
        match names.known(scope, name) {
            Some(slot) => self.slot_mut(slot),
            None => self.other_mut(scope, name),
        }
    }

    pub(crate) fn unset(&mut self, names: &Names, scope: Variable, name: &[u8]) {
        match names.known(scope, name) {
            Some(slot) => self.forget(slot),
            None => self.retain(|own| own.scope != Some(scope) || own.name != name),
        }
    }

    fn retain(&mut self, keep: impl FnMut(&Other) -> bool) {
        self.others.truncate(self.used);
        self.others.retain(keep);
        self.used = self.others.len();
    }

    fn slot_mut(&mut self, slot: u16) -> &mut Vec<u8> {
        let at = usize::from(slot);
        if at >= self.slots.len() {
            self.slots.resize_with(at + 1, Vec::new);
            self.set.resize(at / 64 + 1, 0);
        }
        let place = self.slots.get_mut(at).unwrap_or(&mut self.sink);
        if let Some(word) = self.set.get_mut(at / 64) {
            let bit = 1 << (at % 64);
            if *word & bit == 0 {
                place.clear();
            }
            *word |= bit;
        }
        place
    }

    /// The place of a name that no rule names.
    pub(super) fn other_mut(&mut self, scope: Variable, name: &[u8]) -> &mut Vec<u8> {
        let mut used = self.others.iter().take(self.used);
        let known = used.position(|own| own.scope == Some(scope) && own.name == name);
        let at = known.unwrap_or(self.used);
        if known.is_none() {
            if self.used == MAX_OTHERS {
                return &mut self.sink;
            }
            if self.others.len() == self.used {
                self.others.push(Other::default());
            }
            self.used += 1;
            if let Some(own) = self.others.get_mut(at) {
                own.scope = Some(scope);
                own.name.clear();
                own.name.extend_from_slice(name);
                own.value.clear();
            }
        }
        self.others
            .get_mut(at)
            .map_or(&mut self.sink, |own| &mut own.value)
    }
}

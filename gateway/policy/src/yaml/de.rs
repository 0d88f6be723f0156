//! Reads typed values from located nodes and reports EVERY fault at once: a value that fails is noted and left out,
//! then the whole is read again, until nothing new fails. What is only missing because it failed is not reported.

mod variant;

use std::cell::RefCell;
use std::collections::HashSet;

use serde::de::{DeserializeSeed, MapAccess, SeqAccess, Visitor};
use serde::forward_to_deserialize_any;

use variant::Variant;

use super::error::{Fail, Kind, unknown_key, unknown_word};
use super::parse::doubtful;
use super::scalar::{self, Number};
use super::{Entry, Found, Node, Place, Value};
use crate::fault::{Path, Step};

/// After so many faults of one value the rest can wait: each costs another reading.
const MOST_FAULTS: usize = 100;

/// Reads a value with `read`; `None` when it is unusable. Faults go to `faults`, with paths under `base`; `also`
/// are keys that belong to the value but are read elsewhere, so that they are suggested for misspelt ones.
pub(crate) fn read<'n, T>(
    node: &'n Node,
    base: &Path,
    faults: &mut Vec<Found>,
    also: &'static [&'static str],
    mut read: impl FnMut(Reader<'n, '_>) -> Result<T, Fail>,
) -> Option<T> {
    let state = State {
        also,
        ..State::default()
    };
    let trail = Trail {
        base,
        parent: None,
        step: None,
    };
    let mut value = None;
    for _ in 0..MOST_FAULTS {
        let reader = Reader {
            node,
            trail: &trail,
            state: &state,
        };
        match read(reader) {
            Ok(found) => {
                value = Some(found);
                break;
            }
            Err(fail) => {
                if !fail.noted {
                    reader.note(&fail);
                }
                if state.broken(node) {
                    break;
                }
            }
        }
    }
    faults.extend(state.faults.into_inner());
    value
}

#[derive(Default)]
struct State {
    /// Addresses of values (or keys) that failed: left out on the next reading.
    broken: RefCell<HashSet<usize>>,
    faults: RefCell<Vec<Found>>,
    also: &'static [&'static str],
}

impl State {
    fn broken<T>(&self, at: &T) -> bool {
        self.broken.borrow().contains(&address(at))
    }

    /// False when it was there before.
    fn break_off<T>(&self, at: &T) -> bool {
        self.broken.borrow_mut().insert(address(at))
    }
}

fn address<T>(at: &T) -> usize {
    std::ptr::from_ref(at) as usize
}

/// The way to a value, on the stack: paths are only built for faults.
pub(crate) struct Trail<'t> {
    base: &'t Path,
    parent: Option<&'t Self>,
    step: Option<StepRef<'t>>,
}

#[derive(Clone, Copy)]
enum StepRef<'t> {
    Key(&'t str),
    Index(usize),
}

impl Trail<'_> {
    fn path(&self) -> Path {
        let mut path = self.parent.map_or_else(|| self.base.clone(), Trail::path);
        match self.step {
            Some(StepRef::Key(key)) => path.0.push(Step::Key(key.to_owned())),
            Some(StepRef::Index(index)) => path.0.push(Step::Index(index)),
            None => {}
        }
        path
    }
}

/// Serde's view of one node.
#[derive(Clone, Copy)]
pub(crate) struct Reader<'n, 't> {
    node: &'n Node,
    trail: &'t Trail<'t>,
    state: &'t State,
}

impl<'n> Reader<'n, '_> {
    /// Marks this node as failed and reports why, once.
    fn note(&self, fail: &Fail) {
        if !self.state.break_off(self.node) || matches!(fail.kind, Kind::Silent) {
            return;
        }
        if let Kind::Missing(key) = &fail.kind
            && self
                .node
                .entry(key)
                .is_some_and(|entry| self.state.broken(&entry.value))
        {
            return;
        }
        self.report(self.node.place, self.trail.path(), fail.to_string());
    }

    fn report(&self, place: Place, path: Path, message: String) {
        self.state.faults.borrow_mut().push(Found {
            path,
            place,
            message,
        });
    }

    fn noted<T>(self, result: Result<T, Fail>) -> Result<T, Fail> {
        result.map_err(|mut fail| {
            if !fail.noted {
                self.note(&fail);
                fail.noted = true;
            }
            fail
        })
    }

    fn expected<T>(self, what: &str) -> Result<T, Fail> {
        let found = self.node.describe();
        Err(Fail::message(match &self.node.value {
            Value::Scalar { text, plain: true } if scalar::is_null(text) => {
                format!("empty: write {what}, or remove the key")
            }
            Value::Scalar { text, .. } if what == "a list" => {
                format!("expected a list, found {found}: write [{text}]")
            }
            _ => format!("expected {what}, found {found}"),
        }))
    }

    fn text(self) -> Result<&'n str, Fail> {
        let Value::Scalar { text, plain } = &self.node.value else {
            return self.expected("text");
        };
        if *plain && scalar::is_null(text) {
            return self.expected("text");
        }
        if *plain && (scalar::boolean(text).is_some() || scalar::doubtful_boolean(text).is_some()) {
            return Err(Fail::message(format!(
                "`{text}` is a boolean to some YAML readers: write \"{text}\" in quotes"
            )));
        }
        Ok(text)
    }

    fn boolean(self) -> Result<bool, Fail> {
        let Value::Scalar { text, plain } = &self.node.value else {
            return self.expected("true or false");
        };
        match (scalar::boolean(text), scalar::doubtful_boolean(text)) {
            (Some(value), _) if *plain => Ok(value),
            (Some(value), _) => Err(Fail::message(format!("write {value} without quotes"))),
            (None, Some(meant)) => Err(Fail::message(format!(
                "`{text}` is a boolean only to some YAML readers: write {meant}"
            ))),
            (None, None) => self.expected("true or false"),
        }
    }

    fn number<V: Visitor<'n>>(self, visitor: V) -> Result<V::Value, Fail> {
        let Value::Scalar { text, plain: true } = &self.node.value else {
            return self.expected("a number without quotes");
        };
        match scalar::number(text) {
            Some(Number::Unsigned(value)) => visitor.visit_u64(value),
            Some(Number::Signed(value)) => visitor.visit_i64(value),
            Some(Number::Float(value)) => visitor.visit_f64(value),
            None => self.expected("a number"),
        }
    }

    fn any<V: Visitor<'n>>(self, visitor: V) -> Result<V::Value, Fail> {
        match &self.node.value {
            Value::Map(entries) => visitor.visit_map(Fields::new(self, entries, None)),
            Value::List(items) => visitor.visit_seq(Items {
                of: self,
                items: items.iter().enumerate(),
            }),
            Value::Scalar { text, plain: true } if scalar::is_null(text) => {
                self.expected("a value")
            }
            Value::Scalar { text, plain: false } => visitor.visit_borrowed_str(text),
            Value::Scalar { text, plain: true } => match scalar::boolean(text) {
                Some(value) => visitor.visit_bool(value),
                None if scalar::number(text).is_some() => self.number(visitor),
                None => visitor.visit_borrowed_str(self.text()?),
            },
        }
    }

    fn list<V: Visitor<'n>>(self, visitor: V) -> Result<V::Value, Fail> {
        match &self.node.value {
            Value::List(items) => visitor.visit_seq(Items {
                of: self,
                items: items.iter().enumerate(),
            }),
            Value::Scalar { .. } | Value::Map(_) => self.expected("a list"),
        }
    }

    fn map<V: Visitor<'n>>(
        self,
        known: Option<&'static [&'static str]>,
        visitor: V,
    ) -> Result<V::Value, Fail> {
        match &self.node.value {
            Value::Map(entries) => visitor.visit_map(Fields::new(self, entries, known)),
            Value::Scalar { .. } | Value::List(_) => self.expected("a map"),
        }
    }

    fn variant<V: Visitor<'n>>(
        self,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fail> {
        let (word, content) = match &self.node.value {
            // What is no word of these is not worth quoting.
            Value::Scalar { text, .. } if !variants.contains(&&**text) => (&**text, None),
            Value::Scalar { .. } => (self.text()?, None),
            Value::Map(entries) => match entries.as_slice() {
                [entry] => (&*entry.key, Some(entry)),
                _ => return self.expected("a map with exactly one key"),
            },
            Value::List(_) => return self.expected("a word"),
        };
        if !variants.contains(&word) {
            return Err(Fail::message(unknown_word(word, variants)));
        }
        visitor.visit_enum(Variant {
            of: self,
            word,
            content,
        })
    }
}

macro_rules! reads {
    ($($method:ident($($argument:ident: $type:ty),*) = |$self:ident, $visitor:ident| $body:expr;)*) => {
        $(fn $method<V: Visitor<'n>>(self, $($argument: $type,)* $visitor: V) -> Result<V::Value, Fail> {
            let $self = self;
            let result = $body;
            $self.noted(result)
        })*
    };
}

impl<'n> serde::Deserializer<'n> for Reader<'n, '_> {
    type Error = Fail;

    reads! {
        deserialize_any() = |this, visitor| this.any(visitor);
        deserialize_bool() = |this, visitor| this.boolean().and_then(|value| visitor.visit_bool(value));
        deserialize_u8() = |this, visitor| this.number(visitor);
        deserialize_u16() = |this, visitor| this.number(visitor);
        deserialize_u32() = |this, visitor| this.number(visitor);
        deserialize_u64() = |this, visitor| this.number(visitor);
        deserialize_i8() = |this, visitor| this.number(visitor);
        deserialize_i16() = |this, visitor| this.number(visitor);
        deserialize_i32() = |this, visitor| this.number(visitor);
        deserialize_i64() = |this, visitor| this.number(visitor);
        deserialize_f32() = |this, visitor| this.number(visitor);
        deserialize_f64() = |this, visitor| this.number(visitor);
        deserialize_char() = |this, visitor| this.text().and_then(|text| visitor.visit_borrowed_str(text));
        deserialize_str() = |this, visitor| this.text().and_then(|text| visitor.visit_borrowed_str(text));
        deserialize_string() = |this, visitor| this.text().and_then(|text| visitor.visit_borrowed_str(text));
        deserialize_identifier() = |this, visitor| this.text().and_then(|text| visitor.visit_borrowed_str(text));
        deserialize_option() = |this, visitor| visitor.visit_some(this);
        deserialize_newtype_struct(_name: &'static str) = |this, visitor| visitor.visit_newtype_struct(this);
        deserialize_seq() = |this, visitor| this.list(visitor);
        deserialize_tuple(_len: usize) = |this, visitor| this.list(visitor);
        deserialize_tuple_struct(_name: &'static str, _len: usize) = |this, visitor| this.list(visitor);
        deserialize_map() = |this, visitor| this.map(None, visitor);
        deserialize_struct(_name: &'static str, fields: &'static [&'static str]) = |this, visitor|
            this.map(Some(fields), visitor);
        deserialize_enum(_name: &'static str, variants: &'static [&'static str]) = |this, visitor|
            this.variant(variants, visitor);
        deserialize_ignored_any() = |_this, visitor| visitor.visit_unit();
    }

    forward_to_deserialize_any! { <V: Visitor<'n>> i128 u128 bytes byte_buf unit unit_struct }
}

struct Items<'n, 't> {
    of: Reader<'n, 't>,
    items: std::iter::Enumerate<std::slice::Iter<'n, Node>>,
}

impl<'n> SeqAccess<'n> for Items<'n, '_> {
    type Error = Fail;

    fn next_element_seed<T: DeserializeSeed<'n>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Fail> {
        let state = self.of.state;
        let Some((index, node)) = self.items.find(|(_, node)| !state.broken(*node)) else {
            return Ok(None);
        };
        let step = Some(StepRef::Index(index));
        let trail = Trail {
            base: self.of.trail.base,
            parent: Some(self.of.trail),
            step,
        };
        let reader = Reader {
            node,
            trail: &trail,
            state,
        };
        reader.noted(seed.deserialize(reader)).map(Some)
    }
}

struct Fields<'n, 't> {
    of: Reader<'n, 't>,
    entries: std::slice::Iter<'n, Entry>,
    known: Option<&'static [&'static str]>,
    value: Option<&'n Entry>,
}

impl<'n, 't> Fields<'n, 't> {
    fn new(
        of: Reader<'n, 't>,
        entries: &'n [Entry],
        known: Option<&'static [&'static str]>,
    ) -> Self {
        Self {
            of,
            entries: entries.iter(),
            known,
            value: None,
        }
    }

    /// Whether the key can be read; reports the first time that it cannot.
    fn sound(&self, entry: &Entry) -> bool {
        let state = self.of.state;
        let message = match (doubtful(entry), self.known) {
            (Some(message), _) => message,
            (None, Some(known)) if !known.contains(&&*entry.key) => {
                let top = self.of.trail.parent.is_none();
                let also = if top { state.also } else { &[] };
                unknown_key(&entry.key, &[known, also].concat())
            }
            (None, _) => return !state.broken(&entry.value),
        };
        if state.break_off(entry) {
            let mut path = self.of.trail.path();
            path.0.push(Step::Key(entry.key.to_string()));
            self.of.report(entry.place, path, message);
        }
        false
    }
}

impl<'n> MapAccess<'n> for Fields<'n, '_> {
    type Error = Fail;

    fn next_key_seed<K: DeserializeSeed<'n>>(&mut self, seed: K) -> Result<Option<K::Value>, Fail> {
        while let Some(entry) = self.entries.next() {
            if !self.sound(entry) || self.of.state.broken(&entry.key) {
                continue;
            }
            self.value = Some(entry);
            let key = serde::de::value::BorrowedStrDeserializer::new(&entry.key);
            return seed.deserialize(key).map(Some).map_err(|mut fail: Fail| {
                if self.of.state.break_off(&entry.key) {
                    let mut path = self.of.trail.path();
                    path.0.push(Step::Key(entry.key.to_string()));
                    self.of.report(entry.place, path, fail.to_string());
                }
                fail.noted = true;
                fail
            });
        }
        Ok(None)
    }

    fn next_value_seed<V: DeserializeSeed<'n>>(&mut self, seed: V) -> Result<V::Value, Fail> {
        let Some(entry) = self.value.take() else {
            return Err(Fail::silent());
        };
        let step = Some(StepRef::Key(&entry.key));
        let trail = Trail {
            base: self.of.trail.base,
            parent: Some(self.of.trail),
            step,
        };
        let reader = Reader {
            node: &entry.value,
            trail: &trail,
            state: self.of.state,
        };
        reader.noted(seed.deserialize(reader))
    }
}

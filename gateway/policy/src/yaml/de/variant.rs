//! Serde's view of an enum: a word, or a map whose only key is the word.

use serde::de::{DeserializeSeed, EnumAccess, IntoDeserializer, VariantAccess, Visitor};

use super::{Reader, StepRef, Trail};
use crate::yaml::Entry;
use crate::yaml::error::Fail;

/// An enum's word, and what follows it as the only value of a map.
pub(super) struct Variant<'n, 't> {
    pub(super) of: Reader<'n, 't>,
    pub(super) word: &'n str,
    pub(super) content: Option<&'n Entry>,
}

impl<'n, 't> EnumAccess<'n> for Variant<'n, 't> {
    type Error = Fail;
    type Variant = Self;

    fn variant_seed<V: DeserializeSeed<'n>>(self, seed: V) -> Result<(V::Value, Self), Fail> {
        let word: serde::de::value::StrDeserializer<'_, Fail> = self.word.into_deserializer();
        Ok((seed.deserialize(word)?, self))
    }
}

impl<'n> Variant<'n, '_> {
    fn content<T>(self, read: impl FnOnce(Reader<'n, '_>) -> Result<T, Fail>) -> Result<T, Fail> {
        let Some(entry) = self.content else {
            return Err(Fail::message(format!(
                "`{0}` needs a value: {{{0}: …}}",
                self.word
            )));
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
        reader.noted(read(reader))
    }
}

impl<'n> VariantAccess<'n> for Variant<'n, '_> {
    type Error = Fail;

    fn unit_variant(self) -> Result<(), Fail> {
        match self.content {
            Some(_) => Err(Fail::message(format!("`{}` takes no value", self.word))),
            None => Ok(()),
        }
    }

    fn newtype_variant_seed<T: DeserializeSeed<'n>>(self, seed: T) -> Result<T::Value, Fail> {
        self.content(|reader| seed.deserialize(reader))
    }

    fn tuple_variant<V: Visitor<'n>>(self, _len: usize, visitor: V) -> Result<V::Value, Fail> {
        self.content(|reader| reader.list(visitor))
    }

    fn struct_variant<V: Visitor<'n>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fail> {
        self.content(|reader| reader.map(Some(fields), visitor))
    }
}

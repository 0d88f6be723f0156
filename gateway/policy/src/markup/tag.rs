//! One tag, as far as it is read: its name, and the attributes that decide where a form goes. Knows no states.

use smallvec::SmallVec;

/// Longest name that is told from others, in bytes, and one more: `annotation-xml`.
const NAME: usize = 15;
/// Longest attribute that is read, in bytes.
const VALUE: usize = 2048;
/// Stands for a value that is too long to be read. No attribute that matters says this.
const UNREADABLE: &[u8] = b"&";

/// The attributes that are read.
const WANTED: [&str; 9] = [
    "action",
    "method",
    "formaction",
    "form",
    "id",
    "href",
    "disabled",
    "charset",
    "content",
];

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Tag {
    name: SmallVec<[u8; NAME]>,
    /// `</`.
    pub(super) end: bool,
    /// `/>`.
    pub(super) closed: bool,
    attributes: SmallVec<[(&'static str, Vec<u8>); 4]>,
    /// Name of the attribute that is being read.
    attribute: SmallVec<[u8; NAME]>,
}

impl Tag {
    /// Its name; a longer one than any that matters is empty.
    pub(super) fn name(&self) -> &str {
        if self.name.len() >= NAME {
            ""
        } else {
            std::str::from_utf8(&self.name).unwrap_or_default()
        }
    }

    /// An attribute as it is written. The first of a name counts.
    pub(super) fn value(&self, name: &str) -> Option<&[u8]> {
        let mut found = self.attributes.iter().filter(|(known, _)| *known == name);
        found.next().map(|(_, value)| value.as_slice())
    }

    /// Begins another tag.
    pub(super) fn begin(&mut self, end: bool) {
        self.name.clear();
        self.attributes.clear();
        self.attribute.clear();
        (self.end, self.closed) = (end, false);
    }

    pub(super) fn letter(&mut self, byte: u8) {
        if self.name.len() < NAME {
            self.name.push(byte);
        }
    }

    pub(super) fn attribute_letter(&mut self, byte: u8) {
        if self.attribute.len() < NAME {
            self.attribute.push(byte);
        }
    }

    /// Its value, if one comes, belongs to the last attribute; of those that nobody reads, and of second ones, to one that
    /// has no name.
    pub(super) fn attribute_named(&mut self) {
        let wanted = WANTED
            .iter()
            .find(|name| name.as_bytes() == self.attribute.as_slice());
        let wanted = wanted.filter(|name| self.value(name).is_none());
        self.attributes.retain(|(name, _)| !name.is_empty());
        self.attributes
            .push((wanted.copied().unwrap_or_default(), Vec::new()));
        self.attribute.clear();
    }

    pub(super) fn add(&mut self, byte: u8) {
        let Some((name, value)) = self.attributes.last_mut() else {
            return;
        };
        if name.is_empty() || value == UNREADABLE {
            return;
        }
        value.push(byte);
        if value.len() > VALUE {
            value.clear();
            value.extend_from_slice(UNREADABLE);
        }
    }
}

//! Any YAML text as plain data, for commands that read files which are not policies. Scalars stay the text that was
//! written; what they mean is the reader's business.

use crate::yaml::{Limits, Node, Value, parse, scalar};

/// One document of a text.
#[derive(Debug)]
pub struct Document(Node);

/// One value in a document.
#[derive(Debug, Clone, Copy)]
pub struct Item<'d>(&'d Node);

impl Document {
    /// Every document of a text. A key that stands twice in one map is a fault, as in a policy.
    ///
    /// # Errors
    /// The first fault, with its line and column.
    pub fn read(text: &[u8]) -> Result<Vec<Self>, String> {
        let (documents, faults) = parse::documents(text, 0, Limits::default());
        match faults.first() {
            None => Ok(documents.into_iter().map(Self).collect()),
            Some(fault) => Err(format!(
                "{}:{}: {}",
                fault.place.line, fault.place.column, fault.message
            )),
        }
    }

    /// Its outermost value.
    #[must_use]
    pub fn root(&self) -> Item<'_> {
        Item(&self.0)
    }
}

impl<'d> Item<'d> {
    /// The line it begins at, from one.
    #[must_use]
    pub fn line(self) -> usize {
        self.0.place.line
    }

    /// The text of a scalar; `None` for lists, maps and what is written as nothing.
    #[must_use]
    pub fn text(self) -> Option<&'d str> {
        match &self.0.value {
            Value::Scalar { text, plain: true } if scalar::is_null(text) => None,
            Value::Scalar { .. } | Value::List(_) | Value::Map(_) => self.0.text(),
        }
    }

    /// The values of a list; nothing for anything else.
    pub fn items(self) -> impl Iterator<Item = Self> {
        self.0.items().iter().map(Self)
    }

    /// The keys and values of a map in the order written; nothing for anything else.
    pub fn entries(self) -> impl Iterator<Item = (&'d str, Self)> {
        let entries = self.0.entries().iter();
        entries.map(|entry| (&*entry.key, Self(&entry.value)))
    }

    /// The value under a key of a map.
    #[must_use]
    pub fn at(self, key: &str) -> Option<Self> {
        self.0.entry(key).map(|entry| Self(&entry.value))
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

    use super::Document;

    #[test]
    fn keeps_scalars_as_they_were_written() {
        let read = Document::read(b"a: 007\nb: \"yes\"\nc: yes\nd:\ne: ''\nf: [1, x]\n").unwrap();
        let text = |key: &str| read[0].root().at(key).unwrap().text();
        assert_eq!(text("a"), Some("007"));
        assert_eq!(text("b"), Some("yes"));
        assert_eq!(text("c"), Some("yes"));
        assert_eq!(text("d"), None);
        assert_eq!(text("e"), Some(""));
        let list = read[0].root().at("f").unwrap();
        assert_eq!(list.items().nth(1).unwrap().text(), Some("x"));
        assert_eq!(list.line(), 6);
    }

    #[test]
    fn says_where_a_text_is_no_yaml() {
        let why = Document::read(b"a: 1\na: 2\n").unwrap_err();
        assert!(why.starts_with("2:1: "), "{why}");
    }
}

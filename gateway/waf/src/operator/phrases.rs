//! One of a list of phrases, in any case. One automaton however long the list.

use aho_corasick::{AhoCorasick, AhoCorasickKind, BuildError};

use crate::compile::requirement::Requirement;

#[derive(Debug)]
pub(crate) struct Phrases {
    automaton: AhoCorasick,
    words: Vec<Box<[u8]>>,
}

impl Phrases {
    pub(crate) fn new(words: &[impl AsRef<[u8]>]) -> Result<Self, BuildError> {
        // The shared scan has already dismissed nearly every value: small matters more here than fast.
        let automaton = AhoCorasick::builder()
            .ascii_case_insensitive(true)
            .kind(Some(AhoCorasickKind::ContiguousNFA))
            .build(words)?;
        let words = words.iter().map(|word| word.as_ref().into()).collect();
        Ok(Self { automaton, words })
    }

    pub(super) fn is_match(&self, value: &[u8]) -> bool {
        self.automaton.is_match(value)
    }

    pub(crate) fn find<'v>(&self, value: &'v [u8]) -> Option<&'v [u8]> {
        self.automaton
            .find(value)
            .and_then(|found| value.get(found.range()))
    }

    pub(super) fn requirement(&self) -> Requirement {
        Requirement::any_of(self.words.iter().map(|word| &**word))
    }
}

//! Every literal that any pattern requires, as one automaton: a value is read once whatever the number of rules.
//! Fully determinised, so hostile text costs what ordinary text costs: one table look-up per byte.

use std::collections::HashMap;

use aho_corasick::{
    Anchored, MatchKind,
    automaton::{Automaton, StateID},
    dfa::DFA,
};

/// Collects literals and numbers them.
#[derive(Default)]
pub(crate) struct Collector {
    numbers: HashMap<Vec<u8>, u32>,
    list: Vec<Vec<u8>>,
}

impl Collector {
    pub(crate) fn number(&mut self, literal: &[u8]) -> u32 {
        if let Some(&number) = self.numbers.get(literal) {
            return number;
        }
        let number = u32::try_from(self.list.len()).unwrap_or(u32::MAX);
        self.numbers.insert(literal.to_vec(), number);
        self.list.push(literal.to_vec());
        number
    }

    pub(crate) const fn count(&self) -> usize {
        self.list.len()
    }

    pub(crate) fn build(self) -> Result<Literals, String> {
        if self.list.is_empty() {
            return Ok(Literals {
                automaton: None,
                count: 0,
            });
        }
        let dfa = DFA::builder()
            .match_kind(MatchKind::Standard)
            .ascii_case_insensitive(true)
            .prefilter(false)
            .build(&self.list)
            .map_err(|error| error.to_string())?;
        let start = dfa
            .start_state(Anchored::No)
            .map_err(|error| error.to_string())?;
        Ok(Literals {
            automaton: Some((dfa, start)),
            count: self.list.len(),
        })
    }
}

/// The automaton over all literals of a ruleset.
#[derive(Debug)]
pub(crate) struct Literals {
    automaton: Option<(DFA, StateID)>,
    count: usize,
}

impl Literals {
    pub(crate) const fn count(&self) -> usize {
        self.count
    }

    /// Calls `hit` for every occurrence, in any case and overlapping.
    pub(crate) fn scan(&self, text: &[u8], mut hit: impl FnMut(u32)) {
        let Some((dfa, start)) = &self.automaton else {
            return;
        };
        let mut state = *start;
        for &byte in text {
            state = dfa.next_state(Anchored::No, state, byte);
            if dfa.is_special(state) && dfa.is_match(state) {
                for at in 0..dfa.match_len(state) {
                    hit(dfa.match_pattern(state, at).as_u32());
                }
            }
        }
    }

    pub(crate) fn memory(&self) -> usize {
        self.automaton
            .as_ref()
            .map_or(0, |(dfa, _)| dfa.memory_usage())
    }
}

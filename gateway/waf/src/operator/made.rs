//! `@rx` with macros: the pattern is known only when it is asked. What was compiled is kept, a few at a time: the texts
//! behind macros are settings, which repeat, but nothing keeps a rule from naming what a client sent.

use std::{cell::RefCell, collections::HashMap, rc::Rc};

use super::Pattern;
use crate::{limits::Budget, text::Text};

/// A longer text is not compiled.
const MAX_TEXT: usize = 4 << 10;
/// Work of compiling, in bytes scanned: some hundred microseconds.
const COMPILING: usize = 128 << 10;
/// Patterns kept per thread.
const KEPT: usize = 64;

/// Nothing for a text that is no pattern.
type Known = HashMap<Box<[u8]>, Option<Rc<Pattern>>>;

thread_local! {
    static KNOWN: RefCell<Known> = RefCell::default();
}

/// A pattern with macros.
#[derive(Debug)]
pub(crate) struct Made {
    pub(crate) text: Text,
}

impl Made {
    /// A text that is no pattern counts as a match: who could break a pattern by what they send would be rid of the rule.
    pub(super) fn is_match(&self, value: &[u8], text: &[u8], budget: &mut Budget) -> bool {
        pattern(text, budget).is_none_or(|pattern| pattern.is_match(value, budget))
    }

    pub(crate) fn captures(
        &self,
        value: &[u8],
        text: &[u8],
        budget: &mut Budget,
        take: impl FnMut(u16, &[u8]),
    ) {
        if let Some(pattern) = pattern(text, budget) {
            pattern.captures(value, budget, take);
        }
    }
}

fn pattern(text: &[u8], budget: &mut Budget) -> Option<Rc<Pattern>> {
    if text.len() > MAX_TEXT {
        return None;
    }
    KNOWN.with_borrow_mut(|known| {
        if let Some(pattern) = known.get(text) {
            return pattern.clone();
        }
        budget.charge(COMPILING);
        if known.len() >= KEPT {
            known.clear();
        }
        let compiled = Pattern::pcre(&String::from_utf8_lossy(text), true);
        let pattern = compiled.ok().map(Rc::new);
        known.insert(text.into(), pattern.clone());
        pattern
    })
}

//! One request's evaluation: what is collected, scanned and decided. Everything here is reused between requests.

mod body;
pub(crate) mod collect;
mod memo;
pub(crate) mod scan;
pub(crate) mod state;
mod trie;
pub(crate) mod walk;

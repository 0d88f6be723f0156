//! One request's evaluation: what is collected, scanned and decided. Everything here is reused between requests.

mod around;
pub(crate) mod body;
mod clock;
pub(crate) mod collect;
mod dynamic;
mod memo;
pub(crate) mod scan;
pub(crate) mod state;
mod trie;
mod tx;
pub(crate) mod walk;

//! Where in an identity's claims a value is: `role`, or `realm_access.roles` inside an object. A claim whose own name
//! has dots (`https://shop.example/roles`) comes first.

use std::fmt;

use serde_json::{Map, Value};

/// A claim's name, or the way to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::checks) struct ClaimPath {
    whole: String,
    way: Vec<String>,
}

impl ClaimPath {
    pub(in crate::checks) fn new(text: &str) -> Self {
        Self {
            whole: text.to_owned(),
            way: text.split('.').map(str::to_owned).collect(),
        }
    }

    /// The value there.
    pub(in crate::checks) fn find<'c>(&self, claims: &'c Map<String, Value>) -> Option<&'c Value> {
        if let Some(value) = claims.get(&self.whole) {
            return Some(value);
        }
        let (first, rest) = self.way.split_first()?;
        let start = claims.get(first)?;
        rest.iter().try_fold(start, |at, name| at.get(name))
    }
}

impl fmt::Display for ClaimPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.whole)
    }
}

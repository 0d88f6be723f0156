//! What is wrong with a rule, and where. Compiling reports every fault at once; how it is printed is the caller's.

use std::fmt;

/// One fault in the rules or in how a policy uses them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Fault {
    /// The name the source was given: usually a file.
    pub source: String,
    /// 1-based, where the front end knows it.
    pub line: Option<u32>,
    /// The rule's id, where there is one.
    pub rule: Option<u32>,
    /// Where inside the source: `rules[3].any[0].regex`. Empty for the whole rule.
    pub path: String,
    /// What is wrong and what would be right.
    pub message: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.source)?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        if let Some(id) = self.rule {
            write!(f, ": rule {id}")?;
        }
        if !self.path.is_empty() {
            write!(f, ": {}", self.path)?;
        }
        write!(f, ": {}", self.message)
    }
}

impl std::error::Error for Fault {}

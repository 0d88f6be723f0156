//! Rule sets that serve, for the policy that comes after: compiling the Core Rule Set takes hundreds of milliseconds, and
//! most reloads change none of it. Whether a set is still what its files say is decided by asking for every file and
//! pattern again and comparing what comes; nothing is believed about times or sizes. With a set stays what its rules keep
//! between requests, whatever the check is called by now.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use sha2::{Digest, Sha256};

use super::rules::{Loaded, Wanted};
use crate::fault::Path;
use crate::sources::Sources;

/// Rule sets by what they are made of, of a policy and of the one that it replaces.
#[derive(Debug, Default)]
pub(crate) struct Rulesets {
    /// `None`: faulty, and said so.
    made: HashMap<Wanted, Option<Kept>>,
    before: Arc<Known>,
}

/// The sound ones.
pub(crate) type Known = HashMap<Wanted, Kept>;

/// A rule set, what it was made from, and what loading it had to say.
#[derive(Debug, Clone)]
pub(crate) struct Kept {
    pub(super) loaded: Loaded,
    pub(super) trace: Arc<[Asked]>,
    /// Where below the check, and what.
    pub(super) warnings: Arc<[(Path, String)]>,
}

/// One question to the sources, and a digest of the answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Asked {
    what: What,
    answer: [u8; 32],
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum What {
    File(String),
    Pattern(String),
}

impl Rulesets {
    /// In place of a policy with these.
    pub(crate) fn after(before: Arc<Known>) -> Self {
        Self { made: HashMap::new(), before }
    }

    /// What serves from here on.
    pub(crate) fn known(self) -> Known {
        let sound = |(wanted, kept): (Wanted, Option<Kept>)| Some((wanted, kept?));
        self.made.into_iter().filter_map(sound).collect()
    }

    pub(super) fn get(&self, wanted: &Wanted) -> Option<&Option<Kept>> {
        self.made.get(wanted)
    }

    pub(super) fn insert(&mut self, wanted: Wanted, kept: Option<Kept>) {
        self.made.insert(wanted, kept);
    }

    pub(super) fn before(&self, wanted: &Wanted) -> Option<Kept> {
        self.before.get(wanted).cloned()
    }
}

impl Kept {
    /// Whether the sources answer as they did. Every file is read, so that each is watched and counts for the policy's
    /// hash as if the set had been compiled.
    pub(super) fn holds(&self, sources: &mut dyn Sources) -> bool {
        self.trace.iter().all(|asked| match &asked.what {
            What::File(path) => asked.answer == of_file(&sources.read(path)),
            What::Pattern(pattern) => asked.answer == of_pattern(&sources.glob(pattern)),
        })
    }
}

/// Sources that remember what they were asked.
pub(super) struct Traced<'s> {
    inner: &'s mut dyn Sources,
    trace: Vec<Asked>,
}

impl<'s> Traced<'s> {
    pub(super) fn new(inner: &'s mut dyn Sources) -> Self {
        Self { inner, trace: Vec::new() }
    }

    pub(super) fn trace(self) -> Arc<[Asked]> {
        self.trace.into()
    }
}

impl Sources for Traced<'_> {
    fn read(&mut self, path: &str) -> Result<Bytes, String> {
        let answer = self.inner.read(path);
        self.trace.push(Asked { what: What::File(path.to_owned()), answer: of_file(&answer) });
        answer
    }

    fn glob(&mut self, pattern: &str) -> Result<Vec<String>, String> {
        let answer = self.inner.glob(pattern);
        self.trace.push(Asked { what: What::Pattern(pattern.to_owned()), answer: of_pattern(&answer) });
        answer
    }

    /// Rules ask for no environment.
    fn env(&mut self, name: &str) -> Option<String> {
        self.inner.env(name)
    }
}

fn of_file(answer: &Result<Bytes, String>) -> [u8; 32] {
    digest(answer.as_ref().map(|bytes| [&bytes[..]]))
}

fn of_pattern(answer: &Result<Vec<String>, String>) -> [u8; 32] {
    digest(answer.as_ref().map(|names| names.iter().map(String::as_bytes)))
}

/// Whoever may write the files may write the rules: against chance alone much less would do.
fn digest<'a>(answer: Result<impl IntoIterator<Item = &'a [u8]>, &String>) -> [u8; 32] {
    let mut hash = Sha256::new();
    match answer {
        Ok(parts) => {
            hash.update([0]);
            for part in parts {
                hash.update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_le_bytes());
                hash.update(part);
            }
        }
        Err(why) => {
            hash.update([1]);
            hash.update(why);
        }
    }
    hash.finalize().into()
}

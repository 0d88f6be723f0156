//! The files that SecLang names, read through the policy's own sources: so they are watched and hashed as the policy is.

use std::cell::RefCell;

use waf::seclang::Files;

use crate::sources::Sources;

/// Sources for the engine, and who included whom.
pub(super) struct Disk<'s> {
    sources: RefCell<&'s mut dyn Sources>,
    included: RefCell<Vec<(String, String)>>,
}

impl<'s> Disk<'s> {
    pub(super) fn new(sources: &'s mut dyn Sources) -> Self {
        Self { sources: RefCell::new(sources), included: RefCell::default() }
    }

    /// Included files, each with the one that names it.
    pub(super) fn included(self) -> Vec<(String, String)> {
        self.included.into_inner()
    }
}

impl Files for Disk<'_> {
    fn read(&self, from: &str, path: &str) -> Result<String, String> {
        let path = beside(from, path);
        let bytes = self.sources.borrow_mut().read(&path);
        let bytes = bytes.map_err(|why| format!("cannot read {path}: {why}"))?;
        text(&path, &bytes)
    }

    fn list(&self, from: &str, pattern: &str) -> Result<Vec<String>, String> {
        let pattern = beside(from, pattern);
        let names = self.sources.borrow_mut().glob(&pattern);
        let names = names.map_err(|why| format!("cannot expand {pattern}: {why}"))?;
        let mut included = self.included.borrow_mut();
        included.extend(names.iter().map(|name| (name.clone(), from.to_owned())));
        Ok(names)
    }
}

/// A path that a file names, seen from the policy's folder. Text inside the policy is in that folder.
fn beside(from: &str, path: &str) -> String {
    match from.rsplit_once('/') {
        Some((folder, _)) if !path.starts_with('/') => format!("{folder}/{path}"),
        Some(_) | None => path.to_owned(),
    }
}

/// A file as text.
pub(super) fn text(name: &str, bytes: &[u8]) -> Result<String, String> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Ok(text.to_owned()),
        Err(why) => {
            let before = bytes.get(..why.valid_up_to()).unwrap_or_default();
            let line = 1 + before.iter().filter(|byte| **byte == b'\n').count();
            Err(format!("{name}:{line}: not UTF-8"))
        }
    }
}

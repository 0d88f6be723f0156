//! Remembers what a compilation read, for the policy's hash. Secrets are read past it: a hash over a short secret
//! would let anyone who sees the hash guess it.

use std::collections::HashSet;

use bytes::Bytes;
use sha2::{Digest, Sha256};

use crate::sources::Sources;

/// Sources that are hashed on the way.
pub(super) struct Recorded<'s> {
    inner: &'s mut dyn Sources,
    hash: Sha256,
    /// What is asked for twice counts once: who asks how often depends on what was compiled before.
    noted: HashSet<(&'static str, String)>,
}

impl<'s> Recorded<'s> {
    pub(super) fn new(inner: &'s mut dyn Sources) -> Self {
        Self {
            inner,
            hash: Sha256::new(),
            noted: HashSet::new(),
        }
    }

    /// Past the hash.
    pub(super) fn secretly(&mut self) -> &mut dyn Sources {
        self.inner
    }

    /// Eight bytes are enough to tell policies apart; nobody is to be kept from making two alike.
    pub(super) fn hash(self) -> String {
        let digest = self.hash.finalize();
        digest
            .iter()
            .take(8)
            .map(|byte| format!("{byte:02x}"))
            .collect()
    }

    /// Lengths keep neighbours apart.
    fn note(&mut self, kind: &'static str, name: &str, value: &[u8]) {
        if !self.noted.insert((kind, name.to_owned())) {
            return;
        }
        for part in [kind.as_bytes(), name.as_bytes(), value] {
            self.hash
                .update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_le_bytes());
            self.hash.update(part);
        }
    }
}

impl Sources for Recorded<'_> {
    fn read(&mut self, path: &str) -> Result<Bytes, String> {
        let bytes = self.inner.read(path)?;
        self.note("file", path, &bytes);
        Ok(bytes)
    }

    fn glob(&mut self, pattern: &str) -> Result<Vec<String>, String> {
        let files = self.inner.glob(pattern)?;
        self.note("glob", pattern, files.join("\n").as_bytes());
        Ok(files)
    }

    fn env(&mut self, name: &str) -> Option<String> {
        let value = self.inner.env(name)?;
        self.note("env", name, value.as_bytes());
        Some(value)
    }
}

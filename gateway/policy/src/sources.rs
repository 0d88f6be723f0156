//! What a policy reads while it is compiled: files, environment. The server implements it over the disk and watches
//! every path that was asked for; tests implement it over a map.

use bytes::Bytes;

use crate::settings::secret::{Provided, Wanted};

/// Reads that a compilation may ask for. Relative paths start at the policy's folder.
pub trait Sources {
    /// The whole file. The error is a sentence without the path, such as `no such file`.
    ///
    /// # Errors
    /// When the file cannot be read.
    fn read(&mut self, path: &str) -> Result<Bytes, String>;

    /// The files that match a glob (`*`, `?`, `[…]`, `**`), sorted by name; a plain path gives itself when it exists.
    ///
    /// # Errors
    /// When the pattern is malformed or its folder cannot be read.
    fn glob(&mut self, pattern: &str) -> Result<Vec<String>, String>;

    /// An environment variable.
    fn env(&mut self, name: &str) -> Option<String>;

    /// When a file was written, Unix milliseconds; `None`: nobody knows.
    fn written(&mut self, _path: &str) -> Option<u64> {
        None
    }

    /// Values of secrets that providers have, one result for each that is wanted, in that order. May take as long as the
    /// slowest of them is allowed to.
    fn provide(&mut self, wanted: &[Wanted]) -> Vec<Result<Provided, Unprovided>> {
        wanted.iter().map(|_| Err(Unprovided::NotAsked)).collect()
    }
}

/// Why there is no value from a provider.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unprovided {
    /// These sources ask no provider: a policy can be looked at without running a program or reaching a server.
    NotAsked,
    /// It was asked; a sentence without the value.
    Failed(String),
}

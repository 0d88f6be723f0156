//! What a policy reads while it is compiled: files, environment. The server implements it over the disk and watches
//! every path that was asked for; tests implement it over a map.

use bytes::Bytes;

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
}

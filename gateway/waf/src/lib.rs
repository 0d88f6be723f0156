//! Bytes in, verdict out.

/// What the rules found.
#[derive(Debug, Default)]
pub struct Verdict {}

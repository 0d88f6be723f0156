//! Bytes in, verdict out: no tokio, no Pingora, no clock, no disk.

pub mod transform;

/// What the rules found.
#[derive(Debug, Default)]
pub struct Verdict {}

//! One request's evaluation: what is collected, scanned and decided. Everything here is reused between requests.

pub(crate) mod collect;
pub(crate) mod scan;

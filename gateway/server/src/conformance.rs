//! The regression suite of the OWASP Core Rule Set against a gateway of our own: its YAML, its requests byte for byte,
//! a backend that answers as it is told, and what must come of it. `palisade waf conformance` prints what comes out.
//!
//! `suite` tests from YAML · `request` the bytes of one · `template` what their data may compute · `backend` the
//! application · `stand` gateway and events · `client` sockets · `expect` what must be seen · `judge` whether it was ·
//! `run` all of it.

pub(crate) mod backend;
mod client;
mod expect;
mod judge;
mod request;
mod run;
mod stand;
mod suite;
mod template;

pub(crate) use expect::Seen;
pub(crate) use judge::{Blocking, Verdict};
pub(crate) use run::{Outcome, Settings, run};
pub(crate) use stand::{Crs, Mode};
pub(crate) use suite::{Suite, Test};

//! YAML in, decisions out. Pure: no tokio, no Pingora, no clock and no disk; what a decision must wait for comes
//! through [`io::Io`], what a policy must read comes through [`sources::Sources`].
//!
//! Map: `yaml` text → located tree · `spec` → typed document · `compile` → [`Policy`] · `route` finds the route ·
//! [`request`] the borrowed view that checks see · [`run`] asks a route's checks in order · [`checks`] the closed list
//! of checks · [`decision`] what comes out · [`response`] answers under judgement · [`markup`] pages given what their forms need · [`cases`] requests with the
//! decisions they must get · [`document`] YAML that is no policy · [`schema()`] for editors.

pub mod answered;
pub mod asker;
pub mod ban;
pub mod cases;
pub mod checks;
pub mod client;
pub mod codec;
mod compile;
pub mod context;
pub mod cookie;
mod coverage;
pub mod decision;
pub mod document;
pub mod fault;
pub mod field;
pub mod framing;
pub mod host;
pub mod invented;
pub mod io;
pub mod key;
pub mod limit;
pub mod markup;
pub mod memory;
pub mod networks;
pub mod pages;
pub mod path;
mod policy;
pub mod request;
pub mod response;
pub mod roles;
mod route;
pub mod run;
pub mod scalar;
mod schema;
pub mod settings;
pub mod sources;
mod spec;
pub mod standing;
pub mod stored;
#[cfg(test)]
mod testing;
mod yaml;

pub use coverage::{Asked, Covered};
pub use policy::{Loaded, Outline, Policy, Skipped};
pub use schema::schema;

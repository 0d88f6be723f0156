//! Everything that waits: listeners, upstreams, stores, events, commands. Decides nothing itself: `policy` does.
//!
//! Map of the traffic side: `serve` starts it · `listen`, `tls`, `wire` connections · `head` and `h1`, `h2` requests ·
//! `proxy` Pingora's hooks · `io`, `gated` the body · `reply` our own answers · `upstream` where requests go ·
//! [`record`] what is known about a request when it is over · [`snapshot`] what a request is decided with.
//!
//! Map of the control side: `cli` commands · `reload`, `sources` policies from disk · `events`, `metrics` what was seen ·
//! `admin` the operators' listener · `demo` an application to try it on.

mod admin;
pub mod cli;
mod demo;
mod events;
mod gateway;
mod metrics;
mod observe;
mod policy_file;
pub mod record;
mod reload;
pub mod serve;
pub mod snapshot;
mod sources;
mod upstream;

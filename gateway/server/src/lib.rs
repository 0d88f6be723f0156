//! Everything that waits: listeners, upstreams, stores, events, commands. Decides nothing itself: `policy` does.
//!
//! Map of the traffic side: `serve` starts it · `listen`, `tls`, `wire` connections · `head` and `h1`, `h2` requests ·
//! `proxy` Pingora's hooks · `io`, `gated` the body · `reply` our own answers · `upstream` where requests go ·
//! [`record`] what is known about a request when it is over · [`snapshot`] what a request is decided with.
//!
//! Map of the control side: `cli` commands · `reload`, `sources` policies from disk · `events`, `metrics` what was seen ·
//! `admin` the operators' listener · `demo` an application to try it on.

#[allow(
    dead_code,
    unused_imports,
    reason = "wired by the commands, which land next"
)]
mod events;
#[allow(
    dead_code,
    unused_imports,
    reason = "wired by the commands, which land next"
)]
mod metrics;
#[allow(dead_code, reason = "wired by the commands, which land next")]
mod observe;
#[allow(dead_code, reason = "wired by the commands, which land next")]
mod policy_file;
pub mod record;
#[allow(dead_code, reason = "wired by the commands, which land next")]
mod reload;
pub mod serve;
pub mod snapshot;
#[allow(dead_code, reason = "wired by the commands, which land next")]
mod sources;
mod upstream;

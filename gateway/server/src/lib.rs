//! Everything that waits: listeners, upstreams, stores, events, commands. Decides nothing itself: `policy` does.
//!
//! Map of the traffic side: `serve` starts it · `downstream` connections up to a checked head · `proxy` Pingora's hooks ·
//! `gate` from request to decision, with `facts` before and `io` during it · `gated`, `held` bodies, `withheld` answers · `forward` the
//! upstream request, `upstream` where it goes · `answer`, `reply`, `early`, `failure` what clients get · [`record`] what
//! is known of a request when it is over · [`snapshot`] what a request is decided with · `handover` to the next process · [`store`]
//! counters, leases and values · `remote` whom checks ask.
//!
//! Map of the control side: `cli` commands · `reload`, `sources` policies from disk · `events`, `metrics` what was seen ·
//! `secrets` of providers · `admin` the operators' listener · `demo` an application to try it on · `conformance` the CRS suite against a gateway.

mod admin;
mod answer;
pub mod cli;
mod conformance;
mod ctx;
mod demo;
mod downstream;
mod early;
mod events;
mod facts;
mod failure;
mod forward;
mod gate;
mod gated;
mod gateway;
mod given;
mod handover;
mod heard;
mod held;
mod id;
mod io;
mod lasting;
mod leases;
mod metrics;
mod observe;
mod policy_file;
mod proxy;
pub mod record;
mod reload;
mod remote;
mod reply;
mod secrets;
pub mod serve;
pub mod snapshot;
mod sources;
pub mod store;
mod upstream;
mod withheld;

//! End to end: the real binary, real sockets, real clients, an origin that records what it received.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "tests"
)]

#[path = "../support/mod.rs"]
mod support;

mod body;
mod client;
mod commands;
mod conformance;
mod crs;
mod devices;
mod edge;
mod ends;
mod evasions;
mod examples;
mod examples_identity;
mod factors;
mod factors_json;
mod forms;
mod guard;
mod htmx;
mod http2;
mod identity;
mod oidc;
mod operations;
mod overload;
mod pages;
mod path;
mod reload;
mod remote;
mod responses;
mod secrets;
mod sessions;
mod shop;
mod slow;
mod smuggling;
mod sqlmap;
mod state;
mod stores;
mod stores_failing;
mod tls;
mod traffic;
mod upstream;
mod waf;
mod waf_commands;
mod withheld;

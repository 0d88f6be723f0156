//! The client's side: sockets, connections, and the raw shape of requests before Pingora parses them.

mod alarm;
mod busy;
pub(crate) mod connection;
pub(crate) mod fence;
pub(crate) mod h1;
pub(crate) mod h2;
pub(crate) mod head;
pub(crate) mod listen;
pub(crate) mod proxy_protocol;
pub(crate) mod tls;
pub(crate) mod wire;

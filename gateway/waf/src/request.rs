//! The borrowed view of a request that callers lend. Holds nothing, decides nothing.

use std::{net::IpAddr, time::Duration};

/// The head of a request. All bytes are as received unless said otherwise.
#[derive(Clone, Copy)]
pub struct Request<'a> {
    /// `GET`.
    pub method: &'a [u8],
    /// The request target: `/a%20b?c=d`.
    pub target: &'a [u8],
    /// The path the gateway routes by and forwards: decoded, dot segments removed.
    pub path: &'a [u8],
    /// What follows the first `?`, undecoded; empty without one.
    pub query: &'a [u8],
    /// `HTTP/1.1`.
    pub protocol: &'a [u8],
    /// Every header line in order of arrival.
    pub headers: &'a dyn Headers,
    /// The client's address as the gateway determined it.
    pub client: IpAddr,
    /// What the caller knows beside the request.
    pub around: Surroundings<'a>,
}

/// What surrounds a request: time, identity, ends of the connection. The crate has no clock and asks nobody. All of it
/// may be left at its default, and is then empty to the rules that read it.
#[derive(Clone, Copy, Default, Debug)]
pub struct Surroundings<'a> {
    /// Now, since the Unix epoch. Without it nothing that rules keep between requests ever expires.
    pub now: Duration,
    /// Since the request's first byte.
    pub elapsed: Duration,
    /// The request's id (UNIQUE_ID).
    pub id: &'a [u8],
    /// The authenticated user, as a check before established it. Without one the name in a Basic `Authorization`
    /// header, which nobody has verified.
    pub user: &'a [u8],
    /// The client's port.
    pub client_port: u16,
    /// The address that took the connection.
    pub server: Option<IpAddr>,
    /// Its port.
    pub server_port: u16,
}

/// Header lines: names in lower case, values without the surrounding white space.
pub trait Headers {
    /// Calls `sink` once per line, in order.
    fn each(&self, sink: &mut dyn FnMut(&[u8], &[u8]));
}

impl<N: AsRef<[u8]>, V: AsRef<[u8]>> Headers for [(N, V)] {
    fn each(&self, sink: &mut dyn FnMut(&[u8], &[u8])) {
        for (name, value) in self {
            sink(name.as_ref(), value.as_ref());
        }
    }
}

impl<N: AsRef<[u8]>, V: AsRef<[u8]>, const COUNT: usize> Headers for [(N, V); COUNT] {
    fn each(&self, sink: &mut dyn FnMut(&[u8], &[u8])) {
        self.as_slice().each(sink);
    }
}

impl<N: AsRef<[u8]>, V: AsRef<[u8]>> Headers for Vec<(N, V)> {
    fn each(&self, sink: &mut dyn FnMut(&[u8], &[u8])) {
        self.as_slice().each(sink);
    }
}

//! The borrowed view of a request that callers lend. Holds nothing, decides nothing.

use std::net::IpAddr;

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

//! Requests that never became one for Pingora: answered with raw bytes, recorded like every other.

use std::cell::RefCell;
use std::time::Duration;

use bytes::BytesMut;
use policy::decision::{Action, Reason};

use crate::downstream::connection::Connection;
use crate::downstream::head::Refusal;
use crate::id::RequestId;
use crate::record::Record;
use crate::reply::{Dress, Page};
use crate::serve::Running;

/// What becomes of a connection after the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Connected {
    Stays,
    Closes,
}

/// The answer to a refused head, ready for the wire, and its id.
pub(crate) fn answer(
    running: &Running,
    refusal: &Refusal,
    connected: Connected,
) -> (RequestId, BytesMut) {
    let id = RequestId::make();
    let page = Page {
        status: refusal.reason.status(),
        reason: refusal.reason,
        id: id.as_str(),
        reader: None,
        retry_after: (refusal.reason == Reason::Overload).then_some(1),
    };
    let mut out = BytesMut::new();
    let snapshot = running.shared.load();
    let dress = Dress {
        snapshot: &snapshot,
        route: None,
        effects: None,
        id: id.as_str(),
    };
    let rendered = page.render().and_then(|(mut header, body)| {
        dress.put_on(&mut header)?;
        if connected == Connected::Closes {
            header.insert_header(http::header::CONNECTION, "close")?;
        }
        Ok((header, body))
    });
    if let Ok((header, body)) = rendered {
        out.extend_from_slice(b"HTTP/1.1 ");
        out.extend_from_slice(header.status.as_str().as_bytes());
        out.extend_from_slice(b" ");
        out.extend_from_slice(
            header
                .status
                .canonical_reason()
                .unwrap_or_default()
                .as_bytes(),
        );
        out.extend_from_slice(b"\r\n");
        header.header_to_h1_wire(&mut out);
        out.extend_from_slice(b"\r\n");
        out.extend_from_slice(&body);
    }
    (id, out)
}

/// The same for many that are refused alike: made once for each policy, and from then on copied with another id.
pub(crate) fn again(running: &Running, refusal: &Refusal) -> (RequestId, Vec<u8>) {
    thread_local! {
        static LAST: RefCell<Option<Mould>> = const { RefCell::new(None) };
    }
    let version = running.shared.load().version;
    let id = RequestId::make();
    let answer = LAST.with_borrow_mut(|last| {
        let known = last
            .take()
            .filter(|mould| (mould.version, mould.reason) == (version, refusal.reason));
        let mould = known.unwrap_or_else(|| Mould::new(running, refusal, version));
        let answer = mould.cast(id.as_str(), refusal.method == "HEAD");
        *last = Some(mould);
        answer
    });
    (id, answer)
}

/// An answer, and where in it the request's id stands.
struct Mould {
    version: u64,
    reason: Reason,
    bytes: BytesMut,
    ids: Vec<usize>,
    /// Where the body begins.
    body: usize,
}

impl Mould {
    fn new(running: &Running, refusal: &Refusal, version: u64) -> Self {
        let (id, bytes) = answer(running, refusal, Connected::Stays);
        let ids = memchr::memmem::find_iter(&bytes, id.as_str()).collect();
        let body = memchr::memmem::find(&bytes, b"\r\n\r\n").map_or(bytes.len(), |end| end + 4);
        Self {
            version,
            reason: refusal.reason,
            bytes,
            ids,
            body,
        }
    }

    /// `silent`: without the body, which the answer to a HEAD only announces.
    fn cast(&self, id: &str, silent: bool) -> Vec<u8> {
        let end = if silent { self.body } else { self.bytes.len() };
        let mut answer = self.bytes.get(..end).unwrap_or_default().to_vec();
        for &at in &self.ids {
            if let Some(place) = answer.get_mut(at..at + id.len()) {
                place.copy_from_slice(id.as_bytes());
            }
        }
        answer
    }
}

/// Tells the observer.
pub(crate) fn record(
    running: &Running,
    connection: &Connection,
    refusal: &Refusal,
    id: &RequestId,
    status: u16,
) {
    let snapshot = running.shared.load();
    let (path, query) = refusal
        .target
        .split_once('?')
        .map_or((refusal.target.as_str(), None), |(path, query)| {
            (path, Some(query))
        });
    running.shared.observer().request(&Record {
        snapshot: &snapshot,
        id: id.as_str(),
        client: connection.peer.ip(),
        peer: connection.peer.ip(),
        method: &refusal.method,
        host: "",
        path,
        query,
        version: http::Version::HTTP_11,
        secure: connection.tls.is_some(),
        route: None,
        decision: None,
        action: Action::Deny,
        reason: refusal.reason,
        detail: refusal.detail,
        status,
        upstream: None,
        bytes_in: 0,
        bytes_out: 0,
        duration: Duration::ZERO,
        gateway: Duration::ZERO,
        upstream_time: None,
        upgraded: false,
    });
}

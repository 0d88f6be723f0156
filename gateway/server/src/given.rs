//! A page on its way to the client that is given something: the header says what becomes of it, the body follows piece by
//! piece. What is given, and where, is the policy's to say.

use bytes::Bytes;
use http::header::{
    ACCEPT_RANGES, CONTENT_LENGTH, ETAG, EXPIRES, HeaderName, LAST_MODIFIED, TRANSFER_ENCODING,
};
use http::{HeaderValue, Method, Version};
use parking_lot::Mutex;
use pingora_core::Result;
use pingora_core::protocols::http::HttpTask;
use pingora_http::ResponseHeader;
use policy::markup::{Given, Rewriter};

/// What is no longer true of a page once something was put into it, or would have others keep it.
static UNTRUE: [HeaderName; 11] = [
    CONTENT_LENGTH,
    ETAG,
    LAST_MODIFIED,
    EXPIRES,
    ACCEPT_RANGES,
    HeaderName::from_static("content-md5"),
    HeaderName::from_static("digest"),
    HeaderName::from_static("content-digest"),
    HeaderName::from_static("repr-digest"),
    HeaderName::from_static("surrogate-control"),
    HeaderName::from_static("cdn-cache-control"),
];

/// See the module.
pub(crate) struct Giving(Mutex<State>);

struct State {
    rewriter: Rewriter,
    ended: bool,
}

/// The header, for a page that will be longer by nobody knows how much.
pub(crate) fn header(
    response: &mut ResponseHeader,
    method: &Method,
    client: Version,
) -> Result<()> {
    for name in &UNTRUE {
        response.remove_header(name);
    }
    // Pingora adds it before this is decided, to answers that had no length then.
    let framed = response.headers.contains_key(TRANSFER_ENCODING);
    if client == Version::HTTP_10 {
        response.remove_header(&TRANSFER_ENCODING);
    } else if *method != Method::HEAD && !framed && response.version < Version::HTTP_2 {
        response.set_version(Version::HTTP_11);
        response.insert_header(TRANSFER_ENCODING, HeaderValue::from_static("chunked"))?;
    }
    Ok(())
}

impl Giving {
    pub(crate) fn new(given: Given) -> Self {
        Self(Mutex::new(State {
            rewriter: Rewriter::new(given),
            ended: false,
        }))
    }

    /// Takes what would go on, gives what goes on in its place.
    pub(crate) fn take(&self, tasks: Vec<HttpTask>) -> Vec<HttpTask> {
        let mut state = self.0.lock();
        let mut ready = Vec::with_capacity(tasks.len() + 1);
        for task in tasks {
            state.feed(task, &mut ready);
        }
        ready
    }
}

impl State {
    fn feed(&mut self, task: HttpTask, ready: &mut Vec<HttpTask>) {
        match task {
            HttpTask::Body(piece, end) => {
                let piece = piece.unwrap_or_default();
                let mut out = Vec::with_capacity(piece.len() + 256);
                self.rewriter.push(&piece, &mut out);
                if end {
                    self.end(&mut out);
                }
                if end || !out.is_empty() {
                    ready.push(HttpTask::Body(Some(Bytes::from(out)), end));
                }
            }
            HttpTask::Trailer(_) | HttpTask::Done => {
                let mut out = Vec::new();
                self.end(&mut out);
                if !out.is_empty() {
                    ready.push(HttpTask::Body(Some(Bytes::from(out)), false));
                }
                ready.push(task);
            }
            HttpTask::Header(..) | HttpTask::UpgradedBody(..) | HttpTask::Failed(_) => {
                ready.push(task);
            }
        }
    }

    fn end(&mut self, out: &mut Vec<u8>) {
        if !std::mem::replace(&mut self.ended, true) {
            self.rewriter.end(out);
        }
    }
}

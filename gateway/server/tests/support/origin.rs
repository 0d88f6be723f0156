//! An application behind the gateway that records the very bytes it received and answers by script.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};

use super::raw::find;
use super::{PATIENCE, until};

/// One request as the origin received it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Seen {
    pub(crate) method: String,
    pub(crate) target: String,
    pub(crate) headers: Vec<(String, String)>,
    /// The head, byte by byte, with its final empty line.
    pub(crate) head: Vec<u8>,
    /// The body as far as it came, without its framing.
    pub(crate) body: Vec<u8>,
    /// Whether the body came to its end.
    pub(crate) complete: bool,
}

impl Seen {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.all(name).first().copied()
    }

    pub(crate) fn all(&self, name: &str) -> Vec<&str> {
        self.headers
            .iter()
            .filter(|(field, _)| field.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
            .collect()
    }
}

/// What the origin does for a request, in order. After the last one the connection stays open for the next request.
pub(crate) enum Step {
    /// Writes these bytes.
    Send(Vec<u8>),
    /// Waits until the test opens the gate of that name.
    Gate(&'static str),
    /// Reads the rest of the request body first.
    ReadBody,
    /// Closes the connection.
    Close,
}

impl Step {
    pub(crate) fn text(text: impl Into<String>) -> Self {
        Self::Send(text.into().into_bytes())
    }
}

type Script = dyn Fn(&Seen) -> Vec<Step> + Send + Sync;

#[derive(Default)]
struct Shared {
    seen: Mutex<Vec<Seen>>,
    gates: Mutex<HashMap<&'static str, bool>>,
    opened: Condvar,
    connections: AtomicUsize,
    ended: AtomicBool,
}

/// The origin. Its threads end with it.
pub(crate) struct Origin {
    pub(crate) address: SocketAddr,
    shared: Arc<Shared>,
}

impl Drop for Origin {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::SeqCst);
        self.shared.opened.notify_all();
        // Wakes the accepting thread, which then sees that it has ended.
        let _ = TcpStream::connect(self.address);
    }
}

impl Origin {
    /// Answers everything with 200 and `origin`.
    pub(crate) fn start() -> Self {
        Self::scripted(|_| vec![Step::ReadBody, Step::Send(ok("origin"))])
    }

    pub(crate) fn scripted(script: impl Fn(&Seen) -> Vec<Step> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        Self::on(listener, script)
    }

    pub(crate) fn on(
        listener: TcpListener,
        script: impl Fn(&Seen) -> Vec<Step> + Send + Sync + 'static,
    ) -> Self {
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared::default());
        let script: Arc<Script> = Arc::new(script);
        let ours = Arc::clone(&shared);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                if ours.ended.load(Ordering::SeqCst) {
                    return;
                }
                let Ok(stream) = stream else { continue };
                ours.connections.fetch_add(1, Ordering::SeqCst);
                let (shared, script) = (Arc::clone(&ours), Arc::clone(&script));
                std::thread::spawn(move || {
                    Serving {
                        stream,
                        shared,
                        buffer: Vec::new(),
                    }
                    .run(&*script);
                });
            }
        });
        Self { address, shared }
    }

    /// Every request so far.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.shared.seen.lock().unwrap().clone()
    }

    /// Requests so far.
    pub(crate) fn count(&self) -> usize {
        self.shared.seen.lock().unwrap().len()
    }

    pub(crate) fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::SeqCst)
    }

    /// The last request; fails when there was none.
    #[track_caller]
    pub(crate) fn last(&self) -> Seen {
        self.seen().pop().expect("the origin received a request")
    }

    /// Waits for a request to that target.
    #[track_caller]
    pub(crate) fn wait(&self, target: &str) -> Seen {
        until(&format!("the origin receives {target}"), || {
            self.seen().into_iter().find(|seen| seen.target == target)
        })
    }

    /// Lets scripts pass their `Step::Gate(name)`.
    pub(crate) fn open(&self, name: &'static str) {
        self.shared.gates.lock().unwrap().insert(name, true);
        self.shared.opened.notify_all();
    }
}

/// A 200 with that body and its length.
pub(crate) fn ok(body: &str) -> Vec<u8> {
    answer(200, "", body.as_bytes())
}

/// An answer with a length and more field lines, each ended by CRLF.
pub(crate) fn answer(status: u16, more: &str, body: &[u8]) -> Vec<u8> {
    let mut bytes = format!(
        "HTTP/1.1 {status} Answer\r\nContent-Length: {}\r\n{more}\r\n",
        body.len()
    )
    .into_bytes();
    bytes.extend_from_slice(body);
    bytes
}

struct Serving {
    stream: TcpStream,
    shared: Arc<Shared>,
    buffer: Vec<u8>,
}

impl Serving {
    fn run(mut self, script: &Script) {
        while let Some((index, seen)) = self.head() {
            let mut unread = true;
            for step in script(&seen) {
                let goes_on = match step {
                    Step::Send(bytes) => self.stream.write_all(&bytes).is_ok(),
                    Step::ReadBody => {
                        unread = false;
                        self.body(index, &seen)
                    }
                    Step::Gate(name) => self.gate(name),
                    Step::Close => false,
                };
                if !goes_on {
                    return;
                }
            }
            if unread && !self.body(index, &seen) {
                return;
            }
        }
    }

    fn fill(&mut self) -> bool {
        let mut chunk = [0; 16 * 1024];
        match self.stream.read(&mut chunk) {
            Ok(read) => {
                self.buffer.extend_from_slice(&chunk[..read]);
                read > 0
            }
            Err(_) => false,
        }
    }

    fn head(&mut self) -> Option<(usize, Seen)> {
        let end = loop {
            if let Some(at) = find(&self.buffer, b"\r\n\r\n") {
                break at + 4;
            }
            if !self.fill() {
                return None;
            }
        };
        let head: Vec<u8> = self.buffer.drain(..end).collect();
        let text = String::from_utf8_lossy(&head).into_owned();
        let mut lines = text.split("\r\n");
        let mut start = lines.next().unwrap_or_default().splitn(3, ' ');
        let seen = Seen {
            method: start.next().unwrap_or_default().to_owned(),
            target: start.next().unwrap_or_default().to_owned(),
            headers: lines
                .filter_map(|line| line.split_once(':'))
                .map(|(name, value)| (name.to_owned(), value.trim().to_owned()))
                .collect(),
            head,
            ..Seen::default()
        };
        let mut all = self.shared.seen.lock().unwrap();
        all.push(seen.clone());
        Some((all.len() - 1, seen))
    }

    /// Reads the body into the record; `false` when it broke off.
    fn body(&mut self, index: usize, seen: &Seen) -> bool {
        let chunked = seen
            .header("transfer-encoding")
            .is_some_and(|value| value.eq_ignore_ascii_case("chunked"));
        let whole = if chunked {
            self.chunked(index)
        } else {
            let length = seen
                .header("content-length")
                .map_or(0, |length| length.parse().unwrap_or(0));
            self.take(index, length)
        };
        self.shared.seen.lock().unwrap()[index].complete = whole;
        whole
    }

    fn take(&mut self, index: usize, mut length: usize) -> bool {
        while length > 0 {
            if self.buffer.is_empty() && !self.fill() {
                return false;
            }
            let part: Vec<u8> = self.buffer.drain(..length.min(self.buffer.len())).collect();
            length -= part.len();
            self.shared.seen.lock().unwrap()[index]
                .body
                .extend_from_slice(&part);
        }
        true
    }

    fn chunked(&mut self, index: usize) -> bool {
        loop {
            let Some(line) = self.line() else {
                return false;
            };
            let size = line.split(';').next().unwrap_or_default().trim();
            let Ok(size) = usize::from_str_radix(size, 16) else {
                return false;
            };
            if size == 0 {
                while let Some(line) = self.line() {
                    if line.is_empty() {
                        return true;
                    }
                }
                return false;
            }
            if !self.take(index, size) || self.line().is_none() {
                return false;
            }
        }
    }

    fn line(&mut self) -> Option<String> {
        loop {
            if let Some(at) = find(&self.buffer, b"\r\n") {
                let line: Vec<u8> = self.buffer.drain(..at + 2).collect();
                return Some(String::from_utf8_lossy(&line[..at]).into_owned());
            }
            if !self.fill() {
                return None;
            }
        }
    }

    fn gate(&self, name: &'static str) -> bool {
        let gates = self.shared.gates.lock().unwrap();
        let (gates, waited) = self
            .shared
            .opened
            .wait_timeout_while(gates, PATIENCE, |gates| {
                !gates.contains_key(name) && !self.shared.ended.load(Ordering::SeqCst)
            })
            .unwrap();
        !waited.timed_out() && gates.contains_key(name)
    }
}

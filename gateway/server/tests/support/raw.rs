//! HTTP/1 by hand: what goes over the wire is exactly what the test wrote.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, SocketAddrV4, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use rustix::net::{AddressFamily, SocketType, bind, connect, socket};

use super::{PATIENCE, until};

/// One answer, or what there was of it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    /// Whether the framing says that this was all of it.
    pub(crate) complete: bool,
}

impl Response {
    /// First field of that name.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(field, _)| field.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// A connection to the gateway.
pub(crate) struct Conn {
    pub(crate) stream: TcpStream,
    buffer: Vec<u8>,
    impatient: bool,
}

impl Conn {
    pub(crate) fn open(address: SocketAddr) -> Self {
        Self::over(TcpStream::connect_timeout(&address, PATIENCE).unwrap())
    }

    /// Where perhaps nobody listens any more.
    pub(crate) fn try_open(address: SocketAddr) -> Option<Self> {
        let stream = TcpStream::connect_timeout(&address, PATIENCE).ok()?;
        Some(Self::over(stream))
    }

    /// From another of loopback's addresses: a client of its own, whom nobody has counted yet.
    pub(crate) fn open_from(client: Ipv4Addr, address: SocketAddr) -> Self {
        let socket = socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
        bind(&socket, &SocketAddrV4::new(client, 0)).unwrap();
        connect(&socket, &address).unwrap();
        Self::over(socket.into())
    }

    fn over(stream: TcpStream) -> Self {
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Self {
            stream,
            buffer: Vec::new(),
            impatient: false,
        }
    }

    /// For requests that may be unfinished in the gateway's eyes: after five seconds without a byte our side is closed,
    /// and the gateway must come to an end.
    pub(crate) fn impatient(address: SocketAddr) -> Self {
        let mut conn = Self::open(address);
        conn.stream
            .set_read_timeout(Some(Duration::from_secs(5)))
            .unwrap();
        conn.impatient = true;
        conn
    }

    /// Writes; `false` when the other side had already closed.
    pub(crate) fn write(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        self.stream.write_all(bytes.as_ref()).is_ok()
    }

    pub(crate) fn finish(&self) {
        let _ = self.stream.shutdown(Shutdown::Write);
    }

    /// Next bytes into the buffer; `false` at the end.
    fn fill(&mut self) -> bool {
        let mut chunk = [0; 16 * 1024];
        loop {
            match self.stream.read(&mut chunk) {
                Ok(0) => return false,
                Ok(read) => {
                    self.buffer.extend_from_slice(&chunk[..read]);
                    return true;
                }
                Err(fault) if fault.kind() == ErrorKind::Interrupted => {}
                Err(fault) if fault.kind() == ErrorKind::WouldBlock && self.impatient => {
                    self.impatient = false;
                    self.finish();
                    self.stream.set_read_timeout(Some(PATIENCE)).unwrap();
                }
                Err(fault) if fault.kind() == ErrorKind::WouldBlock => {
                    panic!("nothing came for {PATIENCE:?}; so far {:?}", self.seen())
                }
                Err(_) => return false,
            }
        }
    }

    fn seen(&self) -> String {
        String::from_utf8_lossy(&self.buffer).into_owned()
    }

    /// The next answer to a request that was not HEAD; `None` when the connection ended without one.
    /// 100 Continue is an answer of its own here.
    pub(crate) fn response(&mut self) -> Option<Response> {
        let end = loop {
            if let Some(at) = find(&self.buffer, b"\r\n\r\n") {
                break at + 4;
            }
            if !self.fill() {
                return None;
            }
        };
        let head: Vec<u8> = self.buffer.drain(..end).collect();
        let mut response = parse_head(&head);
        if (100..200).contains(&response.status) || matches!(response.status, 204 | 304) {
            response.complete = true;
        } else if response
            .header("transfer-encoding")
            .is_some_and(|value| value.eq_ignore_ascii_case("chunked"))
        {
            self.chunked(&mut response);
        } else if let Some(length) = response.header("content-length") {
            let length: usize = length.parse().unwrap();
            while self.buffer.len() < length && self.fill() {}
            response.complete = self.buffer.len() >= length;
            let take = length.min(self.buffer.len());
            response.body = self.buffer.drain(..take).collect();
        } else {
            while self.fill() {}
            response.body = std::mem::take(&mut self.buffer);
            response.complete = true;
        }
        Some(response)
    }

    fn chunked(&mut self, response: &mut Response) {
        while let Some(chunk) = self.chunk() {
            if chunk.is_empty() {
                response.complete = true;
                return;
            }
            response.body.extend_from_slice(&chunk);
        }
    }

    /// One chunk of a chunked answer; empty at its end, `None` when it broke off.
    pub(crate) fn chunk(&mut self) -> Option<Vec<u8>> {
        let line = self.line()?;
        let size = line.split(';').next().unwrap_or_default().trim();
        let size = usize::from_str_radix(size, 16).ok()?;
        if size == 0 {
            while !self.line()?.is_empty() {}
            return Some(Vec::new());
        }
        while self.buffer.len() < size + 2 {
            if !self.fill() {
                return None;
            }
        }
        let mut chunk: Vec<u8> = self.buffer.drain(..size + 2).collect();
        chunk.truncate(size);
        Some(chunk)
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

    /// Only the head of the next answer, for streams that are read chunk by chunk.
    pub(crate) fn head(&mut self) -> Option<Response> {
        loop {
            if let Some(at) = find(&self.buffer, b"\r\n\r\n") {
                let head: Vec<u8> = self.buffer.drain(..at + 4).collect();
                return Some(parse_head(&head));
            }
            if !self.fill() {
                return None;
            }
        }
    }

    /// Some bytes of an answer's body; how many.
    pub(crate) fn read(&mut self, room: &mut [u8]) -> usize {
        if self.buffer.is_empty() {
            assert!(self.fill(), "ended early");
        }
        let length = room.len().min(self.buffer.len());
        room[..length].copy_from_slice(&self.buffer[..length]);
        self.buffer.drain(..length);
        length
    }

    /// Whether the gateway closes the connection without another byte. Waits for it.
    pub(crate) fn closes(&mut self) -> bool {
        self.buffer.is_empty() && !self.fill()
    }

    /// Whatever comes until the end.
    pub(crate) fn rest(mut self) -> Vec<u8> {
        while self.fill() {}
        self.buffer
    }
}

/// One request to a Unix socket. The answer has its length, or ends with the connection.
#[track_caller]
pub(crate) fn exchange_at(socket: &Path, request: impl AsRef<[u8]>) -> Response {
    let mut stream = UnixStream::connect(socket).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(request.as_ref()).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    let end = find(&answer, b"\r\n\r\n").unwrap() + 4;
    let mut response = parse_head(&answer[..end]);
    response.body = answer.split_off(end);
    response.complete = true;
    response
}

/// One request on a connection of its own.
#[track_caller]
pub(crate) fn exchange(address: SocketAddr, request: impl AsRef<[u8]>) -> Response {
    let mut conn = Conn::open(address);
    conn.write(&request);
    conn.response().unwrap_or_else(|| {
        panic!(
            "no answer to {:?}",
            String::from_utf8_lossy(&request.as_ref()[..request.as_ref().len().min(300)])
        )
    })
}

/// The answer to an attempt to log in once those before it are counted: until then they hold the places that may still fail,
/// and who comes too soon is told to wait a second.
#[track_caller]
pub(crate) fn settled(ask: impl Fn() -> Response) -> Response {
    until("no attempt is under way any more", || {
        let answer = ask();
        let waits = answer.status == 429 && answer.header("retry-after") == Some("1");
        (!waits).then_some(answer)
    })
}

/// A GET with a Host and more field lines, each ended by CRLF.
pub(crate) fn get(path: &str, more: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: app.test\r\n{more}\r\n")
}

/// A POST with a declared length.
pub(crate) fn post(path: &str, more: &str, body: &[u8]) -> Vec<u8> {
    let mut request = format!(
        "POST {path} HTTP/1.1\r\nHost: app.test\r\nContent-Length: {}\r\n{more}\r\n",
        body.len()
    )
    .into_bytes();
    request.extend_from_slice(body);
    request
}

/// A POST in chunks of at most `size`.
pub(crate) fn post_chunked(path: &str, more: &str, body: &[u8], size: usize) -> Vec<u8> {
    let mut request = format!(
        "POST {path} HTTP/1.1\r\nHost: app.test\r\nTransfer-Encoding: chunked\r\n{more}\r\n"
    )
    .into_bytes();
    for chunk in body.chunks(size) {
        request.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
        request.extend_from_slice(chunk);
        request.extend_from_slice(b"\r\n");
    }
    request.extend_from_slice(b"0\r\n\r\n");
    request
}

fn parse_head(head: &[u8]) -> Response {
    let text = String::from_utf8_lossy(head);
    let mut lines = text.split("\r\n");
    let status = lines
        .next()
        .and_then(|line| line.split(' ').nth(1))
        .and_then(|status| status.parse().ok())
        .unwrap_or_else(|| panic!("not an answer: {text:?}"));
    let headers = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_owned(), value.trim().to_owned()))
        .collect();
    Response {
        status,
        headers,
        ..Response::default()
    }
}

pub(crate) fn find(text: &[u8], what: &[u8]) -> Option<usize> {
    text.windows(what.len()).position(|window| window == what)
}

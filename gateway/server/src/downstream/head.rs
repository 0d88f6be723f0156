//! The head of an HTTP/1 request as raw bytes: read under one deadline, checked line by line before Pingora parses it.
//! Some shapes must be seen here or never: Pingora answers malformed heads without a hook, drops a Content-Length
//! beside Transfer-Encoding, and bounds each read but not their sum. Refuses what two parsers could read differently
//! (RFC 9112, sections 2.2, 3.2, 5.1, 6.3); judges no meaning.

use std::ops::Range;
use std::time::Duration;

use bytes::BytesMut;
use policy::decision::Reason;
use policy::settings::Hardening;
use tokio::time::Instant;

use super::alarm::{Alarm, Late};
use super::fence::{Chunks, Fence};
use super::wire::Wire;

/// Room for a usual browser's head; what a connection without a request holds.
const FIRST: usize = 2048;
const MAX_METHOD: usize = 32;

/// How reading a head ended.
#[derive(Debug)]
pub(crate) enum Read {
    /// A whole head of this many bytes is ahead, and this is how far its body goes.
    Whole(usize, Fence),
    /// The client closed, or said nothing until the idle timeout: nothing to answer.
    Closed,
    /// To be answered and recorded; the connection closes.
    Refused(Refusal),
}

/// What is known of a request that was refused before it was one.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// Why.
    pub reason: Reason,
    /// What exactly; for the event, never for the client.
    pub detail: &'static str,
    /// Method, as far as it was readable.
    pub method: String,
    /// Target, as far as it was readable.
    pub target: String,
}

impl Refusal {
    /// Of a request of which nothing is known.
    pub(crate) fn malformed() -> Self {
        Self {
            reason: Reason::Malformed,
            detail: "refused by the HTTP parser",
            method: String::new(),
            target: String::new(),
        }
    }
}

/// A reason, and what exactly.
type Fault = (Reason, &'static str);

/// How long a head may take.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Patience {
    /// For the first byte.
    pub first: Duration,
    /// From the first byte to the end.
    pub whole: Duration,
}

/// Reads until a whole head is ahead in `wire`. What is there already counts as read.
pub(crate) async fn read(
    wire: &mut Wire,
    alarm: &mut Alarm,
    patience: Patience,
    limits: &Hardening,
) -> Read {
    let mut scan = Scan::default();
    let mut deadline = None;
    loop {
        match scan.advance(wire.ahead(), limits) {
            Ok(Some(head)) => return Read::Whole(head, scan.fence()),
            Ok(None) => {}
            Err(fault) => return Read::Refused(scan.refusal(wire.ahead(), fault)),
        }
        let silent = wire.ahead().is_empty();
        let until = if silent {
            Instant::now() + patience.first
        } else {
            *deadline.get_or_insert_with(|| Instant::now() + patience.whole)
        };
        let room = wire.ahead().len().max(FIRST);
        wire.ahead().reserve(room);
        let fault = match alarm.limit(until, wire.read_ahead()).await {
            Ok(Ok(1..)) => continue,
            Ok(Ok(0) | Err(_)) | Err(Late) if silent => return Read::Closed,
            Ok(Ok(0) | Err(_)) => (Reason::Malformed, "ended inside the header"),
            Err(Late) => (Reason::HeaderTimeout, ""),
        };
        return Read::Refused(scan.refusal(wire.ahead(), fault));
    }
}

/// The head as Pingora's parser takes it. Clients send `"`, `<`, `>` and a backtick raw in targets, most of all in
/// attacks: they are percent-encoded, so that the checks see them and say what they are, instead of a bare 400. An empty
/// line that came before the request line goes.
pub(crate) fn tame(mut head: BytesMut) -> BytesMut {
    if head.starts_with(b"\r\n") {
        let _ = head.split_to(2);
    }
    let line = memchr::memchr(b'\n', &head).unwrap_or(0);
    let from = memchr::memchr(b' ', head.get(..line).unwrap_or_default()).unwrap_or(line);
    let target = head.get(from..line).unwrap_or_default();
    if !any(target, is_raw) {
        return head;
    }
    let mut tame = BytesMut::with_capacity(head.len() + 3 * target.len());
    tame.extend_from_slice(head.get(..from).unwrap_or_default());
    for byte in target {
        match byte {
            b'"' => tame.extend_from_slice(b"%22"),
            b'<' => tame.extend_from_slice(b"%3C"),
            b'>' => tame.extend_from_slice(b"%3E"),
            b'`' => tame.extend_from_slice(b"%60"),
            other => tame.extend_from_slice(std::slice::from_ref(other)),
        }
    }
    tame.extend_from_slice(head.get(line..).unwrap_or_default());
    tame
}

const fn is_raw(byte: u8) -> bool {
    (byte == b'"') | (byte == b'<') | (byte == b'>') | (byte == b'`')
}

/// Without a branch per byte, so that the compiler looks at sixteen at once: nearly always there is none.
fn any(bytes: &[u8], is: impl Fn(u8) -> bool) -> bool {
    bytes.iter().fold(false, |any, &byte| any | is(byte))
}

/// Reads lines as they come; nothing is looked at twice.
#[derive(Debug, Default)]
struct Scan {
    next: usize,
    line: usize,
    method: Range<usize>,
    target: Range<usize>,
    authority: Option<Range<usize>>,
    old: bool,
    fields: usize,
    host: Option<Range<usize>>,
    length: Option<u64>,
    chunked: bool,
    upgrade: bool,
    blank: bool,
}

impl Scan {
    /// The end of the head, once it is there.
    fn advance(&mut self, bytes: &[u8], limits: &Hardening) -> Result<Option<usize>, Fault> {
        while let Some(found) = bytes
            .get(self.next..)
            .and_then(|rest| memchr::memchr(b'\n', rest))
        {
            let end = self.next + found;
            let line = bytes.get(self.line..end).unwrap_or_default();
            // A bare LF ends a line for some parsers and not for others.
            let Some(line) = line.strip_suffix(b"\r") else {
                return Err((Reason::Smuggling, "a line that ends in LF alone"));
            };
            let start = self.line;
            self.next = end + 1;
            self.line = self.next;
            if end >= limits.header_bytes {
                return Err((Reason::HeaderTooLarge, "header too large"));
            }
            if self.take(line, start, limits)? {
                return self.whole(bytes).map(|()| Some(self.next));
            }
        }
        self.next = bytes.len();
        if self.target.is_empty() && bytes.len() > limits.uri_length + MAX_METHOD + 16 {
            return Err((Reason::UriTooLong, "request target too long"));
        }
        if bytes.len() > limits.header_bytes {
            return Err((Reason::HeaderTooLarge, "header too large"));
        }
        Ok(None)
    }

    /// One line; true when it is the empty one that ends the head.
    fn take(&mut self, line: &[u8], start: usize, limits: &Hardening) -> Result<bool, Fault> {
        if !self.target.is_empty() {
            if line.is_empty() {
                return Ok(true);
            }
            self.fields += 1;
            if self.fields > limits.header_count {
                return Err((Reason::HeaderTooLarge, "too many header fields"));
            }
            return self.field(line, start).map(|()| false);
        }
        if line.is_empty() && !self.blank {
            // RFC 9112, 2.2: one empty line before the request line is ignored.
            self.blank = true;
            return Ok(false);
        }
        self.request_line(line, start, limits).map(|()| false)
    }

    fn request_line(&mut self, line: &[u8], start: usize, limits: &Hardening) -> Result<(), Fault> {
        let mut parts = line.split(|byte| *byte == b' ');
        let (Some(method), Some(target), Some(version), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err((
                Reason::Malformed,
                "a request line of other than three words",
            ));
        };
        if method.is_empty() || method.len() > MAX_METHOD || any(method, |byte| !is_tchar(byte)) {
            return Err((Reason::Malformed, "the method is no token"));
        }
        self.method = start..start + method.len();
        let from = self.method.end + 1;
        self.old = match version {
            b"HTTP/1.1" => false,
            b"HTTP/1.0" => true,
            _ => return Err((Reason::Malformed, "neither HTTP/1.1 nor HTTP/1.0")),
        };
        if target.is_empty() {
            return Err((Reason::Malformed, "no request target"));
        }
        self.target = from..from + target.len();
        if target.len() > limits.uri_length {
            return Err((Reason::UriTooLong, "request target too long"));
        }
        if any(target, |byte| (byte < 0x21) | (byte == 0x7f)) {
            return Err((Reason::Malformed, "control character in the target"));
        }
        if method == b"CONNECT" {
            return Err((Reason::BadMethod, "CONNECT is never forwarded"));
        }
        self.target_form(method, target, from)
    }

    fn target_form(&mut self, method: &[u8], target: &[u8], from: usize) -> Result<(), Fault> {
        if target.contains(&b'#') {
            // Pingora would cut the fragment off without a word.
            return Err((Reason::BadPath, "fragment in the target"));
        }
        if target.starts_with(b"/") || (target == b"*" && method == b"OPTIONS") {
            return Ok(());
        }
        let scheme = [&b"http://"[..], b"https://"].into_iter().find(|scheme| {
            target
                .get(..scheme.len())
                .is_some_and(|head| head.eq_ignore_ascii_case(scheme))
        });
        let Some(scheme) = scheme else {
            return Err((Reason::BadPath, "neither a path nor a URL"));
        };
        let rest = target.get(scheme.len()..).unwrap_or_default();
        let length = rest
            .iter()
            .position(|byte| matches!(byte, b'/' | b'?'))
            .unwrap_or(rest.len());
        let begin = from + scheme.len();
        self.authority = Some(begin..begin + length);
        Ok(())
    }

    fn field(&mut self, line: &[u8], start: usize) -> Result<(), Fault> {
        // Obsolete folding, and whitespace before the colon, are read differently by different servers.
        if line.first().is_some_and(u8::is_ascii_whitespace) {
            return Err((Reason::Smuggling, "folded header field"));
        }
        let colon = memchr::memchr(b':', line)
            .ok_or((Reason::Malformed, "header field without a colon"))?;
        let name = line.get(..colon).unwrap_or_default();
        if name.is_empty() || any(name, |byte| !is_tchar(byte)) {
            return Err(if name.last().is_some_and(u8::is_ascii_whitespace) {
                (Reason::Smuggling, "white space before a colon")
            } else {
                (Reason::Malformed, "header field whose name is no token")
            });
        }
        let value = line.get(colon + 1..).unwrap_or_default();
        if any(value, is_odd) {
            return Err(
                if value.iter().find(|byte| is_odd(**byte)) == Some(&b'\r') {
                    (Reason::Smuggling, "CR inside a header field")
                } else {
                    (Reason::Malformed, "control character in a header field")
                },
            );
        }
        match name.len() {
            4 if name.eq_ignore_ascii_case(b"host") => self.host_field(value, start + colon + 1),
            14 if name.eq_ignore_ascii_case(b"content-length") => self.length_field(value),
            7 if name.eq_ignore_ascii_case(b"upgrade") => {
                self.upgrade |= value.trim_ascii().eq_ignore_ascii_case(b"websocket");
                Ok(())
            }
            17 if name.eq_ignore_ascii_case(b"transfer-encoding") => self.encoding_field(value),
            _ => Ok(()),
        }
    }

    fn host_field(&mut self, value: &[u8], from: usize) -> Result<(), Fault> {
        let lead = value.len() - value.trim_ascii_start().len();
        let trimmed = value.trim_ascii();
        if self.host.is_some() || trimmed.is_empty() || trimmed.contains(&b'@') {
            return Err((Reason::BadHost, "missing, empty or repeated Host"));
        }
        self.host = Some(from + lead..from + lead + trimmed.len());
        Ok(())
    }

    fn length_field(&mut self, value: &[u8]) -> Result<(), Fault> {
        let value = value.trim_ascii();
        let digits = (1..=18).contains(&value.len()) && value.iter().all(u8::is_ascii_digit);
        if self.length.is_some() || !digits || (value.len() > 1 && value.starts_with(b"0")) {
            return Err((
                Reason::Smuggling,
                "Content-Length repeated or no plain number",
            ));
        }
        let length = (Reason::Smuggling, "Content-Length is no plain number");
        let text = std::str::from_utf8(value).map_err(|_| length)?;
        self.length = Some(text.parse().map_err(|_| length)?);
        Ok(())
    }

    fn encoding_field(&mut self, value: &[u8]) -> Result<(), Fault> {
        if self.chunked || !value.trim_ascii().eq_ignore_ascii_case(b"chunked") {
            return Err((
                Reason::Smuggling,
                "Transfer-Encoding repeated or other than chunked",
            ));
        }
        self.chunked = true;
        Ok(())
    }

    /// How far the body goes; a tunnel goes on for ever, should the upgrade succeed.
    fn fence(&self) -> Fence {
        match self.length {
            _ if self.upgrade && !self.old && !self.chunked && self.length.is_none() => Fence::Open,
            _ if self.chunked => Fence::Chunked(Chunks::default()),
            Some(length) => Fence::Length(length),
            None => Fence::Length(0),
        }
    }

    /// What only the whole head shows.
    fn whole(&self, bytes: &[u8]) -> Result<(), Fault> {
        if self.chunked && (self.length.is_some() || self.old) {
            return Err((
                Reason::Smuggling,
                "Content-Length beside Transfer-Encoding, or chunks in HTTP/1.0",
            ));
        }
        let Some(host) = self.host.clone().and_then(|host| bytes.get(host)) else {
            return Err((Reason::BadHost, "no Host"));
        };
        let same = self.authority.clone().is_none_or(|authority| {
            bytes
                .get(authority)
                .is_some_and(|named| named.eq_ignore_ascii_case(host))
        });
        if same {
            Ok(())
        } else {
            Err((Reason::BadHost, "Host differs from the target's authority"))
        }
    }

    fn refusal(&self, bytes: &[u8], (reason, detail): Fault) -> Refusal {
        let text = |range: &Range<usize>| {
            let shown = range.start..range.end.min(range.start.saturating_add(2048));
            String::from_utf8_lossy(bytes.get(shown).unwrap_or_default()).into_owned()
        };
        Refusal {
            reason,
            detail,
            method: text(&self.method),
            target: text(&self.target),
        }
    }
}

/// Bytes of methods and field names (RFC 9110, 5.6.2).
const fn is_tchar(byte: u8) -> bool {
    matches!(byte, b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' | b'!' | b'#'..=b'\'' | b'*' | b'+' | b'-' | b'.'
        | b'^'..=b'`' | b'|' | b'~')
}

/// Bytes that no field value may hold (RFC 9110, 5.5).
const fn is_odd(byte: u8) -> bool {
    ((byte < 0x20) & (byte != b'\t')) | (byte == 0x7f)
}

#[cfg(test)]
mod tests;

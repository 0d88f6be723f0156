//! One exchange over a raw socket, from a loopback address of its own: the gateway's events name it, so each event finds
//! its test whatever the request looks like.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpStream};
use std::time::{Duration, Instant};

use rustix::net::{AddressFamily, SocketType, bind, connect, socket};

/// An answer that is not there by then does not come.
const PATIENCE: Duration = Duration::from_secs(30);
/// More than any answer of the suite.
const MOST: usize = 64 << 20;

/// The address of the client with that number: 127.16.0.1 and on.
pub(super) fn address(number: u32) -> Ipv4Addr {
    let number = number % (200 * 250 * 250);
    let part = |value: u32| u8::try_from(value).unwrap_or_default();
    Ipv4Addr::new(
        127,
        part(16 + number / 62_500),
        part(number / 250 % 250),
        part(1 + number % 250),
    )
}

/// Sends and reads one answer; the bytes of it.
///
/// # Errors
/// A sentence, when there is no whole answer.
pub(super) fn exchange(from: Ipv4Addr, to: SocketAddr, sent: &[u8]) -> Result<Vec<u8>, String> {
    let mut stream = open(from, to).map_err(|why| format!("cannot connect: {why}"))?;
    let until = Instant::now() + PATIENCE;
    let _ = stream.set_nodelay(true);
    let _ = stream.set_write_timeout(Some(PATIENCE));
    // A refused request may be answered and closed before all of it was taken.
    let written = stream.write_all(sent);
    let head_only = sent.starts_with(b"HEAD ");
    let mut raw = Vec::new();
    let mut chunk = [0; 16 * 1024];
    loop {
        if is_whole(&raw, head_only) {
            return Ok(raw);
        }
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() || raw.len() > MOST {
            return Err("no whole answer in time".to_owned());
        }
        let _ = stream.set_read_timeout(Some(left));
        match stream.read(&mut chunk) {
            Ok(0) if raw.is_empty() => return Err(closed(&written)),
            Ok(0) => return Ok(raw),
            Ok(read) => raw.extend_from_slice(chunk.get(..read).unwrap_or_default()),
            Err(fault) if fault.kind() == ErrorKind::Interrupted => {}
            Err(fault) if matches!(fault.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                return Err("no whole answer in time".to_owned());
            }
            Err(_) if status(&raw).is_some() => return Ok(raw),
            Err(fault) => return Err(format!("the connection broke: {fault}")),
        }
    }
}

fn closed(written: &std::io::Result<()>) -> String {
    match written {
        Ok(()) => "closed without an answer".to_owned(),
        Err(fault) => format!("closed while sending: {fault}"),
    }
}

fn open(from: Ipv4Addr, to: SocketAddr) -> Result<TcpStream, rustix::io::Errno> {
    let socket = socket(AddressFamily::INET, SocketType::STREAM, None)?;
    bind(&socket, &SocketAddrV4::new(from, 0))?;
    connect(&socket, &to)?;
    Ok(socket.into())
}

/// The status of an answer, once its first line is there.
pub(super) fn status(raw: &[u8]) -> Option<u16> {
    let line = raw.split(|byte| *byte == b'\n').next()?;
    let line = std::str::from_utf8(line).ok()?;
    let rest = line.strip_prefix("HTTP/1.")?;
    rest.split_ascii_whitespace().nth(1)?.parse().ok()
}

/// Whether the framing says that the final answer ends here; without a length it ends with the connection.
fn is_whole(raw: &[u8], head_only: bool) -> bool {
    let Some(end) = raw.windows(4).position(|four| four == b"\r\n\r\n") else {
        return false;
    };
    let (head, body) = raw.split_at(end + 4);
    let status = status(head);
    if status.is_some_and(|status| (100..200).contains(&status) && status != 101) {
        return is_whole(body, head_only);
    }
    if head_only || matches!(status, Some(101 | 204 | 304)) {
        return true;
    }
    let field = |name: &str| {
        head.split(|byte| *byte == b'\n').find_map(|line| {
            let (own, value) = std::str::from_utf8(line).ok()?.split_once(':')?;
            own.eq_ignore_ascii_case(name)
                .then(|| value.trim().to_owned())
        })
    };
    if field("transfer-encoding").is_some_and(|value| value.eq_ignore_ascii_case("chunked")) {
        return body == b"0\r\n\r\n" || body.ends_with(b"\r\n0\r\n\r\n");
    }
    let length = field("content-length").and_then(|length| length.parse::<usize>().ok());
    length.is_some_and(|length| body.len() >= length)
}

#[cfg(test)]
mod tests {
    use super::{address, is_whole, status};

    #[test]
    fn every_client_has_an_address_of_its_own() {
        assert_eq!(address(0).to_string(), "127.16.0.1");
        assert_eq!(address(62_500).to_string(), "127.17.0.1");
        let mut all: Vec<_> = (0..100_000).map(address).collect();
        all.sort();
        all.dedup();
        assert_eq!(all.len(), 100_000);
    }

    #[test]
    fn knows_where_an_answer_ends() {
        for (raw, head_only, whole) in [
            (
                "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nab",
                false,
                true,
            ),
            (
                "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\na",
                false,
                false,
            ),
            ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n", true, true),
            (
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n",
                false,
                true,
            ),
            (
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n",
                false,
                false,
            ),
            ("HTTP/1.1 100 Continue\r\n\r\n", false, false),
            (
                "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 x\r\n\r\n",
                false,
                true,
            ),
            ("HTTP/1.1 200 OK\r\n\r\nabc", false, false),
        ] {
            assert_eq!(is_whole(raw.as_bytes(), head_only), whole, "{raw}");
        }
        assert_eq!(status(b"HTTP/1.1 403 Forbidden\r\n"), Some(403));
        assert_eq!(status(b"<html>"), None);
    }
}

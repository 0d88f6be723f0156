//! PROXY protocol, versions 1 and 2 (haproxy.org, proxy-protocol.txt): between whom a connection really is.
//! Reads not one byte past the header, since TLS may follow. Whom to believe is the listener's business.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use tokio::io::{AsyncRead, AsyncReadExt};

const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
/// Longest version 1 line (two full IPv6 addresses), by the specification.
const V1_MAX: usize = 107;
/// Longest version 2 block that is read; the specification's addresses need 36, the rest is TLVs.
const V2_MAX: usize = 2048;

/// The client, and the address that it connected to.
type Ends = (SocketAddr, SocketAddr);

/// Reads a header. `None`: sent on behalf of nobody (health checks of the load balancer).
pub(crate) async fn read<R: AsyncRead + Unpin>(from: &mut R) -> io::Result<Option<Ends>> {
    let mut start = [0; 12];
    from.read_exact(&mut start).await?;
    if &start == SIGNATURE {
        return read_v2(from).await;
    }
    let mut line = start.to_vec();
    while !line.ends_with(b"\r\n") {
        if line.len() >= V1_MAX || !line.starts_with(b"PROXY ") {
            return Err(io::ErrorKind::InvalidData.into());
        }
        line.push(from.read_u8().await?);
    }
    parse_v1(&line).ok_or_else(|| io::ErrorKind::InvalidData.into())
}

fn parse_v1(line: &[u8]) -> Option<Option<Ends>> {
    let text = std::str::from_utf8(line).ok()?.strip_suffix("\r\n")?;
    let mut words = text.strip_prefix("PROXY ")?.split(' ');
    let family = words.next()?;
    if family == "UNKNOWN" {
        return Some(None);
    }
    let source: IpAddr = words.next()?.parse().ok()?;
    let target: IpAddr = words.next()?.parse().ok()?;
    let port: u16 = words.next()?.parse().ok()?;
    let target_port: u16 = words.next()?.parse().ok()?;
    let fits = match family {
        "TCP4" => source.is_ipv4() && target.is_ipv4(),
        "TCP6" => source.is_ipv6() && target.is_ipv6(),
        _ => false,
    };
    let ends = (
        SocketAddr::new(source, port),
        SocketAddr::new(target, target_port),
    );
    (fits && words.next().is_none()).then_some(Some(ends))
}

async fn read_v2<R: AsyncRead + Unpin>(from: &mut R) -> io::Result<Option<Ends>> {
    let command = from.read_u8().await?;
    let family = from.read_u8().await?;
    let length = usize::from(from.read_u16().await?);
    if length > V2_MAX {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut block = vec![0; length];
    from.read_exact(&mut block).await?;
    match (command, family) {
        (0x20, _) => Ok(None),
        (0x21, 0x11) => v4(&block)
            .map(Some)
            .ok_or_else(|| io::ErrorKind::InvalidData.into()),
        (0x21, 0x21) => v6(&block)
            .map(Some)
            .ok_or_else(|| io::ErrorKind::InvalidData.into()),
        // Unix sockets and datagrams name nobody that a policy could judge.
        (0x21, _) => Ok(None),
        _ => Err(io::ErrorKind::InvalidData.into()),
    }
}

fn v4(block: &[u8]) -> Option<Ends> {
    let address = |at: usize| -> Option<[u8; 4]> { block.get(at..at + 4)?.try_into().ok() };
    let (from, to) = (Ipv4Addr::from(address(0)?), Ipv4Addr::from(address(4)?));
    Some((
        SocketAddr::new(IpAddr::V4(from), port(block, 8)?),
        SocketAddr::new(IpAddr::V4(to), port(block, 10)?),
    ))
}

fn v6(block: &[u8]) -> Option<Ends> {
    let address = |at: usize| -> Option<[u8; 16]> { block.get(at..at + 16)?.try_into().ok() };
    let (from, to) = (Ipv6Addr::from(address(0)?), Ipv6Addr::from(address(16)?));
    Some((
        SocketAddr::new(IpAddr::V6(from), port(block, 32)?),
        SocketAddr::new(IpAddr::V6(to), port(block, 34)?),
    ))
}

fn port(block: &[u8], at: usize) -> Option<u16> {
    let bytes: [u8; 2] = block.get(at..at + 2)?.try_into().ok()?;
    Some(u16::from_be_bytes(bytes))
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    async fn parse(mut bytes: &[u8]) -> io::Result<(Option<Ends>, Vec<u8>)> {
        let found = read(&mut bytes).await?;
        Ok((found, bytes.to_vec()))
    }

    #[tokio::test]
    async fn reads_version_1_and_leaves_what_follows() {
        let (found, rest) = parse(b"PROXY TCP4 192.0.2.7 10.0.0.1 5555 443\r\nGET /")
            .await
            .unwrap();
        assert_eq!(
            found,
            Some((
                "192.0.2.7:5555".parse().unwrap(),
                "10.0.0.1:443".parse().unwrap()
            ))
        );
        assert_eq!(rest, b"GET /");
        assert_eq!(
            parse(b"PROXY UNKNOWN\r\nx").await.unwrap(),
            (None, b"x".to_vec())
        );
    }

    #[tokio::test]
    async fn reads_version_2_with_trailing_values() {
        let mut bytes = SIGNATURE.to_vec();
        bytes.extend([0x21, 0x21, 0, 39]);
        bytes.extend(Ipv6Addr::LOCALHOST.octets());
        bytes.extend(Ipv6Addr::LOCALHOST.octets());
        bytes.extend([0x12, 0x34, 0, 80, 4, 0, 0]);
        bytes.extend(b"rest");
        let (found, rest) = parse(&bytes).await.unwrap();
        assert_eq!(
            found,
            Some(("[::1]:4660".parse().unwrap(), "[::1]:80".parse().unwrap()))
        );
        assert_eq!(rest, b"rest");
    }

    #[tokio::test]
    async fn refuses_anything_else() {
        for bytes in [
            &b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"[..],
            b"PROXY TCP4 ::1 ::1 1 2\r\n      ",
            b"PROXY TCP4 192.0.2.7 10.0.0.1 5555 443 9\r\n",
            b"PROXY TCP9 192.0.2.7 10.0.0.1 5555 443\r\n",
            b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x02ab",
            b"\r\n\r\n\0\r\nQUIT\n\x31\x11\0\0",
        ] {
            assert!(parse(bytes).await.is_err(), "{bytes:?}");
        }
        let long = [b"PROXY TCP4 ".as_slice(), &[b'1'; 200]].concat();
        assert!(parse(&long).await.is_err());
    }
}

//! The server behind the proxies for WebSockets: every message goes back.

use std::io;
use std::net::SocketAddr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::{Buf as _, BytesMut};
use sha1::{Digest as _, Sha1};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

pub(crate) async fn serve(address: SocketAddr) -> io::Result<()> {
    let listener = TcpListener::bind(address).await?;
    loop {
        let (socket, _) = listener.accept().await?;
        tokio::spawn(async move { talk(socket).await.ok() });
    }
}

async fn talk(mut socket: TcpStream) -> io::Result<()> {
    socket.set_nodelay(true)?;
    let mut buffer = BytesMut::with_capacity(8 << 10);
    let end = loop {
        if let Some(end) = memchr::memmem::find(&buffer, b"\r\n\r\n") {
            break end + 4;
        }
        if socket.read_buf(&mut buffer).await? == 0 {
            return Ok(());
        }
    };
    let head = buffer.split_to(end);
    let text = String::from_utf8_lossy(&head);
    let key = text.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        let found = name.eq_ignore_ascii_case("sec-websocket-key");
        found.then(|| value.trim())
    });
    let Some(key) = key else {
        return socket
            .write_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
            .await;
    };
    let accept = Sha1::digest(format!("{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11"));
    let answer = format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {}\r\n\r\n",
        STANDARD.encode(accept)
    );
    socket.write_all(answer.as_bytes()).await?;
    loop {
        while let Some(frame) = frame(&mut buffer) {
            socket.write_all(&frame).await?;
        }
        if socket.read_buf(&mut buffer).await? == 0 {
            return Ok(());
        }
    }
}

/// A whole frame of a client, as the server sends it back; `None` while some of it is missing.
fn frame(buffer: &mut BytesMut) -> Option<Vec<u8>> {
    let (kind, second) = (*buffer.first()?, *buffer.get(1)?);
    let (length, from) = match second & 0x7f {
        126 => {
            let wide = buffer.get(2..4)?.try_into().ok()?;
            (usize::from(u16::from_be_bytes(wide)), 4)
        }
        short => (usize::from(short), 2),
    };
    let mask: [u8; 4] = buffer.get(from..from + 4)?.try_into().ok()?;
    let data = buffer.get(from + 4..from + 4 + length)?;
    let mut back = vec![kind, second & 0x7f];
    back.extend_from_slice(buffer.get(2..from)?);
    back.extend(
        data.iter()
            .zip(mask.iter().cycle())
            .map(|(byte, mask)| byte ^ mask),
    );
    buffer.advance(from + 4 + length);
    Some(back)
}

//! Connections, with TLS or without, and HTTP/1 answers on them.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use bytes::{Buf as _, BytesMut};
use rustls::pki_types::{CertificateDer, ServerName, pem::PemObject as _};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// Either kind of stream.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

pub(crate) struct Dial {
    pub(crate) target: SocketAddr,
    pub(crate) tls: Option<tokio_rustls::TlsConnector>,
}

impl Dial {
    pub(crate) async fn connect(&self) -> io::Result<Box<dyn Stream>> {
        let socket = TcpStream::connect(self.target).await?;
        socket.set_nodelay(true)?;
        let Some(tls) = &self.tls else {
            return Ok(Box::new(socket));
        };
        let name = ServerName::try_from("localhost").map_err(io::Error::other)?;
        Ok(Box::new(tls.connect(name, socket).await?))
    }
}

pub(crate) fn tls(
    ca: &Path,
    alpn: &[u8],
    resume: bool,
) -> Result<tokio_rustls::TlsConnector, String> {
    let mut roots = rustls::RootCertStore::empty();
    let certificate = CertificateDer::from_pem_file(ca).map_err(|fault| fault.to_string())?;
    roots.add(certificate).map_err(|fault| fault.to_string())?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|fault| fault.to_string())?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![alpn.to_vec()];
    if !resume {
        config.resumption = rustls::client::Resumption::disabled();
    }
    Ok(Arc::new(config).into())
}

/// One HTTP/1 connection.
pub(crate) struct Wire {
    pub(crate) stream: Box<dyn Stream>,
    pub(crate) buffer: BytesMut,
}

/// What an answer's head says.
pub(crate) struct Head {
    pub(crate) status: u16,
    length: Option<usize>,
    chunked: bool,
    close: bool,
    told_when: bool,
}

/// What came of a request.
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// The connection can be used again.
    pub(crate) open: bool,
    /// With Retry-After.
    pub(crate) told_when: bool,
}

impl Wire {
    pub(crate) fn new(stream: Box<dyn Stream>) -> Self {
        Self {
            stream,
            buffer: BytesMut::with_capacity(16 << 10),
        }
    }

    /// Sends a request and reads its whole answer.
    pub(crate) async fn exchange(&mut self, request: &[u8]) -> io::Result<Answer> {
        // Whoever refuses early may have closed before the whole body was written: the answer is there all the same.
        let sent = self.stream.write_all(request).await;
        let flushed = self.stream.flush().await;
        let head = match self.head().await {
            Ok(head) => head,
            Err(fault) => return Err(sent.and(flushed).err().unwrap_or(fault)),
        };
        let mut open = !head.close && sent.is_ok();
        if head.chunked {
            self.chunks().await?;
        } else if let Some(length) = head.length {
            self.fill(length).await?;
            self.buffer.advance(length);
        } else if head.status != 204 && head.status != 304 {
            while self.more().await? > 0 {
                self.buffer.clear();
            }
            open = false;
        }
        Ok(Answer {
            status: head.status,
            open,
            told_when: head.told_when,
        })
    }

    pub(crate) async fn head(&mut self) -> io::Result<Head> {
        let end = loop {
            if let Some(end) = memchr::memmem::find(&self.buffer, b"\r\n\r\n") {
                break end;
            }
            if self.more().await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        };
        let bytes = self.buffer.split_to(end + 4);
        let text = String::from_utf8_lossy(&bytes);
        let mut lines = text.split("\r\n");
        let status = lines.next().and_then(|line| line.get(9..12)?.parse().ok());
        let mut head = Head {
            status: status.ok_or(io::ErrorKind::InvalidData)?,
            length: None,
            chunked: false,
            close: false,
            told_when: false,
        };
        for line in lines {
            let Some((name, value)) = line.split_once(':') else {
                continue;
            };
            let value = value.trim();
            if name.eq_ignore_ascii_case("content-length") {
                head.length = value.parse().ok();
            } else if name.eq_ignore_ascii_case("transfer-encoding") {
                head.chunked = value.eq_ignore_ascii_case("chunked");
            } else if name.eq_ignore_ascii_case("connection") {
                head.close = value.eq_ignore_ascii_case("close");
            } else if name.eq_ignore_ascii_case("retry-after") {
                head.told_when = true;
            }
        }
        Ok(head)
    }

    async fn chunks(&mut self) -> io::Result<()> {
        loop {
            let end = loop {
                if let Some(end) = memchr::memmem::find(&self.buffer, b"\r\n") {
                    break end;
                }
                if self.more().await? == 0 {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
            };
            let line = self.buffer.split_to(end + 2);
            let text = String::from_utf8_lossy(&line);
            let size = text.split(';').next().unwrap_or_default().trim();
            let size = usize::from_str_radix(size, 16).map_err(|_| io::ErrorKind::InvalidData)?;
            self.fill(size + 2).await?;
            self.buffer.advance(size + 2);
            if size == 0 {
                return Ok(());
            }
        }
    }

    /// At least so many bytes in the buffer.
    pub(crate) async fn fill(&mut self, length: usize) -> io::Result<()> {
        while self.buffer.len() < length {
            if self.more().await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        Ok(())
    }

    async fn more(&mut self) -> io::Result<usize> {
        self.buffer.reserve(4 << 10);
        self.stream.read_buf(&mut self.buffer).await
    }
}

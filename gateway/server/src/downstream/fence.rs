//! Where the body of an HTTP/1 request ends, by our own strict reading: Pingora gets not one byte past it, so what a
//! client sends next waits for the next head check, and chunks that two parsers could read differently end the
//! request (RFC 9112, 7.1: bare LF, odd sizes, missing terminators). Keeps no bytes.

/// Longest chunk-size line and longest trailer section, in bytes; extensions carry nothing that is forwarded.
const MAX_LINE: usize = 256;
const MAX_TRAILERS: usize = 8 << 10;

/// The framing that two parsers could read differently.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct BadChunk;

/// How far the body goes.
#[derive(Debug)]
pub(crate) enum Fence {
    /// Everything passes: a tunnel after an upgrade, or HTTP/2.
    Open,
    /// So many bytes are left.
    Length(u64),
    /// Until the last chunk.
    Chunked(Chunks),
}

impl Fence {
    /// Nothing more belongs to this request.
    pub(crate) fn reached(&self) -> bool {
        match self {
            Self::Open => false,
            Self::Length(left) => *left == 0,
            Self::Chunked(chunks) => chunks.at == At::End,
        }
    }

    /// How many of `bytes` belong to this request.
    pub(crate) fn pass(&mut self, bytes: &[u8]) -> Result<usize, BadChunk> {
        match self {
            Self::Open => Ok(bytes.len()),
            Self::Length(left) => {
                let taken = bytes
                    .len()
                    .min(usize::try_from(*left).unwrap_or(usize::MAX));
                *left -= u64::try_from(taken).unwrap_or(0);
                Ok(taken)
            }
            Self::Chunked(chunks) => chunks.pass(bytes),
        }
    }
}

/// A strict reader of chunked framing.
#[derive(Debug, Default)]
pub(crate) struct Chunks {
    at: At,
    size: u64,
    digits: usize,
    line: usize,
    trailers: usize,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum At {
    #[default]
    Size,
    Extension,
    SizeLf,
    Data,
    DataCr,
    DataLf,
    Trailer,
    TrailerLf,
    End,
}

impl Chunks {
    fn pass(&mut self, bytes: &[u8]) -> Result<usize, BadChunk> {
        let mut index = 0;
        while let Some(byte) = bytes.get(index) {
            if self.at == At::End {
                break;
            }
            if self.at == At::Data {
                let rest = u64::try_from(bytes.len() - index).unwrap_or(0);
                let taken = rest.min(self.size);
                self.size -= taken;
                index += usize::try_from(taken).unwrap_or(0);
                if self.size == 0 {
                    self.at = At::DataCr;
                }
                continue;
            }
            self.at = self.step(*byte)?;
            index += 1;
        }
        Ok(index)
    }

    fn step(&mut self, byte: u8) -> Result<At, BadChunk> {
        match (self.at, byte) {
            (At::Size, _) if byte.is_ascii_hexdigit() => self.digit(byte),
            (At::Size, b';') if self.digits > 0 => Ok(At::Extension),
            (At::Size | At::Extension, b'\r') if self.digits > 0 => Ok(At::SizeLf),
            (At::Extension, b'\t' | 0x20..=0x7e | 0x80..) => {
                self.line += 1;
                if self.line > MAX_LINE {
                    Err(BadChunk)
                } else {
                    Ok(At::Extension)
                }
            }
            (At::SizeLf, b'\n') => Ok(self.sized()),
            (At::DataCr, b'\r') => Ok(At::DataLf),
            (At::DataLf, b'\n') => Ok(At::Size),
            (At::Trailer, b'\r') => Ok(At::TrailerLf),
            (At::Trailer, b'\t' | 0x20..=0x7e | 0x80..) => {
                self.line += 1;
                self.trailers += 1;
                if self.trailers > MAX_TRAILERS {
                    Err(BadChunk)
                } else {
                    Ok(At::Trailer)
                }
            }
            (At::TrailerLf, b'\n') if self.line == 0 => Ok(At::End),
            (At::TrailerLf, b'\n') => {
                self.line = 0;
                Ok(At::Trailer)
            }
            _ => Err(BadChunk),
        }
    }

    fn digit(&mut self, byte: u8) -> Result<At, BadChunk> {
        self.digits += 1;
        if self.digits > 15 {
            return Err(BadChunk);
        }
        let digit = char::from(byte).to_digit(16).ok_or(BadChunk)?;
        self.size = self.size * 16 + u64::from(digit);
        Ok(At::Size)
    }

    fn sized(&mut self) -> At {
        self.digits = 0;
        self.line = 0;
        if self.size == 0 {
            At::Trailer
        } else {
            At::Data
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chunked(text: &[u8]) -> Result<(usize, bool), BadChunk> {
        let mut fence = Fence::Chunked(Chunks::default());
        fence.pass(text).map(|taken| (taken, fence.reached()))
    }

    #[test]
    fn ends_where_the_last_chunk_ends() {
        let text = b"5;a=\"b\"\r\nhello\r\n1\r\n!\r\n0\r\nX: y\r\n\r\nGET /";
        assert_eq!(chunked(text), Ok((text.len() - 5, true)));
        let mut fence = Fence::Chunked(Chunks::default());
        let ends = text
            .iter()
            .position(|byte| fence.pass(std::slice::from_ref(byte)) == Ok(1) && fence.reached());
        assert_eq!(ends, Some(text.len() - 6));
        assert_eq!(chunked(b"0\r\n\r\n"), Ok((5, true)));
        assert_eq!(chunked(b"5\r\nhel"), Ok((6, false)));
    }

    #[test]
    fn refuses_chunks_that_two_parsers_read_differently() {
        for text in [
            &b"5\nhello\r\n0\r\n\r\n"[..],
            b"5;x\nhello",
            b"5\r\nhelloX\r\n",
            b"5\r\nhello\n0\r\n\r\n",
            b"0x5\r\nhello",
            b"-5\r\n",
            b" 5\r\nhello",
            b"5 \r\nhello",
            b";x\r\n",
            b"\r\n",
            b"0\r\nX: y\n\r\n",
            b"ffffffffffffffff\r\n",
            b"5;\0\r\nhello",
        ] {
            assert_eq!(chunked(text), Err(BadChunk), "{text:?}");
        }
        let long = [b"5;".as_slice(), &[b'x'; 300]].concat();
        assert_eq!(chunked(&long), Err(BadChunk));
    }

    #[test]
    fn counts_a_declared_length() {
        let mut fence = Fence::Length(5);
        assert_eq!(fence.pass(b"hel"), Ok(3));
        assert!(!fence.reached());
        assert_eq!(fence.pass(b"loGET"), Ok(2));
        assert!(fence.reached());
    }
}

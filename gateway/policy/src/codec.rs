//! Content codings, opened for inspection: gzip, deflate, br and zstd, alone or one upon another. Bounded in output and in
//! expansion, whatever the input; what cannot be opened is an error value. Knows no header policy and no check.

use http::header::{ACCEPT_ENCODING, CONTENT_ENCODING, HeaderMap, HeaderValue};
use smallvec::SmallVec;

mod stream;
#[cfg(test)]
mod tests;

pub use stream::open;

/// Codings upon each other. RFC 9110 sets no limit; nobody sends more than one, and each layer multiplies the work.
const MOST: usize = 2;

/// A coding that can be opened (RFC 9110, 8.4.1; RFC 7932; RFC 8878).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Coding {
    /// RFC 1952, any number of members.
    Gzip,
    /// RFC 1950 as the name demands, or bare RFC 1951 as some send.
    Deflate,
    /// RFC 7932, without large windows.
    Brotli,
    /// RFC 8878, windows up to 8 MiB (RFC 9659).
    Zstd,
}

/// A coding that is not known, or too many of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unknown;

/// The codings of a message, in the order in which they were applied. `identity` is none.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Codings(SmallVec<[Coding; MOST]>);

/// How much may come out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Bytes of output that are wanted at most.
    pub output: usize,
    /// Bytes of output per byte of input, once there are more than 64 KiB of output.
    pub ratio: usize,
}

/// How far opening came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Opened {
    /// To the end.
    Whole,
    /// There is more than `Bounds::output`.
    Full,
    /// The input ends in the middle.
    Cut,
}

/// Why there is nothing to look at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Not what the coding says, or followed by something else.
    Corrupt,
    /// More output per byte of input than `Bounds::ratio`.
    Expansion,
}

impl Coding {
    fn named(name: &[u8]) -> Option<Self> {
        let names: [(&[u8], Self); 5] = [
            (b"gzip", Self::Gzip),
            (b"x-gzip", Self::Gzip),
            (b"deflate", Self::Deflate),
            (b"br", Self::Brotli),
            (b"zstd", Self::Zstd),
        ];
        let found = names
            .iter()
            .find(|(known, _)| name.eq_ignore_ascii_case(known));
        found.map(|(_, coding)| *coding)
    }
}

impl Codings {
    /// What Content-Encoding says.
    ///
    /// # Errors
    /// When a coding is unknown, or there are more than two.
    pub fn of(headers: &HeaderMap) -> Result<Self, Unknown> {
        let mut codings = Self::default();
        for value in headers.get_all(CONTENT_ENCODING) {
            for name in items(value.as_bytes()) {
                if name.eq_ignore_ascii_case(b"identity") {
                    continue;
                }
                let coding = Coding::named(name).ok_or(Unknown)?;
                if codings.0.len() == MOST {
                    return Err(Unknown);
                }
                codings.0.push(coding);
            }
        }
        Ok(codings)
    }

    /// Whether the message is as it is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// From the outermost to the innermost.
    fn outwards(&self) -> impl ExactSizeIterator<Item = Coding> + '_ {
        self.0.iter().rev().copied()
    }
}

/// What Accept-Encoding must become so that an answer can be read; `None`: it may stay as it is. Without the field a server
/// chooses freely, which in practice is no coding at all.
#[must_use]
pub fn acceptable(headers: &HeaderMap) -> Option<HeaderValue> {
    let mut lines = headers.get_all(ACCEPT_ENCODING).iter();
    if lines.all(|line| items(line.as_bytes()).all(is_acceptable)) {
        return None;
    }
    let mut kept: Vec<u8> = Vec::new();
    for line in headers.get_all(ACCEPT_ENCODING) {
        for item in items(line.as_bytes()).filter(|item| is_acceptable(item)) {
            if !kept.is_empty() {
                kept.extend_from_slice(b", ");
            }
            kept.extend_from_slice(item);
        }
    }
    let identity = HeaderValue::from_static("identity");
    if kept.is_empty() {
        return Some(identity);
    }
    Some(HeaderValue::from_bytes(&kept).unwrap_or(identity))
}

/// `*` stands for codings that cannot be read; `*;q=0` forbids them.
fn is_acceptable(item: &[u8]) -> bool {
    let mut parts = item.split(|byte| *byte == b';').map(<[u8]>::trim_ascii);
    let name = parts.next().unwrap_or_default();
    match name {
        b"*" => parts.any(|weight| matches!(weight, b"q=0" | b"q=0.0" | b"q=0.00" | b"q=0.000")),
        _ => name.eq_ignore_ascii_case(b"identity") || Coding::named(name).is_some(),
    }
}

fn items(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    line.split(|byte| *byte == b',')
        .map(<[u8]>::trim_ascii)
        .filter(|item| !item.is_empty())
}

//! Request bodies as bounded name/value pairs. Picks the parser from the Content-Type alone, strictly: what two parsers
//! could read differently is a fault or is flagged. Knows no rules, and nothing of how bytes arrive.

mod content_type;
mod disposition;
mod fault;
mod form;
mod json;
mod json_text;
mod multipart;
mod xml;

use std::{collections::HashSet, ops::ControlFlow};

pub use fault::{Fault, Flaw};

/// Which parser a body gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// `application/x-www-form-urlencoded`
    Form,
    /// `application/json`, `text/json`, anything that ends in `+json`
    Json,
    /// `application/xml`, `text/xml`, anything that ends in `+xml`
    Xml,
    /// `multipart/form-data`
    Multipart,
}

impl Kind {
    /// The kind that a Content-Type names, `None` for types without a parser and for no type at all.
    ///
    /// # Errors
    /// A malformed type, a parameter given twice or in RFC 2231's pieces, or a charset in which the bytes mean other
    /// text than they seem to: UTF-7, UTF-16 and EBCDIC carry attacks past every rule, so only UTF-8, US-ASCII and
    /// ISO-8859-1 are read.
    pub fn of(content_type: &[u8]) -> Result<Option<Self>, Fault> {
        content_type::kind(content_type)
    }
}

/// What a body may hold. Each limit has a default and a maximum (`Limits::MAX`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Pairs, files, XML texts and attributes together.
    pub pairs: usize,
    /// Bytes of one name.
    pub name: usize,
    /// Nested JSON containers or XML elements.
    pub depth: usize,
    /// Parts of a multipart body.
    pub parts: usize,
    /// Bytes of all names and values that the parser hands out. JSON repeats the names of outer objects.
    pub total: usize,
}

impl Limits {
    /// The most that a policy may ask for.
    pub const MAX: Self = Self {
        pairs: 100_000,
        name: 64 << 10,
        depth: 1_000,
        parts: 10_000,
        total: 256 << 20,
    };
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            pairs: 1_000,
            name: 8 << 10,
            depth: 64,
            parts: 100,
            total: 16 << 20,
        }
    }
}

/// An uploaded file.
#[derive(Clone, Copy, Debug)]
pub struct File<'a> {
    /// The form field.
    pub name: &'a [u8],
    /// As the client calls it; quotes and backslashes resolved.
    pub filename: &'a [u8],
    /// RFC 5987's `filename*`, its percent escapes decoded; some applications prefer it.
    pub extended: Option<&'a [u8]>,
    /// The content; its length is the size.
    pub bytes: &'a [u8],
}

/// Where a parser puts what it finds. `Break` stops it: a rule has decided.
pub trait Sink {
    /// A field: form and multipart fields decoded once, JSON leaves under `json.a.b` and `json.list.array_0`. `raw`
    /// is the value as it was sent.
    fn pair(&mut self, name: &[u8], value: &[u8], raw: &[u8]) -> ControlFlow<()>;
    /// A file of a multipart body.
    fn file(&mut self, file: File<'_>) -> ControlFlow<()>;
    /// One header line of a part, unparsed; `part` is the part's field name.
    fn part_header(&mut self, part: &[u8], line: &[u8]) -> ControlFlow<()>;
    /// Text between two XML tags, references resolved; `path` is the element's (`/order/item`). All of them together are
    /// `XML:/*`.
    fn text(&mut self, path: &[u8], text: &[u8]) -> ControlFlow<()>;
    /// An XML attribute, references resolved (`XML://@*`); `path` ends with its name (`/order/item/@id`).
    fn attribute(&mut self, path: &[u8], value: &[u8]) -> ControlFlow<()>;
    /// Something that other parsers may read differently. The parser goes on unless told to stop.
    fn flaw(&mut self, flaw: Flaw) -> ControlFlow<()>;
}

/// Buffers of the parsers, kept between requests so that they stop allocating.
#[derive(Debug, Default)]
pub struct Scratch {
    name: Vec<u8>,
    value: Vec<u8>,
    frames: Vec<json::Frame>,
    keys: HashSet<u64, ahash::RandomState>,
    separator: u8,
}

impl Scratch {
    /// Between the pairs of a form; `&` unless said otherwise.
    pub(crate) const fn separate_by(&mut self, separator: u8) {
        self.separator = separator;
    }
}

/// Parses a whole body with fresh buffers.
///
/// # Errors
/// As `parse_with`.
pub fn parse(
    kind: Kind,
    content_type: &[u8],
    bytes: &[u8],
    limits: &Limits,
    sink: &mut impl Sink,
) -> Result<(), Fault> {
    parse_with(
        &mut Scratch::default(),
        kind,
        content_type,
        bytes,
        limits,
        sink,
    )
}

/// Parses a whole body into `sink`. What was found before a fault has been handed out.
///
/// # Errors
/// The body is not what its type says, or exceeds a limit. `Ok` also when the sink stopped the parser.
pub fn parse_with(
    scratch: &mut Scratch,
    kind: Kind,
    content_type: &[u8],
    bytes: &[u8],
    limits: &Limits,
    sink: &mut impl Sink,
) -> Result<(), Fault> {
    let mut out = Counted {
        sink,
        limits,
        pairs: 0,
        total: 0,
    };
    let done = match kind {
        Kind::Form => form::parse(scratch, bytes, &mut out),
        Kind::Json => json::parse(scratch, bytes, &mut out),
        Kind::Xml => xml::parse(scratch, bytes, &mut out),
        Kind::Multipart => multipart::parse(scratch, content_type, bytes, &mut out),
    };
    match done {
        Ok(()) | Err(Stop::Asked) => Ok(()),
        Err(Stop::Fault(fault)) => Err(fault),
    }
}

/// Why a parser ended early.
enum Stop {
    Asked,
    Fault(Fault),
}

impl From<Fault> for Stop {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

/// The sink with the limits before it: no parser can forget to count.
struct Counted<'a, S> {
    sink: &'a mut S,
    limits: &'a Limits,
    pairs: usize,
    total: usize,
}

impl<S: Sink> Counted<'_, S> {
    fn pair(&mut self, name: &[u8], value: &[u8], raw: &[u8]) -> Result<(), Stop> {
        self.count(name, value.len())?;
        asked(self.sink.pair(name, value, raw))
    }

    fn file(&mut self, file: File<'_>) -> Result<(), Stop> {
        self.count(file.name, file.filename.len())?;
        asked(self.sink.file(file))
    }

    fn part_header(&mut self, part: &[u8], line: &[u8]) -> Result<(), Stop> {
        self.count(part, line.len())?;
        asked(self.sink.part_header(part, line))
    }

    fn text(&mut self, path: &[u8], text: &[u8]) -> Result<(), Stop> {
        self.count(path, text.len())?;
        asked(self.sink.text(path, text))
    }

    fn attribute(&mut self, name: &[u8], value: &[u8]) -> Result<(), Stop> {
        self.count(name, value.len())?;
        asked(self.sink.attribute(name, value))
    }

    fn flaw(&mut self, flaw: Flaw) -> Result<(), Stop> {
        asked(self.sink.flaw(flaw))
    }

    fn count(&mut self, name: &[u8], value: usize) -> Result<(), Stop> {
        self.pairs += 1;
        self.total = self.total.saturating_add(name.len()).saturating_add(value);
        if self.pairs > self.limits.pairs {
            return Err(Fault::TooMany.into());
        }
        if name.len() > self.limits.name {
            return Err(Fault::NameTooLong.into());
        }
        if self.total > self.limits.total {
            return Err(Fault::TooLarge.into());
        }
        Ok(())
    }
}

fn asked(flow: ControlFlow<()>) -> Result<(), Stop> {
    match flow {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(()) => Err(Stop::Asked),
    }
}

//! XML without a document type: no external entities, no entity bombs. Text and attribute values are handed out with
//! the five named and the numeric references resolved.

use quick_xml::{
    Reader,
    events::{BytesDecl, BytesRef, BytesStart, Event},
};

use super::{Counted, Fault, Scratch, Sink, Stop};

/// Bytes of an element's path. It is copied beside every text.
const MAX_PATH: usize = 1 << 10;

pub(super) fn parse<S: Sink>(
    scratch: &mut Scratch,
    bytes: &[u8],
    out: &mut Counted<'_, S>,
) -> Result<(), Stop> {
    // UTF-16 does not pass here, and its byte order mark is no UTF-8.
    let text = std::str::from_utf8(bytes).map_err(|_| Fault::Charset)?;
    if text.trim_ascii().is_empty() {
        return Ok(());
    }
    let mut reader = Reader::from_str(text);
    let mut document = Document {
        out,
        text: &mut scratch.value,
        told: 0,
        pieces: 0,
        path: &mut scratch.name,
        ends: Vec::new(),
        depth: 0,
        seen: false,
    };
    document.text.clear();
    document.path.clear();
    loop {
        let at = usize::try_from(reader.buffer_position()).unwrap_or(usize::MAX);
        let event = reader.read_event().map_err(|_| Fault::Syntax {
            at,
            what: "not well-formed",
        })?;
        if !document.event(&event, at)? {
            return Ok(());
        }
    }
}

struct Document<'a, 'b, S> {
    out: &'a mut Counted<'b, S>,
    /// Text since the last tag; references arrive apart from it.
    text: &'a mut Vec<u8>,
    /// How much of it was handed out as pieces, and as how many.
    told: usize,
    pieces: usize,
    /// Of the element at hand: `/order/item`. Cut at a length that names do not reach by themselves.
    path: &'a mut Vec<u8>,
    /// Its length without the last step, without the last two, ….
    ends: Vec<usize>,
    depth: usize,
    /// The root element has begun.
    seen: bool,
}

impl<S: Sink> Document<'_, '_, S> {
    /// False after the end of the document.
    fn event(&mut self, event: &Event<'_>, at: usize) -> Result<bool, Stop> {
        match event {
            Event::Text(text) => self.push(text.as_bytes(), at)?,
            Event::CData(text) => self.push(text.as_bytes(), at)?,
            Event::GeneralRef(reference) => self.reference(reference, at)?,
            Event::Start(start) => {
                self.start(start, at)?;
                self.depth += 1;
                if self.depth > self.out.limits.depth {
                    return Err(Fault::TooDeep.into());
                }
            }
            Event::Empty(start) => {
                self.start(start, at)?;
                self.leave();
            }
            Event::End(_) => {
                self.flush()?;
                self.leave();
                self.depth = self.depth.saturating_sub(1);
            }
            Event::Decl(declaration) => encoding(declaration)?,
            Event::DocType(_) => return Err(Fault::Doctype.into()),
            Event::Comment(_) | Event::PI(_) => self.piece()?,
            Event::Eof => return self.end().map(|()| false),
        }
        Ok(true)
    }

    fn start(&mut self, start: &BytesStart<'_>, at: usize) -> Result<(), Stop> {
        self.flush()?;
        if self.depth == 0 && self.seen {
            return Err(Fault::Syntax {
                at,
                what: "a second root element",
            }
            .into());
        }
        self.seen = true;
        self.ends.push(self.path.len());
        self.step(b"/", start.name().as_ref().as_bytes());
        for attribute in start.attributes() {
            let attribute = attribute.map_err(|_| Fault::Syntax {
                at,
                what: "a malformed attribute",
            })?;
            let raw: &str = &attribute.value;
            let value = quick_xml::escape::unescape(raw).map_err(|_| Fault::Doctype)?;
            let element = self.path.len();
            self.step(b"/@", attribute.key.as_ref().as_bytes());
            self.out.attribute(self.path, value.as_bytes())?;
            self.path.truncate(element);
        }
        Ok(())
    }

    fn step(&mut self, separator: &[u8], name: &[u8]) {
        if self.path.len() + name.len() <= MAX_PATH {
            self.path.extend_from_slice(separator);
            self.path.extend_from_slice(name);
        }
    }

    fn leave(&mut self) {
        if let Some(end) = self.ends.pop() {
            self.path.truncate(end);
        }
    }

    fn push(&mut self, text: &[u8], at: usize) -> Result<(), Stop> {
        if self.depth == 0 {
            let blank = text.trim_ascii().is_empty();
            return if blank {
                Ok(())
            } else {
                Err(Fault::Syntax {
                    at,
                    what: "text outside of the root",
                }
                .into())
            };
        }
        self.text.extend_from_slice(text);
        Ok(())
    }

    fn reference(&mut self, reference: &BytesRef<'_>, at: usize) -> Result<(), Stop> {
        let code = reference.resolve_char_ref().map_err(|_| Fault::Syntax {
            at,
            what: "a bad reference",
        })?;
        let mut buffer = [0; 4];
        let text = match code {
            Some(code) => &*code.encode_utf8(&mut buffer),
            None => match &**reference {
                "lt" => "<",
                "gt" => ">",
                "amp" => "&",
                "apos" => "'",
                "quot" => "\"",
                _ => return Err(Fault::Doctype.into()),
            },
        };
        self.push(text.as_bytes(), at)
    }

    /// A comment stands here. Some applications see the text around it as one, others in pieces: both are handed out.
    fn piece(&mut self) -> Result<(), Stop> {
        let piece = self.text.get(self.told..).unwrap_or_default();
        if !piece.trim_ascii().is_empty() {
            self.out.text(self.path, piece)?;
            self.told = self.text.len();
            self.pieces += 1;
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), Stop> {
        if self.pieces > 0 {
            self.piece()?;
        }
        // A single piece is all of it.
        if self.pieces != 1 && !self.text.trim_ascii().is_empty() {
            self.out.text(self.path, self.text)?;
        }
        self.text.clear();
        (self.told, self.pieces) = (0, 0);
        Ok(())
    }

    fn end(&mut self) -> Result<(), Stop> {
        self.flush()?;
        if self.depth > 0 || !self.seen {
            Err(Fault::Truncated.into())
        } else {
            Ok(())
        }
    }
}

/// The declaration may only name what the bytes were read as.
fn encoding(declaration: &BytesDecl<'_>) -> Result<(), Stop> {
    const READ: [&str; 4] = ["utf-8", "utf8", "us-ascii", "iso-8859-1"];
    match declaration.encoding() {
        None => Ok(()),
        Some(Ok(name)) if READ.iter().any(|read| name.eq_ignore_ascii_case(read)) => Ok(()),
        Some(_) => Err(Fault::Charset.into()),
    }
}

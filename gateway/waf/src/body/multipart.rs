//! multipart/form-data (RFC 7578, RFC 2046), strictly. Parsers differ here more than anywhere: what they are known to
//! read differently is a flaw, what hides a part altogether is a fault.

use memchr::{memchr, memmem};

use super::content_type::{check_parameters, is_token, split_media};
use super::disposition::{self, Disposition};
use super::{Counted, Fault, File, Flaw, Kind, Scratch, Sink, Stop, content_type};

/// Header lines of one part; browsers send two.
const HEADERS: usize = 16;

pub(super) fn parse<S: Sink>(
    scratch: &mut Scratch,
    header: &[u8],
    bytes: &[u8],
    out: &mut Counted<'_, S>,
) -> Result<(), Stop> {
    let boundary = boundary(header, out)?;
    let mut body = Body {
        bytes,
        at: 0,
        boundary,
    };
    let (preamble, mut line) = body.until_delimiter(out)?.ok_or(Fault::Truncated)?;
    if !preamble.trim_ascii().is_empty() {
        out.flaw(Flaw::DataBefore)?;
    }
    let mut parts = 0;
    while line == Delimiter::Next {
        parts += 1;
        if parts > out.limits.parts {
            return Err(Fault::TooMany.into());
        }
        line = part(scratch, &mut body, out)?;
    }
    if !body.rest().trim_ascii().is_empty() {
        out.flaw(Flaw::DataAfter)?;
    }
    Ok(())
}

fn boundary<'a, S: Sink>(header: &'a [u8], out: &mut Counted<'_, S>) -> Result<&'a [u8], Stop> {
    let parameter = content_type::boundary(header)?;
    let allowed = |b: &u8| b.is_ascii_alphanumeric() || b"'()+_,-./:=? ".contains(b);
    let value = parameter.value;
    if !(1..=70).contains(&value.len()) || !value.iter().all(allowed) || value.last() == Some(&b' ')
    {
        return Err(Fault::Boundary.into());
    }
    if parameter.quoted {
        out.flaw(Flaw::BoundaryQuoted)?;
    }
    if parameter.spaced {
        out.flaw(Flaw::BoundaryWhitespace)?;
    }
    Ok(value)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Delimiter {
    Next,
    Last,
}

struct Body<'a> {
    bytes: &'a [u8],
    at: usize,
    boundary: &'a [u8],
}

impl<'a> Body<'a> {
    fn rest(&self) -> &'a [u8] {
        self.bytes.get(self.at..).unwrap_or_default()
    }

    /// The next line without its end; flags a lone LF. The last line may lack one.
    fn line<S: Sink>(&mut self, out: &mut Counted<'_, S>) -> Result<Option<&'a [u8]>, Stop> {
        let rest = self.rest();
        if rest.is_empty() {
            return Ok(None);
        }
        let Some(end) = memchr(b'\n', rest) else {
            self.at = self.bytes.len();
            return Ok(Some(rest));
        };
        self.at += end + 1;
        let line = rest.get(..end).unwrap_or_default();
        match line {
            [line @ .., b'\r'] => Ok(Some(line)),
            _ => {
                out.flaw(Flaw::LfLine)?;
                Ok(Some(line))
            }
        }
    }

    /// The bytes before the next delimiter line, its line break not counted, and which delimiter it is.
    fn until_delimiter<S: Sink>(
        &mut self,
        out: &mut Counted<'_, S>,
    ) -> Result<Option<(&'a [u8], Delimiter)>, Stop> {
        let start = self.at;
        loop {
            let here = self.at;
            let rest = self.rest();
            if rest.is_empty() {
                return Ok(None);
            }
            if let Some(delimiter) = self.delimiter(rest, out)? {
                self.line(out)?;
                let data = self.bytes.get(start..here).unwrap_or_default();
                let data = data
                    .strip_suffix(b"\n")
                    .map_or(data, |d| d.strip_suffix(b"\r").unwrap_or(d));
                if self.has_hidden_delimiter(data) {
                    out.flaw(Flaw::UnmatchedBoundary)?;
                }
                return Ok(Some((data, delimiter)));
            }
            self.at = memchr(b'\n', rest).map_or(self.bytes.len(), |end| here + end + 1);
        }
    }

    /// Whether a boundary stands behind a lone CR, which ends a line for some parsers.
    fn has_hidden_delimiter(&self, data: &[u8]) -> bool {
        memmem::find_iter(data, b"\r--").any(|at| {
            let behind = data.get(at + 3..).unwrap_or_default();
            behind.starts_with(self.boundary)
        })
    }

    /// Whether a line is `--boundary` or `--boundary--`, blanks allowed behind.
    fn delimiter<S: Sink>(
        &self,
        rest: &[u8],
        out: &mut Counted<'_, S>,
    ) -> Result<Option<Delimiter>, Stop> {
        let Some(tail) = rest
            .strip_prefix(b"--")
            .and_then(|r| r.strip_prefix(self.boundary))
        else {
            return Ok(None);
        };
        let (tail, delimiter) = match tail.strip_prefix(b"--") {
            Some(tail) => (tail, Delimiter::Last),
            None => (tail, Delimiter::Next),
        };
        let blanks = tail
            .iter()
            .take_while(|b| matches!(b, b' ' | b'\t'))
            .count();
        match tail.get(blanks..).unwrap_or_default() {
            [] | [b'\n', ..] | [b'\r', b'\n', ..] => Ok(Some(delimiter)),
            _ => {
                out.flaw(Flaw::UnmatchedBoundary)?;
                Ok(None)
            }
        }
    }
}

/// Reads one part and hands it out; the delimiter that ends it.
fn part<S: Sink>(
    scratch: &mut Scratch,
    body: &mut Body<'_>,
    out: &mut Counted<'_, S>,
) -> Result<Delimiter, Stop> {
    let start = body.at;
    let mut lines = 0;
    scratch.value.clear();
    while let Some(line) = body.line(out)? {
        if line.is_empty() {
            break;
        }
        lines += 1;
        if lines > HEADERS || line.len() > out.limits.name {
            return Err(Fault::TooMany.into());
        }
        header_line(line, start, &mut scratch.value, out)?;
    }
    let (data, delimiter) = body.until_delimiter(out)?.ok_or(Fault::Truncated)?;
    let found = headers(&scratch.value, start, out);
    // Rules see what a part says of itself even when it is refused for it.
    let said = found.as_ref().ok().and_then(|found| found.name.as_deref());
    for line in scratch
        .value
        .split(|b| *b == b'\n')
        .filter(|line| !line.is_empty())
    {
        out.part_header(said.unwrap_or_default(), line)?;
    }
    let disposition = found?;
    if let Some(flaw) = disposition.flaw {
        out.flaw(flaw)?;
    }
    let name = disposition
        .name
        .as_deref()
        .filter(|name| !name.is_empty())
        .ok_or(Fault::Disposition)?;
    let json = scratch.value.split(|b| *b == b'\n').any(|line| {
        split_header(line, start).is_ok_and(|(header, value)| {
            header.eq_ignore_ascii_case(b"content-type") && Kind::of(value) == Ok(Some(Kind::Json))
        })
    });
    hand_out(&disposition, name, data, json, out)?;
    Ok(delimiter)
}

/// A file, or a field when no file name is given. An empty file name is what browsers send for no file: PHP sees a
/// file then, others a field, so its content is looked at as a field. A name by `filename*` alone is one to some, and not
/// to others: it is looked at as both.
fn hand_out<S: Sink>(
    disposition: &Disposition<'_>,
    name: &[u8],
    data: &[u8],
    json: bool,
    out: &mut Counted<'_, S>,
) -> Result<(), Stop> {
    let extended = disposition.extended.as_deref();
    let filename = disposition.filename.as_deref().unwrap_or_default();
    let blob = json && !filename.is_empty() && !filename.contains(&b'.');
    if blob || (disposition.filename.is_none() && extended.is_some()) {
        out.pair(name, data, data)?;
    }
    match disposition.filename.as_deref().or(extended) {
        Some(filename) if !filename.is_empty() => out.file(File {
            name,
            filename,
            extended,
            bytes: data,
        }),
        _ => out.pair(name, data, data),
    }
}

/// Checks one line and keeps it, unfolded, in `kept`.
fn header_line<S: Sink>(
    line: &[u8],
    at: usize,
    kept: &mut Vec<u8>,
    out: &mut Counted<'_, S>,
) -> Result<(), Stop> {
    // A lone CR or a NUL ends a line for some parsers.
    if line.iter().any(|b| matches!(b, 0 | b'\r')) {
        return Err(Fault::Syntax {
            at,
            what: "a control character in a part header",
        }
        .into());
    }
    if matches!(line, [b' ' | b'\t', ..]) {
        if kept.pop().is_none() {
            return Err(Fault::Syntax {
                at,
                what: "a continuation without a header",
            }
            .into());
        }
        kept.push(b' ');
        out.flaw(Flaw::HeaderFolding)?;
    }
    kept.extend_from_slice(line.trim_ascii());
    kept.push(b'\n');
    Ok(())
}

/// Reads the kept lines: the disposition is required, a name may stand once.
fn headers<'a, S: Sink>(
    kept: &'a [u8],
    at: usize,
    out: &mut Counted<'_, S>,
) -> Result<Disposition<'a>, Stop> {
    let mut found = None;
    for line in kept.split(|b| *b == b'\n').filter(|line| !line.is_empty()) {
        let (name, value) = split_header(line, at)?;
        let twins = kept
            .split(|b| *b == b'\n')
            .filter(|l| split_header(l, at).is_ok_and(|(n, _)| n.eq_ignore_ascii_case(name)));
        if twins.count() > 1 {
            return Err(Fault::Disposition.into());
        }
        if name.eq_ignore_ascii_case(b"content-disposition") {
            found = Some(disposition::parse(value)?);
        } else if name.eq_ignore_ascii_case(b"content-type") {
            if split_media(value)
                .and_then(|(_, rest)| check_parameters(rest))
                .is_err()
            {
                out.flaw(Flaw::PartCharset)?;
            }
        } else if name.eq_ignore_ascii_case(b"content-transfer-encoding") {
            let plain = [b"7bit".as_slice(), b"8bit", b"binary"];
            if !plain.iter().any(|p| value.eq_ignore_ascii_case(p)) {
                out.flaw(Flaw::TransferEncoding)?;
            }
        }
    }
    Ok(found.ok_or(Fault::Disposition)?)
}

fn split_header(line: &[u8], at: usize) -> Result<(&[u8], &[u8]), Fault> {
    let colon = memchr(b':', line).filter(|colon| *colon > 0);
    let (name, value) = line.split_at(colon.ok_or(Fault::Syntax {
        at,
        what: "a part header without a colon",
    })?);
    if !name.iter().all(|b| is_token(*b)) {
        return Err(Fault::Syntax {
            at,
            what: "a bad part header name",
        });
    }
    Ok((name, value.get(1..).unwrap_or_default().trim_ascii()))
}

//! The body of a request as values. The declared type picks the parser; what that type's parser refuses is a refusal.
//! A type without a parser is no way past the rules: text is looked at as text, JSON also as JSON.

use std::ops::ControlFlow;

use super::collect::Into;
use crate::{
    body::{self, File, Flaw, Kind, Scratch, Sink},
    variable::{FROM_BODY, SECLANG_MEMBERS, Variable, Variables},
    verdict::Refusal,
};

/// What only a parser can give.
const PARSED: Variables = FROM_BODY.without(Variables::of(&[
    Variable::RawBody,
    Variable::RequestBodyLength,
]));

pub(super) const WHOLE: Variables =
    Variables::of(&[Variable::FullRequest, Variable::FullRequestLength]);

/// Media types whose content is not text unless it turns out to be.
const BINARY: &[&[u8]] = &[
    b"image/",
    b"audio/",
    b"video/",
    b"font/",
    b"application/octet-stream",
    b"application/pdf",
    b"application/zip",
    b"application/gzip",
    b"application/grpc",
    b"application/protobuf",
    b"application/x-protobuf",
    b"application/wasm",
];

/// Bytes of the end of a long upload that are looked at.
const TAIL: usize = 64 << 10;

/// What rules and settings say about reading a body.
#[derive(Clone, Copy)]
pub(crate) struct Reading {
    /// What a rule chose instead of the declared type.
    pub(crate) processor: Option<Kind>,
    /// REQUEST_BODY holds the body whatever its type.
    pub(crate) force: bool,
    /// Between the pairs of a form.
    pub(crate) separator: u8,
}

impl Into<'_, '_> {
    pub(crate) fn body(
        &mut self,
        scratch: &mut Scratch,
        how: Reading,
        content_type: &[u8],
        bytes: &[u8],
    ) {
        if !bytes.is_empty() {
            self.content(scratch, how, content_type, bytes);
        }
        self.sums(bytes.len());
        self.whole(bytes);
    }

    fn content(&mut self, scratch: &mut Scratch, how: Reading, content_type: &[u8], bytes: &[u8]) {
        let declared = Kind::of(content_type);
        self.raw(declared == Ok(Some(Kind::Multipart)), bytes);
        if !self.reads(PARSED) {
            return;
        }
        scratch.separate_by(how.separator);
        // A rule chooses the parser, not the characters.
        if how.processor.is_some() && declared == Err(body::Fault::Charset) {
            self.refuse(Refusal::Body(body::Fault::Charset));
        }
        match how.processor.map_or(declared, |kind| Ok(Some(kind))) {
            Ok(Some(kind)) => {
                if how.force || matches!(kind, Kind::Form | Kind::Json) {
                    self.alone(Variable::RequestBody, bytes);
                }
                let done = self.parse(scratch, kind, content_type, bytes);
                if let Err(fault) = done {
                    self.refuse(Refusal::Body(fault));
                }
                if kind == Kind::Form {
                    self.perhaps_json(scratch, content_type, bytes);
                }
            }
            Ok(None) => self.unparsed(scratch, content_type, bytes),
            Err(fault) => {
                self.refuse(Refusal::Body(fault));
                self.unparsed(scratch, content_type, bytes);
            }
        }
    }

    /// The body as it was sent. Of an upload that is longer than a value may be, its begin and its end, where programs are put
    /// that shall pass for pictures: all of it would be more work than a request may be.
    fn raw(&mut self, upload: bool, bytes: &[u8]) {
        let most = self.longest();
        if !upload || bytes.len() <= most {
            return self.alone(Variable::RawBody, bytes);
        }
        self.values.cut_body();
        let end = bytes.len().saturating_sub(TAIL.min(most));
        for piece in [bytes.get(..most), bytes.get(end..)].into_iter().flatten() {
            self.long_member(Variable::RawBody, b"", piece);
        }
    }

    /// Variables that sum a body up.
    fn sums(&mut self, length: usize) {
        let sums = self.sizes();
        let refusal = self.refusal();
        let failed = matches!(refusal, Some(Refusal::Body(_)));
        let strict = matches!(refusal, Some(Refusal::Ambiguous(_)));
        self.number(Variable::RequestBodyLength, length);
        self.number(Variable::ArgsCombinedSize, sums.args);
        self.number(Variable::FilesCombinedSize, sums.files);
        self.number(Variable::BodyError, usize::from(failed));
        self.number(Variable::MultipartStrictError, usize::from(strict));
        self.number(Variable::InboundError, usize::from(self.values.cut.0));
        if self.reads.has(Variable::BodyErrorText)
            && let Some(Refusal::Body(fault)) = refusal
        {
            self.alone(Variable::BodyErrorText, fault.to_string().as_bytes());
        }
        if self.reads.has(Variable::MultipartFlaw) {
            self.flaws(refusal);
        }
    }

    /// SecLang has a name for every oddity, and 0 or 1 for each.
    fn flaws(&mut self, refusal: Option<Refusal>) {
        let fault = match refusal {
            Some(Refusal::Body(fault)) => Some(fault),
            _ => None,
        };
        for (_, _, name) in SECLANG_MEMBERS
            .iter()
            .filter(|(_, variable, _)| *variable == Variable::MultipartFlaw)
        {
            let found = match *name {
                // What the strict parser does not read at all.
                "invalid_part" => fault == Some(body::Fault::Disposition),
                "missing_semicolon" => fault == Some(body::Fault::ContentType),
                "file_limit" => fault == Some(body::Fault::TooMany),
                "invalid_header_folding" => self.has_flaw("header_folding"),
                name => self.has_flaw(name),
            };
            let text: &[u8] = if found { b"1" } else { b"0" };
            self.member(Variable::MultipartFlaw, name.as_bytes(), text);
        }
    }

    fn has_flaw(&self, code: &str) -> bool {
        let mut flaws = Flaw::ALL.iter().zip(0..);
        flaws.any(|(flaw, bit)| flaw.code() == code && self.values.flaws & (1 << bit) != 0)
    }

    /// The request as one text.
    fn whole(&mut self, bytes: &[u8]) {
        if !self.reads(WHOLE) {
            return;
        }
        let mut full = std::mem::take(&mut self.values.full);
        full.extend_from_slice(b"\r\n");
        full.extend_from_slice(bytes);
        self.number(Variable::FullRequestLength, full.len());
        self.long_member(Variable::FullRequest, b"", &full);
        self.values.full = full;
    }

    fn unparsed(&mut self, scratch: &mut Scratch, content_type: &[u8], bytes: &[u8]) {
        let declared = BINARY.iter().any(|prefix| {
            content_type
                .get(..prefix.len())
                .is_some_and(|start| start.eq_ignore_ascii_case(prefix))
        });
        if !declared || is_text(bytes) {
            self.alone(Variable::PlainBody, bytes);
        }
        self.alone(Variable::RequestBody, bytes);
        self.perhaps_json(scratch, content_type, bytes);
    }

    /// Applications exist that read any body as JSON. Not being JSON is no fault here, being too much of it is.
    fn perhaps_json(&mut self, scratch: &mut Scratch, content_type: &[u8], bytes: &[u8]) {
        let text = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
        if !matches!(text.trim_ascii_start().first(), Some(b'{' | b'[')) {
            return;
        }
        if let Err(fault @ (body::Fault::TooDeep | body::Fault::TooMany)) =
            self.parse(scratch, Kind::Json, content_type, text)
        {
            self.refuse(Refusal::Body(fault));
        }
    }

    fn parse(
        &mut self,
        scratch: &mut Scratch,
        kind: Kind,
        content_type: &[u8],
        bytes: &[u8],
    ) -> Result<(), body::Fault> {
        let limits = self.body_limits();
        let variable = match kind {
            Kind::Form => Variable::FormArg,
            Kind::Json => Variable::JsonArg,
            Kind::Multipart => Variable::MultipartArg,
            Kind::Xml => Variable::XmlText,
        };
        let mut fields = Fields {
            into: self,
            variable,
        };
        body::parse_with(scratch, kind, content_type, bytes, &limits, &mut fields)
    }
}

/// Takes what a parser hands out.
struct Fields<'a, 'v, 'l> {
    into: &'a mut Into<'v, 'l>,
    variable: Variable,
}

impl Fields<'_, '_, '_> {
    /// Past a limit nothing further is collected.
    fn flow(&self) -> ControlFlow<()> {
        if self.into.is_full() {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    }
}

impl Sink for Fields<'_, '_, '_> {
    fn pair(&mut self, name: &[u8], value: &[u8], _raw: &[u8]) -> ControlFlow<()> {
        self.into
            .argument(self.variable, Variable::BodyArgName, name, value);
        self.flow()
    }

    fn file(&mut self, file: File<'_>) -> ControlFlow<()> {
        self.into.count_file(file.bytes.len());
        self.into.member(Variable::File, file.name, file.filename);
        if let Some(extended) = file.extended {
            self.into.member(Variable::File, file.name, extended);
        }
        self.into.member(Variable::FileField, file.name, file.name);
        self.into
            .long_member(Variable::FileContent, file.name, file.bytes);
        if self.into.reads.has(Variable::FileSize) {
            let size = file.bytes.len().to_string();
            self.into
                .member(Variable::FileSize, file.name, size.as_bytes());
        }
        self.flow()
    }

    fn part_header(&mut self, part: &[u8], line: &[u8]) -> ControlFlow<()> {
        self.into.member(Variable::PartHeader, part, line);
        self.flow()
    }

    fn text(&mut self, path: &[u8], text: &[u8]) -> ControlFlow<()> {
        self.into.member(Variable::XmlText, path, text);
        self.flow()
    }

    fn attribute(&mut self, name: &[u8], value: &[u8]) -> ControlFlow<()> {
        self.into.member(Variable::XmlAttribute, name, value);
        self.flow()
    }

    fn flaw(&mut self, flaw: Flaw) -> ControlFlow<()> {
        if let Some((_, bit)) = Flaw::ALL.iter().zip(0..).find(|(own, _)| **own == flaw) {
            self.into.values.flaws |= 1 << bit;
        }
        if flaw == Flaw::BadEscape {
            self.into.number(Variable::BadEscape, 1);
        }
        if flaw.dangerous() {
            self.into.refuse(Refusal::Ambiguous(flaw));
        }
        // The rest is still worth looking at: what it holds belongs into the event.
        ControlFlow::Continue(())
    }
}

/// UTF-8 without control characters other than white space; DEL is one that text may hold.
fn is_text(bytes: &[u8]) -> bool {
    let control = |byte: &u8| *byte < b' ' && !byte.is_ascii_whitespace();
    !bytes.iter().any(control) && std::str::from_utf8(bytes).is_ok()
}

//! Collects what rules read from a request into one buffer of names and values. What no rule reads is not copied;
//! what a limit forbids is a refusal. Knows nothing of rules beyond the set of variables they read.

use std::io::Write;

use super::around::SURROUNDING;
use crate::{
    body,
    limits::Limits,
    operator::validate::bad_url_encoding,
    outside::Settings,
    pairs,
    request::Request,
    variable::{Variable, Variables},
    verdict::Refusal,
};

/// A buffer larger than this is given back after the request that needed it.
const KEPT_BYTES: usize = 256 << 10;

/// A range of the buffer.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Span {
    from: usize,
    to: usize,
}

/// One member of a collection, or a variable that stands alone (then the name is empty).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Value {
    pub(crate) variable: Variable,
    pub(crate) name: Span,
    pub(crate) text: Span,
    /// The place of the next member of the same variable; `NONE`: this is the last.
    next: u32,
}

/// No place in the list.
const NONE: u32 = u32::MAX;

/// Bytes of names and values, and of files.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Sizes {
    pub(crate) args: usize,
    pub(crate) files: usize,
}

/// Everything collected so far.
#[derive(Default)]
pub(crate) struct Values {
    bytes: Vec<u8>,
    list: Vec<Value>,
    /// Variables that have a member.
    present: Variables,
    /// By variable, of those that are present: the places of its first and its last member.
    ends: Vec<(u32, u32)>,
    args: usize,
    sizes: Sizes,
    refusal: Option<Refusal>,
    /// Oddities of the body, a bit for each.
    pub(super) flaws: u32,
    /// Only the beginning of the request's, of the answer's body is there.
    pub(super) cut: (bool, bool),
    /// The request's head as text, for rules that read all of a request at once.
    pub(super) full: Vec<u8>,
    /// `HTTP/1.1`.
    pub(super) protocol: Vec<u8>,
    /// A decoded name and value before they are copied.
    decoded: [Vec<u8>; 2],
}

impl Values {
    pub(crate) fn reset(&mut self) {
        if self.bytes.capacity() > KEPT_BYTES {
            self.bytes = Vec::new();
        }
        self.bytes.clear();
        self.list.clear();
        self.present = Variables::NONE;
        self.args = 0;
        self.sizes = Sizes::default();
        self.refusal = None;
        self.flaws = 0;
        self.cut = (false, false);
        self.full.clear();
        self.protocol.clear();
    }

    pub(crate) fn list(&self) -> &[Value] {
        &self.list
    }

    fn push(&mut self, variable: Variable, name: Span, text: Span) {
        let place = u32::try_from(self.list.len()).unwrap_or(NONE);
        self.list.push(Value {
            variable,
            name,
            text,
            next: NONE,
        });
        if self.ends.is_empty() {
            self.ends.resize(Variable::ALL.len(), (NONE, NONE));
        }
        let Some(ends) = self.ends.get_mut(variable as usize) else {
            return;
        };
        if self.present.has(variable) {
            if let Some(last) = self.list.get_mut(ends.1 as usize) {
                last.next = place;
            }
            ends.1 = place;
        } else {
            *ends = (place, place);
            self.present = self.present.union(Variables::of(&[variable]));
        }
    }

    /// The members of these variables, in the order in which they came.
    pub(crate) fn of(&self, variables: Variables) -> Members<'_> {
        let first =
            |variable: Variable| self.ends.get(variable as usize).map_or(NONE, |ends| ends.0);
        let mut places = [NONE; MOST_PLACES];
        let mut used = 0;
        let mut present = variables.and(self.present).iter();
        for (place, variable) in places.iter_mut().zip(&mut present) {
            *place = first(variable);
            used += 1;
        }
        let rest = (used == MOST_PLACES && present.next().is_some()).then_some(0);
        Members {
            values: self,
            variables,
            places,
            used,
            rest,
        }
    }

    pub(crate) fn bytes(&self, span: Span) -> &[u8] {
        self.bytes.get(span.from..span.to).unwrap_or_default()
    }

    pub(crate) const fn refusal(&self) -> Option<&Refusal> {
        self.refusal.as_ref()
    }

    pub(crate) const fn cut_body(&mut self) {
        self.cut.0 = true;
    }

    pub(crate) const fn cut_response(&mut self) {
        self.cut.1 = true;
    }

    fn copy(&mut self, bytes: &[u8]) -> Span {
        let from = self.bytes.len();
        self.bytes.extend_from_slice(bytes);
        Span {
            from,
            to: self.bytes.len(),
        }
    }

    /// The first refusal stands.
    pub(crate) fn refuse(&mut self, refusal: Refusal) {
        if self.refusal.is_none() {
            self.refusal = Some(refusal);
        }
    }
}

/// Variables that are gone through by their members alone.
const MOST_PLACES: usize = 4;

/// See [`Values::of`].
pub(crate) struct Members<'v> {
    values: &'v Values,
    variables: Variables,
    /// By variable: the next member; the first `used` are in use.
    places: [u32; MOST_PLACES],
    used: usize,
    /// Of more variables than that the list is gone through from here.
    rest: Option<usize>,
}

impl<'v> Iterator for Members<'v> {
    type Item = &'v Value;

    fn next(&mut self) -> Option<&'v Value> {
        if let Some(rest) = &mut self.rest {
            let left = self.values.list.get(*rest..)?;
            let at = left
                .iter()
                .position(|value| self.variables.has(value.variable))?;
            *rest += at + 1;
            return left.get(at);
        }
        let place = self.places.get_mut(..self.used)?.iter_mut().min()?;
        let value = self.values.list.get(*place as usize)?;
        *place = value.next;
        Some(value)
    }
}

/// Adds values under a set of variables and limits.
pub(crate) struct Into<'v, 'l> {
    pub(super) values: &'v mut Values,
    pub(super) reads: Variables,
    pub(super) limits: &'l Limits,
}

impl<'v, 'l> Into<'v, 'l> {
    pub(crate) const fn new(values: &'v mut Values, reads: Variables, limits: &'l Limits) -> Self {
        Self {
            values,
            reads,
            limits,
        }
    }

    pub(crate) const fn reads(&self, variables: Variables) -> bool {
        self.reads.intersects(variables)
    }

    pub(crate) fn refuse(&mut self, refusal: Refusal) {
        self.values.refuse(refusal);
    }

    pub(crate) const fn refusal(&self) -> Option<Refusal> {
        self.values.refusal
    }

    pub(crate) const fn sizes(&self) -> Sizes {
        self.values.sizes
    }

    pub(crate) const fn count_file(&mut self, bytes: usize) {
        self.values.sizes.files = self.values.sizes.files.saturating_add(bytes);
    }

    pub(crate) fn number(&mut self, variable: Variable, number: usize) {
        if self.reads.has(variable) {
            let from = self.values.bytes.len();
            // Writing to a Vec cannot fail.
            let _ = write!(self.values.bytes, "{number}");
            self.push_tail(variable, from);
        }
    }

    /// A limit is reached. An ambiguous body is read on: what it holds belongs into the event.
    pub(crate) const fn is_full(&self) -> bool {
        !matches!(self.values.refusal, None | Some(Refusal::Ambiguous(_)))
    }

    pub(crate) fn body_limits(&self) -> body::Limits {
        body::Limits {
            pairs: self.limits.args.saturating_sub(self.values.args),
            name: self.limits.name,
            depth: self.limits.depth,
            parts: self.limits.args.min(body::Limits::MAX.parts),
            ..body::Limits::default()
        }
    }

    /// Bytes of the longest value.
    pub(super) const fn longest(&self) -> usize {
        self.limits.value
    }

    /// A variable that stands alone.
    pub(crate) fn alone(&mut self, variable: Variable, text: &[u8]) {
        self.member(variable, b"", text);
    }

    pub(crate) fn member(&mut self, variable: Variable, name: &[u8], text: &[u8]) {
        if !self.reads.has(variable) {
            return;
        }
        if text.len() > self.limits.value {
            self.values.refuse(Refusal::ValueTooLong);
            return;
        }
        self.long_member(variable, name, text);
    }

    /// What may be longer than one value: the limits on the body and on the work bound it.
    pub(super) fn long_member(&mut self, variable: Variable, name: &[u8], text: &[u8]) {
        if !self.reads.has(variable) {
            return;
        }
        let name = self.values.copy(name);
        let text = self.values.copy(text);
        self.values.push(variable, name, text);
    }

    /// An argument of query or body, counted against the limit, and its name.
    pub(crate) fn argument(
        &mut self,
        variable: Variable,
        names: Variable,
        name: &[u8],
        text: &[u8],
    ) {
        self.values.args += 1;
        self.values.sizes.args += name.len() + text.len();
        if self.values.args > self.limits.args {
            self.values.refuse(Refusal::TooManyArgs);
        } else if name.len() > self.limits.name {
            self.values.refuse(Refusal::NameTooLong);
        } else {
            self.member(variable, name, text);
            // A name is a value in its own right, and answers to itself: `args_names:q`.
            self.member(names, name, name);
        }
    }

    /// Everything that is known before the body.
    pub(crate) fn head(&mut self, request: &Request<'_>, settings: &Settings) {
        self.lines(request);
        self.query(request.query, settings.separator);
        let mut kind = None;
        request.headers.each(&mut |name, value| {
            self.header(name, value);
            if name == b"content-type" {
                kind = body::Kind::of(value).ok().flatten();
            }
        });
        self.alone(Variable::BodyProcessor, kind.map_or(b"", processor));
        if self.reads(SURROUNDING) {
            self.surroundings(request, settings);
        }
    }

    fn lines(&mut self, request: &Request<'_>) {
        use Variable::{
            Method, Path, PathInfo, Protocol, QueryString, RemoteAddr, RequestBasename,
            RequestFilename, RequestLine, RequestUri, RequestUriRaw,
        };
        let raw_path = request
            .target
            .split(|&byte| byte == b'?')
            .next()
            .unwrap_or_default();
        // ModSecurity's REQUEST_FILENAME is decoded once; REQUEST_URI is not.
        let [mut decoded, other] = std::mem::take(&mut self.values.decoded);
        let filename = pairs::decode(raw_path, &mut decoded);
        let basename = filename
            .rsplit(|&byte| byte == b'/' || byte == b'\\')
            .next()
            .unwrap_or_default();
        self.alone(RequestFilename, filename);
        self.alone(RequestBasename, basename);
        self.alone(PathInfo, filename);
        self.values.decoded = [decoded, other];
        self.alone(Method, request.method);
        self.alone(Path, request.path);
        self.alone(QueryString, request.query);
        self.alone(Protocol, request.protocol);
        self.alone(RequestUri, request.target);
        self.alone(RequestUriRaw, request.target);
        if self.reads.has(RequestLine) {
            let parts = [request.method, b" ", request.target, b" ", request.protocol];
            let from = self.values.bytes.len();
            parts
                .iter()
                .for_each(|part| self.values.bytes.extend_from_slice(part));
            self.push_tail(RequestLine, from);
        }
        if self.reads.has(RemoteAddr) {
            let from = self.values.bytes.len();
            // Writing to a Vec cannot fail.
            let _ = write!(
                self.values.bytes,
                "{}",
                crate::operator::canonical(request.client)
            );
            self.push_tail(RemoteAddr, from);
        }
    }

    pub(super) fn push_tail(&mut self, variable: Variable, from: usize) {
        let text = Span {
            from,
            to: self.values.bytes.len(),
        };
        self.values.push(variable, Span::default(), text);
    }

    fn query(&mut self, query: &[u8], separator: u8) {
        if self.reads.has(Variable::BadEscape) {
            self.number(Variable::BadEscape, usize::from(bad_url_encoding(query)));
        }
        if query.is_empty() || !self.reads(QUERY) {
            return;
        }
        let [mut name, mut value] = std::mem::take(&mut self.values.decoded);
        for pair in pairs::split(query, separator) {
            let name = pairs::decode(pair.name, &mut name);
            let value = pairs::decode(pair.value, &mut value);
            self.argument(Variable::QueryArg, Variable::QueryArgName, name, value);
            if self.is_full() {
                break;
            }
        }
        self.values.decoded = [name, value];
    }

    fn header(&mut self, name: &[u8], value: &[u8]) {
        self.member(Variable::RequestHeader, name, value);
        self.member(Variable::RequestHeaderName, name, name);
        if name == b"cookie" && self.reads(COOKIES) {
            self.cookies(value);
        }
    }

    fn cookies(&mut self, line: &[u8]) {
        for pair in pairs::cookies(line) {
            let name = pair.name.trim_ascii();
            self.member(Variable::Cookie, name, pair.value);
            self.member(Variable::CookieName, name, name);
        }
    }
}

/// SecLang's name of a parser.
const fn processor(kind: body::Kind) -> &'static [u8] {
    match kind {
        body::Kind::Form => b"URLENCODED",
        body::Kind::Json => b"JSON",
        body::Kind::Xml => b"XML",
        body::Kind::Multipart => b"MULTIPART",
    }
}

const QUERY: Variables = Variables::of(&[Variable::QueryArg, Variable::QueryArgName]);
const COOKIES: Variables = Variables::of(&[Variable::Cookie, Variable::CookieName]);

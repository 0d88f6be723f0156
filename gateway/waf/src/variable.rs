//! What a rule may look at: the closed list of variables, and a target (variables, selector, count). The
//! names of our YAML rules and SecLang's are spellings of sets of these. Knows no request.

use regex_automata::meta::Regex;

macro_rules! variables {
    ($($(#[$doc:meta])* $name:ident $report:literal),* $(,)?) => {
        /// One kind of value a request or an answer holds.
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
        #[repr(u8)]
        pub(crate) enum Variable { $($(#[$doc])* $name),* }

        impl Variable {
            pub(crate) const ALL: &[Self] = &[$(Self::$name),*];

            /// The prefix a match is reported under. What is reported can be pasted into an exclusion.
            pub(crate) const fn report(self) -> &'static str {
                match self { $(Self::$name => $report),* }
            }
        }
    };
}

variables! {
    QueryArg "args", FormArg "args", JsonArg "args", MultipartArg "args",
    /// A body of a type that has no parser, as one value.
    PlainBody "args",
    XmlText "xml", XmlAttribute "xml",
    QueryArgName "args_names", BodyArgName "args_names",
    RequestHeader "header", RequestHeaderName "headers_names",
    Cookie "cookie", CookieName "cookies_names",
    /// File names as the client states them.
    File "files", FileField "files_names", PartHeader "part_headers",
    /// The canonical decoded path; `RequestFilename` is the raw one.
    Path "path",
    RequestUri "uri", RequestUriRaw "uri_raw", RequestFilename "filename", RequestBasename "basename",
    RequestLine "request_line", Method "method", Protocol "protocol", QueryString "query",
    RequestBody "body", RequestBodyLength "body_length",
    ArgsCombinedSize "args_combined_size", FilesCombinedSize "files_combined_size",
    BodyProcessor "body_processor", BodyError "body_error", RemoteAddr "client",
    ResponseStatus "response_status", ResponseProtocol "response_protocol",
    ResponseHeader "response_header", ResponseHeaderName "response_headers_names",
    ResponseBody "response_body",
    Tx "tx", MatchedVar "matched_var", MatchedVars "matched_vars",
    MatchedVarName "matched_var_name", MatchedVarNames "matched_vars_names", UniqueId "unique_id",
}

/// A set of variables.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Variables(u64);

impl Variables {
    pub(crate) const NONE: Self = Self(0);

    pub(crate) const fn of(list: &[Variable]) -> Self {
        let mut bits = 0;
        let mut rest = list;
        while let [first, tail @ ..] = rest {
            bits |= 1 << (*first as u8);
            rest = tail;
        }
        Self(bits)
    }

    pub(crate) const fn has(self, variable: Variable) -> bool {
        self.0 & (1 << (variable as u8)) != 0
    }

    pub(crate) const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub(crate) const fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    pub(crate) const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    pub(crate) const fn is_empty(self) -> bool {
        self.0 == 0
    }

    pub(crate) const fn intersects(self, other: Self) -> bool {
        !self.and(other).is_empty()
    }

    pub(crate) fn iter(self) -> impl Iterator<Item = Variable> {
        Variable::ALL.iter().copied().filter(move |&v| self.has(v))
    }
}

use Variable::{
    ArgsCombinedSize, BodyArgName, BodyError, BodyProcessor, Cookie, CookieName, File, FileField,
    FilesCombinedSize, FormArg, JsonArg, MatchedVar, MatchedVarName, MatchedVarNames, MatchedVars,
    Method, MultipartArg, PartHeader, Path, PlainBody, Protocol, QueryArg, QueryArgName,
    QueryString, RemoteAddr, RequestBasename, RequestBody, RequestBodyLength, RequestFilename,
    RequestHeader, RequestHeaderName, RequestLine, RequestUri, RequestUriRaw, ResponseBody,
    ResponseHeader, ResponseHeaderName, ResponseProtocol, ResponseStatus, Tx, XmlAttribute,
    XmlText,
};

/// Known once the body has been read.
pub(crate) const FROM_BODY: Variables = Variables::of(&[
    FormArg,
    JsonArg,
    MultipartArg,
    PlainBody,
    XmlText,
    XmlAttribute,
    BodyArgName,
    File,
    FileField,
    PartHeader,
    RequestBody,
    RequestBodyLength,
    ArgsCombinedSize,
    FilesCombinedSize,
    BodyProcessor,
    BodyError,
]);

/// Known once the answer's status and headers have arrived.
pub(crate) const FROM_RESPONSE: Variables = Variables::of(&[
    ResponseStatus,
    ResponseProtocol,
    ResponseHeader,
    ResponseHeaderName,
]);

/// Written by rules while they run: never scanned ahead.
pub(crate) const DYNAMIC: Variables =
    Variables::of(&[Tx, MatchedVar, MatchedVars, MatchedVarName, MatchedVarNames]);

const XML: Variables = Variables::of(&[XmlText, XmlAttribute]);
const POST: Variables = Variables::of(&[FormArg, JsonArg, MultipartArg, PlainBody]);

/// The target names of our YAML rules.
#[rustfmt::skip]
pub(crate) const NATIVE: &[(&str, Variables)] = &[
    ("path", Variables::of(&[Path])),
    ("query", Variables::of(&[QueryString])),
    ("args", Variables::of(&[QueryArg]).union(POST).union(XML)),
    ("args_names", Variables::of(&[QueryArgName, BodyArgName])),
    ("form", Variables::of(&[FormArg])),
    ("json", Variables::of(&[JsonArg])),
    ("multipart", Variables::of(&[MultipartArg])),
    ("xml", XML),
    ("headers", Variables::of(&[RequestHeader])),
    ("header", Variables::of(&[RequestHeader])),
    ("headers_names", Variables::of(&[RequestHeaderName])),
    ("cookies", Variables::of(&[Cookie])),
    ("cookie", Variables::of(&[Cookie])),
    ("cookies_names", Variables::of(&[CookieName])),
    ("body", Variables::of(&[RequestBody])),
    ("files", Variables::of(&[File])),
    ("files_names", Variables::of(&[FileField])),
    ("part_headers", Variables::of(&[PartHeader])),
    ("method", Variables::of(&[Method])),
    ("uri", Variables::of(&[RequestUri])),
    ("uri_raw", Variables::of(&[RequestUriRaw])),
    ("filename", Variables::of(&[RequestFilename])),
    ("basename", Variables::of(&[RequestBasename])),
    ("request_line", Variables::of(&[RequestLine])),
    ("protocol", Variables::of(&[Protocol])),
    ("client", Variables::of(&[RemoteAddr])),
    ("response_headers", Variables::of(&[ResponseHeader])),
    ("response_header", Variables::of(&[ResponseHeader])),
    ("response_headers_names", Variables::of(&[ResponseHeaderName])),
    ("response_status", Variables::of(&[ResponseStatus])),
    ("response_body", Variables::of(&[ResponseBody])),
];

/// Which members of a collection.
#[derive(Clone, Debug)]
pub(crate) enum Selector {
    All,
    /// A name, lower-case: names compare without case, as in ModSecurity.
    Name(Box<[u8]>),
    Pattern(Box<Regex>),
}

/// Variables and which of their members.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub(crate) variables: Variables,
    pub(crate) selector: Selector,
}

impl Target {
    pub(crate) fn covers(&self, variable: Variable, name: &[u8]) -> bool {
        self.variables.has(variable) && self.selector.takes(name)
    }
}

impl Selector {
    pub(crate) fn takes(&self, name: &[u8]) -> bool {
        match self {
            Self::All => true,
            Self::Name(own) => own.eq_ignore_ascii_case(name),
            Self::Pattern(regex) => regex.is_match(name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_variable_fits_the_set() {
        assert!(Variable::ALL.len() <= 64);
        for (at, variable) in Variable::ALL.iter().enumerate() {
            assert_eq!(*variable as usize, at);
            assert!(Variables::of(&[*variable]).has(*variable));
        }
    }
}

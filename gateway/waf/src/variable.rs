//! What a rule may look at: the closed list of variables, and a target (variables, selector, count). The
//! names of our YAML rules and SecLang's are spellings of sets of these. Knows no request.

use crate::operator::pattern::NamePattern;

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
    /// The body as it came, whatever it is; `RequestBody` not when it is XML or multipart.
    RawBody "body", RequestBody "request_body", RequestBodyLength "body_length",
    ArgsCombinedSize "args_combined_size", FilesCombinedSize "files_combined_size",
    BodyProcessor "body_processor", BodyError "body_error",
    /// Two parsers could read the body differently.
    MultipartStrictError "multipart_strict_error", RemoteAddr "client",
    ResponseStatus "response_status", ResponseProtocol "response_protocol",
    ResponseHeader "response_header", ResponseHeaderName "response_headers_names",
    ResponseBody "response_body",
    /// What rules remember; also the collections that other engines keep between requests.
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
    Method, MultipartArg, MultipartStrictError, PartHeader, Path, PlainBody, Protocol, QueryArg,
    QueryArgName, QueryString, RawBody, RemoteAddr, RequestBasename, RequestBody,
    RequestBodyLength, RequestFilename, RequestHeader, RequestHeaderName, RequestLine, RequestUri,
    RequestUriRaw, ResponseBody, ResponseHeader, ResponseHeaderName, ResponseProtocol,
    ResponseStatus, Tx, UniqueId, XmlAttribute, XmlText,
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
    RawBody,
    RequestBody,
    RequestBodyLength,
    ArgsCombinedSize,
    FilesCombinedSize,
    BodyError,
    MultipartStrictError,
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
    ("body", Variables::of(&[RawBody])),
    ("request_body", Variables::of(&[RequestBody])),
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

/// SecLang's names.
#[rustfmt::skip]
pub(crate) const SECLANG: &[(&str, Variables)] = &[
    ("ARGS", Variables::of(&[QueryArg]).union(POST)),
    ("ARGS_GET", Variables::of(&[QueryArg])),
    ("ARGS_POST", POST),
    ("ARGS_NAMES", Variables::of(&[QueryArgName, BodyArgName])),
    ("ARGS_GET_NAMES", Variables::of(&[QueryArgName])),
    ("ARGS_POST_NAMES", Variables::of(&[BodyArgName])),
    ("ARGS_COMBINED_SIZE", Variables::of(&[ArgsCombinedSize])),
    ("XML", XML),
    ("REQUEST_HEADERS", Variables::of(&[RequestHeader])),
    ("REQUEST_HEADERS_NAMES", Variables::of(&[RequestHeaderName])),
    ("REQUEST_COOKIES", Variables::of(&[Cookie])),
    ("REQUEST_COOKIES_NAMES", Variables::of(&[CookieName])),
    ("FILES", Variables::of(&[File])),
    ("FILES_NAMES", Variables::of(&[FileField])),
    ("FILES_COMBINED_SIZE", Variables::of(&[FilesCombinedSize])),
    ("MULTIPART_PART_HEADERS", Variables::of(&[PartHeader])),
    ("REQUEST_URI", Variables::of(&[RequestUri])),
    ("REQUEST_URI_RAW", Variables::of(&[RequestUriRaw])),
    ("REQUEST_FILENAME", Variables::of(&[RequestFilename])),
    ("REQUEST_BASENAME", Variables::of(&[RequestBasename])),
    ("REQUEST_LINE", Variables::of(&[RequestLine])),
    ("REQUEST_METHOD", Variables::of(&[Method])),
    ("REQUEST_PROTOCOL", Variables::of(&[Protocol])),
    ("QUERY_STRING", Variables::of(&[QueryString])),
    ("REQUEST_BODY", Variables::of(&[RequestBody])),
    ("REQUEST_BODY_LENGTH", Variables::of(&[RequestBodyLength])),
    ("REQBODY_PROCESSOR", Variables::of(&[BodyProcessor])),
    ("REQBODY_ERROR", Variables::of(&[BodyError])),
    ("MULTIPART_STRICT_ERROR", Variables::of(&[MultipartStrictError])),
    ("REMOTE_ADDR", Variables::of(&[RemoteAddr])),
    ("RESPONSE_STATUS", Variables::of(&[ResponseStatus])),
    ("RESPONSE_PROTOCOL", Variables::of(&[ResponseProtocol])),
    ("RESPONSE_HEADERS", Variables::of(&[ResponseHeader])),
    ("RESPONSE_HEADERS_NAMES", Variables::of(&[ResponseHeaderName])),
    ("RESPONSE_BODY", Variables::of(&[ResponseBody])),
    ("TX", Variables::of(&[Tx])),
    ("MATCHED_VAR", Variables::of(&[MatchedVar])),
    ("MATCHED_VARS", Variables::of(&[MatchedVars])),
    ("MATCHED_VAR_NAME", Variables::of(&[MatchedVarName])),
    ("MATCHED_VARS_NAMES", Variables::of(&[MatchedVarNames])),
    ("UNIQUE_ID", Variables::of(&[UniqueId])),
];

/// Which members of a collection.
#[derive(Clone, Debug)]
pub(crate) enum Selector {
    All,
    /// A name, lower-case: names compare without case, as in ModSecurity.
    Name(Box<[u8]>),
    Pattern(Box<NamePattern>),
}

/// Variables and which of their members; `count` stands for their number (`&ARGS`).
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub(crate) variables: Variables,
    pub(crate) selector: Selector,
    pub(crate) count: bool,
    /// SecLang's name for the variables: the beginning of MATCHED_VAR_NAME.
    pub(crate) label: &'static str,
    /// Of a transaction variable asked for by name.
    pub(crate) slot: Option<u16>,
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

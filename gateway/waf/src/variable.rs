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
    BodyErrorText "body_error_msg",
    /// Two parsers could read the body differently.
    MultipartStrictError "multipart_strict_error",
    /// What was odd about the body, one member per kind of oddity.
    MultipartFlaw "multipart_flaw", BadEscape "urlencoded_error",
    FileSize "files_sizes", FileContent "files_content",
    FullRequest "full_request", FullRequestLength "full_request_length",
    InboundError "inbound_data_error", OutboundError "outbound_data_error",
    RemoteAddr "client", RemotePort "client_port", RemoteUser "user", AuthType "auth_type",
    ServerAddr "server", ServerName "server_name", ServerPort "server_port", PathInfo "path_info",
    /// The time of day, one member per unit.
    Time "time", UniqueId "unique_id", Constant "constant",
    ResponseStatus "response_status", ResponseProtocol "response_protocol",
    StatusLine "status_line", ResponseHeader "response_header",
    ResponseHeaderName "response_headers_names", ResponseContentType "response_content_type",
    ResponseContentLength "response_content_length", ResponseBody "response_body",
    /// What rules remember during one request.
    Tx "tx",
    /// Collections kept between requests.
    Ip "ip", Global "global", Session "session", User "user_collection", Resource "resource",
    /// What geoLookup and setenv leave.
    Geo "geo", Env "env",
    MatchedVar "matched_var", MatchedVars "matched_vars",
    MatchedVarName "matched_var_name", MatchedVarNames "matched_vars_names",
    HighestSeverity "highest_severity", Duration "duration", RuleOwn "rule",
    SessionId "session_id", UserId "user_id",
}

/// A set of variables.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Variables(u128);

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
        let mut rest = self.0;
        std::iter::from_fn(move || {
            let next = Variable::ALL.get(rest.trailing_zeros() as usize)?;
            rest &= rest - 1;
            Some(*next)
        })
    }
}

use Variable::{
    ArgsCombinedSize, AuthType, BadEscape, BodyArgName, BodyError, BodyErrorText, BodyProcessor,
    Constant, Cookie, CookieName, Duration, Env, File, FileContent, FileField, FileSize,
    FilesCombinedSize, FormArg, FullRequest, FullRequestLength, Geo, Global, HighestSeverity,
    InboundError, Ip, JsonArg, MatchedVar, MatchedVarName, MatchedVarNames, MatchedVars, Method,
    MultipartArg, MultipartFlaw, MultipartStrictError, OutboundError, PartHeader, Path, PathInfo,
    PlainBody, Protocol, QueryArg, QueryArgName, QueryString, RawBody, RemoteAddr, RemotePort,
    RemoteUser, RequestBasename, RequestBody, RequestBodyLength, RequestFilename, RequestHeader,
    RequestHeaderName, RequestLine, RequestUri, RequestUriRaw, Resource, ResponseBody,
    ResponseContentLength, ResponseContentType, ResponseHeader, ResponseHeaderName,
    ResponseProtocol, ResponseStatus, RuleOwn, ServerAddr, ServerName, ServerPort, Session,
    SessionId, StatusLine, Time, Tx, UniqueId, User, UserId, XmlAttribute, XmlText,
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
    BodyErrorText,
    MultipartStrictError,
    MultipartFlaw,
    BadEscape,
    FileSize,
    FileContent,
    FullRequest,
    FullRequestLength,
    InboundError,
]);

/// Known once the answer's status and headers have arrived.
pub(crate) const FROM_RESPONSE: Variables = Variables::of(&[
    ResponseStatus,
    ResponseProtocol,
    StatusLine,
    ResponseHeader,
    ResponseHeaderName,
    ResponseContentType,
    ResponseContentLength,
]);

/// What depends on when it is asked.
pub(crate) const TIMED: Variables = Variables::of(&[Time, Duration]);

/// Members behind slots: what rules write by name.
pub(crate) const WRITTEN: Variables =
    Variables::of(&[Tx, Ip, Global, Session, User, Resource, Geo, Env]);

/// Written by rules, or changing, while they run: never scanned ahead.
pub(crate) const DYNAMIC: Variables = WRITTEN.union(Variables::of(&[
    MatchedVar,
    MatchedVars,
    MatchedVarName,
    MatchedVarNames,
    HighestSeverity,
    Duration,
    RuleOwn,
    SessionId,
    UserId,
]));

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
    ("REQBODY_ERROR_MSG", Variables::of(&[BodyErrorText])),
    ("REQBODY_PROCESSOR_ERROR", Variables::of(&[BodyError])),
    ("REQBODY_PROCESSOR_ERROR_MSG", Variables::of(&[BodyErrorText])),
    ("MULTIPART_STRICT_ERROR", Variables::of(&[MultipartStrictError])),
    ("MULTIPART_NAME", Variables::of(&[FileField])),
    ("MULTIPART_FILENAME", Variables::of(&[File])),
    ("URLENCODED_ERROR", Variables::of(&[BadEscape])),
    ("FILES_SIZES", Variables::of(&[FileSize])),
    ("FILES_TMP_CONTENT", Variables::of(&[FileContent])),
    ("FULL_REQUEST", Variables::of(&[FullRequest])),
    ("FULL_REQUEST_LENGTH", Variables::of(&[FullRequestLength])),
    ("INBOUND_DATA_ERROR", Variables::of(&[InboundError])),
    ("OUTBOUND_DATA_ERROR", Variables::of(&[OutboundError])),
    ("REMOTE_ADDR", Variables::of(&[RemoteAddr])),
    // The gateway asks no name server: a host is its address. USERAGENT_IP is the address behind trusted proxies.
    ("REMOTE_HOST", Variables::of(&[RemoteAddr])),
    ("USERAGENT_IP", Variables::of(&[RemoteAddr])),
    ("REMOTE_PORT", Variables::of(&[RemotePort])),
    ("REMOTE_USER", Variables::of(&[RemoteUser])),
    ("AUTH_TYPE", Variables::of(&[AuthType])),
    ("SERVER_ADDR", Variables::of(&[ServerAddr])),
    ("SERVER_NAME", Variables::of(&[ServerName])),
    ("SERVER_PORT", Variables::of(&[ServerPort])),
    ("PATH_INFO", Variables::of(&[PathInfo])),
    ("STATUS_LINE", Variables::of(&[StatusLine])),
    ("RESPONSE_CONTENT_TYPE", Variables::of(&[ResponseContentType])),
    ("RESPONSE_CONTENT_LENGTH", Variables::of(&[ResponseContentLength])),
    ("RESPONSE_STATUS", Variables::of(&[ResponseStatus])),
    ("STATUS", Variables::of(&[ResponseStatus])),
    ("RESPONSE_PROTOCOL", Variables::of(&[ResponseProtocol])),
    ("RESPONSE_HEADERS", Variables::of(&[ResponseHeader])),
    ("RESPONSE_HEADERS_NAMES", Variables::of(&[ResponseHeaderName])),
    ("RESPONSE_BODY", Variables::of(&[ResponseBody])),
    ("TX", Variables::of(&[Tx])),
    ("IP", Variables::of(&[Ip])),
    ("GLOBAL", Variables::of(&[Global])),
    ("SESSION", Variables::of(&[Session])),
    ("USER", Variables::of(&[User])),
    ("RESOURCE", Variables::of(&[Resource])),
    ("GEO", Variables::of(&[Geo])),
    ("ENV", Variables::of(&[Env])),
    ("HIGHEST_SEVERITY", Variables::of(&[HighestSeverity])),
    ("DURATION", Variables::of(&[Duration])),
    ("RULE", Variables::of(&[RuleOwn])),
    ("SESSIONID", Variables::of(&[SessionId])),
    ("USERID", Variables::of(&[UserId])),
    ("MATCHED_VAR", Variables::of(&[MatchedVar])),
    ("MATCHED_VARS", Variables::of(&[MatchedVars])),
    ("MATCHED_VAR_NAME", Variables::of(&[MatchedVarName])),
    ("MATCHED_VARS_NAMES", Variables::of(&[MatchedVarNames])),
    ("UNIQUE_ID", Variables::of(&[UniqueId])),
];

/// SecLang's names for one member of a set.
#[rustfmt::skip]
pub(crate) const SECLANG_MEMBERS: &[(&str, Variable, &str)] = &[
    ("MULTIPART_BOUNDARY_QUOTED", MultipartFlaw, "boundary_quoted"),
    ("MULTIPART_BOUNDARY_WHITESPACE", MultipartFlaw, "boundary_whitespace"),
    ("MULTIPART_DATA_BEFORE", MultipartFlaw, "data_before"),
    ("MULTIPART_DATA_AFTER", MultipartFlaw, "data_after"),
    ("MULTIPART_HEADER_FOLDING", MultipartFlaw, "header_folding"),
    ("MULTIPART_INVALID_HEADER_FOLDING", MultipartFlaw, "invalid_header_folding"),
    ("MULTIPART_LF_LINE", MultipartFlaw, "lf_line"),
    ("MULTIPART_CRLF_LF_LINES", MultipartFlaw, "lf_line"),
    ("MULTIPART_INVALID_QUOTING", MultipartFlaw, "invalid_quoting"),
    ("MULTIPART_UNMATCHED_BOUNDARY", MultipartFlaw, "unmatched_boundary"),
    ("MULTIPART_MISSING_SEMICOLON", MultipartFlaw, "missing_semicolon"),
    ("MULTIPART_SEMICOLON_MISSING", MultipartFlaw, "missing_semicolon"),
    ("MULTIPART_INVALID_PART", MultipartFlaw, "invalid_part"),
    ("MULTIPART_FILE_LIMIT_EXCEEDED", MultipartFlaw, "file_limit"),
    ("TIME", Time, "clock"),
    ("TIME_EPOCH", Time, "epoch"),
    ("TIME_YEAR", Time, "year"),
    ("TIME_MON", Time, "mon"),
    ("TIME_DAY", Time, "day"),
    ("TIME_WDAY", Time, "wday"),
    ("TIME_HOUR", Time, "hour"),
    ("TIME_MIN", Time, "min"),
    ("TIME_SEC", Time, "sec"),
    ("MODSEC_BUILD", Constant, "build"),
    ("WEBAPPID", Constant, "webappid"),
    // A pattern that exceeds its steps ends the request's judging: no rule lives to see it.
    ("MSC_PCRE_ERROR", Constant, "zero"),
    ("MSC_PCRE_LIMITS_EXCEEDED", Constant, "zero"),
];

/// What cannot be had here, and why.
#[rustfmt::skip]
pub(crate) const SECLANG_REFUSED: &[(&str, &str)] = &[
    ("FILES_TMPNAMES", "uploads are not stored: read FILES_TMP_CONTENT"),
    ("SCRIPT_BASENAME", NO_SCRIPT), ("SCRIPT_FILENAME", NO_SCRIPT), ("SCRIPT_GID", NO_SCRIPT),
    ("SCRIPT_GROUPNAME", NO_SCRIPT), ("SCRIPT_MODE", NO_SCRIPT), ("SCRIPT_UID", NO_SCRIPT),
    ("SCRIPT_USERNAME", NO_SCRIPT),
    ("STREAM_INPUT_BODY", "bodies are not changed: read REQUEST_BODY"),
    ("STREAM_OUTPUT_BODY", "bodies are not changed: read RESPONSE_BODY"),
    ("WEBSERVER_ERROR_LOG", "the application's log is not the gateway's"),
    ("SDBM_DELETE_ERROR", "collections are kept in memory, in no SDBM file"),
    ("PERF_ALL", NO_PERF), ("PERF_COMBINED", NO_PERF), ("PERF_GC", NO_PERF), ("PERF_LOGGING", NO_PERF),
    ("PERF_PHASE1", NO_PERF), ("PERF_PHASE2", NO_PERF), ("PERF_PHASE3", NO_PERF), ("PERF_PHASE4", NO_PERF),
    ("PERF_PHASE5", NO_PERF), ("PERF_RULES", NO_PERF), ("PERF_SREAD", NO_PERF), ("PERF_SWRITE", NO_PERF),
];
const NO_SCRIPT: &str = "a gateway sees no script files";
const NO_PERF: &str = "timings are in the metrics";

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
    /// Of written variables asked for by a pattern: those with slots that it takes, once all rules are read.
    pub(crate) slots: Box<[u16]>,
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
        assert!(Variable::ALL.len() <= 128);
        for (at, variable) in Variable::ALL.iter().enumerate() {
            assert_eq!(*variable as usize, at);
            assert!(Variables::of(&[*variable]).has(*variable));
        }
    }
}

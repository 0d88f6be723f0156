//! Why a body is refused, and what makes one suspicious.

use std::fmt;

/// The body cannot be read safely.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fault {
    /// The Content-Type does not follow RFC 9110, section 8.3.
    ContentType,
    /// A parameter of the Content-Type or of a part's header is given twice.
    DuplicateParameter,
    /// A charset that is not read.
    Charset,
    /// No boundary, or one that RFC 2046, section 5.1.1 does not allow.
    Boundary,
    /// Not well-formed; `at` counts bytes from the start of the body.
    Syntax {
        /// Offset of the first byte that does not fit.
        at: usize,
        /// What was expected or found.
        what: &'static str,
    },
    /// A document type declaration, or an entity beyond the five of XML.
    Doctype,
    /// A part without a usable Content-Disposition.
    Disposition,
    /// More nested than the limit.
    TooDeep,
    /// More pairs or parts than the limit.
    TooMany,
    /// A name longer than the limit.
    NameTooLong,
    /// More names and values in total than the limit.
    TooLarge,
    /// The body ends too early.
    Truncated,
}

impl Fault {
    /// A stable name for events.
    pub const fn code(self) -> &'static str {
        match self {
            Self::ContentType => "content_type",
            Self::DuplicateParameter => "duplicate_parameter",
            Self::Charset => "charset",
            Self::Boundary => "boundary",
            Self::Syntax { .. } => "syntax",
            Self::Doctype => "doctype",
            Self::Disposition => "disposition",
            Self::TooDeep => "too_deep",
            Self::TooMany => "too_many",
            Self::NameTooLong => "name_too_long",
            Self::TooLarge => "too_large",
            Self::Truncated => "truncated",
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Syntax { at, what } => write!(f, "{what} at byte {at}"),
            _ => f.write_str(self.code()),
        }
    }
}

impl std::error::Error for Fault {}

/// A well-formed oddity. The multipart ones are what ModSecurity sums up in MULTIPART_STRICT_ERROR.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Flaw {
    /// `%` without two hexadecimal digits.
    BadEscape,
    /// The same key twice in one JSON object: parsers keep the first or the last.
    DuplicateKey,
    /// The boundary stands in quotes. Some honest clients do that.
    BoundaryQuoted,
    /// White space around the boundary.
    BoundaryWhitespace,
    /// Data before the first boundary.
    DataBefore,
    /// Data after the last boundary.
    DataAfter,
    /// A part header continued on the next line.
    HeaderFolding,
    /// A line that ends in LF alone.
    LfLine,
    /// Single quotes, or a quote inside an unquoted value.
    InvalidQuoting,
    /// A line that begins with the boundary and goes on.
    UnmatchedBoundary,
    /// Content-Transfer-Encoding in a part: base64 and quoted-printable hide its content.
    TransferEncoding,
    /// A part in a charset that is not read.
    PartCharset,
}

impl Flaw {
    /// Every one.
    pub const ALL: [Self; 12] = [
        Self::BadEscape,
        Self::DuplicateKey,
        Self::BoundaryQuoted,
        Self::BoundaryWhitespace,
        Self::DataBefore,
        Self::DataAfter,
        Self::HeaderFolding,
        Self::LfLine,
        Self::InvalidQuoting,
        Self::UnmatchedBoundary,
        Self::TransferEncoding,
        Self::PartCharset,
    ];

    /// True where parsers are known to disagree so far that content hides. The others occur in honest traffic.
    pub const fn dangerous(self) -> bool {
        !matches!(self, Self::BadEscape | Self::BoundaryQuoted)
    }

    /// A stable name for events.
    pub const fn code(self) -> &'static str {
        match self {
            Self::BadEscape => "bad_escape",
            Self::DuplicateKey => "duplicate_key",
            Self::BoundaryQuoted => "boundary_quoted",
            Self::BoundaryWhitespace => "boundary_whitespace",
            Self::DataBefore => "data_before",
            Self::DataAfter => "data_after",
            Self::HeaderFolding => "header_folding",
            Self::LfLine => "lf_line",
            Self::InvalidQuoting => "invalid_quoting",
            Self::UnmatchedBoundary => "unmatched_boundary",
            Self::TransferEncoding => "transfer_encoding",
            Self::PartCharset => "part_charset",
        }
    }
}

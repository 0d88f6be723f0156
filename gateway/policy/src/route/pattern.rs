//! What a route matches, parsed; and whether one route leaves anything for another.

use std::fmt;

use http::{HeaderName, Method};

use crate::host;
use crate::path::{
    Case, DoubleEncoding, EncodedSlash, Rules, TrailingSlash, canonical_with, compared,
};
use crate::request::Request;

/// Most segments of a path pattern: bounds the walk through the tree.
const MOST_SEGMENTS: usize = 32;

/// What a pattern may hold whatever the policy lets requests hold.
const KEPT: Rules = Rules {
    encoded_slash: EncodedSlash::Keep,
    double_encoding: DoubleEncoding::Keep,
    case: Case::Keep,
    trailing_slash: TrailingSlash::Keep,
};

/// Which requests a route is for. Every list has at least one entry, except `methods` and `headers`: empty is any.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Matcher {
    pub(crate) hosts: Vec<HostPattern>,
    pub(crate) methods: Vec<Method>,
    pub(crate) paths: Vec<PathPattern>,
    pub(crate) headers: Vec<(HeaderName, HeaderPattern)>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum HostPattern {
    Any,
    Exact(Box<str>),
    /// With its leading dot.
    Below(Box<str>),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PathPattern {
    pub(crate) segments: Vec<Segment>,
    /// Whether everything below is meant as well: `/api/*` is `/api` and what follows it, so that a rule for an area
    /// cannot be left by dropping the slash.
    pub(crate) below: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Segment {
    Literal(Box<str>),
    Parameter,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum HeaderPattern {
    Present,
    Exact(Box<str>),
    Prefix(Box<str>),
}

impl Matcher {
    /// HEAD goes where GET goes: applications answer both by the same code, and what guards the one guards the other.
    pub(crate) fn takes(&self, method: &Method) -> bool {
        self.methods.is_empty()
            || self.methods.contains(method)
            || (*method == Method::HEAD && self.methods.contains(&Method::GET))
    }

    /// Method and header fields; host and path were found by the tree.
    pub(crate) fn fits(&self, request: &Request<'_>) -> bool {
        self.takes(request.method)
            && self.headers.iter().all(|(name, pattern)| {
                request
                    .headers
                    .get_all(name)
                    .iter()
                    .any(|value| pattern.matches(value.as_bytes()))
            })
    }

    /// Whether every request that fits this route fits one of the earlier ones too, for each of its hosts, paths and
    /// methods.
    pub(crate) fn covered_by(&self, earlier: &[&Self]) -> bool {
        let any_method = [None];
        let own: Vec<_> = self.methods.iter().map(Some).collect();
        let methods = if own.is_empty() {
            &any_method[..]
        } else {
            &own
        };
        self.hosts.iter().all(|host| {
            self.paths.iter().all(|path| {
                methods.iter().all(|method| {
                    earlier
                        .iter()
                        .any(|other| other.covers_one(self, host, path, *method))
                })
            })
        })
    }

    fn covers_one(
        &self,
        other: &Self,
        host: &HostPattern,
        path: &PathPattern,
        method: Option<&Method>,
    ) -> bool {
        let method_fits =
            self.methods.is_empty() || method.is_some_and(|method| self.takes(method));
        method_fits
            && self.hosts.iter().any(|own| own.covers(host))
            && self.paths.iter().any(|own| own.covers(path))
            && self.headers.iter().all(|(name, pattern)| {
                other
                    .headers
                    .iter()
                    .any(|(known, theirs)| known == name && pattern.covers(theirs))
            })
    }
}

impl Matcher {
    /// `POST shop.example.com/api/*`, one line for each combination that is not a method.
    pub(crate) fn describe(&self) -> Vec<String> {
        let methods: Vec<_> = self.methods.iter().map(Method::as_str).collect();
        let methods = if methods.is_empty() {
            String::new()
        } else {
            format!("{} ", methods.join("|"))
        };
        let headers: String = self
            .headers
            .iter()
            .map(|(name, pattern)| format!(" {name}: {pattern}"))
            .collect();
        let places = self
            .hosts
            .iter()
            .flat_map(|host| self.paths.iter().map(move |path| (host, path)));
        places
            .map(|(host, path)| format!("{methods}{host}{path}{headers}"))
            .collect()
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => Ok(()),
            Self::Exact(name) => f.write_str(name),
            Self::Below(suffix) => write!(f, "*{suffix}"),
        }
    }
}

impl fmt::Display for PathPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for segment in &self.segments {
            match segment {
                Segment::Literal(text) => write!(f, "/{text}")?,
                Segment::Parameter => f.write_str("/{…}")?,
            }
        }
        f.write_str(if self.below { "/*" } else { "" })
    }
}

impl fmt::Display for HeaderPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Present => f.write_str("*"),
            Self::Exact(text) => f.write_str(text),
            Self::Prefix(prefix) => write!(f, "{prefix}*"),
        }
    }
}

impl HostPattern {
    /// Reads `shop.example.com` or `*.example.com`.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        if text == "*" {
            return Ok(Self::Any);
        }
        let name = text.strip_prefix("*.").unwrap_or(text);
        if name.contains('*') {
            return Err(format!(
                "`{text}`: a `*` may only stand for what is in front: *.example.com"
            ));
        }
        let mut scratch = String::new();
        let host = host::canonical(name, &mut scratch).map_err(|why| {
            format!("`{text}` is not a host name ({why}): international names are written xn--…")
        })?;
        if host.port.is_some() {
            return Err(format!(
                "`{text}`: hosts are compared without a port: write {}",
                host.name
            ));
        }
        Ok(if name.len() < text.len() {
            Self::Below(format!(".{}", host.name).into())
        } else {
            Self::Exact(host.name.into())
        })
    }

    fn covers(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Any, _) => true,
            (_, Self::Any) | (Self::Exact(_), Self::Below(_)) => false,
            (Self::Exact(own), Self::Exact(other)) => own == other,
            (Self::Below(own), Self::Exact(other) | Self::Below(other)) => other.ends_with(&**own),
        }
    }
}

impl PathPattern {
    /// Everything.
    pub(crate) fn all() -> Self {
        Self {
            segments: Vec::new(),
            below: true,
        }
    }

    /// Reads `/healthz`, `/api/*`, `/users/{id}`.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let Some(rest) = text.strip_prefix('/') else {
            return Err(format!("`{text}` is not a path: it begins with /"));
        };
        if rest.contains(['?', '#']) {
            return Err(format!(
                "`{text}`: routes compare the path alone, without query or fragment"
            ));
        }
        let (rest, below) = match rest.strip_suffix('*') {
            Some("") => return Ok(Self::all()),
            Some(rest) if rest.ends_with('/') => (rest.trim_end_matches('/'), true),
            Some(_) => return Err(format!("`{text}`: a `*` stands for whole segments: /api/*")),
            None => (rest, false),
        };
        let segments = rest
            .split('/')
            .map(|part| segment(text, part))
            .collect::<Result<Vec<_>, _>>()?;
        if segments.len() > MOST_SEGMENTS {
            return Err(format!("`{text}` has more than {MOST_SEGMENTS} segments"));
        }
        let pattern = Self { segments, below };
        pattern.canonical(text)?;
        Ok(pattern)
    }

    /// Requests are compared in canonical form; a pattern in another form would never match.
    fn canonical(&self, text: &str) -> Result<(), String> {
        let literal: String = self
            .segments
            .iter()
            .map(|segment| match segment {
                Segment::Literal(text) => format!("/{text}"),
                Segment::Parameter => "/x".to_owned(),
            })
            .collect();
        let mut scratch = String::new();
        match canonical_with(&literal, KEPT, &mut scratch) {
            Ok(canonical) if canonical == literal => Ok(()),
            Ok(canonical) => Err(format!(
                "`{text}` never matches: requests are compared as `{canonical}`"
            )),
            Err(_) => Err(format!("`{text}` is not a path that a request can have")),
        }
    }

    /// For paths in the form that these rules compare.
    pub(crate) fn compared(mut self, rules: Rules) -> Self {
        let mut scratch = String::new();
        for segment in &mut self.segments {
            if let Segment::Literal(text) = segment {
                *text = compared(text, rules, &mut scratch).into();
            }
        }
        let ends_bare = self.segments.len() > 1
            && matches!(self.segments.last(), Some(Segment::Literal(text)) if text.is_empty());
        if rules.trailing_slash == TrailingSlash::Ignore && ends_bare {
            self.segments.pop();
        }
        self
    }

    pub(crate) fn covers(&self, other: &Self) -> bool {
        let fits = self
            .segments
            .iter()
            .zip(&other.segments)
            .all(|pair| match pair {
                (Segment::Literal(own), Segment::Literal(other)) => own == other,
                (Segment::Parameter, Segment::Literal(other)) => !other.is_empty(),
                (Segment::Parameter, Segment::Parameter) => true,
                (Segment::Literal(_), Segment::Parameter) => false,
            });
        let lengths = if self.below {
            self.segments.len() <= other.segments.len()
        } else {
            !other.below && self.segments.len() == other.segments.len()
        };
        fits && lengths
    }
}

fn segment(whole: &str, part: &str) -> Result<Segment, String> {
    if let Some(name) = part
        .strip_prefix('{')
        .and_then(|part| part.strip_suffix('}'))
    {
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
        if name.is_empty() || !name.chars().all(plain) {
            return Err(format!(
                "`{whole}`: `{part}` is not a name in braces, such as {{id}}"
            ));
        }
        return Ok(Segment::Parameter);
    }
    if part.contains(['{', '}', '*']) {
        return Err(format!(
            "`{whole}`: `{part}` mixes text with a pattern; a segment is one or the other"
        ));
    }
    Ok(Segment::Literal(part.into()))
}

impl HeaderPattern {
    /// Reads a value, `prefix*` or `*`.
    pub(crate) fn parse(text: &str) -> Self {
        match text.strip_suffix('*') {
            Some("") => Self::Present,
            Some(prefix) => Self::Prefix(prefix.into()),
            None => Self::Exact(text.into()),
        }
    }

    fn matches(&self, value: &[u8]) -> bool {
        match self {
            Self::Present => true,
            Self::Exact(text) => value == text.as_bytes(),
            Self::Prefix(prefix) => value.starts_with(prefix.as_bytes()),
        }
    }

    fn covers(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Present, _) => true,
            (_, Self::Present) | (Self::Exact(_), Self::Prefix(_)) => false,
            (Self::Exact(own), Self::Exact(other)) => own == other,
            (Self::Prefix(own), Self::Exact(other) | Self::Prefix(other)) => {
                other.starts_with(&**own)
            }
        }
    }
}

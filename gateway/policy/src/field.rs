//! One value of a request, as a policy names it: `form.email`, `json.user.name`, `query.user`, `header.X-User`,
//! `cookie.user`, `basic` (the user of Basic authentication). Read for what a check wants to know of a log-in, never to
//! decide what is an attack: that is the WAF's.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::{AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue};
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer};

use crate::checks::jwt::strict;
use crate::cookie;
use crate::request::Request;

mod parts;
mod spelling;

pub use parts::form_of_attempt;
pub use spelling::folded;

use parts::Parts;

/// Longest value that is taken, in bytes: names of users, not texts.
const LONGEST: usize = 256;

/// Where a value is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Field {
    /// A field of an urlencoded form.
    Form(String),
    /// A member of a JSON object, by the names on the way.
    Json(Vec<String>),
    /// A parameter of the query.
    Query(String),
    /// A header field.
    Header(HeaderName),
    /// A cookie.
    Cookie(String),
    /// The user of Basic authentication.
    Basic,
}

impl Field {
    /// Reads what a policy says.
    ///
    /// # Errors
    /// A sentence.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!(
                "`{text}` names no value: write form.NAME, json.NAME.NAME, query.NAME, header.NAME, cookie.NAME or basic"
            )
        };
        if text == "basic" {
            return Ok(Self::Basic);
        }
        let (kind, name) = text.split_once('.').ok_or_else(wrong)?;
        if name.is_empty() {
            return Err(wrong());
        }
        match kind {
            "form" => Ok(Self::Form(name.to_owned())),
            "json" => Ok(Self::Json(name.split('.').map(str::to_owned).collect())),
            "query" => Ok(Self::Query(name.to_owned())),
            "header" => HeaderName::from_bytes(name.as_bytes())
                .map(Self::Header)
                .map_err(|_| format!("`{name}` is not a header name")),
            "cookie" => Ok(Self::Cookie(name.to_owned())),
            _ => Err(wrong()),
        }
    }

    /// Whether the body is needed for it.
    #[must_use]
    pub fn in_body(&self) -> bool {
        matches!(self, Self::Form(_) | Self::Json(_))
    }

    /// The value, trimmed; `None` when it is not there, not text, empty, longer than 256 bytes, or there twice.
    #[must_use]
    pub fn read(&self, request: &Request<'_>, body: &[u8]) -> Option<String> {
        let found = match self {
            Self::Form(name) => form(request.headers).then(|| pair(body, name))?,
            Self::Json(way) => json(request.headers, body, way),
            Self::Query(name) => pair(request.query?.as_bytes(), name),
            Self::Header(name) => {
                let mut values = request.headers.get_all(name).iter();
                let only = values.next().filter(|_| values.next().is_none())?;
                only.to_str().ok().map(str::to_owned)
            }
            Self::Cookie(name) => cookie::value(request.headers, name)
                .ok()?
                .map(str::to_owned),
            Self::Basic => basic(request.headers),
        }?;
        let found = found.trim();
        (!found.is_empty() && found.len() <= LONGEST).then(|| found.to_owned())
    }

    /// The only value of a field of a multipart form, trimmed.
    #[must_use]
    pub fn part(&self, request: &Request<'_>, body: &[u8]) -> Option<String> {
        let parts = self.parts(request, body)?;
        let found = parts.found.filter(|_| parts.count == 1)?;
        let found = found.trim();
        (!found.is_empty() && found.len() <= LONGEST).then(|| found.to_owned())
    }

    /// The value to the letter, for what opens a door: `None` as well when the application could read another one, because
    /// a name is there twice, in another case, in query and body, or because readers trim, decode or split differently.
    #[must_use]
    pub fn exact(&self, request: &Request<'_>, body: &[u8]) -> Option<String> {
        self.one(request, body).filter(|found| sound(found))
    }

    /// Whom an attempt is about, however it is spelled: for what closes a door.
    #[must_use]
    pub fn named(&self, request: &Request<'_>, body: &[u8]) -> Named {
        let query = request.query.unwrap_or_default().as_bytes();
        let found = match self {
            Self::Form(name) => {
                let posted = if form(request.headers) {
                    let alone = plain_text(request.headers) && !some(body, "_charset_");
                    sole(body, name).filter(|_| alone)
                } else {
                    self.only_part(request, body)
                };
                // A log-in page that was asked for a name posts to its own address, name and all.
                let beside = !some(query, name)
                    || sole(query, name)
                        .is_some_and(|other| posted.as_deref().map(folded) == Some(folded(&other)));
                posted.filter(|_| beside)
            }
            _ => self.one(request, body),
        };
        let found = found.map(|found| found.trim().to_owned());
        match found.filter(|found| sound(found)) {
            Some(found) => Named::One(found),
            None if self.is_mentioned(request, body) => Named::Unclear,
            None => Named::Nobody,
        }
    }

    /// The value of a field of a multipart form that no reader finds another one of.
    fn only_part(&self, request: &Request<'_>, body: &[u8]) -> Option<String> {
        let parts = self.parts(request, body)?;
        let plain = !parts.flawed && !parts.charset && plain_text(request.headers);
        parts.found.filter(|_| parts.alike == 1 && plain)
    }

    fn parts<'n>(&'n self, request: &Request<'_>, body: &[u8]) -> Option<Parts<'n>> {
        let Self::Form(name) = self else { return None };
        let kind = request.headers.get(CONTENT_TYPE)?.as_bytes();
        let multipart = waf::body::Kind::of(kind) == Ok(Some(waf::body::Kind::Multipart));
        multipart.then_some(())?;
        let mut parts = Parts {
            name,
            found: None,
            count: 0,
            alike: 0,
            flawed: false,
            charset: false,
            reads: false,
        };
        let limits = waf::body::Limits {
            // Names stand there twice: with their part, and with each line of its head.
            total: body.len().saturating_mul(2),
            ..waf::body::Limits::default()
        };
        waf::body::parse(waf::body::Kind::Multipart, kind, body, &limits, &mut parts).ok()?;
        Some(parts)
    }

    /// Whether some reader may find this value.
    fn is_mentioned(&self, request: &Request<'_>, body: &[u8]) -> bool {
        let query = request.query.unwrap_or_default().as_bytes();
        match self {
            Self::Form(name) => {
                // Of parts that cannot be read, whatever they say.
                let parts = || {
                    self.parts(request, body)
                        .is_none_or(|parts| parts.alike > 0 || parts.flawed)
                };
                form(request.headers) && some(body, name)
                    || some(query, name)
                    || is(request.headers, |essence| essence.starts_with("multipart/")) && parts()
            }
            Self::Query(name) => some(query, name),
            Self::Json(way) => {
                let name = way.last().map_or("", String::as_str);
                let spelled = |name: &str| memchr::memmem::find(body, name.as_bytes()).is_some();
                is_json(request.headers)
                    && (spelled(name) || spelled("\\u") || strict::object(body).is_none())
            }
            Self::Header(name) => request.headers.contains_key(name),
            Self::Cookie(name) => !matches!(cookie::value(request.headers, name), Ok(None)),
            Self::Basic => request.headers.contains_key(AUTHORIZATION),
        }
    }

    /// The value that every reader finds.
    fn one(&self, request: &Request<'_>, body: &[u8]) -> Option<String> {
        let unique = |name: &HeaderName| request.headers.get_all(name).iter().count() <= 1;
        let query = request.query.unwrap_or_default().as_bytes();
        if self.in_body() && !plain_text(request.headers) {
            return None;
        }
        match self {
            Self::Form(name) => {
                let alone = unique(&CONTENT_TYPE)
                    && form(request.headers)
                    && !some(query, name)
                    && !some(body, "_charset_");
                if alone { sole(body, name) } else { None }
            }
            Self::Query(name) => sole(query, name),
            Self::Json(way) => {
                if !unique(&CONTENT_TYPE) || way.last().is_some_and(|name| some(query, name)) {
                    return None;
                }
                strict_json(request.headers, body, way)
            }
            Self::Header(name) if !unique(name) => None,
            Self::Basic if !unique(&AUTHORIZATION) => None,
            Self::Header(name) => {
                let value = request.headers.get(name)?;
                value.to_str().ok().map(str::to_owned)
            }
            Self::Cookie(name) => cookie::value(request.headers, name)
                .ok()?
                .map(str::to_owned),
            Self::Basic => basic(request.headers),
        }
    }
}

/// Whom an attempt is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Named {
    /// It says nothing of that.
    Nobody,
    /// This name, as far as anybody reads it.
    One(String),
    /// Readers could find different ones.
    Unclear,
}

/// Whether no reader makes another name of it.
fn sound(name: &str) -> bool {
    let odd = |c: char| c.is_control() || c == char::REPLACEMENT_CHARACTER;
    !name.is_empty() && name.len() <= LONGEST && name.trim() == name && !name.contains(odd)
}

/// Names as the most generous reader compares them.
fn alike(one: &str, other: &str) -> bool {
    // Some take blanks and brackets before a name away, end it at a NUL or a bracket, or make `_` of a dot or blank.
    let plain = |name: &str| {
        let letters = name.chars().filter(|c| c.is_alphanumeric());
        letters.collect::<String>().to_uppercase().to_lowercase()
    };
    let head = one.trim_start_matches(|c: char| !c.is_alphanumeric());
    let head = head.split(['[', ']', '.', '\0']).next().unwrap_or_default();
    let name = plain(other);
    name.is_empty() || plain(one) == name || plain(head) == name
}

/// Whether the bytes of the body are what every reader makes text of: in no coding, and UTF-8 if anything is said.
fn plain_text(headers: &HeaderMap) -> bool {
    let kind = headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes);
    let parameters = String::from_utf8_lossy(kind.unwrap_or_default()).to_ascii_lowercase();
    let mut charsets = parameters.split(';').skip(1).filter_map(|part| {
        let (name, value) = part.split_once('=')?;
        (name.trim() == "charset").then(|| value.trim().trim_matches('"').to_owned())
    });
    !headers.contains_key(CONTENT_ENCODING) && charsets.all(|charset| charset == "utf-8")
}

/// Whether a parameter is there under any spelling.
fn some(text: &[u8], name: &str) -> bool {
    form_urlencoded::parse(text).any(|(key, _)| alike(&key, name))
}

/// The only value of that name, where no reader finds another: some split at `;` as well.
fn sole(text: &[u8], name: &str) -> Option<String> {
    if text.contains(&b';') {
        return None;
    }
    let mut values = form_urlencoded::parse(text).filter(|(key, _)| alike(key, name));
    let (key, value) = values.next()?;
    (values.next().is_none() && key == name).then(|| value.into_owned())
}

/// As [`json`], but no object on the way has a member twice, in whatever case.
fn strict_json(headers: &HeaderMap, body: &[u8], way: &[String]) -> Option<String> {
    let whole = strict::object(body)?;
    let mut members = &whole;
    let (_, parents) = way.split_last()?;
    for name in parents {
        once(members, name).then_some(())?;
        members = members.get(name)?.as_object()?;
    }
    once(members, way.last()?).then_some(())?;
    json(headers, body, way)
}

/// Whether the name stands for one member alone.
fn once(members: &serde_json::Map<String, serde_json::Value>, name: &str) -> bool {
    members.keys().filter(|key| alike(key, name)).count() == 1
}

impl<'de> Deserialize<'de> for Field {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for Field {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Field".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": "string",
            "description": "A value of the request: form.NAME, json.NAME.NAME, query.NAME, header.NAME, cookie.NAME or basic.",
            "pattern": r"^(basic|(form|json|query|header|cookie)\..+)$"
        })
    }
}

fn is(headers: &HeaderMap, wanted: impl Fn(&str) -> bool) -> bool {
    let kind = headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    let essence = kind.and_then(|kind| kind.split(';').next());
    essence.is_some_and(|essence| wanted(&essence.trim().to_ascii_lowercase()))
}

fn is_json(headers: &HeaderMap) -> bool {
    is(headers, |essence| {
        essence == "application/json" || essence.ends_with("+json")
    })
}

fn form(headers: &HeaderMap) -> bool {
    is(headers, |essence| {
        essence == "application/x-www-form-urlencoded"
    })
}

/// The only value of that name.
fn pair(text: &[u8], name: &str) -> Option<String> {
    let mut values = form_urlencoded::parse(text).filter(|(key, _)| key == name);
    let (_, value) = values.next()?;
    values.next().is_none().then(|| value.into_owned())
}

fn json(headers: &HeaderMap, body: &[u8], way: &[String]) -> Option<String> {
    if !is_json(headers) {
        return None;
    }
    let whole: serde_json::Value = serde_json::from_slice(body).ok()?;
    let mut at = &whole;
    for name in way {
        at = at.get(name)?;
    }
    match at {
        serde_json::Value::String(text) => Some(text.clone()),
        serde_json::Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

/// RFC 7617: everything before the first colon.
fn basic(headers: &HeaderMap) -> Option<String> {
    let sent = headers.get(AUTHORIZATION)?.to_str().ok()?;
    let (scheme, rest) = sent.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = String::from_utf8(STANDARD.decode(rest.trim()).ok()?).ok()?;
    decoded.split_once(':').map(|(user, _)| user.to_owned())
}

#[cfg(test)]
mod tests;

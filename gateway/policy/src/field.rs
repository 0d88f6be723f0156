//! One value of a request, as a policy names it: `form.email`, `json.user.name`, `query.user`, `header.X-User`,
//! `cookie.user`, `basic` (the user of Basic authentication). Read for what a check wants to know of a log-in, never to
//! decide what is an attack: that is the WAF's.

use std::ops::ControlFlow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::{AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue};
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer};
use unicode_normalization::UnicodeNormalization as _;

use crate::checks::jwt::strict;
use crate::cookie;
use crate::request::Request;

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
        let Self::Form(name) = self else { return None };
        let parts = self.parts(request, body)?;
        let alone = parts.alike == 1 && !parts.flawed && plain_text(request.headers);
        let charset = Self::Form("_charset_".to_owned());
        let charset = charset.parts(request, body)?;
        parts
            .found
            .filter(|_| alone && charset.alike == 0 && !name.is_empty())
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

/// Whether a form says that it only reads: some applications heed that, and give the page of a log-in for what looked like
/// one. Names as PHP makes them: blanks before them go, dots, blanks and open brackets become `_`.
#[must_use]
pub fn only_reads(request: &Request<'_>, body: &[u8]) -> bool {
    let query = request.query.unwrap_or_default().as_bytes();
    let form_body = if form(request.headers) { body } else { &[] };
    let told = |text: &[u8]| form_urlencoded::parse(text).any(|(name, value)| reads(&name, &value));
    let field = Field::Form(String::new());
    told(query) || told(form_body) || field.parts(request, body).is_some_and(|parts| parts.reads)
}

/// Whether a form is sent, whose fields may say more than a policy asks for.
#[must_use]
pub fn is_form(headers: &HeaderMap) -> bool {
    form(headers) || is(headers, |essence| essence == "multipart/form-data")
}

fn reads(name: &str, value: &str) -> bool {
    let name = name.trim_start().split('\0').next().unwrap_or_default();
    let name = name.replace(['.', ' ', '['], "_");
    let safe = ["get", "head", "options"];
    name.eq_ignore_ascii_case("_method")
        && safe.contains(&value.trim().to_ascii_lowercase().as_str())
}

/// Looks for one field among the parts of a form.
struct Parts<'n> {
    name: &'n str,
    found: Option<String>,
    count: usize,
    /// Those that some reader takes for the same field.
    alike: usize,
    /// Whether readers could find other parts.
    flawed: bool,
    /// Whether one says that the form only reads.
    reads: bool,
}

impl waf::body::Sink for Parts<'_> {
    fn pair(&mut self, name: &[u8], value: &[u8], _: &[u8]) -> ControlFlow<()> {
        let text = String::from_utf8_lossy(name);
        self.reads |= reads(&text, &String::from_utf8_lossy(value));
        self.alike += usize::from(alike(&text, self.name));
        if name == self.name.as_bytes() {
            self.count += 1;
            self.found = std::str::from_utf8(value).ok().map(str::to_owned);
        }
        ControlFlow::Continue(())
    }

    fn file(&mut self, _: waf::body::File<'_>) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }

    fn part_header(&mut self, _: &[u8], _: &[u8]) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }

    fn text(&mut self, _: &[u8], _: &[u8]) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }

    fn attribute(&mut self, _: &[u8], _: &[u8]) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }

    fn flaw(&mut self, _: waf::body::Flaw) -> ControlFlow<()> {
        self.flawed = true;
        ControlFlow::Continue(())
    }
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

/// A user's name as limits and bans compare it: `Ann`, `ann`, `ann ` and `änn` are one person to some application, and an
/// attacker must not get a fresh count by another spelling.
#[must_use]
pub fn folded(user: &str) -> String {
    if user
        .bytes()
        .all(|byte| byte.is_ascii_graphic() || byte == b' ')
    {
        return user.trim().to_ascii_lowercase();
    }
    // Accents, widths and what nobody sees: databases compare `mía`, `ｍia` and `mia` as one, more often than not.
    let letters = user.nfkd().filter(|c| !is_accent(*c) && !invisible(*c));
    let mut plain = String::with_capacity(user.len());
    for letter in letters.flat_map(char::to_lowercase) {
        match letter {
            'ß' => plain.push_str("ss"),
            'ø' => plain.push('o'),
            'ł' => plain.push('l'),
            'đ' => plain.push('d'),
            'ħ' => plain.push('h'),
            'ı' => plain.push('i'),
            _ => plain.push(letter),
        }
    }
    plain.trim().nfc().collect()
}

/// Marks that databases look away from: those of Latin, Greek and Cyrillic letters, and the voice marks of kana. A vowel sign
/// of an Indic script is a letter.
fn is_accent(c: char) -> bool {
    matches!(u32::from(c), 0x300..=0x36F | 0x1AB0..=0x1AFF | 0x1DC0..=0x1DFF | 0x20D0..=0x20FF | 0xFE20..=0xFE2F | 0x3099..=0x309A)
}

/// Characters without a shape (Cc, and Default_Ignorable_Code_Point of Unicode 15).
fn invisible(c: char) -> bool {
    c.is_control()
        || matches!(u32::from(c),
        0xAD | 0x34F | 0x61C | 0x115F..=0x1160 | 0x17B4..=0x17B5 | 0x180B..=0x180F | 0x200B..=0x200F | 0x202A..=0x202E
        | 0x2060..=0x206F | 0x3164 | 0xFE00..=0xFE0F | 0xFEFF | 0xFFA0 | 0xFFF0..=0xFFFB | 0x1BCA0..=0x1BCA3
        | 0x1D173..=0x1D17A | 0xE0000..=0xE0FFF)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::testing::Scene;

    fn read(field: &str, scene: Scene, body: &str) -> Option<String> {
        let field = Field::parse(field).unwrap();
        scene.asked(|request| field.read(request, body.as_bytes()))
    }

    fn typed(kind: &'static str) -> Scene {
        Scene::default().header("content-type", kind)
    }

    #[test]
    fn finds_a_user_wherever_the_policy_says() {
        let form = "application/x-www-form-urlencoded; charset=utf-8";
        let found = |text: &str| Some(text.to_owned());
        let body = "a=1&e%6Dail=ann%40x.example+&b";
        assert_eq!(
            read("form.email", typed(form), body),
            found("ann@x.example")
        );
        let body = r#"{"user": {"name": "ann", "id": 7}}"#;
        let json = "application/json";
        assert_eq!(read("json.user.name", typed(json), body), found("ann"));
        assert_eq!(read("json.user.id", typed(json), body), found("7"));
        let basic = Scene::default().header("authorization", "Basic YW5uOnNlY3JldDp4");
        assert_eq!(read("basic", basic, ""), found("ann"));
        let cookie = Scene::default().header("cookie", "x=1; u=ann");
        assert_eq!(read("cookie.u", cookie, ""), found("ann"));
    }

    #[test]
    fn what_is_there_twice_or_of_another_type_is_not_there() {
        let form = "application/x-www-form-urlencoded";
        assert_eq!(read("form.u", typed(form), "u=a&u=b"), None);
        assert_eq!(read("form.u", typed("text/plain"), "u=a"), None);
        assert_eq!(read("json.u", typed(form), r#"{"u":"a"}"#), None);
        assert_eq!(read("form.u", typed(form), "u=+"), None);
        let long = format!("u={}", "a".repeat(300));
        assert_eq!(read("form.u", typed(form), &long), None);
    }

    fn exact(field: &str, scene: Scene, body: &str) -> Option<String> {
        let field = Field::parse(field).unwrap();
        scene.asked(|request| field.exact(request, body.as_bytes()))
    }

    #[test]
    fn what_opens_a_door_has_one_reading() {
        let form = || typed("application/x-www-form-urlencoded");
        let json = || typed("application/json");
        assert_eq!(
            exact("form.u", form(), "a=1&u=ann%40x"),
            Some("ann@x".to_owned())
        );
        assert_eq!(
            exact("json.a.u", json(), r#"{"a": {"u": "ann"}}"#),
            Some("ann".to_owned())
        );
        for body in [
            "u=ann&u=eve",
            "u=ann&U=eve",
            "u=ann&u[]=eve",
            "u=ann&+u=eve",
            "u=ann&u%00=eve",
            "u=ann&[u]=eve",
            "u=ann&u]=eve",
            "u=ann&_charset_=ibm037",
            "x=1;u=eve&u=ann",
            "u=+ann",
            "u=ann%00",
            "u=ann%ff",
            "U=ann",
        ] {
            assert_eq!(exact("form.u", form(), body), None, "{body}");
        }
        for (name, value) in [
            ("content-encoding", "gzip"),
            ("content-encoding", "identity"),
        ] {
            assert_eq!(exact("form.u", form().header(name, value), "u=ann"), None);
        }
        let other = typed("application/x-www-form-urlencoded; charset=ibm037");
        assert_eq!(exact("form.u", other, "u=ann"), None);
        let same = typed("application/x-www-form-urlencoded; charset=\"UTF-8\"");
        assert_eq!(exact("form.u", same, "u=ann"), Some("ann".to_owned()));
        let dotted = exact("form.user_name", form(), "user_name=ann&user.name=eve");
        assert_eq!(dotted, None);
        let asked = Scene {
            query: Some("u=eve"),
            ..form()
        };
        assert_eq!(
            exact("form.u", asked, "u=ann"),
            None,
            "some readers take the query first"
        );
        assert_eq!(
            exact(
                "form.u",
                form().header("content-type", "text/plain"),
                "u=ann"
            ),
            None
        );
        for body in [
            r#"{"u": "eve", "u": "ann"}"#,
            r#"{"u": "ann", "U": "eve"}"#,
            r#"{"u": "ann", "\u0055": "eve"}"#,
            r#"{"u": " ann"}"#,
            r#"{"u": "ann"} {"u": "eve"}"#,
            r#"{"u": ["ann"]}"#,
        ] {
            assert_eq!(exact("json.u", json(), body), None, "{body}");
        }
        let twice = Scene::default()
            .header("x-user", "ann")
            .header("x-user", "eve");
        assert_eq!(exact("header.x-user", twice, ""), None);
    }

    #[test]
    fn what_names_nothing_is_refused() {
        for text in ["email", "form.", "body.x", "header.a b", ""] {
            assert!(Field::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_guess_is_about_one_user_or_nobody_knows_whom() {
        let named = |field: &str, scene: Scene, body: &str| {
            let field = Field::parse(field).unwrap();
            scene.asked(|request| field.named(request, body.as_bytes()))
        };
        let form = || typed("application/x-www-form-urlencoded");
        let json = || typed("application/json");
        let one = |name: &str| Named::One(name.to_owned());
        assert_eq!(named("form.u", form(), "u=+Ann+"), one("Ann"));
        assert_eq!(named("form.u", form(), "x=1"), Named::Nobody);
        assert_eq!(named("form.u", form(), "u=ann&u=eve"), Named::Unclear);
        assert_eq!(named("form.u", form(), "u=ann&U=eve"), Named::Unclear);
        let beside = || Scene {
            query: Some("u=eve"),
            ..form()
        };
        assert_eq!(named("form.u", beside(), "u=ann"), Named::Unclear);
        assert_eq!(named("json.u", json(), r#"{"u": "ann"}"#), one("ann"));
        assert_eq!(
            named("json.u", json(), r#"{"u": "ann", "u": "eve"}"#),
            Named::Unclear
        );
        assert_eq!(
            named("json.u", json(), r#"{"u": "ann", "U": "eve"}"#),
            Named::Unclear
        );
        assert_eq!(named("json.u", form(), "u=ann"), Named::Nobody);
        let parts = "--b\r\nContent-Disposition: form-data; name=\"u\"\r\n\r\nann\r\n--b--\r\n";
        let multipart = || typed("multipart/form-data; boundary=b");
        assert_eq!(named("form.u", multipart(), parts), one("ann"));
        let long = "x".repeat(75);
        let body = format!(
            "--b\r\nContent-Disposition: form-data; name=\"a_long_name\"\r\n\r\n{long}\r\n--b--\r\n"
        );
        assert_eq!(named("form.a_long_name", multipart(), &body), one(&long));
        let twice = parts.replace(
            "--b--",
            "--b\r\nContent-Disposition: form-data; name=\"u\"\r\n\r\neve\r\n--b--",
        );
        assert_eq!(named("form.u", multipart(), &twice), Named::Unclear);
        for name in [" u", "U", "u[]"] {
            let other = twice.replace(
                "name=\"u\"\r\n\r\neve",
                &format!("name=\"{name}\"\r\n\r\neve"),
            );
            assert_eq!(
                named("form.u", multipart(), &other),
                Named::Unclear,
                "{name}"
            );
        }
        let lines = parts.replace("\r\n", "\n");
        assert_eq!(named("form.u", multipart(), &lines), Named::Unclear);
        let same = || Scene {
            query: Some("u=ANN"),
            ..form()
        };
        assert_eq!(named("form.u", same(), "u=ann"), one("ann"));
        for odd in ["u=mia%01", "u=mia%ff", "u=mi%00a"] {
            assert_eq!(named("form.u", form(), odd), Named::Unclear, "{odd}");
        }
        let escaped = r#"{"\u0075": "ann", "\u0075": "eve"}"#;
        assert_eq!(named("json.u", json(), escaped), Named::Unclear);
    }

    #[test]
    fn names_that_some_database_takes_for_one_are_counted_as_one() {
        for other in [
            "Mia",
            " mia ",
            "m\u{ed}a",
            "mi\u{301}a",
            "\u{ff4d}ia",
            "mia\u{200b}",
            "m\u{ad}ia",
            "\u{feff}mia",
        ] {
            assert_eq!(folded(other), "mia", "{other:?}");
        }
        for (name, same) in [
            ("\u{5f20}\u{4f1f}", true),
            ("\u{d55c}\u{ae00}", true),
            ("m\u{fc}ller", false),
            ("\u{938}\u{940}\u{924}\u{93e}", true),
            ("stra\u{df}e", false),
            ("\u{304c}\u{304f}", false),
        ] {
            assert_eq!(folded(name) == name, same, "{name}");
        }
    }

    #[test]
    fn a_form_that_says_that_it_reads_is_found_out() {
        let post = |kind: &'static str, query, body: &str| {
            let scene = Scene {
                method: http::Method::POST,
                query,
                ..typed(kind)
            };
            scene.asked(|request| only_reads(request, body.as_bytes()))
        };
        let form = "application/x-www-form-urlencoded";
        for body in [
            "u=a&_method=GET",
            "_METHOD=head",
            ".method=get",
            "[method=GET",
            "+_method=GET",
            "_method%00x=GET",
        ] {
            assert!(post(form, None, body), "{body}");
        }
        assert!(post(form, Some("_method=GET"), "u=a"));
        let part = |value: &str| {
            format!("--b\r\nContent-Disposition: form-data; name=\"_method\"\r\n\r\n{value}\r\n")
        };
        let parts = format!("{}{}--b--\r\n", part("POST"), part("GET"));
        assert!(post("multipart/form-data; boundary=b", None, &parts));
        for body in ["u=a&_method=post", "_method=put", "method=totp", "u=a"] {
            assert!(!post(form, None, body), "{body}");
        }
    }
}

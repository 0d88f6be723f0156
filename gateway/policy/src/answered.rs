//! How an application answered, as a policy describes it: status, redirect, header fields, the beginning of the body, put
//! together by any, all and not. Knows neither what the answer was to nor what follows from it.

use std::fmt;

use http::header::LOCATION;
use http::{HeaderMap, HeaderName};
use regex::bytes::{Regex, RegexBuilder};
use schemars::JsonSchema;
use serde::Deserialize;
use serde::de::{self, Deserializer, Visitor};

use crate::context::Context;
use crate::fault::Path;
use crate::scalar::Texts;
use crate::spec::value::{Entries, OneOrMany};

/// Bytes that one compiled pattern may take.
const LARGEST: usize = 1 << 20;
/// Descriptions in descriptions.
const DEEPEST: usize = 8;

/// An answer. Everything that is said of it must hold.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Answered")]
pub struct Spec {
    /// Status: 401, 4xx, or a list of them.
    #[serde(default)]
    status: OneOrMany<Status>,
    /// Where a redirect leads, `*` stands for anything: `/login?error*`. A pattern that begins with `/` is compared without
    /// scheme and host. Several: one of them.
    #[serde(default)]
    location: Texts,
    /// Header fields with the value that one of them must have; `*` stands for anything.
    #[serde(default)]
    headers: Entries<String>,
    /// Regular expression over the beginning of the body. Several: one of them.
    #[serde(default)]
    body: Texts,
    /// One of these holds.
    #[serde(default)]
    any: Vec<Self>,
    /// All of these hold.
    #[serde(default)]
    all: Vec<Self>,
    /// This does not hold.
    #[serde(default)]
    not: Option<Box<Self>>,
}

/// A status, or all of a class.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Status {
    One(u16),
    Class(u16),
}

impl std::str::FromStr for Status {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is no status: write 401 or 4xx");
        if let Some(class) = text.strip_suffix("xx") {
            let class: u16 = class.parse().map_err(|_| wrong())?;
            return (1..=5)
                .contains(&class)
                .then_some(Self::Class(class))
                .ok_or_else(wrong);
        }
        let status: u16 = text.parse().map_err(|_| wrong())?;
        (100..=599)
            .contains(&status)
            .then_some(Self::One(status))
            .ok_or_else(wrong)
    }
}

impl<'de> Deserialize<'de> for Status {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Text;
        impl Visitor<'_> for Text {
            type Value = Status;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a status such as 401 or 4xx")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Status, E> {
                text.parse().map_err(E::custom)
            }

            fn visit_u64<E: de::Error>(self, number: u64) -> Result<Status, E> {
                self.visit_str(&number.to_string())
            }
        }
        from.deserialize_any(Text)
    }
}

impl JsonSchema for Status {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Status".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "description": "a status such as 401 or 4xx",
            "anyOf": [{"type": "integer", "minimum": 100, "maximum": 599}, {"type": "string", "pattern": "^([1-5]xx|[1-5][0-9][0-9])$"}]
        })
    }
}

/// An answer that arrived.
#[derive(Debug, Clone, Copy)]
pub struct Heard<'h> {
    /// Status.
    pub status: u16,
    /// Header fields.
    pub headers: &'h HeaderMap,
    /// The beginning of the body; `None` when it could not be read.
    pub body: Option<&'h [u8]>,
}

/// A description, ready to be held against answers.
#[derive(Debug)]
pub struct Described {
    status: Vec<Status>,
    location: Vec<String>,
    headers: Vec<(HeaderName, String)>,
    body: Vec<Regex>,
    any: Vec<Self>,
    all: Vec<Self>,
    not: Option<Box<Self>>,
}

impl Spec {
    /// `None` when faults were reported.
    pub fn compile(self, context: &mut Context<'_>, at: &Path) -> Option<Described> {
        let before = context.faults.len();
        let described = self.described(context, at, 0);
        (!context.failed_since(before)).then_some(described)
    }

    fn described(self, context: &mut Context<'_>, at: &Path, depth: usize) -> Described {
        let several = !self.any.is_empty() || !self.all.is_empty() || self.not.is_some();
        let says = several
            || !self.status.0.is_empty()
            || !self.location.0.is_empty()
            || !self.headers.0.is_empty()
            || !self.body.0.is_empty();
        if !says || depth > DEEPEST {
            let why = format!(
                "an answer is described by status, location, headers, body, any, all or not, at most {DEEPEST} deep"
            );
            context.error(at.clone(), why);
        }
        // Nothing deeper than that is looked at: the fault is reported already.
        let deeper = depth <= DEEPEST;
        let each = |context: &mut Context<'_>, list: Vec<Self>, at: Path| {
            let list = list.into_iter().enumerate().filter(|_| deeper);
            list.map(|(index, spec)| spec.described(context, &at.index(index), depth + 1))
                .collect()
        };
        Described {
            status: self.status.0,
            location: self.location.0,
            headers: names(context, self.headers, &at.key("headers")),
            body: patterns(context, &self.body.0, &at.key("body")),
            any: each(context, self.any, at.key("any")),
            all: each(context, self.all, at.key("all")),
            not: self.not.filter(|_| deeper).map(|spec| {
                let at = at.key("not");
                Box::new(spec.described(context, &at, depth + 1))
            }),
        }
    }
}

fn names(
    context: &mut Context<'_>,
    headers: Entries<String>,
    at: &Path,
) -> Vec<(HeaderName, String)> {
    let mut known = Vec::new();
    for (name, pattern) in headers.0 {
        match HeaderName::try_from(name.as_str()) {
            Ok(header) => known.push((header, pattern)),
            Err(_) => context.error(at.key(&name), format!("`{name}` is not a header name")),
        }
    }
    known
}

fn patterns(context: &mut Context<'_>, texts: &[String], at: &Path) -> Vec<Regex> {
    let mut known = Vec::new();
    for text in texts {
        match RegexBuilder::new(text).size_limit(LARGEST).build() {
            Ok(pattern) => known.push(pattern),
            Err(why) => context.error(
                at.clone(),
                format!("`{text}` is no regular expression: {why}"),
            ),
        }
    }
    known
}

impl Described {
    /// Whether it can only be told with the body.
    #[must_use]
    pub fn reads_body(&self) -> bool {
        let below = self.any.iter().chain(&self.all).chain(self.not.as_deref());
        !self.body.is_empty() || below.into_iter().any(Self::reads_body)
    }

    /// Whether the answer is as described; `None` when that depends on a body that could not be read.
    #[must_use]
    pub fn holds(&self, heard: &Heard<'_>) -> Option<bool> {
        let head =
            self.status(heard.status) && self.location(heard.headers) && self.fields(heard.headers);
        let not = self
            .not
            .as_ref()
            .map_or(Some(true), |not| not.holds(heard).map(|held| !held));
        let any = match self.any.is_empty() {
            true => Some(true),
            false => one(self.any.iter().map(|described| described.holds(heard))),
        };
        let all = self.all.iter().map(|described| described.holds(heard));
        let parts = [Some(head), self.body(heard.body), not, any];
        every(parts.into_iter().chain(all))
    }

    fn status(&self, status: u16) -> bool {
        let is = |known: &Status| match *known {
            Status::One(one) => one == status,
            Status::Class(class) => class == status / 100,
        };
        self.status.is_empty() || self.status.iter().any(is)
    }

    fn location(&self, headers: &HeaderMap) -> bool {
        if self.location.is_empty() {
            return true;
        }
        let Some(location) = headers.get(LOCATION) else {
            return false;
        };
        let whole = location.as_bytes();
        let local = local(whole);
        let is = |pattern: &String| {
            let subject = if pattern.starts_with('/') {
                local
            } else {
                whole
            };
            glob(pattern.as_bytes(), subject)
        };
        self.location.iter().any(is)
    }

    fn fields(&self, headers: &HeaderMap) -> bool {
        self.headers.iter().all(|(name, pattern)| {
            let mut values = headers.get_all(name).iter();
            values.any(|value| glob(pattern.as_bytes(), value.as_bytes()))
        })
    }

    fn body(&self, body: Option<&[u8]>) -> Option<bool> {
        if self.body.is_empty() {
            return Some(true);
        }
        let body = body?;
        Some(self.body.iter().any(|pattern| pattern.is_match(body)))
    }
}

/// One holds, surely; none does, surely; or nobody knows.
fn one(parts: impl Iterator<Item = Option<bool>>) -> Option<bool> {
    every(parts.map(|part| part.map(|held| !held))).map(|none| !none)
}

/// All hold, surely; one does not, surely; or nobody knows.
fn every(parts: impl Iterator<Item = Option<bool>>) -> Option<bool> {
    let mut known = true;
    for part in parts {
        match part {
            Some(false) => return Some(false),
            Some(true) => {}
            None => known = false,
        }
    }
    known.then_some(true)
}

/// Path and query of a redirect, whether or not it names its host; a path without its slash gets one.
#[must_use]
pub fn local(location: &[u8]) -> &[u8] {
    let after = |start: usize| {
        let rest = location.get(start..).unwrap_or_default();
        let path = rest
            .iter()
            .position(|byte| matches!(byte, b'/' | b'?' | b'#'));
        path.and_then(|path| rest.get(path..)).unwrap_or(b"/")
    };
    if location.starts_with(b"//") {
        return after(2);
    }
    let scheme = location.windows(3).position(|window| window == b"://");
    match scheme {
        Some(end) if location.iter().take(end).all(u8::is_ascii_alphanumeric) => after(end + 3),
        Some(_) | None => location,
    }
}

/// Whether `pattern`, in which `*` stands for anything, is all of `text`. At most their lengths multiplied, no recursion.
#[must_use]
pub fn glob(pattern: &[u8], text: &[u8]) -> bool {
    matches(pattern, text, |one, other| one == other)
}

/// The same, whatever the case of ASCII letters.
#[must_use]
pub fn glob_folded(pattern: &[u8], text: &[u8]) -> bool {
    matches(pattern, text, |one, other| one.eq_ignore_ascii_case(&other))
}

fn matches(pattern: &[u8], text: &[u8], same: fn(u8, u8) -> bool) -> bool {
    let (mut at, mut of) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while let Some(byte) = text.get(at) {
        match pattern.get(of) {
            Some(b'*') => {
                star = Some((of, at));
                of += 1;
            }
            Some(wanted) if same(*wanted, *byte) => {
                at += 1;
                of += 1;
            }
            Some(_) | None => {
                let Some((back, from)) = star else {
                    return false;
                };
                star = Some((back, from + 1));
                (of, at) = (back + 1, from + 1);
            }
        }
    }
    pattern
        .get(of..)
        .unwrap_or_default()
        .iter()
        .all(|byte| *byte == b'*')
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use serde_json::{Value, json};

    use super::*;
    use crate::checks::testing::Given;

    fn described(spec: Value) -> Result<Described, Vec<String>> {
        Given::default().compile(spec, |spec: Spec, context| {
            spec.compile(context, &Path::default().key("failed"))
        })
    }

    fn holds(
        spec: Value,
        status: u16,
        fields: &[(&'static str, &str)],
        body: Option<&str>,
    ) -> Option<bool> {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(*name, value.parse().unwrap());
        }
        let body = body.map(str::as_bytes);
        described(spec).unwrap().holds(&Heard {
            status,
            headers: &headers,
            body,
        })
    }

    #[test]
    fn everything_that_is_said_must_hold() {
        let spec = || json!({"status": [302, "4xx"], "location": "/login?error*"});
        assert_eq!(
            holds(spec(), 302, &[("location", "/login?error=1")], None),
            Some(true)
        );
        assert_eq!(
            holds(
                spec(),
                302,
                &[("location", "https://shop.example/login?error")],
                None
            ),
            Some(true)
        );
        assert_eq!(
            holds(
                spec(),
                302,
                &[("location", "//shop.example:8443/login?error")],
                None
            ),
            Some(true)
        );
        assert_eq!(
            holds(
                spec(),
                302,
                &[("location", "/home?next=/login?error")],
                None
            ),
            Some(false)
        );
        assert_eq!(holds(spec(), 302, &[], None), Some(false));
        assert_eq!(
            holds(spec(), 200, &[("location", "/login?error")], None),
            Some(false)
        );
    }

    #[test]
    fn any_all_and_not_go_together() {
        let spec = || json!({"any": [{"status": 401}, {"all": [{"status": 200}, {"body": "(?i)invalid"}]}], "not": {"headers": {"X-Ok": "*"}}});
        assert_eq!(holds(spec(), 401, &[], None), Some(true));
        assert_eq!(holds(spec(), 401, &[("x-ok", "1")], None), Some(false));
        assert_eq!(
            holds(spec(), 200, &[], Some("INVALID password")),
            Some(true)
        );
        assert_eq!(holds(spec(), 200, &[], Some("welcome")), Some(false));
        assert_eq!(holds(spec(), 500, &[], Some("invalid")), Some(false));
    }

    #[test]
    fn what_depends_on_a_body_that_nobody_could_read_is_not_known() {
        let spec = || json!({"any": [{"status": 401}, {"body": "wrong"}]});
        assert_eq!(holds(spec(), 401, &[], None), Some(true));
        assert_eq!(holds(spec(), 200, &[], None), None);
        assert_eq!(
            holds(
                json!({"status": 200, "not": {"body": "wrong"}}),
                200,
                &[],
                None
            ),
            None
        );
        assert_eq!(
            holds(json!({"status": 200, "body": "wrong"}), 404, &[], None),
            Some(false)
        );
    }

    #[test]
    fn stars_stand_for_anything() {
        for (pattern, text, is) in [
            ("/a*b", "/axxb", true),
            ("/a*b", "/axxbc", false),
            ("*", "", true),
            ("/a*b*c", "/abbbc", true),
            ("/a", "/a", true),
            ("/a", "/ab", false),
            ("**x", "x", true),
        ] {
            assert_eq!(
                glob(pattern.as_bytes(), text.as_bytes()),
                is,
                "{pattern} {text}"
            );
        }
    }

    #[test]
    fn refuses_what_describes_nothing() {
        let faults =
            described(json!({"any": [{}], "body": "(", "headers": {"a b": "x"}})).unwrap_err();
        assert_eq!(faults.len(), 3, "{faults:?}");
        assert!(described(json!({"status": 99})).is_err());
        assert!(described(json!({"status": "6xx"})).is_err());
    }
}

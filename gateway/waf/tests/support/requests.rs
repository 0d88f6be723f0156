//! Requests written down as data, values put into ordinary requests, and what came of them.

#![allow(
    dead_code,
    reason = "shared by tests and an example that each use a part"
)]

use serde::{Deserialize, Serialize};
use waf::{Request, Ruleset, Scratch, Tuning, Verdict, transform::Transform};

/// A request. Characters up to U+00FF stand for bytes.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub(crate) struct Case {
    pub(crate) class: String,
    pub(crate) method: String,
    pub(crate) target: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: String,
    /// The value that was put in, where one was.
    pub(crate) value: String,
}

/// What a browser sends along, without what a place replaces.
const BROWSER: &[(&str, &str)] = &[
    ("host", "shop.example.com"),
    (
        "user-agent",
        "Mozilla/5.0 (X11; Linux x86_64; rv:127.0) Gecko/20100101 Firefox/127.0",
    ),
    (
        "accept",
        "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
    ),
    ("accept-language", "en-US,en;q=0.7,zh-TW;q=0.3"),
    ("accept-encoding", "gzip, deflate, br"),
    (
        "referer",
        "https://shop.example.com/catalog?page=2&sort=price",
    ),
];

/// Where a value is put.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Place {
    Query,
    Form,
    Json,
    Multipart,
    Xml,
    Cookie,
    Header,
}

pub(crate) const PLACES: &[Place] = &[
    Place::Query,
    Place::Form,
    Place::Json,
    Place::Multipart,
    Place::Xml,
    Place::Cookie,
    Place::Header,
];

impl Place {
    /// An ordinary request with `value` in this place.
    pub(crate) fn case(self, class: &str, value: &[u8]) -> Case {
        let mut case = Case {
            class: class.to_owned(),
            method: "POST".to_owned(),
            target: "/items".to_owned(),
            headers: owned(BROWSER),
            body: String::new(),
            value: latin1(value),
        };
        match self {
            Self::Query => case.look(&format!("/search?lang=en&q={}", percent(value)), &[]),
            Self::Cookie => {
                let cookie = format!("sid=5f0c; pref={}", percent(value));
                case.look("/", &[("cookie", &cookie)]);
            }
            Self::Header => case.look("/", &[("x-note", &line(value))]),
            Self::Form => {
                let body = format!("name=abc&comment={}", percent(value));
                case.post("application/x-www-form-urlencoded", body);
            }
            Self::Json => {
                let text = String::from_utf8_lossy(value);
                let body = serde_json::json!({"user": {"id": 1, "text": text}}).to_string();
                case.post("application/json", latin1(body.as_bytes()));
            }
            Self::Multipart => case.post("multipart/form-data; boundary=b0undary", part(value)),
            Self::Xml => {
                let body = format!("<?xml version=\"1.0\"?><r><a>{}</a></r>", escaped(value));
                case.post("text/xml", latin1(body.as_bytes()));
            }
        }
        case
    }
}

impl Case {
    fn look(&mut self, target: &str, headers: &[(&str, &str)]) {
        "GET".clone_into(&mut self.method);
        target.clone_into(&mut self.target);
        self.headers.extend(owned(headers));
    }

    fn post(&mut self, kind: &str, body: String) {
        self.headers.extend(owned(&[("content-type", kind)]));
        self.body = body;
    }

    /// What to show of it.
    pub(crate) fn text(&self) -> String {
        let shown = if self.value.is_empty() {
            format!("{} {} {}", self.method, self.target, self.body)
        } else {
            self.value.clone()
        };
        let bytes = bytes(&shown);
        String::from_utf8_lossy(bytes.get(..600).unwrap_or(&bytes)).into_owned()
    }

    /// Head and body through `rules`.
    pub(crate) fn judge(
        &self,
        rules: &Ruleset,
        tuning: &Tuning,
        scratch: Scratch,
    ) -> (Verdict, Scratch) {
        let mut transaction = rules.transaction(tuning, scratch);
        let target = bytes(&self.target);
        let mut halves = target.splitn(2, |byte| *byte == b'?');
        let raw_path = halves.next().unwrap_or_default();
        let query = halves.next().unwrap_or_default();
        let mut path = Vec::new();
        if raw_path.contains(&b'+') || !Transform::UrlDecode.apply(raw_path, &mut path) {
            path = raw_path.to_vec();
        }
        let pairs = self.headers.iter();
        let headers: Vec<(Vec<u8>, Vec<u8>)> = pairs
            .map(|(name, value)| (bytes(&name.to_ascii_lowercase()), bytes(value)))
            .collect();
        let method = if self.method.is_empty() {
            "GET"
        } else {
            &self.method
        };
        transaction.evaluate_headers(&Request {
            method: method.as_bytes(),
            target: &target,
            path: &path,
            query,
            protocol: b"HTTP/1.1",
            headers: &headers,
            client: [192, 0, 2, 7].into(),
            around: waf::Surroundings::default(),
        });
        let kind = headers.iter().find(|(name, _)| name == b"content-type");
        let kind = kind.map_or(&[][..], |(_, value)| value);
        transaction.evaluate_body(kind, &bytes(&self.body));
        transaction.finish()
    }
}

/// Rules and where they matched: `1101@args:q 1502@args:q`.
pub(crate) fn report(verdict: &Verdict) -> String {
    let mut row: Vec<String> = verdict
        .matches
        .iter()
        .map(|found| format!("{}@{}", found.id, found.target.escape_debug()))
        .collect();
    row.extend(verdict.refusal.map(|refusal| refusal.code().to_owned()));
    row.join(" ")
}

fn owned(headers: &[(&str, &str)]) -> Vec<(String, String)> {
    let pairs = headers.iter();
    pairs
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect()
}

fn percent(value: &[u8]) -> String {
    let mut text = String::new();
    for &byte in value {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            text.push(char::from(byte));
        } else {
            text.push_str(&format!("%{byte:02X}"));
        }
    }
    text
}

/// A header has one line, and bytes as they are.
fn line(value: &[u8]) -> String {
    latin1(value).replace(['\r', '\n', '\0'], " ")
}

fn part(value: &[u8]) -> String {
    let value = latin1(value);
    format!(
        "--b0undary\r\nContent-Disposition: form-data; name=\"note\"\r\n\r\n{value}\r\n--b0undary--\r\n"
    )
}

/// Text of XML; characters that XML cannot hold are left out.
fn escaped(value: &[u8]) -> String {
    let text = String::from_utf8_lossy(value);
    let mut escaped = String::new();
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '\u{0}'..='\u{8}' | '\u{b}' | '\u{c}' | '\u{e}'..='\u{1f}' => {}
            c => escaped.push(c),
        }
    }
    escaped
}

fn latin1(value: &[u8]) -> String {
    value.iter().map(|&byte| char::from(byte)).collect()
}

/// One byte for each character.
fn bytes(text: &str) -> Vec<u8> {
    text.chars()
        .map(|c| u8::try_from(u32::from(c)).unwrap_or(b'?'))
        .collect()
}

//! `response_headers`: fields that every answer of a route carries or lacks, the gateway's own answers included. It knows
//! no request; the server applies the edits.

use std::collections::BTreeMap;

use http::{HeaderName, HeaderValue};
use serde::Deserialize;

use super::{Edit, Gives, Needs, ResponseWork, Turn};
use crate::context::Context;
use crate::decision::Answer;
use crate::fault::Path;
use crate::io::Io;
use crate::scalar::Duration;

const DAY: u64 = 86_400;

/// Fields that frame a message or switch its protocol; an edit of one would desynchronise the connection.
const FRAMING: [&str; 12] = [
    "connection",
    "content-encoding",
    "content-length",
    "content-range",
    "keep-alive",
    "proxy-authenticate",
    "proxy-connection",
    "sec-websocket-accept",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Sets and removes fields of every answer, whoever writes it: the application or the gateway.
#[derive(Debug, Clone, Default, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    /// Fields that are set, whatever the application said.
    #[serde(default)]
    set: BTreeMap<String, String>,
    /// Fields that are set unless the application did.
    #[serde(default)]
    set_if_absent: BTreeMap<String, String>,
    /// Fields that are removed, such as `Server`.
    #[serde(default)]
    remove: Vec<String>,
    /// Strict-Transport-Security.
    #[serde(default)]
    hsts: Option<Hsts>,
}

/// Strict-Transport-Security (RFC 6797). Browsers ignore it over plain HTTP.
#[derive(Debug, Clone, Copy, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Hsts {
    /// How long browsers remember, such as `365d` (default). At most 3650 days; `0s` makes them forget.
    #[serde(default)]
    max_age: Option<Duration>,
    /// For every subdomain as well.
    #[serde(default)]
    subdomains: bool,
    /// Asks to be built into browsers: needs `subdomains` and a `max_age` of a year.
    #[serde(default)]
    preload: bool,
}

/// Ready to be asked.
#[derive(Debug)]
pub struct Check {
    edits: Vec<Edit>,
}

impl Spec {
    pub(super) fn compile(self, context: &mut Context<'_>) -> Option<Check> {
        let before = context.faults.len();
        let mut edits = Vec::new();
        let mut seen = Vec::new();
        for (index, name) in self.remove.iter().enumerate() {
            let at = context.at.key("remove").index(index);
            if let Some(name) = field(context, at, name, &mut seen) {
                edits.push(Edit::Remove(name));
            }
        }
        for (key, fields, absent) in [("set", &self.set, false), ("set_if_absent", &self.set_if_absent, true)] {
            for (name, value) in fields {
                let at = context.at.key(key).key(name);
                let name = field(context, at.clone(), name, &mut seen);
                let value = content(context, at, value);
                if let (Some(name), Some(value)) = (name, value) {
                    edits.push(if absent { Edit::SetIfAbsent(name, value) } else { Edit::Set(name, value) });
                }
            }
        }
        if let Some(hsts) = self.hsts {
            edits.extend(hsts.compile(context, &mut seen));
        }
        (!context.failed_since(before)).then_some(Check { edits })
    }
}

impl Hsts {
    fn compile(self, context: &mut Context<'_>, seen: &mut Vec<HeaderName>) -> Option<Edit> {
        let at = context.at.key("hsts");
        let seconds = self.max_age.map_or(365 * DAY, |age| age.0.as_secs());
        if seconds > 3650 * DAY {
            context.error(at.key("max_age"), "at most 3650d");
        }
        if self.preload && (!self.subdomains || seconds < 365 * DAY) {
            context.error(at.key("preload"), "preloading needs `subdomains: true` and a `max_age` of at least 365d");
        }
        let mut text = format!("max-age={seconds}");
        if self.subdomains {
            text.push_str("; includeSubDomains");
        }
        if self.preload {
            text.push_str("; preload");
        }
        let name = field(context, at.clone(), "strict-transport-security", seen)?;
        Some(Edit::Set(name, content(context, at, &text)?))
    }
}

/// A name that may be edited, and is edited once.
fn field(context: &mut Context<'_>, at: Path, text: &str, seen: &mut Vec<HeaderName>) -> Option<HeaderName> {
    let Ok(name) = HeaderName::from_bytes(text.as_bytes()) else {
        context.error(at, format!("`{text}` is not a header name"));
        return None;
    };
    if FRAMING.contains(&name.as_str()) {
        context.error(at, format!("`{text}` frames the message and cannot be edited"));
        return None;
    }
    if seen.contains(&name) {
        context.error(at, format!("`{text}` is edited twice"));
        return None;
    }
    seen.push(name.clone());
    Some(name)
}

fn content(context: &mut Context<'_>, at: Path, text: &str) -> Option<HeaderValue> {
    // Spaces at the ends would be lost on the way and look like a mistake of the browser.
    let sound = HeaderValue::from_str(text).ok().filter(|_| text.trim() == text && !text.contains('\t'));
    if sound.is_none() {
        context.error(at, "not a header value: visible text on one line, without spaces at its ends");
    }
    sound
}

impl super::Beyond for Check {}

impl Check {
    pub(super) fn needs(&self) -> Needs {
        Needs::default()
    }

    pub(super) fn gives(&self) -> Gives {
        Gives::default()
    }

    pub(super) fn response_work(&self) -> ResponseWork {
        ResponseWork { edits: self.edits.iter().cloned().collect(), ..ResponseWork::default() }
    }

    pub(super) fn owned_headers(&self) -> &[HeaderName] {
        &[]
    }

    pub(super) async fn ask<I: Io>(&self, _: &mut Turn<'_, '_, I>) -> Answer {
        Answer::Pass
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::testing::{Bench, Scene};

    #[test]
    fn edits_are_what_the_policy_says() {
        let spec = json!({
            "set": {"X-Content-Type-Options": "nosniff"},
            "set_if_absent": {"Content-Security-Policy": "default-src 'self'"},
            "remove": ["Server"],
            "hsts": {"max_age": "365d", "subdomains": true},
        });
        let mut bench = Bench::new("response_headers", spec);
        assert_eq!(bench.ask(&Scene::default()), Answer::Pass);
        let set = |name, value| Edit::Set(HeaderName::from_static(name), HeaderValue::from_static(value));
        assert_eq!(
            bench.check.response_work().edits.as_slice(),
            [
                Edit::Remove(http::header::SERVER),
                set("x-content-type-options", "nosniff"),
                Edit::SetIfAbsent(
                    http::header::CONTENT_SECURITY_POLICY,
                    HeaderValue::from_static("default-src 'self'")
                ),
                set("strict-transport-security", "max-age=31536000; includeSubDomains"),
            ]
        );
    }

    #[test]
    fn every_bad_edit_is_named() {
        let spec = json!({
            "set": {"A b": "x", "X-Y": "one\r\ntwo", "Content-Length": "5", "X-Z": "1 "},
            "set_if_absent": {"x-y": "1"},
            "remove": ["Transfer-Encoding", "Connection", "x-y"],
            "hsts": {"max_age": "1d", "preload": true},
        });
        let faults = Bench::faults_of::<&str>("response_headers", spec, &[]);
        let value = "not a header value: visible text on one line, without spaces at its ends";
        assert_eq!(
            faults,
            [
                "it.remove[0]: `Transfer-Encoding` frames the message and cannot be edited".to_owned(),
                "it.remove[1]: `Connection` frames the message and cannot be edited".to_owned(),
                "it.set.A b: `A b` is not a header name".to_owned(),
                "it.set.Content-Length: `Content-Length` frames the message and cannot be edited".to_owned(),
                "it.set.X-Y: `X-Y` is edited twice".to_owned(),
                format!("it.set.X-Y: {value}"),
                format!("it.set.X-Z: {value}"),
                "it.set_if_absent.x-y: `x-y` is edited twice".to_owned(),
                "it.hsts.preload: preloading needs `subdomains: true` and a `max_age` of at least 365d".to_owned(),
            ]
        );
    }

    #[test]
    fn refuses_unknown_keys() {
        let faults = Bench::faults_of::<&str>("response_headers", json!({"sett": {}}), &[]);
        assert!(faults.iter().any(|fault| fault.contains("sett")), "{faults:?}");
    }
}

//! Origins as policies name them, and whether one that a browser sent is among them. Exact text decides: browsers
//! serialise an origin in exactly one way (lower-case, no default port).

use http::HeaderValue;
use http::header::HOST;

use crate::context::Context;
use crate::host;
use crate::request::Request;

/// The origins of one policy.
#[derive(Debug, Default)]
pub(in crate::checks) struct Origins {
    any: bool,
    exact: Vec<String>,
    /// Before and after the subdomain: `https://` and `.example.com:8443`.
    below: Vec<(String, String)>,
}

static ANY: HeaderValue = HeaderValue::from_static("*");

impl Origins {
    pub(in crate::checks) fn compile(context: &mut Context<'_>, texts: &[String]) -> Self {
        let mut origins = Self::default();
        if texts.is_empty() {
            context.error(context.at.key("origins"), "name at least one origin");
        }
        for (index, text) in texts.iter().enumerate() {
            if text == "*" {
                origins.any = true;
            } else if let Err(why) = origins.add(text) {
                context.error(context.at.key("origins").index(index), format!("`{text}` {why}"));
            }
        }
        if origins.any && texts.len() > 1 {
            context.warning(context.at.key("origins"), "`*` allows every origin; the others say nothing");
        }
        origins
    }

    fn add(&mut self, text: &str) -> Result<(), String> {
        let form = "is not an origin: write https://app.example.com, https://*.example.com or *";
        let (scheme, rest) = text.split_once("://").ok_or(form)?;
        if scheme != "https" && scheme != "http" {
            return Err("is neither http nor https".to_owned());
        }
        let (below, rest) = match rest.strip_prefix("*.") {
            Some(rest) => (true, rest),
            None => (false, rest),
        };
        let mut scratch = String::new();
        let named = host::canonical(rest, &mut scratch).map_err(|why| format!("is not an origin: {why}"))?;
        // `https://*.com` would be every page there is.
        if below && !named.name.contains('.') {
            return Err("allows a whole top-level domain".to_owned());
        }
        let usual = if scheme == "https" { 443 } else { 80 };
        let port = match named.port {
            Some(port) if port != usual => format!(":{port}"),
            Some(_) | None => String::new(),
        };
        match below {
            true => self.below.push((format!("{scheme}://"), format!(".{}{port}", named.name))),
            false => self.exact.push(format!("{scheme}://{}{port}", named.name)),
        }
        Ok(())
    }

    /// Whether every origin is allowed.
    pub(in crate::checks) fn any(&self) -> bool {
        self.any
    }

    /// The value for Access-Control-Allow-Origin.
    pub(in crate::checks) fn allow(&self, origin: &HeaderValue) -> Option<HeaderValue> {
        if self.any {
            return Some(ANY.clone());
        }
        let text = origin.to_str().ok()?;
        let exact = self.exact.iter().any(|known| known == text);
        (exact || self.below.iter().any(|rule| is_below(rule, text))).then(|| origin.clone())
    }
}

/// At least one label, and nothing but labels, where the star stands.
fn is_below((before, after): &(String, String), origin: &str) -> bool {
    let label = |text: &str| {
        !text.is_empty() && text.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_'))
    };
    origin
        .strip_prefix(before.as_str())
        .and_then(|rest| rest.strip_suffix(after.as_str()))
        .is_some_and(|labels| labels.split('.').all(label))
}

/// Whether an origin is the one that was asked: scheme, host and port.
pub(in crate::checks) fn is_own(request: &Request<'_>, origin: &str) -> bool {
    let authority = origin.strip_prefix(request.scheme).and_then(|rest| rest.strip_prefix("://"));
    authority.is_some_and(|authority| match request.headers.get(HOST) {
        Some(host) => host.as_bytes().eq_ignore_ascii_case(authority.as_bytes()),
        // HTTP/2 names only the authority, whose port the request does not keep.
        None => authority.split_once(':').map_or(authority, |(name, _)| name) == request.host,
    })
}

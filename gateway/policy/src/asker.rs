//! What kind of client asks, as far as an answer of the gateway's own depends on it: a page that can be sent elsewhere, a
//! script that understands statuses, htmx that goes where a field says. And where somebody may be sent back to.

use http::header::{ACCEPT, HeaderName};
use http::{HeaderMap, Method};

use crate::request::Request;

const HX_REQUEST: HeaderName = HeaderName::from_static("hx-request");
const SEC_FETCH_MODE: HeaderName = HeaderName::from_static("sec-fetch-mode");
const SEC_FETCH_DEST: HeaderName = HeaderName::from_static("sec-fetch-dest");

/// Longest address to go back to, in bytes.
const LONGEST: usize = 2048;

/// Who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asker {
    /// A browser that shows what comes: it follows a redirect.
    Page,
    /// htmx: it goes where `HX-Redirect` says.
    Htmx,
    /// A script or another program: it wants a status and problem+json.
    Api,
}

impl Asker {
    /// By what the request says of itself. A client may lie: it only gets another form of the same refusal.
    #[must_use]
    pub fn of(headers: &HeaderMap) -> Self {
        let is = |name: &HeaderName, word: &str| {
            headers
                .get(name)
                .is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(word.as_bytes()))
        };
        if is(&HX_REQUEST, "true") {
            return Self::Htmx;
        }
        if headers.contains_key(SEC_FETCH_MODE) {
            let frame = is(&SEC_FETCH_DEST, "iframe") || is(&SEC_FETCH_DEST, "frame");
            let shown = is(&SEC_FETCH_MODE, "navigate") && !frame;
            return if shown { Self::Page } else { Self::Api };
        }
        let accept = headers.get(ACCEPT).map(http::HeaderValue::as_bytes);
        let html = accept.is_some_and(|accept| {
            let mut parts = accept.split(|byte| *byte == b',');
            parts.any(|part| {
                let essence = part.split(|byte| *byte == b';').next().unwrap_or_default();
                essence.trim_ascii().eq_ignore_ascii_case(b"text/html")
            })
        });
        if html { Self::Page } else { Self::Api }
    }
}

/// Whether a program asks, and says that it reads JSON.
#[must_use]
pub fn wants_json(headers: &HeaderMap) -> bool {
    let says = |word: &[u8]| {
        let mut lines = headers.get_all(ACCEPT).iter();
        lines.any(|line| {
            let mut parts = line.as_bytes().split(|byte| *byte == b',');
            parts.any(|part| {
                let essence = part.split(|byte| *byte == b';').next().unwrap_or_default();
                essence.trim_ascii().eq_ignore_ascii_case(word)
            })
        })
    };
    says(b"application/json") && !says(b"text/html")
}

/// Where a client that is sent away now may be sent back to: the very address, if it can be asked for again.
#[must_use]
pub fn here(request: &Request<'_>) -> Option<String> {
    if *request.method != Method::GET && *request.method != Method::HEAD {
        return None;
    }
    is_local(request.target).then(|| request.target.to_owned())
}

/// Whether an address stays on this host whatever reads it: one slash, no backslash, nothing that is not printed.
#[must_use]
pub fn is_local(address: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_graphic() && byte != b'\\';
    let mut bytes = address.bytes();
    address.len() <= LONGEST
        && bytes.next() == Some(b'/')
        && bytes.next() != Some(b'/')
        && address.bytes().all(plain)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn asker(fields: &[(&'static str, &'static str)]) -> Asker {
        let fields = fields.iter().map(|(name, value)| {
            let name = HeaderName::from_static(name);
            (name, HeaderValue::from_static(value))
        });
        Asker::of(&fields.collect())
    }

    #[test]
    fn tells_pages_from_scripts() {
        let html = ("accept", "text/html,application/xhtml+xml;q=0.9,*/*;q=0.8");
        assert_eq!(asker(&[html]), Asker::Page);
        assert_eq!(asker(&[("accept", "*/*")]), Asker::Api);
        assert_eq!(asker(&[]), Asker::Api);
        assert_eq!(asker(&[html, ("hx-request", "true")]), Asker::Htmx);
        assert_eq!(asker(&[html, ("sec-fetch-mode", "cors")]), Asker::Api);
        let mode = ("sec-fetch-mode", "navigate");
        assert_eq!(asker(&[mode, ("sec-fetch-dest", "document")]), Asker::Page);
        assert_eq!(asker(&[mode, ("sec-fetch-dest", "iframe")]), Asker::Api);
    }

    #[test]
    fn nobody_is_sent_to_another_host() {
        for good in ["/", "/a?b=c&d=//e", "/a//b"] {
            assert!(is_local(good), "{good}");
        }
        for bad in [
            "",
            "a",
            "//evil.example",
            "/\\evil.example",
            "https://evil.example",
            "/a\r\nb",
            "/a b",
            "/\t/evil.example",
            "/é",
        ] {
            assert!(!is_local(bad), "{bad}");
        }
    }
}

//! What a person sees of a refusal: what it is in their language, and what to name when it is a mistake. Says nothing that
//! helps an attack. Decides nothing.

use http::header::ACCEPT;
use http::{HeaderMap, StatusCode};

use super::html::Html;
use super::text::Text;
use super::{Page, language};
use crate::decision::{Reason, Reply};

/// Somebody who reads pages, in a language.
#[derive(Debug, Clone, Copy)]
pub struct Reader(&'static Text);

impl Reader {
    /// `None`: a program, which gets problem+json.
    #[must_use]
    pub fn of(headers: &HeaderMap) -> Option<Self> {
        let accept = headers.get(ACCEPT)?;
        let page = memchr::memmem::find(accept.as_bytes(), b"text/html").is_some();
        page.then(|| Self(language::of(headers)))
    }

    /// The refusal as a page. `id` is the request's.
    #[must_use]
    pub fn shown(self, reason: Reason, status: StatusCode, id: &str) -> Reply {
        let Self(text) = self;
        let (title, later) = about(text, reason, status);
        let mut body = Html::default();
        if let Some(words) = more(text, reason) {
            body.put("<p>{}</p>\n", &[words]);
        }
        if later {
            body.put("<p>{}</p>\n", &[text.refused_later]);
        }
        body.put("<p>{}</p>\n<dl>\n", &[text.refused_hint]);
        for (word, value) in [
            (text.refused_request, id),
            (text.refused_status, status.as_str()),
            (text.refused_reason, reason.code()),
        ] {
            body.put("<dt>{}</dt><dd><code>{}</code></dd>\n", &[word, value]);
        }
        body.put("</dl>\n", &[]);
        let page = Page {
            text,
            title,
            refused: true,
            body,
            script: None,
            leads: None,
        };
        page.reply(reason, status)
    }
}

/// What its status does not say.
fn more(text: &'static Text, reason: Reason) -> Option<&'static str> {
    match reason {
        Reason::FormStale | Reason::CsrfFailed => Some(text.stale),
        Reason::SessionsFull => Some(text.login_full),
        _ => None,
    }
}

/// What happened, and whether it may be otherwise later.
fn about(text: &'static Text, reason: Reason, status: StatusCode) -> (&'static str, bool) {
    match status.as_u16() {
        401 if matches!(
            reason,
            Reason::SecondFactorRequired | Reason::SecondFactorMissing
        ) =>
        {
            (text.verify_title, false)
        }
        429 if matches!(reason, Reason::TooManyFailures | Reason::SecondFactorLocked) => {
            (text.refused_tries, true)
        }
        408 => (text.refused_slow, true),
        401 | 407 => (text.refused_login, false),
        403 | 451 => (text.refused_denied, false),
        404 | 410 => (text.refused_nothing, false),
        413 | 414 | 431 => (text.refused_large, false),
        429 => (text.refused_often, true),
        502 | 504 => (text.refused_upstream, true),
        500.. => (text.refused_busy, true),
        _ => (text.refused_malformed, false),
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use http::HeaderValue;

    use super::*;

    #[test]
    fn people_get_a_page_in_their_language_and_programs_do_not() {
        let mut headers = HeaderMap::new();
        assert!(Reader::of(&headers).is_none());
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        assert!(Reader::of(&headers).is_none());
        headers.insert(ACCEPT, HeaderValue::from_static("text/html,*/*;q=0.8"));
        headers.insert("accept-language", HeaderValue::from_static("de-AT"));
        let reader = Reader::of(&headers).unwrap();
        let reply = reader.shown(Reason::WafBlocked, StatusCode::FORBIDDEN, "<id>");
        let page = String::from_utf8(reply.body.to_vec()).unwrap();
        for part in [
            "<html lang=\"de\">",
            "Zugriff verweigert",
            "&lt;id&gt;",
            "waf_blocked",
        ] {
            assert!(page.contains(part), "{part}: {page}");
        }
        assert!(!page.contains("<id>") && !page.contains("<form"));
    }

    #[test]
    fn every_status_says_what_it_is() {
        let text = &super::super::text::ENGLISH;
        for (status, title, later) in [
            (400, "This request was not understood", false),
            (405, "This request was not understood", false),
            (401, "Please sign in", false),
            (403, "Access denied", false),
            (404, "There is nothing here", false),
            (413, "That was too large", false),
            (429, "Too many requests", true),
            (408, "That took too long", true),
            (500, "Not available right now", true),
            (502, "The application does not answer", true),
            (503, "Not available right now", true),
        ] {
            let status = StatusCode::from_u16(status).unwrap();
            let told = about(text, Reason::Forbidden, status);
            assert_eq!(told, (title, later), "{status}");
        }
    }
}

//! The gateway's own pages: one frame for all of them, with the header fields that keep others out. What a page says and
//! does belongs to the check that serves it; words are in `text`, one file per language.

use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{
    CACHE_CONTROL, CONTENT_LANGUAGE, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY,
    X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use http::{HeaderName, HeaderValue, StatusCode};
use sha2::{Digest as _, Sha256};

use crate::decision::{Action, Effects, Reason, Reply};

pub(crate) mod emergency;
pub(crate) mod form;
pub(crate) mod html;
pub(crate) mod language;
pub(crate) mod login;
pub(crate) mod mfa;
pub(crate) mod qr;
pub mod refused;
pub(crate) mod sessions;
mod style;
pub(crate) mod text;

use html::Html;
use text::Text;

/// A script that is known when Palisade is built: a page that carries it names its hash, and no other one runs.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Script(pub(crate) &'static str);

/// A page without its frame.
#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) text: &'static Text,
    pub(crate) title: &'static str,
    /// What the visitor did was refused: the title says so, for those who hear it first.
    pub(crate) refused: bool,
    pub(crate) body: Html,
    pub(crate) script: Option<Script>,
    /// Another host where a form of the page leads in the end: browsers hold redirects against the policy, too.
    pub(crate) leads: Option<String>,
}

static STYLE_HASH: LazyLock<String> = LazyLock::new(|| hash(style::STYLE));

/// As `style-src` and `script-src` name it.
fn hash(text: &str) -> String {
    format!("'sha256-{}'", STANDARD.encode(Sha256::digest(text)))
}

impl Page {
    /// The whole page as an answer.
    pub(crate) fn reply(self, reason: Reason, status: StatusCode) -> Reply {
        let policy = self.policy();
        let fixed = HeaderValue::from_static;
        let mut headers = vec![
            (CONTENT_TYPE, fixed("text/html; charset=utf-8")),
            (CONTENT_LANGUAGE, fixed(self.text.tag)),
            (CACHE_CONTROL, fixed("no-store")),
            (X_CONTENT_TYPE_OPTIONS, fixed("nosniff")),
            (X_FRAME_OPTIONS, fixed("DENY")),
            // `no-referrer` would make browsers send `Origin: null` with our own forms.
            (REFERRER_POLICY, fixed("same-origin")),
            (
                HeaderName::from_static("cross-origin-opener-policy"),
                fixed("same-origin"),
            ),
        ];
        headers.extend(policy.map(|policy| (CONTENT_SECURITY_POLICY, policy)));
        let action = if reason == Reason::Ok {
            Action::Allow
        } else {
            Action::Deny
        };
        Reply {
            reason,
            status,
            headers,
            body: Bytes::from(self.document().into_string()),
            action,
        }
    }

    fn policy(&self) -> Option<HeaderValue> {
        let style = STYLE_HASH.as_str();
        let leads = self
            .leads
            .as_deref()
            .map_or_else(String::new, |host| format!(" {host}"));
        let mut policy = format!(
            "default-src 'none'; style-src {style}; form-action 'self'{leads}; frame-ancestors 'none'; base-uri 'none'"
        );
        if let Some(script) = self.script {
            policy.push_str("; script-src ");
            policy.push_str(&hash(script.0));
        }
        HeaderValue::try_from(policy).ok()
    }

    fn document(&self) -> Html {
        let mut page = Html::default();
        page.put(
            "<!doctype html>\n<html lang=\"{}\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
             <meta name=\"robots\" content=\"noindex\">\n<title>",
            &[self.text.tag],
        );
        if self.refused {
            page.put("{}: ", &[self.text.problem]);
        }
        page.put("{}</title>\n<style>", &[self.title]);
        page.put(style::STYLE, &[]);
        page.put(
            "</style>\n</head>\n<body>\n<main>\n<h1>{}</h1>\n",
            &[self.title],
        );
        page.join(&self.body);
        page.put("</main>\n", &[]);
        if let Some(script) = self.script {
            page.put("<script>", &[]);
            page.put(script.0, &[]);
            page.put("</script>\n", &[]);
        }
        page.put("</body>\n</html>\n", &[]);
        page
    }
}

/// What a route's `response_headers` set for the application must not take the place of a page's own fields: they go where
/// nothing follows them.
pub(crate) fn insist(reply: &Reply, effects: &mut Effects) {
    let kept = [
        CACHE_CONTROL,
        CONTENT_SECURITY_POLICY,
        REFERRER_POLICY,
        X_CONTENT_TYPE_OPTIONS,
        X_FRAME_OPTIONS,
    ];
    let own = reply.headers.iter().filter(|(name, _)| kept.contains(name));
    effects.response.extend(own.cloned());
}

#[cfg(test)]
mod tests;

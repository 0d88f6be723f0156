//! Forms of the gateway's own pages: read, and refused unless one of our pages of the very same session sent them.

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::HeaderName;
use http::header::{CONTENT_TYPE, ORIGIN};
use subtle::ConstantTimeEq as _;

use crate::checks::Turn;
use crate::checks::jwt::strict;
use crate::decision::{Answer, Reason};
use crate::io::{BodyFault, Io};
use crate::key::{self, Keys};
use crate::request::{Request, Session};

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Longest form, in bytes.
const LONGEST: u64 = 64 << 10;

/// The fields of a form, or the members of a JSON object that stands for one.
#[derive(Debug, Default)]
pub(crate) struct Form {
    fields: Vec<(String, String)>,
    json: bool,
}

impl Form {
    /// Reads the request's body.
    pub(crate) async fn read<I: Io>(turn: &mut Turn<'_, '_, I>) -> Result<Self, Answer> {
        let kind = turn.request.headers.get(CONTENT_TYPE);
        let kind = kind.and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        let essence = kind.split(';').next().unwrap_or_default().trim();
        let json = essence.eq_ignore_ascii_case("application/json");
        if !json && !essence.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
            return Err(Answer::deny(Reason::BodyUnparsable));
        }
        match turn.io.body(LONGEST).await {
            Ok(body) if json => {
                let fields = members(&body).ok_or_else(|| Answer::deny(Reason::BodyUnparsable))?;
                Ok(Self { fields, json })
            }
            Ok(body) => Ok(Self {
                fields: form_urlencoded::parse(&body).into_owned().collect(),
                json,
            }),
            Err(BodyFault::TooLarge) => Err(Answer::deny(Reason::BodyTooLarge)),
            Err(BodyFault::TooSlow) => Err(Answer::deny(Reason::BodyTimeout)),
            Err(BodyFault::NoRoom) => Err(Answer::deny(Reason::Overload)),
            Err(BodyFault::Broken) => Err(Answer::deny(Reason::BodyBroken)),
        }
    }

    /// Whether a program sent it.
    pub(crate) fn is_json(&self) -> bool {
        self.json
    }

    /// The only value of that name, trimmed; empty when there is none, or more than one.
    pub(crate) fn value(&self, name: &str) -> &str {
        let mut values = self.fields.iter().filter(|(key, _)| key == name);
        match (values.next(), values.next()) {
            (Some((_, value)), None) => value.trim(),
            _ => "",
        }
    }
}

/// The members of an object, each once; of objects in it the text.
fn members(body: &[u8]) -> Option<Vec<(String, String)>> {
    if body.trim_ascii().is_empty() {
        return Some(Vec::new());
    }
    let members = strict::object(body)?.into_iter();
    let text = |value| match value {
        serde_json::Value::String(text) => text,
        other => other.to_string(),
    };
    Some(members.map(|(name, value)| (name, text(value))).collect())
}

/// 256 bits for one purpose, the same wherever the same keys are. `Debug` shows nothing.
pub(crate) struct Secret(pub(crate) [u8; 32]);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(…)")
    }
}

impl Secret {
    pub(crate) fn derived(keys: Keys, purpose: &str) -> Self {
        let mut secret = [0; 32];
        for (half, part) in secret.chunks_mut(16).zip(0u64..) {
            let domain = key::stable("palisade/pages/secret");
            let made = keys.start(domain).part(part, purpose.as_bytes()).finish();
            half.copy_from_slice(&made.0.to_le_bytes());
        }
        Self(secret)
    }
}

/// Makes and judges the tokens of forms.
#[derive(Debug)]
pub(crate) struct Guard(hmac::Key);

impl Guard {
    pub(crate) fn new(keys: Keys) -> Self {
        let secret = Secret::derived(keys, "form");
        Self(hmac::Key::new(hmac::HMAC_SHA256, &secret.0))
    }

    /// What a page of this session puts into its forms.
    pub(crate) fn token(&self, session: &Session) -> String {
        let tag = hmac::sign(&self.0, &session.binding.0.to_le_bytes());
        URL_SAFE_NO_PAD.encode(tag)
    }

    /// Whether a page of ours, shown in this session, sent the form: its token fits, and nothing that a browser says of
    /// where it came from speaks against it.
    pub(crate) fn admits(&self, request: &Request<'_>, session: &Session, token: &str) -> bool {
        let expected = self.token(session);
        let same: bool = expected.as_bytes().ct_eq(token.as_bytes()).into();
        same && from_here(request)
    }

    /// Whether a script of ours sent it: no page of another origin can send JSON without being allowed to first (the Fetch
    /// standard, 4.8), and the browser says that this one need not be. What no browser sends needs the token.
    pub(crate) fn admits_script(
        &self,
        request: &Request<'_>,
        session: &Session,
        token: &str,
    ) -> bool {
        let said = request.headers.contains_key(ORIGIN)
            || request
                .headers
                .get(SEC_FETCH_SITE)
                .is_some_and(|site| site == "same-origin");
        from_here(request) && (said || self.admits(request, session, token))
    }
}

/// By Sec-Fetch-Site, which pages cannot forge, and by Origin. Clients that send neither have the token alone.
fn from_here(request: &Request<'_>) -> bool {
    let site = request.headers.get(SEC_FETCH_SITE);
    if site.is_some_and(|site| site != "same-origin" && site != "none") {
        return false;
    }
    let Some(origin) = request.headers.get(ORIGIN) else {
        return true;
    };
    let origin = origin.to_str().unwrap_or_default();
    let authority = origin.split_once("://").map_or("", |(_, rest)| rest);
    let host = match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
        _ => authority,
    };
    !host.is_empty() && host.eq_ignore_ascii_case(request.host)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::io::Key;
    use crate::testing::Scene;

    #[test]
    fn a_token_is_good_in_its_own_session_and_from_its_own_host_only() {
        let guard = Guard::new(Keys::derived(b"tests"));
        let session = |binding| Session {
            binding: Key(binding),
            started: 0,
        };
        let (mine, other) = (session(1), session(2));
        let token = guard.token(&mine);
        let admits = |scene: Scene, session: &Session, token: &str| {
            scene.asked(|request| guard.admits(request, session, token))
        };
        assert!(admits(Scene::default(), &mine, &token));
        assert!(!admits(Scene::default(), &other, &token));
        assert!(!admits(Scene::default(), &mine, ""));
        assert!(!admits(Scene::default(), &mine, &guard.token(&other)));
        let stranger = Guard::new(Keys::derived(b"others"));
        assert!(!admits(Scene::default(), &mine, &stranger.token(&mine)));
        for (name, value, good) in [
            ("origin", "https://app.example", true),
            ("origin", "https://APP.example:8443", true),
            ("origin", "https://evil.example", false),
            ("origin", "https://app.example.evil.example", false),
            ("origin", "null", false),
            ("origin", "https://", false),
            ("sec-fetch-site", "same-origin", true),
            ("sec-fetch-site", "same-site", false),
            ("sec-fetch-site", "cross-site", false),
        ] {
            let scene = Scene::default().header(name, value);
            assert_eq!(admits(scene, &mine, &token), good, "{name}: {value}");
        }
    }
}

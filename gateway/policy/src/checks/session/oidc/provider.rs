//! What is asked of the provider: its metadata, a code's tokens, what else it knows of the user. Knows no request and no
//! cookie.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderName, HeaderValue};
use http::Method;
use serde_json::{Map, Value};
use zeroize::Zeroizing;

use super::Flaw;
use super::claims::text;
use super::key::Assertion;
use crate::checks::jwt::{Metadata, Parts, Published, basic, bearer, strict};
use crate::decision::Reason;
use crate::io::{Call, Fetched, Io};

/// Largest answer, bytes.
const LARGEST: usize = 64 << 10;

/// See the module.
#[derive(Debug)]
pub(super) struct Provider {
    pub(super) issuer: String,
    pub(super) published: Published,
    /// The name that the gateway has there.
    pub(super) client: String,
    pub(super) proof: Proof,
    pub(super) timeout: Duration,
}

/// How the gateway shows the provider that it is this client.
pub(super) enum Proof {
    /// By a secret: as HTTP Basic or in the form; `None`: whichever the provider's metadata have.
    Secret(Zeroizing<Vec<u8>>, Option<Way>),
    /// By a signature (`private_key_jwt`).
    Key(Assertion),
    /// Not at all: PKCE alone binds the code.
    Nothing,
}

/// How a secret is shown (RFC 6749, 2.3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    Basic,
    Post,
}

impl std::fmt::Debug for Proof {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Secret(_, way) => write!(f, "Secret(…, {way:?})"),
            Self::Key(_) => f.write_str("Key(…)"),
            Self::Nothing => f.write_str("Nothing"),
        }
    }
}

/// What a code was worth.
#[derive(Debug)]
pub(super) struct Tokens {
    pub(super) id: String,
    pub(super) access: Zeroizing<String>,
}

impl Provider {
    /// What the provider says of itself.
    pub(super) async fn metadata<I: Io>(&self, io: &mut I) -> Result<Arc<Metadata>, Flaw> {
        let metadata = self.published.metadata(io).await;
        let why = || format!("{} gives no metadata, or another issuer's", self.issuer);
        metadata.ok_or_else(|| Flaw::Unavailable(why()))
    }

    /// A token that the provider signed. `every`: how often a key that is not known asks for newer ones.
    pub(super) async fn signed<'t, I: Io>(&self, token: &'t str, every: Duration, io: &mut I) -> Result<Parts<'t>, Flaw> {
        let parts = Parts::of(token).ok_or_else(|| Flaw::refused("the provider's token is none, or not signed"))?;
        match self.published.signed(&parts, every, io).await {
            Ok(_) => Ok(parts),
            Err(Reason::RemoteUnavailable) => Err(Flaw::Unavailable(format!("{} gives no keys", self.issuer))),
            Err(_) => Err(Flaw::refused("the provider's token is not signed by its keys and algorithms")),
        }
    }

    /// Changes a code for tokens.
    pub(super) async fn exchange<I: Io>(
        &self,
        io: &mut I,
        metadata: &Metadata,
        code: &str,
        (redirect, verifier): (&str, &str),
    ) -> Result<Tokens, Flaw> {
        let url = endpoint(metadata, "token_endpoint")?;
        let call = self.redeeming(io, metadata, url, [code, redirect, verifier])?;
        let answer = fetched(io, &call).await?;
        let fields = strict::object(&answer.body);
        if answer.status != 200 {
            let error = fields.as_ref().and_then(|fields| text(fields, "error")).map_or_else(String::new, plain);
            return Err(match error.as_str() {
                "invalid_grant" => Flaw::refused("the provider does not know this code (invalid_grant)"),
                _ => Flaw::Unavailable(format!("{url} answers {} {error}", answer.status)),
            });
        }
        let fields = fields.ok_or_else(|| Flaw::Unavailable(format!("{url} answers no JSON object")))?;
        let bearer = text(&fields, "token_type").is_some_and(|kind| kind.eq_ignore_ascii_case("bearer"));
        match (text(&fields, "id_token"), text(&fields, "access_token")) {
            (Some(id), Some(access)) if bearer => Ok(Tokens {
                id: id.to_owned(),
                access: Zeroizing::new(access.to_owned()),
            }),
            _ => Err(Flaw::Unavailable(format!("{url} answers without an ID token and a bearer access token"))),
        }
    }

    /// What the token endpoint is asked.
    fn redeeming<I: Io>(&self, io: &mut I, metadata: &Metadata, url: &str, shown: [&str; 3]) -> Result<Call, Flaw> {
        let [code, redirect, verifier] = shown;
        let mut form = form_urlencoded::Serializer::new(String::new());
        form.append_pair("grant_type", "authorization_code").append_pair("code", code);
        form.append_pair("redirect_uri", redirect).append_pair("code_verifier", verifier);
        let authorization = self.prove(io, metadata, url, &mut form)?;
        let form_type = HeaderValue::from_static("application/x-www-form-urlencoded");
        let mut headers = vec![(CONTENT_TYPE, form_type)];
        headers.extend(authorization.map(|value| (AUTHORIZATION, value)));
        Ok(self.call(Method::POST, url, headers, Bytes::from(form.finish())))
    }

    /// Shows who asks, in the form or in the field that is given back.
    fn prove<I: Io>(
        &self,
        io: &mut I,
        metadata: &Metadata,
        url: &str,
        form: &mut form_urlencoded::Serializer<'_, String>,
    ) -> Result<Option<HeaderValue>, Flaw> {
        let broken = || Flaw::Unavailable("the client's secret or key cannot be shown".to_owned());
        match &self.proof {
            Proof::Nothing => {
                form.append_pair("client_id", &self.client);
                Ok(None)
            }
            Proof::Secret(secret, way) => match way.unwrap_or_else(|| way_of(metadata)) {
                Way::Basic => basic(&self.client, secret).ok_or_else(broken).map(Some),
                Way::Post => {
                    let secret = std::str::from_utf8(secret).map_err(|_| broken())?;
                    form.append_pair("client_id", &self.client).append_pair("client_secret", secret);
                    Ok(None)
                }
            },
            Proof::Key(key) => {
                let (random, now) = (io.random(), io.now().unix / 1000);
                let assertion = key.made(&self.client, url, random, now).ok_or_else(broken)?;
                form.append_pair("client_id", &self.client);
                form.append_pair("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer");
                form.append_pair("client_assertion", &assertion);
                Ok(None)
            }
        }
    }

    /// What else the provider says of the user; it must be the same one (Core, 5.3.2).
    pub(super) async fn userinfo<I: Io>(
        &self,
        io: &mut I,
        metadata: &Metadata,
        access: &str,
        sub: &str,
    ) -> Result<Map<String, Value>, Flaw> {
        let url = endpoint(metadata, "userinfo_endpoint")?;
        let token = bearer(access.as_bytes()).ok_or_else(|| Flaw::refused("the access token is no token"))?;
        let call = self.call(Method::GET, url, vec![(AUTHORIZATION, token)], Bytes::new());
        let answer = fetched(io, &call).await?;
        if answer.status != 200 {
            return Err(Flaw::Unavailable(format!("{url} answers {}", answer.status)));
        }
        let claims = strict::object(&answer.body);
        let claims = claims.ok_or_else(|| Flaw::Unavailable(format!("{url} answers no JSON object")))?;
        if text(&claims, "sub") != Some(sub) {
            return Err(Flaw::refused("the provider's user information is about somebody else (sub)"));
        }
        Ok(claims)
    }

    fn call(&self, method: Method, url: &str, more: Vec<(HeaderName, HeaderValue)>, body: Bytes) -> Call {
        let mut headers = vec![(ACCEPT, HeaderValue::from_static("application/json"))];
        headers.extend(more);
        Call {
            method,
            url: url.to_owned(),
            headers,
            body,
            timeout: self.timeout,
            max: LARGEST,
            cache: None,
        }
    }
}

async fn fetched<I: Io>(io: &mut I, call: &Call) -> Result<Arc<Fetched>, Flaw> {
    let answer = io.fetch(call).await;
    answer.map_err(|fault| Flaw::Unavailable(format!("{} gives no answer ({fault:?})", call.url)))
}

/// One of the provider's addresses.
pub(super) fn endpoint<'m>(metadata: &'m Metadata, name: &'static str) -> Result<&'m str, Flaw> {
    metadata.url(name).ok_or_else(|| Flaw::Unavailable(format!("the provider's metadata name no {name}")))
}

/// Basic is what every provider must know; where it says that it knows the form alone, the form.
fn way_of(metadata: &Metadata) -> Way {
    let known = metadata.field("token_endpoint_auth_methods_supported").and_then(Value::as_array);
    let has = |name: &str| known.is_some_and(|known| known.iter().any(|one| one.as_str() == Some(name)));
    if !has("client_secret_basic") && has("client_secret_post") { Way::Post } else { Way::Basic }
}

/// A word of the provider's, as far as an event may repeat it.
pub(super) fn plain(word: &str) -> String {
    let known = |letter: &char| letter.is_ascii_alphanumeric() || "_-.".contains(*letter);
    word.chars().filter(known).take(64).collect()
}

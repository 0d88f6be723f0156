//! What operators write for `oidc`, and how it becomes a log-in.

use std::collections::BTreeMap;
use std::time;

use http::Uri;
use jsonwebtoken::Algorithm;
use serde::Deserialize;

use super::claims::Rules;
use super::flow::Sealer;
use super::key::Assertion;
use super::provider::{Proof, Provider, Way};
use super::{Host, Oidc};
use crate::asker;
use crate::checks::authorize::ClaimPath;
use crate::checks::jwt::{Place, Published, Signature, Wanted, url};
use crate::checks::session::keeper::Cookie;
use crate::context::Context;
use crate::key::stable;
use crate::limit::{self, Limit};
use crate::pages::form::Guard;
use crate::scalar::{Duration, Rate, Texts};

/// How long keys and metadata are used before newer ones are asked for, and without any answer. Seconds.
const REFRESH: u64 = 300;
const KEEP: u64 = 86_400;
/// What the gateway says itself in the address of a log-in.
const OWN: [&str; 14] = [
    "client_id", "redirect_uri", "response_type", "response_mode", "scope", "state", "nonce", "code_challenge",
    "code_challenge_method", "max_age", "request", "request_uri", "client_secret", "registration",
];
/// All algorithms with a public key: nobody who knows the client's secret may sign who logs in.
const PUBLIC: [Algorithm; 9] = [
    Algorithm::RS256, Algorithm::RS384, Algorithm::RS512, Algorithm::PS256, Algorithm::PS384, Algorithm::PS512,
    Algorithm::ES256, Algorithm::ES384, Algorithm::EdDSA,
];

/// A log-in at an OpenID provider: Authorization Code with PKCE, on the gateway's own pages (`/.palisade/login`, log-out at
/// `/.palisade/logout`), which a route must serve. The address to register there is `url` + `/.palisade/login/callback`.
#[derive(Debug, Clone, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "SessionOidc")]
pub(in crate::checks::session) struct OidcSpec {
    /// The provider's issuer URL; its metadata (OpenID Connect Discovery) say the rest.
    issuer_url: String,
    /// The name that this gateway has there (`client_id`).
    client: String,
    /// What browsers call this gateway, such as `https://shop.example.com`; several, where it has several names. Log-ins begin
    /// on these hosts alone.
    url: Texts,
    /// Name of the secret that goes with `client`. Neither this nor `key`: a public client, bound by PKCE alone.
    secret: Option<String>,
    /// How the secret is shown: basic or post. Default: as the provider's metadata say.
    auth: Option<Auth>,
    /// Name of a secret that holds a private key in PEM, in place of `secret` (private_key_jwt).
    key: Option<String>,
    /// The key's name at the provider (kid).
    key_id: Option<String>,
    /// What is asked for. Default: openid, which is always among them.
    #[serde(default)]
    scopes: Texts,
    /// What else stands in the address of a log-in, such as {prompt: select_account, acr_values: gold}.
    #[serde(default)]
    parameters: BTreeMap<String, String>,
    /// Claim that names the user. Default sub. `email` is believed only when email_verified says so.
    user: Option<String>,
    /// Claim with the user's roles, such as realm_access.roles, for `authorize` and `forward`.
    roles_from: Option<String>,
    /// Claims that the session keeps. Default: all, up to 16 KiB.
    #[serde(default)]
    claims: Texts,
    /// Claims that must have this value (or one of these), such as {hd: example.com}.
    #[serde(default)]
    require: BTreeMap<String, Wanted>,
    /// Others that an ID token may be for besides this client.
    #[serde(default)]
    audience: Texts,
    /// Algorithms that ID tokens may be signed with; only those with public keys. Default: what the provider's keys say, RS256,
    /// ES256, ES384 or EdDSA where they say nothing.
    #[serde(default)]
    algorithms: Vec<Signature>,
    /// Ask the provider's userinfo endpoint for more claims.
    #[serde(default)]
    userinfo: bool,
    /// The user must have proven who they are at most so long ago, or does so again.
    max_age: Option<Duration>,
    /// How far clocks may be apart. Default 30s, at most 5m.
    leeway: Option<Duration>,
    /// How long a log-in may take at the provider. Default 10m, from 1m to 1h.
    within: Option<Duration>,
    /// For each question to the provider. Default 5s, from 1s to 30s.
    timeout: Option<Duration>,
    /// Log-ins of a client that fail until it is refused. Default 30/1m.
    tries: Option<Rate>,
    /// Whether a log-out here is one at the provider as well. Default true.
    logout: Option<bool>,
    /// Path of this host where a log-out ends; to be registered at the provider. Default: a page of the gateway's own,
    /// /.palisade/logout.
    after_logout: Option<String>,
    /// Whether the provider may end sessions (Back-Channel Logout), at /.palisade/login/backchannel.
    #[serde(default)]
    back_channel: bool,
}

/// How a client's secret is shown (RFC 6749, 2.3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "SessionOidcAuth")]
enum Auth {
    /// HTTP Basic.
    Basic,
    /// In the form.
    Post,
}

impl OidcSpec {
    pub(in crate::checks::session) fn compile(self, context: &mut Context<'_>, cookie: &Cookie) -> Option<Oidc> {
        let here = context.at.key("oidc");
        let outer = std::mem::replace(&mut context.at, here);
        let made = self.made(context, cookie);
        context.at = outer;
        made
    }

    fn made(self, context: &mut Context<'_>, cookie: &Cookie) -> Option<Oidc> {
        let errors = context.errors();
        let issuer = url(context, &context.at.key("issuer_url"), &self.issuer_url);
        if self.client.is_empty() {
            context.error(context.at.key("client"), "empty: what does the provider call this gateway?");
        }
        let hosts = self.hosts(context, cookie);
        let proof = self.proof(context);
        let algorithms = self.algorithms(context);
        self.judge(context);
        let leeway = context.bounded("leeway", self.leeway, (30, [0, 300])).as_secs();
        let within = context.bounded("within", self.within, (600, [60, 3600]));
        let timeout = context.bounded("timeout", self.timeout, (5, [1, 30]));
        let max_age = self.max_age.map(|age| age.0.as_secs());
        if max_age == Some(0) {
            context.error(context.at.key("max_age"), "at least 1s: nobody could ever be recent enough");
        }
        let tries = self.tries.unwrap_or(Rate { max: 30, window: time::Duration::from_secs(60) });
        let (refresh, keep) = (time::Duration::from_secs(REFRESH), time::Duration::from_secs(KEEP));
        let (issuer, proof) = (issuer?, proof?);
        let pages = context.pages.to_owned();
        let made = Oidc {
            rules: self.rules(leeway, &issuer),
            provider: Provider {
                published: Published::new(Place::Issuer(issuer.clone()), algorithms, refresh, keep),
                issuer,
                client: self.client.clone(),
                proof,
                timeout,
            },
            hosts,
            scope: self.scope(),
            parameters: self.parameters.into_iter().collect(),
            max_age,
            userinfo: self.userinfo,
            within,
            tries: Limit {
                id: stable("session/oidc/tries"),
                algorithm: limit::Algorithm::Window,
                max: tries.max,
                window: tries.window,
                count_refused: false,
            },
            logout: self.logout.unwrap_or(true),
            after: self.after_logout.unwrap_or_else(|| format!("{pages}/logout")),
            back_channel: self.back_channel,
            sealer: Sealer::new(context.keys, context.name, &cookie.name),
            guard: Guard::new(context.keys),
            pages,
        };
        (context.errors() == errors).then_some(made)
    }

    /// What is written and cannot be meant.
    fn judge(&self, context: &mut Context<'_>) {
        let at = context.at.clone();
        for (name, value) in &self.parameters {
            let at = at.key("parameters").key(name);
            if OWN.contains(&name.as_str()) {
                context.error(at, format!("`{name}` is the gateway's own word in the address of a log-in"));
            } else if name == "prompt" && value.split(' ').any(|word| word == "none") {
                context.error(at, "nobody could ever log in: the provider may ask nothing");
            }
        }
        if self.user.as_deref() == Some("email") && !self.scopes.0.iter().any(|scope| scope == "email") {
            context.warning(at.key("user"), "`email` comes with the scope `email`: scopes: [openid, email]");
        }
        if matches!(self.user.as_deref(), Some("preferred_username" | "name" | "nickname")) {
            context.warning(at.key("user"), "users may choose it, and take another's: `sub` is one person's for ever");
        }
        if let Some(after) = self.after_logout.as_ref().filter(|after| !asker::is_local(after)) {
            context.error(at.key("after_logout"), format!("`{after}` is no page of this host: write its path, such as /bye"));
        }
        let known = |scope: &&String| !scope.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'"' && byte != b'\\');
        if let Some(scope) = self.scopes.0.iter().find(known) {
            context.error(at.key("scopes"), format!("`{scope}` is no scope: each is one word"));
        }
    }

    fn hosts(&self, context: &mut Context<'_>, cookie: &Cookie) -> Vec<Host> {
        let mut hosts: Vec<Host> = Vec::new();
        let at = context.at.key("url");
        for text in &self.url.0 {
            let Some((scheme, name)) = host(text) else {
                let why = format!("`{text}` is no URL of this gateway: scheme and host alone, such as https://shop.example.com");
                context.error(at.clone(), why);
                continue;
            };
            if hosts.iter().any(|other| other.name == name) {
                context.error(at.clone(), format!("{name} stands here twice: which one is a browser sent back to?"));
            }
            let near = name == "localhost" || name.starts_with("127.") || name == "[::1]";
            if scheme == "http" && cookie.secure && !near {
                context.warning(at.clone(), "browsers keep the gateway's cookies over TLS only: no log-in would ever end");
            }
            let url = text.trim_end_matches('/').to_owned();
            hosts.push(Host { name, url });
        }
        if self.url.0.is_empty() {
            context.error(at, "what do browsers call this gateway? Such as https://shop.example.com");
        }
        hosts
    }

    fn proof(&self, context: &mut Context<'_>) -> Option<Proof> {
        let at = context.at.clone();
        if self.secret.is_some() && self.key.is_some() {
            context.error(at.key("key"), "either `secret` or `key`: how does the gateway show who it is?");
            return None;
        }
        if self.auth.is_some() && self.secret.is_none() {
            context.error(at.key("auth"), "says how `secret` is shown, and there is none");
        }
        if self.key_id.is_some() && self.key.is_none() {
            context.error(at.key("key_id"), "names a `key`, and there is none");
        }
        let mut value = |key: &str, name: &str| context.secret(at.key(key), name)?.into_iter().next();
        if let Some(name) = &self.key {
            let pem = value("key", name)?;
            let key = Assertion::new(&pem, self.key_id.clone());
            if key.is_none() {
                context.error(at.key("key"), "holds no private key in PEM: RSA, P-256, P-384 or Ed25519 (PKCS #8)");
            }
            return key.map(Proof::Key);
        }
        let Some(name) = &self.secret else { return Some(Proof::Nothing) };
        let way = self.auth.map(|auth| match auth {
            Auth::Basic => Way::Basic,
            Auth::Post => Way::Post,
        });
        Some(Proof::Secret(value("secret", name)?, way))
    }

    fn algorithms(&self, context: &mut Context<'_>) -> Vec<Algorithm> {
        let algorithms: Vec<_> = self.algorithms.iter().map(|one| one.algorithm()).collect();
        if algorithms.iter().any(|one| !PUBLIC.contains(one)) {
            let at = context.at.key("algorithms");
            context.error(at, "an ID token is signed with a key that the provider alone has: no HS256, HS384 or HS512");
        }
        algorithms
    }

    fn scope(&self) -> String {
        let others = self.scopes.0.iter().map(String::as_str).filter(|scope| *scope != "openid");
        let all: Vec<_> = std::iter::once("openid").chain(others).collect();
        all.join(" ")
    }

    fn rules(&self, leeway: u64, issuer: &str) -> Rules {
        Rules {
            issuer: issuer.to_owned(),
            client: self.client.clone(),
            audiences: self.audience.0.clone(),
            leeway,
            require: self.require.clone(),
            user: self.user.clone().unwrap_or_else(|| "sub".to_owned()),
            roles: self.roles_from.as_deref().map(ClaimPath::new),
            kept: self.claims.0.clone(),
        }
    }
}

/// Scheme and host, as requests have it, of a URL that has nothing else but a port.
fn host(text: &str) -> Option<(&'static str, String)> {
    let parsed: Uri = text.parse().ok()?;
    let scheme = match parsed.scheme_str()? {
        "https" => "https",
        "http" => "http",
        _ => return None,
    };
    let name = parsed.host()?.to_ascii_lowercase();
    let bare = matches!(parsed.path(), "" | "/") && parsed.query().is_none() && !text.contains(['@', '#']);
    (bare && !name.is_empty() && !name.ends_with('.')).then_some((scheme, name))
}

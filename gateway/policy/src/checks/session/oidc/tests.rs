#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use std::collections::HashMap;
use std::sync::LazyLock;
use std::time::Duration;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use http::header::{LOCATION, SET_COOKIE};
use http::{HeaderValue, Method, StatusCode};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::decision::{Answer, Reason, Reply};
use crate::io::{FetchFault, Fetched, Space};
use crate::testing::{Bench, Scene};

mod answers;
mod faults;
mod logout;
mod tabs;
mod tokens;

const ISSUER: &str = "https://id.example";
/// The invented clock's start, in seconds.
const NOW: u64 = 1_767_225_600;
const BASE: &str = "/.palisade/";

static KEY: LazyLock<EcdsaKeyPair> = LazyLock::new(|| EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap());
static OTHER: LazyLock<EcdsaKeyPair> =
    LazyLock::new(|| EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap());

fn leaked(text: String) -> &'static str {
    Box::leak(text.into_boxed_str())
}

fn encode(part: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(part)
}

fn signed_by(key: &EcdsaKeyPair, header: &Value, claims: &Value) -> String {
    let message = format!("{}.{}", encode(header.to_string()), encode(claims.to_string()));
    let signature = key.sign(&SystemRandom::new(), message.as_bytes()).unwrap();
    format!("{message}.{}", encode(signature.as_ref()))
}

fn signed(claims: &Value) -> String {
    signed_by(&KEY, &json!({"alg": "ES256", "kid": "k1", "typ": "JWT"}), claims)
}

fn jwk(key: &EcdsaKeyPair, kid: &str) -> Value {
    let point = key.public_key().as_ref().to_vec();
    let (x, y) = point[1..].split_at(32);
    json!({"kty": "EC", "crv": "P-256", "kid": kid, "use": "sig", "alg": "ES256", "x": encode(x), "y": encode(y)})
}

/// A check with a provider that answers, and the browser of one user.
struct Stand {
    bench: Bench,
    version: u64,
    /// What the browser keeps.
    cookies: HashMap<String, String>,
}

/// A log-in that the browser was sent away with.
#[derive(Debug, Clone)]
struct Away {
    asked: HashMap<String, String>,
    /// Name and value of its cookie.
    cookie: (String, String),
}

impl Away {
    fn state(&self) -> &str {
        &self.asked["state"]
    }
}

fn with(base: Value, more: Value) -> Value {
    let mut all = base;
    all.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    all
}

/// What `oidc` says in most tests, with these keys besides.
fn oidc(more: Value) -> Value {
    with(json!({"issuer_url": ISSUER, "client": "shop", "secret": "client", "url": "https://app.example"}), more)
}

impl Stand {
    fn new(more: Value) -> Self {
        Self::of(json!({"oidc": oidc(more)}))
    }

    fn of(check: Value) -> Self {
        let files = [("roles.yaml", "u1: admin\n")];
        let bench = Bench::with_files("session", check, &files);
        let mut stand = Self { bench, version: 0, cookies: HashMap::new() };
        stand.provides(json!({}));
        stand.answers("/keys", 200, &json!({"keys": [jwk(&KEY, "k1")]}));
        stand
    }

    /// The provider's metadata, with these besides.
    fn provides(&mut self, more: Value) {
        let metadata = json!({
            "issuer": ISSUER,
            "authorization_endpoint": "https://id.example/auth?a=b",
            "token_endpoint": "https://id.example/token",
            "userinfo_endpoint": "https://id.example/me",
            "end_session_endpoint": "https://id.example/end",
            "jwks_uri": "https://id.example/keys",
        });
        self.answers("/.well-known/openid-configuration", 200, &with(metadata, more));
    }

    fn answers(&mut self, path: &str, status: u16, body: &Value) {
        self.says(path, status, &body.to_string());
    }

    fn says(&mut self, path: &str, status: u16, body: &str) {
        self.version += 1;
        let (body, version) = (Bytes::from(body.to_owned()), self.version);
        self.bench.io.answers.insert(format!("{ISSUER}{path}"), Ok(Fetched { status, body, version }));
    }

    fn is_down(&mut self, path: &str) {
        self.bench.io.answers.insert(format!("{ISSUER}{path}"), Err(FetchFault::Down));
    }

    /// The page at this address, with what the browser keeps.
    fn scene(&self, method: Method, address: &str) -> Scene {
        let (path, query) = match address.split_once('?') {
            Some((path, query)) => (path.to_owned(), Some(leaked(query.to_owned()))),
            None => (address.to_owned(), None),
        };
        let mut scene = Scene {
            method,
            path: leaked(path),
            query,
            ..Scene::default()
        };
        for (name, value) in &self.cookies {
            let line = HeaderValue::try_from(format!("{name}={value}")).unwrap();
            scene.headers.append("cookie", line);
        }
        scene.header("accept", "text/html")
    }

    fn get(&mut self, address: &str) -> Answer {
        let scene = self.scene(Method::GET, address);
        self.page(&scene)
    }

    fn page(&mut self, scene: &Scene) -> Answer {
        let answer = self.bench.page(scene);
        if let Answer::Reply(reply) = &answer {
            self.keep(reply);
        }
        answer
    }

    fn keep(&mut self, reply: &Reply) {
        for line in set(reply) {
            let (name, rest) = line.split_once('=').unwrap();
            match rest.contains("Max-Age=0") {
                true => self.cookies.remove(name),
                false => self.cookies.insert(name.to_owned(), rest.split(';').next().unwrap().to_owned()),
            };
        }
    }

    fn away(&mut self, query: &str) -> Away {
        let reply = replied(self.get(&format!("{BASE}login{query}")));
        assert_eq!(reply.status, StatusCode::SEE_OTHER, "{reply:?}");
        let location = location(&reply);
        let query = location.strip_prefix("https://id.example/auth?a=b&").unwrap();
        let line = set(&reply).into_iter().find(|line| !line.contains("Max-Age=0")).unwrap();
        let (name, rest) = line.split_once('=').unwrap();
        Away {
            asked: form_urlencoded::parse(query.as_bytes()).into_owned().collect(),
            cookie: (name.to_owned(), rest.split(';').next().unwrap().to_owned()),
        }
    }

    /// What the provider would say of u1 in this log-in.
    fn claims(&self, away: &Away) -> Value {
        let now = self.bench.io.now.unix / 1000;
        json!({"iss": ISSUER, "aud": "shop", "sub": "u1", "exp": now + 300, "iat": now, "nonce": away.asked["nonce"]})
    }

    /// The provider gives these tokens for any code.
    fn gives(&mut self, id_token: &str) {
        let body = json!({"access_token": "at", "token_type": "Bearer", "expires_in": 60, "id_token": id_token});
        self.answers("/token", 200, &body);
    }

    fn back(&mut self, away: &Away) -> Answer {
        self.get(&format!("{BASE}login/callback?code=c0de&state={}", away.state()))
    }

    /// A whole log-in with these claims besides.
    fn log_in(&mut self, query: &str, more: Value) -> Answer {
        let away = self.away(query);
        let token = signed(&with(self.claims(&away), more));
        self.gives(&token);
        self.back(&away)
    }

    /// Who the browser is to the application.
    fn who(&mut self) -> Result<String, Reason> {
        let scene = self.scene(Method::GET, "/orders");
        self.bench.facts = crate::request::Facts::default();
        match self.bench.ask(&scene) {
            Answer::Pass => Ok(self.bench.facts.identity.as_ref().unwrap().user.clone()),
            Answer::Deny(denial) => Err(denial.reason),
            Answer::Reply(reply) => Err(reply.reason),
        }
    }

    fn claim(&mut self, name: &str) -> Option<Value> {
        self.who().unwrap();
        self.bench.facts.identity.as_ref().unwrap().claims.get(name).cloned()
    }

    fn told(&self) -> Vec<&'static str> {
        self.bench.effects.told.iter().map(|told| told.event).collect()
    }

    /// How many values the store holds.
    fn stored(&self) -> usize {
        let (memory, now) = (&self.bench.io.memory, self.bench.io.now);
        Space::ALL.iter().map(|space| memory.list(*space, 1000, now).len()).sum()
    }

    fn asked(&self, path: &str) -> usize {
        self.bench.io.fetched.iter().filter(|call| call.url == format!("{ISSUER}{path}")).count()
    }
}

#[track_caller]
fn replied(answer: Answer) -> Reply {
    match answer {
        Answer::Reply(reply) => reply,
        other => panic!("{other:?}"),
    }
}

fn location(reply: &Reply) -> String {
    let found = reply.headers.iter().find(|(name, _)| name == LOCATION);
    found.unwrap().1.to_str().unwrap().to_owned()
}

fn set(reply: &Reply) -> Vec<String> {
    let lines = reply.headers.iter().filter(|(name, _)| name == SET_COOKIE);
    lines.map(|(_, value)| value.to_str().unwrap().to_owned()).collect()
}

/// Why it was refused; a page has the reason's own status.
#[track_caller]
fn why(answer: &Answer) -> Reason {
    match answer {
        Answer::Deny(denial) => denial.reason,
        Answer::Reply(reply) => {
            let sent = reply.status == StatusCode::SEE_OTHER;
            assert!(sent || reply.status == reply.reason.status(), "{reply:?}");
            reply.reason
        }
        Answer::Pass => panic!("passed"),
    }
}

#[test]
fn a_log_in_at_a_provider_ends_in_a_session() {
    let mut stand = Stand::of(json!({
        "oidc": oidc(json!({"scopes": ["email"], "parameters": {"prompt": "select_account"}, "roles_from": "realm.roles"})),
        "forward": {"user": "X-User-Id", "roles": "X-User-Roles", "name": "X-User-Name"},
    }));
    let away = stand.away("?return=%2Forders%3Fa%3D1");
    let expected = [
        ("response_type", "code"),
        ("client_id", "shop"),
        ("redirect_uri", "https://app.example/.palisade/login/callback"),
        ("scope", "openid email"),
        ("code_challenge_method", "S256"),
        ("prompt", "select_account"),
    ];
    for (name, value) in expected {
        assert_eq!(away.asked[name], value, "{name}");
    }
    assert_eq!(away.cookie.0, format!("__Host-session-login-{}", away.state()));
    assert_eq!(stand.stored(), 0, "a log-in under way is with the browser alone");
    let token = signed(&with(stand.claims(&away), json!({"name": "Ann", "realm": {"roles": ["user", "ops"]}, "role": "admin"})));
    stand.gives(&token);
    let reply = replied(stand.back(&away));
    assert_eq!((reply.status, location(&reply)), (StatusCode::SEE_OTHER, "/orders?a=1".to_owned()));
    let set = set(&reply);
    assert!(set[0].starts_with("__Host-session=") && set[0].ends_with("; Path=/; HttpOnly; Secure; SameSite=Lax"));
    assert!(set[1].starts_with(&format!("{}=; Path=/; Max-Age=0", away.cookie.0)), "{set:?}");
    assert_eq!(stand.told(), ["session_started"]);
    assert_eq!(stand.who(), Ok("u1".to_owned()));
    let identity = stand.bench.facts.identity.clone().unwrap();
    let forwarded: Vec<_> = identity.forward.iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap())).collect();
    assert_eq!(forwarded, [("x-user-name", "Ann"), ("x-user-roles", "user,ops"), ("x-user-id", "u1")]);
    for gone in ["nonce", "aud", "exp"] {
        assert!(!identity.claims.contains_key(gone), "{gone}");
    }
    // What the provider was asked.
    let call = stand.bench.io.fetched.iter().find(|call| call.url.ends_with("/token")).unwrap();
    let form: HashMap<_, _> = form_urlencoded::parse(&call.body).into_owned().collect();
    assert_eq!((form["code"].as_str(), form["grant_type"].as_str()), ("c0de", "authorization_code"));
    assert_eq!(form["redirect_uri"], away.asked["redirect_uri"]);
    assert_eq!(encode(Sha256::digest(&form["code_verifier"])), away.asked["code_challenge"]);
    let basic = call.headers.iter().find(|(name, _)| name == "authorization").unwrap();
    assert_eq!(basic.1, "Basic c2hvcDpjbGllbnQ=", "shop:client");
    assert!(!form.contains_key("client_secret"));
}

#[test]
fn who_has_no_session_is_sent_to_the_log_in_as_they_understand_it() {
    let mut stand = Stand::new(json!({}));
    let scene = stand.scene(Method::GET, "/orders");
    let reply = replied(stand.bench.ask(&scene));
    assert_eq!((reply.status, location(&reply).as_str()), (StatusCode::SEE_OTHER, "/.palisade/login?return=%2Forders"));
    let htmx = Scene { path: "/rows", ..Scene::default() }
        .header("hx-request", "true")
        .header("hx-current-url", "https://app.example/orders");
    let reply = replied(stand.bench.ask(&htmx));
    assert_eq!(reply.status, StatusCode::UNAUTHORIZED);
    assert_eq!(reply.headers[0].1, "/.palisade/login?return=%2Forders");
    let api = Scene { path: "/rows", ..Scene::default() };
    assert_eq!(why(&stand.bench.ask(&api)), Reason::SessionMissing);
    let elsewhere = Scene { host: "other.example", path: "/.palisade/login", ..Scene::default() };
    assert_eq!(why(&stand.bench.page(&elsewhere)), Reason::LoginRefused, "no host of this gateway");
    let posted = stand.scene(Method::POST, "/.palisade/login");
    assert_eq!(why(&stand.bench.page(&posted)), Reason::BadMethod);
    assert_eq!(why(&stand.get("/.palisade/login/other")), Reason::SessionMissing);
    assert_eq!(why(&stand.get("/.palisade/sessions")), Reason::SessionMissing);
}

#[test]
fn nobody_is_sent_to_another_host_or_back_into_the_log_in() {
    for (asked, back) in [
        ("", "/"),
        ("?return=%2Fa%3Fb%3Dc%26d", "/a?b=c&d"),
        ("?return=https%3A%2F%2Fevil.example%2F", "/"),
        ("?return=%2F%2Fevil.example", "/"),
        ("?return=%2F%5Cevil.example", "/"),
        ("?return=%2Fa%0D%0ASet-Cookie%3A+x", "/"),
        ("?return=javascript%3Aalert(1)", "/"),
        ("?return=%2F.palisade%2Flogin%3Freturn%3Dx", "/"),
        ("?return=%2F.palisade%2Flogout", "/"),
        ("?return=%2F.palisade%2Fmfa", "/.palisade/mfa"),
        ("?return=%2Fa&return=%2Fb", "/"),
    ] {
        let mut stand = Stand::new(json!({}));
        let reply = replied(stand.log_in(asked, json!({})));
        assert_eq!(location(&reply), back, "{asked}");
    }
    let long = format!("?return=%2F{}", "a".repeat(1024));
    let mut stand = Stand::new(json!({}));
    assert_eq!(location(&replied(stand.log_in(&long, json!({})))), "/");
}

#[test]
fn a_strict_cookie_is_shown_from_a_page_of_ours() {
    let mut stand = Stand::of(json!({"oidc": oidc(json!({})), "same_site": "strict"}));
    let away = stand.away("?return=%2Forders");
    let token = signed(&stand.claims(&away));
    stand.gives(&token);
    let reply = replied(stand.back(&away));
    let refresh = reply.headers.iter().find(|(name, _)| name == "refresh").unwrap();
    assert_eq!((reply.status, refresh.1.to_str().unwrap()), (StatusCode::OK, "0; url=/orders"));
    assert!(set(&reply)[0].ends_with("SameSite=Strict"));
    assert!(String::from_utf8_lossy(&reply.body).contains("<a href=\"/orders\">"));
    assert_eq!(stand.who(), Ok("u1".to_owned()));
}

#[test]
fn sessions_live_as_their_check_says() {
    let mut stand = Stand::of(json!({"oidc": oidc(json!({})), "idle": "10m", "absolute": "1h", "most": 1, "when_full": "refuse_newest"}));
    stand.log_in("", json!({}));
    assert!(stand.who().is_ok());
    let mut other = std::mem::take(&mut stand.cookies);
    let full = stand.log_in("", json!({}));
    assert_eq!(why(&full), Reason::LoginRefused, "one is open");
    assert_eq!(stand.told(), ["session_refused_most"]);
    assert!(!stand.cookies.contains_key("__Host-session"));
    std::mem::swap(&mut stand.cookies, &mut other);
    stand.bench.io.advance(Duration::from_secs(601));
    assert_eq!(stand.who(), Err(Reason::SessionEnded), "idle");
    stand.log_in("", json!({}));
    let first = stand.cookies["__Host-session"].clone();
    stand.bench.io.advance(Duration::from_secs(1));
    stand.log_in("", json!({}));
    assert_ne!(first, stand.cookies["__Host-session"], "another identifier with every log-in");
    stand.cookies.insert("__Host-session".to_owned(), first);
    assert_eq!(stand.who(), Err(Reason::SessionEnded));
}

#[test]
fn roles_of_a_file_hold_whatever_the_provider_says() {
    let users = json!({"roles_file": "roles.yaml", "others": "viewer"});
    let mut stand = Stand::of(json!({"oidc": oidc(json!({"roles_from": "roles"})), "users": users}));
    stand.log_in("", json!({"roles": ["root"]}));
    assert_eq!(stand.claim("role"), Some(json!(["admin"])));
    let mut stand = Stand::new(json!({}));
    stand.log_in("", json!({"role": "admin"}));
    assert_eq!(stand.claim("role"), None, "only the claim that the policy names holds roles");
}

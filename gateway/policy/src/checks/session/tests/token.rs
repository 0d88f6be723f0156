//! The application's own token in a cookie.

use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use http::Method;
use jsonwebtoken::{Algorithm, EncodingKey, crypto};
use serde_json::{Value, json};

use super::{ask, asked, hear, page, told};
use crate::checks::jwt::revocation;
use crate::checks::testing::twin;
use crate::decision::{Answer, Reason};
use crate::invented::ready;
use crate::io::{Io as _, Space};
use crate::key::Keys;
use crate::request::Identity;
use crate::testing::{Bench, Scene};

/// The invented clock's start, in seconds.
const NOW: u64 = 1_767_225_600;
/// In unit tests a secret is its own name.
const SECRET: &str = "a secret of more than thirty-two bytes, used in tests";

fn app(more: Value) -> Bench {
    let mut spec = json!({"cookie": "access_token", "secret": SECRET, "ttl": "30m", "renew_below": "10m", "login": "/login",
        "require": {"token_type": "access"}, "end": {"request": "POST /logout"}});
    spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    Bench::new("session", spec)
}

fn signed(claims: Value) -> String {
    let mut all = json!({"sub": "ann", "iat": NOW, "exp": NOW + 1800, "token_type": "access", "jti": "j1"});
    all.as_object_mut().unwrap().extend(claims.as_object().unwrap().clone());
    all.as_object_mut().unwrap().retain(|_, value| !value.is_null());
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let message = format!("{}.{}", part(&json!({"alg": "HS256", "typ": "JWT", "x": 1})), part(&all));
    let key = EncodingKey::from_secret(SECRET.as_bytes());
    format!("{message}.{}", crypto::sign(message.as_bytes(), &key, Algorithm::HS256).unwrap())
}

fn with(mut scene: Scene, token: &str) -> Scene {
    scene.headers.insert("cookie", format!("access_token={token}").parse().unwrap());
    scene
}

fn reason(bench: &mut Bench, token: &str) -> Result<(), Reason> {
    match ask(bench, &with(asked(Method::GET, "/"), token)) {
        Answer::Pass => Ok(()),
        Answer::Deny(denial) => Err(denial.reason),
        Answer::Reply(reply) => Err(reply.reason),
    }
}

/// What the answer to a request with this token sets.
fn renewed(bench: &mut Bench, token: &str, fields: &[(&'static str, &str)]) -> Option<String> {
    let scene = with(asked(Method::GET, "/"), token);
    assert_eq!(ask(bench, &scene), Answer::Pass);
    let cookies = hear(bench, &scene, 200, fields);
    let cookie = cookies.first()?;
    assert!(cookie.contains("; HttpOnly; Secure; SameSite=Lax"), "{cookie}");
    Some(cookie.split(['=', ';']).nth(1).unwrap().to_owned())
}

fn claims(token: &str) -> Value {
    let part = token.split('.').nth(1).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
}

const MINUTE: Duration = Duration::from_secs(60);

#[test]
fn only_an_access_token_that_holds_is_a_session() {
    let mut bench = app(json!({}));
    assert_eq!(reason(&mut bench, &signed(json!({}))), Ok(()));
    assert_eq!(bench.facts.session.unwrap().started, NOW);
    assert_eq!(reason(&mut bench, &signed(json!({"token_type": "refresh"}))), Err(Reason::TokenClaims));
    assert_eq!(reason(&mut bench, &signed(json!({"token_type": null}))), Err(Reason::TokenClaims));
    assert_eq!(reason(&mut bench, &signed(json!({"exp": NOW - 60}))), Err(Reason::TokenExpired));
    assert_eq!(reason(&mut bench, "x.y.z"), Err(Reason::TokenInvalid));
    assert_eq!(ask(&mut bench, &asked(Method::GET, "/")), Answer::deny(Reason::TokenMissing));
    assert!(matches!(ask(&mut bench, &page("/")), Answer::Reply(_)));
    assert_eq!(ask(&mut bench, &page("/login")), Answer::Pass);
}

#[test]
fn one_that_ends_soon_is_prolonged_once_and_says_the_same() {
    let mut bench = app(json!({}));
    let token = signed(json!({"role": "user", "jti": null}));
    assert_eq!(renewed(&mut bench, &token, &[]), None, "it holds for long");
    bench.io.advance(21 * MINUTE);
    let scene = with(asked(Method::GET, "/"), &token);
    ask(&mut bench, &scene);
    let parallel = std::mem::take(&mut bench.facts.awaits);
    let next = renewed(&mut bench, &token, &[]).unwrap();
    ask(&mut bench, &scene);
    bench.facts.awaits = parallel;
    assert!(hear(&mut bench, &scene, 200, &[]).is_empty(), "another request did it");
    let (old, new) = (claims(&token), claims(&next));
    assert_eq!(new["exp"], NOW + 21 * 60 + 1800);
    for name in ["sub", "iat", "role", "token_type"] {
        assert_eq!(old[name], new[name]);
    }
    assert_eq!(token.split('.').next(), next.split('.').next());
    let binding = bench.facts.session;
    assert_eq!(reason(&mut bench, &next), Ok(()));
    assert_eq!(bench.facts.session, binding, "still the same session");
    bench.io.advance(20 * MINUTE);
    assert_eq!(reason(&mut bench, &token), Err(Reason::TokenExpired));
    assert_eq!(reason(&mut bench, &next), Ok(()));
}

#[test]
fn nothing_is_prolonged_that_expired_ended_or_reached_its_limit() {
    let mut bench = app(json!({"absolute": "1h"}));
    let late = signed(json!({"exp": NOW - 10}));
    assert_eq!(renewed(&mut bench, &late, &[]), None, "within the leeway, and no longer");
    let ends = signed(json!({"exp": NOW + 60}));
    let own = [("set-cookie", "access_token=; Max-Age=0")];
    assert_eq!(renewed(&mut bench, &ends, &own), None, "the application says something itself");
    assert!(renewed(&mut bench, &ends, &[("set-cookie", "access_token2=x")]).is_some());
    let old = signed(json!({"iat": NOW - 3590, "exp": NOW + 60}));
    assert_eq!(renewed(&mut bench, &old, &[]), None, "it would not hold for longer");
    let beyond = signed(json!({"iat": NOW, "auth_time": NOW - 3600}));
    assert_eq!(reason(&mut bench, &beyond), Err(Reason::SessionExpired));
    let mut never = app(json!({"renew": false}));
    assert_eq!(renewed(&mut never, &ends, &[]), None);
}

#[test]
fn a_log_out_calls_back_the_token_and_those_that_prolong_it() {
    for jti in [json!("j1"), Value::Null] {
        let mut bench = app(json!({}));
        let token = signed(json!({"jti": jti, "exp": NOW + 60}));
        let next = renewed(&mut bench, &token, &[]).unwrap();
        let out = with(asked(Method::POST, "/logout"), &next);
        assert_eq!(ask(&mut bench, &out), Answer::Pass);
        hear(&mut bench, &out, 302, &[]);
        assert_eq!(told(&bench), ["session_ended"]);
        assert_eq!(reason(&mut bench, &token), Err(Reason::TokenRevoked), "{jti}");
        assert_eq!(reason(&mut bench, &next), Err(Reason::TokenRevoked));
        bench.io.advance(29 * MINUTE);
        assert_eq!(reason(&mut bench, &next), Err(Reason::TokenRevoked), "for as long as it could hold");
    }
}

#[test]
fn who_is_called_back_stays_so_however_often_it_was_prolonged() {
    let mut bench = app(json!({}));
    let token = signed(json!({"exp": NOW + 60}));
    let next = renewed(&mut bench, &token, &[]).unwrap();
    let since = revocation::since(bench.io.now.unix);
    let key = revocation::subject_key(Keys::process(), "ann");
    let put = bench.io.put(Space::Revocation, key, since, 60 * MINUTE);
    ready(put).unwrap().unwrap();
    assert_eq!(reason(&mut bench, &next), Err(Reason::TokenRevoked));
}

#[test]
fn what_a_later_check_found_out_is_not_what_is_prolonged_or_called_back() {
    let mut bench = app(json!({}));
    let token = signed(json!({"jti": null, "sub": "ann", "role": "user"}));
    bench.io.advance(25 * MINUTE);
    let scene = with(asked(Method::GET, "/"), &token);
    assert_eq!(ask(&mut bench, &scene), Answer::Pass);
    // Another check of the route, behind this one, by a token of its own.
    let claims = json!({"sub": "bob", "role": "admin", "jti": "of-bob", "iat": NOW, "exp": NOW + 1800});
    let bob = Identity { user: "bob".to_owned(), claims: claims.as_object().unwrap().clone(), ..Identity::default() };
    bench.facts.identity = Some(Arc::new(bob.clone()));
    let cookies = hear(&mut bench, &scene, 200, &[]);
    let next = claims_of(&cookies[0]);
    assert_eq!((&next["sub"], &next["role"]), (&json!("ann"), &json!("user")));
    let out = with(asked(Method::POST, "/logout"), &token);
    assert_eq!(ask(&mut bench, &out), Answer::Pass);
    bench.facts.identity = Some(Arc::new(bob));
    hear(&mut bench, &out, 200, &[]);
    assert_eq!(bench.effects.told.last().unwrap().user.as_deref(), Some("ann"));
    assert_eq!(reason(&mut bench, &token), Err(Reason::TokenRevoked));
    let key = revocation::token_key(Keys::process(), "of-bob");
    assert_eq!(ready(bench.io.get(Space::Revocation, key)).unwrap(), Ok(None));
}

#[test]
fn a_log_out_that_the_application_does_not_answer_calls_back_all_the_same() {
    let mut bench = app(json!({}));
    let token = signed(json!({}));
    let out = with(asked(Method::POST, "/logout"), &token);
    assert_eq!(ask(&mut bench, &out), Answer::Pass);
    assert!(hear(&mut bench, &out, 0, &[]).is_empty());
    assert!(bench.effects.told[0].detail.contains("did not answer"), "{:?}", bench.effects.told);
    assert_eq!(reason(&mut bench, &token), Err(Reason::TokenRevoked));
    // And nothing is prolonged with an answer that is not the application's.
    let soon = signed(json!({"jti": "j2", "exp": NOW + 60}));
    let scene = with(asked(Method::GET, "/"), &soon);
    assert_eq!(ask(&mut bench, &scene), Answer::Pass);
    assert!(hear(&mut bench, &scene, 0, &[]).is_empty());
}

fn claims_of(cookie: &str) -> Value {
    claims(cookie.split(['=', ';']).nth(1).unwrap())
}

#[test]
fn a_token_that_ended_has_no_twin() {
    let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
    let der: PublicKeyX509Der<'static> = pair.public_key().as_der().unwrap();
    let kind = "PUBLIC KEY";
    let pem = format!("-----BEGIN {kind}-----\n{}\n-----END {kind}-----\n", STANDARD.encode(der.as_ref()));
    let spec = json!({"cookie": "access_token", "pem": pem, "login": "/login", "end": {"request": "POST /logout"}});
    let mut bench = Bench::new("session", spec);
    let part = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let claims = json!({"sub": "ann", "iat": NOW, "exp": NOW + 1800});
    let message = format!("{}.{}", part(json!({"alg": "ES256"})), part(claims));
    let signature = pair.sign(&SystemRandom::new(), message.as_bytes()).unwrap();
    let spelled = |signature: &[u8]| format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature));
    let (token, twin) = (spelled(signature.as_ref()), spelled(&twin(signature.as_ref())));
    assert_ne!(token, twin);
    assert_eq!((reason(&mut bench, &token), reason(&mut bench, &twin)), (Ok(()), Ok(())));
    let out = with(asked(Method::POST, "/logout"), &token);
    assert_eq!(ask(&mut bench, &out), Answer::Pass);
    hear(&mut bench, &out, 200, &[]);
    for spelling in [&token, &twin] {
        assert_eq!(reason(&mut bench, spelling), Err(Reason::TokenRevoked));
    }
}

mod counted;

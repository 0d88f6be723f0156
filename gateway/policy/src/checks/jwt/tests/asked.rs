//! What others are asked about tokens: keys, introspection, whether a user counts; and tokens bound to their holder's key.

use bytes::Bytes;
use http::header::SEC_WEBSOCKET_PROTOCOL;
use sha2::{Digest as _, Sha256};

use super::*;
use crate::io::{FetchFault, Fetched};
use crate::request::Tls;

const KEYS: &str = "https://id.example/keys";

fn answers(io: &mut Invented, url: &str, status: u16, body: &Value, version: u64) {
    let body = Bytes::from(body.to_string());
    io.answers.insert(url.to_owned(), Ok(Fetched { status, body, version }));
}

fn token(algorithm: &str, kid: &str, more: Value) -> String {
    let mut claims = json!({"sub": "u1", "exp": NOW + 3600, "iat": NOW - 60, "jti": "j1"});
    claims.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    raw(&json!({"alg": algorithm, "kid": kid}).to_string(), &claims.to_string(), algorithm)
}

fn later(io: &mut Invented) {
    io.advance(time::Duration::from_secs(2));
}

#[test]
fn keys_are_asked_for_once_in_a_while_and_not_for_every_token() {
    let check = compile(json!({"jwks_url": KEYS})).unwrap();
    let mut io = Invented::default();
    answers(&mut io, KEYS, 200, &jwks(), 1);
    let known = token("ES256", "e1", json!({}));
    for _ in 0..3 {
        assert_eq!(ask(&check, &mut bearer(&known), &mut io), Ok(()));
    }
    assert_eq!(io.fetched.len(), 1, "a known token asks nobody");
    later(&mut io);
    assert_eq!(ask(&check, &mut bearer(&known), &mut io), Ok(()));
    assert_eq!(io.fetched.len(), 2);
    assert!(io.fetched.iter().all(|call| call.cache.is_some_and(|cached| cached.older_than.is_none())));
}

#[test]
fn a_token_of_a_key_that_was_withdrawn_is_refused_though_it_is_remembered() {
    let check = compile(json!({"jwks_url": KEYS})).unwrap();
    let mut io = Invented::default();
    answers(&mut io, KEYS, 200, &jwks(), 1);
    let (old, new) = (token("ES256", "e1", json!({})), token("EdDSA", "d1", json!({})));
    assert_eq!(ask(&check, &mut bearer(&old), &mut io), Ok(()));
    let mut fewer = jwks();
    fewer["keys"].as_array_mut().unwrap().remove(1);
    answers(&mut io, KEYS, 200, &fewer, 2);
    later(&mut io);
    assert_eq!(ask(&check, &mut bearer(&old), &mut io), Err(Reason::TokenInvalid));
    assert_eq!(ask(&check, &mut bearer(&new), &mut io), Ok(()));
}

#[test]
fn a_key_that_is_not_known_asks_for_newer_ones_under_a_limit() {
    let check = compile(json!({"jwks_url": KEYS})).unwrap();
    let mut io = Invented::default();
    answers(&mut io, KEYS, 200, &jwks(), 1);
    let stranger = token("ES256", "new", json!({}));
    assert_eq!(ask(&check, &mut bearer(&stranger), &mut io), Err(Reason::TokenInvalid));
    let older_than = |io: &Invented| io.fetched.last().unwrap().cache.unwrap().older_than;
    assert_eq!(older_than(&io), Some(time::Duration::from_secs(30)));
    let mut rotated = jwks();
    rotated["keys"][1]["kid"] = json!("new");
    answers(&mut io, KEYS, 200, &rotated, 2);
    assert_eq!(ask(&check, &mut bearer(&stranger), &mut io), Ok(()));
}

#[test]
fn the_last_good_keys_are_kept_while_the_issuer_is_down_but_not_for_ever() {
    let check = compile(json!({"jwks_url": KEYS, "jwks_keep": "1h"})).unwrap();
    let mut io = Invented::default();
    let fresh = |n: u64| token("ES256", "e1", json!({"jti": n.to_string(), "exp": NOW + 20_000}));
    assert_eq!(ask(&check, &mut bearer(&fresh(0)), &mut io), Err(Reason::RemoteUnavailable), "none yet");
    answers(&mut io, KEYS, 200, &jwks(), 1);
    assert_eq!(ask(&check, &mut bearer(&fresh(1)), &mut io), Ok(()));
    for (version, broken) in [json!({"keys": []}), json!({"keys": "none"}), json!([])].iter().enumerate() {
        answers(&mut io, KEYS, 200, broken, 10 + version as u64);
        later(&mut io);
        assert_eq!(ask(&check, &mut bearer(&fresh(2)), &mut io), Ok(()), "{broken}");
    }
    io.answers.insert(KEYS.to_owned(), Err(FetchFault::Slow));
    io.advance(time::Duration::from_secs(3000));
    assert_eq!(ask(&check, &mut bearer(&fresh(3)), &mut io), Ok(()));
    io.advance(time::Duration::from_secs(1000));
    assert_eq!(ask(&check, &mut bearer(&fresh(3)), &mut io), Err(Reason::RemoteUnavailable));
}

#[test]
fn metadata_must_be_the_issuer_s_own() {
    let check = compile(json!({"issuer_url": "https://id.example"})).unwrap();
    let place = "https://id.example/.well-known/openid-configuration";
    let good = token("ES256", "e1", json!({"iss": "https://id.example"}));
    for (metadata, expected) in [
        (json!({"issuer": "https://id.example", "jwks_uri": KEYS}), Ok(())),
        (json!({"issuer": "https://evil.example", "jwks_uri": KEYS}), Err(Reason::RemoteUnavailable)),
        (json!({"issuer": "https://id.example", "jwks_uri": "http://id.example/keys"}), Err(Reason::RemoteUnavailable)),
        (json!({"issuer": "https://id.example"}), Err(Reason::RemoteUnavailable)),
    ] {
        let check = compile(json!({"issuer_url": "https://id.example"})).unwrap();
        let mut io = Invented::default();
        answers(&mut io, place, 200, &metadata, 1);
        answers(&mut io, KEYS, 200, &jwks(), 2);
        answers(&mut io, "http://id.example/keys", 200, &jwks(), 3);
        assert_eq!(ask(&check, &mut bearer(&good), &mut io), expected, "{metadata}");
    }
    let mut io = Invented::default();
    answers(&mut io, place, 200, &json!({"issuer": "https://id.example", "jwks_uri": KEYS}), 1);
    answers(&mut io, KEYS, 200, &jwks(), 2);
    let other = token("ES256", "e1", json!({"iss": "https://other.example"}));
    assert_eq!(ask(&check, &mut bearer(&other), &mut io), Err(Reason::TokenClaims));
}

#[test]
fn a_token_is_checked_with_the_keys_of_the_issuer_that_it_names_and_no_other() {
    let check = compile(json!({"issuers": [
        {"issuer": "https://a.example", "pem_files": "p256.pem", "audience": "a"},
        {"issuer": ["https://b.example", "b"], "secret": "jwt"},
        {"issuer": "https://c.example", "jwks_url": KEYS, "algorithms": ["EdDSA"]},
    ]})).unwrap();
    let mut io = Invented::default();
    answers(&mut io, KEYS, 200, &jwks(), 1);
    for (algorithm, claims, expected) in [
        ("ES256", json!({"iss": "https://a.example", "aud": "a"}), Ok(())),
        ("ES256", json!({"iss": "https://a.example", "aud": "b"}), Err(Reason::TokenClaims)),
        ("HS256", json!({"iss": "https://a.example", "aud": "a"}), Err(Reason::TokenInvalid)),
        ("HS256", json!({"iss": "b"}), Ok(())),
        ("ES256", json!({"iss": "b"}), Err(Reason::TokenInvalid)),
        ("EdDSA", json!({"iss": "https://c.example"}), Ok(())),
        ("ES256", json!({"iss": "https://c.example"}), Err(Reason::TokenInvalid)),
        ("HS256", json!({"iss": "https://d.example"}), Err(Reason::TokenClaims)),
        ("HS256", json!({"iss": ["b"]}), Err(Reason::TokenClaims)),
        ("HS256", json!({}), Err(Reason::TokenClaims)),
    ] {
        let kid = if algorithm == "EdDSA" { "d1" } else { "e1" };
        let token = token(algorithm, kid, claims.clone());
        assert_eq!(ask(&check, &mut bearer(&token), &mut io), expected, "{algorithm} {claims}");
    }
    for (spec, told) in [
        (json!({"issuers": [{"issuer": "a", "secret": "jwt"}, {"issuer": "a", "secret": "jwt"}]}), "a stands here twice"),
        (json!({"issuers": [{"secret": "jwt"}]}), "issuers[0].issuer: which iss"),
        (json!({"issuers": [{"issuer": "a"}]}), "issuers[0]: no usable key"),
        (json!({"issuers": [{"issuer": "a", "secret": "jwt"}], "secret": "jwt"}), "none belong beside it"),
        (json!({"jwks_url": "http://id.example/keys"}), "plain HTTP"),
        (json!({"jwks_url": "file:///etc/passwd"}), "no URL that can be asked"),
        (json!({"jwks_url": KEYS, "jwks_refresh": "100ms"}), "checks.it.jwks_refresh: from 1s to 1d"),
        (json!({"secret": "jwt", "active": {"url": "https://id.example/me"}}), "no `{user}`"),
        (json!({"secret": "jwt", "active": {"url": "https://{user}.example/"}}), "no `{user}` in its path"),
        (json!({"secret": "jwt", "websocket_protocol": "bearer"}), "ends with a dot"),
    ] {
        let faults = compile(spec.clone()).unwrap_err().join("\n");
        assert!(faults.contains(told), "{spec}: {faults}");
    }
}

#[test]
fn opaque_tokens_are_worth_what_their_issuer_says() {
    let place = "https://id.example/introspect";
    let spec = json!({"introspection": {"url": place, "client": "gate way", "secret": "jwt"}, "audience": "app"});
    let check = compile(spec).unwrap();
    let mut io = Invented::default();
    let good = json!({"active": true, "sub": "u1", "aud": "app", "token_type": "Bearer"});
    answers(&mut io, place, 200, &good, 1);
    let mut asked = bearer("opaque");
    assert_eq!(ask(&check, &mut asked, &mut io), Ok(()));
    assert_eq!(asked.facts.identity.unwrap().user, "u1");
    let call = io.fetched.last().unwrap().clone();
    assert_eq!(call.body, "token=opaque&token_type_hint=access_token");
    let (_, authorization) = call.headers.iter().find(|(name, _)| name == AUTHORIZATION).unwrap();
    assert!(authorization.is_sensitive() && authorization.to_str().unwrap().starts_with("Basic Z2F0ZSt3YXk6"));
    for (version, (answer, expected)) in [
        (json!({"active": false}), Err(Reason::TokenInvalid)),
        (json!({"active": "true", "sub": "u1", "aud": "app"}), Err(Reason::TokenInvalid)),
        (json!({"sub": "u1", "aud": "app"}), Err(Reason::TokenInvalid)),
        (json!({"active": true, "sub": "u1", "aud": "other"}), Err(Reason::TokenClaims)),
        (json!({"active": true, "sub": "u1", "aud": "app", "exp": NOW - 60}), Err(Reason::TokenExpired)),
        (json!({"active": true, "aud": "app"}), Err(Reason::TokenClaims)),
        (json!([]), Err(Reason::RemoteUnavailable)),
        (good, Ok(())),
    ].into_iter().enumerate() {
        answers(&mut io, place, 200, &answer, 10 + version as u64);
        assert_eq!(ask(&check, &mut bearer("opaque"), &mut io), expected, "{answer}");
    }
    answers(&mut io, place, 401, &json!({}), 30);
    assert_eq!(ask(&check, &mut bearer("opaque"), &mut io), Err(Reason::RemoteUnavailable));
    io.answers.clear();
    assert_eq!(ask(&check, &mut bearer("opaque"), &mut io), Err(Reason::RemoteUnavailable), "never an old answer");
}

#[test]
fn signed_tokens_are_checked_here_unless_the_policy_wants_them_asked_about() {
    let place = "https://id.example/introspect";
    let mut io = Invented::default();
    answers(&mut io, place, 200, &json!({"active": true, "sub": "asked"}), 1);
    let who = |spec: Value, token: &str, io: &mut Invented| {
        let mut asked = bearer(token);
        ask(&compile(spec).unwrap(), &mut asked, io).map(|()| asked.facts.identity.unwrap().user.clone())
    };
    let both = json!({"secret": "jwt", "introspection": {"url": place}});
    assert_eq!(who(both.clone(), &good(), &mut io), Ok("u1".to_owned()));
    assert_eq!(who(both, "opaque", &mut io), Ok("asked".to_owned()));
    let always = json!({"secret": "jwt", "introspection": {"url": place, "always": true}});
    assert_eq!(who(always, &good(), &mut io), Ok("asked".to_owned()));
    assert_eq!(who(json!({"secret": "jwt"}), "opaque", &mut io), Err(Reason::TokenInvalid));
}

#[test]
fn who_no_longer_counts_is_refused_with_a_good_token() {
    let check = hs(json!({"active": {"url": "https://users.example/{user}/standing", "secret": "jwt"}}));
    let open = hs(json!({"active": {"url": "https://users.example/{user}/standing", "on_error": "allow"}}));
    let mut io = Invented::default();
    let place = "https://users.example/a%2Fb%3F/standing";
    let token = with(json!({"sub": "a/b?"}));
    for (version, (status, body, expected)) in [
        (200, json!({"name": "A"}), Ok(())),
        (200, json!({"active": true}), Ok(())),
        (200, json!({"active": false}), Err(Reason::TokenRevoked)),
        (404, json!({}), Err(Reason::TokenRevoked)),
        (410, json!({}), Err(Reason::TokenRevoked)),
        (500, json!({}), Err(Reason::RemoteUnavailable)),
        (403, json!({}), Err(Reason::RemoteUnavailable)),
    ].into_iter().enumerate() {
        answers(&mut io, place, status, &body, version as u64);
        assert_eq!(ask(&check, &mut bearer(&token), &mut io), expected, "{status} {body}");
        let shut = expected == Err(Reason::TokenRevoked);
        assert_eq!(ask(&open, &mut bearer(&token), &mut io).is_err(), shut, "{status}");
    }
    for name in ["..", "."] {
        let token = with(json!({"sub": name}));
        assert_eq!(ask(&open, &mut bearer(&token), &mut io), Err(Reason::TokenClaims));
    }
}

#[test]
fn a_token_among_the_protocols_of_a_websocket_stays_with_the_gateway() {
    let check = hs(json!({"websocket_protocol": "bearer."}));
    let offer = |offered: &str, websocket: bool| {
        let asked = Asked { websocket, ..Asked::default() }.header("sec-websocket-protocol", offered);
        let mut asked = asked;
        let answer = ask(&check, &mut asked, &mut Invented::default());
        (answer, asked)
    };
    let token = good();
    let (answer, asked) = offer(&format!("chat, bearer.{token}, v2"), true);
    assert_eq!(answer, Ok(()));
    let (name, value) = &asked.effects.upstream[0];
    assert_eq!((name, value.as_ref().unwrap().to_str().unwrap()), (&SEC_WEBSOCKET_PROTOCOL, "chat, v2"));
    assert!(asked.facts.awaits.is_empty());
    let (answer, asked) = offer(&format!("bearer.{token}"), true);
    assert_eq!((answer, &asked.effects.upstream[0].1), (Ok(()), &None));
    assert_eq!(asked.facts.awaits.len(), 1, "the answer must choose it, the application cannot");
    assert_eq!(offer(&format!("bearer.{token}, bearer.{token}"), true).0, Err(Reason::TokenInvalid));
    assert_eq!(offer(&format!("bearer.{token}"), false).0, Err(Reason::TokenMissing), "no WebSocket");
    let (answer, asked) = offer("bearer.x.y.z", true);
    assert_eq!((answer, asked.effects.upstream.len()), (Err(Reason::TokenInvalid), 1));
}

#[test]
fn a_session_is_bound_to_sid_and_else_to_jti() {
    let check = hs(json!({}));
    let session = |claims: Value| {
        let mut asked = bearer(&with(claims));
        ask(&check, &mut asked, &mut Invented::default()).unwrap();
        asked.facts.session
    };
    let first = session(json!({"jti": "1", "sid": "s"})).unwrap();
    assert_eq!(session(json!({"jti": "2", "sid": "s"})), Some(first), "a renewed token");
    assert_eq!(first.started, NOW - 60);
    assert_ne!(session(json!({"jti": "1"})).unwrap().binding, session(json!({"jti": "2"})).unwrap().binding);
    assert_ne!(session(json!({"jti": "s"})).unwrap().binding, first.binding);
    assert_eq!(session(json!({"jti": null})), None);
}

#[test]
fn a_token_bound_to_a_certificate_is_good_with_that_alone() {
    let print = Sha256::digest("a certificate");
    let hex = print.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let token = with(json!({"cnf": {"x5t#S256": encode(print)}}));
    let shown = |fingerprint: Option<&str>| Some(Tls { client_fingerprint: fingerprint.map(str::to_owned), ..Tls::default() });
    let with_tls = |spec: Value, tls: Option<Tls>| {
        ask(&hs(spec), &mut Asked { tls, ..bearer(&token) }, &mut Invented::default())
    };
    assert_eq!(with_tls(json!({}), shown(Some(&hex))), Ok(()));
    for wrong in [None, shown(None), shown(Some("00")), shown(Some(&hex.replace('a', "b")))] {
        assert_eq!(with_tls(json!({}), wrong), Err(Reason::TokenClaims));
    }
    assert_eq!(with_tls(json!({"confirm": false}), None), Ok(()));
    for odd in [json!({"kid": "x"}), json!("x"), json!({"x5t#S256": "AAAA"}), json!({})] {
        assert_eq!(answer(&hs(json!({})), &with(json!({"cnf": odd}))), Err(Reason::TokenClaims));
    }
}

/// A proof by the P-256 key, with these fields changed.
fn proof(token: &str, header: Value, claims: Value) -> String {
    let mut all = json!({"alg": "ES256", "typ": "dpop+jwt", "jwk": {"kty": "EC", "crv": "P-256",
        "x": jwks()["keys"][1]["x"], "y": jwks()["keys"][1]["y"]}});
    all.as_object_mut().unwrap().extend(header.as_object().unwrap().clone());
    let mut says = json!({"jti": "p1", "htm": "GET", "htu": "https://shop.example/a", "iat": NOW, "ath": encode(Sha256::digest(token))});
    says.as_object_mut().unwrap().extend(claims.as_object().unwrap().clone());
    raw(&all.to_string(), &says.to_string(), "ES256")
}

#[test]
fn a_token_bound_to_a_key_needs_a_new_proof_for_every_request() {
    let jwk = &jwks()["keys"][1];
    let members = format!(r#"{{"crv":"P-256","kty":"EC","x":{},"y":{}}}"#, jwk["x"], jwk["y"]);
    let token = with(json!({"cnf": {"jkt": encode(Sha256::digest(members))}}));
    let check = hs(json!({}));
    let mut io = Invented::default();
    let mut shown = |proof: &str| {
        let mut asked = Asked::default().header("authorization", &format!("DPoP {token}")).header("dpop", proof);
        ask(&check, &mut asked, &mut io)
    };
    let right = proof(&token, json!({}), json!({}));
    assert_eq!(shown(&right), Ok(()));
    assert_eq!(shown(&right), Err(Reason::TokenClaims), "used before");
    for (header, claims) in [
        (json!({}), json!({"jti": "p2", "htm": "POST"})),
        (json!({}), json!({"jti": "p2", "htu": "https://shop.example/b"})),
        (json!({}), json!({"jti": "p2", "htu": "https://evil.example/a"})),
        (json!({}), json!({"jti": "p2", "iat": NOW - 61})),
        (json!({}), json!({"jti": "p2", "iat": NOW + 61})),
        (json!({}), json!({"jti": "p2", "ath": encode(Sha256::digest("another"))})),
        (json!({}), json!({"jti": ""})),
        (json!({"typ": "JWT"}), json!({"jti": "p2"})),
        (json!({"jwk": {"kty": "EC", "crv": "P-256", "x": jwk["y"], "y": jwk["x"]}}), json!({"jti": "p2"})),
    ] {
        assert_eq!(shown(&proof(&token, header.clone(), claims.clone())), Err(Reason::TokenClaims), "{header} {claims}");
    }
    assert_eq!(shown(&proof(&token, json!({}), json!({"jti": "p2", "htu": "https://SHOP.example:443/a"}))), Ok(()));
    assert_eq!(answer(&check, &token), Err(Reason::TokenClaims), "no proof");
}

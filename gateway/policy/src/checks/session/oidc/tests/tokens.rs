//! ID tokens that are not the answer to this log-in.

use aws_lc_rs::hmac;

use super::*;

/// A log-in with this token; nothing may begin.
#[track_caller]
fn refused(stand: &mut Stand, token: impl FnOnce(&Stand, &Away) -> String) -> String {
    let away = stand.away("");
    let token = token(stand, &away);
    stand.gives(&token);
    let answer = stand.back(&away);
    assert_eq!(why(&answer), Reason::LoginRefused);
    assert_eq!(stand.told(), ["login_refused"]);
    assert_eq!(stand.who(), Err(Reason::SessionMissing));
    assert_eq!(stand.stored(), 0, "nothing is left of it");
    stand.bench.effects.told.iter().map(|told| told.detail.clone()).collect::<Vec<_>>().join("\n")
}

#[test]
fn refuses_claims_of_another_log_in_client_issuer_or_time() {
    let (early, late) = (NOW - 31, NOW + 31);
    for (claims, says) in [
        (json!({"iss": "https://evil.example"}), "iss"),
        (json!({"iss": "https://id.example/"}), "iss"),
        (json!({"iss": null}), "iss"),
        (json!({"aud": "other"}), "aud"),
        (json!({"aud": []}), "aud"),
        (json!({"aud": null}), "aud"),
        (json!({"aud": ["shop", "other"], "azp": "shop"}), "aud"),
        (json!({"azp": "other"}), "azp"),
        (json!({"azp": 1}), "azp"),
        (json!({"nonce": "n"}), "nonce"),
        (json!({"nonce": null}), "nonce"),
        (json!({"nonce": ""}), "nonce"),
        (json!({"exp": early}), "expired"),
        (json!({"exp": "9999999999"}), "date"),
        (json!({"exp": null}), "date"),
        (json!({"iat": late}), "future"),
        (json!({"nbf": late}), "future"),
        (json!({"iat": null}), "date"),
        (json!({"sub": null}), "sub"),
        (json!({"sub": ""}), "sub"),
        (json!({"sub": 7}), "sub"),
        (json!({"sub": "x".repeat(257)}), "sub"),
        (json!({"sub": " u1"}), "name"),
        (json!({"sub": "u1\n"}), "name"),
        (json!({"at_hash": "x"}), "at_hash"),
        (json!({"at_hash": null}), "at_hash"),
        (json!({"tier": "silver"}), "requires"),
        (json!({"bulk": "x".repeat(5000)}), "signed"),
    ] {
        let mut stand = Stand::new(json!({"require": {"tier": ["gold"]}}));
        let text = claims.to_string();
        let detail = refused(&mut stand, |stand, away| {
            let all = with(with(stand.claims(away), json!({"tier": "gold"})), claims);
            match says {
                "signed" => signed(&with(all, json!({"more": "x".repeat(4000)}))),
                _ => signed(&all),
            }
        });
        assert!(detail.contains(says), "{}: {detail}", text.get(..80).unwrap_or(&text));
    }
}

#[test]
fn accepts_what_the_specification_allows() {
    let hash = encode(&Sha256::digest("at")[..16]);
    for claims in [
        json!({"aud": ["shop"]}),
        json!({"aud": ["shop"], "azp": "shop"}),
        json!({"azp": "shop", "at_hash": hash}),
        json!({"aud": ["api", "shop"], "azp": "shop"}),
        json!({"exp": NOW - 29, "iat": NOW + 29}),
    ] {
        let mut stand = Stand::new(json!({"audience": "api"}));
        let text = claims.to_string();
        stand.log_in("", claims);
        assert_eq!(stand.who(), Ok("u1".to_owned()), "{text}");
    }
    let mut stand = Stand::new(json!({"audience": "api"}));
    refused(&mut stand, |stand, away| signed(&with(stand.claims(away), json!({"aud": ["api", "shop"]}))));
    let mut stand = Stand::new(json!({"audience": "api"}));
    refused(&mut stand, |stand, away| signed(&with(stand.claims(away), json!({"aud": ["api"], "azp": "shop"}))));
}

#[test]
fn refuses_what_the_providers_keys_did_not_sign() {
    let header = json!({"alg": "ES256", "kid": "k1"});
    let mut stand = Stand::new(json!({}));
    refused(&mut stand, |stand, away| signed_by(&OTHER, &header, &stand.claims(away)));
    refused(&mut stand, |stand, away| {
        let claims = stand.claims(away);
        format!("{}.{}.", encode(json!({"alg": "none"}).to_string()), encode(claims.to_string()))
    });
    // The public key, or the client's own secret, as a shared one.
    let public = jwk(&KEY, "k1").to_string();
    for secret in [public.as_bytes(), KEY.public_key().as_ref(), b"client"] {
        for kid in [json!({"alg": "HS256", "kid": "k1"}), json!({"alg": "HS256"})] {
            refused(&mut stand, |stand, away| {
                let message = format!("{}.{}", encode(kid.to_string()), encode(stand.claims(away).to_string()));
                let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
                format!("{message}.{}", encode(hmac::sign(&key, message.as_bytes()).as_ref()))
            });
        }
    }
    refused(&mut stand, |stand, away| {
        let good = signed(&stand.claims(away));
        let (head, _) = good.rsplit_once('.').unwrap();
        let forged = signed(&with(stand.claims(away), json!({"sub": "root"})));
        format!("{head}.{}", forged.rsplit_once('.').unwrap().1)
    });
    for typ in ["logout+jwt", "at+jwt", "secevent+jwt"] {
        let header = json!({"alg": "ES256", "kid": "k1", "typ": typ});
        refused(&mut stand, |stand, away| signed_by(&KEY, &header, &stand.claims(away)));
    }
    for token in ["", "a.b.c", "x", "..", "a.b.c.d.e"] {
        let away = stand.away("");
        stand.gives(token);
        let answer = stand.back(&away);
        assert!(matches!(why(&answer), Reason::LoginRefused | Reason::RemoteUnavailable), "{token:?}");
    }
}

#[test]
fn keys_that_are_new_are_fetched_and_algorithms_are_pinned() {
    let mut stand = Stand::new(json!({}));
    stand.log_in("", json!({}));
    stand.answers("/keys", 200, &json!({"keys": [jwk(&OTHER, "k2")]}));
    let away = stand.away("");
    let token = signed_by(&OTHER, &json!({"alg": "ES256", "kid": "k2"}), &stand.claims(&away));
    stand.gives(&token);
    stand.cookies.remove("__Host-session");
    assert_eq!(replied(stand.back(&away)).status, StatusCode::SEE_OTHER);
    assert_eq!(stand.who(), Ok("u1".to_owned()));
    let mut stand = Stand::new(json!({"algorithms": ["RS256", "PS256"]}));
    let away = stand.away("");
    let token = signed(&stand.claims(&away));
    stand.gives(&token);
    assert_eq!(why(&stand.back(&away)), Reason::RemoteUnavailable, "none of its keys may be used");
}

#[test]
fn an_address_is_a_name_only_once_it_is_verified() {
    for (claims, user) in [
        (json!({"email": "ann@x", "email_verified": true}), Some("ann@x")),
        (json!({"email": "ann@x", "email_verified": false}), None),
        (json!({"email": "ann@x", "email_verified": "true"}), None),
        (json!({"email": "ann@x"}), None),
        (json!({"email_verified": true}), None),
        (json!({"email": ["ann@x"], "email_verified": true}), None),
    ] {
        let mut stand = Stand::new(json!({"user": "email", "scopes": ["email"]}));
        let text = claims.to_string();
        stand.log_in("", claims);
        assert_eq!(stand.who().ok().as_deref(), user, "{text}");
    }
}

#[test]
fn more_claims_come_from_the_provider_about_the_same_user_only() {
    let own = json!({"userinfo": true, "user": "email", "scopes": ["email"]});
    let mut stand = Stand::new(own.clone());
    let info = json!({"sub": "u1", "email": "ann@x", "email_verified": true, "iss": "https://evil.example", "tier": "gold"});
    stand.answers("/me", 200, &info);
    stand.log_in("", json!({"tier": "silver"}));
    assert_eq!(stand.who(), Ok("ann@x".to_owned()));
    assert_eq!(stand.claim("tier"), Some(json!("silver")), "what is signed stands");
    let call = stand.bench.io.fetched.iter().find(|call| call.url.ends_with("/me")).unwrap();
    assert!(call.headers.iter().any(|(name, value)| name == "authorization" && value == "Bearer at"));
    for (status, body, reason) in [
        (200, json!({"sub": "u2", "email": "eve@x", "email_verified": true}), Reason::LoginRefused),
        (200, json!({"email": "eve@x", "email_verified": true}), Reason::LoginRefused),
        (200, json!([]), Reason::RemoteUnavailable),
        (401, json!({"sub": "u1"}), Reason::RemoteUnavailable),
    ] {
        let mut stand = Stand::new(own.clone());
        stand.answers("/me", status, &body);
        assert_eq!(why(&stand.log_in("", json!({}))), reason, "{body}");
        assert_eq!(stand.who(), Err(Reason::SessionMissing));
    }
}

#[test]
fn an_address_is_not_verified_by_what_is_said_of_another() {
    let mut stand = Stand::new(json!({"userinfo": true, "user": "email", "scopes": ["email"]}));
    stand.answers("/me", 200, &json!({"sub": "u1", "email": "eve@x", "email_verified": true}));
    assert_eq!(why(&stand.log_in("", json!({"email": "ann@x"}))), Reason::LoginRefused);
    stand.answers("/me", 200, &json!({"sub": "u1", "email": "ann@x", "email_verified": true}));
    stand.log_in("", json!({"email": "ann@x"}));
    assert_eq!(stand.who(), Ok("ann@x".to_owned()));
}

#[test]
fn the_session_keeps_what_the_policy_wants_within_bounds() {
    let mut stand = Stand::new(json!({"claims": ["name"]}));
    stand.log_in("", json!({"name": "Ann", "email": "ann@x"}));
    assert_eq!((stand.claim("name"), stand.claim("email")), (Some(json!("Ann")), None));
    let mut stand = Stand::new(json!({"userinfo": true}));
    stand.answers("/me", 200, &json!({"sub": "u1", "groups": vec!["a group"; 2000]}));
    assert_eq!(why(&stand.log_in("", json!({}))), Reason::LoginRefused);
    let mut stand = Stand::new(json!({"userinfo": true, "claims": ["name"]}));
    stand.answers("/me", 200, &json!({"sub": "u1", "groups": vec!["a group"; 2000]}));
    stand.log_in("", json!({}));
    assert!(stand.who().is_ok());
}

#[test]
fn a_recent_log_in_is_one_that_the_provider_says_was_recent() {
    let mut stand = Stand::of(json!({"oidc": oidc(json!({})), "reauthenticate": {"after": "1h"}}));
    stand.log_in("", json!({}));
    assert_eq!(stand.who(), Err(Reason::SessionStale), "the provider does not say when");
    stand.log_in("", json!({"auth_time": NOW - 3600}));
    assert_eq!(stand.who(), Err(Reason::SessionStale), "the provider remembers the user for longer");
    let scene = stand.scene(Method::GET, "/pay");
    let reply = replied(stand.bench.ask(&scene));
    assert_eq!(location(&reply), "/.palisade/login?fresh=1&return=%2Fpay");
    let away = stand.away("?fresh=1&return=%2Fpay");
    assert_eq!((away.asked["prompt"].as_str(), away.asked["max_age"].as_str()), ("login", "300"));
    for old in [json!({}), json!({"auth_time": NOW - 31}), json!({"auth_time": "now"})] {
        let token = signed(&with(stand.claims(&away), old));
        stand.gives(&token);
        assert_eq!(why(&stand.back(&away)), Reason::LoginRefused);
    }
    let token = signed(&with(stand.claims(&away), json!({"auth_time": NOW})));
    stand.gives(&token);
    assert_eq!(location(&replied(stand.back(&away))), "/pay");
    assert_eq!(stand.who(), Ok("u1".to_owned()));
    assert_eq!(stand.bench.facts.session.unwrap().started, NOW);
}

#[test]
fn a_log_in_at_the_provider_may_not_be_older_than_the_policy_says() {
    let mut stand = Stand::new(json!({"max_age": "1h", "parameters": {"prompt": "consent"}}));
    let away = stand.away("");
    assert_eq!((away.asked["max_age"].as_str(), away.asked["prompt"].as_str()), ("3600", "consent"));
    for old in [json!({}), json!({"auth_time": NOW - 3631})] {
        let token = signed(&with(stand.claims(&away), old));
        stand.gives(&token);
        assert_eq!(why(&stand.back(&away)), Reason::LoginRefused);
    }
    let token = signed(&with(stand.claims(&away), json!({"auth_time": NOW - 3600})));
    stand.gives(&token);
    assert_eq!(replied(stand.back(&away)).status, StatusCode::SEE_OTHER);
    let fresh = stand.away("?fresh=1");
    assert_eq!(fresh.asked["prompt"], "login", "and not twice");
}

//! What claims must say, and what becomes of them.

use super::*;

#[test]
fn dates_are_numbers_and_exp_is_not_optional() {
    let check = hs(json!({}));
    let exp = |text: &str| {
        let claims = format!(r#"{{"sub":"u","exp":{text}}}"#);
        answer(&check, &raw(r#"{"alg":"HS256"}"#, &claims, "HS256"))
    };
    assert_eq!(exp(&(NOW + 1).to_string()), Ok(()));
    assert_eq!(exp(&format!("{}.5", NOW + 1)), Ok(()));
    assert_eq!(exp("18446744073709551615"), Ok(()), "no overflow");
    assert_eq!(exp("1767225601e0"), Ok(()));
    for text in ["\"1767225700\"", "1e400", "-1", "-1e400", "1e300", "true", "null", "[1767225700]", "{}", "NaN", "0x7"] {
        assert_eq!(exp(text), Err(Reason::TokenInvalid), "{text}");
    }
    assert_eq!(exp("0"), Err(Reason::TokenExpired));
    assert_eq!(exp("0.5"), Err(Reason::TokenExpired));
    assert_eq!(answer(&check, &signed("HS256", &json!({"sub": "u"}))), Err(Reason::TokenClaims));
    assert_eq!(answer(&check, &with(json!({"nbf": "0"}))), Err(Reason::TokenInvalid));
    assert_eq!(answer(&check, &with(json!({"iat": true}))), Err(Reason::TokenInvalid));
    assert_eq!(answer(&check, &with(json!({"nbf": null}))), Err(Reason::TokenInvalid));
}

#[test]
fn leeway_ends_where_it_says() {
    let check = hs(json!({}));
    for (claims, expected) in [
        (json!({"exp": NOW - 29}), Ok(())),
        (json!({"exp": NOW - 30}), Err(Reason::TokenExpired)),
        (json!({"nbf": NOW + 30}), Ok(())),
        (json!({"nbf": NOW + 31}), Err(Reason::TokenNotYet)),
        (json!({"iat": NOW + 31}), Err(Reason::TokenNotYet)),
    ] {
        assert_eq!(answer(&check, &with(claims.clone())), expected, "{claims}");
    }
    let exact = hs(json!({"leeway": "0s"}));
    assert_eq!(answer(&exact, &with(json!({"exp": NOW}))), Err(Reason::TokenExpired));
    assert_eq!(answer(&exact, &with(json!({"exp": NOW + 1}))), Ok(()));
    let young = hs(json!({"max_age": "30m", "leeway": "0s"}));
    assert_eq!(answer(&young, &with(json!({"iat": NOW - 1799}))), Ok(()));
    assert_eq!(answer(&young, &with(json!({"iat": NOW - 1800}))), Err(Reason::TokenExpired));
    assert_eq!(answer(&young, &signed("HS256", &json!({"sub": "u", "exp": NOW + 9}))), Err(Reason::TokenClaims));
}

#[test]
fn issuer_audience_and_type_must_be_ours() {
    let check = hs(json!({"issuer": ["https://a", "https://b"], "audience": "shop"}));
    for (claims, passes) in [
        (json!({"iss": "https://a", "aud": "shop"}), true),
        (json!({"iss": "https://b", "aud": ["api", "shop"]}), true),
        (json!({"iss": "https://c", "aud": "shop"}), false),
        (json!({"iss": "https://a/", "aud": "shop"}), false),
        (json!({"iss": ["https://a"], "aud": "shop"}), false),
        (json!({"iss": "https://a", "aud": "Shop"}), false),
        (json!({"iss": "https://a", "aud": []}), false),
        (json!({"iss": "https://a", "aud": ["api"]}), false),
        (json!({"iss": "https://a", "aud": {"shop": 1}}), false),
        (json!({"iss": "https://a"}), false),
        (json!({"aud": "shop"}), false),
    ] {
        assert_eq!(answer(&check, &with(claims.clone())).is_ok(), passes, "{claims}");
    }
    let typed = hs(json!({"typ": "at+jwt"}));
    let claims = json!({"sub": "u", "exp": NOW + 60}).to_string();
    for (header, passes) in [
        (json!({"alg": "HS256", "typ": "at+jwt"}), true),
        (json!({"alg": "HS256", "typ": "application/AT+JWT"}), true),
        (json!({"alg": "HS256", "typ": "JWT"}), false),
        (json!({"alg": "HS256", "typ": ["at+jwt"]}), false),
        (json!({"alg": "HS256"}), false),
    ] {
        assert_eq!(answer(&typed, &raw(&header.to_string(), &claims, "HS256")).is_ok(), passes, "{header}");
    }
}

#[test]
fn a_refresh_token_is_no_access_token() {
    let required = hs(json!({"require": {"token_type": "access"}}));
    assert_eq!(answer(&required, &with(json!({"token_type": "access"}))), Ok(()));
    for claims in [json!({}), json!({"token_type": "refresh"}), json!({"token_type": "ACCESS"}), json!({"type": "access"})] {
        assert_eq!(answer(&required, &with(claims.clone())), Err(Reason::TokenClaims), "{claims}");
    }
    let nothing_said = hs(json!({}));
    for claims in [json!({"token_type": "refresh"}), json!({"type": "Refresh"}), json!({"token_use": "refresh_token"})] {
        assert_eq!(answer(&nothing_said, &with(claims.clone())), Err(Reason::TokenClaims), "{claims}");
    }
    assert_eq!(answer(&nothing_said, &with(json!({"type": "access"}))), Ok(()));
    let on_purpose = hs(json!({"require": {"type": "refresh"}}));
    assert_eq!(answer(&on_purpose, &with(json!({"type": "refresh"}))), Ok(()));
}

#[test]
fn required_values_may_be_several_and_of_any_type() {
    let check = hs(json!({"require": {"role": ["admin", "user"], "mfa": true, "level": 3}}));
    let claims = |role: Value, mfa: Value, level: Value| with(json!({"role": role, "mfa": mfa, "level": level}));
    assert_eq!(answer(&check, &claims("user".into(), true.into(), 3.into())), Ok(()));
    assert_eq!(answer(&check, &claims(json!(["guest", "admin"]), true.into(), 3.into())), Ok(()));
    for token in [
        claims("guest".into(), true.into(), 3.into()),
        claims("user".into(), "true".into(), 3.into()),
        claims("user".into(), true.into(), "3".into()),
        claims(json!([["admin"]]), true.into(), 3.into()),
    ] {
        assert_eq!(answer(&check, &token), Err(Reason::TokenClaims));
    }
}

fn forwarded(check: &Check, claims: Value) -> Result<Vec<(String, String)>, Reason> {
    let mut asked = bearer(&with(claims));
    ask(check, &mut asked, &mut Invented::default())?;
    let identity = asked.facts.identity.unwrap();
    let text = |value: &HeaderValue| String::from_utf8(value.as_bytes().to_vec()).unwrap();
    Ok(identity.forward.iter().map(|(name, value)| (name.to_string(), text(value))).collect())
}

#[test]
fn claims_become_headers_that_clients_cannot_send() {
    let check = hs(json!({"forward": {"sub": "X-User-Id", "roles": "X-Roles", "n": "X-N", "gone": "X-Gone"}}));
    let owned: Vec<&str> = check.owned_headers().iter().map(HeaderName::as_str).collect();
    assert_eq!(owned, ["x-gone", "x-n", "x-roles", "x-user-id"]);
    let fields = forwarded(&check, json!({"roles": ["a", "b", 3], "n": 7, "gone": null})).unwrap();
    let expected = [("x-n", "7"), ("x-roles", "a,b,3"), ("x-user-id", "u1")];
    assert!(fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).eq(expected));
    assert_eq!(forwarded(&check, json!({"sub": "田中"})).unwrap().last().unwrap().1, "田中");
    for claims in [
        json!({"sub": "a\r\nX-Role: admin"}),
        json!({"sub": "a\u{0}"}),
        json!({"sub": "a\u{85}b"}),
        json!({"sub": " admin"}),
        json!({"sub": "admin\u{a0}"}),
        json!({"roles": ["user,admin"]}),
        json!({"roles": ["user", ""]}),
        json!({"roles": [["user"]]}),
        json!({"roles": {"admin": true}}),
    ] {
        assert_eq!(forwarded(&check, claims.clone()), Err(Reason::TokenClaims), "{claims}");
    }
}

#[test]
fn somebody_is_established_or_nobody() {
    let check = hs(json!({}));
    let mut asked = bearer(&with(json!({"role": "admin"})));
    ask(&check, &mut asked, &mut Invented::default()).unwrap();
    let identity = asked.facts.identity.unwrap();
    assert_eq!((identity.user.as_str(), identity.expires), ("u1", Some(NOW + 630)));
    assert_eq!(identity.claims.get("role"), Some(&json!("admin")));
    for sub in [json!(""), json!(null), json!(["u1"]), json!({"a": 1}), json!(true)] {
        assert_eq!(answer(&check, &with(json!({"sub": sub}))), Err(Reason::TokenClaims), "{sub}");
    }
    assert_eq!(answer(&check, &signed("HS256", &json!({"exp": NOW + 9}))), Err(Reason::TokenClaims));
    let clients = hs(json!({"user": "client_id"}));
    assert_eq!(answer(&clients, &signed("HS256", &json!({"exp": NOW + 9, "client_id": 12}))), Ok(()));
}

#[test]
fn a_bound_token_is_good_on_its_device_only() {
    let check = hs(json!({"bind": {"device_id": "X-Device-Id"}}));
    let bound = with(json!({"device_id": "d1"}));
    let at = |token: &str, devices: &[&str]| {
        let mut asked = bearer(token);
        for device in devices {
            asked = asked.header("x-device-id", device);
        }
        ask(&check, &mut asked, &mut Invented::default())
    };
    assert_eq!(at(&bound, &["d1"]), Ok(()));
    assert_eq!(at(&good(), &[]), Ok(()), "a token without the claim is bound to nothing");
    assert_eq!(at(&with(json!({"device_id": 1})), &["1"]), Err(Reason::TokenClaims));
    for devices in [&[][..], &["d2"], &["d1", "d1"], &["d1", "d2"], &[""], &["D1"]] {
        assert_eq!(at(&bound, devices), Err(Reason::TokenClaims), "{devices:?}");
    }
}

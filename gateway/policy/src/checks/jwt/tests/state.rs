//! Where tokens come from, what is remembered of them, and how they are called back.

use super::*;

fn says(asked: &Asked) -> Option<String> {
    let mut fields = asked.effects.response.iter();
    fields.find(|(name, _)| name == WWW_AUTHENTICATE).map(|(_, value)| value.to_str().unwrap().to_owned())
}

#[test]
fn exactly_one_bearer_token() {
    let check = hs(json!({}));
    let token = good();
    let from = |values: &[String]| {
        let mut asked = Asked::default();
        for value in values {
            asked = asked.header("authorization", value);
        }
        ask(&check, &mut asked, &mut Invented::default())
    };
    for value in [format!("Bearer {token}"), format!("bearer {token}"), format!("BEARER  {token}")] {
        assert_eq!(from(&[value]), Ok(()));
    }
    assert_eq!(from(&[]), Err(Reason::TokenMissing));
    for value in [format!("Basic {token}"), token.clone(), String::new()] {
        assert_eq!(from(&[value]), Err(Reason::TokenMissing));
    }
    for value in ["Bearer".to_owned(), "Bearer ".to_owned(), format!("Bearer {token} x"), format!("Bearer {token},Bearer {token}")] {
        assert_eq!(from(&[value]), Err(Reason::TokenInvalid));
    }
    let twice = [format!("Bearer {token}"), format!("Bearer {token}")];
    assert_eq!(from(&twice), Err(Reason::TokenInvalid));
    assert_eq!(from(&["Basic eDp5".to_owned(), format!("Bearer {token}")]), Err(Reason::TokenInvalid));
}

#[test]
fn tokens_from_cookies_queries_and_other_headers() {
    let token = good();
    let cookie = hs(json!({"cookie": "access_token"}));
    let at = |check: &Check, asked: Asked| ask(check, &mut { asked }, &mut Invented::default());
    let cookies = |line: &str| at(&cookie, Asked::default().header("cookie", line));
    assert_eq!(cookies(&format!("a=b; access_token={token}; c=d")), Ok(()));
    assert_eq!(cookies(&format!("xaccess_token={token}")), Err(Reason::TokenMissing));
    assert_eq!(cookies(&format!("access_token={token}; access_token=x")), Err(Reason::TokenInvalid));
    assert_eq!(at(&cookie, bearer(&token)), Err(Reason::TokenMissing), "where the policy does not look");
    let query = hs(json!({"query": "token"}));
    let asked = |query: String| Asked { query: Some(query), ..Asked::default() };
    assert_eq!(at(&query, asked(format!("a=1&token={token}"))), Ok(()));
    assert_eq!(at(&query, asked(format!("token={token}&token={token}"))), Err(Reason::TokenInvalid));
    let header = hs(json!({"header": "X-Token"}));
    assert_eq!(at(&header, Asked::default().header("x-token", &token)), Ok(()));
    assert_eq!(at(&header, Asked::default().header("x-token", &format!("Bearer {token}"))), Ok(()));
    let both = hs(json!({"header": "Authorization", "cookie": "t"}));
    assert_eq!(at(&both, bearer(&token)), Ok(()));
    assert_eq!(at(&both, bearer(&token).header("cookie", &format!("t={token}"))), Err(Reason::TokenInvalid));
}

#[test]
fn nobody_may_pass_where_tokens_are_optional_but_not_with_a_wrong_one() {
    let check = hs(json!({"optional": true}));
    let mut asked = Asked::default();
    assert_eq!(ask(&check, &mut asked, &mut Invented::default()), Ok(()));
    assert!(asked.facts.identity.is_none());
    assert_eq!(answer(&check, "x.y.z"), Err(Reason::TokenInvalid));
    assert_eq!(answer(&check, &good()), Ok(()));
}

#[test]
fn refusals_say_what_rfc_6750_says() {
    let check = hs(json!({}));
    let mut none = Asked::default();
    ask(&check, &mut none, &mut Invented::default()).unwrap_err();
    assert_eq!(says(&none).unwrap(), "Bearer");
    let mut expired = bearer(&with(json!({"exp": 1})));
    ask(&check, &mut expired, &mut Invented::default()).unwrap_err();
    assert_eq!(says(&expired).unwrap(), r#"Bearer error="invalid_token", error_description="expired""#);
    let mut passes = bearer(&good());
    ask(&check, &mut passes, &mut Invented::default()).unwrap();
    assert_eq!(says(&passes), None);
}

#[test]
fn a_remembered_token_still_expires() {
    let check = hs(json!({"leeway": "0s"}));
    let mut io = Invented::default();
    let token = with(json!({"exp": NOW + 10}));
    let mut first = bearer(&token);
    assert_eq!(ask(&check, &mut first, &mut io), Ok(()));
    let mut second = bearer(&token);
    io.advance(time::Duration::from_secs(9));
    assert_eq!(ask(&check, &mut second, &mut io), Ok(()));
    let (first, second) = (first.facts.identity.unwrap(), second.facts.identity.unwrap());
    assert!(Arc::ptr_eq(&first, &second), "remembered, not verified again");
    io.advance(time::Duration::from_secs(1));
    assert_eq!(ask(&check, &mut bearer(&token), &mut io), Err(Reason::TokenExpired));
    io.now.unix = (NOW - 3600) * 1000;
    assert_eq!(ask(&check, &mut bearer(&token), &mut io), Err(Reason::TokenNotYet), "a clock that went back");
}

#[test]
fn a_remembered_token_is_still_bound() {
    let check = hs(json!({"bind": {"device_id": "X-Device-Id"}}));
    let token = with(json!({"device_id": "d1"}));
    let mut io = Invented::default();
    assert_eq!(ask(&check, &mut bearer(&token).header("x-device-id", "d1"), &mut io), Ok(()));
    assert_eq!(ask(&check, &mut bearer(&token).header("x-device-id", "d2"), &mut io), Err(Reason::TokenClaims));
}

#[test]
fn revoked_tokens_and_users_are_refused_even_when_remembered() {
    let check = hs(json!({"revocation": true}));
    let keys = Keys::derived(b"tests");
    let mut io = Invented::default();
    let hour = time::Duration::from_secs(3600);
    let (one, two) = (with(json!({"jti": "one"})), with(json!({"jti": "two"})));
    assert_eq!(ask(&check, &mut bearer(&one), &mut io), Ok(()));
    let now = io.now;
    io.memory.put(Space::Revocation, revocation::token_key(keys, "one"), "".into(), hour, now).unwrap();
    assert_eq!(ask(&check, &mut bearer(&one), &mut io), Err(Reason::TokenRevoked));
    assert_eq!(ask(&check, &mut bearer(&two), &mut io), Ok(()));
    let user = revocation::subject_key(keys, "u1");
    io.memory.put(Space::Revocation, user, revocation::since(NOW * 1000), hour, now).unwrap();
    assert_eq!(ask(&check, &mut bearer(&two), &mut io), Err(Reason::TokenRevoked));
    assert_eq!(ask(&check, &mut bearer(&with(json!({"jti": "n", "iat": NOW}))), &mut io), Err(Reason::TokenRevoked));
    assert_eq!(ask(&check, &mut bearer(&with(json!({"jti": "n", "iat": NOW + 1}))), &mut io), Ok(()));
    assert_eq!(ask(&check, &mut bearer(&with(json!({"sub": "u2"}))), &mut io), Ok(()));
    let undated = signed("HS256", &json!({"sub": "u1", "exp": NOW + 60}));
    assert_eq!(ask(&check, &mut bearer(&undated), &mut io), Err(Reason::TokenRevoked));
    assert_eq!(answer(&check, &with(json!({"jti": 7}))), Err(Reason::TokenClaims));
    io.memory.put(Space::Revocation, user, "garbage".into(), hour, now).unwrap();
    assert_eq!(ask(&check, &mut bearer(&two), &mut io), Err(Reason::StoreUnavailable));
}

#[test]
fn revocation_fails_closed_unless_told_otherwise() {
    let spec = json!({"secret": "jwt", "revocation": true});
    let mut io = Invented::default();
    io.store_fault = Some(StoreFault::Down);
    let with_policy = |how| Given { on_store_error: how, ..given() }.compile(spec.clone(), Spec::compile);
    assert_eq!(ask(&with_policy(None).unwrap(), &mut bearer(&good()), &mut io), Err(Reason::StoreUnavailable));
    assert_eq!(ask(&with_policy(Some(OnError::Allow)).unwrap(), &mut bearer(&good()), &mut io), Ok(()));
    assert!(with_policy(Some(OnError::Local)).is_err());
    assert_eq!(ask(&hs(json!({})), &mut bearer(&good()), &mut io), Ok(()), "who asks no store needs none");
}

#[test]
fn the_cache_is_bounded_and_keeps_what_is_asked_for() {
    let check = hs(json!({"cache": 160}));
    let mut io = Invented::default();
    let mut identity = |token: &str| {
        let mut asked = bearer(token);
        ask(&check, &mut asked, &mut io).unwrap();
        asked.facts.identity.unwrap()
    };
    let busy = good();
    let first = identity(&busy);
    for n in 0..500 {
        identity(&with(json!({"jti": n.to_string()})));
        assert!(Arc::ptr_eq(&first, &identity(&busy)));
    }
    assert!(check.cache.len() <= 160);
    let none = hs(json!({"cache": 0}));
    assert_eq!((answer(&none, &busy), none.cache.len()), (Ok(()), 0));
    assert_eq!(answer(&check, &format!("{busy}x")), Err(Reason::TokenInvalid));
    let wrong = hs(json!({}));
    assert_eq!(answer(&wrong, "a.b.c"), Err(Reason::TokenInvalid));
    assert_eq!(answer(&wrong, &with(json!({"exp": 1}))), Err(Reason::TokenExpired));
    assert_eq!(wrong.cache.len(), 0, "only good tokens get in");
}

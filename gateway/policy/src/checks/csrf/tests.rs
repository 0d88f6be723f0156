#![expect(clippy::unwrap_used, reason = "tests")]

use bytes::Bytes;
use http::header::SET_COOKIE;
use http::{HeaderName, HeaderValue, Method};
use serde_json::{Value, json};

use crate::decision::{Answer, CheckId, Reason};
use crate::io::{BodyFault, Key};
use crate::request::Session;
use crate::testing::{Bench, Scene};

fn bench(more: Value) -> Bench {
    let mut spec = json!({"secret": "csrf", "bound": false});
    let spec_map = spec.as_object_mut().unwrap();
    spec_map.extend(more.as_object().unwrap().clone());
    Bench::new("csrf", spec)
}

fn with(method: Method, fields: &[(&'static str, &str)]) -> Scene {
    let mut scene = Scene { method, ..Scene::default() }.header("host", "app.example");
    for (name, value) in fields {
        let name = HeaderName::from_static(name);
        scene.headers.append(name, HeaderValue::from_str(value).unwrap());
    }
    scene
}

/// The token that a GET with these fields is given, if it is given one.
fn given(bench: &mut Bench, fields: &[(&'static str, &str)]) -> Option<String> {
    bench.effects.response.clear();
    assert_eq!(bench.ask(&with(Method::GET, fields)), Answer::Pass);
    let set = bench.effects.response.iter().find(|(name, _)| name == SET_COOKIE)?;
    let text = set.1.to_str().unwrap();
    let (pair, rest) = text.split_once(';').unwrap();
    assert_eq!(rest, " Path=/; Max-Age=3600; Secure; SameSite=Lax");
    Some(pair.strip_prefix("csrf_token=").unwrap().to_owned())
}

/// Why a POST with these fields is refused; `None` when it passes.
fn refused(bench: &mut Bench, fields: &[(&'static str, &str)]) -> Option<String> {
    bench.facts.notes.clear();
    match bench.ask(&with(Method::POST, fields)) {
        Answer::Pass => None,
        answer => {
            assert_eq!(answer, Answer::deny(Reason::CsrfFailed));
            Some(bench.facts.note(CheckId(0)).unwrap().to_owned())
        }
    }
}

fn session(bench: &mut Bench, of: u128) {
    bench.facts.session = Some(Session { binding: Key(of), started: 0 });
}

#[test]
fn what_the_cookie_says_must_come_back_in_the_header() {
    let mut bench = bench(json!({}));
    let token = given(&mut bench, &[]).unwrap();
    let cookie = format!("a=b; csrf_token={token}");
    for method in [Method::POST, Method::PUT, Method::PATCH, Method::DELETE, Method::from_bytes(b"PURGE").unwrap()] {
        let sent = with(method.clone(), &[("cookie", &cookie), ("x-csrf-token", &token)]);
        assert_eq!(bench.ask(&sent), Answer::Pass, "{method}");
        let missing = with(method.clone(), &[("cookie", &cookie)]);
        assert_eq!(bench.ask(&missing), Answer::deny(Reason::CsrfFailed), "{method}");
    }
    let other = given(&mut bench, &[]).unwrap();
    let cases: [(&[(&'static str, &str)], &str); 6] = [
        (&[("x-csrf-token", &token)], "a token without its cookie"),
        (&[("cookie", &cookie), ("x-csrf-token", &other)], "token and cookie differ"),
        (&[("cookie", &cookie), ("x-csrf-token", "")], "token and cookie differ"),
        (&[("cookie", "csrf_token=x"), ("x-csrf-token", "x")], "a token of another session, or not signed by us"),
        (&[("cookie", &cookie), ("cookie", &cookie), ("x-csrf-token", &token)], "the cookie is there twice"),
        (&[("cookie", &cookie), ("x-csrf-token", &token), ("x-csrf-token", &token)], "more than one token"),
    ];
    for (fields, why) in cases {
        assert_eq!(refused(&mut bench, fields).as_deref(), Some(why));
    }
}

#[test]
fn a_token_of_another_session_fails_and_so_does_one_from_before_the_log_in() {
    let mut bench = bench(json!({}));
    let before = given(&mut bench, &[]).unwrap();
    session(&mut bench, 1);
    let first = given(&mut bench, &[("cookie", &format!("csrf_token={before}"))]).unwrap();
    session(&mut bench, 2);
    for token in [before, first] {
        let cookie = format!("csrf_token={token}");
        let why = refused(&mut bench, &[("cookie", &cookie), ("x-csrf-token", &token)]);
        assert_eq!(why.as_deref(), Some("a token of another session, or not signed by us"));
    }
    let own = given(&mut bench, &[]).unwrap();
    let cookie = format!("csrf_token={own}");
    assert_eq!(refused(&mut bench, &[("cookie", &cookie), ("x-csrf-token", &own)]), None);
}

#[test]
fn a_token_ends_and_is_renewed_before_that_pages_first() {
    let mut bench = bench(json!({}));
    let token = given(&mut bench, &[]).unwrap();
    let cookie = format!("csrf_token={token}");
    let page = [("cookie", cookie.as_str()), ("accept", "text/html")];
    let script = [("cookie", cookie.as_str())];
    let wait = |bench: &mut Bench, seconds| bench.io.advance(std::time::Duration::from_secs(seconds));
    wait(&mut bench, 1790);
    assert_eq!(given(&mut bench, &page), None);
    wait(&mut bench, 20);
    assert!(given(&mut bench, &page).is_some());
    assert_eq!(given(&mut bench, &script), None);
    wait(&mut bench, 900);
    assert!(given(&mut bench, &script).is_some());
    assert_eq!(refused(&mut bench, &[("cookie", &cookie), ("x-csrf-token", &token)]), None);
    wait(&mut bench, 890);
    let why = refused(&mut bench, &[("cookie", &cookie), ("x-csrf-token", &token)]);
    assert_eq!(why.as_deref(), Some("the token expired"));
}

#[test]
fn another_page_is_refused_whatever_it_sends() {
    let mut bench = bench(json!({"origins": ["https://*.partner.example"]}));
    let token = given(&mut bench, &[]).unwrap();
    let cookie = format!("csrf_token={token}");
    let mut with_token = |fields: &[(&'static str, &'static str)]| {
        let mut all = vec![("cookie", cookie.as_str()), ("x-csrf-token", token.as_str())];
        all.extend_from_slice(fields);
        refused(&mut bench, &all).is_none()
    };
    for good in [
        &[("origin", "https://app.example"), ("sec-fetch-site", "same-origin")][..],
        &[("origin", "https://app.example")],
        &[("origin", "https://a.partner.example"), ("sec-fetch-site", "cross-site")],
        &[("sec-fetch-site", "none")],
        &[("origin", "null"), ("sec-fetch-site", "same-origin")],
        &[("referer", "https://app.example/form?x=1")],
        &[("referer", "https://b.partner.example/")],
        &[],
    ] {
        assert!(with_token(good), "{good:?}");
    }
    for bad in [
        &[("origin", "https://evil.example")][..],
        &[("origin", "https://evil.example"), ("sec-fetch-site", "same-origin")],
        &[("origin", "http://app.example")],
        &[("origin", "https://app.example:8443")],
        &[("origin", "https://app.example.evil.example")],
        &[("origin", "https://app.example"), ("origin", "https://evil.example")],
        &[("origin", "https://app.example"), ("sec-fetch-site", "cross-site")],
        &[("origin", "null")],
        &[("origin", "null"), ("sec-fetch-site", "cross-site")],
        &[("sec-fetch-site", "cross-site")],
        &[("sec-fetch-site", "same-site")],
        &[("sec-fetch-site", "anything")],
        &[("sec-fetch-site", "same-origin"), ("sec-fetch-site", "cross-site")],
        &[("referer", "https://evil.example/https://app.example/")],
        &[("referer", "https://app.example@evil.example/")],
        &[("referer", "https://app.example.evil.example/")],
        &[("referer", "about:blank")],
    ] {
        assert!(!with_token(bad), "{bad:?}");
    }
}

#[test]
fn pages_without_tokens_pass_only_by_what_the_browser_says() {
    let mut bench = bench(json!({"tokenless": "origin", "siblings": "allow"}));
    for (fields, passes) in [
        (&[("origin", "https://app.example")][..], true),
        (&[("sec-fetch-site", "same-origin")], true),
        (&[("sec-fetch-site", "same-site"), ("origin", "https://www.app.example")], true),
        (&[("referer", "https://app.example/")], true),
        (&[], false),
        (&[("sec-fetch-site", "cross-site")], false),
        (&[("origin", "https://app.example"), ("x-csrf-token", "wrong")], false),
    ] {
        assert_eq!(refused(&mut bench, fields).is_none(), passes, "{fields:?}");
    }
}

#[test]
fn a_websocket_with_cookies_comes_from_an_allowed_origin() {
    let mut check = super::super::testing::Given::default();
    check.secrets.insert("csrf".to_owned(), vec![b"0123456789abcdef0123456789abcdef".to_vec()]);
    let check = check.compile(json!({"secret": "csrf"}), super::Spec::compile).unwrap();
    let mut io = crate::invented::Invented::default();
    for (fields, passes) in [
        (&[("cookie", "s=1"), ("origin", "https://shop.example")][..], true),
        (&[("cookie", "s=1"), ("origin", "https://evil.example")], false),
        (&[("cookie", "s=1")], false),
        (&[("origin", "https://evil.example")], true),
    ] {
        let mut asked = super::super::testing::Asked { websocket: true, ..Default::default() };
        asked = asked.header("host", "shop.example");
        for (name, value) in fields {
            asked = asked.header(name, value);
        }
        let answer = asked.turn(&mut io, |turn| crate::invented::ready(check.ask(turn)).unwrap());
        assert_eq!(answer == Answer::Pass, passes, "{fields:?}");
        assert!(asked.effects.response.is_empty());
    }
}

#[test]
fn a_form_may_carry_the_token() {
    let mut bench = bench(json!({"field": "form.csrf"}));
    let token = given(&mut bench, &[]).unwrap();
    let cookie = format!("csrf_token={token}");
    let form = [("cookie", cookie.as_str()), ("content-type", "application/x-www-form-urlencoded")];
    bench.io.body = Ok(Bytes::from(format!("a=1&csrf={token}")));
    assert_eq!(refused(&mut bench, &form), None);
    bench.io.body = Ok(Bytes::from(format!("csrf={token}&csrf=x")));
    assert_eq!(refused(&mut bench, &form).as_deref(), Some("no token"));
    bench.io.body = Err(BodyFault::TooLarge);
    assert_eq!(bench.ask(&with(Method::POST, &form)), Answer::deny(Reason::BodyTooLarge));
}

#[test]
fn a_good_token_costs_a_read_nothing() {
    let mut bench = bench(json!({}));
    session(&mut bench, 1);
    let token = given(&mut bench, &[]).unwrap();
    let cookie = format!("csrf_token={token}");
    assert_eq!(bench.allocations(&with(Method::GET, &[("cookie", &cookie)])), 0);
    let sent = [("cookie", cookie.as_str()), ("x-csrf-token", token.as_str()), ("origin", "https://app.example")];
    assert_eq!(bench.allocations(&with(Method::POST, &sent)), 0);
}

#[test]
fn what_protects_nothing_is_not_loaded() {
    let faults = |more: Value| {
        let mut spec = json!({"secret": "0123456789abcdef0123456789abcdef"});
        spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        Bench::faults_of::<&str>("csrf", spec, &[])
    };
    for (more, about) in [
        (json!({"max_age": "10s"}), "it.max_age"),
        (json!({"max_age": "25h"}), "it.max_age"),
        (json!({"cookie": "a b"}), "it.cookie"),
        (json!({"cookie": "__Host-csrf", "secure": false}), "it.secure"),
        (json!({"same_site": "none", "secure": false}), "it.secure"),
        (json!({"origins": ["*"]}), "it.origins"),
        (json!({"origins": ["evil"]}), "it.origins[0]"),
        (json!({"header": "a b"}), "it.header"),
    ] {
        let found = faults(more);
        assert!(found.first().unwrap().starts_with(about), "{found:?}");
    }
}

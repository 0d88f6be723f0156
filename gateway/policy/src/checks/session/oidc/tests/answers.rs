//! What a browser, or somebody in its place, brings back; and a provider that is not there.

use super::*;
use crate::io::StoreFault;

fn ready(stand: &mut Stand, query: &str) -> Away {
    let away = stand.away(query);
    let token = signed(&stand.claims(&away));
    stand.gives(&token);
    away
}

#[track_caller]
fn stale(stand: &mut Stand, address: &str) {
    let before = stand.asked("/token");
    assert_eq!(why(&stand.get(&format!("{BASE}login/callback{address}"))), Reason::LoginStale, "{address}");
    assert_eq!(stand.told(), ["login_refused"]);
    assert_eq!(stand.asked("/token"), before, "the code goes nowhere");
    assert_eq!(stand.who(), Err(Reason::SessionMissing));
}

#[test]
fn refuses_what_this_browser_did_not_begin() {
    let mut stand = Stand::new(json!({}));
    let away = ready(&mut stand, "");
    let address = format!("?code=c0de&state={}", away.state());
    let mut cookies = std::mem::take(&mut stand.cookies);
    stale(&mut stand, &address);
    // The attacker's log-in, finished in the victim's browser, which has begun one of its own.
    ready(&mut stand, "");
    stale(&mut stand, &address);
    stand.cookies.clear();
    // A cookie that another site made up, or took from another log-in.
    let mut other = Stand::new(json!({}));
    // What is random is the same in each of them, in its order.
    other.away("");
    let foreign = other.away("");
    for value in ["x", "", foreign.cookie.1.as_str()] {
        stand.cookies = HashMap::from([(away.cookie.0.clone(), value.to_owned())]);
        stale(&mut stand, &address);
    }
    std::mem::swap(&mut stand.cookies, &mut cookies);
    let longer = format!("{address}A");
    for wrong in ["?code=c0de", "?code=c0de&state=", "?code=c0de&state=x", longer.as_str()] {
        stale(&mut stand, wrong);
    }
    let token = signed(&stand.claims(&away));
    stand.gives(&token);
    assert_eq!(replied(stand.back(&away)).status, StatusCode::SEE_OTHER, "the right one still works");
}

#[test]
fn a_log_in_is_finished_once() {
    let mut stand = Stand::new(json!({}));
    let away = ready(&mut stand, "");
    let before = stand.cookies.clone();
    assert_eq!(replied(stand.back(&away)).status, StatusCode::SEE_OTHER);
    // Somebody who has the whole browser's past.
    stand.cookies = before;
    stale(&mut stand, &format!("?code=c0de&state={}", away.state()));
    stand.bench.io.advance(Duration::from_secs(601));
    stale(&mut stand, &format!("?code=c0de&state={}", away.state()));
    let late = ready(&mut stand, "");
    stand.bench.io.advance(Duration::from_secs(601));
    stale(&mut stand, &format!("?code=c0de&state={}", late.state()));
}

#[test]
fn refuses_answers_with_two_readings_and_answers_of_another_issuer() {
    let mut stand = Stand::new(json!({}));
    let away = ready(&mut stand, "");
    let state = away.state().to_owned();
    for wrong in [
        format!("?code=c0de&code=c0de&state={state}"),
        format!("?code=c0de&state={state}&iss={ISSUER}&iss={ISSUER}"),
        format!("?code=c0de&state={state}&iss=https%3A%2F%2Fevil.example"),
        format!("?code=c0de&state={state}&iss="),
        format!("?code=&state={state}"),
        format!("?state={state}"),
        format!("?state={state}&code={}", "c".repeat(4097)),
    ] {
        assert_eq!(why(&stand.get(&format!("{BASE}login/callback{wrong}"))), Reason::LoginRefused, "{wrong}");
        assert_eq!(stand.asked("/token"), 0, "the code goes nowhere");
    }
    let head = stand.scene(Method::HEAD, &format!("{BASE}login/callback?code=c0de&state={state}"));
    assert_eq!(why(&stand.page(&head)), Reason::BadMethod, "nothing that looks ahead uses the code up");
    let twice = format!("{BASE}login/callback?code=c0de&state={state}&state={state}");
    assert_eq!(why(&stand.get(&twice)), Reason::LoginRefused);
    stand.provides(json!({"authorization_response_iss_parameter_supported": true}));
    assert_eq!(why(&stand.back(&away)), Reason::LoginRefused, "a provider that always says who it is");
    let good = format!("{BASE}login/callback?code=c0de&state={state}&iss=https%3A%2F%2Fid.example");
    assert_eq!(replied(stand.get(&good)).status, StatusCode::SEE_OTHER);
}

#[test]
fn says_honestly_what_the_provider_answered() {
    let mut stand = Stand::new(json!({}));
    let away = ready(&mut stand, "");
    let address = format!("{BASE}login/callback?error=access_denied%3Cscript%3E&state={}", away.state());
    let reply = replied(stand.get(&address));
    assert_eq!((reply.status, reply.reason), (StatusCode::FORBIDDEN, Reason::LoginRefused));
    let body = String::from_utf8_lossy(&reply.body).into_owned();
    assert!(body.contains("Signing in did not work") && body.contains("href=\"/.palisade/login\""), "{body}");
    assert!(!body.contains("access_denied"), "nothing of the address is on the page");
    assert_eq!(stand.bench.effects.told[0].detail, "the provider answers access_deniedscript");
    // A program gets a status, and a browser its own language.
    let api = Scene { headers: http::HeaderMap::new(), ..stand.scene(Method::GET, &format!("{BASE}login/callback?state=x")) };
    assert_eq!(why(&stand.bench.page(&api)), Reason::LoginStale);
    let german = stand.scene(Method::GET, &format!("{BASE}login/callback?state=x")).header("accept-language", "de");
    let reply = replied(stand.bench.page(&german));
    assert!(String::from_utf8_lossy(&reply.body).contains("nicht geklappt"));
}

#[test]
fn a_provider_that_gives_no_answer_lets_nobody_in() {
    for path in ["/token", "/keys", "/me"] {
        let mut stand = Stand::new(json!({"userinfo": true}));
        let away = ready(&mut stand, "");
        stand.is_down(path);
        assert_eq!(why(&stand.back(&away)), Reason::RemoteUnavailable, "{path}");
        assert_eq!(stand.told(), ["login_unavailable"]);
        assert_eq!((stand.who(), stand.stored()), (Err(Reason::SessionMissing), 0));
    }
    let mut stand = Stand::new(json!({}));
    stand.is_down("/.well-known/openid-configuration");
    assert_eq!(why(&stand.get(&format!("{BASE}login"))), Reason::RemoteUnavailable);
    assert_eq!((stand.told(), stand.cookies.len()), (vec!["login_unavailable"], 0));
    // What was known of it is known for a while.
    let mut stand = Stand::new(json!({}));
    let away = ready(&mut stand, "");
    stand.is_down("/.well-known/openid-configuration");
    assert_eq!(replied(stand.back(&away)).status, StatusCode::SEE_OTHER);
}

#[test]
fn a_provider_that_answers_nonsense_lets_nobody_in() {
    for (status, body, reason) in [
        (400, r#"{"error":"invalid_grant"}"#, Reason::LoginRefused),
        (401, r#"{"error":"invalid_client"}"#, Reason::RemoteUnavailable),
        (500, "", Reason::RemoteUnavailable),
        (302, "", Reason::RemoteUnavailable),
        (200, "", Reason::RemoteUnavailable),
        (200, "[]", Reason::RemoteUnavailable),
        (200, r#"{"access_token":"at","token_type":"Bearer"}"#, Reason::RemoteUnavailable),
        (200, r#"{"id_token":"x.y.z","token_type":"Bearer"}"#, Reason::RemoteUnavailable),
        (200, r#"{"access_token":"at","id_token":"x.y.z","token_type":"mac"}"#, Reason::RemoteUnavailable),
        (200, r#"{"access_token":"at","id_token":"x.y.z","id_token":"x.y.z","token_type":"Bearer"}"#, Reason::RemoteUnavailable),
    ] {
        let mut stand = Stand::new(json!({}));
        let away = ready(&mut stand, "");
        stand.says("/token", status, body);
        assert_eq!(why(&stand.back(&away)), reason, "{status} {body}");
        assert_eq!((stand.who(), stand.stored()), (Err(Reason::SessionMissing), 0));
    }
    for metadata in [
        json!({"issuer": "https://evil.example"}),
        json!({"issuer": "https://id.example/"}),
        json!({"authorization_endpoint": null}),
        json!({"authorization_endpoint": "http://id.example/auth"}),
        json!({"authorization_endpoint": "javascript:alert(1)"}),
    ] {
        let mut stand = Stand::new(json!({}));
        stand.provides(metadata.clone());
        assert_eq!(why(&stand.get(&format!("{BASE}login"))), Reason::RemoteUnavailable, "{metadata}");
    }
}

#[test]
fn without_a_store_nobody_logs_in_and_log_ins_begin_all_the_same() {
    let mut stand = Stand::new(json!({}));
    stand.bench.io.store_fault = Some(StoreFault::Down);
    let away = ready(&mut stand, "");
    assert_eq!(why(&stand.back(&away)), Reason::StoreUnavailable);
    assert_eq!(stand.asked("/token"), 0);
    stand.bench.io.store_fault = None;
    assert_eq!(replied(stand.back(&away)).status, StatusCode::SEE_OTHER);
}

#[test]
fn strangers_fill_no_store_and_make_nobody_ask_for_ever() {
    let mut stand = Stand::new(json!({"tries": "3/1m"}));
    for _ in 0..50 {
        stand.away("");
        stand.cookies.clear();
    }
    assert_eq!(stand.stored(), 0);
    stand.says("/token", 400, r#"{"error":"invalid_grant"}"#);
    for _ in 0..10 {
        let away = stand.away("");
        stand.back(&away);
    }
    assert_eq!((stand.stored(), stand.asked("/token")), (0, 3));
    let away = stand.away("");
    let Answer::Deny(denial) = stand.back(&away) else { panic!() };
    assert_eq!(denial.reason, Reason::TooManyFailures);
    assert!(denial.retry_after.is_some_and(|seconds| (1..=60).contains(&seconds)));
    let other = Scene { client: "192.0.2.99".parse().unwrap(), ..stand.scene(Method::GET, &format!("{BASE}login/callback?code=c&state={}", away.state())) };
    assert_eq!(why(&stand.page(&other)), Reason::LoginRefused, "others are heard");
    stand.bench.io.advance(Duration::from_secs(61));
    let away = ready(&mut stand, "");
    assert_eq!(replied(stand.back(&away)).status, StatusCode::SEE_OTHER);
}

#[test]
fn a_client_proves_itself_as_the_provider_wants() {
    let shown = |stand: &mut Stand| {
        let away = ready(stand, "");
        assert_eq!(replied(stand.back(&away)).status, StatusCode::SEE_OTHER);
        let call = stand.bench.io.fetched.iter().find(|call| call.url.ends_with("/token")).unwrap().clone();
        let form: HashMap<String, String> = form_urlencoded::parse(&call.body).into_owned().collect();
        (call.headers.iter().any(|(name, _)| name == "authorization"), form)
    };
    let (basic, form) = shown(&mut Stand::new(json!({"auth": "post"})));
    assert_eq!((basic, form["client_id"].as_str(), form["client_secret"].as_str()), (false, "shop", "client"));
    let mut stand = Stand::new(json!({}));
    stand.provides(json!({"token_endpoint_auth_methods_supported": ["client_secret_post", "none"]}));
    let (basic, form) = shown(&mut stand);
    assert!(!basic && form.contains_key("client_secret"), "as its metadata say");
    let public = json!({"oidc": {"issuer_url": ISSUER, "client": "shop", "url": "https://app.example"}});
    let (basic, form) = shown(&mut Stand::of(public));
    assert!(!basic && form["client_id"] == "shop" && !form.contains_key("client_secret"));
    assert!(form.contains_key("code_verifier"));
}

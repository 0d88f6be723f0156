//! Logging out: here, at the provider, and by the provider.

use super::*;

const LOGOUT: &str = "/.palisade/logout";

fn signed_in(more: Value) -> Stand {
    let mut stand = Stand::new(more);
    stand.log_in("", json!({"sid": "s1"}));
    assert!(stand.who().is_ok());
    stand
}

fn token(page: &Reply) -> String {
    let body = String::from_utf8_lossy(&page.body).into_owned();
    body.split("name=\"token\" value=\"").nth(1).unwrap().split('"').next().unwrap().to_owned()
}

fn post(stand: &mut Stand, address: &str, form: &str) -> Answer {
    stand.bench.io.body = Ok(Bytes::from(form.to_owned()));
    let scene = stand.scene(Method::POST, address).header("content-type", "application/x-www-form-urlencoded");
    stand.page(&scene)
}

fn query(address: &str) -> HashMap<String, String> {
    let (_, query) = address.split_once('?').unwrap();
    form_urlencoded::parse(query.as_bytes()).into_owned().collect()
}

#[test]
fn a_log_out_ends_the_session_here_and_at_the_provider() {
    let mut stand = signed_in(json!({}));
    let id = stand.cookies["__Host-session"].clone();
    let page = replied(stand.get(LOGOUT));
    assert_eq!(page.status, StatusCode::OK);
    let policy = page.headers.iter().find(|(name, _)| name == "content-security-policy").unwrap();
    assert!(policy.1.to_str().unwrap().contains("form-action 'self' https://id.example;"), "{policy:?}");
    assert!(stand.who().is_ok(), "a page that somebody's link opens ends nothing");
    assert_eq!(why(&post(&mut stand, LOGOUT, "token=x")), Reason::FormStale);
    assert!(stand.who().is_ok());
    let form = format!("token={}", token(&page));
    let to = location(&replied(post(&mut stand, LOGOUT, &form)));
    assert_eq!(stand.told(), ["session_ended"]);
    assert!(to.starts_with("https://id.example/end?"), "{to}");
    let asked = query(&to);
    assert_eq!(asked["post_logout_redirect_uri"], "https://app.example/.palisade/logout");
    assert_eq!(asked["client_id"], "shop");
    assert_eq!(asked["id_token_hint"].split('.').count(), 3);
    assert!(stand.cookies.is_empty());
    stand.cookies.insert("__Host-session".to_owned(), id);
    assert_eq!(stand.who(), Err(Reason::SessionEnded));
    let page = replied(stand.get(LOGOUT));
    assert!(String::from_utf8_lossy(&page.body).contains("You are signed out"));
}

#[test]
fn a_link_of_the_application_that_its_user_followed_is_enough() {
    let followed = [
        ("sec-fetch-site", "same-origin"),
        ("sec-fetch-mode", "navigate"),
        ("sec-fetch-dest", "document"),
        ("sec-fetch-user", "?1"),
    ];
    let mut stand = signed_in(json!({"logout": false, "after_logout": "/bye"}));
    for (left_out, _) in followed {
        let mut scene = stand.scene(Method::GET, LOGOUT);
        for (name, value) in followed.into_iter().filter(|(name, _)| *name != left_out) {
            scene = scene.header(name, value);
        }
        assert_eq!(replied(stand.page(&scene)).status, StatusCode::OK, "asks without {left_out}");
    }
    let all = |stand: &Stand| followed.into_iter().fold(stand.scene(Method::GET, LOGOUT), |scene, (name, value)| scene.header(name, value));
    let ahead = all(&stand).header("sec-purpose", "prefetch");
    assert_eq!(replied(stand.page(&ahead)).status, StatusCode::OK, "nobody followed it yet");
    assert!(stand.who().is_ok());
    let scene = all(&stand);
    assert_eq!(location(&replied(stand.page(&scene))), "/bye", "here alone");
    assert_eq!(stand.who(), Err(Reason::SessionMissing));
}

#[test]
fn a_provider_that_is_down_keeps_nobody_from_logging_out() {
    let mut stand = signed_in(json!({}));
    stand.provides(json!({"end_session_endpoint": null}));
    let page = replied(stand.get(LOGOUT));
    let form = format!("token={}", token(&page));
    assert_eq!(location(&replied(post(&mut stand, LOGOUT, &form))), LOGOUT);
    assert_eq!(stand.who(), Err(Reason::SessionMissing));
}

const EVENT: &str = "http://schemas.openid.net/event/backchannel-logout";

fn logout(more: Value) -> String {
    let claims = json!({"iss": ISSUER, "aud": "shop", "iat": NOW, "exp": NOW + 120, "jti": "j1", "events": {EVENT: {}}});
    signed_by(&KEY, &json!({"alg": "ES256", "kid": "k1", "typ": "logout+jwt"}), &with(claims, more))
}

fn reports(stand: &mut Stand, token: &str) -> Answer {
    let cookies = std::mem::take(&mut stand.cookies);
    let answer = post(stand, "/.palisade/login/backchannel", &format!("logout_token={token}"));
    stand.cookies = cookies;
    answer
}

#[test]
fn the_provider_ends_sessions_by_its_own_session_or_by_user() {
    let mut stand = signed_in(json!({"back_channel": true}));
    let first = stand.cookies.clone();
    stand.cookies.clear();
    stand.log_in("", json!({"sid": "s2"}));
    let second = stand.cookies.clone();
    let answer = replied(reports(&mut stand, &logout(json!({"sid": "s1", "sub": "u1"}))));
    assert_eq!((answer.status, stand.told()), (StatusCode::OK, vec!["session_ended"]));
    assert!(stand.who().is_ok());
    stand.cookies = first;
    assert_eq!(stand.who(), Err(Reason::SessionEnded));
    stand.cookies.clear();
    stand.log_in("", json!({"sid": "s3"}));
    let again = replied(reports(&mut stand, &logout(json!({"sub": "u1", "jti": "j2"}))));
    assert_eq!((again.status, stand.told()), (StatusCode::OK, vec!["session_ended", "session_ended"]));
    assert_eq!(stand.who(), Err(Reason::SessionEnded));
    stand.cookies = second;
    assert_eq!(stand.who(), Err(Reason::SessionEnded));
    let nobody = replied(reports(&mut stand, &logout(json!({"sid": "unknown", "jti": "j3"}))));
    assert_eq!(nobody.status, StatusCode::OK, "whoever is out already is out");
}

#[test]
fn refuses_reports_that_the_provider_did_not_make() {
    let mut stand = signed_in(json!({"back_channel": true}));
    let bare = json!({"iss": ISSUER, "aud": "shop", "iat": NOW, "exp": NOW + 120, "jti": "j", "sid": "s1", "events": {EVENT: {}}});
    let header = json!({"alg": "ES256", "kid": "k1"});
    for token in [
        String::new(),
        signed_by(&OTHER, &header, &bare),
        format!("{}.{}.", encode(r#"{"alg":"none"}"#), encode(bare.to_string())),
        signed_by(&KEY, &json!({"alg": "ES256", "kid": "k1", "typ": "at+jwt"}), &bare),
        logout(json!({"sid": "s1", "nonce": "n"})),
        logout(json!({"sid": "s1", "iss": "https://evil.example"})),
        logout(json!({"sid": "s1", "aud": "other"})),
        logout(json!({"sid": "s1", "exp": NOW - 31})),
        logout(json!({"sid": "s1", "exp": null})),
        logout(json!({"sid": "s1", "iat": NOW + 31})),
        logout(json!({"sid": "s1", "events": {}})),
        logout(json!({"sid": "s1", "events": {EVENT: true}})),
        logout(json!({"sid": "s1", "events": null})),
        logout(json!({"sid": "s1", "jti": null})),
        logout(json!({})),
        signed(&json!({"iss": ISSUER, "aud": "shop", "sub": "u1", "sid": "s1", "exp": NOW + 300, "iat": NOW, "nonce": "n"})),
    ] {
        let Answer::Deny(denial) = reports(&mut stand, &token) else { panic!("{token}") };
        assert_eq!(denial.status, StatusCode::BAD_REQUEST, "{token}");
        assert_eq!(stand.told(), ["logout_refused"]);
        assert!(stand.who().is_ok(), "{token}");
    }
    let good = logout(json!({"sid": "s1"}));
    assert_eq!(replied(reports(&mut stand, &good)).status, StatusCode::OK);
    stand.cookies.clear();
    stand.log_in("", json!({"sid": "s1"}));
    let Answer::Deny(denial) = reports(&mut stand, &good) else { panic!() };
    assert_eq!(denial.status, StatusCode::BAD_REQUEST, "used before");
    assert!(stand.who().is_ok());
    assert_eq!(why(&stand.get("/.palisade/login/backchannel")), Reason::BadMethod);
    let mut without = signed_in(json!({}));
    assert_eq!(why(&reports(&mut without, &good)), Reason::NoRoute, "only where the policy says so");
}

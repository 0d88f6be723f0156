//! Log-ins at a real OpenID provider in front of an application that has none, through the front door.

use crate::support::provider::{Browser, Provider, SHOP};
use crate::support::raw::get;
use crate::support::tools::{python, stdout};
use crate::support::{Gateway, Origin, Plan, Response, exchange, until};

/// The application, behind sessions that a log-in of this client begins.
fn plan(origin: &Origin, provider: &Provider, client: &str, more: &str) -> Plan {
    let oidc = format!(
        "{{issuer_url: \"{}\", url: \"https://{SHOP}\", client: {client}{more}}}",
        provider.issuer()
    );
    let forward = "{user: X-User-Id, roles: X-User-Roles}";
    Plan::new(origin.address)
        .top("roles: {user: [read], admin: {includes: [user], allow: [write]}}")
        .top("secrets: {basic: {env: OIDC_BASIC}, post: {env: OIDC_POST}, signer: {file: signer.pem}}")
        .env("OIDC_BASIC", "a secret of basic")
        .env("OIDC_POST", "a secret of post")
        .file("signer.pem", std::fs::read(provider.key()).unwrap())
        .check("web", &format!("{{check: session, oidc: {oidc}, forward: {forward}}}"))
        .check("roles", "{check: authorize}")
        .route("{name: own-pages, match: {path: \"/.palisade/*\"}, serve: [web], use: [web]}")
        .route("{name: write, match: {path: /write}, to: app, use: [web, roles], with: {roles: {need: write}}}")
        .route("{name: pay, match: {path: /pay}, to: app, use: [web], with: {web: {reauthenticate: {after: 1m}}}}")
        .route("{name: all, match: {path: \"/*\"}, to: app, use: [web]}")
}

fn start(client: &str, more: &str) -> (Origin, Provider, Gateway) {
    let (origin, provider) = (Origin::start(), Provider::start());
    let gateway = Gateway::start(&plan(&origin, &provider, client, more));
    (origin, provider, gateway)
}

/// Who the application thinks it is.
#[track_caller]
fn seen(origin: &Origin, answer: &Response, target: &str) -> (String, String) {
    assert_eq!(answer.status, 200, "{}", answer.text());
    let seen = origin.last();
    assert_eq!(seen.target, target);
    assert!(
        !seen
            .headers
            .iter()
            .any(|(_, value)| value.contains("session")),
        "{seen:?}"
    );
    let said = |name| seen.header(name).unwrap_or_default().to_owned();
    (said("x-user-id"), said("x-user-roles"))
}

fn told(gateway: &Gateway, event: &str) -> serde_json::Value {
    gateway.line(event, |line| line["event"] == event)
}

#[test]
fn a_browser_logs_in_at_a_provider() {
    let (origin, provider, gateway) = start(
        "basic",
        ", secret: basic, scopes: [profile], userinfo: true, roles_from: roles",
    );
    let mut browser = Browser::new(gateway.http, &provider);
    let page = browser.log_in("/orders?a=1&b=2", "ann");
    assert_eq!(
        seen(&origin, &page, "/orders?a=1&b=2"),
        ("ann".to_owned(), "admin,user".to_owned())
    );
    assert_eq!(
        origin.count(),
        1,
        "nothing of the log-in reached the application"
    );
    assert!(
        browser.cookies.keys().eq(["__Host-session"]),
        "{:?}",
        browser.cookies
    );
    assert_eq!(told(&gateway, "session_started")["user"], "ann");
    assert_eq!(browser.get("/write").status, 200);
    let forged = browser.send(
        &format!("https://{SHOP}/write"),
        None,
        "X-User-Id: root\r\nX-User-Roles: root\r\n",
    );
    assert_eq!(seen(&origin, &forged, "/write").0, "ann");

    // A second user of the same roles' policy may less.
    let mut other = Browser::new(gateway.http, &provider);
    other.log_in("/", "bob");
    assert_eq!(other.get("/write").status, 403);
}

#[test]
fn a_log_out_here_is_one_at_the_provider() {
    let (_origin, provider, gateway) = start("basic", ", secret: basic");
    let mut browser = Browser::new(gateway.http, &provider);
    browser.log_in("/orders", "ann");
    let old = browser.session().unwrap();
    let page = browser.get("/.palisade/logout");
    let asked = browser.submit(&page, "");
    assert!(
        browser.been.last().unwrap().contains("/session/end?"),
        "{:?}",
        browser.been.last()
    );
    let out = browser.submit(&asked, "logout=yes");
    assert!(
        out.status == 200 && out.text().contains("You are signed out"),
        "{}",
        out.text()
    );
    assert_eq!(
        browser.been.last().unwrap(),
        "https://shop.example/.palisade/logout"
    );
    let replayed = exchange(
        gateway.http,
        get("/orders", &format!("Cookie: __Host-session={old}\r\n")),
    );
    assert_eq!(replayed.status, 401);
    let answer = browser.get("/orders");
    browser.follow(answer);
    assert!(
        browser.is_asked(),
        "the provider has forgotten the user as well"
    );
}

#[test]
fn every_kind_of_client_and_signature_logs_in() {
    let kinds = [
        ("basic", ", secret: basic"),
        ("post", ", secret: post, auth: post"),
        ("public", ""),
        ("signer", ", key: signer"),
    ];
    for (client, more) in kinds {
        let (origin, provider, gateway) = start(client, &format!("{more}, timeout: 30s"));
        let mut browser = Browser::new(gateway.http, &provider);
        let page = browser.log_in("/a", "ann");
        assert_eq!(seen(&origin, &page, "/a").0, "ann", "{client}");
        // Keys that the provider changes are fetched when a token needs them.
        provider.told("rotate");
        let mut second = Browser::new(gateway.http, &provider);
        let page = second.log_in("/b", "bob");
        assert_eq!(seen(&origin, &page, "/b").0, "bob", "{client}");
    }
}

#[test]
fn who_may_not_come_in_gets_an_honest_page() {
    let (origin, provider, gateway) =
        start("public", ", user: email, scopes: [email], userinfo: true");
    let mut browser = Browser::new(gateway.http, &provider);
    let answer = browser.get("/orders");
    let page = browser.follow(answer);
    let cancelled = browser.submit(&page, "cancel=1");
    assert_eq!(cancelled.status, 403);
    assert!(
        cancelled.text().contains("Signing in did not work"),
        "{}",
        cancelled.text()
    );
    assert!(
        cancelled
            .header("content-security-policy")
            .unwrap()
            .starts_with("default-src 'none'")
    );
    let line = told(&gateway, "login_refused");
    assert_eq!(line["detail"], "the provider answers access_denied");
    let unverified = browser.log_in("/orders", "newcomer");
    assert_eq!(
        unverified.status, 403,
        "an address that nobody has verified"
    );
    assert_eq!((browser.session(), origin.count()), (None, 0));
    gateway.metric_reaches(
        "palisade_told_total",
        &[("event", "login_refused"), ("check", "web")],
        2.0,
    );
    gateway.metric_reaches(
        "palisade_requests_total",
        &[("reason", "login_refused")],
        2.0,
    );
    let mut other = Browser::new(gateway.http, &provider);
    let page = other.log_in("/orders", "ann");
    assert_eq!(seen(&origin, &page, "/orders").0, "ann@shop.example");
}

/// A browser at its callback's door: the address that the provider sends it to.
fn at_the_door(gateway: &Gateway, provider: &Provider, user: &str) -> (Browser, String) {
    let mut browser = Browser::new(gateway.http, provider);
    let answer = browser.get("/orders");
    let page = browser.follow(answer);
    assert_eq!(page.status, 200);
    let here = browser.been.last().unwrap().clone();
    let mut answer = browser.send(&here, Some(&format!("login={user}")), "");
    loop {
        let next = browser.sent(&answer).unwrap();
        if next.starts_with("https://shop.example/") {
            return (browser, next);
        }
        answer = browser.send(&next, None, "");
    }
}

#[test]
fn an_answer_is_good_once_and_in_its_own_browser() {
    let (origin, provider, gateway) = start("basic", ", secret: basic");
    let (mut victim, own) = at_the_door(&gateway, &provider, "ann");
    let (mut eve, hers) = at_the_door(&gateway, &provider, "eve");
    let page = "Accept: text/html\r\n";
    // Eve's answer in ann's browser: ann would work in eve's account.
    assert_eq!(victim.send(&hers, None, page).status, 403);
    // Ann's answer, stolen, in eve's browser; and ann's code in an answer to eve.
    assert_eq!(eve.send(&own, None, page).status, 403);
    let code = |url: &str| {
        url.split("code=")
            .nth(1)
            .unwrap()
            .split('&')
            .next()
            .unwrap()
            .to_owned()
    };
    let injected = hers.replace(&code(&hers), &code(&own));
    assert_eq!(eve.send(&injected, None, page).status, 403, "PKCE");
    assert_eq!(
        (victim.session(), eve.session(), origin.count()),
        (None, None, 0)
    );

    let (mut ann, own) = at_the_door(&gateway, &provider, "ann");
    for wrong in [
        own.replace("iss=http", "iss=https"),
        own.replace("&iss=", "&was="),
        format!("{own}&state=x"),
        own.replace("state=", "state=A"),
    ] {
        assert_eq!(ann.send(&wrong, None, page).status, 403, "{wrong}");
    }
    let before = ann.cookies.clone();
    assert_eq!(ann.send(&own, None, page).status, 303);
    let session = ann.session().unwrap();
    ann.cookies = before;
    assert_eq!(ann.send(&own, None, page).status, 403, "replayed");
    assert_eq!(ann.session(), None);
    ann.cookies.insert("__Host-session".to_owned(), session);
    assert_eq!(ann.get("/orders").status, 200);
    let api = ann.send(&own, None, "");
    assert_eq!(
        (api.status, api.header("content-type")),
        (403, Some("application/problem+json"))
    );
}

#[test]
fn tabs_log_in_at_once_and_a_recent_log_in_is_asked_for() {
    let (origin, provider, gateway) = start("basic", ", secret: basic");
    let mut browser = Browser::new(gateway.http, &provider);
    let mut pages = Vec::new();
    for tab in ["/one", "/two", "/three"] {
        let answer = browser.get(tab);
        pages.push((
            tab,
            browser.follow(answer),
            browser.been.last().unwrap().clone(),
        ));
    }
    for (tab, page, here) in pages {
        browser.been.push(here);
        let shown = browser.submit(&page, "login=ann");
        assert_eq!(seen(&origin, &shown, tab).0, "ann");
    }
    // The provider knows the user still, which is not enough here.
    let answer = browser.get("/pay");
    let page = browser.follow(answer);
    assert!(browser.is_asked(), "{:?}", browser.been.last());
    let paid = browser.submit(&page, "login=ann");
    assert_eq!(seen(&origin, &paid, "/pay").0, "ann");
    gateway.line("paid", |line| {
        line["path"] == "/pay" && line["status"] == 200
    });
    let lines = gateway.lines();
    let started = lines
        .iter()
        .filter(|line| line["event"] == "session_started");
    assert_eq!(
        started.count(),
        2,
        "one for all tabs, and another one after the recent log-in"
    );
}

#[test]
fn a_provider_that_is_down_lets_nobody_in_and_nobody_out_of_their_session() {
    let (_origin, mut provider, gateway) = start("public", "");
    let mut browser = Browser::new(gateway.http, &provider);
    browser.log_in("/orders", "ann");
    let (mut late, own) = at_the_door(&gateway, &provider, "bob");
    provider.stop();
    assert_eq!(browser.get("/orders").status, 200);
    let answer = late.send(&own, None, "Accept: text/html\r\n");
    assert_eq!((answer.status, late.session()), (503, None));
    assert!(
        answer.text().contains("gives no answer"),
        "{}",
        answer.text()
    );
    assert_eq!(told(&gateway, "login_unavailable")["check"], "web");
    told(&gateway, "remote_failed");
    assert!(gateway.metric("palisade_remote_failing", &[]) >= 1.0);
    provider.again();
    let mut next = Browser::new(gateway.http, &provider);
    until("it is back", || {
        (next.log_in("/orders", "bob").status == 200).then_some(())
    });

    let cold = Gateway::start(&plan(&Origin::start(), &provider, "public", ""));
    provider.stop();
    let mut first = Browser::new(cold.http, &provider);
    let answer = first.get("/orders");
    let answer = first.follow(answer);
    assert_eq!(answer.status, 503, "who has never been heard of");
}

#[test]
fn the_provider_ends_sessions_behind_the_browsers_back() {
    let (_origin, provider, gateway) = start(
        "basic",
        ", secret: basic, back_channel: true, logout: false, after_logout: /bye",
    );
    let back = format!("http://{}/.palisade/login/backchannel", gateway.http);
    provider.told(&format!("gateway?{back}"));
    let mut browser = Browser::new(gateway.http, &provider);
    assert_eq!(browser.log_in("/orders", "ann").status, 200);
    let mut other = Browser::new(gateway.http, &provider);
    assert_eq!(other.log_in("/orders", "ann").status, 200);
    // Out at the provider itself, from somewhere else.
    let asked = browser.send(
        &format!("{}/session/end?client_id=basic", provider.issuer()),
        None,
        "",
    );
    browser.submit(&asked, "logout=yes");
    let line = gateway.line("ended", |line| line["event"] == "session_ended");
    assert!(
        line["detail"]
            .as_str()
            .unwrap()
            .ends_with("log-out at the provider"),
        "{line}"
    );
    assert_eq!(browser.get("/orders").status, 303);
    assert_eq!(
        other.get("/orders").status,
        200,
        "another session at the provider"
    );
    let form = "logout_token=x.y.z";
    let junk = format!(
        "POST /.palisade/login/backchannel HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n{form}",
        form.len()
    );
    assert_eq!(exchange(gateway.http, junk).status, 400);
}

/// Chromium, which holds to SameSite, to Secure and to Content-Security-Policies as nothing else here does.
#[test]
fn a_real_browser_logs_in_over_tls() {
    let (origin, provider) = (Origin::start(), Provider::start());
    let more = ", secret: basic, scopes: [profile], userinfo: true, roles_from: roles";
    let gateway = Gateway::start(&plan(&origin, &provider, "basic", more).tls());
    let folder = tempfile::tempdir().unwrap();
    let pictures = std::env::var_os("PALISADE_TEST_PICTURES")
        .map_or_else(|| folder.path().to_owned(), Into::into);
    std::fs::create_dir_all(&pictures).unwrap();
    let mut walk = python("oidc.py");
    walk.arg(gateway.tls.port().to_string())
        .arg(provider.issuer())
        .arg(pictures);
    let said = stdout(&mut walk);
    assert!(said.contains("walked"), "{said}");
    let mut targets: Vec<_> = origin.seen().into_iter().map(|seen| seen.target).collect();
    targets.retain(|target| target != "/favicon.ico");
    assert_eq!(targets, ["/orders?a=1&b=2", "/write"]);
    assert_eq!(told(&gateway, "session_started")["user"], "ann");
}

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use std::time::Duration;

use bytes::Bytes;
use http::header::{LOCATION, SET_COOKIE};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use serde_json::{Value, json};

use crate::checks::{Check, Hearing, Unanswered};
use crate::decision::{Answer, Effects, Reason};
use crate::invented::ready;
use crate::io::StoreFault;
use crate::request::Facts;
use crate::testing::{Bench, Scene};

mod token;

const MINUTE: Duration = Duration::from_secs(60);

/// A check that keeps sessions of an application with a log-in form, with these keys besides.
fn web(more: Value) -> Bench {
    let mut spec = json!({
        "start": {"request": "POST /login", "user": "form.email", "passed": {"status": 302, "location": "/home*"}},
        "end": {"request": "POST /logout"},
        "login": "/login",
    });
    spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let files = [("roles.yaml", "ann@x: admin\nbob@x: [viewer, user]\n")];
    Bench::with_files("session", spec, &files)
}

fn asked(method: Method, path: &'static str) -> Scene {
    Scene {
        method,
        path,
        ..Scene::default()
    }
}

fn page(path: &'static str) -> Scene {
    asked(Method::GET, path).header("accept", "text/html")
}

/// With this value of the cookie.
fn with(mut scene: Scene, cookie: &str) -> Scene {
    let value = HeaderValue::try_from(format!("__Host-session={cookie}")).unwrap();
    scene.headers.insert("cookie", value);
    scene
}

fn ask(bench: &mut Bench, scene: &Scene) -> Answer {
    bench.facts = Facts::default();
    bench.effects = Effects::default();
    bench.ask(scene)
}

/// What the application answers goes past the check that waits for it; gives the cookies that are set.
fn hear(bench: &mut Bench, scene: &Scene, status: u16, fields: &[(&'static str, &str)]) -> Vec<String> {
    let mut headers = HeaderMap::new();
    for (name, value) in fields {
        headers.append(HeaderName::from_static(name), value.parse().unwrap());
    }
    for awaited in std::mem::take(&mut bench.facts.awaits) {
        scene.asked(|request| {
            let mut hearing = Hearing {
                request,
                facts: &mut bench.facts,
                effects: &mut bench.effects,
                io: &mut bench.io,
                awaited,
                status,
                unanswered: (status == 0).then_some(Unanswered::Application),
                headers: &headers,
                body: &[],
            };
            ready(bench.check.heard(&mut hearing)).unwrap();
        });
    }
    let set = bench.effects.response.iter().filter(|(name, _)| name == SET_COOKIE);
    set.map(|(_, value)| value.to_str().unwrap().to_owned()).collect()
}

fn form(email: &'static str, bench: &mut Bench) -> Scene {
    bench.io.body = Ok(Bytes::from(format!("email={email}&password=x")));
    asked(Method::POST, "/login").header("content-type", "application/x-www-form-urlencoded")
}

/// Logs in from this scene; gives the identifier, if a session began.
fn login_from(bench: &mut Bench, scene: &Scene) -> Option<String> {
    assert_eq!(ask(bench, scene), Answer::Pass);
    let cookies = hear(bench, scene, 302, &[("location", "/home")]);
    let cookie = cookies.first()?;
    let rest = cookie.strip_prefix("__Host-session=").unwrap();
    Some(rest.split(';').next().unwrap().to_owned())
}

fn login(bench: &mut Bench, email: &'static str) -> String {
    let scene = form(email, bench);
    login_from(bench, &scene).unwrap()
}

fn told(bench: &Bench) -> Vec<&'static str> {
    bench.effects.told.iter().map(|told| told.event).collect()
}

/// How the session is taken: the user, or the reason why not.
fn who(bench: &mut Bench, cookie: &str) -> Result<String, Reason> {
    match ask(bench, &with(asked(Method::GET, "/orders"), cookie)) {
        Answer::Pass => Ok(bench.facts.identity.as_ref().unwrap().user.clone()),
        Answer::Deny(denial) => Err(denial.reason),
        Answer::Reply(reply) => Err(reply.reason),
    }
}

#[test]
fn a_session_begins_when_the_log_in_goes_well_and_ends_with_the_log_out() {
    let mut bench = web(json!({}));
    assert_eq!(who(&mut bench, "x"), Err(Reason::SessionEnded));
    let scene = form("ann@x", &mut bench);
    assert_eq!(ask(&mut bench, &scene), Answer::Pass);
    let cookies = hear(&mut bench, &scene, 302, &[("location", "https://shop.example/home?x")]);
    assert!(cookies[0].ends_with("; Path=/; HttpOnly; Secure; SameSite=Lax"), "{cookies:?}");
    assert_eq!(told(&bench), ["session_started"]);
    let id = cookies[0].split(['=', ';']).nth(1).unwrap().to_owned();
    assert_eq!(who(&mut bench, &id), Ok("ann@x".to_owned()));
    let session = bench.facts.session.unwrap();
    assert_eq!(session.started, 1_767_225_600);
    assert!(!format!("{:?}", bench.io.memory).contains(&id), "only its hash is stored");
    let out = with(asked(Method::POST, "/Logout/"), &id);
    assert_eq!(ask(&mut bench, &out), Answer::Pass);
    let cookies = hear(&mut bench, &out, 500, &[]);
    assert!(cookies[0].starts_with("__Host-session=; Path=/; Max-Age=0"), "{cookies:?}");
    assert_eq!(told(&bench), ["session_ended"]);
    assert_eq!(who(&mut bench, &id), Err(Reason::SessionEnded), "replayed after the log-out");
}

#[test]
fn no_session_begins_when_the_log_in_fails_or_names_nobody_for_sure() {
    let mut bench = web(json!({}));
    let scene = form("ann@x", &mut bench);
    for (status, location) in [(302, "/login?error"), (401, "/home"), (200, "/home"), (302, "/other?to=/home")] {
        ask(&mut bench, &scene);
        assert!(hear(&mut bench, &scene, status, &[("location", location)]).is_empty(), "{location}");
        assert!(told(&bench).is_empty());
    }
    for email in ["ann@x&email=eve@x", "ann@x&EMAIL=eve@x", "", "+ann@x"] {
        let scene = form(email, &mut bench);
        assert_eq!(login_from(&mut bench, &scene), None, "{email}");
        assert_eq!(told(&bench), ["session_not_started"]);
    }
    let elsewhere = asked(Method::POST, "/other");
    assert_ne!(ask(&mut bench, &elsewhere), Answer::Pass);
}

#[test]
fn an_identifier_that_a_client_brings_along_never_becomes_a_session() {
    let mut bench = web(json!({}));
    let planted = "A".repeat(43);
    let scene = with(form("ann@x", &mut bench), &planted);
    let id = login_from(&mut bench, &scene).unwrap();
    assert_ne!(id, planted);
    assert_eq!(who(&mut bench, &planted), Err(Reason::SessionEnded));
    // The attacker's own session, planted in the victim's browser: the log-in ends it and begins another one.
    let eve = login(&mut bench, "eve@x");
    let scene = with(form("ann@x", &mut bench), &eve);
    let ann = login_from(&mut bench, &scene).unwrap();
    assert_eq!(told(&bench), ["session_ended", "session_started"]);
    assert_eq!(who(&mut bench, &eve), Err(Reason::SessionEnded));
    assert_eq!(who(&mut bench, &ann), Ok("ann@x".to_owned()));
    // And a log-in of the same user is another session, too.
    let scene = with(form("ann@x", &mut bench), &ann);
    let again = login_from(&mut bench, &scene).unwrap();
    assert_ne!(again, ann);
    assert_eq!(who(&mut bench, &ann), Err(Reason::SessionEnded));
}

#[test]
fn it_ends_by_itself_idle_or_not() {
    let mut bench = web(json!({"idle": "30m", "absolute": "2h"}));
    let id = login(&mut bench, "ann@x");
    bench.io.advance(29 * MINUTE);
    assert!(who(&mut bench, &id).is_ok());
    bench.io.advance(29 * MINUTE);
    assert!(who(&mut bench, &id).is_ok(), "it was in use");
    bench.io.advance(30 * MINUTE);
    assert!(who(&mut bench, &id).is_err(), "idle");
    let id = login(&mut bench, "ann@x");
    for _ in 0..11 {
        bench.io.advance(10 * MINUTE);
        assert!(who(&mut bench, &id).is_ok());
    }
    bench.io.advance(10 * MINUTE);
    assert!(who(&mut bench, &id).is_err(), "whatever it did");
}

#[test]
fn a_clock_that_jumps_lengthens_nothing_and_revives_nothing() {
    let mut bench = web(json!({"idle": "30m"}));
    let id = login(&mut bench, "ann@x");
    bench.io.now.unix -= 86_400_000;
    assert!(who(&mut bench, &id).is_ok());
    // The store's own clock goes on.
    bench.io.now.steady += 1_800_000;
    assert_eq!(who(&mut bench, &id), Err(Reason::SessionEnded));
    let id = login(&mut bench, "ann@x");
    bench.io.now.unix += 1_800_000;
    assert_eq!(who(&mut bench, &id), Err(Reason::SessionExpired));
    bench.io.now.unix -= 1_800_000;
    assert_eq!(who(&mut bench, &id), Err(Reason::SessionEnded));
}

#[test]
fn use_is_written_down_once_per_interval_and_never_revives_what_ended() {
    let mut bench = web(json!({"idle": "10m", "renew_every": "1m"}));
    let id = login(&mut bench, "ann@x");
    let Check::Session(check) = &bench.check else { panic!() };
    let super::Kind::Own(own) = &check.kind else { panic!() };
    let scene = with(asked(Method::GET, "/"), &id);
    let find = |bench: &mut crate::invented::Invented| {
        scene.asked(|request| ready(own.keeper.find(bench, request)).unwrap().unwrap())
    };
    let first = find(&mut bench.io);
    bench.io.advance(MINUTE);
    // Two requests at once: both read the same, one writes, the other goes on.
    scene.asked(|request| ready(own.keeper.prolong(&mut bench.io, &first, request)).unwrap());
    let second = find(&mut bench.io);
    assert_ne!(first.known.stored, second.known.stored);
    scene.asked(|request| ready(own.keeper.prolong(&mut bench.io, &first, request)).unwrap());
    assert_eq!(find(&mut bench.io).known.stored, second.known.stored);
    // A third one is late: the log-out came between.
    bench.io.advance(MINUTE);
    ready(own.keeper.end(&mut bench.io, "ann@x", |_| true)).unwrap().unwrap();
    scene.asked(|request| ready(own.keeper.prolong(&mut bench.io, &second, request)).unwrap());
    assert_eq!(who(&mut bench, &id), Err(Reason::SessionEnded));
}

#[test]
fn a_user_has_so_many_sessions_and_no_more() {
    let mut bench = web(json!({"most": 2}));
    let ids: Vec<_> = (0..3)
        .map(|_| {
            bench.io.advance(MINUTE);
            login(&mut bench, "ann@x")
        })
        .collect();
    assert_eq!(told(&bench), ["session_ended", "session_started"]);
    let other = login(&mut bench, "bob@x");
    assert!(who(&mut bench, &ids[0]).is_err() && who(&mut bench, &ids[1]).is_ok());
    assert!(who(&mut bench, &ids[2]).is_ok() && who(&mut bench, &other).is_ok());
    let mut strict = web(json!({"most": 2, "when_full": "refuse_newest"}));
    let ids = [login(&mut strict, "ann@x"), login(&mut strict, "ann@x")];
    let scene = form("ann@x", &mut strict);
    assert_eq!(login_from(&mut strict, &scene), None);
    assert_eq!(told(&strict), ["session_refused_most"]);
    // Logging in where one is open takes its place; what was idle for too long takes none.
    let scene = with(form("ann@x", &mut strict), &ids[0]);
    assert!(login_from(&mut strict, &scene).is_some());
    strict.io.advance(31 * MINUTE);
    assert!(!login(&mut strict, "ann@x").is_empty());
}

#[test]
fn who_has_none_is_answered_as_they_understand() {
    let mut bench = web(json!({}));
    let sent = Scene {
        query: Some("a=1&b=2"),
        ..page("/orders")
    };
    let Answer::Reply(reply) = ask(&mut bench, &sent) else { panic!() };
    assert_eq!((reply.status, reply.reason), (StatusCode::SEE_OTHER, Reason::SessionMissing));
    let location = reply.headers.iter().find(|(name, _)| name == LOCATION).unwrap();
    assert_eq!(location.1, "/login?return=%2Forders");
    let Answer::Reply(reply) = ask(&mut bench, &asked(Method::POST, "/x").header("accept", "text/html")) else { panic!() };
    assert_eq!(reply.headers[0].1, "/login", "what was posted cannot be asked for again");
    let htmx = asked(Method::GET, "/rows").header("hx-request", "true");
    let here = htmx.clone().header("hx-current-url", "https://app.example/orders?x=1#y");
    let Answer::Reply(reply) = ask(&mut bench, &here) else { panic!() };
    assert_eq!((reply.status, &reply.headers[0].1), (StatusCode::UNAUTHORIZED, &HeaderValue::from_static("/login?return=%2Forders%3Fx%3D1")));
    for evil in ["https://evil.example/x", "https://app.example//evil.example", "javascript:x", "https://app.example@evil.example/"] {
        let mut scene = htmx.clone();
        scene.headers.insert("hx-current-url", evil.parse().unwrap());
        let Answer::Reply(reply) = ask(&mut bench, &scene) else { panic!() };
        assert_eq!(reply.headers[0].1, "/login", "{evil}");
    }
    assert_eq!(ask(&mut bench, &asked(Method::GET, "/api")), Answer::deny(Reason::SessionMissing));
    let mut named = web(json!({"login": "/login?lang=en", "return": "next"}));
    let Answer::Reply(reply) = ask(&mut named, &page("/a")) else { panic!() };
    assert_eq!(reply.headers[0].1, "/login?lang=en&next=%2Fa");
}

#[test]
fn everybody_reaches_the_log_in_and_nothing_else() {
    let mut bench = web(json!({}));
    assert_eq!(ask(&mut bench, &page("/login")), Answer::Pass);
    assert!(bench.facts.identity.is_none());
    for scene in [asked(Method::PUT, "/login"), page("/login/x"), page("/LOGIN"), page("/login/")] {
        assert_ne!(ask(&mut bench, &scene), Answer::Pass, "{scene:?}");
    }
    let mut open = web(json!({"optional": true}));
    assert_eq!(ask(&mut open, &page("/")), Answer::Pass);
    assert_eq!(ask(&mut open, &with(page("/"), "gone")), Answer::Pass);
    open.io.store_fault = Some(StoreFault::Down);
    assert_eq!(ask(&mut open, &page("/")), Answer::Pass, "nothing is looked up");
    let known = with(page("/"), &"A".repeat(43));
    assert_eq!(ask(&mut open, &known), Answer::deny(Reason::StoreUnavailable));
}

#[test]
fn a_cookie_twice_or_a_store_that_is_gone_is_nobody() {
    let mut bench = web(json!({}));
    let id = login(&mut bench, "ann@x");
    let mut twice = with(asked(Method::GET, "/"), &id);
    twice.headers.append("cookie", HeaderValue::from_str(&format!("__Host-session={id}")).unwrap());
    assert_eq!(ask(&mut bench, &twice), Answer::deny(Reason::SessionEnded));
    bench.io.store_fault = Some(StoreFault::Slow);
    assert_eq!(who(&mut bench, &id), Err(Reason::StoreUnavailable));
    let scene = form("ann@x", &mut bench);
    assert_eq!(login_from(&mut bench, &scene), None);
    assert_eq!(told(&bench), ["session_not_started"]);
}

#[test]
fn a_route_may_ask_for_a_recent_log_in_and_a_session_stay_where_it_began() {
    let mut bench = web(json!({"reauthenticate": {"after": "10m"}, "bind": ["client", "user_agent"]}));
    let scene = form("ann@x", &mut bench).header("user-agent", "one");
    let id = login_from(&mut bench, &scene).unwrap();
    let here = || with(page("/pay").header("user-agent", "one"), &id);
    assert_eq!(ask(&mut bench, &here()), Answer::Pass);
    let other = with(page("/pay").header("user-agent", "two"), &id);
    let Answer::Reply(reply) = ask(&mut bench, &other) else { panic!() };
    assert_eq!(reply.reason, Reason::SessionElsewhere);
    let mut other = here();
    other.client = [192, 0, 2, 9].into();
    assert_ne!(ask(&mut bench, &other), Answer::Pass);
    bench.io.advance(10 * MINUTE);
    let Answer::Reply(reply) = ask(&mut bench, &here()) else { panic!() };
    assert_eq!((reply.reason, &reply.headers[0].1), (Reason::SessionStale, &HeaderValue::from_static("/login?return=%2Fpay")));
}

#[test]
fn roles_and_headers_come_from_the_file_or_the_answer() {
    let mut bench = web(json!({"users": {"roles_file": "roles.yaml", "others": "viewer"}, "forward": {"user": "X-User", "roles": "X-Roles"}}));
    for (email, roles) in [("bob@x", "viewer,user"), ("ann@x", "admin"), ("Ann@x", "viewer"), ("eve@x", "viewer")] {
        let id = login(&mut bench, email);
        who(&mut bench, &id).unwrap();
        let forward = &bench.facts.identity.as_ref().unwrap().forward;
        let forward: Vec<_> = forward.iter().map(|(_, value)| value.to_str().unwrap()).collect();
        assert_eq!(forward, [roles, email]);
    }
    assert_eq!(bench.check.owned_headers().len(), 2, "clients cannot send them");
    let start = json!({"request": "POST /login", "user_header": "X-Login", "passed": {"status": 200},
        "claims": {"name": "X-Name"}, "roles_header": "X-Login-Roles", "fold": true});
    let mut bench = web(json!({"start": start}));
    let scene = asked(Method::POST, "/login");
    assert_eq!(ask(&mut bench, &scene), Answer::Pass);
    let answer = [("x-login", "Ann"), ("x-name", "Ann Example"), ("x-login-roles", "user, editor")];
    let cookies = hear(&mut bench, &scene, 200, &answer);
    let id = cookies[0].split(['=', ';']).nth(1).unwrap().to_owned();
    assert_eq!(who(&mut bench, &id), Ok("ann".to_owned()));
    let claims = Value::Object(bench.facts.identity.as_ref().unwrap().claims.clone());
    assert_eq!(claims, json!({"sub": "ann", "name": "Ann Example", "role": ["user", "editor"]}));
    assert_eq!(bench.check.response_work().edits.len(), 3, "clients never see these");
}

#[test]
fn a_log_in_does_not_bring_the_application_s_own_session() {
    let start = json!({"request": "POST /login", "user": "form.email", "withhold": ["app", "other"], "passed": {"status": 302}});
    let mut bench = web(json!({"start": start}));
    let scene = form("ann@x", &mut bench).header("cookie", "app=1; csrf=2; other=3; app=4");
    assert_eq!(ask(&mut bench, &scene), Answer::Pass);
    let upstream: Vec<_> = bench.effects.upstream.iter().map(|(name, value)| (name.as_str(), value.clone())).collect();
    assert_eq!(upstream, [("cookie", Some("csrf=2".parse().unwrap()))]);
    let elsewhere = asked(Method::GET, "/").header("cookie", "app=1");
    ask(&mut bench, &elsewhere);
    assert!(bench.effects.upstream.is_empty());
    let other = form("ann@x", &mut bench);
    bench.io.body = Ok(Bytes::from("email=ann@x&_method=GET"));
    assert_eq!(ask(&mut bench, &other), Answer::deny(Reason::BadMethod));
}

#[test]
fn sessions_are_listed_and_ended_one_or_all() {
    let mut bench = web(json!({}));
    let ids = [login(&mut bench, "ann@x"), login(&mut bench, "ann@x"), login(&mut bench, "bob@x")];
    let Check::Session(check) = &bench.check else { panic!() };
    let listed = ready(check.list(&mut bench.io, "ann@x")).unwrap().unwrap();
    assert_eq!(listed.len(), 2);
    let ended = ready(check.end(&mut bench.io, "ann@x", Some(&listed[0].id))).unwrap().unwrap();
    assert_eq!(ended, [listed[0].id.clone()]);
    assert!(ready(check.end(&mut bench.io, "ann@x", Some("none"))).unwrap().unwrap().is_empty());
    let ended = ready(check.end(&mut bench.io, "ann@x", None)).unwrap().unwrap();
    assert_eq!(ended.len(), 1);
    assert!(ready(check.list(&mut bench.io, "ann@x")).unwrap().unwrap().is_empty());
    assert!(who(&mut bench, &ids[0]).is_err() && who(&mut bench, &ids[1]).is_err());
    assert_eq!(who(&mut bench, &ids[2]), Ok("bob@x".to_owned()));
}

/// Asks for the page of one's own sessions.
fn own_page(bench: &mut Bench, scene: &Scene) -> crate::decision::Reply {
    assert_eq!(ask(bench, scene), Answer::Pass);
    let answer = scene.asked(|request| {
        let mut turn = crate::checks::Turn {
            request,
            facts: &mut bench.facts,
            effects: &mut bench.effects,
            io: &mut bench.io,
            id: crate::decision::CheckId(0),
            mode: crate::run::Mode::Enforce,
            route: 0,
        };
        ready(bench.check.page(&mut turn, "sessions")).unwrap()
    });
    match answer {
        Answer::Reply(reply) => reply,
        other => panic!("{other:?}"),
    }
}

#[test]
fn users_end_their_own_sessions_on_a_page_that_strangers_cannot_post_to() {
    let mut bench = web(json!({}));
    let phone = form("ann@x", &mut bench).header("user-agent", "<phone>");
    let phone = login_from(&mut bench, &phone).unwrap();
    let laptop = login(&mut bench, "ann@x");
    let here = with(page("/.palisade/sessions"), &laptop);
    let shown = String::from_utf8(own_page(&mut bench, &here).body.to_vec()).unwrap();
    assert!(shown.contains("&lt;phone&gt;") && shown.contains("(this one)") && !shown.contains(&phone));
    let token = shown.split("name=\"token\" value=\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
    let post = || with(asked(Method::POST, "/.palisade/sessions"), &laptop);
    for (body, scene) in [
        ("end=all".to_owned(), post()),
        ("end=all&token=0".to_owned(), post()),
        (format!("end=all&token={token}"), post().header("sec-fetch-site", "cross-site")),
    ] {
        bench.io.body = Ok(Bytes::from(body));
        assert_eq!(ask(&mut bench, &scene), Answer::Pass);
        let refused = scene.asked(|request| {
            let mut turn = crate::checks::Turn {
                request,
                facts: &mut bench.facts,
                effects: &mut bench.effects,
                io: &mut bench.io,
                id: crate::decision::CheckId(0),
                mode: crate::run::Mode::Enforce,
                route: 0,
            };
            ready(bench.check.page(&mut turn, "sessions")).unwrap()
        });
        assert_eq!(refused, Answer::deny(Reason::Forbidden));
    }
    bench.io.body = Ok(Bytes::from(format!("end=others&token={token}")));
    own_page(&mut bench, &post());
    assert!(who(&mut bench, &phone).is_err() && who(&mut bench, &laptop).is_ok());
    bench.io.body = Ok(Bytes::from(format!("end=all&token={token}")));
    let reply = own_page(&mut bench, &post());
    assert!(reply.headers.iter().any(|(name, value)| name == LOCATION && value == "/login"));
    assert!(who(&mut bench, &laptop).is_err());
}

#[test]
fn faults_name_the_key_and_what_would_be_right() {
    let start = || json!({"request": "POST /login", "user": "form.u", "passed": {"status": 200}});
    for (spec, told) in [
        (json!({}), "either `start`"),
        (json!({"start": start(), "secret": "x", "cookie": "c"}), "either `start`"),
        (json!({"start": start(), "ttl": "5m"}), "it.ttl: belongs to the application's own token"),
        (json!({"cookie": "c", "secret": "x", "idle": "5m"}), "it.idle: belongs to sessions of the gateway's own"),
        (json!({"secret": "x"}), "`cookie` is missing"),
        (json!({"start": start(), "login": "https://evil.example/"}), "it.login: `https://evil.example/` is no page"),
        (json!({"start": start(), "idle": "13h"}), "it.idle: more than nothing, at most 43200 s"),
        (json!({"start": start(), "most": 0}), "it.most: 0 is out of bounds"),
        (json!({"cookie": "c", "secret": "a secret of more than thirty-two bytes, used in tests", "when_full": "end_oldest"}), "it.when_full: beyond what? `most` is missing"),
        (json!({"start": start(), "secure": false, "cookie": "__Host-x"}), "browsers refuse `__Host-x`"),
        (json!({"start": {"request": "post /login", "user": "form.u", "passed": {"status": 200}}}), "is no request"),
        (json!({"start": {"request": "POST /login", "passed": {"status": 200}}}), "either `user`"),
        (json!({"start": {"request": "POST /login", "user": "form.u", "passed": {"body": "ok"}}}), "begins with the answer's header"),
        (json!({"start": start(), "on_store_error": "allow"}), "only `deny`"),
        (json!({"cookie": "c", "pem": "x", "renew_below": "5m"}), "only who holds a `secret`"),
    ] {
        let faults = Bench::faults_of::<&str>("session", spec.clone(), &[]).join("\n");
        assert!(faults.contains(told), "{spec}: {faults}");
    }
}

#[test]
fn passing_allocates_nothing() {
    let mut bench = web(json!({"forward": {"user": "X-User"}}));
    let id = login(&mut bench, "ann@x");
    let scene = with(asked(Method::GET, "/orders"), &id);
    assert_eq!(bench.allocations(&scene), 0);
}

#[test]
fn a_log_out_ends_the_session_when_the_application_gives_no_answer() {
    let mut bench = web(json!({}));
    let id = login(&mut bench, "ann@x");
    let out = with(asked(Method::POST, "/logout"), &id);
    assert_eq!(ask(&mut bench, &out), Answer::Pass);
    let cookies = hear(&mut bench, &out, 0, &[]);
    assert!(cookies[0].starts_with("__Host-session=; Path=/; Max-Age=0"), "{cookies:?}");
    assert_eq!(told(&bench), ["session_ended"]);
    assert!(bench.effects.told[0].detail.ends_with("which the application did not answer: its own session may go on"));
    assert_eq!(who(&mut bench, &id), Err(Reason::SessionEnded));
    // And a log-in without an answer begins none.
    let scene = form("ann@x", &mut bench);
    assert_eq!(ask(&mut bench, &scene), Answer::Pass);
    assert!(hear(&mut bench, &scene, 0, &[]).is_empty());
}

#[test]
fn names_that_differ_in_case_are_two_users_unless_the_policy_says_that_they_are_one() {
    let mut bench = web(json!({}));
    let (upper, lower) = (login(&mut bench, "Ann@x"), login(&mut bench, "ann@x"));
    let Check::Session(check) = &bench.check else { panic!() };
    assert_eq!(ready(check.list(&mut bench.io, "ann@x")).unwrap().unwrap().len(), 1);
    assert_eq!(ready(check.end(&mut bench.io, "ann@x", None)).unwrap().unwrap().len(), 1);
    assert_eq!(who(&mut bench, &lower), Err(Reason::SessionEnded));
    assert_eq!(who(&mut bench, &upper), Ok("Ann@x".to_owned()));
    let start = json!({"request": "POST /login", "user": "form.email", "fold": true, "passed": {"status": 302}});
    let mut one = web(json!({"start": start}));
    let id = login(&mut one, "Ann@x");
    assert_eq!(who(&mut one, &id), Ok("ann@x".to_owned()));
    // Of a letter that some fold and others do not: nobody's session.
    let scene = form("%C3%84nn@x", &mut one);
    assert_eq!(login_from(&mut one, &scene), None);
    assert_eq!(told(&one), ["session_not_started"]);
    // Nor of one that databases take for another: with an accent, wide, or with what nobody sees.
    for name in ["%C3%A4nn@x", "%EF%BD%81nn@x", "ann%E2%80%8B@x", "an%C2%ADn@x"] {
        let scene = form(name, &mut one);
        assert_eq!(login_from(&mut one, &scene), None, "{name}");
    }
    let plain = form("%E5%BC%A0%E4%BC%9F", &mut one);
    assert!(login_from(&mut one, &plain).is_some());
    let start = json!({"request": "POST /login", "user": "form.email", "fold": "case", "passed": {"status": 302}});
    let mut apart = web(json!({"start": start}));
    let small = form("%C3%A4nn@x", &mut apart);
    assert!(login_from(&mut apart, &small).is_some());
}

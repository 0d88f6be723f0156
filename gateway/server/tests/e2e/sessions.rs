//! Sessions before an application that has a log-in form and nothing else, through the front door.

use std::net::SocketAddr;

use serde_json::{Value, json};

use crate::support::gateway::run;
use crate::support::origin::Seen;
use crate::support::raw::{get, post};
use crate::support::tools::{fed, program, python, stdout};
use crate::support::{Gateway, Origin, Plan, Response, Step, certs, exchange, until};

const SECRET: &str = "a secret of more than thirty-two bytes, used in tests";

/// Lets in whoever asks for `/login?ok`, and knows no session.
fn application(seen: &Seen) -> Vec<Step> {
    let answer = match (seen.method.as_str(), seen.target.as_str()) {
        ("POST", "/login?ok") => {
            "HTTP/1.1 302 Found\r\nLocation: /home\r\nSet-Cookie: app=1\r\nX-Login-Roles: user\r\nContent-Length: 0\r\n\r\n"
        }
        ("POST", "/login?bad") => {
            "HTTP/1.1 302 Found\r\nLocation: /login?error\r\nContent-Length: 0\r\n\r\n"
        }
        ("POST", "/logout") => {
            "HTTP/1.1 302 Found\r\nLocation: /login\r\nContent-Length: 0\r\n\r\n"
        }
        _ => "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\norigin",
    };
    vec![Step::ReadBody, Step::text(answer)]
}

fn plan(origin: &Origin, more: &str) -> Plan {
    Plan::new(origin.address)
        .top("roles: {viewer: [read], user: {includes: [viewer], allow: [write]}}")
        .file("roles.yaml", "ann: user\nbob: viewer\n")
        .check("web", &format!(
            "{{check: session, start: {{request: POST /login, user: form.user, passed: {{status: 302, location: \"/home*\"}}, \
             claims: {{said: X-Login-Roles}}}}, end: {{request: POST /logout}}, login: /login, users: {{roles_file: roles.yaml}}, \
             forward: {{user: X-User-Id, roles: X-User-Roles}}{more}}}"
        ))
        .check("roles", "{check: authorize}")
        .route("{name: own-pages, match: {path: \"/.palisade/*\"}, serve: [web], use: [web]}")
        .route("{name: write, match: {path: /write}, to: app, use: [web, roles], with: {roles: {need: write}}}")
        .route("{name: pay, match: {path: /pay}, to: app, use: [web], with: {web: {reauthenticate: {after: 1s}}}}")
        .route("{name: all, match: {path: \"/*\"}, to: app, use: [web]}")
}

fn start(more: &str) -> (Origin, Gateway) {
    let origin = Origin::scripted(application);
    let gateway = Gateway::start(&plan(&origin, more));
    (origin, gateway)
}

/// The cookies that an answer sets, by this name.
fn set(answer: &Response, name: &str) -> Vec<String> {
    let lines = answer
        .headers
        .iter()
        .filter(|(field, _)| field.eq_ignore_ascii_case("set-cookie"));
    let values = lines.filter_map(|(_, value)| value.strip_prefix(&format!("{name}=")));
    values
        .map(|value| value.split(';').next().unwrap().to_owned())
        .collect()
}

fn log_in(http: SocketAddr, user: &str, more: &str) -> Response {
    let head = format!("Content-Type: application/x-www-form-urlencoded\r\n{more}");
    exchange(
        http,
        post(
            "/login?ok",
            &head,
            format!("user={user}&password=x").as_bytes(),
        ),
    )
}

fn session(http: SocketAddr, user: &str) -> String {
    let answer = log_in(http, user, "");
    assert_eq!(answer.status, 302);
    set(&answer, "__Host-session").remove(0)
}

fn cookie(id: &str) -> String {
    format!("Cookie: __Host-session={id}\r\n")
}

fn status(http: SocketAddr, path: &str, id: &str) -> u16 {
    exchange(http, get(path, &cookie(id))).status
}

#[test]
fn a_log_in_begins_a_session_and_a_log_out_ends_it_for_good() {
    let (origin, gateway) = start("");
    let http = gateway.http;
    assert_eq!(exchange(http, get("/orders", "")).status, 401);
    assert_eq!(
        origin.count(),
        0,
        "nobody reaches the application without a session"
    );
    let away = exchange(http, get("/orders?x=1", "Accept: text/html\r\n"));
    assert_eq!(
        (away.status, away.header("location")),
        (303, Some("/login?return=%2Forders%3Fx%3D1"))
    );
    let htmx = exchange(http, get("/orders", "HX-Request: true\r\n"));
    assert_eq!(
        (htmx.status, htmx.header("hx-redirect")),
        (401, Some("/login"))
    );
    assert_eq!(
        exchange(http, get("/login", "Accept: text/html\r\n")).status,
        200
    );
    let bad = exchange(
        http,
        post(
            "/login?bad",
            "Content-Type: application/x-www-form-urlencoded\r\n",
            b"user=ann",
        ),
    );
    assert!(set(&bad, "__Host-session").is_empty());

    let answer = log_in(http, "ann", "");
    let line = answer
        .headers
        .iter()
        .find(|(_, value)| value.starts_with("__Host-session="))
        .unwrap();
    assert!(
        line.1.ends_with("; Path=/; HttpOnly; Secure; SameSite=Lax"),
        "{line:?}"
    );
    assert_eq!(
        set(&answer, "app"),
        ["1"],
        "the application's own cookie stays"
    );
    assert_eq!(
        answer.header("x-login-roles"),
        None,
        "for the gateway alone"
    );
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    let id = set(&answer, "__Host-session").remove(0);
    let sent = format!(
        "Cookie: a=1; __Host-session={id}; b=2\r\nX-User-Id: root\r\nX-User-Roles: admin\r\n"
    );
    assert_eq!(exchange(http, get("/orders", &sent)).status, 200);
    let seen = origin.last();
    assert_eq!(seen.all("x-user-id"), ["ann"]);
    assert_eq!(seen.all("x-user-roles"), ["user"]);
    assert_eq!(
        seen.all("cookie"),
        ["a=1; b=2"],
        "the application never sees the identifier"
    );
    gateway.line("the log-in", |line| {
        line["event"] == "session_started" && line["user"] == "ann"
    });

    assert_eq!(
        exchange(http, post("/logout", &cookie(&id), b"")).status,
        302
    );
    assert_eq!(status(http, "/orders", &id), 401, "replayed");
    gateway.line("the log-out", |line| {
        line["event"] == "session_ended" && line["user"] == "ann"
    });
}

#[test]
fn a_planted_identifier_is_never_taken_over() {
    let (_origin, gateway) = start("");
    let http = gateway.http;
    let planted = "A".repeat(43);
    let answer = log_in(http, "ann", &cookie(&planted));
    let ann = set(&answer, "__Host-session").remove(0);
    assert_ne!(ann, planted);
    assert_eq!(
        (status(http, "/", &planted), status(http, "/", &ann)),
        (401, 200)
    );
    // The attacker's own, open session in the victim's browser.
    let eve = session(http, "eve");
    let bob = set(&log_in(http, "bob", &cookie(&eve)), "__Host-session").remove(0);
    assert_eq!(
        (status(http, "/", &eve), status(http, "/", &bob)),
        (401, 200)
    );
    // Two names in one log-in are nobody's.
    let body = b"user=eve&user=ann&password=x";
    let two = exchange(
        http,
        post(
            "/login?ok",
            "Content-Type: application/x-www-form-urlencoded\r\n",
            body,
        ),
    );
    assert!(set(&two, "__Host-session").is_empty());
    gateway.line("why", |line| line["event"] == "session_not_started");
}

#[test]
fn two_users_have_their_own_roles_and_a_refusal_says_why_to_operators_only() {
    let (origin, gateway) = start("");
    let http = gateway.http;
    let (ann, bob) = (session(http, "ann"), session(http, "bob"));
    assert_eq!(status(http, "/write", &ann), 200);
    assert_eq!(origin.last().all("x-user-id"), ["ann"]);
    let refused = exchange(
        http,
        get("/write", &format!("{}X-Request-ID: no\r\n", cookie(&bob))),
    );
    assert_eq!(refused.status, 403);
    assert!(!refused.text().contains("write") && !refused.text().contains("viewer"));
    let event = gateway.event("no");
    assert_eq!(
        (event["reason"].as_str(), event["user"].as_str()),
        (Some("forbidden"), Some("bob"))
    );
    assert_eq!(event["detail"], "missing: permission write; has viewer");
    let stale = until("the log-in is too long ago for this", || {
        let answer = exchange(
            http,
            get("/pay", &format!("{}Accept: text/html\r\n", cookie(&ann))),
        );
        (answer.status != 200).then_some(answer)
    });
    assert_eq!(
        (stale.status, stale.header("location")),
        (303, Some("/login?return=%2Fpay"))
    );
    assert_eq!(status(http, "/", &ann), 200, "and good enough for the rest");
}

#[test]
fn parallel_requests_with_one_session_all_pass_and_write_it_down_in_peace() {
    let (_origin, gateway) = start(", renew_every: 1ms");
    let http = gateway.http;
    let id = session(http, "ann");
    let threads: Vec<_> = (0..8)
        .map(|_| {
            let id = id.clone();
            std::thread::spawn(move || (0..10).all(|_| status(http, "/", &id) == 200))
        })
        .collect();
    assert!(threads.into_iter().all(|thread| thread.join().unwrap()));
    let listed: Value = serde_json::from_str(&gateway.admin_get("/sessions/ann").text()).unwrap();
    assert_eq!(listed["sessions"].as_array().unwrap().len(), 1);
}

#[test]
fn a_session_ends_by_itself() {
    let (_origin, gateway) = start(", idle: 1s");
    let id = session(gateway.http, "ann");
    until("it is idle for too long", || {
        std::thread::sleep(std::time::Duration::from_millis(1100));
        (status(gateway.http, "/", &id) == 401).then_some(())
    });
}

#[test]
fn the_oldest_makes_room_or_the_newest_is_refused() {
    let (_origin, gateway) = start(", most: 2");
    let http = gateway.http;
    let ids = [
        session(http, "ann"),
        session(http, "ann"),
        session(http, "ann"),
    ];
    gateway.line("the oldest", |line| {
        line["event"] == "session_ended" && line["user"] == "ann"
    });
    assert_eq!(status(http, "/", &ids[0]), 401);
    assert_eq!(
        (status(http, "/", &ids[1]), status(http, "/", &ids[2])),
        (200, 200)
    );
    let (_origin, gateway) = start(", most: 2, when_full: refuse_newest");
    let http = gateway.http;
    // At once: of all that begin together, so many stay and no more.
    let threads: Vec<_> = (0..6)
        .map(|_| std::thread::spawn(move || set(&log_in(http, "ann", ""), "__Host-session")))
        .collect();
    let ids: Vec<_> = threads
        .into_iter()
        .flat_map(|thread| thread.join().unwrap())
        .collect();
    assert_eq!(ids.len(), 2);
    assert!(ids.iter().all(|id| status(http, "/", id) == 200));
    gateway.line("the refused", |line| {
        line["event"] == "session_refused_most"
    });
}

#[test]
fn operators_and_users_see_sessions_and_end_them() {
    let (_origin, gateway) = start("");
    let http = gateway.http;
    let (phone, laptop, bob) = (
        session(http, "ann"),
        session(http, "ann"),
        session(http, "bob"),
    );
    let page = exchange(http, get("/.palisade/sessions", &cookie(&laptop)));
    assert_eq!(page.status, 200);
    assert_eq!(page.text().matches("<li>").count(), 2);
    assert_eq!(page.text().matches("(this one)").count(), 1);
    let german = format!("{}Accept-Language: de\r\n", cookie(&laptop));
    let german = exchange(http, get("/.palisade/sessions", &german));
    assert!(german.text().contains("<h1>Ihre Sitzungen</h1>"));
    assert_eq!(german.header("content-language"), Some("de"));
    assert_eq!(exchange(http, get("/.palisade/sessions", "")).status, 401);
    let token = page
        .text()
        .split("name=\"token\" value=\"")
        .nth(1)
        .unwrap()
        .split('"')
        .next()
        .unwrap()
        .to_owned();
    let head = format!(
        "{}Content-Type: application/x-www-form-urlencoded\r\n",
        cookie(&laptop)
    );
    assert_eq!(
        exchange(
            http,
            post("/.palisade/sessions", &head, b"end=others&token=x")
        )
        .status,
        403
    );
    assert_eq!(status(http, "/", &phone), 200);
    let body = format!("end=others&token={token}");
    assert_eq!(
        exchange(http, post("/.palisade/sessions", &head, body.as_bytes())).status,
        303
    );
    assert_eq!(
        (status(http, "/", &phone), status(http, "/", &laptop)),
        (401, 200)
    );

    let admin = gateway.operator();
    let listed = run(&["session", "list", "ann", "--admin", &admin]);
    let text = String::from_utf8(listed.stdout).unwrap();
    assert_eq!(text.lines().count(), 1, "{text}");
    let id = text.split_whitespace().next().unwrap();
    assert_eq!(
        run(&["session", "end", "ann", "nothing", "--admin", &admin])
            .status
            .code(),
        Some(1)
    );
    assert!(
        run(&["session", "end", "ann", id, "--admin", &admin])
            .status
            .success()
    );
    assert_eq!(
        (status(http, "/", &laptop), status(http, "/", &bob)),
        (401, 200)
    );
    assert!(
        run(&[
            "session", "end", "bob", "--all", "--reason", "left", "--admin", &admin
        ])
        .status
        .success()
    );
    assert_eq!(status(http, "/", &bob), 401);
    gateway.line("who did it", |line| {
        line["event"] == "session_ended"
            && line["detail"]
                .as_str()
                .is_some_and(|why| why.ends_with(": by an operator: left"))
    });
}

/// Tokens as an application signs them, by PyJWT.
fn token(name: &str, expires: i64) -> String {
    let claims = json!({"sub": "ann", "iat": {"now": 0}, "exp": {"now": expires}, "token_type": "access", "jti": name, "role": "user"});
    let order = json!([{"alg": "HS256", "key": SECRET, "claims": claims}]);
    let output = fed(&mut python("tokens.py"), order.to_string().as_bytes());
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

#[test]
fn the_applications_own_token_is_prolonged_by_one_of_many_requests_and_called_back_by_its_log_out()
{
    let origin = Origin::scripted(application);
    let plan = Plan::new(origin.address)
        .top("secrets:\n  jwt: {env: PALISADE_TEST_JWT}")
        .env("PALISADE_TEST_JWT", SECRET)
        .check(
            "web",
            "{check: session, cookie: access_token, secret: jwt, require: {token_type: access}, ttl: 30m, renew_below: 10m, \
             login: /login, end: {request: POST /logout}, forward: {user: X-User-Id}}",
        )
        .route("{name: all, match: {path: \"/*\"}, to: app, use: [web]}");
    let gateway = Gateway::start(&plan);
    let http = gateway.http;
    let ask = |token: &str| exchange(http, get("/", &format!("Cookie: access_token={token}\r\n")));
    let fresh = ask(&token("j1", 1700));
    assert!(fresh.status == 200 && set(&fresh, "access_token").is_empty());
    assert_eq!(ask(&token("j1", -3600)).status, 401);
    assert_eq!(
        exchange(http, get("/", "Accept: text/html\r\n")).status,
        303
    );
    let old = token("j1", 300);
    let threads: Vec<_> = (0..8)
        .map(|_| {
            let head = format!("Cookie: access_token={old}\r\n");
            std::thread::spawn(move || exchange(http, get("/", &head)))
        })
        .collect();
    let answers: Vec<_> = threads
        .into_iter()
        .map(|thread| thread.join().unwrap())
        .collect();
    assert!(answers.iter().all(|answer| answer.status == 200));
    let renewed: Vec<_> = answers
        .iter()
        .flat_map(|answer| set(answer, "access_token"))
        .collect();
    assert_eq!(renewed.len(), 1);
    assert_eq!(ask(&renewed[0]).status, 200);
    assert_eq!(origin.last().all("x-user-id"), ["ann"]);
    let out = post(
        "/logout",
        &format!("Cookie: access_token={}\r\n", renewed[0]),
        b"",
    );
    assert_eq!(exchange(http, out).status, 302);
    assert_eq!((ask(&renewed[0]).status, ask(&old).status), (401, 401));

    // Copies of a token go by its name: it stays called back for as long as they may be prolonged, twelve hours.
    let another = token("j2", 240);
    assert_eq!(ask(&another).status, 200);
    let admin = gateway.operator();
    let said = run(&["token", "revoke", "--token", &another, "--admin", &admin]);
    let said = String::from_utf8_lossy(&said.stdout).into_owned();
    let until = said
        .split_whitespace()
        .last()
        .unwrap()
        .trim_end_matches('.');
    let hours = stdout(program("python3").args([
        "-c",
        "import datetime, sys; t = datetime.datetime.fromisoformat(sys.argv[1].replace('Z', '+00:00')); \
         print(round((t - datetime.datetime.now(datetime.timezone.utc)).total_seconds() / 3600))",
        until,
    ]));
    assert_eq!((hours.trim(), ask(&another).status), ("12", 401), "{said}");
}

#[test]
fn the_example_with_a_log_in_form_and_nothing_else_is_protected_by_yaml_alone() {
    let folder = certs::root().join("policies/examples");
    let file = folder.join("login-form.yaml");
    let tested = run(&["test", &file.display().to_string()]);
    assert!(
        tested.status.success(),
        "{}",
        String::from_utf8_lossy(&tested.stdout)
    );
    let origin = Origin::scripted(|seen| {
        let answer = match (seen.method.as_str(), seen.target.as_str()) {
            ("POST", "/login") => "HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\nWelcome",
            _ => "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\norigin",
        };
        vec![Step::ReadBody, Step::text(answer)]
    });
    let mut plan = Plan::open(origin.address);
    for entry in std::fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            plan = plan.file(&name, std::fs::read(&path).unwrap());
        }
    }
    let gateway = Gateway::start(&plan);
    let text = std::fs::read_to_string(&file).unwrap();
    let text = text
        .replace("0.0.0.0:8080", &gateway.http.to_string())
        .replace("127.0.0.1:9900", &gateway.admin.to_string())
        .replace("127.0.0.1:3000", &origin.address.to_string());
    gateway.replace_text(&text);
    let http = gateway.http;
    until("the example serves", || {
        (exchange(http, get("/admin", "")).status == 401).then_some(())
    });
    let log_in = |user: &str| {
        let head = "Content-Type: application/x-www-form-urlencoded\r\n";
        let answer = exchange(
            http,
            post("/login", head, format!("user={user}&password=x").as_bytes()),
        );
        set(&answer, "__Host-session").remove(0)
    };
    let (mia, noa) = (log_in("mia"), log_in("noa"));
    assert_eq!(
        (status(http, "/admin", &mia), status(http, "/admin", &noa)),
        (200, 403)
    );
    assert_eq!(
        (status(http, "/", &mia), status(http, "/", &noa)),
        (200, 200)
    );
}

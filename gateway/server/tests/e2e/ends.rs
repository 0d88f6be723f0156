//! What goes on when what let it in ends: WebSockets, streams, and log-outs that the application does not answer.

use std::process::Stdio;

use serde_json::{Value, json};

use super::identity::{claims, tokens};
use crate::support::certs;
use crate::support::gateway::run;
use crate::support::origin::{Seen, answer};
use crate::support::raw::{Conn, get, post};
use crate::support::tools::program;
use crate::support::{Gateway, Origin, Plan, Step, exchange};

const SECRET: &str = "a secret of more than thirty-two bytes, used in tests";
const HANDSHAKE: &str = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

/// Opens whatever is asked for, says something, and goes on without end.
fn application(seen: &Seen) -> Vec<Step> {
    let socket = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                  Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\nhello";
    let events = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\nhello";
    match seen.target.as_str() {
        "/login" => vec![Step::ReadBody, Step::Send(answer(302, "", b""))],
        "/logout" => vec![Step::ReadBody, Step::Close],
        // The rest of the request is the socket's.
        target if target.ends_with("/socket") => vec![
            Step::text(socket),
            Step::Gate("more"),
            Step::text("again"),
            Step::Gate("end"),
            Step::Close,
        ],
        target if target.ends_with("/events") => vec![
            Step::text(events),
            Step::Gate("more"),
            Step::text("again"),
            Step::Gate("end"),
            Step::Close,
        ],
        _ => vec![Step::ReadBody, Step::Send(answer(200, "", b""))],
    }
}

fn plan(origin: &Origin) -> Plan {
    Plan::new(origin.address)
        .top("limits: {recheck: 100ms}")
        .top("secrets:\n  jwt: {env: PALISADE_TEST_JWT}")
        .env("PALISADE_TEST_JWT", SECRET)
        .check(
            "web",
            "{check: session, start: {request: POST /login, user: form.user, passed: {status: 302}}, login: /login, \
             end: {request: POST /logout}}",
        )
        .check(
            "token",
            "{check: jwt, secret: jwt, algorithms: [HS256], issuer: tests, audience: app, leeway: 0s, revocation: true}",
        )
        .check("keys", "{check: api_key, cache: 0s}")
        .check("bans", "{check: bans}")
        .route("{name: token, match: {path: \"/token/*\"}, to: app, use: [token, bans]}")
        .route("{name: key, match: {path: \"/key/*\"}, to: app, use: [keys]}")
        .route("{name: left, match: {path: \"/left/*\"}, to: app, use: [web], recheck: 0s}")
        .route("{name: dead, match: {path: /dead/logout}, to: dead, use: [gone], public: test}")
        .route("{name: nowhere, match: {path: /nowhere}, to: app, use: [gone], public: test}")
        .route("{name: web, match: {path: \"/*\"}, to: app, use: [web, bans]}")
        .check(
            "gone",
            "{check: session, start: {request: POST /nowhere, user: form.user, passed: {status: 302}}, \
             end: {request: POST /dead/logout}, cookie: __Host-gone, optional: true}",
        )
        .upstream("dead", "{servers: [\"127.0.0.1:1\"]}")
        .tls()
}

/// Logs in; the cookie.
fn session(gateway: &Gateway, user: &str) -> String {
    let form = "Content-Type: application/x-www-form-urlencoded\r\n";
    let body = format!("user={user}");
    let answer = exchange(gateway.http, post("/login", form, body.as_bytes()));
    assert_eq!(answer.status, 302);
    let cookie = answer.header("set-cookie").unwrap();
    format!("Cookie: {}\r\n", cookie.split(';').next().unwrap())
}

/// A WebSocket or a stream that has said something.
#[track_caller]
fn opened(gateway: &Gateway, path: &str, who: &str) -> Conn {
    let mut conn = Conn::open(gateway.http);
    let socket = path.ends_with("/socket");
    let more = if socket { HANDSHAKE } else { "" };
    conn.write(get(path, &format!("{more}{who}")));
    let head = conn.head().unwrap();
    assert_eq!(head.status, if socket { 101 } else { 200 }, "{path}");
    assert!(says(&mut conn, "hello"), "{path}: {:?}", gateway.lines());
    conn
}

/// Whether that comes before the end, whatever frames it.
fn says(conn: &mut Conn, word: &str) -> bool {
    let mut said = String::new();
    while !said.contains(word) {
        if conn.closes() {
            return false;
        }
        let mut room = [0; 64];
        let read = conn.read(&mut room);
        said.push_str(&String::from_utf8_lossy(&room[..read]));
    }
    true
}

#[track_caller]
fn cut(gateway: &Gateway, check: &str, user: &str, reason: &str) {
    gateway.line("of the cut", |line| {
        line["event"] == "stream_cut"
            && line["check"] == check
            && line["user"] == user
            && line["detail"].as_str().unwrap().starts_with(reason)
    });
    gateway.line("of the request", |line| {
        line["event"] == "request" && line["reason"] == reason && line["action"] == "deny"
    });
}

#[test]
fn sockets_and_streams_end_with_their_session_and_no_others() {
    let origin = Origin::scripted(application);
    let gateway = Gateway::start(&plan(&origin));
    let (ann, bob) = (session(&gateway, "ann"), session(&gateway, "bob"));
    let hers = [
        opened(&gateway, "/a/socket", &ann),
        opened(&gateway, "/a/events", &ann),
    ];
    let mut others = [
        opened(&gateway, "/a/socket", &bob),
        opened(&gateway, "/a/events", &bob),
        opened(&gateway, "/left/socket", &ann),
    ];
    assert_eq!(gateway.admin_ask("DELETE", "/sessions/ann").status, 200);
    for conn in hers {
        conn.rest();
    }
    cut(&gateway, "web", "ann", "session_ended");
    // What a user with a session sends still arrives, and what comes back does.
    assert!(others[0].write("to the application"));
    origin.open("more");
    for conn in &mut others {
        assert!(says(conn, "again"));
    }
    let admin = gateway.operator();
    let ban = [
        "ban", "add", "--user", "bob", "--for", "1h", "--admin", &admin,
    ];
    assert!(run(&ban).status.success());
    for conn in others.into_iter().take(2) {
        conn.rest();
    }
    cut(&gateway, "bans", "bob", "banned");
    origin.open("end");
}

/// The server answers the handshake before the end of the request, which has no body, was met.
#[test]
fn no_socket_ends_with_its_handshake() {
    let origin = Origin::scripted(application);
    let gateway = Gateway::start(&plan(&origin));
    let ann = session(&gateway, "ann");
    let mut open: Vec<Conn> = (0..150)
        .map(|_| opened(&gateway, "/a/socket", &ann))
        .collect();
    origin.open("more");
    assert!(open.iter_mut().all(|conn| says(conn, "again")));
    // What is no tunnel ends as any other answer, and its connection goes on.
    let mut conn = Conn::open(gateway.http);
    for _ in 0..3 {
        conn.write(get("/a/none", &format!("{HANDSHAKE}{ann}")));
        assert_eq!(conn.response().unwrap().status, 200);
    }
    origin.open("end");
}

#[test]
fn sockets_end_with_their_token_or_key() {
    let origin = Origin::scripted(application);
    let gateway = Gateway::start(&plan(&origin));
    let admin = gateway.operator();
    let order =
        |more: &[(&str, Value)]| json!({"alg": "HS256", "key": SECRET, "claims": claims(more)});
    let signed = tokens(&[
        order(&[("sub", json!("mia")), ("iat", json!({"now": 0}))]),
        order(&[("sub", json!("noa")), ("exp", json!({"now": 4}))]),
    ]);
    let bearer = |token: &str| format!("Authorization: Bearer {token}\r\n");
    let short = opened(&gateway, "/token/socket", &bearer(&signed[1]));
    let called_back = opened(&gateway, "/token/events", &bearer(&signed[0]));
    let revoked = run(&["token", "revoke", "--user", "mia", "--admin", &admin]);
    assert!(revoked.status.success());
    called_back.rest();
    cut(&gateway, "token", "mia", "token_revoked");
    short.rest();
    cut(&gateway, "token", "noa", "token_expired");
    let made = run(&["key", "create", "kim", "--name", "ci", "--admin", &admin]);
    let text = String::from_utf8(made.stdout).unwrap();
    let key = text
        .split_whitespace()
        .find(|word| word.starts_with("pal_"));
    let key = key.unwrap_or_else(|| panic!("{text}"));
    let by_key = opened(&gateway, "/key/socket", &format!("X-API-Key: {key}\r\n"));
    let revoked = run(&["key", "revoke", &key[4..12], "--admin", &admin]);
    assert!(revoked.status.success());
    by_key.rest();
    cut(&gateway, "keys", "kim", "key_invalid");
}

#[test]
fn over_http2_a_stream_is_reset_and_not_the_connection() {
    let origin = Origin::scripted(application);
    let gateway = Gateway::start(&plan(&origin));
    let ann = session(&gateway, "ann");
    let url = format!("https://localhost:{}/a/events", gateway.tls.port());
    let mut curl = program("curl");
    curl.args([
        "--http2",
        "-sN",
        "--cacert",
        &certs::file("ca.pem"),
        "-H",
        ann.trim(),
        &url,
    ]);
    let curl = curl.stdout(Stdio::piped()).spawn().unwrap();
    origin.wait("/a/events");
    assert_eq!(gateway.admin_ask("DELETE", "/sessions/ann").status, 200);
    let ended = curl.wait_with_output().unwrap();
    // 92: the stream was not closed cleanly; a broken connection would be another number.
    assert_eq!(
        (ended.status.code(), ended.stdout),
        (Some(92), b"hello".to_vec())
    );
    cut(&gateway, "web", "ann", "session_ended");
}

#[test]
fn a_log_out_ends_the_session_although_the_application_fails() {
    let origin = Origin::scripted(application);
    let gateway = Gateway::start(&plan(&origin));
    let ann = session(&gateway, "ann");
    assert_eq!(exchange(gateway.http, get("/", &ann)).status, 200);
    let out = exchange(gateway.http, post("/logout", &ann, b""));
    assert_eq!(out.status, 502);
    assert!(
        out.header("set-cookie")
            .unwrap()
            .starts_with("__Host-session=; Path=/; Max-Age=0")
    );
    assert_eq!(exchange(gateway.http, get("/", &ann)).status, 401);
    gateway.line("what ended", |line| {
        line["event"] == "session_ended"
            && line["user"] == "ann"
            && line["detail"].as_str().unwrap().contains("did not answer")
    });
    // The same where nobody can be asked at all.
    let form = "Content-Type: application/x-www-form-urlencoded\r\n";
    exchange(gateway.http, post("/nowhere", form, b"user=eve"));
    let named = "Cookie: __Host-gone=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\r\n";
    let out = exchange(gateway.http, post("/dead/logout", named, b""));
    assert_eq!(out.status, 502);
    assert!(
        out.header("set-cookie")
            .unwrap()
            .starts_with("__Host-gone=; Path=/; Max-Age=0")
    );
}

/// What a route sets for its application must not have a cache keep, or another site frame, what is the gateway's.
#[test]
fn answers_of_the_gateway_keep_their_own_fields_whatever_a_route_sets() {
    let origin = Origin::scripted(application);
    let plan = Plan::new(origin.address)
        .check(
            "fields",
            "{check: response_headers, set: {Cache-Control: \"public, max-age=600\", Content-Security-Policy: \"frame-ancestors *\"}}",
        )
        .check(
            "web",
            "{check: session, start: {request: POST /login, user: form.user, passed: {status: 302}}, login: /login}",
        )
        .route("{name: pages, match: {path: \"/.palisade/*\"}, serve: [web], use: [fields, web]}")
        .route("{name: all, match: {path: \"/*\"}, to: app, use: [fields, web]}");
    let gateway = Gateway::start(&plan);
    let refused = exchange(gateway.http, get("/a", ""));
    assert_eq!(
        (refused.status, refused.header("cache-control")),
        (401, Some("no-store"))
    );
    let sent = exchange(gateway.http, get("/a", "Accept: text/html\r\n"));
    assert_eq!(
        (sent.status, sent.header("cache-control")),
        (303, Some("no-store"))
    );
    let form = "Content-Type: application/x-www-form-urlencoded\r\n";
    let begun = exchange(gateway.http, post("/login", form, b"user=ann"));
    assert_eq!(
        (begun.status, begun.header("cache-control")),
        (302, Some("no-store"))
    );
    let cookie = begun
        .header("set-cookie")
        .unwrap()
        .split(';')
        .next()
        .unwrap()
        .to_owned();
    let page = exchange(
        gateway.http,
        get("/.palisade/sessions", &format!("Cookie: {cookie}\r\n")),
    );
    assert_eq!(
        (page.status, page.header("cache-control")),
        (200, Some("no-store"))
    );
    assert!(
        page.header("content-security-policy")
            .unwrap()
            .contains("frame-ancestors 'none'")
    );
    let own = exchange(gateway.http, get("/", &format!("Cookie: {cookie}\r\n")));
    assert_eq!(
        (own.status, own.header("cache-control")),
        (200, Some("public, max-age=600"))
    );
}

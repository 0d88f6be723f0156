//! Real clients through the gateway to real applications: curl, WebSockets, gRPC, nginx, server-sent events.

use std::io::Write;

use crate::support::certs;
use crate::support::gateway::write;
use crate::support::origin::{answer, ok};
use crate::support::ports::Port;
use crate::support::raw::get;
use crate::support::tools::{Served, program, python, stdout};
use crate::support::{Conn, Gateway, Origin, Plan, Step, exchange, until};

fn curl(gateway: &Gateway) -> std::process::Command {
    let mut curl = program("curl");
    curl.args(["-sS", "--max-time", "25", "--noproxy", "*", "--cacert"])
        .arg(certs::file("ca.pem"))
        .args([
            "--resolve",
            &format!("app.test:{}:127.0.0.1", gateway.tls.port()),
        ]);
    curl
}

#[test]
fn curl_over_http1_and_http2_reaches_the_origin() {
    let origin = Origin::start();
    let gateway = Gateway::start(&Plan::open(origin.address).tls());
    let plain = format!("http://{}/plain?q=1", gateway.http);
    assert_eq!(stdout(curl(&gateway).arg(&plain)), "origin");
    assert_eq!(origin.last().target, "/plain?q=1");
    for (flag, version) in [("--http1.1", "1.1"), ("--http2", "2")] {
        let url = format!("https://app.test:{}/tls", gateway.tls.port());
        let out = stdout(curl(&gateway).args([flag, "-w", "|%{http_version}|%{http_code}", &url]));
        assert_eq!(out, format!("origin|{version}|200"));
    }
    let seen = origin.last();
    assert_eq!(seen.header("x-forwarded-proto"), Some("https"));
    assert_eq!(seen.header("x-forwarded-for"), Some("127.0.0.1"));
}

#[test]
fn head_answers_carry_no_body_and_keep_the_connection() {
    let origin = Origin::scripted(|seen| match seen.method.as_str() {
        "HEAD" => vec![Step::text("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n")],
        _ => vec![Step::Send(ok("origin"))],
    });
    let gateway = Gateway::start(&Plan::open(origin.address));
    let mut conn = Conn::open(gateway.http);
    conn.write("HEAD /h HTTP/1.1\r\nHost: app.test\r\n\r\n");
    assert_eq!(conn.head().unwrap().header("content-length"), Some("6"));
    conn.write(get("/g", ""));
    assert_eq!(conn.response().unwrap().text(), "origin");
}

#[test]
fn request_ids_are_taken_made_and_returned() {
    let origin = Origin::start();
    let gateway = Gateway::start(&Plan::open(origin.address));
    let taken = exchange(gateway.http, get("/a", "X-Request-ID: abc-123\r\n"));
    assert_eq!(taken.header("x-request-id"), Some("abc-123"));
    assert_eq!(origin.last().all("x-request-id"), ["abc-123"]);
    assert_eq!(gateway.event("abc-123")["path"], "/a");
    for bad in [
        "",
        "X-Request-ID: a b\"<>\r\n",
        &format!("X-Request-ID: {}\r\n", "x".repeat(300)),
    ] {
        let made = exchange(gateway.http, get("/b", bad));
        let id = made.header("x-request-id").unwrap().to_owned();
        assert!(
            (8..=128).contains(&id.len()) && !id.contains(' ') && !id.starts_with("xxx"),
            "{id}"
        );
        assert_eq!(origin.last().all("x-request-id"), [id.as_str()]);
        assert_eq!(gateway.event(&id)["status"], 200);
    }
    let twice = exchange(
        gateway.http,
        get("/c", "X-Request-ID: one\r\nX-Request-ID: two\r\n"),
    );
    assert!(twice.status == 200 || twice.status == 400);
    if twice.status == 200 {
        assert_eq!(origin.last().all("x-request-id").len(), 1);
    }
}

#[test]
fn routes_by_host_method_path_and_header() {
    let origin = Origin::start();
    let plan = Plan::new(origin.address)
        .route("{name: host, match: {host: api.test, path: /x}, to: app, public: t}")
        .route("{name: method, match: {method: [PUT, PATCH], path: /x}, to: app, public: t}")
        .route("{name: segment, match: {path: \"/users/{id}/posts\"}, to: app, public: t}")
        .route("{name: header, match: {path: /x, headers: {X-Beta: \"1\"}}, to: app, public: t}")
        .route("{name: prefix, match: {path: \"/static/*\"}, to: app, public: t}")
        .route("{name: exact, match: {path: /x}, to: app, public: t}");
    let gateway = Gateway::start(&plan);
    let ask = |method: &str, host: &str, path: &str, more: &str| {
        let id = format!("r-{}", origin.count() + gateway.lines().len() * 1000);
        let answer = exchange(
            gateway.http,
            format!(
                "{method} {path} HTTP/1.1\r\nHost: {host}\r\nX-Request-ID: {id}\r\nContent-Length: 0\r\n{more}\r\n"
            ),
        );
        let event = gateway.event(&id);
        (
            answer.status,
            event["route"].as_str().unwrap_or("").to_owned(),
        )
    };
    assert_eq!(ask("GET", "API.test:8080", "/x", ""), (200, "host".into()));
    assert_eq!(ask("PUT", "app.test", "/x", ""), (200, "method".into()));
    assert_eq!(
        ask("GET", "app.test", "/users/7/posts", ""),
        (200, "segment".into())
    );
    assert_eq!(
        ask("GET", "app.test", "/x", "X-Beta: 1\r\n"),
        (200, "header".into())
    );
    assert_eq!(
        ask("GET", "app.test", "/static/a/b", ""),
        (200, "prefix".into())
    );
    assert_eq!(ask("GET", "app.test", "/x", ""), (200, "exact".into()));
    assert_eq!(ask("GET", "app.test", "/nowhere", "").0, 404);
    assert_eq!(ask("GET", "app.test", "/users/7/8/posts", "").0, 404);
    assert_eq!(gateway.refused_for("no_route")["action"], "deny");
}

#[test]
fn server_sent_events_are_not_buffered() {
    let origin = Origin::scripted(|_| {
        let event = |text: &str| Step::text(format!("{:x}\r\n{text}\r\n", text.len()));
        vec![
            Step::text(
                "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n",
            ),
            event("data: 1\n\n"),
            Step::Gate("second"),
            event("data: 2\n\n"),
            Step::text("0\r\n\r\n"),
        ]
    });
    let gateway = Gateway::start(&Plan::open(origin.address));
    let mut conn = Conn::open(gateway.http);
    conn.write(get("/events", ""));
    assert_eq!(
        conn.head().unwrap().header("content-type"),
        Some("text/event-stream")
    );
    // The first event is here although the origin has not sent the second.
    assert_eq!(conn.chunk().unwrap(), b"data: 1\n\n");
    origin.open("second");
    assert_eq!(conn.chunk().unwrap(), b"data: 2\n\n");
    assert_eq!(conn.chunk().unwrap(), b"");
}

#[test]
fn large_bodies_pass_unchanged_both_ways() {
    let body: Vec<u8> = (0..3_000_000_u32).map(|n| (n * 7 % 251) as u8).collect();
    let reply = answer(200, "", &body);
    let origin = Origin::scripted(move |_| vec![Step::ReadBody, Step::Send(reply.clone())]);
    let gateway = Gateway::start(&Plan::open(origin.address));
    let back = exchange(gateway.http, crate::support::raw::post("/up", "", &body));
    assert_eq!(back.status, 200);
    assert!(back.body == body, "the answer changed on its way");
    assert!(
        origin.last().body == body,
        "the request body changed on its way"
    );
}

#[test]
fn websockets_work_both_ways() {
    let port = Port::take();
    let _server = Served::ready(python("ws_server.py").arg(port.number.to_string()));
    let gateway = Gateway::start(&Plan::open(port.address()).tls());
    let plain = format!("ws://{}/chat", gateway.http);
    let secure = format!("wss://localhost:{}/chat", gateway.tls.port());
    let expected =
        "/chat message 0\n/chat message 1\n/chat message 2\nbinary True\npong\nclosed 1000\n";
    assert_eq!(stdout(python("ws_client.py").args([&plain, "3"])), expected);
    let ca = certs::file("ca.pem");
    assert_eq!(
        stdout(python("ws_client.py").args([&secure, "3", &ca])),
        expected
    );
    gateway.line("of the WebSocket", |line| {
        line["path"] == "/chat" && line["status"] == 101
    });
}

#[test]
fn grpc_calls_keep_their_trailers() {
    let port = Port::take();
    let _server = Served::ready(python("grpc_server.py").arg(port.number.to_string()));
    let plan = Plan::bare()
        .upstream(
            "app",
            &format!("{{servers: [\"{}\"], protocol: h2c}}", port.address()),
        )
        .route("{name: grpc, match: {path: \"/t.T/*\"}, to: app, public: test}")
        .tls();
    let gateway = Gateway::start(&plan);
    let target = format!("127.0.0.1:{}", gateway.tls.port());
    let out = stdout(python("grpc_client.py").args([&target, &certs::file("ca.pem")]));
    let out: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(out["echo"], "hello");
    assert_eq!(out["trailers"]["t-user"], "none");
    assert_eq!(out["trailers"]["t-bin"], "0001ff");
    assert_eq!(out["large"], true);
    assert_eq!(out["count"], serde_json::json!(["0", "1", "2", "3", "4"]));
    assert_eq!(out["count_trailer"], "5");
    assert_eq!(out["chat"], serde_json::json!(["got a", "got b", "got c"]));
    assert_eq!(
        out["fail"],
        serde_json::json!(["FAILED_PRECONDITION", "not today"])
    );
}

/// nginx as the application: over TCP, over a Unix socket, over TLS with HTTP/2.
#[test]
fn nginx_is_a_good_upstream() {
    let folder = tempfile::tempdir().unwrap();
    let port = Port::take();
    let socket = folder.path().join("n.sock");
    let h2 = Port::take();
    let config = format!(
        "daemon off; master_process off; pid {dir}/pid; error_log {dir}/error.log;\n\
         events {{}}\n\
         http {{ access_log off; client_body_temp_path {dir}/a; proxy_temp_path {dir}/b; fastcgi_temp_path {dir}/c;\n\
         uwsgi_temp_path {dir}/d; scgi_temp_path {dir}/e; ssl_certificate {cert}; ssl_certificate_key {key};\n\
         server {{ listen 127.0.0.1:{port}; listen unix:{socket}; listen 127.0.0.1:{h2} ssl http2;\n\
         location / {{ return 200 \"nginx $request_method $request_uri $http_host $server_protocol\"; }}\n\
         location /file {{ root {dir}/www; }} }} }}\n",
        dir = folder.path().display(),
        cert = certs::file("server.pem"),
        key = certs::file("server.key"),
        port = port.number,
        h2 = h2.number,
        socket = socket.display(),
    );
    write(&folder.path().join("nginx.conf"), config.as_bytes());
    let file: Vec<u8> = (0..500_000_u32).map(|n| (n % 256) as u8).collect();
    write(&folder.path().join("www/file"), &file);
    // `daemon off` and a running worker without a master: one process, ended by the guard.
    let child = program("nginx")
        .arg("-c")
        .arg(folder.path().join("nginx.conf"))
        .spawn()
        .unwrap();
    let _nginx = Served::started(child);
    until("nginx listens", || {
        std::net::TcpStream::connect(port.address()).ok()
    });
    let plan = Plan::new(port.address())
        .upstream(
            "local",
            &format!("{{servers: [\"unix:{}\"]}}", socket.display()),
        )
        .upstream(
            "secure",
            &format!(
                "{{servers: [\"{}\"], protocol: h2, tls: {{sni: app.test, ca: {}}}}}",
                h2.address(),
                certs::file("ca.pem")
            ),
        )
        .route("{name: secure, match: {path: \"/secure/*\"}, to: secure, public: test}")
        .route("{name: local, match: {path: \"/local/*\"}, to: local, public: test}")
        .route("{name: all, match: {path: \"/*\"}, to: app, public: test}");
    let gateway = Gateway::start(&plan);
    let tcp = exchange(gateway.http, get("/a?b=c", ""));
    assert_eq!(tcp.text(), "nginx GET /a?b=c app.test HTTP/1.1");
    let unix = exchange(gateway.http, get("/local/x", ""));
    assert_eq!(unix.text(), "nginx GET /local/x app.test HTTP/1.1");
    for _ in 0..3 {
        let secure = exchange(gateway.http, get("/secure/x", ""));
        assert_eq!(secure.text(), "nginx GET /secure/x app.test HTTP/2.0");
    }
    let posted = exchange(
        gateway.http,
        crate::support::raw::post("/secure/p", "", b"a body"),
    );
    assert_eq!(posted.text(), "nginx POST /secure/p app.test HTTP/2.0");
    let whole = exchange(gateway.http, get("/file", ""));
    assert!(whole.status == 200 && whole.body == file);
    let part = exchange(gateway.http, get("/file", "Range: bytes=5-9\r\n"));
    assert_eq!((part.status, part.body.as_slice()), (206, &file[5..10]));
}

#[test]
fn groups_share_by_weight_and_stick_by_hash() {
    let [one, two] =
        ["one", "two"].map(|name| Origin::scripted(move |_| vec![Step::Send(ok(name))]));
    let plan = Plan::bare()
        .upstream(
            "turns",
            &format!(
                "{{servers: [{{address: \"{}\", weight: 3}}, \"{}\"], balance: round_robin}}",
                one.address, two.address
            ),
        )
        .upstream(
            "sticky",
            &format!(
                "{{servers: [\"{}\", \"{}\"], balance: {{consistent_hash: {{key: path}}}}}}",
                one.address, two.address
            ),
        )
        .route("{name: sticky, match: {path: \"/sticky/*\"}, to: sticky, public: test}")
        .route("{name: turns, match: {path: \"/*\"}, to: turns, public: test}");
    let gateway = Gateway::start(&plan);
    for _ in 0..40 {
        assert_eq!(exchange(gateway.http, get("/t", "")).status, 200);
    }
    assert_eq!((one.count(), two.count()), (30, 10));
    let mut hosts = std::collections::HashSet::new();
    for number in 0..20 {
        let ask = || exchange(gateway.http, get(&format!("/sticky/{number}"), "")).text();
        let first = ask();
        assert!((0..5).all(|_| ask() == first), "one path, one server");
        hosts.insert(first);
    }
    assert_eq!(hosts.len(), 2, "paths spread over the servers");
}

#[test]
fn unhealthy_servers_get_nothing_until_they_answer_again() {
    let sick = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let state = std::sync::Arc::clone(&sick);
    let one = Origin::scripted(move |seen| {
        let bad = seen.target == "/healthz" && state.load(std::sync::atomic::Ordering::SeqCst);
        vec![Step::Send(answer(if bad { 500 } else { 200 }, "", b"one"))]
    });
    let two = Origin::scripted(|_| vec![Step::Send(ok("two"))]);
    let plan = Plan::bare()
        .upstream("app", &format!(
            "{{servers: [\"{}\", \"{}\"], health: {{path: /healthz, every: 1s, timeout: 1s, healthy_after: 1, unhealthy_after: 1}}}}",
            one.address, two.address
        ))
        .route("{name: all, match: {path: \"/*\"}, to: app, public: test}");
    let gateway = Gateway::start(&plan);
    let names = || {
        (0..8)
            .map(|_| exchange(gateway.http, get("/t", "")).text())
            .collect::<std::collections::BTreeSet<_>>()
    };
    assert_eq!(names().len(), 2);
    sick.store(true, std::sync::atomic::Ordering::SeqCst);
    until("only the healthy one is asked", || {
        (names() == ["two".to_owned()].into()).then_some(())
    });
    sick.store(false, std::sync::atomic::Ordering::SeqCst);
    until("both are asked again", || {
        (names().len() == 2).then_some(())
    });
}

#[test]
fn http2_with_prior_knowledge_where_the_listener_says_so() {
    let origin = Origin::start();
    let gateway = Gateway::start(&Plan::open(origin.address).listen(", h2c: true"));
    let url = format!("http://{}/h2c", gateway.http);
    let out =
        stdout(curl(&gateway).args(["--http2-prior-knowledge", "-w", "|%{http_version}", &url]));
    assert_eq!(out, "origin|2");
    assert_eq!(exchange(gateway.http, get("/h1", "")).status, 200);
}

#[test]
fn proxy_protocol_tells_the_client() {
    let origin = Origin::start();
    let gateway = Gateway::start(&Plan::open(origin.address).listen(", proxy_protocol: true"));
    let id = |id: &str| get("/", &format!("X-Request-ID: {id}\r\n"));
    let v1 = format!("PROXY TCP4 203.0.113.7 192.0.2.1 4000 80\r\n{}", id("v1"));
    assert_eq!(exchange(gateway.http, v1).status, 200);
    assert_eq!(origin.last().header("x-forwarded-for"), Some("203.0.113.7"));
    assert_eq!(gateway.event("v1")["client"], "203.0.113.7");
    let mut v2 =
        b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0c\xcb\x00\x71\x08\xc0\x00\x02\x01\x0f\xa0\x00\x50"
            .to_vec();
    v2.write_all(id("v2").as_bytes()).unwrap();
    assert_eq!(exchange(gateway.http, v2).status, 200);
    assert_eq!(gateway.event("v2")["client"], "203.0.113.8");
    let mut without = Conn::open(gateway.http);
    without.write(id("none"));
    assert!(without.response().is_none_or(|answer| answer.status == 400));
    assert_eq!(origin.count(), 2);
}

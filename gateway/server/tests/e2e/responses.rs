//! Answers that are judged before the client gets them, and compressed request bodies. What the client saw and what the
//! application saw is what counts.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::Stdio;

use flate2::Compression;
use flate2::read::GzEncoder;

use crate::support::origin::{answer, ok};
use crate::support::ports::Port;
use crate::support::raw::{find, get, post};
use crate::support::tools::{Served, program, python, stdout};
use crate::support::{Conn, Gateway, Origin, Plan, Step, certs, exchange, until};

const RULES: &str = r#"
rules:
  - {id: 7001, msg: an SQL error, tags: [leak], targets: [response_body], any: [{contains: "error in your SQL syntax"}]}
  - {id: 7002, msg: a debug header, tags: [leak], targets: ["response_header:x-debug"], any: [{contains: "secret"}]}
  - {id: 7003, msg: a teapot, action: deny, targets: [response_status], any: [{equals: "418"}]}
  - {id: 7004, msg: select, targets: [args], any: [{contains: "union select"}]}
"#;
const LEAK: &str = "You have an error in your SQL syntax near 'x' at line 1";
const TEXT: &str = "Content-Type: text/html; charset=utf-8\r\n";

/// A check that reads answers, with more keys for it.
fn plan(origin: &Origin, keys: &str) -> Plan {
    let check = format!("{{check: waf, rules: [leaks.yaml]{keys}}}");
    Plan::checked(origin.address, &check).file("leaks.yaml", RULES)
}

fn id(id: &str) -> String {
    format!("X-Request-ID: {id}\r\n")
}

fn all_is_given_back(gateway: &Gateway) {
    until("no answer is held", || {
        (gateway.metric("palisade_response_bytes_held", &[]) == 0.0).then_some(())
    });
}

fn gzip(plain: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut encoder = GzEncoder::new(plain, Compression::default());
    encoder.read_to_end(&mut out).unwrap();
    out
}

fn chunked(more: &str, pieces: &[&[u8]]) -> Vec<u8> {
    let mut out =
        format!("HTTP/1.1 200 OK\r\n{TEXT}Transfer-Encoding: chunked\r\n{more}\r\n").into_bytes();
    for piece in pieces {
        write!(out, "{:x}\r\n", piece.len()).unwrap();
        out.extend_from_slice(piece);
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(b"0\r\n\r\n");
    out
}

/// Text that no rule minds.
fn filler(length: usize) -> Vec<u8> {
    b"all is well, nothing to see. "
        .iter()
        .copied()
        .cycle()
        .take(length)
        .collect()
}

/// An application that answers each path as the name says.
fn application() -> Origin {
    Origin::scripted(|seen| {
        let (path, _) = seen.target.split_once('?').unwrap_or((&seen.target, ""));
        let long = filler(100_000);
        let send = match path {
            "/leak" => answer(200, TEXT, LEAK.as_bytes()),
            "/leak-chunked" => chunked("", &[b"<p>You have an error in yo", b"ur SQL syntax"]),
            "/leak-gzip" => answer(
                200,
                &format!("{TEXT}Content-Encoding: gzip\r\n"),
                &gzip(LEAK.as_bytes()),
            ),
            "/leak-image" => answer(200, "Content-Type: image/png\r\n", LEAK.as_bytes()),
            "/leak-header" => answer(
                200,
                "Content-Type: image/png\r\nX-Debug: secret\r\n",
                b"png",
            ),
            "/teapot" => answer(418, TEXT, b"short and stout"),
            "/clean-gzip" => answer(
                200,
                &format!("{TEXT}Content-Encoding: gzip\r\nETag: \"z\"\r\n"),
                &gzip(&long),
            ),
            "/unknown-coding" => answer(
                200,
                &format!("{TEXT}Content-Encoding: compress\r\n"),
                b"\x1f\x9d\x90",
            ),
            "/not-gzip" => answer(200, &format!("{TEXT}Content-Encoding: gzip\r\n"), b"plain"),
            "/clean-chunked" => chunked("X-App: 1\r\n", &[b"one ", b"two ", b"three"]),
            "/long" => answer(200, TEXT, &long),
            "/none" => b"HTTP/1.1 204 No Content\r\nX-App: 1\r\n\r\n".to_vec(),
            "/same" => b"HTTP/1.1 304 Not Modified\r\nETag: \"a\"\r\n\r\n".to_vec(),
            "/head" => format!("HTTP/1.1 200 OK\r\n{TEXT}Content-Length: 12345\r\n\r\n").into(),
            "/early" => [
                &b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n"[..],
                &answer(200, TEXT, b"after the hints"),
            ]
            .concat(),
            "/until-close" => {
                let head = format!("HTTP/1.0 200 OK\r\n{TEXT}\r\nuntil the end");
                return vec![Step::text(head), Step::Close];
            }
            "/broken" => {
                let head = format!("HTTP/1.1 200 OK\r\n{TEXT}Content-Length: 500\r\n\r\nhalf");
                return vec![Step::text(head), Step::Close];
            }
            _ => ok("origin"),
        };
        vec![Step::ReadBody, Step::Send(send)]
    })
}

#[test]
fn a_leak_is_stopped_before_its_first_byte() {
    let origin = application();
    let gateway = Gateway::start(&plan(&origin, "").top("policy_header: X-Policy"));
    for path in [
        "/leak",
        "/leak-chunked",
        "/leak-gzip",
        "/leak-header",
        "/teapot",
    ] {
        let seen = exchange(gateway.http, get(path, &id(&path[1..])));
        assert_eq!(seen.status, 403, "{path}");
        assert!(seen.complete && !seen.text().contains("SQL"), "{path}");
        assert!(seen.text().contains("waf_response"), "{path}");
        assert_eq!(seen.header("x-request-id"), Some(&path[1..]));
        assert!(seen.header("x-policy").is_some() && seen.header("x-debug").is_none());
        assert_eq!(
            seen.header("content-type"),
            Some("application/problem+json")
        );
        assert_eq!(seen.header("content-encoding"), None);
    }
    assert_eq!(origin.count(), 5);
    let event = gateway.event("leak");
    assert_eq!(
        (&event["action"], &event["check"], &event["reason"]),
        (&"deny".into(), &"c".into(), &"waf_response".into())
    );
    assert_eq!(
        (&event["status"], &event["rules"][0]["id"]),
        (&403.into(), &7001.into())
    );
    assert_eq!(event["detail"], serde_json::Value::Null);
    let labels = [("reason", "waf_response"), ("check", "c")];
    gateway.metric_reaches("palisade_requests_total", &labels, 5.0);
    all_is_given_back(&gateway);
}

#[test]
fn clean_answers_are_what_they_would_have_been() {
    let origin = application();
    let judged = Gateway::start(&plan(&origin, ", response: {hold: 4KiB, inspect: 64KiB}"));
    let open = Gateway::start(&Plan::open(origin.address));
    let same = |version: &str, method: &str, path: &str| {
        let ask = |gateway: &Gateway| {
            let mut conn = Conn::open(gateway.http);
            conn.write(format!(
                "{method} {path} HTTP/{version}\r\nHost: app.test\r\n{}Connection: close\r\n\r\n",
                id("same")
            ));
            let text = String::from_utf8_lossy(&conn.rest()).into_owned();
            let (head, body) = text.split_once("\r\n\r\n").unwrap();
            let lines = head.lines().filter(|line| !line.starts_with("Date:"));
            let head: Vec<String> = lines.map(str::to_owned).collect();
            (head, dechunk(body))
        };
        assert_eq!(ask(&judged), ask(&open), "{method} {path} {version}");
    };
    for path in [
        "/",
        "/clean-gzip",
        "/clean-chunked",
        "/long",
        "/none",
        "/same",
        "/early",
        "/until-close",
        "/leak-image",
    ] {
        same("1.1", "GET", path);
        same("1.0", "GET", path);
    }
    same("1.1", "HEAD", "/head");
    same("1.1", "HEAD", "/clean-gzip");
}

/// Chunks as one text: where one ends is nobody's business.
fn dechunk(body: &str) -> String {
    let mut out = String::new();
    let mut rest = body;
    while let Some((length, after)) = rest.split_once("\r\n") {
        let Ok(length) = usize::from_str_radix(length, 16) else {
            break;
        };
        out.push_str(after.get(..length).unwrap_or_default());
        rest = after.get(length + 2..).unwrap_or_default();
    }
    if out.is_empty() { body.to_owned() } else { out }
}

/// Sends a long text, and the leak once the client has seen the beginning of it.
fn late_leak() -> Origin {
    Origin::scripted(|seen| {
        let long = filler(100_000);
        let whole = long.len() + LEAK.len();
        let (head, before, after) = match seen.target.as_str() {
            "/length" => (format!("Content-Length: {whole}"), "", ""),
            "/chunked" => (
                "Transfer-Encoding: chunked".to_owned(),
                "37\r\n",
                "\r\n0\r\n\r\n",
            ),
            _ => return vec![Step::Send(ok("origin"))],
        };
        let mut first = format!("HTTP/1.1 200 OK\r\n{TEXT}{head}\r\n\r\n").into_bytes();
        if before.is_empty() {
            first.extend_from_slice(&long);
        } else {
            write!(first, "{:x}\r\n", long.len()).unwrap();
            first.extend_from_slice(&long);
            first.extend_from_slice(b"\r\n");
        }
        let last = format!("{before}{LEAK}{after}");
        vec![Step::Send(first), Step::Gate("leak"), Step::text(last)]
    })
}

#[test]
fn a_leak_past_what_is_held_cuts_the_connection() {
    for path in ["/length", "/chunked"] {
        let origin = late_leak();
        let gateway = Gateway::start(&plan(&origin, ", response: {hold: 16KiB, inspect: 1MiB}"));
        let mut conn = Conn::open(gateway.http);
        conn.write(get(path, &id("cut")));
        assert_eq!(
            conn.head().unwrap().status,
            200,
            "what is more than is held flows"
        );
        origin.open("leak");
        let text = String::from_utf8_lossy(&conn.rest()).into_owned();
        assert!(
            !text.contains("SQL") && !text.ends_with("0\r\n\r\n"),
            "{path}"
        );
        assert!(
            (70_000..90_000).contains(&text.len()),
            "{path}: {}",
            text.len()
        );
        let event = gateway.event("cut");
        assert_eq!(event["action"], "deny", "{event}");
        assert_eq!(event["reason"], "waf_response");
        assert_eq!(event["detail"], "response_cut");
        assert_eq!(
            (&event["status"], &event["rules"][0]["id"]),
            (&200.into(), &7001.into())
        );
    }
}

/// The stream is reset, and the connection goes on.
#[test]
fn over_http2_a_late_leak_resets_its_stream() {
    let origin = late_leak();
    let keys = ", response: {hold: 16KiB, inspect: 1MiB}";
    let gateway = Gateway::start(&plan(&origin, keys).listen(", h2c: true"));
    let mut child = python("h2_get.py")
        .args([&gateway.http.port().to_string(), "/chunked", "/after"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut line = || lines.next().unwrap().unwrap();
    assert_eq!(line(), "begun");
    origin.open("leak");
    let cut: serde_json::Value = serde_json::from_str(&line()).unwrap();
    assert_eq!((&cut["status"], &cut["reset"]), (&200.into(), &2.into()));
    let text = cut["body"].as_str().unwrap();
    assert!(text.starts_with("all is well") && !text.contains("SQL"));
    assert_eq!(line(), "begun");
    let after: serde_json::Value = serde_json::from_str(&line()).unwrap();
    assert_eq!(
        (&after["status"], &after["body"]),
        (&200.into(), &"origin".into())
    );
    child.wait().unwrap();
    assert_eq!(gateway.event("chunked")["detail"], "response_cut");
}

#[test]
fn over_http2_a_leak_is_an_answer_of_ours() {
    let origin = application();
    let gateway = Gateway::start(&plan(&origin, "").listen(", h2c: true"));
    for path in ["/leak", "/leak-chunked", "/leak-gzip", "/leak-header"] {
        let url = format!("http://{}{path}", gateway.http);
        let out = stdout(program("curl").args([
            "-s",
            "--http2-prior-knowledge",
            "-w",
            "|%{http_code} %{http_version}",
            &url,
        ]));
        assert!(
            out.contains("waf_response") && out.ends_with("|403 2"),
            "{path}: {out}"
        );
        assert!(!out.contains("SQL"), "{path}: {out}");
    }
    let url = format!("http://{}/long", gateway.http);
    let out = stdout(program("curl").args(["-s", "--http2-prior-knowledge", &url]));
    assert_eq!(out.as_bytes(), filler(100_000));
}

#[test]
fn over_http2_to_the_application_ends_and_trailers_stay() {
    let port = Port::take();
    let _origin = Served::ready(python("h2_origin.py").arg(port.number.to_string()));
    let plan = Plan::bare()
        .upstream(
            "app",
            &format!("{{servers: [\"{}\"], protocol: h2c}}", port.address()),
        )
        .check("c", "{check: waf, rules: [leaks.yaml]}")
        .route("{name: all, match: {path: \"/*\"}, to: app, use: [c], public: test}")
        .file("leaks.yaml", RULES)
        .listen(", h2c: true");
    let gateway = Gateway::start(&plan);
    let ask = |path: &str| {
        let url = format!("http://{}{path}", gateway.http);
        let args = ["-s", "-D", "-", "--http2-prior-knowledge", &url];
        stdout(program("curl").args(args))
    };
    assert!(ask("/plain").contains("HTTP/2 200") && ask("/plain").ends_with("hello world"));
    assert!(ask("/empty").contains("HTTP/2 200"));
    let trailers = ask("/trailers");
    assert!(
        trailers.contains("hello world") && trailers.contains("x-sum: 11"),
        "{trailers}"
    );
    for path in ["/leak", "/leak-trailers"] {
        let seen = ask(path);
        assert!(
            seen.contains("HTTP/2 403") && seen.contains("waf_response"),
            "{seen}"
        );
        assert!(!seen.contains("SQL") && !seen.contains("x-sum"), "{seen}");
        assert_eq!(exchange(gateway.http, get(path, "")).status, 403);
    }
    assert_eq!(
        exchange(gateway.http, get("/trailers", "")).text(),
        "hello world"
    );
    assert_eq!(exchange(gateway.http, get("/empty", "")).status, 200);
}

#[test]
fn a_connection_goes_on_after_a_replaced_answer() {
    let origin = application();
    let gateway = Gateway::start(&plan(&origin, ""));
    let mut conn = Conn::open(gateway.http);
    let form = "Content-Type: application/x-www-form-urlencoded\r\n";
    let requests = [
        (get("/leak", "").into_bytes(), 403),
        (get("/", "").into_bytes(), 200),
        (get("/leak-header", "").into_bytes(), 403),
        (post("/leak-chunked", form, b"a=1"), 403),
        (post("/", form, b"a=2"), 200),
        (get("/leak-gzip", "").into_bytes(), 403),
        (get("/long", "").into_bytes(), 200),
    ];
    for (request, status) in requests {
        conn.write(&request);
        let seen = conn.response().unwrap();
        assert_eq!((seen.status, seen.complete), (status, true));
        assert_eq!(seen.header("connection"), Some("keep-alive"));
    }
    conn.write(get("/leak", "Connection: close\r\n"));
    assert_eq!(conn.response().unwrap().status, 403);
    assert!(conn.closes());
    assert_eq!(origin.count(), 8);
}

/// The rest of a refused answer must not be taken for the next one.
#[test]
fn an_upstream_connection_with_an_unread_rest_is_not_used_again() {
    let origin = Origin::scripted(|seen| match seen.target.as_str() {
        "/leak" => {
            let head =
                format!("HTTP/1.1 200 OK\r\n{TEXT}X-Debug: secret\r\nContent-Length: 9000\r\n\r\n");
            let rest = format!(
                "{:9000}HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nwrong",
                ""
            );
            vec![Step::text(head), Step::text(rest)]
        }
        _ => vec![Step::Send(ok("right"))],
    });
    let gateway = Gateway::start(&plan(&origin, ""));
    for _ in 0..5 {
        assert_eq!(exchange(gateway.http, get("/leak", "")).status, 403);
        assert_eq!(exchange(gateway.http, get("/", "")).text(), "right");
    }
    assert_eq!(origin.count(), 10);
}

#[test]
fn what_cannot_be_read_is_refused_unless_the_policy_lets_it_pass() {
    let origin = application();
    let strict = Gateway::start(&plan(&origin, ", response: {inspect: 48KiB, over: deny}"));
    for (path, reason) in [
        ("/unknown-coding", "response_encoding"),
        ("/not-gzip", "response_encoding"),
        ("/long", "response_unread"),
        ("/clean-gzip", "response_unread"),
    ] {
        let seen = exchange(strict.http, get(path, &id(&path[1..])));
        assert_eq!(seen.status, 502, "{path}");
        assert!(seen.text().contains(reason), "{path}: {}", seen.text());
        assert_eq!(strict.event(&path[1..])["reason"], reason);
    }
    let lenient = ", response: {inspect: 48KiB, encoded: allow}";
    let lenient = Gateway::start(&plan(&origin, lenient));
    for path in ["/unknown-coding", "/not-gzip", "/long", "/clean-gzip"] {
        let seen = exchange(lenient.http, get(path, ""));
        assert_eq!((seen.status, seen.complete), (200, true), "{path}");
    }
}

#[test]
fn the_application_is_only_offered_codings_that_can_be_read() {
    let origin = application();
    let gateway = Gateway::start(&plan(&origin, ""));
    let offered = |value: &str| {
        exchange(
            gateway.http,
            get("/", &format!("Accept-Encoding: {value}\r\n")),
        );
        origin.last().header("accept-encoding").map(str::to_owned)
    };
    assert_eq!(
        offered("gzip, deflate, br, zstd").unwrap(),
        "gzip, deflate, br, zstd"
    );
    assert_eq!(offered("dcb, gzip;q=0.5, dcz").unwrap(), "gzip;q=0.5");
    assert_eq!(offered("*").unwrap(), "identity");
    exchange(gateway.http, get("/", ""));
    assert_eq!(origin.last().header("accept-encoding"), None);
    // Nobody reads these answers.
    let gateway = Gateway::start(&Plan::open(origin.address));
    exchange(gateway.http, get("/", "Accept-Encoding: dcb, *\r\n"));
    assert_eq!(origin.last().header("accept-encoding"), Some("dcb, *"));
}

#[test]
fn events_are_not_held_back() {
    let origin = Origin::scripted(|_| {
        let head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";
        vec![
            Step::text(head),
            Step::text("9\r\ndata: 1\n\n\r\n"),
            Step::Gate("next"),
            Step::text("9\r\ndata: 2\n\n\r\n0\r\n\r\n"),
        ]
    });
    let keys = ", response: {types: [\"*/*\"]}";
    let gateway = Gateway::start(&plan(&origin, keys));
    let mut conn = Conn::open(gateway.http);
    conn.write(get("/events", ""));
    assert_eq!(conn.head().unwrap().status, 200);
    assert_eq!(conn.chunk().unwrap(), b"data: 1\n\n");
    origin.open("next");
    assert_eq!(conn.chunk().unwrap(), b"data: 2\n\n");
    assert!(conn.chunk().unwrap().is_empty());
}

#[test]
fn calls_and_sockets_are_not_held_back() {
    let (grpc, ws) = (Port::take(), Port::take());
    let _grpc = Served::ready(python("grpc_server.py").arg(grpc.number.to_string()));
    let _ws = Served::ready(python("ws_server.py").arg(ws.number.to_string()));
    let rules = "rules: [{id: 1, msg: x, targets: [response_body, \"response_header:x-debug\"], any: [{contains: hello}]}]";
    let plan = Plan::bare()
        .upstream(
            "calls",
            &format!("{{servers: [\"{}\"], protocol: h2c}}", grpc.address()),
        )
        .upstream("sockets", &format!("{{servers: [\"{}\"]}}", ws.address()))
        .check(
            "c",
            "{check: waf, rules: [hello.yaml], response: {types: [\"*/*\"]}}",
        )
        .route("{name: calls, match: {path: \"/t.T/*\"}, to: calls, use: [c], public: test}")
        .route("{name: sockets, match: {path: \"/*\"}, to: sockets, use: [c], public: test}")
        .file("hello.yaml", rules)
        .tls();
    let gateway = Gateway::start(&plan);
    let target = format!("127.0.0.1:{}", gateway.tls.port());
    let out = stdout(python("grpc_client.py").args([&target, &certs::file("ca.pem")]));
    let out: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(
        (&out["echo"], &out["count_trailer"]),
        (&"hello".into(), &"5".into())
    );
    assert_eq!(out["chat"], serde_json::json!(["got a", "got b", "got c"]));
    assert_eq!(out["fail"][1], "not today");
    let url = format!("ws://{}/hello", gateway.http);
    let out = stdout(python("ws_client.py").args([&url, "3"]));
    assert!(
        out.contains("/hello message 1") && out.contains("closed 1000"),
        "{out}"
    );
}

/// However an answer comes, and however little is held, it goes on as it was.
#[test]
fn no_byte_is_lost_or_doubled_at_any_border() {
    let length = |seed: usize| seed * 7919 % 4000 + 1;
    let body: Vec<u8> = (0..200_000u32).map(|n| (n * 31 % 251) as u8).collect();
    let whole = body.clone();
    let origin = Origin::scripted(move |seen| {
        let mut seed: usize = seen.target.trim_start_matches('/').parse().unwrap();
        let mut pieces = Vec::new();
        let mut rest = whole.as_slice();
        while !rest.is_empty() {
            seed += 1;
            let (piece, after) = rest.split_at(length(seed).min(rest.len()));
            pieces.push(piece);
            rest = after;
        }
        vec![Step::Send(chunked("", &pieces))]
    });
    for keys in [
        "hold: 1B",
        "hold: 5KB",
        "hold: 1B, inspect: 1B",
        "hold: 100KB, inspect: 7KB",
        "hold: 1MB, inspect: 1MB",
    ] {
        let keys = keys.replace("KB", "KiB").replace("MB", "MiB");
        let gateway = Gateway::start(&plan(&origin, &format!(", response: {{{keys}}}")));
        let mut conn = Conn::open(gateway.http);
        for seed in 0..8 {
            conn.write(get(&format!("/{seed}"), ""));
            let seen = conn.response().unwrap();
            assert!(
                seen.complete && seen.body == body,
                "{keys} {seed}: {}",
                seen.body.len()
            );
        }
        all_is_given_back(&gateway);
    }
}

#[test]
fn what_observes_lets_pass_and_says_so() {
    let origin = application();
    let gateway = Gateway::start(&plan(&origin, ", mode: observe"));
    let seen = exchange(gateway.http, get("/leak", &id("watched")));
    assert_eq!((seen.status, seen.text().as_str()), (200, LEAK));
    let event = gateway.event("watched");
    assert_eq!(
        (&event["action"], &event["reason"]),
        (&"allow".into(), &"ok".into())
    );
    assert_eq!(event["would_by"][0]["reason"], "waf_response", "{event}");
    assert_eq!(event["rules"][0]["id"], 7001);
}

#[test]
fn what_observes_holds_nothing_back() {
    // The second gateway has no room for what it would read.
    for (room, would) in [("1MiB", true), ("64KiB", false)] {
        let origin = Origin::scripted(|_| {
            let whole = chunked("", &[&filler(70_000), LEAK.as_bytes()]);
            let (head, body) = whole.split_at(find(&whole, b"\r\n\r\n").unwrap() + 4);
            let (first, second) = body.split_at(70_009);
            vec![
                Step::Send(head.to_vec()),
                Step::Gate("first"),
                Step::Send(first.to_vec()),
                Step::Gate("second"),
                Step::Send(second.to_vec()),
            ]
        });
        let top = format!("limits: {{held_response_total: {room}}}");
        let gateway = Gateway::start(&plan(&origin, ", mode: observe").top(&top));
        let mut conn = Conn::open(gateway.http);
        conn.write(get("/", &id("watched")));
        assert_eq!(conn.head().unwrap().status, 200);
        origin.open("first");
        let mut body = Vec::new();
        while body.len() < 70_000 {
            body.extend(conn.chunk().unwrap());
        }
        origin.open("second");
        assert_eq!(conn.chunk().unwrap(), LEAK.as_bytes());
        let event = gateway.event("watched");
        assert_eq!(event["reason"], "ok", "{event}");
        let reported = event["would_by"][0]["reason"] == "waf_response";
        assert_eq!(reported, would, "{event}");
        all_is_given_back(&gateway);
    }
}

#[test]
fn an_answer_that_breaks_off_while_held_is_a_502() {
    let origin = application();
    let gateway = Gateway::start(&plan(&origin, ""));
    let seen = exchange(gateway.http, get("/broken", &id("broken")));
    assert_eq!(seen.status, 502);
    assert!(!seen.text().contains("half"));
    assert_eq!(gateway.event("broken")["reason"], "upstream_broken");
    assert_eq!(origin.count(), 1);
}

#[test]
fn memory_for_held_answers_is_capped_in_total() {
    let part = filler(110_000);
    let origin = Origin::scripted(move |seen| {
        let head = format!("HTTP/1.1 200 OK\r\n{TEXT}Content-Length: 110001\r\n\r\n");
        let mut steps = vec![Step::text(head), Step::Send(part.clone())];
        if seen.target == "/held" {
            steps.push(Step::Gate("go"));
        }
        steps.push(Step::text("z"));
        steps
    });
    let gateway = Gateway::start(&plan(&origin, "").top("limits: {held_response_total: 256KiB}"));
    let mut held: Vec<Conn> = (0..2)
        .map(|_| {
            let mut conn = Conn::open(gateway.http);
            conn.write(get("/held", ""));
            conn
        })
        .collect();
    until("both are held", || {
        (gateway.metric("palisade_response_bytes_held", &[]) >= 220_000.0).then_some(())
    });
    assert_eq!(exchange(gateway.http, get("/third", "")).status, 503);
    assert_eq!(gateway.refused_for("overload")["status"], 503);
    origin.open("go");
    for conn in &mut held {
        let seen = conn.response().unwrap();
        assert_eq!((seen.status, seen.body.len()), (200, 110_001));
    }
    all_is_given_back(&gateway);
    assert_eq!(exchange(gateway.http, get("/fourth", "")).status, 200);
}

/// What was judged but not yet read still takes memory.
#[test]
fn a_client_that_does_not_read_keeps_its_room() {
    let origin = Origin::scripted(|_| vec![Step::Send(answer(200, TEXT, &filler(16 << 20)))]);
    let keys = ", response: {hold: 32MiB, inspect: 32MiB}";
    let top = "limits: {held_response_total: 24MiB}";
    let gateway = Gateway::start(&plan(&origin, keys).top(top));
    let mut conn = Conn::open(gateway.http);
    conn.write(get("/", &id("slow")));
    assert_eq!(conn.head().unwrap().status, 200);
    assert!(gateway.metric("palisade_response_bytes_held", &[]) >= f64::from(16 << 20));
    assert_eq!(exchange(gateway.http, get("/", "")).status, 503);
    let mut left: usize = 16 << 20;
    let mut piece = vec![0; 1 << 20];
    while left > 0 {
        left = left.saturating_sub(conn.read(&mut piece));
    }
    all_is_given_back(&gateway);
    assert_eq!(gateway.event("slow")["reason"], "ok");
}

#[test]
fn a_client_that_leaves_gives_its_room_back() {
    let origin = Origin::scripted(|_| {
        let head = format!("HTTP/1.1 200 OK\r\n{TEXT}Content-Length: 50000\r\n\r\n");
        vec![
            Step::text(head),
            Step::Send(filler(40_000)),
            Step::Gate("never"),
        ]
    });
    let gateway = Gateway::start(&plan(&origin, ""));
    let mut conn = Conn::open(gateway.http);
    conn.write(get("/held", &id("gone")));
    until("it is held", || {
        (gateway.metric("palisade_response_bytes_held", &[]) >= 40_000.0).then_some(())
    });
    drop(conn);
    assert_eq!(gateway.event("gone")["reason"], "client_gone");
    all_is_given_back(&gateway);
}

/// The rules that come along, each with a text it is for; and texts that only talk of such things.
#[test]
fn leaks_of_applications_are_stopped_and_talk_of_them_is_not() {
    let leaks = [
        (
            9001,
            "Uncaught mysqli_sql_exception: You have an error in your SQL syntax; check the manual",
        ),
        (9002, "ERROR:  syntax error at or near \"'\" LINE 1: SELECT"),
        (
            9002,
            "PG::UndefinedTable: ERROR: relation \"x\" does not exist",
        ),
        (9003, "sqlite3.OperationalError: near \"x\": syntax error"),
        (
            9003,
            "SQLite3::query(): Unable to prepare statement: 1, near \"''\": syntax error",
        ),
        (9004, "ORA-01756: quoted string not properly terminated"),
        (
            9005,
            "Unclosed quotation mark after the character string ''.",
        ),
        (9006, "SQLSTATE[42000]: Syntax error or access violation"),
        (9006, "sqlalchemy.exc.ProgrammingError: (pymysql.err.X)"),
        (
            9011,
            "Traceback (most recent call last):\n  File \"/srv/app.py\", line 3, in index",
        ),
        (
            9012,
            "java.lang.NullPointerException\n\tat org.example.shop.Cart.total(Cart.java:42)",
        ),
        (
            9012,
            "\tat java.base/java.lang.Thread.run(Unknown Source)\n\tat com.a.b.C.d(Native Method)",
        ),
        (
            9013,
            "   at Shop.Cart.Total(Int32 n) in C:\\src\\Cart.cs:line 7",
        ),
        (
            9014,
            "<b>Warning</b>:  Undefined variable $x in <b>/var/www/html/a.php</b> on line <b>3</b>",
        ),
        (
            9015,
            "TypeError: x is undefined\n    at Object.<anonymous> (/srv/app/index.js:3:9)",
        ),
        (9015, "    at node:internal/process/task_queues:95:5"),
        (9016, "/srv/app/models/cart.rb:7:in `total'"),
        (9016, "goroutine 1 [running]:\nmain.main()"),
        (
            9021,
            "root:x:0:0:root:/root:/bin/bash\ndaemon:x:1:1::/usr/sbin:/usr/sbin/nologin",
        ),
        (
            9002,
            "{\"error\":\"ERROR:  syntax error at or near \\\"x\\\"\"}",
        ),
        (9003, "<pre>near &quot;x&quot;: syntax error</pre>"),
        (
            9011,
            "{\"trace\":\"Traceback (most recent call last):\\n  File \\\"/srv/app.py\\\", line 3\"}",
        ),
        (
            9012,
            "{\"trace\":\"Error\\n\\tat org.example.shop.Cart.total(Cart.java:42)\"}",
        ),
        (
            9014,
            "{\"m\":\"Warning: Undefined variable $x in \\/var\\/www\\/a.php on line 3\"}",
        ),
        (
            9015,
            "{\"stack\":\"TypeError: x\\n    at f (\\u002fsrv)\\n    at g (/srv/a.js:3:9)\"}",
        ),
        (9022, "-----BEGIN PRIVATE\u{20}KEY-----\nMIIEvQ"),
        (
            9022,
            "{\"key\":\"-----BEGIN RSA PRIVATE\u{20}KEY-----\\nMIIEow\"}",
        ),
        (9022, "-----BEGIN OPENSSH PRIVATE\u{20}KEY-----\nb3Bl"),
        (9023, "<html><head><title>Index of /backup/</title></head>"),
        (9024, "<title>PHP 8.3.6 - phpinfo()</title>"),
    ];
    let harmless = [
        "How to fix an error in SQL: the syntax of SELECT is easy, near the end of the page.",
        "The index of refraction. Title: Index of authors. <title>Index of authors</title>",
        "Warning: this product is hot. Fatal errors are rare, they say, in PHP as well.",
        "We meet at the corner (Main.java is a cafe) at 10:30:00, or at Cafe.de.Paris(2nd floor).",
        "Our traceback of the parcel: most recent call last Monday; see goroutine in the glossary.",
        "{\"error\": \"validation\", \"field\": \"near\", \"line\": 7, \"at\": \"2026-01-01T10:00:00Z\"}",
        "user:x:1000:1000::/home:/bin/sh is how a line looks; root is the first. Call 0:0 a draw.",
        "<script src=\"/static/app.js?v=3:9\"></script> at https://example.test/a.js:10 he said",
        "-----BEGIN PUBLIC KEY-----\nMIIB\n-----END PUBLIC KEY-----",
        "-----BEGIN CERTIFICATE-----\nMIID and a private key -----BEGIN A PRIVATE LETTER-----",
        "Dear PHP: phpinfo() prints settings. <title>How phpinfo() works</title>",
        "ORA is a prefix; SQLSTATE 42000 is a code; SQLite and PostgreSQL are databases.",
    ];
    let all: Vec<_> = leaks.iter().map(|(_, text)| (*text).to_owned()).collect();
    let plain: Vec<_> = harmless.iter().map(|text| (*text).to_owned()).collect();
    let origin = Origin::scripted(move |seen| {
        let number: usize = seen.target[2..].parse().unwrap();
        let texts = if seen.target.starts_with("/l") {
            &all
        } else {
            &plain
        };
        vec![Step::Send(answer(200, TEXT, texts[number].as_bytes()))]
    });
    let rules = std::fs::read(certs::root().join("policies/answers/leaks.yaml")).unwrap();
    let check = "{check: waf, rules: [answers/*.yaml]}";
    let plan = Plan::checked(origin.address, check).file("answers/leaks.yaml", rules.clone());
    let gateway = Gateway::start(&plan);
    for (number, (rule, text)) in leaks.iter().enumerate() {
        let name = format!("leak-{number}");
        let seen = exchange(gateway.http, get(&format!("/l{number}"), &id(&name)));
        assert_eq!(seen.status, 403, "{rule}: {text}");
        let event = gateway.event(&name);
        let found = event["rules"].as_array().unwrap();
        assert!(
            found.iter().any(|found| found["id"] == *rule),
            "{rule}: {event}"
        );
    }
    let text = String::from_utf8(rules).unwrap();
    let ids = text
        .lines()
        .filter_map(|line| line.trim().strip_prefix("- id: "));
    for rule in ids.map(|rule| rule.parse::<u64>().unwrap()) {
        assert!(
            leaks.iter().any(|(known, _)| *known == rule),
            "{rule} has no case"
        );
    }
    for (number, text) in harmless.iter().enumerate() {
        let seen = exchange(gateway.http, get(&format!("/h{number}"), ""));
        assert_eq!((seen.status, seen.text().as_str()), (200, *text));
    }
}

/// An application that knows ranges: the first half of the leak is the part, or what it was asked for is the whole.
fn in_parts() -> Origin {
    Origin::scripted(|seen| {
        let kind = if seen.target.starts_with("/film") {
            "Content-Type: video/mp4\r\n"
        } else if seen.target.starts_with("/several") {
            "Content-Type: multipart/byteranges; boundary=x\r\n"
        } else {
            TEXT
        };
        let reply = match seen.header("range") {
            Some(_) => answer(206, kind, &LEAK.as_bytes()[..20]),
            None => answer(200, kind, LEAK.as_bytes()),
        };
        vec![Step::Send(reply)]
    })
}

#[test]
fn a_leak_in_parts_is_refused_stripped_or_allowed() {
    let origin = in_parts();
    let status = |gateway: &Gateway, path: &str, name: &str| {
        let more = format!("Range: bytes=0-19\r\nIf-Range: \"a\"\r\n{}", id(name));
        exchange(gateway.http, get(path, &more)).status
    };
    let gateway = Gateway::start(&plan(&origin, ""));
    for path in ["/text", "/several"] {
        assert_eq!(status(&gateway, path, &path[1..]), 502, "{path}");
        assert_eq!(gateway.event(&path[1..])["reason"], "response_unread");
    }
    assert_eq!(status(&gateway, "/film", "film"), 206);

    let gateway = Gateway::start(&plan(&origin, ", response: {ranges: strip}"));
    assert_eq!(status(&gateway, "/text", "whole"), 403);
    assert_eq!(gateway.event("whole")["reason"], "waf_response");
    let asked = origin.last();
    assert_eq!(
        (asked.header("range"), asked.header("if-range")),
        (None, None)
    );

    let gateway = Gateway::start(&plan(&origin, ", response: {ranges: allow}"));
    assert_eq!(status(&gateway, "/text", "part"), 206);

    let gateway = Gateway::start(&plan(&origin, ", mode: observe"));
    assert_eq!(status(&gateway, "/text", "seen"), 206);
    assert_eq!(
        gateway.event("seen")["would_by"][0]["reason"],
        "response_unread"
    );
}

const FORM: &str = "Content-Type: application/x-www-form-urlencoded\r\n";

#[test]
fn a_compressed_attack_is_refused_and_a_clean_body_arrives_as_it_was() {
    let origin = Origin::start();
    let gateway = Gateway::start(&plan(&origin, ""));
    let send = |coding: &str, body: &[u8]| {
        let more = format!("{FORM}Content-Encoding: {coding}\r\n");
        exchange(gateway.http, post("/form", &more, body)).status
    };
    let attack = gzip(b"a=1&q=1+union select+2");
    assert_eq!(send("gzip", &attack), 403);
    assert_eq!(send("gzip, gzip", &gzip(&attack)), 403);
    assert_eq!(origin.count(), 0);
    let clean = gzip(b"a=1&q=hello");
    assert_eq!(send("gzip", &clean), 200);
    let seen = origin.last();
    assert_eq!((seen.body, seen.complete), (clean, true));
    assert!(
        seen.headers
            .iter()
            .any(|(name, value)| name.eq_ignore_ascii_case("content-encoding") && value == "gzip")
    );
}

#[test]
fn bombs_and_what_does_not_open_never_reach_the_application() {
    let origin = Origin::start();
    let gateway = Gateway::start(&plan(&origin, ""));
    let bomb = gzip(&vec![b'a'; 50 << 20]);
    let honest = gzip(b"a=1");
    let cases: [(&str, &[u8], u16, &str); 6] = [
        ("gzip", &bomb, 413, "body_expansion"),
        ("gzip, gzip", &gzip(&bomb), 413, "body_expansion"),
        ("gzip", &honest[..12], 400, "body_unparsable"),
        ("br", b"a=1&b=2", 400, "body_unparsable"),
        ("compress", &honest, 415, "body_encoding"),
        ("gzip, gzip, gzip", &honest, 415, "body_encoding"),
    ];
    for (coding, body, status, reason) in cases {
        let more = format!("{FORM}Content-Encoding: {coding}\r\n");
        let seen = exchange(gateway.http, post("/form", &more, body));
        assert_eq!(seen.status, status, "{coding}");
        assert!(seen.text().contains(reason), "{coding}: {}", seen.text());
    }
    assert_eq!(origin.count(), 0);
    assert!(gateway.rss() < 200 << 10);
}

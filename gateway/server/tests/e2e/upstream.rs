//! Applications that misbehave: down, slow, broken, early, chatty. One client never gets another one's answer.

use std::net::{Ipv4Addr, TcpListener};

use crate::support::origin::{answer, ok};
use crate::support::ports::Port;
use crate::support::raw::{get, post};
use crate::support::{Conn, Gateway, Origin, Plan, Step, exchange};

#[test]
fn a_dead_upstream_is_502() {
    let port = Port::take();
    let gateway = Gateway::start(&Plan::open(port.address()));
    let answer = exchange(gateway.http, get("/", "X-Request-ID: dead\r\n"));
    assert_eq!(answer.status, 502);
    assert_eq!(
        answer.header("content-type"),
        Some("application/problem+json")
    );
    assert_eq!(gateway.event("dead")["reason"], "upstream_unreachable");
}

#[test]
fn a_slow_upstream_is_504() {
    let origin = Origin::scripted(|_| vec![Step::Gate("never")]);
    let plan = Plan::bare()
        .upstream(
            "app",
            &format!(
                "{{servers: [\"{}\"], timeouts: {{read: 500ms}}}}",
                origin.address
            ),
        )
        .route("{name: all, match: {path: \"/*\"}, to: app, public: test}");
    let gateway = Gateway::start(&plan);
    assert_eq!(
        exchange(gateway.http, get("/", "X-Request-ID: slow\r\n")).status,
        504
    );
    assert_eq!(gateway.event("slow")["reason"], "upstream_timeout");
    // One try only: the application may have acted on the first.
    assert_eq!(origin.count(), 1);
}

#[test]
fn nonsense_from_upstream_is_502_and_never_shown() {
    for nonsense in [
        "this is not HTTP\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
        "HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\nBad Header: 1\r\nContent-Length: 5\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\nX: a\0b\r\nContent-Length: 5\r\n\r\nhello",
        "HTTP/1.1 2000 OK\r\nContent-Length: 0\r\n\r\n",
        "",
    ] {
        let origin = Origin::scripted(move |_| vec![Step::text(nonsense), Step::Close]);
        let gateway = Gateway::start(&Plan::open(origin.address));
        let answer = exchange(gateway.http, get("/", ""));
        assert_eq!(answer.status, 502, "{nonsense:?}");
        assert!(!answer.text().contains("hello"), "{nonsense:?}");
    }
}

#[test]
fn an_answer_with_two_framings_does_not_put_the_client_out_of_step() {
    let origin = Origin::scripted(|seen| {
        if seen.target == "/after" {
            return vec![Step::Send(ok("after"))];
        }
        vec![Step::text(
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n5\r\nhello\r\n0\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\npoisoned",
        )]
    });
    let gateway = Gateway::start(&Plan::open(origin.address));
    let first = exchange(gateway.http, get("/both", ""));
    assert!(
        first.status == 502 || first.text() == "hello",
        "{} {}",
        first.status,
        first.text()
    );
    for _ in 0..5 {
        assert_eq!(exchange(gateway.http, get("/after", "")).text(), "after");
    }
}

#[test]
fn an_answer_that_breaks_off_is_not_passed_off_as_whole() {
    let origin = Origin::scripted(|seen| match seen.target.as_str() {
        "/length" => vec![
            Step::text("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\npart"),
            Step::Close,
        ],
        _ => vec![
            Step::text("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\npart\r\n"),
            Step::Close,
        ],
    });
    let gateway = Gateway::start(&Plan::open(origin.address));
    for path in ["/length", "/chunked"] {
        let mut conn = Conn::open(gateway.http);
        conn.write(get(path, ""));
        assert!(
            conn.response()
                .is_none_or(|answer| !answer.complete || answer.status == 502),
            "{path}"
        );
    }
}

#[test]
fn nothing_is_sent_twice_once_a_body_has_begun() {
    let origin = Origin::scripted(|_| vec![Step::ReadBody, Step::Close]);
    let gateway = Gateway::start(&Plan::open(origin.address));
    assert_eq!(
        exchange(gateway.http, post("/pay", "", b"amount=1")).status,
        502
    );
    assert_eq!(origin.count(), 1);
}

#[test]
fn a_server_that_refuses_connections_is_passed_over() {
    let dead = Port::take();
    let origin = Origin::start();
    let plan = Plan::bare()
        .upstream(
            "app",
            &format!(
                "{{servers: [\"{}\", \"{}\"], retries: 2}}",
                dead.address(),
                origin.address
            ),
        )
        .route("{name: all, match: {path: \"/*\"}, to: app, public: test}");
    let gateway = Gateway::start(&plan);
    for number in 0..10 {
        let reply = exchange(gateway.http, post(&format!("/{number}"), "", b"once"));
        assert_eq!(reply.status, 200);
    }
    assert_eq!(origin.count(), 10);
    assert!(origin.seen().iter().all(|seen| seen.body == b"once"));
}

/// The application answers before it has read the body and keeps the connection: what is left of the body must not
/// be read as the next client's request.
#[test]
fn early_answers_never_poison_a_connection() {
    let origin = Origin::scripted(|seen| match seen.target.as_str() {
        "/early" => vec![Step::Send(answer(401, "", b"early"))],
        _ => vec![Step::ReadBody, Step::Send(ok(&seen.target))],
    });
    let gateway = Gateway::start(&Plan::open(origin.address));
    let hidden = "GET /smuggled HTTP/1.1\r\nHost: app.test\r\n\r\n".repeat(2000);
    for round in 0..10 {
        let mut conn = Conn::open(gateway.http);
        conn.write(format!(
            "POST /early HTTP/1.1\r\nHost: app.test\r\nContent-Length: {}\r\n\r\n",
            hidden.len()
        ));
        conn.write(&hidden[..44]);
        let early = conn.response();
        assert!(early.is_none_or(|answer| answer.status == 401));
        conn.write(&hidden[44..]);
        let target = format!("/next-{round}");
        assert_eq!(exchange(gateway.http, get(&target, "")).text(), target);
    }
    assert!(origin.seen().iter().all(|seen| seen.target != "/smuggled"));
}

#[test]
fn huge_answer_headers_are_refused() {
    let origin = Origin::scripted(|_| {
        let field = format!("X-Large: {}\r\n", "z".repeat(60_000)).repeat(40);
        vec![Step::Send(answer(200, &field, b"hello")), Step::Close]
    });
    let gateway = Gateway::start(&Plan::open(origin.address));
    assert_eq!(exchange(gateway.http, get("/", "")).status, 502);
}

#[test]
fn floods_of_interim_answers_end() {
    let origin = Origin::scripted(|seen| {
        if seen.target == "/calm" {
            return vec![Step::Send(ok("calm"))];
        }
        let mut steps: Vec<Step> = (0..2_000)
            .map(|_| Step::text("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n".repeat(50)))
            .collect();
        steps.push(Step::Send(ok("late")));
        steps
    });
    let gateway = Gateway::start(&Plan::open(origin.address));
    let mut conn = Conn::open(gateway.http);
    conn.write(get("/", ""));
    let mut interim = 0;
    let last = loop {
        match conn.response() {
            Some(answer) if (100..200).contains(&answer.status) => interim += 1,
            other => break other,
        }
    };
    assert!(last.is_none_or(|answer| answer.status == 200 || answer.status == 502));
    assert!(interim <= 100_000);
    assert_eq!(exchange(gateway.http, get("/calm", "")).text(), "calm");
}

/// Two clients at the same time on one upstream connection pool: everyone gets the answer to the own question.
#[test]
fn answers_never_change_places_under_load() {
    let origin = Origin::scripted(|seen| vec![Step::ReadBody, Step::Send(ok(&seen.target))]);
    let gateway = Gateway::start(&Plan::open(origin.address));
    std::thread::scope(|scope| {
        for client in 0..8 {
            let gateway = &gateway;
            scope.spawn(move || {
                let mut conn = Conn::open(gateway.http);
                for number in 0..100 {
                    let target = format!("/{client}/{number}");
                    conn.write(get(&target, ""));
                    assert_eq!(conn.response().unwrap().text(), target);
                }
            });
        }
    });
    assert_eq!(origin.count(), 800);
}

#[test]
fn an_upstream_over_tls_is_verified() {
    use crate::support::certs;
    use crate::support::tools::{Served, program};
    let port = Port::take();
    let child = program("openssl")
        .args([
            "s_server",
            "-quiet",
            "-www",
            "-accept",
            &format!("127.0.0.1:{}", port.number),
            "-cert",
        ])
        .arg(certs::file("server.pem"))
        .arg("-key")
        .arg(certs::file("server.key"))
        .spawn()
        .unwrap();
    let _server = Served::started(child);
    crate::support::until("openssl listens", || {
        TcpListener::bind((Ipv4Addr::LOCALHOST, port.number))
            .is_err()
            .then_some(())
    });
    let strangers = tempfile::tempdir().unwrap();
    certs::make(strangers.path());
    let group = |tls: &str| {
        Plan::bare()
            .upstream(
                "app",
                &format!("{{servers: [\"127.0.0.1:{}\"], tls: {tls}}}", port.number),
            )
            .route("{name: all, match: {path: \"/*\"}, to: app, public: test}")
    };
    for (name, ca, expected) in [
        ("app.test", certs::file("ca.pem"), 200),
        ("wrong.test", certs::file("ca.pem"), 502),
        (
            "app.test",
            strangers.path().join("ca.pem").display().to_string(),
            502,
        ),
    ] {
        let gateway = Gateway::start(&group(&format!("{{sni: {name}, ca: {ca}}}")));
        assert_eq!(
            exchange(gateway.http, get("/", "Connection: close\r\n")).status,
            expected,
            "{name} {ca}"
        );
    }
}

//! The body gate: a refused request never reaches the origin, an allowed one arrives byte by byte.

use crate::support::origin::Seen;
use crate::support::raw::{post, post_chunked};
use crate::support::tools::{fed, program};
use crate::support::{Conn, Gateway, Origin, Plan, certs, exchange, until};

const ATTACK: &str = "q=1%27+UNION+SELECT+password+FROM+users--+-&b=<script>alert(1)</script>";
const FORM: &str = "Content-Type: application/x-www-form-urlencoded\r\n";
const TEXT: &str = "Content-Type: application/octet-stream\r\n";

fn plan(origin: &Origin) -> Plan {
    Plan::new(origin.address)
        .check(
            "scan",
            "{check: waf, rules: [waf/*.yaml], body: {inspect: 4MiB}}",
        )
        .route("{name: all, match: {path: \"/*\"}, to: app, use: [scan], public: test}")
        .tls()
        .rules()
}

fn filler(size: usize) -> Vec<u8> {
    (0..size).map(|n| b'a' + (n % 23) as u8).collect()
}

/// A form with the attack at its very end.
fn late_attack(size: usize) -> Vec<u8> {
    let mut body = b"pad=".to_vec();
    body.extend(filler(size));
    body.extend_from_slice(b"&");
    body.extend_from_slice(ATTACK.as_bytes());
    body
}

#[test]
fn refused_known_length_never_reaches_the_origin() {
    let origin = Origin::start();
    let gateway = Gateway::start(&plan(&origin));
    for size in [0, 1_000, 70_000, 120_000] {
        let answer = exchange(gateway.http, post("/f", FORM, &late_attack(size)));
        assert_eq!(answer.status, 403, "{size}");
    }
    assert_eq!((origin.count(), origin.connections()), (0, 0));
    let event = gateway.refused_for("waf_blocked");
    assert_eq!(
        (event["action"].as_str(), event["check"].as_str()),
        (Some("deny"), Some("scan"))
    );
    assert!(!event["rules"].as_array().unwrap().is_empty());
}

#[test]
fn refused_unknown_length_up_to_64_kib_never_reaches_the_origin() {
    let origin = Origin::start();
    let gateway = Gateway::start(&plan(&origin));
    for size in [0, 1_000, 60_000] {
        let answer = exchange(
            gateway.http,
            post_chunked("/f", FORM, &late_attack(size), 4096),
        );
        assert_eq!(answer.status, 403, "{size}");
    }
    assert_eq!((origin.count(), origin.connections()), (0, 0));
}

#[test]
fn refused_unknown_length_above_sends_no_body_byte() {
    let origin = Origin::start();
    let gateway = Gateway::start(&plan(&origin));
    let answer = exchange(
        gateway.http,
        post_chunked("/f", FORM, &late_attack(110_000), 8192),
    );
    assert_eq!(answer.status, 403);
    assert!(
        origin
            .seen()
            .iter()
            .all(|seen| seen.body.is_empty() && !seen.complete)
    );
}

#[test]
fn allowed_bodies_arrive_unchanged_in_every_framing() {
    let origin = Origin::start();
    let gateway = Gateway::start(&plan(&origin));
    for size in [0, 1, 5_000, 65_535, 65_536, 65_537, 200_000, 3_000_000] {
        let body = filler(size);
        assert_eq!(
            exchange(gateway.http, post("/k", TEXT, &body)).status,
            200,
            "{size}"
        );
        assert!(
            origin.last().body == body && origin.last().complete,
            "known {size}"
        );
        assert_eq!(
            exchange(gateway.http, post_chunked("/u", TEXT, &body, 7_001)).status,
            200,
            "{size}"
        );
        assert!(
            origin.last().body == body && origin.last().complete,
            "unknown {size}"
        );
    }
}

#[test]
fn the_gate_holds_over_http2() {
    let origin = Origin::start();
    let gateway = Gateway::start(&plan(&origin));
    let url = format!("https://localhost:{}/h2", gateway.tls.port());
    let curl = |arguments: &[&str], body: &[u8]| {
        let output = fed(
            program("curl")
                .args([
                    "-sS",
                    "--http2",
                    "--max-time",
                    "120",
                    "-o",
                    "/dev/null",
                    "-w",
                    "%{http_code}",
                    "--cacert",
                ])
                .arg(certs::file("ca.pem"))
                .args(arguments)
                .arg(&url),
            body,
        );
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let form = "Content-Type: application/x-www-form-urlencoded";
    // --data-binary declares the length, -T - does not.
    assert_eq!(
        curl(&["-H", form, "--data-binary", "@-"], &late_attack(90_000)),
        "403"
    );
    assert_eq!(
        curl(&["-H", form, "-X", "POST", "-T", "-"], &late_attack(20_000)),
        "403"
    );
    assert_eq!(origin.count(), 0);
    assert_eq!(
        curl(
            &["-H", form, "-X", "POST", "-T", "-"],
            &late_attack(110_000)
        ),
        "403"
    );
    assert!(origin.seen().iter().all(|seen| seen.body.is_empty()));
    let text = "Content-Type: application/octet-stream";
    for size in [10, 65_536, 400_000, 3_000_000] {
        let body = filler(size);
        assert_eq!(
            curl(&["-H", text, "--data-binary", "@-"], &body),
            "200",
            "{size}"
        );
        assert!(origin.last().body == body, "known {size}");
        assert_eq!(
            curl(&["-H", text, "-X", "POST", "-T", "-"], &body),
            "200",
            "{size}"
        );
        assert!(origin.last().body == body, "unknown {size}");
    }
}

#[test]
fn expect_100_is_answered_by_the_gateway_where_it_holds_the_body() {
    let origin = Origin::start();
    let gateway = Gateway::start(&plan(&origin));
    for (body, status) in [(b"q=hello".to_vec(), 200), (late_attack(10), 403)] {
        let mut conn = Conn::open(gateway.http);
        conn.write(format!(
            "POST /e HTTP/1.1\r\nHost: app.test\r\n{FORM}Content-Length: {}\r\nExpect: 100-continue\r\n\r\n",
            body.len()
        ));
        assert_eq!(conn.response().unwrap().status, 100);
        assert_eq!(origin.count(), 0);
        conn.write(&body);
        assert_eq!(conn.response().unwrap().status, status);
        if status == 200 {
            assert_eq!(origin.last().body, body);
            assert_eq!(origin.count(), 1);
            break;
        }
    }
    let mut conn = Conn::open(gateway.http);
    let body = late_attack(10);
    conn.write(format!(
        "POST /e HTTP/1.1\r\nHost: app.test\r\n{FORM}Content-Length: {}\r\nExpect: 100-continue\r\n\r\n",
        body.len()
    ));
    assert_eq!(conn.response().unwrap().status, 100);
    conn.write(&body);
    assert_eq!(conn.response().unwrap().status, 403);
    assert_eq!(origin.count(), 1);
}

#[test]
fn bodies_over_the_maximum_are_refused_with_413() {
    let origin = Origin::start();
    let plan = Plan::new(origin.address)
        .check("small", "{check: size, request: 1KiB}")
        .route("{name: all, match: {path: \"/*\"}, to: app, use: [small], public: test}");
    let gateway = Gateway::start(&plan);
    assert_eq!(
        exchange(gateway.http, post("/ok", TEXT, &filler(1024))).status,
        200
    );
    assert_eq!(
        exchange(gateway.http, post_chunked("/ok", TEXT, &filler(1024), 100)).status,
        200
    );
    assert_eq!(origin.count(), 2);
    assert_eq!(
        exchange(gateway.http, post("/big", TEXT, &filler(1025))).status,
        413
    );
    assert_eq!(origin.count(), 2);
    assert_eq!(
        exchange(gateway.http, post_chunked("/big", TEXT, &filler(5000), 100)).status,
        413
    );
    assert!(
        origin
            .seen()
            .iter()
            .all(|seen| seen.target != "/big" || !seen.complete)
    );
    assert_eq!(gateway.refused_for("body_too_large")["status"], 413);
    // A declared length is refused before a byte of the body is read.
    let mut conn = Conn::open(gateway.http);
    conn.write("POST /big HTTP/1.1\r\nHost: app.test\r\nContent-Length: 99999999999\r\n\r\n");
    assert_eq!(conn.response().unwrap().status, 413);
    assert!(conn.closes());
}

#[test]
fn a_refused_upload_never_leaves_a_connection_out_of_step() {
    let origin = Origin::start();
    let gateway = Gateway::start(&plan(&origin));
    let mut conn = Conn::open(gateway.http);
    // The rest of this body looks like a request: it must never be taken for one.
    conn.write("POST /big HTTP/1.1\r\nHost: app.test\r\nContent-Length: 99999999999\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: app.test\r\n\r\n");
    assert_eq!(conn.response().unwrap().status, 413);
    assert!(conn.closes());
    assert_eq!(origin.count(), 0);
}

#[test]
fn a_body_that_breaks_off_never_reaches_the_origin() {
    let origin = Origin::start();
    let gateway = Gateway::start(&plan(&origin));
    let mut conn = Conn::open(gateway.http);
    conn.write(format!("POST /cut HTTP/1.1\r\nHost: app.test\r\nX-Request-ID: cut\r\n{FORM}Content-Length: 500\r\n\r\nq=half"));
    conn.finish();
    let _ = conn.rest();
    let event = gateway.event("cut");
    assert!(
        event["reason"] == "body_broken" || event["reason"] == "client_gone",
        "{event}"
    );
    assert_eq!(origin.count(), 0);
}

#[test]
fn memory_for_held_bodies_is_capped_in_total() {
    let origin = Origin::start();
    let gateway = Gateway::start(&plan(&origin).top("limits: {held_body_total: 256KiB}"));
    // Two clients hold most of the room with bodies that do not end yet.
    let part = filler(110_000);
    let mut held: Vec<Conn> = (0..2)
        .map(|_| {
            let mut conn = Conn::open(gateway.http);
            conn.write(format!(
                "POST /held HTTP/1.1\r\nHost: app.test\r\n{TEXT}Content-Length: 110001\r\n\r\n"
            ));
            conn.write(&part);
            conn
        })
        .collect();
    until("both are held", || {
        (gateway.metric("palisade_body_bytes_held", &[]) >= 200_000.0).then_some(())
    });
    let answer = exchange(gateway.http, post("/third", TEXT, &part));
    assert_eq!(answer.status, 503);
    assert_eq!(gateway.refused_for("overload")["status"], 503);
    for conn in &mut held {
        conn.write("z");
        assert_eq!(conn.response().unwrap().status, 200);
    }
    until("the room is free again", || {
        (gateway.metric("palisade_body_bytes_held", &[]) == 0.0).then_some(())
    });
    assert_eq!(
        exchange(gateway.http, post("/fourth", TEXT, &part)).status,
        200
    );
}

/// Where there is no room to read anything for a check that only observes, the client is told to go on once.
#[test]
fn who_waits_for_100_is_told_once_when_there_is_no_room() {
    let origin = Origin::start();
    let plan = Plan::new(origin.address)
        .check("scan", "{check: waf, rules: [waf/*.yaml], mode: observe}")
        .top("limits: {held_body_total: 256KiB}")
        .route("{name: all, match: {path: \"/*\"}, to: app, use: [scan], public: test}")
        .rules();
    let gateway = Gateway::start(&plan);
    let room = 256 << 10;
    let mut holder = Conn::open(gateway.http);
    holder.write(format!(
        "POST /held HTTP/1.1\r\nHost: app.test\r\n{TEXT}Content-Length: {}\r\n\r\n",
        room + 1
    ));
    holder.write(filler(room));
    until("all room is taken", || {
        (gateway.metric("palisade_body_bytes_held", &[]) >= 262_144.0).then_some(())
    });
    let mut conn = Conn::open(gateway.http);
    conn.write(format!(
        "POST /e HTTP/1.1\r\nHost: app.test\r\n{TEXT}Content-Length: 5\r\nExpect: 100-continue\r\n\r\n"
    ));
    assert_eq!(conn.response().unwrap().status, 100);
    conn.write("hello");
    assert_eq!(conn.response().unwrap().status, 200);
    assert_eq!(origin.last().body, b"hello");
    holder.write("z");
    assert_eq!(holder.response().unwrap().status, 200);
}

/// Checks that only observe, or let pass what they cannot read, take nothing from what they asked for.
#[test]
fn what_a_check_read_and_let_pass_arrives_whole() {
    let origin = Origin::start();
    let plan = Plan::new(origin.address)
        .check(
            "scan",
            "{check: waf, rules: [waf/*.yaml], mode: observe, body: {max: 1MiB}}",
        )
        .check(
            "form",
            "{check: csrf, secret: csrf, bound: false, field: form.csrf, mode: observe}",
        )
        .check(
            "later",
            "{check: waf, rules: [waf/*.yaml], body: {max: 4MiB, inspect: 4MiB}}",
        )
        .top("secrets:\n  csrf: {env: PALISADE_TEST_CSRF}")
        .env("PALISADE_TEST_CSRF", "a secret of more than thirty-two bytes, used in tests")
        .top("limits: {held_body_total: 8MiB}")
        .route("{name: both, match: {path: /both}, to: app, use: [form, later], max_body: 4MiB, public: test}")
        .route("{name: all, match: {path: \"/*\"}, to: app, use: [scan], max_body: 20MiB, public: test}")
        .rules();
    let gateway = Gateway::start(&plan);
    // Longer than the check may have, and longer than there is room for.
    for size in [1_500_000, 12_000_000] {
        let body = filler(size);
        let chunked = exchange(gateway.http, post_chunked("/up", TEXT, &body, 16_000));
        assert_eq!(chunked.status, 200, "{size}");
        assert!(
            origin.last().complete && origin.last().body == body,
            "{size}, chunked"
        );
        let declared = exchange(gateway.http, post("/up", TEXT, &body));
        assert_eq!(declared.status, 200, "{size}");
        assert!(
            origin.last().complete && origin.last().body == body,
            "{size}, declared"
        );
    }
    // One that wants little does not cost the next one what it wants.
    let form = late_attack(200_000);
    let before = origin.count();
    let refused = exchange(gateway.http, post_chunked("/both", FORM, &form, 16_000));
    assert_eq!((refused.status, origin.count()), (403, before));
    gateway.refused_for("waf_blocked");
    let honest = [b"pad=".to_vec(), filler(200_000)].concat();
    let passed = exchange(gateway.http, post_chunked("/both", FORM, &honest, 16_000));
    assert_eq!(passed.status, 200);
    assert!(origin.last().body == honest);
    // What the route itself does not take is refused, whoever observes, and never complete.
    let long = post_chunked("/up", TEXT, &filler(21 << 20), 64_000);
    assert_eq!(exchange(gateway.http, long).status, 413);
    let complete = |seen: &&Seen| seen.target == "/up" && seen.complete;
    assert_eq!(origin.seen().iter().filter(complete).count(), 4);
}

/// An upload may be longer than what rules look at: its begin and its end are.
#[test]
fn a_long_upload_passes_and_programs_at_its_ends_do_not() {
    let origin = Origin::start();
    let plan = Plan::new(origin.address)
        .check("scan", "{check: waf, rules: [waf/*.yaml]}")
        .route("{name: all, match: {path: \"/*\"}, to: app, use: [scan], public: test}")
        .rules();
    let gateway = Gateway::start(&plan);
    let upload = |content: &[u8]| {
        let head = b"--B\r\nContent-Disposition: form-data; name=\"f\"; filename=\"a.png\"\r\nContent-Type: image/png\r\n\r\n";
        let body = [head, content, b"\r\n--B--\r\n"].concat();
        let kind = "Content-Type: multipart/form-data; boundary=B\r\n";
        (
            exchange(gateway.http, post("/up", kind, &body)).status,
            body,
        )
    };
    const PROGRAM: &[u8] = b"<?php system($_GET['c']); ?>";
    for size in [900_000, 2 << 20] {
        let picture: Vec<u8> = (0..size).map(|n: usize| (n * 31 % 251) as u8).collect();
        let (status, body) = upload(&picture);
        assert_eq!(status, 200, "{size}: {:?}", gateway.lines().last());
        assert!(origin.last().body == body, "{size}");
        let before = origin.count();
        // And across the place where the begin ends.
        let (one, two) = picture.split_at(picture.len().min(1 << 20) - 120);
        for content in [
            [PROGRAM, &picture].concat(),
            [&picture, PROGRAM].concat(),
            [one, PROGRAM].concat(),
            [&one[..one.len().saturating_sub(1000)], PROGRAM, two].concat(),
        ] {
            assert_eq!(
                (upload(&content).0, origin.count()),
                (403, before),
                "{size}"
            );
        }
    }
}

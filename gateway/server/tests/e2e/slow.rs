//! Slow clients against short deadlines: header, body, reading, idling, handshakes. Nobody else is harmed.

use std::io::{Read, Write};
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use crate::support::raw::{get, post};
use crate::support::{Conn, Gateway, Origin, Plan, Step, exchange, until};

/// Writes one byte now and then until the gateway has had enough; how long that took.
fn drip(conn: &mut Conn, bytes: &[u8]) -> Duration {
    let begun = Instant::now();
    conn.stream
        .set_read_timeout(Some(Duration::from_millis(100)))
        .unwrap();
    for byte in bytes.iter().cycle() {
        let mut answer = [0; 1024];
        let written = conn.stream.write_all(&[*byte]).is_ok();
        let read = conn.stream.read(&mut answer);
        let waiting = matches!(&read, Err(fault) if fault.kind() == std::io::ErrorKind::WouldBlock);
        if !written || !waiting {
            break;
        }
        assert!(
            begun.elapsed() < Duration::from_secs(25),
            "still open after {:?}",
            begun.elapsed()
        );
    }
    begun.elapsed()
}

#[test]
fn a_header_that_drips_meets_its_total_deadline() {
    let origin = Origin::start();
    let gateway = Gateway::start(
        &Plan::open(origin.address)
            .top("limits: {header_deadline: 1s}")
            .tls(),
    );
    let mut conn = Conn::open(gateway.http);
    conn.write("GET / HTTP/1.1\r\nHost: app.test\r\n");
    drip(&mut conn, b"X: y\r\n");
    assert_eq!(gateway.refused_for("header_timeout")["action"], "deny");
    // A client that says nothing at all is let go as well, and so is one that stalls its handshake.
    for address in [gateway.http, gateway.tls] {
        let mut silent = Conn::open(address);
        assert!(silent.closes() || silent.response().is_some());
    }
    assert_eq!(origin.count(), 0);
    assert_eq!(exchange(gateway.http, get("/", "")).status, 200);
}

#[test]
fn a_body_that_drips_meets_its_deadline() {
    let origin = Origin::start();
    let gateway = Gateway::start(&Plan::open(origin.address).top("limits: {body_deadline: 1s}"));
    let mut conn = Conn::open(gateway.http);
    conn.write("POST /slow HTTP/1.1\r\nHost: app.test\r\nContent-Length: 100000\r\n\r\n");
    drip(&mut conn, b"x");
    gateway.refused_for("body_timeout");
    assert!(origin.seen().iter().all(|seen| !seen.complete));
    assert_eq!(
        exchange(gateway.http, post("/fast", "", b"quick")).status,
        200
    );
}

#[test]
fn a_body_under_the_minimum_rate_is_ended() {
    let origin = Origin::start();
    let gateway = Gateway::start(&Plan::open(origin.address).top("limits: {min_body_rate: 64KiB}"));
    let mut conn = Conn::open(gateway.http);
    conn.write("POST /slow HTTP/1.1\r\nHost: app.test\r\nContent-Length: 100000\r\n\r\n");
    let took = drip(&mut conn, b"x");
    assert!(
        took >= Duration::from_secs(8),
        "the first ten seconds are free, ended after {took:?}"
    );
    gateway.refused_for("body_timeout");
}

#[test]
fn an_idle_connection_is_closed() {
    let origin = Origin::start();
    let gateway = Gateway::start(
        &Plan::open(origin.address).top("limits: {idle_timeout: 1s, header_deadline: 20s}"),
    );
    let mut conn = Conn::open(gateway.http);
    conn.write(get("/", ""));
    assert_eq!(conn.response().unwrap().status, 200);
    let begun = Instant::now();
    assert!(conn.closes());
    assert!(
        begun.elapsed() < Duration::from_secs(15),
        "{:?}",
        begun.elapsed()
    );
}

#[test]
fn a_connection_carries_so_many_requests_and_no_more() {
    let origin = Origin::start();
    let gateway =
        Gateway::start(&Plan::open(origin.address).top("limits: {keepalive_requests: 3}"));
    let mut conn = Conn::open(gateway.http);
    for _ in 0..3 {
        assert!(conn.write(get("/", "")));
        assert_eq!(conn.response().unwrap().status, 200);
    }
    assert!(conn.closes());
}

#[test]
fn one_client_has_so_many_connections_and_no_more() {
    let origin = Origin::start();
    let gateway =
        Gateway::start(&Plan::open(origin.address).top("limits: {connections_per_client: 5}"));
    // Not the client that looked whether the gateway listens: how long its connections count is the kernel's business.
    let client = Ipv4Addr::new(127, 0, 0, 7);
    let mut open: Vec<Conn> = (0..5)
        .map(|_| Conn::open_from(client, gateway.http))
        .collect();
    for conn in &mut open {
        conn.write(get("/", ""));
        assert_eq!(conn.response().unwrap().status, 200);
    }
    let mut sixth = Conn::open_from(client, gateway.http);
    sixth.write(get("/", ""));
    assert!(sixth.response().is_none_or(|answer| answer.status == 503));
    drop(open);
    until("there is room again", || {
        let mut conn = Conn::open_from(client, gateway.http);
        conn.write(get("/", ""));
        (conn.response()?.status == 200).then_some(())
    });
}

/// A client that does not read its answer is let go; the gateway does not hold the answer in memory.
#[test]
fn heavy_slow_readers_cost_no_memory() {
    let part = vec![b'x'; 1 << 20];
    let origin = Origin::scripted(move |seen| {
        let mut steps = vec![Step::text(
            "HTTP/1.1 200 OK\r\nContent-Length: 104857600\r\n\r\n",
        )];
        if seen.target == "/large" {
            steps.extend((0..100).map(|_| Step::Send(part.clone())));
        }
        steps.push(Step::Close);
        steps
    });
    let gateway = Gateway::start(&Plan::open(origin.address));
    let quiet = gateway.rss();
    let open: Vec<Conn> = (0..20)
        .map(|_| {
            let mut conn = Conn::open(gateway.http);
            conn.write(get("/large", ""));
            assert_eq!(conn.head().unwrap().status, 200);
            conn
        })
        .collect();
    let grown = gateway.rss().saturating_sub(quiet);
    assert!(
        grown < 100 * 1024,
        "2 GB of answers grew memory by {grown} KiB"
    );
    drop(open);
}

#[test]
fn heavy_unfinished_headers_cost_little_memory() {
    let origin = Origin::start();
    let gateway = Gateway::start(&Plan::open(origin.address).top("limits: {header_deadline: 2m}"));
    assert_eq!(exchange(gateway.http, get("/", "")).status, 200);
    let quiet = gateway.rss();
    let filler = format!("X-Filler: {}\r\n", "y".repeat(8_000)).repeat(110);
    let open: Vec<Conn> = (0..200)
        .map(|_| {
            let mut conn = Conn::open(gateway.http);
            conn.write("GET / HTTP/1.1\r\nHost: app.test\r\n");
            conn.write(&filler);
            conn
        })
        .collect();
    // Every one of them is over the limit of 32 KiB and is refused long before its 900 KB are taken in.
    until("the gateway has refused them", || {
        (gateway.metric("palisade_requests_total", &[("reason", "header_too_large")]) >= 200.0)
            .then_some(())
    });
    let grown = gateway.rss().saturating_sub(quiet);
    assert!(
        grown < 60 * 1024,
        "200 unfinished headers grew memory by {grown} KiB"
    );
    drop(open);
}

#[test]
fn header_limits_are_enforced() {
    let origin = Origin::start();
    let gateway = Gateway::start(
        &Plan::open(origin.address)
            .top("limits: {header_bytes: 4KiB, header_count: 20, uri_length: 1KiB}"),
    );
    assert_eq!(
        exchange(
            gateway.http,
            get("/", &format!("X: {}\r\n", "y".repeat(3000)))
        )
        .status,
        200
    );
    assert_eq!(
        exchange(
            gateway.http,
            get("/", &format!("X: {}\r\n", "y".repeat(5000)))
        )
        .status,
        431
    );
    assert_eq!(
        exchange(
            gateway.http,
            get(
                "/",
                &(0..30).map(|n| format!("X-{n}: y\r\n")).collect::<String>()
            )
        )
        .status,
        431
    );
    assert_eq!(
        exchange(gateway.http, get(&format!("/{}", "z".repeat(1100)), "")).status,
        414
    );
    for reason in ["header_too_large", "uri_too_long"] {
        assert_eq!(gateway.refused_for(reason)["action"], "deny");
    }
    assert_eq!(origin.count(), 1);
}

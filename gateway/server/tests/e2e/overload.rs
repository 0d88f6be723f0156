//! More than the gateway can judge: what waited too long for it is refused, the rest is served. A gateway that is stopped for a
//! while stands in for one that has no time.

use std::thread::sleep;
use std::time::Duration;

use crate::support::origin::answer;
use crate::support::raw::{get, post, post_chunked};
use crate::support::{Conn, Gateway, Origin, Plan, Step, exchange, until};

fn plan(origin: &Origin) -> Plan {
    Plan::open(origin.address).top("limits: {queue: 2s}")
}

/// What happens while the gateway has no time for longer than requests may wait.
fn without_time(gateway: &Gateway, meanwhile: impl FnOnce()) {
    // A connection waits for its next request only some moments after the last answer is here.
    sleep(Duration::from_secs(1));
    gateway.signal("STOP");
    // The signal is on its way before it has arrived.
    until("every thread stands still", || {
        let mut threads = std::fs::read_dir(format!("/proc/{}/task", gateway.id())).unwrap();
        let stands = |thread: std::io::Result<std::fs::DirEntry>| {
            let status = std::fs::read_to_string(thread.unwrap().path().join("status"));
            status.is_ok_and(|status| status.contains("State:\tT"))
        };
        threads.all(stands).then_some(())
    });
    meanwhile();
    sleep(Duration::from_millis(3500));
    gateway.signal("CONT");
}

#[test]
fn who_waited_too_long_is_told_and_keeps_the_connection() {
    let origin = Origin::start();
    let gateway = Gateway::start(&plan(&origin));
    let mut conns: Vec<Conn> = (0..3).map(|_| Conn::open(gateway.http)).collect();
    for conn in &mut conns {
        conn.write(get("/before", ""));
        assert_eq!(conn.response().unwrap().status, 200);
    }
    let body = vec![b'x'; 20_000];
    let mut fresh = None;
    without_time(&gateway, || {
        conns[0].write(get("/waited?a=1", ""));
        conns[1].write(post("/waited", "", &body));
        // Two at once: the second waited as long as the first.
        conns[2].write([get("/waited", ""), get("/waited", "")].concat());
        let mut conn = Conn::open(gateway.http);
        conn.write(get("/waited", ""));
        fresh = Some(conn);
    });
    conns.extend(fresh);
    let mut ids = std::collections::BTreeSet::new();
    for (number, conn) in conns.iter_mut().enumerate() {
        let refused = conn.response().unwrap();
        assert_eq!(refused.status, 503, "connection {number}");
        assert_eq!(refused.header("retry-after"), Some("1"));
        assert_eq!(refused.header("connection"), None);
        assert!(
            refused.text().contains("\"reason\":\"overload\""),
            "{}",
            refused.text()
        );
        let id = refused.header("x-request-id").unwrap();
        assert_eq!(gateway.event(id)["reason"], "overload");
        assert!(ids.insert(id.to_owned()), "the same id twice: {id}");
    }
    // The other of the two came before its connection was ready for it: it waited for the one ahead of it.
    assert_eq!(conns[2].response().unwrap().status, 200);
    for conn in &mut conns {
        conn.write(post("/after", "", b"a=b"));
        assert_eq!(conn.response().unwrap().status, 200);
    }
    let waited = origin
        .seen()
        .iter()
        .filter(|seen| seen.target.starts_with("/waited"))
        .count();
    assert_eq!(waited, 1);
    let told = until("an event for each", || {
        let lines = gateway.lines();
        let told: Vec<_> = lines
            .into_iter()
            .filter(|line| line["reason"] == "overload")
            .collect();
        (told.len() == 4).then_some(told)
    });
    assert!(
        told.iter()
            .all(|line| line["path"] == "/waited" && line["status"] == 503),
        "{told:?}"
    );
    gateway.metric_reaches("palisade_requests_total", &[("reason", "overload")], 4.0);
}

/// The answer to a HEAD announces a body that does not come: what follows is the next answer.
#[test]
fn the_answer_to_a_head_has_no_body() {
    let origin = Origin::start();
    let gateway = Gateway::start(&plan(&origin));
    let mut conn = Conn::open(gateway.http);
    without_time(&gateway, || {
        conn.write("HEAD /waited HTTP/1.1\r\nHost: app.test\r\n\r\n");
    });
    let refused = conn.head().unwrap();
    assert_eq!(refused.status, 503);
    assert_ne!(refused.header("content-length"), Some("0"));
    conn.write(get("/after", ""));
    assert_eq!(conn.response().unwrap().status, 200);
}

#[test]
fn what_is_not_here_as_a_whole_closes_the_connection() {
    let origin = Origin::start();
    let gateway = Gateway::start(&plan(&origin));
    let large = vec![b'x'; 100_000];
    let requests = [
        get("/a", "Connection: close\r\n").into_bytes(),
        post_chunked("/b", "", b"abc", 1),
        post("/c", "", &large),
        b"POST /d HTTP/1.1\r\nHost: app.test\r\nContent-Length: 10\r\n\r\nabc".to_vec(),
    ];
    let mut conns: Vec<Conn> = requests.iter().map(|_| Conn::open(gateway.http)).collect();
    for conn in &mut conns {
        conn.write(get("/before", ""));
        assert_eq!(conn.response().unwrap().status, 200);
    }
    let before = origin.count();
    without_time(&gateway, || {
        for (conn, request) in conns.iter_mut().zip(&requests) {
            conn.write(request);
        }
    });
    for conn in &mut conns {
        let refused = conn.response().unwrap();
        assert_eq!(
            (refused.status, refused.header("connection")),
            (503, Some("close"))
        );
        assert!(conn.closes());
    }
    assert_eq!(origin.count(), before);
}

/// Behind a slow one of its own connection a request does not wait for the gateway.
#[test]
fn a_request_behind_a_slow_one_of_its_own_is_served() {
    let origin = Origin::scripted(|seen| {
        let slow = seen.target == "/slow";
        let answer = Step::Send(answer(200, "", b"ok"));
        if slow {
            vec![Step::Gate("slow"), answer]
        } else {
            vec![answer]
        }
    });
    let gateway = Gateway::start(&plan(&origin));
    let mut conn = Conn::open(gateway.http);
    conn.write([get("/slow", ""), get("/next", "")].concat());
    sleep(Duration::from_millis(3500));
    origin.open("slow");
    for _ in 0..2 {
        assert_eq!(conn.response().unwrap().status, 200);
    }
}

#[test]
fn nobody_is_refused_for_waiting_where_the_policy_says_so() {
    let origin = Origin::start();
    let gateway = Gateway::start(&Plan::open(origin.address).top("limits: {queue: 0s}"));
    let mut conn = Conn::open(gateway.http);
    without_time(&gateway, || {
        conn.write(get("/waited", ""));
    });
    assert_eq!(conn.response().unwrap().status, 200);
    assert_eq!(exchange(gateway.http, get("/", "")).status, 200);
}

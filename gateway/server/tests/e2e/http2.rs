//! HTTP/2 by hand (Python's h2 with its own validation off): malformed requests go nowhere, floods end their own
//! connection and nobody else's.

use std::collections::HashMap;

use serde_json::Value;

use crate::support::raw::get;
use crate::support::tools::{python, stdout};
use crate::support::{Gateway, Origin, Plan, certs, exchange};

fn run(gateway: &Gateway, cases: &[&str]) -> HashMap<String, Value> {
    let port = gateway.tls.port().to_string();
    stdout(
        python("h2_cases.py")
            .args([port.as_str(), &certs::file("ca.pem")])
            .args(cases),
    )
    .lines()
    .map(|line| serde_json::from_str(line).unwrap())
    .map(|seen: Value| (seen["case"].as_str().unwrap().to_owned(), seen))
    .collect()
}

fn statuses(seen: &Value) -> Vec<u64> {
    seen["status"]
        .as_object()
        .unwrap()
        .values()
        .filter_map(Value::as_u64)
        .collect()
}

#[test]
fn harmless_streams_pass() {
    let origin = Origin::start();
    let gateway = Gateway::start(&Plan::open(origin.address).tls());
    let seen = run(
        &gateway,
        &["good", "multiplexed", "body", "body_unknown", "host_same"],
    );
    assert_eq!(statuses(&seen["good"]), [200]);
    assert_eq!(statuses(&seen["multiplexed"]), [200; 30]);
    assert_eq!(statuses(&seen["body"]), [200]);
    assert_eq!(statuses(&seen["body_unknown"]), [200]);
    assert_eq!(statuses(&seen["host_same"]), [200]);
    assert_eq!(origin.count(), 34);
    assert!(
        origin
            .seen()
            .iter()
            .filter(|seen| seen.method == "POST")
            .all(|seen| seen.body.len() == 200_000)
    );
    assert_eq!(gateway.event("h2-good")["status"], 200);
}

#[test]
fn malformed_streams_reach_nobody() {
    let origin = Origin::start();
    let gateway = Gateway::start(&Plan::open(origin.address).tls());
    let cases = [
        "te_chunked",
        "te_gzip",
        "connection",
        "upgrade",
        "keep_alive",
        "crlf_value",
        "lf_value",
        "nul_value",
        "crlf_name",
        "colon_name",
        "space_name",
        "upper_name",
        "host_differs",
        "crlf_path",
        "space_path",
        "empty_path",
        "no_path",
        "no_authority",
        "userinfo",
        "crlf_method",
        "crlf_authority",
        "double_path",
        "double_authority",
        "late_pseudo",
        "unknown_pseudo",
        "connect",
        "length_list",
    ];
    let seen = run(&gateway, &cases);
    let accepted: Vec<_> = cases
        .iter()
        .filter(|case| statuses(&seen[**case]).iter().any(|status| *status < 400))
        .collect();
    assert!(accepted.is_empty(), "accepted: {accepted:?}");
    let heads: Vec<_> = origin
        .seen()
        .iter()
        .map(|seen| String::from_utf8_lossy(&seen.head).into_owned())
        .collect();
    assert!(heads.is_empty(), "{heads:?}");
    assert_eq!(exchange(gateway.http, get("/after", "")).status, 200);
}

#[test]
fn declared_lengths_must_be_true() {
    let origin = Origin::start();
    let gateway = Gateway::start(&Plan::open(origin.address).tls());
    let seen = run(&gateway, &["length_too_small", "length_too_large"]);
    for case in ["length_too_small", "length_too_large"] {
        assert!(
            statuses(&seen[case]).iter().all(|status| *status >= 400),
            "{case}: {}",
            seen[case]
        );
    }
    assert_eq!(exchange(gateway.http, get("/after", "")).text(), "origin");
    for seen in origin.seen() {
        assert!(
            seen.target != "/smuggled" && !String::from_utf8_lossy(&seen.body).contains("smuggled")
        );
        assert!(
            seen.target == "/after" || !seen.complete,
            "a false length arrived as a whole request"
        );
    }
}

#[test]
fn lookalikes_are_refused_or_removed_over_http2_too() {
    let origin = Origin::start();
    let gateway = Gateway::start(&Plan::open(origin.address).tls());
    let seen = run(&gateway, &["lookalike"]);
    assert!(
        statuses(&seen["lookalike"])
            .iter()
            .all(|status| *status >= 400)
            || origin.last().all("transfer_encoding").is_empty()
    );
}

/// Floods that make the server work end with GOAWAY or a closed connection; none of them is noticed by another client.
#[test]
fn heavy_floods_end_their_own_connection() {
    let origin = Origin::start();
    let gateway = Gateway::start(&Plan::open(origin.address).tls());
    assert_eq!(exchange(gateway.http, get("/before", "")).status, 200);
    let quiet = gateway.rss();
    for case in [
        "rapid_reset",
        "made_you_reset",
        "ping_flood",
        "settings_flood",
        "continuation",
    ] {
        let seen = &run(&gateway, &[case])[case];
        let ended = !seen["goaway"].is_null() || seen["closed"] == true;
        // Answering PING and SETTINGS costs no more than sending them: harmless as long as nothing piles up.
        assert!(ended || case.contains("_flood"), "{case} went on: {seen}");
        assert_eq!(
            exchange(gateway.http, get("/after", "")).status,
            200,
            "{case}"
        );
    }
    let grown = gateway.rss().saturating_sub(quiet);
    assert!(grown < 150 * 1024, "memory grew by {grown} KiB");
}

#[test]
fn heavy_header_bombs_are_refused_before_they_unfold() {
    let origin = Origin::start();
    let gateway = Gateway::start(&Plan::open(origin.address).tls());
    assert_eq!(exchange(gateway.http, get("/before", "")).status, 200);
    let quiet = gateway.rss();
    let seen = &run(&gateway, &["hpack_bomb"])["hpack_bomb"];
    let bomb = seen["status"]
        .as_object()
        .unwrap()
        .get("3")
        .and_then(Value::as_u64);
    assert!(
        bomb.is_none_or(|status| status == 431 || status == 400),
        "{seen}"
    );
    let grown = gateway.rss().saturating_sub(quiet);
    assert!(grown < 30 * 1024, "memory grew by {grown} KiB");
    assert_eq!(exchange(gateway.http, get("/after", "")).status, 200);
}

/// A client that never opens its window costs its own streams only.
#[test]
fn a_zero_window_stalls_nobody_else() {
    let origin = Origin::start();
    let gateway = Gateway::start(&Plan::open(origin.address).tls());
    std::thread::scope(|scope| {
        let stalled = scope.spawn(|| run(&gateway, &["zero_window"]));
        for _ in 0..50 {
            assert_eq!(exchange(gateway.http, get("/other", "")).status, 200);
        }
        stalled.join().unwrap();
    });
}

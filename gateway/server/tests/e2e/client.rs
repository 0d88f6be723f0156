//! Who the client is, and what one may say about oneself: forwarded headers, hop-by-hop fields, lookalikes.

use crate::support::raw::get;
use crate::support::{Gateway, Origin, Plan, exchange};

fn client(gateway: &Gateway, id: &str, fields: &str) -> String {
    exchange(
        gateway.http,
        get("/", &format!("X-Request-ID: {id}\r\n{fields}")),
    );
    gateway.event(id)["client"]
        .as_str()
        .unwrap_or_default()
        .to_owned()
}

#[test]
fn without_trusted_proxies_the_peer_is_the_client() {
    let origin = Origin::start();
    let gateway = Gateway::start(&Plan::open(origin.address));
    for (number, fields) in [
        "",
        "X-Forwarded-For: 203.0.113.9\r\n",
        "Forwarded: for=203.0.113.9\r\n",
        "X-Real-IP: 203.0.113.9\r\n",
        "True-Client-IP: 203.0.113.9\r\nCF-Connecting-IP: 203.0.113.9\r\n",
        "X-Forwarded-For: 1.1.1.1\r\nX-Forwarded-For: 2.2.2.2\r\n",
    ]
    .into_iter()
    .enumerate()
    {
        let id = format!("peer-{number}");
        assert_eq!(client(&gateway, &id, fields), "127.0.0.1", "{fields:?}");
        let seen = origin.last();
        assert_eq!(seen.all("x-forwarded-for"), ["127.0.0.1"], "{fields:?}");
        assert!(
            !String::from_utf8_lossy(&seen.head).contains("203.0.113.9") || fields.contains("CF-"),
            "{fields:?}"
        );
    }
}

#[test]
fn the_rightmost_hop_that_is_not_trusted_is_the_client() {
    let origin = Origin::start();
    let gateway = Gateway::start(
        &Plan::open(origin.address)
            .top("trusted_proxies: [127.0.0.0/8, 10.0.0.0/8, \"2001:db8:1::/48\"]"),
    );
    for (number, (fields, expected)) in [
        ("X-Forwarded-For: 203.0.113.9\r\n", "203.0.113.9"),
        ("X-Forwarded-For: 1.1.1.1, 203.0.113.9\r\n", "203.0.113.9"),
        (
            "X-Forwarded-For: 1.1.1.1, 203.0.113.9, 10.1.2.3\r\n",
            "203.0.113.9",
        ),
        (
            "X-Forwarded-For: 1.1.1.1\r\nX-Forwarded-For: 203.0.113.9\r\n",
            "203.0.113.9",
        ),
        (
            "X-Forwarded-For: 203.0.113.9, 10.0.0.1\r\nX-Forwarded-For: 10.0.0.2\r\n",
            "203.0.113.9",
        ),
        ("X-Forwarded-For: ::ffff:203.0.113.9\r\n", "203.0.113.9"),
        ("X-Forwarded-For: 203.0.113.9:4711\r\n", "203.0.113.9"),
        ("X-Forwarded-For: [2001:db8::7]:4711\r\n", "2001:db8::7"),
        (
            "X-Forwarded-For: 2001:db8::7, 2001:db8:1::5\r\n",
            "2001:db8::7",
        ),
        (
            "X-Forwarded-For: 203.0.113.9 , \t10.0.0.1\r\n",
            "203.0.113.9",
        ),
        ("X-Forwarded-For: 10.0.0.5, 10.0.0.6\r\n", "10.0.0.5"),
    ]
    .into_iter()
    .enumerate()
    {
        assert_eq!(
            client(&gateway, &format!("hop-{number}"), fields),
            expected,
            "{fields:?}"
        );
    }
    // What is no address ends the chain: nobody further left is believed.
    let garbled = client(
        &gateway,
        "garbled",
        "X-Forwarded-For: 203.0.113.9, unknown, 10.0.0.1\r\n",
    );
    assert_ne!(garbled, "203.0.113.9");
}

#[test]
fn the_chain_that_goes_upstream_is_rewritten() {
    let origin = Origin::start();
    let gateway = Gateway::start(&Plan::open(origin.address));
    let lies = "X-Forwarded-For: 1.2.3.4\r\nForwarded: for=1.2.3.4;proto=https\r\nX-Forwarded-Proto: https\r\n\
                X-Forwarded-Host: evil.test\r\nX-Forwarded-Port: 1\r\nX-Real-IP: 1.2.3.4\r\n";
    assert_eq!(exchange(gateway.http, get("/", lies)).status, 200);
    let seen = origin.last();
    let head = String::from_utf8_lossy(&seen.head).into_owned();
    assert!(
        !head.contains("1.2.3.4") && !head.contains("evil.test"),
        "{head}"
    );
    assert_eq!(seen.all("x-forwarded-proto"), ["http"]);
    assert_eq!(seen.all("host"), ["app.test"]);
}

#[test]
fn connection_never_strips_what_the_origin_relies_on() {
    let origin = Origin::start();
    let plan = Plan::open(origin.address);
    let gateway = Gateway::start(&plan);
    for named in [
        "Authorization",
        "Cookie",
        "X-Forwarded-For",
        "X-Request-ID",
        "Host",
        "Content-Type",
        "x-forwarded-proto",
    ] {
        let fields = format!(
            "Authorization: Basic YTpi\r\nCookie: a=b\r\nContent-Type: text/x\r\nConnection: close, {named}\r\n"
        );
        let answer = exchange(gateway.http, get("/", &fields));
        if answer.status == 400 {
            continue;
        }
        let seen = origin.last();
        for kept in [
            "authorization",
            "cookie",
            "x-forwarded-for",
            "x-request-id",
            "host",
            "content-type",
            "x-forwarded-proto",
        ] {
            assert_eq!(
                seen.all(kept).len(),
                1,
                "Connection: {named} took {kept} away"
            );
        }
    }
}

#[test]
fn hop_by_hop_fields_end_at_the_gateway() {
    let origin = Origin::start();
    let gateway = Gateway::start(&Plan::open(origin.address));
    let fields = "Connection: keep-alive, X-Hop\r\nX-Hop: 1\r\nKeep-Alive: timeout=5\r\nTE: trailers\r\nProxy-Authorization: Basic YTpi\r\nProxy-Connection: keep-alive\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\nTrailer: X-T\r\n";
    let answer = exchange(gateway.http, get("/", fields));
    if answer.status == 400 {
        return;
    }
    assert_eq!(answer.status, 200);
    let seen = origin.last();
    for gone in [
        "keep-alive",
        "proxy-connection",
        "upgrade",
        "http2-settings",
        "proxy-authorization",
    ] {
        assert!(seen.all(gone).is_empty(), "{gone} went upstream");
    }
}

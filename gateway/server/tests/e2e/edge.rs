//! Networks, countries, limits, sizes, headers, CORS: denied beside allowed, with what the origin saw.

use std::time::Duration;

use crate::support::gateway::replace;
use crate::support::origin::answer;
use crate::support::raw::{get, post};
use crate::support::tools::country_database;
use crate::support::{Conn, Gateway, Origin, Plan, Step, exchange, until};

/// The client of the tests is a trusted proxy, so that they can come from anywhere.
const TRUSTED: &str = "trusted_proxies: [127.0.0.0/8]";

fn from(gateway: &Gateway, client: &str, path: &str) -> u16 {
    exchange(
        gateway.http,
        get(path, &format!("X-Forwarded-For: {client}\r\n")),
    )
    .status
}

#[test]
fn networks_are_denied_inline_and_from_files_that_are_read_again() {
    let origin = Origin::start();
    let plan = Plan::checked(
        origin.address,
        "{check: ip, deny: [192.0.2.0/24, \"2001:db8:bad::/48\"], deny_files: [lists/bad.txt]}",
    )
    .top(TRUSTED)
    .file(
        "lists/bad.txt",
        "# known bad\n198.51.100.0/24\n203.0.113.50 ; one of them\n",
    );
    let gateway = Gateway::start(&plan);
    // Alone, so that the first event is its own: events come after answers.
    assert_eq!(from(&gateway, "192.0.2.1", "/"), 403);
    let event = gateway.refused_for("ip_denied");
    assert_eq!(
        (event["check"].as_str(), event["client"].as_str()),
        (Some("c"), Some("192.0.2.1"))
    );
    for (client, status) in [
        ("198.51.100.255", 403),
        ("203.0.113.50", 403),
        ("203.0.113.51", 200),
        ("::ffff:192.0.2.1", 403),
        ("2001:db8:bad::1", 403),
        ("2001:db8:600d::1", 200),
        ("8.8.8.8", 200),
    ] {
        assert_eq!(from(&gateway, client, "/"), status, "{client}");
    }
    assert_eq!(
        gateway.metric(
            "palisade_requests_total",
            &[("reason", "ip_denied"), ("check", "c"), ("action", "deny")]
        ),
        5.0
    );
    replace(&gateway.path("lists/bad.txt"), b"8.8.8.8\n");
    until("the list is read again", || {
        (from(&gateway, "8.8.8.8", "/") == 403).then_some(())
    });
    assert_eq!(from(&gateway, "198.51.100.1", "/"), 200);
}

#[test]
fn an_allow_list_refuses_everyone_else() {
    let origin = Origin::start();
    let gateway = Gateway::start(
        &Plan::checked(origin.address, "{check: ip, allow: [10.0.0.0/8]}")
            .top("trusted_proxies: [127.0.0.0/8]"),
    );
    assert_eq!(
        (
            from(&gateway, "10.1.2.3", "/"),
            from(&gateway, "11.1.2.3", "/")
        ),
        (200, 403)
    );
    assert_eq!(exchange(gateway.http, get("/", "")).status, 403);
}

#[test]
fn countries_come_from_a_real_database() {
    let origin = Origin::start();
    let database = std::fs::read(country_database()).unwrap();
    let plan = Plan::checked(
        origin.address,
        "{check: geo, database: geo.mmdb, deny: {countries: [DE, JP]}, unknown: allow}",
    )
    .top(TRUSTED)
    .file("geo.mmdb", database.clone());
    let gateway = Gateway::start(&plan);
    // Addresses of long-standing national networks: Heise, WIDE, Google's resolver, RENATER, KAIST.
    for (client, country, status) in [
        ("193.99.144.80", "DE", 403),
        ("203.178.128.1", "JP", 403),
        ("8.8.8.8", "US", 200),
        ("193.49.0.1", "FR", 200),
        ("143.248.1.1", "KR", 200),
    ] {
        let id = format!("geo-{country}");
        let answer = exchange(
            gateway.http,
            get(
                "/",
                &format!("X-Request-ID: {id}\r\nX-Forwarded-For: {client}\r\n"),
            ),
        );
        assert_eq!(answer.status, status, "{client}");
        assert_eq!(gateway.event(&id)["country"], country);
    }
    assert_eq!(
        from(&gateway, "10.0.0.1", "/"),
        200,
        "unknown is allowed here"
    );
    // A truncated file is never swapped in.
    replace(&gateway.path("geo.mmdb"), &database[..database.len() / 2]);
    gateway.signal("HUP");
    gateway.line("the bad file is refused", |line| {
        line["event"] == "policy_rejected"
    });
    assert_eq!(
        (
            from(&gateway, "203.178.128.1", "/"),
            from(&gateway, "8.8.8.8", "/")
        ),
        (403, 200)
    );
}

#[test]
fn unknown_countries_get_the_stated_answer() {
    let origin = Origin::start();
    let plan = Plan::checked(
        origin.address,
        "{check: geo, database: geo.mmdb, allow: {countries: [US]}, unknown: deny}",
    )
    .top(TRUSTED)
    .file("geo.mmdb", std::fs::read(country_database()).unwrap());
    let gateway = Gateway::start(&plan);
    assert_eq!(
        (
            from(&gateway, "8.8.8.8", "/"),
            from(&gateway, "10.0.0.1", "/"),
            from(&gateway, "203.178.128.1", "/")
        ),
        (200, 403, 403)
    );
    gateway.refused_for("geo_unknown");
    gateway.refused_for("geo_denied");
}

#[test]
fn limits_count_each_client_and_say_what_is_left() {
    let origin = Origin::start();
    let gateway = Gateway::start(
        &Plan::checked(
            origin.address,
            "{check: rate_limit, key: [ip], limit: 5/1h}",
        )
        .top(TRUSTED),
    );
    let ask = |client: &str| {
        exchange(
            gateway.http,
            get("/", &format!("X-Forwarded-For: {client}\r\n")),
        )
    };
    for left in (0..5).rev() {
        let answer = ask("192.0.2.1");
        assert_eq!(answer.status, 200);
        let said = answer.header("ratelimit").unwrap_or_default().to_owned();
        assert!(said.contains(&format!("r={left}")), "{said}");
        assert!(answer.header("ratelimit-policy").unwrap().contains("q=5"));
    }
    let refused = ask("192.0.2.1");
    assert_eq!(refused.status, 429);
    let wait: u32 = refused.header("retry-after").unwrap().parse().unwrap();
    assert!((3500..=3600).contains(&wait), "{wait}");
    assert_eq!(
        refused.header("content-type"),
        Some("application/problem+json")
    );
    assert_eq!(ask("192.0.2.2").status, 200);
    assert_eq!(origin.count(), 6);
    assert_eq!(gateway.refused_for("rate_limited")["check"], "c");
}

#[test]
fn no_disguise_makes_a_second_client() {
    let origin = Origin::start();
    let gateway = Gateway::start(
        &Plan::checked(
            origin.address,
            "{check: rate_limit, key: [ip], limit: 10/1h}",
        )
        .top("trusted_proxies: [10.0.0.0/8]")
        .tls(),
    );
    // Spoofed headers, other spellings, other methods, other protocols: still one client.
    for number in 0..10 {
        let request = match number % 4 {
            0 => get("/", &format!("X-Forwarded-For: 1.1.1.{number}\r\n")),
            1 => get("//A/../a", &format!("X-Real-IP: 1.1.1.{number}\r\n")),
            2 => get("/%41", "Forwarded: for=9.9.9.9\r\n"),
            _ => "DELETE /x HTTP/1.1\r\nHost: app.test\r\n\r\n".to_owned(),
        };
        assert_eq!(exchange(gateway.http, request).status, 200);
    }
    assert_eq!(
        exchange(gateway.http, get("/", "X-Forwarded-For: 2.2.2.2\r\n")).status,
        429
    );
    let port = gateway.tls.port().to_string();
    let ca = crate::support::certs::file("ca.pem");
    let seen = crate::support::tools::stdout(crate::support::tools::python("h2_cases.py").args([
        &port,
        &ca,
        "multiplexed",
    ]));
    assert_eq!(seen.matches(": 429").count(), 30, "{seen}");
    assert_eq!(origin.count(), 10);
}

#[test]
fn one_ipv6_network_is_one_client() {
    let origin = Origin::start();
    let gateway = Gateway::start(
        &Plan::checked(
            origin.address,
            "{check: rate_limit, key: [ip], limit: 3/1h}",
        )
        .top(TRUSTED),
    );
    for number in 1..=3 {
        assert_eq!(
            from(&gateway, &format!("2001:db8:1:1:{number}::{number}"), "/"),
            200
        );
    }
    assert_eq!(from(&gateway, "2001:db8:1:1:ffff::1", "/"), 429);
    assert_eq!(from(&gateway, "2001:db8:1:2::1", "/"), 200);
}

#[test]
fn several_limits_stack_and_refused_requests_are_not_counted() {
    let origin = Origin::start();
    let plan = Plan::new(origin.address)
        .check("wide", "{check: rate_limit, key: [ip], limit: 4/1h}")
        .check(
            "narrow",
            "{check: rate_limit, key: [ip, route], limit: 2/1h}",
        )
        .route("{name: a, match: {path: /a}, to: app, use: [wide, narrow], public: test}")
        .route("{name: b, match: {path: /b}, to: app, use: [wide, narrow], public: test}")
        .top(TRUSTED);
    let gateway = Gateway::start(&plan);
    let ask = |path: &str| from(&gateway, "192.0.2.1", path);
    assert_eq!(
        [ask("/a"), ask("/a"), ask("/b"), ask("/b")],
        [200, 200, 200, 200]
    );
    assert_eq!(ask("/a"), 429);
    assert_eq!(origin.count(), 4);
}

/// Bursts from many connections at once: never more than the limit.
#[test]
fn a_limit_holds_under_concurrency() {
    let origin = Origin::start();
    let gateway = Gateway::start(&Plan::checked(
        origin.address,
        "{check: rate_limit, key: [ip], limit: 50/1h}",
    ));
    let allowed: usize = std::thread::scope(|scope| {
        let clients: Vec<_> = (0..8)
            .map(|_| {
                scope.spawn(|| {
                    let mut conn = Conn::open(gateway.http);
                    (0..40)
                        .filter(|_| {
                            conn.write(get("/", ""));
                            conn.response().unwrap().status == 200
                        })
                        .count()
                })
            })
            .collect();
        clients
            .into_iter()
            .map(|client| client.join().unwrap())
            .sum()
    });
    assert_eq!((allowed, origin.count()), (50, 50));
}

#[test]
fn counters_survive_a_reload() {
    let origin = Origin::start();
    let plan = Plan::checked(
        origin.address,
        "{check: rate_limit, key: [ip], limit: 3/1h}",
    );
    let gateway = Gateway::start(&plan);
    for _ in 0..3 {
        assert_eq!(exchange(gateway.http, get("/", "")).status, 200);
    }
    gateway.replace(&plan.clone().top("# changed\npolicy_header: X-Policy"));
    until("the new policy serves", || {
        exchange(gateway.http, get("/", ""))
            .header("x-policy")
            .map(str::to_owned)
    });
    assert_eq!(exchange(gateway.http, get("/", "")).status, 429);
}

#[test]
fn so_many_requests_at_once_and_no_more() {
    let origin = Origin::scripted(|seen| match seen.target.as_str() {
        "/wait" => vec![Step::Gate("go"), Step::Send(answer(200, "", b"done"))],
        _ => vec![Step::Send(answer(200, "", b"now"))],
    });
    let gateway = Gateway::start(
        &Plan::checked(origin.address, "{check: concurrency, key: [ip], max: 2}").top(TRUSTED),
    );
    let mut waiting: Vec<Conn> = (0..2)
        .map(|_| {
            let mut conn = Conn::open(gateway.http);
            conn.write(get("/wait", "X-Forwarded-For: 192.0.2.1\r\n"));
            conn
        })
        .collect();
    until("both are at the origin", || {
        (origin.count() == 2).then_some(())
    });
    assert_eq!(from(&gateway, "192.0.2.1", "/"), 429);
    gateway.refused_for("too_many_concurrent");
    assert_eq!(from(&gateway, "192.0.2.2", "/"), 200);
    origin.open("go");
    for conn in &mut waiting {
        assert_eq!(conn.response().unwrap().text(), "done");
    }
    until("the places are free again", || {
        (from(&gateway, "192.0.2.1", "/") == 200).then_some(())
    });
}

#[test]
fn websockets_hold_their_place_until_they_close() {
    use crate::support::ports::Port;
    use crate::support::tools::{Served, python, stdout};
    let port = Port::take();
    let _server = Served::ready(python("ws_server.py").arg(port.number.to_string()));
    let gateway = Gateway::start(&Plan::checked(
        port.address(),
        "{check: concurrency, key: [ip], max: 1}",
    ));
    let url = format!("ws://{}/", gateway.http);
    let held = Served::ready(
        python("ws_client.py")
            .args([&url, "1", "--hold"])
            .stdin(std::process::Stdio::piped()),
    );
    assert_eq!(exchange(gateway.http, get("/", "")).status, 429);
    drop(held);
    until("the place is free again", || {
        let output = python("ws_client.py").args([&url, "1"]).output().unwrap();
        output.status.success().then_some(())
    });
    stdout(python("ws_client.py").args([&url, "1"]));
}

#[test]
fn answers_over_the_maximum_are_cut() {
    let origin = Origin::scripted(|seen| match seen.target.as_str() {
        "/declared" => vec![Step::Send(answer(200, "", &[b'x'; 5000]))],
        "/chunked" => vec![Step::text(format!(
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1388\r\n{}\r\n0\r\n\r\n",
            "x".repeat(5000)
        ))],
        _ => vec![Step::Send(answer(200, "", &[b'x'; 1000]))],
    });
    let gateway = Gateway::start(&Plan::checked(
        origin.address,
        "{check: size, request: 1MiB, response: 1KiB}",
    ));
    assert_eq!(exchange(gateway.http, get("/small", "")).body.len(), 1000);
    assert_eq!(
        exchange(gateway.http, get("/declared", "X-Request-ID: declared\r\n")).status,
        502
    );
    assert_eq!(gateway.event("declared")["reason"], "response_too_large");
    let mut conn = Conn::open(gateway.http);
    conn.write(get("/chunked", ""));
    assert!(
        conn.response()
            .is_none_or(|answer| answer.status == 502 || !answer.complete)
    );
}

#[test]
fn security_headers_are_on_every_answer() {
    let origin = Origin::scripted(|_| {
        vec![Step::Send(answer(
            200,
            "Server: secret/1.0\r\nX-Powered-By: x\r\nContent-Security-Policy: default-src *\r\n",
            b"x",
        ))]
    });
    let headers = "{check: response_headers, set: {X-Content-Type-Options: nosniff, X-Frame-Options: DENY}, \
                   set_if_absent: {Content-Security-Policy: \"default-src 'self'\"}, hsts: {max_age: 365d, subdomains: true}, remove: [Server, X-Powered-By]}";
    let plan = Plan::new(origin.address)
        .check("headers", headers)
        .check("nobody", "{check: ip, deny: [192.0.2.0/24]}")
        .route("{name: all, match: {path: \"/*\"}, to: app, use: [headers, nobody], public: test}")
        .top(TRUSTED)
        .tls();
    let gateway = Gateway::start(&plan);
    let ask = |client: &str| {
        let url = format!("https://localhost:{}/", gateway.tls.port());
        let ca = crate::support::certs::file("ca.pem");
        let forwarded = format!("X-Forwarded-For: {client}");
        crate::support::tools::stdout(
            crate::support::tools::program("curl")
                .args(["-sSi", "--cacert", &ca, "-H", &forwarded, &url]),
        )
        .to_lowercase()
    };
    let (allowed, refused) = (ask("8.8.8.8"), ask("192.0.2.1"));
    assert!(
        allowed.starts_with("http/2 200") && refused.starts_with("http/2 403"),
        "{allowed}{refused}"
    );
    for answer in [&allowed, &refused] {
        for field in [
            "x-content-type-options: nosniff",
            "x-frame-options: deny",
            "strict-transport-security: max-age=31536000; includesubdomains",
        ] {
            assert_eq!(answer.matches(field).count(), 1, "{field} in {answer}");
        }
        assert!(
            !answer.contains("\nserver:") && !answer.contains("x-powered-by"),
            "{answer}"
        );
    }
    assert!(allowed.contains("content-security-policy: default-src *"));
    assert!(refused.contains("content-security-policy: default-src 'self'"));
}

#[test]
fn cors_answers_preflights_and_refuses_strangers() {
    let origin = Origin::start();
    let gateway = Gateway::start(&Plan::checked(
        origin.address,
        "{check: cors, origins: [\"https://shop.test\"], methods: [GET, PUT], headers: [X-Token], credentials: true, max_age: 10m}",
    ));
    let preflight = |from: &str, method: &str| {
        exchange(
            gateway.http,
            format!(
                "OPTIONS /x HTTP/1.1\r\nHost: app.test\r\nOrigin: {from}\r\nAccess-Control-Request-Method: {method}\r\nAccess-Control-Request-Headers: x-token\r\n\r\n"
            ),
        )
    };
    let good = preflight("https://shop.test", "PUT");
    assert_eq!(good.status, 204);
    assert_eq!(
        good.header("access-control-allow-origin"),
        Some("https://shop.test")
    );
    assert_eq!(
        good.header("access-control-allow-credentials"),
        Some("true")
    );
    assert!(
        good.header("vary")
            .unwrap()
            .to_lowercase()
            .contains("origin")
    );
    for (from, method) in [
        ("https://evil.test", "PUT"),
        ("https://shop.test", "DELETE"),
        ("null", "PUT"),
        ("https://shop.test.evil.test", "PUT"),
    ] {
        // A browser asks for the origin first, then looks for its method in the list.
        let bad = preflight(from, method);
        let origin = bad.header("access-control-allow-origin").is_some();
        let methods = bad
            .header("access-control-allow-methods")
            .unwrap_or_default();
        assert!(
            bad.status == 403 || !origin || !methods.contains(method),
            "{from} {method}"
        );
    }
    assert_eq!(origin.count(), 0);
    let real = exchange(gateway.http, get("/x", "Origin: https://shop.test\r\n"));
    assert_eq!(
        (real.status, real.header("access-control-allow-origin")),
        (200, Some("https://shop.test"))
    );
    assert_eq!(
        exchange(gateway.http, get("/x", "")).header("access-control-allow-origin"),
        None
    );
}

#[test]
fn observe_reports_and_lets_pass() {
    let origin = Origin::start();
    let gateway = Gateway::start(&Plan::checked(
        origin.address,
        "{check: ip, deny: [127.0.0.1], mode: observe}",
    ));
    assert_eq!(
        exchange(gateway.http, get("/", "X-Request-ID: watched\r\n")).status,
        200
    );
    let event = gateway.event("watched");
    assert_eq!(
        (event["action"].as_str(), event["would"].as_str()),
        (Some("allow"), Some("deny"))
    );
    assert!(event.to_string().contains("ip_denied"));
}

#[test]
fn a_million_networks_load_in_time() {
    let origin = Origin::start();
    let mut list = String::with_capacity(20_000_000);
    for n in 0..1_000_000_u32 {
        let [a, b, c, d] = (0x0b00_0000_u32 + n * 37).to_be_bytes();
        list.push_str(&format!("{a}.{b}.{c}.{d}\n"));
    }
    let begun = std::time::Instant::now();
    let gateway = Gateway::start(
        &Plan::checked(
            origin.address,
            "{check: ip, deny_files: [lists/million.txt]}",
        )
        .top(TRUSTED)
        .file("lists/million.txt", list),
    );
    // An unoptimised build, on a busy machine: the exact figure is measured by the benches.
    assert!(begun.elapsed() < Duration::from_secs(25));
    assert_eq!(
        (
            from(&gateway, "11.0.0.37", "/"),
            from(&gateway, "11.0.0.38", "/")
        ),
        (403, 200)
    );
}

#[test]
fn refused_uploads_are_told_why_in_a_problem() {
    let origin = Origin::start();
    let gateway = Gateway::start(&Plan::checked(
        origin.address,
        "{check: ip, deny: [127.0.0.1]}",
    ));
    let refused = exchange(
        gateway.http,
        post(
            "/x",
            "X-Request-ID: why\r\nAccept: application/json\r\n",
            b"{}",
        ),
    );
    assert_eq!(
        refused.header("content-type"),
        Some("application/problem+json")
    );
    let problem: serde_json::Value = serde_json::from_slice(&refused.body).unwrap();
    assert_eq!(problem["status"], 403);
    assert!(
        refused.text().contains("why"),
        "the request id is in the answer: {problem}"
    );
    assert!(
        !refused.text().contains("127.0.0.1") && !refused.text().to_lowercase().contains("pingora")
    );
}

#[test]
fn an_operator_bans_and_lifts_the_ban() {
    let origin = Origin::start();
    let gateway = Gateway::start(&Plan::checked(origin.address, "{check: bans}").top(TRUSTED));
    let admin = |method: &str, path: &str, body: &str| gateway.admin_send(method, path, body);
    assert_eq!(from(&gateway, "192.0.2.7", "/"), 200);
    let ban = r#"{"client": "192.0.2.7", "for": "15m", "reason": "test"}"#;
    assert_eq!(admin("POST", "/bans", ban).status, 201);
    assert_eq!(from(&gateway, "192.0.2.7", "/"), 403);
    assert_eq!(from(&gateway, "192.0.2.8", "/"), 200);
    assert_eq!(gateway.refused_for("banned")["client"], "192.0.2.7");
    assert!(admin("GET", "/bans", "").text().contains("192.0.2.7"));
    assert_eq!(admin("DELETE", "/bans/client/192.0.2.7", "").status, 204);
    assert_eq!(from(&gateway, "192.0.2.7", "/"), 200);
}

/// What a client reads until the end of the connection; a reset is nothing.
fn all_that_comes(gateway: &Gateway) -> Vec<u8> {
    use std::io::{Read, Write};
    let mut client = std::net::TcpStream::connect(gateway.http).unwrap();
    client
        .set_read_timeout(Some(Duration::from_secs(20)))
        .unwrap();
    let _ = client.write_all(get("/", "Connection: close\r\n").as_ref());
    let mut answer = Vec::new();
    let _ = client.read_to_end(&mut answer);
    answer
}

#[test]
fn a_banned_client_is_dropped_when_it_connects_where_the_policy_says_so() {
    let origin = Origin::start();
    let gateway = Gateway::start(&Plan::checked(origin.address, "{check: bans, drop: true}"));
    assert!(all_that_comes(&gateway).starts_with(b"HTTP/1.1 200"));
    let admin =
        |method: &str, path: &str, body: &str| gateway.admin_send(method, path, body).status;
    let ban = r#"{"client": "127.0.0.1", "for": "15m", "reason": "test"}"#;
    assert_eq!(admin("POST", "/bans", ban), 201);
    assert_eq!(all_that_comes(&gateway), b"");
    assert_eq!(
        gateway.metric(
            "palisade_connections_refused_total",
            &[("reason", "denied")]
        ),
        1.0
    );
    assert_eq!(origin.count(), 1);
    assert_eq!(admin("DELETE", "/bans/client/127.0.0.1", ""), 204);
    assert!(all_that_comes(&gateway).starts_with(b"HTTP/1.1 200"));
}

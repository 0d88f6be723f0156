//! What a decision costs: no allocation after warm-up, a future small enough for the stack of a worker.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    missing_docs,
    reason = "tests"
)]

use std::time::Instant;

use allocation_counter::measure;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Version};
use policy::Policy;
use policy::decision::Outcome;
use policy::invented::{Invented, ready};
use policy::request::{Framing, Request};
use policy::run::Unwatched;
use policy::sources::Sources;

const POLICY: &str = r#"
version: 1
upstreams:
  app: {servers: ["127.0.0.1:3000"]}
checks:
  bans: {check: bans}
  networks: {check: ip, allow: [0.0.0.0/0, "::/0"], deny: [192.0.2.0/24, "2001:db8::/32"]}
  per-ip: {check: rate_limit, key: [ip], limit: 100000000/1m}
  sockets: {check: concurrency, key: [ip], max: 1000000}
  size: {check: size, request: 1MiB, response: 2MiB}
  headers: {check: response_headers, set: {X-Content-Type-Options: nosniff}}
  cors: {check: cors, origins: ["https://app.example.com"]}
chains:
  edge: [bans, networks, per-ip, sockets, size, headers, cors]
routes:
  - {name: one, match: {host: api.example.com, path: "/users/{id}"}, to: app, use: [edge], public: "test"}
  - {name: all, to: app, use: [edge], public: "test"}
"#;

struct One(&'static str);

impl Sources for One {
    fn read(&mut self, _: &str) -> Result<Bytes, String> {
        Ok(Bytes::from_static(self.0.as_bytes()))
    }
    fn glob(&mut self, _: &str) -> Result<Vec<String>, String> {
        Ok(Vec::new())
    }
    fn env(&mut self, _: &str) -> Option<String> {
        None
    }
}

fn load(text: &'static str) -> Policy {
    Policy::load("policy.yaml", &mut One(text), 0)
        .unwrap()
        .policy
}

fn headers() -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in [
        (
            "user-agent",
            "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0",
        ),
        (
            "accept",
            "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
        ),
        ("accept-language", "en-GB,en;q=0.9"),
        (
            "cookie",
            "session=9f86d081884c7d659a2feaa0c55ad015; theme=dark",
        ),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers
}

fn request<'a>(headers: &'a HeaderMap, path: &'a str, host: &'a str) -> Request<'a> {
    Request {
        id: "00000000-0000-4000-8000-000000000000",
        client: [198, 51, 100, 7].into(),
        client_port: 0,
        peer: [198, 51, 100, 7].into(),
        server: None,
        method: &Method::GET,
        scheme: "https",
        host,
        path,
        compared: path,
        query: None,
        target: path,
        version: Version::HTTP_11,
        headers,
        tls: None,
        framing: Framing::None,
        websocket: false,
    }
}

fn decide(policy: &Policy, request: &Request<'_>, io: &mut Invented) -> bool {
    let route = policy.route(request).unwrap();
    let decision = ready(policy.decide(route, request, io, &mut Unwatched)).unwrap();
    io.end();
    matches!(decision.outcome, Outcome::Permit(_))
}

#[test]
fn a_clean_request_allocates_nothing() {
    let policy = load(POLICY);
    let headers = headers();
    let request = request(&headers, "/users/7", "api.example.com");
    let mut io = Invented::default();
    for _ in 0..200 {
        assert!(decide(&policy, &request, &mut io));
    }
    let counted = measure(|| {
        for _ in 0..100 {
            assert!(decide(&policy, &request, &mut io));
        }
    });
    assert_eq!(counted.count_total, 0, "{counted:?}");
}

#[test]
fn the_future_of_a_decision_stays_small() {
    let policy = load(POLICY);
    let headers = headers();
    let request = request(&headers, "/", "x");
    let route = policy.route(&request).unwrap();
    let mut io = Invented::default();
    let size = size_of_val(&policy.decide(route, &request, &mut io, &mut Unwatched));
    println!("future of a decision: {size} bytes");
    assert!(size <= 4096, "{size} bytes");
}

/// Printed, not asserted: `cargo test --profile fast -p policy --test cost -- --ignored --nocapture`.
#[test]
#[ignore = "measures"]
fn what_each_check_costs() {
    let rounds = 200_000u32;
    let time = |policy: &Policy| {
        let headers = headers();
        let request = request(&headers, "/users/7", "api.example.com");
        let mut io = Invented::default();
        (0..1000).for_each(|_| assert!(decide(policy, &request, &mut io)));
        let start = Instant::now();
        (0..rounds).for_each(|_| assert!(decide(policy, &request, &mut io)));
        start.elapsed().as_nanos() / u128::from(rounds)
    };
    let none = time(&load(Box::leak(
        POLICY
            .replace(
                "edge: [bans, networks, per-ip, sockets, size, headers, cors]",
                "edge: [size]",
            )
            .into_boxed_str(),
    )));
    println!("route + empty run + size: {none} ns");
    for check in ["bans", "networks", "per-ip", "sockets", "headers", "cors"] {
        let text = POLICY.replace(
            "edge: [bans, networks, per-ip, sockets, size, headers, cors]",
            &format!("edge: [size, {check}]"),
        );
        println!(
            "{check}: {} ns more",
            time(&load(Box::leak(text.into_boxed_str()))).saturating_sub(none)
        );
    }
    println!("all seven: {} ns", time(&load(POLICY)));
}

/// Printed, not asserted.
#[test]
#[ignore = "measures"]
fn a_look_up_does_not_grow_with_the_routes() {
    for count in [1, 10, 100, 1000] {
        let mut text = String::from("version: 1\nupstreams: {a: {servers: [\"x:1\"]}}\nroutes:\n");
        for n in 0..count {
            text.push_str(&format!("  - {{name: r{n}, match: {{host: h{}.example.com, path: \"/area{n}/{{id}}/*\"}}, to: a, public: x}}\n", n % 10));
        }
        let policy = load(Box::leak(text.into_boxed_str()));
        let headers = headers();
        let (path, host) = (
            format!("/area{}/7/x", count - 1),
            format!("h{}.example.com", (count - 1) % 10),
        );
        let request = request(&headers, &path, &host);
        let rounds = 1_000_000u32;
        let start = Instant::now();
        (0..rounds).for_each(|_| assert!(policy.route(&request).is_some()));
        println!(
            "{count} routes: {} ns",
            start.elapsed().as_nanos() / u128::from(rounds)
        );
    }
}

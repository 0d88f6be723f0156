//! One check on a route, asked by a browser that it lets pass; routes; compiling.

use std::hint::black_box;
use std::net::IpAddr;

use policy::Policy;
use policy::decision::Reason;
use policy::invented::Invented;

use crate::Bench;
use crate::stage::{Asked, decide, expect, load};

const ENTRIES: u32 = 1_000_000;

/// A policy whose one route asks this check.
fn one(check: &str) -> Result<Policy, String> {
    load(&format!(
        "checks:\n  it: {{check: {check}}}\nroutes: [{{name: all, match: {{path: '/*'}}, to: app, use: [it], public: bench}}]\n"
    ))
}

/// Asks and expects a pass.
fn passes(name: &str, policy: Policy, asked: Asked) -> Bench {
    let mut io = Invented::default();
    Bench::new(name, move |_| expect(&policy, &mut io, &asked, Reason::Ok))
}

pub(crate) fn all() -> Result<Vec<Bench>, String> {
    let page = || Asked::get("/products/42");
    let mut benches = vec![
        passes("check: none", load(NOTHING)?, page()),
        passes(
            "check: ip, 3 networks",
            one("ip, deny: [192.0.2.0/24, 198.51.100.0/24, '2001:db8::/32']")?,
            page(),
        ),
        passes("check: bans", one("bans")?, page()),
        passes(
            "check: concurrency",
            one("concurrency, key: [ip], max: 1000")?,
            page(),
        ),
        passes(
            "check: size",
            one("size, request: 1MiB, response: 2MiB")?,
            page(),
        ),
        passes("check: response_headers", one(HEADERS)?, page()),
        passes(
            "check: cors",
            one("cors, origins: ['https://app.example.com']")?,
            page().with("origin", "https://app.example.com")?,
        ),
        passes(
            "check: rate_limit, window, one key",
            one("rate_limit, key: [ip], limit: 100000000/1m")?,
            page(),
        ),
        passes(
            "check: rate_limit, pace, one key",
            one("rate_limit, key: [ip], limit: 100000000/1m, algorithm: pace, burst: 1000")?,
            page(),
        ),
        many_keys()?,
        long_list()?,
    ];
    benches.extend(geo()?);
    for count in [1, 10, 1000] {
        benches.push(routes(count)?);
    }
    benches.push(compile());
    Ok(benches)
}

const NOTHING: &str = "routes: [{name: all, match: {path: '/*'}, to: app, public: bench}]\n";
const HEADERS: &str = "response_headers, set: {X-Content-Type-Options: nosniff, X-Frame-Options: DENY}, \
set_if_absent: {Content-Security-Policy: \"default-src 'self'\"}, remove: [Server, X-Powered-By]";

fn client(number: u32) -> IpAddr {
    // Spread over the address space, each but once.
    IpAddr::from(number.wrapping_mul(2_654_435_761).to_be_bytes())
}

fn many_keys() -> Result<Bench, String> {
    let policy = one("rate_limit, key: [ip], limit: 1000/1m")?;
    let mut io = Invented::default();
    let mut asked = Asked::get("/");
    for number in 0..ENTRIES {
        asked.client = client(number);
        black_box(decide(&policy, &mut io, &asked));
    }
    Ok(Bench::new(
        "check: rate_limit, window, 1,000,000 keys",
        move |round| {
            asked.client = client(round as u32 * 100_003);
            expect(&policy, &mut io, &asked, Reason::Ok);
        },
    ))
}

fn long_list() -> Result<Bench, String> {
    let folder = tempfile::tempdir().map_err(|fault| fault.to_string())?;
    let file = folder.path().join("deny.txt");
    let mut text = String::new();
    for number in 0..ENTRIES {
        let [_, b, c, d] = (number * 2).to_be_bytes();
        text.push_str(&format!("11.{b}.{c}.{d}\n"));
    }
    std::fs::write(&file, text).map_err(|fault| fault.to_string())?;
    let policy = one(&format!("ip, deny_files: ['{}']", file.display()))?;
    Ok(passes(
        "check: ip, 1,000,000 addresses",
        policy,
        Asked::get("/"),
    ))
}

/// Where `deploy/test.sh install` puts the country database; without it there is no such bench.
fn geo() -> Result<Vec<Bench>, String> {
    const FILE: &str =
        "npm/node_modules/@ip-location-db/geo-whois-asn-country-mmdb/geo-whois-asn-country.mmdb";
    let folder = std::env::var("PALISADE_TEST_DEPS");
    let folder = folder
        .unwrap_or_else(|_| concat!(env!("CARGO_MANIFEST_DIR"), "/../target/test-deps").to_owned());
    let file = format!("{folder}/{FILE}");
    if !std::path::Path::new(&file).exists() {
        return Err(format!("{file} is missing: deploy/test.sh install"));
    }
    let policy = one(&format!(
        "geo, database: '{file}', deny: {{countries: [KP]}}, unknown: allow"
    ))?;
    let mut asked = Asked::get("/");
    asked.client = IpAddr::from([8, 8, 8, 8]);
    Ok(vec![passes("check: geo", policy, asked)])
}

/// Finds the last of so many routes.
fn routes(count: usize) -> Result<Bench, String> {
    let route = |n: usize| {
        format!(
            "  - {{name: r{n}, match: {{path: '/area-{n}/{{id}}/items'}}, to: app, public: bench}}\n"
        )
    };
    let text: String = (0..count).map(route).collect();
    let policy = load(&format!("routes:\n{text}"))?;
    let asked = Asked::get(&format!("/area-{}/42/items", count - 1));
    Ok(Bench::new(
        format!("route: the last of {count}"),
        move |_| {
            assert!(black_box(policy.route(&asked.request())).is_some());
        },
    ))
}

/// A policy of a full size: 40 checks, 500 routes, the built-in rules.
fn compile() -> Bench {
    let mut text = "checks:\n  builtin: {check: waf, rules: [policies/waf/*.yaml]}\n".to_owned();
    for n in 0..13 {
        text.push_str(&format!(
            "  net{n}: {{check: ip, deny: [192.0.{n}.0/24]}}\n"
        ));
        text.push_str(&format!(
            "  limit{n}: {{check: rate_limit, key: [ip], limit: {}/1m}}\n",
            100 + n
        ));
        text.push_str(&format!(
            "  headers{n}: {{check: response_headers, set: {{X-Area: 'a{n}'}}}}\n"
        ));
    }
    text.push_str("routes:\n");
    for n in 0..500 {
        let k = n % 13;
        text.push_str(&format!(
            "  - {{name: r{n}, match: {{path: '/area-{n}/*'}}, to: app, use: [net{k}, limit{k}, builtin, headers{k}], public: bench}}\n"
        ));
    }
    // Once for all rounds: the count is divided by them, which is a number like any other.
    Bench::new(
        "compile: 40 checks, 500 routes, built-in rules (1/8)",
        move |round| {
            if round % crate::ROUNDS == 0 && round < 2 * crate::ROUNDS {
                assert!(black_box(load(&text)).is_ok());
            }
        },
    )
}

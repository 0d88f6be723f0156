#![expect(clippy::unwrap_used, reason = "tests")]
use std::sync::Arc;

use http::{HeaderMap, Method, Version};
use proptest::prelude::*;

use super::*;
use crate::request::{Framing, Identity, Place};

fn request<'a>(client: &str, headers: &'a HeaderMap) -> Request<'a> {
    Request {
        id: "r",
        client: client.parse().unwrap(),
        client_port: 0,
        peer: client.parse().unwrap(),
        server: None,
        method: &Method::GET,
        scheme: "https",
        host: "shop.example",
        path: "/a",
        compared: "/a",
        query: None,
        target: "/a",
        version: Version::HTTP_11,
        headers,
        tls: None,
        framing: Framing::None,
        websocket: false,
    }
}

fn headers(of: &[(&'static str, &'static str)]) -> HeaderMap {
    let mut map = HeaderMap::new();
    for (name, value) in of {
        map.append(*name, value.parse().unwrap());
    }
    map
}

fn recipe(parts: &[&str]) -> Recipe {
    let parts = parts.iter().map(|part| part.parse().unwrap()).collect();
    Recipe::new(Keys::derived(b"test"), 7, parts)
}

fn key(parts: &[&str], client: &str, of: &[(&'static str, &'static str)]) -> Key {
    let headers = headers(of);
    recipe(parts).key(&request(client, &headers), &Facts::default(), 1)
}

#[test]
fn one_key_per_ipv6_network_and_per_ipv4_address() {
    let v6 = |client| key(&["ip"], client, &[]);
    assert_eq!(v6("2001:db8:1:2::1"), v6("2001:db8:1:2:ffff::9"));
    assert_ne!(v6("2001:db8:1:2::1"), v6("2001:db8:1:3::1"));
    assert_ne!(v6("192.0.2.1"), v6("192.0.2.2"));
    assert_eq!(v6("192.0.2.1"), v6("::ffff:192.0.2.1"));
    assert_ne!(v6("::ffff:192.0.2.1"), v6("::ffff:192.0.2.2"));
    assert_eq!(
        client_network("::ffff:192.0.2.1".parse().unwrap()).to_string(),
        "192.0.2.1"
    );
    assert_eq!(
        client_network("2001:db8:1:2:ff::1".parse().unwrap()).to_string(),
        "2001:db8:1:2::"
    );
}

#[test]
fn a_missing_header_shares_no_bucket_with_an_empty_one() {
    let parts = ["header:x-key"];
    let missing = key(&parts, "192.0.2.1", &[]);
    assert_ne!(missing, key(&parts, "192.0.2.1", &[("x-key", "")]));
    assert_ne!(
        missing,
        key(&parts, "192.0.2.2", &[]),
        "who leaves it out is told apart by address"
    );
    assert_ne!(missing, key(&["ip"], "192.0.2.1", &[]));
    let same = |client| key(&parts, client, &[("x-key", "v")]);
    assert_eq!(same("192.0.2.1"), same("192.0.2.2"), "who sends it is not");
}

#[test]
fn values_do_not_run_into_each_other() {
    let two = ["header:x-a", "header:x-b"];
    let at = |of| key(&two, "192.0.2.1", of);
    assert_ne!(
        at(&[("x-a", "ab"), ("x-b", "c")]),
        at(&[("x-a", "a"), ("x-b", "bc")])
    );
    assert_ne!(
        at(&[("x-a", "v"), ("x-b", "w")]),
        at(&[("x-a", "w"), ("x-b", "v")])
    );
    assert_ne!(
        at(&[("x-a", "v"), ("x-a", "w"), ("x-b", "z")]),
        at(&[("x-a", "v"), ("x-b", "z")])
    );
    assert_ne!(
        key(&["header:x-a"], "192.0.2.1", &[("x-a", "v")]),
        key(&["header:x-b"], "192.0.2.1", &[("x-b", "v")])
    );
}

#[test]
fn users_and_claims_are_told_from_strangers() {
    let headers = HeaderMap::new();
    let at = |recipe: &Recipe, facts: &Facts| recipe.key(&request("192.0.2.1", &headers), facts, 1);
    let facts = |user: &str, tenant: serde_json::Value| {
        let mut identity = Identity {
            user: user.to_owned(),
            ..Identity::default()
        };
        identity.claims.insert("tenant".to_owned(), tenant);
        Facts {
            identity: Some(Arc::new(identity)),
            ..Facts::default()
        }
    };
    let user = recipe(&["user"]);
    assert_eq!(
        at(&user, &facts("a", 1.into())),
        at(&user, &facts("a", 2.into()))
    );
    assert_ne!(
        at(&user, &facts("a", 1.into())),
        at(&user, &facts("b", 1.into()))
    );
    assert_ne!(
        at(&user, &facts("", 1.into())),
        at(&user, &Facts::default())
    );
    let tenant = recipe(&["claim:tenant"]);
    assert_ne!(
        at(&tenant, &facts("a", 1.into())),
        at(&tenant, &facts("a", "1".into()))
    );
    assert!(user.needs().identity && tenant.needs().identity && !recipe(&["ip"]).needs().identity);
    let country = recipe(&["country"]);
    let placed = Facts {
        place: Place {
            country: Some(*b"DE"),
            ..Place::default()
        },
        ..Facts::default()
    };
    assert_ne!(at(&country, &placed), at(&country, &Facts::default()));
    assert!(country.needs().place);
}

#[test]
fn domains_routes_and_secrets_separate() {
    let headers = HeaderMap::new();
    let request = request("192.0.2.1", &headers);
    let facts = Facts::default();
    let make = |secret: &[u8], domain, route| {
        Recipe::new(Keys::derived(secret), domain, vec![Part::Ip, Part::Route])
            .key(&request, &facts, route)
    };
    let base = make(b"s", 1, 1);
    assert_eq!(base, make(b"s", 1, 1));
    assert!(
        [make(b"t", 1, 1), make(b"s", 2, 1), make(b"s", 1, 2)]
            .iter()
            .all(|other| *other != base)
    );
    let process = |keys: Keys| keys.start(1).finish();
    assert_eq!(process(Keys::process()), process(Keys::process()));
    assert!(!format!("{:?}", Keys::derived(b"s")).contains(char::is_numeric));
}

#[test]
fn parts_read_back_and_misspelt_ones_are_explained() {
    for text in [
        "ip",
        "user",
        "route",
        "host",
        "path",
        "method",
        "country",
        "header:x-key",
        "claim:https://a/b",
    ] {
        assert_eq!(text.parse::<Part>().unwrap().to_string(), text);
    }
    for text in [
        "",
        "IP",
        "header:",
        "header:a b",
        "claim:",
        "cookie:x",
        "ip:",
    ] {
        assert!(text.parse::<Part>().is_err(), "{text}");
    }
    assert_eq!(
        "header:X-Key".parse::<Part>().unwrap().to_string(),
        "header:x-key"
    );
}

proptest! {
    #[test]
    fn different_splits_give_different_keys(a in ".{0,8}", b in ".{0,8}", c in ".{0,8}", d in ".{0,8}") {
        let keys = Keys::derived(b"p");
        let at = |x: &str, y: &str| keys.start(1).part(1, x.as_bytes()).part(2, y.as_bytes()).finish();
        prop_assert_eq!(at(&a, &b) == at(&c, &d), (a, b) == (c, d));
    }
}

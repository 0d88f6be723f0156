#![expect(clippy::unwrap_used, reason = "tests")]

use proptest::prelude::*;

use super::*;

fn trusted() -> Networks {
    ["10.0.0.0/8", "2001:db8:ffff::/48"]
        .into_iter()
        .map(|text| text.parse::<ipnet::IpNet>().unwrap())
        .collect()
}

fn headers(fields: &[(&'static str, &'static str)]) -> HeaderMap {
    let mut map = HeaderMap::new();
    for (name, value) in fields {
        map.append(*name, HeaderValue::from_static(value));
    }
    map
}

fn client(peer: &str, fields: &[(&'static str, &'static str)]) -> String {
    address(peer.parse().unwrap(), &headers(fields), &trusted()).to_string()
}

#[test]
fn an_untrusted_peer_is_the_client_whatever_it_says() {
    let lies = [
        ("x-forwarded-for", "1.1.1.1"),
        ("forwarded", "for=1.1.1.1"),
        ("x-real-ip", "1.1.1.1"),
    ];
    assert_eq!(client("192.0.2.1", &lies), "192.0.2.1");
    assert_eq!(client("::ffff:192.0.2.1", &lies), "192.0.2.1");
}

#[test]
fn takes_the_rightmost_hop_that_is_not_trusted() {
    for (value, want) in [
        ("192.0.2.9", "192.0.2.9"),
        ("1.1.1.1, 192.0.2.9", "192.0.2.9"),
        ("1.1.1.1, 192.0.2.9, 10.0.0.2", "192.0.2.9"),
        ("10.0.0.7, 10.0.0.8", "10.0.0.7"),
        ("192.0.2.9:4711", "192.0.2.9"),
        ("2001:DB8::9", "2001:db8::9"),
        ("[2001:db8::9]", "2001:db8::9"),
        ("[2001:db8::9]:4711, 2001:db8:ffff::1", "2001:db8::9"),
        ("::ffff:192.0.2.9", "192.0.2.9"),
        ("[::ffff:192.0.2.9]:80, ::ffff:10.0.0.9", "192.0.2.9"),
        ("1.1.1.1,,192.0.2.9, ,", "192.0.2.9"),
        ("\t192.0.2.9 ", "192.0.2.9"),
    ] {
        assert_eq!(
            client("10.0.0.1", &[("x-forwarded-for", value)]),
            want,
            "{value}"
        );
    }
}

#[test]
fn garbage_stops_the_walk_at_the_last_hop_that_was_vouched_for() {
    for (value, want) in [
        ("1.1.1.1, unknown", "10.0.0.1"),
        ("1.1.1.1, unknown, 10.0.0.2", "10.0.0.2"),
        ("1.1.1.1, 192.0.2", "10.0.0.1"),
        ("1.1.1.1, [192.0.2.1]", "10.0.0.1"),
        ("1.1.1.1, 192.0.2.1:99999", "10.0.0.1"),
        ("1.1.1.1, 0x7f.1", "10.0.0.1"),
        ("1.1.1.1, fe80::1%eth0", "10.0.0.1"),
        ("", "10.0.0.1"),
    ] {
        assert_eq!(
            client("10.0.0.1", &[("x-forwarded-for", value)]),
            want,
            "{value}"
        );
    }
}

#[test]
fn many_lines_are_one_list() {
    let lines = [
        ("x-forwarded-for", "1.1.1.1"),
        ("x-forwarded-for", "192.0.2.9, 10.0.0.3"),
        ("x-forwarded-for", "10.0.0.2"),
    ];
    assert_eq!(client("10.0.0.1", &lines), "192.0.2.9");
}

#[test]
fn reads_forwarded_when_there_is_no_x_forwarded_for() {
    for (value, want) in [
        ("for=192.0.2.9;proto=https, for=10.0.0.2", "192.0.2.9"),
        (
            "For=\"[2001:db8::9]:4711\";by=_x, FOR=10.0.0.2",
            "2001:db8::9",
        ),
        ("for=1.1.1.1, for=\"192.0.2.9:80\"", "192.0.2.9"),
        ("for=1.1.1.1, for=_hidden", "10.0.0.1"),
        ("for=1.1.1.1, for=unknown, for=10.0.0.2", "10.0.0.2"),
        ("for=1.1.1.1, proto=https", "10.0.0.1"),
        ("for=1.1.1.1;for=2.2.2.2", "10.0.0.1"),
        ("for=1.1.1.1, by=\"a,b\";for=192.0.2.9", "192.0.2.9"),
        ("for=1.1.1.1, for=\"192.0.2.9", "10.0.0.1"),
        ("for=\"x, for=\"[2001:db8::9]:1\"", "2001:db8::9"),
        ("for=1.1.1.1, host=\"a\\\", for=3.3.3.3\"", "10.0.0.1"),
    ] {
        assert_eq!(client("10.0.0.1", &[("forwarded", value)]), want, "{value}");
    }
    let both = [
        ("forwarded", "for=1.1.1.1"),
        ("x-forwarded-for", "192.0.2.9"),
    ];
    assert_eq!(client("10.0.0.1", &both), "192.0.2.9");
}

#[test]
fn x_real_ip_counts_alone_and_only_once() {
    assert_eq!(
        client("10.0.0.1", &[("x-real-ip", "192.0.2.9")]),
        "192.0.2.9"
    );
    let twice = [("x-real-ip", "192.0.2.9"), ("x-real-ip", "192.0.2.8")];
    assert_eq!(client("10.0.0.1", &twice), "10.0.0.1");
    let beside = [("x-real-ip", "1.1.1.1"), ("x-forwarded-for", "garbage")];
    assert_eq!(client("10.0.0.1", &beside), "10.0.0.1");
}

#[test]
fn believes_a_scheme_only_from_a_trusted_peer() {
    let says = |peer: &str, value, tls| {
        let headers = headers(&[("x-forwarded-proto", value)]);
        scheme(peer.parse().unwrap(), &headers, &trusted(), tls)
    };
    assert_eq!(says("10.0.0.1", "https", false), "https");
    assert_eq!(says("10.0.0.1", "https, http", true), "http");
    assert_eq!(says("10.0.0.1", "gopher", true), "https");
    assert_eq!(says("192.0.2.1", "https", false), "http");
}

#[test]
fn the_upstream_is_told_one_address() {
    let fields = forwarded(
        "::ffff:192.0.2.9".parse().unwrap(),
        "https",
        &HeaderValue::from_static("app.example:8443"),
    );
    let text: Vec<_> = fields
        .iter()
        .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()))
        .collect();
    assert_eq!(
        text,
        [
            "x-forwarded-for: 192.0.2.9",
            "x-real-ip: 192.0.2.9",
            "x-forwarded-proto: https",
            "x-forwarded-host: app.example:8443"
        ]
    );
    for (name, _) in &fields {
        assert!(is_forwarding(&HeaderName::from_static(name)));
    }
    for name in [
        "x-forwarded-port",
        "x-forwarded-anything",
        "true-client-ip",
        "forwarded",
    ] {
        assert!(is_forwarding(&HeaderName::from_static(name)));
    }
    assert!(!is_forwarding(&HeaderName::from_static("x-request-id")));
}

proptest! {
    /// Whatever stands left of the last hop that a trusted proxy wrote, it changes nothing.
    #[test]
    fn what_a_client_writes_never_moves_its_address(lie in "[ -~]{0,40}", second in "[ -~]{0,40}") {
        for (name, own) in [("x-forwarded-for", "192.0.2.9, 10.0.0.2"), ("forwarded", "for=192.0.2.9, for=10.0.0.2")] {
            let mut map = HeaderMap::new();
            map.append(name, HeaderValue::from_str(&lie).unwrap());
            map.append(name, HeaderValue::from_str(&format!("{second}, {own}")).unwrap());
            let found = address("10.0.0.1".parse().unwrap(), &map, &trusted());
            prop_assert_eq!(found.to_string(), "192.0.2.9");
            let untrusted = address("192.0.2.1".parse().unwrap(), &map, &trusted());
            prop_assert_eq!(untrusted.to_string(), "192.0.2.1");
        }
    }
}

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use serde_json::{Value, json};

use super::*;
use crate::testing::{Bench, Scene};

/// All shapes of records that there are, in one file.
fn world() -> Vec<u8> {
    mmdb::write(&[
        ("192.0.2.0/24", json!({"country": {"iso_code": "TW", "names": {"en": "Taiwan"}}, "continent": {"code": "AS"}})),
        ("198.51.100.0/24", json!({"country_code": "DE"})),
        ("198.51.100.128/25", json!({"country_code": "KP"})),
        ("203.0.113.0/24", json!({"country": "JP", "country_name": "Japan", "continent": "AS", "asn": "AS64496"})),
        ("10.0.0.0/8", json!({"registered_country": {"iso_code": "US"}})),
        ("2001:db8::/32", json!({"country": {"iso_code": "KR"}, "autonomous_system_number": 64500})),
        ("2001:db9::/32", json!({"autonomous_system_number": 64501, "traits": {"is_x": true}, "list": [1, "a"]})),
    ])
}

fn bench(spec: Value) -> Bench {
    Bench::with_files("geo", spec, &[("geo.mmdb", world())])
}

fn ask(bench: &mut Bench, client: &str) -> Answer {
    bench.ask(&Scene { client: client.parse().unwrap(), ..Scene::default() })
}

const PASS: Answer = Answer::Pass;

fn denied() -> Answer {
    Answer::deny(Reason::GeoDenied)
}

fn unknown() -> Answer {
    Answer::deny(Reason::GeoUnknown)
}

#[test]
fn reads_every_shape_of_record() {
    let mut bench = bench(json!({"database": "geo.mmdb"}));
    let place = |country: Option<&[u8; 2]>, continent: Option<&[u8; 2]>, asn| Place {
        country: country.copied(),
        continent: continent.copied(),
        asn,
    };
    for (client, want) in [
        ("192.0.2.9", place(Some(b"TW"), Some(b"AS"), None)),
        ("::ffff:192.0.2.9", place(Some(b"TW"), Some(b"AS"), None)),
        ("198.51.100.1", place(Some(b"DE"), Some(b"EU"), None)),
        ("198.51.100.200", place(Some(b"KP"), Some(b"AS"), None)),
        ("203.0.113.1", place(Some(b"JP"), Some(b"AS"), Some(64496))),
        ("10.1.2.3", place(Some(b"US"), Some(b"NA"), None)),
        ("2001:db8::1", place(Some(b"KR"), Some(b"AS"), Some(64500))),
        ("2001:db9::1", place(None, None, Some(64501))),
        ("127.0.0.1", Place::default()),
        ("2001:dba::1", Place::default()),
    ] {
        assert_eq!(ask(&mut bench, client), PASS);
        assert_eq!(bench.facts.place, want, "{client}");
    }
}

#[test]
fn denies_by_country_continent_and_system() {
    let spec = json!({"database": "geo.mmdb", "deny": {"countries": ["KP"], "asns": ["AS64500", 64496]}, "unknown": "allow"});
    let mut bench = bench(spec);
    assert_eq!(ask(&mut bench, "198.51.100.200"), denied());
    assert_eq!(ask(&mut bench, "203.0.113.1"), denied());
    assert_eq!(ask(&mut bench, "2001:db8::1"), denied());
    assert_eq!(ask(&mut bench, "192.0.2.1"), PASS);
}

#[test]
fn allows_only_what_a_list_names_and_deny_wins() {
    let spec = json!({"database": "geo.mmdb", "allow": {"countries": ["de"], "continents": ["AS"]}, "deny": {"countries": ["KP"]}});
    let mut bench = bench(spec);
    assert_eq!(ask(&mut bench, "198.51.100.1"), PASS);
    assert_eq!(ask(&mut bench, "192.0.2.1"), PASS);
    assert_eq!(ask(&mut bench, "198.51.100.200"), denied());
    assert_eq!(ask(&mut bench, "10.0.0.1"), denied());
}

#[test]
fn what_is_unknown_is_denied_unless_the_policy_says_otherwise() {
    let deny = json!({"countries": ["KP"]});
    let mut strict = bench(json!({"database": "geo.mmdb", "deny": deny}));
    assert_eq!(ask(&mut strict, "127.0.0.1"), unknown());
    assert_eq!(ask(&mut strict, "2001:db9::1"), unknown());
    assert_eq!(ask(&mut strict, "192.0.2.1"), PASS);
    let mut lenient = bench(json!({"database": "geo.mmdb", "deny": deny, "unknown": "allow"}));
    assert_eq!(ask(&mut lenient, "127.0.0.1"), PASS);
    // Known to be allowed by its system, though its country is not known.
    let mut either = bench(json!({"database": "geo.mmdb", "allow": {"countries": ["TW"], "asns": [64501]}}));
    assert_eq!(ask(&mut either, "2001:db9::1"), PASS);
    assert_eq!(ask(&mut either, "127.0.0.1"), unknown());
}

#[test]
fn systems_come_from_a_second_database() {
    let countries = mmdb::write(&[("192.0.2.0/24", json!({"country_code": "TW"}))]);
    let systems = mmdb::write(&[("192.0.2.0/25", json!({"autonomous_system_number": 7}))]);
    let files = [("c.mmdb", countries), ("a.mmdb", systems)];
    let spec = json!({"database": "c.mmdb", "asn_database": "a.mmdb", "deny": {"asns": [7]}});
    let mut bench = Bench::with_files("geo", spec, &files);
    assert_eq!(ask(&mut bench, "192.0.2.1"), denied());
    assert_eq!(bench.facts.place.country, Some(*b"TW"));
    assert_eq!(ask(&mut bench, "192.0.2.200"), unknown());
    let spec = json!({"database": "c.mmdb", "deny": {"asns": [7]}});
    let faults = Bench::faults_of("geo", spec, &files);
    assert_eq!(faults, ["it.database: the lists name autonomous systems, but it holds none"]);
    let spec = json!({"database": "a.mmdb", "deny": {"continents": ["AS"]}});
    let faults = Bench::faults_of("geo", spec, &files);
    assert_eq!(faults, ["it.database: the lists name countries or continents, but it holds none"]);
}

#[test]
fn refuses_a_damaged_database_before_any_request() {
    let whole = world();
    let marker = whole.windows(14).position(|window| window == b"\xab\xcd\xefMaxMind.com").unwrap();
    // Opens, because the metadata is there, and would fail only on look-up.
    let mut hollow = whole.clone();
    hollow.drain(marker - 40..marker);
    let mut pointing = whole.clone();
    pointing[4..8].copy_from_slice(&u32::MAX.to_be_bytes());
    let damaged: [&[u8]; 6] = [b"", b"not a database", &whole[..whole.len() / 2], &whole[marker..], &hollow, &pointing];
    for (index, bytes) in damaged.into_iter().enumerate() {
        let faults = Bench::faults_of("geo", json!({"database": "geo.mmdb"}), &[("geo.mmdb", bytes)]);
        assert_eq!(faults.len(), 1, "{index}");
        assert!(faults[0].starts_with("it.database: geo.mmdb is not usable: "), "{index}: {faults:?}");
    }
}

#[test]
fn every_cut_is_noticed() {
    let whole = world();
    for length in 0..whole.len() {
        let cut = bytes::Bytes::copy_from_slice(&whole[..length]);
        // Without its last bytes the metadata may still be readable; what opens must answer as the whole does.
        if let Ok(database) = Database::open(cut) {
            assert_eq!(database.place("192.0.2.1".parse().unwrap()).country, Some(*b"TW"), "{length}");
        }
    }
}

#[test]
fn a_decision_allocates_nothing() {
    let mut bench = bench(json!({"database": "geo.mmdb", "deny": {"countries": ["KP"], "asns": [1]}}));
    for client in ["192.0.2.1", "198.51.100.1", "203.0.113.1", "2001:db8::1", "127.0.0.1"] {
        let scene = Scene {
            client: client.parse().unwrap(),
            ..Scene::default()
        };
        assert_eq!(bench.allocations(&scene), 0, "{client}");
    }
}

#[test]
fn every_bad_code_is_named() {
    let spec = json!({
        "database": "gone.mmdb",
        "allow": {"countries": ["TWN", "UK", "QQ"], "continents": ["EUR", "XX"]},
        "deny": {},
    });
    let faults = Bench::faults_of::<&str>("geo", spec, &[]);
    assert_eq!(
        faults,
        [
            "it.allow.countries[0]: `TWN` is not an ISO 3166-1 alpha-2 code such as TW",
            "it.allow.countries[1]: `UK` is not an ISO 3166-1 code: write GB",
            "it.allow.countries[2]: `QQ` is not an ISO 3166-1 alpha-2 code such as TW",
            "it.allow.continents[0]: `EUR` is not one of AF, AN, AS, EU, NA, OC, SA",
            "it.allow.continents[1]: `XX` is not one of AF, AN, AS, EU, NA, OC, SA",
            "it.allow: no list in it names anything",
            "it.deny: no list in it names anything",
            "it.database: cannot read gone.mmdb: no such file",
        ]
    );
}

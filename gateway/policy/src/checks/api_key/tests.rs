#![expect(clippy::unwrap_used, reason = "tests")]

use std::time::Duration;

use http::header::{AUTHORIZATION, WWW_AUTHENTICATE};
use http::{HeaderName, HeaderValue};
use serde_json::{Value, json};

use super::record::{self, Record};
use super::text;
use crate::decision::{Answer, Reason};
use crate::io::{Space, StoreFault};
use crate::key::Keys;
use crate::stored;
use crate::testing::{Bench, Scene};

fn bench(spec: Value) -> Bench {
    Bench::new("api_key", spec)
}

fn record(prefix: &str, key: &str) -> Record {
    Record {
        prefix: prefix.to_owned(),
        hash: record::hex(&text::hash(key)),
        previous: None,
        owner: "mia".to_owned(),
        name: "ci".to_owned(),
        permissions: vec!["read".to_owned(), "write".to_owned()],
        scopes: Vec::new(),
        networks: Vec::new(),
        created: 0,
        expires: None,
        revoked: None,
        used: None,
        rate: None,
        quota: None,
    }
}

fn store(bench: &mut Bench, record: &Record) {
    let at = record::key(Keys::process(), &record.prefix);
    let (value, now) = (stored::encode(record).unwrap(), bench.io.now);
    bench.io.memory.put(Space::ApiKey, at, value, record.ttl(now.unix), now).unwrap();
}

/// Stores a key as `change` makes it; gives its text.
fn made(bench: &mut Bench, prefix: &str, change: impl FnOnce(&mut Record)) -> String {
    let key = text::make(prefix, &[prefix.bytes().next().unwrap(); 32]).to_string();
    let mut record = record(prefix, &key);
    change(&mut record);
    assert_eq!(record.judge(), Ok(()));
    store(bench, &record);
    key
}

fn sent(key: &str) -> Scene {
    let mut scene = Scene::default();
    scene.headers.append(HeaderName::from_static("x-api-key"), HeaderValue::from_str(key).unwrap());
    scene
}

fn refused(bench: &mut Bench, scene: &Scene) -> Option<Reason> {
    match bench.ask(scene) {
        Answer::Pass => None,
        Answer::Deny(denial) => Some(denial.reason),
        Answer::Reply(reply) => Some(reply.reason),
    }
}

#[test]
fn a_key_says_who_asks_and_does_not_go_on() {
    let mut bench = bench(json!({"forward": {"user": "X-User-Id", "permissions": "X-Permissions"}}));
    let key = made(&mut bench, "aaaaaaaa", |_| ());
    assert_eq!(refused(&mut bench, &sent(&key)), None);
    let identity = bench.facts.identity.clone().unwrap();
    assert_eq!(identity.user, "mia");
    assert_eq!(identity.claims.get("permissions"), Some(&json!(["read", "write"])));
    let forwarded: Vec<_> = identity.forward.iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap())).collect();
    assert_eq!(forwarded, [("x-user-id", "mia"), ("x-permissions", "read,write")]);
    assert_eq!(bench.effects.upstream.as_slice(), [(HeaderName::from_static("x-api-key"), None)]);
    let stored = bench.io.memory.get(Space::ApiKey, record::key(Keys::process(), "aaaaaaaa"), bench.io.now).unwrap();
    let stored: Record = stored::decode(&stored).unwrap();
    assert_eq!(stored.used, Some(bench.io.now.unix));
    assert!(!serde_json::to_string(&stored).unwrap().contains(&key[13..]));
}

#[test]
fn no_key_a_wrong_one_and_two_are_refused() {
    let mut bench = bench(json!({}));
    let key = made(&mut bench, "aaaaaaaa", |_| ());
    assert_eq!(refused(&mut bench, &Scene::default()), Some(Reason::KeyMissing));
    assert!(bench.effects.response.iter().any(|(name, value)| name == WWW_AUTHENTICATE && value == "ApiKey"));
    let wrong = text::make("aaaaaaaa", &[9; 32]);
    let unknown = text::make("bbbbbbbb", &[9; 32]);
    for text in [wrong.as_str(), &unknown, &key[..61], "", "pal_x", &key.to_uppercase()] {
        assert_eq!(refused(&mut bench, &sent(text)), Some(Reason::KeyInvalid), "{text}");
    }
    let mut twice = sent(&key);
    twice.headers.append(HeaderName::from_static("x-api-key"), HeaderValue::from_static("x"));
    assert_eq!(refused(&mut bench, &twice), Some(Reason::KeyInvalid));
}

#[test]
fn a_bearer_token_may_be_a_key_and_other_credentials_are_not_looked_at() {
    let mut bench = bench(json!({"header": ["Authorization", "X-API-Key"], "optional": true}));
    let key = made(&mut bench, "aaaaaaaa", |_| ());
    let mut scene = Scene::default();
    scene.headers.insert(AUTHORIZATION, HeaderValue::try_from(format!("Bearer {key}")).unwrap());
    assert_eq!(refused(&mut bench, &scene), None);
    assert!(bench.facts.identity.take().is_some());
    for other in ["Bearer a.b.c", "Basic YTpi", "Bearer"] {
        scene.headers.insert(AUTHORIZATION, HeaderValue::from_static(other));
        assert_eq!(refused(&mut bench, &scene), None, "{other}");
        assert!(bench.facts.identity.is_none());
    }
    scene.headers.insert(AUTHORIZATION, HeaderValue::from_static("Bearer pal_wrong"));
    assert_eq!(refused(&mut bench, &scene), Some(Reason::KeyInvalid));
}

#[test]
fn an_end_a_revocation_networks_and_permissions_hold() {
    let mut bench = bench(json!({"permissions": ["write"], "cache": "0s"}));
    let now = bench.io.now.unix;
    let expired = made(&mut bench, "aaaaaaaa", |record| record.expires = Some(now));
    assert_eq!(refused(&mut bench, &sent(&expired)), Some(Reason::KeyExpired));
    let revoked = made(&mut bench, "bbbbbbbb", |record| record.revoked = Some(now));
    assert_eq!(refused(&mut bench, &sent(&revoked)), Some(Reason::KeyInvalid));
    let elsewhere = made(&mut bench, "cccccccc", |record| record.networks = vec!["10.0.0.0/8".to_owned()]);
    assert_eq!(refused(&mut bench, &sent(&elsewhere)), Some(Reason::IpDenied));
    let here = made(&mut bench, "dddddddd", |record| record.networks = vec!["192.0.2.1".to_owned()]);
    assert_eq!(refused(&mut bench, &sent(&here)), None);
    let reader = made(&mut bench, "eeeeeeee", |record| record.permissions = vec!["read".to_owned()]);
    assert_eq!(refused(&mut bench, &sent(&reader)), Some(Reason::Forbidden));
}

#[test]
fn a_revocation_holds_within_the_time_that_look_ups_are_kept() {
    let mut bench = bench(json!({}));
    let key = made(&mut bench, "aaaaaaaa", |_| ());
    assert_eq!(refused(&mut bench, &sent(&key)), None);
    made(&mut bench, "aaaaaaaa", |record| record.revoked = Some(1));
    bench.io.advance(Duration::from_millis(4_999));
    assert_eq!(refused(&mut bench, &sent(&key)), None);
    bench.io.advance(Duration::from_millis(1));
    assert_eq!(refused(&mut bench, &sent(&key)), Some(Reason::KeyInvalid));
}

#[test]
fn a_rotated_key_is_accepted_for_its_grace_time() {
    let mut bench = bench(json!({"cache": "0s"}));
    let new = text::make("aaaaaaaa", &[200; 32]);
    let now = bench.io.now.unix;
    let old = made(&mut bench, "aaaaaaaa", |record| record.rotate(&new, now, Duration::from_secs(60)));
    assert_eq!(refused(&mut bench, &sent(&new)), None);
    assert_eq!(refused(&mut bench, &sent(&old)), None);
    bench.io.advance(Duration::from_secs(60));
    assert_eq!(refused(&mut bench, &sent(&new)), None);
    assert_eq!(refused(&mut bench, &sent(&old)), Some(Reason::KeyInvalid));
}

#[test]
fn a_quota_ends_with_the_day_and_a_rate_counts_apart() {
    let mut bench = bench(json!({"quota": "3/1d", "rate": "100/1m", "time_zone": "Asia/Tokyo"}));
    bench.at("2026-03-01T14:59:00Z");
    let key = made(&mut bench, "aaaaaaaa", |_| ());
    let more = made(&mut bench, "bbbbbbbb", |record| record.quota = Some("4/1d".to_owned()));
    for _ in 0..3 {
        assert_eq!(refused(&mut bench, &sent(&key)), None);
        assert_eq!(refused(&mut bench, &sent(&more)), None);
    }
    assert_eq!(refused(&mut bench, &sent(&key)), Some(Reason::KeyQuota));
    assert_eq!(refused(&mut bench, &sent(&more)), None);
    let Answer::Deny(denial) = bench.ask(&sent(&key)) else { panic!("it passes") };
    assert_eq!((denial.status.as_u16(), denial.retry_after), (429, Some(60)));
    bench.at("2026-03-01T15:00:00Z");
    assert_eq!(refused(&mut bench, &sent(&key)), None);
    let own = made(&mut bench, "cccccccc", |record| record.rate = Some("1/1m".to_owned()));
    assert_eq!(refused(&mut bench, &sent(&own)), None);
    assert_eq!(refused(&mut bench, &sent(&own)), Some(Reason::RateLimited));
}

#[test]
fn who_sends_wrong_keys_is_refused_for_a_while() {
    let mut bench = bench(json!({"wrong": "3/1m", "cache": "0s"}));
    let key = made(&mut bench, "aaaaaaaa", |_| ());
    let wrong = text::make("bbbbbbbb", &[9; 32]);
    for _ in 0..3 {
        assert_eq!(refused(&mut bench, &sent(&wrong)), Some(Reason::KeyInvalid));
    }
    assert_eq!(refused(&mut bench, &sent(&wrong)), Some(Reason::RateLimited));
    assert_eq!(refused(&mut bench, &sent(&key)), Some(Reason::RateLimited));
    let other = Scene { client: "192.0.2.2".parse().unwrap(), ..sent(&key) };
    assert_eq!(refused(&mut bench, &other), None);
    bench.io.advance(Duration::from_secs(61));
    assert_eq!(refused(&mut bench, &sent(&key)), None);
}

#[test]
fn a_new_key_is_good_at_once_where_the_old_one_is_still_remembered() {
    let mut bench = bench(json!({"wrong": "3/1m"}));
    let old = made(&mut bench, "aaaaaaaa", |_| ());
    assert_eq!(refused(&mut bench, &sent(&old)), None);
    let new = text::make("aaaaaaaa", &[7; 32]).to_string();
    store(&mut bench, &record("aaaaaaaa", &new));
    for _ in 0..5 {
        assert_eq!(refused(&mut bench, &sent(&new)), None);
    }
    for _ in 0..3 {
        assert_eq!(refused(&mut bench, &sent(&old)), Some(Reason::KeyInvalid));
    }
    assert_eq!(refused(&mut bench, &sent(&old)), Some(Reason::RateLimited));
    assert_eq!(refused(&mut bench, &sent(&new)), None, "it is remembered");
}

#[test]
fn without_the_store_no_key_is_believed() {
    let mut bench = bench(json!({"quota": "9/1d"}));
    let key = made(&mut bench, "aaaaaaaa", |_| ());
    bench.io.store_fault = Some(StoreFault::Down);
    assert_eq!(refused(&mut bench, &sent(&key)), Some(Reason::StoreUnavailable));
    bench.io.store_fault = None;
    assert_eq!(refused(&mut bench, &sent(&key)), None);
    // Known by now, but its quota cannot be counted.
    bench.io.store_fault = Some(StoreFault::Slow);
    assert_eq!(refused(&mut bench, &sent(&key)), Some(Reason::StoreUnavailable));
}

#[test]
fn a_key_that_is_known_costs_no_allocation() {
    let mut bench = bench(json!({"rate": "1000/1m", "forward": {"user": "X-User-Id"}}));
    let key = made(&mut bench, "aaaaaaaa", |_| ());
    assert_eq!(bench.allocations(&sent(&key)), 0);
}

#[test]
fn records_that_make_no_sense_are_not_made() {
    let key = text::make("aaaaaaaa", &[1; 32]);
    let wrong: [fn(&mut Record); 7] = [
        |record| record.owner.clear(),
        |record| record.owner = "a\r\nX-Role: admin".to_owned(),
        |record| record.permissions = vec!["a,b".to_owned()],
        |record| record.scopes = vec![String::new()],
        |record| record.networks = vec!["10.0.0.0/64".to_owned()],
        |record| record.rate = Some("1".to_owned()),
        |record| record.quota = Some("1/1h".to_owned()),
    ];
    for change in wrong {
        let mut record = record("aaaaaaaa", &key);
        change(&mut record);
        assert!(record.judge().is_err(), "{record:?}");
    }
}

#[test]
fn what_cannot_hold_is_not_loaded() {
    for (spec, about) in [
        (json!({"cache": "2m"}), "it.cache"),
        (json!({"time_zone": "Mars/Olympus"}), "it.time_zone"),
        (json!({"header": "a b"}), "it.header[0]"),
        (json!({"forward": {"user": "Cookie"}}), "it.forward"),
        (json!({"rate": "1/90d"}), "it.rate"),
        (json!({"on_store_error": "allow"}), "it.on_store_error"),
    ] {
        let found = Bench::faults_of::<&str>("api_key", spec, &[]);
        assert!(found.iter().any(|fault| fault.starts_with(about)), "{found:?}");
    }
}

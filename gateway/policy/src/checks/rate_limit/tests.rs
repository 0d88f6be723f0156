#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]
use std::sync::Arc;

use serde_json::{Value, json};

use super::*;
use crate::checks::testing::{Asked, Given};
use crate::invented::{Invented, ready};
use crate::request::Identity;

fn compile(spec: Value) -> Result<Check, Vec<String>> {
    Given::default().compile(spec, Spec::compile)
}

fn ask(check: &Check, asked: &mut Asked, io: &mut Invented) -> Answer {
    asked.turn(io, |turn| ready(check.ask(turn)).unwrap())
}

fn passes(check: &Check, io: &mut Invented) -> bool {
    ask(check, &mut Asked::default(), io) == Answer::Pass
}

#[test]
fn refuses_over_the_limit_and_says_when_to_come_back() {
    let check = compile(json!({"key": ["ip"], "limit": "3/1m"})).unwrap();
    let mut io = Invented::default();
    assert!((0..3).all(|_| passes(&check, &mut io)));
    io.advance(Duration::from_millis(10_500));
    let mut asked = Asked::default();
    let Answer::Deny(denial) = ask(&check, &mut asked, &mut io) else { panic!("passed") };
    assert_eq!((denial.reason, denial.status.as_u16(), denial.retry_after), (Reason::RateLimited, 429, Some(50)));
    let (id, standing) = asked.effects.limits[0];
    assert_eq!((id, standing.max, standing.remaining, standing.window_s), (turn_id(), 3, 0, 60));
    let mut other = Asked { client: "192.0.2.2", ..Asked::default() };
    assert_eq!(ask(&check, &mut other, &mut io), Answer::Pass);
    assert_eq!(other.effects.limits[0].1.remaining, 2);
    io.advance(Duration::from_millis(49_500));
    assert!(passes(&check, &mut io));
}

fn turn_id() -> crate::decision::CheckId {
    crate::decision::CheckId(3)
}

#[test]
fn several_limits_hold_at_once_and_a_refusal_counts_in_none() {
    let check = compile(json!({"key": ["ip"], "limits": ["5/1m", "2/1s"]})).unwrap();
    let mut io = Invented::default();
    assert!(passes(&check, &mut io) && passes(&check, &mut io));
    assert!((0..50).all(|_| !passes(&check, &mut io)), "two a second");
    io.advance(Duration::from_secs(1));
    assert!(passes(&check, &mut io) && passes(&check, &mut io) && !passes(&check, &mut io));
    io.advance(Duration::from_secs(1));
    assert!(passes(&check, &mut io), "the fifty refused ones did not fill the minute");
    assert!((0..50).all(|_| !passes(&check, &mut io)), "five a minute");
    io.advance(Duration::from_secs(58));
    assert!(passes(&check, &mut io), "nor did those fill the second");
}

#[test]
fn costs_count_and_pace_smooths() {
    let check = compile(json!({"key": ["ip"], "limit": "10/1m", "cost": 4})).unwrap();
    let mut io = Invented::default();
    assert!(passes(&check, &mut io) && passes(&check, &mut io) && !passes(&check, &mut io));
    let check = compile(json!({"key": ["ip"], "limit": "60/1m", "algorithm": "pace", "burst": 2, "status": 503})).unwrap();
    assert!(passes(&check, &mut io) && passes(&check, &mut io) && !passes(&check, &mut io));
    io.advance(Duration::from_secs(1));
    assert!(passes(&check, &mut io) && !passes(&check, &mut io));
}

#[test]
fn refused_requests_count_where_asked_to() {
    let check = compile(json!({"key": ["ip"], "limit": "2/1s", "count_refused": true})).unwrap();
    let mut io = Invented::default();
    assert!(passes(&check, &mut io) && passes(&check, &mut io));
    for _ in 0..5 {
        io.advance(Duration::from_millis(400));
        assert!(!passes(&check, &mut io), "it never paused for a second");
    }
    io.advance(Duration::from_secs(1));
    assert!(passes(&check, &mut io));
}

#[test]
fn users_are_counted_apart_wherever_they_come_from() {
    let check = compile(json!({"key": ["user", "route"], "limit": "1/1m"})).unwrap();
    assert!(check.needs().identity);
    let mut io = Invented::default();
    let mut at = |user: &str, client, route| {
        let identity = Identity { user: user.to_owned(), ..Identity::default() };
        let mut asked = Asked { client, route, ..Asked::default() };
        asked.facts.identity = Some(Arc::new(identity));
        ask(&check, &mut asked, &mut io) == Answer::Pass
    };
    assert!(at("a", "192.0.2.1", 1) && !at("a", "192.0.2.2", 1));
    assert!(at("b", "192.0.2.1", 1) && at("a", "192.0.2.1", 2));
}

#[test]
fn a_store_that_is_gone_does_what_the_policy_says() {
    let with = |on_store_error| {
        let given = Given { on_store_error, ..Given::default() };
        given.compile(json!({"key": ["ip"], "limit": "1/1m"}), Spec::compile).unwrap()
    };
    let mut io = Invented::default();
        io.store_fault = Some(StoreFault::Down);
    let local = with(None);
    assert!(passes(&local, &mut io) && !passes(&local, &mut io), "by default this node counts by itself");
    let allow = with(Some(OnError::Allow));
    assert!((0..3).all(|_| passes(&allow, &mut io)));
    let deny = ask(&with(Some(OnError::Deny)), &mut Asked::default(), &mut io);
    assert_eq!(deny, Answer::deny(Reason::StoreUnavailable));
}

#[test]
fn counters_survive_a_changed_limit() {
    let mut io = Invented::default();
    let before = compile(json!({"key": ["ip"], "limit": "5/1m"})).unwrap();
    assert!((0..4).all(|_| passes(&before, &mut io)));
    let after = compile(json!({"key": ["ip"], "limit": "3/1m"})).unwrap();
    assert!(!passes(&after, &mut io));
    let longer = compile(json!({"key": ["ip"], "limit": "5/1h"})).unwrap();
    assert!(passes(&longer, &mut io) && !passes(&longer, &mut io));
}

#[test]
fn faults_name_the_key_and_what_would_be_right() {
    for (spec, at) in [
        (json!({"key": ["ip"]}), "checks.it.limit: one to 8"),
        (json!({"key": [], "limit": "1/1m"}), "checks.it.key: one to 8"),
        (json!({"key": ["ip"], "limits": ["1/1m", "1/90d"]}), "checks.it.limits[1]: `1/90d`"),
        (json!({"key": ["ip"], "limit": "1/1ms"}), "checks.it.limit: `1/1ms`"),
        (json!({"key": ["ip"], "limit": "5/1m", "cost": 6}), "checks.it.cost"),
        (json!({"key": ["ip"], "limit": "5/1m", "cost": 0}), "checks.it.cost"),
        (json!({"key": ["ip"], "limit": "5/1m", "burst": 6}), "checks.it.burst: only"),
        (json!({"key": ["ip"], "limit": "5/1m", "algorithm": "pace", "burst": 0}), "checks.it.burst"),
        (json!({"key": ["ip"], "limit": "5/1m", "algorithm": "pace", "count_refused": true}), "checks.it.count_refused"),
        (json!({"key": ["ip"], "limit": "5/1m", "status": 200}), "checks.it.status: 200"),
        (json!({"key": ["cookie"], "limit": "5/1m"}), "`cookie` is no part of a key"),
        (json!({"key": ["ip"], "limit": "5/1m", "ky": 1}), "unknown field `ky`"),
    ] {
        let faults = compile(spec.clone()).unwrap_err();
        assert!(faults.iter().any(|fault| fault.contains(at)), "{spec}: {faults:?}");
    }
}

#[test]
fn a_header_is_a_key_and_leaving_it_out_is_no_way_around() {
    let check = compile(json!({"key": ["header:X-Key"], "limit": "1/1m"})).unwrap();
    let mut io = Invented::default();
    let mut with = |value| ask(&check, &mut Asked::default().header("x-key", value), &mut io) == Answer::Pass;
    assert!(with("a") && with("b") && !with("a"));
    assert!(passes(&check, &mut io) && !passes(&check, &mut io));
}

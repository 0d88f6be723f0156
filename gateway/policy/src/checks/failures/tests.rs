#![expect(clippy::unwrap_used, reason = "tests")]

use std::net::IpAddr;

use bytes::Bytes;
use http::{HeaderMap, Method};
use serde_json::{Value, json};

use super::*;
use crate::ban;
use crate::checks::Unanswered;
use crate::invented::ready;
use crate::testing::{Bench, Scene};

const FORM: &str = "application/x-www-form-urlencoded";
const HERE: &str = "198.51.100.1";
const THERE: &str = "203.0.113.1";

fn spec(rules: Value) -> Value {
    json!({
        "watch": {"request": "POST /login", "user": "form.email", "failed": {"status": 401}, "passed": {"status": 302}},
        "rules": rules
    })
}

fn guard(rules: Value) -> Bench {
    Bench::new("failures", spec(rules))
}

fn scene(client: &str) -> Scene {
    Scene { client: client.parse().unwrap(), method: Method::POST, path: "/login", ..Scene::default() }
        .header("content-type", FORM)
}

fn asked(bench: &mut Bench, client: &str, user: &str) -> Answer {
    bench.facts.awaits.clear();
    bench.io.body = Ok(Bytes::from(format!("email={user}&password=x")));
    bench.ask(&scene(client))
}

/// The application answers the attempt that was asked about last, and the request ends.
fn answered(bench: &mut Bench, client: &str, mode: Mode, status: u16) {
    let mut awaited = bench.facts.awaits.pop().unwrap();
    awaited.mode = mode;
    let headers = HeaderMap::new();
    let unanswered = (status == 0).then_some(Unanswered::Client);
    let Bench { check, io, facts, effects, .. } = bench;
    scene(client).asked(|request| {
        let mut hearing =
            Hearing { request, facts, effects, io, awaited, status, unanswered, headers: &headers, body: b"" };
        ready(check.heard(&mut hearing)).unwrap();
    });
    bench.io.end();
}

/// One attempt from beginning to end; whether it reached the application.
fn attempt(bench: &mut Bench, client: &str, user: &str, status: u16) -> bool {
    let free = asked(bench, client, user) == Answer::Pass;
    if free {
        answered(bench, client, Mode::Enforce, status);
    }
    bench.io.end();
    free
}

fn told(bench: &Bench) -> Vec<&'static str> {
    bench.effects.told.iter().map(|told| told.event).collect()
}

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

#[test]
fn the_fifth_failure_bans_the_address_and_the_user() {
    let mut bench = guard(json!([{"when": "5 in 5m by ip or user", "ban": {"user": "15m", "ip": "30m"}}]));
    for _ in 0..5 {
        assert!(attempt(&mut bench, HERE, "Ann", 401));
    }
    assert_eq!(told(&bench).iter().filter(|event| **event == "ban_started").count(), 2);
    let refused = asked(&mut bench, HERE, "bob");
    let Answer::Deny(denial) = refused else { panic!("{refused:?}") };
    assert_eq!((denial.reason, denial.status.as_u16(), denial.retry_after), (Reason::TooManyFailures, 429, Some(1800)));
    assert!(!attempt(&mut bench, THERE, " ANN", 302), "the user is banned everywhere");
    assert!(attempt(&mut bench, THERE, "bob", 302));
    bench.io.advance(Duration::from_secs(15 * 60));
    assert!(attempt(&mut bench, THERE, "ann", 302));
    assert!(!attempt(&mut bench, HERE, "ann", 302));
    bench.io.advance(Duration::from_secs(15 * 60));
    for _ in 0..5 {
        assert!(attempt(&mut bench, HERE, "eve", 401), "after the ban there are as many again");
    }
    assert!(!attempt(&mut bench, HERE, "eve", 401));
}

#[test]
fn of_many_guesses_at_once_no_more_go_on_than_may_fail() {
    let mut bench = guard(json!([{"when": "5 in 5m by user", "ban": {"user": "15m"}}]));
    let free = (0..100).filter(|number| {
        let client = format!("10.0.0.{number}");
        asked(&mut bench, &client, "ann") == Answer::Pass
    });
    assert_eq!(free.count(), 5);
    bench.io.end();
    // None of them was answered: all places are free again.
    assert!(attempt(&mut bench, HERE, "ann", 401));
}

#[test]
fn strangers_do_not_lock_a_user_out_of_where_they_logged_in_before() {
    let rules = json!([{"when": "5 in 5m by user", "ban": {"user": "15m"}}, {"when": "3 in 5m by pair", "ban": {"pair": "5m"}}]);
    let mut bench = guard(rules);
    assert!(attempt(&mut bench, HERE, "ann", 302));
    let guesses = (0..20).filter(|number| attempt(&mut bench, &format!("203.0.113.{number}"), "ann", 401));
    assert_eq!(guesses.count(), 5);
    assert!(!attempt(&mut bench, THERE, "ann", 302), "elsewhere the user is banned");
    assert!(attempt(&mut bench, HERE, "ann", 302), "here they are known");
    // The known network has counts of its own: it is no way around them.
    let guesses = (0..20).filter(|_| attempt(&mut bench, HERE, "ann", 401));
    assert_eq!(guesses.count(), 3);
}

#[test]
fn a_success_clears_the_pair_and_not_the_address() {
    let rules = json!([{"when": "3 in 5m by pair", "ban": {"pair": "5m"}}, {"when": "5 in 5m by ip", "ban": {"ip": "5m"}}]);
    let mut bench = guard(rules);
    for status in [401, 401, 302, 401, 401] {
        assert!(attempt(&mut bench, HERE, "ann", status));
    }
    assert!(told(&bench).contains(&"login_after_failures"));
    assert!(attempt(&mut bench, HERE, "ann", 302));
    assert!(attempt(&mut bench, HERE, "bob", 401));
    assert!(!attempt(&mut bench, HERE, "bob", 401), "five failures of the address");
}

#[test]
fn one_address_may_not_try_many_users_nor_many_addresses_one_user() {
    let rules = json!([{"when": "4 users in 10m by ip", "ban": {"ip": "1h"}}, {"when": "3 ips in 1h by user", "ban": {"user": "1h"}}]);
    let mut bench = guard(rules);
    for _ in 0..9 {
        assert!(attempt(&mut bench, HERE, "ann", 401), "one user who forgot the password");
    }
    let tried = ["bob", "cid", "dan", "eve", "fay"].iter().filter(|user| attempt(&mut bench, HERE, user, 401));
    assert_eq!(tried.count(), 3);
    let tried = (0..9).filter(|number| attempt(&mut bench, &format!("203.0.113.{number}"), "zoe", 401));
    assert_eq!(tried.count(), 3);
}

#[test]
fn bans_grow_and_are_forgotten() {
    let mut spec = spec(json!([{"when": "1 in 5m by ip", "ban": {"ip": "1m"}}]));
    spec.as_object_mut().unwrap().insert("progressive".to_owned(), json!({"factor": 3, "most": "5m", "forget": "1h"}));
    let mut bench = Bench::new("failures", spec);
    for minutes in [1, 3, 5, 5] {
        assert!(attempt(&mut bench, HERE, "ann", 401));
        bench.io.advance(Duration::from_secs(minutes * 60 - 1));
        assert!(!attempt(&mut bench, HERE, "ann", 401), "{minutes}");
        bench.io.advance(Duration::from_secs(1));
    }
    bench.io.advance(Duration::from_secs(2 * 3600));
    assert!(attempt(&mut bench, HERE, "ann", 401));
    bench.io.advance(Duration::from_secs(60));
    assert!(attempt(&mut bench, HERE, "ann", 302));
}

#[test]
fn observing_counts_and_bans_nobody() {
    let mut bench = guard(json!([{"when": "2 in 5m by ip", "ban": {"ip": "30m"}}]));
    for _ in 0..2 {
        assert_eq!(asked(&mut bench, HERE, "ann"), Answer::Pass);
        answered(&mut bench, HERE, Mode::Observe, 401);
    }
    assert_eq!(told(&bench), ["login_failed", "login_failed", "ban_would_start"]);
    let key = Whom::Client(address(HERE)).key(Keys::process());
    assert_eq!(ready(bench.io.get(crate::io::Space::Ban, key)).unwrap(), Ok(None));
    assert!(matches!(asked(&mut bench, HERE, "ann"), Answer::Deny(_)), "it is reported as what it would be");
    assert_eq!(bench.facts.awaits.len(), 1, "and still watched");
}

#[test]
fn attempts_that_name_nobody_share_a_count_that_no_success_clears() {
    let mut bench = guard(json!([{"when": "3 in 5m by user", "ban": {"user": "15m"}}]));
    let twice = "ann&email=bob";
    for (client, status) in [("10.0.0.1", 401), ("10.0.0.2", 302), ("10.0.0.3", 401), ("10.0.0.2", 302), ("10.0.0.4", 401)] {
        assert!(attempt(&mut bench, client, twice, status), "{client}");
    }
    assert!(!attempt(&mut bench, "10.0.0.2", twice, 401));
    assert!(attempt(&mut bench, "10.0.0.2", "ann", 302));
}

#[test]
fn an_address_is_a_network_where_clients_have_many() {
    let mut bench = guard(json!([{"when": "3 in 5m by ip", "ban": {"ip": "15m"}}]));
    for host in 1..=3 {
        assert!(attempt(&mut bench, &format!("2001:db8::{host}"), "ann", 401));
    }
    assert!(!attempt(&mut bench, "2001:db8::ffff", "bob", 401));
    assert!(attempt(&mut bench, "2001:db8:0:1::1", "bob", 401));
}

#[test]
fn lifting_a_ban_clears_what_was_counted() {
    let mut bench = guard(json!([{"when": "3 in 5m by ip or user", "ban": {"ip": "15m", "user": "15m"}}]));
    for _ in 0..3 {
        attempt(&mut bench, HERE, "ann", 401);
    }
    for whom in [Whom::Client(address(HERE)), Whom::User("Ann".to_owned())] {
        assert_eq!(ready(ban::lift(&mut bench.io, Keys::process(), &whom)).unwrap(), Ok(true));
    }
    assert!(attempt(&mut bench, HERE, "ann", 401));
    assert!(attempt(&mut bench, HERE, "ann", 302));
}

#[test]
fn an_abandoned_attempt_failed_and_a_broken_application_blames_nobody() {
    let mut bench = guard(json!([{"when": "2 in 5m by ip", "ban": {"ip": "15m"}}]));
    for _ in 0..9 {
        assert!(attempt(&mut bench, HERE, "ann", 503));
        assert!(attempt(&mut bench, HERE, "ann", 404));
    }
    assert!(attempt(&mut bench, HERE, "ann", 0));
    assert!(attempt(&mut bench, HERE, "ann", 0));
    assert!(!attempt(&mut bench, HERE, "ann", 0));
}

#[test]
fn an_operators_ban_holds_where_the_user_is_known_too() {
    let mut bench = guard(json!([{"when": "9 in 5m by user", "ban": {"user": "15m"}}]));
    assert!(attempt(&mut bench, HERE, "ann", 302));
    let until = bench.io.now.unix + 1_000_000;
    let ban = Ban { whom: Whom::User("ann".to_owned()), until, by: None, reason: String::new() };
    ready(ban::start(&mut bench.io, Keys::process(), &ban)).unwrap().unwrap();
    let Answer::Deny(denial) = asked(&mut bench, HERE, "ann") else { panic!() };
    assert_eq!((denial.reason, denial.status.as_u16()), (Reason::Banned, 403));
}

#[test]
fn other_requests_cost_nothing() {
    let mut bench = guard(json!([{"when": "5 in 5m by ip", "ban": {"ip": "15m"}}]));
    assert_eq!(bench.allocations(&Scene::default()), 0);
    let other = Scene { method: Method::POST, path: "/login/x", ..Scene::default() };
    assert_eq!(bench.ask(&other), Answer::Pass);
    assert!(bench.facts.awaits.is_empty());
    for path in ["/login/", "/LOGIN"] {
        let same = Scene { method: Method::POST, path, ..Scene::default() };
        bench.facts.awaits.clear();
        bench.ask(&same);
        assert_eq!(bench.facts.awaits.len(), 1, "{path}");
    }
}

#[test]
fn refuses_without_a_store_unless_the_policy_says_otherwise() {
    let rules = json!([{"when": "5 in 5m by ip", "ban": {"ip": "15m"}}]);
    let mut strict = guard(rules.clone());
    strict.io.store_fault = Some(StoreFault::Down);
    assert_eq!(asked(&mut strict, HERE, "ann"), Answer::deny(Reason::StoreUnavailable));
    let mut spec = spec(rules);
    spec.as_object_mut().unwrap().insert("on_store_error".to_owned(), json!("allow"));
    let mut lenient = Bench::new("failures", spec);
    lenient.io.store_fault = Some(StoreFault::Down);
    assert_eq!(asked(&mut lenient, HERE, "ann"), Answer::Pass);
    answered(&mut lenient, HERE, Mode::Enforce, 401);
    assert_eq!(told(&lenient), ["login_not_counted"]);
}

#[test]
fn a_rule_bans_only_whom_it_counts() {
    let faults = |rules: Value| Bench::faults_of::<&str>("failures", spec(rules), &[]);
    assert_eq!(
        faults(json!([{"when": "5 in 5m by ip", "ban": {"user": "15m"}}])),
        [
            "it.rules[0].ban.user: `5 in 5m by ip` says nothing about whom this would ban: count by user or by pair",
            "it.rules[0].ban: say whom `5 in 5m by ip` bans for how long: `ip: 15m`"
        ]
    );
    assert_eq!(faults(json!([])).len(), 1);
    assert_eq!(faults(json!([{"when": "5 in 5m by ip", "ban": {"ip": "0s"}}])).len(), 1);
}

/// With the cookie that an answer set.
fn with_cookie(bench: &mut Bench, client: &str, cookie: &str, user: &str, status: u16) -> bool {
    bench.facts.awaits.clear();
    bench.io.body = Ok(Bytes::from(format!("email={user}&password=x")));
    let mut scene = scene(client);
    scene.headers.insert("cookie", cookie.parse().unwrap());
    let free = bench.ask(&scene) == Answer::Pass;
    if free {
        let mut awaited = bench.facts.awaits.pop().unwrap();
        awaited.mode = Mode::Enforce;
        let headers = HeaderMap::new();
        let Bench { check, io, facts, effects, .. } = bench;
        scene.asked(|request| {
            let mut hearing =
                Hearing { request, facts, effects, io, awaited, status, unanswered: None, headers: &headers, body: b"" };
            ready(check.heard(&mut hearing)).unwrap();
        });
    }
    bench.io.end();
    free
}

fn set_cookie(bench: &Bench) -> String {
    let set = bench.effects.response.iter().rev().find(|(name, _)| name == SET_COOKIE).unwrap();
    set.1.to_str().unwrap().split(';').next().unwrap().to_owned()
}

#[test]
fn strangers_lock_nobody_out_of_a_browser_in_which_they_logged_in() {
    let mut bench = Bench::new("failures", json!({
        "watch": {"request": "POST /login", "user": "form.email", "failed": {"status": 401}, "passed": {"status": 302}},
        "rules": [
            {"when": "3 in 5m by pair", "ban": {"pair": "15m"}}, {"when": "5 in 5m by user", "ban": {"user": "15m"}}
        ],
        "device": {"failures": "2/15m"}, "remember": "0s"
    }));
    assert!(attempt(&mut bench, HERE, "ann", 302));
    let own = set_cookie(&bench);
    assert!(own.starts_with("__Host-device="));
    // From the same address, and from others.
    for (client, count) in [(HERE, 3), (THERE, 3)] {
        for _ in 0..count {
            attempt(&mut bench, client, "ann", 401);
        }
    }
    assert!(!attempt(&mut bench, HERE, "ann", 302), "without the cookie");
    assert!(!with_cookie(&mut bench, HERE, &own.replace("e=", "e=A"), "ann", 302), "not one of ours");
    assert!(with_cookie(&mut bench, HERE, &own, "ann", 401));
    assert!(with_cookie(&mut bench, HERE, &own, "ANN ", 302), "the same user");
    let renewed = set_cookie(&bench);
    assert_ne!(renewed, own);
    // Nobody else's, and no licence to guess.
    assert!(attempt(&mut bench, HERE, "eve", 302));
    let eve = set_cookie(&bench);
    assert!(!with_cookie(&mut bench, HERE, &eve, "ann", 302), "of another user");
    assert!(with_cookie(&mut bench, HERE, &renewed, "ann", 401));
    assert!(with_cookie(&mut bench, HERE, &renewed, "ann", 401));
    assert!(told(&bench).contains(&"device_distrusted"));
    assert!(!with_cookie(&mut bench, HERE, &renewed, "ann", 302), "two failures were enough");
}

#[test]
fn a_device_cookie_needs_an_answer_that_its_header_tells() {
    let faults = |failed: Value, device: Value| {
        let spec = json!({
            "watch": {"request": "POST /login", "user": "form.email", "failed": failed},
            "rules": [{"when": "3 in 5m by pair", "ban": {"pair": "15m"}}], "device": device
        });
        Bench::faults_of::<&str>("failures", spec, &[]).join("\n")
    };
    let status = || json!({"status": 401});
    for (failed, device, told) in [
        (json!({"body": "wrong"}), json!({}), "without `body`"),
        (status(), json!({"for": "0s"}), "more than nothing"),
        (status(), json!({"cookie": "a b"}), "not a name of a cookie"),
        (status(), json!({"secure": false}), "unless it is secure"),
    ] {
        let faults = faults(failed, device);
        assert!(faults.contains(told), "{faults}");
    }
}

/// How many values lie there.
fn held(bench: &Bench) -> usize {
    bench.io.memory.stats().values
}

#[test]
fn invented_names_fill_nothing_and_real_users_are_still_banned() {
    let mut bench = guard(json!([{"when": "2 in 5m by user", "ban": {"user": "30d"}}]));
    assert!(attempt(&mut bench, HERE, "ann", 302), "ann is no invention");
    let before = held(&bench);
    for number in 0..300 {
        let name = format!("name{number}");
        for _ in 0..2 {
            assert!(attempt(&mut bench, THERE, &name, 401));
        }
        assert!(!attempt(&mut bench, THERE, &name, 401), "banned, or its count is full");
    }
    assert_eq!(held(&bench) - before, 2 * 60, "a ban and a number each");
    assert!(told(&bench).contains(&"ban_omitted"));
    // Elsewhere there is room, and who logged in before needs none.
    for (client, user) in [("198.51.100.7", "eve"), (THERE, "ann")] {
        for _ in 0..2 {
            assert!(attempt(&mut bench, client, user, 401), "{user}");
        }
        let stored = ready(bench.io.get(crate::io::Space::Ban, Whom::User(user.to_owned()).key(Keys::process())));
        assert!(stored.unwrap().unwrap().is_some(), "{user}");
    }
    // What an invented name left behind is gone after a day.
    bench.io.advance(DAY);
    bench.io.memory.sweep(bench.io.now, usize::MAX);
    assert!(attempt(&mut bench, THERE, "name0", 401));
    assert!(!attempt(&mut bench, THERE, "ann", 302), "a ban of a real user lasts as long as the policy says");
}

#[test]
fn all_sources_together_have_room_for_so_many_invented_names() {
    let mut bench = guard(json!([{"when": "1 in 5m by user", "ban": {"user": "15m"}}]));
    for number in 0..2_100_u32 {
        let client = IpAddr::V4(std::net::Ipv4Addr::from(0x0a00_0000 + number));
        assert!(attempt(&mut bench, &client.to_string(), &format!("name{number}"), 401));
        assert!(!attempt(&mut bench, HERE, &format!("name{number}"), 401));
    }
    assert!(held(&bench) <= 2 * 2_000, "{}", held(&bench));
}

#[test]
fn a_success_under_a_look_alike_name_speaks_for_itself_alone() {
    let (mia, other) = ("mia", "m%C3%ADa");
    let mut bench = guard(json!([{"when": "3 in 5m by pair", "ban": {"pair": "15m"}}]));
    for status in [401, 401] {
        assert!(attempt(&mut bench, HERE, mia, status));
    }
    assert!(attempt(&mut bench, HERE, other, 302));
    assert!(attempt(&mut bench, HERE, mia, 401), "what was counted stays");
    assert!(!attempt(&mut bench, HERE, mia, 302));
    // Its own network is remembered, and nobody else's.
    let mut bench = guard(json!([{"when": "3 in 5m by user", "ban": {"user": "15m"}}]));
    assert!(attempt(&mut bench, HERE, other, 302));
    for _ in 0..3 {
        assert!(attempt(&mut bench, THERE, other, 401));
    }
    assert!(attempt(&mut bench, HERE, other, 302), "strangers do not lock out who is known here");
    assert!(!attempt(&mut bench, HERE, mia, 302));
}

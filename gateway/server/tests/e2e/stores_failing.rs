//! Identity while its store fails: late, silent, gone, full. Every check does what its policy says, and nobody waits longer
//! than that.

use serde_json::json;

use super::factors::{application, ask, send, set_up, signed_in};
use super::stores::{api_key, operate, plan, proves, shared, signed, status};
use crate::support::gateway::run;
use crate::support::raw::{Conn, get, post};
use crate::support::redis::{Between, Redis};
use crate::support::{Gateway, Origin, Plan, exchange, until};

#[test]
fn every_check_says_what_its_policy_says_while_the_store_is_slow_or_gone() {
    let (origin, redis) = (application(), Redis::start());
    let between = Between::start(redis.address());
    let state = shared(between.address, ", timeout: 200ms, sync: 50ms");
    let gateway = Gateway::start(&plan(&origin, &state));
    let ann = signed_in(&gateway);
    set_up(&gateway, &ann);
    let key = format!("X-API-Key: {}\r\n", api_key(&gateway, "mia"));
    let token = signed(&[("iat", json!({"now": -5})), ("jti", json!("one"))]);
    let bearer = format!("Authorization: Bearer {token}\r\n");
    let asked = [
        ("/", &ann, 200, 503),
        ("/admin", &ann, 200, 503),
        ("/.palisade/mfa", &ann, 200, 503),
        ("/key", &key, 200, 503),
        ("/token", &bearer, 200, 503),
        ("/token-open", &bearer, 200, 200),
        ("/where", &bearer, 200, 503),
        ("/where-open", &bearer, 200, 200),
        // Alice has no factor; a check that may not know that lets her pass where it says so.
        ("/proven", &bearer, 401, 503),
        ("/proven-open", &bearer, 401, 200),
    ];
    let all = |which: fn(&(&str, &String, u16, u16)) -> u16| {
        let wrong = asked.iter().find_map(|one| {
            let got = status(&gateway, one.0, one.1);
            (got != which(one)).then(|| format!("{}: {got}", one.0))
        });
        wrong.map_or(Ok(()), Err)
    };
    assert_eq!(all(|one| one.2), Ok(()));
    for break_it in [Between::stall as fn(&Between), Between::cut] {
        break_it(&between);
        assert_eq!(all(|one| one.3), Ok(()));
        // A log-in that cannot be written down begins nothing.
        let form = "Content-Type: application/x-www-form-urlencoded\r\n";
        let answer = exchange(gateway.http, post("/login", form, b"user=ann"));
        assert_eq!(answer.header("set-cookie"), None);
        between.pass();
        until("all is well", || all(|one| one.2).ok());
    }
    gateway.line("why none began", |line| {
        line["event"] == "session_not_started"
    });
}

#[test]
fn a_ban_that_is_lifted_while_the_store_is_away_is_lifted_at_the_door() {
    let (origin, redis) = (Origin::start(), Redis::start());
    let between = Between::start(redis.address());
    let checked = |state: String| {
        Plan::checked(origin.address, "{check: bans, drop: true}")
            .top("secrets: {seal: {env: SEAL}}")
            .env("SEAL", "0123456789abcdef0123456789abcdef")
            .top(&state)
    };
    let near = Gateway::start(&checked(shared(redis.address(), ", sync: 50ms")));
    let far = Gateway::start(&checked(shared(
        between.address,
        ", sync: 50ms, timeout: 200ms",
    )));
    let answers = || {
        let mut conn = Conn::open(far.http);
        conn.write(get("/", "")) && conn.response().is_some()
    };
    until("it serves", || answers().then_some(()));
    operate(&near, &["ban", "add", "127.0.0.1", "--for", "1h"]);
    until("it drops", || (!answers()).then_some(()));
    between.cut();
    until("the loss is seen", || {
        (far.metric("palisade_store_up", &[]) < 1.0).then_some(())
    });
    operate(&near, &["ban", "remove", "127.0.0.1"]);
    assert!(!answers(), "nobody told it");
    between.pass();
    until("it serves again", || answers().then_some(()));
}

/// Nothing can be written: what is known goes on, nothing begins, and a check that must count says what its policy says.
#[test]
fn every_check_says_what_its_policy_says_while_the_store_is_full() {
    let origin = application();
    let redis = Redis::with(&["--maxmemory", "4mb", "--maxmemory-policy", "noeviction"]);
    let gateway = Gateway::start(&plan(&origin, &shared(redis.address(), "")));
    let ann = signed_in(&gateway);
    let (_, codes) = set_up(&gateway, &ann);
    let key = format!("X-API-Key: {}\r\n", api_key(&gateway, "mia"));
    let token = signed(&[("iat", json!({"now": -5})), ("jti", json!("one"))]);
    let bearer = format!("Authorization: Bearer {token}\r\n");
    let counted = |jti: &str| {
        let token = signed(&[("sub", json!("ann")), ("jti", json!(jti))]);
        format!("Cookie: counted={token}\r\n")
    };
    let (known, another) = (counted("known"), counted("another"));
    let asked = [
        ("/", &ann, 200, 200),
        ("/admin", &ann, 200, 200),
        ("/.palisade/mfa", &ann, 200, 200),
        ("/token", &bearer, 200, 200),
        ("/where", &bearer, 200, 200),
        ("/counted", &known, 200, 200),
        // The quota cannot be counted.
        ("/key", &key, 200, 503),
    ];
    for (path, fields, before, _) in &asked {
        assert_eq!(status(&gateway, path, fields), *before, "{path}");
    }
    assert_eq!(redis.ask("SETRANGE filler 6000000 x"), ":6000001");
    for (path, fields, _, full) in &asked {
        assert_eq!(status(&gateway, path, fields), *full, "{path}");
    }
    assert_eq!(
        status(&gateway, "/counted", &another),
        503,
        "it could not be entered"
    );
    let form = "Content-Type: application/x-www-form-urlencoded\r\n";
    let answer = exchange(gateway.http, post("/login", form, b"user=ann"));
    assert_eq!(answer.header("set-cookie"), None);
    // A code that cannot be used up is not accepted.
    let page = ask(&gateway, &ann, "/.palisade/mfa?return=/admin");
    let fields = format!(
        "token={}&return=/admin&code={}",
        super::factors::token(&page),
        codes[1]
    );
    assert_eq!(send(&gateway, &ann, "/.palisade/mfa", &fields).status, 503);
    for words in [
        &["key", "create", "kim", "--name", "ci"][..],
        &["ban", "add", "--user", "bob", "--for", "1h"],
        &["allow", "add", "mia", "192.0.2.0/24"],
    ] {
        let admin = gateway.operator();
        let told = run(&[words, &["--admin", &admin]].concat());
        let said = String::from_utf8_lossy(&told.stderr).into_owned();
        assert!(
            !told.status.success() && said.contains("no room"),
            "{words:?}: {said}"
        );
    }
    assert_eq!(redis.ask("DEL filler"), ":1");
    assert_eq!(status(&gateway, "/key", &key), 200);
    assert_eq!(status(&gateway, "/counted", &another), 200);
    assert!(proves(&gateway, &ann, &codes[1]), "it was not used up");
}

/// A store that is late, and one that never answers: who asks waits for `timeout` and no longer.
#[test]
fn nobody_waits_for_a_store_longer_than_its_timeout() {
    let (origin, redis) = (application(), Redis::start());
    let between = Between::start(redis.address());
    let state = shared(between.address, ", timeout: 1s, sync: 50ms");
    let gateway = Gateway::start(&plan(&origin, &state));
    let ann = signed_in(&gateway);
    between.delay();
    for _ in 0..3 {
        assert_eq!(status(&gateway, "/", &ann), 200, "late is not too late");
    }
    between.stall();
    let answer = exchange(gateway.http, get("/", &ann));
    assert_eq!(answer.status, 503);
    let event = gateway.event(answer.header("x-request-id").unwrap());
    let waited = event["duration_us"].as_u64().unwrap();
    // A busy machine adds to it; without a limit it would be for ever.
    assert!((900_000..10_000_000).contains(&waited), "{waited} µs");
    // What is known to be down is not waited for again and again.
    for _ in 0..20 {
        assert_eq!(status(&gateway, "/", &ann), 503);
    }
    between.pass();
    until("all is well", || {
        (status(&gateway, "/", &ann) == 200).then_some(())
    });
}

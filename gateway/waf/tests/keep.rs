//! What rules keep between requests, and what they ask of the world outside: collections, time, places, identity.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use std::{net::IpAddr, sync::Arc, thread, time::Duration};

use waf::{
    Geography, Options, Place, Request, Ruleset, Scratch, Source, Surroundings, Verdict,
    seclang::{self, NoFiles},
};

fn load(text: &str) -> Ruleset {
    let source = seclang::Source {
        name: "t.conf",
        text,
    };
    Ruleset::load(&[Source::SecLang(source)], &NoFiles).unwrap()
}

fn ask(rules: &Ruleset, query: &str, around: Surroundings<'_>) -> Verdict {
    let tuning = rules.tune(&Options::default()).unwrap();
    let mut transaction = rules.transaction(&tuning, Scratch::default());
    let target = format!("/a?{query}");
    transaction.evaluate_headers(&Request {
        method: b"GET",
        target: target.as_bytes(),
        path: b"/a",
        query: query.as_bytes(),
        protocol: b"HTTP/1.1",
        headers: &[
            ("host", "shop.example:8443"),
            ("authorization", "Basic YWxpY2U6c2VjcmV0"),
        ],
        client: [192, 0, 2, 1].into(),
        around,
    });
    transaction.evaluate_body(b"", b"");
    transaction.finish().0
}

fn at(seconds: u64) -> Surroundings<'static> {
    Surroundings {
        now: Duration::from_secs(seconds),
        ..Surroundings::default()
    }
}

fn messages(verdict: &Verdict) -> Vec<&str> {
    verdict.matches.iter().map(|found| &*found.msg).collect()
}

#[test]
fn counters_are_kept_by_key_and_forgotten_in_time() {
    let rules = load(
        r#"
SecCollectionTimeout 600
SecAction "id:1,phase:1,pass,nolog,initcol:ip=%{ARGS.who}"
SecAction "id:2,phase:2,pass,nolog,setvar:ip.count=+1"
SecAction "id:3,phase:2,pass,msg:'%{IP.count} %{IP.is_new} %{IP.key}'"
"#,
    );
    let say = |query, now| messages(&ask(&rules, query, at(now))).join(",");
    assert_eq!(say("who=a", 1000), "1 1 a");
    assert_eq!(say("who=a", 1001), "2 0 a");
    assert_eq!(say("who=b", 1002), "1 1 b");
    assert_eq!(say("who=a", 1001 + 600), "1 1 a");
    // Without a key there is nothing to keep it under.
    assert_eq!(say("who=", 1002), "  ");
    assert!(rules.keeps() && rules.needs().time);
}

#[test]
fn no_count_is_lost_among_threads() {
    let rules = load(
        r#"
SecAction "id:1,phase:1,pass,nolog,initcol:global=all,setvar:global.count=+1"
SecRule ARGS:tell "@eq 1" "id:2,phase:1,pass,chain,msg:'%{GLOBAL.count}'"
  SecRule GLOBAL:count "@ge 0"
"#,
    );
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| (0..250).for_each(|_| drop(ask(&rules, "", at(1)))));
        }
    });
    assert_eq!(messages(&ask(&rules, "tell=1", at(1))), ["1001"]);
}

#[test]
fn sessions_users_and_resources_have_keys_of_their_own() {
    let rules = load(
        r#"
SecWebAppId shop
SecRule ARGS:s "@rx ." "id:1,phase:1,pass,nolog,setsid:%{MATCHED_VAR},setvar:session.n=+1"
SecRule REMOTE_USER "@rx ." "id:2,phase:1,pass,nolog,setuid:%{MATCHED_VAR},setvar:user.n=+1,setrsc:%{REQUEST_FILENAME},setvar:resource.n=+1"
SecAction "id:3,phase:2,pass,msg:'%{SESSIONID} %{SESSION.n} %{USERID} %{USER.n} %{RESOURCE.n} %{WEBAPPID}'"
SecRule &SESSION "@gt 0" "id:4,phase:2,pass,msg:'open'"
SecRule SESSION:/^n/ "@eq 2" "id:5,phase:2,pass,msg:'%{MATCHED_VAR_NAME}'"
"#,
    );
    assert_eq!(
        messages(&ask(&rules, "s=x", at(1))),
        ["x 1 alice 1 1 shop", "open"]
    );
    assert_eq!(
        messages(&ask(&rules, "s=x", at(1))),
        ["x 2 alice 2 2 shop", "open", "SESSION:n"]
    );
    assert_eq!(messages(&ask(&rules, "", at(1))), ["  alice 3 3 shop"]);
}

#[test]
fn flags_expire_and_scores_fade() {
    let rules = load(
        r#"
SecAction "id:1,phase:1,pass,nolog,initcol:ip=%{REMOTE_ADDR}"
SecRule ARGS:flag "@eq 1" "id:2,phase:1,pass,nolog,setvar:ip.flag=1,expirevar:ip.flag=%{ARGS.for},setvar:ip.score=100"
SecRule ARGS:fade "@eq 1" "id:3,phase:1,pass,nolog,deprecatevar:ip.score=60/300"
SecRule IP:flag "@eq 1" "id:4,phase:2,pass,msg:'flag'"
SecRule IP:score "@ge 0" "id:5,phase:2,pass,msg:'%{IP.score}'"
"#,
    );
    let say = |query, now| messages(&ask(&rules, query, at(now))).join(",");
    assert_eq!(say("flag=1&for=60", 1000), "flag,100");
    assert_eq!(say("", 1059), "flag,100");
    assert_eq!(say("", 1060), "100");
    assert_eq!(say("fade=1", 1299), "100");
    assert_eq!(say("fade=1", 1599), "40");
    assert_eq!(say("fade=1", 9999), "");
}

#[test]
fn what_is_kept_outlives_a_reload_that_takes_it_over() {
    const RULES: &str =
        r#"SecAction "id:1,phase:1,pass,msg:'%{IP.n}',initcol:ip=x,setvar:ip.n=+1""#;
    let old = load(RULES);
    ask(&old, "", at(1));
    let (new, other) = (load(RULES), load(RULES));
    assert!(new.adopt(Arc::clone(old.collections())));
    assert_eq!(messages(&ask(&new, "", at(1))), ["2"]);
    assert_eq!(messages(&ask(&other, "", at(1))), ["1"]);
    assert!(!new.adopt(Arc::default()));
    assert_eq!(
        (old.collections().entries(), old.collections().evicted()),
        (1, 0)
    );
}

#[derive(Debug)]
struct Atlas;

impl Geography for Atlas {
    fn place(&self, address: IpAddr) -> Option<Place> {
        let known = address == IpAddr::from([192, 0, 2, 1]);
        known.then(|| Place {
            country_code: "TW".to_owned(),
            continent: "AS".to_owned(),
            ..Place::default()
        })
    }
}

#[test]
fn places_are_looked_up_where_there_is_a_database() {
    let text = r#"
SecRule REMOTE_ADDR "@geoLookup" "id:1,phase:1,pass,nolog,chain"
  SecRule GEO:COUNTRY_CODE "@within DE TW" "setvar:tx.hit=%{GEO.COUNTRY_CONTINENT}"
SecRule TX:hit "@rx ." "id:2,phase:1,pass,msg:'%{TX.hit}'"
SecRule ARGS:ip "!@geoLookup" "id:3,phase:1,pass,msg:'nowhere'"
SecRule REMOTE_ADDR "@rbl sbl.example" "id:4,phase:1,deny"
"#;
    let mut rules = load(text);
    let warnings: Vec<String> = rules.warnings().iter().map(ToString::to_string).collect();
    assert_eq!(warnings.len(), 3, "{warnings:?}");
    assert!(
        warnings.iter().all(|line| line.starts_with("t.conf:")),
        "{warnings:?}"
    );
    assert_eq!(messages(&ask(&rules, "ip=192.0.2.1", at(1))), ["nowhere"]);
    rules.set_geography(Arc::new(Atlas));
    assert_eq!(rules.warnings().len(), 1);
    assert_eq!(messages(&ask(&rules, "ip=192.0.2.1", at(1))), ["AS"]);
    assert_eq!(
        messages(&ask(&rules, "ip=nonsense", at(1))),
        ["AS", "nowhere"]
    );
}

#[test]
fn time_and_identity_are_what_the_caller_lends() {
    let rules = load(
        r#"
SecAction "id:1,phase:1,pass,msg:'%{TIME_YEAR}-%{TIME_MON}-%{TIME_DAY} %{TIME} %{TIME_WDAY} %{TIME_EPOCH} %{DURATION}'"
SecAction "id:2,phase:1,pass,msg:'%{UNIQUE_ID} %{REMOTE_USER} %{AUTH_TYPE} %{REMOTE_PORT} %{SERVER_ADDR} %{SERVER_NAME} %{SERVER_PORT}'"
SecRule TIME_HOUR "@lt 8" "id:3,phase:1,pass,msg:'early'"
"#,
    );
    let around = Surroundings {
        now: Duration::from_secs(1_795_230_000),
        elapsed: Duration::from_micros(1234),
        id: b"r-1",
        client_port: 4711,
        server: Some([10, 0, 0, 1].into()),
        server_port: 8443,
        ..Surroundings::default()
    };
    assert_eq!(
        messages(&ask(&rules, "", around)),
        [
            "2026-11-21 03:00:00 6 1795230000 1234",
            "r-1 alice Basic 4711 10.0.0.1 shop.example 8443",
            "early"
        ]
    );
    let known = Surroundings {
        user: b"bob",
        ..around
    };
    assert!(messages(&ask(&rules, "", known))[1].starts_with("r-1 bob "));
}

#[test]
fn a_hostile_text_for_a_backtracking_pattern_is_refused_not_passed() {
    let rules = load(r#"SecRule ARGS "@rx ^(?:a+)+(?!b)c|!$" "id:1,phase:2,deny""#);
    let verdict = ask(&rules, &format!("q={}!", "a".repeat(5000)), at(1));
    assert!(verdict.block);
    assert_eq!(
        verdict.refusal.map(|refusal| refusal.code()),
        Some("too_much_work")
    );
    let plain = ask(&rules, &format!("q={}", "a".repeat(5000)), at(1));
    assert!(!plain.block && plain.refusal.is_none());
}

#[test]
fn a_pattern_with_macros_is_compiled_when_it_is_asked() {
    let rules = load(
        r#"
SecAction "id:1,phase:1,pass,nolog,setvar:'tx.allowed=utf-8|iso-8859-1'"
SecRule ARGS:c "!@rx ^(?:%{tx.allowed})$" "id:2,phase:1,deny"
SecRule ARGS:d "@rx ^%{ARGS.e}$" "id:3,phase:1,deny,capture"
"#,
    );
    assert!(!ask(&rules, "c=utf-8", at(1)).block && ask(&rules, "c=utf-7", at(1)).block);
    assert!(ask(&rules, "d=aab&e=a%2Bb", at(1)).block && !ask(&rules, "d=ab&e=b", at(1)).block);
    // What is no pattern counts as a match: breaking it is no way past the rule.
    assert!(ask(&rules, "d=x&e=(", at(1)).block);
}

#[test]
fn a_refused_request_prolongs_nothing_until_it_is_logged() {
    let rules = load(
        r#"
SecAction "id:1,phase:1,pass,nolog,initcol:ip=x"
SecRule ARGS:bad "@eq 1" "id:2,phase:1,deny,nolog"
SecAction "id:3,phase:1,pass,nolog,setvar:ip.passed=+1"
SecAction "id:4,phase:5,pass,nolog,setvar:ip.logged=+1"
SecRule ARGS:tell "@eq 1" "id:5,phase:1,pass,msg:'%{IP.passed} %{IP.logged}'"
"#,
    );
    ask(&rules, "bad=1", at(1));
    ask(&rules, "", at(1));
    assert_eq!(messages(&ask(&rules, "tell=1", at(1))), ["2 2"]);
}

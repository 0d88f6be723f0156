#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use http::Method;
use serde_json::{Value, json};

use super::*;
use crate::testing::{Bench, Scene};

/// The shape of the Core Rule Set: settings, initialisation, a rule per level, a threshold.
const SETUP: &str = r#"
SecDefaultAction "phase:1,log,pass"
SecDefaultAction "phase:2,log,pass"
SecAction "id:900000,phase:1,pass,nolog,setvar:tx.blocking_paranoia_level=1"
"#;
const RULES: &str = r#"
SecRule &TX:detection_paranoia_level "@eq 0" \
    "id:901125,phase:1,pass,nolog,setvar:'tx.detection_paranoia_level=%{tx.blocking_paranoia_level}'"
SecRule &TX:inbound_anomaly_score_threshold "@eq 0" \
    "id:901130,phase:1,pass,nolog,setvar:tx.inbound_anomaly_score_threshold=5"
SecRule ARGS "@pmFromFile words.data" \
    "id:942100,phase:2,block,msg:'words',tag:'attack-sqli',severity:CRITICAL,setvar:tx.score_pl1=+5"
SecRule TX:DETECTION_PARANOIA_LEVEL "@lt 2" "id:942014,phase:2,pass,nolog,skipAfter:END-942"
SecRule ARGS|REQUEST_HEADERS:User-Agent "@rx quote'" \
    "id:942200,phase:2,block,msg:'quotes',tag:'attack-sqli',tag:'paranoia-level/2',severity:CRITICAL,setvar:tx.score_pl2=+5"
SecMarker END-942
SecRule TX:BLOCKING_PARANOIA_LEVEL "@ge 1" "id:949060,phase:2,pass,nolog,setvar:tx.score=+%{tx.score_pl1}"
SecRule TX:BLOCKING_PARANOIA_LEVEL "@ge 2" "id:949061,phase:2,pass,nolog,setvar:tx.score=+%{tx.score_pl2}"
SecRule TX:SCORE "@ge %{tx.inbound_anomaly_score_threshold}" \
    "id:949110,phase:2,deny,msg:'Inbound Anomaly Score Exceeded'"
"#;
const WORDS: &str = "# words\nsleeper\nbenchmarker\n";

const FILES: &[(&str, &str)] = &[
    ("crs/setup.conf", SETUP),
    ("crs/rules/REQUEST-942.conf", RULES),
    ("crs/rules/words.data", WORDS),
    ("own.yaml", "rules:\n  - {id: 7, msg: own, targets: [args], any: [{contains: forbidden}]}\n"),
];

fn spec(more: Value) -> Value {
    let mut whole = json!({"rules": ["crs/setup.conf", "crs/rules/REQUEST-942.conf"]});
    whole.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    whole
}

fn bench(more: Value) -> Bench {
    Bench::with_files("waf", spec(more), FILES)
}

fn faults(more: Value, files: &[(&str, &str)]) -> Vec<String> {
    let files: Vec<(&str, &str)> = files.iter().chain(FILES).copied().collect();
    Bench::faults_of("waf", spec(more), &files)
}

fn query(query: &'static str) -> Scene {
    Scene { query: Some(query), ..Scene::default() }
}

fn blocked() -> Answer {
    Answer::deny(Reason::WafBlocked)
}

fn ids(bench: &Bench) -> Vec<u32> {
    let verdict = bench.facts.waf.as_ref();
    verdict.map_or_else(Vec::new, |verdict| verdict.matches.iter().map(|found| found.id).collect())
}

#[test]
fn files_are_read_in_order_and_their_data_beside_them() {
    let mut bench = bench(json!({}));
    assert_eq!(bench.ask(&query("q=a+sleeper+cell")), blocked());
    assert_eq!(ids(&bench), [942100, 949110]);
    assert_eq!(bench.ask(&query("q=quote'")), Answer::Pass);
}

#[test]
fn levels_of_the_check_hold_whatever_the_files_say() {
    assert_eq!(bench(json!({"paranoia": 2})).ask(&query("q=quote'")), blocked());
    let mut detecting = bench(json!({"paranoia": 1, "detection_paranoia": 2}));
    assert_eq!(detecting.ask(&query("q=quote'")), Answer::Pass);
    assert_eq!(ids(&detecting), [942200]);
    assert_eq!(bench(json!({"threshold": 6})).ask(&query("q=sleeper")), Answer::Pass);
    assert_eq!(bench(json!({"threshold": 6, "paranoia": 2})).ask(&query("q=sleeper+quote'")), blocked());
}

#[test]
fn levels_that_nothing_reads_are_faults() {
    let found = faults(json!({"rules": ["own.yaml"], "paranoia": 1, "response_threshold": 2, "threshold": 2}), &[]);
    assert_eq!(found.len(), 1, "{found:#?}");
    assert!(found.iter().any(|fault| fault.starts_with("it.paranoia: none of these rules knows")), "{found:#?}");
    let found = faults(json!({"paranoia": 3, "detection_paranoia": 2, "response_threshold": 2}), &[]);
    assert!(found.iter().any(|fault| fault.starts_with("it.detection_paranoia: at least")), "{found:#?}");
    assert!(found.iter().any(|fault| fault.starts_with("it.response_threshold: none")), "{found:#?}");
}

#[test]
fn text_in_the_policy_stands_before_and_after_the_files() {
    let mut changed = bench(json!({
        "setup": "SecAction \"id:1,phase:1,pass,nolog,setvar:tx.inbound_anomaly_score_threshold=6\"",
        "directives": "SecRuleRemoveById 942200",
        "detection_paranoia": 2,
    }));
    assert_eq!(changed.ask(&query("q=sleeper+quote'")), Answer::Pass);
    assert_eq!(ids(&changed), [942100]);
}

#[test]
fn both_languages_stand_together() {
    let rules = json!(["own.yaml", "crs/setup.conf", "crs/rules/REQUEST-942.conf"]);
    let mut both = bench(json!({"rules": rules}));
    assert_eq!(both.ask(&query("q=forbidden")), blocked());
    assert_eq!(both.ask(&query("q=sleeper")), blocked());
}

#[test]
fn faults_name_the_file_the_line_and_the_key() {
    let files = [
        ("main.conf", "SecRule ARGS \"@rx a\" \"id:1\"\nInclude parts/one.conf\nInclude parts/none.conf\nIncludeOptional none/*.conf\n"),
        ("parts/one.conf", "\nSecRule ARGS \"@pmFromFile gone.data\" \"id:2\"\nSecRule ARGZ \"@rx a\" \"id:3\"\n"),
        ("latin.conf", "# fine\n"),
    ];
    let found = faults(
        json!({
            "rules": ["latin.conf", "main.conf"],
            "setup": "SecAction \"id:4,phase:9\"",
            "directives": "SecRuleEngine On\n\nSecRule ARGS \"@rx (\" \"id:5\"\n",
        }),
        &files,
    );
    let starts = [
        "it.setup: line 1 of it: unknown phase 9",
        "it.rules[1]: parts/one.conf:2: ",
        "it.rules[1]: parts/one.conf:3: unknown variable ARGZ",
        "it.rules[1]: main.conf:3: no file fits",
        "it.directives: line 3 of it: ",
    ];
    assert_eq!(found.len(), starts.len(), "{found:#?}");
    for (found, start) in found.iter().zip(starts) {
        assert!(found.starts_with(start), "{found}\n{start}");
    }
    assert!(found.iter().any(|fault| fault.contains("cannot read parts/gone.data: no such file")), "{found:#?}");
}

#[test]
fn bodies_are_read_for_seclang_as_for_any_rules() {
    let mut bench = bench(json!({}));
    bench.io.body = Ok(Bytes::from_static(b"{\"a\": [\"sleeper\"]}"));
    let scene = Scene { method: Method::POST, framing: Framing::Length(18), ..Scene::default() };
    assert_eq!(bench.ask(&scene.header("content-type", "application/json")), blocked());
}

#[test]
fn exclusions_speak_both_languages() {
    let passes = |more: Value| bench(more).ask(&query("q=sleeper")) == Answer::Pass;
    assert!(!passes(json!({})));
    for (rule, target) in [
        (json!(942100), "args:q"),
        (json!("942000-942999"), "ARGS:q"),
        (json!("942100"), "ARGS_GET:/^q$/"),
        (Value::Null, "ARGS:Q"),
    ] {
        let mut exclusion = json!({"target": target, "reason": "tested"});
        if !rule.is_null() {
            exclusion["rule"] = rule.clone();
        }
        assert!(passes(json!({"exclude": [exclusion]})), "{rule} {target}");
    }
    assert!(passes(json!({"exclude": [{"tag": "attack-sqli", "target": "args:q", "reason": "tested"}]})));
    assert!(!passes(json!({"exclude": [{"rule": 942100, "target": "args:r", "reason": "tested"}]})));
    assert!(passes(json!({"disable": ["942000-942999"]})));
    assert!(passes(json!({"disable_tags": ["attack-sqli"]})));
}

#[test]
fn exclusions_that_name_nothing_are_faults() {
    let found = faults(
        json!({
            "disable": ["1-99"],
            "exclude": [
                {"rule": 5, "target": "ARGS:q", "reason": "r"},
                {"tag": "none", "target": "ARGZ:q", "reason": "r"},
                {"rule": 942100, "tag": "attack-sqli", "target": "TX:score", "reason": "r"},
            ],
        }),
        &[],
    );
    let starts = [
        "it.exclude[2].tag: name a `rule` or a `tag`",
        "it.disable[0]: there is no rule from 1 to 99",
        "it.exclude[0].rule: there is no rule 5",
        "it.exclude[1].tag: no rule has the tag none",
        "it.exclude[1].target: unknown target `ARGZ`",
        "it.exclude[2].target: unknown target `TX`",
    ];
    assert_eq!(found.len(), starts.len(), "{found:#?}");
    for (found, start) in found.iter().zip(starts) {
        assert!(found.starts_with(start), "{found}");
    }
}

const COUNTING: &str = r#"
SecAction "id:1,phase:1,pass,nolog,initcol:ip=%{REMOTE_ADDR}"
SecRule IP:blocked "@eq 1" "id:2,phase:1,deny,status:429,msg:'too often'"
SecRule REQUEST_FILENAME "@rx ." "id:3,phase:1,pass,nolog,setvar:ip.count=+1"
SecRule IP:count "@ge 2" "id:4,phase:1,pass,nolog,setvar:ip.blocked=1,expirevar:ip.blocked=60,setvar:!ip.count"
SecRule ARGS:to "@streq away" "id:5,phase:2,redirect:'https://shop.example/sorry?for=%{ARGS.to}',msg:'away'"
"#;

fn counting(mode: &str) -> Bench {
    Bench::with_files("waf", json!({"rules": [mode]}), &[("counting.conf", COUNTING)])
}

#[test]
fn what_rules_keep_counts_across_requests_and_expires() {
    let mut bench = counting("counting.conf");
    let ask = |bench: &mut Bench| bench.ask(&query(""));
    assert_eq!((ask(&mut bench), ask(&mut bench)), (Answer::Pass, Answer::Pass));
    let refused = Denial {
        reason: Reason::WafBlocked,
        status: StatusCode::TOO_MANY_REQUESTS,
        retry_after: None,
    };
    assert_eq!(ask(&mut bench), Answer::Deny(refused.clone()));
    bench.io.advance(Duration::from_secs(59));
    assert_eq!(ask(&mut bench), Answer::Deny(refused));
    bench.io.advance(Duration::from_secs(2));
    assert_eq!(ask(&mut bench), Answer::Pass);
}

#[test]
fn a_rule_may_send_the_client_elsewhere() {
    let Answer::Reply(reply) = counting("counting.conf").ask(&query("to=away")) else {
        panic!("not sent away");
    };
    let target = HeaderValue::from_static("https://shop.example/sorry?for=away");
    assert_eq!((reply.status, reply.headers), (StatusCode::FOUND, vec![(header::LOCATION, target)]));
}

fn said(text: &str, more: Value) -> Bench {
    let files: Vec<(&str, &str)> = FILES.iter().copied().chain([("said.conf", text)]).collect();
    let mut whole = spec(more);
    whole["rules"].as_array_mut().unwrap().push("said.conf".into());
    Bench::with_files("waf", whole, &files)
}

fn post(bench: &mut Bench, kind: &'static str, length: usize) -> Answer {
    bench.io.body = Ok(Bytes::from(format!("q={}", "a".repeat(length - 2))));
    let scene = Scene { method: Method::POST, framing: Framing::Unknown, ..Scene::default() };
    bench.ask(&scene.header("content-type", kind))
}

#[test]
fn limits_of_rule_files_hold_where_the_policy_says_nothing() {
    const FORM: &str = "application/x-www-form-urlencoded";
    let limits = "SecRequestBodyLimit 100\nSecRequestBodyNoFilesLimit 50\nSecArgumentsLimit 2\n";
    let mut bench = said(limits, json!({}));
    assert_eq!(bench.check.needs().body, Some(100));
    assert_eq!(post(&mut bench, FORM, 50), Answer::Pass);
    assert_eq!(post(&mut bench, FORM, 51), Answer::deny(Reason::BodyTooLarge));
    assert_eq!(bench.ask(&query("a=1&b=2&c=3")), Answer::deny(Reason::WafBudget));
    let mut own = said(limits, json!({"body": {"max": "200B"}}));
    assert_eq!(post(&mut own, FORM, 200), Answer::Pass);
    let off = said("SecRequestBodyAccess Off\n", json!({}));
    assert_eq!(off.check.needs().body, None);
    let on = said("SecRequestBodyAccess Off\n", json!({"body": {"max": "1KiB"}}));
    assert_eq!(on.check.needs().body, Some(1024));
}

#[test]
fn what_rule_files_say_of_answers_holds_where_the_policy_says_nothing() {
    let reads = "SecRule RESPONSE_BODY \"@rx x\" \"id:1,phase:4,deny\"\n";
    let limits = format!("{reads}SecResponseBodyLimit 1000\nSecResponseBodyMimeType text/csv\n");
    let body = |bench: &Bench| bench.check.response_work().reads.and_then(|need| need.body);
    let need = body(&said(&limits, json!({}))).unwrap();
    let reads_type = |text: &'static str| need.reads(Some(&HeaderValue::from_static(text)));
    assert_eq!((need.inspect, reads_type("text/csv"), reads_type("text/html")), (1000, true, false));
    let own = json!({"response": {"inspect": "2KiB", "types": ["text/html"]}});
    assert_eq!(body(&said(&limits, own)).map(|need| need.inspect), Some(2048));
    let off = format!("{reads}SecResponseBodyAccess Off\n");
    assert!(body(&said(&off, json!({}))).is_none());
    assert!(body(&said(&off, json!({"response": {"hold": "1KiB"}}))).is_some());
}

#[test]
fn only_a_share_is_judged_where_the_policy_says_so() {
    let mut tenth = bench(json!({"share": "10%"}));
    let denied = (0..100).filter(|_| tenth.ask(&query("q=sleeper")) == blocked()).count();
    assert_eq!(denied, 10);
}

#[test]
fn a_rule_that_refuses_everything_is_worth_a_warning() {
    let missing = "SecRule &TX:crs_setup_version \"@eq 0\" \"id:901001,phase:1,deny,msg:'no settings'\"\n";
    let warned = said(missing, json!({}));
    let faults = warned.faults();
    assert_eq!(faults, ["it.rules[2]: said.conf:1: rule 901001: this rule refuses every request: no settings"]);
}

const PLACES: &str = r#"
SecRule REMOTE_ADDR "@geoLookup" "id:1,phase:1,deny,chain,msg:'%{GEO.COUNTRY_CODE} %{GEO.COUNTRY_CONTINENT} %{GEO.CITY}'"
  SecRule GEO:COUNTRY_CODE "@within TW DE"
"#;

#[test]
fn rules_ask_the_database_of_places() {
    let city = json!({"country": {"iso_code": "TW"}, "city": {"names": {"en": "Taipei"}}});
    let world = crate::checks::geo::mmdb::write(&[("192.0.2.0/24", city), ("198.51.100.0/24", json!({"country_code": "DE"}))]);
    let files: &[(&str, &[u8])] = &[("places.conf", PLACES.as_bytes()), ("geo.mmdb", &world)];
    let mut bench = Bench::with_files("waf", json!({"rules": ["places.conf"], "geo_database": "geo.mmdb"}), files);
    let mut ask = |client: &str| {
        let scene = Scene { client: client.parse().unwrap(), ..Scene::default() };
        let answer = bench.ask(&scene);
        let verdict = bench.facts.waf.take();
        let message = verdict.and_then(|verdict| verdict.matches.first().map(|found| found.msg.to_string()));
        (answer, message)
    };
    assert_eq!(ask("192.0.2.1"), (blocked(), Some("TW AS Taipei".to_owned())));
    assert_eq!(ask("198.51.100.1"), (blocked(), Some("DE EU ".to_owned())));
    assert_eq!(ask("10.0.0.1"), (Answer::Pass, None));
}

#[test]
fn a_rule_that_asks_in_vain_is_warned_of() {
    let found = Bench::with_files("waf", json!({"rules": ["places.conf"]}), &[("places.conf", PLACES)]).faults();
    assert!(found.iter().any(|line| line.contains("places.conf:2") && line.contains("no database of places")), "{found:?}");
}

#[test]
fn a_clean_decision_allocates_nothing_also_when_answers_are_read() {
    let scene = query("q=running+shoes&page=2").header("user-agent", "Mozilla/5.0 (X11; Linux x86_64)");
    assert_eq!(bench(json!({})).allocations(&scene), 0);
}

//! `palisade waf explain`, `suggest` and `profile`: what they say about rules of our own, and that a suggestion does
//! what it promises in the running gateway.

use serde_json::Value;

use crate::support::gateway::{run, write};
use crate::support::raw::get;
use crate::support::{Gateway, Origin, Plan, exchange};

const RULES: &str = r#"
SecAction "id:900100,phase:1,pass,nolog,setvar:tx.inbound_anomaly_score_threshold=5"
SecRule ARGS|REQUEST_HEADERS:Referer "@contains select" \
    "id:942100,phase:2,block,capture,t:none,t:urlDecodeUni,t:lowercase,msg:'Select',logdata:'saw %{MATCHED_VAR}',\
    tag:'attack-sqli',tag:'paranoia-level/1',severity:CRITICAL,setvar:tx.inbound_anomaly_score_pl1=+5"
SecRule ARGS "@contains union" \
    "id:942200,phase:2,block,t:none,msg:'Union',tag:'attack-sqli',severity:CRITICAL,setvar:tx.inbound_anomaly_score_pl1=+5"
SecAction "id:949060,phase:2,pass,nolog,setvar:'tx.blocking_inbound_anomaly_score=+%{tx.inbound_anomaly_score_pl1}'"
SecRule TX:BLOCKING_INBOUND_ANOMALY_SCORE "@ge %{tx.inbound_anomaly_score_threshold}" "id:949110,phase:2,deny,msg:'Sum'"
SecRule RESPONSE_BODY "@contains secret" "id:951100,phase:4,deny,msg:'A secret',severity:ERROR"
"#;

fn plan(origin: std::net::SocketAddr, more: &str) -> Plan {
    let check = format!("{{check: waf, rules: [own.conf]{more}}}");
    Plan::checked(origin, &check).file("own.conf", RULES)
}

/// A policy in a folder; nothing listens.
fn policy() -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let zero = "127.0.0.1:9".parse().unwrap();
    let file = folder.path().join("p.yaml");
    write(&file, plan(zero, "").render(zero, zero, zero).as_bytes());
    write(&folder.path().join("own.conf"), RULES.as_bytes());
    (folder, file.display().to_string())
}

fn said(arguments: &[&str], code: i32) -> String {
    let output = run(arguments);
    let all = [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap());
    assert_eq!(output.status.code(), Some(code), "{all:?}");
    all.concat()
}

#[test]
fn explain_shows_what_each_rule_saw_and_what_it_comes_to() {
    let (folder, policy) = policy();
    let text = said(&["waf", "explain", &policy, "GET /?q=SEL%65CT%20a"], 0);
    for part in [
        "check c: deny waf_blocked, score 5 of 5",
        "942100 Select",
        "at args:q: \"select a\" after urldecodeuni, lowercase",
        "critical, score 5, paranoia 1, phase 2",
        "own.conf:3",
        "deny by c",
    ] {
        assert!(text.contains(part), "{part} in {text}");
    }
    let json = said(&["waf", "explain", &policy, "GET /?q=tea", "--json"], 0);
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["decision"]["action"], "allow");
    assert_eq!(json["checks"][0]["rules"], Value::Array(Vec::new()));
    assert_eq!(json["checks"][0]["threshold"], 5);
    let answer = folder.path().join("answer.txt");
    write(
        &answer,
        b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\nthe secret is out",
    );
    let answer = answer.display().to_string();
    let text = said(
        &["waf", "explain", &policy, "GET /", "--response", &answer],
        0,
    );
    assert!(
        text.contains("951100 A secret") && text.contains("the answer is stopped by c"),
        "{text}"
    );
    assert_eq!(
        run(&["waf", "explain", &policy, "nonsense"]).status.code(),
        Some(2)
    );
    assert_eq!(
        run(&["waf", "explain", "/none", "GET /"]).status.code(),
        Some(1)
    );
}

#[test]
fn a_suggestion_lets_the_false_alarms_pass_and_nothing_else() {
    let origin = Origin::start();
    let gateway = Gateway::start(&plan(origin.address, ""));
    let ask = |target: &str| exchange(gateway.http, get(target, "")).status;
    for target in [
        "/a?comment=select+a+colour",
        "/b?comment=please+select+one",
        "/c?comment=select",
        "/d?q=union",
    ] {
        assert_eq!(ask(target), 403, "{target}");
    }
    for path in ["/a", "/b", "/c", "/d"] {
        gateway.line(path, |line| line["path"] == path);
    }
    let lines = gateway.lines();
    let events = gateway.path("events.jsonl");
    let text: Vec<String> = lines.iter().map(ToString::to_string).collect();
    write(&events, text.join("\n").as_bytes());
    let (events, file) = (
        events.display().to_string(),
        gateway.policy().display().to_string(),
    );
    let text = said(&["waf", "suggest", &events, "--policy", &file], 0);
    assert!(text.starts_with("4 refused requests\n"), "{text}");
    let exclusion =
        "{rule: 942100, target: \"args:comment\", reason: \"false alarm: 3 requests of 1 client\"}";
    assert!(
        text.contains("1. lets 3 pass (3 of 4 with those before)"),
        "{text}"
    );
    assert!(text.contains(exclusion), "{text}");
    assert!(
        text.contains("rule 942100 is for: Select; critical, paranoia 1"),
        "{text}"
    );
    assert!(
        text.contains("1 other rules still watch args:comment"),
        "{text}"
    );
    let json = said(&["waf", "suggest", &events, "--json", "--path", "/a"], 0);
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(
        (&json["refused"], &json["suggestions"][0]["lets_pass"]),
        (&1.into(), &1.into())
    );
    let tuned = Gateway::start(&plan(origin.address, &format!(", exclude: [{exclusion}]")));
    let ask = |target: &str| exchange(tuned.http, get(target, "")).status;
    assert_eq!(ask("/a?comment=select+a+colour"), 200);
    assert_eq!(ask("/a?other=select+a+colour"), 403);
    assert_eq!(ask("/a?comment=union"), 403);
}

#[test]
fn profile_measures_requests_from_files_and_from_lines() {
    let (folder, policy) = policy();
    let corpus = folder.path().join("corpus");
    write(
        &corpus.join("1.http"),
        b"GET /?q=select HTTP/1.1\r\nHost: a\r\n\r\n",
    );
    write(
        &corpus.join("2.http"),
        b"POST / HTTP/1.1\nHost: a\nContent-Type: application/json\n\n{\"q\": \"union\"}",
    );
    let text = said(
        &[
            "waf",
            "profile",
            &policy,
            corpus.to_str().unwrap(),
            "--times",
            "3",
        ],
        0,
    );
    for part in [
        "check c: 6 rules, 2 requests",
        "shared: parsing",
        "942100 Select [ARGS",
        "949110 Sum",
    ] {
        assert!(text.contains(part), "{part} in {text}");
    }
    let lines = folder.path().join("requests.jsonl");
    write(&lines, b"{\"target\": \"/?q=select\"}\n{\"event\": \"started\"}\n{\"event\": \"request\", \"path\": \"/\", \"query\": \"q=select\"}\n");
    let json = said(
        &[
            "waf",
            "profile",
            &policy,
            lines.to_str().unwrap(),
            "--json",
            "--times",
            "2",
        ],
        0,
    );
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!((&json["requests"], &json["judged"]), (&2.into(), &4.into()));
    let rules = json["rules"].as_array().unwrap();
    let held = rules.iter().find(|rule| rule["id"] == 942_100).unwrap();
    assert!(held["held"].as_u64() > Some(0), "{held}");
    assert_eq!(
        run(&["waf", "profile", &policy, "/none"]).status.code(),
        Some(1)
    );
    write(&corpus.join("3.http"), b"no request");
    let text = said(&["waf", "profile", &policy, corpus.to_str().unwrap()], 1);
    assert!(text.contains("3.http is no HTTP/1 request"), "{text}");
}

#[test]
fn every_waf_command_has_help_with_examples() {
    for command in ["explain", "suggest", "profile", "conformance"] {
        let help = said(&["waf", command, "--help"], 0);
        assert!(
            help.contains(&format!("palisade waf {command} ")) && help.contains("Exit codes:"),
            "{help}"
        );
    }
}

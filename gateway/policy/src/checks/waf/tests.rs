#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use http::Method;
use serde_json::{Value, json};

use super::*;
use crate::io::BodyFault;
use crate::testing::{Bench, Scene};

const RULES: &str = r#"
rules:
  - id: 1001
    msg: union select
    tags: [sqli]
    targets: [args, header:user-agent, path]
    transform: [url_decode_uni, lowercase]
    any: [{regex: "union\\s+select"}]
  - id: 1002
    msg: curl
    severity: notice
    targets: ["header:user-agent"]
    any: [{phrases: [curl]}]
"#;

fn bench(spec: Value) -> Bench {
    let mut whole = json!({"rules": ["waf/own.yaml"]});
    whole.as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
    Bench::with_files("waf", whole, &[("waf/own.yaml", RULES)])
}

fn query(query: &'static str) -> Scene {
    Scene { query: Some(query), ..Scene::default() }
}

fn post(content_type: &'static str, bench: &mut Bench, body: &'static [u8]) -> Answer {
    bench.io.body = Ok(Bytes::from_static(body));
    let scene = Scene { method: Method::POST, framing: Framing::Length(body.len() as u64), ..Scene::default() };
    bench.ask(&scene.header("content-type", content_type))
}

const FORM: &str = "application/x-www-form-urlencoded";

fn blocked() -> Answer {
    Answer::deny(Reason::WafBlocked)
}

#[test]
fn refuses_at_the_threshold_and_tells_what_matched() {
    let mut bench = bench(json!({}));
    assert_eq!(bench.ask(&query("q=1%20UNION%20SELECT%202")), blocked());
    let verdict = bench.facts.waf.as_ref().unwrap();
    assert_eq!((verdict.score, verdict.matches.len()), (5, 1));
    assert_eq!((verdict.matches[0].id, verdict.matches[0].target.as_str()), (1001, "args:q"));
}

#[test]
fn a_clean_request_leaves_nothing() {
    let mut bench = bench(json!({}));
    assert_eq!(bench.ask(&query("q=the+union+will+select")), Answer::Pass);
    assert!(bench.facts.waf.is_none());
}

#[test]
fn a_score_below_the_threshold_is_kept_for_the_event() {
    let mut bench = bench(json!({}));
    let scene = Scene::default().header("user-agent", "curl/8.5");
    assert_eq!(bench.ask(&scene), Answer::Pass);
    assert_eq!(bench.facts.waf.as_ref().map(|verdict| verdict.score), Some(2));
}

#[test]
fn findings_of_several_rule_sets_stand_together() {
    let mut bench = bench(json!({"threshold": 100}));
    assert_eq!(bench.ask(&query("q=union%20select")), Answer::Pass);
    assert_eq!(bench.ask(&query("q=union%20select")), Answer::Pass);
    let verdict = bench.facts.waf.as_ref().unwrap();
    assert_eq!((verdict.score, verdict.matches.len()), (10, 2));
}

#[test]
fn rules_and_targets_can_be_left_out() {
    let attack = query("q=union%20select");
    assert_eq!(bench(json!({"disable": [1001]})).ask(&attack), Answer::Pass);
    assert_eq!(bench(json!({"disable_tags": ["sqli"]})).ask(&attack), Answer::Pass);
    let exclude = json!({"exclude": [{"rule": 1001, "target": "args:q", "reason": "search for SQL books"}]});
    assert_eq!(bench(exclude.clone()).ask(&attack), Answer::Pass);
    assert_eq!(bench(exclude).ask(&query("r=union%20select")), blocked());
}

#[test]
fn reads_bodies_by_their_type() {
    let mut bench = bench(json!({}));
    assert_eq!(bench.check.needs().body, Some(10 << 20));
    assert_eq!(post(FORM, &mut bench, b"q=union+select"), blocked());
    assert_eq!(post("application/json", &mut bench, br#"{"q": "union select"}"#), blocked());
    assert_eq!(post("application/json", &mut bench, br#"{"q": "fine"}"#), Answer::Pass);
    // The body is not even asked for when the header decides.
    bench.io.body = Err(BodyFault::Broken);
    let scene = Scene { framing: Framing::Length(9), ..query("q=union%20select") };
    assert_eq!(bench.ask(&scene), blocked());
}

#[test]
fn refuses_what_it_cannot_judge_unless_told_otherwise() {
    let unparsable = Answer::deny(Reason::BodyUnparsable);
    let mut strict = bench(json!({}));
    assert_eq!(post("application/json", &mut strict, b"{\"q\": "), unparsable);
    assert_eq!(post("multipart/form-data", &mut strict, b"--x"), unparsable);
    let lenient = |on_error| bench(json!({"on_error": on_error}));
    assert_eq!(post("application/json", &mut lenient("deny"), b"{\"q\": "), unparsable);
    assert_eq!(post("application/json", &mut lenient("allow"), b"{\"q\": "), Answer::Pass);
}

#[test]
fn a_value_longer_than_is_scanned_is_refused() {
    let mut bench = bench(json!({"body": {"inspect": "8KiB"}}));
    let mut field = |length: usize| {
        let body = format!("q={}", "a".repeat(length)).into_bytes();
        post(FORM, &mut bench, body.leak())
    };
    assert_eq!(field(8192), Answer::Pass);
    assert_eq!(field(8193), Answer::deny(Reason::WafBudget));
}

#[test]
fn bodies_that_do_not_come_are_refused_for_what_they_are() {
    let mut bench = bench(json!({"body": {"max": "4B"}}));
    assert_eq!(post(FORM, &mut bench, b"q=1"), Answer::Pass);
    assert_eq!(post(FORM, &mut bench, b"q=123"), Answer::deny(Reason::BodyTooLarge));
    for (fault, reason) in [
        (BodyFault::TooLarge, Reason::BodyTooLarge),
        (BodyFault::TooSlow, Reason::BodyTimeout),
        (BodyFault::NoRoom, Reason::Overload),
        (BodyFault::Broken, Reason::BodyBroken),
    ] {
        bench.io.body = Err(fault);
        let scene = Scene { framing: Framing::Unknown, ..Scene::default() };
        assert_eq!(bench.ask(&scene), Answer::deny(reason));
    }
}

fn gzip(plain: &[u8]) -> Vec<u8> {
    use std::io::Write as _;
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(plain).unwrap();
    encoder.finish().unwrap()
}

/// Asks about a form that came in this coding.
fn encoded(bench: &mut Bench, coding: &'static str, wire: &[u8]) -> Answer {
    bench.io.body = Ok(Bytes::copy_from_slice(wire));
    let framing = Framing::Length(wire.len() as u64);
    let scene = Scene { framing, ..Scene::default() };
    bench.ask(&scene.header("content-type", FORM).header("content-encoding", coding))
}

#[test]
fn a_compressed_body_is_opened_for_the_rules() {
    let mut bench = bench(json!({}));
    let attack = gzip(b"a=1&q=1+union+select+2");
    assert_eq!(encoded(&mut bench, "gzip", &attack), blocked());
    assert_eq!(encoded(&mut bench, "Gzip, identity", &attack), blocked());
    assert_eq!(encoded(&mut bench, "gzip, gzip", &gzip(&attack)), blocked());
    assert_eq!(encoded(&mut bench, "gzip", &gzip(b"a=1&q=two")), Answer::Pass);
    assert_eq!(encoded(&mut bench, "identity", b"a=1&q=two"), Answer::Pass);
    let without = Scene::default().header("content-encoding", "gzip");
    assert_eq!(bench.ask(&without), Answer::Pass);
}

#[test]
fn a_compressed_body_that_cannot_be_opened_is_refused() {
    let mut bench = bench(json!({"body": {"max": "1MiB"}}));
    let mut refused = |coding: &'static str, wire: &[u8], reason| {
        assert_eq!(encoded(&mut bench, coding, wire), Answer::deny(reason), "{coding}");
    };
    let honest = gzip(b"a=1");
    refused("compress", &honest, Reason::BodyEncoding);
    refused("gzip, gzip, gzip", &honest, Reason::BodyEncoding);
    refused("br", &honest, Reason::BodyUnparsable);
    refused("gzip", &honest[..honest.len() - 1], Reason::BodyUnparsable);
    refused("gzip", &[&honest[..], b"more than it says"].concat(), Reason::BodyUnparsable);
    refused("gzip", &gzip(&vec![b'a'; 900 << 10]), Reason::BodyExpansion);
    let long: Vec<u8> = (0..1u32 << 20).flat_map(|n| format!("{n}&").into_bytes()).collect();
    refused("gzip", &gzip(&long[..2 << 20]), Reason::BodyTooLarge);
}

#[test]
fn compressed_bodies_may_be_refused_or_left_unread() {
    let attack = gzip(b"a=1&q=1+union+select+2");
    let mut strict = bench(json!({"encoded_body": "deny"}));
    assert_eq!(encoded(&mut strict, "gzip", &attack), Answer::deny(Reason::BodyEncoding));
    assert_eq!(encoded(&mut strict, "Identity", b"a=1"), Answer::Pass);
    let mut lenient = bench(json!({"encoded_body": "allow"}));
    assert_eq!(encoded(&mut lenient, "gzip", &attack), Answer::Pass);
    assert_eq!(encoded(&mut lenient, "unheard-of", &attack), Answer::Pass);
}

#[test]
fn a_clean_decision_allocates_nothing() {
    let scene = query("q=the+union+will+select&page=2").header("user-agent", "Mozilla/5.0 (X11; Linux x86_64)");
    assert_eq!(bench(json!({})).allocations(&scene), 0);
}

#[test]
fn faults_name_file_line_and_column() {
    let broken = "rules:\n  - id: 1\n    msg: one\n    targets: [argz]\n    any: [{regex: \"(\"}]\n\
                  \x20 - {id: 2, msg: two, targets: [args], any: [{contains: x}], transfrom: [lowercase]}\n";
    let twice = "rules:\n  - {id: 3, msg: a, targets: [args], any: [{contains: x}]}\n  - {id: 3, msg: b, targets: [argz], any: [{contains: x}]}\n";
    let files = [("a.yaml", broken), ("b.yaml", twice), ("crs.conf", "\nSecRulez x"), ("empty.yaml", "")];
    let spec = json!({"rules": ["a.yaml", "crs.conf", "empty.yaml", "gone/*.yaml", "missing.conf"]});
    let faults = Bench::faults_of("waf", spec, &files);
    assert!(faults[0].starts_with("it.rules[0]: a.yaml:6:"), "{faults:#?}");
    assert!(faults[0].contains("rules[1]") && faults[0].contains("`transform`"), "{faults:#?}");
    assert_eq!(
        faults[1..],
        [
            "it.rules[2]: empty.yaml is empty",
            "it.rules[3]: no file matches gone/*.yaml",
            "it.rules[4]: cannot read missing.conf: no such file",
            "it.rules[1]: crs.conf:2: the directive SecRulez is not supported",
        ]
    );
    let faults = Bench::faults_of("waf", json!({"rules": ["b.yaml"]}), &files);
    assert_eq!(faults.len(), 1, "{faults:#?}");
    assert!(faults[0].starts_with("it.rules[0]: b.yaml:3:31: rules[1].targets[0]: rule 3: unknown target `argz`"), "{faults:#?}");
}

#[test]
fn faults_of_the_check_itself_come_all_at_once() {
    let spec = json!({
        "rules": ["waf/own.yaml"],
        "threshold": 0,
        "paranoia": 5,
        "on_error": "local",
        "body": {"inspect": 0, "max": "1GiB"},
        "disable": [7],
        "exclude": [{"rule": 1001, "target": "args:q", "reason": " "}, {"target": "argz", "reason": "typo"}],
    });
    let faults = Bench::faults_of("waf", spec, &[("waf/own.yaml", RULES)]);
    let wanted = [
        "it.threshold: ",
        "it.paranoia: ",
        "it.on_error: ",
        "it.body.max: ",
        "it.body.inspect: ",
        "it.exclude[0].reason: ",
        "it.disable[0]: there is no rule 7",
        "it.exclude[1].target: unknown target `argz`",
    ];
    assert_eq!(faults.len(), wanted.len(), "{faults:#?}");
    for (fault, wanted) in faults.iter().zip(wanted) {
        assert!(fault.starts_with(wanted), "{fault}");
    }
}

//! Answers under judgement: who reads them, what is withheld, and what observing reports.
#![allow(clippy::unwrap_used, missing_docs, reason = "tests")]

use std::collections::HashMap;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Version, header};
use policy::Policy;
use policy::decision::{Decision, Reason, RouteId};
use policy::invented::{Invented, ready};
use policy::request::{Framing, Request};
use policy::response::{ResponseStep, Unread};
use policy::run::Unwatched;
use policy::sources::Sources;

const RULES: &str = r#"
rules:
  - {id: 1, msg: stack trace, targets: [response_body], any: [{contains: "Traceback (most"}]}
  - {id: 2, msg: broken, severity: notice, targets: [response_status], any: [{contains: "500"}]}
"#;

const REQUESTS: &str = r#"
rules:
  - {id: 9, msg: x, targets: [args], any: [{contains: attack}]}
"#;

const CUT: &str = "SecRuleEngine On\nSecResponseBodyAccess On\n\
                   SecRule RESPONSE_BODY \"@contains never\" \"id:8,phase:4,pass,t:none\"\n\
                   SecRule OUTBOUND_DATA_ERROR \"@eq 1\" \"id:7,phase:4,deny,t:none,msg:'long'\"\n";

fn policy(check: &str) -> Policy {
    let text = format!(
        "version: 1\nupstreams: {{app: {{servers: [\"127.0.0.1:3000\"]}}}}\nchecks:\n  leaks: {{check: waf, {check}}}\n\
         routes:\n  - {{name: all, to: app, use: [leaks], public: test}}\n"
    );
    let mut files = Files(HashMap::new());
    files.0.insert("policy.yaml".to_owned(), text);
    files.0.insert("answers.yaml".to_owned(), RULES.to_owned());
    files.0.insert("cut.conf".to_owned(), CUT.to_owned());
    files
        .0
        .insert("requests.yaml".to_owned(), REQUESTS.to_owned());
    Policy::load("policy.yaml", &mut files, 0).unwrap().policy
}

struct Files(HashMap<String, String>);

impl Sources for Files {
    fn read(&mut self, path: &str) -> Result<Bytes, String> {
        let text = self.0.get(path).ok_or("no such file")?;
        Ok(text.clone().into())
    }
    fn glob(&mut self, _: &str) -> Result<Vec<String>, String> {
        Ok(Vec::new())
    }
    fn env(&mut self, _: &str) -> Option<String> {
        None
    }
}

const ROUTE: RouteId = RouteId(0);

fn decide(policy: &Policy) -> Decision {
    let headers = HeaderMap::new();
    let request = Request {
        id: "r",
        client: [198, 51, 100, 7].into(),
        client_port: 0,
        peer: [198, 51, 100, 7].into(),
        server: None,
        method: &Method::GET,
        scheme: "https",
        host: "api.example.com",
        path: "/a",
        compared: "/a",
        query: Some("q=1"),
        target: "/a?q=1",
        version: Version::HTTP_11,
        headers: &headers,
        tls: None,
        framing: Framing::None,
        websocket: false,
    };
    let mut io = Invented::default();
    ready(policy.decide(ROUTE, &request, &mut io, &mut Unwatched)).unwrap()
}

/// Status, type and body of an answer, judged.
fn judge(
    policy: &Policy,
    decision: &mut Decision,
    status: u16,
    kind: &str,
    body: &[u8],
) -> ResponseStep {
    let mut headers = HeaderMap::new();
    headers.insert("content-type", kind.parse().unwrap());
    let facts = &mut decision.facts;
    let step = policy.judge_response(ROUTE, facts, status, &headers, &mut Unwatched);
    if step != ResponseStep::Pass {
        return step;
    }
    policy.judge_response_body(ROUTE, facts, body, &mut Unwatched)
}

fn denied(step: ResponseStep) -> Option<Reason> {
    match step {
        ResponseStep::Pass => None,
        ResponseStep::Deny { reason, .. } => Some(reason),
    }
}

const TRACE: &[u8] = b"Traceback (most recent call last):";

#[test]
fn routes_whose_rules_read_no_answers_pay_nothing() {
    let policy = policy("rules: [requests.yaml]");
    assert!(policy.response_need(ROUTE).is_none());
    let mut decision = decide(&policy);
    assert!(decision.facts.suspended.is_empty());
    assert_eq!(
        judge(&policy, &mut decision, 500, "text/html", TRACE),
        ResponseStep::Pass
    );
}

#[test]
fn an_answer_is_withheld_for_its_body() {
    let policy = policy("rules: [answers.yaml]");
    let need = policy.response_need(ROUTE).unwrap().body.unwrap();
    assert_eq!((need.hold, need.inspect), (512 << 10, 512 << 10));
    let mut decision = decide(&policy);
    let step = judge(&policy, &mut decision, 200, "text/html", TRACE);
    assert_eq!(denied(step), Some(Reason::WafResponse));
    assert!(decision.facts.suspended.is_empty());
    let verdict = decision.facts.waf.as_ref().unwrap();
    let ids: Vec<u32> = verdict.matches.iter().map(|found| found.id).collect();
    assert_eq!(ids, [1]);
    let mut fine = decide(&policy);
    let step = judge(&policy, &mut fine, 200, "text/html", b"fine");
    assert_eq!(denied(step), None);
    assert!(fine.facts.waf.is_none());
}

#[test]
fn bodies_of_other_types_are_not_read() {
    let policy = policy("rules: [answers.yaml], response: {types: [text/html]}");
    let mut decision = decide(&policy);
    let step = judge(&policy, &mut decision, 500, "image/png", TRACE);
    assert_eq!(denied(step), None);
    let verdict = decision.facts.waf.as_ref();
    assert_eq!(
        verdict.map(|found| (found.score, found.outbound)),
        Some((0, 2))
    );
}

#[test]
fn observing_reports_once_and_lets_pass() {
    let policy = policy("rules: [answers.yaml], mode: observe, response_threshold: 2");
    let mut decision = decide(&policy);
    let step = judge(&policy, &mut decision, 500, "text/html", TRACE);
    assert_eq!(denied(step), None);
    let would: Vec<Reason> = decision.observed().map(|would| would.reason).collect();
    assert_eq!(would, [Reason::WafResponse]);
    assert_eq!(decision.facts.waf.as_ref().unwrap().matches.len(), 2);
}

#[test]
fn only_the_inspected_part_counts() {
    let policy = policy("rules: [answers.yaml], response: {inspect: 16B}");
    let mut late = decide(&policy);
    let step = judge(&policy, &mut late, 200, "text/html", &[b' '; 8].repeat(2));
    assert_eq!(denied(step), None);
    let mut late = decide(&policy);
    let body = [&[b' '; 8][..], TRACE].concat();
    let step = judge(&policy, &mut late, 200, "text/html", &body);
    assert_eq!(denied(step), None);
}

#[test]
fn rules_know_that_an_answer_goes_on_behind_what_they_see() {
    let policy = policy("rules: [cut.conf]");
    for (unread, status) in [
        (None, None),
        (Some(Unread::Long), Some(Reason::WafResponse)),
    ] {
        let mut decision = decide(&policy);
        let facts = &mut decision.facts;
        let headers =
            HeaderMap::from_iter([(header::CONTENT_TYPE, HeaderValue::from_static("text/html"))]);
        policy.judge_response(ROUTE, facts, 200, &headers, &mut Unwatched);
        if let Some(unread) = unread {
            let step = policy.judge_unread(ROUTE, facts, unread, &mut Unwatched);
            assert_eq!(denied(step), None);
        }
        let step = policy.judge_response_body(ROUTE, facts, b"fine", &mut Unwatched);
        assert_eq!(denied(step), status);
    }
}

#[test]
fn what_cannot_be_read_is_refused_as_the_policy_says() {
    let ask = |check: &str, unread| {
        let policy = policy(check);
        let mut decision = decide(&policy);
        let facts = &mut decision.facts;
        let step = policy.judge_unread(ROUTE, facts, unread, &mut Unwatched);
        let left = facts.suspended.len();
        policy.abandon_response(facts);
        assert!(facts.suspended.is_empty());
        (denied(step), left)
    };
    let default = "rules: [answers.yaml]";
    assert_eq!(ask(default, Unread::Long), (None, 1));
    let encoding = Some(Reason::ResponseEncoding);
    assert_eq!(ask(default, Unread::Coding), (encoding, 0));
    assert_eq!(ask(default, Unread::Broken), (encoding, 0));
    let lenient = "rules: [answers.yaml], response: {over: deny, encoded: allow}";
    let long = Some(Reason::ResponseUnread);
    assert_eq!(ask(lenient, Unread::Long), (long, 0));
    assert_eq!(ask(lenient, Unread::Coding), (None, 1));
    let observed = "rules: [answers.yaml], mode: observe";
    assert_eq!(ask(observed, Unread::Coding), (None, 1));
}

#[test]
fn an_answer_without_findings_allocates_nothing() {
    let policy = policy("rules: [answers.yaml]");
    let headers = HeaderMap::new();
    let exchange = || {
        let mut decision = decide(&policy);
        let facts = &mut decision.facts;
        let step = policy.judge_response(ROUTE, facts, 200, &headers, &mut Unwatched);
        assert_eq!(step, ResponseStep::Pass);
        policy.judge_response_body(ROUTE, facts, b"fine", &mut Unwatched);
    };
    (0..10).for_each(|_| exchange());
    let whole = allocation_counter::measure(exchange).count_total;
    // What the test itself makes: a store, a future.
    let bare = allocation_counter::measure(|| drop(Invented::default())).count_total;
    assert_eq!(whole, bare);
}

#![expect(clippy::unwrap_used, reason = "tests")]

use serde_json::json;

use super::*;
use crate::testing::{Bench, Scene};

fn bench() -> Bench {
    Bench::new(
        "cors",
        json!({
            "origins": ["https://app.example.com", "https://*.example.org", "http://localhost:3000"],
            "methods": ["PUT", "DELETE"],
            "headers": ["Content-Type", "X-CSRF-Token"],
            "expose": ["X-Request-ID"],
            "credentials": true,
            "max_age": "10m",
        }),
    )
}

fn from(origin: &'static str) -> Scene {
    Scene::default().header("origin", origin)
}

fn preflight(origin: &'static str) -> Scene {
    Scene { method: Method::OPTIONS, ..from(origin).header("access-control-request-method", "PUT") }
}

fn text<'a>(fields: impl IntoIterator<Item = &'a (HeaderName, HeaderValue)>) -> Vec<String> {
    fields.into_iter().map(|(name, value)| format!("{name}: {}", value.to_str().unwrap())).collect()
}

#[test]
fn an_allowed_page_may_read_the_answer() {
    for origin in ["https://app.example.com", "https://a.example.org", "https://a.b.example.org", "http://localhost:3000"] {
        let mut bench = bench();
        assert_eq!(bench.ask(&from(origin)), Answer::Pass);
        assert_eq!(
            text(&bench.effects.response),
            [
                format!("access-control-allow-origin: {origin}"),
                "access-control-expose-headers: x-request-id".to_owned(),
                "access-control-allow-credentials: true".to_owned(),
                "vary: Origin".to_owned(),
            ]
        );
    }
}

#[test]
fn other_pages_may_not() {
    for origin in [
        "http://app.example.com",
        "https://app.example.com:8443",
        "https://app.example.com.evil.test",
        "https://example.org",
        "https://evilexample.org",
        "https://evil.test/.example.org",
        "https://evil.test#.example.org",
        "https://.example.org",
        "https://a..example.org",
        "https://user@a.example.org",
        "null",
        "",
    ] {
        let mut bench = bench();
        assert_eq!(bench.ask(&from(origin)), Answer::Pass, "{origin}");
        assert_eq!(text(&bench.effects.response), ["vary: Origin"], "{origin}");
    }
    let mut bench = bench();
    assert_eq!(bench.ask(&Scene::default()), Answer::Pass);
    assert_eq!(text(&bench.effects.response), ["vary: Origin"]);
}

#[test]
fn answers_preflights_itself() {
    let mut bench = bench();
    let Answer::Reply(reply) = bench.ask(&preflight("https://app.example.com")) else {
        panic!("not answered");
    };
    assert_eq!((reply.reason, reply.status), (Reason::Preflight, StatusCode::NO_CONTENT));
    assert_eq!(
        text(&bench.effects.response),
        [
            "vary: Origin, Access-Control-Request-Method, Access-Control-Request-Headers",
            "access-control-allow-origin: https://app.example.com",
            "access-control-allow-credentials: true",
            "access-control-allow-methods: GET, HEAD, POST, PUT, DELETE",
            "access-control-allow-headers: content-type, x-csrf-token",
            "access-control-max-age: 600",
        ]
    );
}

#[test]
fn a_foreign_preflight_gets_no_permission() {
    let mut foreign = bench();
    let answer = foreign.ask(&preflight("https://evil.test"));
    assert!(matches!(answer, Answer::Reply(_)));
    assert_eq!(foreign.effects.response.len(), 1);
    let options = Scene {
        method: Method::OPTIONS,
        ..Scene::default()
    };
    assert_eq!(bench().ask(&options), Answer::Pass);
}

#[test]
fn refuses_other_origins_where_the_policy_says_so() {
    let spec = json!({"origins": ["https://app.example.com"], "others": "deny"});
    let mut bench = Bench::new("cors", spec);
    let denied = Answer::deny(Reason::OriginDenied);
    assert_eq!(bench.ask(&from("https://evil.test")), denied);
    assert_eq!(bench.ask(&preflight("https://evil.test")), denied);
    assert_eq!(bench.ask(&from("https://app.example.com")), Answer::Pass);
    assert_eq!(bench.ask(&Scene::default()), Answer::Pass);
    // The page's own POST: the request goes to https://app.example.
    assert_eq!(bench.ask(&from("https://app.example")), Answer::Pass);
    assert_eq!(bench.ask(&from("http://app.example")), denied);
    assert_eq!(bench.ask(&from("https://app.example:1").header("host", "app.example:1")), Answer::Pass);
    assert_eq!(bench.ask(&from("https://app.example:2").header("host", "app.example:1")), denied);
}

#[test]
fn a_star_answers_with_a_star_and_varies_nothing() {
    let mut bench = Bench::new("cors", json!({"origins": ["*"]}));
    assert_eq!(bench.ask(&from("https://anyone.test")), Answer::Pass);
    assert_eq!(text(&bench.effects.response), ["access-control-allow-origin: *"]);
}

#[test]
fn the_applications_own_permissions_are_removed() {
    let edits = bench().check.response_work().edits;
    assert!(edits.contains(&Edit::Remove(header::ACCESS_CONTROL_ALLOW_ORIGIN)));
    assert!(edits.iter().all(|edit| matches!(edit, Edit::Remove(_))));
}

#[test]
fn a_decision_allocates_nothing() {
    assert_eq!(bench().allocations(&from("https://app.example.com")), 0);
    assert_eq!(bench().allocations(&Scene::default()), 0);
}

#[test]
fn faults_come_all_at_once() {
    let spec = json!({
        "origins": ["*", "app.example", "ftp://a", "https://a/b", "https://*.com", "null"],
        "credentials": true,
        "methods": ["put", "TRACE"],
        "headers": ["*"],
        "expose": ["a b"],
        "max_age": "2d",
    });
    let faults = Bench::faults_of::<&str>("cors", spec, &[]);
    let wanted = [
        "origins[1]",
        "origins[2]",
        "origins[3]",
        "origins[4]",
        "origins[5]",
        "origins:",
        "credentials",
        "methods[0]",
        "methods[1]",
        "headers[0]",
        "expose[0]",
        "max_age",
    ];
    assert_eq!(faults.len(), wanted.len(), "{faults:#?}");
    for (fault, wanted) in faults.iter().zip(wanted) {
        assert!(fault.contains(wanted), "{fault}");
    }
}

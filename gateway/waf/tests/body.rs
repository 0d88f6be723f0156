//! Bodies of every kind: what comes out, what is refused, what is flagged; and bounds on arbitrary bytes.

use std::{fmt::Write, ops::ControlFlow};

use proptest::prelude::*;
use waf::body::{Fault, File, Flaw, Kind, Limits, Sink, parse};

/// Writes what it gets, one line each.
#[derive(Default)]
struct Log {
    lines: Vec<String>,
    bytes: usize,
    stop_after: Option<usize>,
}

impl Log {
    fn add(&mut self, what: &str, parts: &[&[u8]]) -> ControlFlow<()> {
        let mut line = what.to_owned();
        for part in parts {
            let _ = write!(line, " {}", part.escape_ascii());
            self.bytes += part.len();
        }
        self.lines.push(line);
        if self.stop_after.is_some_and(|n| self.lines.len() >= n) {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    }
}

impl Sink for Log {
    fn pair(&mut self, name: &[u8], value: &[u8], _raw: &[u8]) -> ControlFlow<()> {
        self.add("pair", &[name, value])
    }
    fn file(&mut self, file: File<'_>) -> ControlFlow<()> {
        self.add("file", &[file.name, file.filename, file.bytes])
    }
    fn part_header(&mut self, part: &[u8], line: &[u8]) -> ControlFlow<()> {
        self.add("header", &[part, line])
    }
    fn text(&mut self, path: &[u8], text: &[u8]) -> ControlFlow<()> {
        self.add("text", &[path, text])
    }
    fn attribute(&mut self, name: &[u8], value: &[u8]) -> ControlFlow<()> {
        self.add("attribute", &[name, value])
    }
    fn flaw(&mut self, flaw: Flaw) -> ControlFlow<()> {
        self.add(&format!("flaw {}", flaw.code()), &[])
    }
}

const FORM: &[u8] = b"multipart/form-data; boundary=XX";

fn run(kind: Kind, body: &[u8]) -> (Vec<String>, Result<(), Fault>) {
    let mut log = Log::default();
    let done = parse(kind, FORM, body, &Limits::default(), &mut log);
    (log.lines, done)
}

fn yields(kind: Kind, body: &str, expected: &[&str]) {
    let (lines, done) = run(kind, body.as_bytes());
    assert_eq!(done, Ok(()), "{body:?} gave {lines:?}");
    assert_eq!(lines, expected, "{body:?}");
}

fn refused(kind: Kind, body: &[u8], code: &str) {
    let (lines, done) = run(kind, body);
    assert_eq!(
        done.map_err(Fault::code),
        Err(code),
        "{} gave {lines:?}",
        body.escape_ascii()
    );
}

#[test]
fn the_content_type_picks_the_parser() {
    for (header, kind) in [
        ("", None),
        ("text/plain", None),
        ("application/x-www-form-urlencoded", Some(Kind::Form)),
        ("Application/JSON; charset=UTF-8", Some(Kind::Json)),
        ("application/problem+json", Some(Kind::Json)),
        (
            "application/soap+xml; charset=\"utf-8\"; action=\"urn:x\"",
            Some(Kind::Xml),
        ),
        ("text/xml;", Some(Kind::Xml)),
        (
            "multipart/form-data; boundary=----WebKitFormBoundary7MA4YWxkTrZu0gW",
            Some(Kind::Multipart),
        ),
        (
            "multipart/form-data; boundary=\"a b\"",
            Some(Kind::Multipart),
        ),
        ("multipart/related; boundary=a", None),
        ("application/jsonx", None),
    ] {
        assert_eq!(Kind::of(header.as_bytes()), Ok(kind), "{header}");
    }
}

#[test]
fn ambiguous_content_types_are_refused() {
    for (header, code) in [
        ("application/json; charset=utf-7", "charset"),
        ("text/xml; charset=UTF-16", "charset"),
        (
            "application/x-www-form-urlencoded; charset=ibm037",
            "charset",
        ),
        ("text/plain; charset=ibm500", "charset"),
        (
            "application/json; charset=utf-8; charset=utf-8",
            "duplicate_parameter",
        ),
        (
            "multipart/form-data; boundary=a; BOUNDARY=b",
            "duplicate_parameter",
        ),
        ("multipart/form-data; boundary*=utf-8''a", "content_type"),
        (
            "multipart/form-data; boundary*0=a; boundary*1=b",
            "content_type",
        ),
        ("application/json, text/plain", "content_type"),
        ("json", "content_type"),
        ("application/", "content_type"),
        ("application/json; charset", "content_type"),
        ("application/json; charset=\"utf-8", "content_type"),
        ("multipart/form-data; boundary=\"a\\\"b\"", "content_type"),
    ] {
        assert_eq!(
            Kind::of(header.as_bytes()).map_err(Fault::code),
            Err(code),
            "{header}"
        );
    }
}

#[test]
fn form_fields_are_decoded_once() {
    yields(
        Kind::Form,
        "a=1&b+c=%3Cx%3E&d&e=%2541",
        &["pair a 1", "pair b c <x>", "pair d ", "pair e %41"],
    );
    yields(Kind::Form, "a=%zz", &["flaw bad_escape", "pair a %zz"]);
    yields(Kind::Form, "", &[]);
}

#[test]
fn json_leaves_have_dotted_names() {
    yields(
        Kind::Json,
        r#" {"a": {"b": [1, -2.5e3, {"c": true}], "d": null}, "e": "x\n\u003c\ud83d\ude00"} "#,
        &[
            "pair json.a.b.array_0 1",
            "pair json.a.b.array_1 -2.5e3",
            "pair json.a.b.array_2.c true",
            "pair json.a.d ",
            r"pair json.e x\n<\xf0\x9f\x98\x80",
        ],
    );
    yields(
        Kind::Json,
        r#"[["x"], "y"]"#,
        &["pair json.array_0.array_0 x", "pair json.array_1 y"],
    );
    yields(Kind::Json, r#""only""#, &["pair json only"]);
    yields(Kind::Json, r#"{"<b>": {}}"#, &["pair json.<b> "]);
    yields(Kind::Json, "{}", &[]);
    yields(Kind::Json, "  ", &[]);
    yields(
        Kind::Json,
        r#"{"a":1,"a":2}"#,
        &["pair json.a 1", "flaw duplicate_key", "pair json.a 2"],
    );
    yields(
        Kind::Json,
        r#"{"a":1,"\u0061":2}"#,
        &["pair json.a 1", "flaw duplicate_key", "pair json.a 2"],
    );
    yields(
        Kind::Json,
        r#"{"a":{"k":1},"b":{"k":1}}"#,
        &["pair json.a.k 1", "pair json.b.k 1"],
    );
    yields(
        Kind::Json,
        r#"{"a":"\ud800x"}"#,
        &[r"pair json.a \xef\xbf\xbdx"],
    );
}

#[test]
fn json_beyond_the_standard_is_refused() {
    for body in [
        "{a:1}",
        "{'a':1}",
        "[1,]",
        "{\"a\":1,}",
        "[01]",
        "[+1]",
        "[.5]",
        "[1.]x",
        "[NaN]",
        "// c\n1",
        "[1] [2]",
        "[1]]",
        "\u{feff}{}",
        "{\"a\" 1}",
        "[\"\\x41\"]",
        "[\"\\u12g4\"]",
        "[\"a\nb\"]",
        "[tru]",
        "{,}",
        "[,1]",
        "}",
    ] {
        refused(Kind::Json, body.as_bytes(), "syntax");
    }
    for body in ["{", "[1", "{\"a\":", "\"abc", "[\"\\", "-", "1e"] {
        refused(Kind::Json, body.as_bytes(), "truncated");
    }
    refused(Kind::Json, b"[\"\xff\"]", "syntax");
    refused(Kind::Json, "[".repeat(65).as_bytes(), "too_deep");
    refused(
        Kind::Json,
        format!("[{}1]", "1,".repeat(1000)).as_bytes(),
        "too_many",
    );
    refused(
        Kind::Json,
        format!("{{\"{}\":1}}", "k".repeat(9000)).as_bytes(),
        "name_too_long",
    );
}

#[test]
fn xml_gives_texts_and_attributes() {
    yields(
        Kind::Xml,
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<r a=\"1 &lt; 2\"><!-- no --><b>x &amp;&#x3c;y</b><![CDATA[<z>]]><c d='&quot;'/></r>\n",
        &[
            "attribute /r/@a 1 < 2",
            "text /r/b x &<y",
            "text /r <z>",
            r#"attribute /r/c/@d \""#,
        ],
    );
    yields(Kind::Xml, "", &[]);
}

#[test]
fn hostile_xml_is_refused() {
    refused(
        Kind::Xml,
        b"<!DOCTYPE r [<!ENTITY x SYSTEM \"file:///etc/passwd\">]><r>&x;</r>",
        "doctype",
    );
    refused(Kind::Xml, b"<r>&x;</r>", "doctype");
    refused(Kind::Xml, b"<r a=\"&x;\"/>", "doctype");
    refused(
        Kind::Xml,
        b"<?xml version=\"1.0\" encoding=\"UTF-7\"?><r/>",
        "charset",
    );
    refused(Kind::Xml, b"\xff\xfe<\0r\0/\0>\0", "charset");
    refused(Kind::Xml, b"<r><b></r>", "syntax");
    refused(Kind::Xml, b"<r/><s/>", "syntax");
    refused(Kind::Xml, b"<r/>text", "syntax");
    refused(Kind::Xml, b"<r a=1/>", "syntax");
    refused(Kind::Xml, b"<r a='1' a='2'/>", "syntax");
    refused(Kind::Xml, b"<r>", "truncated");
    refused(Kind::Xml, "<r>".repeat(65).as_bytes(), "too_deep");
}

/// A body of one part with these header lines.
fn part(headers: &str) -> String {
    format!("--XX\r\n{headers}\r\n\r\nvalue\r\n--XX--\r\n")
}

const FIELD: &str = "Content-Disposition: form-data; name=\"f\"";

#[test]
fn multipart_gives_fields_files_and_headers() {
    let body = "--XX\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\none\r\ntwo\r\n\
        --XX\r\nContent-Disposition: form-data; name=\"u\"; filename=\"C:\\x\\\"y.php\"\r\nContent-Type: text/plain\r\n\r\n<?php\r\n\
        --XX\r\nContent-Disposition: form-data; name=e; filename=\"\"\r\n\r\n\r\n--XX--\r\n";
    yields(
        Kind::Multipart,
        body,
        &[
            r#"header a Content-Disposition: form-data; name=\"a\""#,
            r"pair a one\r\ntwo",
            r#"header u Content-Disposition: form-data; name=\"u\"; filename=\"C:\\x\\\"y.php\""#,
            "header u Content-Type: text/plain",
            r#"file u C:\\x\"y.php <?php"#,
            r#"header e Content-Disposition: form-data; name=e; filename=\"\""#,
            "pair e ",
        ],
    );
    let (lines, _) = run(
        Kind::Multipart,
        part(&format!("{FIELD}; filename*=utf-8''%e8%aa%9e+1.txt")).as_bytes(),
    );
    assert!(
        lines.contains(&r"file f \xe8\xaa\x9e+1.txt value".to_owned()),
        "{lines:?}"
    );
    yields(Kind::Multipart, "--XX--\r\n", &[]);
}

#[test]
fn multipart_oddities_are_flagged() {
    let flagged = |body: &str, flaw: &str| {
        let (lines, done) = run(Kind::Multipart, body.as_bytes());
        assert_eq!(done, Ok(()), "{body:?}");
        assert!(
            lines.contains(&format!("flaw {flaw}")),
            "{body:?} gave {lines:?}"
        );
    };
    flagged(&format!("preamble\r\n{}", part(FIELD)), "data_before");
    flagged(&format!("{}epilogue", part(FIELD)), "data_after");
    flagged(&part(FIELD).replace("\r\n", "\n"), "lf_line");
    flagged(
        &part("Content-Disposition: form-data;\r\n name=\"f\""),
        "header_folding",
    );
    flagged(
        &part("Content-Disposition: form-data; name='f'"),
        "invalid_quoting",
    );
    flagged(&part(FIELD).replace("value", "--XXY"), "unmatched_boundary");
    flagged(
        &part(&format!("{FIELD}\r\nContent-Transfer-Encoding: base64")),
        "transfer_encoding",
    );
    flagged(
        &part(&format!(
            "{FIELD}\r\nContent-Type: text/plain; charset=utf-7"
        )),
        "part_charset",
    );
    let mut log = Log::default();
    let quoted = b"multipart/form-data; boundary=\"XX\"";
    assert_eq!(
        parse(
            Kind::Multipart,
            quoted,
            part(FIELD).as_bytes(),
            &Limits::default(),
            &mut log
        ),
        Ok(())
    );
    assert_eq!(
        log.lines.first().map(String::as_str),
        Some("flaw boundary_quoted")
    );
}

#[test]
fn broken_multipart_is_refused() {
    refused(Kind::Multipart, b"", "truncated");
    refused(Kind::Multipart, b"no boundary here", "truncated");
    refused(
        Kind::Multipart,
        part(FIELD).replace("--XX--", "").as_bytes(),
        "truncated",
    );
    refused(
        Kind::Multipart,
        part("Content-Type: text/plain").as_bytes(),
        "disposition",
    );
    refused(
        Kind::Multipart,
        part("Content-Disposition: attachment; name=\"f\"").as_bytes(),
        "disposition",
    );
    refused(
        Kind::Multipart,
        part("Content-Disposition: form-data; name=\"f").as_bytes(),
        "disposition",
    );
    refused(
        Kind::Multipart,
        part(&format!("{FIELD}; name=\"g\"")).as_bytes(),
        "duplicate_parameter",
    );
    refused(
        Kind::Multipart,
        part(&format!("{FIELD}\r\n{FIELD}")).as_bytes(),
        "disposition",
    );
    refused(
        Kind::Multipart,
        part(&format!("{FIELD}; filename*0=\"a\"; filename*1=\"b\"")).as_bytes(),
        "disposition",
    );
    refused(
        Kind::Multipart,
        part("Content-Disposition form-data").as_bytes(),
        "syntax",
    );
    refused(
        Kind::Multipart,
        part("Content-Disposition : form-data; name=f").as_bytes(),
        "syntax",
    );
    refused(
        Kind::Multipart,
        part(&format!("{FIELD}\0")).as_bytes(),
        "syntax",
    );
    refused(
        Kind::Multipart,
        format!("--XX\r\n{FIELD}\r\n--XX--\r\n").as_bytes(),
        "truncated",
    );
    let many = format!("--XX\r\n{FIELD}\r\n\r\nv\r\n").repeat(101) + "--XX--";
    refused(Kind::Multipart, many.as_bytes(), "too_many");
    for header in [
        "multipart/form-data",
        "multipart/form-data; boundary=\"a\u{7}\"",
        "multipart/form-data; boundary=\"\"",
    ] {
        let done = parse(
            Kind::Multipart,
            header.as_bytes(),
            b"--a--",
            &Limits::default(),
            &mut Log::default(),
        );
        assert_eq!(done.map_err(Fault::code), Err("boundary"), "{header}");
    }
}

#[test]
fn rules_see_the_headers_of_a_part_that_is_refused() {
    for (headers, seen) in [
        (
            "\u{e}Content-Disposition: form-data; name=f",
            "header  \\x0eContent-Disposition: form-data; name=f",
        ),
        (
            "Content-Type: text/plain",
            "header  Content-Type: text/plain",
        ),
    ] {
        let (lines, done) = run(Kind::Multipart, part(headers).as_bytes());
        assert!(done.is_err(), "{headers}");
        assert_eq!(lines, [seen]);
    }
}

#[test]
fn single_byte_charsets_are_read_and_others_are_not() {
    let flawed = |charset: &str| {
        let headers = format!("{FIELD}\r\nContent-Type: text/plain; charset={charset}");
        let (lines, done) = run(Kind::Multipart, part(&headers).as_bytes());
        assert_eq!(done, Ok(()), "{charset}");
        lines.iter().any(|line| line == "flaw part_charset")
    };
    for charset in ["iso-8859-15", "Windows-1252", "cp1250", "UTF-8", "koi8-r"] {
        assert!(!flawed(charset), "{charset}");
    }
    for charset in [
        "iso-8859-17",
        "iso-8859-01",
        "windows-125",
        "utf-7",
        "utf-16",
        "ibm037",
        "shift_jis",
        "gbk",
    ] {
        assert!(flawed(charset), "{charset}");
    }
}

#[test]
fn a_sink_stops_the_parser() {
    let mut log = Log {
        stop_after: Some(2),
        ..Log::default()
    };
    assert_eq!(
        parse(
            Kind::Form,
            b"",
            b"a=1&b=2&c=3",
            &Limits::default(),
            &mut log
        ),
        Ok(())
    );
    assert_eq!(log.lines, ["pair a 1", "pair b 2"]);
}

/// Fragments of every format in any order.
fn hostile() -> impl Strategy<Value = Vec<u8>> {
    const PIECES: &[&str] = &[
        "--XX",
        "--",
        "\r\n",
        "\n",
        "Content-Disposition: form-data; name=\"a\"",
        "; filename=\"b\"",
        ":",
        "{",
        "}",
        "[",
        "]",
        "\"",
        "\\u00",
        "\\",
        ",",
        "1",
        "true",
        "<a ",
        "x='",
        "'>",
        "</a>",
        "&lt;",
        "&#x41;",
        "<![CDATA[",
        "]]>",
        "<!--",
        "-->",
        "<?xml",
        "?>",
        "=",
        "&",
        "%",
        "%41",
        "+",
        " ",
        "é",
    ];
    let piece = prop_oneof![
        proptest::sample::select(PIECES).prop_map(|s| s.as_bytes().to_vec()),
        any::<u8>().prop_map(|b| vec![b]),
    ];
    proptest::collection::vec(piece, 0..60).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn any_bytes_are_parsed_or_refused_within_bounds(body in hostile(), header in hostile()) {
        for kind in [Kind::Form, Kind::Json, Kind::Xml, Kind::Multipart] {
            for header in [FORM, &header] {
                let mut log = Log::default();
                let limits = Limits { total: body.len() * 8 + 64, ..Limits::default() };
                let _ = parse(kind, header, &body, &limits, &mut log);
                // A flaw is a line without bytes; the content of a file is the body's own.
                prop_assert!(log.bytes <= limits.total + body.len());
                prop_assert!(log.lines.len() <= 2 * body.len() + 4);
            }
        }
        let _ = Kind::of(&header);
    }

    #[test]
    fn json_strings_come_back(text in any::<String>()) {
        let quoted: String = text.encode_utf16().map(|unit| format!("\\u{unit:04x}")).collect();
        let body = format!("[\"{quoted}\"]");
        let (lines, done) = run(Kind::Json, body.as_bytes());
        prop_assert_eq!(done, Ok(()));
        prop_assert_eq!(lines, vec![format!("pair json.array_0 {}", text.as_bytes().escape_ascii())]);
    }
}

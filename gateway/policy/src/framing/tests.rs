#![expect(clippy::unwrap_used, reason = "tests")]

use http::HeaderValue;

use super::*;

type Found = Result<(Framing, String, bool), Refusal>;

struct Case<'a> {
    version: Version,
    method: &'static str,
    target: &'a str,
    authority: Option<&'static str>,
    fields: Vec<(&'static str, &'static str)>,
}

fn h1(fields: &[(&'static str, &'static str)]) -> Case<'static> {
    let mut fields = fields.to_vec();
    if !fields.iter().any(|(name, _)| *name == "host") {
        fields.push(("host", "app.example"));
    }
    Case {
        version: Version::HTTP_11,
        method: "GET",
        target: "/",
        authority: None,
        fields,
    }
}

fn h2(fields: &[(&'static str, &'static str)]) -> Case<'static> {
    Case {
        version: Version::HTTP_2,
        authority: Some("app.example"),
        fields: fields.to_vec(),
        ..h1(&[])
    }
}

impl Case<'_> {
    fn ask(&self) -> Found {
        let mut headers = HeaderMap::new();
        for (name, value) in &self.fields {
            headers.append(*name, HeaderValue::from_str(value).unwrap());
        }
        let head = Head {
            version: self.version,
            method: &self.method.parse().unwrap(),
            target: self.target.as_bytes(),
            authority: self.authority,
            scheme: None,
            headers: &headers,
        };
        let caps = Caps {
            fields: 20,
            bytes: 2000,
            target: 500,
        };
        let owned = [HeaderName::from_static("x-user-id")];
        let mut scratch = String::new();
        inspect(&head, caps, &owned, &mut scratch)
            .map(|found| (found.framing, found.host.name.to_owned(), found.websocket))
    }

    fn reason(&self) -> Reason {
        match self.ask() {
            Ok(_) => Reason::Ok,
            Err(refusal) => refusal.reason,
        }
    }
}

#[test]
fn plain_requests_pass_and_tell_their_framing() {
    let host = "app.example".to_owned();
    assert_eq!(h1(&[]).ask(), Ok((Framing::None, host.clone(), false)));
    assert_eq!(
        h1(&[("content-length", "0")]).ask(),
        Ok((Framing::Length(0), host.clone(), false))
    );
    assert_eq!(
        h1(&[("content-length", "17")]).ask(),
        Ok((Framing::Length(17), host.clone(), false))
    );
    assert_eq!(
        h1(&[("transfer-encoding", "Chunked")]).ask(),
        Ok((Framing::Unknown, host.clone(), false))
    );
    assert_eq!(h2(&[]).ask(), Ok((Framing::Unknown, host.clone(), false)));
    assert_eq!(
        h2(&[("te", "trailers"), ("content-length", "3")]).ask(),
        Ok((Framing::Length(3), host, false))
    );
}

#[test]
fn refuses_every_other_content_length() {
    for value in [
        "",
        "+1",
        "-1",
        "0x10",
        "01",
        "00",
        "1,1",
        "1 1",
        "1.0",
        "1e2",
        "9223372036854775808",
        "99999999999999999999",
    ] {
        assert_eq!(
            h1(&[("content-length", value)]).reason(),
            Reason::Smuggling,
            "{value}"
        );
    }
    assert_eq!(
        h1(&[("content-length", "9223372036854775807")]).reason(),
        Reason::Ok
    );
    assert_eq!(
        h1(&[("content-length", "2"), ("content-length", "2")]).reason(),
        Reason::Smuggling
    );
    assert_eq!(h2(&[("content-length", "+2")]).reason(), Reason::Smuggling);
}

#[test]
fn refuses_every_other_transfer_encoding() {
    for value in [
        "",
        "identity",
        "gzip, chunked",
        "chunked, chunked",
        "xchunked",
        "chunked;q=1",
        "\"chunked\"",
    ] {
        assert_eq!(
            h1(&[("transfer-encoding", value)]).reason(),
            Reason::Smuggling,
            "{value}"
        );
    }
    let twice = [
        ("transfer-encoding", "chunked"),
        ("transfer-encoding", "chunked"),
    ];
    assert_eq!(h1(&twice).reason(), Reason::Smuggling);
    let both = [("content-length", "4"), ("transfer-encoding", "chunked")];
    assert_eq!(h1(&both).reason(), Reason::Smuggling);
    let old = Case {
        version: Version::HTTP_10,
        ..h1(&[("transfer-encoding", "chunked")])
    };
    assert_eq!(old.reason(), Reason::Smuggling);
    assert_eq!(
        h2(&[("transfer-encoding", "chunked")]).reason(),
        Reason::Smuggling
    );
}

#[test]
fn http2_has_no_connection_fields() {
    for field in [
        ("connection", "close"),
        ("keep-alive", "1"),
        ("upgrade", "h2c"),
        ("proxy-connection", "x"),
        ("te", "gzip"),
    ] {
        assert_eq!(h2(&[field]).reason(), Reason::Smuggling, "{field:?}");
    }
}

#[test]
fn refuses_hosts_that_are_missing_doubled_or_different() {
    let none = Case {
        fields: Vec::new(),
        ..h1(&[])
    };
    assert_eq!(none.reason(), Reason::BadHost);
    let old = Case {
        version: Version::HTTP_10,
        fields: Vec::new(),
        ..h1(&[])
    };
    assert_eq!(old.reason(), Reason::BadHost);
    assert_eq!(
        h1(&[("host", "app.example"), ("host", "app.example")]).reason(),
        Reason::BadHost
    );
    for value in ["", "a@b", "a, b", "a b", "app.example:x"] {
        assert_eq!(h1(&[("host", value)]).reason(), Reason::BadHost, "{value}");
    }
    let absolute = |authority| {
        Case {
            authority: Some(authority),
            target: "http://…",
            ..h1(&[])
        }
        .reason()
    };
    assert_eq!(absolute("app.example"), Reason::Ok);
    assert_eq!(absolute("APP.example:80"), Reason::Ok);
    assert_eq!(absolute("other.example"), Reason::BadHost);
    assert_eq!(absolute("app.example:81"), Reason::BadHost);
    assert_eq!(absolute("user@app.example"), Reason::BadHost);
    assert_eq!(h2(&[("host", "app.example")]).reason(), Reason::Ok);
    assert_eq!(h2(&[("host", "other.example")]).reason(), Reason::BadHost);
    let neither = Case {
        authority: None,
        ..h2(&[])
    };
    assert_eq!(neither.reason(), Reason::BadHost);
}

#[test]
fn the_host_is_canonical() {
    let found = h1(&[("host", "APP.Example.:8080")]).ask();
    assert_eq!(found, Ok((Framing::None, "app.example".to_owned(), false)));
}

#[test]
fn refuses_lookalikes_of_protected_names_only() {
    for name in [
        "transfer_encoding",
        "content_length",
        "x_forwarded_for",
        "x-forwarded_for",
        "x.forwarded.for",
        "x_forwarded_whatever",
        "x_real_ip",
        "host_",
        "x_user_id",
        "x_original_url",
        "content_type",
    ] {
        let want = if name == "host_" {
            Reason::Ok
        } else {
            Reason::Lookalike
        };
        assert_eq!(h1(&[(name, "1")]).reason(), want, "{name}");
    }
    assert_eq!(h1(&[("my_header", "1"), ("x.y", "2")]).reason(), Reason::Ok);
}

#[test]
fn connection_names_nothing_that_somebody_relies_on() {
    for value in [
        "authorization",
        "close, Authorization",
        "cookie",
        "x-forwarded-for",
        "X-Forwarded-Proto",
        "x-user-id",
        "content-length",
        "host",
        "transfer-encoding",
        "x-thing",
        "a b",
    ] {
        let case = h1(&[("connection", value), ("x-thing", "1")]);
        assert_eq!(case.reason(), Reason::Smuggling, "{value}");
    }
    for value in [
        "close",
        "keep-alive, TE",
        "Upgrade, HTTP2-Settings",
        "",
        "keep-alive, x-absent",
    ] {
        assert_eq!(h1(&[("connection", value)]).reason(), Reason::Ok, "{value}");
    }
    let second = [("connection", "close"), ("connection", "authorization")];
    assert_eq!(h1(&second).reason(), Reason::Smuggling);
}

#[test]
fn expects_only_to_continue_with_a_body() {
    let case = |value, length| h1(&[("expect", value), ("content-length", length)]).reason();
    assert_eq!(case("100-continue", "5"), Reason::Ok);
    assert_eq!(case("100-Continue", "0"), Reason::Ok);
    assert_eq!(case("y 100-continue", "5"), Reason::Smuggling);
    assert_eq!(case("200-ok", "5"), Reason::Smuggling);
    assert_eq!(
        h1(&[("expect", "100-continue")]).reason(),
        Reason::Smuggling
    );
    let twice = [
        ("expect", "100-continue"),
        ("expect", "100-continue"),
        ("content-length", "5"),
    ];
    assert_eq!(h1(&twice).reason(), Reason::Smuggling);
}

#[test]
fn refuses_methods_that_echo_tunnel_or_pretend() {
    for method in ["TRACE", "TRACK", "CONNECT", "PRI", "get", "Post", "trace"] {
        assert_eq!(
            Case { method, ..h1(&[]) }.reason(),
            Reason::BadMethod,
            "{method}"
        );
    }
    for method in ["GET", "PROPFIND", "PURGE", "OPTIONS"] {
        assert_eq!(Case { method, ..h1(&[]) }.reason(), Reason::Ok, "{method}");
    }
    assert_eq!(
        h1(&[("x-http-method-override", "DELETE")]).reason(),
        Reason::BadMethod
    );
    assert_eq!(
        Case {
            target: "*",
            ..h1(&[])
        }
        .reason(),
        Reason::BadPath
    );
    assert_eq!(
        Case {
            target: "*",
            method: "OPTIONS",
            ..h1(&[])
        }
        .reason(),
        Reason::Ok
    );
}

#[test]
fn recognises_websockets_and_only_whole_ones() {
    let handshake = [
        ("connection", "keep-alive, Upgrade"),
        ("upgrade", "WebSocket"),
        ("sec-websocket-version", "13"),
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ];
    assert_eq!(h1(&handshake).ask().map(|found| found.2), Ok(true));
    let post = Case {
        method: "POST",
        ..h1(&handshake)
    };
    assert_eq!(post.reason(), Reason::Malformed);
    let mut body = handshake.to_vec();
    body.push(("content-length", "9"));
    assert_eq!(h1(&body).reason(), Reason::Smuggling);
    assert_eq!(h1(&handshake[..2]).reason(), Reason::Malformed);
    assert_eq!(h1(&handshake[1..]).ask().map(|found| found.2), Ok(false));
    let h2c = [
        ("connection", "Upgrade, HTTP2-Settings"),
        ("upgrade", "h2c"),
        ("http2-settings", "AAMA"),
    ];
    assert_eq!(h1(&h2c).ask().map(|found| found.2), Ok(false));
    for name in [
        "upgrade",
        "http2-settings",
        "connection",
        "x-original-url",
        "x-forwarded-for",
    ] {
        assert!(is_dropped(&HeaderName::from_static(name)), "{name}");
    }
    assert!(!is_dropped(&http::header::AUTHORIZATION));
}

#[test]
fn refuses_repeated_fields_that_readers_choose_from() {
    for name in [
        "content-type",
        "authorization",
        "origin",
        "content-encoding",
    ] {
        assert_eq!(
            h1(&[(name, "a"), (name, "a")]).reason(),
            Reason::Malformed,
            "{name}"
        );
    }
    assert_eq!(
        h1(&[
            ("cookie", "a=1"),
            ("cookie", "b=2"),
            ("accept", "a"),
            ("accept", "b")
        ])
        .reason(),
        Reason::Ok
    );
}

#[test]
fn refuses_control_characters_that_a_parser_let_through() {
    // `HeaderValue` refuses most of them already; what gets by is checked all the same.
    assert_eq!(h1(&[("x-note", "a\tb")]).reason(), Reason::Ok);
    let mut headers = HeaderMap::new();
    headers.append("x-note", HeaderValue::from_bytes(b"caf\xe9").unwrap());
    assert_eq!(names::inspect(&headers, &[]), Ok(()));
}

#[test]
fn caps_count_size_and_target() {
    let many: Vec<_> = std::iter::repeat_n(("accept", "*/*"), 25).collect();
    assert_eq!(h1(&many).reason(), Reason::HeaderTooLarge);
    let long: &'static str = Box::leak("a".repeat(2000).into_boxed_str());
    assert_eq!(h1(&[("x-long", long)]).reason(), Reason::HeaderTooLarge);
    assert_eq!(
        Case {
            target: &long[..501],
            ..h1(&[])
        }
        .reason(),
        Reason::UriTooLong
    );
}

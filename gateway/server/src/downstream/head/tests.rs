use super::*;

#[test]
fn knows_the_bytes_of_tokens() {
    for byte in 0..=u8::MAX {
        let listed = byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        assert_eq!(is_tchar(byte), listed, "{byte}");
    }
}

fn scan(text: &str) -> Result<Option<usize>, Reason> {
    let scanned = Scan::default().advance(text.as_bytes(), &Hardening::default());
    scanned.map_err(|(reason, detail)| {
        assert!(!detail.is_empty(), "{text:?}");
        reason
    })
}

fn get(fields: &str) -> Result<Option<usize>, Reason> {
    scan(&format!("GET / HTTP/1.1\r\n{fields}\r\n"))
}

#[test]
fn takes_clean_heads_in_any_pieces() {
    let text = "\r\nPOST http://A.example/x?y HTTP/1.1\r\nHost: a.example\r\nContent-Length: 5\r\nX:\t\u{e9}\r\n\r\nhello";
    let end = text.len() - 5;
    assert_eq!(scan(text), Ok(Some(end)));
    let mut piecewise = Scan::default();
    for upto in 0..end {
        let part = text.as_bytes().get(..upto).unwrap_or_default();
        assert_eq!(
            piecewise.advance(part, &Hardening::default()),
            Ok(None),
            "{upto}"
        );
    }
    assert_eq!(
        piecewise.advance(text.as_bytes(), &Hardening::default()),
        Ok(Some(end))
    );
}

#[test]
fn refuses_framing_that_two_parsers_read_differently() {
    for fields in [
        "Host: a\nX: y\r\n",
        "Host: a\r\nX: a\rb\r\n",
        "Host: a\r\n folded\r\n",
        "Host: a\r\nX : y\r\n",
        "Host: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n",
        "Host: a\r\nContent-Length: 1\r\nContent-Length: 1\r\n",
        "Host: a\r\nContent-Length: 1, 1\r\n",
        "Host: a\r\nContent-Length: +1\r\n",
        "Host: a\r\nContent-Length: 0x1\r\n",
        "Host: a\r\nContent-Length: 01\r\n",
        "Host: a\r\nContent-Length:\r\n",
        "Host: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        "Host: a\r\nTransfer-Encoding: gzip, chunked\r\n",
        "Host: a\r\nTransfer-Encoding: xchunked\r\n",
    ] {
        assert_eq!(get(fields), Err(Reason::Smuggling), "{fields:?}");
    }
    let old = "POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    assert_eq!(scan(old), Err(Reason::Smuggling));
}

#[test]
fn refuses_hosts_that_are_missing_doubled_or_contradicted() {
    for text in [
        "GET / HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.0\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost:\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: u@a\r\n\r\n",
        "GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET http://u@a/ HTTP/1.1\r\nHost: a\r\n\r\n",
    ] {
        assert_eq!(scan(text), Err(Reason::BadHost), "{text:?}");
    }
}

#[test]
fn refuses_malformed_request_lines() {
    for line in [
        "GET /",
        "GET  / HTTP/1.1",
        "G@T / HTTP/1.1",
        "GET / HTTP/2.0",
        "GET /\u{1} HTTP/1.1",
        " / HTTP/1.1",
    ] {
        assert_eq!(
            scan(&format!("{line}\r\nHost: a\r\n\r\n")),
            Err(Reason::Malformed),
            "{line:?}"
        );
    }
    assert_eq!(
        scan("CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n"),
        Err(Reason::BadMethod)
    );
    assert_eq!(
        scan("GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n"),
        Err(Reason::BadPath)
    );
    assert_eq!(
        scan("GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n"),
        Err(Reason::BadPath)
    );
    assert_eq!(get("Host: a\r\nX: a\0b\r\n"), Err(Reason::Malformed));
}

#[test]
fn refuses_what_is_too_large() {
    let long = format!("GET /{} HTTP/1.1\r\n", "a".repeat(9000));
    assert_eq!(scan(&long), Err(Reason::UriTooLong));
    assert_eq!(
        get(&format!("Host: a\r\nX: {}", "a".repeat(40_000))),
        Err(Reason::HeaderTooLarge)
    );
    assert_eq!(get(&"X: y\r\n".repeat(101)), Err(Reason::HeaderTooLarge));
    assert_eq!(
        get(&format!("Host: a\r\n{}", "X: y\r\n".repeat(99))).map(|end| end.is_some()),
        Ok(true)
    );
}

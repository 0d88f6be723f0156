//! One canonical path for routing, limits, scanning and the origin.

use crate::support::raw::get;
use crate::support::{Gateway, Origin, Plan, exchange};

fn guarded(origin: &Origin) -> Plan {
    Plan::new(origin.address)
        .check("nobody", "{check: ip, deny: [0.0.0.0/0, \"::/0\"]}")
        .route("{name: admin, match: {path: \"/admin/*\"}, to: app, use: [nobody], public: test}")
        .route("{name: all, match: {path: \"/*\"}, to: app, public: test}")
}

#[test]
fn no_spelling_of_a_path_gets_around_its_route() {
    let origin = Origin::start();
    let gateway = Gateway::start(&guarded(&origin));
    assert_eq!(exchange(gateway.http, get("/fine", "")).status, 200);
    let mut through = Vec::new();
    for path in [
        "/admin/x",
        "/admin/",
        "/admin",
        "//admin/x",
        "/./admin/x",
        "/a/../admin/x",
        "/a/..//admin/x",
        "/%61dmin/x",
        "/a/%2e%2e/admin/x",
        "/a/%2e./admin/x",
        "/a/..%2fadmin/x",
        "/a%2f..%2fadmin/x",
        "/%2fadmin/x",
        "/a/..;/admin/x",
        "/admin;x=1/x",
        "/;/admin/x",
        "/a/..%5cadmin/x",
        "\\admin\\x",
        "/\\admin/x",
        "/admin%2fx",
        "/admin/x#/fine",
        "/admin/x?y=/fine",
        "/admin%00/x",
        "/%2561dmin/x",
        "/a/%252e%252e/admin/x",
        "/%c0%af../admin/x",
        "/a/%c0%ae%c0%ae/admin/x",
        "/a/../../admin/x",
        "/admin/./x",
        "/admin//x",
        "/%2e/admin/x",
        "/admin/%zz",
        "/admin%",
        "/a/.%2e/admin/x",
        "/adm%69n/x",
        "/%EF%BC%8Fadmin/x",
        "/a/\u{ff0e}\u{ff0e}/admin/x",
    ] {
        let before = origin.count();
        let status = exchange(gateway.http, get(path, "")).status;
        for seen in origin.seen().split_off(before) {
            // An origin that decodes, folds slashes and resolves dots, as many do.
            let read = lenient(&seen.target);
            if read == "/admin" || read.starts_with("/admin/") {
                through.push(format!("{path} → {} ({status})", seen.target));
            }
        }
    }
    assert!(through.is_empty(), "{}", through.join("\n"));
}

/// A path as a sloppy application reads it: parameters cut, decoded once, backslashes turned, slashes folded, dots
/// resolved.
fn lenient(target: &str) -> String {
    let path = target.split(['?', '#']).next().unwrap_or_default();
    let cut: Vec<&str> = path
        .split('/')
        .map(|part| part.split(';').next().unwrap_or_default())
        .collect();
    let text = decoded(&cut.join("/")).replace('\\', "/");
    let mut parts: Vec<&str> = Vec::new();
    for part in text.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    format!("/{}", parts.join("/"))
}

fn decoded(path: &str) -> String {
    let bytes = path.as_bytes();
    let mut decoded = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let hex = path
            .get(at + 1..at + 3)
            .and_then(|hex| u8::from_str_radix(hex, 16).ok());
        match (bytes[at], hex) {
            (b'%', Some(byte)) => {
                decoded.push(byte);
                at += 3;
            }
            (byte, _) => {
                decoded.push(byte);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

#[test]
fn paths_without_a_canonical_form_are_refused() {
    let origin = Origin::start();
    let gateway = Gateway::start(&Plan::open(origin.address));
    for path in [
        "/a%00b",
        "/%zz",
        "/a%",
        "/a%4",
        "/%c0%af",
        "/%e0%80%af",
        "/../../etc/passwd",
        "/a%0d%0aX:%20y",
    ] {
        let answer = exchange(gateway.http, get(path, ""));
        assert!(
            answer.status == 400
                || origin
                    .seen()
                    .iter()
                    .all(|seen| !seen.target.contains("..") && !seen.target.contains("%00")),
            "{path}: {}",
            answer.status
        );
    }
    for path in ["/a%00b", "/%zz", "/%c0%af"] {
        assert_eq!(exchange(gateway.http, get(path, "")).status, 400, "{path}");
    }
    assert_eq!(gateway.refused_for("bad_path")["action"], "deny");
}

#[test]
fn what_is_routed_is_what_the_origin_gets() {
    let origin = Origin::start();
    let gateway = Gateway::start(&Plan::open(origin.address));
    for (sent, arrives) in [
        ("/a/b?c=d%20e&f=%27", "/a/b?c=d%20e&f=%27"),
        ("/a/../b", "/b"),
        ("/a/./b//c", "/a/b/c"),
        ("/%61", "/a"),
        ("/caf%C3%A9", "/caf%C3%A9"),
        ("/a%20b", "/a%20b"),
        ("/x?y=../z", "/x?y=../z"),
    ] {
        assert_eq!(exchange(gateway.http, get(sent, "")).status, 200, "{sent}");
        assert_eq!(origin.last().target, arrives, "{sent}");
    }
}

/// An application that finds its pages in any case and with or without a slash at the end.
#[test]
fn what_an_exact_route_guards_is_guarded_in_every_case_where_the_policy_says_so() {
    let origin = Origin::start();
    let plan = Plan::new(origin.address)
        .top("paths: {case: fold, trailing_slash: ignore}")
        .check("nobody", "{check: ip, deny: [0.0.0.0/0, \"::/0\"]}")
        .check("few", "{check: rate_limit, key: [path], limit: 2/m}")
        .route("{name: admin, match: {path: [/Admin/*, /konto/Straße/]}, to: app, use: [nobody], public: test}")
        .route("{name: all, match: {path: \"/*\"}, to: app, use: [few], public: test}");
    let gateway = Gateway::start(&plan);
    let status = |path: &str| exchange(gateway.http, get(path, "")).status;
    for path in [
        "/Admin",
        "/admin/",
        "/ADMIN/x",
        "/aDmIn/X/y/",
        "/konto/stra%C3%9Fe",
        "/KONTO/STRASSE/",
        "/KONTO/%C5%BFtra%C3%9Fe",
        "/konto/Stra%E1%BA%9Ee",
    ] {
        assert_eq!(status(path), 403, "{path}");
    }
    assert_eq!(origin.count(), 0);
    // What goes upstream is as it came, and every spelling spends of the same limit.
    assert_eq!(status("/Shop/Cart/"), 200);
    assert_eq!(origin.last().target, "/Shop/Cart/");
    assert_eq!(status("/shop/cart"), 200);
    assert_eq!(status("/SHOP/CART"), 429);
    assert_eq!(status("/"), 200);
}

#[test]
fn headers_that_rename_the_path_change_nothing() {
    let origin = Origin::start();
    let gateway = Gateway::start(&guarded(&origin));
    for field in [
        "X-Original-URL",
        "X-Rewrite-URL",
        "X-Forwarded-Path",
        "X-HTTP-Method-Override",
    ] {
        exchange(
            gateway.http,
            get("/fine", &format!("{field}: /admin/x\r\n")),
        );
    }
    for seen in origin.seen() {
        assert_eq!(seen.target, "/fine");
        assert!(seen.all("x-original-url").is_empty() && seen.all("x-rewrite-url").is_empty());
    }
    let absolute = exchange(
        gateway.http,
        "GET http://app.test/admin/x HTTP/1.1\r\nHost: app.test\r\n\r\n",
    );
    assert!(matches!(absolute.status, 400 | 403), "{}", absolute.status);
}

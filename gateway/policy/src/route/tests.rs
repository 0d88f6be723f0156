//! Claims about routing.
#![expect(clippy::unwrap_used, reason = "tests")]

use http::{HeaderMap, Method, Version};

use super::Router;
use super::pattern::{HeaderPattern, HostPattern, Matcher, PathPattern};
use crate::request::{Framing, Request};

fn matcher(host: &str, method: &str, path: &str) -> Matcher {
    Matcher {
        hosts: vec![HostPattern::parse(host).unwrap()],
        methods: if method.is_empty() {
            vec![]
        } else {
            vec![method.parse().unwrap()]
        },
        paths: vec![PathPattern::parse(path).unwrap()],
        headers: vec![],
    }
}

fn find(
    router: &Router,
    host: &str,
    method: &Method,
    path: &str,
    headers: &HeaderMap,
) -> Option<u16> {
    let request = Request {
        id: "",
        client: [192, 0, 2, 1].into(),
        client_port: 0,
        peer: [192, 0, 2, 1].into(),
        server: None,
        method,
        scheme: "https",
        host,
        path,
        compared: path,
        query: None,
        target: path,
        version: Version::HTTP_11,
        headers,
        tls: None,
        framing: Framing::None,
        websocket: false,
    };
    router.find(&request).map(|route| route.0)
}

fn get(router: &Router, host: &str, path: &str) -> Option<u16> {
    find(router, host, &Method::GET, path, &HeaderMap::new())
}

#[test]
fn first_match_wins_whatever_its_shape() {
    let router = Router::new(vec![
        matcher("*", "", "/a/{x}"),
        matcher("*", "", "/a/b"),
        matcher("shop.example.com", "", "/*"),
        matcher("*", "", "/a/*"),
    ]);
    assert_eq!(get(&router, "x", "/a/b"), Some(0));
    assert_eq!(get(&router, "shop.example.com", "/a/b/c"), Some(2));
    assert_eq!(get(&router, "x", "/a/b/c"), Some(3));
    assert_eq!(get(&router, "x", "/c"), None);
}

#[test]
fn an_area_is_not_left_by_dropping_its_slash() {
    let router = Router::new(vec![matcher("*", "", "/admin/*"), matcher("*", "", "/*")]);
    for path in ["/admin", "/admin/", "/admin/users", "/admin//"] {
        assert_eq!(get(&router, "x", path), Some(0), "{path}");
    }
    for path in ["/administration", "/", "/Admin", "*"] {
        assert_eq!(get(&router, "x", path), Some(1), "{path}");
    }
}

#[test]
fn a_parameter_is_one_segment_that_is_not_empty() {
    let router = Router::new(vec![matcher("*", "", "/users/{id}/posts")]);
    assert_eq!(get(&router, "x", "/users/7/posts"), Some(0));
    for path in [
        "/users//posts",
        "/users/7/8/posts",
        "/users/7",
        "/users/7/posts/",
    ] {
        assert_eq!(get(&router, "x", path), None, "{path}");
    }
}

#[test]
fn hosts_below_are_not_the_host_itself() {
    let router = Router::new(vec![matcher("*.example.com", "", "/*")]);
    assert_eq!(get(&router, "a.example.com", "/"), Some(0));
    assert_eq!(get(&router, "a.b.example.com", "/"), Some(0));
    for host in [
        "example.com",
        "aexample.com",
        ".example.com",
        "example.com.evil",
    ] {
        assert_eq!(get(&router, host, "/"), None, "{host}");
    }
}

#[test]
fn methods_and_header_fields_decide_among_equal_paths() {
    let mut canary = matcher("*", "GET", "/x");
    canary.headers = vec![("x-canary".parse().unwrap(), HeaderPattern::parse("v*"))];
    let router = Router::new(vec![
        canary,
        matcher("*", "GET", "/x"),
        matcher("*", "", "/x"),
    ]);
    let mut headers = HeaderMap::new();
    assert_eq!(find(&router, "h", &Method::GET, "/x", &headers), Some(1));
    assert_eq!(find(&router, "h", &Method::POST, "/x", &headers), Some(2));
    headers.insert("x-canary", "v2".parse().unwrap());
    assert_eq!(find(&router, "h", &Method::GET, "/x", &headers), Some(0));
}

#[test]
fn a_thousand_routes_are_all_found() {
    let matchers = (0..1000).map(|n| matcher("*", "", &format!("/area{}/{{id}}/item{n}", n % 7)));
    let router = Router::new(matchers.collect());
    for n in 0..1000u16 {
        assert_eq!(
            get(&router, "x", &format!("/area{}/z/item{n}", n % 7)),
            Some(n)
        );
    }
}

#[test]
fn covered_routes_are_known() {
    let all = matcher("*", "", "/*");
    let api = matcher("*", "", "/api/*");
    let one = matcher("a.example.com", "GET", "/api/{id}");
    let get = matcher("*", "GET", "/x");
    let post = matcher("*", "POST", "/x");
    let both = Matcher {
        methods: vec![Method::GET, Method::POST],
        ..matcher("*", "", "/x")
    };
    assert!(api.covered_by(&[&all]) && one.covered_by(&[&api]) && both.covered_by(&[&get, &post]));
    assert!(!all.covered_by(&[&api]) && !api.covered_by(&[&one]) && !both.covered_by(&[&get]));
    let mut canary = matcher("*", "", "/*");
    canary.headers = vec![("x-canary".parse().unwrap(), HeaderPattern::Present)];
    assert!(canary.covered_by(&[&all]) && !all.covered_by(&[&canary]));
}

#[test]
fn patterns_that_never_match_are_refused() {
    for text in [
        "api", "/a*", "/a/../b", "/a//b", "/a%41", "/x?y=1", "/{a}b", "/{}", "/a\\b",
    ] {
        assert!(PathPattern::parse(text).is_err(), "{text}");
    }
    for text in ["*.com.*", "a:80", "", "*.", "bücher.example"] {
        assert!(HostPattern::parse(text).is_err(), "{text}");
    }
    assert!(PathPattern::parse("/.well-known/*").is_ok() && PathPattern::parse("/ä/ü").is_ok());
}

#[test]
fn what_guards_get_guards_head() {
    let router = Router::new(vec![
        matcher("*", "GET", "/admin/*"),
        matcher("*", "", "/*"),
    ]);
    let headers = HeaderMap::new();
    let at = |method: &Method| find(&router, "h", method, "/admin/users", &headers);
    assert_eq!((at(&Method::GET), at(&Method::HEAD)), (Some(0), Some(0)));
    assert_eq!(
        (at(&Method::POST), at(&Method::OPTIONS)),
        (Some(1), Some(1))
    );
    let head = matcher("*", "HEAD", "/admin/users");
    assert!(head.covered_by(&[&matcher("*", "GET", "/admin/*")]));
    assert!(!matcher("*", "GET", "/admin/users").covered_by(&[&head]));
}

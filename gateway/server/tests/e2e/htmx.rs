//! Pages with tokens in the ways of newer applications: htmx itself, XHTML, a Content-Security-Policy of nonces, HTTP/2.

use crate::support::origin::{Seen, answer};
use crate::support::tools::{deps, python, stdout};
use crate::support::{Gateway, Origin, Plan, Step};

const ICON: &str = "<link rel=\"icon\" href=\"data:,\"/>";

/// The published script of htmx.
fn htmx(package: &str) -> Vec<u8> {
    let file = deps()
        .join("npm/node_modules")
        .join(package)
        .join("dist/htmx.min.js");
    std::fs::read(&file)
        .unwrap_or_else(|_| panic!("{} is missing: run deploy/test.sh", file.display()))
}

fn application(seen: &Seen) -> Vec<u8> {
    let html = "Content-Type: text/html; charset=utf-8\r\n";
    let page = |head: &str, body: &str| {
        format!("<!doctype html><html><head>{ICON}{head}</head><body>{body}</body></html>")
    };
    match (seen.method.as_str(), seen.target.as_str()) {
        ("POST", _) => answer(200, html, b"saved"),
        (_, "/htmx2.js") => answer(200, "Content-Type: text/javascript\r\n", &htmx("htmx.org")),
        (_, "/htmx4.js") => answer(200, "Content-Type: text/javascript\r\n", &htmx("htmx4")),
        (_, "/more") => answer(
            200,
            html,
            b"<form method=post action=/save><input name=a value=1></form>",
        ),
        (_, "/xhtml") => {
            let text = format!(
                "<?xml version=\"1.0\"?><html xmlns=\"http://www.w3.org/1999/xhtml\"><head><title>x</title>{ICON}</head>\
                 <body><form method=\"post\" action=\"/save\"><input name=\"a\" value=\"1\"/></form></body></html>"
            );
            answer(
                200,
                "Content-Type: application/xhtml+xml\r\n",
                text.as_bytes(),
            )
        }
        (_, "/nonce") => {
            let more = format!("{html}Content-Security-Policy: script-src 'nonce-aB3='\r\n");
            let body = page(
                "",
                "<script nonce=\"aB3=\">window.own = 1</script><script>window.foreign = 1</script>",
            );
            answer(200, &more, body.as_bytes())
        }
        (_, target) => {
            let body = page(
                &format!("<script src=\"{target}.js\"></script>"),
                "<button id=save hx-post=/save hx-target=#said>save</button><button id=more hx-get=/more hx-target=#said>more</button>\
                 <button id=private hx-get=/private hx-target=#said>private</button><p id=said></p>",
            );
            answer(200, html, body.as_bytes())
        }
    }
}

#[test]
fn htmx_and_xhtml_and_nonces_work_in_a_browser_over_http2() {
    let origin = Origin::scripted(|seen| vec![Step::ReadBody, Step::Send(application(seen))]);
    let plan = Plan::new(origin.address)
        .top("secrets:\n  csrf: {env: PALISADE_TEST_CSRF}")
        .env("PALISADE_TEST_CSRF", "a secret of more than thirty-two bytes, used in tests")
        .check(
            "forms",
            "{check: csrf, secret: csrf, bound: false, \
             inject: {script: true, types: [text/html, application/xhtml+xml]}}",
        )
        .check(
            "web",
            "{check: session, start: {request: POST /login, user: form.user, passed: {status: 302}}, login: /login}",
        )
        .route("{name: own, match: {path: \"/.palisade/*\"}, serve: [forms], public: test}")
        .route("{name: private, match: {path: /private}, to: app, use: [web]}")
        .route("{name: login, match: {path: /login}, to: app, use: [web]}")
        .route("{name: all, match: {path: \"/*\"}, to: app, use: [forms], public: test}")
        .tls();
    let gateway = Gateway::start(&plan);
    let url = format!("https://localhost:{}", gateway.tls.port());
    assert!(stdout(python("htmx.py").arg(url)).contains("walked"));
    let sent: Vec<_> = origin
        .seen()
        .into_iter()
        .filter(|seen| seen.target == "/save")
        .collect();
    let tokens = sent.iter().map(|seen| {
        let field = String::from_utf8_lossy(&seen.body).contains("csrf_token=");
        (seen.header("x-csrf-token").is_some(), field)
    });
    let (script, form) = ((true, false), (false, true));
    assert_eq!(
        tokens.collect::<Vec<_>>(),
        [script, script, form, script, form, script]
    );
    assert!(origin.seen().iter().all(|seen| seen.target != "/private"));
}

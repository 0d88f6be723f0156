//! Second factors in front of an application that has a log-in and nothing else: by forms over HTTP, and in a browser.

use std::thread;

use crate::support::gateway::run;
use crate::support::origin::{answer, ok};
use crate::support::raw::{Response, get, post};
use crate::support::tools::{python, stdout};
use crate::support::{Gateway, Origin, Plan, Step, exchange};

/// Knows users by what the gateway says of them.
pub(crate) fn application() -> Origin {
    let page = |text: &str| {
        let body = format!("<!doctype html><link rel=\"icon\" href=\"data:,\">{text}");
        answer(200, "Content-Type: text/html\r\n", body.as_bytes())
    };
    Origin::scripted(move |seen| {
        let who = seen.header("x-user-id").unwrap_or("nobody");
        let written = match (seen.method.as_str(), seen.target.as_str()) {
            ("POST", "/login") => answer(302, "Location: /home\r\n", b""),
            ("GET", "/login") => {
                page("<form method=post><input name=user><button>in</button></form>")
            }
            ("GET", "/home") => page(&format!("home of {who}")),
            ("GET", "/admin") => page("admin"),
            _ => ok("other"),
        };
        vec![Step::ReadBody, Step::Send(written)]
    })
}

pub(crate) fn gateway(origin: &Origin) -> Gateway {
    let session = "{check: session, start: {request: POST /login, user: form.user, fold: true, passed: {status: 302}}, login: /login, \
                   cookie: shop, secure: false, forward: {user: X-User-Id}}";
    Gateway::start(
        &Plan::new(origin.address)
            .check("web", session)
            .check("second-factor", "{check: step_up, required: {all: true}, issuer: Shop}")
            .route("{name: pages, match: {path: \"/.palisade/*\"}, serve: [second-factor], use: [web]}")
            .route("{name: login, match: {path: /login}, to: app, use: [web], with: {web: {optional: true}}, public: test}")
            .route("{name: admin, match: {path: /admin}, to: app, use: [web, second-factor]}")
            .route("{name: all, match: {path: \"/*\"}, to: app, use: [web]}"),
    )
}

/// Signs ann in; the session's cookie.
pub(crate) fn signed_in(gateway: &Gateway) -> String {
    let form = "Content-Type: application/x-www-form-urlencoded\r\n";
    let answer = exchange(gateway.http, post("/login", form, b"user=ann"));
    assert_eq!(answer.status, 302);
    let cookie = answer.header("set-cookie").unwrap();
    format!("Cookie: {}\r\n", cookie.split(';').next().unwrap())
}

pub(crate) fn ask(gateway: &Gateway, cookie: &str, path: &str) -> Response {
    exchange(
        gateway.http,
        get(path, &format!("{cookie}Accept: text/html\r\n")),
    )
}

pub(crate) fn send(gateway: &Gateway, cookie: &str, path: &str, form: &str) -> Response {
    let fields = format!("{cookie}Content-Type: application/x-www-form-urlencoded\r\n");
    exchange(gateway.http, post(path, &fields, form.as_bytes()))
}

#[track_caller]
fn between(text: &str, start: &str, end: &str) -> String {
    let (_, rest) = text.split_once(start).expect(start);
    rest.split(end).next().unwrap().to_owned()
}

pub(crate) fn token(page: &Response) -> String {
    between(&page.text(), "name=\"token\" value=\"", "\"")
}

/// Sets an app up; the backup codes.
pub(crate) fn enrolled(gateway: &Gateway, cookie: &str) -> Vec<String> {
    set_up(gateway, cookie).1
}

/// Sets an app up; its secret and the backup codes.
pub(crate) fn set_up(gateway: &Gateway, cookie: &str) -> (String, Vec<String>) {
    let page = ask(gateway, cookie, "/.palisade/mfa/enrol");
    assert!(
        page.header("content-security-policy")
            .unwrap()
            .starts_with("default-src 'none'")
    );
    let secret = between(&page.text(), "secret=", "&");
    let code = stdout(python("totp.py").arg(&secret));
    let form = format!("token={}&code={}", token(&page), code.trim());
    let done = send(gateway, cookie, "/.palisade/mfa/enrol", &form);
    assert_eq!(done.status, 200, "{}", done.text());
    let text = done.text();
    let pieces = text.split("<li><code>").skip(1);
    let codes = pieces.map(|piece| piece.split('<').next().unwrap().to_owned());
    (secret, codes.collect())
}

#[test]
fn a_backup_code_that_two_send_at_once_lets_one_in() {
    let origin = application();
    let gateway = gateway(&origin);
    let first = signed_in(&gateway);
    let sent = ask(&gateway, &first, "/admin");
    assert_eq!(
        (sent.status, sent.header("location")),
        (303, Some("/.palisade/mfa/enrol?return=%2Fadmin"))
    );
    let api = exchange(gateway.http, get("/admin", &first));
    assert_eq!(
        (api.status, api.header("x-second-factor")),
        (401, Some("/.palisade/mfa/enrol"))
    );
    let codes = enrolled(&gateway, &first);
    assert_eq!(codes.len(), 10);
    assert_eq!(ask(&gateway, &first, "/admin").status, 200);
    let second = signed_in(&gateway);
    assert_eq!(
        ask(&gateway, &second, "/admin").status,
        303,
        "another session has to prove it itself"
    );
    let both: Vec<u16> = thread::scope(|scope| {
        let one = |cookie: &String| {
            let page = ask(&gateway, cookie, "/.palisade/mfa?return=/admin");
            let form = format!("token={}&return=/admin&code={}", token(&page), codes[0]);
            send(&gateway, cookie, "/.palisade/mfa", &form).status
        };
        let sent = [&first, &second].map(|cookie| scope.spawn(move || one(cookie)));
        sent.into_iter().map(|sent| sent.join().unwrap()).collect()
    });
    assert!(both == [303, 403] || both == [403, 303], "{both:?}");
    gateway.line("of the code", |line| {
        line["event"] == "backup_code_used" && line["user"] == "ann"
    });
    let gone = gateway.admin_ask("DELETE", "/factors/ann");
    assert_eq!(gone.status, 204);
    gateway.line("of the reset", |line| line["event"] == "factor_reset");
    let again = ask(&gateway, &first, "/admin");
    assert_eq!(
        again.header("location"),
        Some("/.palisade/mfa/enrol?return=%2Fadmin")
    );
}

#[test]
fn an_operator_lets_somebody_try_again_and_the_factors_stay() {
    let origin = application();
    let gateway = gateway(&origin);
    let first = signed_in(&gateway);
    let codes = enrolled(&gateway, &first);
    let session = signed_in(&gateway);
    let try_code = |code: &str| {
        let page = ask(&gateway, &session, "/.palisade/mfa?return=/admin");
        let form = format!("token={}&return=/admin&code={code}", token(&page));
        send(&gateway, &session, "/.palisade/mfa", &form).status
    };
    for _ in 0..5 {
        assert_eq!(try_code("000000"), 403);
    }
    assert_eq!(try_code(&codes[1]), 429);
    let admin = gateway.operator();
    let unlock = |user: &str| {
        run(&[
            "mfa",
            "unlock",
            user,
            "--reason",
            "ticket 4711",
            "--admin",
            &admin,
        ])
    };
    let done = unlock("ann");
    assert!(
        done.status.success(),
        "{}",
        String::from_utf8_lossy(&done.stderr)
    );
    let line = gateway.line("of it", |line| line["event"] == "factor_unlocked");
    assert_eq!(line["user"], "ann");
    assert_eq!(line["severity"], "medium");
    assert_eq!(line["detail"], "by an operator: ticket 4711");
    assert_eq!(try_code(&codes[1]), 303);
    assert_eq!(ask(&gateway, &session, "/admin").status, 200);
    assert!(!unlock("nobody").status.success());
    let reset = [
        "mfa",
        "reset",
        "ann",
        "--reason",
        "phone lost",
        "--admin",
        &admin,
    ];
    assert!(run(&reset).status.success());
    let line = gateway.line("of the reset", |line| line["event"] == "factor_reset");
    assert_eq!(line["severity"], "high");
    assert_eq!(line["detail"], "by an operator: phone lost");
    gateway.metric_reaches("palisade_told_total", &[("event", "factor_reset")], 1.0);
}

/// Log-in, enrolment, step-up by app, backup code and security key, every page in every language.
#[test]
fn a_browser_walks_through() {
    let origin = application();
    let gateway = gateway(&origin);
    let url = format!("http://localhost:{}", gateway.http.port());
    let pictures = std::env::var_os("PALISADE_TEST_PICTURES");
    let folder = tempfile::tempdir().unwrap();
    let folder = pictures.map_or_else(|| folder.path().to_owned(), Into::into);
    std::fs::create_dir_all(&folder).unwrap();
    stdout(python("browser.py").arg(url).arg(&folder));
}

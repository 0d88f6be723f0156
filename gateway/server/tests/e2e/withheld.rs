//! Log-ins at an application that has a session of its own: what it knows of its visitor must not decide whose session begins.

use crate::support::gateway::run;
use crate::support::raw::{get, post, settled};
use crate::support::{Gateway, Origin, Plan, Step, exchange, until};

/// What fails is counted once the answer has gone.
fn failed(gateway: &Gateway, times: usize) {
    until("the failures are counted", || {
        let lines = gateway.lines();
        let failed = lines.iter().filter(|line| line["event"] == "login_failed");
        (failed.count() >= times).then_some(())
    });
}

/// An application that keeps a session of its own, and sends whoever is signed in there already on, whatever was typed.
#[test]
fn who_is_signed_in_at_the_application_begins_no_session_of_somebody_else() {
    let origin = Origin::scripted(|seen| {
        let signed_in = seen
            .header("cookie")
            .is_some_and(|cookie| cookie.contains("app=noa"));
        let right = seen.header("x-right").is_some();
        let answer = match (seen.method.as_str(), signed_in || right) {
            ("POST", true) => "HTTP/1.1 302 Found\r\nLocation: /home\r\nContent-Length: 0\r\n\r\n",
            ("POST", false) => {
                "HTTP/1.1 302 Found\r\nLocation: /login?error=1\r\nContent-Length: 0\r\n\r\n"
            }
            _ => "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\npage",
        };
        vec![Step::ReadBody, Step::text(answer)]
    });
    let start = "request: POST /login, user: form.user, fold: true, passed: {status: 302, location: \"/home*\"}";
    let plan = |withhold: &str| {
        Plan::new(origin.address)
            .check("web", &format!("{{check: session, start: {{{start}{withhold}}}, login: /login, secure: false}}"))
            .check(
                "guard",
                &format!(
                    "{{check: failures, watch: {{request: POST /login, user: form.user, passed: {{location: \"/home*\"}}, \
                     failed: {{location: \"/login*\"}}{withhold}}}, rules: [{{when: 3 in 5m by pair, ban: {{pair: 15m}}}}]}}"
                ),
            )
            .route("{name: login, match: {path: /login}, to: app, use: [guard, web]}")
            .route("{name: all, match: {path: \"/*\"}, to: app, use: [web]}")
    };
    let gateway = Gateway::start(&plan(", withhold: [app]"));
    let fields = "Content-Type: application/x-www-form-urlencoded\r\nCookie: app=noa; csrf=1\r\n";
    let ask = |body: &str, more: &str| {
        let request = post("/login", &format!("{fields}{more}"), body.as_bytes());
        settled(|| exchange(gateway.http, &request))
    };
    let answer = ask("user=mia&password=wrong", "");
    assert_eq!((answer.status, answer.header("set-cookie")), (302, None));
    assert_eq!(origin.last().header("cookie"), Some("csrf=1"));
    // Elsewhere the application's session is its own business.
    exchange(gateway.http, get("/login", "Cookie: app=noa\r\n"));
    assert_eq!(origin.last().header("cookie"), Some("app=noa"));
    // A form that says that it is of another method gives the page, and no log-in.
    assert_eq!(ask("user=mia&_method=GET", "").status, 405);
    let right = ask("user=noa&password=right", "X-Right: 1\r\n");
    assert!(
        right
            .header("set-cookie")
            .is_some_and(|cookie| cookie.starts_with("session="))
    );
    // And guesses count as what they are, also those that two readers would take for two users.
    for number in 1..=3 {
        failed(&gateway, number);
        let wanted = if number < 3 { 302 } else { 429 };
        assert_eq!(
            ask("user=mia&password=wrong", "").status,
            wanted,
            "{number}"
        );
    }
    let other = ask("user=m%C3%ADa&password=wrong", "");
    assert_eq!(
        other.status, 429,
        "another spelling is no other user to the count"
    );
    let without = run(&["check", &{
        gateway.replace(&plan(""));
        gateway.policy().display().to_string()
    }]);
    let told = String::from_utf8_lossy(&[without.stdout, without.stderr].concat()).into_owned();
    assert!(
        told.contains("warning: checks.web.start: an application may answer so"),
        "{told}"
    );
    let told = run(&["session", "list", "NOA", "--admin", &gateway.operator()]);
    let said = String::from_utf8_lossy(&told.stderr).into_owned();
    assert!(said.contains("NOA is `noa` there"), "{said}");
}

/// What readers could take for several users is nobody's attempt; such attempts share a count, and operators can lift its ban.
#[test]
fn attempts_that_name_several_share_a_count_that_can_be_lifted() {
    let origin = Origin::scripted(|_| {
        let failed = "HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n";
        vec![Step::ReadBody, Step::text(failed)]
    });
    let gateway = Gateway::start(
        &Plan::new(origin.address)
            .top("trusted_proxies: [127.0.0.1/32]")
            .check(
                "guard",
                "{check: failures, watch: {request: POST /login, user: [form.user, json.user], failed: {status: 401}}, \
                 rules: [{when: 3 in 5m by user, ban: {user: 15m}}]}",
            )
            .route("{name: login, match: {path: /login}, to: app, use: [guard], public: test}"),
    );
    let ask = |number: usize, target: &str, kind: &str, body: &str| {
        let fields = format!("Content-Type: {kind}\r\nX-Forwarded-For: 192.0.2.{number}\r\n");
        settled(|| exchange(gateway.http, post(target, &fields, body.as_bytes()))).status
    };
    let (form, json) = ("application/x-www-form-urlencoded", "application/json");
    // Each from another address, each with another name beside the victim's.
    assert_eq!(ask(1, "/login?user=victim", form, "user=ghost1"), 401);
    assert_eq!(
        ask(2, "/login", json, r#"{"user": "victim", "user": "ghost2"}"#),
        401
    );
    assert_eq!(
        ask(3, "/login", json, r#"{"user": "victim", "User": "ghost3"}"#),
        401
    );
    failed(&gateway, 3);
    assert_eq!(ask(4, "/login", form, "user=victim&user=ghost4"), 429);
    let parts = |name: &str, value: &str| {
        format!("--b\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n")
    };
    let multipart = "multipart/form-data; boundary=b";
    let both = format!(
        "{}{}--b--\r\n",
        parts("user", "ghost5"),
        parts(" user", "victim")
    );
    assert_eq!(ask(4, "/login", multipart, &both), 429);
    assert_eq!(ask(4, "/login", form, "user=victim%01"), 429);
    // Honest forms have one name, also in parts.
    let one = format!("{}--b--\r\n", parts("user", "ann"));
    assert_eq!(ask(5, "/login", multipart, &one), 401);
    assert_eq!(
        ask(6, "/login", form, "user=ghost1"),
        401,
        "nobody else was charged"
    );
    let admin = gateway.operator();
    let listed = run(&["ban", "list", "--admin", &admin]);
    let text = String::from_utf8_lossy(&listed.stdout).into_owned();
    assert!(text.contains("attempts without a name"), "{text}");
    let lifted = run(&["ban", "remove", "--nameless", "--admin", &admin]);
    assert!(
        lifted.status.success(),
        "{}",
        String::from_utf8_lossy(&lifted.stderr)
    );
    assert_eq!(ask(7, "/login", form, "user=victim&user=ghost4"), 401);
}

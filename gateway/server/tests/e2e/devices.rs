//! Device cookies: strangers lock nobody out of a browser in which they logged in before.

use super::guard::{application, events};
use crate::support::raw::post;
use crate::support::{Gateway, Origin, Plan, Response, exchange, until};

const OWN: &str = "198.51.100.1";

/// An attempt to log in.
fn login(gateway: &Gateway, client: &str, user: &str, password: &str, cookie: &str) -> Response {
    let cookie = match cookie {
        "" => String::new(),
        cookie => format!("Cookie: theme=dark; {cookie}\r\n"),
    };
    let head = format!(
        "X-Forwarded-For: {client}\r\nX-Password: {password}\r\n{cookie}Content-Type: application/x-www-form-urlencoded\r\n"
    );
    exchange(
        gateway.http,
        post("/login", &head, format!("email={user}").as_bytes()),
    )
}

/// The cookie of a browser, as an answer sets it.
fn given(response: &Response) -> String {
    assert_eq!(response.status, 302);
    let mut cookies = response
        .headers
        .iter()
        .filter(|(name, _)| name.eq_ignore_ascii_case("set-cookie"));
    let (_, set) = cookies
        .find(|(_, set)| set.starts_with("__Host-device="))
        .unwrap();
    for attribute in [
        "Secure",
        "HttpOnly",
        "SameSite=Lax",
        "Path=/",
        "Max-Age=7776000",
    ] {
        assert!(set.contains(attribute), "{set}");
    }
    set.split(';').next().unwrap().to_owned()
}

/// Many addresses try wrong passwords in the user's name until nobody gets further.
fn lock(gateway: &Gateway, user: &str) {
    for number in 0..5 {
        let client = format!("203.0.113.{}", 10 + number);
        fails(gateway, &client, user, "");
    }
    assert_eq!(
        login(gateway, "203.0.113.99", user, "right", "").status,
        429
    );
}

/// A wrong password that reaches the application. The place of the attempt before is given back a moment after its answer.
fn fails(gateway: &Gateway, client: &str, user: &str, cookie: &str) {
    until("the attempt goes on", || {
        (login(gateway, client, user, "wrong", cookie).status == 302).then_some(())
    });
}

fn guarded(origin: &Origin) -> Plan {
    let guard = "{check: failures, rules: [{when: 5 in 5m by user, ban: {user: 15m}}], device: {failures: 2/15m}, remember: 0s, \
        watch: {request: POST /login, user: form.email, failed: {location: \"/login?error*\"}, passed: {location: /home}}}";
    Plan::new(origin.address)
        .top("trusted_proxies: [127.0.0.1]")
        .check("bans", "{check: bans}")
        .check("guard", guard)
        .route("{name: all, match: {path: \"/*\"}, to: app, use: [bans, guard], public: test}")
}

#[test]
fn strangers_lock_nobody_out_of_a_browser_in_which_they_logged_in() {
    let origin = application();
    let gateway = Gateway::start(&guarded(&origin));
    let own = given(&login(&gateway, OWN, "ann", "right", ""));
    let bobs = given(&login(&gateway, OWN, "bob", "right", ""));
    lock(&gateway, "ann");
    let arrived = origin.count();
    // Without it, with somebody else's, with one that was changed, and with two of them: like anybody.
    let longer = own.replacen('=', "=A", 1);
    for cookie in ["", &bobs, &longer, &format!("{own}; {bobs}")] {
        assert_eq!(
            login(&gateway, OWN, "ann", "right", cookie).status,
            429,
            "{cookie}"
        );
    }
    assert_eq!(origin.count(), arrived);
    let renewed = given(&login(&gateway, OWN, "Ann", "right", &own));
    assert_ne!(renewed, own);
    // No licence to guess: two failures, and it is worth nothing.
    for _ in 0..2 {
        fails(&gateway, OWN, "ann", &renewed);
    }
    assert_eq!(login(&gateway, OWN, "ann", "right", &renewed).status, 429);
    until("it is told", || {
        (!events(&gateway, "device_distrusted").is_empty()).then_some(())
    });
}

#[test]
fn a_device_cookie_outlives_a_reload() {
    let origin = application();
    let plan = guarded(&origin);
    let gateway = Gateway::start(&plan);
    let own = given(&login(&gateway, OWN, "ann", "right", ""));
    gateway.replace(&plan.clone().check("spare", "{check: bans}"));
    gateway.line("of the reload", |line| {
        line["event"] == "policy_loaded" && line["policy_version"] == 2
    });
    lock(&gateway, "ann");
    given(&login(&gateway, OWN, "ann", "right", &own));
}

/// Twenty guesses at once with one cookie: no more go on than it may fail.
#[test]
fn parallel_guesses_with_a_device_cookie_do_not_get_past_its_count() {
    let origin = application();
    let gateway = Gateway::start(&guarded(&origin));
    let own = given(&login(&gateway, OWN, "ann", "right", ""));
    lock(&gateway, "ann");
    let arrived = origin.count();
    std::thread::scope(|scope| {
        for _ in 0..20 {
            scope.spawn(|| login(&gateway, OWN, "ann", "wrong", &own));
        }
    });
    let reached = origin.count() - arrived;
    assert!((1..=2).contains(&reached), "{reached}");
}

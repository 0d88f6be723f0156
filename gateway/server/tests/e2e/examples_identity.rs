//! The policies that give an application one thing about its users, started as they lie there.

use serde_json::json;

use super::examples::{Example, bearer, cookie, signing_in};
use crate::support::origin::{answer, ok};
use crate::support::provider::{Browser, Provider, SHOP};
use crate::support::raw::settled;
use crate::support::{Origin, Step, until};

const FORM: &str = "Content-Type: application/x-www-form-urlencoded\r\n";

#[test]
fn second_factor() {
    let origin = signing_in("200 OK", "401 Unauthorized");
    let example = Example::start("second-factor.yaml", origin, &[]);
    let sign_in = |user: &str| {
        let fields = format!("{FORM}X-Right: 1\r\n");
        let answer = example.post("/login", &fields, &format!("user={user}"));
        format!("Cookie: {}\r\n", cookie(&answer, "__Host-session"))
    };
    let (mia, noa) = (sign_in("mia"), sign_in("noa"));
    assert_eq!(example.get("/orders", &mia).status, 200);
    let origin = &example.origin;
    assert_eq!(origin.last().header("x-user-id"), Some("mia"));
    assert_eq!(origin.last().header("x-user-role"), Some("admin"));
    let sent = example.get("/admin/users", &format!("{mia}Accept: text/html\r\n"));
    assert_eq!(sent.status, 303);
    let enrol = "/.palisade/mfa/enrol?return=%2Fadmin%2Fusers";
    assert_eq!(sent.header("location"), Some(enrol));
    let page = example.get(enrol, &format!("{mia}Accept: text/html\r\n"));
    assert!(
        page.status == 200 && page.text().contains("<svg"),
        "{}",
        page.text()
    );
    assert_eq!(
        example.get("/buy", &noa).status,
        200,
        "who has none is not asked"
    );
}

#[test]
fn login_guard() {
    let origin = Origin::scripted(|seen| {
        let right = seen.header("x-right").is_some();
        let json = "Content-Type: application/json\r\n";
        let written = match (seen.target.as_str(), right) {
            ("/login", true) => answer(302, "Location: /home\r\n", b""),
            ("/login", false) => {
                answer(200, "Content-Type: text/html\r\n", b"<p>Wrong password</p>")
            }
            ("/api/login", true) => answer(200, json, b"{}"),
            ("/api/login", false) => answer(401, json, b"{}"),
            _ => ok("home"),
        };
        vec![Step::ReadBody, Step::Send(written)]
    });
    let example = Example::start("login-guard.yaml", origin, &[]);
    let form = |user: &str, right: &str| {
        let (fields, body) = (format!("{FORM}{right}"), format!("email={user}"));
        settled(|| example.post("/login", &fields, &body)).status
    };
    assert_eq!(form("mia", "X-Right: 1\r\n"), 302);
    let statuses: Vec<u16> = (0..4).map(|_| form("noa", "")).collect();
    assert_eq!(
        statuses,
        [200, 200, 200, 429],
        "the application says it in the page alone"
    );
    assert_eq!(form("noa", "X-Right: 1\r\n"), 429, "the right one, too");
    assert_eq!(
        form("mia", "X-Right: 1\r\n"),
        302,
        "others are not locked out"
    );
    until("the ban is listed", || {
        let listed = example.command(&["ban", "list"]);
        listed.contains("noa at 127.0.0.1").then_some(())
    });
    // A token, and for staff a network as well.
    let token = bearer(&json!({"sub": "mia"}));
    assert_eq!(example.get("/home", "").status, 401);
    assert_eq!(example.get("/home", &token).status, 200);
    assert_eq!(example.get("/staff/orders", &token).status, 403);
    example.command(&["allow", "add", "mia", "127.0.0.0/8", "--reason", "office"]);
    assert_eq!(example.get("/staff/orders", &token).status, 200);
    example.command(&["allow", "remove", "mia", "--all"]);
    let made = example.command(&[
        "emergency",
        "create",
        "--passes",
        "staff-networks",
        "--for",
        "1h",
        "--reason",
        "abroad",
    ]);
    let emergency = made
        .split_whitespace()
        .find(|word| word.starts_with("pge_"))
        .unwrap();
    let with = format!("{token}X-Emergency-Token: {emergency}\r\n");
    assert_eq!(example.get("/staff/orders", &with).status, 200);
    assert_eq!(example.get("/staff/orders", &with).status, 403, "once");
}

#[test]
fn oidc_login() {
    let provider = Provider::start();
    let more = [
        ("https://login.example.com", provider.issuer()),
        ("https://shop.example.com", format!("https://{SHOP}")),
        ("shop.example.com", SHOP.to_owned()),
        ("client: shop", "client: public".to_owned()),
        // What this provider calls them.
        ("[email, groups]", "[email, profile]".to_owned()),
        ("roles_from: groups", "roles_from: roles".to_owned()),
    ];
    let example = Example::start("oidc-login.yaml", Origin::start(), &more);
    let mut browser = Browser::new(example.gateway.http, &provider);
    let page = browser.log_in("/orders?a=1", "ann");
    assert_eq!(page.status, 200, "{}", page.text());
    let seen = example.origin.last();
    assert_eq!(seen.target, "/orders?a=1");
    for (name, value) in [
        ("x-user-id", "ann"),
        ("x-user-roles", "admin,user"),
        ("x-user-email", "ann@shop.example"),
    ] {
        assert_eq!(seen.header(name), Some(value));
    }
    assert_eq!(browser.get("/admin/users").status, 200);
    let pay = browser.get("/pay");
    let fresh = pay.header("location").unwrap_or_default();
    assert!(
        pay.status == 303 && fresh.contains("fresh=1"),
        "the provider said nothing of when: {fresh}"
    );
    let listed = example.command(&["session", "list", "ann"]);
    assert_eq!(listed.lines().count(), 1, "{listed}");
    example.command(&["session", "end", "ann", "--all", "--reason", "left"]);
    assert_eq!(browser.get("/orders").status, 303);
}

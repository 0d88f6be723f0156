//! Log-ins that fail: the application is one that knows nothing of it, and its answers are all that the gateway sees.

use std::net::Ipv4Addr;

use serde_json::{Value, json};

use crate::support::gateway::run;
use crate::support::origin::answer;
use crate::support::raw::get;
use crate::support::tools::{fed, python};
use crate::support::{Conn, Gateway, Origin, Plan, Response, Step, exchange, until};

/// The right password is `right`; a form gets redirects, an API statuses.
pub(super) fn application() -> Origin {
    Origin::scripted(|seen| {
        let json = seen.header("content-type") == Some("application/json");
        let target = seen.target.clone();
        let mut steps = vec![Step::ReadBody];
        if target.starts_with("/slow") {
            steps.push(Step::Gate("slow"));
        }
        let right = seen.header("x-password") == Some("right");
        steps.push(Step::Send(match (right, json) {
            (true, true) => answer(200, "Content-Type: application/json\r\n", b"{\"token\": 1}"),
            (true, false) => answer(302, "Location: /home\r\nSet-Cookie: s=1\r\n", b""),
            (false, true) => answer(
                200,
                "Content-Type: application/json\r\n",
                b"{\"ok\": false}",
            ),
            (false, false) => answer(302, "Location: /login?error=1\r\n", b""),
        }));
        steps
    })
}

const WATCH: &str = "request: [\"POST /login\", \"POST /slow\"], user: [form.email, json.email], \
    failed: {any: [{status: 401}, {location: \"/login?error*\"}, {body: '\"ok\":\\s*false'}]}";

fn plan(origin: &Origin, rules: &str) -> Plan {
    Plan::new(origin.address)
        .top("trusted_proxies: [127.0.0.1]")
        .check("bans", "{check: bans}")
        .check(
            "guard",
            &format!("{{check: failures, watch: {{{WATCH}}}, rules: [{rules}]}}"),
        )
        .route("{name: all, match: {path: \"/*\"}, to: app, use: [bans, guard], public: test}")
}

struct Login<'a> {
    client: &'a str,
    user: &'a str,
    right: bool,
    json: bool,
    path: &'a str,
}

impl Default for Login<'_> {
    fn default() -> Self {
        Self {
            client: "198.51.100.1",
            user: "ann",
            right: false,
            json: false,
            path: "/login",
        }
    }
}

impl Login<'_> {
    fn text(&self) -> String {
        let (kind, body) = match self.json {
            true => (
                "application/json",
                format!("{{\"email\": \"{}\"}}", self.user),
            ),
            false => (
                "application/x-www-form-urlencoded",
                format!("email={}", self.user),
            ),
        };
        format!(
            "POST {} HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: {}\r\nX-Password: {}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
            self.path,
            self.client,
            if self.right { "right" } else { "wrong" },
            body.len()
        )
    }

    fn send(&self, gateway: &Gateway) -> Response {
        exchange(gateway.http, self.text())
    }
}

/// Tries wrong passwords until refused; how many went on.
fn guesses(gateway: &Gateway, most: usize, login: impl Fn(usize) -> (String, String)) -> usize {
    (0..most)
        .take_while(|number| {
            let (client, user) = login(*number);
            Login {
                client: &client,
                user: &user,
                ..Login::default()
            }
            .send(gateway)
            .status
                == 302
        })
        .count()
}

fn right(gateway: &Gateway, client: &str, user: &str) -> u16 {
    Login {
        client,
        user,
        right: true,
        ..Login::default()
    }
    .send(gateway)
    .status
}

pub(super) fn events(gateway: &Gateway, event: &str) -> Vec<Value> {
    gateway
        .lines()
        .into_iter()
        .filter(|line| line["event"] == event)
        .collect()
}

const BOTH: &str = "{when: 5 in 5m by ip or user, ban: {user: 15m, ip: 30m}}";

#[test]
fn five_failures_ban_the_address_everywhere_and_the_user_at_the_login() {
    let origin = application();
    let gateway = Gateway::start(&plan(&origin, BOTH));
    assert_eq!(
        guesses(&gateway, 20, |_| ("198.51.100.1".into(), "Ann".into())),
        5
    );
    let refused = Login::default().send(&gateway);
    assert_eq!(refused.status, 403, "`bans` comes first");
    let wait: u32 = refused.header("retry-after").unwrap().parse().unwrap();
    assert!((1700..=1800).contains(&wait), "{wait}");
    let elsewhere = Login {
        client: "203.0.113.9",
        user: "ANN",
        ..Login::default()
    }
    .send(&gateway);
    assert_eq!(elsewhere.status, 429);
    assert!(
        elsewhere
            .header("retry-after")
            .unwrap()
            .parse::<u32>()
            .unwrap()
            <= 900
    );
    assert_eq!(right(&gateway, "203.0.113.9", "bob"), 302);
    assert_eq!(origin.count(), 6);
    let bans = until("both bans are told", || {
        let bans = events(&gateway, "ban_started");
        (bans.len() == 2).then_some(bans)
    });
    assert!(
        bans.iter()
            .all(|ban| ban["user"] == "ann" && ban["check"] == "guard"),
        "{bans:?}"
    );
    gateway.refused_for("too_many_failures");
}

/// An application may fold more letters than those of ASCII: `ſ` is a small s, `K` (the Kelvin sign) a small k.
#[test]
fn the_log_in_is_guarded_in_every_spelling_of_its_path() {
    let origin = Origin::scripted(|_| {
        vec![
            Step::ReadBody,
            Step::Send(answer(302, "Location: /login?error=1\r\n", b"")),
        ]
    });
    let watch = "request: POST /sign/check, user: form.email, failed: {status: 302}";
    let rule = "{when: 3 in 5m by user, ban: {user: 15m}}";
    let guard = format!("{{check: failures, watch: {{{watch}}}, rules: [{rule}]}}");
    let plan = Plan::checked(origin.address, &guard).top("trusted_proxies: [127.0.0.1]");
    let gateway = Gateway::start(&plan);
    let send = |path: &str, user: &str| {
        let login = Login {
            path,
            user,
            ..Login::default()
        };
        login.send(&gateway).status
    };
    let spellings = [
        "/SIGN/Check/",
        "/%C5%BFign/check",
        "/sign/chec%E2%84%AA",
        "/%53ign//check",
    ];
    for (number, path) in spellings.into_iter().enumerate() {
        let user = format!("user{number}");
        assert_eq!(send(path, &user), 302);
        assert_eq!(send("/sign/check", &user), 302);
        assert_eq!(send(path, &user), 302, "{path}");
        assert_eq!(send("/sign/check", &user), 429, "{path} was not counted");
        assert_eq!(send(path, &user), 429, "{path} gets past the ban");
    }
}

#[test]
fn a_json_api_is_guarded_alike() {
    let origin = application();
    let gateway = Gateway::start(&plan(&origin, "{when: 3 in 5m by pair, ban: {pair: 15m}}"));
    let tried = (0..9).filter(|_| {
        Login {
            json: true,
            ..Login::default()
        }
        .send(&gateway)
        .status
            == 200
    });
    assert_eq!(tried.count(), 3);
    let form = Login {
        right: true,
        ..Login::default()
    }
    .send(&gateway);
    assert_eq!(form.status, 429, "the same user by the other way in");
    assert_eq!(right(&gateway, "203.0.113.1", "ann"), 302);
}

#[test]
fn parallel_guesses_do_not_get_past_the_count() {
    let origin = application();
    let gateway = Gateway::start(&plan(&origin, BOTH));
    let login = Login {
        path: "/slow",
        ..Login::default()
    };
    let mut conns: Vec<Conn> = (0..40)
        .map(|_| {
            let mut conn = Conn::open(gateway.http);
            conn.write(login.text());
            conn
        })
        .collect();
    until("the others are refused", || {
        (gateway
            .lines()
            .iter()
            .filter(|line| line["reason"] == "too_many_failures")
            .count()
            == 35)
            .then_some(())
    });
    assert_eq!(origin.count(), 5);
    origin.open("slow");
    let statuses: Vec<u16> = conns
        .iter_mut()
        .map(|conn| conn.response().unwrap().status)
        .collect();
    assert_eq!(statuses.iter().filter(|status| **status == 302).count(), 5);
    until("the bans start", || {
        (events(&gateway, "ban_started").len() == 2).then_some(())
    });
    assert_eq!(login.send(&gateway).status, 403);
    assert_eq!(origin.count(), 5);
}

#[test]
fn spraying_and_stuffing_are_stopped() {
    let origin = application();
    let rules =
        "{when: 6 users in 10m by ip, ban: {ip: 1h}}, {when: 7 ips in 1h by user, ban: {user: 1h}}";
    let gateway = Gateway::start(&plan(&origin, rules));
    assert_eq!(
        guesses(&gateway, 30, |number| (
            "198.51.100.1".into(),
            format!("user{number}")
        )),
        6
    );
    assert_eq!(
        guesses(&gateway, 30, |number| (
            format!("203.0.113.{number}"),
            "zoe".into()
        )),
        7
    );
    assert_eq!(
        guesses(&gateway, 20, |_| ("203.0.113.77".into(), "kim".into())),
        20,
        "one user who forgot"
    );
}

#[test]
fn strangers_do_not_lock_a_user_out() {
    let origin = application();
    let rules =
        "{when: 5 in 5m by user, ban: {user: 15m}}, {when: 3 in 5m by pair, ban: {pair: 15m}}";
    let gateway = Gateway::start(&plan(&origin, rules));
    assert_eq!(right(&gateway, "192.0.2.1", "ann"), 302);
    assert_eq!(
        guesses(&gateway, 30, |number| (
            format!("203.0.113.{number}"),
            "ann".into()
        )),
        5
    );
    assert_eq!(right(&gateway, "203.0.113.99", "ann"), 429);
    assert_eq!(
        right(&gateway, "192.0.2.1", "Ann"),
        302,
        "where they logged in before"
    );
    assert_eq!(
        guesses(&gateway, 30, |_| ("192.0.2.1".into(), "ann".into())),
        3
    );
}

#[test]
fn an_ipv6_client_is_its_network() {
    let origin = application();
    let gateway = Gateway::start(&plan(&origin, BOTH));
    assert_eq!(
        guesses(&gateway, 20, |number| (
            format!("2001:db8::{number:x}"),
            format!("u{number}")
        )),
        5
    );
    assert_eq!(right(&gateway, "2001:db8::beef", "bob"), 403);
    assert_eq!(right(&gateway, "2001:db8:0:1::1", "bob"), 302);
}

#[test]
fn counts_and_bans_outlive_a_reload() {
    let origin = application();
    let first = plan(&origin, BOTH);
    let gateway = Gateway::start(&first);
    assert_eq!(
        guesses(&gateway, 3, |_| ("198.51.100.1".into(), "ann".into())),
        3
    );
    gateway.replace(&first.clone().check("spare", "{check: bans}"));
    gateway.line("of the reload", |line| {
        line["event"] == "policy_loaded" && line["policy_version"] == 2
    });
    assert_eq!(
        guesses(&gateway, 9, |_| ("198.51.100.1".into(), "ann".into())),
        2
    );
}

#[test]
fn who_leaves_before_the_answer_has_guessed_all_the_same() {
    let origin = application();
    let gateway = Gateway::start(&plan(&origin, "{when: 2 in 5m by ip, ban: {ip: 15m}}"));
    for number in 1..=2 {
        let mut conn = Conn::open(gateway.http);
        conn.write(
            Login {
                path: "/slow",
                ..Login::default()
            }
            .text(),
        );
        until("it is with the application", || {
            (origin.count() == number).then_some(())
        });
        drop(conn);
        until("it is counted", || {
            (events(&gateway, "login_failed").len() == number).then_some(())
        });
    }
    assert_eq!(Login::default().send(&gateway).status, 403);
}

#[test]
fn other_clients_of_loopback_are_clients_of_their_own() {
    let origin = application();
    let rules = "{when: 2 in 5m by ip, ban: {ip: 15m}}";
    let gateway = Gateway::start(&plan(&origin, rules));
    let ask = |last: u8| {
        let mut conn = Conn::open_from(Ipv4Addr::new(127, 0, 0, last), gateway.http);
        // Not a trusted proxy: what it says about itself is not believed.
        conn.write(
            Login {
                client: "8.8.8.8",
                ..Login::default()
            }
            .text(),
        );
        conn.response().unwrap().status
    };
    assert_eq!([ask(2), ask(2)], [302, 302]);
    // It begins once the second answer has gone.
    gateway.line("of the ban", |line| line["event"] == "ban_started");
    assert_eq!([ask(2), ask(3)], [403, 302]);
}

/// A command against the admin listener; its exit code and what it printed.
fn operator(gateway: &Gateway, words: &[&str]) -> (i32, String) {
    let admin = gateway.operator();
    let output = run(&[words, &["--admin", &admin]].concat());
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let faults = String::from_utf8_lossy(&output.stderr).into_owned();
    (output.status.code().unwrap(), text + &faults)
}

#[test]
fn operators_see_and_lift_bans_that_checks_made() {
    let origin = application();
    let gateway = Gateway::start(&plan(&origin, BOTH));
    assert_eq!(
        guesses(&gateway, 20, |_| ("198.51.100.1".into(), "ann".into())),
        5
    );
    until("the bans are listed", || {
        let (_, listed) = operator(&gateway, &["ban", "list"]);
        (listed.contains("198.51.100.1 ") && listed.contains("user ann ")).then_some(())
    });
    let (code, listed) = operator(&gateway, &["ban", "list"]);
    assert!(
        code == 0 && listed.contains("by guard  5 in 5m by user"),
        "{listed}"
    );
    assert_eq!(
        operator(&gateway, &["ban", "remove", "198.51.100.1"]),
        (0, "lifted\n".to_owned())
    );
    assert_eq!(right(&gateway, "198.51.100.1", "ann"), 429);
    assert_eq!(operator(&gateway, &["ban", "remove", "--user", "Ann"]).0, 0);
    assert_eq!(operator(&gateway, &["ban", "remove", "--user", "ann"]).0, 1);
    // What was counted is gone as well: five more may fail.
    assert_eq!(
        guesses(&gateway, 20, |_| ("198.51.100.1".into(), "ann".into())),
        5
    );
    let (code, banned) = operator(
        &gateway,
        &[
            "ban", "add", "--user", "bob", "--for", "1h", "--reason", "left",
        ],
    );
    assert!(code == 0 && banned.contains("user bob"), "{banned}");
    assert_eq!(right(&gateway, "192.0.2.1", "BOB"), 403);
    gateway.line("of the lifted ban", |line| {
        line["event"] == "unbanned" && line["user"] == "ann"
    });
    gateway.metric_reaches(
        "palisade_told_total",
        &[("event", "ban_started"), ("check", "guard")],
        4.0,
    );
}

/// A policy whose users show tokens, and such a token.
fn known_users(origin: &Origin) -> (Plan, String) {
    const SECRET: &str = "a secret of more than thirty-two bytes, used in tests";
    let order =
        json!([{"alg": "HS256", "key": SECRET, "claims": {"sub": "mia", "exp": {"now": 600}}}]);
    let output = fed(&mut python("tokens.py"), order.to_string().as_bytes());
    let token = String::from_utf8(output.stdout).unwrap().trim().to_owned();
    let plan = Plan::new(origin.address)
        .top("trusted_proxies: [127.0.0.1]\nsecrets:\n  jwt: {env: PALISADE_TEST_JWT}")
        .env("PALISADE_TEST_JWT", SECRET)
        .check("token", "{check: jwt, secret: jwt}")
        .check("emergency", "{check: break_glass, passes: [where]}")
        .check("where", "{check: ip_allowlist, locked: true}")
        .route("{name: own, match: {path: \"/.palisade/*\"}, serve: [emergency], use: [token]}")
        .route("{name: all, match: {path: \"/*\"}, to: app, use: [token, emergency, where]}");
    (plan, token)
}

fn visit(gateway: &Gateway, token: &str, client: &str, more: &str) -> u16 {
    let fields = format!("Authorization: Bearer {token}\r\nX-Forwarded-For: {client}\r\n{more}");
    exchange(gateway.http, get("/", &fields)).status
}

#[test]
fn users_come_from_their_networks_only() {
    let origin = Origin::start();
    let (plan, token) = known_users(&origin);
    let gateway = Gateway::start(&plan);
    assert_eq!(visit(&gateway, &token, "203.0.113.5", ""), 200);
    let (code, added) = operator(
        &gateway,
        &["allow", "add", "mia", "192.0.2.0/24", "--reason", "office"],
    );
    assert!(code == 0 && added.contains("192.0.2.0/24"), "{added}");
    assert_eq!(
        operator(
            &gateway,
            &["allow", "add", "mia", "2001:db8::/48", "--for", "never"]
        )
        .0,
        0
    );
    assert_eq!(operator(&gateway, &["allow", "add", "mia", "x"]).0, 1);
    assert_eq!(visit(&gateway, &token, "203.0.113.5", ""), 403);
    assert_eq!(visit(&gateway, &token, "192.0.2.77", ""), 200);
    assert_eq!(visit(&gateway, &token, "2001:db8:0:9::1", ""), 200);
    let violation = gateway.line("of the violation", |line| {
        line["event"] == "network_violation"
    });
    assert_eq!(
        (violation["user"].as_str(), violation["client"].as_str()),
        (Some("mia"), Some("203.0.113.5"))
    );
    gateway.refused_for("network_denied");
    let (_, listed) = operator(&gateway, &["allow", "list", "mia"]);
    assert!(
        listed.contains("office") && !listed.contains("last used never"),
        "{listed}"
    );
    assert_eq!(
        operator(&gateway, &["allow", "remove", "mia", "192.0.2.0/24"]).0,
        0
    );
    assert_eq!(
        operator(&gateway, &["allow", "remove", "mia", "192.0.2.0/24"]).0,
        1
    );
    assert_eq!(visit(&gateway, &token, "192.0.2.77", ""), 403);
    assert_eq!(
        operator(&gateway, &["allow", "remove", "mia", "--all"]).0,
        0
    );
    assert_eq!(visit(&gateway, &token, "192.0.2.77", ""), 200);
}

#[test]
fn an_emergency_token_lets_named_checks_pass_once_and_loudly() {
    let origin = Origin::start();
    let (plan, token) = known_users(&origin);
    let gateway = Gateway::start(&plan);
    assert_eq!(
        operator(&gateway, &["allow", "add", "mia", "192.0.2.0/24"]).0,
        0
    );
    let create = |more: &[&str]| {
        let words = [
            &["emergency", "create", "--for", "1h", "--reason", "abroad"],
            more,
        ]
        .concat();
        operator(&gateway, &words)
    };
    assert_eq!(create(&["--passes", "token"]).0, 1, "no check lets it pass");
    let (code, secret) = create(&["--passes", "where"]);
    assert!(code == 0 && secret.starts_with("pge_"), "{secret}");
    let field = format!("X-Emergency-Token: {}\r\n", secret.trim());
    assert_eq!(visit(&gateway, &token, "203.0.113.5", ""), 403);
    assert_eq!(
        visit(&gateway, "none", "203.0.113.5", &field),
        401,
        "nobody becomes somebody by it"
    );
    assert_eq!(visit(&gateway, &token, "203.0.113.5", &field), 200);
    assert!(origin.last().header("x-emergency-token").is_none());
    assert_eq!(visit(&gateway, &token, "203.0.113.5", &field), 403, "once");
    let used = gateway.line("of its use", |line| line["event"] == "emergency_used");
    assert_eq!(
        (used["severity"].as_str(), used["user"].as_str()),
        (Some("high"), Some("mia"))
    );
    assert!(
        used["detail"].as_str().unwrap().contains("abroad"),
        "{used}"
    );
    gateway.line("of the second use", |line| {
        line["event"] == "emergency_refused" && line["severity"] == "high"
    });
    let (_, listed) = operator(&gateway, &["emergency", "list"]);
    assert!(
        listed.contains(" used ") && !listed.contains(secret.trim()),
        "{listed}"
    );
    let (_, held) = create(&["--passes", "where", "--hold", "10m"]);
    let field = format!("X-Emergency-Token: {}\r\n", held.trim());
    for _ in 0..3 {
        assert_eq!(visit(&gateway, &token, "203.0.113.5", &field), 200);
    }
    assert_eq!(visit(&gateway, &token, "203.0.113.6", &field), 403);
    gateway.metric_reaches(
        "palisade_told_total",
        &[("event", "emergency_refused")],
        2.0,
    );
}

#[test]
fn a_browser_brings_an_emergency_token_by_a_form() {
    let origin = Origin::start();
    let (plan, token) = known_users(&origin);
    let gateway = Gateway::start(&plan);
    assert_eq!(
        operator(&gateway, &["allow", "add", "mia", "192.0.2.0/24"]).0,
        0
    );
    let create = |more: &[&str]| {
        let words = ["emergency", "create", "--passes", "where", "--for", "1h"];
        operator(&gateway, &[&words, more, &["--reason", "abroad"]].concat())
    };
    let page = |method: &str, body: &str| {
        let length = body.len();
        exchange(
            gateway.http,
            format!(
                "{method} /.palisade/emergency HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\nX-Forwarded-For: 203.0.113.5\r\n\
                 Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
            ),
        )
    };
    let shown = page("GET", "");
    assert!(shown.status == 200 && shown.text().contains("name=\"token\""));
    assert!(
        shown
            .header("content-security-policy")
            .unwrap()
            .contains("default-src 'none'")
    );
    assert_eq!(page("POST", "token=pge_guess").status, 403);
    let (_, once) = create(&[]);
    assert_eq!(
        page("POST", &format!("token={}", once.trim())).status,
        400,
        "it would be gone"
    );
    let (_, held) = create(&["--hold", "10m"]);
    let used = page("POST", &format!("token={}", held.trim()));
    assert_eq!(used.status, 303, "{}", used.text());
    let cookie = used.header("set-cookie").unwrap();
    assert!(
        cookie.contains("HttpOnly") && cookie.contains("SameSite=Strict"),
        "{cookie}"
    );
    let cookie = format!("Cookie: {}\r\n", cookie.split(';').next().unwrap());
    assert_eq!(visit(&gateway, &token, "203.0.113.5", ""), 403);
    assert_eq!(visit(&gateway, &token, "203.0.113.5", &cookie), 200);
    assert!(
        origin.last().header("cookie").is_none(),
        "the token is no application's business"
    );
    assert_eq!(
        visit(&gateway, &token, "203.0.113.6", &cookie),
        403,
        "its client only"
    );
}

//! Identity over every kind of store: what is in memory, in a file that outlives kill -9, and in a Redis that gateways
//! share, also while that fails.

use std::sync::Mutex;
use std::thread;

use serde_json::{Value, json};

use super::factors::{application, ask, send, set_up, signed_in, token};
use super::identity::{claims, tokens};
use crate::support::gateway::run;
use crate::support::raw::{Conn, get, post};
use crate::support::redis::Redis;
use crate::support::tools::{python, stdout};
use crate::support::{Gateway, Origin, Plan, exchange, until};

const SECRET: &str = "a secret of more than thirty-two bytes, used in tests";
const FILE: &str = "state: {kind: file, path: state.redb, seal: seal}";

/// Every check that keeps something for a user, each on a route of its own.
pub(super) fn plan(origin: &Origin, state: &str) -> Plan {
    Plan::new(origin.address)
        .top("secrets: {seal: {env: SEAL}, jwt: {env: JWT}}")
        .top("trusted_proxies: [127.0.0.1/32]")
        .top(state)
        .env("SEAL", "0123456789abcdef0123456789abcdef")
        .env("JWT", SECRET)
        .check(
            "web",
            "{check: session, start: {request: POST /login, user: form.user, fold: true, passed: {status: 302}}, \
             end: {request: POST /logout}, login: /login, cookie: shop, secure: false, forward: {user: X-User-Id}}",
        )
        .check(
            "second-factor",
            "{check: step_up, required: {all: true}, attempts: [100/1m]}",
        )
        .check("second-factor-open", "{check: step_up, required: {all: true}, on_store_error: allow}")
        .check("keys", "{check: api_key, cache: 0s, quota: 20/1d}")
        .check("token", "{check: jwt, secret: jwt, issuer: tests, audience: app}")
        .check("called-back", "{check: jwt, secret: jwt, issuer: tests, audience: app, revocation: true}")
        .check(
            "called-back-open",
            "{check: jwt, secret: jwt, issuer: tests, audience: app, revocation: true, on_store_error: allow}",
        )
        .check("renewed", "{check: session, cookie: app, secret: jwt, issuer: tests, audience: app, renew_below: 10m}")
        .check("counted", "{check: session, cookie: counted, secret: jwt, issuer: tests, audience: app, most: 1}")
        .check("where", "{check: ip_allowlist}")
        .check("where-open", "{check: ip_allowlist, on_store_error: allow}")
        .check("bans", "{check: bans}")
        .route("{name: pages, match: {path: \"/.palisade/*\"}, serve: [second-factor, web], use: [web]}")
        .route("{name: login, match: {path: /login}, to: app, use: [web], with: {web: {optional: true}}, public: test}")
        .route("{name: admin, match: {path: /admin}, to: app, use: [web, second-factor]}")
        .route("{name: key, match: {path: /key}, to: app, use: [keys]}")
        .route("{name: token, match: {path: /token}, to: app, use: [called-back]}")
        .route("{name: token-open, match: {path: /token-open}, to: app, use: [called-back-open]}")
        .route("{name: renewed, match: {path: /renewed}, to: app, use: [renewed]}")
        .route("{name: counted, match: {path: /counted}, to: app, use: [counted]}")
        .route("{name: where, match: {path: /where}, to: app, use: [token, where]}")
        .route("{name: where-open, match: {path: /where-open}, to: app, use: [token, where-open]}")
        .route("{name: proven, match: {path: /proven}, to: app, use: [token, second-factor]}")
        .route("{name: proven-open, match: {path: /proven-open}, to: app, use: [token, second-factor-open]}")
        .route("{name: all, match: {path: \"/*\"}, to: app, use: [web, bans]}")
}

pub(super) fn shared(address: std::net::SocketAddr, more: &str) -> String {
    format!("state: {{kind: redis, urls: [\"redis://{address}\"], seal: seal{more}}}")
}

pub(super) fn status(gateway: &Gateway, path: &str, fields: &str) -> u16 {
    exchange(gateway.http, get(path, fields)).status
}

/// A command for a running gateway that succeeds; what it prints.
#[track_caller]
pub(super) fn operate(gateway: &Gateway, words: &[&str]) -> String {
    let admin = gateway.operator();
    let done = run(&[words, &["--admin", &admin]].concat());
    let told = String::from_utf8_lossy(&done.stderr).into_owned();
    assert!(done.status.success(), "{words:?}: {told}");
    String::from_utf8(done.stdout).unwrap()
}

#[track_caller]
pub(super) fn api_key(gateway: &Gateway, owner: &str) -> String {
    let text = operate(gateway, &["key", "create", owner, "--name", "ci"]);
    let key = text
        .split_whitespace()
        .find(|word| word.starts_with("pal_"));
    key.unwrap_or_else(|| panic!("{text}")).to_owned()
}

pub(super) fn signed(more: &[(&str, Value)]) -> String {
    let order = json!({"alg": "HS256", "key": SECRET, "claims": claims(more)});
    tokens(&[order]).remove(0)
}

/// Proves a code on the page; whether it was accepted.
pub(super) fn proves(gateway: &Gateway, cookie: &str, code: &str) -> bool {
    let page = ask(gateway, cookie, "/.palisade/mfa?return=/admin");
    let form = format!("token={}&return=/admin&code={code}", token(&page));
    match send(gateway, cookie, "/.palisade/mfa", &form).status {
        303 => true,
        403 => false,
        other => panic!("{other}"),
    }
}

/// What is good and what is over after [`live`].
struct Left {
    ann: String,
    over: String,
    used: String,
    unused: String,
    key: String,
    revoked: String,
    token: String,
    counted: [String; 2],
}

/// Everything that a user can have comes, and some of it goes.
fn live(gateway: &Gateway) -> Left {
    let (ann, over) = (signed_in(gateway), signed_in(gateway));
    assert_eq!(status(gateway, "/", &over), 200);
    assert_eq!(
        exchange(gateway.http, post("/logout", &over, b"")).status,
        200
    );
    let (_, codes) = set_up(gateway, &ann);
    assert_eq!(status(gateway, "/admin", &ann), 200);
    let other = signed_in(gateway);
    assert_eq!(status(gateway, "/admin", &other), 401);
    assert!(proves(gateway, &other, &codes[0]));
    assert_eq!(status(gateway, "/admin", &other), 200);
    let [key, revoked] = ["mia", "noa"].map(|owner| api_key(gateway, owner));
    operate(gateway, &["key", "revoke", &revoked[4..12]]);
    let token = signed(&[
        ("sub", json!("mia")),
        ("iat", json!({"now": -5})),
        ("jti", json!("one")),
    ]);
    let bearer = format!("Authorization: Bearer {token}\r\n");
    assert_eq!(status(gateway, "/token", &bearer), 200);
    operate(gateway, &["token", "revoke", "--user", "mia"]);
    operate(gateway, &["ban", "add", "--user", "bob", "--for", "1h"]);
    operate(gateway, &["allow", "add", "mia", "192.0.2.0/24"]);
    let counted = ["first", "second"].map(|jti| {
        let token = signed(&[("sub", json!("ann")), ("jti", json!(jti))]);
        format!("Cookie: counted={token}\r\n")
    });
    for cookie in &counted {
        assert_eq!(status(gateway, "/counted", cookie), 200);
    }
    Left {
        counted,
        ann,
        over,
        used: codes[0].clone(),
        unused: codes[1].clone(),
        key,
        revoked,
        token: bearer,
    }
}

/// That this is so, wherever it is asked.
#[track_caller]
fn holds(gateway: &Gateway, left: &Left) {
    assert_eq!(status(gateway, "/", &left.ann), 200, "the session");
    assert_eq!(status(gateway, "/admin", &left.ann), 200, "its proof");
    assert_eq!(status(gateway, "/", &left.over), 401, "the one that ended");
    assert!(
        !proves(gateway, &left.ann, &left.used),
        "a code that was used"
    );
    let key = |key: &str| format!("X-API-Key: {key}\r\n");
    assert_eq!(status(gateway, "/key", &key(&left.key)), 200);
    assert_eq!(status(gateway, "/key", &key(&left.revoked)), 401);
    assert_eq!(status(gateway, "/token", &left.token), 401, "called back");
    let from = |client: &str| format!("{}X-Forwarded-For: {client}\r\n", left.token);
    assert_eq!(status(gateway, "/where", &from("192.0.2.9")), 200);
    assert_eq!(status(gateway, "/where", &from("198.51.100.9")), 403);
    let bob = named(gateway, "bob");
    assert_eq!(status(gateway, "/", &bob), 403, "banned");
    let counted = left.counted.each_ref();
    let counted = counted.map(|cookie| status(gateway, "/counted", cookie));
    assert_eq!(counted, [401, 200], "one session at a time");
}

fn named(gateway: &Gateway, user: &str) -> String {
    let form = "Content-Type: application/x-www-form-urlencoded\r\n";
    let body = format!("user={user}");
    let answer = exchange(gateway.http, post("/login", form, body.as_bytes()));
    let cookie = answer.header("set-cookie").unwrap().to_owned();
    format!("Cookie: {}\r\n", cookie.split(';').next().unwrap())
}

/// And the rest goes, too.
fn end(gateway: &Gateway, left: &Left) {
    assert!(proves(gateway, &left.ann, &left.unused));
    operate(gateway, &["mfa", "reset", "ann"]);
    assert_eq!(status(gateway, "/admin", &left.ann), 401);
    operate(gateway, &["session", "end", "ann", "--all"]);
    assert_eq!(status(gateway, "/", &left.ann), 401);
    assert_eq!(status(gateway, "/counted", &left.counted[1]), 401);
    operate(gateway, &["allow", "remove", "mia", "--all"]);
    let from = format!("{}X-Forwarded-For: 198.51.100.9\r\n", left.token);
    assert_eq!(status(gateway, "/where", &from), 200);
    operate(gateway, &["ban", "remove", "--user", "bob"]);
    assert_eq!(status(gateway, "/", &named(gateway, "bob")), 200);
}

#[test]
fn a_life_in_memory() {
    let origin = application();
    let gateway = Gateway::start(&plan(&origin, ""));
    let left = live(&gateway);
    holds(&gateway, &left);
    end(&gateway, &left);
}

#[test]
fn a_life_in_a_file_goes_on_after_kill_9() {
    let origin = application();
    let mut gateway = Gateway::start(&plan(&origin, FILE));
    let left = live(&gateway);
    holds(&gateway, &left);
    gateway.kill();
    gateway.again();
    holds(&gateway, &left);
    end(&gateway, &left);
}

#[test]
fn a_life_in_redis_is_the_same_on_two_gateways() {
    let (origin, redis) = (application(), Redis::start());
    let plan = plan(&origin, &shared(redis.address(), ""));
    let [one, two] = [Gateway::start(&plan), Gateway::start(&plan)];
    let left = live(&one);
    holds(&two, &left);
    holds(&one, &left);
    end(&two, &left);
    assert_eq!(status(&one, "/", &left.ann), 401, "ended everywhere");
}

/// Log-ins, log-outs and codes while the gateway is killed: what was answered has happened, and nothing twice.
#[test]
fn what_was_answered_before_kill_9_is_so_afterwards() {
    let origin = application();
    let mut gateway = Gateway::start(&plan(&origin, FILE));
    let ann = signed_in(&gateway);
    let (_, codes) = set_up(&gateway, &ann);
    let begun = Mutex::new(Vec::new());
    let ended = Mutex::new(Vec::new());
    let used = Mutex::new(Vec::new());
    let http = gateway.http;
    let id = gateway.id();
    let form = "Content-Type: application/x-www-form-urlencoded\r\n";
    // No answer: the gateway is gone.
    let asked = |request: Vec<u8>| {
        let mut conn = Conn::try_open(http)?;
        conn.write(&request).then_some(())?;
        conn.response()
    };
    let page = ask(&gateway, &ann, "/.palisade/mfa?return=/admin");
    let page = token(&page);
    thread::scope(|scope| {
        scope.spawn(|| {
            while let Some(answer) = asked(post("/login", form, b"user=ann")) {
                let Some(cookie) = answer.header("set-cookie") else {
                    return;
                };
                let cookie = format!("Cookie: {}\r\n", cookie.split(';').next().unwrap());
                let out = begun.lock().unwrap().len() % 2 == 1;
                begun.lock().unwrap().push(cookie.clone());
                if out {
                    // Whether it ended is open until it is answered.
                    let last = begun.lock().unwrap().pop().unwrap();
                    let Some(_) = asked(post("/logout", &last, b"")) else {
                        return;
                    };
                    ended.lock().unwrap().push(last);
                    begun.lock().unwrap().push(String::new());
                }
            }
        });
        scope.spawn(|| {
            for code in &codes {
                let body = format!("token={page}&return=/admin&code={code}");
                let fields = format!("{ann}{form}");
                match asked(post("/.palisade/mfa", &fields, body.as_bytes())) {
                    Some(answer) if answer.status == 303 => used.lock().unwrap().push(code.clone()),
                    _ => return,
                }
            }
        });
        until("some are answered", || {
            let enough = ended.lock().unwrap().len() > 3 && used.lock().unwrap().len() > 3;
            enough.then_some(())
        });
        let killed = std::process::Command::new("kill")
            .args(["-9", &id.to_string()])
            .status();
        assert!(killed.unwrap().success());
    });
    gateway.kill();
    gateway.again();
    let begun: Vec<_> = begun.into_inner().unwrap();
    for cookie in begun.iter().filter(|cookie| !cookie.is_empty()) {
        assert_eq!(status(&gateway, "/", cookie), 200);
    }
    for cookie in ended.into_inner().unwrap() {
        assert_eq!(status(&gateway, "/", &cookie), 401);
    }
    let ann = signed_in(&gateway);
    for code in used.into_inner().unwrap() {
        assert!(!proves(&gateway, &ann, &code));
    }
}

/// What two send at once, each to another gateway.
fn at_once<T: Send>(one: impl FnOnce() -> T + Send, two: impl FnOnce() -> T + Send) -> [T; 2] {
    thread::scope(|scope| {
        let (one, two) = (scope.spawn(one), scope.spawn(two));
        [one.join().unwrap(), two.join().unwrap()]
    })
}

#[test]
fn of_two_gateways_one_accepts_what_is_good_once() {
    let (origin, redis) = (application(), Redis::start());
    let plan = plan(&origin, &shared(redis.address(), ""));
    let [one, two] = [Gateway::start(&plan), Gateway::start(&plan)];
    let [first, second] = [signed_in(&one), signed_in(&two)];
    let (secret, codes) = set_up(&one, &first);
    let next = stdout(python("totp.py").args([secret.as_str(), "30"]))
        .trim()
        .to_owned();
    for code in [&codes[0], &codes[1], &next] {
        let won = at_once(
            || proves(&one, &first, code),
            || proves(&two, &second, code),
        );
        assert!(won[0] != won[1], "{code}: {won:?}");
    }
    // A token that ends soon is prolonged by one of all requests.
    let old = signed(&[("iat", json!({"now": -60})), ("exp", json!({"now": 120}))]);
    let fields = format!("Cookie: app={old}\r\n");
    let renewed = |gateway: &Gateway| {
        let answers = (0..10).map(|_| exchange(gateway.http, get("/renewed", &fields)));
        let answers: Vec<_> = answers.collect();
        assert!(answers.iter().all(|answer| answer.status == 200));
        answers
            .iter()
            .filter(|answer| answer.header("set-cookie").is_some())
            .count()
    };
    let [here, there] = at_once(|| renewed(&one), || renewed(&two));
    assert_eq!(here + there, 1);
    // A quota of twenty is twenty on both together.
    let key = format!("X-API-Key: {}\r\n", api_key(&one, "kim"));
    let passed = |gateway: &Gateway| {
        (0..15)
            .filter(|_| status(gateway, "/key", &key) == 200)
            .count()
    };
    let [here, there] = at_once(|| passed(&one), || passed(&two));
    assert_eq!(here + there, 20);
    // Log-out everywhere, asked of one.
    operate(&two, &["session", "end", "ann", "--all"]);
    for gateway in [&one, &two] {
        assert_eq!(
            (status(gateway, "/", &first), status(gateway, "/", &second)),
            (401, 401)
        );
    }
}

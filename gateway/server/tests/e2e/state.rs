//! State that outlives a gateway, and state that gateways share: a file, a real Redis, and both when they fail.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::support::certs;
use crate::support::gateway::{SOCKET, palisade, write};
use crate::support::ports::Port;
use crate::support::raw::get;
use crate::support::redis::{Between, Redis};
use crate::support::{Gateway, Origin, Plan, Response, exchange, until};

const SEAL: &str = "secrets: {seal: {env: SEAL}, redis: {env: REDIS}}";

/// The client says who it is; bans are looked up.
fn plan(origin: &Origin, state: &str) -> Plan {
    Plan::checked(origin.address, "{check: bans}")
        .top("trusted_proxies: [127.0.0.1/32]")
        .top(SEAL)
        .top(state)
        .env("SEAL", "0123456789abcdef0123456789abcdef")
        .env("REDIS", "correct-horse")
}

fn shared(redis: &std::net::SocketAddr, more: &str) -> String {
    format!("state: {{kind: redis, urls: [\"redis://{redis}\"], seal: seal{more}}}")
}

fn from(gateway: &Gateway, client: &str) -> Response {
    let header = format!("X-Forwarded-For: {client}\r\n");
    exchange(gateway.http, get("/", &header))
}

fn ban(gateway: &Gateway, client: &str) -> u16 {
    let body = format!("{{\"client\": \"{client}\", \"for\": \"1h\"}}");
    gateway.admin_send("POST", "/bans", &body).status
}

#[test]
fn what_was_acknowledged_survives_kill_9() {
    let origin = Origin::start();
    let state = "state: {kind: file, path: state.redb, seal: seal}";
    let mut gateway = Gateway::start(&plan(&origin, state));
    assert_eq!(from(&gateway, "192.0.2.1").status, 200);
    assert_eq!(ban(&gateway, "192.0.2.1"), 201);
    gateway.kill();
    gateway.again();
    assert_eq!(from(&gateway, "192.0.2.1").status, 403);
    // Again, in the middle of writes.
    let acknowledged = Arc::new(AtomicUsize::new(0));
    let (admin, count) = (gateway.path(SOCKET), Arc::clone(&acknowledged));
    let writing = std::thread::spawn(move || {
        for number in 2..=200 {
            let body = format!("{{\"client\": \"192.0.2.{number}\", \"for\": \"1h\"}}");
            let length = body.len();
            let request = format!(
                "POST /bans HTTP/1.1\r\nHost: gateway\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
            );
            let Ok(mut stream) = std::os::unix::net::UnixStream::connect(&admin) else {
                return;
            };
            let mut answer = String::new();
            let asked = std::io::Write::write_all(&mut stream, request.as_bytes())
                .and_then(|()| std::io::Read::read_to_string(&mut stream, &mut answer));
            if asked.is_err() || !answer.starts_with("HTTP/1.1 201") {
                return;
            }
            count.store(number, Ordering::SeqCst);
        }
    });
    until("some are written", || {
        (acknowledged.load(Ordering::SeqCst) > 10).then_some(())
    });
    gateway.kill();
    writing.join().unwrap();
    gateway.again();
    for number in 2..=acknowledged.load(Ordering::SeqCst) {
        assert_eq!(
            from(&gateway, &format!("192.0.2.{number}")).status,
            403,
            "{number}"
        );
    }
    assert_eq!(from(&gateway, "198.51.100.1").status, 200);
}

#[test]
fn a_state_file_that_cannot_be_used_is_told_at_the_start() {
    let origin = Origin::start();
    let state = "state: {kind: file, path: state.redb, seal: seal}";
    let gateway = Gateway::start(&plan(&origin, state));
    let start = |seal: &str| {
        let run = palisade()
            .args(["run", "--admin", "off"])
            .arg(gateway.policy())
            .env("SEAL", seal)
            .env("REDIS", "x")
            .output()
            .unwrap();
        let told = String::from_utf8_lossy(&run.stderr).into_owned();
        assert_eq!(run.status.code(), Some(3), "{told}");
        told
    };
    let right = "0123456789abcdef0123456789abcdef";
    assert!(start(right).contains("another process uses it"));
    let mode = std::fs::metadata(gateway.path("state.redb")).unwrap();
    assert_eq!(
        std::os::unix::fs::PermissionsExt::mode(&mode.permissions()) & 0o777,
        0o600
    );
    let mut gateway = gateway;
    gateway.kill();
    let start = |seal: &str| {
        let run = palisade()
            .args(["run", "--admin", "off"])
            .arg(gateway.policy())
            .env("SEAL", seal)
            .env("REDIS", "x")
            .output()
            .unwrap();
        let told = String::from_utf8_lossy(&run.stderr).into_owned();
        assert_eq!(run.status.code(), Some(3), "{told}");
        told
    };
    assert!(start("another secret that is long enough").contains("sealed with another one"));
    write(&gateway.path("state.redb"), &[7; 9000]);
    assert!(start(right).contains("is damaged"));
}

#[test]
fn a_file_is_sealed_later_sealed_with_another_key_and_unsealed() {
    let origin = Origin::start();
    let (plain, sealed) = (
        "state: {kind: file, path: state.redb}",
        "state: {kind: file, path: state.redb, seal: seal}",
    );
    let mut gateway = Gateway::start(&plan(&origin, plain));
    let policy = gateway.policy().display().to_string();
    let key = "0123456789abcdef0123456789abcdef";
    let cli = |seal: &str, words: &[&str]| {
        let run = palisade()
            .args(words)
            .env("SEAL", seal)
            .env("REDIS", "x")
            .output();
        let run = run.unwrap();
        let said = [run.stdout, run.stderr].concat();
        (
            run.status.code(),
            String::from_utf8_lossy(&said).into_owned(),
        )
    };
    let listed = |gateway: &Gateway| {
        let known = cli(
            key,
            &[
                "allow",
                "list",
                "mia",
                "--policy",
                &gateway.policy().display().to_string(),
            ],
        );
        assert!(known.1.contains("192.0.2.0/24"), "{known:?}");
    };
    let added = cli(
        key,
        &["allow", "add", "mia", "192.0.2.0/24", "--policy", &policy],
    );
    assert_eq!(added.0, Some(0), "{added:?}");
    listed(&gateway);
    let reseal = ["state", "reseal", &policy, "--was", "plain"];
    let used = cli(key, &reseal);
    assert!(
        used.0 == Some(3) && used.1.contains("another process uses it"),
        "{used:?}"
    );
    let holds = |gateway: &Gateway, what: &[u8]| {
        let file = std::fs::read(gateway.path("state.redb")).unwrap();
        file.windows(what.len()).any(|part| part == what)
    };
    assert!(holds(&gateway, b"192.0.2.0/24"));
    gateway.kill();
    gateway.replace(&plan(&origin, sealed));
    let refused = cli(key, &["run", "--admin", "off", &policy]);
    assert!(
        refused.0 == Some(3) && refused.1.contains("state reseal --was plain"),
        "{refused:?}"
    );
    let done = cli(key, &reseal);
    assert_eq!(done.0, Some(0), "{done:?}");
    assert!(
        !holds(&gateway, b"192.0.2.0/24"),
        "no page keeps what was plain"
    );
    gateway.again();
    listed(&gateway);
    gateway.kill();
    // The wrong key changes nothing.
    let other = "another key of the seal, long enough";
    write(
        &gateway.path("wrong.key"),
        b"not this one, although it is long",
    );
    let wrong = gateway.path("wrong.key").display().to_string();
    let refused = cli(other, &["state", "reseal", &policy, "--was", &wrong]);
    assert!(
        refused.0 == Some(3) && refused.1.contains("sealed with another one"),
        "{refused:?}"
    );
    gateway.again();
    listed(&gateway);
    gateway.kill();
    gateway.replace(&plan(&origin, plain));
    write(&gateway.path("old.key"), key.as_bytes());
    let old = gateway.path("old.key").display().to_string();
    let done = cli(key, &["state", "reseal", &policy, "--was", &old]);
    assert_eq!(done.0, Some(0), "{done:?}");
    gateway.again();
    listed(&gateway);
}

#[test]
fn gateways_on_one_redis_count_and_ban_together() {
    let (origin, redis) = (Origin::start(), Redis::start());
    let state = shared(&redis.address(), ", sync: 50ms");
    let plan = plan(&origin, &state)
        .check("l", "{check: rate_limit, key: [ip], limit: 4/1h}")
        .check("many", "{check: rate_limit, key: [ip], limit: 150/1h}")
        .check(
            "even",
            "{check: rate_limit, key: [ip], limit: 60/1h, algorithm: pace, burst: 3}",
        )
        .route("{name: limited, match: {path: /limited}, to: app, use: [c, l], public: \"test\"}")
        .route("{name: many, match: {path: /many}, to: app, use: [c, many], public: \"test\"}")
        .route("{name: even, match: {path: /even}, to: app, use: [c, even], public: \"test\"}");
    // The route for everything comes first in `checked`: these are other paths of a plan of their own.
    let plan = plan.in_front();
    let (one, two) = (Gateway::start(&plan), Gateway::start(&plan));
    let ask = |gateway: &Gateway, path: &str| {
        exchange(gateway.http, get(path, "X-Forwarded-For: 192.0.2.9\r\n")).status
    };
    for (path, most) in [("/limited", 4), ("/many", 150), ("/even", 3)] {
        let passed = (0..most + 6)
            .filter(|turn| ask(if turn % 2 == 0 { &one } else { &two }, path) == 200)
            .count();
        assert_eq!(passed, most, "{path}");
    }
    assert_eq!(ban(&one, "192.0.2.9"), 201);
    assert_eq!(ask(&two, "/"), 403);
    // What lies there tells nobody whom it is about.
    assert_eq!(redis.ask("EXISTS palisade:own"), ":1");
    for gateway in [&one, &two] {
        assert!(gateway.metric("palisade_store_up", &[]) > 0.0);
        gateway.metric_reaches(
            "palisade_store_seconds_count",
            &[("operation", "count")],
            1.0,
        );
    }
}

#[test]
fn each_check_does_what_its_policy_says_while_the_store_is_gone() {
    let (origin, redis) = (Origin::start(), Redis::start());
    let between = Between::start(redis.address());
    let state = shared(&between.address, ", timeout: 200ms, sync: 50ms");
    let plan = plan(&origin, &state)
        .check("open", "{check: bans, on_store_error: allow}")
        .check("local", "{check: rate_limit, key: [ip], limit: 2/1h}")
        .check(
            "closed",
            "{check: rate_limit, key: [ip], limit: 1000/1h, on_store_error: deny}",
        )
        .route("{name: open, match: {path: /open}, to: app, use: [open], public: \"test\"}")
        .route("{name: local, match: {path: /local}, to: app, use: [local], public: \"test\"}")
        .route("{name: closed, match: {path: /closed}, to: app, use: [closed], public: \"test\"}")
        .in_front();
    let gateway = Gateway::start(&plan);
    let ask = |path: &str| exchange(gateway.http, get(path, "")).status;
    let whole = || {
        until("all is well", || {
            (ask("/") == 200 && ask("/closed") == 200).then_some(())
        });
    };
    whole();
    let mut local = [200, 200, 429].iter();
    for (how, break_it) in [
        ("stalled", Between::stall as fn(&Between)),
        ("cut", Between::cut as fn(&Between)),
    ] {
        break_it(&between);
        assert_eq!(ask("/"), 503, "{how}");
        assert_eq!(ask("/closed"), 503, "{how}");
        assert_eq!(ask("/open"), 200, "{how}");
        assert_eq!(Some(&ask("/local")), local.next(), "{how}");
        until("the loss is seen", || {
            (gateway.metric("palisade_store_up", &[]) < 1.0).then_some(())
        });
        between.pass();
        whole();
    }
    gateway.line("the loss of the store", |line| {
        line["event"] == "store_down"
    });
}

#[test]
fn a_full_or_strange_redis_is_no_pass() {
    let origin = Origin::start();
    let redis = Redis::with(&["--maxmemory", "3mb", "--maxmemory-policy", "noeviction"]);
    let state = shared(&redis.address(), "");
    let plan = plan(&origin, &state)
        .check(
            "l",
            "{check: rate_limit, key: [ip], limit: 100/1h, on_store_error: deny}",
        )
        .route("{name: l, match: {path: /l}, to: app, use: [l], public: \"test\"}")
        .in_front();
    let gateway = Gateway::start(&plan);
    assert_eq!(exchange(gateway.http, get("/l", "")).status, 200);
    assert_eq!(redis.ask("SETRANGE filler 4000000 x"), ":4000001");
    assert_eq!(exchange(gateway.http, get("/l", "")).status, 503);
    assert_eq!(ban(&gateway, "192.0.2.3"), 507);
    gateway.metric_reaches("palisade_store_faults_total", &[("fault", "full")], 1.0);
    assert_eq!(redis.ask("DEL filler"), ":1");
    assert_eq!(exchange(gateway.http, get("/l", "")).status, 200);
}

#[test]
fn a_redis_that_forgets_is_told() {
    let origin = Origin::start();
    let redis = Redis::with(&["--maxmemory", "64mb", "--maxmemory-policy", "allkeys-lru"]);
    let gateway = Gateway::start(&plan(&origin, &shared(&redis.address(), "")));
    gateway.line("a warning", |line| line["event"] == "store_evicts");
    gateway.metric_reaches("palisade_store_evicts", &[], 1.0);
}

#[test]
fn a_redis_over_tls_asks_for_a_user_and_shows_a_certificate() {
    let (origin, port) = (Origin::start(), Port::take());
    let number = port.number.to_string();
    let (cert, key, ca) = (
        certs::file("server.pem"),
        certs::file("server.key"),
        certs::file("ca.pem"),
    );
    let tls = [
        "--tls-port",
        &number,
        "--tls-auth-clients",
        "no",
        "--tls-cert-file",
        &cert,
        "--tls-key-file",
        &key,
    ];
    let user = [
        "--tls-ca-cert-file",
        &ca,
        "--user",
        "gate",
        "on",
        ">correct-horse",
        "~palisade:*",
        "+@all",
    ];
    let redis = Redis::with(&[tls, user].concat());
    let state = |user: &str| {
        format!(
            "state: {{kind: redis, urls: [\"rediss://localhost:{number}\"], ca: \"{ca}\", user: {user}, password: redis, seal: seal}}"
        )
    };
    let gateway = Gateway::start(&plan(&origin, &state("gate")));
    assert_eq!(ban(&gateway, "192.0.2.1"), 201);
    assert_eq!(from(&gateway, "192.0.2.1").status, 403);
    assert_eq!(redis.ask("EXISTS palisade:own"), ":1");
    write(
        &gateway.policy(),
        plan(&origin, &state("stranger"))
            .render(gateway.http, gateway.tls, gateway.admin)
            .as_bytes(),
    );
    gateway.line("a reload that says what it cannot do", |line| {
        line["event"] == "policy_loaded" && line["detail"].to_string().contains("restart: state")
    });
    let mut run = palisade();
    run.args(["run", "--admin", "off"]).arg(gateway.policy());
    let run = run
        .env("SEAL", "0123456789abcdef0123456789abcdef")
        .env("REDIS", "correct-horse");
    let run = run.output().unwrap();
    let told = String::from_utf8_lossy(&run.stderr).into_owned();
    assert_eq!(run.status.code(), Some(3), "{told}");
    assert!(!told.contains("correct-horse"), "{told}");
}

/// A gateway that waits for its store has not begun to serve, and never does when it is asked to end.
#[test]
fn a_signal_while_the_store_is_waited_for_is_not_lost() {
    let redis = Redis::start();
    let front = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    front.set_nonblocking(true).unwrap();
    let address = front.local_addr().unwrap();
    let origin = Origin::start();
    let mut gateway = Gateway::launch(&plan(&origin, &shared(&address, "")));
    // What has it prepared is answered. What comes once its admin listener is open is the connection that stays, and silent.
    let _silent = until("a connection that stays", || {
        let (socket, _) = front.accept().ok()?;
        socket.set_nonblocking(false).unwrap();
        if std::net::TcpStream::connect(gateway.admin).is_ok() {
            return Some(socket);
        }
        let behind = std::net::TcpStream::connect(redis.address()).unwrap();
        let (mut there, mut back) = (socket.try_clone().unwrap(), behind.try_clone().unwrap());
        std::thread::spawn(move || std::io::copy(&mut there, &mut back));
        std::thread::spawn(move || std::io::copy(&mut &behind, &mut &socket));
        None
    });
    gateway.signal("TERM");
    assert_eq!(gateway.ended().code(), Some(0), "{}", gateway.stderr());
    gateway.line("the end", |line| line["event"] == "stopped");
    let events: Vec<_> = gateway.lines();
    let events: Vec<_> = events
        .iter()
        .filter_map(|line| line["event"].as_str())
        .collect();
    assert_eq!(events, ["stopping", "stopped"]);
}

//! What an operator does: signals, upgrades, log files, the admin listener, metrics.

use std::process::Stdio;

use crate::support::gateway::{SOCKET, run};
use crate::support::origin::ok;
use crate::support::raw::{exchange_at, get};
use crate::support::tools::{fed, program};
use crate::support::{Conn, Gateway, Origin, Plan, Step, exchange, until};

fn waiting() -> Origin {
    Origin::scripted(|seen| match seen.target.as_str() {
        "/wait" => vec![Step::Gate("go"), Step::Send(ok("waited"))],
        _ => vec![Step::ReadBody, Step::Send(ok("origin"))],
    })
}

#[test]
fn sigterm_drains_and_ends_with_success() {
    let origin = waiting();
    let mut gateway = Gateway::start(&Plan::open(origin.address).top("limits: {drain: 20s}"));
    let mut conn = Conn::open(gateway.http);
    conn.write(get("/wait", "X-Request-ID: drained\r\n"));
    origin.wait("/wait");
    gateway.signal("TERM");
    until("new connections are refused", || {
        std::net::TcpStream::connect(gateway.http).err()
    });
    origin.open("go");
    let answer = conn.response().unwrap();
    assert_eq!((answer.status, answer.text().as_str()), (200, "waited"));
    drop(conn);
    let status = gateway.ended();
    assert_eq!(status.code(), Some(0), "{}", gateway.stderr());
    assert_eq!(gateway.event("drained")["status"], 200);
    gateway.line("the end is announced", |line| line["event"] == "stopping");
}

/// The end of an idle gateway comes at once: what announces it must not be lost to it.
#[test]
fn the_end_is_announced_before_it() {
    let origin = Origin::start();
    for signal in ["TERM", "INT"] {
        let mut gateway = Gateway::start(&Plan::open(origin.address));
        gateway.signal(signal);
        assert_eq!(gateway.ended().code(), Some(0), "{}", gateway.stderr());
        gateway.line("the end", |line| line["event"] == "stopped");
        let lines = gateway.lines();
        let events: Vec<_> = lines
            .iter()
            .filter_map(|line| line["event"].as_str())
            .collect();
        assert_eq!(events, ["started", "stopping", "stopped"], "{signal}");
    }
}

#[test]
fn draining_ends_at_its_limit() {
    let origin = waiting();
    let mut gateway = Gateway::start(&Plan::open(origin.address).top("limits: {drain: 1s}"));
    let mut conn = Conn::open(gateway.http);
    conn.write(get("/wait", ""));
    origin.wait("/wait");
    let begun = std::time::Instant::now();
    gateway.signal("TERM");
    gateway.ended();
    assert!(
        begun.elapsed() < std::time::Duration::from_secs(15),
        "{:?}",
        begun.elapsed()
    );
}

#[test]
fn sigusr1_reopens_the_event_file() {
    let origin = Origin::start();
    let gateway = Gateway::start(&Plan::open(origin.address).top("events: {file: events.jsonl}"));
    let (file, moved) = (gateway.path("events.jsonl"), gateway.path("events.1"));
    let holds = |file: &std::path::Path, id: &str| {
        std::fs::read_to_string(file).is_ok_and(|text| text.contains(id))
    };
    exchange(gateway.http, get("/", "X-Request-ID: before\r\n"));
    until("the event is in the file", || {
        holds(&file, "before").then_some(())
    });
    std::fs::rename(&file, &moved).unwrap();
    exchange(gateway.http, get("/", "X-Request-ID: between\r\n"));
    until("the old file is still written", || {
        holds(&moved, "between").then_some(())
    });
    gateway.signal("USR1");
    until("a new file is opened", || file.exists().then_some(()));
    exchange(gateway.http, get("/", "X-Request-ID: after\r\n"));
    until("the new file is written", || {
        holds(&file, "after").then_some(())
    });
    assert!(!holds(&moved, "after") && !holds(&file, "between"));
    for line in std::fs::read_to_string(&file).unwrap().lines() {
        serde_json::from_str::<serde_json::Value>(line).unwrap();
    }
}

/// The second process takes the sockets over while requests run: none is refused, and the first ends.
#[test]
fn a_binary_upgrade_loses_no_request() {
    let origin = waiting();
    let mut gateway = Gateway::start(&Plan::open(origin.address).top("limits: {drain: 20s}"));
    let mut long = Conn::open(gateway.http);
    long.write(get("/wait", ""));
    origin.wait("/wait");
    let stop = std::sync::atomic::AtomicBool::new(false);
    let mut second = std::thread::scope(|scope| {
        let load = scope.spawn(|| {
            let mut failures = Vec::new();
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                let mut conn = Conn::open(gateway.http);
                conn.write(get("/load", "Connection: close\r\n"));
                match conn.response() {
                    Some(answer) if answer.status == 200 => {}
                    other => failures.push(other.map(|answer| answer.status)),
                }
            }
            failures
        });
        let second = gateway.upgrade();
        until("the second one serves", || second.serves().then_some(()));
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        let failures = load.join().unwrap();
        assert!(failures.is_empty(), "{failures:?}");
        second
    });
    origin.open("go");
    assert_eq!(long.response().unwrap().text(), "waited");
    drop(long);
    assert_eq!(gateway.ended().code(), Some(0), "{}", gateway.stderr());
    assert_eq!(exchange(gateway.http, get("/", "")).text(), "origin");
    second.end();
}

/// Who asks the new process to end before it serves has called the upgrade off.
#[test]
fn an_upgrade_that_is_called_off_leaves_the_first_one_serving() {
    let origin = waiting();
    let mut gateway = Gateway::start(&Plan::open(origin.address));
    let mut second = gateway.successor();
    assert_eq!(second.call_off().code(), Some(0));
    assert_eq!(exchange(gateway.http, get("/", "")).text(), "origin");
    assert_eq!(
        gateway.admin_get("/policy").status,
        200,
        "and its operators"
    );
    // Nobody takes them: it says so, and goes on.
    gateway.signal("QUIT");
    until("the first one gives up", || {
        gateway.stderr().contains("not handed over").then_some(())
    });
    assert_eq!(exchange(gateway.http, get("/", "")).text(), "origin");
    gateway.signal("TERM");
    assert_eq!(gateway.ended().code(), Some(0));
}

#[test]
fn the_admin_listener_answers_and_refuses_strangers() {
    let origin = Origin::start();
    let gateway = Gateway::start(&Plan::open(origin.address));
    for path in ["/healthz", "/readyz", "/metrics", "/policy"] {
        assert_eq!(gateway.admin_get(path).status, 200, "{path}");
    }
    for path in [
        "/",
        "/etc/passwd",
        "/../../etc/passwd",
        "/metrics/../../etc/passwd",
        "/%2e%2e/%2e%2e/etc/passwd",
        "/static/..%2f..%2fetc/passwd",
    ] {
        assert!(gateway.admin_get(path).status >= 400, "{path}");
    }
    // Without a token, numbers and health are all that an address answers: every process here reaches it.
    let host = gateway.admin;
    let ban = r#"{"client": "127.0.0.1", "for": "1h"}"#;
    for (method, path, body) in [
        ("GET", "/policy", ""),
        ("GET", "/bans", ""),
        ("POST", "/bans", ban),
        ("GET", "/sessions/ann", ""),
        ("DELETE", "/factors/ann", ""),
        ("POST", "/emergencies", "{}"),
        ("POST", "/reload", ""),
    ] {
        let length = body.len();
        let answer = exchange(
            host,
            format!(
                "{method} {path} HTTP/1.1\r\nHost: {host}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
            ),
        );
        assert_eq!(answer.status, 403, "{method} {path}");
        assert!(answer.text().contains("admin.token"), "{}", answer.text());
    }
    assert_eq!(gateway.admin_get("/bans").text(), r#"{"bans":[]}"#);
    let output = run(&["ban", "list", "--admin", &host.to_string()]);
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        !output.status.success() && told.contains("admin.socket"),
        "{told}"
    );
    // A name that someone pointed at 127.0.0.1 gets nothing, a page of another site nothing even where no token is asked for.
    let port = gateway.admin.port();
    let stranger =
        format!("GET /metrics HTTP/1.1\r\nHost: evil.test:{port}\r\nConnection: close\r\n\r\n");
    assert_eq!(exchange(gateway.admin, stranger).status, 421);
    for (fields, status) in [
        ("", 200),
        ("Origin: http://evil.test\r\n", 403),
        ("Sec-Fetch-Site: cross-site\r\n", 403),
    ] {
        let request = format!(
            "POST /reload HTTP/1.1\r\nHost: gateway\r\n{fields}Content-Length: 0\r\nConnection: close\r\n\r\n"
        );
        let answer = exchange_at(&gateway.path(SOCKET), request);
        assert_eq!(answer.status, status, "{fields}");
    }
    assert_eq!(gateway.admin_get("/reload").status, 405);
    // Nothing of the admin listener is on the public one.
    let before = origin.count();
    assert_eq!(exchange(gateway.http, get("/metrics", "")).text(), "origin");
    assert_eq!(origin.count(), before + 1);
}

#[test]
fn an_admin_listener_with_a_token_asks_for_it() {
    let origin = Origin::start();
    let plan = Plan::open(origin.address)
        .top("secrets:\n  admin: {env: PALISADE_TEST_ADMIN}")
        .env("PALISADE_TEST_ADMIN", "an admin token of the tests")
        .admin(", token: admin");
    let gateway = Gateway::start(&plan);
    let host = gateway.admin;
    let ask = |method: &str, path: &str, more: &str| {
        exchange(host, format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\nContent-Length: 0\r\nConnection: close\r\n{more}\r\n")).status
    };
    for (method, path) in [("GET", "/metrics"), ("GET", "/policy"), ("POST", "/reload")] {
        assert_eq!(ask(method, path, ""), 401, "{path}");
        assert_eq!(
            ask(method, path, "Authorization: Bearer wrong\r\n"),
            401,
            "{path}"
        );
        assert_eq!(
            ask(
                method,
                path,
                "Authorization: Bearer an admin token of the tests\r\n"
            ),
            200,
            "{path}"
        );
    }
}

#[test]
fn metrics_pass_promtool_and_hold_nothing_of_the_client() {
    let origin = Origin::start();
    let gateway = Gateway::start(
        &Plan::checked(origin.address, "{check: ip, deny: [192.0.2.0/24]}")
            .top("trusted_proxies: [127.0.0.0/8]")
            .tls(),
    );
    exchange(gateway.http, get("/", ""));
    exchange(gateway.http, get("/", "X-Forwarded-For: 192.0.2.1\r\n"));
    exchange(gateway.http, "GARBAGE\r\n\r\n");
    exchange(
        gateway.http,
        "ODDMETHOD /odd-path HTTP/1.1\r\nHost: odd.test\r\nUser-Agent: odd-agent\r\n\r\n",
    );
    gateway.metric_reaches("palisade_requests_total", &[], 4.0);
    let text = gateway.admin_get("/metrics").text();
    let output = fed(
        program("promtool").args(["check", "metrics"]),
        text.as_bytes(),
    );
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success() && said.is_empty(), "{said}");
    for word in ["odd", "ODD", "GARBAGE", "192.0.2.1", "127.0.0.1:"] {
        let own = text
            .lines()
            .filter(|line| {
                line.contains(word) && !line.contains("upstream") && !line.contains("server=")
            })
            .count();
        assert_eq!(own, 0, "{word} became a label");
    }
}

#[test]
fn every_request_has_exactly_one_event_and_one_count() {
    let origin = Origin::start();
    let gateway = Gateway::start(&Plan::open(origin.address));
    for number in 0..50 {
        exchange(
            gateway.http,
            get("/", &format!("X-Request-ID: once-{number}\r\n")),
        );
    }
    gateway.event("once-49");
    gateway.metric_reaches("palisade_requests_total", &[("route", "all")], 50.0);
    let lines = gateway.lines();
    for number in 0..50 {
        let id = format!("once-{number}");
        assert_eq!(
            lines
                .iter()
                .filter(|line| line["request_id"] == *id)
                .count(),
            1,
            "{id}"
        );
    }
    assert_eq!(
        gateway.metric(
            "palisade_requests_total",
            &[("route", "all"), ("status", "200")]
        ),
        50.0
    );
    let event = gateway.event("once-0");
    for field in [
        "time",
        "event",
        "client",
        "method",
        "host",
        "path",
        "route",
        "status",
        "action",
        "reason",
        "upstream",
        "bytes_out",
        "duration_us",
        "gateway_us",
    ] {
        assert!(!event[field].is_null(), "{field} is missing in {event}");
    }
}

#[test]
fn prometheus_rules_and_scrape_settings_are_valid() {
    let deploy = crate::support::certs::root().join("deploy/prometheus");
    crate::support::tools::stdout(
        program("promtool")
            .args(["check", "rules"])
            .arg(deploy.join("palisade.rules.yaml"))
            .stderr(Stdio::inherit()),
    );
    crate::support::tools::stdout(
        program("promtool")
            .args(["check", "config"])
            .arg(deploy.join("prometheus.yaml"))
            .stderr(Stdio::inherit()),
    );
}

#[test]
fn a_failing_secret_raises_an_alert_and_a_short_one_does_not() {
    let rules = crate::support::certs::root().join("deploy/prometheus/palisade.rules.yaml");
    let folder = tempfile::tempdir().unwrap();
    let alert = |name: &str, severity: &str, text: &str| {
        format!(
            "exp_alerts: [{{exp_labels: {{instance: g, secret: {name}, severity: {severity}}}, exp_annotations: {{{text}}}}}]"
        )
    };
    let failing = alert(
        "jwt",
        "critical",
        "summary: \"g: secret jwt cannot be had, or its new value does not fit\", description: \"The last good value serves on. `palisade secret list` and the event secret_failed say why. A restart may fail.\"",
    );
    let overdue = alert(
        "pii",
        "warning",
        "summary: \"g: secret pii is older than its rotate_after\"",
    );
    let tests = format!(
        "rule_files: [{}]\nevaluation_interval: 1m\ntests:\n  - interval: 1m\n    input_series:\n      - {{series: 'palisade_secret_failing{{instance=\"g\", secret=\"jwt\"}}', values: '0x4 1x10'}}\n      - {{series: 'palisade_secret_failing{{instance=\"g\", secret=\"csrf\"}}', values: '0 1 1 0x12'}}\n      - {{series: 'palisade_secret_overdue{{instance=\"g\", secret=\"pii\"}}', values: '1x70'}}\n    alert_rule_test:\n      - {{eval_time: 9m, alertname: PalisadeSecretFailing, exp_alerts: []}}\n      - {{eval_time: 11m, alertname: PalisadeSecretFailing, {failing}}}\n      - {{eval_time: 61m, alertname: PalisadeSecretOverdue, {overdue}}}\n",
        rules.display()
    );
    let file = folder.path().join("tests.yaml");
    std::fs::write(&file, tests).unwrap();
    crate::support::tools::stdout(
        program("promtool")
            .args(["test", "rules"])
            .arg(file)
            .stderr(Stdio::inherit()),
    );
}

/// Every metric that the alert rules and the dashboard name exists.
#[test]
fn rules_and_dashboard_name_metrics_that_exist() {
    let origin = Origin::start();
    let plan = Plan::bare()
        .upstream(
            "app",
            &format!(
                "{{servers: [\"{}\"], health: {{path: /healthz}}}}",
                origin.address
            ),
        )
        .check("nets", "{check: ip, deny: [192.0.2.0/24], mode: observe}")
        .check(
            "limit",
            "{check: rate_limit, key: [ip], limit: 1/1h, mode: observe}",
        )
        .check("scan", "{check: waf, rules: [waf/*.yaml], mode: observe}")
        // Nobody listens there: a call that fails.
        .check(
            "token",
            "{check: jwt, jwks_url: \"http://127.0.0.1:1/keys\", algorithms: [ES256]}",
        )
        .check("emergency", "{check: break_glass, passes: [nets]}")
        .top("secrets: {unused: {env: PATH}}")
        .route("{name: token, match: {path: /token}, to: app, use: [emergency, nets, token]}")
        .route(
            "{name: all, match: {path: \"/*\"}, to: app, use: [nets, limit, scan], public: test}",
        );
    let gateway = Gateway::start(&plan.rules());
    exchange(gateway.http, get("/", ""));
    let bearer = "Authorization: Bearer eyJhbGciOiJFUzI1NiIsImtpZCI6IngifQ.e30.AAAA\r\n";
    exchange(gateway.http, get("/token", bearer));
    gateway.metric_reaches("palisade_remote_failing", &[], 1.0);
    let unknown = "X-Emergency-Token: unknown\r\n";
    exchange(gateway.http, get("/token", unknown));
    gateway.metric_reaches("palisade_told_total", &[], 1.0);
    exchange(gateway.http, get("/?q=<script>alert(1)</script>", ""));
    gateway.metric_reaches("palisade_waf_matches_total", &[], 1.0);
    gateway.replace_text("version: nonsense");
    gateway.admin_ask("POST", "/reload");
    gateway.metric_reaches("palisade_requests_total", &[], 2.0);
    let metrics = gateway.admin_get("/metrics").text();
    let deploy = crate::support::certs::root().join("deploy");
    for file in ["prometheus/palisade.rules.yaml", "grafana/palisade.json"] {
        let text = std::fs::read_to_string(deploy.join(file)).unwrap();
        let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
        for name in text
            .split(|c| !word(c))
            .filter(|name| name.starts_with("palisade_"))
        {
            let name = name
                .trim_end_matches("_bucket")
                .trim_end_matches("_count")
                .trim_end_matches("_sum");
            assert!(
                metrics.contains(&format!("# TYPE {name} ")),
                "{file} names {name}, which is not in /metrics"
            );
        }
    }
}

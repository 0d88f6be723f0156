//! Policies replaced while requests run: whole or not at all, and never noticed by a client.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use crate::support::gateway::replace;
use crate::support::raw::get;
use crate::support::{Conn, Gateway, Origin, Plan, exchange, until};

fn numbered(origin: &Origin, number: usize) -> Plan {
    Plan::new(origin.address)
        .top("policy_header: X-Policy")
        .check(
            "mark",
            &format!("{{check: response_headers, set: {{X-Number: \"{number}\"}}}}"),
        )
        .route("{name: all, match: {path: \"/*\"}, to: app, use: [mark], public: test}")
}

fn number(gateway: &Gateway) -> Option<usize> {
    exchange(gateway.http, get("/", ""))
        .header("x-number")?
        .parse()
        .ok()
}

#[test]
fn file_signal_and_admin_call_all_reload() {
    let origin = Origin::start();
    let gateway = Gateway::start(&numbered(&origin, 0));
    let first = exchange(gateway.http, get("/", ""))
        .header("x-policy")
        .unwrap()
        .to_owned();
    gateway.replace(&numbered(&origin, 1));
    until("the changed file is loaded", || {
        (number(&gateway)? == 1).then_some(())
    });
    assert_ne!(
        exchange(gateway.http, get("/", ""))
            .header("x-policy")
            .unwrap(),
        first
    );
    gateway.replace(&numbered(&origin, 2));
    gateway.signal("HUP");
    until("SIGHUP loads it", || (number(&gateway)? == 2).then_some(()));
    gateway.replace(&numbered(&origin, 3));
    let answer = gateway.admin_ask("POST", "/reload");
    assert!(
        matches!(answer.status, 200 | 202 | 204),
        "{}",
        answer.status
    );
    until("the admin call loads it", || {
        (number(&gateway)? == 3).then_some(())
    });
    until("each of them has its event", || {
        let lines = gateway.lines();
        let loaded = lines.iter().filter(|line| line["event"] == "policy_loaded");
        (loaded.count() >= 3).then_some(())
    });
    gateway.metric_reaches("palisade_policy_reloads_total", &[("result", "ok")], 3.0);
    gateway.replace(&numbered(&origin, 0));
    until("the first one is back, with its hash", || {
        (exchange(gateway.http, get("/", "")).header("x-policy")? == first).then_some(())
    });
}

#[test]
fn requests_in_flight_end_on_the_policy_they_began_with() {
    use crate::support::Step;
    use crate::support::origin::ok;
    let origin = Origin::scripted(|seen| match seen.target.as_str() {
        "/long" => vec![Step::Gate("go"), Step::Send(ok("long"))],
        _ => vec![Step::Send(ok("short"))],
    });
    let gateway = Gateway::start(&numbered(&origin, 0));
    let mut long = Conn::open(gateway.http);
    long.write(get("/long", ""));
    origin.wait("/long");
    gateway.replace(&numbered(&origin, 1));
    until("the new one serves", || {
        (number(&gateway)? == 1).then_some(())
    });
    origin.open("go");
    assert_eq!(long.response().unwrap().header("x-number"), Some("0"));
}

/// 1,000 reloads under load: every request is answered with 200, and the last policy serves in the end.
#[test]
fn heavy_a_thousand_reloads_under_load_fail_no_request() {
    const RELOADS: usize = 1000;
    let origin = Origin::start();
    let gateway = Gateway::start(&numbered(&origin, 0));
    let done = AtomicBool::new(false);
    let answered = AtomicUsize::new(0);
    let failed = std::sync::Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for kept in [true, true, false] {
            let (gateway, done, answered, failed) = (&gateway, &done, &answered, &failed);
            scope.spawn(move || {
                let mut conn = Conn::open(gateway.http);
                while !done.load(Ordering::Relaxed) {
                    // A kept connection ends by itself after so many requests: then it says so.
                    conn.write(get(
                        "/load",
                        if kept { "" } else { "Connection: close\r\n" },
                    ));
                    let answer = conn.response();
                    let closing = answer
                        .as_ref()
                        .and_then(|answer| answer.header("connection"))
                        == Some("close");
                    match answer {
                        Some(answer) if answer.status == 200 && answer.text() == "origin" => {
                            answered.fetch_add(1, Ordering::Relaxed);
                        }
                        other => failed
                            .lock()
                            .unwrap()
                            .push(format!("{:?}", other.map(|answer| answer.status))),
                    }
                    if closing || !kept {
                        conn = Conn::open(gateway.http);
                    }
                }
            });
        }
        let seen = |answer: crate::support::Response| matches!(answer.status, 200 | 202 | 204);
        for reload in 1..=RELOADS {
            replace(
                &gateway.policy(),
                numbered(&origin, reload)
                    .render(gateway.http, gateway.tls, gateway.admin)
                    .as_bytes(),
            );
            assert!(
                seen(gateway.admin_ask("POST", "/reload")),
                "reload {reload}"
            );
        }
        until("the last one serves", || {
            (number(&gateway)? == RELOADS).then_some(())
        });
        done.store(true, Ordering::Relaxed);
    });
    let failed = failed.into_inner().unwrap();
    assert!(
        failed.is_empty(),
        "{} of {} failed: {:?}",
        failed.len(),
        answered.into_inner(),
        &failed[..failed.len().min(5)]
    );
    assert!(gateway.metric("palisade_policy_reloads_total", &[("result", "ok")]) >= RELOADS as f64);
}

#[test]
fn listeners_that_change_say_that_they_need_a_restart() {
    let origin = Origin::start();
    let gateway = Gateway::start(&numbered(&origin, 0));
    let other = crate::support::ports::Port::take();
    let text = numbered(&origin, 1)
        .render(gateway.http, gateway.tls, gateway.admin)
        .replace(
            &format!("listen:\n  - {{address: \"{}\"}}", gateway.http),
            &format!(
                "listen:\n  - {{address: \"{}\"}}\n  - {{address: \"{}\"}}",
                gateway.http,
                other.address()
            ),
        );
    gateway.replace_text(&text);
    until("the change serves", || {
        (number(&gateway)? == 1).then_some(())
    });
    let said = || format!("{:?}{}", gateway.lines(), gateway.stderr());
    until("it says so", || {
        said().to_lowercase().contains("restart").then_some(())
    });
}

/// A policy with each kind of fault, and a word that the refusal must contain.
fn bad(origin: &Origin) -> Vec<(&'static str, String, &'static str)> {
    let good = |plan: Plan| {
        let zero = "127.0.0.1:9".parse().unwrap();
        plan.render(zero, zero, zero)
    };
    let open = || Plan::open(origin.address);
    let checked = |check: &str| good(Plan::checked(origin.address, check));
    vec![
        ("empty", String::new(), ""),
        ("not YAML", "version: 1\n  listen: [}\n".into(), ""),
        ("binary", "\u{1}\u{2}\0".into(), ""),
        ("a list", "- 1\n- 2\n".into(), ""),
        ("unknown key", good(open().top("upstream: {}")), "upstreams"),
        ("misspelt check key", checked("{check: rate_limit, key: [ip], limt: 5/1m}"), "limit"),
        ("misspelt kind", checked("{check: rate_limt, key: [ip], limit: 5/1m}"), "rate_limit"),
        ("wrong type", checked("{check: rate_limit, key: [ip], limit: [5]}"), "limit"),
        ("bad rate", checked("{check: rate_limit, key: [ip], limit: 5 per minute}"), "limit"),
        ("bad network", checked("{check: ip, deny: [300.0.0.0/8]}"), "300.0.0.0"),
        ("missing list", checked("{check: ip, deny_files: [lists/none.txt]}"), "none.txt"),
        ("missing database", checked("{check: geo, database: none.mmdb, deny: {countries: [DE]}, unknown: allow}"), "none.mmdb"),
        ("duplicate key", good(open()).replace("version: 1", "version: 1\nversion: 1"), "version"),
        ("duplicate route", good(open().route("{name: all, match: {path: /b}, to: app, public: t}")), "all"),
        ("unreachable route", good(open().route("{name: late, match: {path: /late}, to: app, public: t}")), "never reached"),
        ("unknown check", good(Plan::new(origin.address).route("{name: a, match: {path: \"/*\"}, to: app, use: [nothing], public: t}")), "nothing"),
        ("unknown upstream", good(Plan::new(origin.address).route("{name: a, match: {path: \"/*\"}, to: nowhere, public: t}")), "nowhere"),
        ("no authentication and no reason", good(Plan::new(origin.address).route("{name: a, match: {path: \"/*\"}, to: app}")), "public"),
        ("user before authentication", good(Plan::new(origin.address)
            .check("c", "{check: rate_limit, key: [user], limit: 5/1m}")
            .route("{name: a, match: {path: \"/*\"}, to: app, use: [c], public: t}")), "who asks"),
        ("with on a locked check", good(Plan::new(origin.address)
            .check("c", "{check: rate_limit, key: [ip], limit: 5/1m, locked: true}")
            .route("{name: a, match: {path: \"/*\"}, to: app, use: [c], with: {c: {limit: 9/1m}}, public: t}")), "locked"),
        ("chain that names itself", good(open().chain("x", "[x]")), "x"),
        ("missing secret", good(open().top("secrets:\n  s: {env: PALISADE_NOT_SET}").check("c", "{check: jwt, secret: s, algorithms: [HS256]}").route("{name: b, match: {path: /b}, to: app, use: [c]}")), ""),
        ("version 2", good(open()).replace("version: 1", "version: 2"), "version"),
        ("bad address", good(open()).replace("127.0.0.1:9\"}\nadmin", "nowhere\"}\nadmin"), "address"),
        ("bad duration", good(open().top("limits: {header_deadline: 10}")), "header_deadline"),
        ("over a maximum", good(open().top("limits: {header_deadline: 100h}")), "header_deadline"),
        ("alias bomb", format!("a: &a [x, x, x, x, x, x, x, x, x]\nb: &b [*a, *a, *a, *a, *a, *a, *a, *a, *a]\nc: &c [*b, *b, *b, *b, *b, *b, *b, *b, *b]\nd: &d [*c, *c, *c, *c, *c, *c, *c, *c, *c]\ne: &e [*d, *d, *d, *d, *d, *d, *d, *d, *d]\nf: &f [*e, *e, *e, *e, *e, *e, *e, *e, *e]\ng: &g [*f, *f, *f, *f, *f, *f, *f, *f, *f]\nh: [*g, *g, *g, *g, *g, *g, *g, *g, *g]\n{}", good(open())), ""),
        ("deep nesting", format!("{}\nx: {}{}", good(open()), "[".repeat(100_000), "]".repeat(100_000)), ""),
        ("100 MB", format!("{}\n# {}\n", good(open()), "x".repeat(100_000_000)), ""),
        ("a WAF rule with a bad pattern", good(Plan::checked(origin.address, "{check: waf, rules: [waf/none-*.yaml]}")), "none-"),
    ]
}

#[test]
fn a_bad_policy_of_every_kind_leaves_the_old_one_serving() {
    let origin = Origin::start();
    let gateway = Gateway::start(&numbered(&origin, 7));
    let mut wrong = Vec::new();
    for (name, text, word) in bad(&origin) {
        let rejected = || {
            let lines = gateway.lines();
            lines
                .into_iter()
                .filter(|line| line["event"] == "policy_rejected")
                .collect::<Vec<_>>()
        };
        let before = rejected().len();
        gateway.replace_text(&text);
        let answer = gateway.admin_ask("POST", "/reload");
        if answer.status < 400 {
            wrong.push(format!("{name}: the reload was accepted"));
            continue;
        }
        // The watcher may still report the text before this one.
        let said = |word: &str| {
            let mut new = rejected().into_iter().skip(before);
            new.find(|event| event.to_string().contains(word))
        };
        until(&format!("{name} is rejected with {word:?}"), || said(word));
        if number(&gateway) != Some(7) {
            wrong.push(format!("{name}: the old policy no longer serves"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(gateway.metric("palisade_policy_reloads_total", &[("result", "failed")]) >= 20.0);
    assert_eq!(gateway.admin_get("/readyz").status, 200);
    gateway.replace(&numbered(&origin, 8));
    until("a good one is taken again", || {
        (number(&gateway)? == 8).then_some(())
    });
}

/// `palisade check` says the same, for each of them: exit 1, file, line and column.
#[test]
fn check_names_file_line_and_column_of_every_fault() {
    let origin = Origin::start();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("bad.yaml");
    let mut wrong = Vec::new();
    for (name, text, word) in bad(&origin) {
        std::fs::write(&file, &text).unwrap();
        let output = crate::support::gateway::run(&["check", file.to_str().unwrap()]);
        let said = format!(
            "{}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
        if output.status.code() != Some(1) || !said.contains(word) || !said.contains("bad.yaml") {
            wrong.push(format!(
                "{name}: {} {}",
                output.status,
                said.chars().take(300).collect::<String>()
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    // Every fault at once, each with its place.
    let text = "version: 1\nlistn: []\nupstreams:\n  app: {servers: [\"127.0.0.1:1\"], balence: random}\nroutes:\n  - {name: a, match: {path: /a}, to: ap, public: t}\n";
    std::fs::write(&file, text).unwrap();
    let output = crate::support::gateway::run(&["check", file.to_str().unwrap()]);
    let said = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    for place in ["bad.yaml:2:1", "bad.yaml:4:", "listen", "balance"] {
        assert!(said.contains(place), "{place} in {said}");
    }
}

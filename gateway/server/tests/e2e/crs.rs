//! SecLang in the running gateway: rules in the shape of the Core Rule Set, their levels, exclusions, modes and faults,
//! and what a reload makes of changed files.

use std::net::SocketAddr;
use std::time::Duration;

use crate::support::gateway::{replace, run, write};
use crate::support::origin::answer;
use crate::support::raw::{get, post};
use crate::support::{Conn, Gateway, Origin, Plan, Step, exchange, until};

const SETUP: &str =
    "SecAction \"id:900000,phase:1,pass,nolog,setvar:tx.blocking_paranoia_level=1\"\n";
const RULES: &str = r#"
SecRule &TX:detection_paranoia_level "@eq 0" \
    "id:901125,phase:1,pass,nolog,setvar:'tx.detection_paranoia_level=%{tx.blocking_paranoia_level}'"
SecRule &TX:inbound_anomaly_score_threshold "@eq 0" \
    "id:901130,phase:1,pass,nolog,setvar:tx.inbound_anomaly_score_threshold=5"
SecRule REQUEST_COOKIES|ARGS "@pmFromFile words.data" \
    "id:942100,phase:2,block,capture,t:none,t:urlDecodeUni,msg:'Words',logdata:'Matched Data: %{TX.0} in %{MATCHED_VAR_NAME}',\
    tag:'attack-sqli',severity:CRITICAL,setvar:tx.inbound_anomaly_score_pl1=+5"
SecRule TX:DETECTION_PARANOIA_LEVEL "@lt 2" "id:942014,phase:2,pass,nolog,skipAfter:END-942"
SecRule ARGS "@rx quote'" \
    "id:942200,phase:2,block,msg:'Quotes',tag:'attack-sqli',severity:WARNING,setvar:tx.inbound_anomaly_score_pl2=+5"
SecMarker END-942
SecRule TX:BLOCKING_PARANOIA_LEVEL "@ge 1" \
    "id:949060,phase:2,pass,nolog,setvar:'tx.blocking_inbound_anomaly_score=+%{tx.inbound_anomaly_score_pl1}'"
SecRule TX:BLOCKING_PARANOIA_LEVEL "@ge 2" \
    "id:949061,phase:2,pass,nolog,setvar:'tx.blocking_inbound_anomaly_score=+%{tx.inbound_anomaly_score_pl2}'"
SecRule TX:BLOCKING_INBOUND_ANOMALY_SCORE "@ge %{tx.inbound_anomaly_score_threshold}" \
    "id:949110,phase:2,deny,msg:'Inbound Anomaly Score Exceeded'"
SecRule RESPONSE_BODY "@rx SQL syntax" "id:951100,phase:4,deny,msg:'An SQL error',tag:'attack-disclosure',severity:ERROR"
"#;
const WORDS: &str = "sleeper\nbenchmarker\n";

fn plan(origin: SocketAddr, more: &str) -> Plan {
    let check = format!("{{check: waf, rules: [crs/setup.conf, crs/rules/*.conf]{more}}}");
    Plan::new(origin)
        .check("crs", &check)
        .file("crs/setup.conf", SETUP)
        .file("crs/rules/REQUEST-942.conf", RULES)
        .file("crs/rules/words.data", WORDS)
}

const ALL: &str = "{name: all, match: {path: \"/*\"}, to: app, use: [crs], public: test}";

fn status(gateway: &Gateway, path: &str) -> u16 {
    exchange(gateway.http, get(path, "")).status
}

fn id(id: &str) -> String {
    format!("X-Request-ID: {id}\r\n")
}

fn rules(event: &serde_json::Value) -> Vec<u64> {
    let rules = event["rules"].as_array().into_iter().flatten();
    rules.map(|rule| rule["id"].as_u64().unwrap()).collect()
}

#[test]
fn seclang_refuses_and_its_event_says_why() {
    let origin = Origin::start();
    let gateway = Gateway::start(&plan(origin.address, "").route(ALL));
    assert_eq!(status(&gateway, "/?q=fine"), 200);
    let refused = exchange(gateway.http, get("/?q=a+sleeper", &id("one")));
    assert_eq!((refused.status, origin.count()), (403, 1));
    let event = gateway.event("one");
    assert_eq!(
        (event["reason"].as_str(), event["check"].as_str()),
        (Some("waf_blocked"), Some("crs"))
    );
    assert_eq!(rules(&event), [942_100, 949_110]);
    let first = &event["rules"][0];
    assert_eq!(
        (
            first["msg"].as_str(),
            first["severity"].as_str(),
            first["target"].as_str()
        ),
        (Some("Words"), Some("critical"), Some("args:q"))
    );
    assert_eq!(
        (first["score"].as_u64(), first["check"].as_str()),
        (Some(5), Some("crs"))
    );
    assert_eq!(event["score"], 5);
    assert!(!event.to_string().contains("sleeper"), "{event}");
    gateway.metric_reaches(
        "palisade_waf_matches_total",
        &[("check", "crs"), ("family", "942")],
        1.0,
    );
    let body = br#"{"a": {"b": ["a benchmarker"]}}"#;
    let json = post("/", "Content-Type: application/json\r\n", body);
    assert_eq!(exchange(gateway.http, json).status, 403);
}

#[test]
fn values_are_in_events_only_where_asked_for_and_masked() {
    let origin = Origin::start();
    let plan = plan(origin.address, "").top("events: {values: true}");
    let gateway = Gateway::start(&plan.route(ALL));
    let path = "/?q=sleeper+of+mia@example.com";
    exchange(gateway.http, get(path, &id("one")));
    let first = gateway.event("one")["rules"][0].clone();
    assert_eq!(first["value"], "sleeper of [EMAIL]");
    assert_eq!(first["data"], "Matched Data: sleeper in ARGS:q");
}

#[test]
fn routes_differ_in_paranoia_exclusions_and_mode() {
    let origin = Origin::start();
    let gateway = Gateway::start(
        &plan(origin.address, ", paranoia: 1, detection_paranoia: 2")
            .route("{name: strict, match: {path: \"/strict\"}, to: app, use: [crs], public: t, with: {crs: {paranoia: 2}}}")
            .route("{name: high, match: {path: \"/high\"}, to: app, use: [crs], public: t, with: {crs: {threshold: 6}}}")
            .route("{name: wiki, match: {path: \"/wiki\"}, to: app, use: [crs], public: t, \
                    with: {crs: {exclude: [{rule: 942000-942999, target: \"ARGS:text\", reason: prose}]}}}")
            .route("{name: watch, match: {path: \"/watch\"}, to: app, use: [crs], public: t, with: {crs: {mode: observe}}}")
            .route(ALL),
    );
    for (path, expected) in [
        ("/?q=quote'", 200),
        ("/strict?q=quote'", 403),
        ("/?q=sleeper", 403),
        ("/high?q=sleeper", 200),
        ("/wiki?q=sleeper", 403),
        ("/wiki?text=sleeper", 200),
        ("/watch?q=sleeper", 200),
    ] {
        assert_eq!(status(&gateway, path), expected, "{path}");
    }
    let watched = gateway.line("of the observed route", |line| line["route"] == "watch");
    assert_eq!(
        (watched["would"].as_str(), watched["action"].as_str()),
        (Some("deny"), Some("allow"))
    );
    assert_eq!(rules(&watched), [942_100, 949_110]);
    let reported = gateway.line("of a detected match", |line| {
        line["route"] == "all" && line["rules"].is_array()
    });
    assert_eq!(rules(&reported), [942_200]);
}

#[test]
fn the_engine_directive_acts_as_a_mode_unless_the_check_says_one() {
    let origin = Origin::start();
    let only = |file: &str, more: &str| {
        let plan =
            plan(origin.address, more).file("crs/rules/A.conf", format!("SecRuleEngine {file}\n"));
        Gateway::start(&plan.route(ALL))
    };
    let detecting = only("DetectionOnly", "");
    exchange(detecting.http, get("/?q=sleeper", &id("one")));
    let event = detecting.event("one");
    assert_eq!(
        (event["status"].as_u64(), event["would"].as_str()),
        (Some(200), Some("deny"))
    );
    assert_eq!(
        status(&only("DetectionOnly", ", mode: enforce"), "/?q=sleeper"),
        403
    );
    let off = only("Off", "");
    exchange(off.http, get("/?q=sleeper", &id("one")));
    assert!(off.event("one")["rules"].is_null());
    let checked = run(&["check", off.policy().to_str().unwrap()]);
    let said = String::from_utf8_lossy(&checked.stderr) + String::from_utf8_lossy(&checked.stdout);
    assert!(
        checked.status.success() && said.contains("SecRuleEngine Off"),
        "{said}"
    );
}

#[test]
fn an_answer_is_withheld_for_its_body() {
    let origin = Origin::scripted(|_| {
        let body = b"You have an error in your SQL syntax";
        vec![Step::Send(answer(200, "Content-Type: text/html\r\n", body))]
    });
    let gateway = Gateway::start(&plan(origin.address, "").route(ALL));
    let refused = exchange(gateway.http, get("/", &id("one")));
    assert_eq!(refused.status, 403);
    assert!(!refused.text().contains("SQL syntax"));
    let event = gateway.event("one");
    assert_eq!(event["reason"], "waf_response");
    assert_eq!(rules(&event), [951_100]);
}

#[test]
fn a_body_over_its_limit_is_refused_whatever_the_files_say_and_passes_whole_where_rules_only_observe()
 {
    const LIMIT: &str = "SecRequestBodyLimit 1000\nSecRequestBodyLimitAction ProcessPartial\n";
    let origin = Origin::start();
    let plan = plan(origin.address, "")
        .file("crs/rules/A.conf", LIMIT)
        .route("{name: watch, match: {path: \"/watch\"}, to: app, use: [crs], public: t, with: {crs: {mode: observe}}}")
        .route("{name: more, match: {path: \"/more\"}, to: app, use: [crs], public: t, with: {crs: {body: {max: 10KiB}}}}");
    let gateway = Gateway::start(&plan.route(ALL));
    let send = |path: &str, name: &str, q: &str| {
        let body = format!("q={q}&padding={}", "x".repeat(2000));
        let more = format!(
            "Content-Type: application/x-www-form-urlencoded\r\n{}",
            id(name)
        );
        (
            exchange(gateway.http, post(path, &more, body.as_bytes())).status,
            body,
        )
    };
    assert_eq!(send("/", "refused", "fine").0, 413);
    assert_eq!(gateway.event("refused")["reason"], "body_too_large");
    assert_eq!(origin.count(), 0);
    let (status, body) = send("/watch", "watched", "fine");
    assert_eq!(status, 200);
    assert_eq!(origin.last().body, body.as_bytes());
    let event = gateway.event("watched");
    assert_eq!(
        (
            event["would"].as_str(),
            event["would_by"][0]["reason"].as_str(),
        ),
        (Some("deny"), Some("body_too_large"))
    );
    assert_eq!(send("/more", "more", "fine").0, 200);
    assert_eq!(send("/more", "found", "sleeper").0, 403);
    let checked = run(&["check", gateway.policy().to_str().unwrap()]);
    let said = String::from_utf8_lossy(&checked.stderr) + String::from_utf8_lossy(&checked.stdout);
    assert!(
        checked.status.success()
            && said.contains("crs/rules/A.conf:2: ProcessPartial does nothing"),
        "{said}"
    );
}

#[test]
fn faults_of_every_file_come_at_once_with_their_lines() {
    let folder = tempfile::tempdir().unwrap();
    let zero: SocketAddr = "127.0.0.1:9".parse().unwrap();
    let plan = plan(zero, ", directives: \"SecRuleRemoveById x\"")
        .file(
            "crs/rules/B.conf",
            "\n\nSecRule ARGZ \"@rx a\" \"id:1,phase:2\"\nInclude gone.conf\n",
        )
        .file(
            "crs/rules/C.conf",
            "SecRule ARGS \"@pmFromFile gone.data\" \"id:2,phase:2\"\nSecNonsense On\n",
        );
    let text = plan.route(ALL).render(zero, zero, zero);
    let policy = folder.path().join("policy.yaml");
    write(&policy, text.as_bytes());
    for (name, content) in [
        ("setup.conf", SETUP),
        ("rules/REQUEST-942.conf", RULES),
        ("rules/words.data", WORDS),
    ] {
        write(&folder.path().join("crs").join(name), content.as_bytes());
    }
    write(
        &folder.path().join("crs/rules/B.conf"),
        b"\n\nSecRule ARGZ \"@rx a\" \"id:1,phase:2\"\nInclude gone.conf\n",
    );
    write(
        &folder.path().join("crs/rules/C.conf"),
        b"SecRule ARGS \"@pmFromFile gone.data\" \"id:2,phase:2\"\nSecNonsense On\n",
    );
    let output = run(&["check", policy.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stderr) + String::from_utf8_lossy(&output.stdout);
    for wanted in [
        "checks.crs.rules[1]: crs/rules/B.conf:3: unknown variable ARGZ",
        "crs/rules/B.conf:4: ",
        "crs/rules/C.conf:1: ",
        "crs/rules/gone.data: no such file",
        "crs/rules/C.conf:2: the directive SecNonsense is not supported",
        "checks.crs.directives: line 1 of it: ",
    ] {
        assert!(said.contains(wanted), "{wanted}\n{said}");
    }
}

#[test]
fn a_broken_rule_file_keeps_the_old_policy_and_a_changed_list_is_read_again() {
    let origin = Origin::start();
    let gateway = Gateway::start(&plan(origin.address, "").route(ALL));
    assert_eq!(status(&gateway, "/?q=dreamer"), 200);
    // A set that was taken over is not the one whose files are believed for ever.
    assert_eq!(gateway.admin_ask("POST", "/reload").status, 200);
    assert_eq!(status(&gateway, "/?q=sleeper"), 403);
    replace(&gateway.path("crs/rules/words.data"), b"sleeper\ndreamer\n");
    until("the changed list is read", || {
        (status(&gateway, "/?q=dreamer") == 403).then_some(())
    });
    replace(
        &gateway.path("crs/rules/REQUEST-942.conf"),
        b"SecRule ARGS \"@nonsense x\" \"id:1\"\n",
    );
    let rejected = gateway.line("of the refused policy", |line| {
        line["event"] == "policy_rejected"
    });
    let faults = rejected["faults"].to_string();
    assert!(
        faults.contains("crs/rules/REQUEST-942.conf:1: "),
        "{faults}"
    );
    assert_eq!(status(&gateway, "/?q=sleeper"), 403);
    write(
        &gateway.path("crs/rules/Z.conf"),
        b"SecRule ARGS \"@rx walker\" \"id:3,phase:2,deny,msg:'Walker'\"\n",
    );
    replace(
        &gateway.path("crs/rules/REQUEST-942.conf"),
        RULES.as_bytes(),
    );
    until("the new file is read", || {
        (status(&gateway, "/?q=walker") == 403).then_some(())
    });
}

#[test]
fn explain_shows_what_seclang_saw() {
    let origin = Origin::start();
    let gateway = Gateway::start(&plan(origin.address, ", detection_paranoia: 2").route(ALL));
    let policy = gateway.policy();
    let output = run(&[
        "explain",
        policy.to_str().unwrap(),
        "GET /?q=%2573leeper%20quote'",
    ]);
    let said = String::from_utf8_lossy(&output.stdout);
    for wanted in [
        "deny",
        "rule 942100 at args:q: Words",
        "(sleeper quote",
        "rule 942200",
        "score 5",
    ] {
        assert!(said.contains(wanted), "{wanted}\n{said}");
    }
}

#[test]
fn rules_know_both_ends_of_the_connection_and_how_long_it_takes() {
    const RULES: &str = r#"
SecAction "id:1,phase:1,pass,log,msg:'%{REMOTE_PORT} %{SERVER_ADDR} %{SERVER_PORT}'"
SecAction "id:2,phase:1,pass,log,msg:'%{DURATION}'"
SecAction "id:3,phase:2,pass,log,msg:'%{DURATION}'"
SecAction "id:4,phase:3,pass,log,msg:'%{DURATION}'"
SecRule ARGS_POST:a "@streq b" "id:5,phase:2,pass,log,msg:'the body was read'"
SecRule DURATION "!@within %{DURATION}" "id:6,phase:5,pass,log,msg:'never: it stands still while rules run'"
SecRule DURATION "@gt 79999" "id:7,phase:5,pass,log,msg:'slow'"
"#;
    let slow = Duration::from_millis(40);
    let origin = Origin::scripted(move |_| {
        std::thread::sleep(slow);
        vec![Step::ReadBody, Step::Send(answer(200, "", b"fine"))]
    });
    let check = "{check: waf, rules: [own.conf]}";
    let plan = Plan::checked(origin.address, check).file("own.conf", RULES);
    let gateway = Gateway::start(&plan.top("trusted_proxies: [127.0.0.2]"));
    let mut conn = Conn::open(gateway.http);
    let port = conn.stream.local_addr().unwrap().port();
    let more = "Content-Type: application/x-www-form-urlencoded\r\nExpect: 100-continue\r\n";
    let more = format!("{}{more}", id("slow"));
    let request = post("/", &more, b"a=b");
    let (head, body) = request.split_at(request.len() - 3);
    conn.write(head);
    assert_eq!(conn.head().unwrap().status, 100, "asked for the body");
    std::thread::sleep(slow);
    conn.write(body);
    assert_eq!(conn.response().unwrap().status, 200);
    let event = gateway.event("slow");
    assert_eq!(rules(&event), [1, 2, 3, 5, 4, 7]);
    let msg = |at: usize| event["rules"][at]["msg"].as_str().unwrap().to_owned();
    let server = gateway.http;
    assert_eq!(msg(0), format!("{port} {} {}", server.ip(), server.port()));
    let took = [1, 2, 4].map(|at| msg(at).parse::<u64>().unwrap());
    assert!(
        took[0] + 40_000 <= took[1] && took[1] + 40_000 <= took[2],
        "{took:?}"
    );

    let mut proxy = Conn::open_from([127, 0, 0, 2].into(), gateway.http);
    let named = "X-Forwarded-For: 192.0.2.9\r\n";
    proxy.write(get("/", &format!("{named}{}", id("named"))));
    assert_eq!(proxy.response().unwrap().status, 200);
    let event = gateway.event("named");
    let msg = event["rules"][0]["msg"].as_str().unwrap();
    assert!(msg.starts_with("0 "), "whose port is it? {msg}");
}

#[test]
fn a_plugin_in_the_published_layout_takes_away_and_adds_as_its_switch_says() {
    const CONFIG: &str =
        "SecAction \"id:9599010,phase:1,pass,nolog,setvar:'tx.notes-plugin_enabled=1'\"\n";
    const BEFORE: &str = r#"
SecRule TX:notes-plugin_enabled "@eq 0" "id:9599099,phase:1,pass,nolog,ctl:ruleRemoveById=9599100-9599999"
SecRule REQUEST_FILENAME "@beginsWith /notes/" "id:9599100,phase:1,pass,nolog,\
    ctl:ruleRemoveTargetById=942100;ARGS:text,\
    ctl:ruleRemoveTargetByTag=attack-sqli;ARGS:text"
SecRule REQUEST_FILENAME "@beginsWith /script/" "id:9599110,phase:1,pass,nolog,ctl:ruleRemoveById=941100-941999"
"#;
    // The score is summed up in the second phase: what comes after the rules adds in the first.
    const AFTER: &str = r#"
SecRule REQUEST_HEADERS:X-Robot "@streq yes" "id:9599200,phase:1,block,msg:'A robot',severity:CRITICAL,\
    setvar:'tx.anomaly_score_pl1=+%{tx.critical_anomaly_score}'"
"#;
    let origin = Origin::start();
    let check = "{check: waf, rules: [/etc/modsecurity/crs/crs-setup.conf, plugins/*-config.conf, plugins/*-before.conf, \
                 /usr/share/modsecurity-crs/rules/*.conf, plugins/*-after.conf]}";
    let plan = Plan::new(origin.address)
        .check("crs", check)
        .file("plugins/notes-config.conf", CONFIG)
        .file("plugins/notes-before.conf", BEFORE)
        .file("plugins/notes-after.conf", AFTER);
    let gateway = Gateway::start(&plan.route(ALL));
    let common = "User-Agent: Mozilla/5.0\r\nAccept: */*\r\n";
    let status = |path: &str, more: &str| {
        exchange(gateway.http, get(path, &format!("{common}{more}"))).status
    };
    let sql = "1'+union+select+login,secret+from+staff--+-";
    let script = "%3Cscript%3Ealert(1)%3C/script%3E";
    let (text, other) = (
        format!("/notes/?text={sql}"),
        format!("/notes/?other={sql}"),
    );
    let (removed, kept) = (
        format!("/script/?q={script}"),
        format!("/notes/?text={script}"),
    );
    let elsewhere = format!("/?text={sql}");
    let robot = format!("X-Robot: yes\r\n{}", id("robot"));
    for (path, more, expected) in [
        ("/", "", 200),
        (&text, "", 200),
        (&removed, "", 200),
        (&other, "", 403),
        (&elsewhere, "", 403),
        (&kept, "", 403),
        ("/", &robot, 403),
    ] {
        assert_eq!(status(path, more), expected, "{path} {more}");
    }
    let event = gateway.event("robot");
    assert!(rules(&event).starts_with(&[9_599_200, 949_110]), "{event}");
    assert_eq!(event["score"], 5);
    replace(
        &gateway.path("plugins/notes-config.conf"),
        CONFIG.replace("enabled=1", "enabled=0").as_bytes(),
    );
    until("the switch is off", || {
        (status(&text, "") == 403).then_some(())
    });
    assert_eq!(status(&removed, ""), 403);
    assert_eq!(status("/", &robot), 200);
}

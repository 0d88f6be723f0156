//! sqlmap, a tool that was not written for us, against a page that puts a parameter into its SQL: without the gateway
//! it reads the table, through the gateway it reads nothing.

use std::process::Stdio;
use std::time::Instant;

use crate::support::ports::Port;
use crate::support::tools::{Served, program, python};
use crate::support::{Gateway, PATIENCE, Plan};

const SECRET: &str = "correct-horse-battery";

/// What Debian's package `modsecurity-crs` installs.
const CORE_RULES: &str =
    "[/etc/modsecurity/crs/crs-setup.conf, \"/usr/share/modsecurity-crs/rules/*.conf\"]";

/// Disguises that leave the statement working in SQLite.
const TAMPERS: &[&str] = &["", "space2comment,randomcase", "chardoubleencode,between"];

struct Page {
    port: Port,
    _served: Served,
}

fn injectable() -> Page {
    let port = Port::take();
    let number = port.number.to_string();
    let served = Served::ready(python("injectable.py").args([number.as_str(), SECRET]));
    Page {
        port,
        _served: served,
    }
}

/// What sqlmap prints when it attacks `id` at that address. Ends by itself after some hundred requests; one that
/// hangs is ended.
fn attack(port: u16, tamper: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    let mut sqlmap = program("sqlmap");
    sqlmap
        .args([
            "-u",
            &format!("http://127.0.0.1:{port}/page?id=1"),
            "-p",
            "id",
        ])
        .args([
            "--batch",
            "--dbms=SQLite",
            "--technique=BU",
            "--level=1",
            "--risk=1",
        ])
        .args([
            "-T",
            "staff",
            "-C",
            "secret",
            "--dump",
            "--retries=0",
            "--timeout=20",
        ])
        .args(["--disable-coloring", "--output-dir"])
        .arg(folder.path())
        .args([
            "--user-agent",
            "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0",
        ]);
    if !tamper.is_empty() {
        sqlmap.arg(format!("--tamper={tamper}"));
    }
    let output = std::fs::File::create(&log).unwrap();
    let mut child = sqlmap
        .stdin(Stdio::null())
        .stdout(output.try_clone().unwrap())
        .stderr(output)
        .spawn()
        .unwrap();
    let end = Instant::now() + 2 * PATIENCE;
    while child.try_wait().unwrap().is_none() {
        if Instant::now() > end {
            child.kill().unwrap();
            child.wait().unwrap();
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    std::fs::read_to_string(log).unwrap()
}

/// sqlmap did its work and got nothing.
#[track_caller]
fn defends(rules: &str) {
    let page = injectable();
    let plan = Plan::new(page.port.address())
        .check("scan", &format!("{{check: waf, rules: {rules}}}"))
        .route("{name: all, match: {path: \"/*\"}, to: app, use: [scan], public: test}")
        .rules();
    let gateway = Gateway::start(&plan);
    for tamper in TAMPERS {
        let said = attack(gateway.http.port(), tamper);
        assert!(said.contains("HTTP error code"), "{tamper}: {said}");
        assert!(said.contains("403"), "{tamper}: {said}");
        assert!(!said.contains(SECRET), "{tamper}: {said}");
        assert!(!said.contains("injection point(s)"), "{tamper}: {said}");
    }
}

#[test]
fn without_the_gateway_sqlmap_reads_the_table() {
    let page = injectable();
    let said = attack(page.port.number, "");
    assert!(said.contains(SECRET), "{said}");
}

#[test]
fn through_the_built_in_rules_sqlmap_reads_nothing() {
    defends("[waf/*.yaml]");
}

#[test]
fn through_the_core_rule_set_sqlmap_reads_nothing() {
    defends(CORE_RULES);
}

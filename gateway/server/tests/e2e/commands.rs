//! Every command from a shell: help, exit codes, what `explain`, `test`, `coverage` and `schema` print.

use std::net::SocketAddr;

use serde_json::Value;

use crate::support::gateway::{run, write};
use crate::support::{Plan, certs};

fn said(output: &std::process::Output) -> String {
    format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

fn policy(folder: &tempfile::TempDir, more: &str) -> String {
    let zero: SocketAddr = "127.0.0.1:9".parse().unwrap();
    let text = Plan::new(zero)
        .check("nets", "{check: ip, deny: [192.0.2.0/24]}")
        .check(
            "limit",
            "{check: rate_limit, key: [ip], limit: 2/1m, mode: observe}",
        )
        .route(
            "{name: admin, match: {path: \"/admin/*\"}, to: app, use: [nets, limit], public: test}",
        )
        .route("{name: all, match: {path: \"/*\"}, to: app, use: [nets], public: \"open to all\"}")
        .render(zero, zero, zero);
    let file = folder.path().join("p.yaml");
    write(&file, format!("{text}{more}").as_bytes());
    file.display().to_string()
}

#[test]
fn every_command_has_help_with_an_example() {
    let output = run(&["--help"]);
    assert_eq!(output.status.code(), Some(0));
    let help = said(&output);
    for command in [
        "run", "demo", "check", "explain", "test", "schema", "coverage",
    ] {
        assert!(help.contains(command), "{command} in {help}");
        let output = run(&[command, "--help"]);
        assert_eq!(output.status.code(), Some(0));
        assert!(
            said(&output).contains(&format!("palisade {command}")),
            "{command}: {}",
            said(&output)
        );
    }
    assert!(said(&run(&["--version"])).contains(env!("CARGO_PKG_VERSION")));
}

#[test]
fn wrong_usage_is_exit_2() {
    for arguments in [
        &["nonsense"][..],
        &["run"],
        &["check", "--nonsense", "x"],
        &["explain"],
        &[],
    ] {
        let output = run(arguments);
        assert_eq!(
            output.status.code(),
            Some(2),
            "{arguments:?}: {}",
            said(&output)
        );
    }
}

#[test]
fn a_bad_or_missing_policy_is_exit_1() {
    let folder = tempfile::tempdir().unwrap();
    let bad = folder.path().join("bad.yaml");
    write(&bad, b"version: 1\nroutess: []\n");
    for command in ["check", "run", "test", "coverage"] {
        for (file, code) in [("/nonexistent/p.yaml", 1), (bad.to_str().unwrap(), 1)] {
            let output = run(&[command, file]);
            assert_eq!(
                output.status.code(),
                Some(code),
                "{command} {file}: {}",
                said(&output)
            );
            assert!(said(&output).contains(file), "{command}: {}", said(&output));
        }
    }
}

#[test]
fn a_port_that_is_taken_is_an_error_with_its_address() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let admin = crate::support::ports::Port::take();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("p.yaml");
    write(
        &file,
        Plan::open(address)
            .render(address, address, admin.address())
            .as_bytes(),
    );
    let output = run(&["run", file.to_str().unwrap()]);
    assert!(
        output
            .status
            .code()
            .is_some_and(|code| code != 0 && code != 101),
        "{:?}",
        output.status
    );
    assert!(
        said(&output).contains(&address.to_string()),
        "{}",
        said(&output)
    );
}

#[test]
fn check_accepts_a_good_policy() {
    let folder = tempfile::tempdir().unwrap();
    let output = run(&["check", &policy(&folder, "")]);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
}

#[test]
fn explain_shows_every_check_its_answer_and_why() {
    let folder = tempfile::tempdir().unwrap();
    let file = policy(&folder, "");
    let output = run(&["explain", &file, "GET /admin/x", "--client", "192.0.2.7"]);
    let text = said(&output);
    for word in ["admin", "nets", "ip_denied", "403"] {
        assert!(text.contains(word), "{word} in {text}");
    }
    assert!(
        !text.contains('\u{1b}'),
        "no colour where there is no terminal"
    );
    let output = run(&[
        "explain",
        &file,
        "GET /admin/x?a=b",
        "--client",
        "8.8.8.8",
        "--header",
        "Host: app.test",
        "--json",
    ]);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    let json: Value = serde_json::from_slice(&output.stdout).unwrap();
    let text = json.to_string();
    for word in ["admin", "nets", "limit", "allow"] {
        assert!(text.contains(word), "{word} in {text}");
    }
}

#[test]
fn test_runs_the_policys_own_tests() {
    let folder = tempfile::tempdir().unwrap();
    let good = "tests:\n  - {name: strangers stay out, request: {path: /x, client: 192.0.2.7}, expect: {status: 403, by: nets}}\n  - {name: others come in, request: {path: /x, client: 8.8.8.8}, expect: {action: allow}}\n";
    let output = run(&["test", &policy(&folder, good)]);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    let bad = good.replace("status: 403", "status: 200");
    let output = run(&["test", &policy(&folder, &bad)]);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    assert!(said(&output).contains("strangers stay out"));
}

#[test]
fn coverage_tells_what_is_enforced_observed_and_public() {
    let folder = tempfile::tempdir().unwrap();
    let output = run(&["coverage", &policy(&folder, "")]);
    let text = said(&output);
    assert_eq!(output.status.code(), Some(0), "{text}");
    for word in ["admin", "all", "nets", "limit", "observe", "open to all"] {
        assert!(text.contains(word), "{word} in {text}");
    }
}

#[test]
fn schema_is_json_and_up_to_date() {
    let output = run(&["schema"]);
    assert_eq!(output.status.code(), Some(0));
    let schema: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(schema["properties"]["routes"].is_object());
    let kept = std::fs::read(certs::root().join("policies/palisade.schema.json")).unwrap();
    assert!(
        kept == output.stdout,
        "policies/palisade.schema.json is stale: palisade schema > policies/palisade.schema.json"
    );
}

#[test]
fn completions_are_made_for_shells() {
    for shell in ["bash", "zsh", "fish"] {
        let output = run(&["completions", shell]);
        assert!(
            output.status.code() == Some(0) && said(&output).contains("palisade"),
            "{shell}: {}",
            said(&output)
        );
    }
}

#[test]
fn the_example_policies_are_accepted() {
    let file = |name: &str| {
        certs::root()
            .join("policies")
            .join(name)
            .display()
            .to_string()
    };
    for command in ["check", "test"] {
        let output = run(&[command, &file("starter.yaml")]);
        assert_eq!(
            output.status.code(),
            Some(0),
            "{command}: {}",
            said(&output)
        );
    }
    // full.yaml names files and variables that only an operator has. Nothing else may be wrong with it; the policy
    // crate loads it whole, with such files invented.
    let text = said(&run(&["check", &file("full.yaml")]));
    let missing = [
        "cannot read",
        "could not be read",
        "is not set",
        "no usable key",
    ];
    let wrong: Vec<_> = text
        .lines()
        .filter(|line| line.contains(": error: "))
        .filter(|line| !missing.iter().any(|what| line.contains(what)))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

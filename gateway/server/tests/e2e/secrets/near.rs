//! Programs and files; what commands show.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use serde_json::Value;

use super::{KEYS, becomes, fails, plan, recovers, status, tells_nothing, tokens};
use crate::support::gateway::{replace, run};
use crate::support::tools::{program, stdout};
use crate::support::{Gateway, Origin, until};

/// A program in a folder of its own.
fn script(folder: &Path, text: &str) -> String {
    let file = folder.join("secret.sh");
    fs::write(folder.join("fresh"), format!("#!/bin/sh\n{text}\n")).unwrap();
    fs::set_permissions(folder.join("fresh"), fs::Permissions::from_mode(0o700)).unwrap();
    fs::rename(folder.join("fresh"), &file).unwrap();
    file.display().to_string()
}

fn said(arguments: &[&str]) -> (Option<i32>, String) {
    let output = run(arguments);
    let text = [output.stdout, output.stderr].concat();
    (
        output.status.code(),
        String::from_utf8_lossy(&text).into_owned(),
    )
}

#[test]
fn a_program_is_run_without_a_shell_and_with_next_to_no_environment() {
    let (origin, tokens) = (Origin::start(), tokens());
    let folder = tempfile::tempdir().unwrap();
    let seen = folder.path().join("seen");
    let file = script(
        folder.path(),
        &format!(
            "env > {0}.new; printf '%s\\n' \"$@\" >> {0}.new; mv {0}.new {0}; cat {1}/key",
            seen.display(),
            folder.path().display()
        ),
    );
    fs::write(folder.path().join("key"), format!("{}\n", KEYS[0])).unwrap();
    let place = format!(
        "{{command: [\"{file}\", \"$HOME; echo x\"], environment: [SHOP_REGION], cache: 1s, previous_for: 1h}}"
    );
    let gateway = Gateway::start(
        &plan(&origin, &place)
            .env("SHOP_REGION", "eu")
            .env("PALISADE_ADMIN_TOKEN", KEYS[2]),
    );
    assert_eq!(status(&gateway, &tokens[0]), 200);
    let environment = fs::read_to_string(&seen).unwrap();
    assert!(
        environment.contains("SHOP_REGION=eu") && environment.contains("$HOME; echo x"),
        "{environment}"
    );
    assert!(
        !environment.contains(KEYS[2]),
        "a variable that the policy does not name"
    );
    replace(&folder.path().join("key"), KEYS[1].as_bytes());
    becomes(&gateway, &tokens[1], 200);
    assert_eq!(status(&gateway, &tokens[0]), 200);
    tells_nothing(&gateway);
}

#[test]
fn a_program_that_fails_hangs_or_chatters_changes_nothing() {
    let (origin, tokens) = (Origin::start(), tokens());
    let folder = tempfile::tempdir().unwrap();
    let good = format!("echo {}", KEYS[0]);
    let file = script(folder.path(), &good);
    let gateway = Gateway::start(&plan(
        &origin,
        &format!("{{command: [\"{file}\"], cache: 1s, timeout: 1s}}"),
    ));
    let child = folder.path().join("child");
    for (text, why) in [
        (
            format!("echo {}; echo {} >&2; exit 7", KEYS[1], KEYS[2]),
            "exit status: 7",
        ),
        (
            format!(
                "sleep 600 & echo $! > {0}.new; mv {0}.new {0}; wait",
                child.display()
            ),
            "no answer within 1s",
        ),
        ("exec yes".to_owned(), "more than 65536 bytes"),
        ("exit 0".to_owned(), "prints nothing"),
    ] {
        script(folder.path(), &text);
        fails(&gateway, why);
        assert_eq!(status(&gateway, &tokens[0]), 200, "{why}");
        script(folder.path(), &good);
        recovers(&gateway);
    }
    // What the program started went with it.
    let id = fs::read_to_string(&child).unwrap();
    let gone = || {
        let about = fs::read_to_string(format!("/proc/{}/status", id.trim())).unwrap_or_default();
        about
            .lines()
            .all(|line| !line.starts_with("State:") || line.contains('Z'))
            .then_some(())
    };
    until("its child has ended", gone);
    tells_nothing(&gateway);
}

#[test]
fn looking_at_a_policy_runs_no_program() {
    let origin = Origin::start();
    let folder = tempfile::tempdir().unwrap();
    let ran = folder.path().join("ran");
    let file = script(
        folder.path(),
        &format!("touch {}; echo {}", ran.display(), KEYS[0]),
    );
    let policy = folder.path().join("policy.yaml");
    let address = "127.0.0.1:1".parse().unwrap();
    let text =
        plan(&origin, &format!("{{command: [\"{file}\"]}}")).render(address, address, address);
    fs::write(folder.path().join("vault-token"), "x").unwrap();
    fs::write(&policy, text).unwrap();
    let policy = policy.display().to_string();
    for command in [
        &["check", &policy][..],
        &["test", &policy],
        &["coverage", &policy],
        &["explain", &policy, "GET /"],
        &["secret", "list", "--policy", &policy],
    ] {
        let (code, text) = said(command);
        assert!(!ran.exists(), "{command:?} ran it: {text}");
        if command[0] == "check" {
            assert_eq!(code, Some(0), "{text}");
            assert!(text.contains("was not asked"), "{text}");
        }
    }
    let (code, text) = said(&["check", &policy, "--fetch"]);
    assert!(
        code == Some(0) && ran.exists() && !text.contains("was not asked"),
        "{text}"
    );
    script(folder.path(), "exit 1");
    let (code, text) = said(&["check", &policy, "--fetch"]);
    assert!(
        code == Some(1) && text.contains("secrets.jwt.command"),
        "{text}"
    );
}

#[test]
fn a_file_that_kubernetes_swaps_is_read_again() {
    let (origin, tokens) = (Origin::start(), tokens());
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    for (version, key) in ["..v1", "..v2"].iter().zip(KEYS) {
        fs::create_dir(at(version)).unwrap();
        fs::write(at(version).join("jwt"), key).unwrap();
    }
    symlink("..v1", at("..data")).unwrap();
    symlink("..data/jwt", at("jwt")).unwrap();
    let place = format!("{{file: {}, previous_for: 1h}}", at("jwt").display());
    let gateway = Gateway::start(&plan(&origin, &place));
    assert_eq!(
        (status(&gateway, &tokens[0]), status(&gateway, &tokens[1])),
        (200, 401)
    );
    symlink("..v2", at("..new")).unwrap();
    fs::rename(at("..new"), at("..data")).unwrap();
    becomes(&gateway, &tokens[1], 200);
    assert_eq!(status(&gateway, &tokens[0]), 200);
    // One that goes away is told of, and serves on.
    fs::remove_file(at("..data")).unwrap();
    fails(&gateway, "cannot read");
    assert_eq!(status(&gateway, &tokens[1]), 200);
    symlink("..v1", at("..data")).unwrap();
    recovers(&gateway);
    becomes(&gateway, &tokens[0], 200);
}

#[test]
fn an_old_secret_is_told_of_and_listed() {
    let origin = Origin::start();
    let plan = plan(&origin, "{file: jwt, rotate_after: 90d}").file("jwt", KEYS[0]);
    let gateway = Gateway::start(&plan);
    let overdue = || gateway.metric("palisade_secret_overdue", &[("secret", "jwt")]);
    assert_eq!(overdue(), 0.0);
    stdout(
        program("touch")
            .args(["-d", "100 days ago"])
            .arg(gateway.path("jwt")),
    );
    gateway.line("that it is old", |line| {
        line["event"] == "secret_overdue" && line["detail"] == "jwt is older than 90d"
    });
    assert_eq!(overdue(), 1.0);
    let days = gateway.metric("palisade_secret_age_seconds", &[("secret", "jwt")]) / 86_400.0;
    assert!((99.0..101.0).contains(&days), "{days}");
    let policy = gateway.policy().display().to_string();
    let (code, text) = said(&["secret", "list", "--policy", &policy]);
    let line = text.lines().find(|line| line.starts_with("jwt ")).unwrap();
    assert!(
        code == Some(0)
            && line.contains("file")
            && line.contains("100d old")
            && line.contains("OVERDUE"),
        "{text}"
    );
    fs::remove_file(gateway.path("jwt")).unwrap();
    fails(&gateway, "cannot read");
    let (code, text) = said(&["secret", "status", "--policy", &policy, "--json"]);
    let listed: Value = serde_json::from_str(&text).unwrap();
    let fault = &listed["secrets"][0]["fault"];
    assert!(
        code == Some(1) && fault.as_str().unwrap().contains("cannot read"),
        "{text}"
    );
    tells_nothing(&gateway);
}

//! Bad policies, and everything that is said about each: `faults/NAME.yaml` beside `faults/NAME.txt`. With
//! `UPDATE=1` the messages are written anew, to be read before they are committed.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    missing_docs,
    reason = "tests"
)]

mod support;

use std::fs;

use policy::Policy;
use policy::fault::Weight;

/// 2026-11-20, a Friday.
const NOW: u64 = 1_795_132_800_000;

#[test]
fn every_fault_is_named_at_its_place_and_all_at_once() {
    let mut folder = support::Folder::new("tests/faults");
    let mut wrong = Vec::new();
    for file in folder.yaml() {
        let faults = match Policy::load(&file, &mut folder, NOW) {
            Ok(loaded) => loaded.warnings,
            Err(faults) => {
                assert!(
                    faults.iter().any(|fault| fault.weight == Weight::Error),
                    "{file}"
                );
                faults
            }
        };
        let lines: String = faults.iter().map(|fault| format!("{fault}\n")).collect();
        let expected = folder.root.join(file.replace(".yaml", ".txt"));
        if std::env::var_os("UPDATE").is_some() {
            fs::write(&expected, &lines).unwrap();
        }
        let expected = fs::read_to_string(&expected).unwrap_or_default();
        if lines != expected {
            wrong.push(format!("--- {file}: expected\n{expected}--- got\n{lines}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_bomb_of_aliases_is_refused_at_once() {
    let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..12 {
        let before = format!("*a{}, ", level - 1).repeat(10);
        text.push_str(&format!("a{level}: &a{level} [{before}]\n"));
    }
    let faults = faults_of(&text);
    assert!(
        faults[0].contains("aliases expand to more than"),
        "{faults:?}"
    );
}

#[test]
fn what_is_too_large_too_deep_or_no_text_is_refused() {
    for depth in [70, 100_000] {
        let faults = faults_of(&"[".repeat(depth));
        let deep = ["nested more than 64 deep", "recursion limit exceeded"];
        assert!(
            deep.iter().any(|deep| faults[0].contains(deep)),
            "{faults:?}"
        );
    }
    let deep: String = (0..100)
        .map(|depth| format!("{}a:\n", " ".repeat(depth)))
        .collect();
    assert!(faults_of(&deep)[0].contains("nested more than 64 deep"));
    let faults = faults_of(&"#".repeat((8 << 20) + 1));
    assert!(faults[0].contains("too large"), "{faults:?}");
    let faults = messages(b"version: 1\nroutes: \xff\n");
    assert!(
        faults[0].starts_with("policy.yaml:2:9: not UTF-8"),
        "{faults:?}"
    );
    assert!(faults_of("")[0].contains("is empty"));
    assert!(faults_of("[1, 2]")[0].contains("a policy is a map"));
    assert!(
        faults_of("version: 1\n---\nversion: 1\n")
            .concat()
            .contains("one document")
    );
}

fn faults_of(text: &str) -> Vec<String> {
    messages(text.as_bytes())
}

fn messages(bytes: &[u8]) -> Vec<String> {
    struct One<'b>(&'b [u8]);
    impl policy::sources::Sources for One<'_> {
        fn read(&mut self, _: &str) -> Result<bytes::Bytes, String> {
            Ok(bytes::Bytes::copy_from_slice(self.0))
        }
        fn glob(&mut self, _: &str) -> Result<Vec<String>, String> {
            Ok(Vec::new())
        }
        fn env(&mut self, _: &str) -> Option<String> {
            None
        }
    }
    let faults = Policy::load("policy.yaml", &mut One(bytes), NOW).unwrap_err();
    faults.iter().map(ToString::to_string).collect()
}

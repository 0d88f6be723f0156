//! Policies with requests and the decisions they must get: `cases/NAME.yaml`, the policy in the first document and
//! the requests in the second. Counters go on from one request to the next when it says `follows: true`.
#![allow(clippy::unwrap_used, missing_docs, reason = "tests")]

mod support;

use std::fs;

use bytes::Bytes;
use policy::sources::Sources;
use policy::{Policy, cases};

/// 2026-11-20, a Friday.
const NOW: u64 = 1_795_132_800_000;

/// The first document of `file` instead of the whole.
struct First<'f> {
    file: &'f str,
    policy: Bytes,
    rest: support::Folder,
}

impl Sources for First<'_> {
    fn read(&mut self, path: &str) -> Result<Bytes, String> {
        if path == self.file {
            Ok(self.policy.clone())
        } else {
            self.rest.read(path)
        }
    }

    fn glob(&mut self, pattern: &str) -> Result<Vec<String>, String> {
        self.rest.glob(pattern)
    }

    fn env(&mut self, name: &str) -> Option<String> {
        self.rest.env(name)
    }
}

#[test]
fn every_request_gets_the_decision_that_its_case_expects() {
    let folder = support::Folder::new("tests/cases");
    let mut wrong = Vec::new();
    let mut ran = 0;
    for file in folder.yaml() {
        let text = fs::read_to_string(folder.root.join(&file)).unwrap();
        let (policy, requests) = text
            .split_once("\n---\n")
            .unwrap_or_else(|| panic!("{file} has one document"));
        let lines = "\n".repeat(policy.lines().count() + 1);
        let rest = support::Folder::new("tests/cases");
        let mut sources = First {
            file: &file,
            policy: Bytes::from(policy.to_owned()),
            rest,
        };
        let loaded = match Policy::load(&file, &mut sources, NOW) {
            Ok(loaded) => loaded,
            Err(faults) => {
                wrong.extend(faults.iter().map(ToString::to_string));
                continue;
            }
        };
        match cases::read(&file, format!("{lines}{requests}").as_bytes()) {
            Err(faults) => wrong.extend(faults.iter().map(ToString::to_string)),
            Ok(cases) => {
                ran += cases.len();
                let reports = cases::run(&loaded.policy, &cases, NOW);
                let bad = reports
                    .into_iter()
                    .filter(|report| !report.differences.is_empty());
                wrong.extend(bad.map(|report| {
                    format!("{file}: {}: {}", report.name, report.differences.join("; "))
                }));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(ran > 0);
}

//! A pattern (the first line) and a value: what an automaton decides, backtracking decides alike within its budget. A
//! look-ahead for nothing holds everywhere and makes any pattern one that only backtracking can do.
#![no_main]

use std::cell::RefCell;

use libfuzzer_sys::fuzz_target;
use waf::{Options, Request, Ruleset, Scratch, Source, Surroundings, seclang};

thread_local!(static SCRATCH: RefCell<Scratch> = RefCell::default());

fuzz_target!(|bytes: &[u8]| {
    let Some(at) = bytes.iter().position(|byte| *byte == b'\n') else {
        return;
    };
    let (pattern, value) = bytes.split_at(at);
    let Ok(pattern) = std::str::from_utf8(pattern) else {
        return;
    };
    // What SecLang itself reads in an argument is the business of another target.
    if pattern.contains('"') || pattern.contains("%{") || !pattern.is_ascii() {
        return;
    }
    let Some(plain) = rules(&[pattern]) else {
        return;
    };
    let value = value.get(1..).unwrap_or_default();
    // Alone: it must end, whether or not it is one that the other way can do.
    judge(&plain, value);
    let Some(both) = rules(&[pattern, &format!("(?:{pattern})(?=)")]) else {
        return;
    };
    if let Some(ids) = judge(&both, value) {
        assert!(
            ids.is_empty() || ids == [1, 2],
            "{pattern:?} {value:?} {ids:?}"
        );
    }
});

fn rules(patterns: &[&str]) -> Option<Ruleset> {
    let lines = patterns.iter().enumerate().map(|(at, pattern)| {
        format!(
            "SecRule REQUEST_HEADERS:x \"@rx {pattern}\" \"id:{},phase:1,pass,log,t:none\"\n",
            at + 1
        )
    });
    let text: String = lines.collect();
    Ruleset::load(
        &[Source::SecLang(seclang::Source {
            name: "fuzz.conf",
            text: &text,
        })],
        &seclang::NoFiles,
    )
    .ok()
}

/// The ids that matched; nothing when the budget did not suffice.
fn judge(rules: &Ruleset, value: &[u8]) -> Option<Vec<u32>> {
    let tuning = rules.tune(&Options::default()).ok()?;
    let mut transaction = rules.transaction(&tuning, SCRATCH.take());
    transaction.evaluate_headers(&Request {
        method: b"GET",
        target: b"/",
        path: b"/",
        query: b"",
        protocol: b"HTTP/1.1",
        headers: &[(b"x".as_slice(), value)],
        client: [192, 0, 2, 7].into(),
        around: Surroundings::default(),
    });
    let (verdict, scratch) = transaction.finish();
    SCRATCH.set(scratch);
    verdict
        .refusal
        .is_none()
        .then(|| verdict.matches.iter().map(|found| found.id).collect())
}

//! What rules decide about requests, case by case: `tests/native/*.json` holds rules, then requests with what must
//! come of them.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use std::{fs, path::Path};

use serde::Deserialize;
use waf::{Chosen, Exclusion, Limits, Options, Request, Ruleset, Scratch, Verdict, native};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Suite {
    rules: Vec<native::Spec>,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: String,
    #[serde(default)]
    method: Option<String>,
    target: String,
    /// The canonical path; the target's by default.
    #[serde(default)]
    path: Option<String>,
    #[serde(default)]
    headers: Vec<(String, String)>,
    #[serde(default)]
    client: Option<String>,
    #[serde(default)]
    content_type: Option<String>,
    #[serde(default)]
    body: Option<String>,
    #[serde(default)]
    options: Tune,
    expect: Expect,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct Tune {
    #[serde(default)]
    threshold: Option<u32>,
    #[serde(default)]
    disabled: Vec<u32>,
    #[serde(default)]
    disabled_tags: Vec<String>,
    #[serde(default)]
    exclude: Vec<(Option<u32>, String)>,
    #[serde(default)]
    max_args: Option<usize>,
    #[serde(default)]
    work: Option<u64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Expect {
    block: bool,
    #[serde(default)]
    score: Option<u32>,
    /// `1001 args:q` for each match.
    #[serde(default)]
    matches: Vec<String>,
    #[serde(default)]
    value: Option<String>,
    #[serde(default)]
    refusal: Option<String>,
}

#[test]
fn every_case_ends_as_written() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/native");
    let mut failed = Vec::new();
    let mut count = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let suite: Suite = serde_json::from_slice(&fs::read(&path).unwrap()).expect("a suite");
        let file = native::File { rules: suite.rules };
        let rules = Ruleset::compile(&[native::Source {
            name: "suite",
            file: &file,
        }])
        .unwrap();
        for case in &suite.cases {
            count += 1;
            if let Err(message) = check(case, &judge(&rules, case)) {
                failed.push(format!("{}: {}: {message}", path.display(), case.name));
            }
        }
    }
    assert!(count > 20, "positive control: {count} cases");
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

fn judge(rules: &Ruleset, case: &Case) -> Verdict {
    let limits = Limits::default();
    let tuning = rules
        .tune(&Options {
            threshold: case.options.threshold.unwrap_or(5),
            disabled: case.options.disabled.iter().map(|id| (*id, *id)).collect(),
            disabled_tags: case.options.disabled_tags.clone(),
            exclusions: case
                .options
                .exclude
                .iter()
                .cloned()
                .map(|(rule, target)| Exclusion {
                    rules: rule.map_or(Chosen::Every, |id| Chosen::Ids(id, id)),
                    target,
                })
                .collect(),
            limits: Limits {
                args: case.options.max_args.unwrap_or(limits.args),
                work: case.options.work.unwrap_or(limits.work),
                ..limits
            },
            ..Options::default()
        })
        .unwrap();
    let (own_path, query) = case.target.split_once('?').unwrap_or((&case.target, ""));
    let mut transaction = rules.transaction(&tuning, Scratch::default());
    transaction.evaluate_headers(&Request {
        method: case.method.as_deref().unwrap_or("GET").as_bytes(),
        target: case.target.as_bytes(),
        path: case.path.as_deref().unwrap_or(own_path).as_bytes(),
        query: query.as_bytes(),
        protocol: b"HTTP/1.1",
        headers: &case.headers,
        client: case
            .client
            .as_deref()
            .unwrap_or("192.0.2.1")
            .parse()
            .unwrap(),
        around: waf::Surroundings::default(),
    });
    if let Some(body) = &case.body {
        transaction.evaluate_body(
            case.content_type.as_deref().unwrap_or("").as_bytes(),
            body.as_bytes(),
        );
    }
    transaction.finish().0
}

fn check(case: &Case, verdict: &Verdict) -> Result<(), String> {
    let expect = &case.expect;
    let matches: Vec<String> = verdict
        .matches
        .iter()
        .map(|m| format!("{} {}", m.id, m.target))
        .collect();
    let refusal = verdict
        .refusal
        .as_ref()
        .map(|refusal| refusal.code().to_owned());
    let value = verdict.matches.first().map(|m| m.value.clone());
    let ok = verdict.block == expect.block
        && expect.score.is_none_or(|score| score == verdict.score)
        && matches == expect.matches
        && refusal == expect.refusal
        && (expect.value.is_none() || expect.value == value);
    if ok {
        Ok(())
    } else {
        Err(format!("{verdict:?}"))
    }
}

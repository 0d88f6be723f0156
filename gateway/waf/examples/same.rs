//! Holds the engine against itself: for recorded requests, what the compiled plans find must be what asking every rule
//! one by one finds. `same DIR TESTS.jsonl [PARANOIA] [list]`: a request a line, with its `name`, the lists of bytes
//! `method`, `uri`, `version` and `data`, `headers` as pairs of such lists, and a `response` (`status`, `headers`, `body`) or
//! null; `list` prints what each request matched, for comparing two versions.

#[path = "support/mod.rs"]
mod support;

use std::{env, error::Error, fs};

use serde::Deserialize;
use waf::{Limits, Options, Request, Ruleset, Scratch, Tuning, Verdict};

#[derive(Deserialize)]
struct Test {
    name: String,
    method: Vec<u8>,
    uri: Vec<u8>,
    version: Vec<u8>,
    headers: Vec<(Vec<u8>, Vec<u8>)>,
    data: Vec<u8>,
    response: Option<Response>,
}

#[derive(Deserialize)]
struct Response {
    status: u16,
    headers: Vec<(String, String)>,
    body: String,
}

const SETTINGS: &str = "SecAction \"id:900005,phase:1,nolog,pass,t:none,setvar:tx.crs_validate_utf8_encoding=1,\
    setvar:tx.arg_name_length=100,setvar:tx.arg_length=400,setvar:tx.total_arg_length=6400,setvar:tx.max_num_args=255,\
    setvar:tx.max_file_size=64100,setvar:tx.combined_file_sizes=65535\"\n";

fn main() -> Result<(), Box<dyn Error>> {
    let folder = env::args().nth(1).ok_or("which folder?")?;
    let tests = fs::read_to_string(env::args().nth(2).ok_or("which tests?")?)?;
    let paranoia = env::args().nth(3).map_or(Ok(4), |text| text.parse())?;
    let list = env::args().nth(4).is_some();
    let own = [&support::level(paranoia), SETTINGS].concat();
    let rules = support::seclang(&support::crs(&folder, &own)?)?;
    let tuning = || {
        let options = Options {
            threshold: u32::MAX,
            limits: Limits {
                matches: 2000,
                work: u64::MAX,
                ..Limits::default()
            },
            refuse_unjudged: false,
            ..Options::default()
        };
        rules.tune(&options).map_err(|faults| format!("{faults:?}"))
    };
    let (compiled, plain) = (tuning()?, tuning()?.plain());
    let mut scratch = Scratch::default();
    let mut other = Scratch::default();
    let (mut count, mut different) = (0, 0);
    for line in tests.lines() {
        let test: Test = serde_json::from_str(line)?;
        let verdict = run(&rules, &compiled, &test, &mut scratch);
        if list {
            let found: Vec<_> = verdict
                .matches
                .iter()
                .map(|found| format!("{}@{}", found.id, found.target))
                .collect();
            println!("{} {}", test.name, found.join(" "));
            continue;
        }
        let expected = ids(&run(&rules, &plain, &test, &mut other));
        count += 1;
        if ids(&verdict) != expected {
            different += 1;
            println!("{}: {:?} and not {expected:?}", test.name, ids(&verdict));
        }
    }
    if !list {
        println!("{count} requests, {different} judged differently");
    }
    Ok(())
}

fn ids(verdict: &Verdict) -> Vec<u32> {
    verdict.matches.iter().map(|found| found.id).collect()
}

fn run(rules: &Ruleset, tuning: &Tuning, test: &Test, scratch: &mut Scratch) -> Verdict {
    let mut transaction = rules.transaction(tuning, std::mem::take(scratch));
    let headers: Vec<(Vec<u8>, &[u8])> = test
        .headers
        .iter()
        .map(|(name, value)| (name.to_ascii_lowercase(), value.as_slice()))
        .collect();
    let mut halves = test.uri.splitn(2, |&byte| byte == b'?');
    transaction.evaluate_headers(&Request {
        method: &test.method,
        target: &test.uri,
        path: halves.next().unwrap_or_default(),
        query: halves.next().unwrap_or_default(),
        protocol: &test.version,
        headers: &headers,
        client: [127, 0, 0, 1].into(),
        around: waf::Surroundings::default(),
    });
    let content_type = headers
        .iter()
        .find(|(name, _)| name == b"content-type")
        .map_or(&[] as &[u8], |(_, value)| value);
    transaction.evaluate_body(content_type, &test.data);
    if let Some(response) = &test.response {
        let headers: Vec<(String, &str)> = response
            .headers
            .iter()
            .map(|(name, value)| (name.to_ascii_lowercase(), value.as_str()))
            .collect();
        transaction.evaluate_response(response.status, &headers);
        transaction.evaluate_response_body(response.body.as_bytes());
    }
    let (verdict, back) = transaction.finish();
    *scratch = back;
    verdict
}

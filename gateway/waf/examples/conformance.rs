//! The CRS regression suite against the engine alone: `cargo run --profile fast -p waf --example conformance DIR
//! TESTS.jsonl [PARANOIA]`, one JSON object per test (name, method, uri, version, headers, data, expect, no, response).

use std::{env, error::Error, fs, path::Path};

use serde::Deserialize;
use waf::{
    Limits, Options, Request, Ruleset, Scratch, Source,
    seclang::{self, Files},
};

#[derive(Deserialize)]
struct Test {
    name: String,
    method: Vec<u8>,
    uri: Vec<u8>,
    version: Vec<u8>,
    headers: Vec<(Vec<u8>, Vec<u8>)>,
    data: Vec<u8>,
    expect: Vec<u32>,
    no: Vec<u32>,
    response: Option<Response>,
}

#[derive(Deserialize)]
struct Response {
    status: u16,
    headers: Vec<(String, String)>,
    body: String,
}

struct Disk;

impl Files for Disk {
    fn read(&self, from: &str, path: &str) -> Result<String, String> {
        let beside = Path::new(from)
            .parent()
            .unwrap_or_else(|| Path::new(""))
            .join(path);
        fs::read_to_string(beside).map_err(|error| format!("{path}: {error}"))
    }

    fn list(&self, _from: &str, pattern: &str) -> Result<Vec<String>, String> {
        Ok(vec![pattern.to_owned()])
    }
}

/// The settings of the suite's own continuous integration.
const SETTINGS: &str = r#"
SecAction "id:900005,phase:1,nolog,pass,t:none,setvar:tx.blocking_paranoia_level=PARANOIA,setvar:tx.detection_paranoia_level=PARANOIA,setvar:tx.crs_validate_utf8_encoding=1,setvar:tx.arg_name_length=100,setvar:tx.arg_length=400,setvar:tx.total_arg_length=6400,setvar:tx.max_num_args=255,setvar:tx.max_file_size=64100,setvar:tx.combined_file_sizes=65535"
SecRule REQBODY_ERROR "!@eq 0" "id:200002,phase:2,t:none,log,pass,msg:'Failed to parse request body.'"
"#;

fn main() -> Result<(), Box<dyn Error>> {
    let folder = env::args().nth(1).ok_or("which folder?")?;
    let tests = fs::read_to_string(env::args().nth(2).ok_or("which tests?")?)?;
    let paranoia = env::args().nth(3).unwrap_or_else(|| "4".to_owned());
    let rules = load(&folder, &paranoia)?;
    let limits = Limits {
        matches: 2000,
        ..Limits::default()
    };
    let options = Options {
        threshold: u32::MAX,
        limits,
        refuse_unjudged: false,
        ..Options::default()
    };
    let tuning = rules
        .tune(&options)
        .map_err(|faults| format!("{faults:?}"))?;
    let mut scratch = Scratch::default();
    let (mut passed, mut failed) = (0, 0);
    for line in tests.lines() {
        let test: Test = serde_json::from_str(line)?;
        let mut transaction = rules.transaction(&tuning, std::mem::take(&mut scratch));
        run(&mut transaction, &test);
        let (verdict, back) = transaction.finish();
        scratch = back;
        let found: Vec<u32> = verdict.matches.iter().map(|found| found.id).collect();
        let missing: Vec<_> = test
            .expect
            .iter()
            .filter(|id| !found.contains(id))
            .collect();
        let surplus: Vec<_> = test.no.iter().filter(|id| found.contains(id)).collect();
        if missing.is_empty() && surplus.is_empty() {
            passed += 1;
        } else {
            failed += 1;
            println!(
                "{}: missing {missing:?} surplus {surplus:?} found {found:?} {:?}",
                test.name, verdict.refusal
            );
        }
    }
    println!("{passed} passed, {failed} failed");
    Ok(())
}

fn run(transaction: &mut waf::Transaction<'_>, test: &Test) {
    let headers: Vec<(Vec<u8>, &[u8])> = test
        .headers
        .iter()
        .map(|(name, value)| (name.to_ascii_lowercase(), value.as_slice()))
        .collect();
    let without_fragment = test
        .uri
        .split(|&byte| byte == b'#')
        .next()
        .unwrap_or_default();
    let mut halves = without_fragment.splitn(2, |&byte| byte == b'?');
    let path = halves.next().unwrap_or_default();
    transaction.evaluate_headers(&Request {
        method: &test.method,
        target: &test.uri,
        path,
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
}

fn load(folder: &str, paranoia: &str) -> Result<Ruleset, Box<dyn Error>> {
    let mut names: Vec<_> = fs::read_dir(Path::new(folder).join("rules"))?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|end| end == "conf"))
        .collect();
    names.sort();
    names.insert(0, Path::new(folder).join("crs-setup.conf.example"));
    let mut texts = vec![(
        "settings".to_owned(),
        SETTINGS.replace("PARANOIA", paranoia),
    )];
    for name in names {
        texts.push((name.display().to_string(), fs::read_to_string(&name)?));
    }
    let sources: Vec<Source<'_>> = texts
        .iter()
        .map(|(name, text)| Source::SecLang(seclang::Source { name, text }))
        .collect();
    Ruleset::load(&sources, &Disk).map_err(|faults| format!("{faults:?}").into())
}

//! Which rules match which requests: `cargo run --profile fast -p waf --example matched RULES.conf REQUESTS.jsonl`. A request is
//! an object of method, uri, version, headers (pairs) and data, each a list of bytes; one line of rule ids comes out for each.

use std::error::Error;
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::path::Path;
use std::{env, fs, io};

use serde::Deserialize;
use waf::seclang::{self, Files};
use waf::{Limits, Options, Request, Ruleset, Scratch, Source, Transaction};

#[derive(Deserialize)]
struct Asked {
    method: Vec<u8>,
    uri: Vec<u8>,
    version: Vec<u8>,
    headers: Vec<(Vec<u8>, Vec<u8>)>,
    data: Vec<u8>,
}

/// Files from the disk; a pattern has its star in the file name.
struct Disk;

impl Files for Disk {
    fn read(&self, from: &str, path: &str) -> Result<String, String> {
        let folder = Path::new(from).parent().unwrap_or_else(|| Path::new(""));
        fs::read_to_string(folder.join(path)).map_err(|error| format!("{path}: {error}"))
    }

    fn list(&self, from: &str, pattern: &str) -> Result<Vec<String>, String> {
        let Some((before, after)) = pattern.split_once('*') else {
            return Ok(vec![pattern.to_owned()]);
        };
        let (folder, start) = before.rsplit_once('/').unwrap_or((".", before));
        let beside = Path::new(from).parent().unwrap_or_else(|| Path::new(""));
        let entries =
            fs::read_dir(beside.join(folder)).map_err(|error| format!("{folder}: {error}"))?;
        let mut names: Vec<String> = entries
            .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
            .filter(|name| name.starts_with(start) && name.ends_with(after))
            .map(|name| format!("{folder}/{name}"))
            .collect();
        names.sort();
        Ok(names)
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let file = env::args().nth(1).ok_or("which rules?")?;
    let requests = env::args().nth(2).ok_or("which requests?")?;
    let text = fs::read_to_string(&file)?;
    let source = Source::SecLang(seclang::Source {
        name: &file,
        text: &text,
    });
    let rules = Ruleset::load(&[source], &Disk).map_err(|faults| format!("{faults:#?}"))?;
    let limits = Limits {
        matches: 2000,
        args: 20_000,
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
    let mut out = BufWriter::new(io::stdout().lock());
    let mut scratch = Scratch::default();
    for line in BufReader::new(fs::File::open(requests)?).lines() {
        let asked: Asked = serde_json::from_str(&line?)?;
        let mut transaction = rules.transaction(&tuning, scratch);
        ask(&mut transaction, &asked);
        let (verdict, back) = transaction.finish();
        scratch = back;
        for found in &verdict.matches {
            write!(out, "{} ", found.id)?;
        }
        writeln!(out)?;
    }
    Ok(())
}

fn ask(transaction: &mut Transaction<'_>, asked: &Asked) {
    let headers: Vec<_> = asked
        .headers
        .iter()
        .map(|(name, value)| (name.to_ascii_lowercase(), value.as_slice()))
        .collect();
    let mut halves = asked.uri.splitn(2, |&byte| byte == b'?');
    transaction.evaluate_headers(&Request {
        method: &asked.method,
        target: &asked.uri,
        path: halves.next().unwrap_or_default(),
        query: halves.next().unwrap_or_default(),
        protocol: &asked.version,
        headers: &headers,
        client: [127, 0, 0, 1].into(),
        around: waf::Surroundings::default(),
    });
    let kind = headers.iter().find(|(name, _)| name == b"content-type");
    transaction.evaluate_body(kind.map_or(&[], |(_, value)| value), &asked.data);
}

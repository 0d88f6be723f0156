//! Which rules match which requests: `cargo run --profile fast -p waf --example matched RULES.conf REQUESTS.jsonl`. A request is
//! an object of method, uri, version, headers (pairs) and data, each a list of bytes; one line of rule ids comes out for each.

#[path = "support/mod.rs"]
mod support;

use std::error::Error;
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::{env, fs, io};

use serde::Deserialize;
use waf::{Limits, Options, Request, Scratch, Transaction};

#[derive(Deserialize)]
struct Asked {
    method: Vec<u8>,
    uri: Vec<u8>,
    version: Vec<u8>,
    headers: Vec<(Vec<u8>, Vec<u8>)>,
    data: Vec<u8>,
}

fn main() -> Result<(), Box<dyn Error>> {
    let file = env::args().nth(1).ok_or("which rules?")?;
    let requests = env::args().nth(2).ok_or("which requests?")?;
    let text = fs::read_to_string(&file)?;
    let rules = support::seclang(&[(file, text)])?;
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

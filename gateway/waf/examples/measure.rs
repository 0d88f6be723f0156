//! Judges recorded requests with native rules: what is stopped, by which rules, at what cost. For measuring rules
//! against corpora kept outside the repository.
//!
//! `measure RULES.json... < REQUESTS > VERDICTS`. Rules are YAML files turned into JSON (`python3 -c 'import sys, yaml,
//! json; json.dump(yaml.safe_load(sys.stdin), sys.stdout)'`). A request is one JSON object a line: `method`, `target`,
//! `headers` (pairs) and `body`, characters up to U+00FF standing for bytes. A verdict is one line: 0 or 1, the score,
//! nanoseconds, and each match as `id@target`, separated by tabs.

use std::{
    env, fs,
    io::{self, BufRead, Write},
    time::Instant,
};

use serde::Deserialize;
use waf::{Options, Request, Ruleset, Scratch, Verdict, native, transform::Transform};

#[derive(Deserialize)]
struct Case {
    #[serde(default)]
    method: String,
    target: String,
    #[serde(default)]
    headers: Vec<(String, String)>,
    #[serde(default)]
    body: String,
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut files = Vec::new();
    for name in env::args().skip(1) {
        let file: native::File = serde_json::from_str(&fs::read_to_string(&name)?)?;
        files.push((name, file));
    }
    let sources: Vec<_> = files
        .iter()
        .map(|(name, file)| native::Source { name, file })
        .collect();
    let rules = Ruleset::compile(&sources).map_err(|faults| {
        let lines: Vec<_> = faults.iter().map(ToString::to_string).collect();
        lines.join("\n")
    })?;
    let tuning = rules
        .tune(&Options::default())
        .map_err(|_| "the defaults are refused")?;
    eprintln!("{} rules", rules.len());

    let mut scratch = Scratch::default();
    let mut out = io::BufWriter::new(io::stdout().lock());
    for line in io::stdin().lock().lines() {
        let case: Case = serde_json::from_str(&line?)?;
        let start = Instant::now();
        let mut transaction = rules.transaction(&tuning, std::mem::take(&mut scratch));
        judge(&mut transaction, &case);
        let (verdict, kept) = transaction.finish();
        scratch = kept;
        writeln!(out, "{}", row(&verdict, start.elapsed().as_nanos()))?;
    }
    Ok(())
}

fn judge(transaction: &mut waf::Transaction<'_>, case: &Case) {
    let target = bytes(&case.target);
    let mut halves = target.splitn(2, |byte| *byte == b'?');
    let (raw_path, query) = (
        halves.next().unwrap_or_default(),
        halves.next().unwrap_or_default(),
    );
    let mut path = Vec::new();
    if raw_path.contains(&b'+') || !Transform::UrlDecode.apply(raw_path, &mut path) {
        path = raw_path.to_vec();
    }
    let headers: Vec<(Vec<u8>, Vec<u8>)> = case
        .headers
        .iter()
        .map(|(name, value)| (bytes(&name.to_ascii_lowercase()), bytes(value)))
        .collect();
    let method = if case.method.is_empty() {
        "GET"
    } else {
        &case.method
    };
    transaction.evaluate_headers(&Request {
        method: method.as_bytes(),
        target: &target,
        path: &path,
        query,
        protocol: b"HTTP/1.1",
        headers: &headers,
        client: [192, 0, 2, 7].into(),
        around: waf::Surroundings::default(),
    });
    let content_type = headers.iter().find(|(name, _)| name == b"content-type");
    let content_type = content_type.map_or(&[][..], |(_, value)| value);
    transaction.evaluate_body(content_type, &bytes(&case.body));
}

/// One byte for each character.
fn bytes(text: &str) -> Vec<u8> {
    text.chars()
        .map(|c| u8::try_from(u32::from(c)).unwrap_or(b'?'))
        .collect()
}

fn row(verdict: &Verdict, nanos: u128) -> String {
    let mut row = format!("{}\t{}\t{nanos}", u8::from(verdict.block), verdict.score);
    for found in &verdict.matches {
        row.push_str(&format!("\t{}@{}", found.id, found.target.escape_debug()));
    }
    if let Some(refusal) = &verdict.refusal {
        row.push_str(&format!("\t!{}", refusal.code()));
    }
    row
}

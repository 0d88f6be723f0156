//! What one decision costs: `cargo run --profile fast -p waf --example cost RULES COMMAND`. RULES is a folder with an
//! OWASP Core Rule Set or a file of native rules as JSON.
//!
//! | command | prints |
//! |---|---|
//! | `brief` (or none) | three typical requests, by what repeats between requests |
//! | `table` | paranoia 1 to 4 × kinds × sizes |
//! | `growth` | one request against ever more rule files |
//! | `one KIND BYTES PARANOIA VARIETY ROUNDS` | the same many times, for a profiler |

#[path = "support/mod.rs"]
mod support;
#[path = "support/traffic.rs"]
mod traffic;

use std::{env, error::Error, hint::black_box, time::Instant};

use traffic::{Kind, Sample, Variety, sample};
use waf::{Limits, Options, Request, Ruleset, Scratch, Tuning, Verdict};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let path = arguments.first().ok_or("which rules?")?;
    match arguments.get(1).map_or("brief", String::as_str) {
        "brief" => brief(path),
        "table" => table(path),
        "growth" => growth(path),
        "one" => one(path, arguments.get(2..).unwrap_or_default()),
        other => Err(format!("no command {other}").into()),
    }
}

const TYPICAL: [(&str, Kind, usize); 3] = [
    ("GET, 3 parameters", Kind::Get, 0),
    ("form, 20 fields, 1 KB", Kind::Form, 1050),
    ("JSON, 400 values, 11 KB", Kind::Json, 10_950),
];

fn brief(path: &str) -> Result<(), Box<dyn Error>> {
    for paranoia in [1, 4] {
        let began = Instant::now();
        let rules = support::load(path, paranoia)?;
        println!(
            "paranoia {paranoia}: {} rules in {:?}, automaton {} KiB, resident {} MiB",
            rules.len(),
            began.elapsed(),
            rules.memory() >> 10,
            resident() >> 10
        );
        let tuning = tuning(&rules)?;
        println!(
            "{:28} {:>10} {:>10} {:>10}  µs",
            "", "repeated", "usual", "fresh"
        );
        for (name, kind, bytes) in TYPICAL {
            let mut row = format!("{name:28}");
            let mut ids = Vec::new();
            for variety in [Variety::Repeated, Variety::Usual, Variety::Fresh] {
                let (micros, verdict) = measure(&rules, &tuning, kind, bytes, variety, 400);
                row.push_str(&format!(" {micros:10.1}"));
                ids = verdict.matches.iter().map(|found| found.id).collect();
            }
            println!("{row}  {ids:?}");
        }
    }
    Ok(())
}

fn table(path: &str) -> Result<(), Box<dyn Error>> {
    const SIZES: [usize; 4] = [1 << 10, 10 << 10, 100 << 10, 1 << 20];
    println!(
        "| paranoia | request | 1 KiB | 10 KiB | 100 KiB | 1 MiB |\n|---|---|---|---|---|---|"
    );
    for paranoia in 1..=4 {
        let rules = support::load(path, paranoia)?;
        let tuning = tuning(&rules)?;
        for kind in Kind::ALL {
            let mut row = format!("| {paranoia} | {}", kind.name());
            for bytes in SIZES {
                let rounds = (2 << 20) / (bytes + 10_000);
                let (micros, verdict) =
                    measure(&rules, &tuning, kind, bytes, Variety::Fresh, rounds.max(5));
                let note = verdict.refusal.map_or("", |_| " (refused)");
                row.push_str(&format!(" | {micros:.0}{note}"));
            }
            println!("{row} |");
        }
    }
    Ok(())
}

fn growth(path: &str) -> Result<(), Box<dyn Error>> {
    let texts = support::crs(path, &support::level(1))?;
    println!("| files | rules | GET, µs | form, µs | JSON, µs |\n|---|---|---|---|---|");
    for files in (4..=texts.len()).step_by(4) {
        // Where a jump leads beyond the files taken, a few more belong to it.
        let Ok(rules) = support::seclang(texts.get(..files).unwrap_or_default()) else {
            continue;
        };
        let tuning = tuning(&rules)?;
        let mut row = format!("| {files} | {}", rules.len());
        for (_, kind, bytes) in TYPICAL {
            let (micros, _) = measure(&rules, &tuning, kind, bytes, Variety::Fresh, 200);
            row.push_str(&format!(" | {micros:.1}"));
        }
        println!("{row} |");
    }
    Ok(())
}

fn one(path: &str, arguments: &[String]) -> Result<(), Box<dyn Error>> {
    let [kind, bytes, paranoia, variety, rounds] = arguments else {
        return Err("one KIND BYTES PARANOIA VARIETY ROUNDS".into());
    };
    let kind = Kind::ALL
        .into_iter()
        .find(|known| known.name().eq_ignore_ascii_case(kind))
        .ok_or("which kind?")?;
    let variety = match variety.as_str() {
        "repeated" => Variety::Repeated,
        "usual" => Variety::Usual,
        _ => Variety::Fresh,
    };
    let rules = support::load(path, paranoia.parse()?)?;
    let tuning = tuning(&rules)?;
    let (micros, verdict) = measure(
        &rules,
        &tuning,
        kind,
        bytes.parse()?,
        variety,
        rounds.parse()?,
    );
    println!("{micros:.1} µs {:?}", verdict.refusal);
    for found in verdict.matches {
        println!("{} [{}] {:?}", found.id, found.target, found.value);
    }
    Ok(())
}

/// Nothing is refused early: every phase is paid for, and every argument.
fn tuning(rules: &Ruleset) -> Result<Tuning, Box<dyn Error>> {
    let options = Options {
        threshold: u32::MAX,
        limits: Limits {
            args: 1 << 20,
            work: u64::MAX,
            ..Limits::default()
        },
        ..Options::default()
    };
    rules
        .tune(&options)
        .map_err(|faults| format!("{faults:?}").into())
}

/// The median in microseconds, and the last verdict.
fn measure(
    rules: &Ruleset,
    tuning: &Tuning,
    kind: Kind,
    bytes: usize,
    variety: Variety,
    rounds: usize,
) -> (f64, Verdict) {
    let mut scratch = Scratch::default();
    let mut last = None;
    let mut times: Vec<u128> = (0..rounds)
        .map(|number| {
            let sample = sample(kind, bytes, variety, number * 7 + 1);
            let (took, verdict) = judge(rules, tuning, &sample, &mut scratch);
            last = Some(verdict);
            took
        })
        .collect();
    times.sort_unstable();
    let median = times.get(times.len() / 2).copied().unwrap_or(0) as f64 / 1000.0;
    (median, last.unwrap_or_default())
}

#[inline(never)]
fn judge(
    rules: &Ruleset,
    tuning: &Tuning,
    sample: &Sample,
    scratch: &mut Scratch,
) -> (u128, Verdict) {
    let request = Request {
        method: sample.method.as_bytes(),
        target: sample.target.as_bytes(),
        path: b"/shop/items",
        query: sample.query.as_bytes(),
        protocol: b"HTTP/1.1",
        headers: &sample.headers,
        client: [192, 0, 2, 1].into(),
        around: waf::Surroundings::default(),
    };
    let began = Instant::now();
    let mut transaction = rules.transaction(tuning, std::mem::take(scratch));
    black_box(transaction.evaluate_headers(&request));
    black_box(transaction.evaluate_body(sample.content_type.as_bytes(), &sample.body));
    if !sample.answer.is_empty() {
        transaction.evaluate_response(200, &[("content-type", "text/html")]);
        black_box(transaction.evaluate_response_body(&sample.answer));
    }
    let (verdict, back) = transaction.finish();
    let took = began.elapsed().as_nanos();
    *scratch = back;
    (took, verdict)
}

/// KiB of memory that the process holds.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    line.and_then(|line| line.split_whitespace().nth(1)?.parse().ok())
        .unwrap_or(0)
}

//! Loads an OWASP Core Rule Set from a folder and says what it costs and finds:
//! `cargo run --profile fast -p waf --example crs DIR [PARANOIA] [QUERY]`.

use std::{env, error::Error, fs, hint::black_box, path::Path, time::Instant};

use waf::{
    Options, Request, Ruleset, Scratch, Source, Tuning,
    seclang::{self, Files},
};

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

const BROWSER: [(&str, &str); 11] = [
    ("host", "shop.example"),
    (
        "user-agent",
        "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36",
    ),
    (
        "accept",
        "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8",
    ),
    ("accept-language", "en-GB,en;q=0.9,de;q=0.8"),
    ("accept-encoding", "gzip, deflate, br, zstd"),
    ("referer", "https://shop.example/items?page=1"),
    (
        "sec-ch-ua",
        "\"Chromium\";v=\"126\", \"Not.A/Brand\";v=\"24\"",
    ),
    ("sec-fetch-mode", "navigate"),
    ("sec-fetch-site", "same-origin"),
    ("upgrade-insecure-requests", "1"),
    (
        "cookie",
        "session=9f86d081884c7d659a2feaa0c55ad015; theme=dark",
    ),
];

fn main() -> Result<(), Box<dyn Error>> {
    let folder = env::args().nth(1).ok_or("which folder?")?;
    let paranoia = env::args().nth(2).unwrap_or_else(|| "1".to_owned());
    let began = Instant::now();
    let rules = load(&folder, &paranoia)?;
    println!(
        "{} rules in {:?}, automaton {} KiB",
        rules.len(),
        began.elapsed(),
        rules.memory() >> 10
    );
    let tuning = rules
        .tune(&Options {
            threshold: u32::MAX,
            ..Options::default()
        })
        .map_err(|faults| format!("{faults:?}"))?;
    if let Some(query) = env::args().nth(3) {
        show(&rules, &tuning, &query);
        return Ok(());
    }
    let form: Vec<String> = (0..20)
        .map(|n| format!("field_{n}=some+ordinary+text+number+{n}+with+words"))
        .collect();
    let json: Vec<String> = (0..400)
        .map(|n| format!("\"name{n}\": \"value {n} abc\""))
        .collect();
    cost(
        &rules,
        &tuning,
        "GET, three parameters",
        "q=red+running+shoes&sort=price_asc&page=2",
        "",
        "",
    );
    cost(
        &rules,
        &tuning,
        "form, 20 fields",
        "",
        "application/x-www-form-urlencoded",
        &form.join("&"),
    );
    cost(
        &rules,
        &tuning,
        "JSON, 400 values",
        "",
        "application/json",
        &format!("{{{}}}", json.join(", ")),
    );
    for unit in [
        "a",
        "select from ",
        "%2525",
        "<a on",
        ";cat (",
        "/*x*/",
        "&lt;",
        "\\x41",
        "='\"`",
    ] {
        let body = format!("q={}", unit.repeat((128 << 10) / unit.len()));
        cost(
            &rules,
            &tuning,
            &format!("128 KiB of {unit}"),
            "",
            "application/x-www-form-urlencoded",
            &body,
        );
    }
    Ok(())
}

fn load(folder: &str, paranoia: &str) -> Result<Ruleset, Box<dyn Error>> {
    let mut names: Vec<_> = fs::read_dir(Path::new(folder).join("rules"))?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|end| end == "conf"))
        .collect();
    names.sort();
    names.insert(0, Path::new(folder).join("crs-setup.conf.example"));
    let mut texts = vec![(
        "own".to_owned(),
        format!(
            "SecAction \"id:1,phase:1,nolog,pass,t:none,setvar:tx.blocking_paranoia_level={paranoia}\"\n"
        ),
    )];
    for name in names {
        texts.push((name.display().to_string(), fs::read_to_string(&name)?));
    }
    let sources: Vec<Source<'_>> = texts
        .iter()
        .map(|(name, text)| Source::SecLang(seclang::Source { name, text }))
        .collect();
    Ruleset::load(&sources, &Disk).map_err(|faults| {
        for fault in &faults {
            println!("{fault}");
        }
        format!("{} faults", faults.len()).into()
    })
}

fn request<'a>(target: &'a str, query: &'a str, method: &'a str) -> Request<'a> {
    Request {
        method: method.as_bytes(),
        target: target.as_bytes(),
        path: b"/shop/items",
        query: query.as_bytes(),
        protocol: b"HTTP/1.1",
        headers: &BROWSER,
        client: [192, 0, 2, 1].into(),
    }
}

fn show(rules: &Ruleset, tuning: &Tuning, query: &str) {
    let target = format!("/shop/items?{query}");
    let mut transaction = rules.transaction(tuning, Scratch::default());
    transaction.evaluate_headers(&request(&target, query, "GET"));
    transaction.evaluate_body(b"", b"");
    let (verdict, _) = transaction.finish();
    println!("block {} {:?}", verdict.block, verdict.refusal);
    for found in verdict.matches {
        println!(
            "{} {} [{}] {:?}",
            found.id, found.msg, found.target, found.value
        );
    }
}

fn cost(rules: &Ruleset, tuning: &Tuning, name: &str, query: &str, content_type: &str, body: &str) {
    let target = format!("/shop/items?{query}");
    let method = if body.is_empty() { "GET" } else { "POST" };
    let mut scratch = Scratch::default();
    let mut ids = Vec::new();
    let mut refusal = None;
    let rounds = if body.len() > 50_000 { 10 } else { 1000 };
    let mut times: Vec<u128> = (0..rounds)
        .map(|_| {
            let began = Instant::now();
            let mut transaction = rules.transaction(tuning, std::mem::take(&mut scratch));
            black_box(transaction.evaluate_headers(&request(&target, query, method)));
            black_box(transaction.evaluate_body(content_type.as_bytes(), body.as_bytes()));
            let (verdict, back) = transaction.finish();
            let took = began.elapsed().as_nanos();
            scratch = back;
            ids = verdict.matches.iter().map(|found| found.id).collect();
            refusal = verdict.refusal;
            took
        })
        .collect();
    times.sort_unstable();
    let median = times.get(times.len() / 2).copied().unwrap_or(0) as f64 / 1000.0;
    println!("{name:28} {median:10.1} µs   {refusal:?} {ids:?}");
}

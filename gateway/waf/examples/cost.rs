//! What one decision costs: `cargo run --profile fast -p waf --example cost [RULES.json]`. Prints the median time per
//! request of a few typical requests, and of hostile ones per KiB.

use std::{env, error::Error, fs, hint::black_box, time::Instant};

use waf::{Options, Request, Ruleset, Scratch, Tuning, native};

const BROWSER: &[(&str, &str)] = &[
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

struct Sample {
    name: &'static str,
    query: String,
    content_type: &'static str,
    body: Vec<u8>,
}

fn main() -> Result<(), Box<dyn Error>> {
    let own = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/rules.json");
    let path = env::args().nth(1).unwrap_or_else(|| own.to_owned());
    let file: native::File = serde_json::from_str(&fs::read_to_string(&path)?)?;
    let began = Instant::now();
    let rules = Ruleset::compile(&[native::Source {
        name: &path,
        file: &file,
    }])
    .map_err(|faults| format!("{faults:?}"))?;
    println!(
        "{} rules compiled in {:?}, automaton {} KiB",
        rules.len(),
        began.elapsed(),
        rules.memory() >> 10
    );
    let tuning = rules
        .tune(&Options::default())
        .map_err(|faults| format!("{faults:?}"))?;
    for sample in samples() {
        report(&rules, &tuning, &sample);
    }
    Ok(())
}

fn samples() -> Vec<Sample> {
    let get = |name, query: &str| Sample {
        name,
        query: query.to_owned(),
        content_type: "",
        body: Vec::new(),
    };
    let post = |name, content_type, body| Sample {
        name,
        query: String::new(),
        content_type,
        body,
    };
    let form: Vec<String> = (0..20)
        .map(|n| format!("field_{n}=some+ordinary+text+number+{n}+with+words"))
        .collect();
    let json: Vec<String> = (0..400)
        .map(|n| format!("\"name{n}\": \"value {n} abc\""))
        .collect();
    let form_type = "application/x-www-form-urlencoded";
    let hostile = |unit: &str| {
        ["q=", &unit.repeat((128 << 10) / unit.len())]
            .concat()
            .into_bytes()
    };
    vec![
        get("GET, no query", ""),
        get(
            "GET, three parameters",
            "q=red+running+shoes&sort=price_asc&page=2",
        ),
        get(
            "GET, attack",
            "q=1%27%20UNION%20ALL%20SELECT%20password%20FROM%20users--&sort=%3Cscript%3Ealert(1)%3C/script%3E",
        ),
        post(
            "form, 20 fields, 1 KB",
            form_type,
            form.join("&").into_bytes(),
        ),
        post(
            "JSON, 400 values, 9 KB",
            "application/json",
            format!("{{{}}}", json.join(", ")).into_bytes(),
        ),
        post("128 KiB of a", form_type, hostile("a")),
        post(
            "128 KiB of select from ",
            form_type,
            hostile("select from "),
        ),
        post("128 KiB of %2525", form_type, hostile("%2525")),
        post("128 KiB of <a on", form_type, hostile("<a on")),
        post("128 KiB of 1 or 1' ", form_type, hostile("1 or 1' ")),
        post("128 KiB of {{ x ", form_type, hostile("{{ x ")),
        post(
            "128 KiB of ;cat concat(",
            form_type,
            hostile(";cat concat("),
        ),
        post("128 KiB of random letters", form_type, hostile(&noise())),
    ]
}

/// Text that a lazy automaton has never seen before.
fn noise() -> String {
    let mut state = 0x2545_F491_4F6C_DD1D_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        char::from(
            b" '\"<>(){}$selctunioafrmwh=/.-#:;*0159xX"
                .get((state % 38) as usize)
                .copied()
                .unwrap_or(b'a'),
        )
    };
    (0..16 << 10).map(|_| next()).collect()
}

fn report(rules: &Ruleset, tuning: &Tuning, sample: &Sample) {
    let target = format!("/shop/items?{}", sample.query);
    let request = Request {
        method: b"GET",
        target: target.as_bytes(),
        path: b"/shop/items",
        query: sample.query.as_bytes(),
        protocol: b"HTTP/1.1",
        headers: &BROWSER.to_vec(),
        client: [192, 0, 2, 1].into(),
    };
    let mut scratch = Scratch::default();
    let mut last = None;
    let rounds = if sample.body.len() > 50_000 { 20 } else { 3000 };
    let mut times: Vec<u128> = (0..rounds)
        .map(|_| {
            let began = Instant::now();
            let mut transaction = rules.transaction(tuning, std::mem::take(&mut scratch));
            black_box(transaction.evaluate_headers(&request));
            black_box(transaction.evaluate_body(sample.content_type.as_bytes(), &sample.body));
            let (verdict, back) = transaction.finish();
            let took = began.elapsed().as_nanos();
            scratch = back;
            last = Some(verdict);
            took
        })
        .collect();
    times.sort_unstable();
    let median = times.get(times.len() / 2).copied().unwrap_or(0) as f64 / 1000.0;
    let verdict = last.unwrap_or_default();
    let outcome = verdict.refusal.map_or_else(
        || format!("score {}", verdict.score),
        |refusal| refusal.to_string(),
    );
    println!("{:32} {median:10.1} µs   {outcome}", sample.name);
}

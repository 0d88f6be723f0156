//! Searches for the request that costs most: `cargo run --profile fast -p waf --example hostile RULES PARANOIA SECONDS`.
//! Fragments come from the patterns themselves, from encodings and from chance; the dearest texts are varied further.
//! Prints the worst found for 128 KiB, with the limits as they are and without a limit on work.

#[path = "support/mod.rs"]
mod support;

use std::{
    env,
    error::Error,
    fs,
    path::Path,
    time::{Duration, Instant},
};

use waf::{Limits, Options, Request, Ruleset, Scratch, Tuning};

/// Bytes of a trial: enough for what grows faster than the text to show.
const TRIAL: usize = 16 << 10;
const WHOLE: usize = 128 << 10;
/// Texts that are varied further.
const KEPT: usize = 24;

#[derive(Clone)]
struct Text {
    unit: Vec<u8>,
    /// Parameters that it is spread over.
    fields: usize,
    json: bool,
    micros: f64,
}

fn main() -> Result<(), Box<dyn Error>> {
    let path = env::args().nth(1).ok_or("which rules?")?;
    let paranoia: u8 = env::args().nth(2).map_or(Ok(1), |text| text.parse())?;
    let seconds: u64 = env::args().nth(3).map_or(Ok(60), |text| text.parse())?;
    let rules = support::load(&path, paranoia)?;
    let unlimited = tuning(&rules, u64::MAX)?;
    let limited = tuning(&rules, Limits::default().work)?;
    let mut search = Search {
        rules: &rules,
        tuning: &unlimited,
        fragments: fragments(&path)?,
        random: 0x2545_F491_4F6C_DD1D,
        scratch: Scratch::default(),
        kept: Vec::new(),
    };
    let end = Instant::now() + Duration::from_secs(seconds);
    let mut trials = 0_u32;
    while Instant::now() < end {
        search.trial();
        trials += 1;
    }
    println!("paranoia {paranoia}: {trials} texts tried");
    let kept = std::mem::take(&mut search.kept);
    let mut scratch = Scratch::default();
    for text in kept.iter().take(6) {
        let (free, work, _) = judge(&rules, &unlimited, text, WHOLE, &mut scratch);
        let (bound, _, refused) = judge(&rules, &limited, text, WHOLE, &mut scratch);
        println!(
            "{free:9.0} µs, {work} units of work ({:.2} ns each); limited {bound:9.0} µs{} | {} fields{} of {}",
            free * 1000.0 / work as f64,
            if refused { " refused" } else { "" },
            text.fields,
            if text.json { " of JSON" } else { "" },
            String::from_utf8_lossy(&text.unit).escape_debug()
        );
    }
    Ok(())
}

fn tuning(rules: &Ruleset, work: u64) -> Result<Tuning, Box<dyn Error>> {
    let options = Options {
        threshold: u32::MAX,
        refuse_unjudged: false,
        limits: Limits {
            work,
            ..Limits::default()
        },
        ..Options::default()
    };
    rules
        .tune(&options)
        .map_err(|faults| format!("{faults:?}").into())
}

/// Short pieces of everything between quotes in the rules, and what encodings and languages are made of.
fn fragments(path: &str) -> Result<Vec<Vec<u8>>, Box<dyn Error>> {
    let mut list: Vec<Vec<u8>> = [
        "%25", "%2525", "&#x", "&lt;", "\\u00", "\\x4", "\\", "/*", "*/", "--", "'", "\"", "`",
        "<", ">", "=", "(", ")", "{", "}", "[", "]", "$", "|", ";", "&", " ", "\t", "\n", "\0",
        "..", "/", "../", "a", "1", "0x", ".", ",", "@", "#", "+", "-", "_", "é", "\u{ff1c}",
        "%u00", "on", "style", "select", "union", "or", "c'a't", "$(", "${", "a.", "a`", "=a", "Z",
        "QUJD",
    ]
    .iter()
    .map(|text| text.as_bytes().to_vec())
    .collect();
    let mut texts = Vec::new();
    if Path::new(path).is_dir() {
        for (_, text) in support::crs(path, "")? {
            texts.push(text);
        }
    } else {
        texts.push(fs::read_to_string(path)?);
    }
    for line in texts.iter().flat_map(|text| text.lines()) {
        if let Some((_, pattern)) = line
            .split_once("@rx ")
            .or_else(|| line.split_once("\"regex\":"))
        {
            for piece in pattern.split(['(', ')', '|', '?', '*', '+', '[', ']', '^', '$', '{', '}'])
            {
                let piece = piece.trim_start_matches(':').replace('\\', "");
                if (1..=12).contains(&piece.len()) {
                    list.push(piece.into_bytes());
                }
            }
        }
    }
    list.sort();
    list.dedup();
    Ok(list)
}

struct Search<'r> {
    rules: &'r Ruleset,
    tuning: &'r Tuning,
    fragments: Vec<Vec<u8>>,
    random: u64,
    scratch: Scratch,
    /// Dearest first.
    kept: Vec<Text>,
}

impl Search<'_> {
    fn trial(&mut self) {
        let mut text = self.invent();
        text.micros = self.measure(&text);
        let worst = self.kept.last().map_or(0.0, |text| text.micros);
        if self.kept.len() >= KEPT && text.micros <= worst {
            return;
        }
        // A busy machine makes any text look dear: only what stays dear is kept.
        for _ in 0..2 {
            text.micros = self.measure(&text).min(text.micros);
        }
        // Not many of one family.
        let alike = |other: &Text| other.unit == text.unit && other.fields == text.fields;
        if !self.kept.iter().any(alike) {
            self.kept.push(text);
        }
        self.kept
            .sort_by(|one, other| other.micros.total_cmp(&one.micros));
        self.kept.truncate(KEPT);
    }

    fn invent(&mut self) -> Text {
        let fields = [1, 1, 1, 8, 200, 900]
            .get(self.below(6))
            .copied()
            .unwrap_or(1);
        let json = self.below(5) == 0;
        let mut unit = Vec::new();
        if self.kept.is_empty() || self.below(3) == 0 {
            for _ in 0..=self.below(5) {
                let fragment = self.fragment();
                unit.extend(fragment);
            }
            return Text {
                unit,
                fields,
                json,
                micros: 0.0,
            };
        }
        let at = self.below(self.kept.len());
        let Some(mut text) = self.kept.get(at).cloned() else {
            return Text {
                unit,
                fields,
                json,
                micros: 0.0,
            };
        };
        match self.below(6) {
            0 => text.fields = fields,
            1 => text.json = json,
            2 => text.unit.extend(self.fragment()),
            3 => {
                let cut = self.below(text.unit.len().max(1));
                text.unit.truncate(cut.max(1));
            }
            4 => {
                let place = self.below(text.unit.len() + 1);
                let fragment = self.fragment();
                text.unit.splice(place..place, fragment);
            }
            _ => {
                // Noise between repetitions: states that a lazy automaton has not seen.
                for _ in 0..self.below(40) {
                    let fragment = self.fragment();
                    text.unit.extend(fragment);
                }
            }
        }
        text.unit.truncate(4096);
        text
    }

    fn fragment(&mut self) -> Vec<u8> {
        let at = self.below(self.fragments.len());
        self.fragments.get(at).cloned().unwrap_or_default()
    }

    fn below(&mut self, bound: usize) -> usize {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        (self.random % bound.max(1) as u64) as usize
    }

    fn measure(&mut self, text: &Text) -> f64 {
        judge(self.rules, self.tuning, text, TRIAL, &mut self.scratch).0
    }
}

/// Microseconds, units of work, and whether the request was refused for them.
fn judge(
    rules: &Ruleset,
    tuning: &Tuning,
    text: &Text,
    bytes: usize,
    scratch: &mut Scratch,
) -> (f64, u64, bool) {
    let body = body(text, bytes);
    let (kind, length) = (content_type(text), body.len().to_string());
    let headers = [
        ("host", "shop.example"),
        ("accept", "*/*"),
        ("content-type", kind),
        ("content-length", &length),
    ];
    let began = Instant::now();
    let mut transaction = rules.transaction(tuning, std::mem::take(scratch));
    transaction.evaluate_headers(&Request {
        method: b"POST",
        target: b"/",
        path: b"/",
        query: b"",
        protocol: b"HTTP/1.1",
        headers: &headers,
        client: [192, 0, 2, 1].into(),
        around: waf::Surroundings::default(),
    });
    transaction.evaluate_body(kind.as_bytes(), &body);
    let work = transaction.work();
    let (verdict, back) = transaction.finish();
    let took = began.elapsed().as_secs_f64() * 1e6;
    *scratch = back;
    (
        took,
        work.max(1),
        verdict.refusal == Some(waf::Refusal::TooMuchWork),
    )
}

const fn content_type(text: &Text) -> &'static str {
    if text.json {
        "application/json"
    } else {
        "application/x-www-form-urlencoded"
    }
}

fn body(text: &Text, bytes: usize) -> Vec<u8> {
    let each = bytes / text.fields;
    let unit: &[u8] = if text.unit.is_empty() {
        b"a"
    } else {
        &text.unit
    };
    let mut body = Vec::with_capacity(bytes * 2);
    if text.json {
        body.push(b'{');
    }
    for field in 0..text.fields {
        if field > 0 {
            body.push(if text.json { b',' } else { b'&' });
        }
        let name = if text.json {
            format!("\"f{field}\":\"")
        } else {
            format!("f{field}=")
        };
        body.extend_from_slice(name.as_bytes());
        for &byte in unit.iter().cycle().take(each) {
            encode(byte, text.json, &mut body);
        }
        if text.json {
            body.push(b'"');
        }
    }
    if text.json {
        body.push(b'}');
    }
    body
}

/// So that the parser hands out this very byte.
fn encode(byte: u8, json: bool, out: &mut Vec<u8>) {
    match (json, byte) {
        (true, 0x20..=0x7E) if byte != b'"' && byte != b'\\' => out.push(byte),
        (true, _) => out.extend_from_slice(format!("\\u00{byte:02x}").as_bytes()),
        (
            false,
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'.' | b'-' | b'_' | b'/' | b'(' | b')',
        ) => {
            out.push(byte);
        }
        (false, _) => out.extend_from_slice(format!("%{byte:02x}").as_bytes()),
    }
}

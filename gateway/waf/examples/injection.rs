//! Holds what the engine takes for injections against the published vectors of the C project libinjection:
//! `cargo run -p waf --example injection -- DIR`, a checkout of it. SQL is judged by the operator of the rules, in a
//! rule; its tokens, before and after folding, are those of the engine's own tokeniser. Markup is judged by the same
//! rules and cut by the crate that they ask. Ends with a failure when anything differs.
//!
//! `tests/test-KIND-*.txt` say what must come out. Of `data/*.txt` only the number is published of lines that the
//! original judges wrongly (`src/test-samples-*.sh`): no more may be wrong here, and those are listed.

use std::{env, error::Error, fs, path::Path, process::ExitCode};

use libinjectionrs::xss::{Html5Flags, Html5State};
use waf::{Options, Request, Ruleset, Scratch, Source, Step, Surroundings, Tuning, seclang};

const RULES: &str = r#"
SecRule REQUEST_HEADERS:sql "@detectSQLi" "id:1,phase:1,deny,t:none,capture,logdata:'%{TX.0}'"
SecRule REQUEST_HEADERS:markup "@detectXSS" "id:2,phase:1,deny,t:none"
"#;

/// What the files are called, and what comes out of a text of theirs.
const KINDS: [(&str, Read); 5] = [
    ("tokens", |_, text| pieces(waf::pieces(text))),
    ("folding", |_, text| pieces(waf::folded(text))),
    ("sqli", |engine, text| {
        engine.fingerprint(text).unwrap_or_default()
    }),
    ("html5", |_, text| markup(text)),
    ("xss", |engine, text| {
        u8::from(engine.is_xss(text)).to_string()
    }),
];

type Read = fn(&Engine, &[u8]) -> String;

/// Files of one text a line: their name, whether each line is one, how many lines the original judges wrongly.
const SAMPLES: [(&str, Judge, bool, usize); 3] = [
    (
        "sqli-",
        |engine, text| engine.fingerprint(text).is_some(),
        true,
        18,
    ),
    (
        "false_",
        |engine, text| engine.fingerprint(text).is_some(),
        false,
        21,
    ),
    ("xss", Engine::is_xss, true, 18),
];

type Judge = fn(&Engine, &[u8]) -> bool;

fn main() -> Result<ExitCode, Box<dyn Error>> {
    let folder = env::args()
        .nth(1)
        .ok_or("a checkout of libinjection, please")?;
    let engine = Engine::new()?;
    let mut good = true;
    for (kind, read) in KINDS {
        good &= vectors(&engine, Path::new(&folder), kind, read)?;
    }
    for sample in SAMPLES {
        good &= samples(&engine, Path::new(&folder), sample)?;
    }
    Ok(if good {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Its name and what is in it.
type File = (String, Vec<u8>);

/// The files whose names begin so, in order.
fn files(folder: &Path, start: &str) -> Result<Vec<File>, Box<dyn Error>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).map_err(|error| format!("{}: {error}", folder.display()))? {
        let path = entry?.path();
        let name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        if name.starts_with(start) && name.ends_with(".txt") {
            files.push((name, fs::read(path)?));
        }
    }
    files.sort();
    Ok(files)
}

fn vectors(engine: &Engine, folder: &Path, kind: &str, read: Read) -> Result<bool, Box<dyn Error>> {
    let files = files(&folder.join("tests"), &format!("test-{kind}-"))?;
    let mut agree = 0;
    for (name, text) in &files {
        let (input, expected) = case(text).ok_or_else(|| format!("{name}: not a test"))?;
        let expected = String::from_utf8_lossy(expected);
        let found = read(engine, input);
        if same(&found, &expected) {
            agree += 1;
        } else {
            let input = String::from_utf8_lossy(input);
            println!(
                "{name} differs\n  input    {input:?}\n  expected {expected:?}\n  found    {found:?}"
            );
        }
    }
    if files.is_empty() && kind == "sqli" {
        return Err("no tests there".into());
    }
    println!("{kind}: {agree} of {} agree", files.len());
    Ok(agree == files.len())
}

/// Blanks at the end of a line do not count, nor do the signs before a variable's name in quotes: the engine does not
/// keep them, for no verdict reads them.
fn same(found: &str, expected: &str) -> bool {
    let line = |line: &str| match line.strip_prefix("v ") {
        Some(name) => format!("v {}", name.trim_start_matches('@').trim_end()),
        None => line.trim_end().to_owned(),
    };
    let found = found.trim_end().lines().map(line);
    found.eq(expected.lines().map(line))
}

/// `--TEST--`, `--INPUT--` and `--EXPECTED--`, each on a line; blanks at the ends do not count.
fn case(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let split = |text, mark: &[u8]| {
        let at = memchr::memmem::find(text, mark)?;
        Some((text.get(..at)?, text.get(at + mark.len()..)?))
    };
    let (_, text) = split(text, b"--INPUT--\n")?;
    let (input, expected) = split(text, b"--EXPECTED--")?;
    let expected = expected.strip_prefix(b"\n").unwrap_or(expected);
    Some((trimmed(input), trimmed(expected)))
}

fn trimmed(text: &[u8]) -> &[u8] {
    let end = text.iter().rposition(|byte| !b" \n\t\r".contains(byte));
    text.get(..end.map_or(0, |end| end + 1)).unwrap_or_default()
}

fn samples(
    engine: &Engine,
    folder: &Path,
    sample: (&str, Judge, bool, usize),
) -> Result<bool, Box<dyn Error>> {
    let (start, judge, expected, most) = sample;
    let (mut count, mut wrong) = (0, Vec::new());
    for (name, text) in files(&folder.join("data"), start)? {
        for (number, line) in text.split(|byte| *byte == b'\n').enumerate() {
            let line = trimmed(line);
            if line.is_empty() || line.starts_with(b"#") {
                continue;
            }
            count += 1;
            let text = decoded(line);
            if judge(engine, &text) != expected {
                wrong.push(format!(
                    "  {name}:{}: {}",
                    number + 1,
                    String::from_utf8_lossy(&text)
                ));
            }
        }
    }
    println!(
        "{start}*: {} of {count} judged as they are named, the original misses {most} at most",
        count - wrong.len()
    );
    if wrong.len() > most {
        println!("{}", wrong.join("\n"));
    }
    Ok(wrong.len() <= most)
}

/// As the samples are written: percent and plus signs, of which those are left that mean nothing.
fn decoded(line: &[u8]) -> Vec<u8> {
    let hex = |at: usize| char::from(*line.get(at)?).to_digit(16);
    let (mut text, mut at) = (Vec::new(), 0);
    while let Some(byte) = line.get(at) {
        let code = (*byte == b'%')
            .then(|| Some(hex(at + 1)? << 4 | hex(at + 2)?))
            .flatten();
        let code = code.and_then(|code| u8::try_from(code).ok());
        text.push(code.unwrap_or(if *byte == b'+' { b' ' } else { *byte }));
        at += if code.is_some() { 3 } else { 1 };
    }
    text
}

/// A piece a line: its kind and its text.
fn pieces(pieces: Vec<waf::Piece>) -> String {
    let line = |(kind, text): waf::Piece| format!("{kind} {}", String::from_utf8_lossy(&text));
    pieces.into_iter().map(line).collect::<Vec<_>>().join("\n")
}

/// A token a line: its kind, its length, its text.
fn markup(text: &[u8]) -> String {
    let mut state = Html5State::new(text, Html5Flags::DataState);
    let mut lines = Vec::new();
    while state.next() {
        let token = state.token_start.get(..state.token_len).unwrap_or_default();
        lines.push(format!(
            "{},{},{}",
            state.token_type,
            token.len(),
            String::from_utf8_lossy(token)
        ));
    }
    lines.join("\n")
}

struct Engine {
    rules: Ruleset,
    tuning: Tuning,
}

impl Engine {
    fn new() -> Result<Self, Box<dyn Error>> {
        let name = "injection.conf";
        let source = Source::SecLang(seclang::Source { name, text: RULES });
        let rules =
            Ruleset::load(&[source], &seclang::NoFiles).map_err(|faults| format!("{faults:?}"))?;
        let tuning = rules
            .tune(&Options::default())
            .map_err(|faults| format!("{faults:?}"))?;
        Ok(Self { rules, tuning })
    }

    /// Of a text that is an injection of SQL.
    fn fingerprint(&self, text: &[u8]) -> Option<String> {
        self.judge(b"sql", text)
    }

    fn is_xss(&self, text: &[u8]) -> bool {
        self.judge(b"markup", text).is_some()
    }

    /// What the rule notes of a text that it refuses.
    fn judge(&self, field: &[u8], text: &[u8]) -> Option<String> {
        let mut transaction = self.rules.transaction(&self.tuning, Scratch::default());
        let step = transaction.evaluate_headers(&Request {
            method: b"GET",
            target: b"/",
            path: b"/",
            query: b"",
            protocol: b"HTTP/1.1",
            headers: &[(field, text)],
            client: [192, 0, 2, 7].into(),
            around: Surroundings::default(),
        });
        let (verdict, _) = transaction.finish();
        let found = verdict.matches.into_iter().next();
        (step == Step::Block).then(|| found.map(|found| found.data).unwrap_or_default())
    }
}

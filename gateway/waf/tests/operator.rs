//! Every operator of SecLang against its data file: which values match which arguments.

#![expect(clippy::expect_used, reason = "tests")]

use std::{collections::BTreeSet, fs, path::Path};

use waf::{
    Options, Request, Ruleset, Scratch, Source,
    seclang::{self, Files},
};

#[path = "support/text.rs"]
mod text;

use text::unescape;

/// What the operators that read files find.
struct Beside;

impl Files for Beside {
    fn read(&self, _from: &str, path: &str) -> Result<String, String> {
        match path {
            "phrases.txt" => Ok("# a comment\n\nblue whale\nShark\n".to_owned()),
            "networks.txt" => Ok("# a comment\n192.0.2.0/24\n2001:db8::7\n".to_owned()),
            _ => Err("no such file".to_owned()),
        }
    }

    fn list(&self, _from: &str, pattern: &str) -> Result<Vec<String>, String> {
        Ok(vec![pattern.to_owned()])
    }
}

/// Whether `@name argument` matches `value`.
fn matches(name: &str, argument: &str, value: &[u8]) -> bool {
    let operator = format!("@{name} {argument}");
    let rule = format!(
        "SecRule REQUEST_HEADERS:x \"{}\" \"id:1,phase:1,deny,t:none\"",
        operator.trim_end().replace('"', "\\\"")
    );
    let source = Source::SecLang(seclang::Source {
        name: "a.conf",
        text: &rule,
    });
    let rules = Ruleset::load(&[source], &Beside).unwrap_or_else(|faults| {
        panic!("{rule}: {}", faults.first().expect("a fault"));
    });
    let tuning = rules.tune(&Options::default()).expect("the defaults");
    let mut transaction = rules.transaction(&tuning, Scratch::default());
    transaction.evaluate_headers(&Request {
        method: b"GET",
        target: b"/",
        path: b"/",
        query: b"",
        protocol: b"HTTP/1.1",
        headers: &[(&b"x"[..], value)],
        client: [192, 0, 2, 7].into(),
        around: waf::Surroundings::default(),
    });
    transaction.finish().0.block
}

/// One line: `|argument| |value| yes`.
fn fault(name: &str, line: &str) -> Option<String> {
    let (fields, expected) = line.rsplit_once("| ").expect("yes or no");
    let inner = fields.strip_prefix('|').expect("a bar");
    let (argument, value) = inner.split_once("| |").expect("two fields");
    let argument = String::from_utf8(unescape(argument)).expect("text");
    let expected = match expected {
        "yes" => true,
        "no" => false,
        other => panic!("{name}: {other}"),
    };
    let wrong = matches(name, &argument, &unescape(value)) != expected;
    wrong.then(|| format!("{name}: {line}"))
}

#[test]
fn every_case_file_holds() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/operator");
    let mut faults = Vec::new();
    for entry in fs::read_dir(folder).expect("the folder") {
        let path = entry.expect("an entry").path();
        let name = path.file_stem().expect("a name").to_string_lossy();
        let text = fs::read_to_string(&path).expect("text");
        let lines = text
            .lines()
            .filter(|line| !line.is_empty() && !line.starts_with('#'));
        faults.extend(lines.filter_map(|line| fault(&name, line)));
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// Operators that ask something outside of the request, and need more than a data file.
const ASK_OUTSIDE: [&str; 2] = ["geolookup", "rbl"];

#[test]
fn every_operator_has_a_case_file() {
    let source = include_str!("../src/seclang/operator.rs");
    let names: BTreeSet<&str> = source
        .lines()
        .filter_map(|line| line.trim_start().strip_prefix('"')?.split_once("\" "))
        .filter(|(_, rest)| rest.starts_with("=>") || rest.starts_with('|'))
        .map(|(name, _)| name)
        .collect();
    assert!(names.len() > 25, "{names:?}");
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/operator");
    let files: BTreeSet<String> = fs::read_dir(folder)
        .expect("the folder")
        .map(|entry| {
            entry
                .expect("an entry")
                .file_name()
                .to_string_lossy()
                .to_lowercase()
        })
        .collect();
    let missing: Vec<&&str> = names
        .iter()
        .filter(|name| !ASK_OUTSIDE.contains(name) && !files.contains(&format!("{name}.txt")))
        .collect();
    assert!(missing.is_empty(), "{missing:?}");
}

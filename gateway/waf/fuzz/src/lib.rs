//! What the targets share: a sink that only adds up and the bound that must hold, rule files, whole exchanges.

use std::{
    fs,
    ops::ControlFlow,
    path::{Path, PathBuf},
};

use waf::{
    Request, Ruleset, Scratch, Source, Tuning, Verdict,
    body::{File, Flaw, Kind, Limits, Sink, parse},
    seclang,
    transform::Transform,
};

#[path = "../../tests/support/rules.rs"]
#[allow(dead_code)]
mod rules;

#[derive(Default)]
struct Sum(usize);

impl Sum {
    fn add(&mut self, bytes: usize) -> ControlFlow<()> {
        self.0 += bytes;
        ControlFlow::Continue(())
    }
}

impl Sink for Sum {
    fn pair(&mut self, name: &[u8], value: &[u8], _raw: &[u8]) -> ControlFlow<()> {
        self.add(name.len() + value.len())
    }
    fn file(&mut self, file: File<'_>) -> ControlFlow<()> {
        self.add(file.name.len() + file.filename.len())
    }
    fn part_header(&mut self, part: &[u8], line: &[u8]) -> ControlFlow<()> {
        self.add(part.len() + line.len())
    }
    fn text(&mut self, path: &[u8], text: &[u8]) -> ControlFlow<()> {
        self.add(path.len() + text.len())
    }
    fn attribute(&mut self, name: &[u8], value: &[u8]) -> ControlFlow<()> {
        self.add(name.len() + value.len())
    }
    fn flaw(&mut self, _flaw: Flaw) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }
}

/// Parses `body` and checks that no more than the limit came out.
pub fn body(kind: Kind, header: &[u8], body: &[u8]) {
    let limits = Limits { total: 1 << 16, ..Limits::default() };
    let mut sum = Sum::default();
    let _ = parse(kind, header, body, &limits, &mut sum);
    assert!(sum.0 <= limits.total);
}

/// The built-in rules of the repository.
///
/// # Panics
/// When they do not compile.
pub fn built_in() -> Ruleset {
    rules::folder(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../policies/waf")).expect("the built-in rules")
}

/// Every SecLang file (`.conf`) of a folder and of its `rules` folder, sorted by name.
///
/// # Panics
/// When one cannot be read or does not compile.
pub fn folder(folder: &str) -> Ruleset {
    let mut paths: Vec<PathBuf> = [PathBuf::from(folder), Path::new(folder).join("rules")]
        .iter()
        .filter_map(|folder| fs::read_dir(folder).ok())
        .flat_map(|entries| entries.flatten().map(|entry| entry.path()))
        .collect();
    paths.sort();
    paths.retain(|path| path.extension().is_some_and(|end| end == "conf"));
    let texts: Vec<_> = paths
        .iter()
        .map(|path| (path.to_string_lossy(), fs::read_to_string(path).expect("a rule file")))
        .collect();
    let sources: Vec<_> =
        texts.iter().map(|(name, text)| Source::SecLang(seclang::Source { name, text })).collect();
    Ruleset::load(&sources, &Disk).unwrap_or_else(|faults| panic!("{}", faults[0]))
}

struct Disk;

impl seclang::Files for Disk {
    fn read(&self, from: &str, path: &str) -> Result<String, String> {
        let beside = Path::new(from).parent().unwrap_or(Path::new("")).join(path);
        fs::read_to_string(beside).map_err(|error| error.to_string())
    }
    fn list(&self, _from: &str, pattern: &str) -> Result<Vec<String>, String> {
        Ok(vec![pattern.to_owned()])
    }
}

/// A request as it would be written down, and the same bytes as the answer's body.
pub struct Exchange {
    method: Vec<u8>,
    target: Vec<u8>,
    path: Vec<u8>,
    headers: Vec<(Vec<u8>, Vec<u8>)>,
    body: Vec<u8>,
}

impl Exchange {
    /// Reads any bytes: a request line, header lines, an empty line, a body. What is missing is empty.
    pub fn parse(bytes: &[u8]) -> Self {
        let mut rest = bytes;
        let mut line = || {
            let end = rest.iter().position(|b| *b == b'\n').unwrap_or(rest.len());
            let (line, after) = rest.split_at(end);
            rest = after.get(1..).unwrap_or_default();
            line.strip_suffix(b"\r").unwrap_or(line)
        };
        let mut words = line().splitn(2, |b| *b == b' ');
        let method = words.next().unwrap_or_default().to_vec();
        let target = words.next().unwrap_or_default().to_vec();
        let mut headers = Vec::new();
        loop {
            let line = line();
            if line.is_empty() {
                break;
            }
            let mut halves = line.splitn(2, |b| *b == b':');
            let name = halves.next().unwrap_or_default().to_ascii_lowercase();
            headers.push((name, halves.next().unwrap_or_default().trim_ascii().to_vec()));
        }
        let mut path = Vec::new();
        let raw = target.split(|b| *b == b'?').next().unwrap_or_default();
        if !Transform::UrlDecode.apply(raw, &mut path) {
            path = raw.to_vec();
        }
        Self { method, path, headers, body: rest.to_vec(), target }
    }

    /// One header field `x` of any bytes.
    pub fn field(value: &[u8]) -> Self {
        Self { headers: vec![(b"x".to_vec(), value.to_vec())], ..Self::parse(b"GET / ") }
    }

    /// The exchange through `rules`, all phases.
    pub fn judge(&self, rules: &Ruleset, tuning: &Tuning, scratch: Scratch) -> (Verdict, Scratch) {
        let mut transaction = rules.transaction(tuning, scratch);
        let query = self.target.iter().position(|b| *b == b'?');
        transaction.evaluate_headers(&Request {
            method: &self.method,
            target: &self.target,
            path: &self.path,
            query: query.and_then(|at| self.target.get(at + 1..)).unwrap_or_default(),
            protocol: b"HTTP/1.1",
            headers: &self.headers,
            client: [192, 0, 2, 7].into(),
            around: waf::Surroundings::default(),
        });
        let kind = self.headers.iter().find(|(name, _)| name == b"content-type");
        transaction.evaluate_body(kind.map_or(&[], |(_, value)| value), &self.body);
        transaction.evaluate_response(200, &self.headers);
        transaction.evaluate_response_body(&self.body);
        transaction.finish()
    }
}

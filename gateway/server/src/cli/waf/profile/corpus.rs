//! Requests from files, as the engine takes them: raw HTTP/1 files in a folder, or JSON objects, one a line.

use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;

use policy::path;
use serde_json::Value;
use waf::{Request, Ruleset, Scratch, Surroundings, Tuning};

/// More requests than this are not read.
const MOST: usize = 1_000_000;

/// One request.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Sample {
    method: String,
    target: String,
    path: String,
    /// Names in lower case.
    headers: Vec<(String, Vec<u8>)>,
    body: Vec<u8>,
}

/// Everything in a folder or a file.
///
/// # Errors
/// A sentence when it cannot be read, or holds no request.
pub(super) fn read(corpus: &Path) -> Result<Vec<Sample>, String> {
    let failed = |why: std::io::Error| format!("{}: {why}", corpus.display());
    let samples = if corpus.is_dir() {
        let mut files = Vec::new();
        for entry in fs::read_dir(corpus).map_err(failed)? {
            files.push(entry.map_err(failed)?.path());
        }
        files.retain(|file| file.is_file());
        files.sort();
        let one = |file: &std::path::PathBuf| {
            let text = fs::read(file).map_err(|why| format!("{}: {why}", file.display()))?;
            Sample::raw(&text).ok_or_else(|| format!("{} is no HTTP/1 request", file.display()))
        };
        files
            .iter()
            .take(MOST)
            .map(one)
            .collect::<Result<Vec<_>, _>>()?
    } else {
        let text = fs::read(corpus).map_err(failed)?;
        lines(&text).map_err(|why| format!("{}: {why}", corpus.display()))?
    };
    if samples.is_empty() {
        return Err(format!("{} holds no request", corpus.display()));
    }
    Ok(samples)
}

fn lines(text: &[u8]) -> Result<Vec<Sample>, String> {
    let mut samples = Vec::new();
    for (number, line) in text.split(|byte| *byte == b'\n').enumerate() {
        if line.trim_ascii().is_empty() || samples.len() >= MOST {
            continue;
        }
        let value: Value =
            serde_json::from_slice(line).map_err(|why| format!("line {}: {why}", number + 1))?;
        // Events that are not about requests stand between those that are.
        if value.get("event").is_some_and(|event| event != "request") {
            continue;
        }
        let sample = Sample::json(&value);
        samples.push(sample.ok_or_else(|| format!("line {} is no request", number + 1))?);
    }
    Ok(samples)
}

impl Sample {
    fn new(method: &str, target: &str, headers: Vec<(String, Vec<u8>)>, body: Vec<u8>) -> Self {
        let raw = target.split(['?', '#']).next().unwrap_or_default();
        let mut scratch = String::new();
        // What the gateway would refuse for its path is judged with the path as it stands.
        let path = path::canonical(raw, &mut scratch).unwrap_or(raw).to_owned();
        Self {
            method: method.to_owned(),
            target: target.to_owned(),
            path,
            headers,
            body,
        }
    }

    fn raw(text: &[u8]) -> Option<Self> {
        let end = text
            .windows(4)
            .position(|four| four == b"\r\n\r\n")
            .map(|at| (at, 4));
        let end = end.or_else(|| {
            text.windows(2)
                .position(|two| two == b"\n\n")
                .map(|at| (at, 2))
        });
        let (end, width) = end.unwrap_or((text.len(), 0));
        let (head, body) = text.split_at(end);
        let mut lines = head.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
        let first = String::from_utf8_lossy(lines.next()?).into_owned();
        let (method, rest) = first.split_once(' ')?;
        let (target, version) = rest.rsplit_once(' ')?;
        let field = |line: &[u8]| {
            let at = line.iter().position(|byte| *byte == b':')?;
            let (name, value) = line.split_at(at);
            let name = String::from_utf8_lossy(name).to_ascii_lowercase();
            Some((name, value.get(1..)?.trim_ascii().to_vec()))
        };
        let headers = lines
            .filter(|line| !line.is_empty())
            .filter_map(field)
            .collect();
        let body = body.get(width..).unwrap_or_default().to_vec();
        version
            .starts_with("HTTP/")
            .then(|| Self::new(method, target, headers, body))
    }

    fn json(value: &Value) -> Option<Self> {
        let word = |keys: &[&str]| keys.iter().find_map(|key| value.get(key)?.as_str());
        let mut target = word(&["target", "uri", "url", "path"])?.to_owned();
        if let Some(query) = word(&["query"]).filter(|query| !query.is_empty()) {
            target = format!("{target}?{query}");
        }
        let text = |value: &Value| match value {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        let mut headers: Vec<(String, Vec<u8>)> = match value.get("headers") {
            Some(Value::Object(fields)) => fields
                .iter()
                .map(|(name, value)| (name.to_ascii_lowercase(), text(value).into_bytes()))
                .collect(),
            Some(Value::Array(fields)) => fields
                .iter()
                .filter_map(|pair| {
                    Some((
                        text(pair.get(0)?).to_ascii_lowercase(),
                        text(pair.get(1)?).into_bytes(),
                    ))
                })
                .collect(),
            _ => Vec::new(),
        };
        if let Some(host) =
            word(&["host"]).filter(|_| headers.iter().all(|(name, _)| name != "host"))
        {
            headers.push(("host".to_owned(), host.as_bytes().to_vec()));
        }
        let body = value.get("body").filter(|body| !body.is_null()).map(text);
        let body = body.unwrap_or_default().into_bytes();
        let method = word(&["method"]).unwrap_or(if body.is_empty() { "GET" } else { "POST" });
        Some(Self::new(method, &target, headers, body))
    }

    /// Puts it to the rules.
    pub(super) fn judge(&self, rules: &Ruleset, tuning: &Tuning, scratch: Scratch) -> Scratch {
        let mut transaction = rules.transaction(tuning, scratch);
        let query = self.target.split_once('?').map_or("", |(_, query)| query);
        transaction.evaluate_headers(&Request {
            method: self.method.as_bytes(),
            target: self.target.as_bytes(),
            path: self.path.as_bytes(),
            query: query.as_bytes(),
            protocol: b"HTTP/1.1",
            headers: &self.headers,
            client: IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)),
            around: Surroundings::default(),
        });
        let kind = self.headers.iter().find(|(name, _)| name == "content-type");
        let kind = kind.map_or(&b""[..], |(_, value)| value);
        transaction.evaluate_body(kind, &self.body);
        transaction.finish().1
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

    use super::{Sample, lines};

    #[test]
    fn reads_raw_requests() {
        let sample =
            Sample::raw(b"POST /a/../b?c=d HTTP/1.1\r\nHost: x\r\nA:  b \r\n\r\nbody\r\n").unwrap();
        assert_eq!(
            (sample.method.as_str(), sample.path.as_str()),
            ("POST", "/b")
        );
        assert_eq!(sample.headers[1], ("a".to_owned(), b"b".to_vec()));
        assert_eq!(sample.body, b"body\r\n");
        assert!(Sample::raw(b"GET / HTTP/1.0\nHost: x\n\n").is_some());
        assert!(Sample::raw(b"hello there").is_none());
    }

    #[test]
    fn reads_requests_and_events_a_line_each() {
        let text = b"{\"target\": \"/x?y=1\", \"headers\": {\"A\": \"b\"}, \"body\": \"z\"}\n\n\
            {\"event\": \"started\"}\n\
            {\"event\": \"request\", \"method\": \"GET\", \"path\": \"/e\", \"query\": \"f=1\", \"host\": \"h\"}\n";
        let samples = lines(text).unwrap();
        assert_eq!((samples.len(), samples[0].method.as_str()), (2, "POST"));
        assert_eq!(
            (samples[1].target.as_str(), samples[1].headers[0].0.as_str()),
            ("/e?f=1", "host")
        );
        assert!(lines(b"{\"no\": 1}\n").unwrap_err().starts_with("line 1"));
        assert!(lines(b"no\n").is_err());
    }
}

//! The bytes of one test's request, put together as the suite's own runner (go-ftw 2) does: fields sorted by name, data
//! escaped where nobody did, a few fields added unless the test forbids it. What a test gets wrong on purpose stays wrong.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use policy::document::Item;

use super::template;

const FORM: &str = "application/x-www-form-urlencoded";

/// Keys of an input that have no say here: where the runner listens is ours to choose.
const IGNORED: &[&str] = &[
    "dest_addr",
    "port",
    "protocol",
    "save_cookie",
    "virtual_host_mode",
];

/// The request of one stage.
///
/// # Errors
/// A sentence about what is not understood.
pub(super) fn bytes(input: Item<'_>) -> Result<Vec<u8>, String> {
    let mut draft = Draft::default();
    for (key, item) in input.entries() {
        draft.take(key, item)?;
    }
    match draft.whole.take() {
        Some(whole) => Ok(whole),
        None => Ok(draft.build()),
    }
}

#[derive(Default)]
struct Draft {
    /// Sent as it is.
    whole: Option<Vec<u8>>,
    method: Option<String>,
    uri: Option<String>,
    version: Option<String>,
    headers: Vec<(String, String)>,
    /// Fields in the order of the test win over a map.
    ordered: bool,
    data: Vec<u8>,
    /// The data came as lines: they end as they must.
    lines: bool,
    complete: Option<bool>,
}

impl Draft {
    fn take(&mut self, key: &str, item: Item<'_>) -> Result<(), String> {
        let text = || {
            item.text()
                .or_else(|| item.items().next().is_none().then_some(""))
                .map(str::to_owned)
                .ok_or_else(|| format!("line {}: `{key}` is no text", item.line()))
        };
        match key {
            "method" => self.method = Some(text()?),
            "uri" => self.uri = Some(text()?),
            "version" => self.version = Some(text()?),
            "headers" if !self.ordered => {
                let pair = |(name, value): (&str, Item<'_>)| {
                    (name.to_owned(), value.text().unwrap_or_default().to_owned())
                };
                self.headers = item.entries().map(pair).collect();
                self.headers.sort();
            }
            "headers" => {}
            "ordered_headers" => {
                let part = |field: Item<'_>, key| {
                    let text = field.at(key).and_then(Item::text);
                    text.unwrap_or_default().to_owned()
                };
                let pair = |field| (part(field, "name"), part(field, "value"));
                self.headers = item.items().map(pair).collect();
                self.ordered = true;
            }
            // Older suites write bodies as lists of lines.
            "data" if item.items().next().is_some() => {
                let lines: Vec<&str> = item.items().filter_map(Item::text).collect();
                self.data = template::expand(&lines.join("\r\n"))?.into_bytes();
                self.lines = true;
            }
            "data" => self.data = template::expand(&text()?)?.into_bytes(),
            "encoded_data" => self.data = decoded(&text()?)?,
            "encoded_request" => {
                self.whole = Some(decoded(&text()?)?).filter(|all| !all.is_empty())
            }
            "raw_request" => self.whole = Some(text()?.into_bytes()),
            "autocomplete_headers" => self.complete = Some(flag(key, &text()?)?),
            "stop_magic" => self.complete = self.complete.or(Some(!flag(key, &text()?)?)),
            _ if IGNORED.contains(&key) => {}
            _ => return Err(format!("line {}: `{key}` is not understood", item.line())),
        }
        Ok(())
    }

    fn build(mut self) -> Vec<u8> {
        let complete = self.complete.unwrap_or(true);
        let method = self.method.take().unwrap_or_else(|| "GET".to_owned());
        if !self.data.is_empty() && complete {
            if !self.has("Content-Type") {
                self.add("Content-Type", FORM);
            }
            if self
                .field("Content-Type")
                .any(|value| value.eq_ignore_ascii_case(FORM))
            {
                escape(&mut self.data);
            }
        }
        // Multipart lines end in CRLF; YAML blocks cannot say so.
        let multipart = |value: &str| value.to_lowercase().contains("multipart/form-data;");
        if !self.lines && self.field("Content-Type").any(multipart) {
            self.data = crlf(&self.data);
        }
        if complete {
            if !self.has("Connection") {
                self.add("Connection", "close");
            }
            if !self.has("Content-Length") && (!self.data.is_empty() || announces_body(&method)) {
                let length = self.data.len().to_string();
                self.add("Content-Length", &length);
            }
        }
        let uri = self.uri.as_deref().unwrap_or("/");
        let version = self.version.as_deref().unwrap_or("HTTP/1.1");
        let mut out = format!("{method} {uri} {version}\r\n").into_bytes();
        for (name, value) in &self.headers {
            out.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
        }
        out.extend_from_slice(b"\r\n");
        out.extend_from_slice(&self.data);
        out
    }

    fn field(&self, name: &str) -> impl Iterator<Item = &str> {
        let same = move |(own, _): &&(String, String)| own.eq_ignore_ascii_case(name);
        self.headers
            .iter()
            .filter(same)
            .map(|(_, value)| value.as_str())
    }

    fn has(&self, name: &str) -> bool {
        self.field(name).next().is_some()
    }

    fn add(&mut self, name: &str, value: &str) {
        self.headers.push((name.to_owned(), value.to_owned()));
    }
}

fn decoded(text: &str) -> Result<Vec<u8>, String> {
    let text: String = text.split_ascii_whitespace().collect();
    STANDARD
        .decode(text)
        .map_err(|why| format!("not base64: {why}"))
}

fn flag(key: &str, text: &str) -> Result<bool, String> {
    match text {
        "true" | "True" | "yes" => Ok(true),
        "false" | "False" | "no" => Ok(false),
        other => Err(format!("`{key}: {other}` is neither true nor false")),
    }
}

/// As the other runner's pattern has it: `^POST|PUT|PATCH|DELETE$`.
fn announces_body(method: &str) -> bool {
    method.starts_with("POST")
        || method.contains("PUT")
        || method.contains("PATCH")
        || method.ends_with("DELETE")
}

/// Names and values are escaped, unless something in them is already.
fn escape(data: &mut Vec<u8>) {
    if unescaped(data).as_deref() != Some(&**data) {
        return;
    }
    let mut out = Vec::with_capacity(data.len());
    for token in data.split(|byte| *byte == b'&') {
        if !out.is_empty() {
            out.push(b'&');
        }
        match token.iter().position(|byte| *byte == b'=') {
            Some(at) => {
                let (name, value) = token.split_at(at);
                quote(name, &mut out);
                out.push(b'=');
                quote(value.get(1..).unwrap_or_default(), &mut out);
            }
            None => quote(token, &mut out),
        }
    }
    *data = out;
}

/// What form decoding makes of it; `None` for a bad escape.
fn unescaped(data: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(data.len());
    let mut rest = data.iter();
    while let Some(byte) = rest.next() {
        match byte {
            b'+' => out.push(b' '),
            b'%' => {
                let digit = |byte: Option<&u8>| char::from(*byte?).to_digit(16);
                let value = digit(rest.next())? * 16 + digit(rest.next())?;
                out.push(u8::try_from(value).ok()?);
            }
            other => out.push(*other),
        }
    }
    Some(out)
}

fn quote(text: &[u8], out: &mut Vec<u8>) {
    for byte in text {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => out.push(*byte),
            b' ' => out.push(b'+'),
            other => out.extend_from_slice(format!("%{other:02X}").as_bytes()),
        }
    }
}

fn crlf(data: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(data.len() + 64);
    for byte in data {
        if *byte == b'\n' {
            out.push(b'\r');
        }
        out.push(*byte);
    }
    out
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

    use policy::document::Document;

    fn bytes(text: &str) -> Result<String, String> {
        let read = Document::read(text.as_bytes()).unwrap();
        super::bytes(read[0].root()).map(|bytes| String::from_utf8(bytes).unwrap())
    }

    #[test]
    fn completes_what_a_test_leaves_out() {
        assert_eq!(
            bytes("{}").unwrap(),
            "GET / HTTP/1.1\r\nConnection: close\r\n\r\n"
        );
        assert_eq!(
            bytes("{method: POST, uri: /x, headers: {b: 1, Host: h}, data: 'a=<b>&c'}").unwrap(),
            "POST /x HTTP/1.1\r\nHost: h\r\nb: 1\r\nContent-Type: application/x-www-form-urlencoded\r\n\
             Connection: close\r\nContent-Length: 11\r\n\r\na=%3Cb%3E&c"
        );
        let bare = "{method: '', version: '', headers: {}, autocomplete_headers: false}";
        assert_eq!(bytes(bare).unwrap(), " / \r\n\r\n");
        assert!(
            bytes("{stop_magic: true}")
                .unwrap()
                .ends_with("HTTP/1.1\r\n\r\n")
        );
    }

    #[test]
    fn leaves_data_that_is_escaped_already() {
        for data in ["a=%3c", "a=b+c", "a=%zz"] {
            let sent = bytes(&format!("{{data: '{data}'}}")).unwrap();
            assert!(sent.ends_with(&format!("\r\n\r\n{data}")), "{sent}");
        }
        let other = bytes("{headers: {Content-Type: text/plain}, data: 'a=<'}").unwrap();
        assert!(other.ends_with("a=<"), "{other}");
    }

    #[test]
    fn ends_lines_of_multipart_as_it_must() {
        let text =
            "headers: {content-type: multipart/form-data; boundary=x}\ndata: |\n  --x\n  --x--\n";
        assert!(bytes(text).unwrap().ends_with("\r\n\r\n--x\r\n--x--\r\n"));
    }

    #[test]
    fn joins_a_body_of_lines() {
        let text = "headers: {Content-Type: multipart/form-data; boundary=x}\ndata: [a, b, '']\n";
        assert!(bytes(text).unwrap().ends_with("\r\n\r\na\r\nb\r\n"));
    }

    #[test]
    fn sends_an_encoded_request_as_it_is() {
        assert_eq!(bytes("{encoded_request: R0VU, uri: /x}").unwrap(), "GET");
        assert!(bytes("{encoded_request: '!'}").is_err());
        assert!(bytes("{unheard: of}").is_err());
    }
}

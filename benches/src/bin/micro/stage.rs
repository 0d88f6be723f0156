//! What a decision needs around it: a policy from text, a request, the invented store.

use std::net::IpAddr;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Version};
use policy::Policy;
use policy::decision::{Decision, Reason};
use policy::invented::{Invented, ready};
use policy::request::{Framing, Request};
use policy::run::Unwatched;
use policy::sources::Sources;

pub(crate) const SECRET: &str = "0123456789abcdef0123456789abcdef";
/// Unix seconds: midnight of 2026-01-01 UTC, as the invented clock says.
pub(crate) const NOW: u64 = 1_767_225_600;

/// A policy in text; its files lie on the disk, from the root of the repository.
struct Files(String);

impl Sources for Files {
    fn read(&mut self, path: &str) -> Result<Bytes, String> {
        if path == "bench.yaml" {
            return Ok(Bytes::from(self.0.clone()));
        }
        let read = std::fs::read(resolve(path));
        read.map(Bytes::from).map_err(|fault| fault.to_string())
    }

    fn glob(&mut self, pattern: &str) -> Result<Vec<String>, String> {
        let (folder, name) = pattern.rsplit_once('/').unwrap_or((".", pattern));
        let (start, end) = name.split_once('*').unwrap_or((name, ""));
        let entries = std::fs::read_dir(resolve(folder)).map_err(|fault| fault.to_string())?;
        let mut found: Vec<String> = entries
            .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
            .filter(|name| name.starts_with(start) && name.ends_with(end))
            .map(|name| format!("{folder}/{name}"))
            .collect();
        found.sort();
        Ok(found)
    }

    fn env(&mut self, _: &str) -> Option<String> {
        Some(SECRET.to_owned())
    }
}

fn resolve(path: &str) -> std::path::PathBuf {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
    std::path::Path::new(root).join(path)
}

const TOP: &str =
    "version: 1\nupstreams: {app: {servers: ['127.0.0.1:3000']}}\nsecrets: {it: {env: SECRET}}\n";

/// `text` from its `checks:` on.
pub(crate) fn load(text: &str) -> Result<Policy, String> {
    let loaded = Policy::load("bench.yaml", &mut Files(format!("{TOP}{text}")), NOW * 1000);
    let loaded = loaded.map_err(|faults| {
        let lines: Vec<String> = faults.iter().map(ToString::to_string).collect();
        lines.join("\n")
    })?;
    Ok(loaded.policy)
}

/// A request that owns what [`Request`] borrows.
#[derive(Clone)]
pub(crate) struct Asked {
    pub(crate) client: IpAddr,
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) query: Option<String>,
    pub(crate) target: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Asked {
    /// As a browser asks.
    pub(crate) fn get(path: &str) -> Self {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("host", "shop.example"),
            (
                "user-agent",
                "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0",
            ),
            (
                "accept",
                "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
            ),
            ("accept-language", "en-US,en;q=0.5"),
            ("accept-encoding", "gzip, deflate, br, zstd"),
            ("sec-fetch-site", "same-origin"),
            ("sec-fetch-mode", "navigate"),
        ] {
            headers.insert(name, HeaderValue::from_static(value));
        }
        Self {
            client: IpAddr::from([203, 0, 113, 7]),
            method: Method::GET,
            path: path.to_owned(),
            query: None,
            target: path.to_owned(),
            headers,
            body: Bytes::new(),
        }
    }

    pub(crate) fn with(mut self, name: &'static str, value: &str) -> Result<Self, String> {
        let value = HeaderValue::try_from(value).map_err(|fault| fault.to_string())?;
        self.headers.insert(HeaderName::from_static(name), value);
        Ok(self)
    }

    pub(crate) fn post(mut self, body: impl Into<Bytes>) -> Self {
        (self.method, self.body) = (Method::POST, body.into());
        self
    }

    pub(crate) fn request(&self) -> Request<'_> {
        let length = self.body.len() as u64;
        Request {
            id: "00000000-0000-4000-8000-000000000000",
            client: self.client,
            client_port: 40_000,
            peer: self.client,
            server: None,
            method: &self.method,
            scheme: "https",
            host: "shop.example",
            path: &self.path,
            compared: &self.path,
            query: self.query.as_deref(),
            target: &self.target,
            version: Version::HTTP_11,
            headers: &self.headers,
            tls: None,
            framing: if length > 0 {
                Framing::Length(length)
            } else {
                Framing::None
            },
            websocket: false,
        }
    }
}

/// Decides, as the server does. Nothing waits here.
pub(crate) fn decide(policy: &Policy, io: &mut Invented, asked: &Asked) -> Option<Decision> {
    let request = asked.request();
    let route = policy.route(&request)?;
    ready(policy.decide(route, &request, io, &mut Unwatched))
}

/// The same, and it must come out like this: a bench of refusals would be a bench of something else.
pub(crate) fn expect(policy: &Policy, io: &mut Invented, asked: &Asked, reason: Reason) {
    let got = decide(policy, io, asked).map(|decision| decision.reason());
    io.end();
    assert_eq!(got, Some(reason));
}

//! What unit tests of checks share: files from a map, one request to ask about, a check in its invented surrounding.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

use bytes::Bytes;
use http::{HeaderMap, Method, Version};
use zeroize::Zeroizing;

use crate::checks::waf::Rulesets;
use crate::checks::{Check, OnError, Spec, Turn};
use crate::context::{Context, Pending, Secrets};
use crate::decision::{Answer, CheckId, Effects};
use crate::fault::Path;
use crate::invented::{Invented, ready};
use crate::key::Keys;
use crate::request::{Facts, Framing, Request};
use crate::roles::Roles;
use crate::sources::Sources;

/// Files by name; globs know `*` only.
#[derive(Debug, Default)]
pub(crate) struct Files(pub(crate) BTreeMap<String, Bytes>);

impl Sources for Files {
    fn read(&mut self, path: &str) -> Result<Bytes, String> {
        self.0
            .get(path)
            .cloned()
            .ok_or_else(|| "no such file".to_owned())
    }

    fn glob(&mut self, pattern: &str) -> Result<Vec<String>, String> {
        let expression = format!("^{}$", regex::escape(pattern).replace("\\*", "[^/]*"));
        let expression = regex::Regex::new(&expression).map_err(|why| why.to_string())?;
        let names = self.0.keys().filter(|name| expression.is_match(name));
        Ok(names.cloned().collect())
    }

    fn env(&mut self, _: &str) -> Option<String> {
        None
    }
}

/// Every secret is its own name.
struct Names;

impl Secrets for Names {
    fn secret(&mut self, name: &str) -> Result<Vec<Zeroizing<Vec<u8>>>, String> {
        Ok(vec![Zeroizing::new(name.as_bytes().to_vec())])
    }
}

/// The request that a test asks about.
#[derive(Debug, Clone)]
pub(crate) struct Scene {
    pub(crate) client: IpAddr,
    pub(crate) method: Method,
    pub(crate) host: &'static str,
    pub(crate) path: &'static str,
    pub(crate) query: Option<&'static str>,
    pub(crate) headers: HeaderMap,
    pub(crate) framing: Framing,
}

impl Default for Scene {
    fn default() -> Self {
        Self {
            client: IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)),
            method: Method::GET,
            host: "app.example",
            path: "/",
            query: None,
            headers: HeaderMap::new(),
            framing: Framing::None,
        }
    }
}

impl Scene {
    pub(crate) fn header(mut self, name: &'static str, value: &'static str) -> Self {
        self.headers
            .append(name, http::HeaderValue::from_static(value));
        self
    }

    /// What `ask` says of the request.
    pub(crate) fn asked<T>(&self, ask: impl FnOnce(&Request<'_>) -> T) -> T {
        ask(&self.request())
    }

    fn request(&self) -> Request<'_> {
        Request {
            id: "test",
            client: self.client,
            client_port: 0,
            peer: self.client,
            server: None,
            method: &self.method,
            scheme: "https",
            host: self.host,
            path: self.path,
            compared: self.path,
            query: self.query,
            target: self.path,
            version: Version::HTTP_11,
            headers: &self.headers,
            tls: None,
            framing: self.framing,
            websocket: false,
        }
    }
}

/// One check with everything around it.
#[derive(Debug)]
pub(crate) struct Bench {
    pub(crate) check: Check,
    pub(crate) io: Invented,
    pub(crate) facts: Facts,
    pub(crate) effects: Effects,
    pending: Vec<Pending>,
}

impl Bench {
    pub(crate) fn new(kind: &str, spec: serde_json::Value) -> Self {
        Self::with_files::<&str>(kind, spec, &[])
    }

    pub(crate) fn with_files<T: AsRef<[u8]>>(
        kind: &str,
        spec: serde_json::Value,
        files: &[(&str, T)],
    ) -> Self {
        let (check, pending) = compile(kind, spec, files);
        let Some(check) = check else {
            panic!("{pending:?}");
        };
        Self {
            check,
            io: Invented::default(),
            facts: Facts::default(),
            effects: Effects::default(),
            pending,
        }
    }

    /// What a specification that must not compile is told, all of it; or why its keys cannot be read.
    pub(crate) fn faults_of<T: AsRef<[u8]>>(
        kind: &str,
        spec: serde_json::Value,
        files: &[(&str, T)],
    ) -> Vec<String> {
        let (check, pending) = compile(kind, spec, files);
        assert!(check.is_none(), "compiled: {pending:?}");
        messages(&pending)
    }

    /// Warnings of a specification that compiled.
    pub(crate) fn faults(&self) -> Vec<String> {
        messages(&self.pending)
    }

    pub(crate) fn at(&mut self, time: &str) {
        let time: jiff::Timestamp = time.parse().unwrap_or_default();
        self.io.now.unix = time.as_millisecond().unsigned_abs();
    }

    pub(crate) fn ask(&mut self, scene: &Scene) -> Answer {
        self.put(&scene.request())
    }

    /// The check's page at the scene's path, which every check of its route has let pass, this one too.
    pub(crate) fn page(&mut self, scene: &Scene) -> Answer {
        let request = scene.request();
        self.facts = Facts::default();
        self.effects = Effects::default();
        let answer = self.put(&request);
        if answer != Answer::Pass {
            return answer;
        }
        let rest = scene.path.strip_prefix("/.palisade/").unwrap_or_default();
        let mut turn = Turn {
            request: &request,
            facts: &mut self.facts,
            effects: &mut self.effects,
            io: &mut self.io,
            id: CheckId(0),
            mode: crate::run::Mode::Enforce,
            route: 0,
        };
        ready(self.check.page(&mut turn, rest)).unwrap_or_else(|| panic!("it waits"))
    }

    /// What one more request allocates, after some have warmed up what is reused.
    pub(crate) fn allocations(&mut self, scene: &Scene) -> u64 {
        let request = scene.request();
        for _ in 0..3 {
            self.put(&request);
            self.effects = Effects::default();
        }
        let counted = allocation_counter::measure(|| {
            self.put(&request);
        });
        counted.count_total
    }

    fn put(&mut self, request: &Request<'_>) -> Answer {
        let mut turn = Turn {
            request,
            facts: &mut self.facts,
            effects: &mut self.effects,
            io: &mut self.io,
            id: CheckId(0),
            mode: crate::run::Mode::Enforce,
            route: 0,
        };
        let answer = ready(self.check.ask(&mut turn)).unwrap_or_else(|| panic!("it waits"));
        // No answer comes: what waits for one gives its buffers back, as in the gateway.
        for mut suspended in std::mem::take(&mut self.facts.suspended) {
            if let Check::Waf(check) = &self.check {
                check.end(&mut suspended, &mut self.facts);
            }
        }
        answer
    }
}

fn compile<T: AsRef<[u8]>>(
    kind: &str,
    mut spec: serde_json::Value,
    files: &[(&str, T)],
) -> (Option<Check>, Vec<Pending>) {
    let taken = |spec: &mut serde_json::Value, key: &str| -> Option<OnError> {
        let value = spec.as_object_mut()?.remove(key)?;
        serde_json::from_value(value).ok()
    };
    let on_store_error = taken(&mut spec, "on_store_error");
    let on_error = taken(&mut spec, "on_error");
    let mut faults = Vec::new();
    let roles = roles();
    let mut sources = Files::default();
    for (name, text) in files {
        sources
            .0
            .insert((*name).to_owned(), Bytes::copy_from_slice(text.as_ref()));
    }
    let mut context = Context {
        name: "it",
        stable_id: 1,
        keys: Keys::process(),
        at: Path::default().key("it"),
        on_store_error,
        on_error,
        pages: "/.palisade",
        roles: &roles,
        now: 0,
        sources: &mut sources,
        secrets: &mut Names,
        rulesets: &mut Rulesets::default(),
        faults: &mut faults,
    };
    let check = match Spec::deserialize(kind, spec) {
        Some(Ok(spec)) => spec.compile(&mut context),
        Some(Err(why)) => {
            context.error(Path::default(), why.to_string());
            None
        }
        None => panic!("no check of kind {kind}"),
    };
    (check, faults)
}

/// Those of the design documents: each has what the one before has, and `admin` everything.
fn roles() -> Roles {
    let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
    let written: [(&str, Vec<String>, Vec<String>); 3] = [
        ("viewer", vec![], words(&["chat", "rag:query", "eval:read"])),
        (
            "user",
            words(&["viewer"]),
            words(&["rag:index", "agent:run", "eval:run"]),
        ),
        ("admin", words(&["user"]), words(&["*"])),
    ];
    Roles::resolve(
        written
            .iter()
            .map(|(name, includes, allow)| (*name, includes.as_slice(), allow.as_slice())),
    )
}

fn messages(pending: &[Pending]) -> Vec<String> {
    let show = |fault: &Pending| match fault.path.0.is_empty() {
        true => fault.message.clone(),
        false => format!("{}: {}", fault.path, fault.message),
    };
    pending.iter().map(show).collect()
}

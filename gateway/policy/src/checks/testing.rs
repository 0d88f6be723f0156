//! What unit tests of checks need around one: a context to compile in, a request to ask about.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::collections::HashMap;

use bytes::Bytes;
use http::{HeaderMap, Method, Version};
use serde::de::DeserializeOwned;
use zeroize::Zeroizing;

use crate::checks::waf::Rulesets;
use crate::checks::{OnError, Turn};
use crate::context::{Context, Pending, Secrets};
use crate::decision::{CheckId, Effects};
use crate::fault::Path;
use crate::invented::Invented;
use crate::key::Keys;
use crate::request::{Facts, Framing, Request, Tls};
use crate::roles::Roles;
use crate::sources::Sources;

/// Files and secrets that are there.
#[derive(Default)]
pub(crate) struct Given {
    pub(crate) files: HashMap<String, Vec<u8>>,
    pub(crate) secrets: HashMap<String, Vec<Vec<u8>>>,
    pub(crate) on_store_error: Option<OnError>,
}

struct Files<'g>(&'g HashMap<String, Vec<u8>>);
struct Named<'g>(&'g HashMap<String, Vec<Vec<u8>>>);

impl Sources for Files<'_> {
    fn read(&mut self, path: &str) -> Result<Bytes, String> {
        let file = self.0.get(path).ok_or("no such file")?;
        Ok(Bytes::from(file.clone()))
    }

    fn glob(&mut self, pattern: &str) -> Result<Vec<String>, String> {
        Ok(self
            .0
            .keys()
            .filter(|name| *name == pattern)
            .cloned()
            .collect())
    }

    fn env(&mut self, _: &str) -> Option<String> {
        None
    }
}

impl Secrets for Named<'_> {
    fn secret(&mut self, name: &str) -> Result<Vec<Zeroizing<Vec<u8>>>, String> {
        let values = self
            .0
            .get(name)
            .ok_or_else(|| format!("no secret `{name}`"))?;
        Ok(values.iter().cloned().map(Zeroizing::new).collect())
    }
}

impl Given {
    /// Compiles what `spec` says, or gives every fault, warnings as well.
    pub(crate) fn compile<S: DeserializeOwned, C>(
        &self,
        spec: serde_json::Value,
        compile: impl FnOnce(S, &mut Context<'_>) -> Option<C>,
    ) -> Result<C, Vec<String>> {
        let spec: S = serde_json::from_value(spec).map_err(|why| vec![why.to_string()])?;
        let mut faults: Vec<Pending> = Vec::new();
        let check = compile(
            spec,
            &mut Context {
                name: "it",
                stable_id: 7,
                keys: Keys::derived(b"tests"),
                at: Path::default().key("checks").key("it"),
                on_store_error: self.on_store_error,
                on_error: None,
                pages: "/.palisade",
                roles: &Roles::default(),
                now: 1_767_225_600_000,
                sources: &mut Files(&self.files),
                secrets: &mut Named(&self.secrets),
                rulesets: &mut Rulesets::default(),
                faults: &mut faults,
            },
        );
        let told = || {
            faults
                .iter()
                .map(|fault| format!("{}: {}", fault.path, fault.message))
                .collect()
        };
        check.filter(|_| faults.is_empty()).ok_or_else(told)
    }
}

/// The order of P-256 (SEC 2, 2.4.2).
pub(crate) const P256_ORDER: [u8; 32] = [
    0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xbc, 0xe6,
    0xfa, 0xad, 0xa7, 0x17, 0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51,
];

/// The other signature that is as good, (r, n − s), of one by P-256.
pub(crate) fn twin(signature: &[u8]) -> Vec<u8> {
    let (r, s) = signature.split_at(32);
    let mut borrow = 0;
    let mut rest = [0_u8; 32];
    for ((out, n), s) in rest.iter_mut().zip(P256_ORDER).zip(s).rev() {
        let left = i16::from(n) - i16::from(*s) - borrow;
        borrow = i16::from(left < 0);
        *out = u8::try_from(left.rem_euclid(256)).unwrap();
    }
    [r, &rest].concat()
}

/// One request, with what is found out about it.
pub(crate) struct Asked {
    pub(crate) client: &'static str,
    pub(crate) query: Option<String>,
    pub(crate) headers: HeaderMap,
    pub(crate) websocket: bool,
    pub(crate) tls: Option<Tls>,
    pub(crate) route: u64,
    pub(crate) facts: Facts,
    pub(crate) effects: Effects,
}

impl Default for Asked {
    fn default() -> Self {
        Self {
            client: "192.0.2.1",
            query: None,
            headers: HeaderMap::new(),
            websocket: false,
            tls: None,
            route: 1,
            facts: Facts::default(),
            effects: Effects::default(),
        }
    }
}

impl Asked {
    pub(crate) fn header(mut self, name: &'static str, value: &str) -> Self {
        self.headers.append(name, value.parse().unwrap());
        self
    }

    /// Hands the check its turn.
    pub(crate) fn turn<T>(
        &mut self,
        io: &mut Invented,
        ask: impl FnOnce(&mut Turn<'_, '_, Invented>) -> T,
    ) -> T {
        let request = Request {
            id: "r",
            client: self.client.parse().unwrap(),
            client_port: 0,
            peer: self.client.parse().unwrap(),
            server: None,
            method: &Method::GET,
            scheme: "https",
            host: "shop.example",
            path: "/a",
            compared: "/a",
            query: self.query.as_deref(),
            target: "/a",
            version: Version::HTTP_11,
            headers: &self.headers,
            tls: self.tls.as_ref(),
            framing: Framing::None,
            websocket: self.websocket,
        };
        ask(&mut Turn {
            request: &request,
            facts: &mut self.facts,
            effects: &mut self.effects,
            io,
            id: CheckId(3),
            mode: crate::run::Mode::Enforce,
            route: self.route,
        })
    }
}

//! What a request with a token costs once its token was seen: nothing on the heap, from route to permit.
#![allow(clippy::unwrap_used, missing_docs, reason = "tests")]

use allocation_counter::measure;
use bytes::Bytes;
use http::{HeaderMap, Method, Version};
use jsonwebtoken::{EncodingKey, Header, encode};
use policy::Policy;
use policy::decision::Outcome;
use policy::invented::{Invented, ready};
use policy::request::{Framing, Request};
use policy::run::Unwatched;
use policy::sources::Sources;
use serde_json::json;

const SECRET: &str = "0123456789abcdef0123456789abcdef";
const POLICY: &str = r#"
version: 1
upstreams:
  app: {servers: ["127.0.0.1:3000"]}
secrets:
  jwt: {env: SECRET}
checks:
  token: {check: jwt, secret: jwt, require: {token_type: access}, revocation: true, forward: {sub: X-User-Id}}
  per-user: {check: rate_limit, key: [user, "claim:tenant", "header:X-Api-Version", route], limits: [90/1m, 1000000/2m]}
  paced: {check: rate_limit, key: [user], limit: 1000000/1m, algorithm: pace}
  open: {check: concurrency, key: [user], max: 3}
routes:
  - {name: all, to: app, use: [token, per-user, paced, open]}
"#;

struct Given;

impl Sources for Given {
    fn read(&mut self, _: &str) -> Result<Bytes, String> {
        Ok(Bytes::from_static(POLICY.as_bytes()))
    }
    fn glob(&mut self, _: &str) -> Result<Vec<String>, String> {
        Ok(Vec::new())
    }
    fn env(&mut self, _: &str) -> Option<String> {
        Some(SECRET.to_owned())
    }
}

#[test]
fn a_request_with_a_known_token_allocates_nothing() {
    let policy = Policy::load("policy.yaml", &mut Given, 0).unwrap().policy;
    let mut io = Invented::default();
    let expires = io.now.unix / 1000 + 3600;
    let claims =
        json!({"sub": "ann", "tenant": "t1", "token_type": "access", "jti": "1", "exp": expires});
    let key = EncodingKey::from_secret(SECRET.as_bytes());
    let token = encode(&Header::default(), &claims, &key).unwrap();
    let mut headers = HeaderMap::new();
    headers.insert("authorization", format!("Bearer {token}").parse().unwrap());
    let request = Request {
        id: "r",
        client: [198, 51, 100, 7].into(),
        client_port: 0,
        peer: [198, 51, 100, 7].into(),
        server: None,
        method: &Method::GET,
        scheme: "https",
        host: "api.example.com",
        path: "/a",
        compared: "/a",
        query: None,
        target: "/a",
        version: Version::HTTP_11,
        headers: &headers,
        tls: None,
        framing: Framing::None,
        websocket: false,
    };
    let route = policy.route(&request).unwrap();
    let ask = |io: &mut Invented| {
        io.advance(std::time::Duration::from_millis(700));
        let decision = ready(policy.decide(route, &request, io, &mut Unwatched)).unwrap();
        io.end();
        assert!(
            matches!(decision.outcome, Outcome::Permit(_)),
            "{decision:?}"
        );
    };
    // Long enough for the rings of the limits to reach their size.
    (0..300).for_each(|_| ask(&mut io));
    let counted = measure(|| (0..100).for_each(|_| ask(&mut io)));
    assert_eq!(counted.count_total, 0, "{counted:?}");
}

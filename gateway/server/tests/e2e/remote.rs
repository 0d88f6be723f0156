//! Others that the gateway asks: issuers with their keys, introspection, look-ups of users. Tokens are PyJWT's; the issuer
//! is a server of the test, over plain HTTP and over TLS with an authority of its own.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use crate::support::gateway::run;
use crate::support::origin::answer;
use crate::support::raw::get;
use crate::support::tools::{fed, python};
use crate::support::{Conn, Gateway, Origin, Plan, Step, certs, exchange, until};

/// A server that answers by path; what it answers can be changed.
struct Issuer {
    origin: Origin,
    answers: Arc<Mutex<HashMap<String, (u16, Value)>>>,
}

impl Issuer {
    fn start() -> Self {
        let answers: Arc<Mutex<HashMap<String, (u16, Value)>>> = Arc::default();
        let given = Arc::clone(&answers);
        let origin = Origin::scripted(move |seen| {
            let known = given.lock().unwrap().get(&seen.target).cloned();
            let (status, body) = known.unwrap_or((404, json!({})));
            let body = body.to_string();
            vec![
                Step::ReadBody,
                Step::Send(answer(
                    status,
                    "Content-Type: application/json\r\n",
                    body.as_bytes(),
                )),
            ]
        });
        Self { origin, answers }
    }

    fn says(&self, path: &str, status: u16, body: Value) {
        self.answers
            .lock()
            .unwrap()
            .insert(path.to_owned(), (status, body));
    }

    fn asked(&self, path: &str) -> usize {
        self.origin
            .seen()
            .iter()
            .filter(|seen| seen.target == path)
            .count()
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.origin.address)
    }
}

fn keys(orders: &Value) -> Vec<Value> {
    let output = fed(&mut python("issuer_keys.py"), orders.to_string().as_bytes());
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    serde_json::from_slice(&output.stdout).unwrap()
}

fn published(keys: &[&Value]) -> Value {
    json!({ "keys": keys.iter().map(|key| &key["jwk"]).collect::<Vec<_>>() })
}

fn signed(key: &Value, more: Value) -> String {
    let mut claims = json!({"sub": "alice", "exp": {"now": 600}, "iat": {"now": 0}});
    claims
        .as_object_mut()
        .unwrap()
        .extend(more.as_object().unwrap().clone());
    let order = json!([{"alg": key["alg"], "key": key["pem"], "claims": claims, "headers": {"kid": key["kid"]}}]);
    let output = fed(&mut python("tokens.py"), order.to_string().as_bytes());
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

fn plan(origin: &Origin, check: &str) -> Plan {
    Plan::new(origin.address)
        .check(
            "token",
            &format!("{{check: jwt, forward: {{sub: X-User-Id}}, {check}}}"),
        )
        .route("{name: all, match: {path: \"/*\"}, to: app, use: [token]}")
}

fn status(gateway: &Gateway, token: &str) -> u16 {
    exchange(
        gateway.http,
        get("/", &format!("Authorization: Bearer {token}\r\n")),
    )
    .status
}

#[test]
fn keys_by_url_are_renewed_and_outlive_their_issuer() {
    let (origin, issuer) = (Origin::start(), Issuer::start());
    let made = keys(
        &json!([{"kid": "k1", "alg": "ES256"}, {"kid": "k2", "alg": "RS256"}, {"kid": "weak", "alg": "RS256", "bits": 1024}]),
    );
    issuer.says("/keys", 200, published(&[&made[0], &made[2]]));
    let gateway = Gateway::start(&plan(
        &origin,
        &format!("jwks_url: \"{}\", jwks_refresh: 2s", issuer.url("/keys")),
    ));
    let (first, second) = (
        signed(&made[0], json!({"jti": "1"})),
        signed(&made[1], json!({})),
    );
    assert_eq!(status(&gateway, &first), 200);
    assert_eq!(
        status(&gateway, &signed(&made[2], json!({}))),
        401,
        "1024 bits"
    );
    for _ in 0..20 {
        assert_eq!(status(&gateway, &second), 401, "not published yet");
    }
    assert!(
        issuer.asked("/keys") < 15,
        "strangers make nobody ask again every time"
    );
    issuer.says("/keys", 200, published(&[&made[1]]));
    until("the new key is known", || {
        std::thread::sleep(std::time::Duration::from_millis(200));
        (status(&gateway, &second) == 200).then_some(())
    });
    until("the old key is not", || {
        std::thread::sleep(std::time::Duration::from_millis(200));
        (status(&gateway, &first) == 401).then_some(())
    });
    issuer.says("/keys", 500, json!({}));
    gateway.line("that the issuer fails", |line| {
        let _ = status(&gateway, &second);
        line["event"] == "remote_failed"
    });
    assert_eq!(
        status(&gateway, &signed(&made[1], json!({"jti": "2"}))),
        200,
        "the last good keys"
    );
    let host = issuer.origin.address.to_string();
    assert_eq!(
        gateway.metric("palisade_remote_failing", &[("host", &host)]),
        1.0
    );
    assert!(
        gateway.metric(
            "palisade_remote_faults_total",
            &[("host", &host), ("fault", "status")]
        ) >= 1.0
    );
}

#[test]
fn issuers_are_found_over_tls_and_kept_apart() {
    let (origin, issuer) = (Origin::start(), Issuer::start());
    let made = keys(&json!([{"kid": "a", "alg": "ES256"}, {"kid": "a", "alg": "ES256"}]));
    // A gateway of its own ends TLS for the issuer, with a certificate of the throw-away authority.
    let front = Gateway::start(&Plan::open(issuer.origin.address).tls());
    let base = format!("https://localhost:{}", front.tls.port());
    issuer.says(
        "/.well-known/openid-configuration",
        200,
        json!({"issuer": base, "jwks_uri": format!("{base}/a")}),
    );
    issuer.says("/a", 200, published(&[&made[0]]));
    issuer.says("/b", 200, published(&[&made[1]]));
    let check = format!(
        "issuers: [{{issuer_url: \"{base}\"}}, {{issuer: b, jwks_url: \"{base}/b\", audience: app}}]"
    );
    let gateway = Gateway::start(
        &plan(&origin, &check).top(&format!("remote: {{ca: {}}}", certs::file("ca.pem"))),
    );
    for (key, claims, expected) in [
        (0, json!({"iss": base}), 200),
        (1, json!({"iss": "b", "aud": ["app"]}), 200),
        (1, json!({"iss": base}), 401),
        (0, json!({"iss": "b", "aud": "app"}), 401),
        (1, json!({"iss": "b", "aud": "other"}), 401),
        (0, json!({"iss": "c"}), 401),
    ] {
        assert_eq!(
            status(&gateway, &signed(&made[key], claims.clone())),
            expected,
            "{key} {claims}"
        );
    }
    let strict = Gateway::start(&plan(&origin, &check));
    assert_eq!(
        status(&strict, &signed(&made[0], json!({"iss": base}))),
        503,
        "an authority that nobody vouched for"
    );
    strict.line("why", |line| {
        line["event"] == "remote_failed" && line["detail"].to_string().contains("certificate")
    });
}

#[test]
fn opaque_tokens_are_asked_about_once_by_many_at_the_same_time() {
    let (origin, issuer) = (Origin::start(), Issuer::start());
    issuer.says("/introspect", 200, json!({"active": true, "sub": "alice"}));
    issuer.says("/users/alice", 200, json!({"active": true}));
    let check = format!(
        "introspection: {{url: \"{}\", client: palisade, secret: key, cache: 1h}}, active: {{url: \"{}/users/{{user}}\", cache: 1s}}",
        issuer.url("/introspect"),
        issuer.url("")
    );
    let plan = plan(&origin, &check)
        .top("secrets:\n  key: {env: PALISADE_TEST_KEY}")
        .env("PALISADE_TEST_KEY", "word");
    let gateway = Gateway::start(&plan);
    let address = gateway.http;
    let all: Vec<_> = (0..20)
        .map(|_| {
            std::thread::spawn(move || {
                exchange(address, get("/", "Authorization: Bearer opaque\r\n")).status
            })
        })
        .collect();
    assert!(all.into_iter().all(|one| one.join().unwrap() == 200));
    assert_eq!(issuer.asked("/introspect"), 1);
    let asked = issuer
        .origin
        .seen()
        .into_iter()
        .find(|seen| seen.target == "/introspect")
        .unwrap();
    assert_eq!(
        asked.header("authorization"),
        Some("Basic cGFsaXNhZGU6d29yZA==")
    );
    assert_eq!(asked.body, b"token=opaque&token_type_hint=access_token");
    assert_eq!(origin.last().header("x-user-id"), Some("alice"));
    issuer.says("/users/alice", 404, json!({}));
    until("who was dismissed is refused", || {
        (status(&gateway, "opaque") == 401).then_some(())
    });
    gateway.refused_for("token_revoked");
    issuer.says("/introspect", 200, json!({"active": false}));
    assert_eq!(status(&gateway, "another"), 401);
}

#[test]
fn a_token_among_websocket_protocols_never_reaches_the_application() {
    let origin = Origin::scripted(|seen| {
        let chosen = if seen.header("sec-websocket-protocol").is_some() {
            "Sec-WebSocket-Protocol: chat\r\n"
        } else {
            ""
        };
        vec![
            Step::text(format!(
                "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n{chosen}Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
            )),
            Step::Close,
        ]
    });
    let made = keys(&json!([{"kid": "k", "alg": "ES256"}]));
    let issuer = Issuer::start();
    issuer.says("/keys", 200, published(&[&made[0]]));
    let check = format!(
        "jwks_url: \"{}\", websocket_protocol: bearer.",
        issuer.url("/keys")
    );
    let gateway = Gateway::start(&plan(&origin, &check));
    let token = signed(&made[0], json!({}));
    let offered = |protocols: &str| {
        let mut conn = Conn::open(gateway.http);
        conn.write(get("/live", &format!(
            "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: {protocols}\r\n"
        )).replace("Connection: close\r\n", ""));
        conn.head().unwrap()
    };
    let both = offered(&format!("bearer.{token}, chat"));
    assert_eq!(
        (both.status, both.header("sec-websocket-protocol")),
        (101, Some("chat"))
    );
    assert_eq!(origin.last().all("sec-websocket-protocol"), ["chat"]);
    let alone = offered(&format!("bearer.{token}"));
    assert_eq!(
        (alone.status, alone.header("sec-websocket-protocol")),
        (101, Some(format!("bearer.{token}").as_str()))
    );
    let seen = origin.last();
    assert!(!String::from_utf8_lossy(&seen.head).contains(&token));
    assert_eq!(seen.header("x-user-id"), Some("alice"));
    assert_eq!(offered("chat").status, 401);
}

#[test]
fn operators_call_tokens_back() {
    let (origin, issuer) = (Origin::start(), Issuer::start());
    let made = keys(&json!([{"kid": "k", "alg": "ES256"}]));
    issuer.says("/keys", 200, published(&[&made[0]]));
    let gateway = Gateway::start(&plan(
        &origin,
        &format!("jwks_url: \"{}\", revocation: true", issuer.url("/keys")),
    ));
    let [one, two, other] = ["1", "2", "3"].map(|jti| {
        let user = if jti == "3" { "bob" } else { "alice" };
        signed(&made[0], json!({"jti": jti, "sub": user}))
    });
    let admin = gateway.operator();
    let revoke = |arguments: &[&str]| {
        let all = [&["token", "revoke", "--admin", &admin], arguments].concat();
        let output = run(&all);
        (
            output.status.code(),
            String::from_utf8_lossy(&output.stdout).into_owned(),
        )
    };
    assert_eq!(status(&gateway, &one), 200);
    let (code, said) = revoke(&["--token", &one, "--reason", "stolen"]);
    assert!(code == Some(0) && said.contains("jti 1 of alice"), "{said}");
    assert_eq!((status(&gateway, &one), status(&gateway, &two)), (401, 200));
    gateway.line("of the revocation", |line| {
        line["event"] == "token_revoked" && line["detail"] == "jti 1: stolen"
    });
    assert_eq!(revoke(&["--user", "alice", "--for", "1h"]).0, Some(0));
    assert_eq!(
        (status(&gateway, &two), status(&gateway, &other)),
        (401, 200)
    );
    assert_eq!(revoke(&["--token", "nonsense"]).0, Some(1));
    assert_eq!(revoke(&[]).0, Some(2));
}

//! Tokens made by PyJWT against the `jwt` check: every algorithm, and every way to cheat.

use serde_json::{Value, json};

use crate::support::raw::get;
use crate::support::tools::{fed, python, stdout};
use crate::support::{Gateway, Origin, Plan, exchange};

const SECRET: &str = "a secret of more than thirty-two bytes, used in tests";

/// Signs every order at once.
pub(crate) fn tokens(orders: &[Value]) -> Vec<String> {
    let output = fed(
        &mut python("tokens.py"),
        json!(orders).to_string().as_bytes(),
    );
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout)
        .lines()
        .map(str::to_owned)
        .collect()
}

pub(crate) fn claims(more: &[(&str, Value)]) -> Value {
    let mut all = json!({
        "sub": "alice", "iss": "tests", "aud": "app", "exp": {"now": 600}, "token_type": "access", "role": "user",
    });
    for (name, value) in more {
        if value.is_null() {
            all.as_object_mut().unwrap().remove(*name);
        } else {
            all[*name] = value.clone();
        }
    }
    all
}

fn plan(origin: &Origin, keys: &str) -> Plan {
    Plan::new(origin.address)
        .top("secrets:\n  jwt: {env: PALISADE_TEST_JWT}")
        .env("PALISADE_TEST_JWT", SECRET)
        .check("token", &format!(
            "{{check: jwt, {keys}, issuer: tests, audience: app, require: {{token_type: access}}, forward: {{sub: X-User-Id, role: X-User-Role}}}}"
        ))
        .route("{name: open, match: {path: /open}, to: app, public: test}")
        .route("{name: all, match: {path: \"/*\"}, to: app, use: [token]}")
}

fn ask(gateway: &Gateway, id: &str, token: &str) -> (u16, Value) {
    let status = exchange(
        gateway.http,
        get(
            "/api",
            &format!("X-Request-ID: {id}\r\nAuthorization: Bearer {token}\r\n"),
        ),
    )
    .status;
    (status, gateway.event(id))
}

#[test]
fn accepts_hs256_and_forwards_claims_that_a_client_cannot_set() {
    let origin = Origin::start();
    let gateway = Gateway::start(&plan(&origin, "secret: jwt, algorithms: [HS256]"));
    let token = &tokens(&[json!({"alg": "HS256", "key": SECRET, "claims": claims(&[])})])[0];
    let (status, event) = ask(&gateway, "good", token);
    assert_eq!((status, event["user"].as_str()), (200, Some("alice")));
    let forged = "X-User-Id: root\r\nx-user-role: admin\r\nX_User_Id: root\r\nConnection: close, X-User-Id, X-User-Role, Authorization\r\n";
    let answer = exchange(
        gateway.http,
        get(
            "/api",
            &format!("Authorization: Bearer {token}\r\n{forged}"),
        ),
    );
    if answer.status == 200 {
        let seen = origin.last();
        assert_eq!(
            (seen.all("x-user-id"), seen.all("x-user-role")),
            (vec!["alice"], vec!["user"])
        );
        assert!(seen.all("x_user_id").is_empty());
    } else {
        assert_eq!(answer.status, 400);
    }
    // Where nobody is asked who they are, nobody can claim to be someone.
    assert_eq!(
        exchange(
            gateway.http,
            get("/open", "X-User-Id: root\r\nX-User-Role: admin\r\n")
        )
        .status,
        200
    );
    assert!(
        origin.last().all("x-user-id").is_empty() && origin.last().all("x-user-role").is_empty()
    );
}

#[test]
fn accepts_every_asymmetric_algorithm_from_a_jwks_file_and_from_pem() {
    let keys = tempfile::tempdir().unwrap();
    stdout(python("keys.py").arg(keys.path()));
    let origin = Origin::start();
    let file = |name: &str| keys.path().join(name).display().to_string();
    let names = [
        ("RS256", "rsa"),
        ("PS256", "ps"),
        ("ES256", "ec"),
        ("EdDSA", "ed"),
    ];
    let orders: Vec<Value> = names
        .iter()
        .map(|(alg, name)| json!({"alg": alg, "key_file": file(&format!("{name}.private")), "claims": claims(&[]), "headers": {"kid": name}}))
        .collect();
    let signed = tokens(&orders);
    let jwks = Gateway::start(&plan(
        &origin,
        &format!(
            "jwks: {}, algorithms: [RS256, PS256, ES256, EdDSA]",
            file("jwks.json")
        ),
    ));
    for ((alg, name), token) in names.iter().zip(&signed) {
        assert_eq!(
            ask(&jwks, &format!("jwks-{name}"), token).0,
            200,
            "{alg} from JWKS"
        );
        let pem = Gateway::start(&plan(
            &origin,
            &format!(
                "pem_files: {}, algorithms: [{alg}]",
                file(&format!("{name}.public"))
            ),
        ));
        assert_eq!(
            ask(&pem, &format!("pem-{name}"), token).0,
            200,
            "{alg} from PEM"
        );
        for (other, wrong) in names
            .iter()
            .zip(&signed)
            .filter(|(other, _)| other.1 != *name)
        {
            assert_eq!(
                ask(&pem, &format!("pem-{name}-{}", other.1), wrong).0,
                401,
                "{} accepted as {alg}",
                other.0
            );
        }
    }
    // Signed by a key that nobody published, under the name of one that somebody did.
    let forged = tokens(&[
        json!({"alg": "RS256", "key_file": file("rsa2.private"), "claims": claims(&[]), "headers": {"kid": "rsa"}}),
    ]);
    assert_eq!(ask(&jwks, "forged", &forged[0]).0, 401);
}

#[test]
fn refuses_every_known_way_to_cheat() {
    let keys = tempfile::tempdir().unwrap();
    stdout(python("keys.py").arg(keys.path()));
    let file = |name: &str| keys.path().join(name).display().to_string();
    let origin = Origin::start();
    let hs = Gateway::start(&plan(&origin, "secret: jwt, algorithms: [HS256]"));
    let rs = Gateway::start(&plan(
        &origin,
        &format!("pem_files: {}, algorithms: [RS256]", file("rsa.public")),
    ));
    let jwks = Gateway::start(&plan(
        &origin,
        &format!("jwks: {}, algorithms: [RS256, ES256]", file("jwks.json")),
    ));
    let hs256 = |changes: &[(&str, Value)]| json!({"alg": "HS256", "key": SECRET, "claims": claims(changes)});
    let raw = |header: &str, payload: &str| json!({"alg": "HS256", "key": SECRET, "raw": [header, payload]});
    let good = r#"{"sub":"alice","iss":"tests","aud":"app","token_type":"access","exp":@FUTURE@}"#;
    let with_exp = |exp: &str| good.replace("@FUTURE@", exp);
    let head = r#"{"alg":"HS256","typ":"JWT"}"#;
    let rsa = |header: &str| json!({"alg": "RS256", "key_file": file("rsa.private"), "raw": [header, good]});
    let cases: Vec<(&str, &Gateway, Value, &str)> = vec![
        (
            "expired",
            &hs,
            hs256(&[("exp", json!({"now": -600}))]),
            "token_expired",
        ),
        (
            "not yet",
            &hs,
            hs256(&[("nbf", json!({"now": 600}))]),
            "token_not_yet",
        ),
        ("no exp", &hs, hs256(&[("exp", Value::Null)]), ""),
        (
            "other issuer",
            &hs,
            hs256(&[("iss", json!("evil"))]),
            "token_claims",
        ),
        (
            "no issuer",
            &hs,
            hs256(&[("iss", Value::Null)]),
            "token_claims",
        ),
        (
            "other audience",
            &hs,
            hs256(&[("aud", json!("other"))]),
            "token_claims",
        ),
        (
            "refresh as access",
            &hs,
            hs256(&[("token_type", json!("refresh"))]),
            "token_claims",
        ),
        (
            "no token type",
            &hs,
            hs256(&[("token_type", Value::Null)]),
            "token_claims",
        ),
        (
            "other secret",
            &hs,
            json!({"alg": "HS256", "key": "another secret of more than thirty-two bytes", "claims": claims(&[])}),
            "token_invalid",
        ),
        (
            "none",
            &hs,
            json!({"alg": "HS256", "key": SECRET, "raw": [r#"{"alg":"none"}"#, good], "sign": false}),
            "token_invalid",
        ),
        (
            "None",
            &hs,
            json!({"alg": "HS256", "key": SECRET, "raw": [r#"{"alg":"nOnE"}"#, good]}),
            "token_invalid",
        ),
        (
            "empty signature",
            &hs,
            json!({"alg": "HS256", "key": SECRET, "raw": [head, good], "sign": false}),
            "token_invalid",
        ),
        (
            "algorithm not listed",
            &hs,
            json!({"alg": "HS512", "key": SECRET, "claims": claims(&[])}),
            "token_invalid",
        ),
        (
            "public key as secret",
            &rs,
            json!({"alg": "HS256", "key_file": file("rsa.public"), "raw": [head, good]}),
            "token_invalid",
        ),
        (
            "public key as secret, with kid",
            &jwks,
            json!({"alg": "HS256", "key_file": file("rsa.public"), "raw": [r#"{"alg":"HS256","kid":"rsa"}"#, good]}),
            "token_invalid",
        ),
        (
            "kid traversal",
            &jwks,
            rsa(r#"{"alg":"RS256","kid":"../../../../dev/null"}"#),
            "token_invalid",
        ),
        (
            "kid injection",
            &jwks,
            rsa(r#"{"alg":"RS256","kid":"rsa' OR '1'='1"}"#),
            "token_invalid",
        ),
        (
            "kid of another algorithm",
            &jwks,
            rsa(r#"{"alg":"RS256","kid":"ec"}"#),
            "token_invalid",
        ),
        (
            "unknown crit",
            &hs,
            raw(r#"{"alg":"HS256","crit":["exp2"],"exp2":1}"#, good),
            "token_invalid",
        ),
        (
            "exp as string",
            &hs,
            raw(head, &with_exp("\"9999999999\"")),
            "",
        ),
        ("exp 1e400", &hs, raw(head, &with_exp("1e400")), ""),
        ("exp negative", &hs, raw(head, &with_exp("-1")), ""),
        (
            "nbf as string",
            &hs,
            raw(head, &with_exp("9999999999,\"nbf\":\"1\"")),
            "",
        ),
        (
            "duplicate claims",
            &hs,
            raw(head, &with_exp("9999999999,\"sub\":\"root\"")),
            "",
        ),
        ("not an object", &hs, raw(head, "[]"), "token_invalid"),
        ("not JSON", &hs, raw(head, "exp"), "token_invalid"),
        (
            "header not an object",
            &hs,
            raw("\"HS256\"", good),
            "token_invalid",
        ),
    ];
    let orders: Vec<Value> = cases.iter().map(|case| case.2.clone()).collect();
    let mut wrong = Vec::new();
    for ((number, (name, gateway, _, reason)), token) in
        cases.iter().enumerate().zip(&tokens(&orders))
    {
        let (status, event) = ask(gateway, &format!("cheat-{number}"), token);
        let as_said = reason.is_empty() || event["reason"] == *reason;
        if status != 401 || !as_said {
            wrong.push(format!("{name}: {status} {}", event["reason"]));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(origin.count(), 0);
}

/// A header that names a key to fetch: nothing is fetched, and the token stands or falls with the configured key.
#[test]
fn fetches_nothing_that_a_token_names() {
    let keys = tempfile::tempdir().unwrap();
    stdout(python("keys.py").arg(keys.path()));
    let trap = Origin::start();
    let origin = Origin::start();
    let gateway = Gateway::start(&plan(
        &origin,
        &format!(
            "jwks: {}, algorithms: [RS256]",
            keys.path().join("jwks.json").display()
        ),
    ));
    let url = format!("http://{}/keys", trap.address);
    let stranger = keys.path().join("rsa2.private").display().to_string();
    let orders: Vec<Value> = [json!({"jku": url}), json!({"x5u": url}), json!({"jwk": {"kty": "RSA", "n": "AQAB", "e": "AQAB"}}), json!({"jku": url, "kid": "rsa"})]
        .into_iter()
        .map(|headers| json!({"alg": "RS256", "key_file": stranger, "claims": claims(&[]), "headers": headers}))
        .collect();
    for (number, token) in tokens(&orders).iter().enumerate() {
        assert_eq!(ask(&gateway, &format!("fetch-{number}"), token).0, 401);
    }
    assert_eq!((trap.connections(), origin.count()), (0, 0));
}

#[test]
fn refuses_missing_odd_and_oversized_tokens() {
    let origin = Origin::start();
    let gateway = Gateway::start(&plan(&origin, "secret: jwt, algorithms: [HS256]"));
    let good = &tokens(&[json!({"alg": "HS256", "key": SECRET, "claims": claims(&[])})])[0];
    let ask = |fields: &str| exchange(gateway.http, get("/api", fields)).status;
    let missing = exchange(gateway.http, get("/api", ""));
    assert_eq!(missing.status, 401);
    assert!(
        missing
            .header("www-authenticate")
            .unwrap()
            .starts_with("Bearer")
    );
    assert_eq!(
        ask(&format!("Authorization: bearer {good}\r\n")),
        200,
        "the scheme has no case"
    );
    for bad in [
        format!("Authorization: Basic {good}"),
        format!("Authorization: Bearer {good}."),
        format!("Authorization: Bearer {}", &good[..good.len() - 2]),
        format!("Authorization: Bearer {good} {good}"),
        "Authorization: Bearer ..".to_owned(),
        "Authorization: Bearer a.b.c".to_owned(),
        format!("Authorization: Bearer {good}\r\nAuthorization: Bearer {good}x"),
        format!("Authorization: Bearer {}", "e".repeat(16_000)),
    ] {
        let status = ask(&format!("{bad}\r\n"));
        assert!(
            matches!(status, 400 | 401),
            "{status} for {}",
            &bad[..bad.len().min(80)]
        );
    }
    let huge = ask(&format!(
        "Authorization: Bearer {}\r\n",
        "e".repeat(1_000_000)
    ));
    assert!(matches!(huge, 400 | 401 | 431), "{huge}");
    assert_eq!(origin.count(), 1);
}

/// The cache of verified tokens ends with the token.
#[test]
fn a_cached_token_expires_on_time() {
    let origin = Origin::start();
    let gateway = Gateway::start(&plan(
        &origin,
        "secret: jwt, algorithms: [HS256], leeway: 0s",
    ));
    let token = &tokens(&[
        json!({"alg": "HS256", "key": SECRET, "claims": claims(&[("exp", json!({"now": 3}))])}),
    ])[0];
    assert_eq!(ask(&gateway, "fresh", token).0, 200);
    let mut number = 0;
    crate::support::until("the token is refused", || {
        number += 1;
        let (status, event) = ask(&gateway, &format!("aging-{number}"), token);
        (status == 401).then(|| assert_eq!(event["reason"], "token_expired"))
    });
}

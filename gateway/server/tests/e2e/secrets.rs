//! Secrets of providers: a real OpenBao, programs, files, and an Azure Key Vault that is a server of the test. What a secret
//! is seen by is a token of PyJWT that it signs, sent through the front door.

mod azure;
mod near;

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use serde_json::{Value, json};

use crate::support::gateway::{replace, run};
use crate::support::raw::get;
use crate::support::redis::Between;
use crate::support::tools::{fed, python};
use crate::support::vault::{TOKEN, Vault};
use crate::support::{Conn, Gateway, Origin, Plan, exchange, until};

const KEYS: [&str; 3] = [
    "the-first-key-of-more-than-thirty-two-bytes",
    "the-second-key-of-more-than-thirty-two-bytes",
    "the-third-key-of-more-than-thirty-two-bytes",
];

/// A token for each key.
fn tokens() -> [String; 3] {
    let order =
        |key| json!({"alg": "HS256", "key": key, "claims": {"sub": "alice", "exp": {"now": 3600}}});
    let orders: Vec<Value> = KEYS.iter().map(order).collect();
    let output = fed(
        &mut python("tokens.py"),
        json!(orders).to_string().as_bytes(),
    );
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let lines: Vec<String> = text.lines().map(str::to_owned).collect();
    lines.try_into().unwrap()
}

fn with_token(token: &str) -> String {
    get("/", &format!("Authorization: Bearer {token}\r\n"))
}

fn status(gateway: &Gateway, token: &str) -> u16 {
    exchange(gateway.http, with_token(token)).status
}

#[track_caller]
fn becomes(gateway: &Gateway, token: &str, wanted: u16) {
    until(&format!("a token is answered {wanted}"), || {
        (status(gateway, token) == wanted).then_some(())
    });
}

/// Tokens signed with the secret `jwt`, which is `place`.
fn plan(origin: &Origin, place: &str) -> Plan {
    Plan::new(origin.address)
        .top(&format!(
            "secrets:\n  vault-token: {{file: vault-token}}\n  jwt: {place}"
        ))
        .file("vault-token", TOKEN)
        .check("token", "{check: jwt, secret: jwt, algorithms: [HS256]}")
        .route("{name: all, match: {path: \"/*\"}, to: app, use: [token]}")
}

fn of_vault(address: impl std::fmt::Display, more: &str) -> String {
    format!(
        "{{vault: {{address: \"http://{address}\", path: shop/jwt, field: key, token: vault-token}}, {more}}}"
    )
}

fn failing(gateway: &Gateway) -> bool {
    gateway.metric("palisade_secret_failing", &[("secret", "jwt")]) == 1.0
}

#[track_caller]
fn fails(gateway: &Gateway, why: &str) {
    gateway.line(why, |line| {
        line["event"] == "secret_failed" && line["detail"].as_str().unwrap().contains(why)
    });
    until("the metric says so", || failing(gateway).then_some(()));
}

#[track_caller]
fn recovers(gateway: &Gateway) {
    until("the metric says so", || (!failing(gateway)).then_some(()));
}

/// No value and no credential is told anywhere.
#[track_caller]
fn tells_nothing(gateway: &Gateway) {
    let mut all = gateway.stderr();
    gateway
        .lines()
        .iter()
        .for_each(|line| all.push_str(&line.to_string()));
    for path in ["/policy", "/secrets", "/metrics"] {
        all.push_str(&gateway.admin_get(path).text());
    }
    for value in KEYS.iter().chain(&[TOKEN]) {
        assert!(!all.contains(value), "{value} was told");
    }
}

#[test]
fn a_key_of_a_vault_is_rotated_while_requests_run() {
    let (origin, vault, tokens) = (Origin::start(), Vault::start(), tokens());
    vault.put("shop/jwt", "key", KEYS[0]);
    let place = of_vault(vault.address(), "cache: 1s, previous_for: 1h");
    let gateway = Gateway::start(&plan(&origin, &place));
    assert_eq!(
        (status(&gateway, &tokens[0]), status(&gateway, &tokens[1])),
        (200, 401)
    );
    let (done, answered) = (AtomicBool::new(false), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                let mut conn = Conn::open(gateway.http);
                while !done.load(Ordering::Relaxed) {
                    conn.write(with_token(&tokens[0]));
                    match conn.response() {
                        Some(answer) => {
                            assert_eq!(answer.status, 200, "the key before is good for an hour");
                            answered.fetch_add(1, Ordering::Relaxed);
                            if answer.header("connection") == Some("close") {
                                conn = Conn::open(gateway.http);
                            }
                        }
                        // A kept connection may have come to its end.
                        None => conn = Conn::open(gateway.http),
                    }
                }
            });
        }
        for (key, token) in KEYS.iter().zip(&tokens).skip(1) {
            vault.put("shop/jwt", "key", key);
            becomes(&gateway, token, 200);
        }
        done.store(true, Ordering::Relaxed);
    });
    assert!(answered.load(Ordering::Relaxed) > 0);
    gateway.line("of the reload", |line| {
        line["event"] == "policy_loaded" && line["detail"] == "a secret has another value"
    });
    let listed: Value = serde_json::from_str(&gateway.admin_get("/secrets").text()).unwrap();
    let jwt = listed["secrets"]
        .as_array()
        .unwrap()
        .iter()
        .find(|one| one["name"] == "jwt");
    let jwt = jwt.unwrap();
    assert_eq!(jwt["provider"], "vault");
    assert_eq!(jwt["previous_until"].as_array().unwrap().len(), 2, "{jwt}");
    tells_nothing(&gateway);
}

#[test]
fn the_key_before_is_refused_after_its_grace() {
    let (origin, vault, tokens) = (Origin::start(), Vault::start(), tokens());
    vault.put("shop/jwt", "key", KEYS[0]);
    let place = of_vault(vault.address(), "cache: 1s, previous_for: 2s");
    let gateway = Gateway::start(&plan(&origin, &place));
    vault.put("shop/jwt", "key", KEYS[1]);
    becomes(&gateway, &tokens[1], 200);
    becomes(&gateway, &tokens[0], 401);
    assert_eq!(status(&gateway, &tokens[1]), 200);
}

#[test]
fn the_version_before_is_accepted_by_a_gateway_that_starts_within_the_grace() {
    let (origin, vault, tokens) = (Origin::start(), Vault::start(), tokens());
    for key in KEYS {
        vault.put("shop/jwt", "key", key);
    }
    let gateway = Gateway::start(&plan(
        &origin,
        &of_vault(vault.address(), "previous_for: 1h"),
    ));
    let seen = tokens.each_ref().map(|token| status(&gateway, token));
    assert_eq!(seen, [401, 200, 200], "one version back and no further");
    let pinned = "{vault: {address: \"http://@\", path: shop/jwt, field: key, token: vault-token, version: 1}, previous_for: 1h}";
    let pinned = pinned.replace('@', &vault.address().to_string());
    let gateway = Gateway::start(&plan(&origin, &pinned));
    let seen = tokens.each_ref().map(|token| status(&gateway, token));
    assert_eq!(seen, [200, 401, 401], "that version alone");
}

#[test]
fn a_vault_that_is_gone_costs_nothing_and_is_told_of() {
    let (origin, vault, tokens) = (Origin::start(), Vault::start(), tokens());
    let between = Between::start(vault.address());
    vault.put("shop/jwt", "key", KEYS[0]);
    let place = of_vault(between.address, "cache: 1s, timeout: 1s, previous_for: 1h");
    let gateway = Gateway::start(&plan(&origin, &place));
    assert!(!failing(&gateway));
    between.cut();
    fails(&gateway, "jwt (vault http://");
    assert_eq!(status(&gateway, &tokens[0]), 200, "the last good value");
    // A policy that changes meanwhile needs no vault.
    gateway.replace(&plan(&origin, &place).top("policy_header: X-Policy"));
    until("the changed policy serves", || {
        exchange(gateway.http, with_token(&tokens[0]))
            .header("x-policy")
            .map(drop)
    });
    vault.put("shop/jwt", "key", KEYS[1]);
    between.pass();
    becomes(&gateway, &tokens[1], 200);
    recovers(&gateway);
    gateway.line("that it is back", |line| {
        line["event"] == "secret_recovered"
    });
    between.stall();
    fails(&gateway, "no answer within");
    assert_eq!(status(&gateway, &tokens[1]), 200);
    tells_nothing(&gateway);
}

#[test]
fn a_value_that_does_not_fit_keeps_the_one_in_service() {
    let (origin, vault, tokens) = (Origin::start(), Vault::start(), tokens());
    vault.put("shop/jwt", "key", KEYS[0]);
    let place = of_vault(vault.address(), "cache: 1s");
    let gateway = Gateway::start(&plan(&origin, &place));
    for (unfit, why) in [
        (json!({"key": "short"}), "shorter than 32 bytes"),
        (json!({"other": KEYS[1]}), "no field `key`"),
        (
            json!({"key": "x".repeat(70_000)}),
            "the one before it serves on",
        ),
    ] {
        vault.does("POST", "secret/data/shop/jwt", json!({"data": unfit}));
        fails(&gateway, why);
        assert_eq!(status(&gateway, &tokens[0]), 200, "{why}");
        // The policy is none the worse for it.
        assert_eq!(gateway.admin_ask("POST", "/reload").status, 200, "{why}");
        vault.put("shop/jwt", "key", KEYS[0]);
        recovers(&gateway);
    }
    vault.put("shop/jwt", "key", KEYS[2]);
    becomes(&gateway, &tokens[2], 200);
    assert_eq!(status(&gateway, &tokens[0]), 401, "no grace was asked for");
}

#[test]
fn a_value_waits_for_a_policy_on_disk_that_has_faults() {
    let (origin, vault, tokens) = (Origin::start(), Vault::start(), tokens());
    vault.put("shop/jwt", "key", KEYS[0]);
    let plan = plan(&origin, &of_vault(vault.address(), "cache: 1s"));
    let gateway = Gateway::start(&plan);
    gateway.replace_text("version: nonsense");
    gateway.line("of the refusal", |line| line["event"] == "policy_rejected");
    vault.put("shop/jwt", "key", KEYS[1]);
    fails(&gateway, "waits");
    assert_eq!(status(&gateway, &tokens[0]), 200);
    gateway.replace(&plan);
    becomes(&gateway, &tokens[1], 200);
    recovers(&gateway);
}

#[test]
fn an_application_logs_in_again_when_its_token_was_called_back() {
    let (origin, vault, tokens) = (Origin::start(), Vault::start(), tokens());
    vault.put("shop/jwt", "key", KEYS[0]);
    vault.does("POST", "sys/auth/approle", json!({"type": "approle"}));
    let rule = "path \"secret/data/shop/*\" { capabilities = [\"read\"] }";
    vault.does("PUT", "sys/policies/acl/shop", json!({"policy": rule}));
    vault.does(
        "POST",
        "auth/approle/role/shop",
        json!({"token_policies": "shop", "token_ttl": "1h"}),
    );
    let role = vault.call("GET", "auth/approle/role/shop/role-id", None).1;
    let made = vault.does("POST", "auth/approle/role/shop/secret-id", json!({}));
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let place = format!(
        "{{vault: {{address: \"http://{}\", path: shop/jwt, field: key, app_role: {{role_id: role, secret_id: made}}}}, cache: 1s}}\n  role: {{env: VAULT_ROLE}}\n  made: {{env: VAULT_SECRET}}",
        vault.address()
    );
    let gateway = Gateway::start(
        &plan(&origin, &place)
            .env("VAULT_ROLE", &text(&role["data"]["role_id"]))
            .env("VAULT_SECRET", &text(&made["data"]["secret_id"])),
    );
    assert_eq!(status(&gateway, &tokens[0]), 200);
    vault.does(
        "PUT",
        "sys/leases/revoke-prefix/auth/approle/login",
        json!({"sync": true}),
    );
    vault.put("shop/jwt", "key", KEYS[1]);
    becomes(&gateway, &tokens[1], 200);
    let all = gateway
        .lines()
        .iter()
        .map(Value::to_string)
        .collect::<String>()
        + &gateway.stderr();
    assert!(!all.contains(&text(&made["data"]["secret_id"])));
}

/// A file that is being written, or a slip: what it would let in would be let in for the whole grace.
#[test]
fn a_file_that_becomes_short_keeps_what_is_in_service() {
    let [first, second, _] = tokens();
    let order =
        json!([{"alg": "HS256", "key": "short", "claims": {"sub": "alice", "exp": {"now": 3600}}}]);
    let short = fed(&mut python("tokens.py"), order.to_string().as_bytes());
    let short = String::from_utf8_lossy(&short.stdout).trim().to_owned();
    let origin = Origin::start();
    let gateway = Gateway::start(
        &plan(&origin, "{file: jwt.secret, previous_for: 1h}").file("jwt.secret", KEYS[0]),
    );
    becomes(&gateway, &first, 200);
    assert_eq!(short.split('.').count(), 3);
    replace(&gateway.path("jwt.secret"), b"short");
    gateway.line("why it is refused", |line| {
        line["event"] == "policy_rejected"
            && line["faults"].to_string().contains("shorter than 32 bytes")
    });
    assert_eq!(
        (status(&gateway, &first), status(&gateway, &short)),
        (200, 401)
    );
    replace(&gateway.path("jwt.secret"), KEYS[1].as_bytes());
    becomes(&gateway, &second, 200);
    assert_eq!(
        (status(&gateway, &first), status(&gateway, &short)),
        (200, 401)
    );
}

#[test]
fn a_token_that_is_replaced_in_its_file_is_used_from_then_on() {
    let (origin, vault, tokens) = (Origin::start(), Vault::start(), tokens());
    vault.put("shop/jwt", "key", KEYS[0]);
    let made = vault.does(
        "POST",
        "auth/token/create",
        json!({"policies": ["root"], "ttl": "1h"}),
    );
    let first = made["auth"]["client_token"].as_str().unwrap();
    let place = of_vault(vault.address(), "cache: 1s");
    let gateway = Gateway::start(&plan(&origin, &place).file("vault-token", first));
    vault.does("POST", "auth/token/revoke", json!({"token": first}));
    fails(&gateway, "status 403");
    assert_eq!(status(&gateway, &tokens[0]), 200);
    replace(&gateway.path("vault-token"), TOKEN.as_bytes());
    recovers(&gateway);
    vault.put("shop/jwt", "key", KEYS[1]);
    becomes(&gateway, &tokens[1], 200);
}

#[test]
fn tls_with_an_own_authority_and_a_store_without_versions() {
    let (origin, tokens) = (Origin::start(), tokens());
    let vault = Vault::over_tls();
    until("its authority is there", || {
        vault.authority().exists().then_some(())
    });
    let curl = |method: &str, path: &str, body: &Value| {
        crate::support::tools::stdout(
            crate::support::tools::program("curl")
                .args([
                    "-sf",
                    "--retry",
                    "20",
                    "--retry-delay",
                    "1",
                    "--retry-all-errors",
                    "-X",
                    method,
                    "-d",
                    &body.to_string(),
                ])
                .args(["-H", &format!("X-Vault-Token: {TOKEN}"), "--cacert"])
                .arg(vault.authority())
                .arg(format!("https://{}/v1/{path}", vault.address())),
        )
    };
    curl(
        "POST",
        "sys/mounts/old",
        &json!({"type": "kv", "options": {"version": "1"}}),
    );
    curl(
        "POST",
        "old/shop/jwt",
        &json!({"key": KEYS[0], "number": 7}),
    );
    let place = |ca: &str| {
        format!(
            "{{vault: {{address: \"https://{}\", mount: old, kv: 1, path: shop/jwt, field: key, token: vault-token{ca}}}}}",
            vault.address()
        )
    };
    let believing = place(&format!(", ca: \"{}\"", vault.authority().display()));
    let gateway = Gateway::start(&plan(&origin, &believing));
    assert_eq!(status(&gateway, &tokens[0]), 200);
    let folder = tempfile::tempdir().unwrap();
    let said = cannot_start(folder.path(), &plan(&origin, &place("")));
    assert!(said.contains("certificate"), "{said}");
}

/// `palisade run` on a policy that must not serve; what it says.
#[track_caller]
fn cannot_start(folder: &std::path::Path, plan: &Plan) -> String {
    let ports = [1, 2, 3].map(|_| crate::support::ports::Port::take());
    let [http, tls, admin] = [&ports[0], &ports[1], &ports[2]].map(|port| port.address());
    for (name, content) in &plan.files {
        std::fs::write(folder.join(name), content).unwrap();
    }
    let policy = folder.join("policy.yaml");
    std::fs::write(&policy, plan.render(http, tls, admin)).unwrap();
    let output = run(&["run", &policy.display().to_string()]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(3), "{said}");
    assert!(
        output.stdout.is_empty(),
        "nothing is served, nothing is told"
    );
    said
}

#[test]
fn a_start_without_a_secret_is_a_clear_fault() {
    let (origin, vault) = (Origin::start(), Vault::start());
    let between = Between::start(vault.address());
    let folder = tempfile::tempdir().unwrap();
    let faulty = |address: String, more: &str, why: &str| {
        let place = of_vault(address, &format!("timeout: 1s{more}"));
        let said = cannot_start(folder.path(), &plan(&origin, &place));
        let named = said.contains("secrets.jwt.vault") && said.contains(why);
        assert!(named && !said.contains(TOKEN), "{said}");
    };
    faulty(vault.address().to_string(), "", "status 404");
    faulty("127.0.0.1:1".to_owned(), "", "onnect");
    between.stall();
    faulty(between.address.to_string(), "", "no answer within 1s");
    between.pass();
    vault.put("shop/jwt", "key", KEYS[0]);
    let wrong =
        plan(&origin, &of_vault(vault.address(), "timeout: 5s")).file("vault-token", "wrong");
    let said = cannot_start(folder.path(), &wrong);
    assert!(said.contains("status 403: permission denied"), "{said}");
}

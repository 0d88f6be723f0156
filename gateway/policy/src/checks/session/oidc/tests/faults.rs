//! What a policy cannot mean.

use super::*;

fn faults(check: Value) -> Vec<String> {
    Bench::faults_of::<&str>("session", check, &[])
}

#[test]
fn names_what_cannot_be_meant() {
    let of = |more: Value| json!({"oidc": oidc(more)});
    for (check, says) in [
        (of(json!({"issuer_url": "id.example"})), "it.oidc.issuer_url: `id.example` is no URL"),
        (of(json!({"client": ""})), "it.oidc.client"),
        (of(json!({"url": []})), "it.oidc.url: what do browsers call"),
        (of(json!({"url": "https://app.example/shop"})), "it.oidc.url: `https://app.example/shop` is no URL"),
        (of(json!({"url": "app.example"})), "it.oidc.url"),
        (of(json!({"url": ["https://app.example", "https://app.example:8443"]})), "twice"),
        (of(json!({"parameters": {"state": "x"}})), "it.oidc.parameters.state"),
        (of(json!({"parameters": {"prompt": "none"}})), "it.oidc.parameters.prompt"),
        (of(json!({"algorithms": ["HS256"]})), "it.oidc.algorithms"),
        (of(json!({"max_age": "0s"})), "it.oidc.max_age"),
        (of(json!({"leeway": "6m"})), "it.oidc.leeway: from"),
        (of(json!({"within": "10s"})), "it.oidc.within: from"),
        (of(json!({"timeout": "1m"})), "it.oidc.timeout: from"),
        (of(json!({"key": "k"})), "either `secret` or `key`"),
        (of(json!({"key_id": "k"})), "it.oidc.key_id"),
        (of(json!({"scopes": ["a b"]})), "it.oidc.scopes"),
        (of(json!({"after_logout": "https://app.example/bye"})), "it.oidc.after_logout"),
        (of(json!({"colour": "red"})), "unknown field `colour`"),
        (json!({"oidc": oidc(json!({})), "return": "next"}), "it.return"),
        (json!({"oidc": oidc(json!({})), "ttl": "5m"}), "it.ttl: belongs to"),
        (json!({"oidc": oidc(json!({})), "cookie": "__Secure-a b"}), "it.cookie"),
        (json!({"oidc": oidc(json!({})), "secret": "jwt"}), "either `start` or `oidc`"),
        (json!({"oidc": oidc(json!({})), "start": {"request": "POST /login", "user": "form.u", "passed": {"status": 200}}}), "either `start` or `oidc`"),
        (json!({"oidc": {"issuer_url": ISSUER, "client": "shop", "url": "https://app.example", "auth": "post"}}), "it.oidc.auth"),
        (json!({"oidc": {"issuer_url": ISSUER, "client": "shop", "url": "https://app.example", "key": "no PEM"}}), "it.oidc.key: holds no private key"),
    ] {
        let text = check.to_string();
        let found = faults(check);
        assert!(found.iter().any(|fault| fault.contains(says)), "{text}: {found:?}");
    }
}

#[test]
fn warns_of_what_deserves_a_look() {
    for (more, says) in [
        (json!({"user": "email"}), "scope `email`"),
        (json!({"user": "preferred_username"}), "may choose it"),
        (json!({"url": "http://app.example"}), "over TLS only"),
        (json!({"issuer_url": "http://id.example"}), "plain HTTP"),
    ] {
        let bench = Bench::new("session", json!({"oidc": oidc(more)}));
        let found = bench.faults();
        assert!(found.iter().any(|fault| fault.contains(says)), "{says}: {found:?}");
    }
    let bench = Bench::new("session", json!({"oidc": oidc(json!({"url": "http://127.0.0.1:8080"}))}));
    assert!(bench.faults().is_empty(), "{:?}", bench.faults());
}

#![expect(clippy::unwrap_used, reason = "tests")]

use serde_json::{Value, json};

use super::{base, segments};
use crate::compile::faults::Faults;
use crate::compile::secrets::{Reading, read};
use crate::settings::secret::{Provided, Provider, VaultAccess, Wanted};
use crate::sources::{Sources, Unprovided};
use crate::spec;

/// Files that hold their own names, and providers that only note what is wanted.
#[derive(Default)]
struct Asked(Vec<Wanted>);

impl Sources for Asked {
    fn read(&mut self, path: &str) -> Result<bytes::Bytes, String> {
        Ok(path.to_owned().into())
    }

    fn glob(&mut self, _: &str) -> Result<Vec<String>, String> {
        Ok(Vec::new())
    }

    fn env(&mut self, _: &str) -> Option<String> {
        None
    }

    fn provide(&mut self, wanted: &[Wanted]) -> Vec<Result<Provided, Unprovided>> {
        self.0.extend(wanted.iter().cloned());
        let failed = || Err(Unprovided::Failed("status 403".to_owned()));
        wanted.iter().map(|_| failed()).collect()
    }
}

/// What is wanted for the secret `s`, and every fault. Beside it are a file `token` and a program `far`.
fn wanted(secret: Value) -> (Vec<Wanted>, Vec<String>) {
    let specs = [
        ("s", secret),
        ("token", json!({"file": "the-token"})),
        ("far", json!({"command": ["/bin/far"]})),
    ];
    let specs = specs.map(|(name, spec)| {
        let spec: spec::Secret = serde_json::from_value(spec).unwrap();
        (name.to_owned(), spec)
    });
    let (mut sources, mut faults) = (Asked::default(), Faults::default());
    let mut reading = Reading {
        sources: &mut sources,
        now: 0,
        before: None,
        ca: None,
        invent: true,
    };
    read(&specs, &mut reading, &mut faults);
    sources.0.retain(|wanted| wanted.name == "s");
    let about = |path: &str| path.starts_with("secrets.s");
    let faults = faults
        .pending
        .into_iter()
        .map(|fault| (fault.path.to_string(), fault.message));
    let faults = faults
        .filter(|(path, _)| about(path))
        .map(|(path, why)| format!("{path}: {why}"));
    (sources.0, faults.collect())
}

fn vault(more: Value) -> Value {
    let mut vault =
        json!({"address": "https://vault.example", "path": "shop/jwt", "token": "token"});
    let more = more.as_object().unwrap().clone();
    vault.as_object_mut().unwrap().extend(more);
    json!({ "vault": vault })
}

#[test]
fn a_vault_is_asked_with_defaults_and_its_failure_is_the_secret_s_fault() {
    let (asked, faults) = wanted(vault(json!({})));
    let Some(Provider::Vault(vault)) = asked.first().map(|wanted| &wanted.provider) else {
        panic!("{faults:?}")
    };
    assert_eq!(
        (vault.mount.as_str(), vault.field.as_str(), vault.versioned),
        ("secret", "value", true)
    );
    let VaultAccess::Token(token) = &vault.access else {
        panic!("{vault:?}")
    };
    assert_eq!(&**token.0, b"the-token");
    assert_eq!(
        faults,
        ["secrets.s.vault: no value from https://vault.example/secret shop/jwt#value: status 403"]
    );
    assert!(!format!("{asked:?}").contains("the-token"));
}

#[test]
fn what_cannot_be_asked_is_a_fault_and_asks_nobody() {
    let azure = |more: Value| {
        let mut azure = json!({"vault_url": "https://a.example", "name": "s"});
        azure
            .as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        json!({ "azure": azure })
    };
    for (secret, why) in [
        (json!({}), "exactly one of"),
        (json!({"env": "A", "command": ["/bin/a"]}), "exactly one of"),
        (json!({"command": []}), "whole path"),
        (json!({"command": ["pass", "show"]}), "whole path"),
        (json!({"file": "f", "cache": "1m"}), "is for `command`"),
        (json!({"file": "f", "timeout": "1s"}), "is for `command`"),
        (
            json!({"command": ["/bin/a"], "cache": "10ms"}),
            "out of bounds",
        ),
        (
            json!({"command": ["/bin/a"], "timeout": "1h"}),
            "out of bounds",
        ),
        (
            vault(json!({"address": "http://vault.example"})),
            "plain HTTP",
        ),
        (vault(json!({"path": "../sys/seal"})), "no path"),
        (vault(json!({"token": null})), "exactly one of `token`"),
        (
            vault(json!({"app_role": {"role_id": "token", "secret_id": "token"}})),
            "exactly one of `token`",
        ),
        (
            vault(json!({"token": "far"})),
            "must itself be `env` or `file`",
        ),
        (vault(json!({"token": "none"})), "there is no secret `none`"),
        (vault(json!({"kv": 3})), "no version"),
        (vault(json!({"kv": 1, "version": 2})), "keeps versions"),
        (azure(json!({})), "needs `tenant`"),
        (
            azure(json!({"managed_identity": {}, "client_secret": "token"})),
            "needs `tenant`",
        ),
        (
            azure(json!({"managed_identity": {}, "name": "a/b"})),
            "letters, digits",
        ),
        (
            azure(json!({"managed_identity": {"endpoint": "http://10.0.0.1/token"}})),
            "plain HTTP",
        ),
    ] {
        let (asked, faults) = wanted(secret.clone());
        assert!(
            faults.iter().any(|fault| fault.contains(why)),
            "{secret}: {faults:?}"
        );
        assert!(asked.is_empty(), "{secret}");
    }
}

#[test]
fn another_credential_asks_for_the_same_value() {
    let one = |secret| wanted(secret).0.remove(0);
    let first = one(vault(json!({})));
    let role = json!({"token": null, "app_role": {"role_id": "token", "secret_id": "token"}});
    assert!(first.same_value(&one(vault(role))));
    for other in [
        json!({"path": "shop/other"}),
        json!({"address": "https://other.example"}),
        json!({"version": 2}),
    ] {
        assert!(!first.same_value(&one(vault(other))));
    }
}

#[test]
fn secrets_cross_a_network_by_tls_only() {
    for far in [
        "http://vault.example:8200",
        "http://127.evil.example",
        "https://user@vault.example",
        "ftp://vault.example",
        "vault.example",
    ] {
        assert!(base(far).is_err(), "{far}");
    }
    for near in [
        "http://127.0.0.1:8200/",
        "http://[::1]:8200",
        "http://localhost",
        "http://169.254.169.254/metadata",
    ] {
        assert!(base(near).is_ok(), "{near}");
    }
    assert_eq!(
        base("https://vault.example/v/").as_deref(),
        Ok("https://vault.example/v")
    );
}

#[test]
fn a_path_leads_nowhere_else() {
    assert_eq!(segments("/shop/jwt/").as_deref(), Ok("shop/jwt"));
    for odd in [
        "",
        "a/../b",
        "a//b",
        "a?b",
        "a#b",
        "a b",
        "a/%2e%2e/b",
        "a/./b",
    ] {
        assert!(segments(odd).is_err(), "{odd}");
    }
}

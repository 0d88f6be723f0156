//! Claims about the schema, and about the example policies that it is named in.
#![expect(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::fs;
use std::path::PathBuf;

use base64::Engine as _;
use bytes::Bytes;
use serde_json::{Value, json};

use super::*;
use crate::checks::geo::mmdb;
use crate::fault::Weight;
use crate::policy::Policy;
use crate::sources::Sources;
use crate::spec::GENERIC_KEYS;
use crate::yaml::include;
use crate::{cases, yaml};

/// 2026-11-20.
const NOW: u64 = 1_795_132_800_000;

fn policies() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../policies")
}

/// A rule that reads what the Core Rule Set reads.
const RULE: &str = r#"
SecRule ARGS "@rx sleep" "id:920350,phase:2,pass"
SecRule ARGS "@rx sleep" "id:920351,phase:2,pass,chain"
SecRule TX:BLOCKING_PARANOIA_LEVEL|TX:DETECTION_PARANOIA_LEVEL "@ge 1""#;

/// A key that nobody uses, in PEM.
fn private_key() -> Vec<u8> {
    use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
    let random = aws_lc_rs::rand::SystemRandom::new();
    let der = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).unwrap();
    let text = base64::engine::general_purpose::STANDARD.encode(der.as_ref());
    let label = "PRIVATE KEY";
    format!("-----BEGIN {label}-----\n{text}\n-----END {label}-----\n").into_bytes()
}

/// The folder of examples, and what they need that no repository holds.
struct Examples;

impl Sources for Examples {
    fn read(&mut self, path: &str) -> Result<Bytes, String> {
        let key = "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEA11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=\n-----END PUBLIC KEY-----\n";
        let made = match path {
            "geo/country.mmdb" => mmdb::write(&[("203.0.113.0/24", json!({"country_code": "TW"}))]),
            "geo/asn.mmdb" => mmdb::write(&[("203.0.113.0/24", json!({"autonomous_system_number": 64501}))]),
            "keys/tokens.pem" => key.as_bytes().to_vec(),
            "keys/jwks.json" => json!({"keys": [{"kty": "OKP", "crv": "Ed25519", "kid": "one", "alg": "EdDSA", "use": "sig",
                "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}).to_string().into_bytes(),
            "/etc/modsecurity/crs/crs-setup.conf" => b"SecDefaultAction \"phase:1,log,pass\"".to_vec(),
            "/usr/share/modsecurity-crs/rules/one.conf" => RULE.as_bytes().to_vec(),
            "../certs/dev/ca.pem" => b"read by the gateway, not by the policy".to_vec(),
            "/run/secrets/oidc-key.pem" => private_key(),
            path if path.starts_with("/run/secrets/") => b"0123456789abcdef0123456789abcdef".to_vec(),
            path => return fs::read(policies().join(path)).map(Into::into).map_err(|why| why.to_string()),
        };
        Ok(made.into())
    }

    fn glob(&mut self, pattern: &str) -> Result<Vec<String>, String> {
        let (folder, name) = pattern.rsplit_once('/').unwrap_or(("", pattern));
        if folder == "/usr/share/modsecurity-crs/rules" {
            return Ok(vec![format!("{folder}/one.conf")]);
        }
        let Ok(entries) = fs::read_dir(policies().join(folder)) else {
            return Ok(Vec::new());
        };
        let ending = name.trim_start_matches('*');
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<_> = names
            .filter(|name| name.ends_with(ending))
            .map(|name| format!("{folder}/{name}"))
            .collect();
        names.sort();
        Ok(names)
    }

    fn env(&mut self, _: &str) -> Option<String> {
        Some("0123456789abcdef".to_owned())
    }
}

#[test]
fn names_every_kind_and_refuses_unknown_keys() {
    let schema: Value = serde_json::from_str(&schema()).unwrap();
    let branches = schema
        .pointer("/$defs/Check/allOf")
        .unwrap()
        .as_array()
        .unwrap();
    assert_eq!(branches.len(), KINDS.len());
    for branch in branches {
        assert_eq!(
            branch.pointer("/then/additionalProperties"),
            Some(&Value::Bool(false)),
            "{branch}"
        );
        assert!(
            branch.pointer("/then/properties/on_store_error").is_some(),
            "{branch}"
        );
    }
    assert_eq!(
        schema.get("additionalProperties"),
        Some(&Value::Bool(false))
    );
    let text = schema.to_string();
    for (at, _) in text.match_indices("\"$ref\":\"#/$defs/") {
        let name = text.get(at + 16..).unwrap().split('"').next().unwrap();
        assert!(
            schema.pointer(&format!("/$defs/{name}")).is_some(),
            "{name} is not defined"
        );
    }
}

#[test]
fn the_example_policies_load_and_pass_their_tests() {
    for file in ["starter.yaml", "full.yaml"] {
        let text = fs::read_to_string(policies().join(file)).unwrap();
        assert!(
            text.starts_with("# yaml-language-server: $schema=palisade.schema.json\n"),
            "{file}"
        );
        let loaded = Policy::load(file, &mut Examples, NOW).unwrap_or_else(|faults| {
            let lines: Vec<_> = faults.iter().map(ToString::to_string).collect();
            panic!("{}", lines.join("\n"))
        });
        assert!(
            loaded
                .warnings
                .iter()
                .all(|fault| fault.weight == Weight::Warning)
        );
        let reports = cases::run(&loaded.policy, loaded.policy.cases(), NOW);
        let bad: Vec<_> = reports
            .into_iter()
            .filter(|report| !report.differences.is_empty())
            .collect();
        assert!(bad.is_empty(), "{file}: {bad:?}");
    }
}

/// With `UPDATE=1` it is written anew.
#[test]
fn the_schema_beside_the_policies_is_this_one() {
    let file = policies().join("palisade.schema.json");
    let schema = format!("{}\n", schema());
    if std::env::var_os("UPDATE").is_some() {
        fs::write(&file, &schema).unwrap();
    }
    let beside = fs::read_to_string(&file).unwrap();
    assert!(beside == schema, "UPDATE=1 cargo test -p policy schema");
}

#[test]
fn the_full_policy_holds_every_key() {
    let schema: Value = serde_json::from_str(&schema()).unwrap();
    let (tree, faults) = include::load("full.yaml", &mut Examples);
    assert!(faults.is_empty());
    let mut walk = Walk {
        schema: &schema,
        missing: Vec::new(),
    };
    // Taken out of the tree when files are joined.
    let text = fs::read_to_string(policies().join("full.yaml")).unwrap();
    assert!(text.contains("\ninclude: "));
    walk.visit(&schema, &[&tree.root], "");
    // A store has one kind: `path` is a file's.
    let elsewhere = [".include", ".state.path"];
    walk.missing
        .retain(|key| !elsewhere.contains(&key.as_str()));
    // An answer may be described within another, and a success is described as a failure is.
    let again = [".any[].", ".all[].", ".not.", ".passed."];
    walk.missing
        .retain(|key| !again.iter().any(|part| key.contains(part)));
    for key in GENERIC_KEYS {
        let anywhere = tree
            .root
            .entry("checks")
            .unwrap()
            .value
            .entries()
            .iter()
            .any(|check| check.value.entry(key).is_some());
        assert!(anywhere || *key == "mode", "no check has `{key}`");
    }
    assert!(walk.missing.is_empty(), "missing: {:#?}", walk.missing);
}

struct Walk<'s> {
    schema: &'s Value,
    missing: Vec<String>,
}

impl<'s> Walk<'s> {
    fn resolved(&self, schema: &'s Value) -> &'s Value {
        let reference = schema.get("$ref").and_then(Value::as_str);
        reference.map_or(schema, |reference| {
            self.schema
                .pointer(reference.trim_start_matches('#'))
                .unwrap()
        })
    }

    fn visit(&mut self, schema: &'s Value, nodes: &[&yaml::Node], at: &str) {
        let schema = self.resolved(schema);
        for word in ["anyOf", "oneOf"] {
            for branch in schema
                .get(word)
                .and_then(Value::as_array)
                .into_iter()
                .flatten()
            {
                self.visit(branch, nodes, at);
            }
        }
        if let Some(branches) = schema.get("allOf").and_then(Value::as_array) {
            self.kinds(branches, nodes, at);
            return;
        }
        for (key, inner) in schema
            .get("properties")
            .and_then(Value::as_object)
            .into_iter()
            .flatten()
        {
            let values: Vec<_> = nodes
                .iter()
                .filter_map(|node| node.entry(key))
                .map(|entry| &entry.value)
                .collect();
            let at = format!("{at}.{key}");
            if values.is_empty() {
                self.missing.push(at);
            } else {
                self.visit(inner, &values, &at);
            }
        }
        if let Some(inner) = schema
            .get("additionalProperties")
            .filter(|inner| inner.is_object())
        {
            let values: Vec<_> = nodes
                .iter()
                .flat_map(|node| node.entries())
                .map(|entry| &entry.value)
                .collect();
            self.visit(inner, &values, &format!("{at}.*"));
        }
        if let Some(inner) = schema.get("items") {
            let values: Vec<_> = nodes.iter().flat_map(|node| node.items()).collect();
            self.visit(inner, &values, &format!("{at}[]"));
        }
    }

    fn kinds(&mut self, branches: &'s [Value], nodes: &[&yaml::Node], at: &str) {
        for branch in branches {
            let kind = branch
                .pointer("/if/properties/check/const")
                .and_then(Value::as_str)
                .unwrap();
            let of_kind = |node: &&&yaml::Node| {
                node.entry("check").and_then(|entry| entry.value.text()) == Some(kind)
            };
            let own: Vec<_> = nodes.iter().filter(of_kind).copied().collect();
            let before = self.missing.len();
            self.visit(branch.get("then").unwrap(), &own, &format!("{at}({kind})"));
            let generic = |key: &String| {
                GENERIC_KEYS
                    .iter()
                    .any(|generic| key.ends_with(&format!("({kind}).{generic}")))
            };
            let added = self.missing.split_off(before);
            self.missing
                .extend(added.into_iter().filter(|key| !generic(key)));
        }
    }
}

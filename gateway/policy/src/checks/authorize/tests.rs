#![expect(clippy::unwrap_used, reason = "tests")]

use std::sync::Arc;

use serde_json::{Value, json};

use crate::decision::{Answer, CheckId, Reason};
use crate::request::Identity;
use crate::testing::{Bench, Scene};

fn bench(spec: Value) -> Bench {
    Bench::new("authorize", spec)
}

/// Whether somebody with these claims may.
fn may(bench: &mut Bench, claims: Value) -> bool {
    bench.facts.identity = Some(Arc::new(Identity {
        user: "mia".to_owned(),
        claims: claims.as_object().unwrap().clone(),
        ..Identity::default()
    }));
    bench.facts.notes.clear();
    match bench.ask(&Scene::default()) {
        Answer::Pass => true,
        refused => {
            assert_eq!(refused, Answer::deny(Reason::Forbidden));
            assert!(bench.facts.note(CheckId(0)).is_some(), "a refusal says why");
            false
        }
    }
}

fn note(bench: &Bench) -> &str {
    bench.facts.note(CheckId(0)).unwrap()
}

#[test]
fn a_role_brings_its_permissions_and_those_it_includes() {
    let mut index = bench(json!({"need": "rag:index"}));
    for (role, expected) in [
        ("viewer", false),
        ("user", true),
        ("admin", true),
        ("root", false),
        ("", false),
        ("Admin", false),
    ] {
        assert_eq!(may(&mut index, json!({"role": role})), expected, "{role}");
    }
    assert!(may(&mut index, json!({"role": ["viewer", "user"]})));
    assert!(!may(&mut index, json!({"role": {"user": true}})));
    assert!(!may(&mut index, json!({"role": true})));
    assert!(!may(&mut index, json!({})));
}

#[test]
fn all_of_a_list_or_any_of_it() {
    let mut all = bench(json!({"need": ["chat", "rag:index"]}));
    assert!(!may(&mut all, json!({"role": "viewer"})));
    assert!(may(&mut all, json!({"role": "user"})));
    let mut any = bench(json!({"need": {"any": ["chat", "rag:index"]}}));
    assert!(may(&mut any, json!({"role": "viewer"})));
    let mut both = bench(json!({"need": {"all": ["chat"]}, "scope": "read"}));
    assert!(!may(&mut both, json!({"role": "viewer", "scope": "write"})));
    assert!(may(&mut both, json!({"role": "viewer", "scope": "write read"})));
}

#[test]
fn permissions_may_come_with_the_identity_but_no_star_with_them() {
    let mut index = bench(json!({"need": "rag:index"}));
    assert!(may(&mut index, json!({"permissions": ["rag:index"]})));
    for claims in [
        json!({"permissions": ["*"]}),
        json!({"permissions": ["rag:*"]}),
        json!({"permissions": "rag:query rag:index"}),
        json!({"scope": "rag:index"}),
    ] {
        assert!(!may(&mut index, claims.clone()), "{claims}");
    }
    let mut closed = bench(json!({"need": "rag:index", "permission_from": []}));
    assert!(!may(&mut closed, json!({"permissions": ["rag:index"]})));
}

#[test]
fn roles_by_name_scopes_groups_and_claims() {
    let mut role = bench(json!({"role": {"any": ["user"]}}));
    assert!(may(&mut role, json!({"role": "admin"})), "admin includes user");
    assert!(!may(&mut role, json!({"role": "viewer"})));
    let mut scope = bench(json!({"scope": ["read", "write"]}));
    for claims in [
        json!({"scope": "read write"}),
        json!({"scp": ["read", "write"]}),
        json!({"scope": "read", "scopes": ["write"]}),
    ] {
        assert!(may(&mut scope, claims.clone()), "{claims}");
    }
    assert!(!may(&mut scope, json!({"scope": "read writes"})));
    let mut group = bench(json!({"group": "ops", "group_from": "realm.groups"}));
    assert!(may(&mut group, json!({"realm": {"groups": ["dev", "ops"]}})));
    assert!(!may(&mut group, json!({"groups": ["ops"]})));
    let mut claim = bench(json!({"claim": {"department": ["sales", "support"], "mfa": true}}));
    assert!(may(&mut claim, json!({"department": "sales", "mfa": true})));
    assert!(!may(&mut claim, json!({"department": "sales", "mfa": "true"})));
}

#[test]
fn a_claim_with_dots_in_its_name_comes_before_the_way_into_an_object() {
    let mut spaced = bench(json!({"need": "chat", "role_from": ["https://shop.example/role", "realm_access.roles"]}));
    assert!(may(&mut spaced, json!({"https://shop.example/role": "user"})));
    assert!(may(&mut spaced, json!({"realm_access": {"roles": ["x", "viewer"]}})));
    assert!(!may(&mut spaced, json!({"realm_access": ["viewer"], "role": "admin"})));
}

#[test]
fn asked_for_nothing_else_some_known_role_is_needed() {
    let mut any = bench(json!({}));
    assert!(may(&mut any, json!({"role": "viewer"})));
    assert!(!may(&mut any, json!({"role": "visitor", "permissions": ["chat"]})));
    assert_eq!(note(&any), "missing: a role of the policy; has visitor (unknown)");
}

#[test]
fn nobody_has_the_role_of_strangers_or_none() {
    let mut strict = bench(json!({"need": "chat"}));
    assert_eq!(strict.ask(&Scene::default()), Answer::deny(Reason::Forbidden));
    assert_eq!(note(&strict), "missing: permission chat; nobody signed in");
    let mut open = bench(json!({"need": "chat", "anonymous": "viewer"}));
    assert_eq!(open.ask(&Scene::default()), Answer::Pass);
    assert!(!may(&mut open, json!({})), "who signed in has roles of their own");
    assert_eq!(note(&open), "missing: permission chat; no role");
    let mut more = bench(json!({"need": "rag:index", "anonymous": "viewer"}));
    assert_eq!(more.ask(&Scene::default()), Answer::deny(Reason::Forbidden));
}

#[test]
fn the_note_names_what_is_missing_and_what_is_there() {
    let mut much = bench(json!({"need": ["chat", "agent:run"], "scope": {"any": ["a", "b"]}, "claim": {"x.y": 1}}));
    assert!(!may(&mut much, json!({"role": ["viewer", "boss"]})));
    assert_eq!(
        note(&much),
        "missing: permission agent:run, scope a or b, claim x.y; has viewer, boss (unknown)"
    );
    let long = "r".repeat(5000);
    may(&mut much, json!({"role": vec![long; 500]}));
    assert!(note(&much).len() < 2000);
}

#[test]
fn only_a_verified_certificate_counts() {
    let print = "ab".repeat(32);
    let mut bench = bench(json!({"certificate": {"subject": "CN=batch*"}}));
    assert!(!bench.check.needs().identity);
    assert_eq!(bench.ask(&Scene::default()), Answer::deny(Reason::Forbidden));
    let shown = super::Shown {
        subjects: vec!["CN=batch*".to_owned()],
        fingerprints: vec![print.clone()],
    };
    let tls = |subject: &str, fingerprint: Option<&str>| crate::request::Tls {
        client_subject: Some(subject.to_owned()),
        client_fingerprint: fingerprint.map(str::to_owned),
        ..crate::request::Tls::default()
    };
    assert!(shown.by(Some(&tls("CN=batch, O=Shop", Some("00")))));
    assert!(shown.by(Some(&tls("CN=x", Some(&print)))));
    assert!(!shown.by(Some(&tls("CN=x", Some("00")))));
    assert!(!shown.by(Some(&tls("CN=batch", None))), "nothing was verified");
}

#[test]
fn faults_name_the_key_and_what_would_be_right() {
    for (spec, told) in [
        (json!({"role": "usr"}), "it.role: there is no role `usr`, did you mean `user`?"),
        (json!({"anonymous": "guest"}), "it.anonymous: there is no role `guest`"),
        (json!({"need": "rag:*"}), "it.need: `rag:*` is not one permission"),
        (json!({"need": []}), "an empty list asks for nothing"),
        (json!({"need": {"some": ["a"]}}), "unknown variant `some`"),
        (json!({"certificate": {"fingerprint": "ab"}}), "it.certificate.fingerprint[0]: `ab` is not a SHA-256"),
    ] {
        let faults = Bench::faults_of::<&str>("authorize", spec.clone(), &[]).join("\n");
        assert!(faults.contains(told), "{spec}: {faults}");
    }
    let slips = bench(json!({"need": ["rag:indx", "users:delete"]})).faults();
    assert_eq!(slips, ["it.need: no role names `rag:indx`, did you mean `rag:index`?"]);
}

#[test]
fn passing_allocates_nothing() {
    let mut bench = bench(json!({"need": "rag:index", "scope": "a", "role_from": "realm.roles"}));
    let claims = json!({"realm": {"roles": ["viewer", "user"]}, "scope": "b a"});
    assert!(may(&mut bench, claims));
    assert_eq!(bench.allocations(&Scene::default()), 0);
}

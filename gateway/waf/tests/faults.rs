//! What a file of rules may get wrong, and what is said about it: all faults at once, each with its place.
#![expect(clippy::unwrap_used, reason = "tests")]

use waf::{Chosen, Exclusion, Options, Ruleset, native};

fn faults(rules: &str) -> Vec<String> {
    let file: native::File = serde_json::from_str(&format!("{{\"rules\": [{rules}]}}")).unwrap();
    let compiled = Ruleset::compile(&[native::Source {
        name: "own.yaml",
        file: &file,
    }]);
    compiled
        .err()
        .unwrap_or_default()
        .iter()
        .map(ToString::to_string)
        .collect()
}

#[test]
fn reports_every_fault_with_its_place() {
    let found = faults(
        r#"{"id": 0, "msg": " ", "targets": [], "any": []},
           {"id": 7, "msg": "x", "targets": ["argz", "args:", "args:/(/"], "transform": ["rot13"], "any": [{"regex": "("}, {"contains": ""}, {"ip_in": ["10/8"]}]},
           {"id": 8, "msg": "x", "targets": ["args"], "action": "deny", "score": 3, "any": [{"phrases": [""]}], "all": [{"equals": "x"}]}"#,
    );
    let expected = [
        "own.yaml: rule 0: rules[0].id: ",
        "own.yaml: rule 0: rules[0].msg: ",
        "own.yaml: rule 0: rules[0].targets: ",
        "own.yaml: rule 0: rules[0].any: ",
        "own.yaml: rule 7: rules[1].targets[0]: unknown target `argz`",
        "own.yaml: rule 7: rules[1].targets[1]: ",
        "own.yaml: rule 7: rules[1].targets[2]: ",
        "own.yaml: rule 7: rules[1].transform[0]: unknown transformation `rot13`",
        "own.yaml: rule 7: rules[1].any[0].regex: ",
        "own.yaml: rule 7: rules[1].any[1].contains: ",
        "own.yaml: rule 7: rules[1].any[2].ip_in: `10/8`",
        "own.yaml: rule 8: rules[2]: give either",
        "own.yaml: rule 8: rules[2].score: ",
    ];
    assert_eq!(found.len(), expected.len(), "{found:#?}");
    for (found, expected) in found.iter().zip(expected) {
        assert!(found.starts_with(expected), "{found} / {expected}");
    }
}

#[test]
fn refuses_two_rules_with_one_id() {
    let rule = r#"{"id": 5, "msg": "x", "targets": ["args"], "any": [{"equals": "x"}]}"#;
    assert!(faults(rule).is_empty());
    assert_eq!(
        faults(&format!("{rule},{rule}")),
        ["own.yaml: rule 5: rules[1]: another rule has this id"]
    );
}

#[test]
fn refuses_unknown_keys() {
    let text = r#"{"rules": [{"id": 1, "msg": "x", "targets": ["args"], "any": [{"equals": "x"}], "targest": []}]}"#;
    assert!(serde_json::from_str::<native::File>(text).is_err());
}

#[test]
fn refuses_options_that_name_nothing() {
    let file: native::File = serde_json::from_str(
        r#"{"rules": [{"id": 1, "msg": "x", "targets": ["args"], "any": [{"equals": "x"}]}]}"#,
    )
    .unwrap();
    let rules = Ruleset::compile(&[native::Source {
        name: "own.yaml",
        file: &file,
    }])
    .unwrap();
    let options = Options {
        disabled: vec![(1, 1), (2, 2)],
        disabled_tags: vec!["sqli".to_owned()],
        exclusions: vec![
            Exclusion {
                rules: Chosen::Ids(3, 3),
                target: "args:q".to_owned(),
            },
            Exclusion {
                rules: Chosen::Every,
                target: "arg:q".to_owned(),
            },
        ],
        ..Options::default()
    };
    let paths: Vec<String> = rules
        .tune(&options)
        .unwrap_err()
        .into_iter()
        .map(|fault| fault.path)
        .collect();
    assert_eq!(
        paths,
        [
            "disabled[1]",
            "disabled_tags[0]",
            "exclusions[0].rule",
            "exclusions[1].target"
        ]
    );
}

use crate::{Ruleset, Source, seclang};

fn dead(text: &str) -> Vec<u32> {
    let source = Source::SecLang(seclang::Source { name: "t", text });
    let program = Ruleset::load(&[source], &seclang::NoFiles).unwrap().program;
    let rules = program.rules.iter().zip(&program.folded.dead);
    rules
        .filter(|(_, dead)| **dead)
        .map(|(rule, _)| rule.id)
        .collect()
}

#[test]
fn rules_that_leave_the_same_whatever_the_request_are_one() {
    let rules = r#"
SecAction "id:1,phase:1,pass,nolog,setvar:tx.a=1"
SecRule &TX:b "@eq 0" "id:2,phase:1,pass,nolog,setvar:tx.b=%{tx.a}"
SecAction "id:3,phase:1,pass,nolog,setvar:tx.a=+2,setvar:!tx.c"
SecRule ARGS "@rx x" "id:4,phase:1,pass,nolog,skipAfter:END"
SecAction "id:5,phase:1,pass,nolog,setvar:tx.a=9"
SecMarker END
SecAction "id:6,phase:1,pass,nolog,setvar:tx.d=7"
"#;
    let source = Source::SecLang(seclang::Source {
        name: "t",
        text: rules,
    });
    let program = Ruleset::load(&[source], &seclang::NoFiles).unwrap().program;
    let ids = |list: &[u32]| -> Vec<u32> {
        let rules = list.iter().filter_map(|at| program.rules.get(*at as usize));
        rules.map(|rule| rule.id).collect()
    };
    let [first, ..] = &program.direct;
    assert_eq!(ids(first), [1, 5, 6]);
    let run = program.settled.first().unwrap().as_ref().unwrap();
    let slot = |name: &str| {
        program
            .names
            .known(crate::variable::Variable::Tx, name.as_bytes())
    };
    let mut left: Vec<_> = run
        .slots
        .iter()
        .map(|(slot, value)| (Some(*slot), value.as_deref()))
        .collect();
    left.sort();
    let mut expected = vec![
        (slot("a"), Some(&b"3"[..])),
        (slot("b"), Some(b"1")),
        (slot("c"), None),
    ];
    expected.sort();
    assert_eq!(left, expected);
    assert_eq!(run.last.as_ref().unwrap().content, b"0");
}

#[test]
fn a_paranoia_level_kills_the_rules_above_it() {
    let rules = r#"
SecAction "id:1,phase:1,pass,nolog,setvar:tx.own=1"
SecRule &TX:level "@eq 0" "id:2,phase:1,pass,nolog,setvar:tx.level=%{tx.own}"
SecRule TX:LEVEL "@lt 1" "id:3,phase:2,pass,nolog,skipAfter:END"
SecRule ARGS "@rx one" "id:4,phase:2,pass"
SecRule TX:LEVEL "@lt 2" "id:5,phase:2,pass,nolog,skipAfter:END"
SecRule ARGS "@rx two" "id:6,phase:2,pass"
SecMarker END
SecRule ARGS "@rx three" "id:7,phase:2,pass"
"#;
    assert_eq!(dead(rules), [3, 6]);
}

#[test]
fn what_a_request_decides_is_kept() {
    let rules = r#"
SecAction "id:1,phase:1,pass,nolog,setvar:tx.level=1"
SecRule REQUEST_HEADERS:X-Level "@rx ^(\d)$" "id:2,phase:1,pass,nolog,capture,setvar:tx.level=%{tx.1}"
SecRule TX:LEVEL "@lt 2" "id:3,phase:2,pass,nolog,skipAfter:END"
SecRule ARGS "@rx two" "id:4,phase:2,pass"
SecMarker END
SecRule ARGS_NAMES "@rx ." "id:5,phase:2,pass,nolog,setvar:'tx.made_%{MATCHED_VAR}=1'"
SecRule TX:made_up "@eq 1" "id:6,phase:2,pass"
SecRule TX:never "@eq 1" "id:7,phase:2,pass"
"#;
    assert_eq!(dead(rules), [7]);
}

#[test]
fn what_is_jumped_over_or_removed_is_dead() {
    let rules = r#"
SecAction "id:1,phase:1,pass,nolog,setvar:tx.level=1,tag:own"
SecRule REMOTE_ADDR "@ipMatch 127.0.0.1" "id:2,phase:1,pass,nolog,ctl:ruleRemoveByTag=crs"
SecRule TX:LEVEL "@lt 2" "id:3,phase:2,pass,nolog,tag:crs,skipAfter:END"
SecRule ARGS "@rx two" "id:4,phase:2,pass,tag:crs"
SecRule ARGS "@rx two" "id:5,phase:2,pass,tag:own"
SecMarker END
SecRule ARGS "@rx three" "id:6,phase:2,pass,tag:crs"
"#;
    assert_eq!(dead(rules), [4]);
}

#[test]
fn a_rule_that_may_be_removed_settles_nothing() {
    let rules = r#"
SecRule ARGS:off "@streq 1" "id:1,phase:1,pass,nolog,ctl:ruleRemoveById=2"
SecAction "id:2,phase:1,pass,nolog,setvar:tx.level=1"
SecRule TX:level "@eq 0" "id:3,phase:2,pass"
SecRule &TX:level "@eq 0" "id:4,phase:2,pass"
"#;
    assert!(dead(rules).is_empty());
}

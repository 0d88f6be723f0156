//! What SecLang means: control flow, variables that rules keep, chains, captures, removals, and what is refused.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use waf::{
    Options, Request, Ruleset, Scratch, Source, Verdict,
    seclang::{self, Engine, Files},
};

/// `words.data` and `other.conf`, nothing else.
struct Shelf;

impl Files for Shelf {
    fn read(&self, _from: &str, path: &str) -> Result<String, String> {
        match path {
            "words.data" => Ok("# comment\nsqlmap\n\nnikto\n".to_owned()),
            "other.conf" => Ok("SecAction \"id:90,phase:1,pass,log\"".to_owned()),
            _ => Err(format!("{path}: not found")),
        }
    }

    fn list(&self, _from: &str, pattern: &str) -> Result<Vec<String>, String> {
        Ok(if pattern == "*.conf" {
            vec!["other.conf".to_owned()]
        } else {
            Vec::new()
        })
    }
}

fn load(text: &str) -> Result<Ruleset, Vec<String>> {
    let source = Source::SecLang(seclang::Source {
        name: "t.conf",
        text,
    });
    Ruleset::load(&[source], &Shelf)
        .map_err(|faults| faults.iter().map(ToString::to_string).collect())
}

fn judge(text: &str, query: &str) -> Verdict {
    let rules = load(text).unwrap();
    let tuning = rules.tune(&Options::default()).unwrap();
    let mut transaction = rules.transaction(&tuning, Scratch::default());
    let target = format!("/a/b.php?{query}");
    transaction.evaluate_headers(&Request {
        method: b"GET",
        target: target.as_bytes(),
        path: b"/a/b.php",
        query: query.as_bytes(),
        protocol: b"HTTP/1.1",
        headers: &[("host", "a.example"), ("user-agent", "nikto/2")],
        client: [192, 0, 2, 1].into(),
        around: waf::Surroundings::default(),
    });
    transaction.evaluate_body(b"", b"");
    transaction.finish().0
}

fn ids(text: &str, query: &str) -> Vec<u32> {
    judge(text, query)
        .matches
        .iter()
        .map(|found| found.id)
        .collect()
}

#[test]
fn scores_add_up_per_value_and_block_at_the_end() {
    let rules = r#"
SecAction "id:1,phase:1,pass,nolog,setvar:tx.score=0,setvar:tx.critical=5,setvar:tx.limit=10"
SecRule ARGS "@rx (?i)union" "id:2,phase:2,block,msg:'union in %{MATCHED_VAR_NAME}',setvar:'tx.score=+%{tx.critical}'"
SecRule TX:SCORE "@ge %{tx.limit}" "id:3,phase:2,deny,msg:'total %{TX.score}'"
"#;
    let once = judge(rules, "a=union");
    assert!(!once.block);
    assert_eq!(
        once.matches.first().map(|found| &*found.msg),
        Some("union in ARGS:a")
    );
    let twice = judge(rules, "a=union&b=UNION");
    assert!(twice.block);
    assert_eq!(
        twice.matches.last().map(|found| &*found.msg),
        Some("total 10")
    );
}

/// CRS 3 adds what an answer earned to the request's sums as well.
#[test]
fn an_answers_score_is_not_the_requests_nor_counted_twice() {
    const RULES: &str = r#"
SecAction "id:1,phase:1,pass,nolog,setvar:tx.anomaly_score=0,setvar:tx.outbound_anomaly_score=0"
SecRule ARGS "@contains union" "id:2,phase:2,block,setvar:tx.anomaly_score_pl1=+3"
SecAction "id:3,phase:2,pass,nolog,setvar:tx.anomaly_score=+%{tx.anomaly_score_pl1}"
SecRule RESPONSE_BODY "@contains syntax" "id:4,phase:4,block,\
    setvar:tx.outbound_anomaly_score_pl1=+5,setvar:tx.anomaly_score_pl1=+5"
SecAction "id:5,phase:4,pass,nolog,setvar:tx.outbound_anomaly_score=+%{tx.outbound_anomaly_score_pl1}"
SecRule TX:OUTBOUND_ANOMALY_SCORE "@ge 4" "id:6,phase:4,deny,setvar:tx.anomaly_score=+%{tx.outbound_anomaly_score}"
"#;
    let rules = load(RULES).unwrap();
    let tuning = rules.tune(&Options::default()).unwrap();
    let mut transaction = rules.transaction(&tuning, Scratch::default());
    transaction.evaluate_headers(&Request {
        method: b"GET",
        target: b"/?q=union",
        path: b"/",
        query: b"q=union",
        protocol: b"HTTP/1.1",
        headers: &[("host", "a")],
        client: [192, 0, 2, 1].into(),
        around: waf::Surroundings::default(),
    });
    transaction.evaluate_body(b"", b"");
    let request = transaction.verdict();
    assert_eq!((request.score, request.outbound), (3, 0));
    assert_eq!(request.matches[0].score, 3);
    transaction.evaluate_response(200, &[("content-type", "text/html")]);
    transaction.evaluate_response_body(b"a syntax error");
    let (answer, _) = transaction.finish();
    assert!(answer.block);
    assert_eq!((answer.score, answer.outbound), (0, 5));
    assert_eq!((answer.matches[0].id, answer.matches[0].score), (4, 5));
}

#[test]
fn a_chain_matches_only_whole() {
    let rules = r#"
SecRule ARGS:a "@streq x" "id:1,phase:2,deny,chain"
  SecRule ARGS:b "@rx ^(\d+)(z)$" "chain,capture,t:lowercase"
  SecRule TX:1 "@gt 10"
"#;
    assert!(!judge(rules, "a=x").block);
    assert!(!judge(rules, "a=x&b=5z").block);
    assert!(judge(rules, "a=x&b=11Z").block);
}

#[test]
fn jumps_skip_what_lies_between() {
    let rules = r#"
SecAction "id:1,phase:1,pass,nolog,setvar:tx.level=1"
SecRule TX:level "@lt 2" "id:2,phase:2,pass,nolog,skipAfter:END"
SecRule ARGS "@contains x" "id:3,phase:2,pass"
SecMarker "END"
SecRule ARGS "@contains x" "id:4,phase:2,pass"
"#;
    assert_eq!(ids(rules, "a=x"), [4]);
    assert_eq!(ids(&rules.replace("level=1", "level=2"), "a=x"), [3, 4]);
}

#[test]
fn ctl_takes_rules_and_targets_away() {
    let rules = r#"
SecRule ARGS:mode "@streq rule" "id:1,phase:1,pass,nolog,ctl:ruleRemoveById=5"
SecRule ARGS:mode "@streq target" "id:2,phase:1,pass,nolog,ctl:ruleRemoveTargetById=5;ARGS:a"
SecRule ARGS:mode "@streq tag" "id:3,phase:1,pass,nolog,ctl:ruleRemoveByTag=bad"
SecRule ARGS "@contains x" "id:5,phase:2,pass,tag:bad"
"#;
    assert_eq!(ids(rules, "mode=no&a=x"), [5]);
    for mode in ["rule", "target", "tag"] {
        assert!(ids(rules, &format!("mode={mode}&a=x")).is_empty(), "{mode}");
    }
    assert_eq!(ids(rules, "mode=target&a=x&b=x"), [5]);
}

#[test]
fn selectors_counts_exclusions_and_updates() {
    let rules = r#"
SecRule &ARGS "@gt 2" "id:1,phase:2,pass"
SecRule &ARGS:/^p/ "@eq 2" "id:2,phase:2,pass"
SecRule ARGS|!ARGS:/^safe|^ok$/|REQUEST_HEADERS:User-Agent "@pmFromFile words.data" "id:3,phase:2,pass"
SecRule ARGS_NAMES "!@rx ^[a-z]+$" "id:4,phase:2,pass"
SecRule &REQUEST_HEADERS:Accept "@eq 0" "id:5,phase:1,pass"
SecRule ARGS "@contains zz" "id:6,phase:2,pass"
SecRule ARGS "@contains zz" "id:7,phase:2,pass"
SecRuleUpdateTargetById 6 "!ARGS:a"
SecRuleRemoveById 7
"#;
    assert_eq!(ids(rules, "pa=1&pb=2"), [5, 2, 3]);
    assert_eq!(ids(rules, "a=zz&B=1&c=2"), [5, 1, 3, 4]);
    assert_eq!(
        ids(
            &rules.replace("|REQUEST_HEADERS:User-Agent", ""),
            "safe=sqlmap&ok=nikto"
        ),
        [5]
    );
    assert_eq!(
        ids(
            &rules.replace("|REQUEST_HEADERS:User-Agent", ""),
            "okay=sqlmap"
        ),
        [5, 3]
    );
}

#[test]
fn names_made_of_macros_and_patterns_over_them() {
    let rules = r#"
SecRule ARGS_NAMES "@rx ." "id:1,phase:2,pass,nolog,setvar:'TX.seen_%{MATCHED_VAR_NAME}=+1'"
SecRule TX:/seen_.*/ "@gt 1" "id:2,phase:2,pass,msg:'%{MATCHED_VAR_NAME}'"
"#;
    assert!(ids(rules, "a=1&b=2").is_empty());
    let twice = judge(rules, "a=1&a=2");
    assert_eq!(
        twice.matches.first().map(|found| &*found.msg),
        Some("TX:seen_args_names:a")
    );
}

/// Named by a rule or put together, set or not, written before or after in the file.
#[test]
fn a_pattern_takes_every_name_that_is_set() {
    let rules = r#"
SecRule ARGS_NAMES "@rx ^(.*)$" "id:1,phase:2,pass,nolog,capture,setvar:'TX.seen_%{TX.1}=1'"
SecRule ARGS:late "@rx ." "id:2,phase:2,pass,nolog,setvar:TX.Seen_late=2,setvar:!TX.seen_a,setvar:TX.unseen=3"
SecRule &TX:/^seen_/ "@eq 3" "id:3,phase:2,pass,msg:'three'"
SecRule TX:/^SEEN_/ "@rx ." "id:4,phase:2,pass,chain"
  SecRule MATCHED_VARS_NAMES "@rx seen_(?:never|a$)" "t:none"
SecRule TX:/^seen_never$/ "@rx ." "id:5,phase:2,pass"
SecRule TX:seen_never|TX:seen_a "@rx ." "id:6,phase:2,pass"
SecAction "id:7,phase:2,pass,nolog,setvar:TX.seen_never=1"
SecRule TX:/^seen_never$/ "@rx ." "id:8,phase:2,pass"
"#;
    assert_eq!(ids(rules, "b=1&c=1&late=1"), [3, 8]);
    assert_eq!(ids(rules, "a=1&b=1&c=1"), [3, 4, 6, 8]);
    assert_eq!(ids(rules, "a=1&b=1&late=1"), [8]);
}

#[test]
fn names_of_header_fields_are_written_as_usual() {
    let rules = r#"
SecRule REQUEST_HEADERS "@rx nikto" "id:1,phase:1,pass,logdata:'%{MATCHED_VAR_NAME}'"
SecRule ARGS "@rx nikto" "id:2,phase:1,pass,logdata:'%{MATCHED_VAR_NAME}'"
"#;
    let verdict = judge(rules, "a-b=nikto");
    let data: Vec<&str> = verdict
        .matches
        .iter()
        .map(|found| found.data.as_str())
        .collect();
    assert_eq!(data, ["REQUEST_HEADERS:User-Agent", "ARGS:a-b"]);
}

#[test]
fn a_chain_over_what_matched_sees_only_what_matched_before() {
    let rules = r#"
SecRule ARGS "@contains x" "id:1,phase:2,deny,chain"
  SecRule MATCHED_VARS "@contains y" "setvar:tx.seen=+1"
SecRule TX:seen "@eq 2" "id:2,phase:2,pass"
"#;
    assert!(ids(rules, "a=x&b=y").is_empty());
    assert_eq!(ids(rules, "a=xy&b=x&c=xy"), [1, 2]);
}

#[test]
fn default_actions_includes_and_the_engine() {
    let rules = "SecRuleEngine DetectionOnly\nSecDefaultAction \"phase:2,log,deny,t:lowercase\"\nInclude *.conf\n\
                 SecRule ARGS \"@streq abc\" \"id:1,phase:2,block\"\nSecRule ARGS \"@streq ABC\" \"id:2,phase:2,block,t:none\"";
    assert_eq!(load(rules).unwrap().engine(), Engine::DetectionOnly);
    let verdict = judge(rules, "a=ABC");
    assert!(verdict.block);
    assert_eq!(
        verdict
            .matches
            .iter()
            .map(|found| found.id)
            .collect::<Vec<_>>(),
        [90, 1, 2]
    );
}

#[test]
fn every_fault_has_its_line() {
    let text = r#"SecRule ARGS "@rx (" "id:1"
SecRule NOWHERE "x" "id:2"
SecRule ARGS "@magic x" \
   "id:3"
SecFrobnicate On
SecRule ARGS "x" "id:4,fly"
SecRule ARGS "x" "phase:2"
SecRule ARGS "x" "id:5,skipAfter:NOWHERE"
SecRule ARGS "x" "id:5"
SecRule ARGS "@pmFromFile none.data" "id:6"
SecRule ARGS "x" "id:7,t:rot13"
"#;
    let faults = load(text).err().unwrap();
    let starts = [
        "t.conf:1",
        "t.conf:2",
        "t.conf:3",
        "t.conf:5",
        "t.conf:6",
        "t.conf:7",
        "t.conf:10",
        "t.conf:11",
        "t.conf:8",
        "t.conf:9",
    ];
    assert_eq!(faults.len(), starts.len(), "{faults:#?}");
    for (fault, start) in faults.iter().zip(starts) {
        assert!(fault.starts_with(start), "{fault} / {start}");
    }
}

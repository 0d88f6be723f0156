//! What the less usual words of SecLang mean: bodies and uploads, replies, jumps by number, changes to rules, sections.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use waf::{
    Options, Reply, Request, Ruleset, Scratch, Source, Surroundings, Verdict,
    seclang::{self, NoFiles},
};

fn load(text: &str) -> Ruleset {
    let source = seclang::Source {
        name: "t.conf",
        text,
    };
    Ruleset::load(&[Source::SecLang(source)], &NoFiles).unwrap()
}

fn judge(rules: &Ruleset, query: &str, kind: &str, body: &str) -> Verdict {
    let tuning = rules.tune(&Options::default()).unwrap();
    let mut transaction = rules.transaction(&tuning, Scratch::default());
    let target = format!("/a/b.php?{query}");
    transaction.evaluate_headers(&Request {
        method: b"POST",
        target: target.as_bytes(),
        path: b"/a/b.php",
        query: query.as_bytes(),
        protocol: b"HTTP/1.1",
        headers: &[("host", "a.example"), ("content-type", kind)],
        client: [192, 0, 2, 1].into(),
        around: Surroundings::default(),
    });
    transaction.evaluate_body(kind.as_bytes(), body.as_bytes());
    transaction.evaluate_response(404, &[("content-type", "text/html; charset=utf-8")]);
    transaction.evaluate_response_body(b"body");
    transaction.finish().0
}

fn messages(text: &str, query: &str, kind: &str, body: &str) -> Vec<String> {
    let verdict = judge(&load(text), query, kind, body);
    verdict
        .matches
        .iter()
        .map(|found| found.msg.to_string())
        .collect()
}

const MULTIPART: &str = "multipart/form-data; boundary=XX";
const UPLOAD: &str = "--XX\r\nContent-Disposition: form-data; name=\"doc\"; filename=\"a.txt\"\r\n\r\n\
                      hidden <?php x\r\n--XX\r\nContent-Disposition: form-data; name=\"q\"\r\n\r\nvalue\r\n--XX--\r\n";

#[test]
fn uploads_are_read_where_rules_ask() {
    let rules = r#"
SecRule FILES_TMP_CONTENT "@contains <?php" "id:1,phase:2,pass,msg:'content %{MATCHED_VAR_NAME}'"
SecRule FILES_SIZES:doc "@eq 14" "id:2,phase:2,pass,msg:'size'"
SecRule MULTIPART_FILENAME "@streq a.txt" "id:3,phase:2,pass,msg:'name'"
SecRule MULTIPART_STRICT_ERROR|MULTIPART_LF_LINE|MULTIPART_UNMATCHED_BOUNDARY "!@eq 0" "id:4,phase:2,pass,msg:'odd %{MATCHED_VAR_NAME}'"
"#;
    assert_eq!(
        messages(rules, "", MULTIPART, UPLOAD),
        ["content FILES_TMP_CONTENT:doc", "size", "name"]
    );
    let odd = UPLOAD.replace(
        "Content-Disposition: form-data; name=\"q\"\r\n",
        "Content-Disposition: form-data; name=\"q\"\n",
    );
    let found = messages(rules, "", MULTIPART, &odd);
    assert!(
        found.iter().any(|message| message.starts_with("odd ")),
        "{found:?}"
    );
}

#[test]
fn the_whole_request_is_one_text() {
    let rules = r#"
SecRule FULL_REQUEST "@rx ^POST /a/b\.php\?x=1 HTTP/1\.1\r\nhost: a\.example\r\n.*\r\n\r\ny=2$" "id:1,phase:2,pass,msg:'%{FULL_REQUEST_LENGTH}'"
SecRule REQUEST_BODY "@streq y=2" "id:2,phase:2,pass,msg:'body'"
SecRule URLENCODED_ERROR "@eq 1" "id:3,phase:2,pass,msg:'escape'"
"#;
    let form = "application/x-www-form-urlencoded";
    let found = messages(rules, "x=1", form, "y=2");
    assert_eq!(found.len(), 2, "{found:?}");
    assert_eq!(messages(rules, "x=%zz", form, "y=2"), ["body", "escape"]);
}

#[test]
fn separators_and_forced_bodies_are_settings() {
    let rules = "SecArgumentSeparator ;\nSecRule ARGS:b \"@streq 2\" \"id:1,phase:2,pass,msg:'%{MATCHED_VAR_NAME}'\"";
    let form = "application/x-www-form-urlencoded";
    assert_eq!(messages(rules, "a=1;b=2", form, ""), ["ARGS:b"]);
    assert_eq!(messages(rules, "", form, "a=1;b=2"), ["ARGS:b"]);
    let forced = r#"
SecRule ARGS:force "@eq 1" "id:1,phase:1,pass,nolog,ctl:forceRequestBodyVariable=On"
SecRule ARGS:skip "@eq 1" "id:2,phase:1,pass,nolog,ctl:requestBodyAccess=Off"
SecRule REQUEST_BODY "@contains hidden" "id:3,phase:2,pass,msg:'body'"
"#;
    assert!(messages(forced, "", MULTIPART, UPLOAD).is_empty());
    assert_eq!(messages(forced, "force=1", MULTIPART, UPLOAD), ["body"]);
    assert!(messages(forced, "force=1&skip=1", MULTIPART, UPLOAD).is_empty());
}

#[test]
fn paths_into_xml_select_elements_and_attributes() {
    let rules = r#"
SecRule XML:/order/item/text() "@streq x" "id:1,phase:2,pass,msg:'item'"
SecRule XML:/order "@streq x" "id:2,phase:2,pass,msg:'inside order'"
SecRule XML://@id "@streq 7" "id:3,phase:2,pass,msg:'id'"
SecRule XML:/* "@streq y" "id:4,phase:2,pass,msg:'%{MATCHED_VAR_NAME}'"
"#;
    let found = |body: &str| messages(rules, "", "text/xml", body).join(",");
    assert_eq!(
        found("<o:order xmlns:o=\"u\"><item id=\"7\">x</item></o:order>"),
        "item,inside order,id"
    );
    assert_eq!(
        found("<order><b><item>x</item></b>y</order>"),
        "inside order,XML:/order"
    );
    assert_eq!(found("<other item=\"7\">x</other>"), "");
}

#[test]
fn replies_carry_status_target_and_drop() {
    let rules = load(
        r#"
SecDefaultAction "phase:2,deny,status:406,log"
SecRule ARGS:a "@streq default" "id:1,phase:2,block"
SecRule ARGS:a "@streq own" "id:2,phase:2,block,status:429"
SecRule ARGS:a "@streq away" "id:3,phase:2,redirect:'/sorry?%{MATCHED_VAR}',status:307"
SecRule ARGS:a "@streq drop" "id:4,phase:2,drop"
SecRule ARGS:a "@streq plain" "id:5,phase:2,deny"
SecRule ARGS:a "@streq only" "id:6,phase:2,deny,status:500,ctl:ruleEngine=DetectionOnly"
"#,
    );
    let reply = |query: &str| {
        let verdict = judge(&rules, query, "", "");
        (verdict.block, verdict.reply)
    };
    let status = |status| Reply {
        status: Some(status),
        ..Reply::default()
    };
    assert_eq!(reply("a=default"), (true, Some(status(406))));
    assert_eq!(reply("a=own"), (true, Some(status(429))));
    let away = Reply {
        redirect: Some("/sorry?away".to_owned()),
        ..status(307)
    };
    assert_eq!(reply("a=away"), (true, Some(away)));
    assert_eq!(
        reply("a=drop"),
        (
            true,
            Some(Reply {
                drop: true,
                ..Reply::default()
            })
        )
    );
    assert_eq!(reply("a=plain"), (true, None));
    assert_eq!(reply("a=only"), (false, None));
}

#[test]
fn jumps_by_number_and_ends_of_phases() {
    let skipping = r#"
SecRule ARGS:a "@streq skip" "id:1,phase:2,pass,nolog,skip:2"
SecRule ARGS:a "@rx ." "id:2,phase:2,pass,msg:'two',chain"
  SecRule ARGS:a "@rx ."
SecRule REQUEST_METHOD "@rx ." "id:3,phase:1,pass,msg:'other phase'"
SecRule ARGS:a "@rx ." "id:4,phase:2,pass,msg:'four'"
SecRule ARGS:a "@rx ." "id:5,phase:2,pass,msg:'five'"
"#;
    assert_eq!(
        messages(skipping, "a=skip", "", ""),
        ["other phase", "five"]
    );
    assert_eq!(
        messages(skipping, "a=x", "", ""),
        ["other phase", "two", "four", "five"]
    );
    let allowing = r#"
SecRule ARGS:a "@rx ^(phase|request|all)$" "id:1,phase:1,pass,nolog"
SecRule ARGS:a "@streq phase" "id:2,phase:1,allow:phase,nolog"
SecRule ARGS:a "@streq request" "id:3,phase:1,allow:request,nolog"
SecRule ARGS:a "@streq all" "id:4,phase:1,allow,nolog"
SecAction "id:5,phase:1,pass,msg:'1'"
SecAction "id:6,phase:2,pass,msg:'2'"
SecAction "id:7,phase:3,pass,msg:'3'"
SecAction "id:8,phase:5,pass,msg:'5'"
"#;
    for (query, expected) in [
        ("a=phase", "235"),
        ("a=request", "35"),
        ("a=all", "5"),
        ("a=x", "1235"),
    ] {
        assert_eq!(
            messages(allowing, query, "", "").concat(),
            expected,
            "{query}"
        );
    }
}

#[test]
fn rules_are_changed_after_they_were_read() {
    let rules = r#"
SecRule ARGS:a "@streq ABC" "id:1,phase:2,deny,msg:'old',tag:'x/one'"
SecRule ARGS:a "@streq abc" "id:2,phase:2,deny,msg:'other %{rule.id}',tag:'y'"
SecRuleUpdateActionById 1 "pass,msg:'new %{RULE.id} %{rule.severity}',severity:2,t:none,t:lowercase,tag:'z'"
SecRuleUpdateTargetByTag ^x/ "!ARGS:a|ARGS:b"
SecRuleRemoveByMsg "^other"
"#;
    let lower = rules.replace("streq ABC", "streq abc");
    let verdict = judge(&load(&lower), "a=abc&b=ABC", "", "");
    assert!(!verdict.block);
    assert_eq!(verdict.matches.len(), 1);
    assert_eq!(&*verdict.matches[0].msg, "new 1 2");
    assert_eq!(verdict.matches[0].target, "args:b");
    assert_eq!(verdict.matches[0].tags.len(), 2);
}

#[test]
fn what_a_match_saw_is_told() {
    let rules = r#"
SecRule ARGS:a "@rx (b+)" "id:1,phase:2,pass,capture,severity:ERROR,msg:'m',logdata:'%{TX.1} in %{MATCHED_VAR_NAME} by %{rule.id}'"
SecRule HIGHEST_SEVERITY "@le 3" "id:2,phase:2,pass,msg:'%{HIGHEST_SEVERITY}'"
SecRule STATUS_LINE "@streq HTTP/1.1 404" "id:3,phase:3,pass,msg:'%{RESPONSE_CONTENT_TYPE}'"
SecRule RULE:id "@eq 4" "id:4,phase:5,pass,msg:'own',setenv:seen=1"
SecRule ENV:seen "@eq 1" "id:5,phase:5,pass,msg:'env'"
SecRule ARGS:a "@rxGlobal (\w)b" "id:6,phase:5,pass,capture,msg:'%{TX.1}'"
"#;
    let verdict = judge(&load(rules), "a=abbcb", "", "");
    assert_eq!(verdict.matches[0].data, "bb in ARGS:a by 1");
    let rest: Vec<&str> = verdict
        .matches
        .iter()
        .skip(1)
        .map(|found| &*found.msg)
        .collect();
    assert_eq!(rest, ["3", "text/html", "own", "env", "c"]);
}

#[test]
fn an_injection_is_told_by_its_fingerprint() {
    let rules = r#"SecRule ARGS "@detectSQLi" "id:1,phase:2,pass,capture,logdata:'%{TX.0} in %{MATCHED_VAR_NAME}'""#;
    let rules = load(rules);
    for (query, expected) in [
        ("a=1%20union%20select%20b--%20", "1UEnc in ARGS:a"),
        ("a=1'%20or%20'1'='1", "s&sos in ARGS:a"),
        ("a=1%20/*!or*/%201", "X in ARGS:a"),
    ] {
        let verdict = judge(&rules, query, "", "");
        assert_eq!(verdict.matches[0].data, expected, "{query}");
    }
}

#[test]
fn sections_for_the_engine_are_read_and_others_passed_over() {
    let rules = "<IfModule security2_module>\n SecRule ARGS 'b' 'id:1,phase:2,pass,msg:here'\n</IfModule>\n\
                 <IfModule !security2_module>\n Magic On\n</IfModule>\n<IfModule mod_php.c>\n Magic On\n</IfModule>\n";
    assert_eq!(messages(rules, "a=b", "", ""), ["here"]);
}

#[test]
fn a_broken_chain_is_one_fault() {
    let text = "SecRule NOWHERE x \"id:1,phase:2,deny,chain\"\nSecRule ARGS y \"chain\"\nSecRule ARGS z\nSecRule ARGS x \"id:2,phase:2,pass\"";
    let source = seclang::Source { name: "t", text };
    let faults = Ruleset::load(&[Source::SecLang(source)], &NoFiles)
        .err()
        .unwrap();
    assert_eq!(faults.len(), 1, "{faults:?}");
}

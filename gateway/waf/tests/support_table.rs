//! Everything that the reference of ModSecurity names, and what becomes of it here: `tests/seclang/support.tsv` has a line
//! for each, with `ok`, a warning or the refusal. `UPDATE=1` writes the last column anew, for reading the difference.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::{env, fs, path::Path};

use waf::{
    Ruleset, Source,
    seclang::{self, Files},
};

struct Shelf;

impl Files for Shelf {
    fn read(&self, _from: &str, path: &str) -> Result<String, String> {
        match path {
            "words.data" => Ok("nikto\n".to_owned()),
            "nets.data" => Ok("10.0.0.0/8\n".to_owned()),
            "rules.conf" => Ok("SecAction \"id:90,phase:1,pass\"".to_owned()),
            _ => Err(format!("{path}: not found")),
        }
    }

    fn list(&self, _from: &str, pattern: &str) -> Result<Vec<String>, String> {
        let there = pattern == "rules.conf";
        Ok(if there {
            vec![pattern.to_owned()]
        } else {
            Vec::new()
        })
    }
}

fn text(kind: &str, item: &str) -> String {
    match kind {
        "variable" => format!("SecRule {item} \"@rx x\" \"id:1,phase:2,pass\""),
        "operator" => format!("SecRule ARGS \"@{item}\" \"id:1,phase:2,pass,capture\""),
        "transformation" => format!("SecRule ARGS \"@rx x\" \"id:1,phase:2,pass,t:{item}\""),
        "action" => format!(
            "SecRule ARGS \"@rx x\" \"id:1,phase:2,{item}\"\nSecRule ARGS \"@rx x\" \"id:2,phase:2,pass\""
        ),
        "ctl" => format!("SecRule ARGS \"@rx x\" \"id:1,phase:1,pass,ctl:{item}\""),
        _ => format!(
            "SecRule ARGS \"@rx x\" \"id:8,phase:2,pass\"\n{}",
            item.replace("\\n", "\n").replace("ById 1 d", "ById 8 d")
        ),
    }
}

fn outcome(kind: &str, item: &str) -> String {
    let text = text(kind, item);
    let source = Source::SecLang(seclang::Source {
        name: "t",
        text: &text,
    });
    match Ruleset::load(&[source], &Shelf) {
        Ok(rules) => match rules.warnings().first() {
            None => "ok".to_owned(),
            Some(warning) => format!("warning: {}", warning.message),
        },
        Err(faults) => {
            let first = faults.first().unwrap();
            assert!(first.line.is_some(), "{item}: a fault without a line");
            first.message.replace('\n', " ")
        }
    }
}

#[test]
fn nothing_is_skipped_in_silence() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/seclang/support.tsv");
    let table = fs::read_to_string(&path).unwrap();
    let mut fresh = String::new();
    let mut wrong = Vec::new();
    for line in table.lines() {
        let mut columns = line.splitn(3, '\t');
        let (kind, item) = (columns.next().unwrap(), columns.next().unwrap());
        let found = outcome(kind, item);
        if columns.next() != Some(&*found) {
            wrong.push(format!("{kind} {item}: {found}"));
        }
        fresh.push_str(&format!("{kind}\t{item}\t{found}\n"));
    }
    if env::var_os("UPDATE").is_some() {
        fs::write(&path, fresh).unwrap();
    } else {
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }
    assert!(table.lines().count() > 300, "positive control");
}

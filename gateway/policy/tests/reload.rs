//! A policy in the place of another: what rules keep between requests is not forgotten, and rules that are what they were
//! are not compiled again.
#![allow(clippy::unwrap_used, missing_docs, reason = "tests")]

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use policy::Policy;
use policy::sources::Sources;

const COUNTING: &str =
    "SecAction \"id:1,phase:1,pass,nolog,initcol:ip=%{REMOTE_ADDR},setvar:ip.n=+1\"\n";

struct Files(String);

impl Sources for Files {
    fn read(&mut self, path: &str) -> Result<Bytes, String> {
        match path {
            "policy.yaml" => Ok(self.0.clone().into()),
            _ => Ok(COUNTING.into()),
        }
    }
    fn glob(&mut self, pattern: &str) -> Result<Vec<String>, String> {
        Ok(vec![pattern.to_owned()])
    }
    fn env(&mut self, _: &str) -> Option<String> {
        None
    }
}

fn text(check: &str, threshold: u32) -> Files {
    Files(format!(
        "version: 1\nupstreams: {{app: {{servers: [\"127.0.0.1:3000\"]}}}}\nchecks:\n  \
         {check}: {{check: waf, rules: [counting.conf], directives: \"SecRuleRemoveById {threshold}\"}}\n\
         routes:\n  - {{name: all, to: app, use: [{check}], public: test}}\n"
    ))
}

fn kept(policy: &Policy) -> Arc<waf::Collections> {
    let (_, rules, _) = policy.rulesets().next().unwrap();
    Arc::clone(rules.collections())
}

#[test]
fn checks_of_the_same_name_keep_what_they_kept() {
    let load = |files: &mut Files| Policy::load("policy.yaml", files, 0).unwrap().policy;
    let old = load(&mut text("rules", 7));
    let new = old
        .reload("policy.yaml", &mut text("rules", 8), 0)
        .unwrap()
        .policy;
    assert!(Arc::ptr_eq(&kept(&old), &kept(&new)));
    let other = old
        .reload("policy.yaml", &mut text("others", 8), 0)
        .unwrap()
        .policy;
    assert!(!Arc::ptr_eq(&kept(&old), &kept(&other)));
}

/// Files by name; `fresh.conf` is found by a pattern once it is there.
#[derive(Clone)]
struct Shelf(BTreeMap<&'static str, String>);

impl Sources for Shelf {
    fn read(&mut self, path: &str) -> Result<Bytes, String> {
        let text = self.0.get(path).ok_or("no such file")?;
        Ok(text.clone().into())
    }
    fn glob(&mut self, _: &str) -> Result<Vec<String>, String> {
        let names = self.0.keys().filter(|name| name.starts_with("crs/"));
        Ok(names
            .filter(|name| name.ends_with(".conf"))
            .map(ToString::to_string)
            .collect())
    }
    fn env(&mut self, _: &str) -> Option<String> {
        None
    }
}

fn shelf() -> Shelf {
    let policy = "version: 1\nupstreams: {app: {servers: [\"127.0.0.1:3000\"]}}\nchecks:\n  \
        crs: {check: waf, rules: [crs/*.conf], paranoia: 1}\n\
        routes:\n  - {name: all, to: app, use: [crs], public: test}\n";
    let rules = "SecAction \"id:1,phase:1,pass,nolog,setvar:tx.blocking_paranoia_level=1,setvar:tx.detection_paranoia_level=1\"\n\
        SecRule TX:detection_paranoia_level \"@lt 1\" \"id:4,phase:1,pass,nolog\"\n\
        SecRule TX:blocking_paranoia_level \"@lt 1\" \"id:5,phase:1,pass,nolog\"\n\
        SecRule ARGS \"@pmFromFile words.data\" \"id:2,phase:2,deny\"\n\
        SecRule REMOTE_ADDR \"@rbl x.example\" \"id:3,phase:1,deny\"\n";
    Shelf(BTreeMap::from([
        ("policy.yaml", policy.to_owned()),
        ("crs/rules.conf", rules.to_owned()),
        ("crs/words.data", "one\ntwo\n".to_owned()),
    ]))
}

#[test]
fn rules_are_compiled_again_only_when_something_they_are_made_of_changed() {
    let load = |files: &mut Shelf| Policy::load("policy.yaml", files, 0).unwrap();
    let rules = |policy: &Policy| std::ptr::from_ref(policy.rulesets().next().unwrap().1);
    let first = load(&mut shelf());
    let old = first.policy;
    let again = |change: &dyn Fn(&mut Shelf)| {
        let mut files = shelf();
        change(&mut files);
        let loaded = old.reload("policy.yaml", &mut files.clone(), 0).unwrap();
        let plain = load(&mut files);
        assert_eq!(loaded.policy.hash(), plain.policy.hash());
        assert_eq!(loaded.warnings, plain.warnings);
        (rules(&loaded.policy) == rules(&old), loaded)
    };
    let (same, loaded) = again(&|_| {});
    assert!(same && loaded.warnings == first.warnings && !loaded.warnings.is_empty());
    let edit = |name: &'static str, from: &'static str, to: &'static str| {
        move |files: &mut Shelf| {
            let text = files.0.get_mut(name).unwrap();
            assert!(text.contains(from));
            *text = text.replace(from, to);
        }
    };
    // What is not of the rules changes nothing about them.
    assert!(again(&edit("policy.yaml", "name: all", "name: every")).0);
    assert!(!again(&edit("policy.yaml", "paranoia: 1}", "paranoia: 2}")).0);
    assert!(!again(&edit("crs/rules.conf", "id:2,", "id:7,")).0);
    assert!(!again(&edit("crs/words.data", "two", "three")).0);
    let added = |files: &mut Shelf| {
        let text = "SecAction \"id:9,phase:1,pass,nolog\"\n".to_owned();
        files.0.insert("crs/more.conf", text);
    };
    assert!(!again(&added).0);
    // And the one after next finds what the next one kept.
    let (_, next) = again(&|_| {});
    let last = next.policy.reload("policy.yaml", &mut shelf(), 0).unwrap();
    assert_eq!(rules(&last.policy), rules(&old));
}

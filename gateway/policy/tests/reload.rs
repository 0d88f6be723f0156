//! A policy in the place of another: what rules keep between requests is not forgotten.
#![allow(clippy::unwrap_used, missing_docs, reason = "tests")]

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
        .reload("policy.yaml", &mut text("others", 7), 0)
        .unwrap()
        .policy;
    assert!(!Arc::ptr_eq(&kept(&old), &kept(&other)));
}

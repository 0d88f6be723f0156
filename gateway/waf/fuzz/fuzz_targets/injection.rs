//! Any bytes as SQL and as HTML: the rule engine, whose tokeniser of SQL is its own, says what the port of libinjection
//! says, but for the phrases that the C original knows and the port misses.
#![no_main]

use std::{cell::RefCell, sync::LazyLock};

use libfuzzer_sys::fuzz_target;
use waf::{Options, Ruleset, Scratch, Source, Tuning, seclang};
use waf_fuzz::Exchange;

const TEXT: &str = r#"
SecRuleEngine On
SecRule REQUEST_HEADERS:x "@detectSQLi" "id:1,phase:1,deny,t:none"
"#;

static RULES: LazyLock<Ruleset> = LazyLock::new(|| {
    let source = Source::SecLang(seclang::Source { name: "sqli.conf", text: TEXT });
    Ruleset::load(&[source], &seclang::NoFiles).unwrap_or_else(|faults| panic!("{}", faults[0]))
});
static TUNING: LazyLock<Tuning> = LazyLock::new(|| RULES.tune(&Options::default()).expect("defaults"));
thread_local!(static SCRATCH: RefCell<Scratch> = RefCell::default());

/// What only the original knows.
fn may_differ(bytes: &[u8]) -> bool {
    let text = bytes.to_ascii_lowercase();
    ["outfile", "dumpfile", "mode", "replace"].iter().any(|word| text.windows(word.len()).any(|part| part == word.as_bytes()))
}

fuzz_target!(|bytes: &[u8]| {
    let _ = libinjectionrs::detect_xss(bytes);
    let (verdict, scratch) = Exchange::field(bytes).judge(&RULES, &TUNING, SCRATCH.take());
    SCRATCH.set(scratch);
    let port = libinjectionrs::detect_sqli(bytes).is_injection();
    assert!(verdict.refusal.is_some() || verdict.block == port || may_differ(bytes), "{} {port}", verdict.block);
});

//! Any bytes as SecLang: refused with faults, or rules that judge a request without a panic.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use waf::{Options, Ruleset, Scratch, Source, seclang};
use waf_fuzz::Exchange;

static REQUEST: LazyLock<Exchange> = LazyLock::new(|| {
    Exchange::parse(b"POST /a/b.php?q=1%27%20or%201=1&x=<a>\nContent-Type: application/x-www-form-urlencoded\nCookie: s=1\n\nc=d&e=../f")
});

fuzz_target!(|bytes: &[u8]| {
    let text = String::from_utf8_lossy(bytes);
    let source = Source::SecLang(seclang::Source { name: "fuzz.conf", text: &text });
    let Ok(rules) = Ruleset::load(&[source], &seclang::NoFiles) else { return };
    let Ok(tuning) = rules.tune(&Options::default()) else { return };
    REQUEST.judge(&rules, &tuning, Scratch::default());
});

//! A whole exchange through the rules of the folder that WAF_FUZZ_RULES names, such as a Core Rule Set.
#![no_main]

use std::{cell::RefCell, sync::LazyLock};

use libfuzzer_sys::fuzz_target;
use waf::{Options, Ruleset, Scratch, Tuning};
use waf_fuzz::{Exchange, folder};

static RULES: LazyLock<Ruleset> = LazyLock::new(|| folder(&std::env::var("WAF_FUZZ_RULES").expect("WAF_FUZZ_RULES")));
static TUNING: LazyLock<Tuning> = LazyLock::new(|| RULES.tune(&Options::default()).expect("defaults"));
thread_local!(static SCRATCH: RefCell<Scratch> = RefCell::default());

fuzz_target!(|bytes: &[u8]| {
    let exchange = Exchange::parse(bytes);
    let (_, scratch) = exchange.judge(&RULES, &TUNING, SCRATCH.take());
    SCRATCH.set(scratch);
});

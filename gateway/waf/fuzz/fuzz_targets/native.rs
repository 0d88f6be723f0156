//! A whole exchange through the built-in rules, twice with the same scratch: the same verdict.
#![no_main]

use std::{cell::RefCell, sync::LazyLock};

use libfuzzer_sys::fuzz_target;
use waf::{Options, Ruleset, Scratch, Tuning};
use waf_fuzz::{Exchange, built_in};

static RULES: LazyLock<Ruleset> = LazyLock::new(built_in);
static TUNING: LazyLock<Tuning> = LazyLock::new(|| RULES.tune(&Options::default()).expect("defaults"));
thread_local!(static SCRATCH: RefCell<Scratch> = RefCell::default());

fuzz_target!(|bytes: &[u8]| {
    let exchange = Exchange::parse(bytes);
    let scratch = SCRATCH.take();
    let (first, scratch) = exchange.judge(&RULES, &TUNING, scratch);
    let (second, scratch) = exchange.judge(&RULES, &TUNING, scratch);
    assert_eq!(first.block, second.block);
    assert_eq!(first.score, second.score);
    SCRATCH.set(scratch);
});

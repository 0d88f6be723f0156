//! Any bytes as a form body.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| waf_fuzz::body(waf::body::Kind::Form, b"", bytes));

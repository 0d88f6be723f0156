//! Any bytes as a Cookie header, and as a query string.
#![no_main]

use libfuzzer_sys::fuzz_target;
use waf::pairs::{cookies, decode, query};

fuzz_target!(|bytes: &[u8]| {
    let mut scratch = Vec::new();
    let mut sum = 0;
    for pair in cookies(bytes).chain(query(bytes)) {
        sum += decode(pair.name, &mut scratch).len();
        sum += decode(pair.value, &mut scratch).len();
    }
    // Both splitters read the same bytes once, and decoding never adds.
    assert!(sum <= 2 * bytes.len());
});

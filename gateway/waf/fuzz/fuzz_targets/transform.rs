//! Any bytes through every transformation: bounded, and true means changed.
#![no_main]

use libfuzzer_sys::fuzz_target;
use waf::transform::Transform;

fuzz_target!(|bytes: &[u8]| {
    let mut out = Vec::new();
    for transform in Transform::all() {
        if transform.apply(bytes, &mut out) {
            assert!(out != bytes && out.len() <= transform.bound(bytes.len()), "{transform:?}");
        }
    }
});

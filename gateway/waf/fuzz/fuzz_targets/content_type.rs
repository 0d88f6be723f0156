//! Any bytes as a Content-Type.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let _ = waf::body::Kind::of(bytes);
});

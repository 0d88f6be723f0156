//! Any bytes as SQL and as HTML for libinjection.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let _ = libinjectionrs::detect_sqli(bytes);
    let _ = libinjectionrs::detect_xss(bytes);
});

//! Any bytes as a multipart body; the first line is its Content-Type.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let (header, body) = bytes.iter().position(|b| *b == b'\n').map_or((bytes, &[][..]), |at| bytes.split_at(at));
    waf_fuzz::body(waf::body::Kind::Multipart, header, body);
    waf_fuzz::body(waf::body::Kind::Multipart, b"multipart/form-data; boundary=XX", bytes);
});

//! Any bytes in any coding, and in two upon each other: within both bounds, and a smaller bound shows the beginning of
//! the same.
#![no_main]

use http::header::{CONTENT_ENCODING, HeaderMap, HeaderValue};
use libfuzzer_sys::fuzz_target;
use policy::codec::{Bounds, Codings, Opened, open};

/// Output that no ratio bounds, as `policy::codec` states it.
const FREE: usize = 64 << 10;
const CODINGS: [&str; 8] = [
    "gzip",
    "deflate",
    "br",
    "zstd",
    "gzip, br",
    "br, gzip",
    "zstd, deflate",
    "deflate, zstd",
];

fuzz_target!(|bytes: &[u8]| {
    let [choice, bytes @ ..] = bytes else { return };
    let name = CODINGS[usize::from(*choice) % CODINGS.len()];
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_ENCODING, HeaderValue::from_static(name));
    let codings = Codings::of(&headers).expect("known codings");
    let (mut long, mut short) = (Vec::new(), Vec::new());
    let whole = check(
        &codings,
        bytes,
        Bounds {
            output: 256 << 10,
            ratio: 20,
        },
        &mut long,
    );
    check(
        &codings,
        bytes,
        Bounds {
            output: 100,
            ratio: 20,
        },
        &mut short,
    );
    assert!(long.starts_with(&short));
    if whole && long.len() <= 100 {
        assert_eq!(long, short);
    }
});

/// Whether it opened to the end.
fn check(codings: &Codings, bytes: &[u8], bounds: Bounds, out: &mut Vec<u8>) -> bool {
    let result = open(codings, bytes, bounds, out);
    assert!(out.len() <= bounds.output && out.len() <= FREE.max(bytes.len() * bounds.ratio));
    if result == Ok(Opened::Full) {
        assert_eq!(out.len(), bounds.output);
    }
    result == Ok(Opened::Whole)
}

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use std::io::{Read, Write};

use flate2::Compression;
use flate2::read::{DeflateEncoder, GzEncoder, ZlibEncoder};
use http::header::{ACCEPT_ENCODING, CONTENT_ENCODING, HeaderMap, HeaderValue};
use proptest::prelude::*;

use super::{Bounds, Codings, Fault, Opened, Unknown, acceptable, open};

const WIDE: Bounds = Bounds {
    output: 1 << 20,
    ratio: 100,
};

fn codings(text: &str) -> Codings {
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_ENCODING, HeaderValue::from_str(text).unwrap());
    Codings::of(&headers).unwrap()
}

fn read(mut encoder: impl Read) -> Vec<u8> {
    let mut out = Vec::new();
    encoder.read_to_end(&mut out).unwrap();
    out
}

fn encode(coding: &str, plain: &[u8]) -> Vec<u8> {
    match coding {
        "gzip" => read(GzEncoder::new(plain, Compression::default())),
        "zlib" => read(ZlibEncoder::new(plain, Compression::default())),
        "raw" => read(DeflateEncoder::new(plain, Compression::default())),
        "zstd" => zstd::encode_all(plain, 3).unwrap(),
        _ => {
            let mut encoder = brotli::CompressorWriter::new(Vec::new(), 4096, 5, 22);
            encoder.write_all(plain).unwrap();
            encoder.into_inner()
        }
    }
}

fn named(kind: &str) -> &str {
    match kind {
        "zlib" | "raw" => "deflate",
        kind => kind,
    }
}

const KINDS: [&str; 5] = ["gzip", "zlib", "raw", "br", "zstd"];

fn opened(coding: &str, input: &[u8], bounds: Bounds) -> (Result<Opened, Fault>, Vec<u8>) {
    let mut out = vec![1, 2, 3];
    let result = open(&codings(coding), input, bounds, &mut out);
    (result, out)
}

#[test]
fn every_coding_comes_back_and_two_upon_each_other() {
    let plain = b"the quick brown fox ".repeat(999);
    for inner in KINDS {
        let once = encode(inner, &plain);
        let got = opened(named(inner), &once, WIDE);
        assert_eq!(got, (Ok(Opened::Whole), plain.clone()), "{inner}");
        for outer in KINDS {
            let twice = encode(outer, &once);
            let stack = format!("{}, {}", named(inner), named(outer));
            let got = opened(&stack, &twice, WIDE);
            assert_eq!(got, (Ok(Opened::Whole), plain.clone()), "{stack}");
        }
    }
}

#[test]
fn members_and_frames_follow_each_other_and_nothing_else_does() {
    for kind in ["gzip", "zstd"] {
        let two = [encode(kind, b"one "), encode(kind, b"two")].concat();
        let expected = (Ok(Opened::Whole), b"one two".to_vec());
        assert_eq!(opened(kind, &two, WIDE), expected);
    }
    for kind in KINDS {
        let mut tail = encode(kind, b"one");
        tail.extend_from_slice(b"<script>");
        // Eight bytes may still become a member of gzip.
        let refused = if kind == "gzip" {
            Ok(Opened::Cut)
        } else {
            Err(Fault::Corrupt)
        };
        assert_eq!(opened(named(kind), &tail, WIDE).0, refused, "{kind}");
        tail.extend_from_slice(b"alert(1)");
        assert_eq!(
            opened(named(kind), &tail, WIDE).0,
            Err(Fault::Corrupt),
            "{kind}"
        );
    }
}

#[test]
fn an_end_that_is_missing_is_noticed() {
    let plain: Vec<u8> = (0..9999u32).flat_map(|n| (n * n).to_le_bytes()).collect();
    for kind in KINDS {
        let whole = encode(kind, &plain);
        for length in [1, 2, 9, whole.len() / 2, whole.len() - 1] {
            let (result, out) = opened(named(kind), &whole[..length], WIDE);
            assert_eq!(result, Ok(Opened::Cut), "{kind} {length}");
            assert!(plain.starts_with(&out));
        }
        let (_, half) = opened(named(kind), &whole[..whole.len() / 2], WIDE);
        // zstd is read block by block, and this is one.
        let given = half.len() > 1000 || kind == "zstd";
        assert!(given, "{kind}: what is there is given");
    }
}

#[test]
fn a_bomb_stops_at_the_limits() {
    let zeros = vec![0; 32 << 20];
    for kind in KINDS {
        let bomb = encode(kind, &zeros);
        let wide = Bounds {
            output: 16 << 20,
            ratio: 100,
        };
        let (result, out) = opened(named(kind), &bomb, wide);
        assert_eq!(result, Err(Fault::Expansion), "{kind}");
        assert!(out.len() <= (bomb.len() * 100).max(64 << 10));
        let patient = Bounds {
            output: 100_000,
            ratio: usize::MAX,
        };
        let (result, out) = opened(named(kind), &bomb, patient);
        assert_eq!((result, out.len()), (Ok(Opened::Full), 100_000), "{kind}");
        assert!(out.capacity() <= 200_000);
        // A layer in between may not expand either, however little comes out at the end.
        let nested = encode("gzip", &encode("gzip", b"").repeat(1 << 20));
        assert_eq!(
            opened("gzip, gzip", &nested, patient).0,
            Err(Fault::Expansion)
        );
    }
}

#[test]
fn short_texts_may_expand_as_they_like() {
    let zeros = vec![b' '; 60 << 10];
    for kind in KINDS {
        assert_eq!(
            opened(named(kind), &encode(kind, &zeros), WIDE).0,
            Ok(Opened::Whole)
        );
    }
}

#[test]
fn the_limit_itself_is_whole() {
    let bounds = Bounds {
        output: 5,
        ratio: 100,
    };
    for kind in KINDS {
        let got = opened(named(kind), &encode(kind, b"12345"), bounds);
        assert_eq!(got, (Ok(Opened::Whole), b"12345".to_vec()));
        let got = opened(named(kind), &encode(kind, b"123456"), bounds);
        assert_eq!(got, (Ok(Opened::Full), b"12345".to_vec()));
    }
    assert_eq!(opened("identity", b"123456", bounds).0, Ok(Opened::Full));
    assert_eq!(opened("gzip", b"", bounds), (Ok(Opened::Whole), Vec::new()));
}

#[test]
fn unknown_codings_and_towers_are_refused() {
    let of = |lines: &[&'static str]| {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(CONTENT_ENCODING, HeaderValue::from_static(line));
        }
        Codings::of(&headers)
    };
    for lines in [
        &["compress"][..],
        &["gzip, aes128gcm"],
        &["gzip, gzip, gzip"],
        &["gzip", "br", "zstd"],
        &["gzip;q=1"],
        &["gzip br"],
    ] {
        assert_eq!(of(lines), Err(Unknown), "{lines:?}");
    }
    assert!(of(&["identity", ", IDENTITY"]).unwrap().is_empty());
    assert_eq!(of(&["X-GZIP", "Br"]), of(&["gzip, br"]));
}

#[test]
fn accept_encoding_is_reduced_to_what_can_be_read() {
    let reduce = |lines: &[&'static str]| {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(ACCEPT_ENCODING, HeaderValue::from_static(line));
        }
        acceptable(&headers).map(|value| value.to_str().unwrap().to_owned())
    };
    assert_eq!(reduce(&[]), None);
    assert_eq!(reduce(&["gzip, deflate, br, zstd"]), None);
    assert_eq!(reduce(&["gzip;q=0.5, *;q=0"]), None);
    assert_eq!(
        reduce(&["gzip;q=0.5, dcb, br", "compress"]).unwrap(),
        "gzip;q=0.5, br"
    );
    assert_eq!(reduce(&["*"]).unwrap(), "identity");
    assert_eq!(reduce(&["gzip, *;q=0.1"]).unwrap(), "gzip");
}

proptest! {
    #[test]
    fn any_input_is_bounded_and_never_panics(
        kind in 0..4usize,
        outer in 0..4usize,
        head in 0..5usize,
        input in proptest::collection::vec(any::<u8>(), 0..2000),
    ) {
        let names = ["gzip", "deflate", "br", "zstd"];
        let bounds = Bounds { output: 50_000, ratio: 100 };
        let mut crafted = encode(KINDS[head], b"some text to begin with");
        crafted.truncate(crafted.len() / 2);
        crafted.extend_from_slice(&input);
        for input in [&input, &crafted] {
            let (_, out) = opened(names[kind], input, bounds);
            prop_assert!(out.len() <= bounds.output);
            let (_, out) = opened(&format!("{}, {}", names[kind], names[outer]), input, bounds);
            prop_assert!(out.len() <= bounds.output);
        }
    }

    #[test]
    fn a_flipped_or_cut_stream_is_never_taken_for_another_text(
        kind in 0..5usize,
        plain in "[a-z ]{0,500}",
        at in any::<prop::sample::Index>(),
        bit in 0..8u8,
    ) {
        let mut wire = encode(KINDS[kind], plain.as_bytes());
        let cut = &wire[..at.index(wire.len())];
        if !cut.is_empty() {
            prop_assert_ne!(opened(named(KINDS[kind]), cut, WIDE).0, Ok(Opened::Whole));
        }
        let index = at.index(wire.len());
        wire[index] ^= 1 << bit;
        let (_, out) = opened(named(KINDS[kind]), &wire, WIDE);
        prop_assert!(out.len() <= WIDE.output);
    }
}

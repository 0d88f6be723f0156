//! Every transformation against its data file, and properties that hold for all of them on arbitrary bytes.

#![expect(clippy::expect_used, reason = "tests")]

use std::{fs, path::Path};

use proptest::prelude::*;
use waf::transform::Transform;

#[path = "support/text.rs"]
mod text;

use text::unescape;

/// Lines of `input => output` between bars, `|a| => |b|`; `|a| same` is unchanged; `#` starts a comment.
fn check(name: &str, text: &str, faults: &mut Vec<String>) {
    let transform = Transform::from_name(name).expect("a known name");
    for (at, line) in text.lines().enumerate() {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let (input, expected) = match line.strip_suffix("| same") {
            Some(input) => (input.strip_prefix('|').expect("a bar"), None),
            None => {
                let inner = line
                    .strip_prefix('|')
                    .and_then(|l| l.strip_suffix('|'))
                    .expect("bars");
                let (input, output) = inner.split_once("| => |").expect("an arrow");
                (input, Some(unescape(output)))
            }
        };
        let input = unescape(input);
        let mut out = b"left over".to_vec();
        let found = transform.apply(&input, &mut out).then_some(out);
        if found != expected {
            let show = |v: &Option<Vec<u8>>| {
                v.as_ref()
                    .map_or_else(|| "same".into(), |v| v.escape_ascii().to_string())
            };
            faults.push(format!("{name}:{}: {} gave {}", at + 1, line, show(&found)));
        }
    }
}

#[test]
fn every_case_file_holds() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/transform");
    let mut faults = Vec::new();
    let mut files = 0;
    for entry in fs::read_dir(folder).expect("the folder") {
        let path = entry.expect("an entry").path();
        let name = path
            .file_stem()
            .expect("a name")
            .to_str()
            .expect("text")
            .to_owned();
        check(
            &name,
            &fs::read_to_string(&path).expect("text"),
            &mut faults,
        );
        files += 1;
    }
    assert_eq!(
        files,
        Transform::all().count(),
        "one file per transformation"
    );
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn names_are_known_in_any_spelling_and_others_refused() {
    for name in ["urlDecodeUni", "URLDECODEUNI", "url_decode_uni"] {
        assert_eq!(Transform::from_name(name), Some(Transform::UrlDecodeUni));
    }
    assert_eq!(
        Transform::from_name("utf8toUnicode"),
        Transform::from_name("utf8_to_unicode")
    );
    assert_eq!(
        Transform::from_name("normalisePathWin"),
        Some(Transform::NormalizePathWin)
    );
    for name in ["", "md4", "urlDecodeUnix", "url decode", "lowercase\0"] {
        assert_eq!(Transform::from_name(name), None);
    }
}

/// Bytes in which escapes, comments, paths and entities are frequent.
fn hostile() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        proptest::sample::select(&b"%u\\/.*-#<>!&;x0fF3=+ '\"^,\t\n\0"[..]).prop_map(|b| vec![b]),
        any::<u8>().prop_map(|b| vec![b]),
        proptest::sample::select(
            &[
                "../", "/*", "*/", "%uff1c", "&#x3c", "&lt", "\\u00e9", "0x41", "é", "語"
            ][..]
        )
        .prop_map(|s| s.as_bytes().to_vec()),
    ];
    proptest::collection::vec(piece, 0..80).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn output_is_bounded_and_true_means_changed(input in hostile()) {
        let mut out = Vec::new();
        for transform in Transform::all() {
            if transform.apply(&input, &mut out) {
                prop_assert_ne!(&out, &input, "{:?}", transform);
                prop_assert!(out.len() <= transform.bound(input.len()), "{:?} wrote {}", transform, out.len());
            }
        }
    }

    #[test]
    fn a_second_application_changes_nothing(input in hostile()) {
        use Transform::*;
        for transform in [
            CompressWhitespace, FoldWidth, Lowercase, None, ParityZero7bit, RemoveNulls,
            RemoveWhitespace, ReplaceNulls, Trim, TrimLeft, TrimRight, Uppercase,
        ] {
            let mut once = Vec::new();
            if transform.apply(&input, &mut once) {
                let mut twice = Vec::new();
                prop_assert!(!transform.apply(&once, &mut twice), "{:?}", transform);
            }
        }
    }

    #[test]
    fn decoders_undo_encoders(input in proptest::collection::vec(any::<u8>(), 1..200)) {
        use Transform::*;
        for (encode, decode) in [(HexEncode, HexDecode), (Base64Encode, Base64Decode), (Base64Encode, Base64DecodeExt), (UrlEncode, UrlDecode)] {
            let (mut there, mut back) = (Vec::new(), Vec::new());
            if !encode.apply(&input, &mut there) {
                there.clone_from(&input);
            }
            if !decode.apply(&there, &mut back) {
                back.clone_from(&there);
            }
            prop_assert_eq!(&back, &input);
        }
    }
}

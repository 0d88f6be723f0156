#![expect(clippy::unwrap_used, reason = "tests")]

use proptest::prelude::*;

use super::*;

fn canon(raw: &str) -> Result<String, PathFault> {
    canonical(raw, &mut String::new()).map(str::to_owned)
}

fn with(
    raw: &str,
    encoded_slash: EncodedSlash,
    double_encoding: DoubleEncoding,
) -> Result<String, PathFault> {
    let rules = Rules {
        encoded_slash,
        double_encoding,
        ..Rules::default()
    };
    canonical_with(raw, rules, &mut String::new()).map(str::to_owned)
}

fn upstream(raw: &str) -> String {
    encode(&canon(raw).unwrap(), &mut String::new()).to_owned()
}

#[test]
fn spellings_of_one_path_become_one() {
    for (raw, want) in [
        ("", "/"),
        ("/", "/"),
        ("*", "*"),
        ("/admin", "/admin"),
        ("/%61dmin", "/admin"),
        ("/%61%64%6D%69%6e", "/admin"),
        ("//admin", "/admin"),
        ("///admin//x///", "/admin/x/"),
        ("/./admin", "/admin"),
        ("/admin/.", "/admin/"),
        ("/x/../admin", "/admin"),
        ("/x/%2e%2e/admin", "/admin"),
        ("/x/.%2E/admin", "/admin"),
        ("/x/..", "/"),
        ("/x//../admin", "/admin"),
        ("/a/b/../..", "/"),
        ("/.well-known/x", "/.well-known/x"),
        ("/..a/...", "/..a/..."),
        ("/a%20b", "/a b"),
        ("/caf%C3%A9", "/café"),
        ("/café", "/café"),
        ("/a%3fb%23c", "/a%3Fb%23c"),
        ("/50%25", "/50%25"),
        ("/50%25off", "/50%25off"),
        ("/a;b=1", "/a;b=1"),
        ("/a%3bb", "/a;b"),
        ("/Admin", "/Admin"),
    ] {
        assert_eq!(canon(raw).as_deref(), Ok(want), "{raw}");
    }
}

#[test]
fn refuses_what_readers_disagree_about() {
    for (raw, fault) in [
        ("admin", PathFault::NotAbsolute),
        ("http://a/b", PathFault::NotAbsolute),
        ("%2fadmin", PathFault::NotAbsolute),
        ("/..", PathFault::AboveRoot),
        ("/%2e%2e", PathFault::AboveRoot),
        ("/a/../../etc", PathFault::AboveRoot),
        ("//../etc", PathFault::AboveRoot),
        ("/..%2fetc", PathFault::EncodedSlash),
        ("/a%2Fb", PathFault::EncodedSlash),
        ("/..;/admin", PathFault::DotParameter),
        ("/x/..;a=b/admin", PathFault::DotParameter),
        ("/x/.;/admin", PathFault::DotParameter),
        ("/x/%2e%2e%3b/admin", PathFault::DotParameter),
        ("/x/..;", PathFault::DotParameter),
        ("/a\\b", PathFault::Backslash),
        ("/..%5cetc", PathFault::Backslash),
        ("/a%00", PathFault::Control),
        ("/a%0d%0ab", PathFault::Control),
        ("/a\tb", PathFault::Control),
        ("/a%7f", PathFault::Control),
        ("/a%c2%85", PathFault::Control),
        ("/%zz", PathFault::BadEscape),
        ("/a%", PathFault::BadEscape),
        ("/a%2", PathFault::BadEscape),
        ("/%u002e", PathFault::BadEscape),
        ("/%+1", PathFault::BadEscape),
        ("/%2561dmin", PathFault::DoubleEncoding),
        ("/%252e%252e/", PathFault::DoubleEncoding),
        ("/%25%32%66", PathFault::DoubleEncoding),
        ("/%c0%ae%c0%ae/", PathFault::NotUtf8),
        ("/%e0%80%af", PathFault::NotUtf8),
        ("/%c1%9c", PathFault::NotUtf8),
        ("/%ff", PathFault::NotUtf8),
        ("/%ed%a0%80", PathFault::NotUtf8),
        ("/a#b", PathFault::Delimiter),
        ("/a?b", PathFault::Delimiter),
    ] {
        assert_eq!(canon(raw), Err(fault), "{raw}");
    }
}

#[test]
fn encoded_slash_follows_the_policy() {
    let keep = |raw| with(raw, EncodedSlash::Keep, DoubleEncoding::Refuse);
    assert_eq!(keep("/@a%2fb").as_deref(), Ok("/@a%2Fb"));
    assert_eq!(keep("/@a%2Fb").as_deref(), Ok("/@a%2Fb"));
    let decode = |raw| with(raw, EncodedSlash::Decode, DoubleEncoding::Refuse);
    assert_eq!(decode("/a%2fb").as_deref(), Ok("/a/b"));
    assert_eq!(decode("/a/..%2fb").as_deref(), Ok("/b"));
    assert_eq!(decode("/..%2fb"), Err(PathFault::AboveRoot));
}

#[test]
fn a_kept_slash_hides_no_dot_segment() {
    let keep = |raw| with(raw, EncodedSlash::Keep, DoubleEncoding::Refuse);
    for raw in [
        "/..%2fb",
        "/a%2f..",
        "/a/..%2F..%2fb",
        "/%2e%2e%2f",
        "/a%2f.%2fb",
        "/a%2f..;x",
    ] {
        assert_eq!(keep(raw), Err(PathFault::EncodedSlash), "{raw}");
    }
}

#[test]
fn kept_double_encoding_stays_encoded() {
    let keep = |raw| with(raw, EncodedSlash::Refuse, DoubleEncoding::Keep);
    assert_eq!(keep("/%2541").as_deref(), Ok("/%2541"));
    assert_eq!(keep("/%25%34%31").as_deref(), Ok("/%2541"));
}

#[test]
fn what_goes_upstream_is_encoded() {
    assert_eq!(upstream("/a b"), "/a%20b");
    assert_eq!(upstream("/caf%c3%a9"), "/caf%C3%A9");
    assert_eq!(upstream("/a;jsessionid=1"), "/a%3Bjsessionid=1");
    assert_eq!(upstream("/%22%3c%3e%7c"), "/%22%3C%3E%7C");
    assert_eq!(upstream("/50%25"), "/50%25");
    assert_eq!(upstream("/a%3fb"), "/a%3Fb");
}

#[test]
fn a_canonical_path_is_only_borrowed() {
    let mut out = String::new();
    canonical("/api/v1/items:list", &mut out).unwrap();
    assert_eq!(out.capacity(), 0);
    encode("/api/v1/items:list", &mut out);
    assert_eq!(out.capacity(), 0);
}

/// Every character of a path, some of them percent-encoded, some twice as often as usual.
fn hostile() -> impl Strategy<Value = String> {
    let part = prop_oneof![
        Just("/".to_owned()),
        Just("..".to_owned()),
        Just(".".to_owned()),
        Just(";".to_owned()),
        Just("%2e".to_owned()),
        Just("%2F".to_owned()),
        Just("%25".to_owned()),
        Just("%32%66".to_owned()),
        Just("2f".to_owned()),
        Just("%5c".to_owned()),
        Just("%3B".to_owned()),
        "[a-zA-Z0-9 ;:@!+]{1,4}",
        "%[0-9a-fA-F]{2}",
        "\\PC{1,2}",
    ];
    prop::collection::vec(part, 0..12).prop_map(|parts| format!("/{}", parts.concat()))
}

#[test]
fn compared_is_what_an_application_finds_the_same_page_by() {
    let compare = |path: &str, case, trailing_slash| {
        let rules = Rules {
            case,
            trailing_slash,
            ..Rules::default()
        };
        compared(path, rules, &mut String::new()).to_owned()
    };
    for (path, folded, bare) in [
        ("/", "/", "/"),
        ("/admin", "/admin", "/admin"),
        ("/Admin/", "/admin/", "/Admin"),
        ("/ÄRZTE/Ω", "/ärzte/ω", "/ÄRZTE/Ω"),
        (
            "/\u{212a}elvin/\u{17f}",
            "/kelvin/s",
            "/\u{212a}elvin/\u{17f}",
        ),
        ("/a%2Fb/", "/a%2fb/", "/a%2Fb"),
        ("/Stra\u{1e9e}e", "/strasse", "/Stra\u{1e9e}e"),
    ] {
        assert_eq!(compare(path, Case::Keep, TrailingSlash::Keep), path);
        assert_eq!(compare(path, Case::Fold, TrailingSlash::Keep), folded);
        assert_eq!(compare(path, Case::Keep, TrailingSlash::Ignore), bare);
        let once = compare(path, Case::Fold, TrailingSlash::Ignore);
        assert_eq!(compare(&once, Case::Fold, TrailingSlash::Ignore), once);
    }
}

fn rules() -> impl Strategy<Value = Rules> {
    let slash = prop_oneof![
        Just(EncodedSlash::Refuse),
        Just(EncodedSlash::Keep),
        Just(EncodedSlash::Decode)
    ];
    let double = prop_oneof![Just(DoubleEncoding::Refuse), Just(DoubleEncoding::Keep)];
    (slash, double).prop_map(|(encoded_slash, double_encoding)| Rules {
        encoded_slash,
        double_encoding,
        ..Rules::default()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2048))]

    #[test]
    fn what_is_compared_is_a_fixed_point(letters in prop::collection::vec(any::<char>(), 0..20)) {
        let path: String = std::iter::once('/').chain(letters).collect();
        let rules = Rules { case: Case::Fold, ..Rules::default() };
        let (mut once, mut twice) = (String::new(), String::new());
        let once = compared(&path, rules, &mut once);
        prop_assert_eq!(compared(once, rules, &mut twice), once);
        for fold in [str::to_lowercase, str::to_uppercase] {
            let (other, mut out) = (fold(&path), String::new());
            prop_assert_eq!(compared(&other, rules, &mut out), once);
        }
    }

    #[test]
    fn canonical_is_a_fixed_point(raw in hostile(), rules in rules()) {
        let (mut out, mut again, mut sent, mut back) = Default::default();
        if let Ok(path) = canonical_with(&raw, rules, &mut out) {
            prop_assert_eq!(canonical_with(path, rules, &mut again), Ok(path));
            let sent = encode(path, &mut sent);
            prop_assert!(sent.bytes().all(|byte| byte.is_ascii_graphic()));
            prop_assert_eq!(canonical_with(sent, rules, &mut back), Ok(path));
        }
    }

    #[test]
    fn no_segment_is_empty_or_dotted(raw in hostile(), rules in rules()) {
        let mut out = String::new();
        if let Ok(path) = canonical_with(&raw, rules, &mut out) {
            prop_assert!(path.starts_with('/'));
            prop_assert!(!path.contains("//") && !path.contains('\\'));
            let dotted = |segment: &str| matches!(segment.split(';').next(), Some("." | ".."));
            prop_assert!(!path.split('/').any(dotted), "{path}");
            prop_assert!(!path.replace("%2F", "/").split('/').any(dotted), "{path}");
        }
    }

    #[test]
    fn encoding_any_byte_changes_nothing(raw in hostile(), picks in any::<u64>()) {
        let mut spelled = String::new();
        let mut skip = 0;
        for (index, byte) in raw.bytes().enumerate() {
            // Existing escapes and separators stay; anything else may be spelled as an escape.
            if byte == b'%' { skip = 3; }
            let keep = skip > 0 || byte == b'/' || !byte.is_ascii() || matches!(byte, b'?' | b'#');
            skip = usize::saturating_sub(skip, 1);
            if keep || picks >> (index % 64) & 1 == 0 {
                spelled.push_str(std::str::from_utf8(&[byte]).unwrap_or(""));
            } else {
                spelled.push_str(&format!("%{byte:02x}"));
            }
        }
        prop_assume!(raw.is_ascii());
        let rules = Rules { double_encoding: DoubleEncoding::Keep, ..Rules::default() };
        let (mut one, mut two) = Default::default();
        prop_assert_eq!(canonical_with(&raw, rules, &mut one), canonical_with(&spelled, rules, &mut two));
    }
}

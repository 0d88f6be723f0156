use libinjectionrs::{SqliFlags, SqliState, sqli::sqli_data::SQL_KEYWORDS};
use proptest::{prelude::*, sample::Index};

const MARKS: &[&str] = &[
    " ",
    " ",
    "(",
    ")",
    ";",
    "--",
    "-- ",
    "#",
    "+",
    "=",
    "||",
    "&&",
    "<",
    ">",
    "::",
    "@",
    "@@x",
    "}",
    "{",
    "[x]",
    "[",
    "]",
    "$1",
    "$$",
    "$a$",
    "$.",
    "1",
    "0x1f",
    "0b1",
    "0x",
    ",",
    "!",
    "~",
    "%",
    "|",
    ":=",
    ":",
    "\n",
    "\t",
    "/",
    ".",
    "\0",
    "?",
    "^",
    "<=>",
    "1.e(",
    "e1",
    "1e",
    "1.5f",
    "'",
    "'",
    "\"",
    "`",
    "``",
    "/*",
    "*/",
    "/*!",
    "\\",
    "\\N",
    "\\'",
    "''",
    "q'(a)'",
    "nq'[",
    "n'x'",
    "e'x'",
    "u&'x",
    "b'01'",
    "x'af'",
    "a.b",
    "x",
    "_utf8",
    "user",
    "@`v`",
    "@'v'",
    "caf\u{e9}",
    "\u{a0}",
    "sp_password",
    "9999999999999999999999999999999999",
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
];

fn is_injection(text: &[u8]) -> bool {
    super::fingerprint(text, &mut 0).is_some()
}

/// The crate may unwind on hostile text: what it then would say counts for nothing.
fn port(text: &[u8]) -> Option<bool> {
    std::panic::catch_unwind(|| SqliState::new(text, SqliFlags::FLAG_NONE).detect()).ok()
}

fn text(parts: &[(Index, u8)]) -> Vec<u8> {
    let mut text = Vec::new();
    for (index, kind) in parts {
        match kind % 4 {
            0 => text.extend_from_slice(index.get(SQL_KEYWORDS).word.as_bytes()),
            1 => text.push(u8::try_from(index.index(256)).unwrap()),
            _ => text.extend_from_slice(index.get(MARKS).as_bytes()),
        }
        if kind / 4 % 3 == 0 {
            text.push(b' ');
        }
    }
    text
}

/// Values of every fingerprint known: each token kind as some text.
fn spelled(fingerprint: &str, choice: usize) -> Vec<u8> {
    let mut text = Vec::new();
    for kind in fingerprint.bytes().skip(1) {
        let words: &[&str] = match kind {
            b'1' => &["1", "2.5", "0x1"],
            b'N' => &["foo", "bar"],
            b'S' => &["'a'", "\"b\""],
            b'O' => &["=", "+", "like", "*"],
            b'&' => &["and", "or", "&&"],
            b'K' => &["from", "in", "where"],
            b'E' => &["select", "delete"],
            b'F' => &["sleep", "char"],
            b'U' => &["union"],
            b'B' => &["group by", "limit"],
            b'T' => &["declare", "int"],
            b'V' => &["@a", "null"],
            b'C' => &["-- x", "/* x */", "#"],
            b'A' => &["collate"],
            b'\\' => &["\\"],
            _ => &[],
        };
        let one = [kind];
        let word = words
            .get(choice % words.len().max(1))
            .map_or(&one[..], |word| word.as_bytes());
        text.extend_from_slice(word);
        text.push(b' ');
    }
    text
}

#[test]
fn judges_every_known_fingerprint_as_the_port_does() {
    let mut found = 0;
    for known in SQL_KEYWORDS.iter().filter(|known| known.token_type == b'F') {
        for choice in 0..4 {
            let text = spelled(known.word, choice);
            let own = is_injection(&text);
            found += usize::from(own);
            assert_eq!(port(&text), Some(own), "{}", String::from_utf8_lossy(&text));
        }
    }
    assert!(found > 10_000, "{found}");
}

#[test]
fn takes_time_in_proportion() {
    for hostile in [
        [&b"1'"[..], &b"a.".repeat(512 << 10)].concat(),
        b"$a".repeat(512 << 10),
        b"\\'".repeat(512 << 10),
        b"/*".repeat(512 << 10),
        [&b"$a$"[..], &b"$a".repeat(512 << 10)].concat(),
    ] {
        is_injection(&hostile);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 20_000, max_shrink_iters: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn judges_as_the_port_does(parts in proptest::collection::vec((any::<Index>(), any::<u8>()), 0..14)) {
        let text = text(&parts);
        if let Some(expected) = port(&text) {
            prop_assert_eq!(is_injection(&text), expected, "{}", String::from_utf8_lossy(&text));
        }
    }

    #[test]
    fn judges_any_bytes_as_the_port_does(text in proptest::collection::vec(proptest::sample::select(&b"1a'\"`-/*#;(),. \\@$[]{}=|&+unselctorE:xqQNbB0\n\xa0\xc3\xa9?^"[..]), 0..24)) {
        if let Some(expected) = port(&text) {
            prop_assert_eq!(is_injection(&text), expected, "{}", String::from_utf8_lossy(&text));
        }
    }
}

//! Text and bytes as JSON strings. Whatever a client sent, the line stays one line, stays JSON, and shows nothing
//! that moves a terminal's cursor.

/// Longest value that is written, in bytes; the rest is cut and marked with `…`.
pub(super) const LONGEST: usize = 4096;

const HEX: &[u8; 16] = b"0123456789abcdef";

/// Appends `text` as a JSON string, quotes included.
pub(super) fn string(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    escape(out, clip(text));
    if text.len() > LONGEST {
        out.extend_from_slice("…".as_bytes());
    }
    out.push(b'"');
}

/// Cut at a character boundary.
pub(super) fn clip(text: &str) -> &str {
    if text.len() <= LONGEST {
        return text;
    }
    let end = (0..=LONGEST).rev().find(|&at| text.is_char_boundary(at));
    text.get(..end.unwrap_or(0)).unwrap_or("")
}

/// Appends `text` without quotes.
pub(super) fn escape(out: &mut Vec<u8>, text: &str) {
    let bytes = text.as_bytes();
    // Without a branch per byte: nearly every text is clean.
    if !bytes.iter().fold(false, |any, &byte| any | special(byte)) {
        out.extend_from_slice(bytes);
        return;
    }
    let mut plain = 0;
    for (at, &byte) in bytes.iter().enumerate() {
        if !special(byte) {
            continue;
        }
        // 0xC2 opens U+0080 to U+00BF: only the C1 controls up to U+009F are escaped.
        if byte == 0xC2 && bytes.get(at + 1).is_none_or(|&next| next >= 0xA0) {
            continue;
        }
        // U+2028 and U+2029 end a line for some readers; U+202A to U+202E turn the text around.
        if byte == 0xE2 && !turns_or_breaks(bytes.get(at + 1..at + 3)) {
            continue;
        }
        out.extend_from_slice(bytes.get(plain..at).unwrap_or_default());
        plain = at + replacement(out, byte, bytes.get(at + 1..).unwrap_or_default());
    }
    out.extend_from_slice(bytes.get(plain..).unwrap_or_default());
}

const fn special(byte: u8) -> bool {
    (byte < 0x20)
        | (byte == b'"')
        | (byte == b'\\')
        | (byte == 0x7F)
        | (byte == 0xC2)
        | (byte == 0xE2)
}

fn turns_or_breaks(rest: Option<&[u8]>) -> bool {
    matches!(rest, Some([0x80, 0xA8..=0xAE]) | Some([0x81, 0xA6..=0xA9]))
}

/// Appends the escape for what starts with `byte`; how many bytes of the text it stands for.
fn replacement(out: &mut Vec<u8>, byte: u8, rest: &[u8]) -> usize {
    let short = match byte {
        b'"' => b'"',
        b'\\' => b'\\',
        b'\n' => b'n',
        b'\r' => b'r',
        b'\t' => b't',
        0xC2 => {
            unicode(out, u16::from(rest.first().copied().unwrap_or(0)));
            return 2;
        }
        0xE2 => {
            let second = u16::from(rest.first().copied().unwrap_or(0x80)) & 0x3F;
            let third = u16::from(rest.get(1).copied().unwrap_or(0x80)) & 0x3F;
            unicode(out, 0x2000 | second << 6 | third);
            return 3;
        }
        _ => {
            unicode(out, u16::from(byte));
            return 1;
        }
    };
    out.extend_from_slice(&[b'\\', short]);
    1
}

fn unicode(out: &mut Vec<u8>, code: u16) {
    out.extend_from_slice(b"\\u");
    for shift in [12, 8, 4, 0] {
        let nibble = usize::from(code >> shift & 0xF);
        out.push(HEX.get(nibble).copied().unwrap_or(b'0'));
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use proptest::prelude::*;

    use super::{LONGEST, string};

    fn json(text: &str) -> String {
        let mut out = Vec::new();
        string(&mut out, text);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn hides_what_moves_a_cursor_or_turns_text_around() {
        assert_eq!(json("a\u{1b}[2Jb"), r#""a\u001b[2Jb""#);
        assert_eq!(json("\u{85}\u{9b}é\u{7f}"), r#""\u0085\u009bé\u007f""#);
        assert_eq!(
            json("\u{2028}\u{202e}\u{2069}€"),
            r#""\u2028\u202e\u2069€""#
        );
    }

    #[test]
    fn cuts_long_text_at_a_character() {
        let long = "é".repeat(LONGEST);
        let back: String = serde_json::from_str(&json(&long)).unwrap();
        assert!(back.ends_with('…') && back.len() <= LONGEST + 3);
    }

    proptest! {
        #[test]
        fn any_text_comes_back_as_it_was(text in any::<String>()) {
            let line = json(&text);
            prop_assert!(!line.contains('\n'));
            prop_assert_eq!(serde_json::from_str::<String>(&line).unwrap(), text);
        }
    }
}

//! PCRE patterns → the syntax of our regex engine, meaning the same. Only spelling is changed: what the engine cannot
//! do (look-around, back references) is left as it is and refused when it is compiled.

/// Rewrites what the two syntaxes read differently.
pub(crate) fn translate(pattern: &str) -> String {
    let mut out = String::with_capacity(pattern.len() + 8);
    let mut rest = pattern;
    while let Some(letter) = rest.chars().next() {
        rest = match letter {
            '\\' => escape(rest, &mut out),
            '[' => class(rest, &mut out),
            '{' => brace(rest, &mut out),
            _ => {
                out.push(letter);
                rest.get(letter.len_utf8()..).unwrap_or_default()
            }
        };
    }
    out
}

/// One escape outside or inside a class.
fn escape<'a>(text: &'a str, out: &mut String) -> &'a str {
    let mut letters = text.chars();
    letters.next();
    let Some(letter) = letters.next() else {
        out.push_str("\\\\");
        return "";
    };
    match letter {
        // Word boundaries to us, plain characters to PCRE.
        '<' | '>' => out.push(letter),
        'e' => out.push_str("\\x1B"),
        'h' => out.push_str("[\\t \\xA0]"),
        'R' => out.push_str("(?:\\r\\n|[\\n-\\r\\x85])"),
        'Z' => out.push_str("\\n?\\z"),
        // PCRE's \s knows the vertical tab as ours does; \v is all vertical space there, one byte here.
        'v' => out.push_str("[\\n-\\r\\x85]"),
        'x' if letters.as_str().starts_with('{') => return braced_hex(letters.as_str(), out),
        _ if letter.is_ascii_alphanumeric()
            || "\\.+*?()|[]{}^$#&-~/@!\"'%,:;=` _".contains(letter) =>
        {
            out.push('\\');
            out.push(letter);
            // The engine knows no escape for these; they stand for themselves.
            if "/@!\"'%,:;=`_ ".contains(letter) {
                out.truncate(out.len() - 2);
                out.push(letter);
            }
        }
        _ => out.push(letter),
    }
    letters.as_str()
}

/// `\x{7f}` means a code point to us when Unicode is off only for ASCII; `\x7f` is the byte.
fn braced_hex<'a>(text: &'a str, out: &mut String) -> &'a str {
    let digits = text.get(1..).and_then(|rest| rest.split_once('}'));
    match digits {
        Some((digits, rest)) if digits.len() <= 2 && u8::from_str_radix(digits, 16).is_ok() => {
            out.push_str("\\x");
            if digits.len() == 1 {
                out.push('0');
            }
            out.push_str(digits);
            rest
        }
        _ => {
            out.push_str("\\x");
            text
        }
    }
}

/// A `{` that begins no counted repetition is a plain character to PCRE.
fn brace<'a>(text: &'a str, out: &mut String) -> &'a str {
    let rest = text.get(1..).unwrap_or_default();
    let inside = rest.split_once('}').map_or("", |(inside, _)| inside);
    let (least, most) = inside.split_once(',').unwrap_or((inside, ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let counted = !least.is_empty() && digits(least) && digits(most);
    out.push_str(if counted { "{" } else { "\\{" });
    rest
}

/// A bracketed class: `[`, `&&`, `--` and `~~` inside are plain characters to PCRE.
fn class<'a>(text: &'a str, out: &mut String) -> &'a str {
    let mut rest = text.get(1..).unwrap_or_default();
    out.push('[');
    if let Some(after) = rest.strip_prefix('^') {
        out.push('^');
        rest = after;
    }
    if let Some(after) = rest.strip_prefix(']') {
        out.push_str("\\]");
        rest = after;
    }
    while let Some(letter) = rest.chars().next() {
        let after = rest.get(letter.len_utf8()..).unwrap_or_default();
        rest = match letter {
            ']' => {
                out.push(']');
                return after;
            }
            '\\' => class_escape(rest, out),
            '[' if after.starts_with(':') && after.contains(":]") => {
                let (name, beyond) = after.split_once(":]").unwrap_or((after, ""));
                out.push('[');
                out.push_str(name);
                out.push_str(":]");
                beyond
            }
            '[' | '&' | '~' => {
                out.push('\\');
                out.push(letter);
                after
            }
            // Without Unicode a class holds bytes: each of the letter's own.
            _ if !letter.is_ascii() => {
                let mut bytes = [0; 4];
                out.extend(
                    letter
                        .encode_utf8(&mut bytes)
                        .bytes()
                        .map(|byte| format!("\\x{byte:02X}")),
                );
                after
            }
            _ => {
                out.push(letter);
                after
            }
        };
    }
    rest
}

/// Inside a class `\b` is the backspace, and a class within a class loses its brackets.
fn class_escape<'a>(text: &'a str, out: &mut String) -> &'a str {
    let beyond = text.get(2..);
    match (text.chars().nth(1), beyond) {
        (Some('b'), Some(beyond)) => {
            out.push_str("\\x08");
            beyond
        }
        (Some('v'), Some(beyond)) => {
            out.push_str("\\n-\\r\\x85");
            beyond
        }
        (Some('h'), Some(beyond)) => {
            out.push_str("\\t \\xA0");
            beyond
        }
        (Some('-'), Some(beyond)) => {
            out.push_str("\\-");
            beyond
        }
        // What is no single byte is a plain letter here.
        (Some(letter @ ('R' | 'X' | 'A' | 'B' | 'C' | 'G' | 'K' | 'Z' | 'z')), Some(beyond)) => {
            out.push(letter);
            beyond
        }
        _ => escape(text, out),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{limits::Budget, operator::Pattern};

    #[test]
    fn spellings_of_pcre_mean_the_same() {
        let cases: &[(&str, &[u8], bool)] = &[
            (r"\<script\>", b"<script>", true),
            (r"a{,3}b", b"a{,3}b", true),
            (r"{{.*}}", b"{{x}}", true),
            (r"a{2,3}", b"aa", true),
            (r"[[a]", b"[", true),
            (r"[^]x]", b"]", false),
            (r"[a&&b]", b"&", true),
            (r"[\w\-:]", b"-", true),
            (r"^\x{7f}$", b"\x7f", true),
            (r"\/\@\!\'\%", b"/@!'%", true),
            (r"[[:alpha:]_]", b"q", true),
            (r"[\b]", b"\x08", true),
            (r"\v", b"\x0c", true),
            (r"\v", b"\x85", true),
            (r"[\v]", b"\x85", true),
            (r"^\R$", b"\x85", true),
            (r"x\Z", b"x\n", true),
            (r"\xA0|\e", b"\xA0", true),
            ("é", "é".as_bytes(), true),
            ("^[xé]{2}$", "é".as_bytes(), true),
        ];
        for (pattern, text, expected) in cases {
            let compiled = Pattern::new(&translate(pattern));
            assert_eq!(
                compiled.map(|pattern| pattern.is_match(text, &mut Budget::new(u64::MAX))),
                Ok(*expected),
                "{pattern}"
            );
        }
    }
}

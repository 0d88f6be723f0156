//! Classes and escapes of PCRE that stand for one byte. Without Unicode, as everything here.

use crate::bytes::ByteSet;

/// A byte, in either case where letters are blind to it.
pub(super) fn single(byte: u8, caseless: bool) -> ByteSet {
    let mut set = ByteSet::of(&[byte]);
    if caseless {
        set.insert(byte.to_ascii_lowercase());
        set.insert(byte.to_ascii_uppercase());
    }
    set
}

fn either_case(set: ByteSet, caseless: bool) -> ByteSet {
    if caseless {
        set.iter()
            .fold(set, |all, byte| all.union(single(byte, true)))
    } else {
        set
    }
}

fn ranges(list: &[(u8, u8)]) -> ByteSet {
    let mut set = ByteSet::EMPTY;
    for &(first, last) in list {
        set.insert_range(first, last);
    }
    set
}

/// `\d`, `\s`, … by their letter.
fn shorthand(letter: char) -> Option<ByteSet> {
    let set = match letter.to_ascii_lowercase() {
        'd' => ranges(&[(b'0', b'9')]),
        'w' => ranges(&[(b'0', b'9'), (b'a', b'z'), (b'A', b'Z'), (b'_', b'_')]),
        's' => ranges(&[(b'\t', b'\r'), (b' ', b' ')]),
        'h' => ByteSet::of(b"\t \xA0"),
        'v' => ranges(&[(b'\n', b'\r'), (0x85, 0x85)]),
        _ => return None,
    };
    let turned = letter.is_ascii_uppercase();
    Some(if turned { set.complement() } else { set })
}

/// One escape, the text beginning after its backslash; and what follows it.
pub(super) fn escape(text: &str, caseless: bool) -> Result<(ByteSet, &str), String> {
    let letter = text.chars().next().ok_or("a backslash at the end")?;
    let rest = text.get(letter.len_utf8()..).unwrap_or_default();
    if let Some(set) = shorthand(letter) {
        return Ok((set, rest));
    }
    let (byte, rest) = match letter {
        'N' => return Ok((ByteSet::of(b"\n").complement(), rest)),
        'a' => (0x07, rest),
        'e' => (0x1B, rest),
        'f' => (0x0C, rest),
        'n' => (b'\n', rest),
        'r' => (b'\r', rest),
        't' => (b'\t', rest),
        'c' => {
            let control = rest
                .bytes()
                .next()
                .filter(u8::is_ascii)
                .ok_or("\\c without a letter")?;
            (
                control.to_ascii_uppercase() ^ 0x40,
                rest.get(1..).unwrap_or_default(),
            )
        }
        'x' => hexadecimal(rest)?,
        '0'..='7' => octal(text, 3),
        _ if letter.is_ascii() => (letter as u8, rest),
        _ => return Ok((ByteSet::EMPTY, rest)),
    };
    Ok((single(byte, caseless), rest))
}

fn hexadecimal(text: &str) -> Result<(u8, &str), String> {
    if let Some((digits, rest)) = text.strip_prefix('{').and_then(|rest| rest.split_once('}')) {
        let byte =
            u8::from_str_radix(digits, 16).map_err(|_| format!("\\x{{{digits}}} is no byte"))?;
        return Ok((byte, rest));
    }
    let digits = text
        .bytes()
        .take(2)
        .take_while(u8::is_ascii_hexdigit)
        .count();
    let (number, rest) = text.split_at(digits);
    Ok((u8::from_str_radix(number, 16).unwrap_or(0), rest))
}

fn octal(text: &str, most: usize) -> (u8, &str) {
    let digits = text
        .bytes()
        .take(most)
        .take_while(|byte| (b'0'..=b'7').contains(byte))
        .count();
    let (number, rest) = text.split_at(digits);
    // Beyond \377 PCRE keeps the low eight bits.
    let value = u16::from_str_radix(number, 8).unwrap_or(0);
    (value.to_le_bytes()[0], rest)
}

/// After `[`: the set, and what follows the closing bracket.
pub(super) fn bracketed(text: &str, caseless: bool) -> Result<(ByteSet, &str), String> {
    const OPEN: &str = "a class is not closed";
    let (negative, mut rest) = match text.strip_prefix('^') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let mut set = ByteSet::EMPTY;
    let mut first = true;
    loop {
        let letter = rest.chars().next().ok_or(OPEN)?;
        if letter == ']' && !first {
            rest = rest.get(1..).unwrap_or_default();
            break;
        }
        first = false;
        let (one, after) = member(rest)?;
        rest = after;
        // A range needs single bytes on both sides; otherwise the hyphen stands for itself.
        let low = only(one);
        let upper = rest
            .strip_prefix('-')
            .filter(|after| !after.starts_with(']') && !after.is_empty());
        if let (Some(low), Some(after)) = (low, upper) {
            let (other, beyond) = member(after)?;
            if let Some(high) = only(other) {
                if high < low {
                    return Err("a range whose bounds are the wrong way round".to_owned());
                }
                set.insert_range(low, high);
                rest = beyond;
                continue;
            }
        }
        set = set.union(one);
    }
    let set = either_case(set, caseless);
    Ok((if negative { set.complement() } else { set }, rest))
}

fn only(set: ByteSet) -> Option<u8> {
    let mut bytes = set.iter();
    let first = bytes.next();
    first.filter(|_| bytes.next().is_none())
}

/// One member of a class.
fn member(text: &str) -> Result<(ByteSet, &str), String> {
    if let Some(rest) = text.strip_prefix("[:")
        && let Some((name, after)) = rest.split_once(":]")
        && let Some(set) = posix(name)
    {
        return Ok((set, after));
    }
    let letter = text.chars().next().ok_or("a class is not closed")?;
    let rest = text.get(letter.len_utf8()..).unwrap_or_default();
    if letter != '\\' {
        let mut bytes = [0; 4];
        return Ok((ByteSet::of(letter.encode_utf8(&mut bytes).as_bytes()), rest));
    }
    match rest.strip_prefix('b') {
        Some(after) => Ok((ByteSet::of(b"\x08"), after)),
        // No back references here: digits are octal.
        None => escape(rest, false),
    }
}

fn posix(name: &str) -> Option<ByteSet> {
    let (turned, name) = match name.strip_prefix('^') {
        Some(name) => (true, name),
        None => (false, name),
    };
    let holds: fn(u8) -> bool = match name {
        "alnum" => |byte| byte.is_ascii_alphanumeric(),
        "alpha" => |byte| byte.is_ascii_alphabetic(),
        "ascii" => |byte| byte.is_ascii(),
        "blank" => |byte| byte == b' ' || byte == b'\t',
        "cntrl" => |byte| byte.is_ascii_control(),
        "digit" => |byte| byte.is_ascii_digit(),
        "graph" => |byte| byte.is_ascii_graphic(),
        "lower" => |byte| byte.is_ascii_lowercase(),
        "print" => |byte| byte.is_ascii_graphic() || byte == b' ',
        "punct" => |byte| byte.is_ascii_punctuation(),
        "space" => |byte| byte.is_ascii_whitespace() || byte == 0x0B,
        "upper" => |byte| byte.is_ascii_uppercase(),
        "word" => |byte| byte.is_ascii_alphanumeric() || byte == b'_',
        "xdigit" => |byte| byte.is_ascii_hexdigit(),
        _ => return None,
    };
    let mut set = ByteSet::EMPTY;
    (0..=u8::MAX)
        .filter(|&byte| holds(byte) != turned)
        .for_each(|byte| set.insert(byte));
    Some(set)
}

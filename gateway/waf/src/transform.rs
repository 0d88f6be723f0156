//! Transformations: what a rule does to a value before it looks at it. One closed list, ModSecurity's semantics
//! byte for byte where a rule can tell the difference. Knows nothing of rules, targets or who calls.

mod base64;
mod case;
mod cmd_line;
mod code_points;
mod comments;
mod css;
mod digest;
mod embedded;
mod escape;
mod hex;
mod html;
mod js;
mod nulls;
mod parity;
mod path;
mod trim;
mod unicode;
mod url;
mod whitespace;
mod width;

/// One transformation. `Copy` and small: a pipeline of them is a cheap memo key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[expect(
    missing_docs,
    reason = "the names are ModSecurity's and say what they do"
)]
pub enum Transform {
    Base64Decode,
    Base64DecodeExt,
    /// Ours: every run of base64 inside a value that decodes to text becomes that text.
    Base64Embedded,
    Base64Encode,
    CmdLine,
    CompressWhitespace,
    CssDecode,
    EscapeSeqDecode,
    /// Ours: full-width and other look-alikes of ASCII become ASCII.
    FoldWidth,
    HexDecode,
    HexEncode,
    HtmlEntityDecode,
    JsDecode,
    Length,
    Lowercase,
    Md5,
    None,
    NormalizePath,
    NormalizePathWin,
    ParityEven7bit,
    ParityOdd7bit,
    ParityZero7bit,
    RemoveComments,
    RemoveCommentsChar,
    RemoveNulls,
    RemoveWhitespace,
    ReplaceComments,
    ReplaceNulls,
    Sha1,
    SqlHexDecode,
    Trim,
    TrimLeft,
    TrimRight,
    /// Ours: `\uHHHH` becomes the character.
    UnicodeEscapeDecode,
    Uppercase,
    UrlDecode,
    UrlDecodeUni,
    UrlEncode,
    Utf8ToUnicode,
}

/// Names in lower case without underscores, so that `urlDecodeUni` and `url_decode_uni` are one entry.
const NAMES: [(&str, Transform); 41] = [
    ("base64decode", Transform::Base64Decode),
    ("base64decodeext", Transform::Base64DecodeExt),
    ("base64embedded", Transform::Base64Embedded),
    ("base64encode", Transform::Base64Encode),
    ("cmdline", Transform::CmdLine),
    ("compresswhitespace", Transform::CompressWhitespace),
    ("cssdecode", Transform::CssDecode),
    ("escapeseqdecode", Transform::EscapeSeqDecode),
    ("foldwidth", Transform::FoldWidth),
    ("hexdecode", Transform::HexDecode),
    ("hexencode", Transform::HexEncode),
    ("htmlentitydecode", Transform::HtmlEntityDecode),
    ("jsdecode", Transform::JsDecode),
    ("length", Transform::Length),
    ("lowercase", Transform::Lowercase),
    ("md5", Transform::Md5),
    ("none", Transform::None),
    ("normalizepath", Transform::NormalizePath),
    ("normalisepath", Transform::NormalizePath),
    ("normalizepathwin", Transform::NormalizePathWin),
    ("normalisepathwin", Transform::NormalizePathWin),
    ("parityeven7bit", Transform::ParityEven7bit),
    ("parityodd7bit", Transform::ParityOdd7bit),
    ("parityzero7bit", Transform::ParityZero7bit),
    ("removecomments", Transform::RemoveComments),
    ("removecommentschar", Transform::RemoveCommentsChar),
    ("removenulls", Transform::RemoveNulls),
    ("removewhitespace", Transform::RemoveWhitespace),
    ("replacecomments", Transform::ReplaceComments),
    ("replacenulls", Transform::ReplaceNulls),
    ("sha1", Transform::Sha1),
    ("sqlhexdecode", Transform::SqlHexDecode),
    ("trim", Transform::Trim),
    ("trimleft", Transform::TrimLeft),
    ("trimright", Transform::TrimRight),
    ("unicodeescapedecode", Transform::UnicodeEscapeDecode),
    ("uppercase", Transform::Uppercase),
    ("urldecode", Transform::UrlDecode),
    ("urldecodeuni", Transform::UrlDecodeUni),
    ("urlencode", Transform::UrlEncode),
    ("utf8tounicode", Transform::Utf8ToUnicode),
];

impl Transform {
    /// ModSecurity's name in any case, or the same in snake case.
    pub fn from_name(name: &str) -> Option<Self> {
        let same = |known: &str| {
            let typed = name.bytes().filter(|b| *b != b'_');
            typed.map(|b| b.to_ascii_lowercase()).eq(known.bytes())
        };
        let found = NAMES.iter().find(|(known, _)| same(known))?;
        Some(found.1)
    }

    /// The name in rules, in lower case without underscores.
    #[must_use]
    pub fn name(self) -> &'static str {
        let own = NAMES.iter().find(|(_, known)| *known == self);
        own.map_or("", |(name, _)| name)
    }

    /// Every transformation, for tests, fuzzing and completion lists.
    pub fn all() -> impl Iterator<Item = Self> {
        let mut last = None;
        NAMES
            .iter()
            .map(|(_, t)| *t)
            .filter(move |t| last.replace(*t) != Some(*t))
    }

    /// Writes the transformed value to `out`, which is cleared first, and says whether it differs from `input`.
    /// After `false` the content of `out` means nothing: the value is `input`. Allocates only when `out` must grow.
    pub fn apply(self, input: &[u8], out: &mut Vec<u8>) -> bool {
        out.clear();
        match self {
            Self::Base64Decode => base64::decode(input, out),
            Self::Base64DecodeExt => base64::decode_ext(input, out),
            Self::Base64Embedded => embedded::decode(input, out),
            Self::Base64Encode => base64::encode(input, out),
            Self::CmdLine => cmd_line::apply(input, out),
            Self::CompressWhitespace => whitespace::compress(input, out),
            Self::CssDecode => css::decode(input, out),
            Self::EscapeSeqDecode => escape::decode(input, out),
            Self::FoldWidth => width::fold(input, out),
            Self::HexDecode => hex::decode(input, out),
            Self::HexEncode => hex::encode(input, out),
            Self::HtmlEntityDecode => html::decode(input, out),
            Self::JsDecode => js::decode(input, out),
            Self::Length => digest::length(input, out),
            Self::Lowercase => case::lower(input, out),
            Self::Md5 => digest::md5(input, out),
            Self::None => false,
            Self::NormalizePath => path::normalize(input, out, false),
            Self::NormalizePathWin => path::normalize(input, out, true),
            Self::ParityEven7bit => parity::even(input, out),
            Self::ParityOdd7bit => parity::odd(input, out),
            Self::ParityZero7bit => parity::zero(input, out),
            Self::RemoveComments => comments::remove(input, out),
            Self::RemoveCommentsChar => comments::remove_marks(input, out),
            Self::RemoveNulls => nulls::remove(input, out),
            Self::RemoveWhitespace => whitespace::remove(input, out),
            Self::ReplaceComments => comments::replace(input, out),
            Self::ReplaceNulls => nulls::replace(input, out),
            Self::Sha1 => digest::sha1(input, out),
            Self::SqlHexDecode => hex::decode_sql(input, out),
            Self::Trim => trim::both(input, out),
            Self::TrimLeft => trim::left(input, out),
            Self::TrimRight => trim::right(input, out),
            Self::UnicodeEscapeDecode => code_points::decode(input, out),
            Self::Uppercase => case::upper(input, out),
            Self::UrlDecode => url::decode(input, out),
            Self::UrlDecodeUni => url::decode_uni(input, out),
            Self::UrlEncode => url::encode(input, out),
            Self::Utf8ToUnicode => unicode::encode(input, out),
        }
    }

    /// The most bytes that `apply` writes for an input of `len` bytes. Scratch sizes and the cost budget rest on it.
    pub const fn bound(self, len: usize) -> usize {
        match self {
            Self::Length => 20,
            Self::Md5 => 16,
            Self::Sha1 => 20,
            Self::HexEncode => len.saturating_mul(2),
            Self::UrlEncode => len.saturating_mul(3),
            // Two bytes become %uXXXX, and an overlong form repeats its first byte.
            Self::Utf8ToUnicode => len.saturating_mul(4),
            Self::Base64Encode => len.div_ceil(3).saturating_mul(4),
            // "*/" at the very end copies the terminator that ModSecurity reads there.
            Self::RemoveComments => len.saturating_add(1),
            _ => len,
        }
    }
}

/// Copies what precedes the first byte that may change and returns the rest; nothing when no byte may.
fn from_first<'a>(
    input: &'a [u8],
    out: &mut Vec<u8>,
    may_change: impl Fn(u8) -> bool,
) -> Option<&'a [u8]> {
    let at = input.iter().position(|b| may_change(*b))?;
    let (same, rest) = input.split_at(at);
    out.extend_from_slice(same);
    Some(rest)
}

/// C's `isspace` in the C locale: Rust's ASCII white space lacks the vertical tab.
const fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t'..=b'\r')
}

const fn nibble(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        _ => None,
    }
}

/// Two hexadecimal digits as one byte.
fn byte_of(high: u8, low: u8) -> Option<u8> {
    Some((nibble(high)? << 4) | nibble(low)?)
}

/// The single byte that IIS and the browsers' lenient decoders make of a code point: its low byte, with the full-width
/// forms U+FF01–U+FF5E folded to ASCII.
const fn low_byte(code: u16) -> u8 {
    let [high, low] = code.to_be_bytes();
    if high == 0xff && low > 0 && low < 0x5f {
        low + 0x20
    } else {
        low
    }
}

/// An octal escape at the start of `digits`: its value and how many of at most three digits it takes.
fn octal(digits: &[u8]) -> Option<(u16, usize)> {
    let run = digits
        .iter()
        .take(3)
        .take_while(|b| matches!(b, b'0'..=b'7'));
    let (value, count) = run.fold((0_u16, 0), |(v, n), b| (v * 8 + u16::from(b - b'0'), n + 1));
    (count > 0).then_some((value, count))
}

/// What `\a`, `\b`, `\f`, `\n`, `\r`, `\t`, `\v` stand for.
const fn control(letter: u8) -> Option<u8> {
    Some(match letter {
        b'a' => 0x07,
        b'b' => 0x08,
        b'f' => 0x0c,
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'v' => 0x0b,
        _ => return None,
    })
}

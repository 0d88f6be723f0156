//! One canonical path for routing, limits, scanning and the upstream. It owns what counts as the same path and what
//! is refused; it knows nothing of queries, hosts or routes.
//!
//! The canonical form is decoded UTF-8 in which only `%25`, `%23`, `%3F` (and `%2F` where kept) stay encoded, so it
//! is a fixed point: reading it again changes nothing. What goes upstream is [`encode`]d from it, never the raw text.
//!
//! | in | what happens |
//! |---|---|
//! | `%41`, `%e3%81%82`, raw UTF-8 | decoded; hex digits in either case |
//! | `.`, `..`, `%2e%2e`, `//` | resolved, merged; `..` above the root is refused |
//! | `%2f` | refused (default), kept as one segment's byte, or read as `/`: [`EncodedSlash`] |
//! | `%25xx` with two hex digits | refused (default) or kept: an application that decodes twice would see another path |
//! | `\`, `%5c`, `%00`, controls, `%zz`, `%u0041`, overlong or other invalid UTF-8, `#`, `?` | refused |
//! | `;x` | data of its segment, sent as `%3B`, so that no servlet container cuts it off; `..;` and `.;` are refused |
//! | letter case, a slash at the end | kept: they tell paths apart |
//!
//! Where an application is not that exact, what routes and limits compare is [`compared`]: a form of its own that goes
//! nowhere.

use serde::Deserialize;

/// Why a path has no single canonical form. The text is for events, never for clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PathFault {
    /// Does not begin with a slash.
    NotAbsolute,
    /// A percent sign without two hex digits, `%uXXXX` included.
    BadEscape,
    /// NUL or another control character, plain or encoded.
    Control,
    /// `\`, plain or encoded: some servers read it as a slash.
    Backslash,
    /// `%2F` where the policy refuses it.
    EncodedSlash,
    /// `%25` followed by two hex digits where the policy refuses it.
    DoubleEncoding,
    /// Overlong or otherwise invalid UTF-8.
    NotUtf8,
    /// `..` above the root.
    AboveRoot,
    /// `..;` or `.;`: servlet containers drop the parameter and resolve the rest.
    DotParameter,
    /// A fragment or a query inside the path.
    Delimiter,
}

impl PathFault {
    /// A short detail for the event.
    #[must_use]
    pub fn detail(self) -> &'static str {
        match self {
            Self::NotAbsolute => "path does not begin with a slash",
            Self::BadEscape => "bad percent escape",
            Self::Control => "control character in the path",
            Self::Backslash => "backslash in the path",
            Self::EncodedSlash => "encoded slash in the path",
            Self::DoubleEncoding => "doubly encoded path",
            Self::NotUtf8 => "path is not UTF-8",
            Self::AboveRoot => "path leaves the root",
            Self::DotParameter => "parameter on a dot segment",
            Self::Delimiter => "fragment or query delimiter in the path",
        }
    }
}

/// What `%2F` means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum EncodedSlash {
    /// Refuse the request: applications disagree about it.
    #[default]
    Refuse,
    /// Part of a segment, sent as `%2F`. For applications with names such as `@scope%2Fname`; they must not decode
    /// it into a separator before they route.
    Keep,
    /// The same as `/`.
    Decode,
}

/// What `%25` before two hex digits means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DoubleEncoding {
    /// Refuse the request: an application that decodes twice would see another path than the gateway.
    #[default]
    Refuse,
    /// A literal percent sign, sent as `%25`. For applications that surely decode once.
    Keep,
}

/// What letter case means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Case {
    /// It tells paths apart, as RFC 3986 has it.
    #[default]
    Keep,
    /// Nothing: `/Admin` is `/admin`. For applications on Windows and others that find their pages in any case: what
    /// guards `/admin/*` must not be left by writing it in another one.
    Fold,
}

/// What a slash at the end means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TrailingSlash {
    /// `/admin/` is another path than `/admin`.
    #[default]
    Keep,
    /// Nothing: for applications that answer both by the same page.
    Ignore,
}

/// The choices that depend on the application behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Rules {
    /// `%2F` in a path: `refuse` (default), `keep` or `decode`.
    pub encoded_slash: EncodedSlash,
    /// `%25` followed by two hex digits: `refuse` (default) or `keep`.
    pub double_encoding: DoubleEncoding,
    /// Letter case in routes and in keys of limits: `keep` (default) or `fold`. What goes upstream is not changed.
    pub case: Case,
    /// A slash at the end, in the same places: `keep` (default) or `ignore`.
    pub trailing_slash: TrailingSlash,
}

/// The canonical form of a raw path under the default rules. `out` is scratch: it is written only when `raw` is not
/// canonical already.
///
/// # Errors
/// When two readers could understand the path differently.
pub fn canonical<'a>(raw: &'a str, out: &'a mut String) -> Result<&'a str, PathFault> {
    canonical_with(raw, Rules::default(), out)
}

/// The canonical form of a raw path. An empty path is `/`; `*` (as in `OPTIONS *`) stays.
///
/// # Errors
/// When two readers could understand the path differently.
pub fn canonical_with<'a>(
    raw: &'a str,
    rules: Rules,
    out: &'a mut String,
) -> Result<&'a str, PathFault> {
    if raw.is_empty() {
        return Ok("/");
    }
    if raw == "*" || is_canonical(raw) {
        return Ok(raw);
    }
    if !raw.starts_with('/') {
        return Err(PathFault::NotAbsolute);
    }
    let mut bytes = std::mem::take(out).into_bytes();
    bytes.clear();
    decode(raw.as_bytes(), rules, &mut bytes)?;
    *out = String::from_utf8(bytes).map_err(|_| PathFault::NotUtf8)?;
    if out.chars().any(char::is_control) {
        return Err(PathFault::Control);
    }
    Ok(out)
}

/// A canonical path as the most lenient of applications finds a page by it; for what closes a door, whatever the policy says
/// of paths.
#[must_use]
pub fn loose<'a>(canonical: &'a str, out: &'a mut String) -> &'a str {
    let rules = Rules {
        case: Case::Fold,
        trailing_slash: TrailingSlash::Ignore,
        ..Rules::default()
    };
    compared(canonical, rules, out)
}

/// What routes and limits compare of a canonical path. `out` is scratch: it is written only when letters change.
#[must_use]
pub fn compared<'a>(canonical: &'a str, rules: Rules, out: &'a mut String) -> &'a str {
    let path = match rules.trailing_slash {
        TrailingSlash::Ignore if canonical.len() > 1 => canonical.trim_end_matches('/'),
        TrailingSlash::Ignore | TrailingSlash::Keep => canonical,
    };
    let lower = |byte: u8| byte.is_ascii() && !byte.is_ascii_uppercase();
    if rules.case == Case::Keep || path.bytes().all(lower) {
        return path;
    }
    out.clear();
    // By way of upper case, since the long s has a lower case of its own and shares the upper one; and of lower case
    // before that, since the capital sharp s is its own upper case.
    let lower = path.chars().flat_map(char::to_lowercase);
    let upper = lower.flat_map(char::to_uppercase);
    out.extend(upper.flat_map(char::to_lowercase));
    out
}

/// Whether the slow way can be skipped: plain ASCII, no escapes, no empty or dotted segments.
fn is_canonical(raw: &str) -> bool {
    let mut before = 0u8;
    for byte in raw.bytes() {
        let plain = matches!(byte, 0x20..=0x7e) && !matches!(byte, b'%' | b'\\' | b'#' | b'?');
        // A segment that begins with a dot may still be fine (`/.well-known`); the slow way knows.
        if !plain || (before == b'/' && matches!(byte, b'/' | b'.')) {
            return false;
        }
        before = byte;
    }
    raw.starts_with('/')
}

/// Decodes segment by segment; a dot segment takes back what was written.
fn decode(raw: &[u8], rules: Rules, out: &mut Vec<u8>) -> Result<(), PathFault> {
    let mut rest = raw;
    // Where the current segment begins in `out`, after its slash.
    let mut segment = 0;
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        let (byte, encoded) = match byte {
            b'%' => {
                let (value, tail) = escape(rest)?;
                rest = tail;
                (value, true)
            }
            plain => (plain, false),
        };
        match byte {
            b'/' if !encoded || rules.encoded_slash == EncodedSlash::Decode => {
                end_segment(out, segment)?;
                out.push(b'/');
                segment = out.len();
            }
            b'/' if rules.encoded_slash == EncodedSlash::Keep => out.extend_from_slice(b"%2F"),
            b'/' => return Err(PathFault::EncodedSlash),
            b'\\' => return Err(PathFault::Backslash),
            b'%' => out.extend_from_slice(b"%25"),
            b'?' if encoded => out.extend_from_slice(b"%3F"),
            b'#' if encoded => out.extend_from_slice(b"%23"),
            b'?' | b'#' => return Err(PathFault::Delimiter),
            0..=0x1f | 0x7f => return Err(PathFault::Control),
            other => out.push(other),
        }
    }
    if end_segment(out, segment)? {
        out.push(b'/');
    }
    // On what was written, so that spelling the second escape's digits as escapes hides nothing.
    let doubled = |window: &[u8]| {
        window
            .strip_prefix(b"%25")
            .is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
    };
    if rules.double_encoding == DoubleEncoding::Refuse && out.windows(5).any(doubled) {
        return Err(PathFault::DoubleEncoding);
    }
    Ok(())
}

/// The byte behind a percent sign, and what follows it.
fn escape(rest: &[u8]) -> Result<(u8, &[u8]), PathFault> {
    if let [high, low, tail @ ..] = rest
        && let (Some(high), Some(low)) = (hex(*high), hex(*low))
    {
        return Ok((high << 4 | low, tail));
    }
    Err(PathFault::BadEscape)
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit)
        .to_digit(16)
        .and_then(|value| u8::try_from(value).ok())
}

/// Resolves the segment that just ended; `true` when it is gone together with the slash before it.
fn end_segment(out: &mut Vec<u8>, segment: usize) -> Result<bool, PathFault> {
    let text = out.get(segment..).unwrap_or_default();
    let slash = segment.saturating_sub(1);
    match text {
        b"" | b"." => out.truncate(slash),
        b".." => {
            let before = out.get(..slash).unwrap_or_default();
            let parent = before.iter().rposition(|&byte| byte == b'/');
            out.truncate(parent.ok_or(PathFault::AboveRoot)?);
        }
        [b'.', b';', ..] | [b'.', b'.', b';', ..] => return Err(PathFault::DotParameter),
        _ if hides_dots(text) => return Err(PathFault::EncodedSlash),
        _ => return Ok(false),
    }
    Ok(true)
}

/// Whether a segment with kept slashes would have empty or dotted parts once somebody decodes them.
fn hides_dots(segment: &[u8]) -> bool {
    let mut rest = segment;
    let mut kept = false;
    loop {
        let end = rest.windows(3).position(|window| window == b"%2F");
        kept |= end.is_some();
        let part = rest.get(..end.unwrap_or(rest.len())).unwrap_or_default();
        let name = part.split(|&byte| byte == b';').next().unwrap_or_default();
        if kept && matches!(name, b"" | b"." | b"..") {
            return true;
        }
        match end.and_then(|end| rest.get(end + 3..)) {
            Some(tail) => rest = tail,
            None => return false,
        }
    }
}

/// The form of a canonical path that goes upstream: everything outside RFC 3986 `pchar` is encoded, and `;` as well.
/// `out` is scratch: it is written only when something has to be encoded.
pub fn encode<'a>(canonical: &'a str, out: &'a mut String) -> &'a str {
    if canonical.bytes().all(travels) {
        return canonical;
    }
    out.clear();
    for byte in canonical.bytes() {
        if travels(byte) {
            out.push(char::from(byte));
        } else {
            let digit = |value: u8| {
                char::from_digit(u32::from(value), 16)
                    .map_or('0', |digit| digit.to_ascii_uppercase())
            };
            out.extend(['%', digit(byte >> 4), digit(byte & 15)]);
        }
    }
    out
}

/// Bytes sent as they are. A percent sign in a canonical path always begins an escape that is kept.
fn travels(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,=:@/%".contains(&byte)
}

#[cfg(test)]
mod tests;

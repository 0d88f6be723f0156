//! The Content-Type header: media type, parameters, charset (RFC 9110, sections 5.6.6 and 8.3).

use super::{Fault, Kind};

/// A parameter as it stands; a quoted value still has its backslashes.
pub(super) struct Parameter<'a> {
    pub(super) name: &'a [u8],
    pub(super) value: &'a [u8],
    pub(super) quoted: bool,
    /// White space around `=`.
    pub(super) spaced: bool,
}

pub(super) fn kind(header: &[u8]) -> Result<Option<Kind>, Fault> {
    let header = header.trim_ascii();
    if header.is_empty() {
        return Ok(None);
    }
    let (media, rest) = split_media(header)?;
    check_parameters(rest)?;
    Ok(kind_of(media))
}

/// The boundary parameter, still unchecked.
pub(super) fn boundary(header: &[u8]) -> Result<Parameter<'_>, Fault> {
    let (_, mut rest) = split_media(header.trim_ascii())?;
    while let Some(parameter) = next(&mut rest)? {
        if parameter.name.eq_ignore_ascii_case(b"boundary") {
            return Ok(parameter);
        }
    }
    Err(Fault::Boundary)
}

/// Refuses charsets that are not read, duplicates and RFC 2231's `name*` forms.
pub(super) fn check_parameters(mut rest: &[u8]) -> Result<(), Fault> {
    let all = rest;
    while let Some(parameter) = next(&mut rest)? {
        if parameter.name.contains(&b'*') {
            return Err(Fault::ContentType);
        }
        if parameter.name.eq_ignore_ascii_case(b"charset") && !readable(parameter.value) {
            return Err(Fault::Charset);
        }
        if count(all, parameter.name)? > 1 {
            return Err(Fault::DuplicateParameter);
        }
    }
    Ok(())
}

/// Media type and what follows its first semicolon.
pub(super) fn split_media(header: &[u8]) -> Result<(&[u8], &[u8]), Fault> {
    let end = header
        .iter()
        .position(|b| *b == b';')
        .unwrap_or(header.len());
    let (media, rest) = header.split_at(end);
    let media = media.trim_ascii_end();
    let slash = media
        .iter()
        .position(|b| *b == b'/')
        .ok_or(Fault::ContentType)?;
    let (main, sub) = media.split_at(slash);
    let sub = sub.get(1..).unwrap_or_default();
    let tokens = [main, sub]
        .iter()
        .all(|t| !t.is_empty() && t.iter().all(|b| is_token(*b)));
    if tokens {
        Ok((media, rest))
    } else {
        Err(Fault::ContentType)
    }
}

fn count(mut rest: &[u8], name: &[u8]) -> Result<usize, Fault> {
    let mut found = 0;
    while let Some(parameter) = next(&mut rest)? {
        found += usize::from(parameter.name.eq_ignore_ascii_case(name));
    }
    Ok(found)
}

/// Takes one parameter with the semicolon before it; stray semicolons are skipped, as everywhere.
fn next<'a>(rest: &mut &'a [u8]) -> Result<Option<Parameter<'a>>, Fault> {
    let mut text = rest.trim_ascii_start();
    while let [b';', tail @ ..] = text {
        text = tail.trim_ascii_start();
    }
    if text.is_empty() {
        *rest = text;
        return Ok(None);
    }
    let equals = text
        .iter()
        .position(|b| *b == b'=')
        .ok_or(Fault::ContentType)?;
    let (name, after) = text.split_at(equals);
    let (after, trimmed) = (after.get(1..).unwrap_or_default(), name.trim_ascii_end());
    let value = after.trim_ascii_start();
    if trimmed.is_empty() || !trimmed.iter().all(|b| is_token(*b)) {
        return Err(Fault::ContentType);
    }
    let spaced = trimmed.len() != name.len() || value.len() != after.len();
    let (value, quoted, tail) = value_of(value)?;
    *rest = tail.trim_ascii_start();
    if !matches!(rest.first(), None | Some(b';')) {
        return Err(Fault::ContentType);
    }
    Ok(Some(Parameter {
        name: trimmed,
        value,
        quoted,
        spaced,
    }))
}

/// A token or quoted string, whether it was quoted, and the rest.
fn value_of(text: &[u8]) -> Result<(&[u8], bool, &[u8]), Fault> {
    if let [b'"', inner @ ..] = text {
        // A backslash escapes the quote that would end the value; no honest type needs one.
        let end = inner.iter().position(|b| matches!(b, b'"' | b'\\'));
        let (value, tail) = inner
            .split_at_checked(end.ok_or(Fault::ContentType)?)
            .ok_or(Fault::ContentType)?;
        return match tail {
            [b'"', tail @ ..] => Ok((value, true, tail)),
            _ => Err(Fault::ContentType),
        };
    }
    // Boundaries of old clients hold characters that are no token; only these end a value.
    let end = text
        .iter()
        .position(|b| matches!(b, b';' | b' ' | b'\t' | b'"'));
    let (value, tail) = text.split_at(end.unwrap_or(text.len()));
    if value.is_empty() {
        Err(Fault::ContentType)
    } else {
        Ok((value, false, tail))
    }
}

/// Charsets in which every ASCII byte is that character and nothing else: UTF-8 and the single-byte ones. Shift_JIS and
/// GBK hide backslashes in second bytes, UTF-7 and EBCDIC hide everything.
fn readable(charset: &[u8]) -> bool {
    const READ: [&[u8]; 6] = [
        b"utf-8",
        b"utf8",
        b"us-ascii",
        b"ascii",
        b"latin1",
        b"koi8-r",
    ];
    let series = |prefix: &[u8], first: u8, last: u8| {
        let (head, number) = charset.split_at_checked(prefix.len()).unwrap_or_default();
        let number = std::str::from_utf8(number).ok();
        let number = number.filter(|text| {
            text.bytes().all(|byte| byte.is_ascii_digit())
                && (text.len() == 1 || !text.starts_with('0'))
        });
        let number = number.and_then(|text| text.parse::<u8>().ok());
        head.eq_ignore_ascii_case(prefix) && number.is_some_and(|own| (first..=last).contains(&own))
    };
    READ.iter().any(|name| charset.eq_ignore_ascii_case(name))
        || series(b"iso-8859-", 1, 16)
        || series(b"windows-125", 0, 8)
        || series(b"cp125", 0, 8)
}

fn kind_of(media: &[u8]) -> Option<Kind> {
    let is = |name: &str| media.eq_ignore_ascii_case(name.as_bytes());
    let ends = |suffix: &[u8]| {
        let tail = media
            .len()
            .checked_sub(suffix.len())
            .and_then(|at| media.get(at..));
        tail.is_some_and(|tail| tail.eq_ignore_ascii_case(suffix))
    };
    if is("application/x-www-form-urlencoded") {
        Some(Kind::Form)
    } else if is("application/json") || is("text/json") || ends(b"+json") {
        Some(Kind::Json)
    } else if is("application/xml") || is("text/xml") || ends(b"+xml") {
        Some(Kind::Xml)
    } else if is("multipart/form-data") {
        Some(Kind::Multipart)
    } else {
        None
    }
}

pub(super) const fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(byte, b'!' | b'#'..=b'\'' | b'*' | b'+' | b'-' | b'.' | b'^'..=b'`' | b'|' | b'~')
}

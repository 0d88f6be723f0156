//! Content-Disposition of a part (RFC 7578, section 4.2): name and filename, as strictly as browsers write them.

use std::borrow::Cow;

use super::{Fault, Flaw};
use crate::pairs;

#[derive(Debug, Default)]
pub(super) struct Disposition<'a> {
    pub(super) name: Option<Cow<'a, [u8]>>,
    pub(super) filename: Option<Cow<'a, [u8]>>,
    /// `filename*`, decoded.
    pub(super) extended: Option<Vec<u8>>,
    /// A quote where none belongs.
    pub(super) flaw: Option<Flaw>,
}

/// # Errors
/// Anything but `form-data`, a parameter twice, one that is not known, RFC 2231's numbered pieces.
pub(super) fn parse(value: &[u8]) -> Result<Disposition<'_>, Fault> {
    let mut found = Disposition::default();
    let mut rest = strip_form_data(value.trim_ascii())?;
    while let [b';', tail @ ..] = rest.trim_ascii_start() {
        rest = parameter(tail.trim_ascii_start(), &mut found)?;
    }
    if rest.trim_ascii().is_empty() {
        Ok(found)
    } else {
        Err(Fault::Disposition)
    }
}

fn strip_form_data(value: &[u8]) -> Result<&[u8], Fault> {
    let (kind, rest) = value.split_at_checked(9).ok_or(Fault::Disposition)?;
    if kind.eq_ignore_ascii_case(b"form-data") {
        Ok(rest)
    } else {
        Err(Fault::Disposition)
    }
}

fn parameter<'a>(text: &'a [u8], found: &mut Disposition<'a>) -> Result<&'a [u8], Fault> {
    let equals = text
        .iter()
        .position(|b| *b == b'=')
        .ok_or(Fault::Disposition)?;
    let (name, after) = text.split_at(equals);
    let after = after.get(1..).unwrap_or_default().trim_ascii_start();
    let name = name.trim_ascii_end();
    if name.eq_ignore_ascii_case(b"filename*") {
        let (value, rest) = token(after);
        let before = found.extended.replace(extended(value)?);
        return if before.is_none() {
            Ok(rest)
        } else {
            Err(Fault::DuplicateParameter)
        };
    }
    let slot = if name.eq_ignore_ascii_case(b"name") {
        &mut found.name
    } else if name.eq_ignore_ascii_case(b"filename") {
        &mut found.filename
    } else {
        return Err(Fault::Disposition);
    };
    let (value, rest) = match after {
        [b'"', inner @ ..] => quoted(inner)?,
        _ => {
            let (value, rest) = token(after);
            if value.iter().any(|b| matches!(b, b'\'' | b'"')) {
                found.flaw = Some(Flaw::InvalidQuoting);
            }
            (Cow::Borrowed(value), rest)
        }
    };
    if slot.replace(value).is_some() {
        return Err(Fault::DuplicateParameter);
    }
    Ok(rest)
}

fn token(text: &[u8]) -> (&[u8], &[u8]) {
    let end = text
        .iter()
        .position(|b| matches!(b, b';' | b' ' | b'\t'))
        .unwrap_or(text.len());
    text.split_at(end)
}

/// A quoted string without its opening quote. Only a quote and a backslash are escaped: browsers send Windows paths
/// with single backslashes.
fn quoted(inner: &[u8]) -> Result<(Cow<'_, [u8]>, &[u8]), Fault> {
    let mut value = Vec::new();
    let mut rest = inner;
    loop {
        rest = match rest {
            [b'"', tail @ ..] => {
                let plain = inner.get(..value.len()).unwrap_or_default();
                let same = plain == value;
                return Ok((
                    if same {
                        Cow::Borrowed(plain)
                    } else {
                        Cow::Owned(value)
                    },
                    tail,
                ));
            }
            [b'\\', byte @ (b'"' | b'\\'), tail @ ..] | [byte, tail @ ..] => {
                value.push(*byte);
                tail
            }
            [] => return Err(Fault::Disposition),
        };
    }
}

/// `charset'language'text` with percent escapes (RFC 5987).
fn extended(value: &[u8]) -> Result<Vec<u8>, Fault> {
    let mut parts = value.splitn(3, |b| *b == b'\'');
    let (Some(charset), Some(_), Some(text)) = (parts.next(), parts.next(), parts.next()) else {
        return Err(Fault::Disposition);
    };
    if !charset.eq_ignore_ascii_case(b"utf-8") && !charset.eq_ignore_ascii_case(b"iso-8859-1") {
        return Err(Fault::Charset);
    }
    // A plus is a plus here, unlike in a form.
    let mut decoded = Vec::new();
    let mut scratch = Vec::new();
    for (at, piece) in text.split(|b| *b == b'+').enumerate() {
        if at > 0 {
            decoded.push(b'+');
        }
        decoded.extend_from_slice(pairs::decode(piece, &mut scratch));
    }
    Ok(decoded)
}

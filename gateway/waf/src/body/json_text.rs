//! JSON's strings and numbers, and the cursor that reads them.

use super::{Fault, Stop};

/// A position in the body.
pub(super) struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    pub(super) const fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    pub(super) const fn at(&self) -> usize {
        self.at
    }

    pub(super) fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    pub(super) fn rest(&self) -> &'a [u8] {
        self.bytes.get(self.at..).unwrap_or_default()
    }

    pub(super) fn since(&self, start: usize) -> &'a [u8] {
        self.bytes.get(start..self.at).unwrap_or_default()
    }

    pub(super) fn skip(&mut self) {
        self.at += 1;
    }

    pub(super) fn advance(&mut self, count: usize) {
        self.at += count;
    }

    pub(super) fn take(&mut self, byte: u8) -> bool {
        self.take_all(&[byte])
    }

    pub(super) fn take_all(&mut self, word: &[u8]) -> bool {
        let found = self.rest().starts_with(word);
        if found {
            self.at += word.len();
        }
        found
    }

    /// White space as RFC 8259 has it.
    pub(super) fn blank(&mut self) {
        self.at += self.run(|b| matches!(b, b' ' | b'\t' | b'\n' | b'\r'));
    }

    fn run(&self, keep: impl Fn(u8) -> bool) -> usize {
        self.rest().iter().take_while(|b| keep(**b)).count()
    }

    fn digits(&mut self) -> Result<(), Stop> {
        let count = self.run(|b| b.is_ascii_digit());
        self.at += count;
        if count == 0 {
            Err(self.fault("expected a digit").into())
        } else {
            Ok(())
        }
    }

    /// A syntax fault here, or a truncation when the body has ended.
    pub(super) fn fault(&self, what: &'static str) -> Fault {
        if self.at >= self.bytes.len() {
            Fault::Truncated
        } else {
            Fault::Syntax { at: self.at, what }
        }
    }
}

/// The text of a number. A leading zero or plus is refused: parsers read them as octal, or stop.
pub(super) fn number<'a>(cursor: &mut Cursor<'a>) -> Result<&'a [u8], Stop> {
    let start = cursor.at();
    cursor.take(b'-');
    if !cursor.take(b'0') {
        cursor.digits()?;
    }
    if cursor.take(b'.') {
        cursor.digits()?;
    }
    if cursor.take(b'e') || cursor.take(b'E') {
        let _signed = cursor.take(b'+') || cursor.take(b'-');
        cursor.digits()?;
    }
    Ok(cursor.since(start))
}

/// Decodes a string, quotes included in what is read, into `out`, which is cleared first.
pub(super) fn string(cursor: &mut Cursor<'_>, out: &mut Vec<u8>) -> Result<(), Stop> {
    out.clear();
    if !cursor.take(b'"') {
        return Err(cursor.fault("expected a string").into());
    }
    loop {
        let plain = cursor.run(|b| b >= 0x20 && b != b'"' && b != b'\\');
        let text = cursor.rest().get(..plain).unwrap_or_default();
        if std::str::from_utf8(text).is_err() {
            return Err(cursor.fault("not UTF-8").into());
        }
        out.extend_from_slice(text);
        cursor.advance(plain);
        match cursor.peek() {
            Some(b'"') => {
                cursor.skip();
                return Ok(());
            }
            Some(b'\\') => escape(cursor, out)?,
            _ => return Err(cursor.fault("a control character in a string").into()),
        }
    }
}

fn escape(cursor: &mut Cursor<'_>, out: &mut Vec<u8>) -> Result<(), Stop> {
    cursor.skip();
    let byte = match cursor.peek() {
        Some(plain @ (b'"' | b'\\' | b'/')) => plain,
        Some(b'b') => 0x08,
        Some(b'f') => 0x0c,
        Some(b'n') => b'\n',
        Some(b'r') => b'\r',
        Some(b't') => b'\t',
        Some(b'u') => return unicode(cursor, out),
        _ => return Err(cursor.fault("an unknown escape").into()),
    };
    cursor.skip();
    out.push(byte);
    Ok(())
}

/// `\uXXXX`, or two of them as a pair. Half a pair becomes U+FFFD, as most parsers have it.
fn unicode(cursor: &mut Cursor<'_>, out: &mut Vec<u8>) -> Result<(), Stop> {
    let first = unit(cursor.rest()).ok_or_else(|| cursor.fault("expected four digits"))?;
    cursor.advance(5);
    let pair = match cursor.rest() {
        [b'\\', tail @ ..] if (0xd800..0xdc00).contains(&first) => {
            unit(tail).filter(|low| (0xdc00..0xe000).contains(low))
        }
        _ => None,
    };
    let code = pair.map_or(first, |low| {
        0x1_0000 + ((first - 0xd800) << 10) + (low - 0xdc00)
    });
    if pair.is_some() {
        cursor.advance(6);
    }
    let mut buffer = [0; 4];
    let text = char::from_u32(code)
        .unwrap_or(char::REPLACEMENT_CHARACTER)
        .encode_utf8(&mut buffer);
    out.extend_from_slice(text.as_bytes());
    Ok(())
}

/// The four digits after a `u`.
fn unit(text: &[u8]) -> Option<u32> {
    let [b'u', digits @ ..] = text else {
        return None;
    };
    let digits: &[u8; 4] = digits.first_chunk()?;
    digits
        .iter()
        .try_fold(0, |code, d| Some(code << 4 | char::from(*d).to_digit(16)?))
}

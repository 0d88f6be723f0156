//! Text as SQL tokens, the way libinjection cuts it: byte by byte, with the oddities of five databases, and with its own.
//! A token's kind is the letter it has in a fingerprint. Nothing is allocated, and no text costs more than its length.

use libinjectionrs::sqli::sqli_data::{CharType, get_char_type};

use super::words::{BAREWORD, is_head, kind_of};

/// Of a longer token only the beginning is kept.
const KEPT: usize = 31;

#[derive(Clone, Copy, Default)]
pub(super) struct Token {
    /// 0: none.
    pub(super) kind: u8,
    pub(super) len: usize,
    value: [u8; KEPT + 1],
    /// The quotes of a string, 0 where it has none.
    pub(super) open: u8,
    pub(super) close: u8,
}

impl Token {
    pub(super) fn value(&self) -> &[u8] {
        self.value.get(..self.len).unwrap_or_default()
    }

    pub(super) const fn first(&self) -> u8 {
        let [first, ..] = self.value;
        first
    }

    pub(super) fn is(&self, word: &[u8]) -> bool {
        self.value().eq_ignore_ascii_case(word)
    }

    /// Two words that are one to a database.
    pub(super) fn merge(&mut self, other: &Self) -> bool {
        let length = self.len + 1 + other.len;
        if length > KEPT || !is_head(self.value()) {
            return false;
        }
        let mut both = [0; KEPT + 1];
        let parts = [self.value(), b" ", other.value()];
        for (to, from) in both.iter_mut().zip(parts.into_iter().flatten()) {
            *to = *from;
        }
        let kind = kind_of(both.get(..length).unwrap_or_default());
        if kind == BAREWORD {
            return false;
        }
        (self.kind, self.value, self.len) = (kind, both, length);
        true
    }

    fn take(&mut self, kind: u8, text: &[u8]) {
        self.kind = kind;
        self.len = text.len().min(KEPT);
        self.value = [0; KEPT + 1];
        let text = text.get(..self.len).unwrap_or_default();
        if let Some(value) = self.value.get_mut(..self.len) {
            value.copy_from_slice(text);
        }
    }
}

/// Cuts one text.
pub(super) struct Tokens<'a> {
    text: &'a [u8],
    at: usize,
    /// The text is taken to continue a string in these quotes; 0: in none.
    quote: u8,
    mysql: bool,
    token: Token,
    /// A comment that only some databases see was met.
    pub(super) ambiguous: bool,
}

impl<'a> Tokens<'a> {
    pub(super) fn new(text: &'a [u8], quote: u8, mysql: bool) -> Self {
        Self {
            text,
            at: 0,
            quote,
            mysql,
            token: Token::default(),
            ambiguous: false,
        }
    }

    pub(super) fn next(&mut self) -> Option<Token> {
        self.token = Token::default();
        if self.at == 0 && self.quote != 0 && !self.text.is_empty() {
            self.at = self.string(0, self.quote, 0);
            self.token.open = 0;
            return Some(self.token);
        }
        while let Some(byte) = self.byte(self.at) {
            self.at = self.read(byte);
            if self.token.kind != 0 {
                return Some(self.token);
            }
        }
        None
    }

    fn byte(&self, at: usize) -> Option<u8> {
        self.text.get(at).copied()
    }

    fn slice(&self, from: usize, to: usize) -> &'a [u8] {
        let to = to.min(self.text.len());
        self.text.get(from..to).unwrap_or_default()
    }

    /// The end of what follows from a place on and satisfies.
    fn run(&self, from: usize, is: impl Fn(u8) -> bool) -> usize {
        let rest = self.text.get(from..).unwrap_or_default();
        let length = rest.iter().position(|byte| !is(*byte));
        length.map_or(self.text.len(), |length| from + length)
    }

    fn take(&mut self, kind: u8, from: usize, to: usize) -> usize {
        self.token.take(kind, self.slice(from, to));
        to
    }

    fn single(&mut self, kind: u8) -> usize {
        self.take(kind, self.at, self.at + 1)
    }

    /// One token from `at` on, or white space; says where it ends.
    fn read(&mut self, byte: u8) -> usize {
        match get_char_type(byte) {
            CharType::White => self.at + 1,
            CharType::Bang | CharType::Op2 => self.operator(),
            CharType::Op1 | CharType::Unary => self.single(b'o'),
            CharType::String => self.string(self.at, byte, 1),
            CharType::Hash => self.hash(),
            CharType::Money => self.money(),
            CharType::LeftParens
            | CharType::RightParens
            | CharType::Comma
            | CharType::Semicolon
            | CharType::LeftBrace
            | CharType::RightBrace => self.single(byte),
            CharType::Dash => self.dash(),
            CharType::Number => self.number(),
            CharType::Slash => self.slash(),
            CharType::Variable => self.variable(),
            CharType::Word => self.word(),
            CharType::BString => self.digits(|byte| matches!(byte, b'0' | b'1')),
            CharType::XString => self.digits(|byte| byte.is_ascii_hexdigit()),
            CharType::EString => self.prefixed(),
            CharType::NQString => match self.slice(self.at, self.at + 3) {
                [_, b'\'', _] => self.prefixed(),
                _ => self.oracle(1),
            },
            CharType::QString => self.oracle(0),
            CharType::UString => self.unicode(),
            CharType::BWord => {
                let end = self.run(self.at, |byte| byte != b']');
                self.take(BAREWORD, self.at, (end + 1).min(self.text.len()))
            }
            CharType::Backslash => match self.byte(self.at + 1) {
                Some(b'N') => self.take(b'1', self.at, self.at + 2),
                _ => self.single(b'\\'),
            },
            CharType::Tick => self.tick(self.at),
            CharType::Other => self.single(b'?'),
        }
    }

    fn operator(&mut self) -> usize {
        let at = self.at;
        match self.slice(at, at + 3) {
            b"<=>" => return self.take(b'o', at, at + 3),
            [one, two, ..] => match kind_of(&[*one, *two]) {
                BAREWORD => {}
                b'&' => return self.take(b'&', at, at + 2),
                _ => return self.take(b'o', at, at + 2),
            },
            _ => {}
        }
        // At the very end a colon is an operator.
        let colon = self.byte(at) == Some(b':') && at + 1 < self.text.len();
        self.single(if colon { b':' } else { b'o' })
    }

    fn hash(&mut self) -> usize {
        self.ambiguous = true;
        if self.mysql {
            self.line_comment()
        } else {
            self.single(b'o')
        }
    }

    fn dash(&mut self) -> usize {
        if self.byte(self.at + 1) != Some(b'-') {
            return self.single(b'o');
        }
        if self.byte(self.at + 2).is_none_or(is_white) {
            return self.line_comment();
        }
        self.ambiguous = true;
        if self.mysql {
            self.single(b'o')
        } else {
            self.line_comment()
        }
    }

    fn line_comment(&mut self) -> usize {
        let end = self.run(self.at, |byte| byte != b'\n');
        self.take(b'c', self.at, end);
        (end + 1).min(self.text.len())
    }

    fn slash(&mut self) -> usize {
        let at = self.at;
        if self.byte(at + 1) != Some(b'*') {
            return self.single(b'o');
        }
        let inner = self.text.get(at + 2..).unwrap_or_default();
        let close = memchr::memmem::find(inner, b"*/");
        let end = close.map_or(self.text.len(), |close| at + 2 + close + 2);
        // One byte further than it should, as the original looks.
        let nested = close.is_some_and(|close| {
            let region = inner.get(..=close).unwrap_or_default();
            memchr::memmem::find(region, b"/*").is_some()
        });
        let evil = nested || self.byte(at + 2) == Some(b'!');
        self.take(if evil { b'X' } else { b'c' }, at, end)
    }

    /// A string whose content begins `offset` after `at`.
    fn string(&mut self, at: usize, quote: u8, offset: usize) -> usize {
        let start = at + offset;
        let mut from = start;
        self.token.open = quote;
        while let Some(rest) = self.text.get(from..).filter(|rest| !rest.is_empty()) {
            let Some(found) = memchr::memchr(quote, rest) else {
                break;
            };
            let found = from + found;
            // A string that the text only continues has nothing before it that could escape.
            let before = self.text.get(..found).unwrap_or_default();
            let slashes = before.iter().rev().take_while(|byte| **byte == b'\\');
            if slashes.count() % 2 == 1 {
                from = found + 1;
            } else if self.byte(found + 1) == Some(quote) {
                from = found + 2;
            } else {
                self.take(b's', start, found);
                self.token.close = quote;
                return found + 1;
            }
        }
        self.take(b's', start, self.text.len());
        self.text.len()
    }

    /// `E'…'`, `N'…'`.
    fn prefixed(&mut self) -> usize {
        match self.slice(self.at, self.at + 3) {
            [_, b'\'', _] => self.string(self.at, b'\'', 2),
            _ => self.word(),
        }
    }

    /// `U&'…'`.
    fn unicode(&mut self) -> usize {
        let [_, b'&', b'\''] = self.slice(self.at, self.at + 3) else {
            return self.word();
        };
        let end = self.string(self.at + 2, b'\'', 1);
        self.token.open = b'u';
        if self.token.close == b'\'' {
            self.token.close = b'u';
        }
        end
    }

    /// `Q'(…)'`, `NQ'(…)'`.
    fn oracle(&mut self, offset: usize) -> usize {
        let at = self.at + offset;
        let [b'q' | b'Q', b'\'', open] = self.slice(at, at + 3) else {
            return self.word();
        };
        let close = match *open {
            0..=32 | 0x80..=0xFF => return self.word(),
            b'(' => b')',
            b'[' => b']',
            b'{' => b'}',
            b'<' => b'>',
            other => other,
        };
        let inner = self.text.get(at + 3..).unwrap_or_default();
        let found = memchr::memmem::find(inner, &[close, b'\'']);
        let end = found.map_or(self.text.len(), |found| at + 3 + found);
        self.take(b's', at + 3, end);
        self.token.open = b'q';
        self.token.close = found.map_or(0, |_| b'q');
        (end + 2).min(self.text.len())
    }

    /// `B'01'`, `X'1f'`.
    fn digits(&mut self, is: impl Fn(u8) -> bool) -> usize {
        let at = self.at;
        if !matches!(self.slice(at, at + 3), [_, b'\'', _]) {
            return self.word();
        }
        let end = self.run(at + 2, is);
        match self.byte(end) {
            Some(b'\'') => self.take(b'1', at, end + 1),
            _ => self.word(),
        }
    }

    fn word(&mut self) -> usize {
        let at = self.at;
        let end = self.run(at, |byte| !ends_word(byte));
        let word = self.slice(at, end);
        // What stands before a dot or a grave accent may be a word of its own.
        let beginnings = word.iter().enumerate().take(KEPT + 1);
        for (length, _) in beginnings.filter(|(_, byte)| matches!(byte, b'.' | b'`')) {
            let kind = kind_of(self.slice(at, at + length));
            if kind != BAREWORD {
                return self.take(kind, at, at + length);
            }
        }
        let kind = if word.len() <= KEPT {
            kind_of(word)
        } else {
            BAREWORD
        };
        self.take(kind, at, end)
    }

    fn tick(&mut self, at: usize) -> usize {
        let end = self.string(at, b'`', 1);
        let function = kind_of(self.token.value()) == b'f';
        self.token.kind = if function { b'f' } else { BAREWORD };
        end
    }

    fn variable(&mut self) -> usize {
        let name = self.at + 1 + usize::from(self.byte(self.at + 1) == Some(b'@'));
        let end = match self.byte(name) {
            Some(b'`') => self.tick(name),
            Some(quote @ (b'\'' | b'"')) => self.string(name, quote, 1),
            _ => {
                let end = self.run(name, |byte| !ends_variable(byte));
                self.take(b'v', self.at, end)
            }
        };
        self.token.kind = b'v';
        end
    }

    fn money(&mut self) -> usize {
        let at = self.at;
        let end = self.run(at + 1, |byte| {
            byte.is_ascii_digit() || matches!(byte, b'.' | b',')
        });
        match self.slice(at + 1, end) {
            [] => {}
            b"." => return self.word(),
            _ => return self.take(b'1', at, end),
        }
        let tag = self.run(at + 1, |byte| byte.is_ascii_alphabetic());
        // `$$…$$` and `$tag$…$tag$`.
        if self.byte(tag) != Some(b'$') {
            return self.single(BAREWORD);
        }
        let inner = self.text.get(tag + 1..).unwrap_or_default();
        let found = memchr::memmem::find(inner, self.slice(at, tag + 1));
        let close = found.map_or(self.text.len(), |found| tag + 1 + found);
        self.take(b's', tag + 1, close);
        self.token.open = b'$';
        self.token.close = found.map_or(0, |_| b'$');
        found.map_or(self.text.len(), |_| close + tag + 1 - at)
    }

    fn number(&mut self) -> usize {
        let at = self.at;
        let digit: Option<fn(u8) -> bool> = match self.slice(at, at + 2) {
            [b'0', b'x' | b'X'] => Some(|byte| byte.is_ascii_hexdigit()),
            [b'0', b'b' | b'B'] => Some(|byte| matches!(byte, b'0' | b'1')),
            _ => None,
        };
        if let Some(digit) = digit {
            let end = self.run(at + 2, digit);
            let kind = if end == at + 2 { BAREWORD } else { b'1' };
            return self.take(kind, at, end);
        }
        let digits = |from| self.run(from, |byte| byte.is_ascii_digit());
        let mut end = digits(at);
        if self.byte(end) == Some(b'.') {
            end = digits(end + 1);
            if end == at + 1 {
                return self.single(b'.');
            }
        }
        let mut kind = b'1';
        if matches!(self.byte(end), Some(b'e' | b'E')) {
            let signed = matches!(self.byte(end + 1), Some(b'+' | b'-'));
            let from = end + 1 + usize::from(signed);
            end = digits(from);
            if end == from {
                kind = BAREWORD;
            }
        }
        // Oracle's suffixes; `1fUNION` are two tokens.
        if matches!(self.byte(end), Some(b'd' | b'D' | b'f' | b'F')) {
            let after = self.byte(end + 1);
            if after.is_none_or(|after| is_white(after) || matches!(after, b';' | b'u' | b'U')) {
                end += 1;
            }
        }
        self.take(kind, at, end)
    }
}

const fn is_white(byte: u8) -> bool {
    matches!(byte, 0 | b'\t'..=b'\r' | b' ' | 0xA0)
}

pub(super) const fn ends_word(byte: u8) -> bool {
    matches!(
        byte,
        0 | b'\t'..=b'\r' | b' '..=b'#' | b'%'..=b'-' | b'/' | b':'..=b'@' | b'[' | b'\\' | b']' | b'^' | b'{'..=b'~' | 0xA0
    )
}

const fn ends_variable(byte: u8) -> bool {
    matches!(
        byte,
        b'\t'..=b'\r' | b' '..=b'#' | b'%'..=b'-' | b'/' | b':'..=b'@' | b'\\' | b'^' | b'`' | b'|' | b'~'
    )
}

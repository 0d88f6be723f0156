//! SQL injection as libinjection tells it: a text is cut into tokens, these are folded to five at most, and what they are
//! decides. Written anew because the port allocates for every word and reads some texts in quadratic time; held to the
//! port's verdicts by the tests.

mod pieces;
mod tokens;
mod words;

pub(super) use pieces::{folded, pieces};
use tokens::{Token, Tokens};
use words::is_known;

/// A fingerprint is no longer than this.
const MOST: usize = 5;

/// The kinds of an injection's tokens, as libinjection writes them.
pub(crate) struct Fingerprint {
    kinds: [u8; MOST],
    count: usize,
}

impl Fingerprint {
    pub(crate) fn as_bytes(&self) -> &[u8] {
        self.kinds.get(..self.count).unwrap_or_default()
    }
}

/// The fingerprint of a text that libinjection takes for an injection: as it is, or behind a quote that it closes.
/// Counts the tokens that it reads.
pub(super) fn fingerprint(text: &[u8], read: &mut usize) -> Option<Fingerprint> {
    let mut fold = |quote, mysql| {
        let folded = Folded::of(text, quote, mysql);
        *read += folded.read;
        let found = folded.is_injection(text).then(|| folded.fingerprint());
        (found, folded.ambiguous)
    };
    let mut either = |quote| match fold(quote, false) {
        (None, true) => fold(quote, true).0,
        (found, _) => found,
    };
    if text.is_empty() {
        return None;
    }
    let mut found = either(0);
    if found.is_none() && memchr::memchr(b'\'', text).is_some() {
        found = either(b'\'');
    }
    if found.is_none() && memchr::memchr(b'"', text).is_some() {
        found = fold(b'"', true).0;
    }
    found
}

/// What is left of a text.
#[derive(Default)]
struct Folded {
    tokens: [Token; 8],
    /// Tokens of the fingerprint.
    count: usize,
    /// Tokens read, folded or not.
    read: usize,
    ambiguous: bool,
}

impl Folded {
    fn of(text: &[u8], quote: u8, mysql: bool) -> Self {
        let mut fold = Fold {
            source: Tokens::new(text, quote, mysql),
            tokens: [Token::default(); 8],
            pos: 0,
            left: 0,
            more: true,
            read: 0,
            comment: Token::default(),
        };
        let end = fold.run();
        let mut folded = Self {
            tokens: fold.tokens,
            count: fold.left,
            read: fold.read,
            ambiguous: fold.source.ambiguous && end != End::Evil,
        };
        if end == End::Told && fold.left < MOST && fold.comment.kind == b'c' {
            if let Some(place) = folded.tokens.get_mut(folded.count) {
                *place = fold.comment;
            }
            folded.count += 1;
        }
        folded
    }

    fn at(&self, at: usize) -> Token {
        self.tokens.get(at).copied().unwrap_or_default()
    }

    fn fingerprint(&self) -> Fingerprint {
        let [one, two, three, four, five, ..] = self.tokens.map(|token| token.kind);
        let kinds = [one, two, three, four, five];
        if kinds.contains(&b'X') {
            let kinds = [b'X', 0, 0, 0, 0];
            return Fingerprint { kinds, count: 1 };
        }
        let count = self.count.min(MOST);
        Fingerprint { kinds, count }
    }

    fn is_injection(&self, text: &[u8]) -> bool {
        let kinds = self.tokens.map(|token| token.kind);
        let kinds = kinds.get(..self.count).unwrap_or_default();
        if kinds.contains(&b'X') {
            return is_known(b"X");
        }
        if kinds.is_empty() || !is_known(kinds) {
            return false;
        }
        let hides = kinds.len() > 1 && kinds.last() == Some(&b'c');
        if hides && std::str::from_utf8(text).is_ok() && mentions(text, b"sp_password") {
            return true;
        }
        match kinds {
            [_, second] => self.two_are_one(*second, text),
            [one, two, three] => self.three_are_one([*one, *two, *three]),
            _ => true,
        }
    }

    /// Two tokens are little to tell by: what is left of them after the usual false alarms.
    fn two_are_one(&self, second: u8, text: &[u8]) -> bool {
        let [one, two] = [self.at(0), self.at(1)];
        if second == b'U' {
            return self.read != 2;
        }
        if two.first() == b'#' || (one.kind, two.kind) == (b'n', b'c') && two.first() != b'/' {
            return false;
        }
        if (one.kind, two.kind) == (b'1', b'c') {
            let after = text.get(one.len..).unwrap_or_default();
            return two.first() == b'/'
                || self.read > 2
                // Signed, as C's characters are.
                || matches!(after.first(), Some(0..=32 | 0x80..=0xFF))
                || after.starts_with(b"/*")
                || after.starts_with(b"--");
        }
        two.len <= 2 || two.first() != b'-'
    }

    fn three_are_one(&self, kinds: [u8; 3]) -> bool {
        let [one, two, three] = [self.at(0), self.at(1), self.at(2)];
        match &kinds {
            b"sos" | b"s&s" => one.open == 0 && three.close == 0 && one.close == three.open,
            b"s&n" | b"n&1" | b"1&1" | b"1&v" | b"1&s" if self.read == 3 => false,
            [_, b'k', _] => two.len >= 5 && two.value().starts_with(b"INTO"),
            _ => true,
        }
    }
}

fn mentions(text: &[u8], word: &[u8]) -> bool {
    text.windows(word.len())
        .any(|window| window.eq_ignore_ascii_case(word))
}

/// How a text ended.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    /// Nothing but what tells nothing.
    Nothing,
    Told,
    Evil,
}

/// What a rule made of the tokens at hand.
enum Step {
    /// Look again, at what there is now.
    Again,
    /// No rule for these.
    On,
    /// Nobody writes this but to attack.
    Evil,
}

/// Folding under way: `tokens[..left]` are done, up to `pos` are read.
struct Fold<'a> {
    source: Tokens<'a>,
    tokens: [Token; 8],
    pos: usize,
    left: usize,
    more: bool,
    read: usize,
    /// The last token, if it was a comment.
    comment: Token,
}

impl Fold<'_> {
    fn at(&self, at: usize) -> Token {
        self.tokens.get(at).copied().unwrap_or_default()
    }

    /// The kind of the token `after` those that are done.
    fn kind(&self, after: usize) -> u8 {
        self.at(self.left + after).kind
    }

    fn set(&mut self, at: usize, token: Token) {
        if let Some(place) = self.tokens.get_mut(at) {
            *place = token;
        }
    }

    fn set_kind(&mut self, after: usize, kind: u8) {
        if let Some(place) = self.tokens.get_mut(self.left + after) {
            place.kind = kind;
        }
    }

    fn next(&mut self) -> Option<Token> {
        let token = self.source.next();
        match token {
            Some(_) => self.read += 1,
            None => self.more = false,
        }
        token
    }

    fn run(&mut self) -> End {
        // Comments, parentheses, types and signs at the beginning tell nothing.
        while self.more {
            if let Some(token) = self.next()
                && !(matches!(token.kind, b'c' | b'(' | b't') || is_sign(&token))
            {
                self.set(0, token);
                break;
            }
        }
        if !self.more {
            return End::Nothing;
        }
        self.pos = 1;
        loop {
            self.collapse();
            if !self.more || self.left >= MOST {
                self.left = self.pos;
                break;
            }
            self.fill(2);
            if self.pos - self.left < 2 {
                self.left = self.pos;
                continue;
            }
            match self.two() {
                Step::Again => continue,
                Step::Evil => return End::Evil,
                Step::On => {}
            }
            self.fill(3);
            if self.pos - self.left < 3 {
                self.left = self.pos;
                continue;
            }
            if let Step::On = self.three() {
                self.left += 1;
            }
        }
        self.finish();
        End::Told
    }

    /// Five tokens of an expression that others may follow.
    fn collapse(&mut self) {
        if self.pos < MOST {
            return;
        }
        let [one, two, three, four, five, ..] = self.tokens.map(|token| token.kind);
        if matches!(
            [one, two, three, four, five],
            [b'1', b'o' | b',', b'(', b'1', b')']
                | [b'n', b'o', b'(', b'n' | b'1', b')']
                | [b'1', b')', b',', b'(', b'1']
                | [b'n', b')', b'o', b'(', b'n']
        ) {
            if self.pos > MOST {
                self.set(1, self.at(MOST));
                self.pos = 2;
            } else {
                self.pos = 1;
            }
            self.left = 0;
        }
    }

    /// Reads until there are `count` tokens to look at.
    fn fill(&mut self, count: usize) {
        while self.more && self.pos <= MOST && self.pos - self.left < count {
            let Some(token) = self.next() else { return };
            if token.kind == b'c' {
                self.comment = token;
            } else {
                self.comment.kind = 0;
                self.set(self.pos, token);
                self.pos += 1;
            }
        }
    }

    /// Takes `count` of the tokens read away again, and begins anew.
    const fn drop(&mut self, count: usize) -> Step {
        self.pos -= count;
        self.left = 0;
        Step::Again
    }

    /// Puts the `from`th token in the place of the `to`th.
    fn replace(&mut self, to: usize, from: usize) {
        self.set(self.left + to, self.at(self.left + from));
    }

    fn two(&mut self) -> Step {
        let (one, two) = (self.at(self.left), self.at(self.left + 1));
        match (one.kind, two.kind) {
            (b's', b's') | (b';', b';') => {
                self.pos -= 1;
                return Step::Again;
            }
            (b'o' | b'&', kind) if kind == b't' || is_sign(&two) => return self.drop(1),
            (b'(', _) if is_sign(&two) => {
                self.pos -= 1;
                self.left = self.left.saturating_sub(1);
                return Step::Again;
            }
            _ => {}
        }
        if merges(one.kind) && (merges(two.kind) || two.kind == b'&') {
            let mut merged = one;
            if merged.merge(&two) {
                self.set(self.left, merged);
                self.pos -= 1;
                self.left = self.left.saturating_sub(1);
                return Step::Again;
            }
        }
        self.two_kinds(&one, &two)
    }

    fn two_kinds(&mut self, one: &Token, two: &Token) -> Step {
        match (one.kind, two.kind) {
            (b';', b'f')
                if two
                    .value()
                    .get(..2)
                    .is_some_and(|start| start.eq_ignore_ascii_case(b"IF")) =>
            {
                self.set_kind(1, b'T');
            }
            (b'n' | b'v', b'(') if is_function(one) => self.set_kind(0, b'f'),
            (b'k', next) if one.is(b"IN") || one.is(b"NOT IN") => {
                self.set_kind(0, if next == b'(' { b'o' } else { b'n' });
            }
            (b'o', next) if one.is(b"LIKE") || one.is(b"NOT LIKE") => {
                if next == b'(' {
                    self.set_kind(0, b'f');
                }
                return Step::On;
            }
            (b't', b'n' | b'1' | b't' | b'(' | b'f' | b'v' | b's') => {
                self.replace(0, 1);
                return self.drop(1);
            }
            (b'A', b'n') => {
                // Too many collations to know: an underscore makes one.
                if std::str::from_utf8(two.value()).is_ok() && two.value().contains(&b'_') {
                    self.set_kind(1, b't');
                    self.left = 0;
                }
                return Step::On;
            }
            (b'\\', _) => {
                if two.kind == b'o' && two.len == 1 && b"*/-+%".contains(&two.first()) {
                    self.set_kind(0, b'1');
                    return self.drop(0);
                }
                self.replace(0, 1);
                return self.drop(1);
            }
            (b'(', b'(') | (b')', b')') => return self.drop(1),
            (b'{', b'n') if two.len == 0 => {
                self.set_kind(1, b'X');
                self.left += 2;
                return Step::Evil;
            }
            (b'{', b'n') => return self.drop(2),
            (_, b'}') => return self.drop(1),
            _ => return Step::On,
        }
        Step::Again
    }

    fn three(&mut self) -> Step {
        let [one, two, three] = [self.kind(0), self.kind(1), self.kind(2)];
        let middle = self.at(self.left + 1);
        let value = |kind: u8| matches!(kind, b'1' | b'n' | b's' | b'v');
        match (one, two, three) {
            (b'1', b'o', b'1') | (b'&', _, b'&') => self.drop(2),
            (b'o', other, b'o') if other != b'(' => self.drop(2),
            (b'v', b'o', b'v' | b'1' | b'n') | (b'n' | b'1', b'o', b'1' | b'n') => self.drop(2),
            (first, b'o', b't') if value(first) && middle.value() == b"::" => self.drop(2),
            (first, b',', last) if value(first) && value(last) => self.drop(2),
            (b'E' | b'B' | b',', _, b'(') if is_sign(&middle) => {
                self.replace(1, 2);
                self.drop(1)
            }
            (b'k' | b'E' | b'B', _, last) if is_sign(&middle) && (value(last) || last == b'f') => {
                self.replace(1, 2);
                self.drop(1)
            }
            (b',', _, last) if is_sign(&middle) && value(last) => {
                self.replace(1, 2);
                self.drop(3)
            }
            (b',', _, b'f') if is_sign(&middle) => {
                self.replace(1, 2);
                self.drop(1)
            }
            (b'n', b'.', b'n') => self.drop(2),
            (b'E', b'.', b'n') => {
                self.replace(1, 2);
                self.drop(1)
            }
            (b'f', b'(', last) if last != b')' => {
                if self.at(self.left).is(b"USER") {
                    self.set_kind(0, b'n');
                }
                Step::On
            }
            _ => Step::On,
        }
    }

    /// A sixth token only helped to tell the fifth; an empty name in grave accents without an end is PHP's comment.
    fn finish(&mut self) {
        self.left = self.left.min(MOST);
        if let Some(last) = self.tokens.get_mut(self.left.saturating_sub(1))
            && self.left > 2
            && (last.kind, last.open, last.len, last.close) == (b'n', b'`', 0, 0)
        {
            last.kind = b'c';
        }
    }
}

fn is_sign(token: &Token) -> bool {
    token.kind == b'o'
        && match token.value() {
            [byte] => b"+-!~".contains(byte),
            b"!!" => true,
            word => word.eq_ignore_ascii_case(b"NOT"),
        }
}

/// Kinds of words that may be one with the next.
const fn merges(kind: u8) -> bool {
    matches!(kind, b'k' | b'n' | b'o' | b'U' | b'f' | b'E' | b'T' | b't')
}

/// Names of columns as well, unless something is asked of them.
fn is_function(token: &Token) -> bool {
    const NAMES: [&[u8]; 11] = [
        b"USER_ID",
        b"USER_NAME",
        b"DATABASE",
        b"PASSWORD",
        b"USER",
        b"CURRENT_USER",
        b"CURRENT_DATE",
        b"CURRENT_TIME",
        b"CURRENT_TIMESTAMP",
        b"LOCALTIME",
        b"LOCALTIMESTAMP",
    ];
    NAMES.iter().any(|name| token.is(name))
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests;

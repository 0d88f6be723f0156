//! PCRE text → a tree. Knows the whole syntax that rules use, says what it does not; matches nothing.

mod group;

use super::class;
use crate::bytes::ByteSet;

/// Groups inside groups.
const MAX_DEPTH: usize = 60;
/// The largest number in `{n,m}`.
const MAX_REPEAT: u32 = 10_000;

/// A pattern, or a part of one.
#[derive(Clone, Debug)]
pub(super) enum Node {
    Empty,
    /// One byte of a set.
    Set(ByteSet),
    Look(Look),
    Group(Box<Self>, u16),
    Cat(Vec<Self>),
    Alt(Vec<Self>),
    Repeat(Box<Self>, u32, Option<u32>, Kind),
    Atomic(Box<Self>),
    Around(Box<Self>, Around),
    /// What a group matched, again; the flag: in any case.
    Back(u16, bool),
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Look {
    Start,
    End,
    /// The end, or a line feed that is the last byte.
    EndOrLast,
    LineStart,
    LineEnd,
    Word,
    NotWord,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    Greedy,
    Lazy,
    Possessive,
}

/// A look-around: what lies before or after, is or is not.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Around {
    pub(super) behind: bool,
    pub(super) negative: bool,
}

/// A pattern read.
#[derive(Debug)]
pub(super) struct Parsed {
    pub(super) node: Node,
    /// Groups that keep what they matched, the whole match (0) included.
    pub(super) groups: u16,
    /// It holds something that finite automata cannot do.
    pub(super) special: bool,
}

#[derive(Clone, Copy, Default)]
struct Flags {
    caseless: bool,
    lines: bool,
    extended: bool,
    /// A dot does not match a line feed.
    dot_stops: bool,
}

pub(super) fn parse(pattern: &str) -> Result<Parsed, String> {
    let mut parser = Parser {
        rest: pattern,
        groups: 1,
        names: Vec::new(),
        special: false,
        depth: 0,
    };
    let node = parser.alternation(&mut Flags::default())?;
    if !parser.rest.is_empty() {
        return Err("a closing parenthesis without an opening one".to_owned());
    }
    Ok(Parsed {
        node,
        groups: parser.groups,
        special: parser.special,
    })
}

struct Parser<'p> {
    rest: &'p str,
    groups: u16,
    names: Vec<(&'p str, u16)>,
    special: bool,
    depth: usize,
}

impl<'p> Parser<'p> {
    fn take(&mut self, start: &str) -> bool {
        match self.rest.strip_prefix(start) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn letter(&mut self) -> Option<char> {
        let letter = self.rest.chars().next()?;
        self.rest = self.rest.get(letter.len_utf8()..).unwrap_or_default();
        Some(letter)
    }

    fn until(&mut self, end: char) -> Result<&'p str, String> {
        let (inside, rest) = self.rest.split_once(end).ok_or("a group is not closed")?;
        self.rest = rest;
        Ok(inside)
    }

    /// Up to a closing parenthesis or the end. Flags set inside hold for all that follows.
    fn alternation(&mut self, flags: &mut Flags) -> Result<Node, String> {
        let mut branches = vec![self.concatenation(flags)?];
        while self.take("|") {
            branches.push(self.concatenation(flags)?);
        }
        Ok(match branches.len() {
            1 => branches.pop().unwrap_or(Node::Empty),
            _ => Node::Alt(branches),
        })
    }

    fn concatenation(&mut self, flags: &mut Flags) -> Result<Node, String> {
        let mut parts = Vec::new();
        while !self.rest.is_empty() && !self.rest.starts_with(['|', ')']) {
            if flags.extended && self.skip_extended() {
                continue;
            }
            let first = parts.len();
            self.atom(flags, &mut parts)?;
            if parts.len() > first {
                self.repetitions(&mut parts)?;
            }
        }
        Ok(match parts.len() {
            0 => Node::Empty,
            1 => parts.pop().unwrap_or(Node::Empty),
            _ => Node::Cat(parts),
        })
    }

    /// What was read last, as often as quantifiers say. `a{2}{3}` is six.
    fn repetitions(&mut self, parts: &mut Vec<Node>) -> Result<(), String> {
        let mut count = 0;
        while let Some((least, most)) = self.quantifier()? {
            count += 1;
            if count > MAX_DEPTH {
                return Err(format!("more than {MAX_DEPTH} quantifiers in a row"));
            }
            let kind = if self.take("+") {
                self.special = true;
                Kind::Possessive
            } else if self.take("?") {
                Kind::Lazy
            } else {
                Kind::Greedy
            };
            let own = parts.pop().unwrap_or(Node::Empty);
            parts.push(Node::Repeat(Box::new(own), least, most, kind));
        }
        Ok(())
    }

    fn skip_extended(&mut self) -> bool {
        let trimmed = self.rest.trim_start();
        let after = match trimmed.strip_prefix('#') {
            Some(comment) => comment.split_once('\n').map_or("", |(_, rest)| rest),
            None => trimmed,
        };
        let skipped = after.len() < self.rest.len();
        self.rest = after;
        skipped
    }

    fn quantifier(&mut self) -> Result<Option<(u32, Option<u32>)>, String> {
        if self.take("*") {
            return Ok(Some((0, None)));
        }
        if self.take("+") {
            return Ok(Some((1, None)));
        }
        if self.take("?") {
            return Ok(Some((0, Some(1))));
        }
        let Some((inside, after)) = self
            .rest
            .strip_prefix('{')
            .and_then(|rest| rest.split_once('}'))
        else {
            return Ok(None);
        };
        let digits =
            |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let bounds = match inside.split_once(',') {
            None if digits(inside) => (inside, Some(inside)),
            Some((least, "")) if digits(least) => (least, None),
            Some((least, most)) if digits(least) && digits(most) => (least, Some(most)),
            _ => return Ok(None),
        };
        let number = |text: &str| {
            let number = text.parse::<u32>().ok().filter(|n| *n <= MAX_REPEAT);
            number.ok_or_else(|| format!("a repetition beyond {MAX_REPEAT}"))
        };
        self.rest = after;
        let (least, most) = (number(bounds.0)?, bounds.1.map(number).transpose()?);
        if most.is_some_and(|most| most < least) {
            return Err("a repetition whose bounds are the wrong way round".to_owned());
        }
        Ok(Some((least, most)))
    }

    /// One thing that a quantifier may follow; a text of several bytes leaves them one by one.
    fn atom(&mut self, flags: &mut Flags, parts: &mut Vec<Node>) -> Result<(), String> {
        match self.letter() {
            None => {}
            Some('(') => parts.extend(self.group(flags)?),
            Some('[') => {
                let (set, rest) = class::bracketed(self.rest, flags.caseless)?;
                self.rest = rest;
                parts.push(Node::Set(set));
            }
            Some('.') if flags.dot_stops => {
                parts.push(Node::Set(ByteSet::of(b"\n").complement()));
            }
            Some('.') => parts.push(Node::Set(ByteSet::ALL)),
            Some('^') if flags.lines => parts.push(Node::Look(Look::LineStart)),
            Some('^') => parts.push(Node::Look(Look::Start)),
            Some('$') if flags.lines => parts.push(Node::Look(Look::LineEnd)),
            Some('$') => parts.push(Node::Look(Look::End)),
            Some('\\') => self.escape(flags, parts)?,
            Some('*' | '+' | '?') => return Err("a quantifier with nothing to repeat".to_owned()),
            Some(letter) => literal(letter, flags, parts),
        }
        Ok(())
    }

    fn escape(&mut self, flags: &Flags, parts: &mut Vec<Node>) -> Result<(), String> {
        let look = |look| Node::Look(look);
        let Some(letter) = self.rest.chars().next() else {
            return Err("a backslash at the end".to_owned());
        };
        let node = match letter {
            'b' => look(Look::Word),
            'B' => look(Look::NotWord),
            'A' => look(Look::Start),
            'z' => look(Look::End),
            'Z' => look(Look::EndOrLast),
            'Q' => {
                self.letter();
                let (text, rest) = self.rest.split_once("\\E").unwrap_or((self.rest, ""));
                self.rest = rest;
                text.chars()
                    .for_each(|letter| literal(letter, flags, parts));
                return Ok(());
            }
            'E' => {
                self.letter();
                return Ok(());
            }
            'R' => {
                let pair = [b"\r", b"\n"].map(|byte| Node::Set(ByteSet::of(byte)));
                let mut breaks = ByteSet::EMPTY;
                breaks.insert_range(b'\n', b'\r');
                breaks.insert_range(0x85, 0x85);
                Node::Alt(vec![Node::Cat(pair.to_vec()), Node::Set(breaks)])
            }
            'G' | 'K' | 'X' | 'C' | 'p' | 'P' => {
                return Err(format!("\\{letter} is not supported"));
            }
            'k' | 'g' => {
                self.letter();
                let group = self.reference()?;
                return self.back(group, flags, parts);
            }
            '1'..='9' => {
                let digits = self.rest.len()
                    - self
                        .rest
                        .trim_start_matches(|c: char| c.is_ascii_digit())
                        .len();
                let text = self.rest.get(..digits).unwrap_or_default();
                let number: u16 = text.parse().unwrap_or(u16::MAX);
                if digits == 1 || number < self.groups {
                    self.rest = self.rest.get(digits..).unwrap_or_default();
                    return self.back(number, flags, parts);
                }
                return self.byte_escape(flags, parts);
            }
            _ => return self.byte_escape(flags, parts),
        };
        self.letter();
        parts.push(node);
        Ok(())
    }

    fn byte_escape(&mut self, flags: &Flags, parts: &mut Vec<Node>) -> Result<(), String> {
        let (set, rest) = class::escape(self.rest, flags.caseless)?;
        // A letter beyond ASCII stands for all of its bytes.
        match self.rest.chars().next().filter(|letter| !letter.is_ascii()) {
            Some(letter) => literal(letter, flags, parts),
            None => parts.push(Node::Set(set)),
        }
        self.rest = rest;
        Ok(())
    }

    /// After `\k` or `\g`: a number, a relative number or a name.
    fn reference(&mut self) -> Result<u16, String> {
        let name = match self.letter() {
            Some('{') => self.until('}')?,
            Some('<') => self.until('>')?,
            Some('\'') => self.until('\'')?,
            Some(digit) if digit.is_ascii_digit() => {
                return Ok(digit
                    .to_digit(10)
                    .and_then(|d| u16::try_from(d).ok())
                    .unwrap_or(0));
            }
            _ => return Err("a reference without a name".to_owned()),
        };
        let relative = name
            .strip_prefix('-')
            .and_then(|back| back.parse::<u16>().ok());
        let by_name = || {
            self.names
                .iter()
                .find(|(own, _)| *own == name)
                .map(|(_, group)| *group)
        };
        relative
            .and_then(|back| self.groups.checked_sub(back))
            .or_else(|| name.parse().ok())
            .or_else(by_name)
            .ok_or_else(|| format!("there is no group {name}"))
    }

    fn back(&mut self, group: u16, flags: &Flags, parts: &mut Vec<Node>) -> Result<(), String> {
        if group == 0 || group >= self.groups {
            return Err(format!("there is no group {group}"));
        }
        self.special = true;
        parts.push(Node::Back(group, flags.caseless));
        Ok(())
    }
}

fn literal(letter: char, flags: &Flags, parts: &mut Vec<Node>) {
    let mut bytes = [0; 4];
    for byte in letter.encode_utf8(&mut bytes).bytes() {
        parts.push(Node::Set(class::single(byte, flags.caseless)));
    }
}

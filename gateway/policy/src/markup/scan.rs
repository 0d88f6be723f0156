//! HTML byte by byte: where tags begin and end, what they are called, and the attributes that decide where a form goes. It
//! follows the tokenizer of the HTML standard (13.2.5) as far as that moves a tag; text, comments and scripts are passed by.
//! Knows bytes in any encoding that ASCII is a part of, no trees and no forms.

use memchr::memchr;

use super::tag::Tag;

/// What a byte led to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Met {
    /// Nothing new.
    More,
    /// A `<`: perhaps a tag.
    Less,
    /// It was none.
    Plain,
    /// The tag's name is known. The byte that ended it has not been taken: it must be given again.
    Named,
    /// The tag is complete.
    Tag,
}

/// How text is read until the next tag.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Text {
    /// As markup.
    Data,
    /// Nothing but the end tag of this name ends it.
    Raw(&'static str),
    /// A script: `</script` ends it, unless it is inside of a comment with a script of its own.
    Script { level: Level, dashes: u8 },
    /// Nothing ends it.
    Plain,
}

/// How deep in comments a script is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Level {
    Plain,
    Escaped,
    Double,
}

pub(super) const SCRIPT: Text = Text::Script {
    level: Level::Plain,
    dashes: 0,
};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Text,
    Less,
    EndLess,
    Name,
    BeforeAttribute,
    AttributeName,
    AfterAttribute,
    BeforeValue,
    /// In quotes, or 0: without.
    Value(u8),
    AfterValue,
    Closing,
    /// After `<!`, with what has been seen of `--` or `[CDATA[`.
    Declaration(u8),
    Bogus,
    /// With how much of its end has been seen.
    Comment(Ending),
    Cdata(u8),
    /// After `<` in text that is not read as markup; then after `</`, and its name.
    RawLess,
    RawEnd,
    /// After `<!` in a script, with the dashes.
    ScriptBang(u8),
    /// A name in a script's comment: `<script`, or `</script` where it is true.
    ScriptName(bool),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ending {
    Start,
    StartDash,
    None,
    Dash,
    Dashes,
    Bang,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Scanner {
    state: State,
    text: Text,
    xml: bool,
    tag: Tag,
    /// `[CDATA[`, `DOCTYPE … [`: something that is read in another way elsewhere. See [`Scanner::odd`].
    odd: bool,
}

fn is_blank(byte: u8) -> bool {
    matches!(byte, b'\t' | b'\n' | 0x0c | b'\r' | b' ')
}

fn ends_name(byte: u8) -> bool {
    is_blank(byte) || byte == b'/' || byte == b'>'
}

impl Scanner {
    pub(super) fn new(xml: bool) -> Self {
        Self {
            state: State::Text,
            text: Text::Data,
            xml,
            tag: Tag::default(),
            odd: false,
        }
    }

    pub(super) fn tag(&self) -> &Tag {
        &self.tag
    }

    /// How the text after the tag is read.
    pub(super) fn read_as(&mut self, text: Text) {
        self.text = text;
    }

    /// Whether a tag could stand here.
    pub(super) fn in_text(&self) -> bool {
        self.state == State::Text && self.text == Text::Data
    }

    /// Whether there was something that a browser may read in another way, depending on what is around it. Said once.
    pub(super) fn odd(&mut self) -> bool {
        std::mem::take(&mut self.odd)
    }

    /// How many of these bytes change nothing.
    pub(super) fn skip(&self, bytes: &[u8]) -> usize {
        let until = |byte: u8| memchr(byte, bytes).unwrap_or(bytes.len());
        match (self.state, self.text) {
            (State::Text, Text::Data | Text::Raw(_)) => until(b'<'),
            (State::Text, Text::Plain) => bytes.len(),
            (
                State::Text,
                Text::Script {
                    level: Level::Plain,
                    ..
                },
            ) => until(b'<'),
            (State::Comment(Ending::None), _) => until(b'-'),
            (State::Bogus, _) if !self.xml => until(b'>'),
            _ => 0,
        }
    }

    /// Takes one byte.
    pub(super) fn feed(&mut self, byte: u8) -> Met {
        match self.state {
            State::Text => self.text(byte),
            State::Less => self.less(byte),
            State::EndLess => match byte {
                byte if byte.is_ascii_alphabetic() => self.begin(byte, true),
                b'>' => self.plain(State::Text),
                _ => self.plain(State::Bogus),
            },
            State::Name => self.name(byte),
            State::BeforeAttribute
            | State::AttributeName
            | State::AfterAttribute
            | State::BeforeValue
            | State::Value(_)
            | State::AfterValue
            | State::Closing => self.attribute(byte),
            State::Declaration(seen) => self.declaration(byte, seen),
            State::Bogus => {
                self.odd |= self.xml && byte == b'[';
                self.ends(byte == b'>', State::Bogus)
            }
            State::Comment(ending) => self.comment(byte, ending),
            State::Cdata(seen) => {
                let next = match (byte, seen) {
                    (b']', seen) => State::Cdata((seen + 1).min(2)),
                    (b'>', 2) => State::Text,
                    _ => State::Cdata(0),
                };
                self.go(next)
            }
            State::RawLess => self.raw_less(byte),
            State::RawEnd => self.raw_end(byte),
            State::ScriptBang(dashes) => self.script_bang(byte, dashes),
            State::ScriptName(end) => self.script_name(byte, end),
        }
    }

    fn go(&mut self, state: State) -> Met {
        self.state = state;
        Met::More
    }

    fn plain(&mut self, state: State) -> Met {
        self.state = state;
        Met::Plain
    }

    fn ends(&mut self, ends: bool, state: State) -> Met {
        self.go(if ends { State::Text } else { state })
    }

    fn text(&mut self, byte: u8) -> Met {
        match (self.text, byte) {
            (Text::Data, b'<') => {
                self.state = State::Less;
                Met::Less
            }
            (Text::Raw(_) | Text::Script { .. }, b'<') => self.go(State::RawLess),
            (
                Text::Script {
                    level: level @ (Level::Escaped | Level::Double),
                    dashes,
                },
                byte,
            ) => {
                let (level, dashes) = match byte {
                    b'-' => (level, (dashes + 1).min(2)),
                    b'>' if dashes == 2 => (Level::Plain, 0),
                    _ => (level, 0),
                };
                self.text = Text::Script { level, dashes };
                Met::More
            }
            _ => Met::More,
        }
    }

    fn less(&mut self, byte: u8) -> Met {
        match byte {
            byte if byte.is_ascii_alphabetic() => self.begin(byte, false),
            b'/' => self.go(State::EndLess),
            b'!' => self.plain(State::Declaration(0)),
            b'?' => self.plain(State::Bogus),
            b'<' => {
                self.state = State::Less;
                Met::Less
            }
            _ => self.plain(State::Text),
        }
    }

    fn begin(&mut self, byte: u8, end: bool) -> Met {
        self.tag.begin(end);
        self.letter(byte);
        self.go(State::Name)
    }

    /// As names are compared: XML tells upper case from lower.
    fn folded(&self, byte: u8) -> u8 {
        if self.xml {
            byte
        } else {
            byte.to_ascii_lowercase()
        }
    }

    fn letter(&mut self, byte: u8) {
        let byte = self.folded(byte);
        self.tag.letter(byte);
    }

    fn name(&mut self, byte: u8) -> Met {
        if ends_name(byte) {
            self.state = State::BeforeAttribute;
            return Met::Named;
        }
        self.letter(byte);
        Met::More
    }

    fn attribute(&mut self, byte: u8) -> Met {
        match self.state {
            State::Closing if byte == b'>' => {
                self.tag.closed = true;
                return self.complete();
            }
            State::Value(0) if is_blank(byte) => return self.go(State::BeforeAttribute),
            State::Value(0) if byte == b'>' => return self.complete(),
            State::Value(quote) if byte == quote && quote != 0 => {
                return self.go(State::AfterValue);
            }
            State::Value(_) => {
                self.tag.add(byte);
                return Met::More;
            }
            State::BeforeValue => return self.before_value(byte),
            State::AttributeName if !ends_name(byte) && byte != b'=' => {
                let byte = self.folded(byte);
                self.tag.attribute_letter(byte);
                return Met::More;
            }
            State::AttributeName | State::AfterAttribute if byte == b'=' => {
                self.tag.attribute_named();
                return self.go(State::BeforeValue);
            }
            _ => {}
        }
        match byte {
            byte if is_blank(byte) && self.state == State::AttributeName => {
                self.state = State::AfterAttribute;
                Met::More
            }
            byte if is_blank(byte) && self.state == State::AfterAttribute => Met::More,
            byte if is_blank(byte) => self.go(State::BeforeAttribute),
            b'/' => {
                self.alone();
                self.go(State::Closing)
            }
            b'>' => {
                self.alone();
                self.complete()
            }
            _ => {
                self.alone();
                let byte = self.folded(byte);
                self.tag.attribute_letter(byte);
                self.go(State::AttributeName)
            }
        }
    }

    fn before_value(&mut self, byte: u8) -> Met {
        match byte {
            byte if is_blank(byte) => Met::More,
            b'"' | b'\'' => self.go(State::Value(byte)),
            b'>' => self.complete(),
            _ => {
                self.tag.add(byte);
                self.go(State::Value(0))
            }
        }
    }

    /// An attribute without a value ends.
    fn alone(&mut self) {
        if matches!(self.state, State::AttributeName | State::AfterAttribute) {
            self.tag.attribute_named();
        }
    }

    fn complete(&mut self) -> Met {
        self.state = State::Text;
        Met::Tag
    }

    fn declaration(&mut self, byte: u8, seen: u8) -> Met {
        const CDATA: &[u8] = b"[CDATA[";
        match (byte, seen) {
            (b'-', 0) => self.go(State::Declaration(1)),
            (b'-', 1) => self.go(State::Comment(Ending::Start)),
            (b'[', 0) => self.go(State::Declaration(3)),
            (byte, 3..) if CDATA.get(usize::from(seen) - 2) == Some(&byte) => {
                if seen < 8 {
                    return self.go(State::Declaration(seen + 1));
                }
                // In HTML it is a comment, in SVG and MathML it is text.
                self.odd |= !self.xml;
                self.go(if self.xml {
                    State::Cdata(0)
                } else {
                    State::Bogus
                })
            }
            (byte, _) => self.ends(byte == b'>', State::Bogus),
        }
    }

    fn comment(&mut self, byte: u8, ending: Ending) -> Met {
        let next = match (byte, ending) {
            (b'>', Ending::None | Ending::Dash) => Ending::None,
            (b'>', _) => return self.go(State::Text),
            (b'-', Ending::Start) => Ending::StartDash,
            (b'-', Ending::None | Ending::Bang) => Ending::Dash,
            (b'-', Ending::StartDash | Ending::Dash | Ending::Dashes) => Ending::Dashes,
            (b'!', Ending::Dashes) => Ending::Bang,
            _ => Ending::None,
        };
        self.go(State::Comment(next))
    }

    /// After `<` in raw text or a script.
    fn raw_less(&mut self, byte: u8) -> Met {
        let level = match self.text {
            Text::Script { level, .. } => level,
            Text::Raw(_) | Text::Data | Text::Plain => Level::Plain,
        };
        self.tag.begin(true);
        match (byte, level) {
            (b'/', Level::Double) => self.go(State::ScriptName(true)),
            (b'/', _) => self.go(State::RawEnd),
            (b'!', Level::Plain) if self.text == SCRIPT => self.go(State::ScriptBang(0)),
            (byte, Level::Escaped) if byte.is_ascii_alphabetic() => {
                self.letter(byte);
                self.go(State::ScriptName(false))
            }
            _ => self.again(byte),
        }
    }

    /// The byte belongs to the text.
    fn again(&mut self, byte: u8) -> Met {
        if let Text::Script { dashes, .. } = &mut self.text {
            *dashes = 0;
        }
        self.state = State::Text;
        self.text(byte)
    }

    fn raw_end(&mut self, byte: u8) -> Met {
        let wanted = match self.text {
            Text::Raw(name) => name,
            Text::Script { .. } => "script",
            Text::Data | Text::Plain => "",
        };
        if ends_name(byte) && self.tag.name() == wanted {
            self.text = Text::Data;
            self.state = State::BeforeAttribute;
            return self.attribute(byte);
        }
        if byte.is_ascii_alphabetic() {
            self.letter(byte);
            return Met::More;
        }
        self.again(byte)
    }

    fn script_bang(&mut self, byte: u8, dashes: u8) -> Met {
        match (byte, dashes) {
            (b'-', 0) => self.go(State::ScriptBang(1)),
            (b'-', _) => {
                self.text = Text::Script {
                    level: Level::Escaped,
                    dashes: 2,
                };
                self.go(State::Text)
            }
            _ => self.again(byte),
        }
    }

    fn script_name(&mut self, byte: u8, end: bool) -> Met {
        if byte.is_ascii_alphabetic() {
            self.letter(byte);
            return Met::More;
        }
        if ends_name(byte) && self.tag.name() == "script" {
            let level = if end { Level::Escaped } else { Level::Double };
            self.text = Text::Script { level, dashes: 0 };
            return self.go(State::Text);
        }
        self.again(byte)
    }
}

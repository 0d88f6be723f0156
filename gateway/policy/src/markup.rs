//! HTML on its way to a browser, given something for the forms that send to their own origin: streamed, byte for byte what it
//! was but for that. Rejected: lol_html, whose selectors are under a licence that `deny.toml` does not allow, and which
//! forms need no selectors.

use http::HeaderMap;
use url::Url;

mod head;
mod names;
mod page;
mod scan;
mod tag;
#[cfg(test)]
mod tests;

pub use head::Script;

use page::{Done, Named, Page};
use scan::{Met, Scanner};

/// Longest tag that is waited for, in bytes; the only thing that is held.
const HELD: usize = 16 << 10;

/// What is given, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Given {
    /// The address of the page: what is relative, and what is foreign.
    pub address: Url,
    /// XML, in which tags end and nest as they are written.
    pub xml: bool,
    /// Markup for the end of forms.
    pub form: String,
    /// Markup for the head; empty: none.
    pub head: String,
    /// A script for the head.
    pub script: Option<Script>,
}

impl Given {
    /// Adds the script to the head, if the header that the browser gets lets it run; false: it does not.
    pub fn settle(&mut self, headers: &HeaderMap) -> bool {
        let Some(script) = self.script.take() else {
            return true;
        };
        let tag = script.tag(headers, self.address.scheme());
        self.head.extend(tag.as_deref());
        tag.is_some()
    }
}

/// See the module.
#[derive(Debug)]
pub struct Rewriter {
    scanner: Scanner,
    page: Page,
    form: String,
    head: String,
    /// A tag from its `<`, while what is to be done is not known.
    held: Vec<u8>,
    /// Where the name of the held tag ends.
    name: usize,
    begun: bool,
    /// Bytes that no ASCII is a part of.
    wide: bool,
    /// Forms that were given something.
    count: u32,
}

impl Rewriter {
    /// Begins a page.
    #[must_use]
    pub fn new(given: Given) -> Self {
        Self {
            scanner: Scanner::new(given.xml),
            page: Page::new(
                given.address,
                given.xml,
                (!given.form.is_empty(), !given.head.is_empty()),
            ),
            form: given.form,
            head: given.head,
            held: Vec::new(),
            name: 0,
            begun: false,
            wide: false,
            count: 0,
        }
    }

    /// Forms that were given something so far.
    #[must_use]
    pub fn count(&self) -> u32 {
        self.count
    }

    /// The next piece, and what may go on. Holds the beginning of a tag, at most 16 KiB.
    pub fn push(&mut self, piece: &[u8], out: &mut Vec<u8>) {
        self.begin(piece);
        if self.wide {
            return out.extend_from_slice(piece);
        }
        // What lies between `from` and `at` goes on as it is, unless a tag is held.
        let (mut at, mut from) = (0, 0);
        let between = |from: usize, at: usize| piece.get(from..at).unwrap_or_default();
        while at < piece.len() {
            if self.held.is_empty() {
                at += self.scanner.skip(between(at, piece.len()));
            }
            let Some(byte) = piece.get(at).copied() else {
                break;
            };
            let holding = !self.held.is_empty();
            let met = self.scanner.feed(byte);
            if self.scanner.odd() {
                self.page.odd();
            }
            if met == Met::Named {
                // The byte comes again.
                if holding && self.named(out) {
                    from = at;
                }
                continue;
            }
            at += 1;
            if met == Met::Less {
                out.extend_from_slice(between(from, at - 1));
                out.append(&mut self.held);
                (self.name, from) = (0, at);
                self.held.push(byte);
                continue;
            }
            if holding {
                self.held.push(byte);
                from = at;
            }
            match met {
                Met::Tag => {
                    if !holding {
                        out.extend_from_slice(between(from, at));
                        from = at;
                    }
                    self.complete(out);
                }
                Met::Plain => out.append(&mut self.held),
                Met::More if self.held.len() > HELD => self.overlong(out),
                Met::More | Met::Less | Met::Named => {}
            }
        }
        if self.held.is_empty() {
            out.extend_from_slice(between(from, piece.len()));
        }
    }

    /// The first byte tells whether anything of it can be read.
    fn begin(&mut self, piece: &[u8]) {
        let first = piece.first().filter(|_| !self.begun).copied();
        if let Some(first) = first {
            self.begun = true;
            // The marks that UTF-16 begins with; what it says otherwise, its media type must say.
            self.wide = first == 0xfe || first == 0xff || first == 0;
        }
    }

    /// True: what was held has gone.
    fn named(&mut self, out: &mut Vec<u8>) -> bool {
        match self.page.named(self.scanner.tag()) {
            Named::Wait => {
                self.name = self.held.len();
                return false;
            }
            Named::Give => self.give(out),
            Named::Head => out.extend_from_slice(self.head.as_bytes()),
            Named::Pass => {}
        }
        out.append(&mut self.held);
        true
    }

    fn complete(&mut self, out: &mut Vec<u8>) {
        let (done, text) = self.page.complete(self.scanner.tag());
        self.scanner.read_as(text);
        match done {
            Done::Disarm(what) if !self.held.is_empty() => self.disarm(what, out),
            Done::Disarm(_) | Done::Pass => out.append(&mut self.held),
            Done::Head => {
                out.append(&mut self.held);
                out.extend_from_slice(self.head.as_bytes());
            }
        }
    }

    fn disarm(&mut self, what: &str, out: &mut Vec<u8>) {
        let (name, rest) = self
            .held
            .split_at_checked(self.name)
            .unwrap_or((&self.held, &[]));
        out.extend_from_slice(name);
        out.extend_from_slice(what.as_bytes());
        out.extend_from_slice(rest);
        self.held.clear();
    }

    fn overlong(&mut self, out: &mut Vec<u8>) {
        match self.page.overlong(self.scanner.tag()) {
            Some(what) if self.name > 0 => self.disarm(what, out),
            Some(_) | None => out.append(&mut self.held),
        }
    }

    fn give(&mut self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.form.as_bytes());
        self.count += 1;
    }

    /// The page is over.
    pub fn end(&mut self, out: &mut Vec<u8>) {
        out.append(&mut self.held);
        // A form that nothing closes goes on to the end.
        if !self.wide && self.scanner.in_text() && self.page.gives() {
            self.give(out);
        }
    }
}

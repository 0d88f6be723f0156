//! Which forms of a page are sent to the page's own origin by other means than GET, as far as tags alone tell: the form that
//! is open, the address that relative ones start from, buttons with an address of their own. Where a browser could see
//! another form than this file does, no form of the page is given anything any more: a token must not reach another host.

use smallvec::SmallVec;
use url::Url;

use super::names::{breaks_out, foils, is_island};
use super::scan::{SCRIPT, Text};
use super::tag::Tag;

/// Templates in templates.
const DEEPEST: usize = 16;
/// Forms whose names are remembered; others that have one are given nothing.
const MOST: usize = 256;

/// What is to be done at a tag whose name is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Named {
    /// Let it go.
    Pass,
    /// Wait for its end.
    Wait,
    /// What forms are given goes before it.
    Give,
    /// What heads are given goes before it.
    Head,
}

/// What is to be done at a tag that is complete.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Done {
    Pass,
    /// What heads are given goes after it.
    Head,
    /// It would send what a form was given elsewhere: this goes behind its name, where it counts before anything else.
    Disarm(&'static str),
}

/// Where something is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Target {
    Own,
    /// Own as long as relative addresses stay here.
    Relative,
    Foreign,
}

#[derive(Debug, Clone)]
struct Form {
    /// Gets something: it goes to the page's own origin, and not by GET.
    good: bool,
    relative: bool,
    id: Option<Vec<u8>>,
    /// Open tables and the like in it: a browser takes its end tag as no end then (HTML, 13.2.4.2).
    scopes: u32,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Page {
    xml: bool,
    address: Url,
    base: Option<Url>,
    form: Option<Form>,
    /// Those around open templates.
    around: SmallVec<[Option<Form>; 2]>,
    /// Open `svg` and `math`, and what may hold HTML again in them.
    foreign: u32,
    /// It is MathML.
    math: bool,
    islands: u32,
    select: bool,
    lost: bool,
    /// Some form was given something.
    some: bool,
    /// Names of forms that were given something.
    given: Vec<Vec<u8>>,
    relative_given: bool,
    /// Names of forms with a button that sends elsewhere.
    leaky: Vec<Vec<u8>>,
    head: bool,
}

impl Page {
    /// `forms`, `head`: whether they are given anything.
    pub(super) fn new(address: Url, xml: bool, (forms, head): (bool, bool)) -> Self {
        Self {
            xml,
            address,
            base: None,
            form: None,
            around: SmallVec::new(),
            foreign: 0,
            math: false,
            islands: 0,
            select: false,
            lost: !forms,
            some: false,
            given: Vec::new(),
            relative_given: false,
            leaky: Vec::new(),
            head,
        }
    }

    /// Gives nothing any more.
    pub(super) fn lose(&mut self) {
        self.lost = true;
        self.form = None;
    }

    /// Something that is read as text in SVG and MathML, and as a comment elsewhere.
    pub(super) fn odd(&mut self) {
        if self.xml || self.foreign > 0 {
            self.lose();
        }
    }

    /// A tag's name is known, its attributes are not.
    pub(super) fn named(&mut self, tag: &Tag) -> Named {
        match (tag.name(), tag.end) {
            // In lists some browsers pass over forms and their ends.
            ("form", _) if self.select => {
                self.lose();
                Named::Pass
            }
            ("form", true) if self.foreign == 0 => {
                if self.gives() {
                    Named::Give
                } else {
                    Named::Pass
                }
            }
            ("head", true) | ("body", false) if std::mem::take(&mut self.head) => Named::Head,
            ("base" | "button" | "input", false) => Named::Wait,
            _ => Named::Pass,
        }
    }

    /// Whether the form that is open, if one is, gets something now.
    pub(super) fn gives(&mut self) -> bool {
        let Some(form) = self.form.take() else {
            return false;
        };
        let named = form.id.as_ref();
        let leaky = named.is_some_and(|id| {
            self.leaky.contains(id) || self.given.len() >= MOST || id.contains(&b'&')
        });
        let gives = !self.lost && form.good && !leaky;
        // What follows may still belong to it.
        self.lost |= form.scopes > 0;
        if gives {
            self.some = true;
            self.given.extend(form.id);
            self.relative_given |= form.relative;
        }
        gives
    }

    /// A tag is complete: what is to be done, and how the text after it is read.
    pub(super) fn complete(&mut self, tag: &Tag) -> (Done, Text) {
        let name = tag.name();
        if tag.end {
            self.end(name);
            return (Done::Pass, Text::Data);
        }
        if self.foreign > 0 {
            return (self.inside(tag), Text::Data);
        }
        let done = match name {
            "form" => {
                self.begin(tag);
                Done::Pass
            }
            "button" | "input" => self.button(tag),
            "base" => self.base(tag),
            "head" if std::mem::take(&mut self.head) => Done::Head,
            "meta" => {
                let says = |name| tag.value(name).is_some_and(foils);
                if says("charset") || says("content") {
                    self.lose();
                }
                Done::Pass
            }
            "template" if !tag.closed || !self.xml => {
                if self.around.len() >= DEEPEST {
                    self.lose();
                }
                self.around.push(self.form.take());
                Done::Pass
            }
            "svg" | "math" if !tag.closed && !self.xml => {
                (self.foreign, self.math) = (1, name == "math");
                Done::Pass
            }
            _ => Done::Pass,
        };
        match name {
            "table" | "object" | "marquee" | "applet" => {
                self.form.iter_mut().for_each(|form| form.scopes += 1);
            }
            "select" => self.select = true,
            "input" | "textarea" => self.select = false,
            _ => {}
        }
        (done, self.text(name))
    }

    fn text(&mut self, name: &str) -> Text {
        if self.xml {
            return Text::Data;
        }
        let text = match name {
            "script" => return SCRIPT,
            "textarea" => return Text::Raw("textarea"),
            "title" => Text::Raw("title"),
            "style" => Text::Raw("style"),
            "xmp" => Text::Raw("xmp"),
            "iframe" => Text::Raw("iframe"),
            "noembed" => Text::Raw("noembed"),
            "noframes" => Text::Raw("noframes"),
            "noscript" => Text::Raw("noscript"),
            "plaintext" => Text::Plain,
            _ => return Text::Data,
        };
        // Some browsers pass over these tags in lists, and read what follows as markup.
        if self.select || name == "plaintext" {
            self.lose();
        }
        text
    }

    fn end(&mut self, name: &str) {
        match name {
            "form" if self.foreign > 0 => self.lose(),
            "form" => self.form = None,
            "template" if self.foreign == 0 => {
                if let Some(form) = self.around.pop() {
                    self.form = form;
                }
            }
            "select" => self.select = false,
            "table" | "object" | "marquee" | "applet" => {
                let form = self.form.iter_mut();
                form.for_each(|form| form.scopes = form.scopes.saturating_sub(1));
            }
            "svg" | "math" if self.foreign > 0 && (name == "math") != self.math => self.lose(),
            "svg" | "math" => {
                self.foreign = self.foreign.saturating_sub(1);
                if self.foreign == 0 {
                    self.islands = 0;
                }
            }
            name if self.foreign > 0 && is_island(name) => {
                self.islands = self.islands.saturating_sub(1)
            }
            _ => {}
        }
    }

    /// A tag in SVG or MathML, perhaps with HTML in it: whose end depends on what is open.
    fn inside(&mut self, tag: &Tag) -> Done {
        let mut done = Done::Pass;
        let name = tag.name();
        match name {
            "svg" | "math" if !tag.closed => {
                // Which of them an end tag ends depends on what is in them.
                if (name == "math") != self.math {
                    self.lose();
                }
                self.foreign += 1;
            }
            // HTML may be in there again, or not, and `font` ends it sometimes.
            "form" | "template" | "font" => self.lose(),
            "base" if self.relative_given => done = Done::Disarm(" href=\"\""),
            "base" => self.lose(),
            "button" | "input" if tag.value("formaction").is_some() => {
                self.lose();
                if self.some {
                    done = self.disarm(tag);
                }
            }
            "style" | "title" | "textarea" | "noscript" | "iframe" | "xmp" if self.islands > 0 => {
                self.lose()
            }
            _ if is_island(name) && !tag.closed => self.islands += 1,
            _ if self.islands == 0 && breaks_out(name) => {
                self.foreign = 0;
                if name == "table" {
                    self.form.iter_mut().for_each(|form| form.scopes += 1);
                }
                if matches!(self.text(name), Text::Data) {
                    return done;
                };
                self.lose();
            }
            _ => {}
        }
        done
    }

    fn begin(&mut self, tag: &Tag) {
        // In HTML a form in a form is none.
        if self.form.is_some() {
            // In XML and in templates it is one.
            if self.xml || !self.around.is_empty() {
                self.lose();
            }
            return;
        }
        let method = tag.value("method").unwrap_or_default();
        let target = self.target(tag.value("action"));
        self.form = Some(Form {
            good: method.eq_ignore_ascii_case(b"post") && target != Target::Foreign,
            relative: target == Target::Relative,
            scopes: 0,
            id: tag
                .value("id")
                .filter(|id| !id.is_empty())
                .map(<[u8]>::to_vec),
        });
        if tag.closed && self.xml {
            self.form = None;
        }
    }

    fn button(&mut self, tag: &Tag) -> Done {
        let Some(action) = tag.value("formaction").filter(|action| !action.is_empty()) else {
            return Done::Pass;
        };
        let relative = match self.target(Some(action)) {
            Target::Foreign => false,
            Target::Own | Target::Relative => true,
        };
        let owner = tag.value("form");
        if relative {
            // Another base that comes later would send it elsewhere.
            match owner {
                Some(_) => self.relative_given = true,
                None => self.form.iter_mut().for_each(|form| form.relative = true),
            }
            return Done::Pass;
        }
        self.form.iter_mut().for_each(|form| form.good = false);
        let Some(owner) = owner else {
            // Whose it is depends on what the browser holds for open.
            return if self.some {
                self.disarm(tag)
            } else {
                Done::Pass
            };
        };
        if self.some && !self.around.is_empty() {
            // In templates its form is the one around it, whatever it names.
            return self.disarm(tag);
        }
        if owner.contains(&b'&') || self.leaky.len() >= MOST {
            self.lose();
            return if self.some {
                self.disarm(tag)
            } else {
                Done::Pass
            };
        }
        self.leaky.push(owner.to_vec());
        if self.given.iter().any(|id| id == owner) {
            self.disarm(tag)
        } else {
            Done::Pass
        }
    }

    fn disarm(&self, tag: &Tag) -> Done {
        match tag.value("disabled") {
            Some(_) => Done::Pass,
            None => Done::Disarm(" disabled=\"disabled\""),
        }
    }

    fn base(&mut self, tag: &Tag) -> Done {
        let Some(href) = tag.value("href").filter(|_| self.base.is_none()) else {
            return Done::Pass;
        };
        let base = resolved(&self.address, href);
        let own = base.as_ref().is_some_and(|base| self.is_own(base));
        if own || !self.relative_given {
            if !own {
                // Also of what is open already: addresses are resolved when a form is sent.
                let open = self.around.iter_mut().chain([&mut self.form]).flatten();
                open.for_each(|form| form.good &= !form.relative);
            }
            // One that cannot be told leads nowhere.
            self.base = base.or_else(|| Url::parse("about:blank").ok());
            return Done::Pass;
        }
        Done::Disarm(" href=\"\"")
    }

    /// What goes behind the name of a tag that is too long to be read, and might lead elsewhere.
    pub(super) fn overlong(&mut self, tag: &Tag) -> Option<&'static str> {
        let given = self.some;
        self.lose();
        match tag.name() {
            _ if !given => None,
            "base" => Some(" href=\"\""),
            _ => Some(" disabled=\"disabled\""),
        }
    }

    fn is_own(&self, address: &Url) -> bool {
        let same =
            address.scheme() == self.address.scheme() && address.host() == self.address.host();
        same && address.port_or_known_default() == self.address.port_or_known_default()
    }

    /// HTML, 4.10.21.3: an empty action is the page's own address, whatever the base.
    fn target(&self, action: Option<&[u8]>) -> Target {
        let Some(action) = action.filter(|action| !action.is_empty()) else {
            return Target::Own;
        };
        let base = self.base.as_ref().unwrap_or(&self.address);
        match resolved(base, action) {
            Some(address) if self.is_own(&address) => Target::Relative,
            Some(_) | None => Target::Foreign,
        }
    }
}

/// An address in an attribute. Character references are read by nobody here: one before the query could lead anywhere.
fn resolved(base: &Url, written: &[u8]) -> Option<Url> {
    let path = written
        .split(|byte| matches!(byte, b'?' | b'#'))
        .next()
        .unwrap_or_default();
    if path.contains(&b'&') {
        return None;
    }
    base.join(&String::from_utf8_lossy(written)).ok()
}

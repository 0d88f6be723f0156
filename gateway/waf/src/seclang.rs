//! SecLang, the language of ModSecurity and the OWASP Core Rule Set, → the rule model. What is not supported is a
//! fault with its file and line: nothing is skipped in silence. Reads no disk: files come through [`Files`].

mod actions;
mod bodies;
mod ctl;
mod directive;
mod lexer;
mod operator;
mod rule;
mod said;
mod target;
mod xpath;

use std::sync::Arc;

pub use bodies::Bodies;
use rule::{Read, Reader};
use said::Skip;

use crate::{
    fault::Fault,
    operator::{pattern, pcre},
    outside::Settings,
    rule::{Effect, Origin, Reply, Rule, Words},
    text::{Names, Own},
    transform::Transform,
    variable::{DYNAMIC, Target},
};

/// A file of SecLang.
#[derive(Clone, Copy, Debug)]
pub struct Source<'a> {
    /// Named in faults, and what relative paths inside it are relative to.
    pub name: &'a str,
    /// What it holds.
    pub text: &'a str,
}

/// Where files named by rules come from.
pub trait Files {
    /// The file that `from` calls `path`: phrase lists, networks, included rules.
    ///
    /// # Errors
    /// Why it cannot be read.
    fn read(&self, from: &str, path: &str) -> Result<String, String>;

    /// The files that `from` calls `pattern`, in order of their names, each as [`Files::read`] takes it when `from` is
    /// empty. Nothing that fits is an empty list, also without wildcards.
    ///
    /// # Errors
    /// Why they cannot be listed.
    fn list(&self, from: &str, pattern: &str) -> Result<Vec<String>, String>;
}

/// For rules that name no files.
pub struct NoFiles;

impl Files for NoFiles {
    fn read(&self, _from: &str, path: &str) -> Result<String, String> {
        Err(format!("{path}: there are no files here"))
    }

    fn list(&self, _from: &str, pattern: &str) -> Result<Vec<String>, String> {
        Err(format!("{pattern}: there are no files here"))
    }
}

/// What SecRuleEngine says.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum Engine {
    /// Nothing, or `On`.
    #[default]
    On,
    /// Rules are evaluated; nothing is refused.
    DetectionOnly,
    /// Rules are not evaluated.
    Off,
}

/// What SecDefaultAction says about a phase.
#[derive(Clone, Debug)]
struct Defaults {
    effect: Effect,
    log: bool,
    pipeline: Vec<Transform>,
    reply: Option<Box<Reply>>,
}

impl Default for Defaults {
    fn default() -> Self {
        Self {
            effect: Effect::Pass,
            log: true,
            pipeline: Vec::new(),
            reply: None,
        }
    }
}

/// Reads sources one after the other: default actions, markers and changes to rules reach across files.
pub(crate) struct Loader<'a> {
    pub(crate) names: Names,
    pub(crate) engine: Engine,
    pub(crate) settings: Settings,
    pub(crate) bodies: Bodies,
    /// What was read but works otherwise than it seems.
    pub(crate) warnings: Vec<Fault>,
    files: &'a dyn Files,
    defaults: [Defaults; 5],
    open: Option<Read>,
    /// The chain under way is broken: its further links are not read.
    broken: bool,
    /// Sections of a server's configuration that are open; false: not for us, passed over.
    sections: Vec<bool>,
    /// Rules that jump: their place, where to.
    jumps: Vec<(usize, Skip)>,
    /// Markers: the place of the rule after each.
    markers: Vec<(String, usize)>,
    /// Included files not yet left: a file may not include itself.
    depth: usize,
}

impl<'a> Loader<'a> {
    pub(crate) fn new(files: &'a dyn Files) -> Self {
        Self {
            names: Names::default(),
            engine: Engine::On,
            settings: Settings::default(),
            bodies: Bodies::default(),
            warnings: Vec::new(),
            files,
            defaults: Default::default(),
            open: None,
            broken: false,
            sections: Vec::new(),
            jumps: Vec::new(),
            markers: Vec::new(),
            depth: 0,
        }
    }

    pub(crate) fn read(
        &mut self,
        source: &Source<'_>,
        rules: &mut Vec<Rule>,
        faults: &mut Vec<Fault>,
    ) {
        let name: Arc<str> = source.name.into();
        let origin = |line| Origin {
            source: Arc::clone(&name),
            line: Some(line),
            path: String::new(),
        };
        let outer = std::mem::take(&mut self.sections);
        for directive in lexer::directives(source.text) {
            let (line, done) = match directive {
                Ok(directive) => (
                    directive.line,
                    self.directive(&directive, &origin(directive.line), rules, faults),
                ),
                Err((line, message)) => (line, Err(message)),
            };
            if let Err(message) = done {
                self.open = None;
                faults.push(at(&origin(line), message));
            }
        }
        if !self.sections.is_empty() {
            faults.push(at(&origin(1), "a section is not closed".to_owned()));
        }
        self.sections = outer;
        self.broken = false;
        self.close(rules);
    }

    /// Resolves what needs every rule, once every source is read.
    pub(crate) fn finish(&mut self, rules: &mut [Rule], faults: &mut Vec<Fault>) {
        for (at, skip) in self.jumps.drain(..) {
            let phase = rules.get(at).and_then(|rule| rule.phase);
            let to = match &skip {
                Skip::After(marker) => {
                    let mut later = self.markers.iter().filter(|(_, place)| *place > at);
                    later
                        .find(|(name, _)| name == marker)
                        .map(|(_, place)| *place)
                }
                // Rules taken away count no more.
                Skip::Rules(count) => {
                    let own = |rule: &Rule| rule.phase == phase && !rule.links.is_empty();
                    let later = rules
                        .iter()
                        .enumerate()
                        .skip(at + 1)
                        .filter(|(_, rule)| own(rule));
                    later
                        .map(|(place, _)| place + 1)
                        .nth(count - 1)
                        .or(Some(rules.len()))
                }
            };
            let Some(rule) = rules.get_mut(at) else {
                continue;
            };
            rule.skip_to = to.and_then(|place| u32::try_from(place).ok());
            if let (None, Skip::After(marker)) = (rule.skip_to, &skip) {
                let message = format!("no marker {marker} follows");
                faults.push(rule.origin.fault(rule.id, "", message));
            }
        }
        for rule in rules {
            let words = [Own::Id, Own::Msg, Own::Severity, Own::Data, Own::Rev]
                .map(|own| (own, rule.words(own)));
            for text in rule.texts_mut() {
                text.settle(|asked| {
                    let known = words.iter().find(|(own, _)| *own == asked);
                    known.map(|(_, text)| text.clone()).unwrap_or_default()
                });
            }
        }
    }

    fn sec_rule(
        &mut self,
        origin: &Origin,
        (variables, operator, actions): (&str, &str, &str),
        rules: &mut Vec<Rule>,
    ) -> Result<(), String> {
        let chain = actions::split(actions)
            .is_ok_and(|items| items.iter().any(|item| item.name == "chain"));
        if std::mem::replace(&mut self.broken, chain) && self.open.is_none() {
            return Ok(());
        }
        let Some(mut read) = self.open.take() else {
            self.begin(origin, Some((variables, operator)), actions, rules)?;
            self.broken = false;
            return Ok(());
        };
        self.reading(origin, |reader| {
            reader.further(&mut read, (variables, operator), actions)
        })?;
        self.broken = false;
        self.open = Some(read);
        self.close_unless_chained(rules);
        Ok(())
    }

    fn begin(
        &mut self,
        origin: &Origin,
        condition: Option<(&str, &str)>,
        actions: &str,
        rules: &mut Vec<Rule>,
    ) -> Result<(), String> {
        let read = self.reading(origin, |reader| {
            reader.first(origin.clone(), condition, actions)
        })?;
        self.open = Some(read);
        self.close_unless_chained(rules);
        Ok(())
    }

    /// Lends everything that rules are read with; what reading warns of gets its place.
    fn reading<T>(&mut self, origin: &Origin, read: impl FnOnce(&mut Reader<'_>) -> T) -> T {
        let mut warnings = Vec::new();
        let mut reader = Reader {
            names: &mut self.names,
            files: self.files,
            defaults: &self.defaults,
            source: &origin.source,
            warnings: &mut warnings,
        };
        let done = read(&mut reader);
        self.warnings
            .extend(warnings.into_iter().map(|message| at(origin, message)));
        done
    }

    fn close_unless_chained(&mut self, rules: &mut Vec<Rule>) {
        if self.open.as_ref().is_some_and(|read| !read.chain) {
            self.close(rules);
        }
    }

    fn close(&mut self, rules: &mut Vec<Rule>) {
        if let Some(read) = self.open.take() {
            self.jumps.extend(read.skip.map(|skip| (rules.len(), skip)));
            rules.push(read.rule);
        }
    }
}

fn at(origin: &Origin, message: String) -> Fault {
    Fault {
        rule: None,
        ..origin.fault(0, "", message)
    }
}

/// A tag or message as directives and `ctl` name them: a pattern, as in ModSecurity 2, where it cannot be a plain text.
fn which(text: &str) -> Result<Words, String> {
    let text = text.trim_matches('\'');
    if text.contains(['*', '+', '[', '(', '|', '^', '$', '\\']) {
        let pattern = pattern::selector(&pcre::translate(text))?;
        return Ok(Words::Pattern(Box::new(pattern)));
    }
    Ok(Words::Exact(text.into()))
}

/// A value as SecLang names it, for an exclusion: something that a request or an answer holds.
pub(crate) fn exclusion(text: &str) -> Option<Target> {
    let target = target::target(text, &mut Names::default()).ok()?;
    (!target.count && !target.variables.intersects(DYNAMIC)).then_some(target)
}

fn engine(text: &str) -> Result<Engine, String> {
    Ok(match text.to_ascii_lowercase().as_str() {
        "on" => Engine::On,
        "detectiononly" => Engine::DetectionOnly,
        "off" => Engine::Off,
        _ => {
            return Err(format!(
                "SecRuleEngine is On, Off or DetectionOnly, not {text}"
            ));
        }
    })
}

//! SecLang, the language of ModSecurity and the OWASP Core Rule Set, → the rule model. What is not supported is a
//! fault with its file and line: nothing is skipped in silence. Reads no disk: files come through [`Files`].

mod actions;
mod lexer;
mod operator;
mod pcre;
mod rule;
mod target;

use std::sync::Arc;

use lexer::Directive;
use rule::{Read, Reader};

use crate::{
    fault::Fault,
    rule::{Effect, Origin, Rule, Which},
    text::Names,
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
}

impl Default for Defaults {
    fn default() -> Self {
        Self {
            effect: Effect::Pass,
            log: true,
            pipeline: Vec::new(),
        }
    }
}

/// Reads sources one after the other: default actions, markers and changes to rules reach across files.
pub(crate) struct Loader<'a> {
    pub(crate) names: Names,
    pub(crate) engine: Engine,
    files: &'a dyn Files,
    defaults: [Defaults; 5],
    open: Option<Read>,
    /// Rules that jump: their place, the marker.
    jumps: Vec<(usize, String)>,
    /// Markers: the place of the rule after each.
    markers: Vec<(String, usize)>,
    /// Included files not yet left: a file may not include itself.
    depth: usize,
}

/// Files included by included files.
const MAX_DEPTH: usize = 8;

/// Directives that concern what the gateway's own settings govern: bodies, logs, storage, limits.
const GOVERNED: &[&str] = &[
    "seccomponentsignature",
    "secrequestbodyaccess",
    "secresponsebodyaccess",
    "secrequestbodylimit",
    "secrequestbodynofileslimit",
    "secrequestbodyinmemorylimit",
    "secrequestbodylimitaction",
    "secrequestbodyjsondepthlimit",
    "secargumentslimit",
    "secresponsebodylimit",
    "secresponsebodylimitaction",
    "secresponsebodymimetype",
    "secpcrematchlimit",
    "secpcrematchlimitrecursion",
    "sectmpdir",
    "secdatadir",
    "secuploaddir",
    "secuploadkeepfiles",
    "secuploadfilemode",
    "secuploadfilelimit",
    "sectmpsaveuploadedfiles",
    "secauditengine",
    "secauditlog",
    "secauditlog2",
    "secauditlogtype",
    "secauditlogparts",
    "secauditlogformat",
    "secauditlogrelevantstatus",
    "secauditlogstoragedir",
    "secauditlogdirmode",
    "secauditlogfilemode",
    "secdebuglog",
    "secdebugloglevel",
    "secargumentseparator",
    "seccookieformat",
    "secunicodemapfile",
    "secstatusengine",
    "seccollectiontimeout",
    "secserversignature",
    "secwebappid",
    "secgeolookupdb",
    "seccontentinjection",
];

impl<'a> Loader<'a> {
    pub(crate) fn new(files: &'a dyn Files) -> Self {
        Self {
            names: Names::default(),
            engine: Engine::On,
            files,
            defaults: Default::default(),
            open: None,
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
        for directive in lexer::directives(source.text) {
            let (line, done) = match directive {
                Ok(directive) => (
                    directive.line,
                    self.directive(&directive, &origin(directive.line), rules, faults),
                ),
                Err((line, message)) => (line, Err(message)),
            };
            if let Err(message) = done {
                // A broken link would make the next SecRule a rule of its own.
                self.open = None;
                faults.push(Fault {
                    rule: None,
                    ..origin(line).fault(0, "", message)
                });
            }
        }
        self.close(rules);
    }

    /// Resolves jumps once every source is read.
    pub(crate) fn finish(&mut self, rules: &mut [Rule], faults: &mut Vec<Fault>) {
        for (at, marker) in self.jumps.drain(..) {
            let to = self
                .markers
                .iter()
                .find(|(name, place)| *name == marker && *place > at);
            let Some(rule) = rules.get_mut(at) else {
                continue;
            };
            match to.and_then(|(_, place)| u32::try_from(*place).ok()) {
                Some(place) => rule.skip_to = Some(place),
                None => faults.push(rule.origin.fault(
                    rule.id,
                    "",
                    format!("no marker {marker} follows"),
                )),
            }
        }
    }

    fn directive(
        &mut self,
        directive: &Directive,
        origin: &Origin,
        rules: &mut Vec<Rule>,
        faults: &mut Vec<Fault>,
    ) -> Result<(), String> {
        let argument = |at: usize| directive.arguments.get(at).map_or("", String::as_str);
        let name = directive.name.to_ascii_lowercase();
        if name != "secrule" {
            self.close(rules);
        }
        match name.as_str() {
            "secrule" => self.sec_rule(origin, argument(0), argument(1), argument(2), rules)?,
            "secaction" => self.begin(origin, None, argument(0), rules)?,
            "secmarker" => self.markers.push((argument(0).to_owned(), rules.len())),
            "secdefaultaction" => {
                let (phase, defaults) = rule::defaults(argument(0))?;
                if let Some(place) = self.defaults.get_mut(phase as usize) {
                    *place = defaults;
                }
            }
            "secruleengine" => self.engine = engine(argument(0))?,
            "secruleremovebyid" => self.remove(&Which::Ids(ids(&directive.arguments)?), rules),
            "secruleremovebytag" => self.remove(&Which::Tag(argument(0).into()), rules),
            "secruleremovebymsg" => self.remove(&Which::Msg(argument(0).into()), rules),
            "secruleupdatetargetbyid" => self.update_target(
                &Which::Ids(vec![rule::id_range(argument(0))?]),
                argument(1),
                rules,
            )?,
            "secruleupdatetargetbytag" => {
                self.update_target(&Which::Tag(argument(0).into()), argument(1), rules)?
            }
            "secruleupdatetargetbymsg" => {
                self.update_target(&Which::Msg(argument(0).into()), argument(1), rules)?
            }
            "include" => self.include(origin, argument(0), false, rules, faults)?,
            "includeoptional" => self.include(origin, argument(0), true, rules, faults)?,
            _ if GOVERNED.contains(&name.as_str()) => {}
            _ => return Err(format!("the directive {} is not supported", directive.name)),
        }
        Ok(())
    }

    fn sec_rule(
        &mut self,
        origin: &Origin,
        variables: &str,
        operator: &str,
        actions: &str,
        rules: &mut Vec<Rule>,
    ) -> Result<(), String> {
        let Some(mut read) = self.open.take() else {
            return self.begin(origin, Some((variables, operator)), actions, rules);
        };
        let mut reader = Reader {
            names: &mut self.names,
            files: self.files,
            defaults: &self.defaults,
            source: &origin.source,
        };
        reader.further(&mut read, (variables, operator), actions)?;
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
        let mut reader = Reader {
            names: &mut self.names,
            files: self.files,
            defaults: &self.defaults,
            source: &origin.source,
        };
        self.open = Some(reader.first(origin.clone(), condition, actions)?);
        self.close_unless_chained(rules);
        Ok(())
    }

    fn close_unless_chained(&mut self, rules: &mut Vec<Rule>) {
        if self.open.as_ref().is_some_and(|read| !read.chain) {
            self.close(rules);
        }
    }

    fn close(&mut self, rules: &mut Vec<Rule>) {
        if let Some(read) = self.open.take() {
            self.jumps
                .extend(read.skip_after.map(|marker| (rules.len(), marker)));
            rules.push(read.rule);
        }
    }

    /// Takes rules away. Their places stay: markers and jumps count on them.
    fn remove(&self, which: &Which, rules: &mut [Rule]) {
        for rule in rules.iter_mut().filter(|rule| which.takes(rule)) {
            rule.links.clear();
        }
    }

    fn update_target(
        &mut self,
        which: &Which,
        text: &str,
        rules: &mut [Rule],
    ) -> Result<(), String> {
        let (include, except) = target::targets(text, &mut self.names)?;
        for link in rules
            .iter_mut()
            .filter(|rule| which.takes(rule))
            .filter_map(|rule| rule.links.first_mut())
        {
            link.targets.extend(include.iter().cloned());
            link.except.extend(except.iter().cloned());
        }
        Ok(())
    }

    fn include(
        &mut self,
        origin: &Origin,
        pattern: &str,
        optional: bool,
        rules: &mut Vec<Rule>,
        faults: &mut Vec<Fault>,
    ) -> Result<(), String> {
        if self.depth >= MAX_DEPTH {
            return Err(format!(
                "files include each other more than {MAX_DEPTH} deep"
            ));
        }
        let names = self.files.list(&origin.source, pattern)?;
        if names.is_empty() && !optional {
            return Err(format!("no file fits {pattern}"));
        }
        self.depth += 1;
        for name in names {
            let text = match self.files.read("", &name) {
                Ok(text) => text,
                Err(message) => {
                    faults.push(origin.fault(0, "", message));
                    continue;
                }
            };
            self.read(
                &Source {
                    name: &name,
                    text: &text,
                },
                rules,
                faults,
            );
        }
        self.depth -= 1;
        Ok(())
    }
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

fn ids(arguments: &[String]) -> Result<Vec<(u32, u32)>, String> {
    let pieces = arguments.iter().flat_map(|text| text.split([' ', ',']));
    pieces
        .filter(|text| !text.is_empty())
        .map(rule::id_range)
        .collect()
}

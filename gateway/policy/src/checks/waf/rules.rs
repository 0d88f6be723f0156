//! From the files and the text that a `waf` check names to a compiled rule set; every fault with its file and line.

use std::sync::Arc;

use bytes::Bytes;
use serde::Deserialize as _;
use waf::native::{self, File};
use waf::{Options, Ruleset, Source, Tuning, seclang};

use super::disk::{Disk, text};
use super::kept::{Kept, Traced};
use crate::checks::geo;
use crate::context::Context;
use crate::fault::{Path, Step};
use crate::yaml::{Limits, Node, Place, de, parse};

/// Inline SecLang, as faults of the engine name it: no file can be called so.
const SETUP: &str = "`setup`";
const DIRECTIVES: &str = "`directives`";

/// What a rule set is made of. Two checks that want the same share one.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Wanted {
    /// Files and globs, in order.
    pub(super) files: Vec<String>,
    /// SecLang before the files.
    pub(super) setup: Option<String>,
    /// SecLang after them.
    pub(super) directives: Option<String>,
    /// What answers `@geoLookup`.
    pub(super) geo_database: Option<String>,
    /// Transaction variables that the policy fixes.
    pub(super) pins: Vec<(&'static str, String)>,
}

/// A rule set, and what of it is our own.
#[derive(Debug, Clone)]
pub(crate) struct Loaded {
    pub(super) rules: Arc<Ruleset>,
    /// Some rule is of our own format, with a score of its own.
    pub(super) native: bool,
}

/// One file of rules, read.
struct Part {
    /// Position in `rules:`.
    index: usize,
    name: String,
    what: What,
}

enum What {
    Native(Node, Box<File>),
    SecLang(String),
}

/// The rules of all files; `None` when a fault was reported, here or for an earlier check that wanted the same.
pub(super) fn load(context: &mut Context<'_>, wanted: &Wanted) -> Option<Loaded> {
    if let Some(known) = context.rulesets.get(wanted) {
        return known.as_ref().map(|kept| kept.loaded.clone());
    }
    let kept = again(context, wanted).or_else(|| fresh(context, wanted));
    let loaded = kept.as_ref().map(|kept| kept.loaded.clone());
    context.rulesets.insert(wanted.clone(), kept);
    loaded
}

/// The set that serves, when its files are what they were.
fn again(context: &mut Context<'_>, wanted: &Wanted) -> Option<Kept> {
    let kept = context.rulesets.before(wanted)?;
    if !kept.holds(context.sources) {
        return None;
    }
    for (below, message) in kept.warnings.iter() {
        let mut at = context.at.clone();
        at.0.extend(below.0.iter().cloned());
        context.warning(at, message.clone());
    }
    Some(kept)
}

fn fresh(context: &mut Context<'_>, wanted: &Wanted) -> Option<Kept> {
    let before = context.faults.len();
    let mut traced = Traced::new(&mut *context.sources);
    let mut inner = Context {
        at: context.at.clone(),
        sources: &mut traced,
        secrets: &mut *context.secrets,
        rulesets: &mut *context.rulesets,
        faults: &mut *context.faults,
        name: context.name,
        stable_id: context.stable_id,
        keys: context.keys,
        on_store_error: context.on_store_error,
        on_error: context.on_error,
        pages: context.pages,
        roles: context.roles,
        now: context.now,
    };
    let loaded = compile(&mut inner, wanted);
    let trace = traced.trace();
    let own = context.faults.iter().skip(before);
    let below = |path: &Path| path.0.strip_prefix(&*context.at.0).map(|steps| Path(steps.to_vec()));
    let warnings = own.filter_map(|fault| Some((below(&fault.path)?, fault.message.clone()))).collect();
    Some(Kept { loaded: loaded?, trace, warnings })
}

fn compile(context: &mut Context<'_>, wanted: &Wanted) -> Option<Loaded> {
    let before = context.faults.len();
    let parts = parts(context, &wanted.files);
    let mut sources: Vec<Source<'_>> = Vec::new();
    sources.extend(wanted.setup.as_ref().map(|text| seclang_source(SETUP, text)));
    sources.extend(parts.iter().map(Part::source));
    sources.extend(wanted.directives.as_ref().map(|text| seclang_source(DIRECTIVES, text)));
    let pins: Vec<waf::Pin<'_>> = wanted.pins.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let disk = Disk::new(context.sources);
    let made = Ruleset::load_with(&sources, &disk, &pins);
    let included = disk.included();
    match made {
        // What is missing was reported; what there is may still be sound.
        Ok(_) if context.failed_since(before) => None,
        Ok(mut rules) => {
            if let Some(file) = &wanted.geo_database {
                rules.set_geography(Arc::new(geo::atlas(context, "geo_database", file)?));
                if !rules.locates() {
                    context.warning(context.at.key("geo_database"), "no rule asks where a client is");
                }
            }
            for warning in rules.warnings().into_iter().chain(rules.always_refuses()) {
                let (at, message) = located(&context.at, &parts, &included, &warning);
                context.warning(at, message);
            }
            let native = parts.iter().any(|part| matches!(part.what, What::Native(..)));
            Some(Loaded { rules: Arc::new(rules), native })
        }
        Err(faults) => {
            for fault in faults {
                let (at, message) = located(&context.at, &parts, &included, &fault);
                context.error(at, message);
            }
            None
        }
    }
}

fn seclang_source<'a>(name: &'a str, text: &'a str) -> Source<'a> {
    Source::SecLang(seclang::Source { name, text })
}

/// Every file that can be read.
fn parts(context: &mut Context<'_>, patterns: &[String]) -> Vec<Part> {
    let mut parts = Vec::<Part>::new();
    if patterns.is_empty() {
        context.error(context.at.key("rules"), "name at least one file of rules");
    }
    for (index, pattern) in patterns.iter().enumerate() {
        let at = context.at.key("rules").index(index);
        for name in context.files(&at, pattern) {
            if parts.iter().any(|part| part.name == name) {
                context.error(at.clone(), format!("{name} is named twice"));
                continue;
            }
            let what = if is_yaml(&name) {
                document(context, &at, &name)
            } else {
                plain(context, &at, &name).map(What::SecLang)
            };
            parts.extend(what.map(|what| Part { index, name, what }));
        }
    }
    parts
}

fn plain(context: &mut Context<'_>, at: &Path, name: &str) -> Option<String> {
    let bytes = context.read(at.clone(), name)?;
    match text(name, &bytes) {
        Ok(text) => Some(text),
        Err(why) => {
            context.error(at.clone(), why);
            None
        }
    }
}

/// Threshold, switched-off rules and exclusions, resolved; `None` when a fault was reported.
pub(super) fn tune(context: &mut Context<'_>, rules: &Ruleset, options: &Options) -> Option<Tuning> {
    match rules.tune(options) {
        Ok(tuning) => Some(tuning),
        Err(faults) => {
            for fault in faults {
                // The engine's words for these keys, and the policy's.
                let path = match fault.path.split_once('[') {
                    Some(("disabled", rest)) => format!("disable[{rest}"),
                    Some(("disabled_tags", rest)) => format!("disable_tags[{rest}"),
                    Some(("exclusions", rest)) => format!("exclude[{rest}"),
                    Some(_) | None => fault.path,
                };
                let mut at = context.at.clone();
                at.0.extend(steps(&path).0);
                context.error(at, fault.message);
            }
            None
        }
    }
}

impl Part {
    fn source(&self) -> Source<'_> {
        let name = &self.name;
        match &self.what {
            What::Native(_, file) => Source::Native(native::Source { name, file }),
            What::SecLang(text) => seclang_source(name, text),
        }
    }
}

fn document(context: &mut Context<'_>, at: &Path, name: &str) -> Option<What> {
    let bytes: Bytes = context.read(at.clone(), name)?;
    let (documents, mut faults) = parse::documents(&bytes, 0, Limits::default());
    let mut documents = documents.into_iter();
    let (first, second) = (documents.next(), documents.next());
    let mut file = None;
    match (&first, second) {
        (Some(node), None) => {
            file = de::read(node, &Path::default(), &mut faults, &[], |reader| File::deserialize(reader));
        }
        (Some(_), Some(second)) => {
            let message = place(name, second.place, "a file of rules holds one document");
            context.error(at.clone(), message);
        }
        (None, _) if faults.is_empty() => context.error(at.clone(), format!("{name} is empty")),
        (None, _) => {}
    }
    let failed = !faults.is_empty();
    for fault in faults {
        let message = match fault.path.0.is_empty() {
            true => fault.message,
            false => format!("{}: {}", fault.path, fault.message),
        };
        context.error(at.clone(), place(name, fault.place, &message));
    }
    Some(What::Native(first?, Box::new(file.filter(|_| !failed)?)))
}

fn is_yaml(name: &str) -> bool {
    name.ends_with(".yaml") || name.ends_with(".yml")
}

/// Where in the policy a fault belongs, and what to say: the engine knows the file and the line, or the path inside a
/// document, whose line the document knows.
fn located(check: &Path, parts: &[Part], included: &[(String, String)], fault: &waf::Fault) -> (Path, String) {
    let rule = fault.rule.filter(|id| *id > 0).map(|id| format!("rule {id}: ")).unwrap_or_default();
    let root = root(included, &fault.source);
    let inline = match root {
        SETUP => Some("setup"),
        DIRECTIVES => Some("directives"),
        _ => None,
    };
    let part = parts.iter().find(|part| part.name == root);
    let at = match (inline, part) {
        (Some(key), _) => check.key(key),
        (None, Some(part)) => check.key("rules").index(part.index),
        (None, None) => check.key("rules"),
    };
    let line = fault.line.unwrap_or_default();
    let message = match part.map(|part| &part.what) {
        Some(What::Native(node, _)) if root == fault.source => {
            let (at, _) = node.locate(&steps(&fault.path));
            let path = if fault.path.is_empty() { String::new() } else { format!("{}: ", fault.path) };
            place(root, at, &format!("{path}{rule}{}", fault.message))
        }
        _ if inline.is_some() && root == fault.source => format!("line {line} of it: {rule}{}", fault.message),
        _ if fault.source.is_empty() => format!("{rule}{}", fault.message),
        _ => format!("{}:{line}: {rule}{}", fault.source, fault.message),
    };
    (at, message)
}

/// The file of the policy that brought a file in, over however many inclusions.
fn root<'a>(included: &'a [(String, String)], name: &'a str) -> &'a str {
    let mut root = name;
    // A circle of inclusions ends with a fault of its own.
    for _ in 0..included.len() {
        match included.iter().find(|(child, _)| child == root) {
            Some((_, parent)) => root = parent,
            None => break,
        }
    }
    root
}

fn place(file: &str, at: Place, message: &str) -> String {
    format!("{file}:{}:{}: {message}", at.line, at.column)
}

/// `rules[3].any[0].regex` as a path.
fn steps(text: &str) -> Path {
    let parts = text.split(['.', '[', ']']).filter(|part| !part.is_empty());
    Path(
        parts
            .map(|part| match part.parse() {
                Ok(index) => Step::Index(index),
                Err(_) => Step::Key(part.to_owned()),
            })
            .collect(),
    )
}

//! From the files that a `waf` check names to a compiled rule set; every fault with its file, line and column.

use bytes::Bytes;
use serde::Deserialize as _;
use waf::native::{File, Source};
use waf::{Options, Ruleset, Tuning};

use crate::context::Context;
use crate::fault::{Path, Step};
use crate::yaml::{Limits, Node, Place, de, parse};

/// One file, read.
struct Document {
    name: String,
    node: Node,
    file: File,
}

/// The rules of all files; `None` when a fault was reported.
pub(super) fn load(context: &mut Context<'_>, patterns: &[String]) -> Option<Ruleset> {
    let before = context.faults.len();
    let mut documents = Vec::<Document>::new();
    if patterns.is_empty() {
        context.error(context.at.key("rules"), "name at least one file of rules");
    }
    for (index, pattern) in patterns.iter().enumerate() {
        let at = context.at.key("rules").index(index);
        for name in context.files(&at, pattern) {
            if documents.iter().any(|document| document.name == name) {
                context.error(at.clone(), format!("{name} is named twice"));
                continue;
            }
            documents.extend(document(context, &at, name));
        }
    }
    if context.failed_since(before) {
        return None;
    }
    let sources: Vec<_> = documents.iter().map(Document::source).collect();
    match Ruleset::compile(&sources) {
        Ok(rules) => Some(rules),
        Err(faults) => {
            for fault in faults {
                let message = located(&documents, &fault);
                context.error(context.at.key("rules"), message);
            }
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

impl Document {
    fn source(&self) -> Source<'_> {
        Source { name: &self.name, file: &self.file }
    }
}

fn document(context: &mut Context<'_>, at: &Path, name: String) -> Option<Document> {
    if !is_yaml(&name) {
        let message = format!("{name} is not .yaml: SecLang rules are not supported yet");
        context.error(at.clone(), message);
        return None;
    }
    let bytes: Bytes = context.read(at.clone(), &name)?;
    let (documents, mut faults) = parse::documents(&bytes, 0, Limits::default());
    let mut documents = documents.into_iter();
    let (first, second) = (documents.next(), documents.next());
    let mut file = None;
    match (&first, second) {
        (Some(node), None) => {
            file = de::read(node, &Path::default(), &mut faults, &[], |reader| File::deserialize(reader));
        }
        (Some(_), Some(second)) => {
            let message = place(&name, second.place, "a file of rules holds one document");
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
        context.error(at.clone(), place(&name, fault.place, &message));
    }
    Some(Document { name, node: first?, file: file.filter(|_| !failed)? })
}

fn is_yaml(name: &str) -> bool {
    name.ends_with(".yaml") || name.ends_with(".yml")
}

/// The engine knows the path inside a document; the document knows the line.
fn located(documents: &[Document], fault: &waf::Fault) -> String {
    let Some(document) = documents.iter().find(|document| document.name == fault.source) else {
        return fault.to_string();
    };
    let (at, _) = document.node.locate(&steps(&fault.path));
    let rule = fault.rule.map(|id| format!("rule {id}: ")).unwrap_or_default();
    let path = if fault.path.is_empty() { String::new() } else { format!("{}: ", fault.path) };
    place(&document.name, at, &format!("{path}{rule}{}", fault.message))
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

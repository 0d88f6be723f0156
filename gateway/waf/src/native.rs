//! Our own rules as typed values → the rule model. Reading YAML, with lines and columns, is the caller's: faults
//! name the place inside the document (`rules[3].any[0].regex`).

mod spec;

use std::sync::Arc;

pub use spec::{Action, File, Injection, Source, Spec, Test};

use crate::{
    fault::Fault,
    operator::{Comparison, Operator, Pattern, Phrases, Relation, network, pattern},
    rule::{self, Effect, Link, Origin, Rule},
    transform::Transform,
    variable::{DYNAMIC, NATIVE, Selector, Target},
};

/// A pipeline is a path in a trie that every value walks.
const MAX_PIPELINE: usize = 16;
/// A single match may not outweigh any threshold one would set.
const MAX_SCORE: u32 = 1000;

/// Reads one source; what is wrong goes to `faults`.
pub(crate) fn read(source: &Source<'_>, rules: &mut Vec<Rule>, faults: &mut Vec<Fault>) {
    let name: Arc<str> = source.name.into();
    for (at, spec) in source.file.rules.iter().enumerate() {
        let origin = Origin {
            source: Arc::clone(&name),
            line: None,
            path: format!("rules[{at}]"),
        };
        let mut reader = Reader {
            origin: &origin,
            id: spec.id,
            faults,
        };
        let rule = reader.rule(spec);
        rules.extend(rule);
    }
}

/// A target as rules and exclusions write it: `path`, `header:user-agent`, `args:/^csrf/`.
pub(crate) fn target(text: &str) -> Result<Target, String> {
    let (name, member) = match text.split_once(':') {
        Some((name, member)) => (name, Some(member)),
        None => (text, None),
    };
    let Some((_, variables)) = NATIVE.iter().find(|(known, _)| *known == name) else {
        let known: Vec<&str> = NATIVE.iter().map(|(known, _)| *known).collect();
        return Err(format!(
            "unknown target `{name}`; known are {}",
            known.join(", ")
        ));
    };
    let selector = match member {
        None => Selector::All,
        Some("") => return Err(format!("`{name}:` names nothing: give a name or /pattern/")),
        Some(member) => match member
            .strip_prefix('/')
            .and_then(|rest| rest.strip_suffix('/'))
        {
            Some(regex) => Selector::Pattern(Box::new(pattern::selector(regex)?)),
            None => Selector::Name(member.to_ascii_lowercase().into_bytes().into()),
        },
    };
    Ok(Target {
        variables: variables.without(DYNAMIC),
        selector,
        count: false,
        label: "",
        slot: None,
        slots: Box::default(),
    })
}

struct Reader<'a> {
    origin: &'a Origin,
    id: u32,
    faults: &'a mut Vec<Fault>,
}

impl Reader<'_> {
    fn fault(&mut self, path: &str, message: impl Into<String>) {
        self.faults
            .push(self.origin.fault(self.id, path, message.into()));
    }

    fn rule(&mut self, spec: &Spec) -> Option<Rule> {
        let before = self.faults.len();
        if spec.id == 0 {
            self.fault("id", "an id is a number from 1");
        }
        if spec.msg.trim().is_empty() {
            self.fault(
                "msg",
                "say what a match means: it is what an operator reads in the event",
            );
        }
        let link = self.link(spec);
        let effect = self.effect(spec);
        let complete = self.faults.len() == before;
        complete.then(|| Rule {
            id: spec.id,
            phase: None,
            origin: self.origin.clone(),
            msg: spec.msg.as_str().into(),
            message: None,
            data: None,
            severity: Some(spec.severity),
            level: None,
            rev: Arc::default(),
            tags: spec.tags.iter().map(|tag| tag.as_str().into()).collect(),
            effect,
            reply: None,
            log: true,
            links: vec![link],
            skip_to: None,
        })
    }

    fn effect(&mut self, spec: &Spec) -> Effect {
        let score = spec.score.unwrap_or_else(|| spec.severity.score());
        if spec.score.is_some() && spec.action != Action::Score {
            self.fault("score", "only `action: score` adds to the score");
        }
        if score > MAX_SCORE {
            self.fault("score", format!("at most {MAX_SCORE}"));
        }
        match spec.action {
            Action::Score => Effect::Score(score),
            Action::Deny => Effect::Deny,
            Action::Allow => Effect::Allow,
            Action::Log => Effect::Pass,
        }
    }

    fn link(&mut self, spec: &Spec) -> Link {
        if spec.targets.is_empty() {
            self.fault(
                "targets",
                "a rule looks at something: name at least one target",
            );
        }
        let targets = self.targets("targets", &spec.targets);
        let except = self.targets("except", &spec.except);
        let pipeline = self.pipeline(&spec.transform);
        let (all, key, tests) = match (&spec.any, &spec.all) {
            (Some(tests), None) => (false, "any", tests.as_slice()),
            (None, Some(tests)) => (true, "all", tests.as_slice()),
            _ => {
                self.fault("", "give either `any` or `all`");
                (false, "any", [].as_slice())
            }
        };
        if tests.is_empty() && spec.any.is_some() != spec.all.is_some() {
            self.fault(key, "at least one test");
        }
        let tests = tests
            .iter()
            .enumerate()
            .filter_map(|(at, test)| self.test(&format!("{key}[{at}]"), test));
        let tests = tests.collect();
        Link {
            targets,
            except,
            pipeline,
            tests,
            all,
            multi: false,
            capture: false,
            actions: Vec::new(),
        }
    }

    fn targets(&mut self, key: &str, texts: &[String]) -> Vec<Target> {
        let mut targets = Vec::new();
        for (at, text) in texts.iter().enumerate() {
            match target(text) {
                Ok(target) => targets.push(target),
                Err(message) => self.fault(&format!("{key}[{at}]"), message),
            }
        }
        targets
    }

    fn pipeline(&mut self, names: &[String]) -> Vec<Transform> {
        let mut pipeline = Vec::new();
        for (at, name) in names.iter().enumerate() {
            match Transform::from_name(name) {
                Some(Transform::None) => {}
                Some(transform) => pipeline.push(transform),
                None => self.fault(
                    &format!("transform[{at}]"),
                    format!("unknown transformation `{name}`"),
                ),
            }
        }
        if pipeline.len() > MAX_PIPELINE {
            self.fault("transform", format!("at most {MAX_PIPELINE}"));
            pipeline.clear();
        }
        pipeline
    }

    fn test(&mut self, path: &str, test: &Test) -> Option<rule::Test> {
        let made = match test {
            Test::Regex(text) => {
                Pattern::new(text).map(|pattern| Operator::Pattern(Box::new(pattern)))
            }
            Test::Phrases(words) if words.is_empty() || words.iter().any(String::is_empty) => {
                Err("a list of phrases, none of them empty".to_owned())
            }
            Test::Phrases(words) => Phrases::new(words)
                .map(|phrases| Operator::Phrases(Box::new(phrases)))
                .map_err(|error| error.to_string()),
            Test::Libinjection(Injection::Sqli) => Ok(Operator::Sqli),
            Test::Libinjection(Injection::Xss) => Ok(Operator::Xss),
            Test::Equals(text) => Ok(compare(Relation::Equals, text)),
            Test::Contains(text) => some(Relation::Contains, text),
            Test::StartsWith(text) => some(Relation::StartsWith, text),
            Test::EndsWith(text) => some(Relation::EndsWith, text),
            Test::LongerThan(length) => Ok(Operator::LongerThan(*length)),
            Test::IpIn(networks) => networks
                .iter()
                .map(|text| {
                    network::parse(text)
                        .ok_or_else(|| format!("`{text}` is neither an address nor a network"))
                })
                .collect::<Result<_, _>>()
                .map(Operator::IpIn),
        };
        match made {
            Ok(operator) => Some(rule::Test {
                operator,
                negated: false,
            }),
            Err(message) => {
                self.fault(&format!("{path}.{}", test.key()), message);
                None
            }
        }
    }
}

fn compare(relation: Relation, text: &str) -> Operator {
    Operator::Compare(Comparison::fixed(relation, text))
}

fn some(relation: Relation, text: &str) -> Result<Operator, String> {
    if text.is_empty() {
        Err("an empty text is in every value".to_owned())
    } else {
        Ok(compare(relation, text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::variable::Variable;

    /// What an event names must be fit for an exclusion.
    #[test]
    fn every_reported_name_is_a_target_that_covers_it() {
        use Variable as V;
        let counted = [
            V::RequestBodyLength,
            V::ArgsCombinedSize,
            V::FilesCombinedSize,
            V::BodyProcessor,
            V::BodyError,
            V::MultipartStrictError,
            V::ResponseProtocol,
            V::UniqueId,
            V::BodyErrorText,
            V::MultipartFlaw,
            V::BadEscape,
            V::FileSize,
            V::FileContent,
            V::FullRequest,
            V::FullRequestLength,
            V::InboundError,
            V::OutboundError,
            V::RemotePort,
            V::RemoteUser,
            V::AuthType,
            V::ServerAddr,
            V::ServerName,
            V::ServerPort,
            V::PathInfo,
            V::Time,
            V::Constant,
            V::StatusLine,
            V::ResponseContentType,
            V::ResponseContentLength,
        ];
        for &variable in Variable::ALL {
            if !DYNAMIC.has(variable) && !counted.contains(&variable) {
                let target = target(&format!("{}:x", variable.report()));
                assert!(
                    target.is_ok_and(|target| target.covers(variable, b"X")),
                    "{variable:?}"
                );
            }
        }
    }
}

//! What is suggested, and how it is told.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use serde_json::{Value, json};
use waf::About;

use super::super::super::paint::{Paint, Tone};
use super::Arguments;
use super::incident::{Incident, Pair};
use super::known::Known;
use super::plan::{self, Broad, Group};

/// Everything that is suggested.
pub(super) struct Found<'f> {
    known: &'f Known<'f>,
    check: String,
    /// Taken for false alarms.
    alarms: Vec<&'f Incident>,
    attacks: Vec<&'f Incident>,
    threshold: u32,
    groups: Vec<Group>,
    rules: Vec<Broad<u32>>,
    tags: Vec<Broad<String>>,
}

impl<'f> Found<'f> {
    pub(super) fn new(
        arguments: &Arguments,
        incidents: &'f [Incident],
        known: &'f Known<'f>,
    ) -> Self {
        let (attacks, alarms): (Vec<&Incident>, Vec<&Incident>) = incidents
            .iter()
            .partition(|incident| incident.attack && !arguments.all);
        let most = usize::from(arguments.most);
        let threshold = arguments.threshold;
        let mut rules = plan::rules(&alarms, threshold);
        let mut tags = plan::tags(&alarms, threshold, &known.tags());
        // One target needs no whole rule, one rule no whole tag.
        rules.retain(|rule| rule.targets > 1);
        tags.retain(|tag| rules.iter().all(|rule| rule.passes < tag.passes));
        rules.truncate(most);
        tags.truncate(most);
        let check = alarms
            .first()
            .map(|incident| incident.check.clone())
            .unwrap_or_default();
        let groups = plan::groups(&alarms, threshold, most);
        Self {
            known,
            check,
            alarms,
            attacks,
            threshold,
            groups,
            rules,
            tags,
        }
    }

    /// Requests taken for attacks that would pass.
    fn harm(&self, gone: &dyn Fn(&Pair) -> bool) -> usize {
        let passing = self
            .attacks
            .iter()
            .filter(|attack| attack.score_without(gone) < self.threshold);
        passing.count()
    }

    /// Requests and clients behind an exclusion.
    fn seen(&self, pair: &Pair) -> (usize, usize, usize) {
        let with = self
            .alarms
            .iter()
            .filter(|one| one.pairs.iter().any(|(own, _)| own == pair));
        let (mut requests, mut clients, mut paths) = (0, BTreeSet::new(), BTreeSet::new());
        for incident in with {
            requests += 1;
            clients.insert(&incident.client);
            paths.insert(&incident.path);
        }
        (requests, clients.len(), paths.len())
    }

    /// For the `exclude` key; `None` when the event does not say which value it was: its name is masked, or the rule
    /// looks at what another one matched.
    fn exclusion(&self, pair: &Pair) -> Option<String> {
        if pair.target.contains(['[', ']']) || pair.target.starts_with("MATCHED_VAR") {
            return None;
        }
        let (requests, clients, _) = self.seen(pair);
        let (requests, clients) = (counted(requests, "request"), counted(clients, "client"));
        let reason = format!("false alarm: {requests} of {clients}");
        Some(format!(
            "{{rule: {}, target: {}, reason: {}}}",
            pair.rule,
            Value::from(pair.target.as_str()),
            Value::from(reason)
        ))
    }

    fn costs(&self, pair: &Pair) -> Vec<String> {
        let (_, clients, paths) = self.seen(pair);
        let mut lines = vec![format!(
            "seen from {} on {}",
            counted(clients, "client"),
            counted(paths, "path")
        )];
        lines.extend(
            self.known
                .rule(pair.rule)
                .map(|rule| format!("rule {} is for: {rule}", pair.rule)),
        );
        lines.extend(self.known.watchers(pair));
        lines
    }

    pub(super) fn text(&self, paint: Paint) -> String {
        let mut out = format!("{} refused requests", self.alarms.len());
        if !self.attacks.is_empty() {
            let _ = write!(out, ", {} more look like attacks", self.attacks.len());
        }
        out.push('\n');
        let mut passed = 0;
        for (number, group) in self.groups.iter().enumerate() {
            passed += group.passes;
            let head = format!(
                "{}. lets {} pass ({passed} of {} with those before)",
                number + 1,
                group.passes,
                self.alarms.len()
            );
            let _ = writeln!(out, "\n{}", paint.tone(Tone::Name, head));
            self.group_text(group, &mut out, paint);
        }
        for rule in &self.rules {
            let head = format!(
                "the whole rule {} lets {} pass alone; it matched {} targets",
                rule.what, rule.passes, rule.targets
            );
            let _ = writeln!(out, "\n{}", paint.tone(Tone::Name, head));
            let _ = writeln!(out, "    disable: [{}]", rule.what);
            let id = rule.what;
            let harm = self.harm_text(&|pair| pair.rule == id);
            costs(&mut out, paint, self.known.rule(id).into_iter().chain(harm));
        }
        for tag in &self.tags {
            let rules: Vec<&About<'_>> = self.tagged(&tag.what).collect();
            let head = format!("the whole tag {} lets {} pass alone", tag.what, tag.passes);
            let _ = writeln!(out, "\n{}", paint.tone(Tone::Name, head));
            let _ = writeln!(
                out,
                "    disable_tags: [{}]",
                Value::from(tag.what.as_str())
            );
            let gone = |pair: &Pair| rules.iter().any(|rule| rule.id == pair.rule);
            let count = format!("{} rules are not asked any more", rules.len());
            let harm = self.harm_text(&gone);
            costs(&mut out, paint, std::iter::once(count).chain(harm));
        }
        out
    }

    fn group_text(&self, group: &Group, out: &mut String, paint: Paint) {
        let _ = writeln!(out, "    # checks: {}:", self.check);
        let _ = writeln!(out, "    exclude:");
        for pair in &group.pairs {
            let _ = match self.exclusion(pair) {
                Some(line) => writeln!(out, "      - {line}"),
                None => writeln!(
                    out,
                    "      # rule {} at {}: the event does not say which value; see waf explain",
                    pair.rule, pair.target
                ),
            };
        }
        let harm = self.harm_text(&|pair| group.pairs.contains(pair));
        let lines = group.pairs.iter().flat_map(|pair| self.costs(pair));
        costs(out, paint, lines.chain(harm));
    }

    fn harm_text(&self, gone: &dyn Fn(&Pair) -> bool) -> Option<String> {
        let harm = self.harm(gone);
        (harm > 0).then(|| format!("{harm} requests that look like attacks pass as well"))
    }

    fn tagged(&self, tag: &str) -> impl Iterator<Item = &About<'f>> {
        let has = move |rule: &&About<'f>| rule.tags.iter().any(|own| **own == *tag);
        self.known.rules.values().filter(has)
    }

    pub(super) fn json(&self) -> Value {
        let groups = self.groups.iter().map(|group| {
            let exclude = group.pairs.iter().map(|pair| {
                let (requests, clients, paths) = self.seen(pair);
                json!({
                    "rule": pair.rule, "target": pair.target, "requests": requests, "clients": clients,
                    "paths": paths, "costs": self.costs(pair),
                })
            });
            json!({
                "lets_pass": group.passes,
                "attacks_let_pass": self.harm(&|pair| group.pairs.contains(pair)),
                "exclude": exclude.collect::<Vec<_>>(),
            })
        });
        let rules = self.rules.iter().map(|rule| {
            let id = rule.what;
            json!({
                "disable": id, "lets_pass": rule.passes, "targets": rule.targets,
                "attacks_let_pass": self.harm(&|pair| pair.rule == id), "costs": self.known.rule(id),
            })
        });
        let tags = self.tags.iter().map(|tag| {
            let rules = self.tagged(&tag.what).count();
            json!({"disable_tag": tag.what, "lets_pass": tag.passes, "rules": rules})
        });
        json!({
            "check": self.check,
            "refused": self.alarms.len(),
            "attacks": self.attacks.len(),
            "suggestions": groups.collect::<Vec<_>>(),
            "rules": rules.collect::<Vec<_>>(),
            "tags": tags.collect::<Vec<_>>(),
        })
    }
}

fn counted(number: usize, what: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {what}{plural}")
}

fn costs(out: &mut String, paint: Paint, lines: impl Iterator<Item = String>) {
    for line in lines {
        let line = format!("costs: {line}");
        let _ = writeln!(out, "  {}", paint.tone(Tone::Faint, line));
    }
}

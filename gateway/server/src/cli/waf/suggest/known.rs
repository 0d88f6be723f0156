//! What the rules of a policy are, as far as a suggestion needs to know.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt::Write as _;

use policy::Policy;
use waf::{About, Ruleset};

use super::incident::Pair;

/// The rules of a policy.
#[derive(Default)]
pub(super) struct Known<'p> {
    pub(super) rules: HashMap<u32, About<'p>>,
    sets: Vec<&'p Ruleset>,
}

impl<'p> Known<'p> {
    pub(super) fn new(policy: &'p Policy) -> Self {
        let sets: Vec<&Ruleset> = policy.rulesets().map(|(_, rules, _)| rules).collect();
        let rules = sets.iter().flat_map(|rules| rules.about());
        Self {
            rules: rules.map(|rule| (rule.id, rule)).collect(),
            sets,
        }
    }

    /// What a rule adds to the score: outer `None` when the rule is not known.
    pub(super) fn score(&self, rule: u32) -> Option<Option<u32>> {
        let about = self.rules.get(&rule)?;
        let alone = about.refuses && !about.control;
        Some(about.score.or_else(|| alone.then_some(u32::MAX >> 8)))
    }

    pub(super) fn tags(&self) -> BTreeMap<u32, Vec<String>> {
        // Levels, catalogues and the rule set's own name say nothing about what a rule is against.
        const NO_KIND: [&str; 4] = ["paranoia-level/", "OWASP_CRS", "capec/", "PCI/"];
        let kind = |tag: &str| !NO_KIND.iter().any(|prefix| tag.starts_with(prefix));
        // A tag that many rules carry switches everything off: no suggestion.
        let mut counts: HashMap<&str, usize> = HashMap::new();
        for tag in self.rules.values().flat_map(|rule| rule.tags) {
            *counts.entry(tag).or_default() += 1;
        }
        let usual = self.rules.len() / 3;
        let kept = |tag: &&std::sync::Arc<str>| {
            kind(tag) && counts.get(&***tag).is_some_and(|count| *count <= usual)
        };
        let own = |rule: &About<'_>| {
            let tags = rule.tags.iter().filter(kept);
            tags.map(ToString::to_string).collect()
        };
        self.rules
            .values()
            .map(|rule| (rule.id, own(rule)))
            .collect()
    }

    /// What a rule is for.
    pub(super) fn rule(&self, id: u32) -> Option<String> {
        let rule = self.rules.get(&id)?;
        let mut text = rule.msg.to_owned();
        if let Some(severity) = rule.severity {
            let _ = write!(text, "; {}", severity.name());
        }
        if let Some(level) = rule.paranoia {
            let _ = write!(text, ", paranoia {level}");
        }
        Some(text)
    }

    /// Who else looks at a target.
    pub(super) fn watchers(&self, pair: &Pair) -> Option<String> {
        let family = self.rules.get(&pair.rule)?.id / 1000;
        let ids = self
            .sets
            .iter()
            .filter_map(|rules| rules.watching(&pair.target).ok());
        let others: BTreeSet<u32> = ids.flatten().filter(|id| *id != pair.rule).collect();
        let scoring: Vec<&About<'_>> = others
            .iter()
            .filter_map(|id| self.rules.get(id))
            .filter(|rule| rule.score.is_some() || rule.refuses)
            .collect();
        let level = |most: u8| {
            scoring
                .iter()
                .filter(|rule| rule.paranoia.unwrap_or(1) <= most)
                .count()
        };
        let own = scoring
            .iter()
            .filter(|rule| rule.id / 1000 == family)
            .count();
        Some(format!(
            "{} other rules still watch {} ({} of them at paranoia 1), {own} of the same family",
            scoring.len(),
            pair.target,
            level(1)
        ))
    }
}

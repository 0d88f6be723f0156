//! What a rule is, for people and for commands that reason about rules. Nothing here is read while requests run.

use std::sync::Arc;

use crate::{
    native,
    rule::{Action, Change, Effect, Link, Name, Phase, Rule, Severity},
    ruleset::Ruleset,
    tuning::Tuning,
    variable::{DYNAMIC, NATIVE, Selector, Target, Variable},
};

/// One rule, told.
#[derive(Clone, Debug)]
pub struct About<'r> {
    /// Its id.
    pub id: u32,
    /// Its message; macros as written.
    pub msg: &'r str,
    /// Its severity, where it has one.
    pub severity: Option<Severity>,
    /// Its tags.
    pub tags: &'r [Arc<str>],
    /// From 1 to 5 as SecLang counts; 0: asked as soon as a value is known.
    pub phase: u8,
    /// The paranoia level of its tag.
    pub paranoia: Option<u8>,
    /// What a match adds to the score, or `None` when it adds nothing.
    pub score: Option<u32>,
    /// A match refuses whatever the score.
    pub refuses: bool,
    /// It looks only at what other rules left, not at the request.
    pub control: bool,
    /// The file it was written in.
    pub source: &'r str,
    /// The line, where that is known.
    pub line: Option<u32>,
    /// What its first condition looks at.
    pub targets: Vec<String>,
    /// What values go through before they are looked at.
    pub transformations: Vec<&'static str>,
}

impl Ruleset {
    /// Every rule, in order.
    pub fn about(&self) -> impl Iterator<Item = About<'_>> {
        let rules = self.program.rules.iter();
        rules.map(|rule| self.told(rule))
    }

    /// Ids of the rules that look at a target as events name it (`args:q`).
    ///
    /// # Errors
    /// When there is no such target.
    pub fn watching(&self, target: &str) -> Result<Vec<u32>, String> {
        let wanted = native::target(target)?;
        let watches = |rule: &&Rule| rule.links.first().is_some_and(|link| link.watches(&wanted));
        let rules = self.program.rules.iter().filter(watches);
        Ok(rules.map(|rule| rule.id).collect())
    }

    /// The scores that refuse a request, and an answer: what the rule set fixes for itself first, as the Core Rule Set
    /// does, otherwise what `tuning` says.
    #[must_use]
    pub fn thresholds(&self, tuning: &Tuning) -> [u32; 2] {
        let own = [
            "inbound_anomaly_score_threshold",
            "outbound_anomaly_score_threshold",
        ];
        let [request, answer] = own.map(|name| self.first_assigned(name));
        [
            request.unwrap_or(tuning.threshold),
            answer.unwrap_or(tuning.response_threshold),
        ]
    }

    /// The number that the first rule to set a transaction variable sets it to.
    fn first_assigned(&self, name: &str) -> Option<u32> {
        let slot = self.program.names.known(Variable::Tx, name.as_bytes())?;
        let links = self.program.rules.iter().flat_map(|rule| &rule.links);
        let mut values = links.flat_map(|link| &link.actions).filter_map(|action| {
            let Action::Set(Name::Slot(own), Change::Assign(text)) = action else {
                return None;
            };
            let text = text.as_fixed().filter(|_| *own == slot)?;
            std::str::from_utf8(text).ok()?.trim().parse().ok()
        });
        values.next()
    }

    fn told<'r>(&'r self, rule: &'r Rule) -> About<'r> {
        let link = rule.links.first();
        let pipeline = link.into_iter().flat_map(|link| &link.pipeline);
        let targets = link.into_iter().flat_map(|link| &link.targets);
        let level = |tag: &Arc<str>| tag.strip_prefix("paranoia-level/")?.parse().ok();
        About {
            id: rule.id,
            msg: &rule.msg,
            severity: rule.severity,
            tags: &rule.tags,
            phase: rule.phase.map_or(0, number),
            paranoia: rule.tags.iter().find_map(level),
            score: self.score(rule),
            refuses: rule.effect == Effect::Deny,
            control: rule.links.iter().all(Link::is_control),
            source: &rule.origin.source,
            line: rule.origin.line,
            targets: targets.map(name).collect(),
            transformations: pipeline.map(|transform| transform.name()).collect(),
        }
    }

    /// What our rules say, or what a rule of the Core Rule Set adds to its anomaly score: that is by severity.
    fn score(&self, rule: &Rule) -> Option<u32> {
        if let Effect::Score(score) = rule.effect {
            return Some(score);
        }
        let adds = |action: &Action| {
            let Action::Set(Name::Slot(slot), Change::Add(_)) = action else {
                return false;
            };
            let mut names = self.program.names.iter(Variable::Tx);
            names.any(|(name, own)| own == *slot && holds(name, b"anomaly_score"))
        };
        let scores = rule.links.iter().flat_map(|link| &link.actions).any(adds);
        rule.severity.filter(|_| scores).map(Severity::score)
    }
}

impl Link {
    fn is_control(&self) -> bool {
        let dynamic = |target: &Target| target.variables.without(DYNAMIC).is_empty();
        self.targets.iter().all(dynamic)
    }

    fn watches(&self, wanted: &Target) -> bool {
        let same = |own: &Target| {
            own.variables.intersects(wanted.variables)
                && match (&own.selector, &wanted.selector) {
                    (own, Selector::Name(name)) => own.takes(name),
                    (Selector::All, _) => true,
                    (Selector::Name(_) | Selector::Pattern(_), _) => false,
                }
        };
        self.targets.iter().any(same) && !self.except.iter().any(same)
    }
}

fn number(phase: Phase) -> u8 {
    phase as u8 + 1
}

fn holds(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}

/// A target as rules of ours would write it, or in SecLang's words.
fn name(target: &Target) -> String {
    let own = NATIVE
        .iter()
        .find(|(_, variables)| *variables == target.variables);
    let variable = own.map_or(target.label, |(name, _)| name);
    let count = if target.count { "&" } else { "" };
    match &target.selector {
        Selector::All => format!("{count}{variable}"),
        Selector::Name(name) => format!("{count}{variable}:{}", String::from_utf8_lossy(name)),
        Selector::Pattern(_) => format!("{count}{variable}:/…/"),
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

    use crate::{Ruleset, Source, seclang};

    fn rules(text: &str) -> Ruleset {
        let source = seclang::Source {
            name: "own.conf",
            text,
        };
        Ruleset::load(&[Source::SecLang(source)], &seclang::NoFiles).unwrap()
    }

    #[test]
    fn tells_what_a_rule_is() {
        let rules = rules(
            "SecRule ARGS|!ARGS:free \"@rx x\" \"id:7,phase:2,t:none,t:lowercase,block,severity:CRITICAL,\
             tag:'paranoia-level/2',setvar:'tx.inbound_anomaly_score_pl2=+5'\"\n\
             SecRule TX:score \"@ge 5\" \"id:8,phase:2,deny,severity:CRITICAL\"\n\
             SecRule &TX:most \"@eq 1\" \"id:9,phase:2,block,severity:ERROR,chain\"\n\
             SecRule ARGS \"@gt 1\" \"setvar:'tx.anomaly_score=+4'\"\n",
        );
        let all: Vec<_> = rules.about().collect();
        let (own, sum, chain) = (&all[0], &all[1], &all[2]);
        assert_eq!(
            (own.id, own.phase, own.paranoia, own.score),
            (7, 2, Some(2), Some(5))
        );
        assert_eq!(
            (own.control, own.refuses, own.line),
            (false, false, Some(1))
        );
        assert_eq!(own.transformations, ["lowercase"]);
        assert_eq!((sum.score, sum.refuses, sum.control), (None, true, true));
        assert_eq!((chain.score, chain.control), (Some(4), false));
    }

    #[test]
    fn knows_who_watches_a_target() {
        let rules = rules(
            "SecRule ARGS|!ARGS:free \"@rx x\" \"id:7,phase:2,pass\"\n\
             SecRule ARGS:q \"@rx x\" \"id:8,phase:2,pass\"\n\
             SecRule REQUEST_HEADERS \"@rx x\" \"id:9,phase:2,pass\"\n",
        );
        assert_eq!(rules.watching("args:q").unwrap(), [7, 8]);
        assert_eq!(rules.watching("args:free").unwrap(), Vec::<u32>::new());
        assert_eq!(rules.watching("header:accept").unwrap(), [9]);
        assert!(rules.watching("nothing:x").is_err());
    }
}

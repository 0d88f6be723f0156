//! Requests that rules refused, or would have, as events tell of them.

use std::collections::BTreeSet;

use serde_json::Value;
use waf::Severity;

/// Attacks rarely come alone: one request that sets off so many families of rules is no false alarm.
const FAMILIES_OF_AN_ATTACK: usize = 3;
/// Rule sets keep a family in each thousand.
const FAMILY: u32 = 1000;

/// A rule and a value that it matched.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Pair {
    /// The rule.
    pub(super) rule: u32,
    /// Where, as exclusions name it.
    pub(super) target: String,
}

/// One refused request.
#[derive(Debug, Clone)]
pub(super) struct Incident {
    /// The check that refused, or would have.
    pub(super) check: String,
    /// What matched and scores, with what it adds.
    pub(super) pairs: Vec<(Pair, u32)>,
    /// Who sent it.
    pub(super) client: String,
    /// Where to.
    pub(super) path: String,
    /// Sets off rules of several families.
    pub(super) attack: bool,
}

/// Which events count.
#[derive(Debug, Default)]
pub(super) struct Filter {
    /// Only this check.
    pub(super) check: Option<String>,
    /// Only this route.
    pub(super) route: Option<String>,
    /// Only paths that begin so.
    pub(super) path: Option<String>,
    /// Only this client.
    pub(super) client: Option<String>,
}

impl Incident {
    /// From one event; `None`: no rule refused anything there, or the filter leaves it out. `score` knows rules better
    /// than their severity; a rule that it gives nothing only sums up.
    pub(super) fn read(
        event: &Value,
        filter: &Filter,
        score: &dyn Fn(u32) -> Option<Option<u32>>,
    ) -> Option<Self> {
        let word = |key: &str| event.get(key).and_then(Value::as_str).unwrap_or_default();
        let check = refused_by(event)?;
        let keeps =
            |wanted: &Option<String>, is: &dyn Fn(&str) -> bool| wanted.as_deref().is_none_or(is);
        let kept = keeps(&filter.check, &|own| own == check)
            && keeps(&filter.route, &|own| own == word("route"))
            && keeps(&filter.path, &|own| word("path").starts_with(own))
            && keeps(&filter.client, &|own| own == word("client"));
        if !kept {
            return None;
        }
        let rules = event.get("rules")?.as_array()?;
        let mut pairs: Vec<(Pair, u32)> =
            rules.iter().filter_map(|rule| pair(rule, score)).collect();
        pairs.sort();
        pairs.dedup_by(|one, other| one.0 == other.0);
        let families: BTreeSet<u32> = pairs.iter().map(|(pair, _)| pair.rule / FAMILY).collect();
        (!pairs.is_empty()).then(|| Self {
            check: check.to_owned(),
            pairs,
            client: word("client").to_owned(),
            path: word("path").to_owned(),
            attack: families.len() >= FAMILIES_OF_AN_ATTACK,
        })
    }

    /// What is left of its score without these.
    pub(super) fn score_without(&self, gone: &dyn Fn(&Pair) -> bool) -> u32 {
        let left = self.pairs.iter().filter(|(pair, _)| !gone(pair));
        left.map(|(_, score)| score).sum()
    }
}

/// The check whose rules refused, or would have.
fn refused_by(event: &Value) -> Option<&str> {
    const REASONS: [&str; 2] = ["waf_blocked", "waf_response"];
    let says = |value: &Value| {
        let reason = value.get("reason").and_then(Value::as_str);
        reason.is_some_and(|reason| REASONS.contains(&reason))
    };
    let check = |value: &'_ Value| {
        value
            .get("check")
            .and_then(Value::as_str)
            .map(str::len)
            .is_some()
    };
    if says(event) && check(event) {
        return event.get("check")?.as_str();
    }
    let mut would = event.get("would_by")?.as_array()?.iter();
    would.find(|would| says(would))?.get("check")?.as_str()
}

fn pair(rule: &Value, score: &dyn Fn(u32) -> Option<Option<u32>>) -> Option<(Pair, u32)> {
    let id = u32::try_from(rule.get("id")?.as_u64()?).ok()?;
    let target = rule.get("target")?.as_str()?;
    let variable = target.split(':').next().unwrap_or_default();
    if variable.eq_ignore_ascii_case("tx") {
        return None;
    }
    let own = rule.get("score").and_then(Value::as_u64);
    let own = own
        .and_then(|score| u32::try_from(score).ok())
        .filter(|score| *score > 0);
    let severity = rule
        .get("severity")
        .and_then(Value::as_str)
        .and_then(severity);
    let points = match (own, score(id)) {
        (Some(own), _) => own,
        (None, Some(known)) => known?,
        (None, None) => severity?.score(),
    };
    let target = target.to_owned();
    Some((Pair { rule: id, target }, points))
}

fn severity(word: &str) -> Option<Severity> {
    let all = [
        Severity::Notice,
        Severity::Warning,
        Severity::Error,
        Severity::Critical,
    ];
    all.into_iter().find(|severity| severity.name() == word)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use serde_json::json;

    use super::{Filter, Incident};

    fn read(event: &serde_json::Value, filter: &Filter) -> Option<Incident> {
        Incident::read(event, filter, &|_| None)
    }

    #[test]
    fn reads_refused_and_observed_requests() {
        let rules = json!([
            {"id": 942100, "severity": "critical", "target": "args:q"},
            {"id": 942100, "severity": "critical", "target": "args:q"},
            {"id": 949110, "severity": "critical", "target": "TX:blocking_inbound_anomaly_score"},
        ]);
        let refused =
            json!({"check": "crs", "reason": "waf_blocked", "rules": rules, "path": "/a"});
        let incident = read(&refused, &Filter::default()).unwrap();
        assert_eq!(
            (
                incident.check.as_str(),
                incident.pairs.len(),
                incident.attack
            ),
            ("crs", 1, false)
        );
        assert_eq!(incident.score_without(&|_| false), 5);
        let observed = json!({
            "reason": "ok", "would_by": [{"check": "other", "reason": "rate_limited"}, {"check": "crs", "reason": "waf_blocked"}],
            "rules": rules,
        });
        assert_eq!(read(&observed, &Filter::default()).unwrap().check, "crs");
        assert!(read(&json!({"reason": "ok", "rules": rules}), &Filter::default()).is_none());
        let filter = Filter {
            path: Some("/b".to_owned()),
            ..Filter::default()
        };
        assert!(read(&refused, &filter).is_none());
    }

    #[test]
    fn takes_many_families_for_an_attack() {
        let one = |id: u32| json!({"id": id, "severity": "critical", "target": "args:q"});
        let event = json!({
            "check": "crs", "reason": "waf_blocked", "rules": [one(941100), one(942100), one(932100)],
        });
        assert!(read(&event, &Filter::default()).unwrap().attack);
    }
}

//! Whether a test went as it must: by its own words in detection mode, by what its rules weigh in blocking mode. A
//! request that the front end refuses before any rule is neither a pass nor a failure.

use std::collections::HashMap;

use waf::{About, Severity};

use super::expect::{Seen, listed};
use super::suite::Test;

/// Score at which requests are refused; answers are at four.
const INBOUND: u32 = 5;
const OUTBOUND: u32 = 4;

/// How a test went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// As it must.
    Passed,
    /// The front end refused a request, with this reason and detail, before any rule was asked.
    Refused(String),
    /// What was otherwise.
    Failed(Vec<String>),
}

/// How a test went with matches refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Blocking {
    /// A rule that it expects weighs enough, and it was refused.
    Blocked,
    /// It expects no rule, none that matched weighs enough together, and it passed.
    Passed,
    /// It expects no rule, but rules that it does not speak of weigh enough: refused.
    Others(Vec<u32>),
    /// What it expects is for another level, weighs too little, or is no match.
    Unweighed,
    /// The front end refused it.
    Refused(String),
    /// It was refused or let pass against its weight.
    Failed(String),
}

/// What a rule weighs: its score, its paranoia level, and whether it reads answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Weight {
    /// By its severity.
    pub(crate) score: u32,
    /// From its tag; 1 without one.
    pub(crate) level: u8,
    /// Phases 3 and 4.
    pub(crate) answer: bool,
}

/// What every rule weighs that can refuse: those that add to the score, and those that refuse by themselves. Rules that
/// only sum up are left out.
pub(crate) fn weights<'r>(rules: impl Iterator<Item = About<'r>>) -> HashMap<u32, Weight> {
    let weight = |rule: About<'r>| {
        let alone = rule.refuses && !rule.control;
        let score = rule
            .score
            .or_else(|| alone.then(|| Severity::Critical.score()))?;
        let level = rule.paranoia.unwrap_or(1);
        let answer = matches!(rule.phase, 3 | 4);
        Some((
            rule.id,
            Weight {
                score,
                level,
                answer,
            },
        ))
    };
    rules.filter_map(weight).collect()
}

/// Detection mode: every stage by its own words.
pub(super) fn detection(test: &Test, seen: &[Seen]) -> Verdict {
    let mut why = Vec::new();
    for (number, (stage, seen)) in test.stages.iter().zip(seen).enumerate() {
        let found = stage.expect.differences(seen);
        // A refusal that the test asks for is a pass.
        let asked = seen
            .status
            .is_some_and(|status| stage.expect.status.contains(&status));
        if let Some(refused) = refusal(seen)
            && !(asked && found.is_empty())
        {
            return Verdict::Refused(refused);
        }
        if seen.events.is_empty() {
            why.push("the gateway wrote no event".to_owned());
        }
        let many = test.stages.len() > 1;
        let stage = |text| {
            if many {
                format!("stage {}: {text}", number + 1)
            } else {
                text
            }
        };
        why.extend(found.into_iter().map(stage));
    }
    if why.is_empty() {
        Verdict::Passed
    } else {
        Verdict::Failed(why)
    }
}

/// Blocking mode at one level: the last stage by what its rules weigh.
pub(crate) fn blocking(
    test: &Test,
    seen: &[Seen],
    weights: &HashMap<u32, Weight>,
    level: u8,
) -> Blocking {
    let (Some(stage), Some(last)) = (test.stages.last(), seen.last()) else {
        return Blocking::Unweighed;
    };
    if let Some(refused) = refusal(last) {
        return Blocking::Refused(refused);
    }
    let enough = |id: &u32| {
        weights.get(id).is_some_and(|weight| {
            let threshold = if weight.answer { OUTBOUND } else { INBOUND };
            weight.level <= level && weight.score >= threshold
        })
    };
    let was_refused = last.word("action") == Some("deny");
    let why = format!("rules {}", listed(&last.ids()));
    if stage.expect.ids.iter().any(enough) {
        return match was_refused {
            true => Blocking::Blocked,
            false => Blocking::Failed(format!("not refused; {why}")),
        };
    }
    if stage.expect.wants_match() || !stage.expect.status.is_empty() {
        return Blocking::Unweighed;
    }
    let scoring: Vec<u32> = last
        .ids()
        .into_iter()
        .filter(|id| weights.contains_key(id))
        .collect();
    let side = |answer: bool| {
        let own = scoring.iter().filter_map(|id| weights.get(id));
        own.filter(|weight| weight.answer == answer)
            .map(|weight| weight.score)
            .sum::<u32>()
    };
    let heavy = side(false) >= INBOUND || side(true) >= OUTBOUND;
    match (was_refused, heavy) {
        (false, false) => Blocking::Passed,
        // A rule adds once for every value that it matches: its weight alone is the least.
        (true, _) if !scoring.is_empty() => Blocking::Others(scoring),
        (true, _) => Blocking::Failed(format!(
            "refused ({}) though nothing that matched weighs anything; {why}",
            last.word("reason").unwrap_or("no reason")
        )),
        (false, true) => Blocking::Failed(format!("let pass; {why}")),
    }
}

/// Why the front end refused it before any rule was asked.
fn refusal(seen: &Seen) -> Option<String> {
    let event = seen.events.first()?;
    let word = |key: &str| event.get(key).and_then(|value| value.as_str());
    let unrouted = word("route").is_none() && word("action") == Some("deny");
    if !unrouted || event.get("rules").is_some() {
        return None;
    }
    let detail = word("detail")
        .map(|detail| format!(": {detail}"))
        .unwrap_or_default();
    let status = event
        .get("status")
        .map(|status| format!("{status} "))
        .unwrap_or_default();
    Some(format!("{status}{}{detail}", word("reason")?))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use std::collections::HashMap;

    use serde_json::{Value, json};

    use super::super::suite::Suite;
    use super::{Blocking, Seen, Verdict, Weight, blocking, detection};

    fn suite(output: &str) -> Suite {
        let folder = tempfile::tempdir().unwrap();
        let text =
            format!("rule_id: 1\ntests:\n  - stages:\n      - {{input: {{}}, output: {output}}}\n");
        std::fs::write(folder.path().join("1.yaml"), text).unwrap();
        Suite::read(folder.path(), &[]).unwrap()
    }

    fn seen(status: u16, event: Value) -> Vec<Seen> {
        vec![Seen {
            status: Some(status),
            events: vec![event],
            ..Seen::default()
        }]
    }

    fn judged(output: &str, seen: &[Seen]) -> Verdict {
        suite(output)
            .tests
            .iter()
            .map(|test| detection(test, seen))
            .next()
            .unwrap()
    }

    #[test]
    fn tells_a_refusal_from_a_failure() {
        let refused = json!({"action": "deny", "reason": "bad_host", "status": 400});
        let strict = seen(400, refused);
        let why = Verdict::Refused("400 bad_host".to_owned());
        assert_eq!(judged("{log: {expect_ids: [1]}}", &strict), why);
        assert_eq!(judged("{log: {no_expect_ids: [1]}}", &strict), why);
        assert_eq!(judged("{status: 400}", &strict), Verdict::Passed);
        let missed = seen(
            200,
            json!({"action": "allow", "route": "all", "status": 200}),
        );
        assert!(matches!(
            judged("{log: {expect_ids: [1]}}", &missed),
            Verdict::Failed(_)
        ));
        let silent = [Seen {
            status: Some(200),
            ..Seen::default()
        }];
        assert!(matches!(judged("{}", &silent), Verdict::Failed(_)));
    }

    #[test]
    fn weighs_rules_by_level_and_side() {
        let weight = |score, level, answer| Weight {
            score,
            level,
            answer,
        };
        let weights = HashMap::from([
            (1, weight(5, 1, false)),
            (2, weight(5, 2, false)),
            (3, weight(4, 1, true)),
            (4, weight(4, 1, false)),
        ]);
        let judged = |output: &str, action: &str, ids: &[u32], level| {
            let rules: Vec<Value> = ids.iter().map(|id| json!({"id": id})).collect();
            let seen = seen(
                200,
                json!({"action": action, "route": "all", "rules": rules, "reason": "waf_blocked"}),
            );
            suite(output)
                .tests
                .iter()
                .map(|test| blocking(test, &seen, &weights, level))
                .next()
                .unwrap()
        };
        let wants = "{log: {expect_ids: [1]}}";
        assert_eq!(judged(wants, "deny", &[1], 1), Blocking::Blocked);
        assert!(matches!(
            judged(wants, "allow", &[1], 1),
            Blocking::Failed(_)
        ));
        assert_eq!(
            judged("{log: {expect_ids: [2]}}", "allow", &[], 1),
            Blocking::Unweighed
        );
        assert_eq!(
            judged("{log: {expect_ids: [2]}}", "deny", &[2], 2),
            Blocking::Blocked
        );
        assert_eq!(
            judged("{log: {expect_ids: [3]}}", "deny", &[3], 1),
            Blocking::Blocked
        );
        let none = "{log: {no_expect_ids: [1]}}";
        assert_eq!(judged(none, "allow", &[4], 1), Blocking::Passed);
        assert_eq!(judged(none, "deny", &[2], 2), Blocking::Others(vec![2]));
        assert_eq!(judged(none, "deny", &[4], 1), Blocking::Others(vec![4]));
        assert!(matches!(judged(none, "deny", &[], 1), Blocking::Failed(_)));
        assert!(matches!(
            judged(none, "allow", &[2], 2),
            Blocking::Failed(_)
        ));
    }
}

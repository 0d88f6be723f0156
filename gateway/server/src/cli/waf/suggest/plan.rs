//! Which exclusions let false alarms pass: the smallest first, each with what it adds over those before it.

use std::collections::{BTreeMap, BTreeSet};

use super::incident::{Incident, Pair};

/// More matches than this in one request, and trying every part of them takes too long: all are taken.
const MOST_TRIED: usize = 12;

/// Exclusions that let requests pass only together.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Group {
    /// What rules must not look at.
    pub(super) pairs: Vec<Pair>,
    /// Requests that pass with these and those of the groups before.
    pub(super) passes: usize,
}

/// A rule, or a tag, switched off as a whole.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Broad<T> {
    /// Which.
    pub(super) what: T,
    /// Requests that pass with this alone.
    pub(super) passes: usize,
    /// Different targets that it matched.
    pub(super) targets: usize,
}

/// Groups of exclusions, the one that lets the most requests pass for each exclusion first. Requests with the same
/// matches are one kind: a group is what the kind needs beyond the groups before.
pub(super) fn groups(incidents: &[&Incident], threshold: u32, most: usize) -> Vec<Group> {
    let mut kinds: BTreeMap<&[(Pair, u32)], usize> = BTreeMap::new();
    for incident in incidents {
        *kinds.entry(incident.pairs.as_slice()).or_default() += 1;
    }
    let mut gone: BTreeSet<Pair> = BTreeSet::new();
    let mut groups = Vec::new();
    while groups.len() < most {
        let open = kinds
            .iter()
            .filter(|(pairs, _)| left(pairs, &gone) >= threshold);
        let wanted = open.map(|(pairs, count)| {
            let needed = smallest(pairs, &gone, threshold, &kinds);
            // In thousandths: whole numbers order the same everywhere.
            (count * 1000 / needed.len().max(1), needed)
        });
        let best =
            wanted.max_by(|one, other| one.0.cmp(&other.0).then_with(|| other.1.cmp(&one.1)));
        let Some((_, pairs)) = best else { break };
        let before = passing(&kinds, &gone, threshold);
        gone.extend(pairs.iter().cloned());
        let passes = passing(&kinds, &gone, threshold) - before;
        groups.push(Group { pairs, passes });
    }
    groups
}

/// Rules that let more than one request pass when they are switched off, the most first.
pub(super) fn rules(incidents: &[&Incident], threshold: u32) -> Vec<Broad<u32>> {
    let ids: BTreeSet<u32> = all(incidents).map(|pair| pair.rule).collect();
    broad(incidents, threshold, ids, |id, pair| pair.rule == *id)
}

/// The same for tags; `tags` of each rule.
pub(super) fn tags(
    incidents: &[&Incident],
    threshold: u32,
    tags: &BTreeMap<u32, Vec<String>>,
) -> Vec<Broad<String>> {
    let of = |rule: u32| tags.get(&rule).into_iter().flatten();
    let names: BTreeSet<String> = all(incidents)
        .flat_map(|pair| of(pair.rule))
        .cloned()
        .collect();
    broad(incidents, threshold, names, |name, pair| {
        of(pair.rule).any(|own| own == name)
    })
}

fn broad<T: Clone>(
    incidents: &[&Incident],
    threshold: u32,
    all_of: BTreeSet<T>,
    takes: impl Fn(&T, &Pair) -> bool,
) -> Vec<Broad<T>> {
    let one = |what: T| {
        let passing = incidents
            .iter()
            .filter(|incident| incident.score_without(&|pair| takes(&what, pair)) < threshold);
        let passes = passing.count();
        let targets: BTreeSet<&str> = all(incidents)
            .filter(|pair| takes(&what, pair))
            .map(|pair| pair.target.as_str())
            .collect();
        Broad {
            what,
            passes,
            targets: targets.len(),
        }
    };
    let mut found: Vec<Broad<T>> = all_of
        .into_iter()
        .map(one)
        .filter(|one| one.passes > 0)
        .collect();
    found.sort_by_key(|one| std::cmp::Reverse(one.passes));
    found
}

fn all<'i>(incidents: &'i [&Incident]) -> impl Iterator<Item = &'i Pair> {
    incidents
        .iter()
        .flat_map(|incident| incident.pairs.iter().map(|(pair, _)| pair))
}

fn left(pairs: &[(Pair, u32)], gone: &BTreeSet<Pair>) -> u32 {
    let stay = pairs.iter().filter(|(pair, _)| !gone.contains(pair));
    stay.map(|(_, score)| score).sum()
}

fn passing(
    kinds: &BTreeMap<&[(Pair, u32)], usize>,
    gone: &BTreeSet<Pair>,
    threshold: u32,
) -> usize {
    let pass = kinds
        .iter()
        .filter(|(pairs, _)| left(pairs, gone) < threshold);
    pass.map(|(_, count)| count).sum()
}

/// The fewest exclusions after which this kind passes; of equally few, those that other kinds need as well.
fn smallest(
    pairs: &[(Pair, u32)],
    gone: &BTreeSet<Pair>,
    threshold: u32,
    kinds: &BTreeMap<&[(Pair, u32)], usize>,
) -> Vec<Pair> {
    let open: Vec<&(Pair, u32)> = pairs
        .iter()
        .filter(|(pair, _)| !gone.contains(pair))
        .collect();
    let total: u32 = open.iter().map(|(_, score)| score).sum();
    if open.len() > MOST_TRIED {
        return open.iter().map(|(pair, _)| pair.clone()).collect();
    }
    let common = |pair: &Pair| -> usize {
        let with = kinds
            .iter()
            .filter(|(pairs, _)| pairs.iter().any(|(own, _)| own == pair));
        with.map(|(_, count)| count).sum()
    };
    let weights: Vec<usize> = open.iter().map(|(pair, _)| common(pair)).collect();
    let chosen = |mask: u32| {
        open.iter()
            .enumerate()
            .filter(move |(at, _)| mask >> at & 1 == 1)
    };
    let enough = |mask: &u32| {
        let taken: u32 = chosen(*mask).map(|(_, (_, score))| score).sum();
        total - taken < threshold
    };
    let rank = |mask: &u32| {
        let weight: usize = chosen(*mask).filter_map(|(at, _)| weights.get(at)).sum();
        (mask.count_ones(), std::cmp::Reverse(weight))
    };
    let best = (1..1_u32 << open.len())
        .filter(enough)
        .min_by_key(rank)
        .unwrap_or(u32::MAX);
    chosen(best).map(|(_, (pair, _))| pair.clone()).collect()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::indexing_slicing, reason = "tests")]

    use super::{Group, Incident, Pair, groups, rules};

    fn pair(rule: u32, target: &str) -> Pair {
        Pair {
            rule,
            target: target.to_owned(),
        }
    }

    fn incident(pairs: &[(u32, &str, u32)]) -> Incident {
        let mut pairs: Vec<_> = pairs
            .iter()
            .map(|(rule, target, score)| (pair(*rule, target), *score))
            .collect();
        pairs.sort();
        Incident {
            check: "crs".to_owned(),
            pairs,
            client: String::new(),
            path: String::new(),
            attack: false,
        }
    }

    #[test]
    fn one_exclusion_for_many_comes_first() {
        let (often, both) = (
            incident(&[(1, "args:q", 5)]),
            incident(&[(1, "args:q", 5), (2, "args:q", 5)]),
        );
        let found = groups(&[&often, &often, &often, &both], 5, 9);
        assert_eq!(
            found,
            [
                Group {
                    pairs: vec![pair(1, "args:q")],
                    passes: 3
                },
                Group {
                    pairs: vec![pair(2, "args:q")],
                    passes: 1
                },
            ]
        );
    }

    #[test]
    fn leaves_what_may_stay() {
        let mixed = incident(&[(1, "args:q", 5), (2, "args:q", 2), (3, "args:q", 2)]);
        assert_eq!(
            groups(&[&mixed], 5, 9),
            [Group {
                pairs: vec![pair(1, "args:q")],
                passes: 1
            }]
        );
    }

    #[test]
    fn a_whole_rule_is_worth_it_where_it_matches_everywhere() {
        let all: Vec<Incident> = (0..4)
            .map(|n| incident(&[(1, ["args:a", "args:b", "args:c", "args:d"][n], 5)]))
            .collect();
        let all: Vec<&Incident> = all.iter().collect();
        let broad = rules(&all, 5);
        assert_eq!(
            (broad[0].what, broad[0].passes, broad[0].targets),
            (1, 4, 4)
        );
    }
}

//! Rules → what a transaction runs: plans per phase and variable, one automaton of literals, and the list of what
//! any rule reads at all.

pub(crate) mod alphabet;
pub(crate) mod fold;
pub(crate) mod index;
pub(crate) mod literals;
pub(crate) mod plan;
mod reads;
pub(crate) mod requirement;
mod triggers;

use std::{
    collections::{BTreeSet, HashMap},
    sync::atomic::{AtomicU64, Ordering},
};

use fold::{Folded, PHASES, Settled};
use literals::{Collector, Literals};
use plan::{Builder, Plan, Probe, Requirements};
use requirement::Requirement;

use crate::{
    operator::pattern::NamePattern,
    rule::{Effect, Link, Phase, Rule, Test},
    scores::Scores,
    text::Names,
    variable::{FROM_BODY, FROM_RESPONSE, Selector, Target, Variable, Variables, WRITTEN},
};

/// The compiled form of a list of rules.
#[derive(Debug)]
pub(crate) struct Program {
    /// Serial number, from 1: no two programs of this process share one.
    pub(crate) serial: u64,
    pub(crate) rules: Vec<Rule>,
    pub(crate) probes: Vec<Probe>,
    pub(crate) plans: Vec<Plan>,
    pub(crate) literals: Literals,
    /// By phase, then by variable.
    pub(crate) phases: [Vec<Reading>; 5],
    /// By phase: rules whose values cannot be scanned ahead, in order.
    pub(crate) direct: [Vec<u32>; 5],
    /// By phase: all rules, in order.
    pub(crate) all: [Vec<u32>; 5],
    pub(crate) names: Names,
    /// The variables that count anomaly scores.
    pub(crate) scores: Scores,
    pub(crate) folded: Folded,
    /// By rule: what it and those after it leave that are then not asked.
    pub(crate) settled: Vec<Option<Settled>>,
    /// What any rule reads; the rest is not even collected.
    pub(crate) reads: Variables,
    /// By rule: whether it asks for the list of its own matches.
    pub(crate) lists: Vec<bool>,
}

/// The plans for one variable in one phase. Each list holds more than one plan only when one trie is too small.
#[derive(Debug, Default)]
pub(crate) struct Reading {
    /// For members that no name below takes.
    pub(crate) any: Vec<u32>,
    /// For one name: everything in `any` and what asks for this name.
    pub(crate) named: Vec<(Box<[u8]>, Vec<u32>)>,
    /// Asked in addition, for names that a pattern takes.
    pub(crate) patterns: Vec<(NamePattern, Vec<u32>)>,
}

impl Reading {
    pub(crate) fn plans(&self, name: &[u8]) -> &[u32] {
        let own = self
            .named
            .iter()
            .find(|(own, _)| own.eq_ignore_ascii_case(name));
        own.map_or(&self.any, |(_, plans)| plans)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.any.is_empty() && self.named.is_empty() && self.patterns.is_empty()
    }
}

impl Program {
    pub(crate) fn new(mut rules: Vec<Rule>, names: Names) -> Result<Self, String> {
        static SERIALS: AtomicU64 = AtomicU64::new(1);
        find_slots(&mut rules, &names);
        let lists = rules.iter().map(reads::lists_matches).collect();
        let mut folded = fold::fold(&rules, &names);
        let mut planner = Planner::default();
        let mut wishes: [Vec<Wish<'_>>; 5] = Default::default();
        let mut direct: [Vec<u32>; 5] = Default::default();
        let living =
            rules
                .iter()
                .zip(0_u32..)
                .zip(&folded.dead)
                .filter(|((rule, number), dead)| {
                    !**dead && !is_idle(rule, *number, &rules, &folded.dead)
                });
        for ((rule, number), _) in living {
            let Some(link) = rule.links.first() else {
                continue;
            };
            if link.is_scannable() {
                let probes = planner.probes(number, link);
                for target in &link.targets {
                    note(&mut wishes, rule.phase, target, &probes);
                }
            } else if let Some(list) =
                direct.get_mut(rule.phase.unwrap_or(Phase::RequestHeaders) as usize)
            {
                list.push(number);
            }
        }
        let settled = settle(&rules, &mut folded, &mut direct);
        let all = by_phase(&rules);
        let phases = wishes.map(|wishes| planner.readings(&wishes));
        let reads = reads::of(&rules);
        let count = planner.literals.count();
        let plans = planner
            .plans
            .into_iter()
            .map(|plan| plan.build(count, &planner.probes))
            .collect();
        let literals = planner.literals.build()?;
        Ok(Self {
            serial: SERIALS.fetch_add(1, Ordering::Relaxed),
            rules,
            probes: planner.probes,
            plans,
            literals,
            phases,
            direct,
            all,
            scores: Scores::of(&names),
            names,
            folded,
            settled,
            reads,
            lists,
        })
    }

    /// Bytes held by the automaton of literals.
    pub(crate) fn memory(&self) -> usize {
        self.literals.memory()
    }
}

/// Which of the names that rules write a pattern takes, is the same for every request.
fn find_slots(rules: &mut [Rule], names: &Names) {
    let links = rules.iter_mut().flat_map(|rule| &mut rule.links);
    for target in links.flat_map(|link| &mut link.targets) {
        if !matches!(target.selector, Selector::Pattern(_)) {
            continue;
        }
        let written = target.variables.and(WRITTEN).iter();
        let known = written.flat_map(|scope| names.iter(scope));
        let own = known.filter(|(name, _)| target.selector.takes(name));
        let mut slots: Vec<u16> = own.map(|(_, slot)| slot).collect();
        slots.sort_unstable();
        target.slots = slots.into();
    }
}

/// The rules of each phase, in order.
fn by_phase(rules: &[Rule]) -> [Vec<u32>; 5] {
    let mut all: [Vec<u32>; 5] = Default::default();
    for (rule, number) in rules.iter().zip(0_u32..) {
        let list = rule.phase.and_then(|phase| all.get_mut(phase as usize));
        if let Some(list) = list {
            list.push(number);
        }
    }
    all
}

/// A jump over rules that are never asked: it changes nothing, whether it is taken or not.
fn is_idle(rule: &Rule, number: u32, rules: &[Rule], dead: &[bool]) -> bool {
    let ([link], Some(to)) = (rule.links.as_slice(), rule.skip_to) else {
        return false;
    };
    let jumps_only = !rule.log && rule.effect == Effect::Pass && !rule.sets_in_links();
    let (from, to) = (number as usize + 1, to as usize);
    let over = rules.iter().zip(dead).take(to).skip(from);
    jumps_only
        && !link.capture
        && over
            .filter(|(other, _)| other.phase == rule.phase)
            .all(|(_, dead)| *dead)
}

/// Rules that follow upon each other and leave the same whatever the request are one: of each such run the first stays
/// in the list and stands for all. What may run or land between two of them ends a run.
fn settle(rules: &[Rule], folded: &mut Folded, direct: &mut [Vec<u32>; 5]) -> Vec<Option<Settled>> {
    let mut made: Vec<Option<Settled>> = rules.iter().map(|_| None).collect();
    let targets: BTreeSet<u32> = rules.iter().filter_map(|rule| rule.skip_to).collect();
    let is_scanned = |number: u32, phase: Phase| {
        let rule = rules.get(number as usize);
        rule.is_some_and(|rule| {
            rule.phase.is_none_or(|own| own == phase)
                && rule.links.first().is_some_and(Link::is_scannable)
        })
    };
    for (list, phase) in direct.iter_mut().zip(PHASES) {
        let mut head: Option<u32> = None;
        let mut last = 0;
        list.retain(|&number| {
            let own = folded
                .settled
                .get_mut(number as usize)
                .and_then(Option::take);
            let Some(own) = own else {
                head = None;
                return true;
            };
            let open = head.filter(|&head| {
                targets.range(head + 1..=number).next().is_none()
                    && !(last..number).any(|between| is_scanned(between, phase))
            });
            last = number;
            let at = open.unwrap_or(number) as usize;
            match made.get_mut(at) {
                Some(Some(run)) => run.then(own),
                Some(empty) => *empty = Some(own),
                None => {}
            }
            head = open.or(Some(number));
            open.is_none()
        });
    }
    made
}

/// What all of two tests need.
fn both(one: Requirements, two: Requirements) -> Requirements {
    let mut two = two.into_iter();
    one.map(|one| Some(one?.and(two.next()??)))
}

/// A variable, the members asked for, and by which probe.
struct Wish<'r> {
    variable: Variable,
    selector: &'r Selector,
    probe: u32,
}

fn note<'r>(
    wishes: &mut [Vec<Wish<'r>>; 5],
    phase: Option<Phase>,
    target: &'r Target,
    probes: &[u32],
) {
    for variable in target.variables.iter() {
        let phase = phase.unwrap_or_else(|| arrival(variable));
        if let Some(list) = wishes.get_mut(phase as usize) {
            list.extend(probes.iter().map(|&probe| Wish {
                variable,
                selector: &target.selector,
                probe,
            }));
        }
    }
}

/// The first phase in which a variable is known.
fn arrival(variable: Variable) -> Phase {
    if variable == Variable::ResponseBody {
        Phase::ResponseBody
    } else if FROM_RESPONSE.has(variable) {
        Phase::ResponseHeaders
    } else if FROM_BODY.has(variable) {
        Phase::RequestBody
    } else {
        Phase::RequestHeaders
    }
}

#[derive(Default)]
struct Planner {
    probes: Vec<Probe>,
    literals: Collector,
    plans: Vec<Builder>,
    /// The same set of probes is planned once, whichever variables ask.
    known: HashMap<Vec<u32>, Vec<u32>>,
}

impl Planner {
    fn probes(&mut self, rule: u32, link: &Link) -> Vec<u32> {
        let alphabets = alphabet::all();
        let requirement = |test: &Test| -> Requirements {
            alphabets.map(|alphabet| match test.negated {
                true => Some(Requirement::none()),
                false => test.operator.requirement(alphabet),
            })
        };
        let each: Vec<Requirements> = link.tests.iter().map(requirement).collect();
        let first = self.probes.len();
        let from = if link.multi { 0 } else { link.pipeline.len() };
        for length in from..=link.pipeline.len() {
            let pipeline = link.pipeline.get(..length).unwrap_or_default();
            let probe = |test, requirements| Probe {
                rule,
                test,
                pipeline: pipeline.to_vec(),
                requirements,
            };
            if link.all {
                let all = each.iter().cloned().reduce(both);
                let all = all.unwrap_or_else(|| alphabets.map(|_| Some(Requirement::none())));
                self.probes.push(probe(None, all));
            } else {
                let each = each.iter().cloned().zip(0_u16..);
                self.probes
                    .extend(each.map(|(requirements, at)| probe(Some(at), requirements)));
            }
        }
        (first..self.probes.len())
            .filter_map(|number| u32::try_from(number).ok())
            .collect()
    }

    fn readings(&mut self, wishes: &[Wish<'_>]) -> Vec<Reading> {
        Variable::ALL
            .iter()
            .map(|&variable| {
                let wishes: Vec<&Wish<'_>> = wishes
                    .iter()
                    .filter(|wish| wish.variable == variable)
                    .collect();
                self.reading(&wishes)
            })
            .collect()
    }

    fn reading(&mut self, wishes: &[&Wish<'_>]) -> Reading {
        let mut any = Vec::new();
        let mut named: Vec<(Box<[u8]>, Vec<u32>)> = Vec::new();
        let mut patterns: Vec<(&NamePattern, Vec<u32>)> = Vec::new();
        for wish in wishes {
            match wish.selector {
                Selector::All => any.push(wish.probe),
                Selector::Name(name) => match named.iter_mut().find(|(own, _)| own == name) {
                    Some((_, probes)) => probes.push(wish.probe),
                    None => named.push((name.clone(), vec![wish.probe])),
                },
                Selector::Pattern(own) => {
                    match patterns.iter_mut().find(|(known, _)| *known == &**own) {
                        Some((_, probes)) => probes.push(wish.probe),
                        None => patterns.push((own, vec![wish.probe])),
                    }
                }
            }
        }
        for (_, probes) in &mut named {
            probes.extend(&any);
        }
        Reading {
            any: self.plan(any),
            named: named
                .into_iter()
                .map(|(name, probes)| (name, self.plan(probes)))
                .collect(),
            patterns: patterns
                .into_iter()
                .map(|(pattern, probes)| (pattern.clone(), self.plan(probes)))
                .collect(),
        }
    }

    fn plan(&mut self, mut probes: Vec<u32>) -> Vec<u32> {
        probes.sort_unstable();
        probes.dedup();
        if let Some(known) = self.known.get(&probes) {
            return known.clone();
        }
        let mut made = Vec::new();
        let mut builder = Builder::default();
        for &number in &probes {
            let Some(probe) = self.probes.get(number as usize) else {
                continue;
            };
            if !builder.add(number, probe, &mut self.literals) {
                made.push(std::mem::take(&mut builder));
                builder.add(number, probe, &mut self.literals);
            }
        }
        if !probes.is_empty() {
            made.push(builder);
        }
        let first = self.plans.len();
        self.plans.extend(made);
        let numbers: Vec<u32> = (first..self.plans.len())
            .filter_map(|n| u32::try_from(n).ok())
            .collect();
        self.known.insert(probes, numbers.clone());
        numbers
    }
}

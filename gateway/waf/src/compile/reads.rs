//! What any rule reads, anywhere: targets of every link, and the variables behind macros. The rest of a request is
//! not even collected.

use crate::{
    rule::{Action, Change, Link, Name, Rule},
    text::{Part, Text},
    variable::{Variable, Variables},
};

/// The lists of what the rule at hand matched.
const MATCHES: Variables = Variables::of(&[Variable::MatchedVars, Variable::MatchedVarNames]);

pub(super) fn of(rules: &[Rule]) -> Variables {
    let each = rules.iter().map(rule);
    each.fold(Variables::NONE, Variables::union)
}

/// Whether a rule asks for the list of its own matches, which otherwise need not be kept.
pub(super) fn lists_matches(of: &Rule) -> bool {
    rule(of).intersects(MATCHES)
}

fn rule(rule: &Rule) -> Variables {
    let reply = rule
        .reply
        .as_ref()
        .and_then(|reply| reply.redirect.as_ref());
    let words = [rule.message.as_ref(), rule.data.as_ref(), reply];
    let words = words.into_iter().flatten().map(text);
    let links = rule.links.iter().map(link);
    words.chain(links).fold(Variables::NONE, Variables::union)
}

fn link(link: &Link) -> Variables {
    let targets = link.targets.iter().map(|target| target.variables);
    let operands = link
        .tests
        .iter()
        .filter_map(|test| test.operator.operand())
        .map(text);
    let actions = link.actions.iter().map(action);
    targets
        .chain(operands)
        .chain(actions)
        .fold(Variables::NONE, Variables::union)
}

fn action(action: &Action) -> Variables {
    let of_name = |name: &Name| match name {
        Name::Slot(_) => Variables::NONE,
        Name::Made(_, name) => text(name),
    };
    match action {
        Action::Set(name, Change::Assign(by) | Change::Add(by) | Change::Subtract(by))
        | Action::Expire(name, by)
        | Action::Deprecate(name, by) => of_name(name).union(text(by)),
        Action::Set(name, Change::Unset) => of_name(name),
        Action::Keep(_, key) => text(key),
        Action::Remove(_)
        | Action::RemoveTarget(..)
        | Action::BodyProcessor(_)
        | Action::Engine(_)
        | Action::ForceBody(_)
        | Action::ReadBody(_)
        | Action::ReadResponse(_) => Variables::NONE,
    }
}

fn text(text: &Text) -> Variables {
    text.parts()
        .iter()
        .fold(Variables::NONE, |all, part| match part {
            Part::Value(target) | Part::Dynamic(target) => all.union(target.variables),
            Part::Literal(_)
            | Part::Tx(_)
            | Part::MatchedVar
            | Part::MatchedVarName
            | Part::Own(_) => all,
        })
}

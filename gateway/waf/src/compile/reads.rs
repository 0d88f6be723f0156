//! What any rule reads, anywhere: targets of every link, and the variables behind macros. The rest of a request is
//! not even collected.

use crate::{
    rule::{Action, Change, Link, Name, Rule},
    text::{Part, Text},
    variable::Variables,
};

pub(super) fn of(rules: &[Rule]) -> Variables {
    rules.iter().fold(Variables::NONE, |all, rule| {
        let message = rule.message.as_ref().map_or(Variables::NONE, text);
        rule.links
            .iter()
            .map(link)
            .fold(all.union(message), Variables::union)
    })
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
    let Action::Set(name, change) = action else {
        return Variables::NONE;
    };
    let name = match name {
        Name::Slot(_) => Variables::NONE,
        Name::Made(name) => text(name),
    };
    match change {
        Change::Assign(by) | Change::Add(by) | Change::Subtract(by) => name.union(text(by)),
        Change::Unset => name,
    }
}

fn text(text: &Text) -> Variables {
    text.parts()
        .iter()
        .fold(Variables::NONE, |all, part| match part {
            Part::Value(target) => all.union(target.variables),
            Part::Literal(_) | Part::Tx(_) | Part::MatchedVar | Part::MatchedVarName => all,
        })
}

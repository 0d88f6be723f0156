//! What loads, or would load, and cannot be meant: routes nobody reaches, things nobody uses.

use super::Build;
use super::routes::Made;
use crate::checks::Check;
use crate::decision::CheckId;
use crate::fault::Path;
use crate::run::Mode;

/// Routes that earlier ones cover wholly. Faulty routes neither cover nor are covered: their match is not certain.
pub(super) fn unreachable(build: &mut Build<'_, '_>, routes: &[Made]) {
    let sound: Vec<&Made> = routes.iter().filter(|made| made.sound).collect();
    for (position, made) in sound.iter().enumerate() {
        let earlier = sound.get(..position).unwrap_or_default();
        let one = earlier
            .iter()
            .find(|other| made.matcher.covered_by(&[&other.matcher]));
        let message = if let Some(other) = one {
            format!(
                "never reached: `{}` (routes[{}]) matches all of it",
                other.route.name, other.index
            )
        } else {
            let all: Vec<_> = earlier.iter().map(|other| &other.matcher).collect();
            if !made.matcher.covered_by(&all) {
                continue;
            }
            "never reached: earlier routes together match all of it".to_owned()
        };
        build
            .faults
            .error(Path::default().key("routes").index(made.index), message);
    }
}

/// Checks that drop clients when they connect. Then no route is known yet: each must ask the check, as it is, or a client
/// would be dropped that some route lets in.
pub(super) fn at_accept(build: &mut Build<'_, '_>, routes: &[Made]) -> Vec<CheckId> {
    let mut found = Vec::new();
    let mut partly = Vec::new();
    for (position, named) in build.checks.named.iter().enumerate() {
        if !drops(&named.check) {
            continue;
        }
        let id = CheckId(u16::try_from(position).unwrap_or(u16::MAX));
        let without = routes.iter().find(|made| {
            let mut steps = made.route.plan.steps.iter();
            !steps.any(|step| step.id == id && step.mode == Mode::Enforce)
        });
        match without {
            Some(made) => partly.push((named.name.clone(), made.route.name.clone())),
            None => found.push(id),
        }
    }
    for (check, route) in partly {
        let at = Path::default().key("checks").key(&check).key("drop");
        let message = format!(
            "no route is known when a client connects, so every route must ask this check, unchanged and enforced; `{route}` does not"
        );
        build.faults.error(at, message);
    }
    found
}

fn drops(check: &Check) -> bool {
    match check {
        Check::Ip(check) => check.drops(),
        Check::Bans(check) => check.drops(),
        // The others know no client before it said something.
        _ => false,
    }
}

/// Things that nothing uses.
pub(super) fn unused(build: &mut Build<'_, '_>) {
    let mut warnings = Vec::new();
    for (index, definition) in build.checks.definitions.iter().enumerate() {
        if !build.was_made(index) {
            let message = if build.skipped.contains(&index) {
                "every route that uses this check skips it"
            } else {
                "no route uses this check: it checks nothing"
            };
            warnings.push((definition.at.clone(), message));
        }
    }
    let section = |section: &str, name: &str| Path::default().key(section).key(name);
    for name in build.unused_chains() {
        warnings.push((section("chains", &name), "no route uses this chain"));
    }
    let upstreams = build.tree.root.entry("upstreams");
    let upstreams = upstreams.map_or(&[][..], |entry| entry.value.entries());
    for (index, entry) in upstreams.iter().enumerate() {
        if !build.used_upstreams.contains(&index) {
            warnings.push((
                section("upstreams", &entry.key),
                "no route goes to this upstream",
            ));
        }
    }
    for name in build.keeper.vault.keys() {
        if !build.keeper.used.contains(name) {
            warnings.push((section("secrets", name), "nothing uses this secret"));
        }
    }
    for (at, message) in warnings {
        build.faults.warning(at, message);
    }
}

//! What loads, or would load, and cannot be meant: routes nobody reaches, things nobody uses.

use super::Build;
use super::routes::Made;
use crate::fault::Path;

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

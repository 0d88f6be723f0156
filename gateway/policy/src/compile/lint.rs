//! What loads, or would load, and cannot be meant: routes nobody reaches, things nobody uses.

use super::Build;
use super::routes::Made;
use crate::checks::Check;
use crate::decision::CheckId;
use crate::fault::Path;
use crate::policy::Named;
use crate::route::pattern::{HostPattern, PathPattern};
use crate::run::{Mode, Target};

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

/// Sessions that never begin or end because no route hears of it, and log-ins that nobody can reach.
pub(super) fn logins(build: &mut Build<'_, '_>, routes: &[Made]) {
    let mut faults = Vec::new();
    let mut seen = Vec::new();
    for named in &build.checks.named {
        let Check::Session(check) = &named.check else {
            continue;
        };
        if seen.contains(&named.name.as_str()) {
            continue;
        }
        seen.push(named.name.as_str());
        let at = Path::default().key("checks").key(&named.name);
        for (key, method, path) in check.watches() {
            let serving = serving(routes, method, path, build.paths);
            let place = at.key(key).key("request");
            let asks = |made: &&Made| steps(build, made).any(|other| other.name == named.name);
            if !serving.iter().any(asks) {
                let message = format!(
                    "no route that serves {path} asks `{}`: it never hears of that",
                    named.name
                );
                faults.push((place.clone(), message));
            }
            if key == "start" {
                let shut = shut(build, &serving, named, path);
                faults.extend(shut.map(|message| (place, message)));
            }
        }
        if check.serves_login() {
            faults.extend(own_login(build, routes, named, &at.key("oidc")));
            // Which host it is on decides between routes of the same pages: what serves others' is none of its business.
            if check.login() == Some(&format!("{}/login", build.pages.path)) {
                continue;
            }
        }
        let Some(page) = check.login() else { continue };
        let serving = serving(routes, Some(&http::Method::GET), page, build.paths);
        if serving.is_empty() {
            let message = format!("no route serves {page}, and who has no session is sent there");
            faults.push((at.key("login"), message));
        }
        let shut = shut(build, &serving, named, page);
        faults.extend(shut.map(|message| (at.key("login"), message)));
    }
    for (at, message) in faults {
        build.faults.error(at, message);
    }
}

/// A log-in on the gateway's own pages that no route serves, or that nobody reaches.
fn own_login(
    build: &Build<'_, '_>,
    routes: &[Made],
    named: &Named,
    at: &Path,
) -> Vec<(Path, String)> {
    let own: Vec<&Made> = routes
        .iter()
        .filter(|made| pages_of(build, made, &named.name))
        .collect();
    let pages = &build.pages.path;
    let unserved = own.is_empty().then(|| {
        format!(
            "no route serves its log-in: {{name: own-pages, match: {{path: \"{pages}/*\"}}, serve: [{0}], use: [{0}]}}",
            named.name
        )
    });
    let shut = shut(build, &own, named, &format!("{pages}/login"));
    let found = unserved.into_iter().chain(shut);
    found.map(|message| (at.clone(), message)).collect()
}

/// Whether a route serves the pages of this check.
fn pages_of(build: &Build<'_, '_>, made: &Made, name: &str) -> bool {
    let Target::Pages(served) = &made.route.plan.target else {
        return false;
    };
    let mut served = served
        .iter()
        .filter_map(|id| build.checks.named.get(usize::from(id.0)));
    served.any(|check| check.name == name)
}

/// Names as they were typed, where a check keeps something for a user by that name. To an application that ignores case
/// `Ann` is `ann`, and to the check a user who enrolled nothing and may come from anywhere.
pub(super) fn spelling(build: &mut Build<'_, '_>) {
    let keeps = |named: &&Named| matches!(named.check, Check::StepUp(_) | Check::IpAllowlist(_));
    let Some(keeper) = build.checks.named.iter().find(keeps) else {
        return;
    };
    let message = format!(
        "`{}` keeps something for each user by name: write `fold: true` where `Ann` and `ann` are one user to the \
         application, as they are to most, `fold: false` where they are two",
        keeper.name
    );
    let typed = build
        .checks
        .named
        .iter()
        .filter(|named| match &named.check {
            Check::Session(check) => check.is_as_typed(),
            _ => false,
        });
    let names: std::collections::BTreeSet<_> = typed.map(|named| named.name.clone()).collect();
    for name in names {
        let at = Path::default()
            .key("checks")
            .key(&name)
            .key("start")
            .key("fold");
        build.faults.error(at, message.clone());
    }
}

/// The checks of a route.
fn steps<'b>(build: &'b Build<'_, '_>, made: &'b Made) -> impl Iterator<Item = &'b Named> {
    let steps = made.route.plan.steps.iter();
    steps.filter_map(|step| build.checks.named.get(usize::from(step.id.0)))
}

/// Why who has not signed in cannot reach a log-in; they would be sent to and fro for ever, or refused.
fn shut(build: &Build<'_, '_>, serving: &[&Made], of: &Named, path: &str) -> Option<String> {
    let Check::Session(own) = &of.check else {
        return None;
    };
    let refuses = |other: &&Named| match &other.check {
        _ if other.name == of.name => false,
        Check::Session(check) => !other.check.gives().anonymous && check.login() != own.login(),
        Check::Authorize(check) => other.check.needs().identity && !check.lets_strangers(),
        check => check.gives().identity && !check.gives().anonymous,
    };
    serving.iter().find_map(|made| {
        let other = steps(build, made).find(refuses)?;
        Some(format!(
            "`{}` of the route `{}` lets in only who has signed in, and {path} is where that happens: give it a route of \
             its own",
            other.name, made.route.name
        ))
    })
}

/// The routes that such a request may take, whatever its host and header fields: up to the first that takes all of them.
fn serving<'m>(
    routes: &'m [Made],
    method: Option<&http::Method>,
    path: &str,
    rules: crate::path::Rules,
) -> Vec<&'m Made> {
    let Ok(path) = PathPattern::parse(path) else {
        return Vec::new();
    };
    let path = path.compared(rules);
    let fits = |made: &&Made| {
        let method = method.is_none_or(|method| made.matcher.takes(method));
        method && made.matcher.paths.iter().any(|own| own.covers(&path))
    };
    let mut found = Vec::new();
    for made in routes.iter().filter(fits) {
        found.push(made);
        let matcher = &made.matcher;
        let any_method = matcher.methods.is_empty() || method.is_some();
        if any_method && matcher.hosts.contains(&HostPattern::Any) && matcher.headers.is_empty() {
            break;
        }
    }
    found
}

/// What a restart must not forget, and does where `state` is memory.
pub(super) fn forgotten(build: &mut Build<'_, '_>) {
    let mut found: Vec<(&str, &str)> = Vec::new();
    for named in &build.checks.named {
        let what = match &named.check {
            Check::StepUp(_) => {
                "second factors, and whoever has a password enrols one of their own"
            }
            Check::ApiKey(_) => "keys",
            Check::IpAllowlist(_) => "the networks of users",
            _ => continue,
        };
        if !found.iter().any(|(_, known)| *known == what) {
            found.push((&named.name, what));
        }
    }
    let warnings: Vec<_> = found
        .into_iter()
        .map(|(name, what)| {
            let message = format!(
                "`state` is memory: a restart forgets {what}; `kind: file` or `redis` keeps them"
            );
            (Path::default().key("checks").key(name), message)
        })
        .collect();
    for (at, message) in warnings {
        build.faults.warning(at, message);
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

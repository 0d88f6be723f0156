//! What checks need of each other and of the request: wrong order, routes without identity, bodies that cannot be held.

use super::Build;
use super::chains::Use;
use super::routes::paired;
use crate::fault::Path;
use crate::policy::Route;
use crate::run::Mode;

/// Checks the order, and gathers what the route's checks ask of body and answer.
pub(super) fn check(build: &mut Build<'_, '_>, route: &mut Route, uses: &[Use], at: &Path) {
    identity(build, route, uses, at);
    place(build, route, uses);
    let mut edits = Vec::new();
    let (mut body_need, mut max_body, mut max_response) = (None, route.max_body, None);
    for (step, used) in paired(route, uses) {
        let Some(named) = build.checks.named.get(usize::from(step.id.0)) else {
            continue;
        };
        if step.mode == Mode::Disabled && step.until.is_none() {
            continue;
        }
        let needs = named.check.needs();
        if needs.body.is_some() && route.stream {
            let message = format!(
                "`{}` needs the whole body, and `stream` says that there is no end to it",
                named.name
            );
            build.faults.error(used.at.clone(), message);
        }
        body_need = needs.body.max(body_need);
        // What only observes must not change answers either.
        if matches!(step.mode, Mode::Observe | Mode::Disabled) {
            continue;
        }
        let work = named.check.response_work();
        edits.extend(work.edits);
        max_body = work.max_request.unwrap_or(u64::MAX).min(max_body);
        max_response = match (max_response, work.max_body) {
            (Some(one), Some(other)) => Some(other.min(one)),
            (one, other) => one.or(other),
        };
    }
    (route.body_need, route.max_body) = (body_need, max_body);
    (route.max_response, route.edits) = (max_response, edits);
}

fn place(build: &mut Build<'_, '_>, route: &Route, uses: &[Use]) {
    let mut known = false;
    for (step, used) in paired(route, uses) {
        let Some(named) = build.checks.named.get(usize::from(step.id.0)) else {
            continue;
        };
        if named.check.needs().place && !known && step.mode != Mode::Disabled {
            let name = &named.name;
            let message =
                format!("`{name}` needs to know where the client is: put a geo check before it");
            build.faults.error(used.at.clone(), message);
        }
        known |= named.check.gives().place && step.mode != Mode::Disabled;
    }
}

fn identity(build: &mut Build<'_, '_>, route: &Route, uses: &[Use], at: &Path) {
    let mut known = false;
    let mut observed = None;
    let pairs = paired(route, uses);
    for (position, (step, used)) in pairs.iter().enumerate() {
        let Some(named) = build.checks.named.get(usize::from(step.id.0)) else {
            continue;
        };
        if named.check.needs().identity && !known && step.mode != Mode::Disabled {
            let later = pairs.iter().skip(position + 1).find_map(|(step, _)| {
                let later = build.checks.named.get(usize::from(step.id.0))?;
                later.check.gives().identity.then_some(later.name.as_str())
            });
            let name = &named.name;
            let message = match later {
                Some(later) => format!("`{name}` needs to know who asks: put it after `{later}`"),
                None => format!(
                    "`{name}` needs to know who asks: put a check before it that establishes that, such as jwt"
                ),
            };
            build.faults.error(used.at.clone(), message);
        }
        if named.check.gives().identity {
            known |= step.mode != Mode::Disabled;
            if matches!(step.mode, Mode::Observe | Mode::Sample(_)) {
                observed = Some((named.name.clone(), used.at.clone()));
            }
        }
    }
    match (&route.public, known) {
        (None, false) => {
            let message = "nobody has to say who they are here: use a check that establishes it, such as jwt, or say \
                           why not: `public: \"reason\"`";
            build.faults.error(at.clone(), message);
        }
        (Some(reason), false) if reason.trim().is_empty() => {
            build
                .faults
                .error(at.key("public"), "a public route needs a reason");
        }
        (Some(_), true) => {
            let message = "this route establishes who asks: it is not public";
            build.faults.warning(at.key("public"), message);
        }
        (Some(_), false) | (None, true) => {}
    }
    if let Some((name, at)) = observed {
        build.faults.warning(
            at,
            format!("`{name}` only observes: this route lets in whoever comes"),
        );
    }
}

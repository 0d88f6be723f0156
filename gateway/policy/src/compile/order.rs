//! What checks need of each other and of the request: wrong order, routes without identity, bodies that cannot be held.

use super::Build;
use super::chains::Use;
use super::routes::paired;
use crate::checks::{Check, Gives, Needs};
use crate::decision::CheckId;
use crate::fault::Path;
use crate::policy::Route;
use crate::response::ResponseNeed;
use crate::run::{Mode, Step, Target};
use crate::scalar::Size;

/// Checks the order, and gathers what the route's checks ask of body and answer.
/// Longest body that a page of the gateway's own asks for.
const FORM: u64 = 64 << 10;

pub(super) fn check(build: &mut Build<'_, '_>, route: &mut Route, uses: &[Use], at: &Path) {
    order(build, route, uses);
    roles(build, route, uses);
    emergencies(build, route, uses);
    public(build, route, uses, at);
    let mut edits = Vec::new();
    let mut reads: Option<ResponseNeed> = None;
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
        let work = named.check.response_work();
        reads = match (reads, work.reads) {
            (Some(one), Some(other)) => Some(ResponseNeed::union(&one, &other)),
            (one, other) => one.or(other),
        };
        // What only observes must not change answers either.
        if matches!(step.mode, Mode::Observe | Mode::Disabled) {
            continue;
        }
        edits.extend(work.edits);
        if let Some(most) = work.max_request.filter(|&most| most > route.max_body) {
            let message = format!(
                "`{}` allows {}, but the route's own `max_body` of {} holds",
                named.name,
                Size(most),
                Size(route.max_body)
            );
            build.faults.warning(used.at.clone(), message);
        }
        max_body = work.max_request.unwrap_or(u64::MAX).min(max_body);
        max_response = match (max_response, work.max_body) {
            (Some(one), Some(other)) => Some(other.min(one)),
            (one, other) => one.or(other),
        };
    }
    if let Target::Pages(served) = &route.plan.target {
        // Forms of our own pages are short.
        body_need = body_need.max(Some(FORM));
        pages(build, route, uses, served, at);
    }
    (route.body_need, route.max_body) = (body_need, max_body);
    (route.max_response, route.edits) = (max_response, edits);
    route.response_need = reads;
}

/// Pages need what their checks need; and who is sent to a second factor's page must not be asked for one there.
fn pages(build: &mut Build<'_, '_>, route: &Route, uses: &[Use], served: &[CheckId], at: &Path) {
    for (index, id) in served.iter().enumerate() {
        let Some(page) = build.checks.named.get(usize::from(id.0)) else {
            continue;
        };
        let (name, needs) = (page.name.clone(), page.check.needs());
        let asks = matches!(page.check, Check::StepUp(_));
        let mut given = Gives::default();
        for (step, used) in paired(route, uses) {
            let named = build.checks.named.get(usize::from(step.id.0));
            let Some(named) = named.filter(|_| step.mode != Mode::Disabled) else {
                continue;
            };
            let gives = named.check.gives();
            given.identity |= gives.identity;
            given.session |= gives.session;
            if asks && named.name == name {
                let message = format!(
                    "`{name}` would ask for a second factor on the page where it is proven: leave it out here \
                     (`skip`, where a chain brings it)"
                );
                build.faults.error(used.at.clone(), message);
            }
        }
        if (needs.identity && !given.identity) || (needs.session && !given.session) {
            let message = format!(
                "the pages of `{name}` need a session: use a check that establishes one, such as session"
            );
            build.faults.error(at.key("serve").index(index), message);
        }
    }
}

/// What a check may need of those before it: how it is said, and who gives it.
struct Given {
    needed: fn(Needs) -> bool,
    given: fn(Gives) -> bool,
    what: &'static str,
    example: &'static str,
}

const GIVEN: [Given; 3] = [
    Given {
        needed: |needs| needs.identity,
        given: |gives| gives.identity,
        what: "who asks",
        example: "jwt",
    },
    Given {
        needed: |needs| needs.session,
        given: |gives| gives.session,
        what: "the session",
        example: "session",
    },
    Given {
        needed: |needs| needs.place,
        given: |gives| gives.place,
        what: "where the client is",
        example: "geo",
    },
];

fn order(build: &mut Build<'_, '_>, route: &Route, uses: &[Use]) {
    let pairs = paired(route, uses);
    let named = |build: &Build<'_, '_>, step: &Step| {
        let named = build.checks.named.get(usize::from(step.id.0))?;
        Some((named.name.clone(), named.check.needs(), named.check.gives()))
    };
    for given in &GIVEN {
        let mut known = false;
        for (position, (step, used)) in pairs.iter().enumerate() {
            let Some((name, needs, gives)) =
                named(build, step).filter(|_| step.mode != Mode::Disabled)
            else {
                continue;
            };
            if (given.needed)(needs) && !known {
                let after = pairs.iter().skip(position + 1);
                let later = after
                    .filter_map(|(step, _)| named(build, step))
                    .find(|(_, _, gives)| (given.given)(*gives));
                let advice = match later {
                    Some((later, ..)) => format!("put it after `{later}`"),
                    None => format!(
                        "put a check before it that establishes that, such as {}",
                        given.example
                    ),
                };
                let message = format!("`{name}` needs to know {}: {advice}", given.what);
                build.faults.error(used.at.clone(), message);
            }
            known |= (given.given)(gives);
        }
    }
}

/// Who must have a second factor by a role is who has that role for `authorize` as well: where the two read it from
/// different claims, nobody would be asked for anything.
fn roles(build: &mut Build<'_, '_>, route: &Route, uses: &[Use]) {
    let active = paired(route, uses)
        .into_iter()
        .filter(|(step, _)| step.mode != Mode::Disabled);
    let active: Vec<_> = active.collect();
    let mut wrong = Vec::new();
    let find = |step: &Step| build.checks.named.get(usize::from(step.id.0));
    for (step, used) in &active {
        let Some((factors, Check::StepUp(check))) = find(step).map(|named| (named, &named.check))
        else {
            continue;
        };
        for authorize in active.iter().filter_map(|(step, _)| find(step)) {
            let Check::Authorize(read) = &authorize.check else {
                continue;
            };
            if let Some(claim) = check.unread_role(read) {
                let message = format!(
                    "`{}` reads roles from {claim}, and `{}` does not: it would ask nobody for a second factor by such a role. \
                     Give it the same `role_from`",
                    authorize.name, factors.name
                );
                wrong.push((used.at.clone(), message));
            }
        }
    }
    for (at, message) in wrong {
        build.faults.error(at, message);
    }
}

/// What a token for emergencies lets pass comes after the check that reads the token, and is never what establishes who
/// asks: nobody becomes somebody by an emergency.
fn emergencies(build: &mut Build<'_, '_>, route: &Route, uses: &[Use]) {
    let pairs = paired(route, uses);
    let mut wrong = Vec::new();
    for (position, (step, used)) in pairs.iter().enumerate() {
        let Some(named) = build.checks.named.get(usize::from(step.id.0)) else {
            continue;
        };
        let Check::BreakGlass(check) = &named.check else {
            continue;
        };
        for (other, (passed, _)) in pairs.iter().enumerate() {
            let passed = build.checks.named.get(usize::from(passed.id.0));
            let Some(passed) = passed.filter(|passed| check.passes().contains(&passed.name)) else {
                continue;
            };
            let (name, gives) = (&passed.name, passed.check.gives());
            if gives.identity || gives.session {
                let why = format!("`{name}` establishes who asks: no emergency may let it pass");
                wrong.push((used.at.clone(), why));
            } else if other <= position {
                let why = format!(
                    "`{}` comes after `{name}`, which it may let pass",
                    named.name
                );
                wrong.push((used.at.clone(), why));
            }
        }
        for name in check.passes() {
            if !build.checks.by_name.contains_key(name.as_str()) {
                let at = Path::default().key("checks").key(&named.name).key("passes");
                wrong.push((at, format!("there is no check `{name}`")));
            }
        }
    }
    for (at, why) in wrong {
        build.faults.error(at, why);
    }
}

/// A route says why it is public exactly when nothing makes its clients say who they are.
fn public(build: &mut Build<'_, '_>, route: &Route, uses: &[Use], at: &Path) {
    let mut known = false;
    let mut observed = None;
    for (step, used) in paired(route, uses) {
        let Some(named) = build.checks.named.get(usize::from(step.id.0)) else {
            continue;
        };
        let gives = named.check.gives();
        if gives.identity && !gives.anonymous && step.mode != Mode::Disabled {
            known = true;
            if matches!(step.mode, Mode::Observe | Mode::Sample(_)) {
                observed = Some((named.name.clone(), used.at.clone()));
            }
        }
    }
    let key = at.key("public");
    match (&route.public, known) {
        (None, false) => {
            let message = "nobody has to say who they are here: use a check that establishes it, such as jwt, or say \
                           why not: `public: \"reason\"`";
            build.faults.error(at.clone(), message);
        }
        (Some(reason), false) if reason.trim().is_empty() => {
            build.faults.error(key, "a public route needs a reason");
        }
        (Some(_), true) => build
            .faults
            .warning(key, "this route establishes who asks: it is not public"),
        (Some(_), false) | (None, true) => {}
    }
    if let Some((name, at)) = observed {
        build.faults.warning(
            at,
            format!("`{name}` only observes: this route lets in whoever comes"),
        );
    }
}

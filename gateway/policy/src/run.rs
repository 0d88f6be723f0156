//! Asks a route's checks in order: the only place that orders them, and the only one that makes a [`Permit`].

use std::sync::Arc;

use smallvec::SmallVec;

use crate::checks::{Check, Turn};
use crate::decision::{
    Action, Answer, CheckId, Decision, Denial, Effects, Outcome, Permit, Reason, RouteId,
    UpstreamId, Would,
};
use crate::io::{Io, Key};
use crate::key::client_network;
use crate::policy::Policy;
use crate::request::{Facts, Identity, Request, Session};

/// Whether a check's refusals count.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Mode {
    /// Refusals refuse.
    Enforce,
    /// Everything is evaluated; a refusal becomes `would`. Counters advance.
    Observe,
    /// Enforced for this share of clients (0.0 to 1.0), observed for the rest.
    Sample(f64),
    /// Not asked.
    Disabled,
}

/// A check where a route asks it.
#[derive(Debug)]
pub struct Step {
    /// Position in the policy.
    pub id: CheckId,
    /// What a refusal does.
    pub mode: Mode,
    /// Unix milliseconds after which the mode is `enforce` again.
    pub until: Option<u64>,
}

/// Where what passed every check goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// To servers.
    Upstream(UpstreamId),
    /// To pages that these checks serve.
    Pages(Vec<CheckId>),
}

/// Everything a run needs of one route.
#[derive(Debug)]
pub struct Plan {
    /// The route.
    pub route: RouteId,
    /// Its stable identity, from its name (`key::stable`), for counters that must survive a reload.
    pub stable_id: u64,
    /// Where it goes.
    pub target: Target,
    /// Its checks, in order.
    pub steps: Vec<Step>,
}

/// Called after every check that was asked: `explain` prints it, production ignores it.
pub trait Watch: Send {
    /// `check` gave `answer`.
    fn asked(&mut self, check: CheckId, answer: &Answer, mode: Mode);
}

/// Watches nothing.
#[derive(Debug)]
pub struct Unwatched;

impl Watch for Unwatched {
    fn asked(&mut self, _: CheckId, _: &Answer, _: Mode) {}
}

/// Decides about one request. `assumed` stands in for what identity checks would have found out: tests of a policy
/// hold no tokens. Production passes `None`.
pub(crate) async fn run<I: Io>(
    plan: &Plan,
    policy: &Policy,
    request: &Request<'_>,
    io: &mut I,
    watch: &mut impl Watch,
    assumed: Option<&Arc<Identity>>,
) -> Decision {
    let mut facts = Facts::default();
    let mut effects = Effects::default();
    let mut would = SmallVec::new();
    let (check, outcome) = 'decided: {
        for step in &plan.steps {
            let mode = effective(step, request, io.now().unix);
            if mode == Mode::Disabled || passes(&facts, policy, step.id) {
                continue;
            }
            let written = effects.response.len();
            let mut turn = Turn {
                request,
                facts: &mut facts,
                effects: &mut effects,
                io,
                id: step.id,
                mode,
                route: plan.stable_id,
            };
            let known = which(turn.facts.identity.as_ref());
            let answer = answer(policy.check(step.id), &mut turn, assumed).await;
            watch.asked(step.id, &answer, mode);
            if which(facts.identity.as_ref()) != known {
                facts.established.push(step.id);
            }
            let outcome = match answer {
                Answer::Pass => continue,
                Answer::Deny(denial) if mode == Mode::Observe => {
                    // What the refusal would have said (WWW-Authenticate) has no place on an answer that passes.
                    effects.response.truncate(written);
                    would.push(Would {
                        check: step.id,
                        reason: denial.reason,
                    });
                    continue;
                }
                Answer::Reply(reply) if mode == Mode::Observe && reply.action != Action::Allow => {
                    effects.response.truncate(written);
                    would.push(Would {
                        check: step.id,
                        reason: reply.reason,
                    });
                    continue;
                }
                Answer::Deny(denial) => Outcome::Deny(denial),
                Answer::Reply(reply) => Outcome::Reply(reply),
            };
            policy.abandon_response(&mut facts);
            facts.awaits.clear();
            break 'decided (Some(step.id), outcome);
        }
        match &plan.target {
            Target::Upstream(upstream) => {
                let permit = Permit::new(*upstream, facts.identity.clone());
                (None, Outcome::Permit(permit))
            }
            Target::Pages(checks) => {
                let mut turn = Turn {
                    request,
                    facts: &mut facts,
                    effects: &mut effects,
                    io,
                    id: CheckId(0),
                    mode: Mode::Enforce,
                    route: plan.stable_id,
                };
                let served = page(policy, checks, &mut turn).await;
                policy.abandon_response(&mut facts);
                facts.awaits.clear();
                served
            }
        }
    };
    Decision {
        route: Some(plan.route),
        check,
        outcome,
        would,
        facts,
        effects,
    }
}

/// Tells one identity from another: where it lies, so that nothing is compared.
fn which(identity: Option<&Arc<Identity>>) -> Option<usize> {
    identity.map(|identity| Arc::as_ptr(identity).addr())
}

/// Whether an emergency lets a check pass. Only checks that the policy names for it ever do: see `break_glass`.
pub(crate) fn passes(facts: &Facts, policy: &Policy, check: CheckId) -> bool {
    let Some(passes) = &facts.passes else {
        return false;
    };
    let name = policy.check_name(check);
    passes.iter().any(|pass| pass == name)
}

/// The page of the check that serves this path.
async fn page<I: Io>(
    policy: &Policy,
    checks: &[CheckId],
    turn: &mut Turn<'_, '_, I>,
) -> (Option<CheckId>, Outcome) {
    let base = policy.settings().pages.path.as_str();
    let rest = turn.request.path.strip_prefix(base).unwrap_or_default();
    let rest = rest.trim_start_matches('/');
    let first = rest.split('/').next().unwrap_or_default();
    let serves = |id: &&CheckId| {
        let check = policy.check(**id);
        check.is_some_and(|check| check.pages().contains(&first))
    };
    let Some(id) = checks.iter().find(serves).copied() else {
        return (None, refusal(Reason::NoRoute));
    };
    turn.id = id;
    let answer = match policy.check(id) {
        Some(check) => check.page(turn, rest).await,
        None => Answer::deny(Reason::Internal),
    };
    let outcome = match answer {
        // A page that has nothing to say is a broken invariant: there is nowhere to pass to.
        Answer::Pass => refusal(Reason::Internal),
        Answer::Deny(denial) => Outcome::Deny(denial),
        Answer::Reply(reply) => Outcome::Reply(reply),
    };
    (Some(id), outcome)
}

fn refusal(reason: Reason) -> Outcome {
    Outcome::Deny(Denial {
        reason,
        status: reason.status(),
        retry_after: None,
    })
}

/// One check's answer; a check that is not there refuses.
async fn answer<I: Io>(
    check: Option<&Check>,
    turn: &mut Turn<'_, '_, I>,
    assumed: Option<&Arc<Identity>>,
) -> Answer {
    match check {
        Some(check) if assumed.is_some() && check.gives().identity => {
            turn.facts.identity = assumed.cloned();
            turn.facts.session = check.gives().session.then_some(Session {
                binding: Key(0),
                started: turn.io.now().unix / 1000,
            });
            Answer::Pass
        }
        Some(check) => check.ask(turn).await,
        None => Answer::deny(Reason::Internal),
    }
}

/// The mode for this request: `until` ends observing, `sample` enforces on a stable share of clients.
pub(crate) fn effective(step: &Step, request: &Request<'_>, now: u64) -> Mode {
    if step.until.is_some_and(|until| now >= until) {
        return Mode::Enforce;
    }
    match step.mode {
        Mode::Sample(share) if sampled(request, share) => Mode::Enforce,
        Mode::Sample(_) => Mode::Observe,
        mode => mode,
    }
}

/// The same client is always in or out: an application never sees half of one visit enforced.
fn sampled(request: &Request<'_>, share: f64) -> bool {
    use std::hash::Hasher;
    let mut hasher = siphasher::sip::SipHasher13::new();
    // An IPv6 client has a /64 of addresses: else it would ask again from another until it is observed only.
    match client_network(request.client) {
        std::net::IpAddr::V4(address) => hasher.write(&address.octets()),
        std::net::IpAddr::V6(address) => hasher.write(&address.octets()),
    }
    let point = f64::from((hasher.finish() >> 40) as u32) / f64::from(1u32 << 24);
    point < share
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::testing::Scene;

    #[test]
    fn a_client_is_in_or_out_of_a_share_with_its_whole_network() {
        let inside = |client: &str| {
            let scene = Scene {
                client: client.parse().unwrap(),
                ..Scene::default()
            };
            scene.asked(|request| sampled(request, 0.5))
        };
        for network in 0..64 {
            let first = inside(&format!("2001:db8:0:{network:x}::1"));
            assert!(
                (2..40).all(|host| inside(&format!("2001:db8:0:{network:x}::{host:x}")) == first)
            );
        }
        let networks = (0..1000)
            .filter(|network| inside(&format!("2001:db8:1:{network:x}::1")))
            .count();
        assert!((400..600).contains(&networks), "{networks}");
        assert_eq!(inside("::ffff:192.0.2.1"), inside("192.0.2.1"));
    }
}

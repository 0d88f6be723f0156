//! Whether what let a request in would still do so: WebSockets and streams outlive sessions, tokens and bans. Counts
//! nothing, prolongs nothing, and asks only the checks that know of an end.

use std::sync::Arc;

use smallvec::SmallVec;

use crate::checks::{Check, Turn};
use crate::decision::{CheckId, Effects, Reason, RouteId};
use crate::io::Io;
use crate::policy::Policy;
use crate::request::{Facts, Identity, Request};
use crate::run::{Mode, effective, passes};

/// What a decision rested on.
#[derive(Debug, Clone, Default)]
pub struct Standing {
    identity: Option<Arc<Identity>>,
    /// The checks that found out who asks.
    established: SmallVec<[CheckId; 2]>,
    passes: Option<Arc<[String]>>,
}

impl Standing {
    /// That of a request that was permitted.
    #[must_use]
    pub fn of(facts: &Facts) -> Self {
        Self {
            identity: facts.identity.clone(),
            established: facts.established.clone(),
            passes: facts.passes.clone(),
        }
    }

    /// Who asked.
    #[must_use]
    pub fn user(&self) -> Option<&str> {
        self.identity
            .as_ref()
            .map(|identity| identity.user.as_str())
    }
}

impl Policy {
    /// Whether there is anything on the route that may end while a request goes on.
    #[must_use]
    pub fn may_end(&self, route: RouteId) -> bool {
        let steps = self.at(route).map(|route| &route.plan.steps);
        let mut checks = steps
            .into_iter()
            .flatten()
            .filter_map(|step| self.check(step.id));
        checks.any(ends)
    }

    /// Asks again whether the request may go on.
    ///
    /// # Errors
    /// Which check would refuse it by now, and why.
    pub async fn holds<I: Io>(
        &self,
        route: RouteId,
        request: &Request<'_>,
        standing: &Standing,
        io: &mut I,
    ) -> Result<(), (CheckId, Reason)> {
        let Some(route) = self.at(route) else {
            return Err((CheckId(u16::MAX), Reason::Internal));
        };
        let mut facts = Facts {
            passes: standing.passes.clone(),
            ..Facts::default()
        };
        let mut effects = Effects::default();
        for step in &route.plan.steps {
            let mode = effective(step, request, io.now().unix);
            let Some(check) = self.check(step.id).filter(|check| ends(check)) else {
                continue;
            };
            let identifies = check.gives().identity;
            let asked = !identifies || standing.established.contains(&step.id);
            if !asked || passes(&facts, self, step.id) {
                continue;
            }
            let mut turn = Turn {
                request,
                facts: &mut facts,
                effects: &mut effects,
                io,
                id: step.id,
                mode,
                route: route.plan.stable_id,
            };
            if mode == Mode::Enforce {
                let held = check.holds(&mut turn).await;
                held.map_err(|reason| (step.id, reason))?;
            }
            if identifies {
                // Those behind it see who asks, as they did then.
                facts.identity.clone_from(&standing.identity);
            }
        }
        Ok(())
    }
}

/// Checks whose answer may be another one while a request goes on.
fn ends(check: &Check) -> bool {
    match check {
        Check::Bans(_) | Check::IpAllowlist(_) => true,
        check => check.gives().identity,
    }
}

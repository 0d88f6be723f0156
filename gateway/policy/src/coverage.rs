//! What is enforced where: for people who answer for a policy. Facts of the compiled policy, not of its text.

use serde::Serialize;

use crate::policy::{Policy, Route, Skipped};
use crate::run::{Mode, Step, Target};

/// One route, as it is checked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Covered {
    /// The route.
    pub route: String,
    /// What it matches: `POST shop.example.com/api/*`.
    pub matches: Vec<String>,
    /// Where it goes.
    pub upstream: String,
    /// Why nobody has to say who they are; `None`: somebody has to.
    pub public: Option<String>,
    /// What is asked, in order.
    pub checks: Vec<Asked>,
    /// What is left out, and why.
    pub skipped: Vec<Skipped>,
}

/// One check of a route.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Asked {
    /// Its name.
    pub check: String,
    /// The word after `check:`.
    pub kind: &'static str,
    /// `enforce`, `observe`, `disabled`, or `enforce 10%`.
    pub mode: String,
    /// When the mode ends and it is enforced, RFC 3339.
    pub until: Option<String>,
    /// Whether the route's `with:` changed it.
    pub changed: bool,
    /// Checks that it may let pass, unasked.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub passes: Vec<String>,
}

impl Policy {
    /// What is enforced where, by route.
    #[must_use]
    pub fn coverage(&self) -> Vec<Covered> {
        let matchers = self.router.matchers();
        self.routes
            .iter()
            .zip(matchers)
            .map(|(route, matcher)| Covered {
                route: route.name.clone(),
                matches: matcher.describe(),
                upstream: match &route.plan.target {
                    Target::Upstream(id) => self
                        .upstream(*id)
                        .map_or_else(String::new, |group| group.name.clone()),
                    Target::Pages(checks) => {
                        let names = checks.iter().map(|check| self.check_name(*check));
                        format!("pages of {}", names.collect::<Vec<_>>().join(", "))
                    }
                },
                public: route.public.clone(),
                checks: self.asked(route),
                skipped: route.skipped.clone(),
            })
            .collect()
    }

    fn asked(&self, route: &Route) -> Vec<Asked> {
        let one = |step: &Step| Asked {
            check: self.check_name(step.id).to_owned(),
            kind: self.check_kind(step.id),
            mode: match step.mode {
                Mode::Enforce => "enforce".to_owned(),
                Mode::Observe => "observe".to_owned(),
                Mode::Disabled => "disabled".to_owned(),
                Mode::Sample(share) => format!("enforce {}%", share * 100.0),
            },
            until: step.until.and_then(|until| {
                let moment = jiff::Timestamp::from_millisecond(i64::try_from(until).ok()?).ok()?;
                Some(moment.to_string())
            }),
            changed: self.changed(step.id),
            passes: self.passes(step.id).to_vec(),
        };
        route.plan.steps.iter().map(one).collect()
    }
}

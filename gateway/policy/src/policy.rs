//! A compiled policy: what the server asks. Made whole by [`Policy::load`] or not at all.

use http::HeaderName;

use crate::checks::{Check, Edit};
use crate::decision::{CheckId, Decision, RouteId, UpstreamId};
use crate::fault::{Fault, Path, Weight};
use crate::io::Io;
use crate::request::Request;
use crate::run::{self, Plan, Watch};
use crate::settings::{Settings, Upstream};
use crate::sources::Sources;

/// A policy that loaded, and what deserves a look in it.
#[derive(Debug)]
pub struct Loaded {
    /// The policy.
    pub policy: Policy,
    /// Faults of weight warning.
    pub warnings: Vec<Fault>,
}

/// A compiled policy. Immutable: a reload makes another one.
#[derive(Debug, Default)]
pub struct Policy {
    settings: Settings,
    hash: String,
    routes: Vec<Route>,
    checks: Vec<Named>,
    owned_headers: Vec<HeaderName>,
    default_edits: Vec<Edit>,
}

#[derive(Debug)]
struct Route {
    name: String,
    plan: Plan,
    body_need: Option<u64>,
    max_body: u64,
    max_response: Option<u64>,
    stream: bool,
    edits: Vec<Edit>,
}

#[derive(Debug)]
struct Named {
    name: String,
    check: Check,
}

impl Policy {
    /// Reads, checks and compiles. `root_file` and every other path go to `sources` as written (an include's path is
    /// joined to its including file's folder). `now` is Unix milliseconds, for `until:`.
    ///
    /// # Errors
    /// Every fault at once, warnings among them; at least one is an error.
    pub fn load(
        root_file: &str,
        _sources: &mut dyn Sources,
        _now: u64,
    ) -> Result<Loaded, Vec<Fault>> {
        Err(vec![Fault {
            weight: Weight::Error,
            file: root_file.to_owned(),
            line: 0,
            column: 0,
            path: Path::default(),
            message: "the policy language is not there yet".to_owned(),
        }])
    }

    /// What it says about the gateway itself.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Short hex over every file and variable that was read.
    #[must_use]
    pub fn hash(&self) -> &str {
        &self.hash
    }

    /// The first route that matches. Allocates nothing.
    #[must_use]
    pub fn route(&self, _request: &Request<'_>) -> Option<RouteId> {
        None
    }

    /// Name of a route.
    #[must_use]
    pub fn route_name(&self, route: RouteId) -> &str {
        self.at(route).map_or("", |found| found.name.as_str())
    }

    /// Name of a check.
    #[must_use]
    pub fn check_name(&self, check: CheckId) -> &str {
        self.checks
            .get(usize::from(check.0))
            .map_or("", |found| found.name.as_str())
    }

    /// The word after `check:`.
    #[must_use]
    pub fn check_kind(&self, check: CheckId) -> &'static str {
        self.checks
            .get(usize::from(check.0))
            .map_or("", |found| found.check.kind())
    }

    /// An upstream group; `None` only for an id of another policy.
    #[must_use]
    pub fn upstream(&self, upstream: UpstreamId) -> Option<&Upstream> {
        self.settings.upstreams.get(usize::from(upstream.0))
    }

    /// Some check of the route needs the whole body, at most this many bytes held.
    #[must_use]
    pub fn body_need(&self, route: RouteId) -> Option<u64> {
        self.at(route).and_then(|found| found.body_need)
    }

    /// Largest request body of the route, bytes. Nothing for a route of another policy.
    #[must_use]
    pub fn max_body(&self, route: RouteId) -> u64 {
        self.at(route).map_or(0, |found| found.max_body)
    }

    /// Largest answer of the route, bytes.
    #[must_use]
    pub fn max_response(&self, route: RouteId) -> Option<u64> {
        self.at(route).and_then(|found| found.max_response)
    }

    /// Whether the route's bodies may stay open without end (gRPC streams): no body deadline, no minimum rate.
    #[must_use]
    pub fn streams(&self, route: RouteId) -> bool {
        self.at(route).is_some_and(|found| found.stream)
    }

    /// Header edits for every answer of the route; without a route, for answers to requests that matched none.
    #[must_use]
    pub fn edits(&self, route: Option<RouteId>) -> &[Edit] {
        route
            .and_then(|route| self.at(route))
            .map_or(self.default_edits.as_slice(), |found| {
                found.edits.as_slice()
            })
    }

    /// Headers that only the gateway may set: stripped from every client request.
    #[must_use]
    pub fn owned_headers(&self) -> &[HeaderName] {
        &self.owned_headers
    }

    /// How many routes there are; ids go from 0.
    #[must_use]
    pub fn route_count(&self) -> usize {
        self.routes.len()
    }

    /// How many checks there are; ids go from 0. A check changed by `with:` counts for itself.
    #[must_use]
    pub fn check_count(&self) -> usize {
        self.checks.len()
    }

    /// Asks the route's checks. A route of another policy is refused.
    pub async fn decide<I: Io>(
        &self,
        route: RouteId,
        request: &Request<'_>,
        io: &mut I,
        watch: &mut impl Watch,
    ) -> Decision {
        match self.at(route) {
            Some(found) => run::run(&found.plan, self, request, io, watch).await,
            None => Decision::internal(),
        }
    }

    pub(crate) fn check(&self, id: CheckId) -> Option<&Check> {
        self.checks.get(usize::from(id.0)).map(|found| &found.check)
    }

    fn at(&self, route: RouteId) -> Option<&Route> {
        self.routes.get(usize::from(route.0))
    }
}

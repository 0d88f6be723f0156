//! A compiled policy: what the server asks. Made whole by [`Policy::load`] or not at all.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderName;

use crate::cases::Case;
use crate::checks::waf::Known;
use crate::checks::{Check, Edit, Hearing, Unanswered};
use crate::compile;
use crate::compile::secrets::{self, Vault};
use crate::decision::{CheckId, Decision, Effects, RouteId, UpstreamId};
use crate::fault::Fault;
use crate::io::{Io, Key, Now};
use crate::request::{Facts, Identity, Request};
use crate::response::ResponseNeed;
use crate::route::Router;
use crate::run::{self, Plan, Watch};
use crate::settings::secret::About;
use crate::settings::{Admin, Settings, State, Upstream};
use crate::sources::Sources;

/// A policy that loaded, and what deserves a look in it.
#[derive(Debug)]
pub struct Loaded {
    /// The policy.
    pub policy: Policy,
    /// Faults of weight warning.
    pub warnings: Vec<Fault>,
}

/// What is known of a policy without making it: for commands that talk to the gateway which serves it.
#[derive(Debug, Default)]
pub struct Outline {
    /// The admin listener; its tokens only as far as they can be read.
    pub admin: Option<Admin>,
    /// Where its counters and values live; `None` when that is faulty.
    pub state: Option<State>,
}

/// A compiled policy. Immutable: a reload makes another one.
#[derive(Debug, Default)]
pub struct Policy {
    pub(crate) settings: Settings,
    pub(crate) hash: String,
    pub(crate) routes: Vec<Route>,
    pub(crate) router: Router,
    pub(crate) checks: Vec<Named>,
    pub(crate) owned_headers: Vec<HeaderName>,
    pub(crate) own_cookies: Vec<String>,
    /// Checks that are asked when a client connects.
    pub(crate) at_accept: Vec<CheckId>,
    pub(crate) default_edits: Vec<Edit>,
    pub(crate) cases: Vec<Case>,
    /// Unix milliseconds at which the next mode or replaced secret ends.
    pub(crate) until: Option<u64>,
    pub(crate) vault: Vault,
    /// Made by `waf` checks, for the policy that comes after.
    pub(crate) rulesets: Arc<Known>,
}

#[derive(Debug)]
pub(crate) struct Route {
    pub(crate) name: String,
    pub(crate) plan: Plan,
    pub(crate) body_need: Option<u64>,
    pub(crate) max_body: u64,
    pub(crate) max_response: Option<u64>,
    pub(crate) response_need: Option<ResponseNeed>,
    pub(crate) stream: bool,
    /// How often what goes on is asked about; zero: never.
    pub(crate) recheck: Duration,
    pub(crate) edits: Vec<Edit>,
    /// Why nobody has to say who they are.
    pub(crate) public: Option<String>,
    pub(crate) skipped: Vec<Skipped>,
}

/// A check that a route leaves out, and why.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Skipped {
    /// The check's name.
    pub check: String,
    /// The operator's reason.
    pub reason: String,
}

#[derive(Debug)]
pub(crate) struct Named {
    pub(crate) name: String,
    pub(crate) check: Check,
    /// Whether a route's `with:` changed it.
    pub(crate) changed: bool,
}

impl Policy {
    /// Reads, checks and compiles. `root_file` and every other path go to `sources` as written (an include's path is
    /// joined to its including file's folder). `now` is Unix milliseconds, for `until:`.
    ///
    /// # Errors
    /// Every fault at once, warnings among them; at least one is an error.
    pub fn load(
        root_file: &str,
        sources: &mut dyn Sources,
        now: u64,
    ) -> Result<Loaded, Vec<Fault>> {
        compile::load(root_file, sources, now, None)
    }

    /// Reads the document, but neither its lists nor its rules; `None` when that is not possible ([`Policy::load`] tells
    /// why).
    pub fn outline(root_file: &str, sources: &mut dyn Sources, now: u64) -> Option<Outline> {
        compile::outline(root_file, sources, now)
    }

    /// As [`Policy::load`], in place of this policy: secrets that were replaced since are accepted for their `previous_for`.
    ///
    /// # Errors
    /// As [`Policy::load`].
    pub fn reload(
        &self,
        root_file: &str,
        sources: &mut dyn Sources,
        now: u64,
    ) -> Result<Loaded, Vec<Fault>> {
        let loaded = compile::load(root_file, sources, now, Some(self))?;
        loaded.policy.adopt(self);
        Ok(loaded)
    }

    /// What `waf` checks of the same name keep between requests outlives the change.
    fn adopt(&self, old: &Self) {
        for (check, rules, _) in self.rulesets() {
            let name = self.check_name(check);
            let mut known = old
                .rulesets()
                .filter(|(id, ..)| old.check_name(*id) == name);
            if let Some((_, before, _)) = known.next() {
                // Checks that share their rules share what these keep: the first one's.
                rules.adopt(Arc::clone(before.collections()));
            }
        }
    }

    /// Unix milliseconds at which something in it ends by itself (an `until:`, a replaced secret): a reload is due then.
    #[must_use]
    pub fn reload_at(&self) -> Option<u64> {
        self.until
    }

    /// What may be told about its secrets, by name.
    #[must_use]
    pub fn secrets(&self) -> Vec<About> {
        secrets::about(&self.vault)
    }

    /// The requests under `tests:`, with the decisions they must get.
    #[must_use]
    pub fn cases(&self) -> &[Case] {
        &self.cases
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
    pub fn route(&self, request: &Request<'_>) -> Option<RouteId> {
        self.router.find(request)
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

    /// Whether a client that connects is dropped before it says anything: a check says `drop: true` and refuses it.
    /// `banned` looks into the store of this node; behind a trusted proxy the connection does not show the client.
    pub fn drops(&self, peer: IpAddr, now: Now, banned: impl Fn(Key) -> bool) -> bool {
        if self.at_accept.is_empty() || self.settings.trusted_proxies.contains(peer, now.unix) {
            return false;
        }
        let mut asked = self.at_accept.iter().filter_map(|id| self.check(*id));
        asked.any(|check| match check {
            Check::Ip(check) => check.refuses(peer, now.unix),
            Check::Bans(check) => banned(check.key(peer)),
            // The others know no client before it said something.
            _ => false,
        })
    }

    /// How often open WebSockets and streams of the route are asked whether what let them in still holds; `None`: never.
    #[must_use]
    pub fn recheck(&self, route: RouteId) -> Option<Duration> {
        let every = self.at(route).map(|found| found.recheck)?;
        (!every.is_zero() && self.may_end(route)).then_some(every)
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

    /// Cookies between clients and the gateway alone: removed from what goes upstream.
    #[must_use]
    pub fn own_cookies(&self) -> &[String] {
        &self.own_cookies
    }

    /// The checks that keep sessions, each name once.
    pub fn sessions(&self) -> impl Iterator<Item = &crate::checks::session::Check> {
        let checks = self.checks.iter().filter_map(|found| match &found.check {
            Check::Session(check) if check.keeps() => Some(check),
            _ => None,
        });
        let mut names = Vec::new();
        checks.filter(move |check| {
            let new = !names.contains(&check.name());
            if new {
                names.push(check.name());
            }
            new
        })
    }

    /// The longest that any check goes on prolonging one token.
    #[must_use]
    pub fn prolongs_for(&self) -> Option<Duration> {
        let each = self.checks.iter().filter_map(|found| match &found.check {
            Check::Session(check) => check.prolongs_for(),
            _ => None,
        });
        each.max()
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
        self.decide_as(route, request, io, watch, None).await
    }

    /// Tells the checks that wait for it how the application answered a permitted request. Called with an empty `body` as
    /// soon as the header is there, when answers can still be dressed; and, if [`Policy::hears`] asks for some of the body,
    /// again with that.
    pub async fn heard<I: Io>(
        &self,
        route: RouteId,
        request: &Request<'_>,
        (facts, effects): (&mut Facts, &mut Effects),
        answer: Result<(u16, &http::HeaderMap), Unanswered>,
        body: Option<&[u8]>,
        io: &mut I,
    ) {
        if self.at(route).is_none() {
            return;
        }
        let none = http::HeaderMap::new();
        let (status, headers) = answer.unwrap_or((0, &none));
        let mut awaits = std::mem::take(&mut facts.awaits);
        awaits.retain(|awaited| {
            let later = awaited.body > 0 && body.is_none();
            if later {
                facts.awaits.push(awaited.clone());
            }
            !later
        });
        for awaited in awaits {
            let Some(check) = self.check(awaited.check) else {
                continue;
            };
            let most = awaited.body.min(body.map_or(0, <[u8]>::len));
            let mut hearing = Hearing {
                request,
                facts: &mut *facts,
                effects: &mut *effects,
                io: &mut *io,
                awaited,
                status,
                unanswered: answer.err(),
                headers,
                body: body.and_then(|body| body.get(..most)).unwrap_or_default(),
            };
            check.heard(&mut hearing).await;
        }
    }

    /// How much of the answer's body checks still wait for; 0: none waits.
    #[must_use]
    pub fn hears(facts: &Facts) -> usize {
        let awaits = facts.awaits.iter().map(|awaited| awaited.body);
        awaits.max().unwrap_or_default()
    }

    pub(crate) async fn decide_as<I: Io>(
        &self,
        route: RouteId,
        request: &Request<'_>,
        io: &mut I,
        watch: &mut impl Watch,
        assumed: Option<&Arc<Identity>>,
    ) -> Decision {
        match self.at(route) {
            Some(found) => run::run(&found.plan, self, request, io, watch, assumed).await,
            None => Decision::internal(),
        }
    }

    /// The rules of every `waf` check, and how it uses them: for commands that tell about rules.
    pub fn rulesets(&self) -> impl Iterator<Item = (CheckId, &waf::Ruleset, &waf::Tuning)> {
        let checks = (0_u16..).zip(&self.checks);
        checks.filter_map(|(number, found)| {
            let Check::Waf(check) = &found.check else {
                return None;
            };
            let (rules, tuning) = check.engine();
            Some((CheckId(number), rules, tuning))
        })
    }

    /// Where rules keep something between requests, each store once.
    #[must_use]
    pub fn collections(&self) -> Vec<&Arc<waf::Collections>> {
        let mut stores: Vec<&Arc<waf::Collections>> = Vec::new();
        for (_, rules, _) in self.rulesets().filter(|(_, rules, _)| rules.keeps()) {
            let store = rules.collections();
            if !stores.iter().any(|known| Arc::ptr_eq(known, store)) {
                stores.push(store);
            }
        }
        stores
    }

    /// Names of the checks that a token for emergencies may let pass where this one is asked; none for other kinds.
    #[must_use]
    pub fn passes(&self, id: CheckId) -> &[String] {
        match self.check(id) {
            Some(Check::BreakGlass(check)) => check.passes(),
            // The others ask, and let nothing else pass.
            Some(_) | None => &[],
        }
    }

    /// The same over all checks.
    pub fn may_pass(&self) -> impl Iterator<Item = &str> {
        let ids = (0..self.check_count()).filter_map(|id| u16::try_from(id).ok());
        ids.flat_map(move |id| self.passes(CheckId(id)))
            .map(String::as_str)
    }

    pub(crate) fn changed(&self, id: CheckId) -> bool {
        self.checks
            .get(usize::from(id.0))
            .is_some_and(|found| found.changed)
    }

    pub(crate) fn check(&self, id: CheckId) -> Option<&Check> {
        self.checks.get(usize::from(id.0)).map(|found| &found.check)
    }

    pub(crate) fn at(&self, route: RouteId) -> Option<&Route> {
        self.routes.get(usize::from(route.0))
    }
}

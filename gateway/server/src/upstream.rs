//! Where requests go: groups of servers, who is next, who is healthy. Reaching one asks for a `Permit`.

pub(crate) mod background;
mod balance;
mod health;
mod server;
mod template;

use std::path::Path;
use std::sync::Arc;

use http::HeaderMap;
use pingora_core::upstreams::peer::HttpPeer;
use policy::Policy;
use policy::decision::UpstreamId;
use policy::settings::{self, Balance};
use smallvec::SmallVec;

use crate::facts::Facts;
use balance::{Ring, Turns};
pub(crate) use server::Server;
use template::Template;

/// The upstream groups of one snapshot, by `UpstreamId`.
#[derive(Default)]
pub(crate) struct Groups(Vec<Group>);

/// One group.
pub(crate) struct Group {
    name: String,
    members: Vec<Arc<Server>>,
    turns: Turns,
    ring: Option<Ring>,
    balance: Balance,
    template: Template,
    retries: u32,
    health: Option<settings::Health>,
}

/// A server that was chosen for a request, and those tried before it.
pub(crate) struct Choice {
    server: Arc<Server>,
    tried: SmallVec<[usize; 4]>,
    retries: u32,
}

impl Choice {
    pub(crate) fn name(&self) -> &str {
        self.server.name()
    }

    /// Counts a failure against the server.
    pub(crate) fn failed(&self) {
        self.server.failed();
    }

    /// A connection stands.
    pub(crate) fn connected(&self) {
        self.server.connected();
    }

    /// Whether another attempt is allowed.
    pub(crate) fn may_retry(&self) -> bool {
        u32::try_from(self.tried.len()).is_ok_and(|tries| tries <= self.retries)
    }
}

impl Groups {
    /// Sets up the groups of `policy`; health of servers that `before` knew is kept.
    pub(crate) fn build(
        policy: &Policy,
        base: &Path,
        before: Option<&Self>,
    ) -> Result<Self, String> {
        let groups = policy.settings().upstreams.iter().map(|upstream| {
            let known =
                before.and_then(|before| before.0.iter().find(|group| group.name == upstream.name));
            Group::build(upstream, base, known)
        });
        groups.collect::<Result<_, _>>().map(Self)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Group> {
        self.0.iter()
    }

    /// A server for a request, other than those that `before` tried, and how to reach it.
    pub(crate) fn choose(
        &self,
        upstream: UpstreamId,
        facts: &Facts,
        headers: &HeaderMap,
        user: Option<&str>,
        before: Option<&Choice>,
    ) -> Option<(Choice, Box<HttpPeer>)> {
        let group = self.0.get(usize::from(upstream.0))?;
        let mut tried = before
            .map(|before| before.tried.clone())
            .unwrap_or_default();
        let index = group.next(facts, headers, user, &tried)?;
        let server = group.members.get(index)?;
        let peer = group.template.peer(server)?;
        tried.push(index);
        let choice = Choice {
            server: Arc::clone(server),
            tried,
            retries: group.retries,
        };
        Some((choice, peer))
    }
}

impl Group {
    fn build(
        upstream: &settings::Upstream,
        base: &Path,
        known: Option<&Self>,
    ) -> Result<Self, String> {
        let members: Vec<_> = upstream
            .servers
            .iter()
            .map(|server| {
                known
                    .and_then(|group| {
                        group
                            .members
                            .iter()
                            .find(|member| *member.address() == server.address)
                    })
                    .map_or_else(|| Arc::new(Server::new(&server.address)), Arc::clone)
            })
            .collect();
        let hashes = matches!(upstream.balance, Balance::ConsistentHash(_));
        Ok(Self {
            name: upstream.name.clone(),
            turns: Turns::new(&upstream.servers),
            ring: hashes.then(|| Ring::new(&upstream.servers)),
            balance: upstream.balance.clone(),
            template: Template::build(upstream, base)?,
            retries: upstream.retries,
            health: upstream.health.clone(),
            members,
        })
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn members(&self) -> &[Arc<Server>] {
        &self.members
    }

    /// The next server: healthy ones first; one that only looked bad in passing is better than none; one that fails
    /// its health checks is never asked.
    fn next(
        &self,
        facts: &Facts,
        headers: &HeaderMap,
        user: Option<&str>,
        tried: &[usize],
    ) -> Option<usize> {
        let fresh = |index: &usize| !tried.contains(index);
        let good = |index: &usize| self.members.get(*index).is_some_and(|server| server.good());
        let alive = |index: &usize| {
            self.members
                .get(*index)
                .is_some_and(|server| server.alive())
        };
        let pick = |allowed: &dyn Fn(&usize) -> bool| match (&self.balance, &self.ring) {
            (Balance::ConsistentHash(key), Some(ring)) => {
                balance::with_key(key, facts, headers, user, |key| ring.pick(key, allowed))
            }
            (Balance::Random, _) => self.turns.random(allowed),
            (Balance::RoundRobin | Balance::ConsistentHash(_), _) => self.turns.next(allowed),
        };
        pick(&|index| fresh(index) && good(index))
            .or_else(|| pick(&|index| fresh(index) && alive(index)))
            .or_else(|| pick(&alive))
    }
}

//! What a request is decided with: one immutable snapshot, swapped whole on reload, and the state that survives the
//! swap. Knows nothing of files or of why a policy was loaded.

use std::fmt;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use arc_swap::ArcSwap;
use policy::Policy;
use policy::io::Now;

use crate::downstream::connection::Places;
use crate::held::Budget;
use crate::record::Observer;
use crate::remote::Remote;
use crate::store::Store;
use crate::upstream::Groups;

/// A policy with the runtime state of its upstreams. Requests in flight end on the snapshot they began with.
pub struct Snapshot {
    /// The compiled policy.
    pub policy: Policy,
    /// Counts from 1; one more with every reload that was accepted.
    pub version: u64,
    pub(crate) groups: Groups,
}

impl Snapshot {
    fn build(
        policy: Policy,
        version: u64,
        base: &Path,
        before: Option<&Groups>,
    ) -> Result<Self, String> {
        Ok(Self {
            groups: Groups::build(&policy, base, before)?,
            policy,
            version,
        })
    }
}

impl fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Snapshot {} of {}", self.version, self.policy.hash())
    }
}

/// Everything that outlives a snapshot: counters, leases, connections, held bodies.
pub struct Shared {
    current: ArcSwap<Snapshot>,
    base: PathBuf,
    observer: Arc<dyn Observer>,
    ready: AtomicBool,
    store: Store,
    budget: Arc<Budget>,
    answers: Arc<Budget>,
    places: Arc<Places>,
    remote: Arc<Remote>,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Shared({:?})", self.load())
    }
}

impl Shared {
    /// Starts with a first policy and an empty store in memory; relative paths in it start at `base`.
    ///
    /// # Errors
    /// A sentence when its upstreams cannot be set up (an unreadable certificate).
    pub fn new(
        policy: Policy,
        base: &Path,
        observer: Arc<dyn Observer>,
    ) -> Result<Arc<Self>, String> {
        let store = Store::in_memory(&policy.settings().state);
        Self::over(store, policy, base, observer)
    }

    /// The same over a store that is open already.
    ///
    /// # Errors
    /// As [`Shared::new`].
    pub fn over(
        store: Store,
        policy: Policy,
        base: &Path,
        observer: Arc<dyn Observer>,
    ) -> Result<Arc<Self>, String> {
        let remote = Remote::new(Arc::clone(&observer));
        remote.trust(policy.settings().remote.ca.as_ref())?;
        let first = Snapshot::build(policy, 1, base, None)?;
        Ok(Arc::new(Self {
            current: ArcSwap::from_pointee(first),
            base: base.to_owned(),
            observer,
            ready: AtomicBool::new(false),
            store,
            budget: Arc::default(),
            answers: Arc::default(),
            places: Arc::default(),
            remote,
        }))
    }

    /// The snapshot that a request that begins now is decided with.
    #[must_use]
    pub fn load(&self) -> Arc<Snapshot> {
        self.current.load_full()
    }

    /// Swaps in another policy; counters, connections and the health of servers that stay go on. Gives its version.
    /// To be called by one thread at a time.
    ///
    /// # Errors
    /// A sentence when its upstreams cannot be set up; the running snapshot stays then.
    pub fn publish(&self, policy: Policy) -> Result<u64, String> {
        let before = self.load();
        let version = before.version.saturating_add(1);
        let authorities = policy.settings().remote.ca.clone();
        let next = Snapshot::build(policy, version, &self.base, Some(&before.groups))?;
        self.remote.trust(authorities.as_ref())?;
        self.current.store(Arc::new(next));
        Ok(version)
    }

    /// Begins what the store does in the background, in the runtime that this is called in.
    pub(crate) fn start_store(&self) {
        self.store.start(Arc::clone(&self.observer));
    }

    /// Who is told about requests and connections.
    #[must_use]
    pub fn observer(&self) -> &dyn Observer {
        self.observer.as_ref()
    }

    /// Whether the listeners are open and the gateway is not draining: what `/readyz` says.
    #[must_use]
    pub fn ready(&self) -> bool {
        self.ready.load(Ordering::Acquire)
    }

    pub(crate) fn set_ready(&self, ready: bool) {
        self.ready.store(ready, Ordering::Release);
    }

    /// Bytes of request bodies held back right now.
    #[must_use]
    pub fn held_bytes(&self) -> u64 {
        self.budget.used()
    }

    /// Bytes of answers held back right now.
    #[must_use]
    pub fn held_answer_bytes(&self) -> u64 {
        self.answers.used()
    }

    /// Connections open right now.
    #[must_use]
    pub fn connections(&self) -> u64 {
        self.places.total()
    }

    /// Counters, leases, bans, sessions and all else that outlives a request.
    #[must_use]
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Both clocks.
    #[must_use]
    pub fn now(&self) -> Now {
        self.store.now()
    }

    /// Both clocks, of which one has just been read.
    pub(crate) fn at(&self, now: Instant) -> Now {
        self.store.at(now)
    }

    /// Whether the policy drops a client that connects from here.
    pub(crate) fn drops(&self, snapshot: &Snapshot, peer: IpAddr) -> bool {
        let now = self.now();
        let banned = |key| self.store.known_ban(key, now);
        snapshot.policy.drops(peer.to_canonical(), now, banned)
    }

    /// Whom checks ask.
    pub(crate) fn remote(&self) -> &Arc<Remote> {
        &self.remote
    }

    pub(crate) fn budget(&self) -> &Arc<Budget> {
        &self.budget
    }

    /// Memory for answers that wait for their verdict.
    pub(crate) fn answers(&self) -> &Arc<Budget> {
        &self.answers
    }

    pub(crate) fn places(&self) -> &Arc<Places> {
        &self.places
    }
}

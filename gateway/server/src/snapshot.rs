//! What a request is decided with: one immutable snapshot, swapped whole on reload, and the state that survives the
//! swap. Knows nothing of files or of why a policy was loaded.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use arc_swap::ArcSwap;
use policy::Policy;

use crate::record::Observer;
use crate::upstream::Groups;

/// A policy with the runtime state of its upstreams. Requests in flight end on the snapshot they began with.
pub struct Snapshot {
    /// The compiled policy.
    pub policy: Policy,
    /// Counts from 1; one more with every reload that was accepted.
    pub version: u64,
    pub(crate) groups: Groups,
}

impl fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Snapshot {} of {}", self.version, self.policy.hash())
    }
}

/// Everything that outlives a snapshot: counters, leases, connections, held bodies.
pub struct Shared {
    current: ArcSwap<Snapshot>,
    observer: Arc<dyn Observer>,
    ready: AtomicBool,
    held: AtomicU64,
    connections: AtomicU64,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Shared({:?})", self.load())
    }
}

impl Shared {
    /// Starts with a first policy.
    ///
    /// # Errors
    /// A sentence when its upstreams cannot be set up (an unreadable certificate).
    pub fn new(policy: Policy, observer: Arc<dyn Observer>) -> Result<Arc<Self>, String> {
        let groups = Groups::build(&policy, None)?;
        Ok(Arc::new(Self {
            current: ArcSwap::from_pointee(Snapshot {
                policy,
                version: 1,
                groups,
            }),
            observer,
            ready: AtomicBool::new(false),
            held: AtomicU64::new(0),
            connections: AtomicU64::new(0),
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
        let groups = Groups::build(&policy, Some(&before.groups))?;
        let version = before.version.saturating_add(1);
        self.current.store(Arc::new(Snapshot {
            policy,
            version,
            groups,
        }));
        Ok(version)
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
        self.held.load(Ordering::Relaxed)
    }

    /// Connections open right now.
    #[must_use]
    pub fn connections(&self) -> u64 {
        self.connections.load(Ordering::Relaxed)
    }
}

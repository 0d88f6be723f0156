//! Places that a request took of limits on concurrency. They go back when the request, or its WebSocket, ends, however
//! it ends.

use std::sync::Arc;

use policy::io::Key;
use policy::limit::Lease;
use smallvec::SmallVec;

use crate::snapshot::Shared;

/// See the module.
#[derive(Default)]
pub(crate) struct Leases {
    shared: Option<Arc<Shared>>,
    taken: SmallVec<[(Lease, Key); 2]>,
}

impl Leases {
    pub(crate) fn take(&mut self, shared: &Arc<Shared>, lease: &Lease, key: Key) -> bool {
        let free = shared.memory().lease(lease, key);
        if free {
            self.shared.get_or_insert_with(|| Arc::clone(shared));
            self.taken.push((lease.clone(), key));
        }
        free
    }
}

impl Drop for Leases {
    fn drop(&mut self) {
        let Some(shared) = &self.shared else { return };
        for (lease, key) in self.taken.drain(..) {
            shared.memory().release(&lease, key);
        }
    }
}

//! Places that a request took of limits on concurrency. They go back when the request, or its WebSocket, ends, however
//! it ends.

use std::sync::Arc;

use policy::io::{Key, StoreFault};
use policy::limit::Lease;
use smallvec::SmallVec;

use crate::snapshot::Shared;
use crate::store::Ticket;

/// See the module.
#[derive(Default)]
pub(crate) struct Leases {
    shared: Option<Arc<Shared>>,
    taken: SmallVec<[(Lease, Key, Ticket); 2]>,
}

impl Leases {
    pub(crate) async fn take(
        &mut self,
        shared: &Arc<Shared>,
        lease: &Lease,
        key: Key,
    ) -> Result<bool, StoreFault> {
        let Some(ticket) = shared.store().lease(lease, key).await? else {
            return Ok(false);
        };
        self.shared.get_or_insert_with(|| Arc::clone(shared));
        self.taken.push((lease.clone(), key, ticket));
        Ok(true)
    }
}

impl Drop for Leases {
    fn drop(&mut self) {
        let Some(shared) = &self.shared else { return };
        for (lease, key, ticket) in self.taken.drain(..) {
            shared.store().release(&lease, key, ticket);
        }
    }
}

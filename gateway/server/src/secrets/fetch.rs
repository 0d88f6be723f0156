//! One value, from whoever has it. Sentences about failures hold nothing that a provider said.

use std::collections::HashMap;
use std::time::Instant;

use bytes::Bytes;
use parking_lot::Mutex;
use policy::settings::Secret;
use policy::settings::secret::{Provided, Provider, Wanted};

use super::{azure, command, vault};
use crate::remote::Client;

/// What outlives one question: connections, and what lets in for a while.
#[derive(Debug, Default)]
pub(super) struct World {
    clients: Mutex<HashMap<Option<Bytes>, Client>>,
    passes: Mutex<HashMap<String, Pass>>,
}

/// A token that a provider gave for a while.
#[derive(Debug, Clone)]
pub(super) struct Pass {
    pub(super) token: Secret,
    /// When another one is needed.
    pub(super) until: Instant,
}

/// The value, the one before it where it is still good, and when it was made.
pub(super) async fn value(world: &World, wanted: &Wanted) -> Result<Provided, String> {
    match &wanted.provider {
        Provider::Command(command) => command::value(command).await,
        Provider::Vault(place) => vault::value(world, place, wanted.previous_for).await,
        Provider::Azure(place) => azure::value(world, place, wanted.previous_for).await,
    }
}

impl World {
    /// Connections to servers that these authorities vouch for.
    pub(super) fn client(&self, authorities: Option<&Bytes>) -> Result<Client, String> {
        let mut clients = self.clients.lock();
        if let Some(client) = clients.get(&authorities.cloned()) {
            return Ok(client.clone());
        }
        let client = Client::new(authorities).map_err(|why| format!("ca: {why}"))?;
        clients.insert(authorities.cloned(), client.clone());
        Ok(client)
    }

    /// The token for `whom`, while it lasts.
    pub(super) fn pass(&self, whom: &str) -> Option<Pass> {
        let passes = self.passes.lock();
        let good = |pass: &&Pass| pass.until > Instant::now();
        passes.get(whom).filter(good).cloned()
    }

    /// Keeps one.
    pub(super) fn keep(&self, whom: String, pass: Pass) {
        self.passes.lock().insert(whom, pass);
    }

    /// It was refused.
    pub(super) fn forget(&self, whom: &str) {
        self.passes.lock().remove(whom);
    }
}

/// Whether the version before one made at `made` (Unix milliseconds) is still accepted.
pub(super) fn in_grace(made: Option<u64>, keep: Option<std::time::Duration>) -> bool {
    let Some((made, keep)) = made.zip(keep) else {
        return false;
    };
    let keep = u64::try_from(keep.as_millis()).unwrap_or(u64::MAX);
    made.saturating_add(keep) > crate::events::unix_ms()
}

//! Asks others for checks: keys of an issuer, introspection, a user's standing. Answers that may be used again are kept
//! here, over all policies; identical calls wait for one. What is asked, and what an answer means, is the checks' business.

mod client;
mod hosts;
mod known;

use std::sync::Arc;
use std::sync::OnceLock;
use std::time::Instant;

use arc_swap::ArcSwap;
use bytes::Bytes;
use policy::io::{Call, FetchFault, Fetched};
use tokio::sync::{OwnedMutexGuard, Semaphore};

use crate::record::{Asked, Observer};
pub(crate) use client::Client;
use hosts::Hosts;
use known::{Entry, Judged, Known};

/// Calls under way at a time, over all servers; one more waits, within its own timeout.
const MOST_CALLS: usize = 256;

/// Whom to believe, and the connections made under that belief.
#[derive(Debug, Default)]
struct Trust {
    authorities: Option<Bytes>,
    client: OnceLock<Result<Client, String>>,
}

/// See the module.
pub(crate) struct Remote {
    trust: ArcSwap<Trust>,
    places: Semaphore,
    hosts: Hosts,
    known: Known,
    observer: Arc<dyn Observer>,
}

impl Remote {
    pub(crate) fn new(observer: Arc<dyn Observer>) -> Arc<Self> {
        Arc::new(Self {
            trust: ArcSwap::default(),
            places: Semaphore::new(MOST_CALLS),
            hosts: Hosts::default(),
            known: Known::default(),
            observer,
        })
    }

    /// Believes servers by these authorities (PEM), `None`: by the system's. Answers that are known stay.
    ///
    /// # Errors
    /// A sentence when there is no certificate in it; nothing changes then.
    pub(crate) fn trust(&self, authorities: Option<&Bytes>) -> Result<(), String> {
        if self.trust.load().authorities.as_ref() == authorities {
            return Ok(());
        }
        let next = Trust {
            authorities: authorities.cloned(),
            client: OnceLock::new(),
        };
        // The system's are read when somebody is asked: most policies never ask.
        if authorities.is_some() {
            let client = Client::new(authorities).map_err(|why| format!("remote.ca: {why}"))?;
            let _ = next.client.set(Ok(client));
        }
        self.trust.store(Arc::new(next));
        Ok(())
    }

    /// What checks call [`policy::io::Io::fetch`].
    pub(crate) async fn fetch(self: &Arc<Self>, call: &Call) -> Result<Arc<Fetched>, FetchFault> {
        let Some(cached) = call.cache else {
            let (status, body) = self.ask(call).await?;
            let version = self.known.next_version();
            return Ok(Arc::new(Fetched {
                status,
                body,
                version,
            }));
        };
        let entry = self.known.entry(call);
        match entry.judge(cached, Instant::now()) {
            Judged::Good(fetched) => Ok(fetched),
            Judged::Ageing(fetched) => {
                if let Ok(turn) = Arc::clone(&entry.turn).try_lock_owned() {
                    drop(self.fly(entry, call.clone(), turn));
                }
                Ok(fetched)
            }
            Judged::Failed(outcome) => outcome,
            Judged::Ask => {
                let outcome = self.flight(Arc::clone(&entry), call).await;
                entry.or_known(cached, Instant::now(), outcome)
            }
        }
    }

    /// Asks, or waits for whoever asks the same already and takes that outcome, failures too: what waits behind a dead
    /// server must not try it one after the other.
    async fn flight(
        self: &Arc<Self>,
        entry: Arc<Entry>,
        call: &Call,
    ) -> Result<Arc<Fetched>, FetchFault> {
        let since = Instant::now();
        let turn = Arc::clone(&entry.turn).lock_owned();
        let turn = tokio::time::timeout(call.timeout, turn);
        let turn = turn.await.map_err(|_| FetchFault::Slow)?;
        if let Some(outcome) = entry.outcome_since(since) {
            return outcome;
        }
        let flight = self.fly(entry, call.clone(), turn);
        flight.await.unwrap_or(Err(FetchFault::Down))
    }

    /// Goes on although the request that began it may end.
    fn fly(
        self: &Arc<Self>,
        entry: Arc<Entry>,
        call: Call,
        turn: OwnedMutexGuard<()>,
    ) -> tokio::task::JoinHandle<Result<Arc<Fetched>, FetchFault>> {
        let remote = Arc::clone(self);
        tokio::spawn(async move {
            let outcome = remote.ask(&call).await;
            let version = || remote.known.next_version();
            let outcome = entry.settle(outcome, Instant::now(), version);
            remote.known.shrink(&call);
            drop(turn);
            outcome
        })
    }

    async fn ask(&self, call: &Call) -> Result<(u16, Bytes), FetchFault> {
        let host = self.hosts.of(&call.url);
        let began = Instant::now();
        let answer = tokio::time::timeout(call.timeout, async {
            // Neither semaphore is ever closed.
            let _all = self.places.acquire().await;
            let _host = host.places.acquire().await;
            self.client()?.call(call).await
        });
        let answer = answer.await.unwrap_or_else(|_| {
            let why = format!("no answer within {:?}", call.timeout);
            Err((FetchFault::Slow, why))
        });
        let (outcome, detail) = match answer {
            Ok((status, body)) => (Ok((status, body)), String::new()),
            Err((fault, why)) => (Err(fault), why),
        };
        let asked = Asked {
            host: &host.name,
            outcome: outcome
                .as_ref()
                .map(|(status, _)| *status)
                .map_err(|fault| *fault),
            took: began.elapsed(),
            changed: host.turned(&outcome),
            detail: &detail,
        };
        self.observer.asked(&asked);
        outcome
    }

    fn client(&self) -> Result<Client, (FetchFault, String)> {
        let trust = self.trust.load();
        let made = || Client::new(trust.authorities.as_ref());
        let client = trust.client.get_or_init(made).clone();
        client.map_err(|why| (FetchFault::Down, why))
    }
}

#[cfg(test)]
mod tests;

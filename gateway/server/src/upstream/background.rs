//! The one task that keeps servers known: looks up their names and asks after their health, for whatever snapshot is
//! current. Off the path of requests.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use pingora_core::connectors::http::Connector;

use super::health;
use super::{Group, Server};
use crate::snapshot::Shared;

const TICK: Duration = Duration::from_millis(200);
/// How long names are believed, and how soon a failed look-up is repeated.
const BELIEVED: Duration = Duration::from_secs(30);
const AGAIN: Duration = Duration::from_secs(5);

/// Looks every name up once, so that the first request finds an address.
pub(crate) async fn resolve_all(shared: &Shared) {
    let snapshot = shared.load();
    let servers = snapshot.groups.iter().flat_map(Group::members);
    futures_util::future::join_all(servers.map(resolve)).await;
}

async fn resolve(server: &Arc<Server>) {
    let Some((host, port)) = server.lookup() else {
        return;
    };
    match tokio::time::timeout(AGAIN, tokio::net::lookup_host((host, port))).await {
        Ok(Ok(found)) => server.resolve(found.collect()),
        Ok(Err(why)) => log::warn!("{}: {why}", server.name()),
        Err(_) => log::warn!("{}: no answer from the resolver", server.name()),
    }
}

/// Runs until it is dropped.
pub(crate) async fn run(shared: Arc<Shared>) {
    let connector = Arc::new(Connector::new(None));
    let mut due: HashMap<(String, String), Instant> = HashMap::new();
    let mut lookups: HashMap<String, Instant> = HashMap::new();
    loop {
        let snapshot = shared.load();
        let now = Instant::now();
        for group in snapshot.groups.iter() {
            for server in group.members() {
                look_up(server, now, &mut lookups);
                check(&shared, &connector, group, server, now, &mut due);
            }
        }
        shared.store().sweep(shared.now());
        drop(snapshot);
        due.retain(|_, at| *at + BELIEVED * 10 > now);
        lookups.retain(|_, at| *at + BELIEVED * 10 > now);
        tokio::time::sleep(TICK).await;
    }
}

fn look_up(server: &Arc<Server>, now: Instant, lookups: &mut HashMap<String, Instant>) {
    if server.lookup().is_none() || lookups.get(server.name()).is_some_and(|at| *at > now) {
        return;
    }
    let pause = if server.resolved() { BELIEVED } else { AGAIN };
    lookups.insert(server.name().to_owned(), now + pause);
    let server = Arc::clone(server);
    tokio::spawn(async move { resolve(&server).await });
}

fn check(
    shared: &Arc<Shared>,
    connector: &Arc<Connector>,
    group: &Group,
    server: &Arc<Server>,
    now: Instant,
    due: &mut HashMap<(String, String), Instant>,
) {
    let Some(health) = group.health.clone() else {
        return;
    };
    let key = (group.name().to_owned(), server.name().to_owned());
    if due.get(&key).is_some_and(|at| *at > now) {
        return;
    }
    due.insert(key, now + health.every);
    let Some(peer) = group.template.peer(server) else {
        return;
    };
    let (shared, connector, server) = (
        Arc::clone(shared),
        Arc::clone(connector),
        Arc::clone(server),
    );
    let name = group.name().to_owned();
    tokio::spawn(async move {
        let good = health::probe(&connector, peer, &health, server.name()).await;
        let healthy = server.probed(good, health.healthy_after, health.unhealthy_after);
        // After every probe: a server that never changed must be seen, too.
        shared
            .observer()
            .server_health(&name, server.name(), healthy);
    });
}

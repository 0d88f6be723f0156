//! The thread that asks providers: when a load wants a value, and ahead of a value's age.

use std::sync::{Arc, Weak, mpsc};
use std::time::Duration;

use policy::settings::secret::Wanted;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::task::JoinSet;

use super::Providers;
use super::fetch::{self, World};

/// Longest sleep; what is due is looked at anew then.
const NAP: Duration = Duration::from_secs(60);

/// Values that a load waits for; each is told of when it is there, or is not.
pub(super) struct Order {
    pub(super) wanted: Vec<Wanted>,
    pub(super) done: mpsc::Sender<()>,
}

/// Starts it; it ends with `providers`.
pub(super) fn start(
    providers: Weak<Providers>,
    orders: UnboundedReceiver<Order>,
) -> std::io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    std::thread::Builder::new()
        .name("secrets".to_owned())
        .spawn(move || runtime.block_on(serve(&providers, orders)))
        .map(drop)
}

async fn serve(providers: &Weak<Providers>, mut orders: UnboundedReceiver<Order>) {
    let world = Arc::new(World::default());
    let mut asked = JoinSet::new();
    loop {
        let Some(all) = providers.upgrade() else {
            return;
        };
        let (wait, due) = all.due();
        for wanted in due {
            asked.spawn(ask(Arc::clone(&all), Arc::clone(&world), wanted, None));
        }
        drop(all);
        let wait = tokio::time::sleep(wait.unwrap_or(NAP).min(NAP));
        tokio::select! {
            order = orders.recv() => {
                let (Some(order), Some(all)) = (order, providers.upgrade()) else {
                    return;
                };
                for wanted in order.wanted {
                    let done = Some(order.done.clone());
                    asked.spawn(ask(Arc::clone(&all), Arc::clone(&world), wanted, done));
                }
            }
            () = wait => {}
            // A task that broke is noticed by what it left undone: it is due again.
            Some(_) = asked.join_next() => {}
        }
    }
}

async fn ask(
    providers: Arc<Providers>,
    world: Arc<World>,
    wanted: Wanted,
    done: Option<mpsc::Sender<()>>,
) {
    let outcome = tokio::time::timeout(wanted.timeout, fetch::value(&world, &wanted));
    let late = || Err(format!("no answer within {:?}", wanted.timeout));
    let outcome = outcome.await.unwrap_or_else(|_| late());
    providers.heard(&wanted, outcome);
    // Whoever wanted it may have given up.
    let _ = done.map(|done| done.send(()));
}

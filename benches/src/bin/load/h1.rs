//! HTTP/1.1: one connection's requests, one after the other.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::tally::Tally;
use crate::wire::{Dial, Wire};
use crate::work::Work;

/// `keep`: the connection serves the next request as well, as long as the proxy agrees.
pub(crate) async fn run(dial: Arc<Dial>, work: Arc<Work>, tally: Arc<Tally>, keep: bool) {
    let mut kept: Option<Wire> = None;
    while let Some(turn) = work.next().await {
        let sent = Instant::now();
        let again = kept.is_some();
        let mut wire = match kept.take() {
            Some(wire) => wire,
            None => match dial.connect().await {
                Ok(stream) => {
                    tally.connected();
                    Wire::new(stream)
                }
                Err(fault) => {
                    tally.broke(&fault);
                    tokio::time::sleep(Duration::from_millis(1)).await;
                    continue;
                }
            },
        };
        match wire.exchange(turn.request).await {
            Ok(answer) => {
                tally.answer(&answer, turn.due, sent);
                if answer.open && keep {
                    kept = Some(wire);
                }
            }
            // A kept connection that the other side closed meanwhile is nobody's fault: once more, on a new one.
            Err(_) if again => {
                let Ok(stream) = dial.connect().await else {
                    tally.broke(&"refused after a kept connection was closed");
                    continue;
                };
                tally.connected();
                let mut wire = Wire::new(stream);
                match wire.exchange(turn.request).await {
                    Ok(answer) => {
                        tally.answer(&answer, turn.due, sent);
                        kept = (answer.open && keep).then_some(wire);
                    }
                    Err(fault) => tally.broke(&fault),
                }
            }
            Err(fault) => tally.broke(&fault),
        }
    }
}

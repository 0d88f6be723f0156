//! What came of the requests.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::histogram::Histogram;
use crate::wire::Answer;
use crate::work::Work;

#[derive(Debug, Default)]
pub(crate) struct Tally(Mutex<Counts>);

#[derive(Debug, Default)]
struct Counts {
    statuses: BTreeMap<u16, u64>,
    /// Answered below 400.
    good: Histogram,
    /// Answered with a refusal, from when the request was due.
    refused: Histogram,
    /// The same from when it was sent: what the refusal itself takes.
    answered: Histogram,
    /// Refusals with Retry-After.
    told_when: u64,
    connects: u64,
    broken: u64,
    last_fault: String,
}

impl Tally {
    pub(crate) fn answer(&self, answer: &Answer, due: Instant, sent: Instant) {
        let status = answer.status;
        let mut counts = self.0.lock();
        *counts.statuses.entry(status).or_default() += 1;
        if status < 400 {
            counts.good.add(micros(due.elapsed()));
        } else {
            counts.refused.add(micros(due.elapsed()));
            counts.answered.add(micros(sent.elapsed()));
            counts.told_when += u64::from(answer.told_when);
        }
    }

    pub(crate) fn connected(&self) {
        self.0.lock().connects += 1;
    }

    pub(crate) fn broke(&self, fault: &dyn std::fmt::Display) {
        let mut counts = self.0.lock();
        counts.broken += 1;
        counts.last_fault = fault.to_string();
    }

    /// One line for the caller. `ended`: every task came to its end.
    pub(crate) fn json(&self, work: &Work, ended: bool) -> String {
        let counts = self.0.lock();
        serde_json::json!({
            "statuses": counts.statuses,
            "good": latencies(&counts.good),
            "refused": latencies(&counts.refused),
            "refused_from_sent": latencies(&counts.answered),
            "told_when": counts.told_when,
            "connects": counts.connects,
            "broken": counts.broken,
            "last_fault": counts.last_fault,
            "seconds": work.seconds(),
            "due": work.due(),
            "taken": work.taken(),
            "ended": ended,
        })
        .to_string()
    }
}

fn latencies(histogram: &Histogram) -> serde_json::Value {
    serde_json::json!({
        "count": histogram.count(),
        "p50": histogram.quantile(0.5),
        "p90": histogram.quantile(0.9),
        "p99": histogram.quantile(0.99),
        "p999": histogram.quantile(0.999),
        "max": histogram.max(),
    })
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

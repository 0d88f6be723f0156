//! How a store that can fail does: how long it takes, what it could not do, whether it is there.

use std::time::Duration;

use policy::io::StoreFault;
use prometheus::core::Collector;
use prometheus::{Histogram, HistogramOpts, HistogramVec, IntCounterVec, IntGauge, Opts};

macro_rules! operations {
    ($($name:ident = $word:literal;)*) => {
        /// What is asked of a store.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(super) enum Operation { $($name,)* }

        const WORDS: &[&str] = &[$($word,)*];
    };
}

operations! {
    Count = "count";
    Get = "get";
    Put = "put";
    Swap = "swap";
    Remove = "remove";
    Lease = "lease";
    Keep = "keep_lease";
    Release = "release";
    Ban = "list_bans";
}

/// Answers within tens of microseconds to the longest timeout.
const BUCKETS: &[f64] = &[
    0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0,
];

/// See the module.
#[derive(Debug)]
pub(super) struct Meter {
    seconds: HistogramVec,
    /// The same, by operation.
    took: Vec<Histogram>,
    faults: IntCounterVec,
    /// Whether the server is in reach.
    pub(super) up: IntGauge,
    /// Whether it forgets what it has no room for.
    pub(super) evicts: IntGauge,
}

impl Meter {
    /// Names are ours and sound.
    pub(super) fn new() -> Result<Self, String> {
        let opts = |name: &str, help: &str| Opts::new(format!("palisade_{name}"), help);
        let histogram = opts("store_seconds", "How long the store took, by operation.");
        let histogram = HistogramOpts::from(histogram).buckets(BUCKETS.to_vec());
        let made = || {
            let seconds = HistogramVec::new(histogram, &["operation"])?;
            Ok::<_, prometheus::Error>(Self {
                took: WORDS
                    .iter()
                    .map(|word| seconds.with_label_values(&[word]))
                    .collect(),
                seconds,
                faults: IntCounterVec::new(
                    opts("store_faults_total", "What the store could not do."),
                    &["operation", "fault"],
                )?,
                up: IntGauge::with_opts(opts("store_up", "Whether the store is in reach."))?,
                evicts: IntGauge::with_opts(opts(
                    "store_evicts",
                    "Whether a full store forgets what counts (maxmemory-policy).",
                ))?,
            })
        };
        made().map_err(|why| why.to_string())
    }

    /// One answer.
    pub(super) fn asked(&self, what: Operation, took: Duration, fault: Option<&StoreFault>) {
        if let Some(histogram) = self.took.get(what as usize) {
            histogram.observe(took.as_secs_f64());
        }
        if let (Some(fault), Some(word)) = (fault, WORDS.get(what as usize)) {
            let fault = match fault {
                StoreFault::Slow => "slow",
                StoreFault::Down => "down",
                StoreFault::Full => "full",
                StoreFault::Corrupt => "corrupt",
            };
            self.faults.with_label_values(&[word, fault]).inc();
        }
    }

    /// For the registry.
    pub(super) fn collectors(&self) -> Vec<Box<dyn Collector>> {
        vec![
            Box::new(self.seconds.clone()),
            Box::new(self.faults.clone()),
            Box::new(self.up.clone()),
            Box::new(self.evicts.clone()),
        ]
    }
}

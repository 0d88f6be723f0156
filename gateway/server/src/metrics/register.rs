//! Collectors made and registered in one step, under this gateway's prefix. Knows no metric.

use prometheus::core::Collector;
use prometheus::{
    Error, Gauge, GaugeVec, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, Opts,
    Registry,
};

/// Fails only for names that collide or are malformed: never, once the tests pass.
#[derive(Debug, Clone, Copy)]
pub(super) struct Register<'r>(pub(super) &'r Registry);

impl Register<'_> {
    pub(super) fn counter(self, name: &str, help: &str) -> Result<IntCounter, Error> {
        self.take(IntCounter::with_opts(opts(name, help)))
    }

    pub(super) fn counters(
        self,
        name: &str,
        help: &str,
        labels: &[&str],
    ) -> Result<IntCounterVec, Error> {
        self.take(IntCounterVec::new(opts(name, help), labels))
    }

    pub(super) fn count(self, name: &str, help: &str) -> Result<IntGauge, Error> {
        self.take(IntGauge::with_opts(opts(name, help)))
    }

    pub(super) fn gauge(self, name: &str, help: &str) -> Result<Gauge, Error> {
        self.take(Gauge::with_opts(opts(name, help)))
    }

    pub(super) fn gauges(self, name: &str, help: &str, labels: &[&str]) -> Result<GaugeVec, Error> {
        self.take(GaugeVec::new(opts(name, help), labels))
    }

    /// Of seconds, by route.
    pub(super) fn histogram(
        self,
        name: &str,
        help: &str,
        buckets: &[f64],
    ) -> Result<HistogramVec, Error> {
        self.histogram_by(name, help, buckets, "route")
    }

    /// Of seconds.
    pub(super) fn histogram_by(
        self,
        name: &str,
        help: &str,
        buckets: &[f64],
        label: &str,
    ) -> Result<HistogramVec, Error> {
        let opts = HistogramOpts::from(opts(name, help)).buckets(buckets.to_vec());
        self.take(HistogramVec::new(opts, &[label]))
    }

    /// Any other collector, under the name it has.
    pub(super) fn take<C: Collector + Clone + 'static>(
        self,
        made: Result<C, Error>,
    ) -> Result<C, Error> {
        let collector = made?;
        self.0.register(Box::new(collector.clone()))?;
        Ok(collector)
    }
}

fn opts(name: &str, help: &str) -> Opts {
    Opts::new(format!("palisade_{name}"), help)
}

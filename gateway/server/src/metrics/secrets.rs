//! How old the secrets of the policy in service are, and which fail: looked up when Prometheus asks.

use std::fmt;

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{GaugeVec, Opts};

/// One secret.
#[derive(Debug, Clone)]
pub(crate) struct Secret {
    /// Its name in the policy.
    pub(crate) name: String,
    /// Of the value in service, seconds.
    pub(crate) age: f64,
    /// Whether it cannot be fetched or read, or a new value does not fit.
    pub(crate) failing: bool,
    /// Whether it is older than the policy says it should become.
    pub(crate) overdue: bool,
}

/// See the module.
pub(crate) struct Secrets {
    /// For what they are called; nothing is ever counted in them.
    names: Gauges,
    read: Box<dyn Fn() -> Vec<Secret> + Send + Sync>,
}

/// One look.
struct Gauges {
    failing: GaugeVec,
    age: GaugeVec,
    overdue: GaugeVec,
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secrets")
    }
}

impl Secrets {
    /// `read` lists them.
    ///
    /// # Errors
    /// Only for malformed names: never, once the tests pass.
    pub(crate) fn new(
        read: impl Fn() -> Vec<Secret> + Send + Sync + 'static,
    ) -> Result<Self, prometheus::Error> {
        Ok(Self {
            names: Gauges::new()?,
            read: Box::new(read),
        })
    }
}

impl Gauges {
    fn new() -> Result<Self, prometheus::Error> {
        let gauge = |name: &str, help: &str| {
            let name = format!("palisade_secret_{name}");
            GaugeVec::new(Opts::new(name, help), &["secret"])
        };
        Ok(Self {
            failing: gauge(
                "failing",
                "Whether a secret cannot be had, or its new value does not fit: the one before it serves on.",
            )?,
            age: gauge(
                "age_seconds",
                "Age of the value in service: since it was made, or first seen where that is not known.",
            )?,
            overdue: gauge(
                "overdue",
                "Whether a secret is older than its rotate_after.",
            )?,
        })
    }

    fn all(&self) -> [&GaugeVec; 3] {
        [&self.failing, &self.age, &self.overdue]
    }
}

impl Collector for Secrets {
    fn desc(&self) -> Vec<&Desc> {
        let all = self.names.all();
        all.into_iter().flat_map(Collector::desc).collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        // Made anew: those of a policy that has gone have gone, and two who look at once do not meet.
        let Ok(gauges) = Gauges::new() else {
            return Vec::new();
        };
        let flag = |on: bool| if on { 1.0 } else { 0.0 };
        for secret in (self.read)() {
            let set = |gauge: &GaugeVec, value: f64| {
                gauge.with_label_values(&[secret.name.as_str()]).set(value);
            };
            set(&gauges.failing, flag(secret.failing));
            set(&gauges.age, secret.age);
            set(&gauges.overdue, flag(secret.overdue));
        }
        let all = gauges.all();
        all.into_iter().flat_map(Collector::collect).collect()
    }
}

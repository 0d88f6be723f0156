//! A number that somebody else keeps (keys of the store, held bytes), read when Prometheus asks for it.

use std::fmt;

use prometheus::core::{Collector, Desc};
use prometheus::proto::{Counter, Gauge, Metric, MetricFamily, MetricType};

use super::Kind;

pub(super) struct Watched {
    desc: Desc,
    kind: Kind,
    read: Box<dyn Fn() -> u64 + Send + Sync>,
}

impl fmt::Debug for Watched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.desc.fq_name)
    }
}

impl Watched {
    pub(super) fn new(
        name: &str,
        help: &str,
        kind: Kind,
        read: Box<dyn Fn() -> u64 + Send + Sync>,
    ) -> Result<Self, prometheus::Error> {
        let (name, help) = (format!("palisade_{name}"), help.to_owned());
        let desc = Desc::new(name, help, Vec::new(), Default::default())?;
        Ok(Self { desc, kind, read })
    }
}

impl Collector for Watched {
    fn desc(&self) -> Vec<&Desc> {
        vec![&self.desc]
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let value = (self.read)() as f64;
        let mut metric = Metric::default();
        let mut family = MetricFamily::default();
        match self.kind {
            Kind::Counter => {
                let mut counter = Counter::default();
                counter.set_value(value);
                metric.set_counter(counter);
                family.set_field_type(MetricType::COUNTER);
            }
            Kind::Gauge => {
                let mut gauge = Gauge::default();
                gauge.set_value(value);
                metric.set_gauge(gauge);
                family.set_field_type(MetricType::GAUGE);
            }
        }
        family.set_name(self.desc.fq_name.clone());
        family.set_help(self.desc.help.clone());
        family.set_metric(vec![metric]);
        vec![family]
    }
}

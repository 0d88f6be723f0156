//! Metrics that belong together: how long requests take, connections, the policy in service, the process. Each group is
//! registered whole.

use prometheus::{Gauge, GaugeVec, HistogramVec, IntCounter, IntCounterVec, IntGauge};

use policy::io::FetchFault;

use super::register::Register;
use crate::record::Asked;

/// From 10 µs: a decision on a small request is that short.
const DECIDING: &[f64] = &[
    0.000_01, 0.000_025, 0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.05,
    0.25,
];

/// For requests and upstreams.
const ANSWERING: &[f64] = &[
    0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
];

#[derive(Debug)]
pub(super) struct Times {
    pub(super) request: HistogramVec,
    pub(super) decision: HistogramVec,
    pub(super) upstream: HistogramVec,
}

/// Connections of clients.
#[derive(Debug)]
pub(crate) struct Connections {
    /// Those that were given a place.
    pub(crate) accepted: IntCounter,
    /// Those open now.
    pub(crate) open: IntGauge,
    pub(super) refused: IntCounterVec,
}

/// The policy in service, and attempts to put another one there.
#[derive(Debug)]
pub(super) struct InService {
    pub(super) reloads: IntCounterVec,
    pub(super) info: GaugeVec,
    pub(super) loaded: Gauge,
    pub(super) warnings: IntGauge,
}

/// Servers that checks ask, by host and port as policies write them.
#[derive(Debug)]
pub(crate) struct Remote {
    seconds: HistogramVec,
    faults: IntCounterVec,
    failing: GaugeVec,
}

impl Remote {
    pub(super) fn new(register: Register<'_>) -> Result<Self, prometheus::Error> {
        Ok(Self {
            seconds: register.histogram_by(
                "remote_seconds",
                "Calls of checks to other servers, failed ones too.",
                ANSWERING,
                "host",
            )?,
            faults: register.counters(
                "remote_faults_total",
                "Calls of checks to other servers that failed.",
                &["host", "fault"],
            )?,
            failing: register.gauges(
                "remote_failing",
                "Whether the last call to a server failed.",
                &["host"],
            )?,
        })
    }

    /// Counts a call.
    pub(crate) fn count(&self, asked: &Asked<'_>) {
        let seconds = self.seconds.with_label_values(&[asked.host]);
        seconds.observe(asked.took.as_secs_f64());
        let fault = match asked.outcome {
            Ok(500..) => Some("status"),
            Ok(_) => None,
            Err(FetchFault::Slow) => Some("slow"),
            Err(FetchFault::Down) => Some("down"),
            Err(FetchFault::TooLarge) => Some("too_large"),
        };
        if let Some(fault) = fault {
            self.faults.with_label_values(&[asked.host, fault]).inc();
        }
        let failing = if fault.is_some() { 1.0 } else { 0.0 };
        self.failing.with_label_values(&[asked.host]).set(failing);
    }
}

impl Times {
    pub(super) fn new(register: Register<'_>) -> Result<Self, prometheus::Error> {
        Ok(Self {
            request: register.histogram(
                "request_seconds",
                "Requests, from header to the answer's end.",
                ANSWERING,
            )?,
            decision: register.histogram(
                "decision_seconds",
                "Deciding about a request.",
                DECIDING,
            )?,
            upstream: register.histogram(
                "upstream_seconds",
                "From choosing an upstream to its answer's header.",
                ANSWERING,
            )?,
        })
    }
}

impl Connections {
    pub(super) fn new(register: Register<'_>) -> Result<Self, prometheus::Error> {
        let connections = Self {
            accepted: register.counter(
                "connections_accepted_total",
                "Connections that were given a place.",
            )?,
            open: register.count("connections_open", "Connections open now.")?,
            refused: register.counters(
                "connections_refused_total",
                "Connections that ended before they carried a request.",
                &["reason"],
            )?,
        };
        for why in crate::record::Refused::ALL {
            connections.refused.with_label_values(&[why.as_str()]);
        }
        Ok(connections)
    }
}

impl InService {
    pub(super) fn new(register: Register<'_>) -> Result<Self, prometheus::Error> {
        let policy = Self {
            reloads: register.counters(
                "policy_reloads_total",
                "Attempts to put another policy into service.",
                &["result"],
            )?,
            info: register.gauges(
                "policy_info",
                "The policy in service.",
                &["version", "hash"],
            )?,
            loaded: register.gauge(
                "policy_loaded_timestamp_seconds",
                "When the policy was put into service, in unix seconds.",
            )?,
            warnings: register.count("policy_warnings", "Warnings of the policy in service.")?,
        };
        for result in ["ok", "failed"] {
            policy.reloads.with_label_values(&[result]);
        }
        Ok(policy)
    }
}

/// Its version and its start, the latter under the name that all of Prometheus' clients use.
pub(super) fn about_the_process(register: Register<'_>) -> Result<(), prometheus::Error> {
    register
        .gauges("build_info", "Build of this gateway.", &["version"])?
        .with_label_values(&[env!("CARGO_PKG_VERSION")])
        .set(1.0);
    let started = register.take(Gauge::new(
        "process_start_time_seconds",
        "Start of the process, in unix seconds.",
    ))?;
    started.set(super::unix_seconds());
    Ok(())
}

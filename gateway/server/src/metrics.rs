//! What Prometheus sees. Labels are routes, checks, reasons and other words of ours: nothing that a client sends
//! becomes one. Requests are counted in `tally` by small ids, so that counting is an atomic add; the rest is the
//! prometheus crate's.

mod groups;
mod matches;
mod names;
mod register;
pub(crate) mod secrets;
mod tally;
mod watched;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use policy::Policy;
use policy::decision::{Action, CheckId, Reason, RouteId, Would};
use policy::settings::Upstream;
use prometheus::core::Collector;
use prometheus::{Encoder, GaugeVec, Histogram, IntCounter, IntCounterVec, Registry, TextEncoder};

use groups::{Connections, InService, Remote, Times};
use matches::Matches;
use names::{Names, Word};
use register::Register;
use tally::{Families, Key, Tally};
use watched::Watched;

/// Everything that is counted, for the life of the process.
#[derive(Debug)]
pub(crate) struct Metrics {
    registry: Registry,
    names: Arc<Names>,
    tally: Arc<Tally>,
    times: Times,
    /// Connections of clients.
    pub(crate) connections: Connections,
    in_service: InService,
    server_healthy: GaugeVec,
    servers: Mutex<BTreeSet<(String, String)>>,
    /// What WAF rules found.
    pub(crate) matches: Matches,
    told: IntCounterVec,
    /// Answers that were cut off after the client had some of them.
    pub(crate) cut: IntCounter,
    /// Servers that checks ask.
    pub(crate) remote: Remote,
    /// Event lines that were lost.
    pub(crate) events_dropped: IntCounter,
}

/// What is known about one request when it is over.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sample<'s> {
    /// The route, when one matched.
    pub(crate) route: Option<RouteId>,
    /// The check that ended the run.
    pub(crate) check: Option<CheckId>,
    /// What was done.
    pub(crate) action: Action,
    /// Why.
    pub(crate) reason: Reason,
    /// Status of the answer.
    pub(crate) status: u16,
    /// Method as sent.
    pub(crate) method: &'s str,
    /// What observing checks would have done.
    pub(crate) would: &'s [Would],
    /// The whole request.
    pub(crate) duration: Duration,
    /// Deciding.
    pub(crate) deciding: Duration,
    /// Waiting for the upstream, when it was asked.
    pub(crate) upstream: Option<Duration>,
}

/// One policy's routes and checks, looked up once: counting a request hashes no text.
#[derive(Debug)]
pub(crate) struct Resolved {
    routes: Vec<RouteMeter>,
    unrouted: RouteMeter,
    checks: Vec<Word>,
}

#[derive(Debug)]
struct RouteMeter {
    word: Word,
    request: Histogram,
    deciding: Histogram,
    upstream: Histogram,
}

impl Metrics {
    /// Registers everything.
    ///
    /// # Errors
    /// Only for names that collide or are malformed: never, once the tests pass.
    pub(crate) fn new() -> Result<Self, prometheus::Error> {
        let registry = Registry::new();
        let names = Arc::new(Names::default());
        let tally = Arc::new(Tally::new());
        let families = Families::new(Arc::clone(&tally), Arc::clone(&names))?;
        registry.register(Box::new(families))?;
        let register = Register(&registry);
        groups::about_the_process(register)?;
        Ok(Self {
            times: Times::new(register)?,
            connections: Connections::new(register)?,
            in_service: InService::new(register)?,
            server_healthy: register.gauges(
                "upstream_server_healthy",
                "Whether a server of an upstream group is healthy.",
                &["upstream", "server"],
            )?,
            matches: Matches(register.counters(
                "waf_matches_total",
                "Matches of WAF rules in requests and answers, by check and family of rules.",
                &["check", "family"],
            )?),
            told: register.counters(
                "told_total",
                "Events of their own that checks and operators told: log-ins that fail, bans, emergencies.",
                &["event", "check"],
            )?,
            cut: register.counter(
                "responses_cut_total",
                "Answers that were refused when the client had some of them.",
            )?,
            remote: Remote::new(register)?,
            events_dropped: register
                .counter("events_dropped_total", "Event lines that were lost.")?,
            servers: Mutex::default(),
            registry,
            names,
            tally,
        })
    }

    /// Looks up what a policy's requests will be counted under.
    pub(crate) fn resolve(&self, policy: &Policy) -> Resolved {
        let ids = |count: usize| (0..count).filter_map(|id| u16::try_from(id).ok());
        Resolved {
            routes: ids(policy.route_count())
                .map(|id| self.meter(policy.route_name(RouteId(id))))
                .collect(),
            unrouted: self.meter(""),
            checks: ids(policy.check_count())
                .map(|id| self.names.word(policy.check_name(CheckId(id))))
                .collect(),
        }
    }

    /// Something happened that has an event of its own. Both are words of ours or of the policy.
    pub(crate) fn told(&self, event: &str, check: &str) {
        self.told.with_label_values(&[event, check]).inc();
    }

    fn meter(&self, route: &str) -> RouteMeter {
        RouteMeter {
            word: self.names.word(route),
            request: self.times.request.with_label_values(&[route]),
            deciding: self.times.decision.with_label_values(&[route]),
            upstream: self.times.upstream.with_label_values(&[route]),
        }
    }

    /// Counts a request.
    pub(crate) fn request(&self, resolved: &Resolved, sample: &Sample<'_>) {
        let route = sample
            .route
            .and_then(|id| resolved.routes.get(usize::from(id.0)));
        let route = route.unwrap_or(&resolved.unrouted);
        let check = |id: CheckId| resolved.checks.get(usize::from(id.0)).copied();
        self.tally.request(Key {
            route: route.word,
            check: sample.check.and_then(check).unwrap_or_default(),
            action: sample.action,
            reason: sample.reason,
            status: sample.status,
            method: sample.method,
        });
        for would in sample.would {
            let check = check(would.check).unwrap_or_default();
            self.tally.would(route.word, check, would.reason);
        }
        route.request.observe(sample.duration.as_secs_f64());
        route.deciding.observe(sample.deciding.as_secs_f64());
        if let Some(upstream) = sample.upstream {
            route.upstream.observe(upstream.as_secs_f64());
        }
    }

    /// Counts a connection that was dropped; `why` is one of our own words.
    pub(crate) fn connection_refused(&self, why: &'static str) {
        self.connections.refused.with_label_values(&[why]).inc();
    }

    /// Notes whether a server of an upstream group is healthy.
    pub(crate) fn server_health(&self, group: &str, server: &str, healthy: bool) {
        let gauge = self.server_healthy.with_label_values(&[group, server]);
        gauge.set(if healthy { 1.0 } else { 0.0 });
    }

    /// Shows the servers of a policy's upstream groups, and no others. One that is new counts as healthy until a check
    /// says otherwise.
    pub(crate) fn expect_servers(&self, upstreams: &[Upstream]) {
        let now: BTreeSet<_> = upstreams
            .iter()
            .flat_map(|group| {
                let servers = group.servers.iter();
                servers.map(|server| (group.name.clone(), server.address.to_string()))
            })
            .collect();
        let mut shown = self.servers.lock();
        for (group, server) in now.difference(&shown) {
            self.server_health(group, server, true);
        }
        for (group, server) in shown.difference(&now) {
            // Fails only for one that was never shown.
            let _ = self.server_healthy.remove_label_values(&[group, server]);
        }
        *shown = now;
    }

    /// A policy is in service.
    pub(crate) fn policy_loaded(&self, version: u64, hash: &str, warnings: usize, reload: bool) {
        if reload {
            self.in_service.reloads.with_label_values(&["ok"]).inc();
        }
        self.in_service.info.reset();
        self.in_service
            .info
            .with_label_values(&[version.to_string().as_str(), hash])
            .set(1.0);
        self.in_service.loaded.set(unix_seconds());
        self.in_service
            .warnings
            .set(i64::try_from(warnings).unwrap_or(i64::MAX));
    }

    /// A policy had faults and is not in service.
    pub(crate) fn policy_rejected(&self) {
        self.in_service.reloads.with_label_values(&["failed"]).inc();
    }

    /// Shows a number that somebody else keeps, read when Prometheus asks.
    ///
    /// # Errors
    /// When the name is taken.
    pub(crate) fn watch(
        &self,
        name: &str,
        help: &str,
        kind: Kind,
        read: impl Fn() -> u64 + Send + Sync + 'static,
    ) -> Result<(), prometheus::Error> {
        let watched = Watched::new(name, help, kind, Box::new(read))?;
        self.registry.register(Box::new(watched))
    }

    /// Shows what somebody else counts, under the name that it has.
    ///
    /// # Errors
    /// When the name is taken.
    pub(crate) fn take(&self, collector: Box<dyn Collector>) -> Result<(), prometheus::Error> {
        self.registry.register(collector)
    }

    /// The exposition in Prometheus' text format.
    pub(crate) fn text(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(16 << 10);
        if let Err(why) = TextEncoder::new().encode(&self.registry.gather(), &mut out) {
            log::error!("metrics: {why}");
        }
        out
    }
}

/// How a watched number moves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Only up.
    Counter,
    /// Up and down.
    Gauge,
}

fn unix_seconds() -> f64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    now.map_or(0.0, |since| since.as_secs_f64())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use std::sync::Arc;
    use std::time::Duration;

    use policy::Policy;
    use policy::decision::{Action, Reason};

    use super::{Kind, Metrics, Sample};

    fn refused(method: &str) -> Sample<'_> {
        Sample {
            route: None,
            check: None,
            action: Action::Deny,
            reason: Reason::NoRoute,
            status: 404,
            method,
            would: &[],
            duration: Duration::from_micros(70),
            deciding: Duration::from_micros(7),
            upstream: None,
        }
    }

    fn text(metrics: &Metrics) -> String {
        String::from_utf8(metrics.text()).unwrap()
    }

    #[test]
    fn counts_requests_by_our_own_words_only() {
        let metrics = Metrics::new().unwrap();
        let resolved = metrics.resolve(&Policy::default());
        for method in ["GET", "GET", "<script>", "PROPFIND"] {
            metrics.request(&resolved, &refused(method));
        }
        let odd = Sample {
            status: 799,
            ..refused("GET")
        };
        metrics.request(&resolved, &odd);
        let text = text(&metrics);
        let line = |method: &str, status: &str| {
            format!(
                r#"palisade_requests_total{{action="deny",check="",method="{method}",reason="no_route",route="",status="{status}"}}"#
            )
        };
        assert!(
            text.contains(&format!("{} 2", line("GET", "404"))),
            "{text}"
        );
        assert!(text.contains(&format!("{} 2", line("other", "404"))));
        assert!(text.contains(&format!("{} 1", line("GET", "7xx"))));
        assert!(text.contains(r#"palisade_decision_seconds_count{route=""} 5"#));
    }

    #[test]
    fn loses_no_count_between_threads() {
        let metrics = Arc::new(Metrics::new().unwrap());
        let workers: Vec<_> = (0..4)
            .map(|_| {
                let metrics = Arc::clone(&metrics);
                std::thread::spawn(move || {
                    let resolved = metrics.resolve(&Policy::default());
                    (0..5000).for_each(|_| metrics.request(&resolved, &refused("POST")));
                })
            })
            .collect();
        workers
            .into_iter()
            .for_each(|worker| worker.join().unwrap());
        assert!(text(&metrics).contains(r#"status="404"} 20000"#));
    }

    #[test]
    fn shows_the_servers_of_the_policy_in_service() {
        use policy::settings::{Balance, Protocol, Server, ServerAddress, Timeouts, Upstream};
        let second = Duration::from_secs(1);
        let group = |port| Upstream {
            name: "app".to_owned(),
            servers: vec![Server {
                address: ServerAddress::Tcp("127.0.0.1".to_owned(), port),
                weight: 1,
            }],
            balance: Balance::RoundRobin,
            health: None,
            timeouts: Timeouts {
                connect: second,
                read: second,
                write: second,
                idle: second,
            },
            tls: None,
            protocol: Protocol::Http1,
            retries: 0,
            keepalive: 1,
        };
        let metrics = Metrics::new().unwrap();
        let line = |port: u16, value: u8| {
            format!(
                r#"palisade_upstream_server_healthy{{server="127.0.0.1:{port}",upstream="app"}} {value}"#
            )
        };
        metrics.expect_servers(&[group(1)]);
        metrics.server_health("app", "127.0.0.1:1", false);
        metrics.expect_servers(&[group(1)]);
        assert!(text(&metrics).contains(&line(1, 0)));
        metrics.expect_servers(&[group(2)]);
        let text = text(&metrics);
        assert!(text.contains(&line(2, 1)) && !text.contains("127.0.0.1:1\""));
    }

    #[test]
    fn shows_one_policy_at_a_time() {
        let metrics = Metrics::new().unwrap();
        metrics.policy_loaded(1, "aaaa", 0, false);
        metrics.policy_loaded(2, "bbbb", 1, true);
        metrics.policy_rejected();
        let text = text(&metrics);
        assert!(text.contains(r#"palisade_policy_info{hash="bbbb",version="2"} 1"#));
        assert!(!text.contains("aaaa"));
        assert!(text.contains(r#"palisade_policy_reloads_total{result="failed"} 1"#));
        assert!(text.contains(r#"palisade_policy_reloads_total{result="ok"} 1"#));
    }

    #[test]
    fn reads_watched_numbers_when_asked() {
        let metrics = Metrics::new().unwrap();
        metrics
            .watch("body_bytes_held", "Held.", Kind::Gauge, || 7)
            .unwrap();
        assert!(text(&metrics).contains("palisade_body_bytes_held 7"));
    }

    /// Needs `promtool` (Debian: prometheus); passes over where there is none.
    #[test]
    fn promtool_finds_nothing_to_complain_about() {
        use std::io::Write as _;
        use std::process::{Command, Stdio};
        let metrics = Metrics::new().unwrap();
        metrics.request(&metrics.resolve(&Policy::default()), &refused("GET"));
        metrics.connection_refused("total");
        metrics.server_health("app", "127.0.0.1:1", true);
        metrics.policy_loaded(1, "aaaa", 0, false);
        let promtool = Command::new("promtool")
            .args(["check", "metrics"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn();
        let Ok(mut promtool) = promtool else { return };
        promtool
            .stdin
            .take()
            .unwrap()
            .write_all(&metrics.text())
            .unwrap();
        let output = promtool.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success() && said.is_empty(), "{said}");
    }
}

//! Tells events and metrics what the traffic side saw. One place, so that both always agree on check and reason.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwap;
use policy::Policy;
use policy::decision::{CheckId, Decision, Reason, Would};
use policy::request::Facts;
use smallvec::SmallVec;

use crate::events::{Event, Events, Finding, Kind, WouldDeny, unix_ms};
use crate::metrics::{Metrics, Resolved, Sample};
use crate::record::{Asked, Observer, Record, Refused};

/// Policies whose counters stay looked up: a WebSocket may live longer, its end then costs a few look-ups more.
const KEPT: usize = 8;

/// The observer of a running gateway.
#[derive(Debug)]
pub(crate) struct Watch {
    /// Where lines go.
    pub(crate) events: Arc<Events>,
    /// Where numbers go.
    pub(crate) metrics: Arc<Metrics>,
    resolved: ArcSwap<Vec<(u64, Arc<Resolved>)>>,
    refusals: Refusals,
}

/// Refused connections since the last line about them. A flood of connections must not become a flood of lines.
#[derive(Debug, Default)]
struct Refusals {
    since: AtomicU64,
    told_at: AtomicU64,
}

impl Refusals {
    /// Counts one; how many a line should now tell of, if it is time for one.
    fn add(&self, now: u64) -> Option<u64> {
        self.since.fetch_add(1, Ordering::Relaxed);
        let told_at = self.told_at.load(Ordering::Relaxed);
        let due = now.saturating_sub(told_at) >= 1000;
        let mine = due
            && self
                .told_at
                .compare_exchange(told_at, now, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok();
        mine.then(|| self.since.swap(0, Ordering::Relaxed))
    }
}

impl Watch {
    pub(crate) fn new(events: Arc<Events>, metrics: Arc<Metrics>) -> Self {
        Self {
            events,
            metrics,
            resolved: ArcSwap::default(),
            refusals: Refusals::default(),
        }
    }

    /// Looks up a policy's counters and servers before the policy serves.
    pub(crate) fn expect(&self, version: u64, policy: &Policy) {
        let mut all = vec![(version, Arc::new(self.metrics.resolve(policy)))];
        let before = self.resolved.load();
        all.extend(
            before
                .iter()
                .filter(|(other, _)| *other != version)
                .take(KEPT - 1)
                .cloned(),
        );
        self.resolved.store(Arc::new(all));
        self.metrics.expect_servers(&policy.settings().upstreams);
    }

    fn count(&self, record: &Record<'_>) {
        let decision = record.decision;
        let would: SmallVec<[Would; 4]> =
            decision.into_iter().flat_map(Decision::observed).collect();
        let sample = Sample {
            route: record.route,
            check: decision.and_then(|decision| decision.check),
            action: record.action,
            reason: record.reason,
            status: record.status,
            method: record.method,
            would: &would,
            duration: record.duration,
            deciding: record.gateway,
            upstream: record.upstream_time,
        };
        if let Some(decision) = decision {
            let policy = &record.snapshot.policy;
            self.metrics.matches.count(policy, &decision.facts);
        }
        if record.detail == "response_cut" {
            self.metrics.cut.inc();
        }
        let version = record.snapshot.version;
        let known = self.resolved.load();
        match known.iter().find(|(of, _)| *of == version) {
            Some((_, resolved)) => self.metrics.request(resolved, &sample),
            None => {
                let resolved = self.metrics.resolve(&record.snapshot.policy);
                self.metrics.request(&resolved, &sample);
            }
        }
    }

    fn tell(&self, record: &Record<'_>) {
        let policy = &record.snapshot.policy;
        let decision = record.decision;
        let would: SmallVec<[WouldDeny<'_>; 4]> = decision
            .into_iter()
            .flat_map(Decision::observed)
            .map(|would| WouldDeny {
                check: policy.check_name(would.check),
                reason: would.reason,
            })
            .collect();
        let waf = decision.and_then(|decision| decision.facts.waf.as_deref());
        let facts = decision.map(|decision| &decision.facts);
        let rules: SmallVec<[Finding<'_>; 4]> = facts
            .map(|facts| findings(policy, facts))
            .unwrap_or_default();
        let identity = decision.and_then(|decision| decision.facts.identity.as_deref());
        let check = decision.and_then(|decision| decision.check);
        let unreadable = record.method.is_empty() && record.reason == Reason::Malformed;
        let noted = facts
            .zip(check)
            .and_then(|(facts, check)| facts.note(check));
        self.events.emit(&Event {
            time: unix_ms(),
            kind: if unreadable {
                Kind::Malformed
            } else {
                Kind::Request
            },
            request_id: record.id,
            client: Some(record.client),
            country: decision.and_then(|decision| decision.facts.place.country),
            method: record.method,
            host: record.host,
            path: record.path,
            query: record.query,
            route: record.route.map_or("", |route| policy.route_name(route)),
            status: Some(record.status),
            action: Some(record.action),
            check: check.map_or("", |check| policy.check_name(check)),
            reason: Some(record.reason),
            detail: match waf.and_then(|verdict| verdict.refusal.as_ref()) {
                Some(refusal) if record.detail.is_empty() => refusal.code(),
                Some(_) | None if record.detail.is_empty() => noted.unwrap_or_default(),
                Some(_) | None => record.detail,
            },
            would: &would,
            rules: &rules,
            score: waf.map(|verdict| u64::from(verdict.score)),
            response_score: waf
                .map(|verdict| u64::from(verdict.outbound))
                .filter(|score| *score > 0),
            user: identity.map_or("", |identity| identity.user.as_str()),
            upstream: record.upstream.unwrap_or_default(),
            bytes_in: Some(record.bytes_in),
            bytes_out: Some(record.bytes_out),
            duration_us: Some(micros(record.duration)),
            gateway_us: Some(micros(record.gateway)),
            policy_version: Some(record.snapshot.version),
            policy_hash: policy.hash(),
            ..Event::default()
        });
    }

    /// What checks tell of, each in a line of its own.
    fn told(&self, record: &Record<'_>) {
        let policy = &record.snapshot.policy;
        for told in record
            .decision
            .iter()
            .flat_map(|decision| &decision.effects.told)
        {
            self.metrics.told(told.event, policy.check_name(told.check));
            self.events.emit(&Event {
                time: unix_ms(),
                kind: Kind::Told(told.event),
                request_id: record.id,
                client: Some(record.client),
                route: record.route.map_or("", |route| policy.route_name(route)),
                check: policy.check_name(told.check),
                user: told.user.as_deref().unwrap_or_default(),
                detail: &told.detail,
                ..Event::default()
            });
        }
    }
}

impl Observer for Watch {
    fn request(&self, record: &Record<'_>) {
        self.count(record);
        self.tell(record);
        self.told(record);
    }

    fn connection_opened(&self) {
        self.metrics.connections.accepted.inc();
        self.metrics.connections.open.inc();
    }

    fn connection_closed(&self) {
        self.metrics.connections.open.dec();
    }

    fn connection_refused(&self, why: Refused) {
        self.metrics.connection_refused(why.as_str());
        let now = unix_ms();
        if let Some(count) = self.refusals.add(now) {
            self.events.emit(&Event {
                time: now,
                kind: Kind::ConnectionRefused,
                detail: why.as_str(),
                count: Some(count),
                ..Event::default()
            });
        }
    }

    fn server_health(&self, group: &str, server: &str, healthy: bool) {
        self.metrics.server_health(group, server, healthy);
    }

    fn asked(&self, asked: &Asked<'_>) {
        self.metrics.remote.count(asked);
        let Some(works) = asked.changed else { return };
        let status = asked.outcome.map(|status| format!(": status {status}"));
        let detail = match status {
            Ok(status) => format!("{}{status}", asked.host),
            Err(_) => format!("{}: {}", asked.host, asked.detail),
        };
        if works {
            log::info!("answers again: {detail}");
        } else {
            log::warn!("no answer from {detail}");
        }
        self.events.emit(&Event {
            time: unix_ms(),
            kind: if works {
                Kind::RemoteRecovered
            } else {
                Kind::RemoteFailed
            },
            detail: &detail,
            ..Event::default()
        });
    }

    fn store(&self, event: &'static str, detail: &str) {
        self.events.emit(&Event {
            time: unix_ms(),
            kind: Kind::Told(event),
            detail,
            ..Event::default()
        });
    }
}

fn findings<'f>(policy: &'f Policy, facts: &'f Facts) -> SmallVec<[Finding<'f>; 4]> {
    let one = |(check, found): (CheckId, &'f waf::Match)| Finding {
        id: found.id,
        msg: &found.msg,
        severity: found.severity.map_or("", waf::Severity::name),
        target: &found.target,
        score: found.score,
        check: policy.check_name(check),
        value: &found.value,
        data: &found.data,
    };
    facts.findings().map(one).collect()
}

fn micros(time: std::time::Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::Refusals;

    #[test]
    fn a_flood_of_connections_is_one_line_a_second() {
        let refusals = Refusals::default();
        assert_eq!(refusals.add(5000), Some(1));
        assert!((0..99).all(|_| refusals.add(5999).is_none()));
        assert_eq!(refusals.add(6000), Some(100));
    }
}

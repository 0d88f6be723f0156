//! Requests by route, check, reason, status and method: a table of atomics, keyed by packed ids. Counting is one
//! probe and one add: no lock, no text, no allocation. The table does not grow; what finds no place is counted as such.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use policy::decision::{Action, Reason};
use prometheus::core::{Collector, Desc};
use prometheus::proto::{Counter, LabelPair, Metric, MetricFamily, MetricType};

use super::names::{Names, Word};

/// Places; a power of two. A hundred routes with a dozen ways to end each fill a tenth.
const PLACES: usize = 1 << 14;

/// Places looked at before a count is given up.
const PROBES: usize = 64;

/// Statuses that are a label of their own (the IANA registry's, and 499: the client was gone). Others are counted by
/// class, so that an application which echoes numbers makes no labels.
const STATUSES: &[u16] = &[
    100, 101, 103, 200, 201, 202, 203, 204, 205, 206, 207, 208, 226, 300, 301, 302, 303, 304, 305,
    307, 308, 400, 401, 402, 403, 404, 405, 406, 407, 408, 409, 410, 411, 412, 413, 414, 415, 416,
    417, 418, 421, 422, 423, 424, 425, 426, 428, 429, 431, 451, 499, 500, 501, 502, 503, 504, 505,
    506, 507, 508, 510, 511,
];

/// Methods that are a label of their own.
const METHODS: &[&str] = &[
    "other", "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "CONNECT", "TRACE",
];

const ACTIONS: &[Action] = &[Action::Allow, Action::Deny, Action::Challenge];

/// What one request is counted under.
#[derive(Debug, Clone, Copy)]
pub(super) struct Key<'k> {
    pub(super) route: Word,
    pub(super) check: Word,
    pub(super) action: Action,
    pub(super) reason: Reason,
    pub(super) status: u16,
    pub(super) method: &'k str,
}

#[derive(Debug, Default)]
struct Place {
    /// The packed key; 0 while free.
    key: AtomicU64,
    count: AtomicU64,
}

#[derive(Debug)]
pub(super) struct Tally {
    places: Box<[Place]>,
    lost: AtomicU64,
}

impl Tally {
    pub(super) fn new() -> Self {
        Self {
            places: (0..PLACES).map(|_| Place::default()).collect(),
            lost: AtomicU64::new(0),
        }
    }

    pub(super) fn request(&self, key: Key<'_>) {
        self.count(pack(key));
    }

    pub(super) fn would(&self, route: Word, check: Word, reason: Reason) {
        self.count(WOULD | ids(route, check, reason));
    }

    fn count(&self, packed: u64) {
        let start = (packed.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 50) as usize;
        for step in 0..PROBES {
            let Some(place) = self.places.get((start + step) % PLACES) else {
                break;
            };
            let mut held = place.key.load(Ordering::Relaxed);
            if held == 0 {
                held = match place.key.compare_exchange(
                    0,
                    packed,
                    Ordering::Relaxed,
                    Ordering::Relaxed,
                ) {
                    Ok(_) => packed,
                    Err(other) => other,
                };
            }
            if held == packed {
                place.count.fetch_add(1, Ordering::Relaxed);
                return;
            }
        }
        self.lost.fetch_add(1, Ordering::Relaxed);
    }
}

// Bits of a packed key, from the lowest: route 16, check 16, reason 8, status 7, method 4, action 2, then two flags
// of which one is always set, so that no key is 0.
const REQUEST: u64 = 1 << 62;
const WOULD: u64 = 1 << 63;

fn ids(route: Word, check: Word, reason: Reason) -> u64 {
    u64::from(route.0) | u64::from(check.0) << 16 | (reason as u64 & 0xFF) << 32
}

fn pack(key: Key<'_>) -> u64 {
    let action = ACTIONS.iter().position(|&action| action == key.action);
    REQUEST
        | ids(key.route, key.check, key.reason)
        | status(key.status) << 40
        | method(key.method) << 47
        | (action.unwrap_or(0) as u64) << 51
}

/// Position in [`STATUSES`], or its length plus the class.
fn status(status: u16) -> u64 {
    let known = STATUSES.binary_search(&status);
    let class = STATUSES.len() + usize::from(status / 100).min(9);
    known.unwrap_or(class) as u64
}

fn method(method: &str) -> u64 {
    let known = METHODS.iter().position(|&known| known == method);
    known.unwrap_or(0) as u64
}

/// The table as metric families.
#[derive(Debug)]
pub(super) struct Families {
    tally: Arc<Tally>,
    names: Arc<Names>,
    requests: Desc,
    would: Desc,
    lost: Desc,
}

impl Families {
    pub(super) fn new(tally: Arc<Tally>, names: Arc<Names>) -> Result<Self, prometheus::Error> {
        let desc = |name: &str, help: &str, labels: &[&str]| {
            let labels = labels.iter().map(|&label| label.to_owned()).collect();
            Desc::new(name.to_owned(), help.to_owned(), labels, Default::default())
        };
        Ok(Self {
            tally,
            names,
            requests: desc(
                "palisade_requests_total",
                "Requests, by what became of them.",
                &["route", "method", "status", "action", "check", "reason"],
            )?,
            would: desc(
                "palisade_would_deny_total",
                "Refusals by checks that only observe.",
                &["route", "check", "reason"],
            )?,
            lost: desc(
                "palisade_requests_uncounted_total",
                "Requests that found no place in the table of palisade_requests_total.",
                &[],
            )?,
        })
    }
}

impl Collector for Families {
    fn desc(&self) -> Vec<&Desc> {
        vec![&self.requests, &self.would, &self.lost]
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let names = self.names.all();
        let (mut requests, mut would) = (Vec::new(), Vec::new());
        for place in &self.tally.places {
            let key = place.key.load(Ordering::Relaxed);
            let count = place.count.load(Ordering::Relaxed);
            if key & REQUEST != 0 {
                requests.push(metric(request_labels(key, &names), count));
            } else if key & WOULD != 0 {
                would.push(metric(id_labels(key, &names), count));
            }
        }
        // A family without samples would not be shown, and rules that name it would be in doubt.
        if would.is_empty() {
            let none = ["route", "check", "reason"].map(|name| label(name, ""));
            would.push(metric(none.into(), 0));
        }
        let lost = vec![metric(Vec::new(), self.tally.lost.load(Ordering::Relaxed))];
        [
            (&self.requests, requests),
            (&self.would, would),
            (&self.lost, lost),
        ]
        .into_iter()
        .filter(|(_, metrics)| !metrics.is_empty())
        .map(|(desc, metrics)| family(desc, metrics))
        .collect()
    }
}

fn family(desc: &Desc, metrics: Vec<Metric>) -> MetricFamily {
    let mut family = MetricFamily::default();
    family.set_name(desc.fq_name.clone());
    family.set_help(desc.help.clone());
    family.set_field_type(MetricType::COUNTER);
    family.set_metric(metrics);
    family
}

fn metric(labels: Vec<LabelPair>, count: u64) -> Metric {
    let mut counter = Counter::default();
    counter.set_value(count as f64);
    let mut metric = Metric::default();
    metric.set_counter(counter);
    metric.set_label(labels);
    metric
}

fn id_labels(key: u64, names: &[String]) -> Vec<LabelPair> {
    let name = |shift: u32| {
        let word = usize::try_from(key >> shift & 0xFFFF).unwrap_or(0);
        names.get(word).map_or("", String::as_str)
    };
    let reason = usize::try_from(key >> 32 & 0xFF).unwrap_or(usize::MAX);
    vec![
        label("route", name(0)),
        label("check", name(16)),
        label(
            "reason",
            Reason::ALL.get(reason).map_or("", |reason| reason.code()),
        ),
    ]
}

fn request_labels(key: u64, names: &[String]) -> Vec<LabelPair> {
    let part = |shift: u32, mask: u64| usize::try_from(key >> shift & mask).unwrap_or(0);
    let status = part(40, 0x7F);
    let status = STATUSES.get(status).map_or_else(
        || format!("{}xx", status.saturating_sub(STATUSES.len())),
        u16::to_string,
    );
    let action = ACTIONS
        .get(part(51, 0x3))
        .map_or("", |action| action.as_str());
    let mut labels = id_labels(key, names);
    labels.extend([
        label("status", &status),
        label(
            "method",
            METHODS.get(part(47, 0xF)).copied().unwrap_or("other"),
        ),
        label("action", action),
    ]);
    labels.sort_by(|one, other| one.name().cmp(other.name()));
    labels
}

fn label(name: &str, value: &str) -> LabelPair {
    let mut label = LabelPair::default();
    label.set_name(name.to_owned());
    label.set_value(value.to_owned());
    label
}

#[cfg(test)]
mod tests {
    use policy::decision::Reason;

    use super::{ACTIONS, METHODS, STATUSES};

    #[test]
    fn ids_fit_their_bits() {
        assert!(Reason::ALL.len() <= 256, "eight bits for the reason");
        assert!(STATUSES.len() + 10 <= 128, "seven bits for the status");
        assert!(STATUSES.is_sorted());
        assert!(METHODS.len() <= 16 && ACTIONS.len() <= 4);
        let in_order = Reason::ALL.iter().enumerate();
        assert!(
            in_order
                .into_iter()
                .all(|(at, &reason)| reason as usize == at)
        );
    }
}

//! The WAF for each kind of request, with rules of our own and with Debian's Core Rule Set; values never repeat.

use std::hint::black_box;
use std::sync::Arc;

use http::{HeaderMap, HeaderName, HeaderValue, Method};
use policy::Policy;
use policy::decision::Outcome;
use policy::invented::{Invented, ready};
use policy::run::Unwatched;

use crate::stage::{Asked, load};
use crate::traffic::{Kind, Sample, Variety, sample};
use crate::{Bench, ROUNDS};

/// Bytes of content, as in the tables of the side-by-side runs.
const SIZES: [(Kind, usize); 6] = [
    (Kind::Get, 0),
    (Kind::Form, 1 << 10),
    (Kind::Json, 9 << 10),
    (Kind::Multipart, 9 << 10),
    (Kind::Xml, 9 << 10),
    (Kind::Answer, 8 << 10),
];
const ROUTE: &str =
    "routes: [{name: all, match: {path: '/*'}, to: app, use: [it], public: bench}]\n";

pub(crate) fn builtin() -> Result<Vec<Bench>, String> {
    let policy = load(&format!(
        "checks:\n  it: {{check: waf, rules: [policies/waf/*.yaml]}}\n{ROUTE}"
    ))?;
    Ok(kinds("built-in", &Arc::new(policy)))
}

pub(crate) fn crs(paranoia: u8) -> Result<Vec<Bench>, String> {
    let policy = load(&format!(
        "checks:\n  it: {{check: waf, rules: [/etc/modsecurity/crs/crs-setup.conf, /usr/share/modsecurity-crs/rules/*.conf], \
paranoia: {paranoia}, detection_paranoia: {paranoia}, threshold: 10000, response_threshold: 10000}}\n{ROUTE}"
    ))?;
    Ok(kinds(
        &format!("CRS, paranoia {paranoia}"),
        &Arc::new(policy),
    ))
}

fn kinds(name: &str, policy: &Arc<Policy>) -> Vec<Bench> {
    let bench = |(kind, bytes): (Kind, usize)| {
        let policy = Arc::clone(policy);
        let samples: Vec<(Asked, Vec<u8>)> = (0..3 * ROUNDS)
            .map(|number| asked(&sample(kind, bytes, Variety::Fresh, number * 7 + 1)))
            .collect();
        let mut io = Invented::default();
        Bench::new(format!("waf: {name}, {}", kind.name()), move |round| {
            if let Some((asked, answer)) = samples.get(round) {
                io.body = Ok(asked.body.clone());
                judge(&policy, &mut io, asked, answer);
            }
        })
    };
    SIZES.into_iter().map(bench).collect()
}

fn judge(policy: &Policy, io: &mut Invented, asked: &Asked, answer: &[u8]) {
    let request = asked.request();
    let decided = policy.route(&request).and_then(|route| {
        let decided = ready(policy.decide(route, &request, io, &mut Unwatched))?;
        Some((route, decided))
    });
    let (route, mut decision) = decided.unwrap_or_else(|| panic!("no decision"));
    assert!(
        matches!(decision.outcome, Outcome::Permit(_)),
        "{:?}",
        decision.outcome
    );
    if answer.is_empty() {
        policy.abandon_response(&mut decision.facts);
    } else {
        let mut headers = HeaderMap::new();
        headers.insert("content-type", HeaderValue::from_static("text/html"));
        let facts = &mut decision.facts;
        black_box(policy.judge_response(route, facts, 200, &headers, &mut Unwatched));
        black_box(policy.judge_response_body(route, facts, answer, &mut Unwatched));
    }
}

fn asked(sample: &Sample) -> (Asked, Vec<u8>) {
    let mut asked = Asked::get("/shop/items");
    asked.headers.clear();
    for (name, value) in &sample.headers {
        if let Ok(value) = HeaderValue::try_from(value) {
            asked.headers.append(HeaderName::from_static(name), value);
        }
    }
    asked.query = (!sample.query.is_empty()).then(|| sample.query.clone());
    asked.target.clone_from(&sample.target);
    if !sample.body.is_empty() {
        asked.method = Method::POST;
        asked.body = sample.body.clone().into();
    }
    (asked, sample.answer.clone())
}

//! Paranoia and thresholds as operators write them → the variables that the Core Rule Set reads. They hold whatever
//! the rule files say, and one that no rule reads is a fault: it would promise what nothing does.

use super::rules::Loaded;
use super::spec::Spec;
use crate::context::Context;

/// A threshold above what every rule together could score refuses nothing.
const MOST_THRESHOLD: u32 = 10_000;

/// The names of CRS 4, then those of CRS 3.
const BLOCKING: [&str; 2] = ["blocking_paranoia_level", "paranoia_level"];
const DETECTION: [&str; 2] = ["detection_paranoia_level", "executing_paranoia_level"];
const INBOUND: &str = "inbound_anomaly_score_threshold";
const OUTBOUND: &str = "outbound_anomaly_score_threshold";

/// Checks what is bounded.
pub(super) fn limits(spec: &Spec, context: &mut Context<'_>) {
    for (key, threshold) in [("threshold", spec.threshold), ("response_threshold", spec.response_threshold)] {
        if threshold.is_some_and(|threshold| !(1..=MOST_THRESHOLD).contains(&threshold)) {
            context.error(context.at.key(key), format!("from 1 to {MOST_THRESHOLD}"));
        }
    }
    for (key, level) in [("paranoia", spec.paranoia), ("detection_paranoia", spec.detection_paranoia)] {
        if level.is_some_and(|level| !is_level(level)) {
            context.error(context.at.key(key), "paranoia levels go from 1 to 4");
        }
    }
    if spec.detection_paranoia < spec.paranoia.filter(|_| spec.detection_paranoia.is_some()) {
        let message = "at least the level of `paranoia`: what refuses must be detected";
        context.error(context.at.key("detection_paranoia"), message);
    }
}

/// What the check fixes. Without a level of its own detection is at the blocking one: CRS refuses everything when it is
/// below.
pub(super) fn pins(spec: &Spec) -> Vec<(&'static str, String)> {
    let detection = spec.detection_paranoia.or(spec.paranoia);
    let blocking = BLOCKING.iter().filter_map(|name| Some((*name, spec.paranoia?.to_string())));
    let detection = DETECTION.iter().filter_map(|name| Some((*name, detection?.to_string())));
    let thresholds = [(INBOUND, spec.threshold), (OUTBOUND, spec.response_threshold)];
    let thresholds = thresholds.into_iter().filter_map(|(name, value)| Some((name, value?.to_string())));
    blocking.chain(detection).chain(thresholds).collect()
}

/// Reports what no rule reads.
pub(super) fn unread(spec: &Spec, loaded: &Loaded, context: &mut Context<'_>) {
    let reads = |names: &[&str]| names.iter().any(|name| loaded.rules.reads(name));
    let paranoia = "none of these rules knows paranoia levels: they are the Core Rule Set's (tx.blocking_paranoia_level)";
    let scores = "none of these rules counts scores against a threshold";
    let found = [
        ("paranoia", spec.paranoia.is_some_and(is_level) && !reads(&BLOCKING), paranoia),
        ("detection_paranoia", spec.detection_paranoia.is_some_and(is_level) && !reads(&DETECTION), paranoia),
        ("threshold", spec.threshold.is_some() && !loaded.native && !reads(&[INBOUND]), scores),
        ("response_threshold", spec.response_threshold.is_some() && !loaded.native && !reads(&[OUTBOUND]), scores),
    ];
    for (key, missing, message) in found {
        if missing {
            context.error(context.at.key(key), message);
        }
    }
}

fn is_level(level: u8) -> bool {
    (1..=4).contains(&level)
}

//! Matches of WAF rules by family: for the Core Rule Set the first three digits of an id, which are its files, for other
//! rules their first tag. Both come from the policy's files, so clients make no labels.

use policy::Policy;
use policy::request::Facts;
use prometheus::IntCounterVec;

/// Ids that the Core Rule Set has to itself.
const CORE: std::ops::RangeInclusive<u32> = 900_000..=999_999;

/// The counter. A look-up by text each: most requests match nothing.
#[derive(Debug)]
pub(crate) struct Matches(pub(super) IntCounterVec);

impl Matches {
    /// Counts what rules found in one request and its answer.
    pub(crate) fn count(&self, policy: &Policy, facts: &Facts) {
        for (check, found) in facts.findings() {
            let check = policy.check_name(check);
            let mut digits = itoa::Buffer::new();
            let family = if CORE.contains(&found.id) {
                digits.format(found.id / 1000)
            } else {
                found.tags.first().map_or("other", |tag| tag)
            };
            self.0.with_label_values(&[check, family]).inc();
        }
    }
}

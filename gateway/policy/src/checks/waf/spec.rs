//! `waf` as operators write it, and its limits.

use serde::Deserialize;

use super::answers::{self, Response};
use super::encoded::EncodedBody;
use super::{Check, rules};
use crate::checks::OnError;
use crate::context::Context;
use crate::scalar::Size;

/// A single value that is scanned at all, unless the policy says otherwise.
const INSPECT: u64 = 1 << 20;
/// Header fields are values as well, and long ones are no attack.
const LEAST_INSPECT: u64 = 8 << 10;
/// A body that is held for the rules, unless the policy says otherwise.
const BODY: u64 = 10 << 20;
/// Holding more than this per request is a denial of service waiting to happen.
const MOST_BODY: u64 = 256 << 20;
/// A threshold above what every rule together could score refuses nothing.
const MOST_THRESHOLD: u32 = 10_000;
/// Rules against attacks in path, query, header fields, cookies and body. What cannot be judged (a body that is not what its
/// type says, more arguments or more work than the limits) is refused unless `on_error: allow`.
#[derive(Debug, Clone, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    /// Files of rules, in order; globs are allowed. `.yaml` is Palisade's own format.
    rules: Vec<String>,
    /// A request whose matches score this much is refused. Default 5, one critical match; at most 10000.
    #[serde(default)]
    threshold: Option<u32>,
    /// Reserved for rule sets with paranoia levels; only 1 for now.
    #[serde(default)]
    paranoia: Option<u8>,
    /// How much of a body is held and scanned.
    #[serde(default)]
    body: Body,
    /// Rules that are not asked, by id.
    #[serde(default)]
    disable: Vec<u32>,
    /// Rules that are not asked, by tag.
    #[serde(default)]
    disable_tags: Vec<String>,
    /// What rules must not look at.
    #[serde(default)]
    exclude: Vec<Exclusion>,
    /// What is read of answers, where rules look at them.
    #[serde(default)]
    response: Response,
    /// Request bodies with a Content-Encoding other than `identity`: `open` (default) for the rules, within `body.max`
    /// and a hundredfold expansion, `deny` (415), or `allow`, which leaves them unread.
    #[serde(default)]
    encoded_body: EncodedBody,
}

/// How much of a body is held and scanned.
#[derive(Debug, Clone, Copy, Default, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Body {
    /// Longest single value (a field, a text of JSON, a body without a known type); a request with a longer one is
    /// refused. Contents of uploaded files do not count. Default `1MiB`, from
    /// `8KiB` to `256MiB`.
    #[serde(default)]
    inspect: Option<Size>,
    /// Longest body; a longer one is refused with 413. Default `10MiB`, at most `256MiB`.
    #[serde(default)]
    max: Option<Size>,
}

/// A value that rules must not look at.
#[derive(Debug, Clone, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Exclusion {
    /// The rule; every rule when it is left out.
    #[serde(default)]
    rule: Option<u32>,
    /// As events name it: `args:comment`, `cookie:/^pref_/`.
    target: String,
    /// Why this is not an attack.
    reason: String,
}

impl Spec {
    pub(in crate::checks) fn compile(self, context: &mut Context<'_>) -> Option<Check> {
        let before = context.faults.len();
        let max = self.limits(context);
        let options = self.options(context);
        let response = self.response.limits(context);
        let rules = rules::load(context, &self.rules)?;
        let tuning = rules::tune(context, &rules, &options)?;
        let body = rules.needs().body.then_some(max);
        let response = answers::Reads::new(rules.needs(), response);
        let check = Check { rules, tuning, body, encoded_body: self.encoded_body, response };
        (!context.failed_since(before)).then_some(check)
    }

    /// Checks what is bounded; the longest body.
    fn limits(&self, context: &mut Context<'_>) -> u64 {
        let at = context.at.clone();
        if self.threshold.is_some_and(|threshold| threshold == 0 || threshold > MOST_THRESHOLD) {
            context.error(at.key("threshold"), format!("from 1 to {MOST_THRESHOLD}"));
        }
        if self.paranoia.is_some_and(|level| level != 1) {
            context.error(at.key("paranoia"), "only 1: rule sets with paranoia levels are not supported yet");
        }
        if context.on_error == Some(OnError::Local) {
            context.error(at.key("on_error"), "there is no local answer: write `deny` or `allow`");
        }
        let max = self.body.max.map_or(BODY, |size| size.0);
        if max > MOST_BODY {
            context.error(at.key("body").key("max"), "at most 256MiB: bodies are held in memory");
        }
        if self.body.inspect.is_some_and(|size| !(LEAST_INSPECT..=MOST_BODY).contains(&size.0)) {
            context.error(at.key("body").key("inspect"), "from 8KiB, which header fields may need, to 256MiB");
        }
        max
    }

    fn options(&self, context: &mut Context<'_>) -> waf::Options {
        for (index, exclusion) in self.exclude.iter().enumerate() {
            if exclusion.reason.trim().is_empty() {
                let at = context.at.key("exclude").index(index).key("reason");
                context.error(at, "say why: an exclusion outlives whoever knew");
            }
        }
        let exclusion = |own: &Exclusion| waf::Exclusion { rule: own.rule, target: own.target.clone() };
        let defaults = waf::Options::default();
        let inspect = self.body.inspect.map_or(INSPECT, |size| size.0);
        waf::Options {
            threshold: self.threshold.unwrap_or(defaults.threshold),
            disabled: self.disable.clone(),
            disabled_tags: self.disable_tags.clone(),
            exclusions: self.exclude.iter().map(exclusion).collect(),
            refuse_unjudged: context.on_error != Some(OnError::Allow),
            limits: waf::Limits { value: usize::try_from(inspect).unwrap_or(usize::MAX), ..defaults.limits },
        }
    }
}


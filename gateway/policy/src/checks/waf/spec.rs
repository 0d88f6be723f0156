//! `waf` as operators write it, and its limits.

use serde::Deserialize;
use waf::Chosen;
use waf::seclang::Bodies;

use super::answers::{self, Response};
use super::encoded::EncodedBody;
use super::ids::Ids;
use super::rules::Wanted;
use super::share::Share;
use super::{Check, Held, levels, rules};
use crate::checks::OnError;
use crate::context::Context;
use crate::scalar::Size;
use crate::spec::value::Percent;

/// A single value that is scanned at all, unless the policy says otherwise.
const INSPECT: u64 = 1 << 20;
/// Header fields are values as well, and long ones are no attack.
const LEAST_INSPECT: u64 = 8 << 10;
/// A body that is held for the rules, unless the policy says otherwise.
const BODY: u64 = 10 << 20;
/// Holding more than this per request is a denial of service waiting to happen.
const MOST_BODY: u64 = 256 << 20;
/// SecArgumentsLimit and SecRequestBodyJsonDepthLimit beyond these are cut to them: each costs work that a client chooses.
const MOST_ARGUMENTS: usize = 100_000;
const MOST_DEPTH: usize = 1_000;

/// Rules against attacks in path, query, header fields, cookies and body. What cannot be judged (a body that is not what its
/// type says, more arguments or more work than the limits) is refused unless `on_error: allow`.
#[derive(Debug, Clone, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    /// Files of rules, in order; globs are allowed. `.yaml` is Palisade's own format, everything else SecLang, as the
    /// OWASP Core Rule Set is written. `SecRuleEngine DetectionOnly` in it acts as `mode: observe`, `Off` as
    /// `mode: disabled`, unless the check says a mode itself.
    rules: Vec<String>,
    /// SecLang before the files, such as settings of the Core Rule Set.
    #[serde(default)]
    setup: Option<String>,
    /// SecLang after the files, such as `SecRuleRemoveById 920350`.
    #[serde(default)]
    directives: Option<String>,
    /// Database file (`.mmdb`) that answers `@geoLookup` in the rules. Without one such rules never match.
    #[serde(default)]
    geo_database: Option<String>,
    /// A request whose matches score this much is refused. Default for Palisade's own rules 5, one critical match; for
    /// the Core Rule Set what its files say. At most 10000.
    #[serde(default)]
    pub(super) threshold: Option<u32>,
    /// The same for the application's answer; default for Palisade's own rules 4.
    #[serde(default)]
    pub(super) response_threshold: Option<u32>,
    /// The Core Rule Set's level of paranoia, 1 to 4, whatever its files say: rules up to it refuse.
    #[serde(default)]
    pub(super) paranoia: Option<u8>,
    /// Rules up to this level report, those above `paranoia` without refusing. Default: `paranoia`.
    #[serde(default)]
    pub(super) detection_paranoia: Option<u8>,
    /// How much of a body is held and scanned.
    #[serde(default)]
    body: Body,
    /// Rules that are not asked, by id or range of ids.
    #[serde(default)]
    disable: Vec<Ids>,
    /// Rules that are not asked, by tag.
    #[serde(default)]
    disable_tags: Vec<String>,
    /// What rules must not look at.
    #[serde(default)]
    exclude: Vec<Exclusion>,
    /// The share of requests that are judged; the others pass unasked. Counted: with `10%` it is every tenth, whoever
    /// sends it. Default: all. To enforce on a share of clients and observe the rest, use `sample`.
    #[serde(default)]
    share: Option<Percent>,
    /// What is read of answers, where rules look at them.
    #[serde(default)]
    response: Response,
    /// Request bodies with a Content-Encoding other than `identity`: `open` (default) for the rules, within `body.max`
    /// and a hundredfold expansion, `deny` (415), or `allow`, which leaves them unread.
    #[serde(default)]
    encoded_body: EncodedBody,
}

/// How much of a body is held and scanned. What is not said here is as the rule files have it (`SecRequestBodyAccess`,
/// `SecRequestBodyLimit`, `SecRequestBodyNoFilesLimit`), else the default.
#[derive(Debug, Clone, Copy, Default, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Body {
    /// Longest single value (a field, a text of JSON, a body without a known type); a request with a longer one is
    /// refused. Contents of uploaded files do not count: of an upload that is longer, rules over the body as it was sent see so
    /// much of its begin, and its last 64KiB. Default `1MiB`, from `8KiB` to `256MiB`.
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
    /// The rule, or a range of them; every rule when this and `tag` are left out.
    #[serde(default)]
    rule: Option<Ids>,
    /// Rules with this tag.
    #[serde(default)]
    tag: Option<String>,
    /// As events name it, or as SecLang does: `args:comment`, `cookie:/^pref_/`, `REQUEST_COOKIES:/^pref_/`.
    target: String,
    /// Why this is not an attack.
    reason: String,
}

impl Body {
    /// What is held of bodies; `None`: nothing.
    fn held(&self, needed: bool, said: &Bodies) -> Option<Held> {
        let own = self.max.map(|size| size.0);
        let off = said.request == Some(false) && own.is_none() && self.inspect.is_none();
        let limit = said.request_limit.map(|limit| limit.min(MOST_BODY));
        let max = own.or(limit).unwrap_or(BODY);
        // Its own maximum stands in the place of both.
        let plain = said.no_files_limit.filter(|_| own.is_none()).map_or(max, |limit| limit.min(max));
        (needed && !off).then_some(Held { max, plain })
    }
}

impl Exclusion {
    fn chosen(&self) -> Chosen {
        match (self.rule, &self.tag) {
            (Some(Ids(first, last)), _) => Chosen::Ids(first, last),
            (None, Some(tag)) => Chosen::Tagged(tag.clone()),
            (None, None) => Chosen::Every,
        }
    }
}

impl Spec {
    pub(in crate::checks) fn compile(self, context: &mut Context<'_>) -> Option<Check> {
        let before = context.faults.len();
        levels::limits(&self, context);
        self.limits(context);
        let mut options = self.options(context);
        let wanted = Wanted {
            files: self.rules.clone(),
            setup: self.setup.clone(),
            directives: self.directives.clone(),
            geo_database: self.geo_database.clone(),
            pins: levels::pins(&self),
        };
        let loaded = rules::load(context, &wanted)?;
        levels::unread(&self, &loaded, context);
        let rules = loaded.rules;
        let (needs, said) = (rules.needs(), rules.bodies());
        let limits = &mut options.limits;
        let limit = |said: Option<u64>, most: usize| said.map(|said| usize::try_from(said).unwrap_or(most).min(most));
        limits.args = limit(said.arguments, MOST_ARGUMENTS).unwrap_or(limits.args);
        limits.depth = limit(said.depth, MOST_DEPTH).unwrap_or(limits.depth);
        let tuning = rules::tune(context, &rules, &options)?;
        let check = Check {
            body: self.body.held(needs.body, said),
            response: answers::Reads::new(needs, &self.response, said),
            timed: needs.time,
            share: self.share.map(|share| Share::new(share.0)),
            tuning,
            encoded_body: self.encoded_body,
            rules,
        };
        (!context.failed_since(before)).then_some(check)
    }

    /// Checks what is bounded.
    fn limits(&self, context: &mut Context<'_>) {
        let at = context.at.clone();
        if context.on_error == Some(OnError::Local) {
            context.error(at.key("on_error"), "there is no local answer: write `deny` or `allow`");
        }
        if self.body.max.is_some_and(|size| size.0 > MOST_BODY) {
            context.error(at.key("body").key("max"), "at most 256MiB: bodies are held in memory");
        }
        if self.body.inspect.is_some_and(|size| !(LEAST_INSPECT..=MOST_BODY).contains(&size.0)) {
            context.error(at.key("body").key("inspect"), "from 8KiB, which header fields may need, to 256MiB");
        }
        self.response.limits(context);
    }

    fn options(&self, context: &mut Context<'_>) -> waf::Options {
        for (index, exclusion) in self.exclude.iter().enumerate() {
            if exclusion.reason.trim().is_empty() {
                let at = context.at.key("exclude").index(index).key("reason");
                context.error(at, "say why: an exclusion outlives whoever knew");
            }
            if exclusion.rule.is_some() && exclusion.tag.is_some() {
                let at = context.at.key("exclude").index(index).key("tag");
                context.error(at, "name a `rule` or a `tag`, not both: write two exclusions");
            }
        }
        let exclusion = |own: &Exclusion| waf::Exclusion { rules: own.chosen(), target: own.target.clone() };
        let defaults = waf::Options::default();
        let inspect = self.body.inspect.map_or(INSPECT, |size| size.0);
        waf::Options {
            threshold: self.threshold.unwrap_or(defaults.threshold),
            response_threshold: self.response_threshold.unwrap_or(defaults.response_threshold),
            disabled: self.disable.iter().map(|Ids(first, last)| (*first, *last)).collect(),
            disabled_tags: self.disable_tags.clone(),
            exclusions: self.exclude.iter().map(exclusion).collect(),
            refuse_unjudged: context.on_error != Some(OnError::Allow),
            limits: waf::Limits { value: usize::try_from(inspect).unwrap_or(usize::MAX), ..defaults.limits },
        }
    }
}


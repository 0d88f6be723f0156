//! `failures`: attempts to log in that the application refuses, told by its own answers, and the bans that follow. Who is
//! banned already is `bans`' business as well; here the name that somebody tries is known before anyone is logged in.

use std::time::Duration;

use http::header::SET_COOKIE;
use serde::Deserialize;

use self::counts::{Admission, Attempt, Counted, Counter, Progressive};
use self::device::{Devices, Trust};
use self::watch::{Outcome, Watch};
use self::when::{Of, When};
use super::rate_limit::refusal_status;
use super::{Gives, Hearing, Needs, ResponseWork, Turn};
use crate::ban::{Ban, Whom};
use crate::context::Context;
use crate::decision::{Answer, Denial, Reason, Told};
use crate::io::{Io, StoreFault};
use crate::key::{Keys, stable};
use crate::limit::{Algorithm, Limit};
use crate::request::Await;
use crate::run::Mode;
use crate::scalar::{self, Size};

mod counts;
mod device;
mod watch;
mod when;

const LONGEST_BAN: Duration = Duration::from_secs(366 * 86_400);
const LONGEST_MEMORY: Duration = Duration::from_secs(366 * 86_400);
const DAY: Duration = Duration::from_secs(86_400);
const MOST_RULES: usize = 16;
/// Bytes of an answer in which patterns are looked for.
const LARGEST_BODY: u64 = 1 << 20;

/// Learns from the application's own answers which attempts to log in fail, counts them by address (IPv6 by its /64), by
/// user and by both, and bans. It refuses who is banned at the log-in itself; `bans` does so everywhere. Never more attempts
/// are under way than may still fail. Of names that never logged in, which anybody can invent, at most 60 an hour are banned
/// on account of one source and 2000 of all, each for at most a day; beyond that their counts alone refuse them.
///
/// `on_store_error: deny` (default) or `allow`.
#[derive(Debug, Clone, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Failures")]
pub struct Spec {
    /// What an attempt is, in whose name, and which answers mean that it failed.
    watch: watch::Spec,
    /// When whom is banned for how long; at most 16.
    rules: Vec<Rule>,
    /// Bans that grow, for rules that say nothing of it themselves.
    progressive: Option<ProgressiveSpec>,
    /// Status of a refusal, 400 to 599: 429 or 403. Default 429.
    #[serde(default = "too_many")]
    status: u16,
    /// How long a network is remembered from which a user logged in: bans of the user that failures elsewhere led to do not
    /// hold there, so that no stranger can lock a user out. Default 30d, at most 366d, 0s: not at all.
    #[serde(default = "month")]
    remember: scalar::Duration,
    /// A signed cookie for browsers in which a user logged in: there the user may try whatever strangers failed, and what
    /// fails there is counted for the cookie alone. Needs a log-in whose answer is told by its header.
    device: Option<device::Spec>,
    /// How much of an answer is read for patterns of its body. Default 64KiB, at most 1MiB.
    #[serde(default = "some")]
    body: Size,
    /// Whether an attempt whose client leaves before the answer counts as failed. Default true: else somebody could guess
    /// without end and look elsewhere whether it worked.
    #[serde(default = "yes")]
    abandoned: bool,
}

/// When whom is banned for how long.
#[derive(Debug, Clone, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "FailureRule")]
struct Rule {
    /// `5 in 5m by ip or user`, `3 in 5m by pair`, `10 users in 10m by ip`, `20 ips in 1h by user`.
    when: When,
    /// What is banned when it is so many. A count by ip bans the ip, one by user the user, one by pair any of them.
    ban: Bans,
    /// Bans that grow.
    progressive: Option<ProgressiveSpec>,
}

/// How long each is banned.
#[derive(Debug, Clone, Copy, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "FailureBans")]
struct Bans {
    /// The user, everywhere but where they logged in before.
    user: Option<scalar::Duration>,
    /// The address.
    ip: Option<scalar::Duration>,
    /// The user from this address.
    pair: Option<scalar::Duration>,
}

/// Bans that grow.
#[derive(Debug, Clone, Copy, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "ProgressiveBans")]
struct ProgressiveSpec {
    /// Each ban is so many times as long as the one before. Default 2, at most 100.
    #[serde(default = "two")]
    factor: u32,
    /// The longest. Default 24h, at most 366d.
    #[serde(default = "day")]
    most: scalar::Duration,
    /// After so long without another ban the next is as short as the first. Default 7d.
    #[serde(default = "week")]
    forget: scalar::Duration,
}

fn too_many() -> u16 {
    429
}

fn month() -> scalar::Duration {
    scalar::Duration(30 * DAY)
}

fn some() -> Size {
    Size(64 << 10)
}

fn yes() -> bool {
    true
}

fn two() -> u32 {
    2
}

fn day() -> scalar::Duration {
    scalar::Duration(DAY)
}

fn week() -> scalar::Duration {
    scalar::Duration(7 * DAY)
}

/// Ready to be asked.
#[derive(Debug)]
pub struct Check {
    name: String,
    keys: Keys,
    watch: Watch,
    /// Those by pair first, then by address, then by user.
    counters: Vec<Counter>,
    status: http::StatusCode,
    remember: Duration,
    device: Option<Devices>,
    without_store: Answer,
}

impl Spec {
    pub(super) fn compile(self, context: &mut Context<'_>) -> Option<Check> {
        let before = context.faults.len();
        let without_store = context.without_store("a count of failures");
        if !(2..=LARGEST_BODY).contains(&self.body.0) {
            let at = context.at.key("body");
            context.error(at, format!("2B to {}", Size(LARGEST_BODY)));
        }
        if self.remember.0 > LONGEST_MEMORY {
            let at = context.at.key("remember");
            context.error(at, "at most 366d");
        }
        if self.rules.is_empty() || self.rules.len() > MOST_RULES {
            let at = context.at.key("rules");
            context.error(at, format!("one to {MOST_RULES} rules, such as `{{when: 5 in 5m by ip, ban: {{ip: 30m}}}}`"));
        }
        let status = refusal_status(context, self.status);
        let mut counters = self.counters(context);
        counters.sort_by_key(|counter| counter.of);
        let body = usize::try_from(self.body.0).unwrap_or(usize::MAX);
        let watch = self.watch.compile(context, body, self.abandoned);
        let device = self.device.and_then(|device| device.compile(context));
        if device.is_some() && watch.as_ref().is_some_and(|watch| watch.reads() > Await::AFTER) {
            let why = "the cookie goes with the answer's header: describe log-ins without `body`";
            context.error(context.at.key("device"), why);
        }
        (!context.failed_since(before)).then_some(())?;
        Some(Check {
            name: context.name.to_owned(),
            keys: context.keys,
            watch: watch?,
            counters,
            status: status?,
            remember: self.remember.0,
            device,
            without_store,
        })
    }

    fn counters(&self, context: &mut Context<'_>) -> Vec<Counter> {
        let mut counters = Vec::new();
        let general = self.progressive.and_then(|spec| spec.compile(context, &context.at.key("progressive")));
        for (index, rule) in self.rules.iter().enumerate() {
            let at = context.at.key("rules").index(index);
            let own = rule.progressive.and_then(|spec| spec.compile(context, &at.key("progressive")));
            if !self.watch.names() && rule.when.by.iter().any(|of| *of != Of::Ip) {
                context.error(at.key("when"), "counts by user: say where its name is, `watch: {user: form.email}`");
            }
            rule.ban.check(context, &at, &rule.when);
            for of in &rule.when.by {
                let limit = |kind: &str, max: u32| Limit {
                    id: context.stable_id ^ stable(&format!("failures {kind} {index} {}", of.word())),
                    algorithm: Algorithm::Window,
                    max,
                    window: rule.when.window,
                    count_refused: false,
                };
                counters.push(Counter {
                    of: *of,
                    limit: limit("count", rule.when.number),
                    seen: rule.when.distinct.then(|| limit("seen", 1)),
                    bans: rule.ban.of(*of),
                    when: When { by: vec![*of], ..rule.when.clone() },
                    progressive: own.or(general),
                });
            }
        }
        counters
    }
}

impl Bans {
    fn each(&self) -> [(Of, Option<scalar::Duration>); 3] {
        [(Of::Ip, self.ip), (Of::User, self.user), (Of::Pair, self.pair)]
    }

    /// What a full count of this kind bans. One by address says nothing about users, and the other way round: it would be
    /// somebody else who is banned.
    fn of(&self, counted: Of) -> Vec<(Of, Duration)> {
        let each = self.each().into_iter();
        let mine = each.filter(|(of, _)| counted == Of::Pair || *of == counted);
        mine.filter_map(|(of, time)| Some((of, time?.0))).collect()
    }

    fn check(&self, context: &mut Context<'_>, at: &crate::fault::Path, when: &When) {
        for (of, time) in self.each() {
            if time.is_some_and(|time| time.0.is_zero() || time.0 > LONGEST_BAN) {
                context.error(at.key("ban").key(of.word()), "more than nothing, at most 366d");
            }
            if time.is_some() && !when.by.iter().any(|counted| *counted == Of::Pair || *counted == of) {
                let why = format!("`{when}` says nothing about whom this would ban: count by {0} or by pair", of.word());
                context.error(at.key("ban").key(of.word()), why);
            }
        }
        for counted in &when.by {
            if self.of(*counted).is_empty() {
                let why = format!("say whom `{when}` bans for how long: `{}: 15m`", counted.word());
                context.error(at.key("ban"), why);
            }
        }
    }
}

impl ProgressiveSpec {
    fn compile(self, context: &mut Context<'_>, at: &crate::fault::Path) -> Option<Progressive> {
        let most = self.most.0;
        let sound = (1..=100).contains(&self.factor) && !most.is_zero() && most <= LONGEST_BAN;
        if !sound || self.forget.0.is_zero() || self.forget.0 > LONGEST_MEMORY {
            context.error(at.clone(), "factor 1 to 100, most and forget more than nothing and at most 366d");
            return None;
        }
        // A ban that is still running is not forgotten.
        Some(Progressive { factor: self.factor, most, forget: self.forget.0.saturating_add(most) })
    }
}

impl super::Beyond for Check {
    fn cookies(&self) -> Vec<&str> {
        self.device.iter().map(Devices::cookie).collect()
    }

    async fn heard<I: Io>(&self, hearing: &mut Hearing<'_, '_, I>) {
        let user = hearing.awaited.whom.take().unwrap_or_default();
        let outcome = self.watch.outcome(hearing);
        if outcome == Outcome::Neither {
            return;
        }
        let enforce = hearing.awaited.mode == Mode::Enforce;
        let client = hearing.request.client;
        let device = match &self.device {
            Some(device) => device.trusted(hearing.io, hearing.request, &user).await,
            None => Ok(None),
        };
        let attempt = match device {
            Ok(device) => Attempt::of(hearing.io, self.keys, client, &user).await.map(|attempt| (attempt.on(device.is_some()), device)),
            Err(fault) => Err(fault),
        };
        let settled = match attempt {
            Err(fault) => Err(fault),
            Ok((attempt, _)) if outcome == Outcome::Passed => {
                let before = attempt.passed(hearing.io, &self.counters, self.remember).await;
                before.map(|before| self.tell_passed(hearing, &user, before))
            }
            Ok((attempt, device)) => {
                if let (Some(devices), Some(key)) = (&self.device, device)
                    && devices.failed(hearing.io, key).await == Ok(true)
                {
                    tell(hearing, "device_distrusted", &user, "too many failures with its cookie".to_owned());
                }
                let counted = attempt.failed(hearing.io, &self.counters, (&self.name, enforce)).await;
                counted.map(|counted| self.tell_failed(hearing, &user, &counted, enforce))
            }
        };
        if let Err(fault) = settled {
            let detail = format!("the store gave no answer ({fault:?}): an attempt was not counted");
            tell(hearing, "login_not_counted", &user, detail);
        }
    }
}

impl Check {
    pub(super) fn needs(&self) -> Needs {
        Needs { body: Some(watch::FORM), ..Needs::default() }
    }

    pub(super) fn gives(&self) -> Gives {
        Gives::default()
    }

    pub(super) fn response_work(&self) -> ResponseWork {
        ResponseWork::default()
    }

    pub(super) fn owned_headers(&self) -> &[http::HeaderName] {
        &[]
    }

    pub(super) async fn ask<I: Io>(&self, turn: &mut Turn<'_, '_, I>) -> Answer {
        if !self.watch.is_attempt(turn.request) {
            return Answer::Pass;
        }
        if turn.mode == Mode::Enforce {
            self.watch.withhold(turn);
        }
        let user = match self.watch.user(turn).await {
            Ok(user) => user,
            Err(reason) => return Answer::deny(reason),
        };
        let admitted = self.admit(turn, &user).await;
        // What is put on the answer must be known before it goes.
        let body = if self.device.is_some() { 0 } else { self.watch.reads() };
        let (check, mode) = (turn.id, turn.mode);
        turn.facts.awaits.push(Await { check, mode, body, whom: Some(user), identity: None });
        match admitted {
            Ok(Admission::Free) => Answer::Pass,
            Ok(Admission::Full(wait)) => self.refuse(Reason::TooManyFailures, Some(wait)),
            Ok(Admission::Banned(ban)) => {
                let now = turn.io.now().unix;
                let wait = ban.as_ref().map(|ban| super::bans::seconds(ban.until.saturating_sub(now)));
                match ban {
                    Some(Ban { by: Some(_), .. }) => self.refuse(Reason::TooManyFailures, wait),
                    Some(_) | None => {
                        let (reason, status) = (Reason::Banned, Reason::Banned.status());
                        Answer::Deny(Denial { reason, status, retry_after: wait })
                    }
                }
            }
            Err(_) => self.without_store.clone(),
        }
    }

    async fn admit<I: Io>(&self, turn: &mut Turn<'_, '_, I>, user: &str) -> Result<Admission, StoreFault> {
        let trust = match &self.device {
            Some(device) => device.trust(turn.io, turn.request, user).await?,
            None => Trust::None,
        };
        if trust == Trust::Full {
            return Ok(Admission::Full(1));
        }
        let attempt = Attempt::of(turn.io, self.keys, turn.request.client, user).await?;
        attempt.on(trust != Trust::None).admit(turn.io, &self.counters).await
    }

    fn refuse(&self, reason: Reason, retry_after: Option<u32>) -> Answer {
        Answer::Deny(Denial { reason, status: self.status, retry_after })
    }

    fn tell_passed<I: Io>(&self, hearing: &mut Hearing<'_, '_, I>, user: &str, before: u32) {
        let now = hearing.io.now().unix / 1000;
        let named = self.device.as_ref().filter(|_| !user.is_empty());
        if let Some(cookie) = named.and_then(|device| device.make(user, hearing.io.random(), now)) {
            hearing.effects.response.push((SET_COOKIE, cookie));
        }
        if before > 0 {
            tell(hearing, "login_after_failures", user, format!("{before} failures before"));
        }
    }

    fn tell_failed<I: Io>(&self, hearing: &mut Hearing<'_, '_, I>, user: &str, counted: &Counted, enforce: bool) {
        tell(hearing, "login_failed", user, format!("status {}", hearing.status));
        if counted.crowded {
            let why = "too many names failed that never logged in: not banned, and refused as long as it counts";
            tell(hearing, "ban_omitted", user, why.to_owned());
        }
        for ban in &counted.bans {
            let event = if enforce { "ban_started" } else { "ban_would_start" };
            let seconds = super::bans::seconds(ban.until.saturating_sub(hearing.io.now().unix));
            let whom = match &ban.whom {
                Whom::Client(client) => format!("ip {client}"),
                Whom::User(_) => "the user".to_owned(),
                Whom::Pair(client, _) => format!("the user from {client}"),
            };
            let time = scalar::Duration(Duration::from_secs(seconds.into()));
            tell(hearing, event, user, format!("{whom} for {time}: {}", ban.reason));
        }
    }
}

fn tell<I>(hearing: &mut Hearing<'_, '_, I>, event: &'static str, user: &str, detail: String) {
    let user = Some(user).filter(|user| !user.is_empty()).map(str::to_owned);
    hearing.effects.told.push(Told { event, check: hearing.awaited.check, user, detail });
}

#[cfg(test)]
mod tests;

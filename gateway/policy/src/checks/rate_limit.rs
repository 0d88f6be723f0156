//! `rate_limit`: how often the same key may ask. Counting itself is the store's business.

use std::sync::OnceLock;
use std::time::Duration;

use http::StatusCode;
use serde::Deserialize;

use super::{Gives, Needs, OnError, ResponseWork, Turn};
use crate::context::Context;
use crate::decision::{Answer, Denial, Reason};
use crate::io::{Io, Key, StoreFault};
use crate::key::{Part, Recipe, stable};
use crate::limit::{Algorithm, Limit, Standing};
use crate::memory::{Bounds, Memory};
use crate::scalar::Rate;

const SHORTEST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(31 * 86_400);
const MOST: u32 = 100_000_000;
const MOST_LIMITS: usize = 8;
const MOST_PARTS: usize = 8;

/// How a limit counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Way {
    /// At most so many in any window of that length.
    #[default]
    Window,
    /// Evenly paced (GCRA), with room for a burst.
    Pace,
}

/// Refuses who asks too often.
#[derive(Debug, Clone, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    /// What is counted apart: ip (IPv6 by its /64), user, route, host, path, method, country, header:NAME, claim:NAME.
    /// Several parts make one key. A part that a request lacks is replaced by its address.
    key: Vec<Part>,
    /// At most so many in a time, such as 100/1m. 100 ms to 31 days.
    limit: Option<Rate>,
    /// Several limits that hold at once, such as [10/1s, 100/1m]; at most 8.
    #[serde(default)]
    limits: Vec<Rate>,
    /// window (the default): at most so many in any window of that length. pace: evenly paced, with a burst.
    #[serde(default)]
    algorithm: Way,
    /// pace only: how many may come at once. Default: a tenth of the limit, at least 1.
    burst: Option<u32>,
    /// How much one request counts. Default 1.
    #[serde(default = "one")]
    cost: u32,
    /// Whether refused requests count as well. Default false: a client that retries recovers.
    #[serde(default)]
    count_refused: bool,
    /// Status of a refusal, 400 to 599. Default 429.
    #[serde(default = "too_many")]
    status: u16,
}

fn one() -> u32 {
    1
}

fn too_many() -> u16 {
    429
}

/// Ready to be asked.
#[derive(Debug)]
pub struct Check {
    recipe: Recipe,
    /// Shortest window first: what a longer one would have to forget again is refused before it is counted there.
    limits: Vec<Limit>,
    cost: u32,
    status: StatusCode,
    on_store_error: OnError,
    /// Counts for this node alone while the store gives no answer; made when that first happens.
    local: OnceLock<Box<Memory>>,
}

impl Spec {
    pub(super) fn compile(self, context: &mut Context<'_>) -> Option<Check> {
        let faults = context.faults.len();
        let status = refusal_status(context, self.status);
        key_parts(context, &self.key);
        let limits = self.rates(context);
        if limits.iter().any(|rate| rate.max < self.cost) || self.cost == 0 {
            let at = context.at.key("cost");
            context.error(at, format!("a cost of {} never fits: from 1 to the smallest limit", self.cost));
        }
        let pace = self.algorithm == Way::Pace;
        if self.burst.is_some() && !pace {
            let at = context.at.key("burst");
            context.error(at, "only `algorithm: pace` has a burst");
        }
        if self.burst.is_some_and(|burst| burst < self.cost.max(1)) {
            let at = context.at.key("burst");
            context.error(at, format!("a request costs {}: it would never pass", self.cost));
        }
        if self.count_refused && pace {
            let at = context.at.key("count_refused");
            context.error(at, "`algorithm: pace` never counts what it refuses");
        }
        let limits = limits.iter().enumerate().map(|(index, rate)| self.limit(context.stable_id, index, *rate));
        let mut limits: Vec<Limit> = limits.collect();
        limits.sort_by_key(|limit| limit.window);
        (context.faults.len() == faults).then_some(())?;
        Some(Check {
            recipe: Recipe::new(context.keys, context.stable_id, self.key),
            limits,
            cost: self.cost,
            status: status?,
            on_store_error: context.on_store_error.unwrap_or(OnError::Local),
            local: OnceLock::new(),
        })
    }

    fn rates(&self, context: &mut Context<'_>) -> Vec<Rate> {
        let single = self.limit.iter().map(|rate| (context.at.key("limit"), *rate));
        let several = self.limits.iter().enumerate();
        let several = several.map(|(index, rate)| (context.at.key("limits").index(index), *rate));
        let rates: Vec<_> = single.chain(several).collect();
        if rates.is_empty() || rates.len() > MOST_LIMITS {
            let at = context.at.key("limit");
            context.error(at, format!("one to {MOST_LIMITS} limits, such as `limit: 100/1m`"));
        }
        for (at, rate) in &rates {
            if !(SHORTEST..=LONGEST).contains(&rate.window) || rate.max > MOST {
                context.error(at.clone(), format!("`{rate}`: windows of 100ms to 31d, limits up to {MOST}"));
            }
        }
        rates.into_iter().map(|(_, rate)| rate).collect()
    }

    /// The identity is by position, so that another limit or window under the same name keeps what was counted.
    fn limit(&self, stable_id: u64, index: usize, rate: Rate) -> Limit {
        let algorithm = match self.algorithm {
            Way::Window => Algorithm::Window,
            Way::Pace => Algorithm::Pace {
                burst: self.burst.unwrap_or_else(|| (rate.max / 10).max(self.cost)),
            },
        };
        Limit {
            id: stable_id ^ stable("limit").wrapping_mul(2 * index as u64 + 1),
            algorithm,
            max: rate.max,
            window: rate.window,
            count_refused: self.count_refused,
        }
    }
}

/// A status that says no.
pub(super) fn refusal_status(context: &mut Context<'_>, status: u16) -> Option<StatusCode> {
    let found = StatusCode::from_u16(status).ok();
    let found = found.filter(|status| status.is_client_error() || status.is_server_error());
    if found.is_none() {
        let at = context.at.key("status");
        context.error(at, format!("{status} refuses nothing: 400 to 599"));
    }
    found
}

pub(super) fn key_parts(context: &mut Context<'_>, parts: &[Part]) {
    if parts.is_empty() || parts.len() > MOST_PARTS {
        let at = context.at.key("key");
        context.error(at, format!("one to {MOST_PARTS} parts, such as [ip]; [route] counts everybody together"));
    }
}

impl super::Beyond for Check {}

impl Check {
    pub(super) fn needs(&self) -> Needs {
        self.recipe.needs()
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
        let key = self.recipe.key(turn.request, turn.facts, turn.route);
        let asked = match self.count(turn, key).await {
            Ok(refused) => Ok(refused),
            Err(_) => match self.on_store_error {
                OnError::Deny => Err(Answer::deny(Reason::StoreUnavailable)),
                OnError::Allow => Err(Answer::Pass),
                OnError::Local => Ok(self.count_locally(turn, key)),
            },
        };
        match asked {
            Ok(None) => Answer::Pass,
            Ok(Some(refused)) => Answer::Deny(Denial {
                reason: Reason::RateLimited,
                status: self.status,
                retry_after: Some(refused.retry_after()),
            }),
            Err(answer) => answer,
        }
    }

    /// Counts against every limit, or against none when one of them refuses: with several, all are asked first.
    async fn count<I: Io>(&self, turn: &mut Turn<'_, '_, I>, key: Key) -> Result<Option<Standing>, StoreFault> {
        if self.limits.len() > 1 {
            for limit in &self.limits {
                if turn.io.count(limit, key, 0).await?.remaining < self.cost {
                    let standing = turn.io.count(limit, key, self.cost).await?;
                    if !standing.allowed {
                        turn.effects.limits.push((turn.id, standing));
                        return Ok(Some(standing));
                    }
                }
            }
        }
        for limit in &self.limits {
            let standing = turn.io.count(limit, key, self.cost).await?;
            turn.effects.limits.push((turn.id, standing));
            if !standing.allowed {
                return Ok(Some(standing));
            }
        }
        Ok(None)
    }

    /// The same over this node's own memory.
    fn count_locally<I: Io>(&self, turn: &mut Turn<'_, '_, I>, key: Key) -> Option<Standing> {
        let memory = self.local.get_or_init(|| Box::new(Memory::new(Bounds::each(100_000))));
        let now = turn.io.now();
        let short = |limit: &&Limit| memory.count(limit, key, 0, now).remaining < self.cost;
        let refusing = self.limits.iter().find(short);
        for limit in refusing.map_or(self.limits.as_slice(), std::slice::from_ref) {
            let standing = memory.count(limit, key, self.cost, now);
            turn.effects.limits.push((turn.id, standing));
            if !standing.allowed {
                return Some(standing);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests;

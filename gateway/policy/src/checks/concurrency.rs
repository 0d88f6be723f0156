//! `concurrency`: how many requests or WebSockets of the same key may be open at once. Whoever implements `Io` gives a
//! place back when the request or the WebSocket ends.

use http::StatusCode;
use serde::Deserialize;

use super::rate_limit::{key_parts, refusal_status};
use super::{Gives, Needs, OnError, ResponseWork, Turn};
use crate::context::Context;
use crate::decision::{Answer, Denial, Reason};
use crate::io::Io;
use crate::key::{Part, Recipe};
use crate::limit::Lease;

const MOST: u32 = 1_000_000;

/// What is held open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Of {
    /// Every request, WebSockets among them.
    #[default]
    Requests,
    /// WebSockets only; other requests pass uncounted.
    Websockets,
}

/// Refuses who already has too many requests or WebSockets open.
#[derive(Debug, Clone, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    /// What is counted apart: ip (IPv6 by its /64), user, route, host, path, method, country, header:NAME, claim:NAME.
    /// Several parts make one key. A part that a request lacks is replaced by its address.
    key: Vec<Part>,
    /// At most so many open at once, 1 to 1000000.
    max: u32,
    /// requests (the default) or websockets.
    #[serde(default)]
    of: Of,
    /// Status of a refusal, 400 to 599. Default 429.
    #[serde(default = "too_many")]
    status: u16,
}

fn too_many() -> u16 {
    429
}

/// Ready to be asked.
#[derive(Debug)]
pub struct Check {
    recipe: Recipe,
    lease: Lease,
    of: Of,
    status: StatusCode,
    open_without_store: bool,
}

impl Spec {
    pub(super) fn compile(self, context: &mut Context<'_>) -> Option<Check> {
        let faults = context.faults.len();
        let status = refusal_status(context, self.status);
        key_parts(context, &self.key);
        if !(1..=MOST).contains(&self.max) {
            let at = context.at.key("max");
            context.error(at, format!("{} is out of range: 1 to {MOST}", self.max));
        }
        if context.on_store_error == Some(OnError::Local) {
            let at = context.at.key("on_store_error");
            context.error(at, "a place that no store gave cannot be given back: write deny or allow");
        }
        (context.faults.len() == faults).then_some(())?;
        Some(Check {
            recipe: Recipe::new(context.keys, context.stable_id, self.key),
            lease: Lease {
                id: context.stable_id,
                max: self.max,
            },
            of: self.of,
            status: status?,
            open_without_store: context.on_store_error == Some(OnError::Allow),
        })
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
        if self.of == Of::Websockets && !turn.request.websocket {
            return Answer::Pass;
        }
        let key = self.recipe.key(turn.request, turn.facts, turn.route);
        match turn.io.lease(&self.lease, key).await {
            Ok(true) => Answer::Pass,
            // No Retry-After: nobody knows when the others end.
            Ok(false) => Answer::Deny(Denial {
                reason: Reason::TooManyConcurrent,
                status: self.status,
                retry_after: None,
            }),
            Err(_) if self.open_without_store => Answer::Pass,
            Err(_) => Answer::deny(Reason::StoreUnavailable),
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use serde_json::{Value, json};

    use super::*;
    use crate::checks::testing::{Asked, Given};
    use crate::invented::{Invented, ready};
    use crate::io::StoreFault;

    fn compile(given: &Given, spec: Value) -> Result<Check, Vec<String>> {
        given.compile(spec, Spec::compile)
    }

    fn ask(check: &Check, websocket: bool, io: &mut Invented) -> Answer {
        let mut asked = Asked { websocket, ..Asked::default() };
        asked.turn(io, |turn| ready(check.ask(turn)).unwrap())
    }

    #[test]
    fn refuses_one_more_and_lets_it_in_when_another_ends() {
        let check = compile(&Given::default(), json!({"key": ["ip"], "max": 2})).unwrap();
        let mut io = Invented::default();
        assert_eq!(ask(&check, false, &mut io), Answer::Pass);
        assert_eq!(ask(&check, true, &mut io), Answer::Pass);
        let Answer::Deny(denial) = ask(&check, false, &mut io) else { panic!("passed") };
        assert_eq!((denial.reason, denial.status.as_u16()), (Reason::TooManyConcurrent, 429));
        io.end();
        assert_eq!(ask(&check, false, &mut io), Answer::Pass);
    }

    #[test]
    fn counts_websockets_alone_where_asked_to() {
        let check = compile(&Given::default(), json!({"key": ["ip"], "max": 1, "of": "websockets"})).unwrap();
        let mut io = Invented::default();
        assert!((0..5).all(|_| ask(&check, false, &mut io) == Answer::Pass));
        assert_eq!(ask(&check, true, &mut io), Answer::Pass);
        assert_ne!(ask(&check, true, &mut io), Answer::Pass);
        assert_eq!(ask(&check, false, &mut io), Answer::Pass);
    }

    #[test]
    fn fails_closed_without_a_store_unless_told_otherwise() {
        let spec = json!({"key": ["ip"], "max": 1});
        let mut io = Invented::default();
        io.store_fault = Some(StoreFault::Slow);
        let check = compile(&Given::default(), spec.clone()).unwrap();
        assert_eq!(ask(&check, false, &mut io), Answer::deny(Reason::StoreUnavailable));
        let given = |how| Given { on_store_error: Some(how), ..Given::default() };
        let open = compile(&given(OnError::Allow), spec.clone()).unwrap();
        assert_eq!(ask(&open, false, &mut io), Answer::Pass);
        assert!(compile(&given(OnError::Local), spec).is_err());
    }

    #[test]
    fn faults_are_told() {
        for spec in [
            json!({"key": ["ip"], "max": 0}),
            json!({"key": ["ip"], "max": 1_000_001}),
            json!({"key": [], "max": 1}),
            json!({"key": ["ip"], "max": 1, "status": 302}),
            json!({"key": ["ip"], "max": 1, "of": "sockets"}),
        ] {
            assert!(compile(&Given::default(), spec.clone()).is_err(), "{spec}");
        }
    }
}

//! `size`: the largest request and answer of a route. An announced length is refused here; what comes without one is cut
//! off by the server, which learns both limits through the route.

use serde::Deserialize;

use super::{Gives, Needs, ResponseWork, Turn};
use crate::context::Context;
use crate::decision::{Answer, Reason};
use crate::io::Io;
use crate::request::Framing;
use crate::scalar::Size;

/// Nothing that a gateway can be asked to carry is larger.
const MOST: u64 = 1 << 40;

/// Limits the bodies of requests and answers: 413 for a request above `request`, 502 for an answer above `response`.
#[derive(Debug, Clone, Default, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    /// Largest request body, such as `1MiB`; `0` for none at all. Default: what the route says. At most 1 TiB.
    #[serde(default)]
    request: Option<Size>,
    /// Largest answer body, such as `2MiB`. Default: no limit. At most 1 TiB.
    #[serde(default)]
    response: Option<Size>,
}

/// Ready to be asked.
#[derive(Debug)]
pub struct Check {
    request: Option<u64>,
    response: Option<u64>,
}

impl Spec {
    pub(super) fn compile(self, context: &mut Context<'_>) -> Option<Check> {
        for (key, size) in [("request", self.request), ("response", self.response)] {
            if size.is_some_and(|size| size.0 > MOST) {
                context.error(context.at.key(key), "more than 1TiB is no limit");
                return None;
            }
        }
        if self.request.is_none() && self.response.is_none() {
            context.warning(context.at.clone(), "neither `request` nor `response`: nothing is limited");
        }
        Some(Check { request: self.request.map(|size| size.0), response: self.response.map(|size| size.0) })
    }
}

impl super::Beyond for Check {}

impl Check {
    pub(super) fn needs(&self) -> Needs {
        Needs::default()
    }

    pub(super) fn gives(&self) -> Gives {
        Gives::default()
    }

    pub(super) fn response_work(&self) -> ResponseWork {
        ResponseWork { max_request: self.request, max_body: self.response, ..ResponseWork::default() }
    }

    pub(super) fn owned_headers(&self) -> &[http::HeaderName] {
        &[]
    }

    pub(super) async fn ask<I: Io>(&self, turn: &mut Turn<'_, '_, I>) -> Answer {
        match (turn.request.framing, self.request) {
            (Framing::Length(length), Some(most)) if length > most => Answer::deny(Reason::BodyTooLarge),
            _ => Answer::Pass,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::testing::{Bench, Scene};

    #[test]
    fn refuses_an_announced_length_above_the_limit() {
        let mut bench = Bench::new("size", json!({"request": "1KiB", "response": "2MiB"}));
        let mut ask = |framing| bench.ask(&Scene { framing, ..Scene::default() });
        assert_eq!(ask(Framing::Length(1024)), Answer::Pass);
        assert_eq!(ask(Framing::Length(1025)), Answer::deny(Reason::BodyTooLarge));
        assert_eq!(ask(Framing::Unknown), Answer::Pass);
        assert_eq!(ask(Framing::None), Answer::Pass);
        let work = bench.check.response_work();
        assert_eq!((work.max_request, work.max_body), (Some(1024), Some(2 << 20)));
    }

    #[test]
    fn zero_means_no_body() {
        let mut bench = Bench::new("size", json!({"request": 0}));
        let scene = Scene { framing: Framing::Length(1), ..Scene::default() };
        assert_eq!(bench.ask(&scene), Answer::deny(Reason::BodyTooLarge));
    }

    #[test]
    fn refuses_a_limit_that_is_none() {
        let faults = Bench::faults_of::<&str>("size", json!({"response": "2TiB"}), &[]);
        assert_eq!(faults, ["it.response: more than 1TiB is no limit"]);
        let none = Bench::new("size", json!({}));
        assert_eq!(none.faults(), ["it: neither `request` nor `response`: nothing is limited"]);
    }
}

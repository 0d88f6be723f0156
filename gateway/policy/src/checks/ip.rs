//! `ip`: networks that may come, and networks that may not.

use ipnet::IpNet;
use serde::Deserialize;

use super::{Gives, Needs, ResponseWork, Turn};
use crate::context::Context;
use crate::decision::{Answer, Reason};
use crate::io::Io;

/// As operators write it.
#[derive(Debug, Clone, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    /// Networks that are refused.
    #[serde(default)]
    deny: Vec<String>,
}

/// Ready to be asked.
#[derive(Debug)]
pub struct Check {
    deny: Vec<IpNet>,
}

impl Spec {
    pub(super) fn compile(self, context: &mut Context<'_>) -> Option<Check> {
        let mut deny = Vec::new();
        for (index, text) in self.deny.iter().enumerate() {
            match text.parse::<IpNet>() {
                Ok(network) => deny.push(network),
                Err(why) => {
                    let at = context.at.key("deny").index(index);
                    context.error(at, format!("`{text}` is not a network: {why}"));
                }
            }
        }
        Some(Check { deny })
    }
}

impl Check {
    pub(super) fn needs(&self) -> Needs {
        Needs::default()
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
        if self.deny.iter().any(|network| network.contains(&turn.request.client)) {
            return Answer::deny(Reason::IpDenied);
        }
        Answer::Pass
    }
}

//! The closed list of checks. A new one is a file in `checks/`, a line here and a case file.

use serde::Deserialize;
use smallvec::SmallVec;

use crate::context::Context;
use crate::decision::{Answer, CheckId, Effects, Reason};
use crate::io::Io;
use crate::request::{Await, Facts, Request};
use crate::response::ResponseNeed;
use crate::run::Mode;

/// What a check needs from those before it, or from the request; wrong order is a load error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Needs {
    /// Somebody must have established who asks.
    pub identity: bool,
    /// A session must have been established: there is something to bind to.
    pub session: bool,
    /// A check must have looked up where the client is.
    pub place: bool,
    /// The whole body, at most so many bytes held.
    pub body: Option<u64>,
}

/// What a check gives to those after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Gives {
    /// Establishes who asks.
    pub identity: bool,
    /// Lets pass who says nothing about that: a route with this check alone is a public one.
    pub anonymous: bool,
    /// Establishes the session.
    pub session: bool,
    /// Establishes where the client is.
    pub place: bool,
}

/// What the check does when a store gives no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnError {
    /// Refuse the request.
    Deny,
    /// Let it pass.
    Allow,
    /// Decide with this node's own state (a limit's share).
    Local,
}

/// One check's turn: what it may see, and what it may leave behind.
pub struct Turn<'t, 'r, I> {
    /// The request.
    pub request: &'t Request<'r>,
    /// What earlier checks found out.
    pub facts: &'t mut Facts,
    /// What the answer will carry.
    pub effects: &'t mut Effects,
    /// What the check may wait for.
    pub io: &'t mut I,
    /// The check's own position, for effects.
    pub id: CheckId,
    /// Whether a refusal counts; what waits for the answer must still know then.
    pub mode: Mode,
    /// The route's stable identity, for keys: from its name, so that counters survive a reload that moves it.
    pub route: u64,
}

/// The application's answer to a request that a check wanted to hear of.
pub struct Hearing<'t, 'r, I> {
    /// The request.
    pub request: &'t Request<'r>,
    /// What the checks found out.
    pub facts: &'t mut Facts,
    /// What the answer will carry; too late to change it once there is a body.
    pub effects: &'t mut Effects,
    /// What the check may wait for. There is no request body any more.
    pub io: &'t mut I,
    /// What the check left behind.
    pub awaited: Await,
    /// Status; 0: there was no answer.
    pub status: u16,
    /// Why there was none.
    pub unanswered: Option<Unanswered>,
    /// Header fields, as the application gave them.
    pub headers: &'t http::HeaderMap,
    /// The beginning of the body, decoded, as long as the check asked for; empty if it asked for none.
    pub body: &'t [u8],
}

/// Why the application gave no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unanswered {
    /// The client left, or broke its request off.
    Client,
    /// The application could not be asked, or said nothing that is an answer.
    Application,
}

/// What some checks do beyond being asked.
pub(crate) trait Beyond {
    /// Hears how the application answered a request for which the check left an [`Await`].
    fn heard<I: Io>(&self, _: &mut Hearing<'_, '_, I>) -> impl Future<Output = ()> + Send {
        std::future::ready(())
    }

    /// Whether it would still let pass a request that goes on, as a WebSocket does, and for which it was asked before.
    /// Counts nothing and prolongs nothing.
    fn holds<I: Io>(
        &self,
        _: &mut Turn<'_, '_, I>,
    ) -> impl Future<Output = Result<(), Reason>> + Send {
        std::future::ready(Ok(()))
    }

    /// The first segments, below the path of the gateway's own pages, that it serves.
    fn pages(&self) -> &'static [&'static str] {
        &[]
    }

    /// Serves the page at `rest`, the path below that of the gateway's own pages: `mfa/enrol`. Every check of the route
    /// passed.
    fn page<I: Io>(&self, _: &mut Turn<'_, '_, I>, _: &str) -> impl Future<Output = Answer> + Send {
        std::future::ready(Answer::deny(Reason::NoRoute))
    }

    /// Cookies that are between the client and the gateway alone: no application sees them.
    fn cookies(&self) -> Vec<&str> {
        Vec::new()
    }
}

/// Edits that a check makes to every answer of the routes that use it, whoever writes the answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Edit {
    /// Set, whatever was there.
    Set(http::HeaderName, http::HeaderValue),
    /// Set unless the application did.
    SetIfAbsent(http::HeaderName, http::HeaderValue),
    /// Remove.
    Remove(http::HeaderName),
}

/// What a check asks of the response side of its routes.
#[derive(Debug, Clone, Default)]
pub struct ResponseWork {
    /// Header edits, in order.
    pub edits: SmallVec<[Edit; 8]>,
    /// Largest request body, in bytes: the smallest of a route's checks, and of the route itself, holds.
    pub max_request: Option<u64>,
    /// Largest answer body, in bytes.
    pub max_body: Option<u64>,
    /// What is read of answers, also where the check only observes.
    pub reads: Option<ResponseNeed>,
}

macro_rules! checks {
    ($($(#[doc = $doc:literal])* $kind:ident = $module:ident, $word:literal;)*) => {
        $($(#[doc = $doc])* pub mod $module;)*

        /// A check as operators write it, by `check:`.
        #[derive(Debug, Clone)]
        #[allow(clippy::large_enum_variant, reason = "few, and gone once the policy is compiled")]
        #[allow(missing_docs, reason = "one variant per module, documented there")]
        pub enum Spec { $($kind($module::Spec),)* }

        /// A check, ready to be asked.
        #[derive(Debug)]
        #[allow(missing_docs, reason = "one variant per module, documented there")]
        #[allow(clippy::large_enum_variant, reason = "a policy has dozens of them, made once and borrowed ever after")]
        pub enum Check { $($kind($module::Check),)* }

        /// The words for `check:`.
        pub const KINDS: &[&str] = &[$($word,)*];

        /// What each kind is for, in the order of [`KINDS`].
        pub const SUMMARIES: &[&str] = &[$(concat!($($doc,)*),)*];

        impl Spec {
            /// Reads the keys that belong to the kind of check named by `kind`; `None` when there is no such kind.
            pub fn deserialize<'de, D: serde::Deserializer<'de>>(kind: &str, from: D) -> Option<Result<Self, D::Error>> {
                match kind {
                    $($word => Some($module::Spec::deserialize(from).map(Self::$kind)),)*
                    _ => None,
                }
            }

            /// The JSON Schema of each kind.
            pub fn schemas(generator: &mut schemars::SchemaGenerator) -> Vec<(&'static str, schemars::Schema)> {
                vec![$(($word, generator.subschema_for::<$module::Spec>()),)*]
            }

            /// Becomes a check that can be asked; `None` when faults were reported.
            pub fn compile(self, context: &mut Context<'_>) -> Option<Check> {
                match self { $(Self::$kind(spec) => spec.compile(context).map(Check::$kind),)* }
            }
        }

        impl Check {
            /// The word after `check:`.
            #[must_use]
            pub fn kind(&self) -> &'static str {
                match self { $(Self::$kind(_) => $word,)* }
            }

            /// What it needs.
            #[must_use]
            pub fn needs(&self) -> Needs {
                match self { $(Self::$kind(check) => check.needs(),)* }
            }

            /// What it gives.
            #[must_use]
            pub fn gives(&self) -> Gives {
                match self { $(Self::$kind(check) => check.gives(),)* }
            }

            /// What it asks of the response side.
            #[must_use]
            pub fn response_work(&self) -> ResponseWork {
                match self { $(Self::$kind(check) => check.response_work(),)* }
            }

            /// Headers that only the gateway may set: removed from what the client sent.
            pub fn owned_headers(&self) -> &[http::HeaderName] {
                match self { $(Self::$kind(check) => check.owned_headers(),)* }
            }

            /// Tells the check how the application answered.
            pub(crate) async fn heard<I: Io>(&self, hearing: &mut Hearing<'_, '_, I>) {
                match self { $(Self::$kind(check) => Beyond::heard(check, hearing).await,)* }
            }

            /// Whether it would still let pass what goes on.
            pub(crate) async fn holds<I: Io>(&self, turn: &mut Turn<'_, '_, I>) -> Result<(), Reason> {
                match self { $(Self::$kind(check) => Beyond::holds(check, turn).await,)* }
            }

            /// The cookies that no application sees.
            pub(crate) fn cookies(&self) -> Vec<&str> {
                match self { $(Self::$kind(check) => Beyond::cookies(check),)* }
            }

            /// The first segments of the pages that it serves.
            pub(crate) fn pages(&self) -> &'static [&'static str] {
                match self { $(Self::$kind(check) => Beyond::pages(check),)* }
            }

            /// Serves one of its pages.
            pub(crate) async fn page<I: Io>(&self, turn: &mut Turn<'_, '_, I>, rest: &str) -> Answer {
                let answer = match self { $(Self::$kind(check) => Beyond::page(check, turn, rest).await,)* };
                if let Answer::Reply(reply) = &answer {
                    crate::pages::insist(reply, turn.effects);
                }
                answer
            }

            /// Asks the check.
            pub async fn ask<I: Io>(&self, turn: &mut Turn<'_, '_, I>) -> Answer {
                match self { $(Self::$kind(check) => check.ask(turn).await,)* }
            }
        }
    };
}

checks! {
    /// Things that happen at the same time.
    Concurrency = concurrency, "concurrency";
    /// Networks that may come, and networks that may not.
    Ip = ip, "ip";
    /// Who asks, by a signed token.
    Jwt = jwt, "jwt";
    /// How often things happen.
    RateLimit = rate_limit, "rate_limit";
    /// Attempts to log in that fail.
    Failures = failures, "failures";
    /// Networks that each user may come from.
    IpAllowlist = ip_allowlist, "ip_allowlist";
    /// Tokens that let checks pass in an emergency.
    BreakGlass = break_glass, "break_glass";
    /// Clients and users that are banned.
    Bans = bans, "bans";
    /// Countries, continents and networks that may come.
    Geo = geo, "geo";
    /// The largest request and answer.
    Size = size, "size";
    /// Fields that answers carry or lack.
    ResponseHeaders = response_headers, "response_headers";
    /// Foreign pages that may read answers.
    Cors = cors, "cors";
    /// Who asks, by a key that an operator made.
    ApiKey = api_key, "api_key";
    /// Requests that another site had a browser send.
    Csrf = csrf, "csrf";
    /// Rules against attacks.
    Waf = waf, "waf";
    /// What who asks may do.
    Authorize = authorize, "authorize";
    /// Who asks, by a session.
    Session = session, "session";
    /// A second factor.
    StepUp = step_up, "step_up";
}

#[cfg(test)]
pub(crate) mod testing;

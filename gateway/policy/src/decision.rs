//! What comes out of a run: exactly one decision per request, and the proof that reaching an upstream asks for.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, StatusCode};
use smallvec::SmallVec;

use crate::limit::Standing;
use crate::markup::Given;
use crate::request::{Facts, Identity};

/// Position of a route in its policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RouteId(pub u16);

/// Position of a check in its policy. A check changed by a route's `with:` is one of its own, under the same name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CheckId(pub u16);

/// Position of an upstream group in its policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct UpstreamId(pub u16);

/// What was done with the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Action {
    /// Sent upstream, or answered as the policy allows (a CORS preflight).
    Allow,
    /// Refused.
    Deny,
    /// Answered with a page or header that asks for more.
    Challenge,
}

impl Action {
    /// The word in events and metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Deny => "deny",
            Self::Challenge => "challenge",
        }
    }
}

macro_rules! reasons {
    ($($(#[doc = $doc:literal])* $name:ident = $code:literal, $status:literal, $title:literal;)*) => {
        /// Why a request was answered as it was. The code is stable and the same in reply, event and metric.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Reason { $($(#[doc = $doc])* $name,)* }

        impl Reason {
            /// Every reason, for metrics, the schema and the documentation.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The stable code.
            #[must_use]
            pub fn code(self) -> &'static str { match self { $(Self::$name => $code,)* } }

            /// The status that a refusal for this reason carries unless its check says otherwise.
            #[must_use]
            pub fn status(self) -> StatusCode {
                let code: u16 = match self { $(Self::$name => $status,)* };
                StatusCode::from_u16(code).unwrap_or(StatusCode::FORBIDDEN)
            }

            /// One line for people; it tells a client nothing that helps an attack.
            #[must_use]
            pub fn title(self) -> &'static str { match self { $(Self::$name => $title,)* } }
        }
    };
}

reasons! {
    /// Every check passed.
    Ok = "ok", 200, "allowed";
    /// A CORS preflight that the gateway answered.
    Preflight = "preflight", 204, "preflight answered";
    /// No route matches.
    NoRoute = "no_route", 404, "nothing is served here";
    /// The request is malformed.
    Malformed = "malformed", 400, "malformed request";
    /// Framing that two parsers could read differently.
    Smuggling = "smuggling", 400, "ambiguous message framing";
    /// Host missing, doubled or different from the target's.
    BadHost = "bad_host", 400, "missing or ambiguous Host";
    /// A path that has no single canonical form.
    BadPath = "bad_path", 400, "malformed path";
    /// A header name that imitates a trusted one.
    Lookalike = "lookalike", 400, "header name not accepted";
    /// Method not accepted.
    BadMethod = "bad_method", 405, "method not allowed";
    /// Too many header fields, or too many bytes of them.
    HeaderTooLarge = "header_too_large", 431, "header fields too large";
    /// Target longer than allowed.
    UriTooLong = "uri_too_long", 414, "URI too long";
    /// The header did not arrive in time.
    HeaderTimeout = "header_timeout", 408, "request header too slow";
    /// The body did not arrive in time, or too slowly.
    BodyTimeout = "body_timeout", 408, "request body too slow";
    /// The body is larger than allowed.
    BodyTooLarge = "body_too_large", 413, "request body too large";
    /// The client broke the body off, or its framing.
    BodyBroken = "body_broken", 400, "request body incomplete";
    /// An encoded body that the gateway does not open.
    BodyEncoding = "body_encoding", 415, "content encoding not accepted";
    /// An encoded body that grows out of all proportion when it is opened.
    BodyExpansion = "body_expansion", 413, "request body expands too far";
    /// No memory for another held body, or too many connections.
    Overload = "overload", 503, "busy, try again";
    /// Banned.
    Banned = "banned", 403, "access denied";
    /// Too many failed attempts to log in, or too many at the same time.
    TooManyFailures = "too_many_failures", 429, "too many attempts";
    /// The user may not come from this network.
    NetworkDenied = "network_denied", 403, "access denied";
    /// A token for emergencies that is not known, or used, or late.
    EmergencyRefused = "emergency_refused", 403, "access denied";
    /// On a deny list, or not on the allow list.
    IpDenied = "ip_denied", 403, "access denied";
    /// Country, continent or network not allowed.
    GeoDenied = "geo_denied", 403, "access denied";
    /// Location not known and the policy refuses that.
    GeoUnknown = "geo_unknown", 403, "access denied";
    /// Over a rate limit.
    RateLimited = "rate_limited", 429, "too many requests";
    /// Too many at once.
    TooManyConcurrent = "too_many_concurrent", 429, "too many concurrent requests";
    /// No token.
    TokenMissing = "token_missing", 401, "authentication required";
    /// Token malformed, wrongly signed, or of another algorithm.
    TokenInvalid = "token_invalid", 401, "authentication failed";
    /// Token expired.
    TokenExpired = "token_expired", 401, "authentication expired";
    /// Token not valid yet.
    TokenNotYet = "token_not_yet", 401, "authentication not valid yet";
    /// A claim is missing or has another value than required.
    TokenClaims = "token_claims", 401, "authentication not sufficient";
    /// Token or subject revoked.
    TokenRevoked = "token_revoked", 401, "authentication revoked";
    /// No session.
    SessionMissing = "session_missing", 401, "authentication required";
    /// The session is over, or never was.
    SessionEnded = "session_ended", 401, "authentication required";
    /// The session reached one of its limits.
    SessionExpired = "session_expired", 401, "authentication expired";
    /// The session began somewhere else and is bound to that.
    SessionElsewhere = "session_elsewhere", 401, "authentication required";
    /// The user has as many sessions as allowed, and this is none of them.
    SessionsFull = "sessions_full", 403, "too many sessions";
    /// The log-in is too long ago for this.
    SessionStale = "session_stale", 401, "authentication must be renewed";
    /// A log-in at a provider that this browser did not begin, or that is over.
    LoginStale = "login_stale", 403, "log-in out of date";
    /// A log-in that the provider refuses, or whose answer does not hold.
    LoginRefused = "login_refused", 403, "log-in not accepted";
    /// Who asks is known and may not do this.
    Forbidden = "forbidden", 403, "access denied";
    /// A second factor must be proven first.
    SecondFactorRequired = "second_factor_required", 401, "second factor required";
    /// A second factor must be set up first.
    SecondFactorMissing = "second_factor_missing", 401, "second factor must be set up";
    /// A code or key that is not right, or was used before.
    SecondFactorFailed = "second_factor_failed", 403, "second factor not accepted";
    /// Too many of them.
    SecondFactorLocked = "second_factor_locked", 429, "too many attempts";
    /// A form of the gateway's own that no page of this session sent.
    FormStale = "form_stale", 403, "form not accepted";
    /// A rule set scored the request too high.
    WafBlocked = "waf_blocked", 403, "request blocked";
    /// The body could not be parsed as what it says it is.
    BodyUnparsable = "body_unparsable", 400, "request body malformed";
    /// Inspecting the request would cost more than its budget.
    WafBudget = "waf_budget", 403, "request too complex to inspect";
    /// Origin not allowed by `cors`.
    OriginDenied = "origin_denied", 403, "origin not allowed";
    /// No API key.
    KeyMissing = "key_missing", 401, "authentication required";
    /// An API key that is none, was revoked, or is of another gateway.
    KeyInvalid = "key_invalid", 401, "authentication failed";
    /// An API key that is over.
    KeyExpired = "key_expired", 401, "authentication expired";
    /// An API key was used as often as it may in this day or month.
    KeyQuota = "key_quota", 429, "quota used up";
    /// Not made by a page of the application, or without its token.
    CsrfFailed = "csrf_failed", 403, "request not verified";
    /// A store gave no answer and the check refuses then.
    StoreUnavailable = "store_unavailable", 503, "temporarily unavailable";
    /// Somebody who must be asked gives no answer: an issuer, a look-up.
    RemoteUnavailable = "remote_unavailable", 503, "temporarily unavailable";
    /// A broken invariant: refused because nothing else is safe.
    Internal = "internal", 500, "internal error";
    /// The upstream is not reachable.
    UpstreamUnreachable = "upstream_unreachable", 502, "upstream not reachable";
    /// The upstream took too long.
    UpstreamTimeout = "upstream_timeout", 504, "upstream too slow";
    /// The upstream broke off or answered nonsense.
    UpstreamBroken = "upstream_broken", 502, "upstream answer broken";
    /// The client went away first.
    ClientGone = "client_gone", 499, "client closed the connection";
    /// The answer is larger than allowed.
    ResponseTooLarge = "response_too_large", 502, "upstream answer too large";
    /// A rule set refuses the application's answer.
    WafResponse = "waf_response", 403, "answer withheld";
    /// The answer is in a content coding that the gateway cannot read, and a rule set must.
    ResponseEncoding = "response_encoding", 502, "upstream answer not readable";
    /// The answer is longer than a rule set reads, and the policy refuses that.
    ResponseUnread = "response_unread", 502, "upstream answer too long to inspect";
}

/// What one check answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// Nothing against it.
    Pass,
    /// Refuse.
    Deny(Denial),
    /// Answer here and now, without an upstream (a preflight).
    Reply(Reply),
}

impl Answer {
    /// A refusal with the reason's own status.
    #[must_use]
    pub fn deny(reason: Reason) -> Self {
        Self::Deny(Denial {
            reason,
            status: reason.status(),
            retry_after: None,
        })
    }

    /// Whether the request goes on; otherwise why not.
    ///
    /// # Errors
    /// The reason of a refusal, or of an answer given instead.
    pub const fn passed(&self) -> Result<(), Reason> {
        match self {
            Self::Pass => Ok(()),
            Self::Deny(denial) => Err(denial.reason),
            Self::Reply(reply) => Err(reply.reason),
        }
    }
}

/// A refusal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Denial {
    /// Why.
    pub reason: Reason,
    /// Status to answer with.
    pub status: StatusCode,
    /// Seconds for Retry-After.
    pub retry_after: Option<u32>,
}

/// An answer that a check gives itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// Why.
    pub reason: Reason,
    /// Status.
    pub status: StatusCode,
    /// Header fields of the answer.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// Body; `Content-Type` is among the fields.
    pub body: Bytes,
    /// What it amounts to: a preflight is allowed, a page that asks for a second factor challenges.
    pub action: Action,
}

impl Reply {
    /// Sends the client to `location` (which must be a valid field value, else the root) to go on from there.
    #[must_use]
    pub fn see_other(reason: Reason, location: &str) -> Self {
        let location = HeaderValue::try_from(location);
        let location = location.unwrap_or(HeaderValue::from_static("/"));
        Self {
            reason,
            status: StatusCode::SEE_OTHER,
            headers: vec![
                (http::header::LOCATION, location),
                (
                    http::header::CACHE_CONTROL,
                    HeaderValue::from_static("no-store"),
                ),
            ],
            body: Bytes::new(),
            action: Action::Challenge,
        }
    }
}

/// What a check in observe mode would have done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Would {
    /// The check.
    pub check: CheckId,
    /// Its reason.
    pub reason: Reason,
}

/// Things that checks leave for the answer: limits to report, CORS fields. Emptied and reused per request.
#[derive(Debug, Default)]
pub struct Effects {
    /// Limits that were counted, in order, with the name of their check, for RateLimit and RateLimit-Policy.
    pub limits: SmallVec<[(CheckId, Standing); 4]>,
    /// Fields to set on the answer, whoever writes it, after the route's edits. `Vary` and `Set-Cookie` are added to what
    /// is there.
    pub response: SmallVec<[(HeaderName, HeaderValue); 4]>,
    /// Fields that the upstream request gets in place of the client's; `None` removes. Hop by hop ones are not among them.
    pub upstream: SmallVec<[(HeaderName, Option<HeaderValue>); 1]>,
    /// What the page that comes is given on its way.
    pub markup: Option<Box<Given>>,
    /// What happened that deserves an event of its own: a log-in, an enrolment, a ban.
    pub told: SmallVec<[Told; 1]>,
}

/// Something that happened because of a request, for an event of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// What: a stable word such as `session_started`.
    pub event: &'static str,
    /// The check that tells it.
    pub check: CheckId,
    /// Whom it is about.
    pub user: Option<String>,
    /// The rest, in words; no secrets, no personal data beyond the user's name.
    pub detail: String,
}

/// Proof that every check of a route was asked and passed. Private fields, made only by `run`: a forgotten
/// check cannot open a door.
#[derive(Debug)]
pub struct Permit {
    upstream: UpstreamId,
    identity: Option<Arc<Identity>>,
}

impl Permit {
    /// Only `run` calls this.
    pub(crate) fn new(upstream: UpstreamId, identity: Option<Arc<Identity>>) -> Self {
        Self { upstream, identity }
    }

    /// Where the request may go.
    #[must_use]
    pub fn upstream(&self) -> UpstreamId {
        self.upstream
    }

    /// Fields that the gateway sets on the upstream request; the policy's `stripped` names were removed before.
    #[must_use]
    pub fn forward(&self) -> &[(HeaderName, HeaderValue)] {
        self.identity
            .as_ref()
            .map_or(&[], |identity| identity.forward.as_slice())
    }
}

/// How a run ended.
#[derive(Debug)]
pub enum Outcome {
    /// May go upstream.
    Permit(Permit),
    /// Refused.
    Deny(Denial),
    /// Answered by a check.
    Reply(Reply),
}

/// The decision about one request.
#[derive(Debug)]
pub struct Decision {
    /// The route that matched.
    pub route: Option<RouteId>,
    /// The check that ended the run.
    pub check: Option<CheckId>,
    /// What to do.
    pub outcome: Outcome,
    /// What observing checks would have done with the request, in order; with the answer: `facts.would`.
    pub would: SmallVec<[Would; 2]>,
    /// What checks found out.
    pub facts: Facts,
    /// What checks left for the answer.
    pub effects: Effects,
}

impl Decision {
    /// A refusal because of a broken invariant.
    #[must_use]
    pub fn internal() -> Self {
        let reason = Reason::Internal;
        let denial = Denial {
            reason,
            status: reason.status(),
            retry_after: None,
        };
        Self {
            route: None,
            check: None,
            outcome: Outcome::Deny(denial),
            would: SmallVec::new(),
            facts: Facts::default(),
            effects: Effects::default(),
        }
    }

    /// What observing checks would have done with the request and with its answer.
    pub fn observed(&self) -> impl Iterator<Item = Would> {
        self.would.iter().chain(&self.facts.would).copied()
    }

    /// The action in events and metrics.
    #[must_use]
    pub fn action(&self) -> Action {
        match &self.outcome {
            Outcome::Permit(_) => Action::Allow,
            Outcome::Reply(reply) => reply.action,
            Outcome::Deny(_) => Action::Deny,
        }
    }

    /// The reason in events, metrics and replies.
    #[must_use]
    pub fn reason(&self) -> Reason {
        match &self.outcome {
            Outcome::Permit(_) => Reason::Ok,
            Outcome::Deny(denial) => denial.reason,
            Outcome::Reply(reply) => reply.reason,
        }
    }
}

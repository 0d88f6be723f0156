//! What happened, one JSON line each: the shape of an event and the handle that everything which has something to
//! report holds. How a line is written is `line`, where it goes is `sink`; neither decides anything about a request.

mod line;
mod mask;
mod sink;
mod stamp;
mod text;

use std::net::IpAddr;

use policy::decision::{Action, Reason};

pub(crate) use sink::{Events, Options, Target};

/// What a line reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Kind {
    /// A request was answered, or its client went away.
    #[default]
    Request,
    /// Connections were closed before a request could be read on them; at most one line a second, `count` says how many.
    ConnectionRefused,
    /// Bytes that are no request; answered 400 without reaching the policy.
    Malformed,
    /// A policy was put into service.
    PolicyLoaded,
    /// A policy had faults; the one before it keeps serving.
    PolicyRejected,
    /// An operator banned a client or a user.
    Banned,
    /// An operator lifted a ban.
    Unbanned,
    /// An operator called tokens back.
    Revoked,
    /// A server that checks ask gives no answer, or an error.
    RemoteFailed,
    /// It answers again.
    RemoteRecovered,
    /// The gateway listens.
    Started,
    /// The gateway takes no more connections.
    Stopping,
    /// The gateway ends.
    Stopped,
    /// Lines were lost; `count` says how many.
    EventsDropped,
    /// Something that a check tells of, in its own word: a log-in, an enrolment.
    Told(&'static str),
}

impl Kind {
    /// The word in `event`.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Request => "request",
            Self::ConnectionRefused => "connection_refused",
            Self::Malformed => "malformed",
            Self::PolicyLoaded => "policy_loaded",
            Self::PolicyRejected => "policy_rejected",
            Self::Banned => "banned",
            Self::Unbanned => "unbanned",
            Self::Revoked => "token_revoked",
            Self::RemoteFailed => "remote_failed",
            Self::RemoteRecovered => "remote_recovered",
            Self::Started => "started",
            Self::Stopping => "stopping",
            Self::Stopped => "stopped",
            Self::EventsDropped => "events_dropped",
            Self::Told(word) => word,
        }
    }
}

impl Kind {
    /// For what somebody should look at by itself.
    pub(crate) fn severity(self) -> Option<&'static str> {
        let Self::Told(word) = self else { return None };
        match word {
            "network_violation" | "ban_started" | "factor_locked" | "factor_unlocked"
            | "secret_overdue" => Some("medium"),
            "secret_failed" | "factor_reset" => Some("high"),
            word if word.starts_with("emergency_") => Some("high"),
            _ => None,
        }
    }
}

/// One WAF rule that matched and logs.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Finding<'a> {
    /// The rule's id.
    pub(crate) id: u32,
    /// The rule's message.
    pub(crate) msg: &'a str,
    /// The rule's severity; empty when it has none.
    pub(crate) severity: &'a str,
    /// Where it matched, such as `args:q`.
    pub(crate) target: &'a str,
    /// What it added to a score.
    pub(crate) score: u32,
    /// The check whose rule it is.
    pub(crate) check: &'a str,
    /// What the rule saw; written only where the settings ask for it.
    pub(crate) value: &'a str,
    /// What the rule says to log; written only where the settings ask for it.
    pub(crate) data: &'a str,
}

/// What a check in observe mode would have done, by name.
#[derive(Debug, Clone, Copy)]
pub(crate) struct WouldDeny<'a> {
    /// The check.
    pub(crate) check: &'a str,
    /// Its reason.
    pub(crate) reason: Reason,
}

/// One event, borrowed from wherever its parts live. Empty text and `None` are left out of the line.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Event<'a> {
    /// Unix milliseconds.
    pub(crate) time: u64,
    /// What happened.
    pub(crate) kind: Kind,
    /// The request's id.
    pub(crate) request_id: &'a str,
    /// The client's address.
    pub(crate) client: Option<IpAddr>,
    /// ISO 3166-1 alpha-2, where a `geo` check looked.
    pub(crate) country: Option<[u8; 2]>,
    /// Method as sent.
    pub(crate) method: &'a str,
    /// Host as sent, made lower-case.
    pub(crate) host: &'a str,
    /// Path without query.
    pub(crate) path: &'a str,
    /// Query; written only where the settings ask for it.
    pub(crate) query: Option<&'a str>,
    /// The route's name.
    pub(crate) route: &'a str,
    /// Status of the answer.
    pub(crate) status: Option<u16>,
    /// What was done.
    pub(crate) action: Option<Action>,
    /// The check that ended the run.
    pub(crate) check: &'a str,
    /// Why.
    pub(crate) reason: Option<Reason>,
    /// What observing checks would have done, in order.
    pub(crate) would: &'a [WouldDeny<'a>],
    /// WAF rules that matched and log.
    pub(crate) rules: &'a [Finding<'a>],
    /// WAF score, where a rule set ran and scored.
    pub(crate) score: Option<u64>,
    /// The same of the application's answer, where it scored.
    pub(crate) response_score: Option<u64>,
    /// Who asked.
    pub(crate) user: &'a str,
    /// The upstream group, or the server of it that answered.
    pub(crate) upstream: &'a str,
    /// Bytes of the request's body.
    pub(crate) bytes_in: Option<u64>,
    /// Bytes of the answer's body.
    pub(crate) bytes_out: Option<u64>,
    /// Microseconds from the request's first byte to the answer's last.
    pub(crate) duration_us: Option<u64>,
    /// Microseconds of these that the gateway spent deciding.
    pub(crate) gateway_us: Option<u64>,
    /// How many policies this process has put into service, the one that decided included.
    pub(crate) policy_version: Option<u64>,
    /// Its hash.
    pub(crate) policy_hash: &'a str,
    /// A sentence for people, on events that are not about one request.
    pub(crate) detail: &'a str,
    /// Every fault of a refused policy; warnings of one that was loaded.
    pub(crate) faults: &'a [String],
    /// How many: lines that were lost, connections that were refused.
    pub(crate) count: Option<u64>,
}

/// `text` as events show it: personal data masked.
pub(crate) fn masked(text: &str) -> String {
    mask::personal(text).into_owned()
}

/// The wall clock, in unix milliseconds.
pub(crate) fn unix_ms() -> u64 {
    std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |since| {
            u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
        })
}

/// `unix_ms` as RFC 3339 in UTC.
pub(crate) fn rfc3339(unix_ms: u64) -> String {
    let mut out = Vec::new();
    stamp::write(&mut out, unix_ms);
    String::from_utf8(out).unwrap_or_default()
}

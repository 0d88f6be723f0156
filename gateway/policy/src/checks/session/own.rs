//! Sessions of the gateway's own, at the application's log-in and log-out. How they are kept is `keeper`'s business.

use std::collections::HashMap;
use std::sync::Arc;

use http::{HeaderName, HeaderValue};
use serde_json::{Map, Value};

use super::keeper::{Begun, Keeper, NotBegun, Open, Whose};
use super::login::Start;
use super::oidc::Oidc;
use super::record::Record;
use super::{Established, Outcome, logged_out, set, tell};
use crate::checks::{Hearing, Turn};
use crate::cookie;
use crate::decision::Reason;
use crate::io::Io;
use crate::request::{Identity, Request, Session};

/// Ready to be asked.
#[derive(Debug)]
pub(super) struct Own {
    pub(super) keeper: Keeper,
    pub(super) how: How,
    pub(super) users: Option<Users>,
    pub(super) forward: Vec<(Forwarded, HeaderName)>,
}

/// How sessions begin.
#[derive(Debug)]
pub(super) enum How {
    /// When the application's own log-in goes well.
    Watched(Box<Start>),
    /// When a provider says who it is.
    Provider(Box<Oidc>),
}

/// An event, whom it is about, and the rest in words.
pub(super) type Happened = (&'static str, Option<String>, String);

/// What is sent to the application.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Forwarded {
    /// The user.
    User,
    /// Their roles, by comma.
    Roles,
    /// A claim of the log-in.
    Claim(String),
}

/// The roles of users, as a file has them.
#[derive(Debug, Default)]
pub(super) struct Users {
    pub(super) roles: HashMap<String, Vec<String>>,
    /// Of users that are not in it.
    pub(super) others: Vec<String>,
}

impl Own {
    pub(super) async fn establish<I: Io>(&self, turn: &mut Turn<'_, '_, I>) -> Outcome {
        let open = self.keeper.find(turn.io, turn.request).await?;
        let identity = self.identity(&open).ok_or(Reason::Internal)?;
        self.keeper.prolong(turn.io, &open, turn.request).await;
        Ok(Established {
            identity,
            session: open.session(),
        })
    }

    /// Whether the request names a session, open or not.
    pub(super) fn is_named(&self, request: &Request<'_>) -> bool {
        cookie::value(request.headers, &self.keeper.cookie.name).is_ok_and(|value| value.is_some())
    }

    fn identity(&self, open: &Open) -> Option<Arc<Identity>> {
        let made = open.known.identity.get_or_init(|| self.made(&open.known.record).map(Arc::new));
        made.clone()
    }

    fn made(&self, record: &Record) -> Option<Identity> {
        let mut claims = record.claims.clone();
        if let Some(users) = &self.users {
            let roles = users.roles.get(&record.user).unwrap_or(&users.others);
            claims.insert("role".to_owned(), roles.iter().cloned().map(Value::from).collect());
        }
        let forward = self.forward.iter();
        let forward = forward.filter_map(|(what, name)| match text(what, &record.user, &claims)? {
            Ok(text) => Some(HeaderValue::from_bytes(text.as_bytes()).ok().map(|value| (name.clone(), value))),
            Err(()) => Some(None),
        });
        let forward: Option<Vec<_>> = forward.collect();
        claims.insert("sub".to_owned(), record.user.clone().into());
        Some(Identity {
            user: record.user.clone(),
            claims,
            forward: forward?,
            expires: None,
        })
    }

    /// The application's log-in, where that is what begins sessions.
    pub(super) fn start(&self) -> Option<&Start> {
        match &self.how {
            How::Watched(start) => Some(start),
            How::Provider(_) => None,
        }
    }

    /// Whether this request is the application's log-in.
    pub(super) fn starts(&self, request: &Request<'_>) -> bool {
        self.start().is_some_and(|start| start.requests.has(request))
    }

    /// The provider, where that is whom the gateway asks.
    pub(super) fn oidc(&self) -> Option<&Oidc> {
        match &self.how {
            How::Watched(_) => None,
            How::Provider(oidc) => Some(oidc),
        }
    }

    /// The application answered a log-in.
    pub(super) async fn begin<I: Io>(&self, hearing: &mut Hearing<'_, '_, I>) {
        let Some(start) = self.start() else { return };
        // No answer: nothing passed.
        if hearing.status == 0 || !start.passed(hearing.status, hearing.headers) {
            return;
        }
        let Some(user) = start.whom(hearing.awaited.whom.as_deref(), hearing.headers) else {
            let why = "nobody, or more than one, is named by the log-in".to_owned();
            return tell(hearing, "session_not_started", None, why);
        };
        let whose = Whose {
            user: &user,
            claims: start.claims(hearing.headers),
            proven: None,
        };
        let (happened, begun) = self.replace(hearing.io, hearing.request, whose).await;
        for (event, user, detail) in happened {
            tell(hearing, event, user, detail);
        }
        if let Ok(begun) = begun {
            // What the answer carries belongs to this session already.
            hearing.facts.session =
                Some(Session { binding: begun.binding, started: hearing.io.now().unix / 1000 });
            set(hearing.effects, hearing.headers, begun.cookie);
        }
    }

    /// Begins a session in place of the one that was here.
    pub(super) async fn replace<I: Io>(
        &self,
        io: &mut I,
        request: &Request<'_>,
        whose: Whose<'_>,
    ) -> (Vec<Happened>, Result<Begun, NotBegun>) {
        let user = whose.user.to_owned();
        let lost = |user| ("session_not_started", Some(user), "the store gave no answer".to_owned());
        let mut happened = Vec::new();
        // Whatever was signed in here before is over: nothing that somebody else may know goes on as this user's.
        match self.keeper.end_own(io, request).await {
            Ok(None) => {}
            Ok(Some((before, name))) => {
                happened.push(("session_ended", Some(before), format!("{name}: another log-in took its place")));
            }
            Err(_) => return (vec![lost(user)], Err(NotBegun::Store)),
        }
        let begun = self.keeper.begin(io, request, whose).await;
        match &begun {
            Ok(begun) => {
                for name in &begun.ended {
                    let why = format!("{name}: too many sessions, the oldest ends");
                    happened.push(("session_ended", Some(user.clone()), why));
                }
                happened.push(("session_started", Some(user), begun.handle.clone()));
            }
            Err(NotBegun::Full) => {
                let most = self.keeper.limits.most;
                happened.push(("session_refused_most", Some(user), format!("{most} sessions are open")));
            }
            Err(NotBegun::Store) => happened.push(lost(user)),
        }
        (happened, begun)
    }

    /// The application answered a log-out: the session is over, whatever it said.
    pub(super) async fn end<I: Io>(&self, hearing: &mut Hearing<'_, '_, I>) {
        match self.keeper.end_own(hearing.io, hearing.request).await {
            Ok(None) => {}
            Ok(Some((user, name))) => {
                hearing.facts.session = None;
                let why = format!("{name}: {}", logged_out(hearing));
                tell(hearing, "session_ended", Some(user), why);
            }
            Err(_) => tell(hearing, "session_not_ended", None, "the store gave no answer".to_owned()),
        }
        if let Some(cookie) = self.keeper.unset() {
            set(hearing.effects, hearing.headers, cookie);
        }
    }
}

/// What a forwarded field says; `None`: there is nothing to say, an error: it cannot be written without a second reading.
fn text(what: &Forwarded, user: &str, claims: &Map<String, Value>) -> Option<Result<String, ()>> {
    let plain = |text: &str| !text.is_empty() && text.trim() == text && !text.chars().any(char::is_control);
    let sound = |text: &str| if plain(text) { Ok(text.to_owned()) } else { Err(()) };
    let claim = match what {
        Forwarded::User => return Some(sound(user)),
        Forwarded::Roles => "role",
        Forwarded::Claim(name) => name.as_str(),
    };
    match claims.get(claim)? {
        Value::String(text) => Some(sound(text)),
        Value::Array(items) => {
            let items: Vec<_> = items.iter().filter_map(Value::as_str).collect();
            let sound = items.iter().all(|item| plain(item) && !item.contains(','));
            (!items.is_empty()).then(|| if sound { Ok(items.join(",")) } else { Err(()) })
        }
        Value::Number(number) => Some(Ok(number.to_string())),
        Value::Bool(truth) => Some(Ok(truth.to_string())),
        Value::Null | Value::Object(_) => None,
    }
}

/// What a policy's `forward:` names.
pub(super) fn forwarded(what: &str) -> Forwarded {
    match what {
        "user" | "sub" => Forwarded::User,
        "roles" | "role" => Forwarded::Roles,
        other => Forwarded::Claim(other.to_owned()),
    }
}

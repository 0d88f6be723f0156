//! `bans`: clients and users that are banned right now. Who bans them, and for how long, is not known here: a ban is a
//! value in the store that ends by itself.

use std::net::IpAddr;

use bytes::Bytes;
use serde::Deserialize;

use super::{Gives, Needs, ResponseWork, Turn};
use crate::ban::{self, Ban, Whom};
use crate::context::Context;
use crate::decision::{Answer, Denial, Reason};
use crate::io::{Io, Key, Space};
use crate::key::{self, Keys};
use crate::stored;

/// Refuses clients and users that are banned: by the admin interface, or by a check that watches failures. Behind a
/// check that establishes who asks, users are looked up as well as addresses. An IPv6 client is banned by its /64.
///
/// `on_store_error: deny` (default) or `allow`.
#[derive(Debug, Clone, Default, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    /// Drop banned clients when they connect, before TLS and without an answer. Holds where the connection shows the
    /// client itself (no trusted proxy in between); every route must ask this check, unchanged and enforced.
    #[serde(default)]
    drop: bool,
}

/// Ready to be asked.
#[derive(Debug)]
pub struct Check {
    keys: Keys,
    without_store: Answer,
    drop: bool,
}

/// Where a client's ban is kept, in [`Space::Ban`].
#[must_use]
pub fn client_key(keys: Keys, client: IpAddr) -> Key {
    Whom::Client(client).key(keys)
}

/// Where a user's ban is kept, in [`Space::Ban`]. However the name is typed.
#[must_use]
pub fn user_key(keys: Keys, user: &str) -> Key {
    ban::add_user(keys.start(key::stable("ban")), user).finish()
}

impl Spec {
    pub(super) fn compile(self, context: &mut Context<'_>) -> Option<Check> {
        let before = context.errors();
        let without_store = context.without_store("a ban");
        (context.errors() == before).then_some(Check { keys: context.keys, without_store, drop: self.drop })
    }
}

impl super::Beyond for Check {
    async fn holds<I: Io>(&self, turn: &mut Turn<'_, '_, I>) -> Result<(), Reason> {
        // It looks up, and does nothing else.
        self.ask(turn).await.passed()
    }
}

impl Check {
    /// Whether banned clients are dropped when they connect.
    pub(crate) fn drops(&self) -> bool {
        self.drop
    }

    /// Where the ban of a client that connects would be kept.
    pub(crate) fn key(&self, client: IpAddr) -> Key {
        client_key(self.keys, client)
    }

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
        let client = client_key(self.keys, turn.request.client);
        match turn.io.get(Space::Ban, client).await {
            Ok(None) => {}
            Ok(Some(stored)) => return refusal(&stored, turn.io.now().unix),
            Err(_) => return self.without_store.clone(),
        }
        let Some(identity) = turn.facts.identity.clone() else {
            return Answer::Pass;
        };
        match turn.io.get(Space::Ban, user_key(self.keys, &identity.user)).await {
            Ok(None) => Answer::Pass,
            Ok(Some(stored)) => self.user(turn, &identity.user, &stored).await,
            Err(_) => self.without_store.clone(),
        }
    }

    /// A ban that somebody's failures led to does not hold where the user logged in before: anybody can fail in the name
    /// of anybody.
    async fn user<I: Io>(&self, turn: &mut Turn<'_, '_, I>, user: &str, stored: &Bytes) -> Answer {
        let refused = refusal(stored, turn.io.now().unix);
        let made_by_failures = stored::decode::<Ban>(stored).is_ok_and(|ban| ban.by.is_some());
        if !made_by_failures {
            return refused;
        }
        match ban::known(turn.io, self.keys, turn.request.client, user).await {
            Ok(true) => Answer::Pass,
            Ok(false) => refused,
            Err(_) => self.without_store.clone(),
        }
    }
}

/// Says when it ends, where the record tells.
fn refusal(stored: &Bytes, now: u64) -> Answer {
    let ban = stored::decode::<Ban>(stored).ok();
    Answer::Deny(Denial {
        reason: Reason::Banned,
        status: Reason::Banned.status(),
        retry_after: ban.map(|ban| seconds(ban.until.saturating_sub(now))),
    })
}

/// For Retry-After: rounded up, at least one.
pub(super) fn seconds(millis: u64) -> u32 {
    u32::try_from(millis.div_ceil(1000)).unwrap_or(u32::MAX).max(1)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use bytes::Bytes;
    use serde_json::json;

    use super::*;
    use crate::io::StoreFault;
    use crate::request::Identity;
    use crate::testing::{Bench, Scene};

    fn from(client: &str) -> Scene {
        Scene { client: client.parse().unwrap(), ..Scene::default() }
    }

    fn ban(bench: &mut Bench, key: Key) {
        let (value, hour) = (Bytes::from_static(b"{}"), Duration::from_secs(3600));
        let now = bench.io.now;
        bench.io.memory.put(Space::Ban, key, value, hour, now).unwrap();
    }

    #[test]
    fn refuses_a_banned_client_and_its_whole_ipv6_network() {
        let mut bench = Bench::new("bans", json!({}));
        ban(&mut bench, client_key(Keys::process(), "192.0.2.1".parse().unwrap()));
        ban(&mut bench, client_key(Keys::process(), "2001:db8::1".parse().unwrap()));
        let banned = Answer::deny(Reason::Banned);
        assert_eq!(bench.ask(&from("192.0.2.1")), banned);
        assert_eq!(bench.ask(&from("::ffff:192.0.2.1")), banned);
        assert_eq!(bench.ask(&from("2001:db8::2:3")), banned);
        assert_eq!(bench.ask(&from("192.0.2.2")), Answer::Pass);
        assert_eq!(bench.ask(&from("2001:db8:0:1::1")), Answer::Pass);
    }

    #[test]
    fn refuses_a_banned_user_once_known() {
        let mut bench = Bench::new("bans", json!({}));
        ban(&mut bench, user_key(Keys::process(), "mallory"));
        assert_eq!(bench.ask(&Scene::default()), Answer::Pass);
        let mut who = |user: &str| {
            let identity = Identity { user: user.to_owned(), ..Identity::default() };
            bench.facts.identity = Some(Arc::new(identity));
            bench.ask(&Scene::default())
        };
        assert_eq!(who("mallory"), Answer::deny(Reason::Banned));
        assert_eq!(who("alice"), Answer::Pass);
    }

    #[test]
    fn a_ban_ends_by_itself() {
        let mut bench = Bench::new("bans", json!({}));
        ban(&mut bench, client_key(Keys::process(), "192.0.2.1".parse().unwrap()));
        bench.io.advance(Duration::from_secs(3599));
        assert_eq!(bench.ask(&from("192.0.2.1")), Answer::deny(Reason::Banned));
        bench.io.advance(Duration::from_secs(1));
        assert_eq!(bench.ask(&from("192.0.2.1")), Answer::Pass);
        assert_eq!(bench.allocations(&from("192.0.2.1")), 0);
    }

    #[test]
    fn refuses_without_a_store_unless_the_policy_says_otherwise() {
        let mut strict = Bench::new("bans", json!({}));
        strict.io.store_fault = Some(StoreFault::Down);
        assert_eq!(strict.ask(&Scene::default()), Answer::deny(Reason::StoreUnavailable));
        let mut lenient = Bench::new("bans", json!({"on_store_error": "allow"}));
        lenient.io.store_fault = Some(StoreFault::Slow);
        assert_eq!(lenient.ask(&Scene::default()), Answer::Pass);
        let faults = Bench::faults_of::<&str>("bans", json!({"on_store_error": "local"}), &[]);
        assert_eq!(faults, ["it.on_store_error: a ban has no local share: write `deny` or `allow`"]);
    }
}

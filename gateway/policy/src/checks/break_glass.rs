//! `break_glass`: a token for emergencies lets the checks that it names pass, once, and loudly. Operators make them; `run`
//! leaves out what passes.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderName;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::{Gives, Needs, ResponseWork, Turn};
use crate::context::Context;
use crate::cookie;
use crate::decision::{Answer, Reason, Told};
use crate::io::{Io, Key, Space};
use crate::key::{self, Keys};
use crate::run::Mode;
use crate::stored::{self, Change};

mod page;

/// Longest time in which a token may be used first.
pub const LONGEST: Duration = Duration::from_secs(30 * 86_400);
/// Longest time that its client may go on using it.
pub const LONGEST_HOLD: Duration = Duration::from_secs(12 * 3_600);
/// How long a token is known after its end: a second use must be told from a guess.
const KNOWN: Duration = Duration::from_secs(30 * 86_400);
const MOST: usize = 64;

/// Lets named checks pass for who brings a token that an operator made for an emergency (`palisade emergency create`): once, or for a
/// while from one address. Every use is an event of high severity, so is every token that is refused. Stands before
/// the checks that it lets pass. Browsers bring a token that holds for a while by its own page, `/.palisade/emergency`.
///
/// `on_store_error: deny` (default) or `allow`: the token is not looked at, and the checks are asked.
#[derive(Debug, Clone, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "BreakGlass")]
pub struct Spec {
    /// Checks that a token may let pass, by name; `locked` ones too, since they are named here. Never one that establishes
    /// who asks. A token names some or all of them.
    passes: Vec<String>,
    /// Request header that carries the token; the application never sees it. Default X-Emergency-Token.
    #[serde(default = "header")]
    header: String,
}

fn header() -> String {
    "X-Emergency-Token".to_owned()
}

/// A token as it is stored, under a hash of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Emergency {
    /// What operators call it.
    pub id: String,
    /// Checks that it lets pass.
    pub passes: Vec<String>,
    /// Unix milliseconds after which it cannot be used first.
    pub until: u64,
    /// Milliseconds after the first use in which its client may use it again.
    pub hold: u64,
    /// Why it was made.
    pub reason: String,
    /// When and by whom it was used first.
    pub used: Option<Used>,
}

/// The first use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Used {
    /// Unix milliseconds.
    pub at: u64,
    /// Network of the client.
    pub client: IpAddr,
}

/// Where a token is kept, in [`Space::Emergency`]: a keyed hash of its hash.
#[must_use]
pub fn key(keys: Keys, token: &str) -> Key {
    let digest = Sha256::digest(token.as_bytes());
    keys.start(key::stable("emergency")).part(key::stable("token"), &digest).finish()
}

impl Emergency {
    /// How long it is to be kept.
    #[must_use]
    pub fn life(&self, now: u64) -> Duration {
        Duration::from_millis(self.until.saturating_sub(now).saturating_add(self.hold)).saturating_add(KNOWN)
    }
}

/// Ready to be asked.
#[derive(Debug)]
pub struct Check {
    keys: Keys,
    passes: Vec<String>,
    header: [HeaderName; 1],
    without_store: Answer,
}

/// What a token turned out to be.
enum Found {
    First(Emergency),
    Again(Emergency),
    Refused(&'static str, Option<String>),
}

impl Spec {
    pub(super) fn compile(self, context: &mut Context<'_>) -> Option<Check> {
        let before = context.faults.len();
        let without_store = context.without_store("a token");
        if self.passes.is_empty() || self.passes.len() > MOST {
            let at = context.at.key("passes");
            context.error(at, format!("one to {MOST} checks, by name: `passes: [second-factor]`"));
        }
        let header = HeaderName::try_from(self.header.as_str()).ok();
        if header.is_none() {
            let at = context.at.key("header");
            context.error(at, format!("`{}` is not a header name", self.header));
        }
        (!context.failed_since(before)).then_some(())?;
        Some(Check { keys: context.keys, passes: self.passes, header: [header?], without_store })
    }
}

impl super::Beyond for Check {
    /// A token that lives is nobody's but the browser's.
    fn cookies(&self) -> Vec<&str> {
        page::COOKIES.to_vec()
    }

    fn pages(&self) -> &'static [&'static str] {
        &["emergency"]
    }

    async fn page<I: Io>(&self, turn: &mut Turn<'_, '_, I>, _: &str) -> Answer {
        page::serve(self, turn).await
    }
}

impl Check {
    /// Names of the checks that a token may let pass.
    pub(crate) fn passes(&self) -> &[String] {
        &self.passes
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

    pub(super) fn owned_headers(&self) -> &[HeaderName] {
        &self.header
    }

    pub(super) async fn ask<I: Io>(&self, turn: &mut Turn<'_, '_, I>) -> Answer {
        let [header] = &self.header;
        let mut sent = turn.request.headers.get_all(header).iter();
        let Some(token) = sent.next() else {
            return self.in_cookie(turn).await;
        };
        // Where nothing is enforced nothing passes either, and a token is not used up.
        if turn.mode != Mode::Enforce {
            return Answer::Pass;
        }
        let token = token.to_str().ok().filter(|_| sent.next().is_none()).unwrap_or_default();
        let Ok(found) = self.redeem(turn, token.trim()).await else {
            return self.without_store.clone();
        };
        self.tell(turn, found)
    }

    /// A token that was typed into the form. One that holds no longer is no attempt to cheat: the checks are asked.
    async fn in_cookie<I: Io>(&self, turn: &mut Turn<'_, '_, I>) -> Answer {
        let request = turn.request;
        let Ok(Some(token)) = cookie::value(request.headers, page::cookie_name(request)) else {
            return Answer::Pass;
        };
        if turn.mode != Mode::Enforce {
            return Answer::Pass;
        }
        let Ok(found) = self.redeem(turn, token).await else {
            return self.without_store.clone();
        };
        if self.tell(turn, found) != Answer::Pass {
            turn.effects.response.extend(page::set_cookie(request, "", Duration::ZERO));
        }
        Answer::Pass
    }

    /// Says what became of a token, and lets pass what it may.
    fn tell<I>(&self, turn: &mut Turn<'_, '_, I>, found: Found) -> Answer {
        let client = turn.request.client;
        let (event, detail, answer) = match found {
            Found::First(token) => ("emergency_used", self.grant(turn, &token), Answer::Pass),
            Found::Again(token) => ("emergency_used_again", self.grant(turn, &token), Answer::Pass),
            Found::Refused(why, id) => {
                let id = id.map_or_else(String::new, |id| format!("token {id}: "));
                ("emergency_refused", format!("{id}{why}, from {client}"), Answer::deny(Reason::EmergencyRefused))
            }
        };
        let user = turn.facts.identity.as_ref().map(|identity| identity.user.clone());
        turn.effects.told.push(Told { event, check: turn.id, user, detail });
        answer
    }

    /// Uses a token up, or finds out why not: of two requests at once one comes first.
    async fn redeem<I: Io>(&self, turn: &mut Turn<'_, '_, I>, token: &str) -> Result<Found, crate::io::StoreFault> {
        let now = turn.io.now().unix;
        let client = key::client_network(turn.request.client);
        let key = key(self.keys, token);
        stored::update(turn.io, Space::Emergency, key, |known: Option<Emergency>| {
            let refused = |why, id| (Change::Keep, Found::Refused(why, id));
            let Some(mut known) = known else {
                return refused("not known", None);
            };
            let id = Some(known.id.clone());
            match known.used {
                Some(used) if used.client == client && now < used.at.saturating_add(known.hold) => {
                    (Change::Keep, Found::Again(known))
                }
                Some(_) => refused("used already", id),
                None if now >= known.until => refused("expired", id),
                None if !known.passes.iter().any(|name| self.passes.contains(name)) => {
                    refused("names no check that may pass here", id)
                }
                None => {
                    known.used = Some(Used { at: now, client });
                    let life = known.life(now);
                    (Change::Put(known.clone(), life), Found::First(known))
                }
            }
        })
        .await
    }

    /// Only what both the policy and the token name.
    fn grant<I>(&self, turn: &mut Turn<'_, '_, I>, token: &Emergency) -> String {
        let both = self.passes.iter().filter(|name| token.passes.contains(name));
        let passes: Arc<[String]> = both.cloned().collect();
        let detail = format!(
            "token {} from {} lets pass {}: {}",
            token.id,
            turn.request.client,
            passes.join(", "),
            token.reason
        );
        turn.facts.passes = Some(passes);
        detail
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::invented::ready;
    use crate::testing::{Bench, Scene};

    fn made(bench: &mut Bench, passes: &[&str], hold: u64) {
        let now = bench.io.now.unix;
        let passes = passes.iter().map(|name| (*name).to_owned()).collect();
        let token = Emergency { id: "x1".to_owned(), passes, until: now + 3_600_000, hold, reason: "phone lost".to_owned(), used: None };
        let value = stored::encode(&token).unwrap();
        let put = bench.io.put(Space::Emergency, key(Keys::process(), "token"), value, token.life(now));
        ready(put).unwrap().unwrap();
    }

    fn bring(bench: &mut Bench, client: &str, token: &'static str) -> Option<Vec<String>> {
        bench.facts.passes = None;
        let scene = Scene { client: client.parse().unwrap(), ..Scene::default() }.header("x-emergency-token", token);
        match bench.ask(&scene) {
            Answer::Pass => Some(bench.facts.passes.as_ref().map(|passes| passes.to_vec()).unwrap_or_default()),
            Answer::Deny(denial) => {
                assert_eq!(denial.reason, Reason::EmergencyRefused);
                None
            }
            Answer::Reply(_) => panic!("it does not reply"),
        }
    }

    fn told(bench: &Bench) -> Vec<&'static str> {
        bench.effects.told.iter().map(|told| told.event).collect()
    }

    #[test]
    fn a_token_lets_pass_what_it_and_the_policy_name_once() {
        let mut bench = Bench::new("break_glass", json!({"passes": ["mfa", "where"]}));
        made(&mut bench, &["mfa", "bans"], 0);
        assert_eq!(bring(&mut bench, "192.0.2.1", "guess"), None);
        assert_eq!(bring(&mut bench, "192.0.2.1", "token"), Some(vec!["mfa".to_owned()]));
        assert_eq!(bring(&mut bench, "192.0.2.1", "token"), None);
        assert_eq!(told(&bench), ["emergency_refused", "emergency_used", "emergency_refused"]);
        assert!(bench.effects.told.last().unwrap().detail.contains("x1: used already"));
    }

    #[test]
    fn for_a_while_only_its_client_may_use_it_again() {
        let mut bench = Bench::new("break_glass", json!({"passes": ["mfa"]}));
        made(&mut bench, &["mfa"], 60_000);
        assert!(bring(&mut bench, "2001:db8::1", "token").is_some());
        assert!(bring(&mut bench, "2001:db8::2", "token").is_some());
        assert_eq!(bring(&mut bench, "192.0.2.1", "token"), None);
        bench.io.advance(Duration::from_secs(60));
        assert_eq!(bring(&mut bench, "2001:db8::1", "token"), None);
    }

    #[test]
    fn refuses_tokens_that_are_late_or_for_other_checks() {
        let mut bench = Bench::new("break_glass", json!({"passes": ["mfa"]}));
        made(&mut bench, &["bans"], 0);
        assert_eq!(bring(&mut bench, "192.0.2.1", "token"), None);
        made(&mut bench, &["mfa"], 0);
        bench.io.advance(Duration::from_secs(3600));
        assert_eq!(bring(&mut bench, "192.0.2.1", "token"), None);
        assert!(bench.effects.told.last().unwrap().detail.contains("expired"));
    }

    #[test]
    fn without_a_token_nothing_happens() {
        let mut bench = Bench::new("break_glass", json!({"passes": ["mfa"]}));
        assert_eq!(bench.ask(&Scene::default()), Answer::Pass);
        assert_eq!(bench.allocations(&Scene::default()), 0);
        assert!(bench.facts.passes.is_none() && bench.effects.told.is_empty());
        let faults = Bench::faults_of::<&str>("break_glass", json!({"passes": [], "header": "a b"}), &[]);
        assert_eq!(faults.len(), 2);
    }
}

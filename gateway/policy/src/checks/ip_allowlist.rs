//! `ip_allowlist`: the networks that each user may come from, as operators keep them in the store. Who the user is comes
//! from a check before it.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::rate_limit::refusal_status;
use super::{Gives, Needs, ResponseWork, Turn};
use crate::context::Context;
use crate::decision::{Answer, Denial, Reason, Told};
use crate::io::{Io, Key, Space, StoreFault};
use crate::key::{self, Keys};
use crate::scalar::Texts;
use crate::stored::{self, Change};

/// Networks of one user at most.
pub const MOST: usize = 256;
/// How long an entry lasts unless its maker says otherwise.
pub const DEFAULT_LIFE: Duration = Duration::from_secs(90 * 86_400);
/// Records stay: what ends are their entries, and an entry without an end has none.
const FOREVER: Duration = Duration::from_secs(100 * 366 * 86_400);
/// How exact the time of the last use is, in milliseconds: not every request shall write.
const HOUR: u64 = 3_600_000;

/// What a user gets of whom no network is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Without {
    /// They come from anywhere.
    #[default]
    Allow,
    /// They come from nowhere.
    Deny,
}

/// Lets users come only from networks that operators named for them (`palisade allow add USER NETWORK`), each with an
/// end, 90 days from then unless they say otherwise. Who has entries and comes from elsewhere is refused, also when all
/// of them have ended: a restriction does not lift itself.
///
/// `on_store_error: deny` (default) or `allow`.
#[derive(Debug, Clone, Default, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "IpAllowlist")]
pub struct Spec {
    /// What a user gets of whom nobody ever named a network: allow or deny. Default allow: naming the first network of a
    /// user restricts this user, and nobody else.
    #[serde(default)]
    without: Without,
    /// Files with more entries: `USER NETWORK` a line, and when it ends (2026-12-31) if it does; `#` begins a comment.
    #[serde(default)]
    files: Texts,
    /// Status of a refusal, 400 to 599. Default 403.
    #[serde(default = "forbidden")]
    status: u16,
}

fn forbidden() -> u16 {
    403
}

/// A network that a user may come from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// In CIDR notation.
    #[serde(with = "text")]
    pub network: IpNet,
    /// Unix milliseconds at which it ends; `None`: it does not.
    pub until: Option<u64>,
    /// Why.
    pub reason: String,
    /// Unix milliseconds at which it was made.
    pub added: u64,
    /// Unix milliseconds of the last request from there, to the hour; `None`: none yet.
    pub last_used: Option<u64>,
}

/// The networks of a user, as they are stored. Ended ones stay until they are removed or make room.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Allowed {
    /// Whose.
    pub user: String,
    /// Which.
    pub entries: Vec<Entry>,
}

/// Where the networks of a user are kept, in [`Space::Networks`]. By the name to the letter.
#[must_use]
pub fn key(keys: Keys, user: &str) -> Key {
    keys.start(key::stable("networks")).part(0, user.as_bytes()).finish()
}

/// A network, or a single address.
///
/// # Errors
/// A sentence.
pub fn network(text: &str) -> Result<IpNet, String> {
    let parsed = text.parse::<IpNet>().or_else(|_| text.parse::<IpAddr>().map(|one| IpNet::from(one.to_canonical())));
    parsed.map(|network| network.trunc()).map_err(|_| format!("`{text}` is no network: write 192.0.2.0/24 or 2001:db8::/48"))
}

/// Adds a network to a user's, or changes the one that is there.
///
/// # Errors
/// The store's; `false`: the user has too many.
pub async fn add<I: Io>(io: &mut I, keys: Keys, user: &str, entry: &Entry) -> Result<bool, StoreFault> {
    let now = io.now().unix;
    stored::update(io, Space::Networks, key(keys, user), |allowed: Option<Allowed>| {
        let mut allowed = allowed.unwrap_or_else(|| Allowed { user: user.to_owned(), entries: Vec::new() });
        match allowed.entries.iter_mut().find(|known| known.network == entry.network) {
            Some(known) => *known = Entry { last_used: known.last_used, ..entry.clone() },
            None => {
                if allowed.entries.len() >= MOST {
                    allowed.entries.retain(|known| known.holds(now));
                }
                if allowed.entries.len() >= MOST {
                    return (Change::Keep, false);
                }
                allowed.entries.push(entry.clone());
            }
        }
        (Change::Put(allowed, FOREVER), true)
    })
    .await
}

/// Removes a network of a user, or all of them; how many went.
///
/// # Errors
/// The store's.
pub async fn remove<I: Io>(io: &mut I, keys: Keys, user: &str, network: Option<IpNet>) -> Result<usize, StoreFault> {
    stored::update(io, Space::Networks, key(keys, user), |allowed: Option<Allowed>| {
        let Some(mut allowed) = allowed else {
            return (Change::Keep, 0);
        };
        let before = allowed.entries.len();
        allowed.entries.retain(|known| network.is_some_and(|network| network != known.network));
        let gone = before - allowed.entries.len();
        let change = if allowed.entries.is_empty() { Change::Remove } else { Change::Put(allowed, FOREVER) };
        (if gone == 0 { Change::Keep } else { change }, gone)
    })
    .await
}

/// A network as people write it.
mod text {
    use ipnet::IpNet;
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(network: &IpNet, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(network)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<IpNet, D::Error> {
        super::network(&String::deserialize(from)?).map_err(D::Error::custom)
    }
}

impl Entry {
    /// Whether it has not ended.
    #[must_use]
    pub fn holds(&self, now: u64) -> bool {
        self.until.is_none_or(|until| until > now)
    }
}

/// Ready to be asked.
#[derive(Debug)]
pub struct Check {
    keys: Keys,
    without: Without,
    files: HashMap<String, Vec<(IpNet, Option<u64>)>>,
    refusal: Answer,
    without_store: Answer,
}

impl Spec {
    pub(super) fn compile(self, context: &mut Context<'_>) -> Option<Check> {
        let before = context.faults.len();
        let without_store = context.without_store("a list");
        let mut files = HashMap::new();
        for pattern in &self.files.0 {
            let at = context.at.key("files");
            for file in context.files(&at, pattern) {
                let text = context.read(at.clone(), &file).unwrap_or_default();
                for (number, line) in String::from_utf8_lossy(&text).lines().enumerate() {
                    if let Err(why) = line_of(line, &mut files) {
                        context.error(at.clone(), format!("{file}, line {}: {why}", number + 1));
                    }
                }
            }
        }
        let reason = Reason::NetworkDenied;
        let status = refusal_status(context, self.status);
        (!context.failed_since(before)).then_some(())?;
        Some(Check {
            keys: context.keys,
            without: self.without,
            files,
            refusal: Answer::Deny(Denial { reason, status: status?, retry_after: None }),
            without_store,
        })
    }
}

/// `USER NETWORK [END]`.
fn line_of(line: &str, files: &mut HashMap<String, Vec<(IpNet, Option<u64>)>>) -> Result<(), String> {
    let line = line.split('#').next().unwrap_or_default();
    let words: Vec<&str> = line.split_whitespace().collect();
    let (user, text, until) = match words.as_slice() {
        [] => return Ok(()),
        [user, network] => (user, network, None),
        [user, network, until] => {
            let moment: crate::spec::value::Moment = until.parse()?;
            (user, network, Some(moment.0))
        }
        _ => return Err("write `USER NETWORK`, and when it ends if it does".to_owned()),
    };
    files.entry((*user).to_owned()).or_default().push((network(text)?, until));
    Ok(())
}

impl super::Beyond for Check {
    async fn holds<I: Io>(&self, turn: &mut Turn<'_, '_, I>) -> Result<(), Reason> {
        // What it does beside looking up, a note of the last use, is as true of what goes on.
        self.ask(turn).await.passed()
    }
}

impl Check {
    pub(super) fn needs(&self) -> Needs {
        Needs { identity: true, ..Needs::default() }
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
        let Some(identity) = turn.facts.identity.clone() else {
            return Answer::deny(Reason::Internal);
        };
        let (client, now) = (turn.request.client.to_canonical(), turn.io.now().unix);
        let in_files = self.in_files(&identity.user);
        let listed = in_files.iter().any(|(network, until)| {
            network.contains(&client) && until.is_none_or(|until| until > now)
        });
        if listed {
            return Answer::Pass;
        }
        let key = key(self.keys, &identity.user);
        let allowed: Option<Allowed> = match stored::get(turn.io, Space::Networks, key).await {
            Ok(allowed) => allowed,
            Err(_) => return self.without_store.clone(),
        };
        let entries = allowed.map(|allowed| allowed.entries).unwrap_or_default();
        let mut fitting = entries.iter().filter(|entry| entry.holds(now) && entry.network.contains(&client));
        if let Some(entry) = fitting.next() {
            if entry.last_used.is_none_or(|last| now.saturating_sub(last) >= HOUR) {
                self.used(turn, key, entry.network, now).await;
            }
            return Answer::Pass;
        }
        if entries.is_empty() && in_files.is_empty() && self.without == Without::Allow {
            return Answer::Pass;
        }
        let known = entries.len() + in_files.len();
        turn.effects.told.push(Told {
            event: "network_violation",
            check: turn.id,
            user: Some(identity.user.clone()),
            detail: format!("from {client}, which is in none of the user's {known} networks"),
        });
        self.refusal.clone()
    }

    fn in_files(&self, user: &str) -> &[(IpNet, Option<u64>)] {
        if self.files.is_empty() {
            return &[];
        }
        self.files.get(user).map_or(&[], Vec::as_slice)
    }

    /// A note for operators; when it cannot be written, nothing is lost but that.
    async fn used<I: Io>(&self, turn: &mut Turn<'_, '_, I>, key: Key, network: IpNet, now: u64) {
        let noted = stored::update(turn.io, Space::Networks, key, |allowed: Option<Allowed>| {
            let Some(mut allowed) = allowed else {
                return (Change::Keep, ());
            };
            for entry in allowed.entries.iter_mut().filter(|entry| entry.network == network) {
                entry.last_used = Some(now);
            }
            (Change::Put(allowed, FOREVER), ())
        });
        let _ = noted.await;
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use std::sync::Arc;

    use serde_json::json;

    use super::*;
    use crate::invented::ready;
    use crate::request::Identity;
    use crate::testing::{Bench, Scene};

    fn entry(network_text: &str, until: Option<u64>) -> Entry {
        let network = network(network_text).unwrap();
        Entry { network, until, reason: "office".to_owned(), added: 0, last_used: None }
    }

    fn allow(bench: &mut Bench, user: &str, network: &str, until: Option<u64>) {
        let added = ready(add(&mut bench.io, Keys::process(), user, &entry(network, until)));
        assert_eq!(added.unwrap(), Ok(true));
    }

    fn from(bench: &mut Bench, user: &str, client: &str) -> bool {
        let identity = Identity { user: user.to_owned(), ..Identity::default() };
        bench.facts.identity = Some(Arc::new(identity));
        bench.ask(&Scene { client: client.parse().unwrap(), ..Scene::default() }) == Answer::Pass
    }

    fn stored_for(bench: &mut Bench, user: &str) -> Allowed {
        let key = key(Keys::process(), user);
        ready(stored::get(&mut bench.io, Space::Networks, key)).unwrap().unwrap().unwrap()
    }

    #[test]
    fn a_user_comes_from_the_named_networks_only() {
        let mut bench = Bench::new("ip_allowlist", json!({}));
        assert!(from(&mut bench, "mia", "203.0.113.1"), "nobody named any");
        allow(&mut bench, "mia", "192.0.2.7/24", None);
        allow(&mut bench, "mia", "2001:db8::1", None);
        assert!(from(&mut bench, "mia", "192.0.2.200"));
        assert!(from(&mut bench, "mia", "::ffff:192.0.2.200"));
        assert!(from(&mut bench, "mia", "2001:db8::1"));
        assert!(!from(&mut bench, "mia", "2001:db8::2"));
        assert!(!from(&mut bench, "mia", "203.0.113.1"));
        assert_eq!(bench.effects.told.last().unwrap().event, "network_violation");
        for other in ["ann", "Mia", "mia "] {
            assert!(from(&mut bench, other, "203.0.113.1"), "others are not restricted");
        }
    }

    #[test]
    fn an_entry_ends_and_the_restriction_stays() {
        let mut bench = Bench::new("ip_allowlist", json!({}));
        let now = bench.io.now.unix;
        allow(&mut bench, "mia", "192.0.2.0/24", Some(now + 1000));
        allow(&mut bench, "mia", "198.51.100.0/24", None);
        assert!(from(&mut bench, "mia", "192.0.2.1"));
        bench.io.advance(Duration::from_secs(1));
        assert!(!from(&mut bench, "mia", "192.0.2.1"));
        bench.io.advance(Duration::from_secs(50 * 366 * 86_400));
        assert!(from(&mut bench, "mia", "198.51.100.1"), "one without an end is never dropped");
        let gone = |bench: &mut Bench, network: Option<IpNet>| ready(remove(&mut bench.io, Keys::process(), "mia", network)).unwrap();
        assert_eq!(gone(&mut bench, Some(network("198.51.100.0/24").unwrap())), Ok(1));
        assert!(!from(&mut bench, "mia", "203.0.113.1"), "only ended ones are left");
        assert_eq!((gone(&mut bench, None), gone(&mut bench, None)), (Ok(1), Ok(0)));
        assert!(from(&mut bench, "mia", "203.0.113.1"));
    }

    #[test]
    fn the_last_use_is_noted_once_an_hour() {
        let mut bench = Bench::new("ip_allowlist", json!({}));
        allow(&mut bench, "mia", "192.0.2.0/24", None);
        let begun = bench.io.now.unix;
        let mut used_at = |after: u64| {
            bench.io.advance(Duration::from_secs(after));
            assert!(from(&mut bench, "mia", "192.0.2.1"));
            stored_for(&mut bench, "mia").entries.first().unwrap().last_used.unwrap() - begun
        };
        assert_eq!((used_at(0), used_at(3599), used_at(1)), (0, 0, 3_600_000));
    }

    #[test]
    fn without_entries_the_policy_says_what_holds() {
        let mut strict = Bench::new("ip_allowlist", json!({"without": "deny", "status": 404}));
        assert!(!from(&mut strict, "mia", "192.0.2.1"));
        allow(&mut strict, "mia", "192.0.2.0/24", None);
        assert!(from(&mut strict, "mia", "192.0.2.1"));
    }

    #[test]
    fn files_name_networks_too() {
        let text = "# office\nmia 192.0.2.0/24\nMia 198.51.100.0/24 2020-01-01\nann 2001:db8::/32 2099-01-01 # home\n";
        let mut bench = Bench::with_files("ip_allowlist", json!({"files": "users.txt"}), &[("users.txt", text)]);
        assert!(from(&mut bench, "mia", "192.0.2.1"));
        assert!(!from(&mut bench, "mia", "198.51.100.1"), "ended");
        assert!(from(&mut bench, "ann", "2001:db8:1::1"));
        assert!(!from(&mut bench, "ann", "192.0.2.1"));
        let faults = Bench::faults_of("ip_allowlist", json!({"files": "users.txt"}), &[("users.txt", "mia\nmia 1.2.3\nmia ::/0 soon")]);
        assert_eq!(faults.len(), 3, "{faults:?}");
    }

    #[test]
    fn refuses_without_a_store_unless_the_policy_says_otherwise() {
        let mut strict = Bench::new("ip_allowlist", json!({}));
        strict.io.store_fault = Some(StoreFault::Down);
        assert!(!from(&mut strict, "mia", "192.0.2.1"));
        let mut lenient = Bench::new("ip_allowlist", json!({"on_store_error": "allow"}));
        lenient.io.store_fault = Some(StoreFault::Down);
        assert!(from(&mut lenient, "mia", "192.0.2.1"));
    }
}

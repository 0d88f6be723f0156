//! Bans as they are stored, whoever makes them and whoever enforces them; the networks from which users logged in before;
//! and what lifting a ban has to clear. Decides nothing.

use std::net::IpAddr;
use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::field::folded;
use crate::io::{Io, Key, Space, StoreFault};
use crate::key::{self, Builder, Keys};
use crate::stored::{self, Change};

/// Longer than any count of failures goes back.
pub const LONGEST_WINDOW: Duration = Duration::from_secs(31 * 86_400);

/// Who is banned.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Whom {
    /// An address; an IPv6 one stands for its /64.
    Client(IpAddr),
    /// A user, everywhere.
    User(String),
    /// A user from one address.
    Pair(IpAddr, String),
}

/// A ban.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ban {
    /// Who.
    pub whom: Whom,
    /// Unix milliseconds at which it ends.
    pub until: u64,
    /// The check that made it; `None`: an operator did.
    pub by: Option<String>,
    /// Why.
    pub reason: String,
}

impl Whom {
    /// With the address and the name as they are compared and listed.
    #[must_use]
    pub fn canonical(self) -> Self {
        match self {
            Self::Client(client) => Self::Client(key::client_network(client)),
            Self::User(user) => Self::User(folded(&user)),
            Self::Pair(client, user) => Self::Pair(key::client_network(client), folded(&user)),
        }
    }

    /// Where its ban is kept, in [`Space::Ban`].
    #[must_use]
    pub fn key(&self, keys: Keys) -> Key {
        self.of(keys, "ban")
    }

    /// A key about the same under another heading.
    pub(crate) fn of(&self, keys: Keys, heading: &str) -> Key {
        let start = keys.start(key::stable(heading));
        let named = |start: Builder, user: &str| add_user(start, user).finish();
        match self {
            Self::Client(client) => start.client(key::stable("client"), *client).finish(),
            Self::User(user) => named(start, user),
            Self::Pair(client, user) => named(start.client(key::stable("client"), *client), user),
        }
    }

    /// The client, where it is about one.
    #[must_use]
    pub fn client(&self) -> Option<IpAddr> {
        match self {
            Self::Client(client) | Self::Pair(client, _) => Some(*client),
            Self::User(_) => None,
        }
    }

    /// The user, where it is about one.
    #[must_use]
    pub fn user(&self) -> Option<&str> {
        match self {
            Self::Client(_) => None,
            Self::User(user) | Self::Pair(_, user) => Some(user),
        }
    }

    /// What it is: the word in metrics and events.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::Client(_) => "ip",
            Self::User(_) => "user",
            Self::Pair(..) => "pair",
        }
    }
}

/// Adds a user as bans and counts compare them, without an allocation where the name is plain already.
pub(crate) fn add_user(builder: Builder, user: &str) -> Builder {
    let kind = key::stable("user");
    let plain = |byte: u8| byte.is_ascii_graphic() && !byte.is_ascii_uppercase();
    if user.bytes().all(plain) {
        builder.part(kind, user.as_bytes())
    } else {
        builder.part(kind, folded(user).as_bytes())
    }
}

/// Puts a ban into force, unless one that lasts as long is there already; whether it did.
///
/// # Errors
/// The store's.
pub async fn start<I: Io>(io: &mut I, keys: Keys, ban: &Ban) -> Result<bool, StoreFault> {
    let now = io.now().unix;
    let time = Duration::from_millis(ban.until.saturating_sub(now));
    let key = ban.whom.key(keys);
    let change = |known: Option<Ban>| match known {
        Some(known) if known.until >= ban.until => (Change::Keep, false),
        Some(_) | None => (Change::Put(ban.clone(), time), true),
    };
    match stored::update(io, Space::Ban, key, change).await {
        // Whatever it is, it bans.
        Err(StoreFault::Corrupt) => Ok(false),
        started => started,
    }
}

/// Lifts a ban, and forgets what was counted against whom it was on: else the next failure would start it again.
/// Whether there was one.
///
/// # Errors
/// The store's.
pub async fn lift<I: Io>(io: &mut I, keys: Keys, whom: &Whom) -> Result<bool, StoreFault> {
    let key = whom.key(keys);
    let banned = io.get(Space::Ban, key).await?.is_some();
    io.remove(Space::Ban, key).await?;
    io.remove(Space::Failures, whom.of(keys, "strikes")).await?;
    forget(io, keys, whom, LONGEST_WINDOW).await?;
    Ok(banned)
}

/// Forgets what was counted against somebody. Counts cannot be taken back; they are kept under a number that is drawn
/// anew here, so that the old ones are never found again; it is needed as long as the longest of their windows.
///
/// # Errors
/// The store's.
pub(crate) async fn forget<I: Io>(
    io: &mut I,
    keys: Keys,
    whom: &Whom,
    longest: Duration,
) -> Result<(), StoreFault> {
    let drawn = io.random();
    let number = Bytes::copy_from_slice(drawn.get(..8).unwrap_or_default());
    let key = whom.of(keys, "counted");
    io.put(Space::Failures, key, number, longest).await
}

/// The number that counts against somebody are kept under; zero until some were forgotten, and again when those have long
/// lost their weight.
pub(crate) async fn counted<I: Io>(io: &mut I, keys: Keys, whom: &Whom) -> Result<u64, StoreFault> {
    let stored = io.get(Space::Failures, whom.of(keys, "counted")).await?;
    let number = stored.and_then(|number| number.as_ref().try_into().ok());
    Ok(number.map_or(0, u64::from_le_bytes))
}

/// How often somebody was banned lately, this time included.
pub(crate) async fn strike<I: Io>(
    io: &mut I,
    keys: Keys,
    whom: &Whom,
    lately: Duration,
) -> Result<u32, StoreFault> {
    let key = whom.of(keys, "strikes");
    stored::update(io, Space::Failures, key, |strikes: Option<u32>| {
        let strikes = strikes.unwrap_or(0).saturating_add(1);
        (Change::Put(strikes, lately), strikes)
    })
    .await
}

/// Remembers that a user logged in from a network, and so that there is such a user.
pub(crate) async fn remember<I: Io>(
    io: &mut I,
    keys: Keys,
    (client, user): (IpAddr, &str),
    time: Duration,
) -> Result<(), StoreFault> {
    for key in [known_key(keys, client, user), proven_key(keys, user)] {
        io.put(Space::Failures, key, Bytes::from_static(b"1"), time)
            .await?;
    }
    Ok(())
}

/// Whether a user logged in before, from anywhere. Any other name may be invented.
pub(crate) async fn proven<I: Io>(io: &mut I, keys: Keys, user: &str) -> Result<bool, StoreFault> {
    let stored = io.get(Space::Failures, proven_key(keys, user)).await?;
    Ok(stored.is_some())
}

fn proven_key(keys: Keys, user: &str) -> Key {
    to_the_letter(keys.start(key::stable("proven")), user).finish()
}

/// Whether a user logged in from a network before.
pub(crate) async fn known<I: Io>(
    io: &mut I,
    keys: Keys,
    client: IpAddr,
    user: &str,
) -> Result<bool, StoreFault> {
    let key = known_key(keys, client, user);
    Ok(io.get(Space::Failures, key).await?.is_some())
}

fn known_key(keys: Keys, client: IpAddr, user: &str) -> Key {
    let start = keys.start(key::stable("known"));
    to_the_letter(start.client(key::stable("client"), client), user).finish()
}

/// Adds a user as what speaks for them compares names: that `änn` logged in says nothing of `ann`.
pub(crate) fn to_the_letter(builder: Builder, user: &str) -> Builder {
    builder.part(key::stable("user"), user.as_bytes())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::invented::{Invented, ready};

    fn ban(until: u64) -> Ban {
        Ban {
            whom: Whom::User("Mia ".to_owned()).canonical(),
            until,
            by: None,
            reason: "test".to_owned(),
        }
    }

    #[test]
    fn one_user_is_one_however_the_name_is_typed() {
        let keys = Keys::derived(b"x");
        let user = |name: &str| Whom::User(name.to_owned()).key(keys);
        assert_eq!(user("mia"), user(" MIA"));
        assert_eq!(user("ÄNN"), user("änn"));
        assert_ne!(user("mia"), user("mia2"));
        let pair = Whom::Pair("2001:db8::1".parse().unwrap(), "mia".to_owned());
        let beside = Whom::Pair("2001:db8::2".parse().unwrap(), "Mia".to_owned());
        assert_eq!(pair.key(keys), beside.key(keys));
        assert_ne!(pair.key(keys), user("mia"));
    }

    #[test]
    fn a_ban_never_becomes_shorter() {
        let (mut io, keys) = (Invented::default(), Keys::derived(b"x"));
        let now = io.now.unix;
        let mut begin = |until| ready(start(&mut io, keys, &ban(now + until))).unwrap();
        assert_eq!(
            (begin(60_000), begin(30_000), begin(90_000)),
            (Ok(true), Ok(false), Ok(true))
        );
        let key = ban(0).whom.key(keys);
        let stored = ready(io.get(Space::Ban, key)).unwrap().unwrap().unwrap();
        assert_eq!(stored::decode::<Ban>(&stored).unwrap().until, now + 90_000);
    }

    #[test]
    fn lifting_a_ban_forgets_what_led_to_it() {
        let (mut io, keys) = (Invented::default(), Keys::derived(b"x"));
        let whom = ban(0).whom;
        let before = ready(counted(&mut io, keys, &whom)).unwrap();
        ready(start(&mut io, keys, &ban(u64::MAX)))
            .unwrap()
            .unwrap();
        assert_eq!(ready(lift(&mut io, keys, &whom)).unwrap(), Ok(true));
        assert_ne!(ready(counted(&mut io, keys, &whom)).unwrap(), before);
        assert_eq!(ready(lift(&mut io, keys, &whom)).unwrap(), Ok(false));
    }
}

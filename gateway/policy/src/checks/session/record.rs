//! What is stored of sessions, and under which keys: a record for each, by the hash of its identifier, and one for each
//! user that says which are open. Knows no cookie and no limit.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::header::USER_AGENT;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use crate::io::Key;
use crate::key::{Keys, client_network, stable};
use crate::request::Request;

/// What a client says that it is may be of any length.
const LONGEST_AGENT: usize = 200;

/// An identifier: 256 bits that only the client's browser holds. `Debug` shows nothing.
#[derive(Clone, Copy)]
pub(super) struct Identifier([u8; 32]);

/// The hash of an identifier: what may be stored of it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Digest([u8; 32]);

impl std::fmt::Debug for Identifier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Identifier(…)")
    }
}

impl Identifier {
    pub(super) fn new(random: [u8; 32]) -> Self {
        Self(random)
    }

    /// What a cookie says; one spelling for each identifier.
    pub(super) fn read(text: &str) -> Option<Self> {
        let mut bytes = [0; 33];
        let length = URL_SAFE_NO_PAD.decode_slice(text, &mut bytes).ok()?;
        let (whole, _) = bytes.split_first_chunk::<32>()?;
        (length == 32).then_some(Self(*whole))
    }

    pub(super) fn text(self) -> String {
        URL_SAFE_NO_PAD.encode(self.0)
    }

    pub(super) fn digest(self) -> Digest {
        Digest(Sha256::digest(self.0).into())
    }
}

impl Digest {
    /// As it is stored.
    pub(super) fn text(self) -> String {
        URL_SAFE_NO_PAD.encode(self.0)
    }
}

/// What a client says that it is, as far as it is kept.
pub(super) fn agent<'r>(request: &Request<'r>) -> &'r str {
    let agent = request.headers.get(USER_AGENT).and_then(|agent| agent.to_str().ok());
    let agent = agent.unwrap_or_default();
    agent.get(..LONGEST_AGENT).unwrap_or(agent)
}

/// A session as it is stored.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Record {
    /// Of the identifier: the key alone has half its bits.
    pub(super) digest: String,
    /// What people call it: tells nothing about the identifier.
    pub(super) handle: String,
    /// Whose it is.
    pub(super) user: String,
    /// What the log-in said about them.
    #[serde(default)]
    pub(super) claims: Map<String, Value>,
    /// Unix milliseconds at which the user proved who they are, where that is not when the session began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) proven: Option<u64>,
    /// Unix milliseconds of the log-in.
    pub(super) started: u64,
    /// Unix milliseconds at which it was last written down that the session is in use.
    pub(super) seen: u64,
    /// The client's address at that moment.
    pub(super) client: String,
    /// The network that the session began in.
    pub(super) network: String,
    /// What the client said that it is, at the log-in.
    pub(super) agent: String,
    /// Of a session that is the application's token: Unix milliseconds from which on no token of it holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) until: Option<u64>,
    /// Whether it ended before that.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) ended: bool,
}

impl Record {
    /// One that begins with this request, of nobody yet.
    pub(super) fn begun(request: &Request<'_>, now: u64) -> Self {
        Self {
            started: now,
            seen: now,
            client: request.client.to_string(),
            network: client_network(request.client).to_string(),
            agent: agent(request).to_owned(),
            ..Self::default()
        }
    }

    /// Whether it is the record of this very identifier.
    pub(super) fn is_of(&self, digest: Digest) -> bool {
        let mut known = [0; 33];
        match URL_SAFE_NO_PAD.decode_slice(&self.digest, &mut known) {
            Ok(32) => known.iter().zip(&digest.0).fold(subtle::Choice::from(1), |same, (one, other)| {
                same & one.ct_eq(other)
            }).into(),
            Ok(_) | Err(_) => false,
        }
    }
}

/// A session among those of its user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Entry {
    /// Where its record is, in hex.
    key: String,
    /// What people call it.
    pub(super) handle: String,
    /// Unix milliseconds of the log-in.
    pub(super) started: u64,
}

impl Entry {
    pub(super) fn new(key: Key, handle: String, started: u64) -> Self {
        Self {
            key: format!("{:032x}", key.0),
            handle,
            started,
        }
    }

    pub(super) fn key(&self) -> Option<Key> {
        u128::from_str_radix(&self.key, 16).ok().map(Key)
    }
}

/// The keys of one check's sessions. By the check's name: a route that changes the check has the same sessions.
#[derive(Debug, Clone, Copy)]
pub(super) struct Names {
    keys: Keys,
    check: u64,
}

impl Names {
    pub(super) fn new(keys: Keys, check: &str) -> Self {
        Self {
            keys,
            check: stable(check),
        }
    }

    /// Where a session's record is.
    pub(super) fn session(&self, digest: Digest) -> Key {
        self.key("session", &digest.0)
    }

    /// What belongs to the session is bound to this; it leads nobody to the record.
    pub(super) fn binding(&self, digest: Digest) -> Key {
        self.key("session/binding", &digest.0)
    }

    /// Where it stands which sessions a user has. By the name to the letter, as the sessions say it.
    pub(super) fn user(&self, user: &str) -> Key {
        self.key("session/user", user.as_bytes())
    }

    /// Where the provider's own token of a session is, by the key of its record: shown at the log-out.
    pub(super) fn hint(&self, session: Key) -> Key {
        self.key("session/oidc/hint", &session.0.to_be_bytes())
    }

    /// What counts against a client.
    pub(super) fn client(&self, client: std::net::IpAddr) -> Key {
        self.keys.start(stable("session/oidc/client")).part(0, &self.check.to_le_bytes()).client(1, client).finish()
    }

    /// Where the record of a session is that is the application's token: another user's token never leads there.
    pub(super) fn of_token(&self, binding: Key, user: &str) -> Key {
        let start = self.keys.start(stable("session/token/kept"));
        start.part(self.check, &binding.0.to_be_bytes()).part(1, user.as_bytes()).finish()
    }

    /// Anything else of these sessions.
    pub(super) fn key(&self, what: &str, of: &[u8]) -> Key {
        self.keys.start(stable(what)).part(self.check, of).finish()
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn an_identifier_has_one_spelling() {
        let text = Identifier::new([7; 32]).text();
        assert_eq!(text.len(), 43);
        assert_eq!(Identifier::read(&text).unwrap().text(), text);
        let padded = format!("{text}=");
        let long = format!("{text}A");
        let mut stray = text.clone();
        stray.replace_range(42.., "d");
        for wrong in ["", "x", &text[1..], &padded, &long, &stray, &text.replace('B', "+")] {
            assert!(Identifier::read(wrong).is_none(), "{wrong}");
        }
    }

    #[test]
    fn a_record_is_of_one_identifier_and_shows_none_of_it() {
        let (one, other) = (Identifier::new([1; 32]), Identifier::new([2; 32]));
        let record = Record { digest: one.digest().text(), handle: "h".into(), user: "ann".into(), ..Record::default() };
        assert!(record.is_of(one.digest()) && !record.is_of(other.digest()));
        let text = serde_json::to_string(&record).unwrap();
        assert!(!text.contains(&one.text()));
        assert_eq!(format!("{one:?}"), "Identifier(…)");
    }

    #[test]
    fn keys_of_checks_and_purposes_never_meet() {
        let keys = Keys::derived(b"x");
        let (web, shop) = (Names::new(keys, "web"), Names::new(keys, "shop"));
        let digest = Identifier::new([1; 32]).digest();
        let all = [web.session(digest), web.binding(digest), shop.session(digest), web.user("ann")];
        for (index, key) in all.iter().enumerate() {
            assert!(!all.iter().skip(index + 1).any(|other| other == key));
        }
        assert_ne!(web.user("Ann"), web.user("ann"));
        let entry = Entry::new(all[0], "h".into(), 1);
        assert_eq!(entry.key(), Some(all[0]));
    }
}

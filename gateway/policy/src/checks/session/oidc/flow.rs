//! One log-in under way: what must be known when the browser comes back, sealed into a cookie of its own. Nothing of it is
//! in the store, so strangers who begin log-ins fill nothing, and the log-ins of several tabs do not meet.

use std::time::Duration;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::HeaderMap;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::cookie;
use crate::key::Keys;
use crate::pages::form::Secret;

/// Log-ins of one browser at a time; of more, the oldest ones are given up.
const MOST: usize = 8;

/// Makes and opens the cookies of one check.
#[derive(Debug)]
pub(super) struct Sealer {
    secret: hmac::Key,
    /// What their names begin with.
    prefix: String,
    /// The same, for whoever takes cookies away.
    pub(super) all: String,
}

/// What is in one.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Flow {
    /// 256 bits that nonce and verifier are made of.
    seed: String,
    /// Unix seconds at which the browser was sent away.
    pub(super) began: u64,
    /// The user must prove who they are now, whatever the provider remembers.
    pub(super) fresh: bool,
    /// Where the browser goes on afterwards.
    pub(super) back: String,
}

impl Flow {
    pub(super) fn new(seed: [u8; 32], began: u64, fresh: bool, back: String) -> Self {
        let seed = URL_SAFE_NO_PAD.encode(seed);
        Self { seed, began, fresh, back }
    }

    fn derived(&self, what: &[u8]) -> String {
        let key = hmac::Key::new(hmac::HMAC_SHA256, self.seed.as_bytes());
        URL_SAFE_NO_PAD.encode(hmac::sign(&key, what))
    }

    /// Binds the ID token to this log-in.
    pub(super) fn nonce(&self) -> String {
        self.derived(b"nonce")
    }

    /// Whoever has the code needs this as well (RFC 7636).
    pub(super) fn verifier(&self) -> String {
        self.derived(b"verifier")
    }

    /// What the provider is told of the verifier: S256.
    pub(super) fn challenge(&self) -> String {
        URL_SAFE_NO_PAD.encode(Sha256::digest(self.verifier()))
    }

    /// Whether it takes longer than it may; a clock that went back makes none last for ever.
    pub(super) fn is_late(&self, now: u64, within: Duration) -> bool {
        let within = within.as_secs();
        now > self.began.saturating_add(within) || self.began > now.saturating_add(within)
    }
}

impl Sealer {
    pub(super) fn new(keys: Keys, check: &str, cookie: &str) -> Self {
        let secret = Secret::derived(keys, &format!("session/oidc/{check}"));
        Self {
            secret: hmac::Key::new(hmac::HMAC_SHA256, &secret.0),
            prefix: format!("{cookie}-login-"),
            all: format!("{cookie}-login-*"),
        }
    }

    /// The name of this log-in's cookie.
    pub(super) fn name(&self, state: &str) -> String {
        format!("{}{state}", self.prefix)
    }

    /// A key for this state alone, so that no nonce of the cipher is ever used twice with one.
    fn key(&self, state: &str) -> Option<LessSafeKey> {
        let key = hmac::sign(&self.secret, state.as_bytes());
        UnboundKey::new(&AES_256_GCM, key.as_ref()).ok().map(LessSafeKey::new)
    }

    /// The cookie's value.
    pub(super) fn seal(&self, state: &str, flow: &Flow) -> Option<String> {
        let mut text = serde_json::to_vec(flow).ok()?;
        let (nonce, bound) = (Nonce::assume_unique_for_key([0; 12]), Aad::from(state.as_bytes()));
        self.key(state)?.seal_in_place_append_tag(nonce, bound, &mut text).ok()?;
        Some(URL_SAFE_NO_PAD.encode(text))
    }

    /// What was sealed for this state, and by nobody else.
    fn open(&self, state: &str, value: &str) -> Option<Flow> {
        let mut text = URL_SAFE_NO_PAD.decode(value).ok()?;
        let (nonce, bound) = (Nonce::assume_unique_for_key([0; 12]), Aad::from(state.as_bytes()));
        let key = self.key(state)?;
        let opened = key.open_in_place(nonce, bound, &mut text).ok()?;
        serde_json::from_slice(opened).ok()
    }

    /// The log-in that this browser began under this state.
    pub(super) fn read(&self, headers: &HeaderMap, state: &str) -> Option<Flow> {
        let value = cookie::value(headers, &self.name(state)).ok().flatten()?;
        self.open(state, value)
    }

    /// Names of cookies to take away before another log-in begins: those that are not ours, and the oldest of too many.
    pub(super) fn surplus(&self, headers: &HeaderMap) -> Vec<String> {
        let mut dated: Vec<(u64, String)> = cookie::beginning(headers, &self.prefix)
            .map(|(name, value)| {
                let state = name.strip_prefix(&self.prefix).unwrap_or_default();
                (self.open(state, value).map_or(0, |flow| flow.began), name.to_owned())
            })
            .collect();
        dated.sort_unstable();
        let over = (dated.len() + 1).saturating_sub(MOST);
        dated.truncate(over.max(dated.iter().filter(|(began, _)| *began == 0).count()));
        dated.into_iter().map(|(_, name)| name).collect()
    }
}

/// A name that nobody can guess, and that is no secret: the provider and its logs see it.
pub(super) fn state(random: [u8; 32]) -> String {
    URL_SAFE_NO_PAD.encode(random.first_chunk::<16>().unwrap_or(&[0; 16]))
}

/// Whether it could be one of those.
pub(super) fn is_state(text: &str) -> bool {
    text.len() == 22 && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use http::HeaderValue;
    use http::header::COOKIE;

    use super::*;

    fn sent(name: &str, value: &str) -> HeaderMap {
        let line = HeaderValue::try_from(format!("{name}={value}")).unwrap();
        [(COOKIE, line)].into_iter().collect()
    }

    fn flow(began: u64) -> Flow {
        Flow::new([1; 32], began, false, "/a".to_owned())
    }

    #[test]
    fn a_log_in_is_known_under_its_own_name_to_its_own_check_only() {
        let keys = Keys::derived(b"tests");
        let (web, other) = (Sealer::new(keys, "web", "__Host-s"), Sealer::new(keys, "other", "__Host-s"));
        let (one, two) = (state([1; 32]), state([2; 32]));
        assert!(is_state(&one) && !is_state("") && !is_state(&format!("{one}=")));
        let value = web.seal(&one, &flow(7)).unwrap();
        assert_eq!(web.read(&sent(&web.name(&one), &value), &one).unwrap().back, "/a");
        assert!(web.read(&sent(&web.name(&two), &value), &two).is_none(), "moved to another name");
        assert!(other.read(&sent(&web.name(&one), &value), &one).is_none(), "another check's");
        let mut forged = value.clone();
        let last = if value.ends_with('A') { "B" } else { "A" };
        forged.replace_range(value.len() - 2..value.len() - 1, last);
        assert!(web.read(&sent(&web.name(&one), &forged), &one).is_none());
        let twice = format!("{value}; {}={value}", web.name(&one));
        assert!(web.read(&sent(&web.name(&one), &twice), &one).is_none());
        assert!(!value.contains("began") && value.len() < 400, "{value}");
    }

    #[test]
    fn nonce_verifier_and_challenge_are_of_one_log_in() {
        let (one, other) = (flow(1), Flow::new([2; 32], 1, false, String::new()));
        let all = [one.nonce(), one.verifier(), one.challenge(), other.nonce(), other.verifier(), other.challenge()];
        for (index, text) in all.iter().enumerate() {
            assert_eq!(text.len(), 43);
            assert!(!all.iter().skip(index + 1).any(|other| other == text));
        }
        // RFC 7636, appendix B: the transformation.
        let digest = Sha256::digest("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk");
        assert_eq!(URL_SAFE_NO_PAD.encode(digest), "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM");
    }

    #[test]
    fn the_oldest_of_too_many_go_and_strangers_first() {
        let sealer = Sealer::new(Keys::derived(b"tests"), "web", "s");
        let mut headers = HeaderMap::new();
        for began in 1..=9u8 {
            let state = state([began; 32]);
            let value = sealer.seal(&state, &flow(u64::from(began))).unwrap();
            headers.append(COOKIE, sent(&sealer.name(&state), &value).remove(COOKIE).unwrap());
        }
        let gone = sealer.surplus(&headers);
        assert_eq!(gone, [sealer.name(&state([1; 32])), sealer.name(&state([2; 32]))]);
        let stranger = sent("s-login-x", "y");
        assert_eq!(sealer.surplus(&stranger), ["s-login-x"]);
        assert!(sealer.surplus(&sent("s", "y")).is_empty());
    }

    #[test]
    fn it_must_come_back_in_time() {
        let within = Duration::from_secs(600);
        assert!(!flow(1000).is_late(1600, within));
        assert!(flow(1000).is_late(1601, within));
        assert!(flow(5000).is_late(1000, within), "from a future that never was");
    }
}

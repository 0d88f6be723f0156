//! Security keys and passkeys: the questions that they are asked, what their answers change, and their forms. Whether an
//! answer is good is `webauthn`'s to say.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::header::ORIGIN;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::enrol::another;
use super::page::{Visit, lost};
use super::proof::{Outcome, tell};
use super::record::{Factors, KEPT, Proven, challenge_key};
use super::shown::{Halt, Shown, Step, To};
use super::webauthn::{ALGORITHMS, Brought, Expected, PublicKey, asserted, registered};
use super::{Check, Method};
use crate::checks::Turn;
use crate::decision::{Answer, Reason};
use crate::io::{Io, Space, StoreFault};
use crate::pages::form::Form;
use crate::request::Request;
use crate::stored::{self, Change};

/// How long a question waits for its answer.
const PATIENCE: Duration = Duration::from_secs(300);
/// Most keys of one user.
const MOST: usize = 16;
/// Longest name of a key, in characters.
const LONGEST: usize = 64;

/// A key that a user registered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Credential {
    id: String,
    public: PublicKey,
    /// Uses, as the key counts them; a key that does not count says 0.
    counter: u32,
    pub(super) name: String,
    /// Unix seconds.
    pub(super) since: u64,
}

impl Credential {
    pub(super) fn id(&self) -> &str {
        &self.id
    }
}

impl Check {
    /// A new question for this session, in place of one that was not answered.
    async fn challenge<I: Io>(&self, turn: &mut Turn<'_, '_, I>, visit: &Visit) -> Result<String, StoreFault> {
        let challenge = URL_SAFE_NO_PAD.encode(turn.io.random());
        let key = challenge_key(self.keys, &visit.user, visit.session.binding);
        turn.io.put(Space::Once, key, stored::encode(&challenge)?, PATIENCE).await?;
        Ok(challenge)
    }

    /// The question that waits; it is answered once.
    async fn asked<I: Io>(&self, turn: &mut Turn<'_, '_, I>, visit: &Visit) -> Result<Option<String>, StoreFault> {
        let key = challenge_key(self.keys, &visit.user, visit.session.binding);
        let Some(value) = turn.io.get(Space::Once, key).await? else { return Ok(None) };
        let mine = turn.io.swap(Space::Once, key, Some(&value), None, Duration::ZERO).await?;
        if mine { stored::decode(&value).map(Some) } else { Ok(None) }
    }

    fn party<'p>(&'p self, request: &Request<'p>) -> &'p str {
        self.relying_party.as_deref().unwrap_or(request.host)
    }

    fn expected<'e>(&'e self, request: &Request<'e>, challenge: &'e str) -> Expected<'e> {
        Expected {
            challenge,
            relying_party: self.party(request),
            host: request.host,
            origin: request.headers.get(ORIGIN).and_then(|origin| origin.to_str().ok()),
            verify_user: self.verify_user,
        }
    }

    fn verification(&self) -> &'static str {
        if self.verify_user { "required" } else { "preferred" }
    }

    /// What the page tells the browser of the keys that may answer; `None` when there are none.
    pub(super) async fn question<I: Io>(
        &self,
        turn: &mut Turn<'_, '_, I>,
        visit: &Visit,
        factors: &Factors,
    ) -> Result<Option<String>, StoreFault> {
        if !self.allows(Method::Webauthn) || factors.keys.is_empty() {
            return Ok(None);
        }
        let challenge = self.challenge(turn, visit).await?;
        let options = json!({
            "challenge": challenge,
            "rpId": self.party(turn.request),
            "allowCredentials": known(Some(factors)),
            "userVerification": self.verification(),
            "timeout": PATIENCE.as_millis() as u64,
        });
        Ok(Some(options.to_string()))
    }

    /// `GET mfa/key`.
    pub(super) async fn key_page<I: Io>(&self, turn: &mut Turn<'_, '_, I>, visit: &Visit) -> Step {
        self.keys_allowed()?;
        let factors = self.may_enrol(turn, visit, "/key").await?;
        self.key_form(turn, visit, factors.as_ref(), false).await
    }

    fn keys_allowed(&self) -> Result<(), Halt> {
        let allowed = self.allows(Method::Webauthn);
        allowed.then_some(()).ok_or_else(|| Halt::Answer(Answer::deny(Reason::NoRoute)))
    }

    async fn key_form<I: Io>(
        &self,
        turn: &mut Turn<'_, '_, I>,
        visit: &Visit,
        factors: Option<&Factors>,
        failed: bool,
    ) -> Step {
        let challenge = self.challenge(turn, visit).await.map_err(lost)?;
        let party = self.party(turn.request);
        let algorithms = ALGORITHMS.map(|number| json!({"type": "public-key", "alg": number}));
        let options = json!({
            "challenge": challenge,
            "rp": {"id": party, "name": self.issuer.as_deref().unwrap_or(party)},
            // Not the user's name: the key keeps it, and shows it to whoever holds it.
            "user": {
                "id": URL_SAFE_NO_PAD.encode(visit.factors.0.to_le_bytes()),
                "name": visit.user, "displayName": visit.user,
            },
            "pubKeyCredParams": algorithms,
            "excludeCredentials": known(factors),
            "authenticatorSelection": {"residentKey": "discouraged", "userVerification": self.verification()},
            "attestation": "none",
            "timeout": PATIENCE.as_millis() as u64,
        });
        Ok(Shown::NewKey { options: options.to_string(), failed })
    }

    /// `POST mfa/key`.
    pub(super) async fn add_key<I: Io>(
        &self,
        turn: &mut Turn<'_, '_, I>,
        visit: &Visit,
        form: &Form,
    ) -> Step {
        self.keys_allowed()?;
        let before = self.may_enrol(turn, visit, "/key").await?;
        let asked = self.asked(turn, visit).await.map_err(lost)?;
        let brought = Brought::read(form.value("answer"));
        let made = asked.zip(brought).and_then(|(asked, brought)| {
            registered(&brought, self.expected(turn.request, &asked))
        });
        let keys = before.as_ref().map_or(&[][..], |factors| &factors.keys);
        let made = made.filter(|made| keys.len() < MOST && keys.iter().all(|key| key.id != made.id));
        let Some(made) = made else {
            tell(turn, visit, "factor_failed", "registration of a key");
            return self.key_form(turn, visit, before.as_ref(), true).await;
        };
        let name: String = form.value("name").chars().filter(|letter| !letter.is_control()).take(LONGEST).collect();
        let name = if name.is_empty() { format!("#{}", keys.len() + 1) } else { name };
        let credential =
            Credential { id: made.id, public: made.public, counter: made.counter, name, since: visit.now };
        let put = |factors: &mut Factors| factors.keys.push(credential.clone());
        self.add(turn, visit, Proven::Key { verified: made.verified }, put).await
    }

    /// `POST mfa/key/verify`.
    pub(super) async fn verify_key<I: Io>(
        &self,
        turn: &mut Turn<'_, '_, I>,
        visit: &Visit,
        form: &Form,
    ) -> Step {
        self.keys_allowed()?;
        let Some(factors) = self.factors(turn, visit).await.map_err(lost)? else {
            return Ok(Shown::Go(To::Home));
        };
        if let Some(wait) = self.attempt(turn, visit, factors.proofs).await.map_err(lost)? {
            return self.ask_again(turn, visit, factors, Some(Outcome::Locked(wait))).await;
        }
        let asked = self.asked(turn, visit).await.map_err(lost)?;
        let brought = Brought::read(form.value("answer"));
        let used = asked.zip(brought).and_then(|(asked, brought)| {
            let key = factors.keys.iter().find(|key| key.id == brought.id)?;
            let answered = asserted(&brought, &key.public, self.expected(turn.request, &asked))?;
            Some((brought.id, answered))
        });
        let counted = match used {
            Some((id, answered)) => {
                let counted = self.counted(turn, visit, &id, answered.counter).await.map_err(lost)?;
                counted.map(|epoch| (epoch, Proven::Key { verified: answered.verified }))
            }
            None => None,
        };
        let Some((epoch, proven)) = counted else {
            tell(turn, visit, "factor_failed", "key");
            return self.ask_again(turn, visit, factors, Some(Outcome::Wrong)).await;
        };
        self.proven(turn, visit, epoch, proven).await.map_err(lost)?;
        tell(turn, visit, "factor_used", "webauthn");
        Ok(Shown::Go(To::Onward))
    }

    /// Keeps the key's counter. One that does not go up belongs to a copy of the key (WebAuthn, 6.1.1): refused.
    async fn counted<I: Io>(
        &self,
        turn: &mut Turn<'_, '_, I>,
        visit: &Visit,
        id: &str,
        counter: u32,
    ) -> Result<Option<u64>, StoreFault> {
        stored::update(turn.io, Space::Factor, visit.factors, |stored: Option<Factors>| {
            let Some(mut factors) = stored else { return (Change::Keep, None) };
            let Some(key) = factors.keys.iter_mut().find(|key| key.id == id) else { return (Change::Keep, None) };
            if (counter > 0 || key.counter > 0) && counter <= key.counter {
                return (Change::Keep, None);
            }
            key.counter = counter;
            factors.proofs = factors.proofs.wrapping_add(1);
            let epoch = factors.epoch;
            (Change::Put(factors, KEPT), Some(epoch))
        })
        .await
    }

    /// `POST mfa/key/remove`. The last factor goes by switching off, with a code. What other sessions proved is over: the
    /// key may be in somebody else's hands.
    pub(super) async fn remove_key<I: Io>(
        &self,
        turn: &mut Turn<'_, '_, I>,
        visit: &Visit,
        form: &Form,
    ) -> Step {
        self.keys_allowed()?;
        let Some(before) = self.may_enrol(turn, visit, "").await? else {
            return Ok(Shown::Go(To::Home));
        };
        let id = form.value("key");
        let number = another(turn.io.random());
        let removed = stored::update(turn.io, Space::Factor, visit.factors, |stored: Option<Factors>| {
            let Some(mut factors) = stored.filter(|now| now.epoch == before.epoch) else { return (Change::Keep, None) };
            let count = factors.keys.len();
            factors.keys.retain(|key| key.id != id);
            match (factors.keys.len() < count, factors.any()) {
                (false, _) => (Change::Keep, None),
                (true, false) => (Change::Keep, Some(false)),
                (true, true) => {
                    factors.epoch = number;
                    (Change::Put(factors, KEPT), Some(true))
                }
            }
        });
        match removed.await.map_err(lost)? {
            Some(true) => {
                self.carry(turn, visit, (before.epoch, number)).await.map_err(lost)?;
                tell(turn, visit, "factor_removed", "webauthn");
            }
            Some(false) => return Ok(Shown::Go(To::Off)),
            None => return Ok(Shown::Go(To::Home)),
        }
        Ok(Shown::Removed)
    }
}

/// The keys that there are, as browsers name them.
fn known(factors: Option<&Factors>) -> Vec<serde_json::Value> {
    let keys = factors.map_or(&[][..], |factors| &factors.keys);
    keys.iter().map(|key| json!({"type": "public-key", "id": key.id})).collect()
}

//! Enrolling an app, and making backup codes. A set-up counts only once a code of it was entered, in the session that
//! began it; who has a factor already must have proven it, or a stolen session would add its own.

use super::page::{Visit, lost, typed};
use super::proof::{Outcome, tell};
use super::record::{Factors, KEPT, Pending, Proof, Proven, attempt_key, pending_key};
use super::shown::{Halt, Shown, Step, To, Wrong};
use super::totp::Totp;
use super::{Check, Method, codes};
use crate::checks::Turn;
use crate::decision::{Answer, Reason};
use crate::io::{Io, Space, StoreFault};
use crate::pages::form::Form;
use crate::stored::{self, Change};

/// Seconds within which the same form may come twice: somebody clicked twice.
const TWICE: u64 = 30;

impl Check {
    /// What there is already; who has something and has not proven it lately goes and does that first.
    pub(super) async fn may_enrol<I: Io>(
        &self,
        turn: &mut Turn<'_, '_, I>,
        visit: &Visit,
        page: &'static str,
    ) -> Result<Option<Factors>, Halt> {
        let Some(factors) = self.factors(turn, visit).await.map_err(lost)? else { return Ok(None) };
        if self.recently(turn, visit, &factors, self.fresh).await.map_err(lost)? {
            return Ok(Some(factors));
        }
        Err(Halt::Shown(Box::new(Shown::Go(To::Ask(page)))))
    }

    /// `GET mfa/enrol`.
    pub(super) async fn enrol_page<I: Io>(&self, turn: &mut Turn<'_, '_, I>, visit: &Visit) -> Step {
        self.app_allowed()?;
        self.may_enrol(turn, visit, "/enrol").await?;
        self.set_up(turn, visit, None).await
    }

    fn app_allowed(&self) -> Result<(), Halt> {
        let allowed = self.allows(Method::Totp);
        allowed.then_some(()).ok_or_else(|| Halt::Answer(Answer::deny(Reason::NoRoute)))
    }

    /// The page with the secret that waits for its first code.
    async fn set_up<I: Io>(
        &self,
        turn: &mut Turn<'_, '_, I>,
        visit: &Visit,
        wrong: Option<Wrong>,
    ) -> Step {
        let totp = self.pending(turn, visit).await.map_err(lost)?;
        let issuer = self.issuer.as_deref().unwrap_or(turn.request.host);
        Ok(Shown::SetUp {
            address: totp.address(issuer, &visit.user),
            secret: totp.secret().to_owned(),
            digits: totp.digits,
            wrong,
        })
    }

    /// The session's set-up; begun when there is none.
    async fn pending<I: Io>(&self, turn: &mut Turn<'_, '_, I>, visit: &Visit) -> Result<Totp, StoreFault> {
        let key = pending_key(self.keys, &visit.user, visit.session.binding);
        if let Some(known) = stored::get::<Pending, _>(turn.io, Space::Factor, key).await? {
            return Ok(known.totp);
        }
        let random = turn.io.random();
        let made = Pending { totp: Totp::new(&random, self.algorithm, self.digits, visit.now) };
        let value = stored::encode(&made)?;
        if turn.io.swap(Space::Factor, key, None, Some(value), self.set_up).await? {
            return Ok(made.totp);
        }
        let other: Option<Pending> = stored::get(turn.io, Space::Factor, key).await?;
        other.map(|other| other.totp).ok_or(StoreFault::Slow)
    }

    /// `POST mfa/enrol`.
    pub(super) async fn enrol<I: Io>(
        &self,
        turn: &mut Turn<'_, '_, I>,
        visit: &Visit,
        form: &Form,
    ) -> Step {
        self.app_allowed()?;
        let before = self.may_enrol(turn, visit, "/enrol").await?;
        let proofs = before.as_ref().map_or(0, |factors| factors.proofs);
        if let Some(wait) = self.attempt(turn, visit, proofs).await.map_err(lost)? {
            return self.set_up(turn, visit, Some(Wrong::Code(Outcome::Locked(wait)))).await;
        }
        let key = pending_key(self.keys, &visit.user, visit.session.binding);
        let Some(value) = turn.io.get(Space::Factor, key).await.map_err(lost)? else {
            let app = before.and_then(|factors| factors.totp);
            if app.is_some_and(|app| visit.now.saturating_sub(app.since) < TWICE) {
                return Ok(Shown::Go(To::Onward));
            }
            return self.set_up(turn, visit, Some(Wrong::Late)).await;
        };
        let Pending { mut totp } = stored::decode(&value).map_err(lost)?;
        if !totp.accept(&typed(form.value("code")), visit.now) {
            tell(turn, visit, "factor_failed", "set-up");
            return self.set_up(turn, visit, Some(Wrong::Code(Outcome::Wrong))).await;
        }
        // Of two that end the same set-up one is too late.
        let ended = turn.io.swap(Space::Factor, key, Some(&value), None, std::time::Duration::ZERO);
        if !ended.await.map_err(lost)? {
            return self.set_up(turn, visit, Some(Wrong::Late)).await;
        }
        totp.since = visit.now;
        let put = |factors: &mut Factors| factors.totp = Some(totp.clone());
        self.add(turn, visit, Proven::Totp, put).await
    }

    /// Adds a factor that was proven to work, and shows backup codes if there are none yet.
    pub(super) async fn add<I: Io>(
        &self,
        turn: &mut Turn<'_, '_, I>,
        visit: &Visit,
        proven: Proven,
        put: impl Fn(&mut Factors) + Send + Sync,
    ) -> Step {
        let proof: Option<Proof> = stored::get(turn.io, Space::Once, visit.proofs).await.map_err(lost)?;
        let (number, random) = (another(turn.io.random()), [turn.io.random(), turn.io.random(), turn.io.random()]);
        // Made once, however often others come first.
        let mut made = None;
        let added = stored::update(turn.io, Space::Factor, visit.factors, |stored: Option<Factors>| {
            let mut factors = stored.unwrap_or_default();
            let fresh = |proof: &Proof| {
                proof.epoch == factors.epoch && proof.is_fresh(self.counts(), self.fresh, visit.now)
            };
            // Another session may have enrolled since the page was shown.
            if factors.any() && !proof.as_ref().is_some_and(fresh) {
                return (Change::Keep, None);
            }
            let replaces = proven == Proven::Totp && factors.totp.is_some();
            if replaces || !factors.any() {
                factors.epoch = number;
            }
            put(&mut factors);
            factors.proofs = factors.proofs.wrapping_add(1);
            let mut shown = Vec::new();
            if self.allows(Method::BackupCode) && factors.codes.left() == 0 {
                let made = made.get_or_insert_with(|| codes::make(&self.pepper.0, random));
                (factors.codes, shown) = made.clone();
            }
            let epoch = factors.epoch;
            (Change::Put(factors, KEPT), Some((epoch, shown)))
        });
        let Some((epoch, shown)) = added.await.map_err(lost)? else {
            return Ok(Shown::Go(To::Home));
        };
        self.proven(turn, visit, epoch, proven).await.map_err(lost)?;
        let word = if proven == Proven::Totp { "totp" } else { "webauthn" };
        tell(turn, visit, "factor_enrolled", word);
        let method = if proven == Proven::Totp { Method::Totp } else { Method::Webauthn };
        Ok(match shown.is_empty() {
            true => Shown::Enrolled(method),
            false => Shown::Codes { done: Some(method), codes: shown },
        })
    }

    /// `POST mfa/codes`: ten others in place of what is left. What other sessions proved is over: whoever asks for new ones
    /// may have lost the old.
    pub(super) async fn new_codes<I: Io>(&self, turn: &mut Turn<'_, '_, I>, visit: &Visit) -> Step {
        if !self.allows(Method::BackupCode) {
            return Err(Halt::Answer(Answer::deny(Reason::NoRoute)));
        }
        let Some(before) = self.may_enrol(turn, visit, "").await? else {
            return Ok(Shown::Go(To::Home));
        };
        let key = attempt_key(self.keys, &visit.user, None, 0);
        let standing = turn.io.count(&self.making, key, 1).await.map_err(lost)?;
        if !standing.allowed {
            let wait = standing.retry_after();
            tell(turn, visit, "factor_locked", format!("backup codes for {wait} s"));
            return Ok(Shown::Wait(wait));
        }
        let number = another(turn.io.random());
        let random = [turn.io.random(), turn.io.random(), turn.io.random()];
        let (made, shown) = codes::make(&self.pepper.0, random);
        let put = stored::update(turn.io, Space::Factor, visit.factors, |stored: Option<Factors>| match stored {
            Some(mut factors) if factors.epoch == before.epoch => {
                factors.codes = made.clone();
                factors.epoch = number;
                (Change::Put(factors, KEPT), true)
            }
            Some(_) | None => (Change::Keep, false),
        });
        if !put.await.map_err(lost)? {
            return Ok(Shown::Go(To::Home));
        }
        self.carry(turn, visit, (before.epoch, number)).await.map_err(lost)?;
        tell(turn, visit, "backup_codes_made", "10");
        Ok(Shown::Codes { done: None, codes: shown })
    }
}

/// A number that no factors had before.
pub(super) fn another(random: [u8; 32]) -> u64 {
    random.first_chunk().map_or(1, |bytes| u64::from_le_bytes(*bytes).max(1))
}

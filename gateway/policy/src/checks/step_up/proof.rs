//! Proving a factor: attempts are counted before anything is compared, what is accepted is used up in the same change that
//! accepts it, and the session remembers when.

use super::page::Visit;
use super::record::{Factors, KEPT, Proof, Proven, attempt_key};
use super::{Check, Method, codes};
use crate::checks::Turn;
use crate::decision::Told;
use crate::io::{Io, Space, StoreFault};
use crate::stored::{self, Change};

/// Longest time that a proof is kept: as long as `fresh` may be.
const PROVEN: std::time::Duration = std::time::Duration::from_secs(86_400);

/// What came of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    Proven,
    Wrong,
    /// Seconds until another attempt is heard.
    Locked(u32),
}

/// Tells that something happened.
pub(super) fn tell<I>(turn: &mut Turn<'_, '_, I>, visit: &Visit, event: &'static str, detail: impl Into<String>) {
    let told = Told { event, check: turn.id, user: Some(visit.user.clone()), detail: detail.into() };
    turn.effects.told.push(told);
}

impl Check {
    /// Counts an attempt; the seconds to wait when there were too many. Parallel guesses are counted like any others, since
    /// nothing has been compared yet.
    pub(super) async fn attempt<I: Io>(
        &self,
        turn: &mut Turn<'_, '_, I>,
        visit: &Visit,
        proofs: u64,
    ) -> Result<Option<u32>, StoreFault> {
        let [session, user] = &self.limits;
        for (limits, whose) in [(session, Some(visit.session.binding)), (user, None)] {
            let key = attempt_key(self.keys, &visit.user, whose, proofs);
            for limit in limits {
                let standing = turn.io.count(limit, key, 1).await?;
                if !standing.allowed {
                    tell(turn, visit, "factor_locked", format!("for {} s", standing.retry_after()));
                    return Ok(Some(standing.retry_after()));
                }
            }
        }
        Ok(None)
    }

    /// Judges a code: of the app, or a backup code.
    pub(super) async fn prove<I: Io>(
        &self,
        turn: &mut Turn<'_, '_, I>,
        visit: &Visit,
        code: &str,
    ) -> Result<Outcome, StoreFault> {
        let proofs = self.factors(turn, visit).await?.map_or(0, |factors| factors.proofs);
        if let Some(wait) = self.attempt(turn, visit, proofs).await? {
            return Ok(Outcome::Locked(wait));
        }
        let key = visit.factors;
        let judged = stored::update(turn.io, Space::Factor, key, |stored: Option<Factors>| {
            let Some(mut factors) = stored else { return (Change::Keep, None) };
            let Some(proven) = self.accepted(&mut factors, code, visit.now) else { return (Change::Keep, None) };
            factors.proofs = factors.proofs.wrapping_add(1);
            let judged = (proven, factors.epoch, factors.codes.left());
            (Change::Put(factors, KEPT), Some(judged))
        });
        let Some((proven, epoch, left)) = judged.await? else {
            tell(turn, visit, "factor_failed", "code");
            return Ok(Outcome::Wrong);
        };
        self.proven(turn, visit, epoch, proven).await?;
        match proven {
            Proven::Code => tell(turn, visit, "backup_code_used", format!("{left} left")),
            Proven::Totp | Proven::Key { .. } => tell(turn, visit, "factor_used", "totp"),
        }
        Ok(Outcome::Proven)
    }

    /// What the code proves; it is used up in `factors` then.
    fn accepted(&self, factors: &mut Factors, code: &str, now: u64) -> Option<Proven> {
        let allowed = |method| self.methods.contains(&method);
        if allowed(Method::Totp) && factors.totp.as_mut().is_some_and(|totp| totp.accept(code, now)) {
            return Some(Proven::Totp);
        }
        let backup = allowed(Method::BackupCode) && codes::is_one(code) && factors.codes.take(&self.pepper.0, code);
        backup.then_some(Proven::Code)
    }

    /// The session remembers a proof.
    pub(super) async fn proven<I: Io>(
        &self,
        turn: &mut Turn<'_, '_, I>,
        visit: &Visit,
        epoch: u64,
        proven: Proven,
    ) -> Result<(), StoreFault> {
        stored::update(turn.io, Space::Once, visit.proofs, |before: Option<Proof>| {
            let proof = Proof::with(before, epoch, proven, visit.now);
            (Change::Put(proof, PROVEN), ())
        })
        .await
    }

    /// This session's proof goes on when it changed the factors, and all others end.
    pub(super) async fn carry<I: Io>(
        &self,
        turn: &mut Turn<'_, '_, I>,
        visit: &Visit,
        (from, to): (u64, u64),
    ) -> Result<(), StoreFault> {
        stored::update(turn.io, Space::Once, visit.proofs, |before: Option<Proof>| {
            match before.and_then(|proof| proof.carried(from, to)) {
                Some(proof) => (Change::Put(proof, PROVEN), ()),
                None => (Change::Keep, ()),
            }
        })
        .await
    }

    /// What a proof must be of to count here.
    pub(super) fn counts(&self) -> (&[Method], bool) {
        (&self.methods, self.verify_user)
    }

    /// What the visitor enrolled, if anything.
    pub(super) async fn factors<I: Io>(
        &self,
        turn: &mut Turn<'_, '_, I>,
        visit: &Visit,
    ) -> Result<Option<Factors>, StoreFault> {
        let factors: Option<Factors> = stored::get(turn.io, Space::Factor, visit.factors).await?;
        Ok(factors.filter(Factors::any))
    }

    /// Whether this session proved one of these factors within that many seconds.
    pub(super) async fn recently<I: Io>(
        &self,
        turn: &mut Turn<'_, '_, I>,
        visit: &Visit,
        factors: &Factors,
        within: u64,
    ) -> Result<bool, StoreFault> {
        let proof: Option<Proof> = stored::get(turn.io, Space::Once, visit.proofs).await?;
        let holds = |proof: Proof| proof.epoch == factors.epoch && proof.is_fresh(self.counts(), within, visit.now);
        Ok(proof.is_some_and(holds))
    }
}

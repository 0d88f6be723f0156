//! Visits: who comes, which page, and what a form on it does. How what comes of it is shown is `shown`'s to say, and `json`'s
//! where a program asks.

use http::Method as Verb;

use super::proof::{Outcome, tell};
use super::record::{Factors, proof_key, user_key};
use super::shown::{Halt, Shown, Step, To};
use super::{Check, Method};
use crate::asker;
use crate::checks::Turn;
use crate::decision::{Answer, Reason, Reply};
use crate::io::{Io, Key, Space, StoreFault};
use crate::pages::form::Form;
use crate::pages::mfa::Ways;
use crate::pages::text::Text;
use crate::pages::language;
use crate::request::Session;
use crate::stored::{self, Change};

/// Seconds that a key may have been used ago for switching everything off: where there is a code, it is asked for.
const JUST_NOW: u64 = 120;

/// Who visits a page of ours.
#[derive(Debug)]
pub(super) struct Visit {
    pub(super) user: String,
    pub(super) required: bool,
    pub(super) session: Session,
    pub(super) text: &'static Text,
    /// Where to go afterwards; empty: nowhere in particular.
    pub(super) back: String,
    pub(super) token: String,
    /// A program asks: it is told in JSON.
    pub(super) json: bool,
    /// Unix seconds.
    pub(super) now: u64,
    /// Where the visitor's factors are kept.
    pub(super) factors: Key,
    /// Where this session's proofs are kept.
    pub(super) proofs: Key,
}

/// No answer from the store: no page.
pub(super) fn lost(_: StoreFault) -> Halt {
    Halt::Answer(Answer::deny(Reason::StoreUnavailable))
}

/// As it is compared: digits however they were typed (also in full width, as Japanese keyboards do), nothing between.
pub(super) fn typed(code: &str) -> String {
    let plain = |letter: char| match letter {
        '０'..='９' => char::from_u32(letter as u32 - '０' as u32 + '0' as u32),
        letter if letter.is_whitespace() || letter == '-' => None,
        letter => Some(letter.to_ascii_lowercase()),
    };
    code.chars().filter_map(plain).collect()
}

impl Check {
    pub(super) async fn serve<I: Io>(&self, turn: &mut Turn<'_, '_, I>, rest: &str) -> Answer {
        self.visited(turn, rest).await.map_or_else(|answer| answer, Answer::Reply)
    }

    async fn visited<I: Io>(&self, turn: &mut Turn<'_, '_, I>, rest: &str) -> Result<Reply, Answer> {
        let posted = match *turn.request.method {
            Verb::GET | Verb::HEAD => false,
            Verb::POST => true,
            _ => return Err(Answer::deny(Reason::BadMethod)),
        };
        let form = if posted { Form::read(turn).await? } else { Form::default() };
        let visit = self.visit(turn, &form, posted)?;
        let shown = match self.step(turn, &visit, &form, rest).await {
            Ok(shown) => shown,
            Err(Halt::Shown(shown)) => *shown,
            Err(Halt::Answer(answer)) => return Err(answer),
        };
        Ok(match visit.json {
            true => self.told(turn.request.id, &visit, shown),
            false => self.page_of(&visit, shown),
        })
    }

    async fn step<I: Io>(&self, turn: &mut Turn<'_, '_, I>, visit: &Visit, form: &Form, rest: &str) -> Step {
        let posted = *turn.request.method == Verb::POST;
        let token = form.value("token");
        let admitted = match visit.json {
            _ if !posted => true,
            true => self.guard.admits_script(turn.request, &visit.session, token),
            false => self.guard.admits(turn.request, &visit.session, token),
        };
        if !admitted {
            return Ok(Shown::Stale);
        }
        let page = rest.strip_prefix("mfa").unwrap_or_default().trim_end_matches('/');
        match (posted, page) {
            (false, "") if visit.json => self.status(turn, visit).await,
            (false, "") => self.home(turn, visit).await,
            (true, "") => self.verify(turn, visit, form).await,
            (false, "/enrol") => self.enrol_page(turn, visit).await,
            (true, "/enrol") => self.enrol(turn, visit, form).await,
            (true, "/codes") => self.new_codes(turn, visit).await,
            (false, "/off") => self.off_page(turn, visit).await,
            (true, "/off") => self.off(turn, visit, form).await,
            (false, "/key") => self.key_page(turn, visit).await,
            (true, "/key") => self.add_key(turn, visit, form).await,
            (true, "/key/verify") => self.verify_key(turn, visit, form).await,
            (true, "/key/remove") => self.remove_key(turn, visit, form).await,
            _ => Err(Halt::Answer(Answer::deny(Reason::NoRoute))),
        }
    }

    fn visit<I: Io>(&self, turn: &Turn<'_, '_, I>, form: &Form, posted: bool) -> Result<Visit, Answer> {
        let (Some(identity), Some(session)) = (&turn.facts.identity, turn.facts.session) else {
            return Err(Answer::deny(Reason::SecondFactorRequired));
        };
        let asked = turn.request.query.unwrap_or_default();
        let mut asked = form_urlencoded::parse(asked.as_bytes()).filter(|(name, _)| name == "return");
        let back = match posted {
            true => form.value("return").to_owned(),
            false => asked.next().map_or_else(String::new, |(_, back)| back.into_owned()),
        };
        Ok(Visit {
            required: self.requires(identity),
            session,
            text: language::of(turn.request.headers),
            back: if asker::is_local(&back) { back } else { String::new() },
            token: self.guard.token(&session),
            now: turn.io.now().unix / 1000,
            factors: user_key(self.keys, &identity.user),
            proofs: proof_key(self.keys, &identity.user, session.binding),
            user: identity.user.clone(),
            json: if posted { form.is_json() } else { asker::wants_json(turn.request.headers) },
        })
    }

    pub(super) fn allows(&self, method: Method) -> bool {
        self.methods.contains(&method)
    }

    /// `GET mfa`: confirm, or look at what there is, or enrol.
    async fn home<I: Io>(&self, turn: &mut Turn<'_, '_, I>, visit: &Visit) -> Step {
        let Some(factors) = self.factors(turn, visit).await.map_err(lost)? else {
            return Ok(Shown::Go(To::Enrol));
        };
        // Whoever is sent here is asked, also when a proof is known: it was not fresh enough for that route.
        let known = self.recently(turn, visit, &factors, self.fresh).await.map_err(lost)?;
        if visit.back.is_empty() && known {
            return Ok(Shown::Home(factors));
        }
        self.ask_again(turn, visit, factors, None).await
    }

    /// The same for a program: what there is, and what would be asked.
    async fn status<I: Io>(&self, turn: &mut Turn<'_, '_, I>, visit: &Visit) -> Step {
        let Some(factors) = self.factors(turn, visit).await.map_err(lost)? else {
            return Ok(Shown::Nothing);
        };
        if self.recently(turn, visit, &factors, self.fresh).await.map_err(lost)? {
            return Ok(Shown::Home(factors));
        }
        self.ask_again(turn, visit, factors, None).await
    }

    /// Asks for a proof, and says what was wrong with the last one.
    pub(super) async fn ask_again<I: Io>(
        &self,
        turn: &mut Turn<'_, '_, I>,
        visit: &Visit,
        factors: Factors,
        wrong: Option<Outcome>,
    ) -> Step {
        let keys = self.question(turn, visit, &factors).await.map_err(lost)?;
        Ok(Shown::Ask { factors, keys, wrong })
    }

    /// The ways that need no script.
    pub(super) fn ways(&self, factors: &Factors) -> Ways<'static> {
        let totp = factors.totp.as_ref().filter(|_| self.allows(Method::Totp));
        Ways {
            app: totp.map(|totp| totp.digits),
            backup: self.allows(Method::BackupCode) && factors.codes.left() > 0,
            keys: None,
        }
    }

    /// `POST mfa`.
    async fn verify<I: Io>(&self, turn: &mut Turn<'_, '_, I>, visit: &Visit, form: &Form) -> Step {
        let outcome = self.prove(turn, visit, &typed(form.value("code"))).await.map_err(lost)?;
        if outcome == Outcome::Proven {
            return Ok(Shown::Go(To::Onward));
        }
        match self.factors(turn, visit).await.map_err(lost)? {
            Some(factors) => self.ask_again(turn, visit, factors, Some(outcome)).await,
            None => Ok(Shown::Go(To::Home)),
        }
    }

    /// `GET mfa/off`.
    async fn off_page<I: Io>(&self, turn: &mut Turn<'_, '_, I>, visit: &Visit) -> Step {
        let Some(factors) = self.factors(turn, visit).await.map_err(lost)? else {
            return Ok(Shown::Go(To::Home));
        };
        let ways = self.ways(&factors);
        let by_key = ways.app.is_none() && !ways.backup;
        if by_key && !self.recently(turn, visit, &factors, JUST_NOW).await.map_err(lost)? {
            return Ok(Shown::Go(To::Ask("/off")));
        }
        Ok(Shown::Off { factors, wrong: None })
    }

    /// `POST mfa/off`: everything goes, with a code that is used for this alone.
    async fn off<I: Io>(&self, turn: &mut Turn<'_, '_, I>, visit: &Visit, form: &Form) -> Step {
        let Some(factors) = self.factors(turn, visit).await.map_err(lost)? else {
            return Ok(Shown::Go(To::Home));
        };
        let ways = self.ways(&factors);
        let outcome = if ways.app.is_some() || ways.backup {
            self.prove(turn, visit, &typed(form.value("code"))).await.map_err(lost)?
        } else if self.recently(turn, visit, &factors, JUST_NOW).await.map_err(lost)? {
            Outcome::Proven
        } else {
            return Ok(Shown::Go(To::Ask("/off")));
        };
        if outcome != Outcome::Proven {
            return Ok(Shown::Off { factors, wrong: Some(outcome) });
        }
        let removed = stored::update(turn.io, Space::Factor, visit.factors, |stored: Option<Factors>| {
            // What was enrolled anew meanwhile is not what was proven.
            match stored {
                Some(now) if now.epoch == factors.epoch => (Change::Remove, ()),
                Some(_) | None => (Change::Keep, ()),
            }
        });
        removed.await.map_err(lost)?;
        turn.io.remove(Space::Once, visit.proofs).await.map_err(lost)?;
        tell(turn, visit, "factor_reset", "by the user");
        Ok(Shown::OffDone)
    }
}

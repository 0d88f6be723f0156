//! The pages: who visits, which page, and what a form on it does. What is on a page is `pages::mfa`'s.

use http::header::RETRY_AFTER;
use http::{HeaderValue, Method as Verb, StatusCode};

use super::proof::{Outcome, tell};
use super::record::{Factors, proof_key, user_key};
use super::{Check, Method};
use crate::asker;
use crate::checks::Turn;
use crate::decision::{Action, Answer, Reason, Reply};
use crate::io::{Io, Key, Space, StoreFault};
use crate::pages::form::Form;
use crate::pages::mfa::{self, Enrolled, View, Ways, with_return};
use crate::pages::text::{Text, filled};
use crate::pages::{self, language};
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
    token: String,
    /// Unix seconds.
    pub(super) now: u64,
    /// Where the visitor's factors are kept.
    pub(super) factors: Key,
    /// Where this session's proofs are kept.
    pub(super) proofs: Key,
}

/// No answer from the store: no page.
pub(super) fn lost(_: StoreFault) -> Answer {
    Answer::deny(Reason::StoreUnavailable)
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

/// The user goes on.
pub(super) fn go(to: &str) -> Reply {
    Reply { action: Action::Allow, ..Reply::see_other(Reason::Ok, to) }
}

impl Check {
    pub(super) async fn serve<I: Io>(&self, turn: &mut Turn<'_, '_, I>, rest: &str) -> Answer {
        match self.visited(turn, rest).await {
            Ok(reply) => {
                pages::insist(&reply, turn.effects);
                Answer::Reply(reply)
            }
            Err(answer) => answer,
        }
    }

    async fn visited<I: Io>(&self, turn: &mut Turn<'_, '_, I>, rest: &str) -> Result<Reply, Answer> {
        let posted = match *turn.request.method {
            Verb::GET | Verb::HEAD => false,
            Verb::POST => true,
            _ => return Err(Answer::deny(Reason::BadMethod)),
        };
        let form = if posted { Form::read(turn).await? } else { Form::default() };
        let visit = self.visit(turn, &form, posted)?;
        if posted && !self.guard.admits(turn.request, &visit.session, form.value("token")) {
            return Ok(self.stale(&visit));
        }
        let page = rest.strip_prefix("mfa").unwrap_or_default().trim_end_matches('/');
        match (posted, page) {
            (false, "") => self.home(turn, &visit).await,
            (true, "") => self.verify(turn, &visit, &form).await,
            (false, "/enrol") => self.enrol_page(turn, &visit).await,
            (true, "/enrol") => self.enrol(turn, &visit, &form).await,
            (true, "/codes") => self.new_codes(turn, &visit).await,
            (false, "/off") => self.off_page(turn, &visit).await,
            (true, "/off") => self.off(turn, &visit, &form).await,
            (false, "/key") => self.key_page(turn, &visit).await,
            (true, "/key") => self.add_key(turn, &visit, &form).await,
            (true, "/key/verify") => self.verify_key(turn, &visit, &form).await,
            (true, "/key/remove") => self.remove_key(turn, &visit, &form).await,
            _ => Err(Answer::deny(Reason::NoRoute)),
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
        })
    }

    pub(super) fn view<'v>(&'v self, visit: &'v Visit, problem: Option<String>) -> View<'v> {
        View { text: visit.text, base: &self.pages, token: &visit.token, back: &visit.back, problem }
    }

    pub(super) fn allows(&self, method: Method) -> bool {
        self.methods.contains(&method)
    }

    /// The address of a page of ours that leads back to where the visitor wanted to go.
    pub(super) fn address(&self, to: &str, back: &str) -> String {
        with_return(&self.pages, to, back)
    }

    /// A form that was shown in another session, or by somebody else's page.
    fn stale(&self, visit: &Visit) -> Reply {
        let view = self.view(visit, Some(visit.text.stale.to_owned()));
        mfa::notice(&view, visit.text.home_title, "").reply(Reason::FormStale, StatusCode::FORBIDDEN)
    }

    /// `GET mfa`: confirm, or look at what there is, or enrol.
    async fn home<I: Io>(&self, turn: &mut Turn<'_, '_, I>, visit: &Visit) -> Result<Reply, Answer> {
        let Some(factors) = self.factors(turn, visit).await.map_err(lost)? else {
            let to = if self.allows(Method::Totp) { "/enrol" } else { "/key" };
            return Ok(go(&self.address(to, &visit.back)));
        };
        // Whoever is sent here is asked, also when a proof is known: it was not fresh enough for that route.
        let known = self.recently(turn, visit, &factors, self.fresh).await.map_err(lost)?;
        if visit.back.is_empty() && known {
            let page = mfa::home(&self.view(visit, None), &self.enrolled(&factors));
            return Ok(page.reply(Reason::Ok, StatusCode::OK));
        }
        self.ask_again(turn, visit, &factors, None).await
    }

    /// The page that asks for a proof, with what was wrong with the last one.
    pub(super) async fn ask_again<I: Io>(
        &self,
        turn: &mut Turn<'_, '_, I>,
        visit: &Visit,
        factors: &Factors,
        wrong: Option<Outcome>,
    ) -> Result<Reply, Answer> {
        let keys = self.question(turn, visit, factors).await.map_err(lost)?;
        let ways = Ways { keys: keys.as_deref(), ..self.ways(factors) };
        let page = |problem| mfa::verify(&self.view(visit, problem), ways);
        Ok(judged(visit, wrong, page))
    }

    /// The ways that need no script.
    fn ways(&self, factors: &Factors) -> Ways<'static> {
        let totp = factors.totp.as_ref().filter(|_| self.allows(Method::Totp));
        Ways {
            app: totp.map(|totp| totp.digits),
            backup: self.allows(Method::BackupCode) && factors.codes.left() > 0,
            keys: None,
        }
    }

    fn enrolled(&self, factors: &Factors) -> Enrolled {
        let since = |unix: u64| {
            let moment = i64::try_from(unix).ok().and_then(|unix| jiff::Timestamp::from_second(unix).ok());
            moment.map_or_else(String::new, |moment| moment.strftime("%Y-%m-%d").to_string())
        };
        let keys = factors.keys.iter().map(|key| (key.id().to_owned(), key.name.clone(), since(key.since)));
        Enrolled {
            app: self.allows(Method::Totp).then(|| factors.totp.as_ref().map(|totp| since(totp.since))),
            keys: self.allows(Method::Webauthn).then(|| keys.collect()),
            backup: self.allows(Method::BackupCode).then(|| factors.codes.left()),
        }
    }

    /// `POST mfa`.
    async fn verify<I: Io>(&self, turn: &mut Turn<'_, '_, I>, visit: &Visit, form: &Form) -> Result<Reply, Answer> {
        let outcome = self.prove(turn, visit, &typed(form.value("code"))).await.map_err(lost)?;
        if outcome == Outcome::Proven {
            return Ok(self.onward(visit));
        }
        match self.factors(turn, visit).await.map_err(lost)? {
            Some(factors) => self.ask_again(turn, visit, &factors, Some(outcome)).await,
            None => Ok(go(&self.address("", &visit.back))),
        }
    }

    pub(super) fn onward(&self, visit: &Visit) -> Reply {
        match visit.back.as_str() {
            "" => go(&self.address("", "")),
            back => go(back),
        }
    }

    /// `GET mfa/off`.
    async fn off_page<I: Io>(&self, turn: &mut Turn<'_, '_, I>, visit: &Visit) -> Result<Reply, Answer> {
        let Some(factors) = self.factors(turn, visit).await.map_err(lost)? else {
            return Ok(go(&self.address("", &visit.back)));
        };
        let ways = self.ways(&factors);
        let by_key = ways.app.is_none() && !ways.backup;
        if by_key && !self.recently(turn, visit, &factors, JUST_NOW).await.map_err(lost)? {
            return Ok(go(&self.address("", &self.address("/off", &visit.back))));
        }
        let page = mfa::off(&self.view(visit, None), ways, visit.required);
        Ok(page.reply(Reason::Ok, StatusCode::OK))
    }

    /// `POST mfa/off`: everything goes, with a code that is used for this alone.
    async fn off<I: Io>(&self, turn: &mut Turn<'_, '_, I>, visit: &Visit, form: &Form) -> Result<Reply, Answer> {
        let Some(factors) = self.factors(turn, visit).await.map_err(lost)? else {
            return Ok(go(&self.address("", &visit.back)));
        };
        let ways = self.ways(&factors);
        let outcome = if ways.app.is_some() || ways.backup {
            self.prove(turn, visit, &typed(form.value("code"))).await.map_err(lost)?
        } else if self.recently(turn, visit, &factors, JUST_NOW).await.map_err(lost)? {
            Outcome::Proven
        } else {
            return Ok(go(&self.address("", &self.address("/off", &visit.back))));
        };
        if outcome != Outcome::Proven {
            let page = |problem| mfa::off(&self.view(visit, problem), ways, visit.required);
            return Ok(judged(visit, Some(outcome), page));
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
        let page = mfa::notice(&self.view(visit, None), visit.text.off_title, visit.text.off_done);
        Ok(page.reply(Reason::Ok, StatusCode::OK))
    }
}

/// The page again, with what was wrong.
pub(super) fn judged(
    visit: &Visit,
    wrong: Option<Outcome>,
    page: impl FnOnce(Option<String>) -> pages::Page,
) -> Reply {
    match wrong {
        None | Some(Outcome::Proven) => page(None).reply(Reason::Ok, StatusCode::OK),
        Some(Outcome::Wrong) => {
            let page = page(Some(visit.text.wrong.to_owned()));
            page.reply(Reason::SecondFactorFailed, StatusCode::FORBIDDEN)
        }
        Some(Outcome::Locked(seconds)) => {
            let minutes = seconds.div_ceil(60).to_string();
            let page = page(Some(filled(visit.text.locked, "{minutes}", &minutes)));
            let mut reply = page.reply(Reason::SecondFactorLocked, StatusCode::TOO_MANY_REQUESTS);
            reply.headers.push((RETRY_AFTER, HeaderValue::from(seconds)));
            reply
        }
    }
}

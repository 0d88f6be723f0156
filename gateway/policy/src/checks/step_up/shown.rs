//! What comes of a visit, and how a person is shown it. What is on a page is `pages::mfa`'s; decides nothing.

use http::header::RETRY_AFTER;
use http::{HeaderValue, StatusCode};

use super::page::Visit;
use super::proof::Outcome;
use super::record::Factors;
use super::{Check, Method};
use crate::decision::{Action, Answer, Reason, Reply};
use crate::pages::mfa::{self, Enrolled, SetUp, View, Ways, with_return};
use crate::pages::text::filled;
use crate::pages::Page;

/// What is to be shown.
#[derive(Debug)]
pub(super) enum Shown {
    /// Nothing is enrolled.
    Nothing,
    /// What is enrolled, to who has just proven it.
    Home(Factors),
    /// A proof is asked for; `keys`: what keys are asked, as JSON.
    Ask { factors: Factors, keys: Option<String>, wrong: Option<Outcome> },
    /// A secret that waits for its first code.
    SetUp { address: String, secret: String, digits: u8, wrong: Option<Wrong> },
    /// Backup codes, for the only time; they came with a factor, or by themselves.
    Codes { done: Option<Method>, codes: Vec<String> },
    Enrolled(Method),
    /// What a new key is asked, as JSON.
    NewKey { options: String, failed: bool },
    Removed,
    Off { factors: Factors, wrong: Option<Outcome> },
    OffDone,
    /// Too many of these; seconds until the next.
    Wait(u32),
    /// A form that was shown in another session, or by somebody else's page.
    Stale,
    /// Something else first, or the end.
    Go(To),
}

/// Where a visitor goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum To {
    /// A proof, and then this page.
    Ask(&'static str),
    Enrol,
    Home,
    Off,
    /// Where they wanted to go.
    Onward,
}

/// Why a set-up is not done.
#[derive(Debug, Clone, Copy)]
pub(super) enum Wrong {
    Code(Outcome),
    Late,
}

/// Why a step ends early.
#[derive(Debug)]
pub(super) enum Halt {
    Shown(Box<Shown>),
    Answer(Answer),
}

pub(super) type Step = Result<Shown, Halt>;

/// The user goes on.
fn go(to: &str) -> Reply {
    Reply { action: Action::Allow, ..Reply::see_other(Reason::Ok, to) }
}

impl Check {
    /// The address of a page of ours that leads back to where the visitor wanted to go.
    fn address(&self, to: &str, back: &str) -> String {
        with_return(&self.pages, to, back)
    }

    fn view<'v>(&'v self, visit: &'v Visit, problem: Option<String>) -> View<'v> {
        View { text: visit.text, base: &self.pages, token: &visit.token, back: &visit.back, problem }
    }

    /// As a page.
    pub(super) fn page_of(&self, visit: &Visit, shown: Shown) -> Reply {
        let text = visit.text;
        let plain = |page: Page| page.reply(Reason::Ok, StatusCode::OK);
        let view = || self.view(visit, None);
        match shown {
            Shown::Nothing => self.onward(visit, To::Enrol),
            Shown::Home(factors) => plain(mfa::home(&view(), &self.enrolled(&factors))),
            Shown::Ask { factors, keys, wrong } => {
                let ways = Ways { keys: keys.as_deref(), ..self.ways(&factors) };
                judged(visit, wrong, |problem| mfa::verify(&self.view(visit, problem), ways))
            }
            Shown::SetUp { address, secret, digits, wrong } => {
                let set_up = SetUp {
                    address: &address,
                    secret: &secret,
                    digits,
                    minutes: self.set_up.as_secs().div_ceil(60),
                    keys: self.allows(Method::Webauthn),
                };
                self.set_up_page(visit, set_up, wrong)
            }
            Shown::Codes { done, codes } => plain(mfa::codes(&view(), done.map(|method| done_with(visit, method)), &codes)),
            Shown::Enrolled(method) => plain(mfa::notice(&view(), text.home_title, done_with(visit, method))),
            Shown::NewKey { options, failed: false } => plain(mfa::add_key(&view(), &options)),
            Shown::NewKey { options, failed: true } => {
                let page = mfa::add_key(&self.view(visit, Some(text.key_failed.to_owned())), &options);
                page.reply(Reason::SecondFactorFailed, StatusCode::FORBIDDEN)
            }
            Shown::Off { factors, wrong } => {
                let ways = self.ways(&factors);
                judged(visit, wrong, |problem| mfa::off(&self.view(visit, problem), ways, visit.required))
            }
            Shown::OffDone => plain(mfa::notice(&view(), text.off_title, text.off_done)),
            Shown::Stale => {
                let view = self.view(visit, Some(text.stale.to_owned()));
                mfa::notice(&view, text.home_title, "").reply(Reason::FormStale, StatusCode::FORBIDDEN)
            }
            Shown::Wait(seconds) => {
                let page = |problem| mfa::notice(&self.view(visit, problem), text.home_title, "");
                judged(visit, Some(Outcome::Locked(seconds)), page)
            }
            Shown::Removed => self.onward(visit, To::Home),
            Shown::Go(to) => self.onward(visit, to),
        }
    }

    fn onward(&self, visit: &Visit, to: To) -> Reply {
        let back = visit.back.as_str();
        match to {
            To::Ask(page) => go(&self.address("", &self.address(page, back))),
            To::Enrol if self.allows(Method::Totp) => go(&self.address("/enrol", back)),
            To::Enrol => go(&self.address("/key", back)),
            To::Off => go(&self.address("/off", back)),
            To::Onward if !back.is_empty() => go(back),
            To::Home | To::Onward => go(&self.address("", back)),
        }
    }

    fn set_up_page(&self, visit: &Visit, set_up: SetUp<'_>, wrong: Option<Wrong>) -> Reply {
        let page = |problem| mfa::enrol(&self.view(visit, problem), set_up);
        match wrong {
            None => judged(visit, None, page),
            Some(Wrong::Code(outcome)) => judged(visit, Some(outcome), page),
            Some(Wrong::Late) => {
                let page = page(Some(visit.text.enrol_late.to_owned()));
                page.reply(Reason::SecondFactorFailed, StatusCode::FORBIDDEN)
            }
        }
    }

    fn enrolled(&self, factors: &Factors) -> Enrolled {
        let keys = factors.keys.iter().map(|key| (key.id().to_owned(), key.name.clone(), day(key.since)));
        Enrolled {
            app: self.allows(Method::Totp).then(|| factors.totp.as_ref().map(|totp| day(totp.since))),
            keys: self.allows(Method::Webauthn).then(|| keys.collect()),
            backup: self.allows(Method::BackupCode).then(|| factors.codes.left()),
        }
    }
}

fn done_with(visit: &Visit, method: Method) -> &'static str {
    if method == Method::Totp { visit.text.enrol_done } else { visit.text.key_done }
}

/// The day of a moment in Unix seconds.
pub(super) fn day(unix: u64) -> String {
    let moment = i64::try_from(unix).ok().and_then(|unix| jiff::Timestamp::from_second(unix).ok());
    moment.map_or_else(String::new, |moment| moment.strftime("%Y-%m-%d").to_string())
}

/// The page again, with what was wrong.
fn judged(visit: &Visit, wrong: Option<Outcome>, page: impl FnOnce(Option<String>) -> Page) -> Reply {
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

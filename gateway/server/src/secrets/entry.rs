//! One secret of a provider: what is in service, what waits to be, and when to ask again. Asks nobody and reads no
//! clock.

use policy::io::Now;
use policy::settings::Secret;
use policy::settings::secret::{Provided, Wanted};

/// After the first failure; twice as long after each that follows, up to what the value may be cached for.
const AGAIN: u64 = 1_000;

/// See the module.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) wanted: Wanted,
    /// In service, or about to be for the first time.
    good: Option<Provided>,
    /// Newer, and not in service yet.
    offered: Option<Provided>,
    /// Whether a load tried it and failed for other reasons.
    tried: bool,
    /// Newer, and of no use.
    refused: Option<Secret>,
    /// When the provider last gave a value, Unix milliseconds.
    pub(super) checked: Option<u64>,
    /// When to ask next, on the steady clock.
    pub(super) due: u64,
    failures: u32,
    /// Since when it fails, Unix milliseconds, and why.
    pub(super) fault: Option<(u64, String)>,
    /// When it was last asked, on the steady clock.
    asked: u64,
}

/// What an answer changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum News {
    /// No value, for the first time since there was one.
    Failed(String),
    /// Values again.
    Recovered,
    /// Another value waits to be put into service.
    Offered,
}

impl Entry {
    pub(super) fn new(wanted: Wanted) -> Self {
        Self {
            wanted,
            good: None,
            offered: None,
            tried: false,
            refused: None,
            checked: None,
            due: u64::MAX,
            failures: 0,
            fault: None,
            asked: 0,
        }
    }

    /// The value in service.
    pub(super) fn good(&self) -> Option<&Provided> {
        self.good.as_ref()
    }

    /// The value that waits.
    pub(super) fn offered(&self) -> Option<&Provided> {
        self.offered.as_ref()
    }

    /// Whether one waits that no load has tried.
    pub(super) fn fresh(&self) -> bool {
        self.offered.is_some() && !self.tried
    }

    /// That one was tried, and it was not its fault.
    pub(super) fn tried(&mut self, value: &Provided) {
        self.tried = self.offered.as_ref() == Some(value);
    }

    /// Why a load gets no value, when that was found out less than `within` milliseconds ago.
    pub(super) fn failed_within(&self, within: u64, now: Now) -> Option<String> {
        let (_, why) = self.fault.as_ref()?;
        let fresh = now.steady.saturating_sub(self.asked) < within;
        (self.good.is_none() && fresh).then(|| why.clone())
    }

    /// The provider is being asked; should nothing come of it at all, it is asked again.
    pub(super) fn asking(&mut self, now: Now) {
        self.due = now.steady.saturating_add(2 * millis(self.wanted.timeout));
    }

    /// What came of it.
    pub(super) fn heard(&mut self, outcome: Result<Provided, String>, now: Now) -> Option<News> {
        self.asked = now.steady;
        let provided = match outcome {
            Ok(provided) => provided,
            Err(why) => {
                self.failures = self.failures.saturating_add(1);
                let pause = AGAIN.saturating_mul(1 << (self.failures - 1).min(20));
                let cache = millis(self.wanted.cache);
                self.due = now.steady.saturating_add(pause.min(cache));
                return self.failing(why, now);
            }
        };
        self.failures = 0;
        self.checked = Some(now.unix);
        // Ahead of the time at which it would be too old.
        let ahead = millis(self.wanted.cache).saturating_mul(4) / 5;
        self.due = now.steady.saturating_add(ahead);
        self.given(provided, now)
    }

    fn given(&mut self, provided: Provided, now: Now) -> Option<News> {
        let Some(good) = &mut self.good else {
            self.good = Some(provided);
            return self.recovered();
        };
        if good.value == provided.value {
            // Perhaps it was made again, or the one before it has gone.
            *good = provided;
            self.offered = None;
            self.refused = None;
            return self.recovered();
        }
        if self.refused.as_ref() == Some(&provided.value) {
            return None;
        }
        if let Err(why) = provided.value.replaces(&good.value) {
            return self.unfit(&provided.value, &why, now);
        }
        if self.offered.as_ref() == Some(&provided) {
            let why = "the new value waits: the policy on disk has faults".to_owned();
            return self.failing(why, now);
        }
        self.offered = Some(provided);
        self.tried = false;
        Some(News::Offered)
    }

    /// That value is in service now.
    pub(super) fn accept(&mut self, value: &Provided) -> Option<News> {
        if self.offered.as_ref() == Some(value) {
            self.offered = None;
        }
        self.refused = None;
        self.good = Some(value.clone());
        self.recovered()
    }

    /// No policy can be made with that value: the one in service stays.
    pub(super) fn unfit(&mut self, value: &Secret, why: &str, now: Now) -> Option<News> {
        if self
            .offered
            .as_ref()
            .is_some_and(|offered| offered.value == *value)
        {
            self.offered = None;
        }
        self.refused = Some(value.clone());
        // Another trouble than the one that may have been told of.
        self.fault = None;
        self.failing(why.to_owned(), now)
    }

    fn failing(&mut self, why: String, now: Now) -> Option<News> {
        match &mut self.fault {
            Some((_, known)) => {
                *known = why;
                None
            }
            None => {
                self.fault = Some((now.unix, why.clone()));
                Some(News::Failed(why))
            }
        }
    }

    fn recovered(&mut self) -> Option<News> {
        self.fault.take().map(|_| News::Recovered)
    }
}

fn millis(time: std::time::Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use std::time::Duration;

    use policy::settings::secret::{Command, Provider};

    use super::*;

    const fn at(steady: u64) -> Now {
        Now {
            unix: 1_000_000 + steady,
            steady,
        }
    }

    fn entry() -> Entry {
        Entry::new(Wanted {
            name: "jwt".to_owned(),
            provider: Provider::Command(Command {
                program: "/bin/secret".to_owned(),
                arguments: Vec::new(),
                environment: Vec::new(),
            }),
            cache: Duration::from_secs(300),
            timeout: Duration::from_secs(5),
            previous_for: None,
        })
    }

    fn value(text: &str) -> Provided {
        Provided {
            value: Secret(text.as_bytes().to_vec().into()),
            made: None,
            previous: None,
        }
    }

    fn long(text: &str) -> Provided {
        value(&text.repeat(32))
    }

    #[test]
    fn is_asked_for_again_ahead_of_its_age() {
        let mut entry = entry();
        assert_eq!(entry.heard(Ok(long("a")), at(0)), None);
        assert_eq!((entry.due, entry.good()), (240_000, Some(&long("a"))));
    }

    #[test]
    fn failures_keep_the_value_and_are_told_once() {
        let mut entry = entry();
        entry.heard(Ok(long("a")), at(0));
        let down = || Err("no answer".to_owned());
        assert_eq!(
            entry.heard(down(), at(240_000)),
            Some(News::Failed("no answer".to_owned()))
        );
        assert_eq!(entry.due, 241_000);
        assert_eq!(entry.heard(down(), at(241_000)), None);
        assert_eq!(entry.due, 243_000);
        for _ in 0..40 {
            entry.heard(down(), at(300_000));
        }
        assert_eq!(entry.due, 600_000, "never rarer than the cache would be");
        assert_eq!(entry.good(), Some(&long("a")));
        assert_eq!(entry.fault.as_ref().unwrap().0, 1_240_000);
        assert_eq!(
            entry.heard(Ok(long("a")), at(700_000)),
            Some(News::Recovered)
        );
        assert_eq!((entry.fault.clone(), entry.due), (None, 940_000));
    }

    #[test]
    fn a_new_value_serves_only_once_it_was_accepted() {
        let mut entry = entry();
        entry.heard(Ok(long("a")), at(0));
        assert_eq!(entry.heard(Ok(long("b")), at(1)), Some(News::Offered));
        assert_eq!(
            (entry.good(), entry.offered()),
            (Some(&long("a")), Some(&long("b")))
        );
        entry.accept(&long("b"));
        assert_eq!((entry.good(), entry.offered()), (Some(&long("b")), None));
    }

    #[test]
    fn a_value_that_does_not_fit_is_not_tried_again() {
        let mut entry = entry();
        entry.heard(Ok(long("a")), at(0));
        entry.heard(Ok(long("b")), at(1));
        let told = entry.unfit(&long("b").value, "not a key", at(2));
        assert_eq!(told, Some(News::Failed("not a key".to_owned())));
        assert_eq!(entry.heard(Ok(long("b")), at(3)), None);
        assert_eq!((entry.offered(), entry.good()), (None, Some(&long("a"))));
        assert!(
            entry.fault.is_some(),
            "still failing: the provider has something else than what serves"
        );
        assert_eq!(entry.heard(Ok(long("c")), at(4)), Some(News::Offered));
        entry.accept(&long("c"));
        assert_eq!(entry.fault, None);
    }

    #[test]
    fn a_short_value_never_takes_the_place_of_a_long_one() {
        let mut entry = entry();
        entry.heard(Ok(long("a")), at(0));
        assert!(matches!(
            entry.heard(Ok(value("short")), at(1)),
            Some(News::Failed(_))
        ));
        assert_eq!((entry.offered(), entry.good()), (None, Some(&long("a"))));
        // Where it was short before, an application may know no better.
        let mut entry = self::entry();
        entry.heard(Ok(value("small")), at(0));
        assert_eq!(entry.heard(Ok(value("short")), at(1)), Some(News::Offered));
    }

    #[test]
    fn a_value_that_waits_for_a_policy_counts_as_failing() {
        let mut entry = entry();
        entry.heard(Ok(long("a")), at(0));
        entry.heard(Ok(long("b")), at(1));
        assert!(entry.fresh());
        entry.tried(&long("b"));
        assert!(!entry.fresh(), "not once more for the same policy");
        assert!(matches!(
            entry.heard(Ok(long("b")), at(2)),
            Some(News::Failed(_))
        ));
        assert_eq!(entry.accept(&long("b")), Some(News::Recovered));
    }

    #[test]
    fn one_that_never_had_a_value_is_not_asked_by_each_load() {
        let mut entry = entry();
        entry.heard(Err("refused".to_owned()), at(10));
        assert_eq!(
            entry.failed_within(5_000, at(11)).as_deref(),
            Some("refused")
        );
        assert_eq!(entry.failed_within(5_000, at(6_000)), None);
    }

    #[test]
    fn shows_no_value() {
        let mut entry = entry();
        entry.heard(Ok(value("hunter2")), at(0));
        assert!(!format!("{entry:?}").contains("hunter2"));
    }
}

//! Where time goes, rule by rule, for whoever writes or chooses rules. The crate has no clock: the caller lends one.
//! Without it nothing is counted, at the price of a branch for each value and each rule asked by itself.

use std::cell::Cell;

use crate::{
    run::scan::{Audience, Hit},
    transaction::Scratch,
};

/// What one rule took.
#[derive(Clone, Copy, Default, Debug, PartialEq, Eq)]
pub struct Spent {
    /// In units of the clock.
    pub time: u64,
    /// How often it was put to a value, or asked by itself.
    pub asked: u64,
    /// How often it held.
    pub held: u64,
}

/// What every rule took.
#[derive(Debug)]
pub struct Profile {
    clock: fn() -> u64,
    rules: Vec<Spent>,
}

impl Profile {
    /// Counts with this clock.
    #[must_use]
    pub const fn new(clock: fn() -> u64) -> Self {
        Self {
            clock,
            rules: Vec::new(),
        }
    }

    /// By rule, in the order of [`crate::Ruleset::about`]; rules at the end that took nothing may be missing.
    #[must_use]
    pub fn rules(&self) -> &[Spent] {
        &self.rules
    }

    pub(crate) fn now(&self) -> u64 {
        (self.clock)()
    }

    pub(crate) fn add(&mut self, rule: u32, since: u64, held: bool) {
        let took = self.now().saturating_sub(since);
        let place = rule as usize;
        if self.rules.len() <= place {
            self.rules.resize(place + 1, Spent::default());
        }
        if let Some(spent) = self.rules.get_mut(place) {
            spent.time = spent.time.saturating_add(took);
            spent.asked += 1;
            spent.held += u64::from(held);
        }
    }
}

impl Scratch {
    /// Counts from here on; [`Scratch::take_profile`] tells.
    pub fn set_profile(&mut self, profile: Profile) {
        self.tools().profile = Some(Box::new(profile));
    }

    /// What was counted since.
    pub fn take_profile(&mut self) -> Option<Profile> {
        self.tools().profile.take().map(|profile| *profile)
    }
}

/// Takes the time of what is asked on behalf of another audience.
pub(crate) struct Timed<'a, A> {
    inner: &'a mut A,
    profile: &'a mut Profile,
    open: Cell<Option<(u32, u64)>>,
}

impl<'a, A> Timed<'a, A> {
    pub(crate) const fn new(inner: &'a mut A, profile: &'a mut Profile) -> Self {
        Self {
            inner,
            profile,
            open: Cell::new(None),
        }
    }
}

impl<A: Audience> Audience for Timed<'_, A> {
    fn wants(&self, rule: u32) -> bool {
        let wants = self.inner.wants(rule);
        if wants {
            self.open.set(Some((rule, self.profile.now())));
        }
        wants
    }

    fn asked(&mut self, held: bool) {
        if let Some((rule, since)) = self.open.take() {
            self.profile.add(rule, since, held);
        }
    }

    fn take(&mut self, hit: Hit<'_>) {
        self.inner.take(hit);
    }
}

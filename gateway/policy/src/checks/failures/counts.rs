//! Counts failures by address, user and both, lets no more attempts go on than may still fail, and starts bans. What a
//! failure is comes from outside.
//!
//! An attempt takes a place of every counter before it goes on, and there are only as many places as failures are left:
//! of 100 guesses at once, five go on when five may fail. The place is given back when the request is over and its
//! failure, if it was one, has been counted. Rejected: counting at the request and taking back at a success, which no
//! window that is exact can do, and counting at the answer alone, which lets every guess through that comes before the
//! first answer.

use std::net::IpAddr;
use std::time::Duration;

use super::when::{Of, When};
use crate::ban::{self, Ban, Whom};
use crate::field::folded;
use crate::checks::bans::seconds;
use crate::io::{Io, Key, Space, StoreFault};
use crate::key::{self, Builder, Keys};
use crate::limit::{Algorithm, Lease, Limit};
use crate::stored;

/// Anybody can invent names, and each that fails often enough would be kept. So what is kept of those that never logged in
/// is bounded: by source, over all, and in time. Beyond that nobody is banned by name, and the count that is full refuses
/// alone, until its window has passed.
const INVENTED: InventedNames = InventedNames { by_source: 60, in_all: 2_000, longest: Duration::from_secs(86_400) };
const HOUR: Duration = Duration::from_secs(3_600);

/// How much is kept of names that may be invented.
struct InventedNames {
    /// Bans of names an hour that one source may bring about.
    by_source: u32,
    /// Those that all may.
    in_all: u32,
    /// How long anything about such a name is kept.
    longest: Duration,
}

/// Bans that grow.
#[derive(Debug, Clone, Copy)]
pub(super) struct Progressive {
    pub(super) factor: u32,
    pub(super) most: Duration,
    pub(super) forget: Duration,
}

/// One count of one rule.
#[derive(Debug)]
pub(super) struct Counter {
    pub(super) of: Of,
    pub(super) when: When,
    pub(super) limit: Limit,
    /// Counts each pair once a window, where different users or addresses are counted.
    pub(super) seen: Option<Limit>,
    /// Who is banned for how long when it is full.
    pub(super) bans: Vec<(Of, Duration)>,
    pub(super) progressive: Option<Progressive>,
}

/// Somebody tries to log in.
#[derive(Debug)]
pub(super) struct Attempt<'a> {
    keys: Keys,
    client: IpAddr,
    user: &'a str,
    /// Whether the user logged in from there before.
    known: bool,
    /// Whether the user logged in with this very browser before: then only the address counts, what fails there is counted
    /// for the browser.
    device: bool,
    /// The numbers under which the counts of the pair, the address and the user are kept.
    counted: [u64; 3],
}

/// Whether an attempt may go on.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Admission {
    Free,
    /// As many are under way as may still fail. Seconds to wait.
    Full(u32),
    Banned(Option<Ban>),
}

/// What came of a failure.
#[derive(Debug, Default)]
pub(super) struct Counted {
    /// Started or, where nothing is enforced, only found due.
    pub(super) bans: Vec<Ban>,
    /// The name was not banned: too many that never logged in were.
    pub(super) crowded: bool,
}

impl<'a> Attempt<'a> {
    /// Looks up how the client and the user stand.
    pub(super) async fn of<I: Io>(
        io: &mut I,
        keys: Keys,
        client: IpAddr,
        user: &'a str,
    ) -> Result<Self, StoreFault> {
        // Whoever names nobody is nobody's friend.
        let known = !user.is_empty() && ban::known(io, keys, client, user).await?;
        let mut attempt = Self { keys, client, user, known, device: false, counted: [0; 3] };
        let mut counted = [0; 3];
        for (number, of) in counted.iter_mut().zip([Of::Pair, Of::Ip, Of::User]) {
            *number = ban::counted(io, keys, &attempt.whom(of)).await?;
        }
        attempt.counted = counted;
        Ok(attempt)
    }

    /// The same with a browser that is known, or not.
    pub(super) fn on(self, device: bool) -> Self {
        Self { device, ..self }
    }

    fn whom(&self, of: Of) -> Whom {
        let whom = match of {
            Of::Pair => Whom::Pair(self.client, self.user.to_owned()),
            Of::Ip => Whom::Client(self.client),
            Of::User => Whom::User(self.user.to_owned()),
        };
        whom.canonical()
    }

    /// Where the user logged in before, what strangers do elsewhere in the user's name counts nothing: that network has a
    /// count of its own.
    fn counted_as(&self, of: Of) -> Of {
        match of {
            Of::User if self.known => Of::Pair,
            of => of,
        }
    }

    fn key(&self, of: Of, numbers: bool) -> Key {
        let client = |builder: Builder| builder.client(key::stable("client"), self.client);
        let numbered = |builder: Builder, which: &[usize]| {
            let numbers = which.iter().filter(|_| numbers).filter_map(|which| self.counted.get(*which));
            numbers.fold(builder, |builder, number| builder.part(key::stable("counted"), &number.to_le_bytes()))
        };
        let start = self.keys.start(key::stable("failures"));
        let builder = match of {
            Of::Pair => numbered(ban::add_user(client(start), self.user), &[0, 1, 2]),
            Of::Ip => numbered(client(start), &[1]),
            Of::User => numbered(ban::add_user(start, self.user), &[2]),
        };
        builder.finish()
    }

    /// Takes a place of every counter; then looks whether somebody is banned, since a ban that ended a count is there
    /// before the count begins anew.
    pub(super) async fn admit<I: Io>(&self, io: &mut I, counters: &[Counter]) -> Result<Admission, StoreFault> {
        let mut full = None;
        let counts = |counter: &&Counter| !self.device || counter.of == Of::Ip;
        for counter in counters.iter().filter(counts) {
            if let Some(wait) = self.place(io, counter).await? {
                full = Some(wait);
                break;
            }
        }
        let pair = Some(Of::Pair).filter(|_| !self.device);
        let user = Some(Of::User).filter(|_| !self.known && !self.device);
        for of in [Some(Of::Ip), pair, user].into_iter().flatten() {
            if let Some(stored) = io.get(Space::Ban, self.whom(of).key(self.keys)).await? {
                return Ok(Admission::Banned(stored::decode(&stored).ok()));
            }
        }
        if self.known || self.device {
            // What an operator says holds everywhere.
            let stored = io.get(Space::Ban, self.whom(Of::User).key(self.keys)).await?;
            let ban = stored.map(|stored| stored::decode::<Ban>(&stored));
            match ban {
                Some(Ok(ban)) if ban.by.is_none() => return Ok(Admission::Banned(Some(ban))),
                Some(Err(_)) => return Ok(Admission::Banned(None)),
                Some(Ok(_)) | None => {}
            }
        }
        Ok(full.map_or(Admission::Free, Admission::Full))
    }

    /// Seconds to wait when there is no place.
    async fn place<I: Io>(&self, io: &mut I, counter: &Counter) -> Result<Option<u32>, StoreFault> {
        if let Some(seen) = &counter.seen
            && io.count(seen, self.key(Of::Pair, true), 0).await?.remaining == 0
        {
            // It counts already, and will not again.
            return Ok(None);
        }
        let of = self.counted_as(counter.of);
        let key = self.key(of, true);
        let standing = io.count(&counter.limit, key, 0).await?;
        if standing.remaining == 0 {
            return Ok(Some(seconds(standing.reset_ms)));
        }
        let lease = Lease { id: counter.limit.id, max: standing.remaining };
        if !io.lease(&lease, self.key(of, false)).await? {
            return Ok(Some(1));
        }
        // A failure that was counted in between gave its place to this one.
        let again = io.count(&counter.limit, key, 0).await?;
        Ok((again.remaining < standing.remaining).then_some(1))
    }

    /// Counts a failure; gives the bans that follow from it.
    pub(super) async fn failed<I: Io>(
        &self,
        io: &mut I,
        counters: &[Counter],
        (by, enforce): (&str, bool),
    ) -> Result<Counted, StoreFault> {
        let mut counted = Counted::default();
        let mut room = None;
        let counts = |counter: &&Counter| !self.device || counter.of == Of::Ip;
        for counter in counters.iter().filter(counts) {
            if let Some(seen) = &counter.seen
                && !io.count(seen, self.key(Of::Pair, true), 1).await?.allowed
            {
                continue;
            }
            let of = self.counted_as(counter.of);
            let standing = io.count(&counter.limit, self.key(of, true), 1).await?;
            if standing.remaining > 0 {
                continue;
            }
            let names = counter.bans.iter().any(|(whom, _)| *whom != Of::Ip);
            let room = match room {
                Some(room) => room,
                None if enforce && names => *room.insert(self.room(io).await?),
                None => Room::Enough,
            };
            let fits = |of: Of| of == Of::Ip || room != Room::None;
            for (whom, time) in counter.bans.iter().filter(|(whom, _)| fits(*whom)) {
                let whom = (self.whom(self.counted_as(*whom)), *time, room);
                counted.bans.extend(self.ban(io, counter, whom, (by, enforce)).await?);
            }
            counted.crowded |= !fits(of);
            if enforce && fits(of) {
                // The failures are paid for: after the ban there are as many again.
                ban::forget(io, self.keys, &self.whom(of), longest(counters)).await?;
            }
        }
        Ok(counted)
    }

    /// Whether another record of this name has room. Who logged in before is no invention.
    async fn room<I: Io>(&self, io: &mut I) -> Result<Room, StoreFault> {
        // All attempts without a name are one.
        if self.user.is_empty() || self.known || ban::proven(io, self.keys, self.user).await? {
            return Ok(Room::Enough);
        }
        let limit = |whose: &str, max: u32| Limit {
            id: key::stable("failures invented") ^ key::stable(whose),
            algorithm: Algorithm::Window,
            max,
            window: HOUR,
            count_refused: false,
        };
        let start = || self.keys.start(key::stable("failures invented"));
        let source = start().client(key::stable("client"), self.client).finish();
        let source = io.count(&limit("source", INVENTED.by_source), source, 1).await?;
        if !source.allowed {
            return Ok(Room::None);
        }
        let all = io.count(&limit("all", INVENTED.in_all), start().finish(), 1).await?;
        Ok(if all.allowed { Room::Little } else { Room::None })
    }

    async fn ban<I: Io>(
        &self,
        io: &mut I,
        counter: &Counter,
        (whom, time, room): (Whom, Duration, Room),
        (by, enforce): (&str, bool),
    ) -> Result<Option<Ban>, StoreFault> {
        let now = io.now().unix;
        let most = if room == Room::Little && whom.user().is_some() { INVENTED.longest } else { Duration::MAX };
        let time = time.min(most);
        let until = |time: Duration| now.saturating_add(u64::try_from(time.as_millis()).unwrap_or(u64::MAX));
        let mut ban = Ban { whom, until: until(time), by: Some(by.to_owned()), reason: counter.when.to_string() };
        if !enforce {
            return Ok(Some(ban));
        }
        let stored = io.get(Space::Ban, ban.whom.key(self.keys)).await?;
        let known = stored.and_then(|stored| stored::decode::<Ban>(&stored).ok());
        if known.is_some_and(|known| known.until >= ban.until) {
            return Ok(None);
        }
        if let Some(progressive) = counter.progressive {
            let strikes = ban::strike(io, self.keys, &ban.whom, progressive.forget.min(most)).await?;
            ban.until = until(progressive.time(time, strikes).min(most));
        }
        let began = ban::start(io, self.keys, &ban).await?;
        Ok(began.then_some(ban))
    }

    /// Takes a success into account; how many failures there were before it.
    pub(super) async fn passed<I: Io>(
        &self,
        io: &mut I,
        counters: &[Counter],
        remember: Duration,
    ) -> Result<u32, StoreFault> {
        if self.user.is_empty() {
            return Ok(0);
        }
        let mut before = 0;
        for counter in counters.iter().filter(|counter| counter.seen.is_none() && counter.of != Of::Ip) {
            let key = self.key(self.counted_as(counter.of), true);
            let standing = io.count(&counter.limit, key, 0).await?;
            before = before.max(standing.max.saturating_sub(standing.remaining));
        }
        if !remember.is_zero() {
            ban::remember(io, self.keys, (self.client, self.user), remember).await?;
        }
        // Under a name that is compared as another one it says nothing of that one's failures.
        if before > 0 && folded(self.user) == self.user {
            ban::forget(io, self.keys, &self.whom(Of::Pair), longest(counters)).await?;
        }
        Ok(before)
    }
}

/// How much may be kept of a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Room {
    /// As the policy says.
    Enough,
    /// For a day.
    Little,
    None,
}

/// The longest time that a count goes back.
fn longest(counters: &[Counter]) -> Duration {
    counters.iter().map(|counter| counter.limit.window).max().unwrap_or(ban::LONGEST_WINDOW)
}

impl Progressive {
    /// The first time `time`, then each time `factor` as long, up to `most`.
    fn time(&self, time: Duration, strikes: u32) -> Duration {
        let factor = self.factor.saturating_pow(strikes.saturating_sub(1));
        time.saturating_mul(factor).min(self.most.max(time))
    }
}

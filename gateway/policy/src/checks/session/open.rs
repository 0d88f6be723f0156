//! Which sessions a user has: entered when one begins, so many at a time, listed, and ended one or all.

use super::keeper::{Keeper, Listed, NotBegun, WhenFull, millis};
use super::record::{Entry, Record};
use crate::io::{Io, Key, Space, StoreFault};
use crate::stored::{self, Change};

/// How often a change of a user's list is tried again after somebody else's came first.
const TRIES: usize = 16;
/// Milliseconds within which a session that was entered has its record.
const WRITTEN: u64 = 10_000;

impl Keeper {
    /// Puts a session among its user's; those that must end for it have ended then.
    pub(super) async fn enter<I: Io>(&self, io: &mut I, user: &str, entry: Entry) -> Result<Vec<String>, NotBegun> {
        let list = self.names.user(user);
        for _ in 0..TRIES {
            let stored = io.get(Space::User, list).await.map_err(|_| NotBegun::Store)?;
            let open: Option<Vec<Entry>> = stored.as_ref().map(stored::decode).transpose().map_err(|_| NotBegun::Store)?;
            let mut open = open.unwrap_or_default();
            // A token's session that was silent for long is entered anew, in its own place.
            open.retain(|known| known.key() != entry.key());
            let (mut open, quiet) = self.living(io, open).await.map_err(|_| NotBegun::Store)?;
            let over = (open.len() + 1).saturating_sub(self.limits.most);
            if over > 0 && self.limits.when_full == WhenFull::RefuseNewest {
                return Err(NotBegun::Full);
            }
            open.sort_by_key(|entry| entry.started);
            let oldest: Vec<_> = quiet.into_iter().chain(open.drain(..over.min(open.len()))).collect();
            // Before they leave the list: what is on none could not be ended any more.
            for key in oldest.iter().filter_map(Entry::key) {
                self.leave(io, key).await.map_err(|_| NotBegun::Store)?;
            }
            open.push(entry.clone());
            let value = stored::encode(&open).map_err(|_| NotBegun::Store)?;
            let swapped = io.swap(Space::User, list, stored.as_ref(), Some(value), self.limits.absolute).await;
            if swapped.map_err(|_| NotBegun::Store)? {
                return Ok(oldest.into_iter().map(|entry| entry.handle).collect());
            }
        }
        Err(NotBegun::Store)
    }

    /// Those that are still open, and of tokens those that were not seen for long. Only its record tells, which is read
    /// where that decides about another log-in.
    async fn living<I: Io>(&self, io: &mut I, entries: Vec<Entry>) -> Result<(Vec<Entry>, Vec<Entry>), StoreFault> {
        let now = io.now().unix;
        let oldest = now.saturating_sub(millis(self.limits.absolute));
        let all: Vec<_> = entries.into_iter().filter(|entry| entry.started > oldest).collect();
        if all.len() < self.limits.most {
            return Ok((all, Vec::new()));
        }
        let (mut living, mut quiet) = (Vec::new(), Vec::new());
        for entry in all {
            // What was entered just now may not be written down yet.
            let age = now.checked_sub(entry.started);
            let fresh = self.quiet.is_some() && age.is_some_and(|age| age < WRITTEN);
            let record = self.record(io, &entry).await?;
            let seen = record.map(|record| record.seen);
            let silent = |seen: u64| self.quiet.is_some_and(|most| seen.saturating_add(millis(most)) <= now);
            match seen {
                Some(seen) if silent(seen) => quiet.push(entry),
                Some(_) => living.push(entry),
                None if fresh => living.push(entry),
                None => {}
            }
        }
        Ok((living, quiet))
    }

    /// The record of one of a user's sessions, if it is open.
    async fn record<I: Io>(&self, io: &mut I, entry: &Entry) -> Result<Option<Record>, StoreFault> {
        let Some(key) = entry.key() else { return Ok(None) };
        let record: Option<Record> = stored::get(io, Space::Session, key).await?;
        let now = io.now();
        Ok(record.filter(|record| !record.ended && self.left(record, now).is_some()))
    }

    /// Whether that session is open.
    ///
    /// # Errors
    /// The store's.
    pub(super) async fn is_open<I: Io>(&self, io: &mut I, key: Key) -> Result<bool, StoreFault> {
        let entry = Entry::new(key, String::new(), 0);
        Ok(self.record(io, &entry).await?.is_some())
    }

    async fn leave<I: Io>(&self, io: &mut I, key: Key) -> Result<(), StoreFault> {
        match self.quiet {
            Some(_) => self.bury(io, key).await,
            None => io.remove(Space::Session, key).await.map(drop),
        }
    }

    /// A user's open sessions, newest first.
    ///
    /// # Errors
    /// The store's.
    pub(in crate::checks) async fn list<I: Io>(&self, io: &mut I, user: &str) -> Result<Vec<Listed>, StoreFault> {
        let entries: Option<Vec<Entry>> = stored::get(io, Space::User, self.names.user(user)).await?;
        let mut listed = Vec::new();
        for entry in entries.unwrap_or_default() {
            if let Some(record) = self.record(io, &entry).await? {
                listed.push(Listed {
                    id: record.handle,
                    started: record.started,
                    seen: record.seen,
                    client: record.client,
                    agent: record.agent,
                    key: entry.key(),
                });
            }
        }
        listed.sort_by_key(|session| std::cmp::Reverse(session.started));
        Ok(listed)
    }

    /// Ends those of a user's sessions that `which` picks, and tells what they were called.
    ///
    /// # Errors
    /// The store's; some may have ended.
    pub(in crate::checks) async fn end<I: Io>(
        &self,
        io: &mut I,
        user: &str,
        which: impl Fn(&Listed) -> bool + Send + Sync,
    ) -> Result<Vec<String>, StoreFault> {
        let mut ended = Vec::new();
        let mut gone = Vec::new();
        for session in self.list(io, user).await?.into_iter().filter(|one| which(one)) {
            if let Some(key) = session.key {
                self.leave(io, key).await?;
                gone.push(key);
                ended.push(session.id);
            }
        }
        let change = |open: Option<Vec<Entry>>| {
            let mut open = open.unwrap_or_default();
            open.retain(|entry| entry.key().is_some_and(|key| !gone.contains(&key)));
            match open.is_empty() {
                true => (Change::Remove, ()),
                false => (Change::Put(open, self.limits.absolute), ()),
            }
        };
        if !gone.is_empty() {
            stored::update(io, Space::User, self.names.user(user), change).await?;
        }
        Ok(ended)
    }
}

//! Values in a file that outlive the process: redb, one writer thread, a copy in memory for reading. A change is
//! acknowledged, and seen by anybody, only after the commit that holds it is on disk; changes that wait together are
//! committed together. Counters and leases are not kept here: a restart forgets them.

mod reseal;

use std::collections::{BTreeSet, HashMap};
use std::fs::OpenOptions;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender};
use policy::io::{Key, Now, Space, StoreFault};
use policy::memory::Memory;
use redb::{
    Database, DatabaseError, ReadableDatabase as _, ReadableTable as _, ReadableTableMetadata as _,
    TableDefinition,
};
use tokio::sync::oneshot;

use super::clock::Clock;
use super::meter::{Meter, Operation};
use super::seal::{self, Seal};

pub(super) use reseal::reseal;

/// Place → end (Unix milliseconds, little endian) and value.
const VALUES: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("values/1");
/// What the gateway keeps about itself.
const OWN: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("own/1");
/// Changes that one commit holds at most.
const BATCH: usize = 1024;
/// Changes that may wait; more find the store full.
const WAITING: usize = 64 << 10;
/// How often what has expired is cleared away.
const CLEAR: Duration = Duration::from_secs(10);
/// How many expired values one commit clears away.
const CLEAR_MOST: usize = 4096;

type Name = (Space, Key);

/// What becomes of a value.
#[derive(Debug)]
pub(super) enum Change {
    /// Whatever was there.
    Put(Bytes, Duration),
    /// Only where exactly the first is.
    Swap(Option<Bytes>, Option<(Bytes, Duration)>),
    /// Nothing, from now on.
    Remove,
}

struct Write {
    name: Name,
    change: Change,
    now: Now,
    done: oneshot::Sender<Result<bool, StoreFault>>,
}

/// See the module.
#[derive(Debug)]
pub(super) struct File {
    writes: Sender<Write>,
}

/// What it takes to open one.
pub(super) struct Opening<'o> {
    pub(super) path: &'o Path,
    pub(super) seal: Seal,
    pub(super) memory: &'o Arc<Memory>,
    pub(super) clock: Clock,
    pub(super) most: usize,
}

impl File {
    /// Opens or makes the file and reads all of it; also gives the secret of keyed names, which is made with the file.
    ///
    /// # Errors
    /// A sentence: in use, damaged, sealed with another key, not to be read or written.
    pub(super) fn open(opening: Opening<'_>) -> Result<(Self, Vec<u8>), String> {
        let path = opening.path.to_owned();
        let told = |why: String| format!("state file {}: {why}", path.display());
        let database = database(&path).map_err(told)?;
        let secret = own_secret(&database, &opening.seal).map_err(told)?;
        let mut writer = Writer {
            database: Some(database),
            path: path.clone(),
            seal: opening.seal,
            memory: Arc::clone(opening.memory),
            clock: opening.clock,
            most: opening.most,
            held: 0,
            ends: BTreeSet::new(),
            doubtful: BTreeSet::new(),
        };
        writer.read().map_err(told)?;
        let (writes, waiting) = crossbeam_channel::bounded(WAITING);
        let thread = std::thread::Builder::new().name("state".to_owned());
        let spawned = thread.spawn(move || writer.run(&waiting));
        spawned.map_err(|why| told(why.to_string()))?;
        Ok((Self { writes }, secret))
    }

    /// Done when it is on disk.
    pub(super) async fn change(
        &self,
        name: Name,
        change: Change,
        now: Now,
        (meter, what): (&Meter, Operation),
    ) -> Result<bool, StoreFault> {
        let began = Instant::now();
        let changed = self.ask(name, change, now).await;
        meter.asked(what, began.elapsed(), changed.as_ref().err());
        meter.up.set(i64::from(changed != Err(StoreFault::Down)));
        changed
    }

    async fn ask(&self, name: Name, change: Change, now: Now) -> Result<bool, StoreFault> {
        let (done, answer) = oneshot::channel();
        let write = Write {
            name,
            change,
            now,
            done,
        };
        self.writes.try_send(write).map_err(|_| StoreFault::Full)?;
        // A writer that is gone answers nobody.
        answer.await.unwrap_or(Err(StoreFault::Down))
    }
}

/// Only the gateway's own user may read it, sealed or not.
fn database(path: &Path) -> Result<Database, String> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    let file = options.mode(0o600).open(path);
    let file = file.map_err(|why| why.to_string())?;
    let own = std::fs::Permissions::from_mode(0o600);
    file.set_permissions(own).map_err(|why| why.to_string())?;
    let database = Database::builder().create_file(file);
    let database = database.map_err(|why| match why {
        DatabaseError::DatabaseAlreadyOpen => {
            "another process uses it (a gateway that hands over keeps it until its end: \
             restart instead of --upgrade)"
                .to_owned()
        }
        why => format!("is damaged or no state file: {why}"),
    })?;
    // The name of a new file must outlive a crash as well.
    let folder = path.parent().filter(|folder| *folder != Path::new(""));
    let folder = std::fs::File::open(folder.unwrap_or_else(|| Path::new(".")));
    folder
        .and_then(|folder| folder.sync_all())
        .map_err(|why| why.to_string())?;
    Ok(database)
}

/// Made once; sealed where anything is.
fn own_secret(database: &Database, seal: &Seal) -> Result<Vec<u8>, String> {
    let read = || -> Result<Option<Vec<u8>>, redb::Error> {
        let reading = database.begin_read()?;
        match reading.open_table(OWN) {
            Ok(table) => Ok(table.get("keys")?.map(|found| found.value().to_vec())),
            Err(redb::TableError::TableDoesNotExist(_)) => Ok(None),
            Err(why) => Err(why.into()),
        }
    };
    let found = read().map_err(|why| format!("is damaged: {why}"))?;
    if let Some(found) = found {
        return super::own::open(seal, &found);
    }
    let (secret, stored) = super::own::make(seal)?;
    let write = || -> Result<(), redb::Error> {
        let writing = database.begin_write()?;
        {
            writing.open_table(OWN)?.insert("keys", stored.as_slice())?;
            writing.open_table(VALUES)?;
        }
        Ok(writing.commit()?)
    };
    write().map_err(|why| why.to_string())?;
    Ok(secret)
}

struct Writer {
    /// `None` after a failure of the disk, until it opens again.
    database: Option<Database>,
    path: PathBuf,
    seal: Seal,
    memory: Arc<Memory>,
    clock: Clock,
    most: usize,
    /// Values in the file.
    held: usize,
    /// When they end; some were put or removed since.
    ends: BTreeSet<(u64, Name)>,
    /// Changed by a commit that failed: nobody knows what the file says of them, memory is right.
    doubtful: BTreeSet<Name>,
}

/// What a batch makes of a value; `None`: nothing.
type Changes = HashMap<Name, Option<(Bytes, Duration)>, ahash::RandomState>;

impl Writer {
    /// Takes over what is there and still alive.
    fn read(&mut self) -> Result<(), String> {
        let Some(database) = &self.database else {
            return Ok(());
        };
        let damaged = |why: redb::Error| format!("is damaged: {why}");
        let reading = database.begin_read().map_err(|why| damaged(why.into()))?;
        let table = reading.open_table(VALUES);
        let table = table.map_err(|why| damaged(why.into()))?;
        let now = self.clock.now();
        for entry in table.iter().map_err(|why| damaged(why.into()))? {
            let (place, value) = entry.map_err(|why| damaged(why.into()))?;
            let Some(name) = placed(place.value()) else {
                continue;
            };
            let (end, stored) = value
                .value()
                .split_first_chunk::<8>()
                .ok_or("is damaged: a value is too short")?;
            let end = u64::from_le_bytes(*end);
            self.ends.insert((end, name));
            self.held += 1;
            if end <= now.unix {
                continue;
            }
            let value = if self.seal.covers(name.0) {
                let opened = self.seal.open(place.value(), stored);
                opened.map_err(|_| super::own::STRANGE.to_owned())?
            } else {
                Bytes::copy_from_slice(stored)
            };
            let left = Duration::from_millis(end - now.unix);
            self.memory
                .put(name.0, name.1, value, left, now)
                .map_err(|_| "holds more values than state.max_keys allows".to_owned())?;
        }
        Ok(())
    }

    fn run(mut self, waiting: &Receiver<Write>) {
        let mut batch = Vec::new();
        loop {
            match waiting.recv_timeout(CLEAR) {
                Ok(first) => batch.push(first),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            batch.extend(waiting.try_iter().take(BATCH));
            self.write(std::mem::take(&mut batch));
        }
    }

    fn write(&mut self, batch: Vec<Write>) {
        let mut changes = Changes::default();
        let mut answers = Vec::with_capacity(batch.len());
        for write in batch {
            answers.push((self.decide(&write, &mut changes), write.done));
        }
        let gone = self.gone(&changes);
        let committed = if changes.is_empty() && gone.is_empty() && self.doubtful.is_empty() {
            Ok(())
        } else {
            self.commit(&changes, &gone)
        };
        match committed {
            Ok(()) => self.show(changes),
            Err(_) => {
                self.doubtful.extend(changes.into_keys());
                // They are still in the file: to be cleared away another time.
                self.ends.extend(gone);
            }
        }
        for (decided, done) in answers {
            // What another change of the same batch decided is not so either when that was not written.
            let answer = committed.and(decided);
            // Whoever asked may have gone.
            let _ = done.send(answer);
        }
    }

    /// What a change does, after those before it.
    fn decide(&self, write: &Write, changes: &mut Changes) -> Result<bool, StoreFault> {
        let (space, key) = write.name;
        let is = match changes.get(&write.name) {
            Some(changed) => changed.as_ref().map(|(value, _)| value.clone()),
            None => self.memory.get(space, key, write.now),
        };
        let becomes = match &write.change {
            Change::Put(value, ttl) => Some((value.clone(), *ttl)),
            Change::Swap(expected, _) if *expected != is => return Ok(false),
            Change::Swap(_, becomes) => becomes.clone(),
            Change::Remove => None,
        };
        // Expired ones count until they are cleared away, which a full store waits for.
        if becomes.is_some() && is.is_none() && self.held + changes.len() >= self.most {
            return Err(StoreFault::Full);
        }
        changes.insert(write.name, becomes);
        Ok(true)
    }

    /// What expired and was not put again.
    fn gone(&mut self, changes: &Changes) -> Vec<(u64, Name)> {
        let now = self.clock.now();
        let mut gone = Vec::new();
        while gone.len() < CLEAR_MOST {
            match self.ends.first() {
                Some((end, _)) if *end < now.unix => {
                    let Some((end, name)) = self.ends.pop_first() else {
                        break;
                    };
                    let lives = self.memory.get(name.0, name.1, now).is_some();
                    if !lives && !changes.contains_key(&name) {
                        gone.push((end, name));
                    }
                }
                Some(_) | None => break,
            }
        }
        gone
    }

    fn commit(&mut self, changes: &Changes, gone: &[(u64, Name)]) -> Result<(), StoreFault> {
        if self.database.is_none() {
            self.database = database(&self.path).ok();
        }
        let written = match &self.database {
            Some(database) => self.transact(database, changes, gone),
            None => return Err(StoreFault::Down),
        };
        match written {
            Ok((held, ends)) => {
                self.held = held;
                self.ends.extend(ends);
                self.doubtful.clear();
                Ok(())
            }
            Err(why) => {
                log::error!("state file {}: {why}", self.path.display());
                // After a failed write redb must be opened again.
                self.database = None;
                Err(match why {
                    redb::Error::Io(why) if why.kind() == std::io::ErrorKind::StorageFull => {
                        StoreFault::Full
                    }
                    _ => StoreFault::Down,
                })
            }
        }
    }

    /// Writes and waits for the disk. Gives how many values there are, and when the new ones end.
    fn transact(
        &self,
        database: &Database,
        changes: &Changes,
        gone: &[(u64, Name)],
    ) -> Result<(usize, Vec<(u64, Name)>), redb::Error> {
        let now = self.clock.now();
        let mut ends = Vec::new();
        let writing = database.begin_write()?;
        let held = {
            let mut table = writing.open_table(VALUES)?;
            for (_, name) in gone {
                table.remove(seal::name(name.0, name.1).as_slice())?;
            }
            let known = |name: &&Name| !changes.contains_key(*name);
            let doubtful = self.doubtful.iter().filter(known);
            let doubtful = doubtful.map(|name| (name, self.remembered(*name, now)));
            let changed = changes.iter().map(|(name, change)| (name, change.clone()));
            for (name, change) in doubtful.chain(changed) {
                let place = seal::name(name.0, name.1);
                let Some((value, ttl)) = change else {
                    table.remove(place.as_slice())?;
                    continue;
                };
                let ttl = u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX);
                let end = now.unix.saturating_add(ttl);
                let mut stored = end.to_le_bytes().to_vec();
                if self.seal.covers(name.0) {
                    let sealed = self.seal.seal(&place, &value);
                    let sealed = sealed.map_err(|_| redb::Error::Corrupted("seal".to_owned()))?;
                    stored.extend_from_slice(&sealed);
                } else {
                    stored.extend_from_slice(&value);
                }
                table.insert(place.as_slice(), stored.as_slice())?;
                ends.push((end, *name));
            }
            usize::try_from(table.len()?).unwrap_or(usize::MAX)
        };
        writing.commit()?;
        Ok((held, ends))
    }

    fn remembered(&self, name: Name, now: Now) -> Option<(Bytes, Duration)> {
        let (value, left) = self.memory.look(name.0, name.1, now)?;
        Some((value, left))
    }

    /// What is on disk may be seen.
    fn show(&self, changes: Changes) {
        let now = self.clock.now();
        for ((space, key), change) in changes {
            match change {
                Some((value, ttl)) => {
                    if self.memory.put(space, key, value, ttl, now).is_err() {
                        log::error!("state: no room in memory for a value that is on disk");
                    }
                }
                None => self.memory.remove(space, key),
            }
        }
    }
}

fn placed(place: &[u8]) -> Option<Name> {
    let (word, key) = place.split_last_chunk::<16>()?;
    let word = word.strip_suffix(&[0])?;
    let space = Space::ALL
        .iter()
        .find(|space| space.as_str().as_bytes() == word)?;
    Some((*space, Key(u128::from_be_bytes(*key))))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use policy::memory::Bounds;

    use super::*;

    #[test]
    fn what_expired_while_the_disk_failed_is_cleared_away_afterwards() {
        let folder = tempfile::tempdir().unwrap();
        let (right, wrong) = (
            folder.path().join("state.redb"),
            folder.path().join("gone/x"),
        );
        let mut writer = Writer {
            database: Some(database(&right).unwrap()),
            path: right.clone(),
            seal: Seal::new(&[]),
            memory: Arc::new(Memory::new(Bounds::each(100))),
            clock: Clock::start(),
            most: 100,
            held: 0,
            ends: BTreeSet::new(),
            doubtful: BTreeSet::new(),
        };
        let (done, _answer) = oneshot::channel();
        let change = Change::Put(Bytes::from_static(b"x"), Duration::from_millis(1));
        let now = writer.clock.now();
        let name = (Space::Once, Key(7));
        writer.write(vec![Write {
            name,
            change,
            now,
            done,
        }]);
        assert_eq!((writer.held, writer.ends.len()), (1, 1));
        while writer.clock.now().unix <= now.unix + 2 {
            std::thread::yield_now();
        }
        (writer.database, writer.path) = (None, wrong);
        writer.write(Vec::new());
        assert_eq!(writer.held, 1, "nothing was written");
        writer.path = right;
        writer.write(Vec::new());
        assert_eq!((writer.held, writer.ends.len()), (0, 0));
    }
}

//! Counters, leases and values in Redis or Valkey, shared by every gateway that uses the same. The server's clock
//! decides; each script touches one key, or keys of one slot. Owns what is asked; how the server is reached is `link`'s,
//! what an answer that does not come means is the checks'.

mod bans;
mod keep;
mod leases;
mod link;
mod list;
mod script;

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;
use bytes::Bytes;
use policy::io::{Key, Space, StoreFault};
use policy::limit::{Algorithm, Limit, Standing};
use policy::memory::Memory;
use policy::settings;
use redis::{Cmd, ErrorKind, RedisError, ServerErrorKind, Value};
use tokio::sync::Notify;

use super::clock::Clock;
use super::meter::{Meter, Operation};
use super::seal::{self, Seal};
use crate::record::Observer;
use link::Connection;
use script::{Script, Scripts};

/// Longest window, as in memory: 31 days.
const LONGEST: u64 = 31 * 86_400_000;
/// How long requests are not taken at the start for want of a connection.
const REACHED: Duration = Duration::from_secs(5);
/// Limits up to this many are counted by the time of every hit, as in memory.
const EXACT: u32 = 128;

/// See the module.
pub(super) struct Redis {
    settings: settings::Redis,
    /// Where a relative path of an authority starts.
    base: PathBuf,
    seal: Seal,
    scripts: Scripts,
    /// `None` while the server cannot be reached: what is asked then fails at once.
    link: ArcSwapOption<Connection>,
    /// The link was lost.
    lost: Notify,
    leases: leases::Leases,
    /// Bans as far as they are known here, for connections that nobody may keep waiting.
    memory: Arc<Memory>,
    clock: Clock,
    pub(super) meter: Meter,
    observer: OnceLock<Arc<dyn Observer>>,
    /// The secret of keyed names, as it is stored.
    own: Vec<u8>,
}

impl std::fmt::Debug for Redis {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Redis({:?})", self.settings.reach)
    }
}

/// Why a command did nothing.
enum Failed {
    Fault(StoreFault),
    /// The server does not know the script.
    NoScript,
}

/// What it takes to open one.
pub(super) struct Opening {
    pub(super) settings: settings::Redis,
    pub(super) base: PathBuf,
    pub(super) seal: Seal,
    pub(super) memory: Arc<Memory>,
    pub(super) clock: Clock,
}

impl Redis {
    /// Reaches the server once, for the secret of keyed names, which is made by whoever comes first.
    ///
    /// # Errors
    /// A sentence when that was not possible for ten seconds, or it was sealed with another key.
    pub(super) fn open(opening: Opening) -> Result<(Arc<Self>, Vec<u8>), String> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|why| why.to_string())?;
        let (secret, own) = runtime.block_on(keep::own(&opening))?;
        runtime.shutdown_background();
        let redis = Self {
            leases: leases::Leases::new()?,
            settings: opening.settings,
            base: opening.base,
            seal: opening.seal,
            scripts: Scripts::default(),
            link: ArcSwapOption::empty(),
            lost: Notify::new(),
            memory: opening.memory,
            clock: opening.clock,
            meter: Meter::new()?,
            observer: OnceLock::new(),
            own,
        };
        Ok((Arc::new(redis), secret))
    }

    /// Connects, and stays connected, from tasks of the runtime that this is called in.
    pub(super) fn start(self: &Arc<Self>, observer: Arc<dyn Observer>) {
        if self.observer.set(observer).is_err() {
            return;
        }
        tokio::spawn(keep::connected(Arc::clone(self)));
        tokio::spawn(leases::give_back(Arc::clone(self)));
        tokio::spawn(leases::renew(Arc::clone(self)));
    }

    /// Waits for the first connection, for a few seconds.
    pub(super) async fn reached(&self) {
        let begun = Instant::now();
        while self.link.load().is_none() && begun.elapsed() < REACHED {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    pub(super) async fn count(
        &self,
        limit: &Limit,
        key: Key,
        cost: u32,
    ) -> Result<Standing, StoreFault> {
        let millis = u64::try_from(limit.window.as_millis()).unwrap_or(u64::MAX);
        let window = millis.clamp(1, LONGEST);
        let place = |kind: char| self.counter(limit.id, key, kind);
        let answer = match limit.algorithm {
            Algorithm::Window => {
                let (script, place) = if limit.max <= EXACT {
                    (&self.scripts.window, place('w'))
                } else {
                    (&self.scripts.buckets, place('b'))
                };
                let refused = u8::from(limit.count_refused);
                self.run(Operation::Count, script, &[&place], |command| {
                    command.arg(limit.max).arg(window).arg(cost).arg(refused);
                })
                .await?
            }
            Algorithm::Pace { burst } => {
                let interval = Duration::from_millis(window) / limit.max.max(1);
                let interval = u64::try_from(interval.as_nanos())
                    .unwrap_or(u64::MAX)
                    .max(1);
                let script = &self.scripts.pace;
                self.run(Operation::Count, script, &[&place('p')], |command| {
                    command
                        .arg(interval)
                        .arg(burst.max(1))
                        .arg(cost)
                        .arg(window);
                })
                .await?
            }
        };
        standing(&answer, limit.max, window).ok_or(StoreFault::Corrupt)
    }

    pub(super) async fn get(&self, space: Space, key: Key) -> Result<Option<Bytes>, StoreFault> {
        let mut command = redis::cmd("GET");
        command.arg(self.value(space, key));
        match self.ask(Operation::Get, &command).await? {
            Value::Nil => Ok(None),
            Value::BulkString(stored) => self.opened(space, key, stored).map(Some),
            _ => Err(StoreFault::Corrupt),
        }
    }

    pub(super) async fn put(
        &self,
        space: Space,
        key: Key,
        value: &Bytes,
        ttl: Duration,
    ) -> Result<(), StoreFault> {
        let Some(ttl) = millis(ttl) else {
            return self.remove(space, key).await;
        };
        let mut command = redis::cmd("SET");
        let stored = self.sealed(space, key, value)?;
        command.arg(self.value(space, key)).arg(&stored[..]);
        command.arg("PX").arg(ttl);
        self.ask(Operation::Put, &command).await?;
        self.noted(space, key, Some(ttl)).await;
        Ok(())
    }

    pub(super) async fn swap(
        &self,
        (space, key): (Space, Key),
        expected: Option<&Bytes>,
        value: Option<&Bytes>,
        ttl: Duration,
    ) -> Result<bool, StoreFault> {
        let ttl = value.and_then(|_| millis(ttl));
        let stored = match value {
            Some(value) => self.sealed(space, key, value)?,
            None => Bytes::new(),
        };
        let lasting = ttl.and_then(|ttl| i64::try_from(ttl).ok()).unwrap_or(-1);
        let place = self.value(space, key);
        let script = &self.scripts.swap;
        let keys = [place.as_str()];
        let answer = self.run(Operation::Swap, script, &keys, |command| {
            let mode = match expected {
                None => 0,
                Some(_) if self.seal.covers(space) => 2,
                Some(_) => 1,
            };
            command.arg(mode).arg(lasting).arg(&stored[..]);
            match expected {
                Some(expected) if mode == 2 => {
                    let name = seal::name(space, key);
                    for head in self.seal.heads(&name, expected) {
                        command.arg(&head[..]);
                    }
                }
                Some(expected) => {
                    command.arg(&expected[..]);
                }
                None => {}
            }
        });
        let swapped = answer.await? == Value::Int(1);
        if swapped {
            self.noted(space, key, ttl).await;
        }
        Ok(swapped)
    }

    pub(super) async fn remove(&self, space: Space, key: Key) -> Result<(), StoreFault> {
        let mut command = redis::cmd("DEL");
        command.arg(self.value(space, key));
        self.ask(Operation::Remove, &command).await?;
        self.noted(space, key, None).await;
        Ok(())
    }

    fn opened(&self, space: Space, key: Key, stored: Vec<u8>) -> Result<Bytes, StoreFault> {
        if self.seal.covers(space) {
            self.seal.open(&seal::name(space, key), &stored)
        } else {
            Ok(stored.into())
        }
    }

    fn sealed(&self, space: Space, key: Key, value: &Bytes) -> Result<Bytes, StoreFault> {
        if self.seal.covers(space) {
            self.seal.seal(&seal::name(space, key), value)
        } else {
            Ok(value.clone())
        }
    }

    fn value(&self, space: Space, key: Key) -> String {
        let (prefix, space) = (&self.settings.prefix, space.as_str());
        format!("{prefix}:v:{{{space}:{:032x}}}", key.0)
    }

    fn counter(&self, id: u64, key: Key, kind: char) -> String {
        let prefix = &self.settings.prefix;
        format!("{prefix}:c:{{{id:016x}{:032x}}}{kind}", key.0)
    }

    /// Runs a script by its hash, by its text where the server does not know it yet.
    async fn run(
        &self,
        what: Operation,
        script: &Script,
        keys: &[&str],
        arguments: impl Fn(&mut Cmd),
    ) -> Result<Value, StoreFault> {
        let began = Instant::now();
        let build = |by: &str, which: &str| {
            let mut command = redis::cmd(by);
            command.arg(which).arg(keys.len()).arg(keys);
            arguments(&mut command);
            command
        };
        let known = self.send(&build("EVALSHA", &script.hash)).await;
        let answer = match known {
            Err(Failed::NoScript) => match self.send(&build("EVAL", script.text)).await {
                Err(Failed::NoScript) => Err(StoreFault::Corrupt),
                Err(Failed::Fault(fault)) => Err(fault),
                Ok(answer) => Ok(answer),
            },
            Err(Failed::Fault(fault)) => Err(fault),
            Ok(answer) => Ok(answer),
        };
        self.meter
            .asked(what, began.elapsed(), answer.as_ref().err());
        answer
    }

    async fn ask(&self, what: Operation, command: &Cmd) -> Result<Value, StoreFault> {
        let began = Instant::now();
        let answer = self.send(command).await.map_err(|failed| match failed {
            Failed::Fault(fault) => fault,
            Failed::NoScript => StoreFault::Corrupt,
        });
        self.meter
            .asked(what, began.elapsed(), answer.as_ref().err());
        answer
    }

    async fn send(&self, command: &Cmd) -> Result<Value, Failed> {
        let link = self.link.load_full();
        let link = link.ok_or(Failed::Fault(StoreFault::Down))?;
        let mut connection = Connection::clone(&link);
        let asking = connection.ask(command);
        match tokio::time::timeout(self.settings.timeout, asking).await {
            Err(_) => Err(Failed::Fault(StoreFault::Slow)),
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(why)) if why.kind() == ErrorKind::Server(ServerErrorKind::NoScript) => {
                Err(Failed::NoScript)
            }
            Ok(Err(why)) => {
                let fault = fault(&why);
                if fault == StoreFault::Down {
                    self.lose(&link, &why.to_string());
                }
                Err(Failed::Fault(fault))
            }
        }
    }

    /// Gives up a connection, unless there is another one already.
    fn lose(&self, link: &Arc<Connection>, why: &str) {
        let now = self.link.compare_and_swap(link, None);
        if now.as_ref().is_some_and(|now| Arc::ptr_eq(now, link)) {
            self.meter.up.set(0);
            self.tell("store_down", why);
            self.lost.notify_one();
        }
    }

    fn tell(&self, event: &'static str, detail: &str) {
        log::warn!("state: {event}: {detail}");
        if let Some(observer) = self.observer.get() {
            observer.store(event, detail);
        }
    }
}

/// Milliseconds; `None`: over as soon as it began.
fn millis(ttl: Duration) -> Option<u64> {
    // Redis adds it to the time in signed milliseconds: three thousand years are enough.
    let millis = u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX);
    (millis > 0).then_some(millis.min(100_000_000_000_000))
}

fn standing(answer: &Value, max: u32, window: u64) -> Option<Standing> {
    let Value::Array(parts) = answer else {
        return None;
    };
    let [
        Value::Int(allowed),
        Value::Int(remaining),
        Value::Int(reset),
    ] = parts.as_slice()
    else {
        return None;
    };
    Some(Standing {
        allowed: *allowed == 1,
        max,
        remaining: u32::try_from(*remaining).ok()?,
        reset_ms: u64::try_from(*reset).ok()?,
        window_s: u32::try_from(window.div_ceil(1000)).unwrap_or(u32::MAX),
    })
}

fn fault(why: &RedisError) -> StoreFault {
    match why.kind() {
        ErrorKind::Io if why.is_timeout() => StoreFault::Slow,
        // Inside of a script, older servers tell it in the text only.
        _ if why.detail().is_some_and(|text| text.contains("-OOM ")) => StoreFault::Full,
        ErrorKind::Server(kind) => match kind {
            ServerErrorKind::BusyLoading
            | ServerErrorKind::ClusterDown
            | ServerErrorKind::MasterDown
            | ServerErrorKind::ReadOnly => StoreFault::Down,
            _ => StoreFault::Corrupt,
        },
        ErrorKind::Extension => match why.code() {
            // No memory, and no disk to write to.
            Some("OOM" | "MISCONF") => StoreFault::Full,
            Some("BUSY") => StoreFault::Slow,
            Some("NOREPLICAS" | "NOAUTH") => StoreFault::Down,
            _ => StoreFault::Corrupt,
        },
        ErrorKind::Parse | ErrorKind::UnexpectedReturnType => StoreFault::Corrupt,
        _ => StoreFault::Down,
    }
}

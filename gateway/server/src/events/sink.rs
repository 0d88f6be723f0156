//! Where lines go: a bounded channel to one writer thread, which writes what has gathered in one call. Knows bytes
//! and a file, not what they say.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};
use policy::settings::WhenFull;
use prometheus::IntCounter;

use super::{Event, Kind, line, unix_ms};

/// How long the writer lets lines gather after it wrote some: one wake-up per batch, not per request. At 20,000 requests
/// a second 1 ms cost 4.8 µs a request (this thread, and every watcher of the folder that the file is in).
const GATHER: Duration = Duration::from_millis(10);

/// Most bytes in one write.
const BATCH: usize = 256 * 1024;

/// A failing disk is logged this often at most.
const COMPLAIN: Duration = Duration::from_secs(10);

/// Buffers that grew beyond this are not used again.
const LARGEST_SPARE: usize = 64 * 1024;

/// Where lines are written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Target {
    /// Standard output.
    Stdout,
    /// A file, opened for appending; created with mode 0640.
    File(PathBuf),
}

/// How events are kept.
#[derive(Debug, Clone)]
pub(crate) struct Options {
    /// Where to.
    pub(crate) target: Target,
    /// When the channel is full.
    pub(crate) when_full: WhenFull,
    /// Whether queries are written.
    pub(crate) query: bool,
    /// Whether what rules saw is written.
    pub(crate) values: bool,
    /// Lines that may wait.
    pub(crate) capacity: usize,
}

#[derive(Debug)]
enum Message {
    Line(Vec<u8>),
    Reopen,
    Flush(Sender<()>),
}

/// The handle that everything which reports holds, behind an `Arc`.
#[derive(Debug)]
pub(crate) struct Events {
    lines: Sender<Message>,
    spare: Receiver<Vec<u8>>,
    when_full: WhenFull,
    shown: line::Shown,
    lost: Arc<Lost>,
}

/// Lines that were not written.
#[derive(Debug)]
struct Lost {
    metric: IntCounter,
    unreported: AtomicU64,
}

impl Lost {
    fn add(&self, lines: u64) {
        self.metric.inc_by(lines);
        self.unreported.fetch_add(lines, Ordering::Relaxed);
    }
}

impl Events {
    /// Opens the target and starts the writer; `dropped` counts lines that were lost.
    ///
    /// # Errors
    /// When the file cannot be opened or the thread not started.
    pub(crate) fn start(options: Options, dropped: IntCounter) -> io::Result<Self> {
        let capacity = options.capacity.max(1);
        let (lines, waiting) = bounded(capacity);
        let (used, spare) = bounded(capacity);
        let lost = Arc::new(Lost {
            metric: dropped,
            unreported: AtomicU64::new(0),
        });
        let writer = Writer {
            out: Out::open(&options.target)?,
            target: options.target,
            batch: Vec::new(),
            torn: false,
            complained: None,
            used,
            lost: Arc::clone(&lost),
        };
        std::thread::Builder::new()
            .name("events".to_owned())
            .spawn(move || writer.work(&waiting))?;
        Ok(Self {
            lines,
            spare,
            when_full: options.when_full,
            shown: line::Shown {
                query: options.query,
                values: options.values,
            },
            lost,
        })
    }

    /// Reports an event. Waits only where the settings say so and the channel is full.
    pub(crate) fn emit(&self, event: &Event<'_>) {
        let mut buffer = self.spare.try_recv().unwrap_or_default();
        buffer.clear();
        line::write(&mut buffer, event, self.shown);
        match self.lines.try_send(Message::Line(buffer)) {
            Ok(()) => {}
            Err(TrySendError::Full(message)) if self.when_full == WhenFull::Wait => {
                if self.lines.send(message).is_err() {
                    self.lost.add(1);
                }
            }
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => self.lost.add(1),
        }
    }

    /// Opens the file again, for those who rotate it by renaming.
    pub(crate) fn reopen(&self) {
        // Fails only when the writer is gone, which every lost line already says.
        let _ = self.lines.send(Message::Reopen);
    }

    /// Waits until everything reported so far is written, at most `patience`.
    pub(crate) fn flush(&self, patience: Duration) {
        let (done, wait) = bounded(1);
        if self
            .lines
            .send_timeout(Message::Flush(done), patience)
            .is_ok()
        {
            let _ = wait.recv_timeout(patience);
        }
    }
}

/// The writer thread's side.
struct Writer {
    out: Out,
    target: Target,
    batch: Vec<u8>,
    /// Whether the last line that was written is not ended.
    torn: bool,
    complained: Option<Instant>,
    used: Sender<Vec<u8>>,
    lost: Arc<Lost>,
}

impl Writer {
    fn work(mut self, waiting: &Receiver<Message>) {
        while let Ok(first) = waiting.recv() {
            self.take(first);
            while self.batch.len() < BATCH {
                let Ok(next) = waiting.try_recv() else { break };
                self.take(next);
            }
            self.write();
            std::thread::sleep(GATHER);
        }
    }

    fn take(&mut self, message: Message) {
        match message {
            Message::Line(line) => {
                self.batch.extend_from_slice(&line);
                if line.capacity() <= LARGEST_SPARE {
                    // When nobody waits for buffers, this one is freed.
                    let _ = self.used.try_send(line);
                }
            }
            Message::Reopen => {
                self.write();
                match Out::open(&self.target) {
                    Ok(out) => self.out = out,
                    Err(why) => log::error!("events: cannot reopen {:?}: {why}", self.target),
                }
            }
            Message::Flush(done) => {
                self.write();
                let _ = done.send(());
            }
        }
    }

    fn write(&mut self) {
        if self.batch.is_empty() {
            return;
        }
        if std::mem::take(&mut self.torn) {
            self.batch.insert(0, b'\n');
        }
        let dropped = self.lost.unreported.swap(0, Ordering::Relaxed);
        if dropped > 0 {
            let event = Event {
                time: unix_ms(),
                kind: Kind::EventsDropped,
                count: Some(dropped),
                ..Event::default()
            };
            line::write(&mut self.batch, &event, line::Shown::default());
        }
        if let Err((written, why)) = self.out.write(&self.batch) {
            self.failed(written, dropped, &why);
        }
        self.batch.clear();
    }

    /// A full disk, a closed pipe: what was not written is counted, and a line that was cut is ended.
    fn failed(&mut self, written: usize, dropped: u64, why: &io::Error) {
        let rest = self.batch.get(written..).unwrap_or_default();
        let lost = rest.iter().filter(|&&byte| byte == b'\n').count() as u64;
        // The line that told of earlier losses went as well, but was none of them.
        self.lost.add(lost.saturating_sub(u64::from(dropped > 0)));
        self.lost.unreported.fetch_add(dropped, Ordering::Relaxed);
        let before = written.checked_sub(1).and_then(|last| self.batch.get(last));
        self.torn = before.map_or(self.torn, |&byte| byte != b'\n');
        if self.complained.is_none_or(|at| at.elapsed() >= COMPLAIN) {
            log::error!(
                "events: {lost} lines lost, cannot write {:?}: {why}",
                self.target
            );
            self.complained = Some(Instant::now());
        }
        if let Ok(out) = Out::open(&self.target) {
            self.out = out;
        }
    }
}

#[derive(Debug)]
enum Out {
    Stdout(io::Stdout),
    File(File),
}

impl Out {
    fn open(target: &Target) -> io::Result<Self> {
        match target {
            Target::Stdout => Ok(Self::Stdout(io::stdout())),
            Target::File(path) => {
                let mut options = OpenOptions::new();
                options.create(true).append(true);
                #[cfg(unix)]
                std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o640);
                options.open(path).map(Self::File)
            }
        }
    }

    /// Writes all of it; on failure tells how much was written.
    fn write(&mut self, bytes: &[u8]) -> Result<(), (usize, io::Error)> {
        let mut written = 0;
        while let Some(rest) = bytes.get(written..).filter(|rest| !rest.is_empty()) {
            let result = match self {
                Self::Stdout(out) => out
                    .write(rest)
                    .and_then(|count| out.flush().map(|()| count)),
                Self::File(out) => out.write(rest),
            };
            match result {
                Ok(0) => return Err((written, io::ErrorKind::WriteZero.into())),
                Ok(count) => written += count,
                Err(why) if why.kind() == io::ErrorKind::Interrupted => {}
                Err(why) => return Err((written, why)),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use std::path::Path;
    use std::sync::Arc;
    use std::time::Duration;

    use prometheus::IntCounter;

    use super::super::{Event, Events, Options, Target};
    use super::WhenFull;

    fn events(path: &Path, when_full: WhenFull, capacity: usize) -> (Arc<Events>, IntCounter) {
        let dropped = IntCounter::new("dropped", "Lines lost.").unwrap();
        let options = Options {
            target: Target::File(path.to_owned()),
            when_full,
            query: false,
            values: false,
            capacity,
        };
        let events = Events::start(options, dropped.clone()).unwrap();
        (Arc::new(events), dropped)
    }

    fn lines(path: &Path) -> Vec<serde_json::Value> {
        let text = std::fs::read_to_string(path).unwrap();
        text.lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    #[test]
    fn loses_nothing_by_default_however_full() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("events.jsonl");
        let (events, dropped) = events(&path, WhenFull::Wait, 8);
        let writers: Vec<_> = (0..4)
            .map(|_| {
                let events = Arc::clone(&events);
                std::thread::spawn(move || (0..500).for_each(|_| events.emit(&Event::default())))
            })
            .collect();
        writers
            .into_iter()
            .for_each(|writer| writer.join().unwrap());
        events.flush(Duration::from_secs(10));
        assert_eq!(lines(&path).len(), 2000);
        assert_eq!(dropped.get(), 0);
    }

    #[test]
    fn says_how_many_lines_were_dropped() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("events.jsonl");
        let (events, dropped) = events(&path, WhenFull::Drop, 4);
        (0..5000).for_each(|_| events.emit(&Event::default()));
        events.flush(Duration::from_secs(10));
        events.emit(&Event::default());
        events.flush(Duration::from_secs(10));
        let lines = lines(&path);
        let told: u64 = lines
            .iter()
            .filter_map(|line| line.get("count")?.as_u64())
            .sum();
        let written = lines
            .iter()
            .filter(|line| line.get("count").is_none())
            .count();
        assert_eq!(told, dropped.get());
        assert_eq!(written as u64 + told, 5001);
    }

    #[test]
    fn a_full_disk_is_counted() {
        let full = Path::new("/dev/full");
        if !full.exists() {
            return;
        }
        let (events, dropped) = events(full, WhenFull::Wait, 8);
        for _ in 0..3 {
            events.emit(&Event::default());
            events.flush(Duration::from_secs(10));
        }
        assert_eq!(dropped.get(), 3);
    }

    #[test]
    fn reopens_a_renamed_file() {
        let folder = tempfile::tempdir().unwrap();
        let (path, old) = (folder.path().join("e"), folder.path().join("e.1"));
        let (events, _) = events(&path, WhenFull::Wait, 8);
        events.emit(&Event::default());
        events.flush(Duration::from_secs(10));
        std::fs::rename(&path, &old).unwrap();
        events.reopen();
        events.emit(&Event::default());
        events.flush(Duration::from_secs(10));
        assert_eq!((lines(&old).len(), lines(&path).len()), (1, 1));
    }
}

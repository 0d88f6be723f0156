//! Which request is next, and when it is due.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::Semaphore;

#[derive(Debug)]
pub(crate) struct Work {
    requests: Vec<Bytes>,
    start: Instant,
    length: Duration,
    gap: Option<Duration>,
    next: AtomicU64,
    /// A permit for each request that is due. Tokio's own timers know milliseconds only, so a thread issues them.
    due: Semaphore,
}

/// One request's turn.
pub(crate) struct Turn<'w> {
    pub(crate) request: &'w Bytes,
    /// Position of the request in the file.
    pub(crate) number: usize,
    /// When it should be sent.
    pub(crate) due: Instant,
}

impl Work {
    pub(crate) fn begin(requests: Vec<Bytes>, rate: Option<f64>, seconds: f64) -> Arc<Self> {
        let work = Arc::new(Self {
            requests,
            start: Instant::now(),
            length: Duration::from_secs_f64(seconds),
            gap: rate.map(|rate| Duration::from_secs_f64(1.0 / rate)),
            next: AtomicU64::new(0),
            due: Semaphore::new(0),
        });
        if let Some(gap) = work.gap {
            let paced = Arc::clone(&work);
            std::thread::spawn(move || paced.pace(gap));
        }
        work
    }

    fn pace(&self, gap: Duration) {
        let mut issued = 0;
        loop {
            let passed = self.start.elapsed();
            if passed >= self.length {
                self.due.close();
                return;
            }
            let due = (passed.as_nanos() / gap.as_nanos().max(1)) as u64 + 1;
            if due > issued {
                self.due.add_permits((due - issued) as usize);
                issued = due;
            }
            let then = Duration::from_secs_f64(gap.as_secs_f64() * issued as f64);
            std::thread::sleep(then.saturating_sub(self.start.elapsed()));
        }
    }

    /// The next request, as soon as it is due; `None` at the end.
    pub(crate) async fn next(&self) -> Option<Turn<'_>> {
        if self.gap.is_some() {
            self.due.acquire().await.ok()?.forget();
        }
        let turn = self.next.fetch_add(1, Ordering::Relaxed);
        let due = match self.gap {
            Some(gap) => self.start + Duration::from_secs_f64(gap.as_secs_f64() * turn as f64),
            None => Instant::now(),
        };
        if due.duration_since(self.start) >= self.length {
            return None;
        }
        let count = self.requests.len() as u64;
        let number = turn.checked_rem(count)? as usize;
        let request = self.requests.get(number)?;
        Some(Turn {
            request,
            number,
            due,
        })
    }

    pub(crate) fn requests(&self) -> &[Bytes] {
        &self.requests
    }

    pub(crate) fn over(&self) -> bool {
        self.start.elapsed() >= self.length
    }

    pub(crate) fn seconds(&self) -> f64 {
        self.length.as_secs_f64()
    }

    /// How many requests an open loop had to send.
    pub(crate) fn due(&self) -> u64 {
        self.gap.map_or(0, |gap| {
            (self.length.as_secs_f64() / gap.as_secs_f64()) as u64
        })
    }

    /// How many were sent, one for each connection's end among them.
    pub(crate) fn taken(&self) -> u64 {
        self.next.load(Ordering::Relaxed)
    }
}

/// Reads `LENGTH\n` and so many bytes, again and again.
pub(crate) fn read(file: &Path) -> Result<Vec<Bytes>, String> {
    let mut rest = Bytes::from(std::fs::read(file).map_err(|fault| fault.to_string())?);
    let mut requests = Vec::new();
    while let Some(end) = memchr::memchr(b'\n', &rest) {
        let line = rest.split_to(end + 1);
        let text = String::from_utf8_lossy(&line);
        let length: usize = text.trim().parse().map_err(|_| format!("{text}?"))?;
        if length > rest.len() {
            return Err(format!("{}: cut short", file.display()));
        }
        requests.push(rest.split_to(length));
    }
    if requests.is_empty() {
        return Err(format!("{}: no requests", file.display()));
    }
    Ok(requests)
}

//! The thread that reloads when a file changed. The kernel's word is only a hint to look.

use std::collections::{BTreeMap, BTreeSet};
#[cfg(target_os = "linux")]
use std::mem::MaybeUninit;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
#[cfg(target_os = "linux")]
use rustix::fd::OwnedFd;
#[cfg(target_os = "linux")]
use rustix::fs::inotify::{self, CreateFlags, WatchFlags};

use super::{Reloader, Trigger};
use crate::events::unix_ms;

/// A save is often several writes: wait for this long a silence …
const QUIET: Duration = Duration::from_millis(120);

/// … but look at least this often while something goes on.
const AT_MOST: u32 = 8;

/// Looked at without a hint: network file systems send none.
const POLL: Duration = Duration::from_secs(3);

/// Starts the thread. Without notifications from the kernel it polls.
///
/// # Errors
/// When the thread cannot be started.
pub(crate) fn watch(reloader: Arc<Reloader>) -> std::io::Result<()> {
    let (hint, hints) = bounded(1);
    reloader.serve_secrets(hint.clone());
    let notifier = Notifier::new(hint);
    std::thread::Builder::new()
        .name("reload".to_owned())
        .spawn(move || follow(&reloader, notifier, &hints))
        .map(drop)
}

fn follow(reloader: &Reloader, mut notifier: Notifier, hints: &Receiver<()>) {
    // An end that a failed load did not get rid of is tried once.
    let mut ended = None;
    loop {
        notifier.follow(&reloader.files().folders());
        match hints.recv_timeout(POLL) {
            Ok(()) => settle(hints),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => std::thread::sleep(POLL),
        }
        let due = reloader.due().filter(|due| *due <= unix_ms());
        // What goes wrong is in the log and the events already.
        if reloader.files().look() {
            let _ = reloader.reload(Trigger::File);
        } else if reloader.offers() {
            let _ = reloader.reload(Trigger::Secret);
        } else if due.is_some() && due != ended {
            let _ = reloader.reload(Trigger::Time);
        }
        ended = due;
        reloader.look_at_ages();
    }
}

fn settle(hints: &Receiver<()>) {
    for _ in 0..AT_MOST {
        if hints.recv_timeout(QUIET).is_err() {
            return;
        }
        while hints.try_recv().is_ok() {}
    }
}

/// What of a folder is heard of: that a file was written and closed, came, went or became another. Not every write: a
/// file of events beside the policy would wake this process with every request.
#[cfg(target_os = "linux")]
const HEARD: WatchFlags = WatchFlags::CLOSE_WRITE
    .union(WatchFlags::MOVE)
    .union(WatchFlags::CREATE)
    .union(WatchFlags::DELETE)
    .union(WatchFlags::DELETE_SELF)
    .union(WatchFlags::MOVE_SELF)
    .union(WatchFlags::ATTRIB);

/// The kernel's notifications for the folders of the watched files; silent where there are none.
struct Notifier {
    #[cfg(target_os = "linux")]
    kernel: Option<Arc<OwnedFd>>,
    /// What is watched, and the kernel's number for it.
    folders: BTreeMap<PathBuf, i32>,
    // Keeps the channel open when nobody notifies.
    _hint: Sender<()>,
}

#[cfg(target_os = "linux")]
impl Notifier {
    fn new(hint: Sender<()>) -> Self {
        let kernel = Self::listen(hint.clone()).inspect_err(|why| {
            log::warn!("no notifications about files, looking every {POLL:?}: {why}")
        });
        Self {
            kernel: kernel.ok(),
            folders: BTreeMap::new(),
            _hint: hint,
        }
    }

    /// A thread that passes on that something happened, until nobody listens any more.
    fn listen(to: Sender<()>) -> std::io::Result<Arc<OwnedFd>> {
        let kernel = Arc::new(inotify::init(CreateFlags::CLOEXEC)?);
        let own = Arc::clone(&kernel);
        let thread = std::thread::Builder::new().name("files".to_owned());
        thread.spawn(move || {
            let mut buffer = [MaybeUninit::uninit(); 4096];
            let mut events = inotify::Reader::new(own, &mut buffer);
            while events.next().is_ok() {
                // One that is not heard yet says it all.
                if to.try_send(()).is_err_and(|why| why.is_disconnected()) {
                    return;
                }
            }
        })?;
        Ok(kernel)
    }

    /// Asking again for what is watched costs nothing, and watches a folder that took another's place.
    fn follow(&mut self, wanted: &BTreeSet<PathBuf>) {
        let Some(kernel) = &self.kernel else {
            return;
        };
        self.folders.retain(|folder, number| {
            let stays = wanted.contains(folder);
            if !stays {
                // It may be gone already.
                let _ = inotify::remove_watch(kernel, *number);
            }
            stays
        });
        for folder in wanted {
            // A folder that is not there yet is tried again after the next look.
            match inotify::add_watch(kernel, folder, HEARD) {
                Ok(number) => self.folders.insert(folder.clone(), number),
                Err(_) => self.folders.remove(folder),
            };
        }
    }
}

/// Elsewhere files are looked at from time to time.
#[cfg(not(target_os = "linux"))]
impl Notifier {
    fn new(hint: Sender<()>) -> Self {
        Self {
            folders: BTreeMap::new(),
            _hint: hint,
        }
    }

    fn follow(&mut self, _: &BTreeSet<PathBuf>) {
        self.folders.clear();
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use std::fs;
    use std::time::Duration;

    #[cfg(target_os = "linux")]
    use std::{io::Write, mem::MaybeUninit};

    use crossbeam_channel::bounded;
    #[cfg(target_os = "linux")]
    use rustix::fs::inotify;

    use super::Notifier;

    #[test]
    fn hears_of_a_file_that_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let (hint, hints) = bounded(1);
        let mut notifier = Notifier::new(hint);
        notifier.follow(&[folder.path().to_owned()].into());
        fs::write(folder.path().join("new"), "x").unwrap();
        fs::rename(folder.path().join("new"), folder.path().join("p")).unwrap();
        hints.recv_timeout(Duration::from_secs(5)).unwrap();
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn hears_nothing_of_a_file_that_grows() {
        let folder = tempfile::tempdir().unwrap();
        let mut events = fs::File::create(folder.path().join("events.jsonl")).unwrap();
        let kernel = inotify::init(inotify::CreateFlags::CLOEXEC).unwrap();
        inotify::add_watch(&kernel, folder.path(), super::HEARD).unwrap();
        events.write_all(b"{}\n").unwrap();
        fs::create_dir(folder.path().join("one")).unwrap();
        let mut buffer = [MaybeUninit::uninit(); 4096];
        let mut heard = inotify::Reader::new(&kernel, &mut buffer);
        let first = heard.next().unwrap().events();
        assert!(first.contains(inotify::ReadFlags::CREATE), "{first:?}");
    }
}

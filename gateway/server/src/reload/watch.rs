//! The thread that reloads when a file changed. The kernel's word is only a hint to look.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, unbounded};
use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher};

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
    let (hint, hints) = unbounded();
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
        notifier.follow(reloader.files().folders());
        match hints.recv_timeout(POLL) {
            Ok(()) => settle(hints),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => std::thread::sleep(POLL),
        }
        let due = reloader.due().filter(|due| *due <= unix_ms());
        // What goes wrong is in the log and the events already.
        if reloader.files().look() {
            let _ = reloader.reload(Trigger::File);
        } else if due.is_some() && due != ended {
            let _ = reloader.reload(Trigger::Time);
        }
        ended = due;
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

/// The kernel's notifications for the folders of the watched files; silent where there are none.
struct Notifier {
    watcher: Option<RecommendedWatcher>,
    folders: BTreeSet<PathBuf>,
    // Keeps the channel open when there is no watcher.
    _hint: Sender<()>,
}

impl Notifier {
    fn new(hint: Sender<()>) -> Self {
        let to = hint.clone();
        let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            let reads = event.is_ok_and(|event| matches!(event.kind, EventKind::Access(_)));
            if !reads {
                // Fails only when nobody listens any more.
                let _ = to.send(());
            }
        });
        if let Err(why) = &watcher {
            log::warn!("no notifications about files, looking every {POLL:?}: {why}");
        }
        Self {
            watcher: watcher.ok(),
            folders: BTreeSet::new(),
            _hint: hint,
        }
    }

    fn follow(&mut self, wanted: BTreeSet<PathBuf>) {
        let Some(watcher) = &mut self.watcher else {
            return;
        };
        for folder in self.folders.difference(&wanted) {
            // It may be gone already.
            let _ = watcher.unwatch(folder);
        }
        self.folders.retain(|folder| wanted.contains(folder));
        for folder in wanted {
            // A folder that is not there yet is tried again after the next look.
            if !self.folders.contains(&folder)
                && watcher.watch(&folder, RecursiveMode::NonRecursive).is_ok()
            {
                self.folders.insert(folder);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use std::fs;
    use std::time::Duration;

    use crossbeam_channel::unbounded;

    use super::Notifier;

    #[test]
    fn hears_of_a_file_that_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let (hint, hints) = unbounded();
        let mut notifier = Notifier::new(hint);
        notifier.follow([folder.path().to_owned()].into());
        fs::write(folder.path().join("new"), "x").unwrap();
        fs::rename(folder.path().join("new"), folder.path().join("p")).unwrap();
        hints.recv_timeout(Duration::from_secs(5)).unwrap();
    }
}

//! Notices that a policy's files changed. The kernel's word is only a hint to look: what counts is whether a file that
//! was read differs by size, time or inode. So editors that rename, Kubernetes' `..data` link and lost notifications
//! all come out right.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, unbounded};
use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher};

use super::{Reloader, Trigger};
use crate::sources::{Seen, matches};

/// A save is often several writes: wait for this long a silence …
const QUIET: Duration = Duration::from_millis(120);

/// … but look at least this often while something goes on.
const AT_MOST: u32 = 8;

/// Looked at without a hint: network file systems send none.
const POLL: Duration = Duration::from_secs(3);

/// What a file was when it was looked at: device, inode, size, modification and change time.
type Mark = Option<(u64, u64, u64, i64, i64)>;

/// Starts the thread that reloads on changes.
///
/// # Errors
/// When the thread cannot be started. Without notifications from the kernel it polls.
pub(crate) fn watch(reloader: Arc<Reloader>) -> std::io::Result<()> {
    let (hint, hints) = unbounded();
    let notifier = Notifier::new(hint);
    std::thread::Builder::new()
        .name("reload".to_owned())
        .spawn(move || follow(&reloader, notifier, &hints))
        .map(drop)
}

fn follow(reloader: &Reloader, mut notifier: Notifier, hints: &Receiver<()>) {
    let mut seen = reloader.seen();
    let mut known = marks(&seen);
    loop {
        notifier.follow(&seen);
        match hints.recv_timeout(POLL) {
            Ok(()) => settle(hints),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => std::thread::sleep(POLL),
        }
        let current = reloader.seen();
        if current != seen {
            // Somebody else reloaded meanwhile; only what changed after that counts.
            seen = current;
            known = marks(&seen);
            continue;
        }
        let now = marks(&seen);
        if now == known {
            continue;
        }
        // The marks from before the load: a change during it is noticed in the next round.
        let _ = reloader.reload(Trigger::File);
        seen = reloader.seen();
        known = marks_of_change(now, &seen);
    }
}

/// Marks of `seen`, where those taken before the load win.
fn marks_of_change(before: BTreeMap<PathBuf, Mark>, seen: &Seen) -> BTreeMap<PathBuf, Mark> {
    let mut known = marks(seen);
    for (path, mark) in before {
        if let Some(known) = known.get_mut(&path) {
            *known = mark;
        }
    }
    known
}

fn settle(hints: &Receiver<()>) {
    for _ in 0..AT_MOST {
        if hints.recv_timeout(QUIET).is_err() {
            return;
        }
        while hints.try_recv().is_ok() {}
    }
}

fn marks(seen: &Seen) -> BTreeMap<PathBuf, Mark> {
    let matched = seen
        .patterns
        .iter()
        .filter_map(|pattern| matches(pattern).ok());
    let files = seen.files.iter().cloned().chain(matched.flatten());
    files
        .map(|path| (mark(&path), path))
        .map(|(mark, path)| (path, mark))
        .collect()
}

fn mark(path: &Path) -> Mark {
    let about = fs::metadata(path).ok()?;
    Some((
        about.dev(),
        about.ino(),
        about.size(),
        about
            .mtime_nsec()
            .wrapping_add(about.mtime().wrapping_mul(1_000_000_000)),
        about
            .ctime_nsec()
            .wrapping_add(about.ctime().wrapping_mul(1_000_000_000)),
    ))
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

    /// Folders rather than files: a file that is replaced is another file, and one that is missing is none.
    fn follow(&mut self, seen: &Seen) {
        let Some(watcher) = &mut self.watcher else {
            return;
        };
        let patterns = seen
            .patterns
            .iter()
            .map(|pattern| Path::new(fixed(pattern)));
        let files = seen.files.iter().filter_map(|file| file.parent());
        let wanted: BTreeSet<PathBuf> = files.chain(patterns).map(non_empty).collect();
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

/// The folder before a pattern's first wildcard.
fn fixed(pattern: &str) -> &str {
    let wild = pattern.find(['*', '?', '[']).unwrap_or(pattern.len());
    let before = pattern.get(..wild).unwrap_or("");
    before.rsplit_once('/').map_or("", |(folder, _)| folder)
}

fn non_empty(folder: &Path) -> PathBuf {
    if folder.as_os_str().is_empty() {
        PathBuf::from(".")
    } else {
        folder.to_owned()
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use std::fs;
    use std::os::unix::fs::symlink;
    use std::time::Duration;

    use crossbeam_channel::unbounded;

    use super::{Notifier, fixed, marks};
    use crate::sources::Seen;

    #[test]
    fn a_swapped_link_is_a_change() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        for version in ["..v1", "..v2"] {
            fs::create_dir(at(version)).unwrap();
            fs::write(at(version).join("policy.yaml"), "same size").unwrap();
        }
        symlink("..v1", at("..data")).unwrap();
        symlink("..data/policy.yaml", at("policy.yaml")).unwrap();
        let seen = Seen {
            files: [at("policy.yaml")].into(),
            ..Seen::default()
        };
        let (hint, hints) = unbounded();
        let mut notifier = Notifier::new(hint);
        notifier.follow(&seen);
        let before = marks(&seen);
        assert_eq!(before, marks(&seen));
        symlink("..v2", at("..new")).unwrap();
        fs::rename(at("..new"), at("..data")).unwrap();
        assert_ne!(before, marks(&seen));
        hints.recv_timeout(Duration::from_secs(5)).unwrap();
    }

    #[test]
    fn a_file_that_begins_to_match_is_a_change() {
        let folder = tempfile::tempdir().unwrap();
        let pattern = format!("{}/*.yaml", folder.path().display());
        let seen = Seen {
            patterns: [pattern].into(),
            ..Seen::default()
        };
        let before = marks(&seen);
        fs::write(folder.path().join("new.yaml"), "").unwrap();
        assert_ne!(before, marks(&seen));
    }

    #[test]
    fn watches_the_folder_before_the_first_wildcard() {
        assert_eq!(fixed("/etc/p/waf/*.yaml"), "/etc/p/waf");
        assert_eq!(fixed("/etc/p/**/x"), "/etc/p");
        assert_eq!(fixed("*.yaml"), "");
    }
}

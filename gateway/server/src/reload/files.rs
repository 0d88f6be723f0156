//! The files that a policy was made from, and what they were when they were read: a change is another size, time or
//! inode. So editors that rename, Kubernetes' `..data` link and lost notifications all come out right.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::sources::{Seen, matches};

/// What a file was when it was looked at: device, inode, size, modification and change time. `None`: not there.
type Mark = Option<(u64, u64, u64, i64, i64)>;

/// Files, and what they were.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Files {
    seen: Seen,
    marks: BTreeMap<PathBuf, Mark>,
}

impl Files {
    /// What was just read.
    pub(super) fn new(seen: Seen) -> Self {
        let marks = marks(&seen);
        Self { seen, marks }
    }

    /// Looks again; whether anything changed.
    pub(super) fn look(&mut self) -> bool {
        let now = marks(&self.seen);
        let changed = now != self.marks;
        self.marks = now;
        changed
    }

    /// Follows what another load read. Those that were followed before keep what they were before it; after a load that
    /// failed the files of the policy in service are followed as well, so that mending either is noticed.
    pub(super) fn follow(&mut self, mut seen: Seen, accepted: bool) {
        if !accepted {
            seen.files.extend(self.seen.files.iter().cloned());
            seen.patterns.extend(self.seen.patterns.iter().cloned());
        }
        let mut now = marks(&seen);
        for (path, mark) in &self.marks {
            if let Some(now) = now.get_mut(path) {
                *now = *mark;
            }
        }
        *self = Self { seen, marks: now };
    }

    /// The folders that hold them. Folders rather than files are watched: a file that is replaced is another file, and
    /// one that is missing is none.
    pub(super) fn folders(&self) -> BTreeSet<PathBuf> {
        let patterns = self.seen.patterns.iter();
        let patterns = patterns.map(|pattern| Path::new(fixed(pattern)));
        let files = self.seen.files.iter().filter_map(|file| file.parent());
        files.chain(patterns).map(non_empty).collect()
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
    use std::path::PathBuf;

    use super::{Files, fixed};
    use crate::sources::Seen;

    fn reading(files: &[PathBuf]) -> Seen {
        Seen {
            files: files.iter().cloned().collect(),
            ..Seen::default()
        }
    }

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
        let mut files = Files::new(reading(&[at("policy.yaml")]));
        assert!(!files.look());
        symlink("..v2", at("..new")).unwrap();
        fs::rename(at("..new"), at("..data")).unwrap();
        assert!(files.look());
        assert!(!files.look());
    }

    #[test]
    fn a_file_that_begins_to_match_is_a_change() {
        let folder = tempfile::tempdir().unwrap();
        let pattern = format!("{}/*.yaml", folder.path().display());
        let mut files = Files::new(Seen {
            patterns: [pattern].into(),
            ..Seen::default()
        });
        fs::write(folder.path().join("new.yaml"), "").unwrap();
        assert!(files.look());
    }

    #[test]
    fn a_change_during_a_load_is_noticed_after_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("p");
        fs::write(&path, "a").unwrap();
        let mut files = Files::new(reading(std::slice::from_ref(&path)));
        fs::write(&path, "longer").unwrap();
        files.follow(reading(&[path.clone(), folder.path().join("q")]), true);
        assert!(files.look());
    }

    #[test]
    fn mending_a_refused_policy_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let (old, missing) = (folder.path().join("old"), folder.path().join("missing"));
        let mut files = Files::new(reading(std::slice::from_ref(&old)));
        files.follow(reading(std::slice::from_ref(&missing)), false);
        fs::write(missing, "x").unwrap();
        assert!(files.look());
        fs::write(old, "x").unwrap();
        assert!(files.look());
    }

    #[test]
    fn watches_the_folder_before_the_first_wildcard() {
        assert_eq!(fixed("/etc/p/waf/*.yaml"), "/etc/p/waf");
        assert_eq!(fixed("/etc/p/**/x"), "/etc/p");
        assert_eq!(fixed("*.yaml"), "");
    }
}

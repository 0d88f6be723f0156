//! A policy's files on disk. Remembers every path that was asked for, whether or not it was there, so that a change of
//! any of them can be noticed; what the files say is none of its business.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::UNIX_EPOCH;

use bytes::Bytes;
use glob::{MatchOptions, Pattern};
use policy::settings::secret::{Provided, Wanted};
use policy::sources::{Sources, Unprovided};

use crate::secrets::{Providers, Trial};

/// Largest file: a full MaxMind database and a list of ten million networks fit.
const LARGEST_FILE: u64 = 512 << 20;

/// All files of one policy together.
const LARGEST_TOTAL: u64 = 2 << 30;

/// Most files that one pattern may match.
const MOST_MATCHES: usize = 10_000;

/// What a policy was made from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Seen {
    /// Files that were read, or looked for.
    pub(crate) files: BTreeSet<PathBuf>,
    /// Patterns, as absolute as the policy's folder.
    pub(crate) patterns: BTreeSet<String>,
}

/// The disk, seen from a policy's folder.
#[derive(Debug)]
pub(crate) struct Disk {
    folder: PathBuf,
    seen: Seen,
    total: u64,
    /// Who is asked for secrets that are not on it.
    asked: Option<(Arc<Providers>, Trial)>,
}

impl Disk {
    /// Relative paths start at `folder`.
    pub(crate) fn new(folder: &Path) -> Self {
        Self {
            folder: folder.to_owned(),
            seen: Seen::default(),
            total: 0,
            asked: None,
        }
    }

    /// Secrets that are not on the disk are asked of these; without that, nobody is.
    pub(crate) fn asking(self, providers: Arc<Providers>, trial: Trial) -> Self {
        Self {
            asked: Some((providers, trial)),
            ..self
        }
    }

    /// Everything that was asked for, on the disk and of providers.
    pub(crate) fn into_seen(self) -> (Seen, Trial) {
        let trial = self.asked.map(|(_, trial)| trial);
        (self.seen, trial.unwrap_or_default())
    }
}

impl Sources for Disk {
    fn read(&mut self, path: &str) -> Result<Bytes, String> {
        let path = self.folder.join(path);
        self.seen.files.insert(path.clone());
        let file = File::open(&path).map_err(|why| reason(&why))?;
        let about = file.metadata().map_err(|why| reason(&why))?;
        if about.is_dir() {
            return Err("is a folder".to_owned());
        }
        // A device or a pipe would be read for ever.
        if !about.is_file() {
            return Err("is not a regular file".to_owned());
        }
        let mut content = Vec::with_capacity(usize::try_from(about.len()).unwrap_or(0));
        file.take(LARGEST_FILE + 1)
            .read_to_end(&mut content)
            .map_err(|why| reason(&why))?;
        let length = content.len() as u64;
        if length > LARGEST_FILE {
            return Err(format!("is larger than {} MiB", LARGEST_FILE >> 20));
        }
        self.total += length;
        if self.total > LARGEST_TOTAL {
            return Err(format!(
                "with it the policy's files are larger than {} GiB together",
                LARGEST_TOTAL >> 30
            ));
        }
        Ok(content.into())
    }

    fn glob(&mut self, pattern: &str) -> Result<Vec<String>, String> {
        if !pattern.contains(['*', '?', '[']) {
            let path = self.folder.join(pattern);
            let there = fs::metadata(&path).is_ok();
            self.seen.files.insert(path);
            return Ok(there.then(|| pattern.to_owned()).into_iter().collect());
        }
        let relative = Path::new(pattern).is_relative();
        let absolute = if relative {
            absolute(&self.folder, pattern)
        } else {
            pattern.to_owned()
        };
        let found = matches(&absolute)?;
        self.seen.patterns.insert(absolute);
        if found.len() > MOST_MATCHES {
            return Err(format!("matches more than {MOST_MATCHES} files"));
        }
        Ok(found
            .iter()
            .map(|path| {
                if relative {
                    path.strip_prefix(&self.folder).unwrap_or(path)
                } else {
                    path
                }
            })
            .map(|path| path.to_string_lossy().into_owned())
            .collect())
    }

    fn env(&mut self, name: &str) -> Option<String> {
        std::env::var(name).ok()
    }

    fn written(&mut self, path: &str) -> Option<u64> {
        let about = fs::metadata(self.folder.join(path)).ok()?;
        let since = about.modified().ok()?.duration_since(UNIX_EPOCH).ok()?;
        u64::try_from(since.as_millis()).ok()
    }

    fn provide(&mut self, wanted: &[Wanted]) -> Vec<Result<Provided, Unprovided>> {
        match &mut self.asked {
            Some((providers, trial)) => providers.provide(wanted, trial),
            None => wanted.iter().map(|_| Err(Unprovided::NotAsked)).collect(),
        }
    }
}

/// `pattern` below `folder`, whose own name is no pattern.
fn absolute(folder: &Path, pattern: &str) -> String {
    let folder = Pattern::escape(&folder.to_string_lossy());
    if folder.is_empty() {
        pattern.to_owned()
    } else {
        format!("{folder}/{pattern}")
    }
}

/// The files that match now, sorted by name.
pub(crate) fn matches(pattern: &str) -> Result<Vec<PathBuf>, String> {
    let options = MatchOptions {
        case_sensitive: true,
        require_literal_separator: true,
        require_literal_leading_dot: true,
    };
    let paths = glob::glob_with(pattern, options).map_err(|why| why.to_string())?;
    let mut found = Vec::new();
    for path in paths.take(MOST_MATCHES + 1) {
        let path = path.map_err(|why| reason(why.error()))?;
        if path.is_file() {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

fn reason(why: &std::io::Error) -> String {
    match why.kind() {
        ErrorKind::NotFound => "no such file".to_owned(),
        ErrorKind::PermissionDenied => "permission denied".to_owned(),
        _ => why.to_string(),
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use std::fs;

    use policy::sources::Sources;

    use super::Disk;

    #[test]
    fn reads_from_the_policy_s_folder_and_remembers_what_was_missing() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("here"), "x").unwrap();
        let mut disk = Disk::new(folder.path());
        assert_eq!(disk.read("here").unwrap(), "x");
        assert_eq!(disk.read("gone").unwrap_err(), "no such file");
        assert_eq!(disk.read("").unwrap_err(), "is a folder");
        let (seen, _) = disk.into_seen();
        assert!(seen.files.contains(&folder.path().join("gone")));
    }

    #[test]
    fn globs_are_sorted_and_stay_as_written() {
        let folder = tempfile::tempdir().unwrap();
        let odd = folder.path().join("a[1]");
        fs::create_dir_all(odd.join("waf/deep")).unwrap();
        for name in [
            "waf/b.yaml",
            "waf/a.yaml",
            "waf/.swp.yaml",
            "waf/deep/c.yaml",
        ] {
            fs::write(odd.join(name), "").unwrap();
        }
        let mut disk = Disk::new(&odd);
        assert_eq!(
            disk.glob("waf/*.yaml").unwrap(),
            ["waf/a.yaml", "waf/b.yaml"]
        );
        assert_eq!(disk.glob("waf/**/c.yaml").unwrap(), ["waf/deep/c.yaml"]);
        assert_eq!(disk.glob("waf/a.yaml").unwrap(), ["waf/a.yaml"]);
        assert!(disk.glob("waf/z.yaml").unwrap().is_empty());
        assert!(disk.glob("waf/***").is_err());
    }

    #[test]
    fn refuses_what_is_no_file() {
        let mut disk = Disk::new(std::path::Path::new("/"));
        assert_eq!(disk.read("dev/zero").unwrap_err(), "is not a regular file");
    }
}

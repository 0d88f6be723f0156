//! Where a policy is on disk, and loading it from there. Faults come out as an operator names files, not as the
//! loader does.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use policy::fault::{Fault, Weight};
use policy::{Loaded, Policy};

use crate::events::unix_ms;
use crate::sources::{Disk, Seen};

/// Names of a policy in a folder, in order of preference.
const ROOTS: &[&str] = &["policy.yaml", "palisade.yaml", "policy.yml", "palisade.yml"];

/// A policy's root file.
#[derive(Debug, Clone)]
pub(crate) struct PolicyFile {
    folder: PathBuf,
    root: String,
}

impl PolicyFile {
    /// `path` names the root file, or a folder that holds one.
    ///
    /// # Errors
    /// A sentence when there is none.
    pub(crate) fn find(path: &Path) -> Result<Self, String> {
        if path.is_dir() {
            let root = ROOTS.iter().find(|root| path.join(root).is_file());
            let root = root
                .ok_or_else(|| format!("{} holds none of {}", path.display(), ROOTS.join(", ")))?;
            return Ok(Self {
                folder: path.to_owned(),
                root: (*root).to_owned(),
            });
        }
        let name = path.file_name().and_then(|name| name.to_str());
        let name = name.ok_or_else(|| format!("{} names no file", path.display()))?;
        Ok(Self {
            folder: path.parent().map(Path::to_owned).unwrap_or_default(),
            root: name.to_owned(),
        })
    }

    /// Where the policy's relative paths start.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// The root file, as an operator names it.
    pub(crate) fn path(&self) -> PathBuf {
        self.folder.join(&self.root)
    }

    /// Reads and compiles, and tells what was read for that. Takes as long as it takes: not for a thread that serves.
    ///
    /// # Errors
    /// Every fault, warnings among them.
    pub(crate) fn load(&self) -> (Result<Loaded, Vec<Fault>>, Seen) {
        self.load_after(None)
    }

    /// The same, in place of a policy that serves: secrets that were replaced since may still be accepted.
    ///
    /// # Errors
    /// As [`PolicyFile::load`].
    pub(crate) fn load_after(
        &self,
        serving: Option<&Policy>,
    ) -> (Result<Loaded, Vec<Fault>>, Seen) {
        let mut disk = Disk::new(&self.folder);
        let now = unix_ms();
        // A policy that makes the loader panic is a bug, but must cost a running gateway nothing.
        let loaded = catch_unwind(AssertUnwindSafe(|| match serving {
            Some(serving) => serving.reload(&self.root, &mut disk, now),
            None => Policy::load(&self.root, &mut disk, now),
        }));
        let loaded = loaded.unwrap_or_else(|_| Err(vec![self.broken()]));
        let loaded = match loaded {
            Ok(mut loaded) => {
                self.rename(&mut loaded.warnings);
                Ok(loaded)
            }
            Err(mut faults) => {
                self.rename(&mut faults);
                Err(faults)
            }
        };
        (loaded, disk.into_seen())
    }

    /// What is known of it without loading it.
    pub(crate) fn outline(&self) -> Option<policy::Outline> {
        let mut disk = Disk::new(&self.folder);
        let outline = || Policy::outline(&self.root, &mut disk, unix_ms());
        catch_unwind(AssertUnwindSafe(outline)).ok().flatten()
    }

    fn rename(&self, faults: &mut [Fault]) {
        for fault in faults {
            let path = self.folder.join(&fault.file);
            fault.file = path.to_string_lossy().into_owned();
        }
    }

    fn broken(&self) -> Fault {
        Fault {
            weight: Weight::Error,
            file: self.root.clone(),
            line: 0,
            column: 0,
            path: policy::fault::Path::default(),
            message: "the loader failed on this policy: please report it".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use std::path::Path;

    use super::PolicyFile;

    #[test]
    fn a_folder_stands_for_the_policy_in_it() {
        let folder = tempfile::tempdir().unwrap();
        assert!(
            PolicyFile::find(folder.path())
                .unwrap_err()
                .contains("policy.yaml")
        );
        std::fs::write(folder.path().join("palisade.yaml"), "version: 1").unwrap();
        let found = PolicyFile::find(folder.path()).unwrap();
        assert_eq!(found.path(), folder.path().join("palisade.yaml"));
    }

    #[test]
    fn names_files_as_the_operator_does() {
        let file = PolicyFile::find(Path::new("policy.yaml")).unwrap();
        assert_eq!(file.path(), Path::new("policy.yaml"));
        let (loaded, seen) = PolicyFile::find(Path::new("/nowhere/p.yaml"))
            .unwrap()
            .load();
        let fault = loaded.unwrap_err().remove(0);
        assert_eq!(fault.file, "/nowhere/p.yaml");
        drop(seen);
    }
}

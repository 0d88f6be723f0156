//! Where a policy is on disk, and loading it from there. Faults come out as an operator names files, not as the
//! loader does.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use policy::fault::{Fault, Weight};
use policy::{Loaded, Policy};

use crate::events::unix_ms;
use crate::secrets::{Providers, Trial};
use crate::sources::{Disk, Seen};

/// Names of a policy in a folder, in order of preference.
const ROOTS: &[&str] = &["policy.yaml", "palisade.yaml", "policy.yml", "palisade.yml"];

/// A policy's root file.
#[derive(Debug, Clone)]
pub(crate) struct PolicyFile {
    folder: PathBuf,
    root: String,
    /// Who is asked for secrets; `None`: nobody, and values are made up.
    providers: Option<Arc<Providers>>,
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
                providers: None,
            });
        }
        let name = path.file_name().and_then(|name| name.to_str());
        let name = name.ok_or_else(|| format!("{} names no file", path.display()))?;
        Ok(Self {
            folder: path.parent().map(Path::to_owned).unwrap_or_default(),
            root: name.to_owned(),
            providers: None,
        })
    }

    /// With providers of secrets that are asked. Without them a policy can be looked at and reaches nobody.
    pub(crate) fn asking(self, providers: Arc<Providers>) -> Self {
        Self {
            providers: Some(providers),
            ..self
        }
    }

    /// The providers that are asked.
    pub(crate) fn providers(&self) -> Option<&Arc<Providers>> {
        self.providers.as_ref()
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
        let Some(providers) = &self.providers else {
            let (loaded, seen, _) = self.load_with(serving, Trial::default());
            return (loaded, seen);
        };
        let (loaded, seen, trial) = self.verified(providers, serving);
        match &loaded {
            Ok(_) => providers.accept(&trial),
            Err(_) => providers.give_up(),
        }
        (loaded, seen)
    }

    /// With every new value of a secret that a policy can be made with. One that none can be made with is refused, and the
    /// one before it goes on; when the policy itself has faults, new values wait.
    fn verified(&self, providers: &Providers, serving: Option<&Policy>) -> Attempt {
        let first = self.load_with(serving, providers.trial());
        let Err(faults) = &first.0 else { return first };
        let offers = first.2.offers().to_vec();
        if offers.is_empty() {
            return first;
        }
        let mut best = self.load_with(serving, Trial::default());
        if best.0.is_err() {
            providers.wait(&offers);
            return best;
        }
        if let [offer] = offers.as_slice() {
            providers.refuse(offer, &first_of(faults));
            return best;
        }
        // Several at once: each is tried beside those that are good.
        let mut good = Vec::new();
        for offer in offers {
            good.push(offer.clone());
            let next = self.load_with(serving, Trial::with(good.clone()));
            match &next.0 {
                Ok(_) => best = next,
                Err(faults) => {
                    providers.refuse(&offer, &first_of(faults));
                    good.pop();
                }
            }
        }
        best
    }

    fn load_with(&self, serving: Option<&Policy>, trial: Trial) -> Attempt {
        let mut disk = self.disk(trial);
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
        let (seen, trial) = disk.into_seen();
        (loaded, seen, trial)
    }

    fn disk(&self, trial: Trial) -> Disk {
        let disk = Disk::new(&self.folder);
        match &self.providers {
            Some(providers) => disk.asking(Arc::clone(providers), trial),
            None => disk,
        }
    }

    /// What is known of it without loading it.
    pub(crate) fn outline(&self) -> Option<policy::Outline> {
        let mut disk = self.disk(Trial::default());
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

/// What a load gave, what it read, and what it asked of providers.
type Attempt = (Result<Loaded, Vec<Fault>>, Seen, Trial);

/// What an operator should read first.
fn first_of(faults: &[Fault]) -> String {
    let error = faults.iter().find(|fault| fault.weight == Weight::Error);
    error.map_or_else(String::new, ToString::to_string)
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

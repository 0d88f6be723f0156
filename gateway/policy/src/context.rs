//! What a check's `Spec` may ask for while it becomes a `Check`: files, secrets, a place to report faults.

use std::time::Duration;

use bytes::Bytes;
use zeroize::Zeroizing;

use crate::checks::OnError;
use crate::checks::waf::Rulesets;
use crate::decision::{Answer, Reason};
use crate::fault::{Path, Weight};
use crate::key::Keys;
use crate::roles::Roles;
use crate::scalar;
use crate::sources::Sources;

/// A fault that knows its path but not yet its line: the loader looks that up in the located tree.
#[derive(Debug, Clone)]
pub struct Pending {
    /// Where in the merged document.
    pub path: Path,
    /// Error or warning.
    pub weight: Weight,
    /// What is wrong, and what would be right.
    pub message: String,
}

/// Finds the value of a secret that a policy names; `None` has been reported as a fault already.
pub trait Secrets {
    /// Current value first, then still accepted previous ones.
    fn secret(&mut self, name: &str) -> Result<Vec<Zeroizing<Vec<u8>>>, String>;
}

/// The surroundings of one check while it is compiled.
pub struct Context<'c> {
    /// The check's name in the policy.
    pub name: &'c str,
    /// Stable identity for counters: from the name, and the route's name where `with:` changed the check.
    pub stable_id: u64,
    /// What counters and look-ups hash their keys with.
    pub keys: Keys,
    /// Where the check stands (`checks.per-ip`).
    pub at: Path,
    /// What the policy says about a store that gives no answer; `None`: the check's own default.
    pub on_store_error: Option<OnError>,
    /// What it says about any other failure of the check itself; `None`: the check's own default.
    pub on_error: Option<OnError>,
    /// Path that the gateway's own pages are below.
    pub pages: &'c str,
    /// What each role of the policy may do.
    pub roles: &'c Roles,
    /// Unix milliseconds, for lists with expiry.
    pub now: u64,
    /// Files and environment.
    pub sources: &'c mut dyn Sources,
    /// Secrets by name.
    pub secrets: &'c mut dyn Secrets,
    /// Rule sets that other checks of this policy made.
    pub(crate) rulesets: &'c mut Rulesets,
    /// Faults found so far.
    pub faults: &'c mut Vec<Pending>,
}

impl Context<'_> {
    /// Reports an error at a key of this check; compilation goes on to find the others.
    pub fn error(&mut self, at: Path, message: impl Into<String>) {
        self.faults.push(Pending {
            path: at,
            weight: Weight::Error,
            message: message.into(),
        });
    }

    /// How many errors there are so far: a check that finds more of them after its own work must not be made.
    #[must_use]
    pub fn errors(&self) -> usize {
        let errors = self
            .faults
            .iter()
            .filter(|fault| fault.weight == Weight::Error);
        errors.count()
    }

    /// Reports something that loads but deserves a look.
    pub fn warning(&mut self, at: Path, message: impl Into<String>) {
        self.faults.push(Pending {
            path: at,
            weight: Weight::Warning,
            message: message.into(),
        });
    }

    /// Reads a file; a failure is reported at `at`.
    pub fn read(&mut self, at: Path, file: &str) -> Option<Bytes> {
        match self.sources.read(file) {
            Ok(bytes) => Some(bytes),
            Err(why) => {
                self.error(at, format!("cannot read {file}: {why}"));
                None
            }
        }
    }

    /// The files that a glob or a plain path names; none at all is reported at `at`.
    pub fn files(&mut self, at: &Path, pattern: &str) -> Vec<String> {
        if !pattern.contains(['*', '?', '[']) {
            return vec![pattern.to_owned()];
        }
        match self.sources.glob(pattern) {
            Ok(files) => {
                if files.is_empty() {
                    self.error(at.clone(), format!("no file matches {pattern}"));
                }
                files
            }
            Err(why) => {
                self.error(at.clone(), format!("cannot expand {pattern}: {why}"));
                Vec::new()
            }
        }
    }

    /// Whether an error (not only warnings) was reported after the first `before` faults.
    #[must_use]
    pub fn failed_since(&self, before: usize) -> bool {
        let mut later = self.faults.iter().skip(before);
        later.any(|fault| fault.weight == Weight::Error)
    }

    /// A key's duration within its bounds, all in seconds: the default, the least and the most.
    pub fn bounded(
        &mut self,
        key: &str,
        value: Option<scalar::Duration>,
        (default, [least, most]): (u64, [u64; 2]),
    ) -> Duration {
        let (least, most) = (Duration::from_secs(least), Duration::from_secs(most));
        let value = value.map_or_else(|| Duration::from_secs(default), |value| value.0);
        if value < least || value > most {
            let (least, most) = (scalar::Duration(least), scalar::Duration(most));
            let at = self.at.key(key);
            self.error(at, format!("from {least} to {most}"));
        }
        value
    }

    /// What a check answers when the store gives none: it refuses unless the policy says `allow`. For checks whose
    /// state has no local share; `what` names it: `a ban`.
    pub fn without_store(&mut self, what: &str) -> Answer {
        match self.on_store_error {
            None | Some(OnError::Deny) => {}
            Some(OnError::Allow) => return Answer::Pass,
            Some(OnError::Local) => {
                let at = self.at.key("on_store_error");
                self.error(
                    at,
                    format!("{what} has no local share: write `deny` or `allow`"),
                );
            }
        }
        Answer::deny(Reason::StoreUnavailable)
    }

    /// A secret's values, current first; a failure is reported at `at`.
    pub fn secret(&mut self, at: Path, name: &str) -> Option<Vec<Zeroizing<Vec<u8>>>> {
        match self.secrets.secret(name) {
            Ok(values) => Some(values),
            Err(why) => {
                self.error(at, why);
                None
            }
        }
    }
}

//! Secrets: from references to values. Values never reach a fault, an event or the policy's hash.

use std::collections::{BTreeMap, BTreeSet};

use zeroize::Zeroizing;

use super::faults::Faults;
use crate::fault::Path;
use crate::settings::Secret;
use crate::sources::Sources;
use crate::spec::{self, Source};
use crate::yaml::suggest;

/// Longest secret, bytes: a private key in PEM fits many times.
const MOST_BYTES: usize = 64 << 10;

/// A secret's values while a policy serves.
#[derive(Debug, Clone, Default)]
pub(crate) struct Held {
    /// The value that is used for what is new.
    current: Option<Secret>,
    /// Still accepted.
    previous: Option<Secret>,
    /// Accepted until these Unix milliseconds: values that reloads replaced.
    replaced: Vec<(Secret, u64)>,
}

/// All secrets of a policy, by name.
pub(crate) type Vault = BTreeMap<String, Held>;

/// When the first replaced value stops being accepted.
pub(crate) fn expires(vault: &Vault) -> Option<u64> {
    vault
        .values()
        .flat_map(|held| &held.replaced)
        .map(|(_, until)| *until)
        .min()
}

/// Reads every secret. `before` is the vault of the policy that this one replaces.
pub(super) fn read(
    specs: &[(String, spec::Secret)],
    sources: &mut dyn Sources,
    now: u64,
    before: Option<&Vault>,
    faults: &mut Faults,
) -> Vault {
    let mut vault = Vault::new();
    for (name, spec) in specs {
        let at = Path::default().key("secrets").key(name);
        let source = Source {
            env: spec.env.clone(),
            file: spec.file.clone(),
        };
        let current = value(&source, &at, sources, faults);
        let previous = spec.previous.as_ref();
        let previous =
            previous.and_then(|source| value(source, &at.key("previous"), sources, faults));
        let mut held = Held {
            current,
            previous,
            replaced: Vec::new(),
        };
        if let Some(old) = before.and_then(|before| before.get(name)) {
            let keep = spec.previous_for.map(|keep| keep.millis());
            held.replaced = replaced(old, held.current.as_ref(), keep, now);
        }
        vault.insert(name.clone(), held);
    }
    vault
}

fn replaced(
    old: &Held,
    current: Option<&Secret>,
    keep: Option<u64>,
    now: u64,
) -> Vec<(Secret, u64)> {
    let Some(keep) = keep else { return Vec::new() };
    let same = |one: &Secret| current.is_some_and(|current| *current.0 == *one.0);
    let going = old.current.iter().filter(|one| !same(one));
    let going = going.map(|one| (one.clone(), now.saturating_add(keep)));
    let gone = old
        .replaced
        .iter()
        .filter(|(one, until)| *until > now && !same(one));
    going.chain(gone.cloned()).collect()
}

fn value(
    source: &Source,
    at: &Path,
    sources: &mut dyn Sources,
    faults: &mut Faults,
) -> Option<Secret> {
    let bytes = match (&source.env, &source.file) {
        (Some(name), None) => match sources.env(name) {
            Some(text) => Zeroizing::new(text.into_bytes()),
            None => {
                faults.error(
                    at.key("env"),
                    format!("the environment variable {name} is not set"),
                );
                return None;
            }
        },
        (None, Some(file)) => match sources.read(file) {
            Ok(bytes) => Zeroizing::new(trimmed(&bytes).to_vec()),
            Err(why) => {
                faults.error(at.key("file"), format!("cannot read {file}: {why}"));
                return None;
            }
        },
        _ => {
            faults.error(
                at.clone(),
                "a secret is a reference: exactly one of `env` and `file`",
            );
            return None;
        }
    };
    if bytes.is_empty() || bytes.len() > MOST_BYTES {
        faults.error(
            at.clone(),
            format!(
                "a secret has from 1 to {MOST_BYTES} bytes, this one {}",
                bytes.len()
            ),
        );
        return None;
    }
    Some(Secret(bytes))
}

/// Editors end files with a line end that nobody means.
fn trimmed(bytes: &[u8]) -> &[u8] {
    let bytes = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    bytes.strip_suffix(b"\r").unwrap_or(bytes)
}

/// Hands secrets to checks and remembers which were asked for.
pub(super) struct Keeper<'v> {
    pub(super) vault: &'v Vault,
    pub(super) used: BTreeSet<String>,
}

impl crate::context::Secrets for Keeper<'_> {
    fn secret(&mut self, name: &str) -> Result<Vec<Zeroizing<Vec<u8>>>, String> {
        let Some(held) = self.vault.get(name) else {
            let hint = suggest::hint(name, self.vault.keys().map(String::as_str));
            return Err(format!("there is no secret `{name}`{hint}"));
        };
        self.used.insert(name.to_owned());
        let values = held.current.iter().chain(&held.previous);
        let values = values.chain(held.replaced.iter().map(|(value, _)| value));
        let values: Vec<_> = values.map(|secret| secret.0.clone()).collect();
        if held.current.is_none() {
            return Err(format!("the secret `{name}` could not be read"));
        }
        Ok(values)
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use std::collections::BTreeSet;

    use bytes::Bytes;

    use super::*;
    use crate::context::Secrets as _;
    use crate::testing::Files;

    const HOUR: u64 = 3_600_000;

    fn read_at(value: &str, now: u64, before: Option<&Vault>) -> Vault {
        let mut files = Files::default();
        files
            .0
            .insert("jwt".to_owned(), Bytes::from(value.to_owned()));
        let spec = spec::Secret {
            env: None,
            file: Some("jwt".to_owned()),
            previous: None,
            previous_for: Some("1h".parse().unwrap()),
        };
        let mut faults = Faults::default();
        let vault = read(
            &[("jwt".to_owned(), spec)],
            &mut files,
            now,
            before,
            &mut faults,
        );
        assert_eq!(faults.errors(), 0);
        vault
    }

    fn values(vault: &Vault) -> Vec<String> {
        let mut keeper = Keeper {
            vault,
            used: BTreeSet::new(),
        };
        let values = keeper.secret("jwt").unwrap();
        values
            .iter()
            .map(|value| String::from_utf8(value.to_vec()).unwrap())
            .collect()
    }

    #[test]
    fn a_replaced_value_is_accepted_for_its_time_and_no_longer() {
        let first = read_at("one\n", 0, None);
        assert_eq!(
            (values(&first), expires(&first)),
            (vec!["one".to_owned()], None)
        );
        let second = read_at("two", HOUR, Some(&first));
        assert_eq!(values(&second), ["two", "one"]);
        assert_eq!(expires(&second), Some(2 * HOUR));
        // A reload that changes nothing does not lengthen the time.
        let again = read_at("two", HOUR + 1_000, Some(&second));
        assert_eq!((values(&again).len(), expires(&again)), (2, Some(2 * HOUR)));
        let late = read_at("two", 2 * HOUR, Some(&again));
        assert_eq!(
            (values(&late), expires(&late)),
            (vec!["two".to_owned()], None)
        );
    }

    #[test]
    fn a_value_that_comes_back_is_the_current_one() {
        let first = read_at("one", 0, None);
        let second = read_at("two", 1, Some(&first));
        assert_eq!(values(&read_at("one", 2, Some(&second))), ["one", "two"]);
    }

    #[test]
    fn prints_no_value() {
        let shown = format!("{:?}", read_at("hunter2-hunter2", 0, None));
        assert!(!shown.contains("hunter2"), "{shown}");
    }
}
